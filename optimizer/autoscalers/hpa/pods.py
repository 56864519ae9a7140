"""Which pods count: ready, not ready, without a metric, or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Phase", "Pod", "PodGroups", "Sample", "StartTimes", "group_pods", "serving_pods"]


class Phase(StrEnum):
    """Phases of a pod's life."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Pod:
    """What the autoscaler reads of one pod.

    Attributes
    ----------
    ready
        Whether it says that it is ready; None if it has not said anything yet.
    started_s
        When it was acknowledged by its node; None if it was not.
    ready_changed_s
        When ``ready`` changed last.
    request_milli
        What it requests of the resource, in thousandths; None if nothing.
    """

    name: str
    phase: Phase = Phase.RUNNING
    ready: bool | None = True
    started_s: float | None = 0.0
    ready_changed_s: float = 0.0
    is_deleting: bool = False
    request_milli: int | None = None


@dataclass(frozen=True)
class Sample:
    """A pod's metric: the mean of the ``window_s`` before ``at_s``, in thousandths."""

    value_milli: int
    at_s: float = -math.inf
    window_s: float = 0.0


@dataclass(frozen=True)
class StartTimes:
    """Flags of the controller; the defaults are Kubernetes' own.

    Attributes
    ----------
    cpu_initialisation_s
        For so long after a pod's start its CPU counts only while it is ready, and only what was measured since.
    initial_readiness_s
        A pod whose readiness changed last within so long after its start was never ready.
    """

    cpu_initialisation_s: float = 300.0
    initial_readiness_s: float = 30.0


DEFAULT_TIMES = StartTimes()


@dataclass(frozen=True)
class PodGroups:
    """Pods by name; every pod is in one group."""

    ready: tuple[str, ...] = ()
    unready: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def group_pods(
    pods: Sequence[Pod],
    samples: Mapping[str, Sample],
    now_s: float,
    *,
    is_cpu: bool,
    times: StartTimes = StartTimes(),
) -> PodGroups:
    """Sort pods: those on their way out are ignored, those that wait for a node are unready, those without a sample
    are missing, and of CPU (``is_cpu``) those are unready whose sample tells of their start and not of their work.
    """
    groups: dict[str, list[str]] = {"ready": [], "unready": [], "missing": [], "ignored": []}
    for pod in pods:
        groups[_group(pod, samples.get(pod.name), now_s, is_cpu, times)].append(pod.name)
    return PodGroups(**{name: tuple(members) for name, members in groups.items()})


def _group(pod: Pod, sample: Sample | None, now_s: float, is_cpu: bool, times: StartTimes) -> str:
    if pod.is_deleting or pod.phase in (Phase.FAILED, Phase.SUCCEEDED):
        return "ignored"
    if pod.phase is Phase.PENDING:
        return "unready"
    if sample is None:
        return "missing"
    return "unready" if is_cpu and _is_starting(pod, sample, now_s, times) else "ready"


def _is_starting(pod: Pod, sample: Sample, now_s: float, times: StartTimes) -> bool:
    if pod.ready is None or pod.started_s is None:
        return True
    if now_s < pod.started_s + times.cpu_initialisation_s:
        return not pod.ready or sample.at_s < pod.ready_changed_s + sample.window_s
    return not pod.ready and pod.ready_changed_s < pod.started_s + times.initial_readiness_s


def serving_pods(pods: Sequence[Pod]) -> int:
    """Pods that run and are ready: what a metric that is not of the pods is set against."""
    return sum(pod.phase is Phase.RUNNING and pod.ready is True for pod in pods)
