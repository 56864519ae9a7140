"""Ray Serve's autoscaling of one deployment: replicas wanted by one pass of its control loop.

Rules: Ray documentation, "Ray Serve Autoscaling" and "Advanced Ray Serve Autoscaling" (``autoscaling_config``), as of
Ray 2.60, where delays are measured on the clock; held against Ray's own cases in ``optimizer.conformance.ray_serve``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from optimizer.autoscalers.ray_serve_gangs import whole_gangs, within_bounds

__all__ = [
    "IDLE",
    "Deployment",
    "Pending",
    "ServeRules",
    "bounded",
    "decide",
    "delayed",
    "queue_length",
    "with_factors",
]

CLOCK_TOLERANCE_S = 1e-6
"""A delay counts as over this much early, so that sums of floating-point steps do not cost a pass."""


@dataclass(frozen=True)
class ServeRules:
    """An ``autoscaling_config``; the names and defaults are Ray's.

    Attributes
    ----------
    min_replicas, max_replicas
        Bounds, applied last.
    target_ongoing_requests
        Requests queued or running that a replica should have.
    upscaling_factor, downscaling_factor
        Part of the way from the running replicas to those wanted that one decision goes.
    upscale_delay_s, downscale_delay_s
        So long must the same direction be wanted without a break.
    downscale_to_zero_delay_s
        The same for the last replica; None: as ``downscale_delay_s``.
    gang_size
        Replicas that start and stop together.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    target_ongoing_requests: float = 2.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    downscale_to_zero_delay_s: float | None = None
    gang_size: int = 1


@dataclass(frozen=True)
class Pending:
    """A direction that is wanted and waits for its delay: 1 up, -1 down, 0 none."""

    direction: int = 0
    since_s: float = 0.0


IDLE = Pending()


@dataclass(frozen=True)
class Deployment:
    """A deployment as the control loop finds it.

    Attributes
    ----------
    running
        Replicas that serve.
    target
        Replicas asked for by the last decision.
    ongoing
        Requests queued or running, of all replicas and callers together.
    """

    running: int
    target: int
    ongoing: float


Want = Callable[[ServeRules, Deployment], float]
"""A policy: replicas wanted, which need not be whole."""


def queue_length(rules: ServeRules, deployment: Deployment) -> float:
    """Ray's default policy: as many replicas as bring each to its target; what was asked for while none runs."""
    if deployment.running == 0:
        return float(deployment.target)
    return deployment.ongoing / rules.target_ongoing_requests


def decide(
    rules: ServeRules, pending: Pending, now_s: float, deployment: Deployment, want: Want = queue_length
) -> tuple[int, Pending]:
    """One pass: what a policy wants, by the factors and after the delay; bounds are the caller's (`bounded`).

    While no replica runs, neither factors nor delays apply: requests start ``upscaling_factor`` replicas at once.
    """
    if deployment.running == 0 and deployment.ongoing > 0:
        return max(math.ceil(rules.upscaling_factor), deployment.target), pending
    wanted = with_factors(rules, want(rules, deployment), deployment.running)
    if deployment.running == 0 and wanted > 0:
        return wanted, pending
    return delayed(rules, pending, now_s, deployment.target, max(0, wanted))


def with_factors(rules: ServeRules, wanted: float, running: int) -> int:
    """A part of the way from ``running`` to ``wanted``, rounded up; on the way down at least one replica."""
    if running == 0:
        return math.ceil(wanted)
    way = wanted - running
    factor = rules.upscaling_factor if way > 0 else rules.downscaling_factor
    reached = math.ceil(running + factor * way)
    is_stuck = math.ceil(wanted) < running and reached == running
    return reached - 1 if is_stuck else reached


def delayed(rules: ServeRules, pending: Pending, now_s: float, target: int, wanted: int) -> tuple[int, Pending]:
    """Replicas asked for from now on: ``wanted`` once its direction has been wanted for the delay, else ``target``.

    The last replica (with gangs: the last gang) goes in a step of its own, which has its own delay.
    """
    wanted = whole_gangs(wanted, rules.gang_size)
    if wanted == target:
        return target, IDLE
    direction = 1 if wanted > target else -1
    delay_s = rules.upscale_delay_s
    if direction < 0:
        delay_s = rules.downscale_delay_s
        if target > rules.gang_size:
            wanted = max(wanted, rules.gang_size)
        elif rules.downscale_to_zero_delay_s is not None:
            delay_s = rules.downscale_to_zero_delay_s
    if pending.direction != direction:
        pending = Pending(direction, now_s)
    if now_s - pending.since_s + CLOCK_TOLERANCE_S >= delay_s:
        return wanted, IDLE
    return target, pending


def bounded(rules: ServeRules, replicas: int) -> int:
    """``replicas`` within the bounds, in whole gangs."""
    return within_bounds(replicas, rules.min_replicas, rules.max_replicas, rules.gang_size)
