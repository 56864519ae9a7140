"""Behaviours: how fast a workload may grow and shrink, given what it did of late."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from optimizer.autoscalers.hpa.whole import MOST_REPLICAS, replicas_of, within

__all__ = ["Direction", "Event", "PolicyType", "RatePolicy", "Rules", "Select", "change_within", "limit", "store"]


class PolicyType(StrEnum):
    """Unit of a rate."""

    PODS = "Pods"
    PERCENT = "Percent"


class Select(StrEnum):
    """Which of several rates applies: that of the largest change, of the smallest, or none."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class Direction(StrEnum):
    """Growing or shrinking."""

    UP = "Up"
    DOWN = "Down"


@dataclass(frozen=True)
class RatePolicy:
    """In ``period_s`` so many pods, or so many per cent of those at its start."""

    type: PolicyType
    value: float
    period_s: float


@dataclass(frozen=True)
class Rules:
    """Rules of one direction.

    Attributes
    ----------
    tolerance
        Of this direction; None for the controller's.
    """

    policies: tuple[RatePolicy, ...]
    select: Select = Select.MAX
    window_s: float = 0.0
    tolerance: float | None = None

    @property
    def longest_period_s(self) -> float:
        return max((policy.period_s for policy in self.policies), default=0.0)


@dataclass(frozen=True)
class Event:
    """A change that was carried out, in replicas; of the log of its direction."""

    change: int
    at_s: float
    is_outdated: bool = False


def change_within(period_s: float, events: Iterable[Event], now_s: float) -> int:
    """Replicas changed in the last ``period_s``; a change of just that long ago does not count."""
    return sum(event.change for event in events if event.at_s > now_s - period_s)


def limit(
    direction: Direction, current: int, rules: Rules, ups: Sequence[Event], downs: Sequence[Event], now_s: float
) -> int:
    """Replicas that the rules of a direction let the workload come to; it may lie on the other side of ``current``.

    Parameters
    ----------
    ups, downs
        Growth and shrinkage carried out so far. The size at a period's start follows from both.
    """
    if rules.select is Select.DISABLED or not rules.policies:
        return current
    reached = []
    for policy in rules.policies:
        grown, shrunk = (change_within(policy.period_s, events, now_s) for events in (ups, downs))
        reached.append(_reached(direction, current - grown + shrunk, policy))
    extreme = (max, min)[(direction is Direction.DOWN) != (rules.select is Select.MIN)]
    return extreme(reached)


def _reached(direction: Direction, start: int, policy: RatePolicy) -> int:
    if direction is Direction.UP:
        if policy.type is PolicyType.PODS:
            return replicas_of(start + policy.value)
        return replicas_of(start * (1.0 + policy.value / 100.0))  # rounded up, or one replica would never become two
    if policy.type is PolicyType.PODS:
        return math.floor(start - policy.value)
    return within(start * (1.0 - policy.value / 100.0), MOST_REPLICAS)


def store(events: Sequence[Event], change: int, now_s: float, longest_period_s: float) -> tuple[Event, ...]:
    """The log with a new event, in the place of the last one that no policy looks back to any more, if any."""
    marked = [
        Event(event.change, event.at_s, event.is_outdated or event.at_s < now_s - longest_period_s) for event in events
    ]
    outdated = [i for i, event in enumerate(marked) if event.is_outdated]
    new = Event(change, now_s)
    if not outdated:
        return (*marked, new)
    marked[outdated[-1]] = new
    return tuple(marked)
