"""What bounds a stabilised recommendation: minimum, maximum, and the pace of change; with the reason shown for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.autoscalers.hpa.behaviour import Direction, Event, Rules, limit
from optimizer.autoscalers.hpa.whole import MOST_REPLICAS, within

__all__ = ["Bounds", "Limited", "clamp", "clamp_by_rules"]


@dataclass(frozen=True)
class Bounds:
    """``spec.minReplicas`` and ``spec.maxReplicas``."""

    least: int
    most: int


@dataclass(frozen=True)
class Limited:
    """Replicas, and the reason of the condition ScalingLimited."""

    replicas: int
    reason: str


def clamp(current: int, desired: int, bounds: Bounds, up_factor: float = 2.0, up_least: float = 4.0) -> Limited:
    """Without behaviours: in one sync to ``up_factor`` times the current size, or ``up_least`` if that is more.

    The defaults are Kubernetes' own.
    """
    up_limit = within(max(up_factor * current, up_least), MOST_REPLICAS)
    if desired < bounds.least:
        return Limited(bounds.least, "TooFewReplicas")
    if desired > min(up_limit, bounds.most):
        return _at_most(bounds.most, up_limit)
    return Limited(desired, "DesiredWithinRange")


def clamp_by_rules(
    current: int,
    desired: int,
    bounds: Bounds,
    up: Rules,
    down: Rules,
    ups: Sequence[Event],
    downs: Sequence[Event],
    now_s: float,
) -> Limited:
    """With behaviours: as far as the rules of the direction allow."""
    if desired > current:
        up_limit = max(current, limit(Direction.UP, current, up, ups, downs, now_s))
        if desired > min(up_limit, bounds.most):
            return _at_most(bounds.most, up_limit)
    elif desired < current:
        down_limit = min(current, limit(Direction.DOWN, current, down, ups, downs, now_s))
        if desired < max(down_limit, bounds.least):
            slow = bounds.least < down_limit
            return Limited(max(down_limit, bounds.least), "ScaleDownLimit" if slow else "TooFewReplicas")
    return Limited(desired, "DesiredWithinRange")


def _at_most(most: int, up_limit: int) -> Limited:
    return Limited(up_limit, "ScaleUpLimit") if most > up_limit else Limited(most, "TooManyReplicas")
