"""Cases of Kubernetes' Horizontal Pod Autoscaler (autoscaling/v2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from optimizer.autoscalers.hpa.behaviour import Direction, Event, change_within, limit, store
from optimizer.autoscalers.hpa.limits import Limited, clamp, clamp_by_rules
from optimizer.autoscalers.hpa.metrics import Failure, propose
from optimizer.autoscalers.hpa.pods import Phase, Pod, Sample, StartTimes, group_pods
from optimizer.autoscalers.hpa.stabilise import stabilise, stabilise_both_ways
from optimizer.autoscalers.hpa.sync import sync
from optimizer.conformance import hpa_rows as read
from optimizer.conformance.case import CaseResult
from optimizer.conformance.rows import Row, check_rows, read_rows

__all__ = ["check"]

# fmt: off
_COLUMNS = (
    "kind", "metric_kind", "tolerance_down", "tolerance_up", "current_replicas", "status_replicas", "min_replicas",
    "max_replicas", "target", "pod_usage_milli", "extra_usage_milli", "pod_request_milli", "pod_ready", "pod_phase",
    "pod_deleting", "pod_hot", "pod_timing", "desired_in", "up_events", "down_events", "up_policies", "up_select",
    "up_window_s", "down_policies", "down_select", "down_window_s", "recommendations", "scale_up_limit_factor",
    "scale_to_zero_gate", "scaled_to_zero_condition", "expected_replicas", "expected_utilization", "expected_raw",
    "expected_error", "expected_reason", "expected_extra",
)
# fmt: on
_TIMES = StartTimes(cpu_initialisation_s=120.0, initial_readiness_s=10.0)
"""Of the `group_pods` rows; not Kubernetes' defaults."""


def check(path: Path) -> list[CaseResult]:
    """A result for each row of ``hpa_cases.csv``."""
    return check_rows(read_rows(path, _COLUMNS), _check)


def _check(row: Row) -> str:
    kind = row.text("kind")
    if kind not in _KINDS:
        raise row.error("kind", f"{kind!r} is not known, it is one of {', '.join(_KINDS)}")
    return _KINDS[kind](row)


def _unlike(*compared: tuple[str, object, object]) -> str:
    """What differs, of (name, expected, found)."""
    wrong = (f"{name}: expected {expected}, came {found}" for name, expected, found in compared if expected != found)
    return "; ".join(wrong)


def _calc(row: Row) -> str:
    metrics, readings = read.metrics(row), read.readings(row)
    if len(metrics) != 1:
        raise row.error("metric_kind", f"it has {len(metrics)} metrics, one was expected")
    (metric,), (reading,), current = metrics, readings, row.integer("current_replicas")
    answer = propose(metric, reading, current, row.integer("status_replicas", current), read.controller(row).tolerance)
    if row.has("expected_error"):
        wanted = row.text("expected_error")
        return "" if isinstance(answer, Failure) else f"expected the error {wanted!r}, came {answer.replicas} replicas"
    if isinstance(answer, Failure):
        return f"expected {row.integer('expected_replicas')} replicas, came the error {answer.message!r}"
    compared = [("replicas", row.integer("expected_replicas"), answer.replicas)]
    if row.has("expected_utilization"):
        compared.append(("utilisation", row.integer("expected_utilization"), answer.utilisation_percent or 0))
    if row.has("expected_raw"):
        compared.append(("value", row.integer("expected_raw"), answer.value_milli))
    return _unlike(*compared)


def _group_pods(row: Row) -> str:
    pods, samples = [], {}
    known = read.samples(row)
    ready, deleting = row.parts("pod_ready"), row.flags("pod_deleting")
    timings = row.parts("pod_timing")
    for i, phase in enumerate(row.parts("pod_phase")):
        name, timing = f"pod-{i}", (timings[i] if i < len(timings) else "").split("|")
        if len(timing) != 4:
            raise row.error("pod_timing", f"{timings} has not four parts for each pod")
        started_s, changed_s, measured_s, window_s = (row.parsed("pod_timing", t, _ago, "an age") for t in timing)
        said = row.parsed("pod_ready", ready[i], int, "1 or 0") == 1 if i < len(ready) and ready[i] else None
        stage = row.parsed("pod_phase", phase, Phase, "a phase")
        pods.append(Pod(name, stage, said, started_s, changed_s or 0.0, i < len(deleting) and deleting[i]))
        if name in known:
            at_s = -math.inf if measured_s is None else measured_s
            samples[name] = Sample(known[name].value_milli, at_s, -(window_s or 0.0))
    groups = group_pods(pods, samples, 0.0, is_cpu=row.text("metric_kind") == "cpu", times=_TIMES)
    found = (groups.ready, groups.unready, groups.missing, groups.ignored)
    return _unlike(("groups", row.text("expected_extra"), "|".join(str(len(group)) for group in found)))


