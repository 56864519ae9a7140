"""A KEDA ScaledObject from its manifest.

Triggers look at numbers of systems outside. What each means here is said by its type where that is plain, and by the
user where it is a query (``measures``): no query is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from optimizer.autoscalers.hpa.behaviour import PolicyType, RatePolicy, Rules, Select
from optimizer.autoscalers.hpa.spec import DEFAULT_DOWN, DEFAULT_UP, Behaviour
from optimizer.autoscalers.hpa.whole import MOST_REPLICAS
from optimizer.autoscalers.keda import ScaledObject, Threshold, Trigger, Utilisation
from optimizer.autoscalers.keda_cron import CronWindow, Schedule, parse_schedule
from optimizer.autoscalers.manifests import Section, read_manifest
from optimizer.options import suggestion
from workloads.errors import InputError

__all__ = ["SIGNALS", "read_scaled_object"]

SIGNALS = {
    "in_flight": "mean tasks waiting and in batches",
    "waiting": "mean tasks waiting",
    "tasks_per_s": "tasks that came per second",
    "busy_percent": "mean busy share of the replicas, in per cent",
}
"""What a threshold may be set on, for a stage over the last interval."""

_QUEUES = {
    "aws-sqs-queue": ("queueLength", 5.0, "activationQueueLength"),
    "azure-queue": ("queueLength", 5.0, "activationQueueLength"),
    "gcp-pubsub": ("value", 10.0, "activationValue"),
    "kafka": ("lagThreshold", 10.0, "activationLagThreshold"),
    "nats-jetstream": ("lagThreshold", 10.0, "activationLagThreshold"),
    "rabbitmq": ("value", 20.0, "activationValue"),
    "redis": ("listLength", 5.0, "activationListLength"),
}
"""Triggers on a queue: field and default of the threshold, field of the activation threshold."""
_QUERIES = {
    "datadog": ("queryValue", "activationQueryValue"),
    "external": ("threshold", "activationThreshold"),
    "graphite": ("threshold", "activationThreshold"),
    "metrics-api": ("targetValue", "activationTargetValue"),
    "new-relic": ("threshold", "activationThreshold"),
    "prometheus": ("threshold", "activationThreshold"),
}
"""Triggers on a query: fields of the threshold and of the activation threshold."""
LONGEST_PERIOD_S, LONGEST_WINDOW_S = 1800, 3600
"""Of a behaviour, as the HPA's API has it."""
_SPEC_IGNORED = ("scaleTargetRef", "fallback")
_SPEC_READ = (
    "pollingInterval",
    "cooldownPeriod",
    "initialCooldownPeriod",
    "idleReplicaCount",
    "minReplicaCount",
    "maxReplicaCount",
    "advanced",
    "triggers",
)


def read_scaled_object(path: str, measures: Mapping[str, str] | None = None) -> ScaledObject:
    """The ScaledObject that a manifest describes.

    Parameters
    ----------
    measures
        What triggers on queries measure: one of `SIGNALS` by the trigger's name, or by its type where it has no name.

    Raises
    ------
    InputError
        If a trigger is of a type that is not modelled or measures something unknown, or the manifest asks for something
        that is not modelled and would change how many replicas run.
    """
    whole = read_manifest(path)
    if whole.text("kind") != "ScaledObject":
        raise whole.error(("kind",), f"a {whole.text('kind')} is not modelled", "give a ScaledObject")
    paused = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
    whole.section("metadata", "annotations").refuse(paused, "stops the scaling", "remove it")
    spec = whole.section("spec")
    spec.refuse_unknown([*_SPEC_READ, *_SPEC_IGNORED])
    triggers = [_trigger(section, dict(measures or {})) for section in spec.sections("triggers")]
    _check_used(measures or {}, spec)
    scaled = ScaledObject(
        triggers=tuple(triggers),
        least=spec.whole("minReplicaCount", 0),
        most=spec.whole("maxReplicaCount", 100),
        idle=spec.whole("idleReplicaCount") if spec.has("idleReplicaCount") else None,
        polling_interval_s=float(spec.whole("pollingInterval", 30)),
        cooldown_s=float(spec.whole("cooldownPeriod", 300)),
        initial_cooldown_s=float(spec.whole("initialCooldownPeriod", 0)),
        behaviour=_behaviour(spec),
    )
    _check(scaled, spec)
    return scaled


