"""The replica calculator: how many replicas bring one metric to its target.

In all four, ``ratio = metric / target`` and the answer is ``ceil(ratio * pods)``; a ratio within the tolerance of 1
changes nothing. Metrics of pods are handled with care: pods without one are assumed to be idle before a workload grows
and busy before it shrinks, and pods that are not ready are assumed to be idle before it grows. If that turns the
direction, or brings the ratio within the tolerance, nothing changes.

Numbers are whole as in the API: values in thousandths, utilisation in per cent, both rounded down before the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from optimizer.autoscalers.hpa.usage import NoProposalError, PodUsage
from optimizer.autoscalers.hpa.whole import MOST_MILLI, MOST_REPLICAS, replicas_of, within

__all__ = ["Proposal", "Tolerance", "by_average_value", "by_pod_average", "by_utilisation", "by_value"]


RatioWith = Callable[[bool, bool], float]
"""The ratio with what is assumed of missing pods, and of unready ones."""


@dataclass(frozen=True)
class Tolerance:
    """A ratio from ``1 - down`` to ``1 + up`` changes nothing; the defaults are Kubernetes' own."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True)
class Proposal:
    """What one metric asks for.

    Attributes
    ----------
    value_milli
        The metric as the status shows it: the mean over pods, or the whole where the target is one for all.
    utilisation_percent
        The same as a share of the requests, where the target is one.
    """

    replicas: int
    value_milli: int
    utilisation_percent: int | None = None


def by_utilisation(current: int, usage: PodUsage, target_percent: float, tolerance: Tolerance) -> Proposal:
    """Replicas that bring the pods' use to ``target_percent`` of what they request.

    Raises
    ------
    NoProposalError
        If no metric is of a pod of the workload.
    """
    if usage.request_milli == 0:
        raise NoProposalError("no metrics returned matched known pods")
    percent = _percent(usage.value_milli, usage.request_milli)

    def ratio_with(assumed_missing: bool, assumed_unready: bool) -> float:
        value, request = usage.value_milli, usage.request_milli
        if assumed_missing:
            request += sum(usage.missing_request_milli)
            if percent < target_percent:
                fallback = max(100, int(target_percent))
                value += sum(one * fallback // 100 for one in usage.missing_request_milli)
        request += usage.unready_request_milli if assumed_unready else 0
        return _percent(value, request) / target_percent

    replicas = _with_care(current, usage, tolerance, percent / target_percent, ratio_with)
    return Proposal(replicas, within(usage.value_milli // usage.ready, MOST_MILLI), percent)


def by_pod_average(current: int, usage: PodUsage, target_milli: int, tolerance: Tolerance) -> Proposal:
    """Replicas that bring the mean over pods to ``target_milli``."""
    total = usage.value_milli + usage.unknown_value_milli
    mean = total // usage.samples

    def ratio_with(assumed_missing: bool, assumed_unready: bool) -> float:
        value, count = total, usage.samples
        if assumed_missing:
            value += usage.missing * target_milli if mean < target_milli else 0
            count += usage.missing
        count += usage.unready if assumed_unready else 0
        return float(value // count) / float(target_milli)

    replicas = _with_care(current, usage, tolerance, float(mean) / float(target_milli), ratio_with)
    return Proposal(replicas, within(mean, MOST_MILLI))


def by_value(current: int, serving: int | None, value_milli: int, target_milli: int, tolerance: Tolerance) -> Proposal:
    """Replicas that bring a metric of the whole workload to ``target_milli``, if it falls as replicas are added.

    Parameters
    ----------
    serving
        Pods that run and are ready, None where the workload has no pod. From zero replicas the answer is the ratio.

    Raises
    ------
    NoProposalError
        If there should be replicas, the ratio is out of tolerance, and there is no pod.
    """
    value_milli = within(value_milli, MOST_MILLI)
    ratio = float(value_milli) / float(target_milli)
    if current == 0:
        return Proposal(replicas_of(ratio), value_milli)
    if tolerance.holds(ratio):
        return Proposal(current, value_milli)
    if serving is None:
        raise NoProposalError("unable to calculate ready pods: no pods returned by selector")
    return Proposal(replicas_of(ratio * serving), value_milli)


def by_average_value(replicas: int, value_milli: int, target_milli: int, tolerance: Tolerance) -> Proposal:
    """Replicas among which a metric of the whole workload is ``target_milli`` each.

    Parameters
    ----------
    replicas
        Those that the workload has now, whatever it should have.
    """
    value, target = float(within(value_milli, MOST_MILLI)), float(target_milli)
    if replicas == 0:
        return Proposal(replicas_of(value / target), 0)
    mean_milli = within(math.ceil(value / replicas), MOST_MILLI)
    if tolerance.holds(value / (target * replicas)):
        return Proposal(replicas, mean_milli)
    return Proposal(replicas_of(value / target), mean_milli)


def _with_care(current: int, usage: PodUsage, tolerance: Tolerance, ratio: float, ratio_with: RatioWith) -> int:
    """Replicas by a ratio that is only of the pods that count, and by what is assumed of the others."""
    grows_with_unready = usage.unready > 0 and ratio > 1.0
    if not grows_with_unready and not usage.missing:
        return current if tolerance.holds(ratio) else replicas_of(ratio * usage.ready)
    assumed_missing = usage.missing > 0 and ratio != 1.0
    assumed = ratio_with(assumed_missing, grows_with_unready)
    if tolerance.holds(assumed) or (ratio < 1.0 < assumed) or (assumed < 1.0 < ratio):
        return current
    pods = usage.samples + usage.missing * assumed_missing + usage.unready * grows_with_unready
    wanted = replicas_of(assumed * pods)
    turns = wanted > current if assumed < 1.0 else wanted < current
    return current if turns else wanted


def _percent(value_milli: int, request_milli: int) -> int:
    return within(value_milli * 100 // request_milli, MOST_REPLICAS)