def _ago(text: str) -> float | None:
    """An age as a time; None where nothing is known."""
    return {"": None, "zero": -math.inf}[text] if text in ("", "zero") else -float(text)


def _limited(row: Row, found: Limited) -> str:
    return _unlike(
        ("replicas", row.integer("expected_replicas"), found.replicas),
        ("reason", row.text("expected_reason") or found.reason, found.reason),
    )


def _clamp(row: Row) -> str:
    current, desired = row.integer("current_replicas"), row.integer("desired_in")
    return _limited(row, clamp(current, desired, read.bounds(row), row.number("scale_up_limit_factor", 2.0)))


def _behaviour_rate(row: Row) -> str:
    found = clamp_by_rules(
        row.integer("current_replicas"),
        row.integer("desired_in"),
        read.bounds(row),
        read.rules(row, "up"),
        read.rules(row, "down"),
        read.events(row, "up"),
        read.events(row, "down"),
        0.0,
    )
    return _limited(row, found)


def _rate_limit(row: Row) -> str:
    of = {"scale_up_limit": ("up", Direction.UP), "scale_down_limit": ("down", Direction.DOWN)}
    name = row.text("expected_extra")
    if name not in of:
        raise row.error("expected_extra", f"{name!r} is not one of {', '.join(of)}")
    side, direction = of[name]
    ups, downs = read.events(row, "up"), read.events(row, "down")
    found = limit(direction, row.integer("current_replicas"), read.rules(row, side), ups, downs, 0.0)
    return _unlike((name, row.integer("expected_replicas"), found))


def _stabilise(row: Row) -> str:
    window_s = row.number("down_window_s", 300.0)
    found, log = stabilise(row.integer("desired_in"), read.log(row), 0.0, window_s)
    return _unlike(("replicas", row.integer("expected_replicas"), found), *_log(row, (r.replicas for r in log)))


def _stabilise_both_ways(row: Row) -> str:
    windows_s = row.number("up_window_s", 0.0), row.number("down_window_s", 300.0)
    found, log = stabilise_both_ways(
        row.integer("current_replicas"), row.integer("desired_in"), read.log(row), 0.0, *windows_s
    )
    return _unlike(("replicas", row.integer("expected_replicas"), found), *_log(row, (r.replicas for r in log)))


def _store_events(row: Row) -> str:
    change = row.integer("desired_in") - row.integer("current_replicas")
    side = "up" if change > 0 else "down"
    before = read.events(row, side)
    after = before
    if row.has(f"{side}_policies"):
        after = store(before, abs(change), 0.0, read.rules(row, side).longest_period_s)
    compared: list[tuple[str, object, object]] = list(_log(row, map(_told, after)))
    if row.has("expected_raw"):
        compared.append(("changed in the last minute", row.integer("expected_raw"), change_within(60.0, before, 0.0)))
    return _unlike(*compared)


def _told(event: Event) -> str:
    return f"{event.change}(outdated)" if event.is_outdated else str(event.change)


def _log(row: Row, entries: Iterable[Any]) -> list[tuple[str, object, object]]:
    """What is expected of a log: its entries (``log=4,5``) or how many (``log_length=2``)."""
    found = [str(entry) for entry in entries]
    what, _, expected = row.text("expected_extra").partition("=")
    if what not in ("log", "log_length", ""):
        raise row.error("expected_extra", f"{what!r} is neither log nor log_length")
    shown = str(len(found)) if what == "log_length" else ",".join(found)
    return [(what, expected, shown)] if what else []


def _reconcile(row: Row) -> str:
    replicas = row.integer("current_replicas")
    found = sync(
        read.spec(row),
        read.readings(row),
        replicas,
        row.integer("status_replicas", replicas),
        read.memory(row),
        0.0,
        read.controller(row),
    )
    compared: list[tuple[str, object, object]] = [("replicas", row.integer("expected_replicas"), found.replicas)]
    if row.has("expected_error"):
        compared.append(("error", row.text("expected_error"), found.error))
    reason, shown = row.text("expected_reason"), sorted(found.conditions.values())
    if reason and reason not in shown:
        compared.append(("reason", reason, ", ".join(shown)))
    return _unlike(*compared)


_KINDS: dict[str, Callable[[Row], str]] = {
    "calc": _calc,
    "group_pods": _group_pods,
    "clamp_no_behavior": _clamp,
    "behavior_rate": _behaviour_rate,
    "rate_limit": _rate_limit,
    "stabilize_no_behavior": _stabilise,
    "stabilize_behavior": _stabilise_both_ways,
    "store_events": _store_events,
    "reconcile": _reconcile,
}
"""Kind of a row to the function that returns why it fails, empty where it passes."""
