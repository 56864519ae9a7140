"""Router functions as users write them, as plain Python; the tests of the kernel register the same ones."""

from __future__ import annotations

from collections.abc import Sequence

from .router import FUNCTIONS

__all__ = ["FUNCTIONS", "anywhere", "by_user", "most_work"]


def most_work(
    outstanding: Sequence[int], weight: Sequence[float], first: int, size: int, user: int, draw: float
) -> int:
    """The most outstanding tasks for its weight: whatever is worst for everybody."""
    chosen = first
    for place in range(first, first + size):
        if outstanding[place] * weight[chosen] > outstanding[chosen] * weight[place]:
            chosen = place
    return chosen


def anywhere(outstanding: Sequence[int], weight: Sequence[float], first: int, size: int, user: int, draw: float) -> int:
    """Any place, at times outside the pool."""
    return first - 1 + int(draw * (size + 2))


def by_user(outstanding: Sequence[int], weight: Sequence[float], first: int, size: int, user: int, draw: float) -> int:
    """The user's place, unless that has twice as much as the next one."""
    place = first + user % size
    other = first + (user + 1) % size
    return other if outstanding[place] > 2 * outstanding[other] else place


FUNCTIONS.update({f.__name__: f for f in (most_work, anywhere, by_user)})
