"""Metrics of an autoscaler: what each wants, and how several become one proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from optimizer.autoscalers.hpa.calculator import (
    Proposal,
    Tolerance,
    by_average_value,
    by_pod_average,
    by_utilisation,
    by_value,
)
from optimizer.autoscalers.hpa.usage import NoProposalError, PodUsage

__all__ = ["Combined", "Failure", "Metric", "Reading", "Source", "Target", "Total", "combine", "propose"]


class Source(StrEnum):
    """Where a metric comes from, as the API calls it."""

    RESOURCE = "Resource"
    CONTAINER_RESOURCE = "ContainerResource"
    PODS = "Pods"
    OBJECT = "Object"
    EXTERNAL = "External"

    @property
    def is_of_pods(self) -> bool:
        return self not in (Source.OBJECT, Source.EXTERNAL)


class Target(StrEnum):
    """What a metric is set against."""

    UTILISATION = "Utilization"
    VALUE = "Value"
    AVERAGE_VALUE = "AverageValue"


@dataclass(frozen=True)
class Metric:
    """One entry of ``spec.metrics``.

    Attributes
    ----------
    name
        Of the resource or metric.
    amount
        Target: per cent for `Target.UTILISATION`, else thousandths.
    """

    source: Source
    name: str
    target: Target
    amount: float


@dataclass(frozen=True)
class Total:
    """A metric of the whole workload, and its pods that run and are ready (None where it has no pod)."""

    value_milli: int
    serving: int | None


@dataclass(frozen=True)
class Failure:
    """A metric that cannot be had, with the reason that the condition ScalingActive then shows."""

    reason: str
    message: str = ""


Reading = PodUsage | Total | Failure


@dataclass(frozen=True)
class Combined:
    """What all metrics ask for together; ``replicas`` is None where nothing may be done."""

    replicas: int | None
    failure: Failure | None = None


def propose(metric: Metric, reading: Reading, replicas: int, status: int, tolerance: Tolerance) -> Proposal | Failure:
    """What one metric asks for.

    Parameters
    ----------
    replicas, status
        Replicas that the workload should have, and has.
    """
    reason = f"FailedGet{metric.source}Metric"
    try:
        if isinstance(reading, Failure):
            return reading
        if isinstance(reading, PodUsage):
            if metric.target is Target.UTILISATION:
                return by_utilisation(replicas, reading, metric.amount, tolerance)
            return by_pod_average(replicas, reading, int(metric.amount), tolerance)
        if metric.target is Target.AVERAGE_VALUE:
            return by_average_value(status, reading.value_milli, int(metric.amount), tolerance)
        return by_value(replicas, reading.serving, reading.value_milli, int(metric.amount), tolerance)
    except NoProposalError as error:
        return Failure(reason, str(error))


def combine(answers: Sequence[Proposal | Failure], replicas: int) -> Combined:
    """The largest proposal; with a failure among them only if it does not shrink the workload."""
    proposals = [answer.replicas for answer in answers if isinstance(answer, Proposal)]
    failure = next((answer for answer in answers if isinstance(answer, Failure)), None)
    if not proposals or (failure and max(proposals) < replicas):
        return Combined(None, failure or Failure("InvalidMetricSourceType", "no metric"))
    return Combined(max(proposals), failure)
