"""The router: hands requests to replicas when due, by the simulator's rules (docs/request-path.md, Routers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from workloads.server.clock import Clock

__all__ = ["ROUTERS", "choose_least_outstanding", "choose_round_robin", "route"]


class Line(Protocol):
    """A replica's queue as the router sees it."""

    def push(self, request: int, ready_s: float) -> None:
        """Hand a request over."""

    def outstanding(self) -> int:
        """Handed over and not completed."""


def choose_round_robin(request: int, lines: Sequence[Line]) -> int:
    """One after the other."""
    return request % len(lines)


def choose_least_outstanding(request: int, lines: Sequence[Line]) -> int:
    """The least outstanding, the first of them."""
    chosen, least = 0, lines[0].outstanding()
    for place in range(1, len(lines)):
        outstanding = lines[place].outstanding()
        if outstanding < least:
            chosen, least = place, outstanding
    return chosen


ROUTERS = {"least_outstanding": choose_least_outstanding, "round_robin": choose_round_robin}


def route(arrival_s: np.ndarray, lines: Sequence[Line], router: str, clock: Clock, limit_s: float) -> list[int]:
    """Hand over each request when it is due; the replica of each, ``[request]``. What is due after the limit is not."""
    choose, now = ROUTERS[router], clock.now
    chosen: list[int] = []
    for request, due_s in enumerate(arrival_s.tolist()):
        now_s = now()
        while now_s < due_s:
            clock.pause(due_s)
            now_s = now()
        if now_s > limit_s:
            break
        place = choose(request, lines)
        lines[place].push(request, now_s)
        chosen.append(place)
    return chosen
