"""Rows of ``hpa_cases.csv`` as what the autoscaler takes; every case happens at time 0."""

from __future__ import annotations

from optimizer.autoscalers.hpa.behaviour import Event, PolicyType, RatePolicy, Rules, Select
from optimizer.autoscalers.hpa.calculator import Tolerance
from optimizer.autoscalers.hpa.limits import Bounds
from optimizer.autoscalers.hpa.metrics import Failure, Metric, Reading, Source, Target, Total
from optimizer.autoscalers.hpa.pods import Phase, Pod, Sample, group_pods, serving_pods
from optimizer.autoscalers.hpa.spec import Behaviour, Controller, HpaSpec
from optimizer.autoscalers.hpa.stabilise import Log, Recommendation
from optimizer.autoscalers.hpa.sync import Memory
from optimizer.autoscalers.hpa.usage import NoProposalError, add_up
from optimizer.conformance.rows import Row

__all__ = ["bounds", "controller", "events", "log", "memory", "metrics", "readings", "rules", "samples", "spec"]

LONG_AGO_S = -1e6
WINDOW_S = 60.0
"""Of every sample but those of `group_pods` rows."""

_KINDS = {
    "cpu_utilization_pct": (Source.RESOURCE, Target.UTILISATION),
    "container_cpu_utilization_pct": (Source.CONTAINER_RESOURCE, Target.UTILISATION),
    "pods_avg_value_milli": (Source.PODS, Target.AVERAGE_VALUE),
    "object_value_milli": (Source.OBJECT, Target.VALUE),
    "object_avg_value_milli": (Source.OBJECT, Target.AVERAGE_VALUE),
    "external_value_milli": (Source.EXTERNAL, Target.VALUE),
    "external_avg_value_milli": (Source.EXTERNAL, Target.AVERAGE_VALUE),
}
_FAILING = {"invalid": Failure("InvalidMetricSourceType"), "error": Failure("FailedGetExternalMetric")}


def bounds(row: Row) -> Bounds:
    return Bounds(row.integer("min_replicas"), row.integer("max_replicas"))


def controller(row: Row) -> Controller:
    return Controller(
        tolerance=Tolerance(row.number("tolerance_down", 0.1), row.number("tolerance_up", 0.1)),
        up_factor=row.number("scale_up_limit_factor", 2.0),
        scales_to_zero=row.flag("scale_to_zero_gate", False),
    )


def spec(row: Row) -> HpaSpec:
    behaviour = None
    if row.has("up_policies") or row.has("down_policies"):
        defaults = Behaviour()
        behaviour = Behaviour(
            rules(row, "up") if row.has("up_policies") else defaults.up,
            rules(row, "down") if row.has("down_policies") else defaults.down,
        )
    return HpaSpec(bounds(row), metrics(row), behaviour)


def metrics(row: Row) -> tuple[Metric, ...]:
    """One of each part of ``metric_kind``; those that fail need no target."""
    kinds, given = row.parts("metric_kind", "+"), row.parts("target", "+")
    amounts = iter(given)
    found = []
    for kind in kinds:
        if kind in _FAILING:
            if len(given) == len(kinds):
                next(amounts)
            found.append(Metric(Source.EXTERNAL if kind == "error" else Source.RESOURCE, kind, Target.VALUE, 1))
            continue
        if kind not in _KINDS:
            raise row.error("metric_kind", f"{kind!r} is not known, it is one of {', '.join([*_KINDS, *_FAILING])}")
        source, target = _KINDS[kind]
        amount = row.parsed("target", next(amounts, ""), _positive, "a whole number above 0")
        found.append(Metric(source, kind, target, amount))
    return tuple(found)


def readings(row: Row) -> list[Reading]:
    """What is read for each metric."""
    return [_FAILING.get(metric.name) or _reading(row, metric) for metric in metrics(row)]