def _check(scaled: ScaledObject, spec: Section) -> None:
    if not scaled.triggers:
        raise spec.error(("triggers",), "there is no trigger", "add one")
    if scaled.most < max(1, scaled.least):
        problem = f"{scaled.most} is below minReplicaCount {scaled.least}" if scaled.most else "it is 0"
        raise spec.error(("maxReplicaCount",), problem, "raise it")
    if scaled.polling_interval_s < 1:
        raise spec.error(("pollingInterval",), "it is 0", "give seconds, as in 30")
    if scaled.idle is not None and (scaled.idle > 0 or scaled.least == 0):
        fix = "give 0 with a minReplicaCount above it, or leave it out"
        raise spec.error(("idleReplicaCount",), f"{scaled.idle} beside minReplicaCount {scaled.least}", fix)
    only_cpu = all(isinstance(trigger, Utilisation) for trigger in scaled.triggers)
    if only_cpu and (scaled.least == 0 or scaled.idle == 0):
        fix = "raise minReplicaCount and leave idleReplicaCount out, or add another trigger"
        raise spec.error(("minReplicaCount",), "cpu alone cannot tell when to leave no replica", fix)


def _check_used(measures: Mapping[str, str], spec: Section) -> None:
    names = [name for section in spec.sections("triggers") for name in _names(section)]
    for name in measures:
        if name not in names:
            raise spec.error(
                ("triggers",), f"measures names {name!r}, which is none", suggestion(name, names, "triggers")
            )


def _names(trigger: Section) -> list[str]:
    return [trigger.text(key) for key in ("name", "type") if trigger.has(key)]


def _trigger(section: Section, measures: dict[str, str]) -> Trigger:
    kind = section.text("type")
    section.refuse_unknown(("type", "name", "metadata", "metricType", "authenticationRef", "useCachedMetrics"))
    if section.value.get("useCachedMetrics"):
        raise section.error(("useCachedMetrics",), "metrics are never cached here", "remove it")
    if kind == "cron":
        return _cron(section.section("metadata"))
    if kind == "cpu":
        return _cpu(section)
    if kind in _QUEUES:
        return _queue(section, kind)
    if kind in _QUERIES:
        return _query(section, kind, measures)
    known = ", ".join(sorted(["cpu", "cron", *_QUEUES, *_QUERIES]))
    raise section.error(("type",), f"triggers of type {kind!r} are not modelled", f"use one of {known}")


def _cron(metadata: Section) -> CronWindow:
    metadata.refuse_unknown(("timezone", "start", "end", "desiredReplicas"))
    name = metadata.text("timezone")
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fix = "give a name of the IANA time zone database, as in Europe/Berlin"
        raise metadata.error(("timezone",), f"{name!r} is no time zone", fix) from None
    start, end = _schedule(metadata, "start"), _schedule(metadata, "end")
    if start == end:
        raise metadata.error(("end",), "it is the same as start", "end the window later")
    replicas = metadata.quoted_number("desiredReplicas")
    if replicas != int(replicas) or replicas < 0:
        raise metadata.error(("desiredReplicas",), f"{replicas:g} is no number of replicas", 'give one as in "10"')
    return CronWindow(start, end, zone, int(replicas))


def _schedule(metadata: Section, key: str) -> Schedule:
    try:
        return parse_schedule(metadata.text(key))
    except ValueError as error:
        raise metadata.error((key,), str(error), "give a cron schedule, as in 0 6 * * 1-5") from None


def _cpu(section: Section) -> Utilisation:
    metadata = section.section("metadata")
    kind = section.text("metricType", metadata.text("type", "Utilization"))
    if kind != "Utilization":
        raise section.error(("metricType",), f"{kind} of cores is not modelled", "use Utilization")
    metadata.refuse_unknown(("type", "value", "containerName"))
    percent = metadata.quoted_number("value")
    if percent <= 0:
        raise metadata.error(("value",), f"{percent:g} is not above 0", 'give per cent, as in "60"')
    return Utilisation(percent)


