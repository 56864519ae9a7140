"""One sync of an autoscaler: from readings and memory to a number of replicas, the conditions shown, a new memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from optimizer.autoscalers.hpa.behaviour import Event, store
from optimizer.autoscalers.hpa.limits import Limited, clamp, clamp_by_rules
from optimizer.autoscalers.hpa.metrics import Combined, Reading, combine, propose
from optimizer.autoscalers.hpa.spec import DEFAULT_CONTROLLER, Controller, HpaSpec
from optimizer.autoscalers.hpa.stabilise import Log, Recommendation, stabilise, stabilise_both_ways

__all__ = ["Memory", "Synced", "sync"]


@dataclass(frozen=True)
class Memory:
    """What an autoscaler remembers from one sync to the next.

    Attributes
    ----------
    log
        Recommendations; None before the first sync, which then begins with the current number of replicas.
    ups, downs
        Growth and shrinkage carried out; kept only with behaviours.
    is_scaled_to_zero
        Whether it was the autoscaler that left no replica. One that a person set to zero is disabled.
    """

    log: Log | None = None
    ups: tuple[Event, ...] = ()
    downs: tuple[Event, ...] = ()
    is_scaled_to_zero: bool = False


@dataclass(frozen=True)
class Synced:
    """What came of a sync.

    Attributes
    ----------
    conditions
        Reason by condition: ScalingActive, AbleToScale, ScalingLimited, ScaledToZero, as far as this sync set them.
    error
        Reason of the first metric that could not be had; empty if all could.
    """

    replicas: int
    memory: Memory
    conditions: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def sync(
    spec: HpaSpec,
    readings: Sequence[Reading],
    replicas: int,
    status: int,
    memory: Memory,
    now_s: float,
    controller: Controller = DEFAULT_CONTROLLER,
) -> Synced:
    """Replicas wanted from now on.

    Parameters
    ----------
    readings
        One of each metric of the specification, in its order.
    replicas, status
        Replicas that the workload should have, and has.
    """
    if memory.log is None:
        memory = replace(memory, log=(Recommendation(replicas, now_s),))
    bounds = spec.bounds
    was_scaled = controller.scales_to_zero and memory.is_scaled_to_zero
    if replicas == 0 and not (was_scaled and (bounds.least > 0 or _is_of_more_than_pods(spec))):
        return Synced(0, memory, {"ScalingActive": "ScalingDisabled"})
    if replicas > bounds.most:
        return _carried_out(spec, Synced(bounds.most, memory), replicas, now_s, controller)
    if 0 < replicas < bounds.least:
        return _carried_out(spec, Synced(bounds.least, memory), replicas, now_s, controller)
    tolerance = spec.tolerance(controller)
    answers = [propose(metric, read, replicas, status, tolerance) for metric, read in zip(spec.metrics, readings)]
    combined = combine(answers, replicas)
    if combined.replicas is None:
        reason = combined.failure.reason if combined.failure else ""
        return Synced(replicas, memory, {"ScalingActive": reason}, reason)
    normal = _normalised(spec, combined, max(0, combined.replicas), replicas, memory, now_s, controller)
    if replicas == 0:  # the minimum may have been raised since
        normal = replace(normal, replicas=max(normal.replicas, bounds.least))
    return _carried_out(spec, normal, replicas, now_s, controller)


def _normalised(
    spec: HpaSpec,
    combined: Combined,
    desired: int,
    replicas: int,
    memory: Memory,
    now_s: float,
    controller: Controller,
) -> Synced:
    """The proposal stabilised and limited; it is the proposal itself that is remembered."""
    log = memory.log or ()
    if spec.behaviour is None:
        stable, log = stabilise(desired, log, now_s, controller.down_window_s)
        limited = clamp(replicas, stable, spec.bounds, controller.up_factor, controller.up_least)
        held = "ScaleDownStabilized"
    else:
        up, down = spec.behaviour.up, spec.behaviour.down
        stable, log = stabilise_both_ways(replicas, desired, log, now_s, up.window_s, down.window_s)
        limited = clamp_by_rules(replicas, stable, spec.bounds, up, down, memory.ups, memory.downs, now_s)
        held = "ScaleUpStabilized" if desired >= replicas else "ScaleDownStabilized"
    error = combined.failure.reason if combined.failure else ""
    able = "ReadyForNewScale" if stable == desired else held
    remembered = Memory(log, memory.ups, memory.downs, memory.is_scaled_to_zero)
    return Synced(limited.replicas, remembered, _conditions(able, limited), error)


def _conditions(able: str, limited: Limited) -> dict[str, str]:
    return {"ScalingActive": "ValidMetricFound", "AbleToScale": able, "ScalingLimited": limited.reason}


def _carried_out(spec: HpaSpec, synced: Synced, before: int, now_s: float, controller: Controller) -> Synced:
    """With the change, if it is one, in the memory."""
    after, memory = synced.replicas, synced.memory
    if after == before:
        return synced
    conditions = {**synced.conditions, "AbleToScale": "SucceededRescale"}
    if spec.behaviour is not None:
        if after > before:
            ups = store(memory.ups, after - before, now_s, spec.behaviour.up.longest_period_s)
            memory = replace(memory, ups=ups)
        else:
            downs = store(memory.downs, before - after, now_s, spec.behaviour.down.longest_period_s)
            memory = replace(memory, downs=downs)
    if controller.scales_to_zero:
        to_zero = after == 0 and spec.bounds.least == 0 and _is_of_more_than_pods(spec)
        conditions["ScaledToZero"] = "ScaledToZero" if to_zero else "NotScaledToZero"
        memory = replace(memory, is_scaled_to_zero=to_zero)
    return replace(synced, memory=memory, conditions=conditions)


def _is_of_more_than_pods(spec: HpaSpec) -> bool:
    """Whether a metric can be had of no pod."""
    return any(not metric.source.is_of_pods for metric in spec.metrics)