def _reading(row: Row, metric: Metric) -> Reading:
    pods = _pods(row)
    extra = [value for value in row.integers("extra_usage_milli") if value is not None]
    if not metric.source.is_of_pods:
        if not extra:
            return Failure(f"FailedGet{metric.source}Metric", "no metric")
        return Total(sum(extra), serving_pods(pods) if pods else None)
    known = {f"unknown-{i}": Sample(value) for i, value in enumerate(extra)}
    known |= {name: Sample(s.value_milli, 0.0, WINDOW_S) for name, s in samples(row).items()}
    of_requests = metric.target is Target.UTILISATION
    try:
        return add_up(pods, group_pods(pods, known, 0.0, is_cpu=of_requests), known, of_requests=of_requests)
    except NoProposalError as error:
        return Failure(f"FailedGet{metric.source}Metric", str(error))


def _pods(row: Row) -> list[Pod]:
    """Pods whose readiness and age are such that they count or not as the row says."""
    ready, hot, deleting = row.flags("pod_ready"), row.flags("pod_hot"), row.flags("pod_deleting")
    phases = [row.parsed("pod_phase", phase, Phase, "a phase") for phase in row.parts("pod_phase")]
    requests, count = row.integers("pod_request_milli"), len(phases)
    for column, values in (("pod_ready", ready), ("pod_hot", hot), ("pod_deleting", deleting)):
        if len(values) != count:
            raise row.error(column, f"it has {len(values)} items, pod_phase {count}")
    return [
        Pod(
            name=f"pod-{i}",
            phase=phases[i],
            ready=ready[i],
            started_s=LONG_AGO_S if ready[i] and not hot[i] else 0.0,
            ready_changed_s=LONG_AGO_S if ready[i] and not hot[i] else 0.0,
            is_deleting=deleting[i],
            request_milli=requests[i] if i < len(requests) else None,
        )
        for i in range(count)
    ]


def samples(row: Row) -> dict[str, Sample]:
    """Metrics of the pods that have one."""
    usage = row.integers("pod_usage_milli")
    return {f"pod-{i}": Sample(value) for i, value in enumerate(usage) if value is not None}


def rules(row: Row, direction: str) -> Rules:
    """Of the columns of a direction, ``up`` or ``down``."""
    policies = row.parts(f"{direction}_policies", "|")
    select = row.text(f"{direction}_select") or Select.MAX
    return Rules(
        tuple(row.parsed(f"{direction}_policies", p, _policy, "Type:value:period_s") for p in policies),
        row.parsed(f"{direction}_select", select, Select, "Max, Min or Disabled"),
        row.number(f"{direction}_window_s", 0.0),
    )


def events(row: Row, direction: str) -> tuple[Event, ...]:
    """Changes carried out, of a column ``change@age_s;...``."""
    return tuple(Event(change, -age_s) for change, age_s in _aged(row, f"{direction}_events"))


def log(row: Row) -> Log:
    """Recommendations, of a column ``replicas@age_s;...``."""
    return tuple(Recommendation(replicas, -age_s) for replicas, age_s in _aged(row, "recommendations"))


def memory(row: Row) -> Memory:
    """What the controller remembers before the sync; ``init=current@0`` stands for nothing."""
    fresh = row.text("recommendations").startswith("init")
    return Memory(
        log=None if fresh else log(row),
        ups=events(row, "up"),
        downs=events(row, "down"),
        is_scaled_to_zero=row.flag("scaled_to_zero_condition", False),
    )


def _aged(row: Row, column: str) -> list[tuple[int, float]]:
    return [row.parsed(column, part, _at_age, "number@age_s") for part in row.parts(column)]


def _at_age(text: str) -> tuple[int, float]:
    value, _, age_s = text.partition("@")
    return int(value), float(age_s)


def _policy(text: str) -> RatePolicy:
    kind, value, period_s = text.split(":")
    return RatePolicy(PolicyType(kind), int(value), float(period_s))


def _positive(text: str) -> int:
    if int(text) <= 0:
        raise ValueError(text)
    return int(text)