def _queue(section: Section, kind: str) -> Threshold:
    field, default, activation = _QUEUES[kind]
    metadata = section.section("metadata")
    mode = metadata.text("mode", "QueueLength") if kind in ("rabbitmq", "gcp-pubsub") else "QueueLength"
    signals = {"QueueLength": "waiting", "SubscriptionSize": "waiting", "MessageRate": "tasks_per_s"}
    if mode not in signals:
        raise metadata.error(("mode",), f"{mode!r} is not modelled", "use QueueLength or MessageRate")
    return _threshold(section, signals[mode], field, default, activation)


def _query(section: Section, kind: str, measures: dict[str, str]) -> Threshold:
    field, activation = _QUERIES[kind]
    key = next((name for name in _names(section) if name in measures), None)
    name = section.text("name", kind)
    if key is None:
        known = ", ".join(SIGNALS)
        fix = f"say in the option measures what it measures: {{{name}: ...}}, one of {known}"
        raise section.error(("metadata",), f"the query of trigger {name!r} is not evaluated", fix)
    if measures[key] not in SIGNALS:
        fix = suggestion(str(measures[key]), SIGNALS, "signals")
        raise InputError(f"measures {key}", f"{measures[key]!r} is unknown", fix)
    return _threshold(section, measures[key], field, None, activation)


def _threshold(section: Section, signal: str, field: str, default: float | None, activation: str) -> Threshold:
    metadata = section.section("metadata")
    kind = section.text("metricType", "AverageValue")
    if kind not in ("AverageValue", "Value"):
        raise section.error(("metricType",), f"{kind!r} is not for this trigger", "use AverageValue or Value")
    threshold = metadata.quoted_number(field, default)
    if threshold <= 0:
        raise metadata.error((field,), f"{threshold:g} is not above 0", "raise it")
    return Threshold(signal, threshold, metadata.quoted_number(activation, 0.0), kind == "AverageValue")


def _behaviour(spec: Section) -> Behaviour | None:
    """``advanced.horizontalPodAutoscalerConfig.behavior``."""
    advanced = spec.section("advanced")
    advanced.refuse(("scalingModifiers",), "is a formula over triggers, which is not modelled", "remove it")
    advanced.refuse_unknown(("restoreToOriginalReplicaCount", "horizontalPodAutoscalerConfig", "scalingModifiers"))
    config = advanced.section("horizontalPodAutoscalerConfig")
    config.refuse_unknown(("name", "behavior"))
    if not config.has("behavior"):
        return None
    behavior = config.section("behavior")
    behavior.refuse_unknown(("scaleUp", "scaleDown"))
    return Behaviour(
        _rules(behavior.section("scaleUp"), DEFAULT_UP), _rules(behavior.section("scaleDown"), DEFAULT_DOWN)
    )


def _rules(section: Section, default: Rules) -> Rules:
    """Rules of one direction; what is left out is as the API fills it in."""
    section.refuse_unknown(("policies", "selectPolicy", "stabilizationWindowSeconds", "tolerance"))
    policies = tuple(
        RatePolicy(
            PolicyType(_one_of(policy, "type", PolicyType)),
            _above_zero(policy, "value", MOST_REPLICAS),
            float(_above_zero(policy, "periodSeconds", LONGEST_PERIOD_S)),
        )
        for policy in section.sections("policies")
    )
    select = _one_of(section, "selectPolicy", Select) if section.has("selectPolicy") else default.select
    window_s = float(section.whole("stabilizationWindowSeconds", int(default.window_s)))
    if window_s > LONGEST_WINDOW_S:
        fix = f"give seconds up to {LONGEST_WINDOW_S}"
        raise section.error(("stabilizationWindowSeconds",), f"{window_s:g} is too long", fix)
    tolerance: Any = section.value.get("tolerance")
    if tolerance is not None:
        tolerance = (
            section.number("tolerance") if not isinstance(tolerance, str) else section.quoted_number("tolerance")
        )
    return Rules(policies or default.policies, Select(select), window_s, tolerance)


def _above_zero(section: Section, key: str, most: int) -> int:
    value = section.whole(key)
    if not 0 < value <= most:
        raise section.error((key,), f"{value} is not from 1 to {most}", "change it")
    return value


def _one_of(section: Section, key: str, known: type[StrEnum]) -> StrEnum:
    text = section.text(key)
    try:
        return known(text)
    except ValueError:
        raise section.error((key,), f"{text!r} is unknown", f"use one of {', '.join(known)}") from None
