"""Stabilisation: a change is held back while recent recommendations were less extreme.

The log of recommendations is a tuple in the order of the controller's own: a new entry takes the place of the last
one that has grown too old, else it comes at the end.
"""

from __future__ import annotations

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
    oldest_s, largest, old = now_s - window_s, desired, None
    for i, one in enumerate(log):
        if one.at_s < oldest_s:
            old = i
        elif one.replicas > largest:
            largest = one.replicas
    return largest, _noted(log, old, Recommendation(desired, now_s))


def stabilise_both_ways(
    current: int, desired: int, log: Log, now_s: float, up_window_s: float, down_window_s: float
) -> tuple[int, Log]:
    """With behaviours: up to the smallest recommendation of the last ``up_window_s``, down to the largest of the last
    ``down_window_s``, this one included; and the new log.

    One of just a window ago does not count.
    """
    up_s, down_s = now_s - up_window_s, now_s - down_window_s
    oldest_s, floor, ceiling, old = min(up_s, down_s), desired, desired, None
    for i, one in enumerate(log):
        at_s, replicas = one.at_s, one.replicas
        if at_s > up_s and replicas < floor:
            floor = replicas
        if at_s > down_s and replicas > ceiling:
            ceiling = replicas
        if at_s < oldest_s:
            old = i
    return min(max(current, floor), ceiling), _noted(log, old, Recommendation(desired, now_s))


def _noted(log: Log, old: int | None, new: Recommendation) -> Log:
    return (*log, new) if old is None else (*log[:old], new, *log[old + 1 :])
