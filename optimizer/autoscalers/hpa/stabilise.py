"""Stabilisation: a change is held back while recent recommendations were less extreme.

The log of recommendations is a tuple in the order of the controller's own: a new entry takes the place of the last
one that has grown too old, else it comes at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Log", "Recommendation", "stabilise", "stabilise_both_ways"]


@dataclass(frozen=True)
class Recommendation:
    """Replicas that the metrics asked for, before any limit."""

    replicas: int
    at_s: float


Log = tuple[Recommendation, ...]


def stabilise(desired: int, log: Log, now_s: float, window_s: float) -> tuple[int, Log]:
    """Without behaviours: the largest recommendation of the last ``window_s``, this one included; and the new log.

    One of just ``window_s`` ago counts.
    """
    oldest_s = now_s - window_s
    recent = [one.replicas for one in log if one.at_s >= oldest_s]
    old = [i for i, one in enumerate(log) if one.at_s < oldest_s]
    return max([desired, *recent]), _noted(log, old, Recommendation(desired, now_s))


def stabilise_both_ways(
    current: int, desired: int, log: Log, now_s: float, up_window_s: float, down_window_s: float
) -> tuple[int, Log]:
    """With behaviours: up to the smallest recommendation of the last ``up_window_s``, down to the largest of the last
    ``down_window_s``, this one included; and the new log.

    One of just a window ago does not count.
    """
    up_s, down_s = now_s - up_window_s, now_s - down_window_s
    floor = min([desired, *(one.replicas for one in log if one.at_s > up_s)])
    ceiling = max([desired, *(one.replicas for one in log if one.at_s > down_s)])
    old = [i for i, one in enumerate(log) if one.at_s < min(up_s, down_s)]
    return min(max(current, floor), ceiling), _noted(log, old, Recommendation(desired, now_s))


def _noted(log: Log, old: Sequence[int], new: Recommendation) -> Log:
    return (*log[: old[-1]], new, *log[old[-1] + 1 :]) if old else (*log, new)
