"""The Knative Pod Autoscaler's decision: pods wanted by one evaluation, and how long panic lasts.

Rules: Knative documentation, "Autoscaling" (concepts, KPA-specific settings, target burst capacity), and the comments
of Serving's ``config-autoscaler``; held against Serving's own cases in ``optimizer.conformance.kpa``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["CALM", "Decision", "KpaRules", "Load", "Panic", "decide", "start_panic"]


@dataclass(frozen=True)
class KpaRules:
    """What one revision's decider knows beside the load.

    Attributes
    ----------
    target
        Load that a pod should have, in tasks in flight or in requests/s (`optimizer.autoscalers.kpa_target`).
    total
        Load that a pod can take; the target is a part of it. Only the burst capacity counts with it.
    burst_capacity
        Tasks in flight that must find room at once: 0 never asks for the activator, -1 always does.
    panic_threshold
        Pods wanted by the panic window over ready pods from which panic begins.
    up_rate, down_rate
        Most that one evaluation multiplies or divides the ready pods by.
    stable_window_s
        Panic ends when it was last justified longer ago than this.
    activation_scale
        Pods wanted are at least so many where any are.
    reachable
        Whether traffic is routed to the revision; one that is not shrinks without limit and delay.
    """

    target: float
    total: float
    burst_capacity: float = 200.0
    panic_threshold: float = 2.0
    up_rate: float = 1000.0
    down_rate: float = 2.0
    stable_window_s: float = 60.0
    activation_scale: int = 1
    reachable: bool = True


@dataclass(frozen=True)
class Panic:
    """Panic mode.

    Attributes
    ----------
    since_s
        When it was last justified; None outside panic.
    most_pods
        Most pods wanted since it began: fewer are not wanted until it ends.
    """

    since_s: float | None = None
    most_pods: int = 0


CALM = Panic()


@dataclass(frozen=True)
class Load:
    """Load on all pods together, averaged over the stable and over the panic window; in the unit of the target."""

    stable: float
    panic: float


@dataclass(frozen=True)
class Decision:
    """Pods wanted, before delay and bounds.

    Attributes
    ----------
    spare_burst
        Room for tasks beyond the burst capacity asked for; negative: the activator stays in the path.
    is_valid
        False where there was nothing to decide on; nothing changes then.
    """

    pods: int
    spare_burst: float
    is_valid: bool = True


def start_panic(ready_pods: int, now_s: float) -> Panic:
    """The state in which an autoscaler starts: in panic with more than one pod ready.

    It has no history then, and would shrink a revision under load.
    """
    return Panic(now_s if ready_pods > 1 else None, ready_pods)


def decide(rules: KpaRules, panic: Panic, now_s: float, ready_pods: int, load: Load | None) -> tuple[Decision, Panic]:
    """One evaluation.

    The stable window's load over the target, rounded up, within the rates, is what is wanted. While in panic the panic
    window's is wanted instead where it is more, and never less than before. Panic begins, or is justified again, where
    the panic window alone (before the rates) wants `KpaRules.panic_threshold` times the ready pods.

    Parameters
    ----------
    ready_pods
        Counts as 1 where it is 0, but for the burst capacity.
    load
        None where no metric has come.
    """
    if load is None:
        return Decision(0, 0.0, is_valid=False), panic
    ready = max(1, ready_pods)
    wanted_panic = _pods(load.panic, rules)
    stable = _within_rates(_pods(load.stable, rules), ready, rules)
    urgent = _within_rates(wanted_panic, ready, rules)
    panic = _next_panic(rules, panic, now_s, justified=wanted_panic / ready >= rules.panic_threshold)
    wanted = stable
    if panic.since_s is not None:
        wanted = max(stable, urgent, panic.most_pods)
        panic = Panic(panic.since_s, wanted)
    return Decision(wanted, _spare_burst(rules, ready_pods, load.panic)), panic


def _pods(load: float, rules: KpaRules) -> int:
    pods = math.ceil(load / rules.target)
    return max(pods, rules.activation_scale) if pods > 0 else pods


def _within_rates(pods: int, ready: int, rules: KpaRules) -> int:
    most = math.ceil(rules.up_rate * ready)
    least = math.floor(ready / rules.down_rate) if rules.reachable else 0
    return min(max(pods, least), most)


def _next_panic(rules: KpaRules, panic: Panic, now_s: float, *, justified: bool) -> Panic:
    if justified:
        return Panic(now_s, panic.most_pods)
    if panic.since_s is not None and now_s - panic.since_s > rules.stable_window_s:
        return CALM
    return panic


def _spare_burst(rules: KpaRules, ready_pods: int, panic_load: float) -> float:
    if rules.burst_capacity == 0:
        return 0.0
    if rules.burst_capacity < 0:
        return -1.0
    return float(math.floor(ready_pods * rules.total - rules.burst_capacity - panic_load))
