"""KEDA's scaling of one target: activation by polls, and between one and many replicas the HPA that KEDA makes.

Rules: KEDA documentation, "ScaledObject specification" and "Scaling Deployments"; the HPA is that of
`optimizer.autoscalers.hpa`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from optimizer.autoscalers.hpa.limits import Bounds
from optimizer.autoscalers.hpa.metrics import Metric, Reading, Source, Target, Total
from optimizer.autoscalers.hpa.spec import Behaviour, HpaSpec
from optimizer.autoscalers.hpa.usage import PodUsage
from optimizer.autoscalers.keda_cron import CronWindow

__all__ = ["Activation", "Pods", "ScaledObject", "Threshold", "Utilisation", "hpa_of", "poll", "reading", "value_of"]

CRON_OUTSIDE = 1.0
"""Replicas that a cron trigger asks the HPA for outside its window."""


@dataclass(frozen=True)
class Threshold:
    """A trigger on a number of the whole target.

    Attributes
    ----------
    signal
        Name of the number.
    threshold
        Per replica if ``is_average``, else of the whole.
    activation
        Above it the trigger is active.
    """

    signal: str
    threshold: float
    activation: float = 0.0
    is_average: bool = True


@dataclass(frozen=True)
class Utilisation:
    """The cpu trigger: busy per cent of the replicas. It is never active by itself."""

    percent: float


Trigger = CronWindow | Threshold | Utilisation


@dataclass(frozen=True)
class ScaledObject:
    """What a manifest says; the defaults are KEDA's.

    Attributes
    ----------
    least, most
        ``minReplicaCount``, ``maxReplicaCount``.
    idle
        ``idleReplicaCount``: replicas while no trigger is active; None: ``least``.
    cooldown_s
        So long after a trigger was last active go the last replicas.
    initial_cooldown_s
        None goes before.
    behaviour
        Of the HPA; None: Kubernetes' defaults.
    """

    triggers: tuple[Trigger, ...]
    least: int = 0
    most: int = 100
    idle: int | None = None
    polling_interval_s: float = 30.0
    cooldown_s: float = 300.0
    initial_cooldown_s: float = 0.0
    behaviour: Behaviour | None = None


@dataclass(frozen=True)
class Activation:
    """Replicas asked for, and when a trigger was last active."""

    replicas: int
    active_s: float | None = None


@dataclass(frozen=True)
class Pods:
    """A target's replicas: those that serve, how busy they are (NaN unknown), and those that do not serve yet."""

    ready: int
    busy: float
    unready: int


def value_of(trigger: Trigger, signals: Mapping[str, float], moment: datetime) -> tuple[float, bool]:
    """A trigger's number, and whether it is active."""
    if isinstance(trigger, CronWindow):
        is_active = trigger.is_active(moment)
        return (float(trigger.replicas) if is_active else CRON_OUTSIDE), is_active
    if isinstance(trigger, Threshold):
        value = signals[trigger.signal]
        return value, value > trigger.activation
    return 0.0, False


def poll(scaled: ScaledObject, now: Activation, now_s: float, *, is_active: bool) -> Activation:
    """One poll of all triggers: from none to some replicas when one is active, to none after the cool-down."""
    if is_active:
        asleep = now.replicas <= (scaled.idle or 0)
        return Activation(max(1, scaled.least) if asleep else now.replicas, now_s)
    rest = scaled.least if scaled.idle is None else scaled.idle
    if now.replicas <= rest:
        return replace(now, replicas=rest)
    if rest > 0 and scaled.idle is None:
        return now
    is_cool = now.active_s is None or now_s - now.active_s > scaled.cooldown_s
    return replace(now, replicas=rest) if is_cool and now_s > scaled.initial_cooldown_s else now


def hpa_of(scaled: ScaledObject) -> HpaSpec:
    """The autoscaler that KEDA makes; it never goes below one replica."""
    bounds = Bounds(max(1, scaled.least), scaled.most)
    return HpaSpec(bounds, tuple(_metric(trigger) for trigger in scaled.triggers), scaled.behaviour)


def _metric(trigger: Trigger) -> Metric:
    if isinstance(trigger, Utilisation):
        return Metric(Source.RESOURCE, "cpu", Target.UTILISATION, trigger.percent)
    if isinstance(trigger, CronWindow):
        return Metric(Source.EXTERNAL, "cron", Target.AVERAGE_VALUE, 1000)
    target = Target.AVERAGE_VALUE if trigger.is_average else Target.VALUE
    return Metric(Source.EXTERNAL, trigger.signal, target, max(1, round(1000 * trigger.threshold)))


def reading(trigger: Trigger, value: float, pods: Pods) -> Reading:
    """What the HPA reads of a trigger; each replica requests one core, of which it uses its busy fraction."""
    if not isinstance(trigger, Utilisation):
        return Total(round(1000 * value), pods.ready if pods.ready + pods.unready else None)
    known = pods.ready if pods.busy == pods.busy else 0
    return PodUsage(
        ready=known,
        value_milli=round(1000 * pods.busy * known) if known else 0,
        request_milli=1000 * known,
        unready=pods.unready,
        unready_request_milli=1000 * pods.unready,
        missing_request_milli=(1000,) * (pods.ready - known),
    )
