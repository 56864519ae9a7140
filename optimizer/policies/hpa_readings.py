"""What the Horizontal Pod Autoscaler reads of a stage: which metrics there are, and their values of an observation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from optimizer.autoscalers.hpa.metrics import Failure, Metric, Reading, Source, Total
from optimizer.autoscalers.hpa.usage import PodUsage
from optimizer.autoscalers.hpa.whole import MOST_MILLI, within
from optimizer.stage_load import LoadReader
from simulator.policy import FleetFacts, Observation
from workloads.errors import InputError

__all__ = ["KNOWN", "RESOURCES", "Known", "StageView", "Viewer", "check_metric", "reading"]

RESOURCES = ("cpu", "gpu", "nvidia.com/gpu")
"""Resources whose use is the busy fraction; a replica requests one of each."""


@dataclass(frozen=True)
class Known:
    """A metric that a manifest may name.

    Attributes
    ----------
    line
        What it is, for documents and errors.
    is_of_each
        Whether every replica shows this value, rather than its part of it.
    read
        Of an observation, a stage's index and its view without values.
    """

    line: str
    is_of_each: bool
    read: Callable[[Observation, int, StageView], float]


@dataclass(frozen=True)
class StageView:
    """A stage's replicas over the last interval.

    Attributes
    ----------
    ready, reporting
        Replicas that are ready, and those of them that have a busy fraction.
    busy
        Mean busy fraction of those.
    served_per_s
        Tasks whose batch ended.
    in_flight
        Mean tasks that wait or are in a batch; NaN where nobody asks.
    values
        Of the metrics asked for, by our name; NaN where there is none.
    """

    ready: int
    reporting: int
    busy: float
    served_per_s: float = 0.0
    in_flight: float = math.nan
    values: Mapping[str, float] | None = None


def _service(observation: Observation, stage: int) -> int:
    return int(observation.facts.stage_service[stage])


def _latency(level: str) -> Known:
    def read(observation: Observation, stage: int, view: StageView) -> float:
        return 1e3 * float(getattr(observation, f"{level}_s")[_service(observation, stage)])

    return Known(f"latency of the stage's service in ms, {level[1:]} % of its requests below", True, read)


KNOWN: dict[str, Known] = {
    "requests_per_second": Known("requests that reach the stage", False, lambda o, stage, _: float(o.stage_rps[stage])),
    "served_per_second": Known("tasks whose batch ended", False, lambda o, stage, view: view.served_per_s),
    "queue_length": Known(
        "requests that wait or are in transfer now", False, lambda o, stage, _: float(o.queue_requests[stage])
    ),
    "outstanding": Known("tasks that wait or are in a batch", False, lambda o, stage, view: view.in_flight),
    "rejected_per_second": Known(
        "requests of the stage's service that were rejected",
        False,
        lambda o, stage, _: float(o.rejected[_service(o, stage)]) / o.facts.control_interval_s,
    ),
    "gpu_utilization": Known("busy share of the replicas, in per cent", True, lambda o, stage, view: 100.0 * view.busy),
    **{f"latency_{level}_ms": _latency(level) for level in ("p50", "p95", "p99")},
}
"""Metrics by name: those of the whole stage, and those that every replica shows."""


def check_metric(metric: Metric, names: Mapping[str, str]) -> None:
    """An `InputError` if the metric is none that a stage has; ``names`` gives our name of others' names."""
    if metric.source in (Source.RESOURCE, Source.CONTAINER_RESOURCE):
        if metric.name not in RESOURCES:
            problem = f"use of the resource {metric.name!r} is not simulated for each replica"
            raise InputError("metrics", problem, f"give one of {', '.join(RESOURCES)}")
        return
    ours = names.get(metric.name, metric.name)
    if ours not in KNOWN:
        raise InputError(
            "metrics",
            f"a stage has no metric {ours!r}",
            f"use one of {', '.join(KNOWN)}, or say with metric_names which of them it is",
        )


class Viewer:
    """Reads the stages of a fleet.

    Parameters
    ----------
    wanted
        For each stage our names of the metrics it is scaled by.
    """

    def __init__(self, facts: FleetFacts, wanted: list[set[str]]) -> None:
        stages = range(len(facts.stages))
        self._members = [np.flatnonzero(facts.variant_stage == stage).tolist() for stage in stages]
        self._wanted = wanted
        self._unasked = [math.nan] * len(facts.stages)
        self._loads = LoadReader(facts) if any("outstanding" in names for names in wanted) else None

    def read(self, observation: Observation) -> list[StageView]:
        """One view a stage."""
        in_flight = [load.in_flight for load in self._loads.read(observation)] if self._loads else self._unasked
        ready, busy = observation.ready.tolist(), observation.busy_fraction.tolist()
        return [
            self._view(observation, stage, [pair for v in members for pair in zip(ready[v], busy[v])], in_flight[stage])
            for stage, members in enumerate(self._members)
        ]

    def _view(
        self, observation: Observation, stage: int, pairs: list[tuple[int, float]], in_flight: float
    ) -> StageView:
        """Of ready replicas and busy fraction on each node type of each variant."""
        seen = [(count, share) for count, share in pairs if math.isfinite(share)]
        reporting = sum(count for count, _ in seen)
        mean = sum(count * share for count, share in seen) / reporting if reporting else math.nan
        view = StageView(sum(count for count, _ in pairs), reporting, mean)
        if not self._wanted[stage]:
            return view
        served = float(observation.served_requests[self._members[stage]].sum())
        view = replace(view, served_per_s=served / observation.facts.control_interval_s, in_flight=in_flight)
        return replace(view, values={name: KNOWN[name].read(observation, stage, view) for name in self._wanted[stage]})


def reading(metric: Metric, view: StageView, names: Mapping[str, str], replicas: int) -> Reading:
    """What a metric shows; of the ``replicas`` that the stage should have, those that are not ready are unready."""
    unready = max(0, replicas - view.ready)
    if metric.source in (Source.RESOURCE, Source.CONTAINER_RESOURCE):
        if view.reporting == 0:
            return Failure(f"FailedGet{metric.source}Metric", "no replica reports")
        return PodUsage(
            ready=view.reporting,
            value_milli=round(1000.0 * view.busy * view.reporting),
            request_milli=1000 * view.reporting,
            unready=unready,
            unready_request_milli=1000 * unready,
            missing_request_milli=(1000,) * (view.ready - view.reporting),
        )
    ours = names.get(metric.name, metric.name)
    value = (view.values or {}).get(ours, math.nan)
    if not math.isfinite(value) or (metric.source.is_of_pods and view.ready == 0):
        return Failure(f"FailedGet{metric.source}Metric", f"no {ours}")
    if not metric.source.is_of_pods:
        return Total(_milli(value), view.ready if replicas > 0 else None)
    return PodUsage(
        ready=view.ready,
        value_milli=_milli(value * view.ready if KNOWN[ours].is_of_each else value),
        unready=unready,
    )


def _milli(value: float) -> int:
    return within(round(1000.0 * value), MOST_MILLI)
