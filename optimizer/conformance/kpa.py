"""Cases of the Knative Pod Autoscaler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from optimizer.autoscalers.kpa import Decision, KpaRules, Load, Panic, decide, start_panic
from optimizer.autoscalers.kpa_sampling import sample_size
from optimizer.autoscalers.kpa_target import TargetDefaults, resolve_target
from optimizer.autoscalers.kpa_windows import MaximumWindow, bucket_count, bucket_of
from optimizer.conformance.case import CaseResult
from optimizer.conformance.rows import Row, read_rows

__all__ = ["check"]

TICK_S = 2.0
"""Time between evaluations, the granularity of the window of past decisions."""
WINDOW_MAX_BUCKETS = 5
BURST_TOLERANCE = 1.0
"""The project's own cases allow so much."""
CLOSE = 1e-9


def check(path: Path) -> list[CaseResult]:
    """A result for each row of ``kpa_cases.csv``; steps of one sequence share their state, in the file's order."""
    rows = read_rows(path, ("kind", "upstream_test", "sequence", "step"))
    autoscaler = _Autoscaler()
    results = []
    for row in rows:
        kind = row.text("kind")
        if kind == "scale":
            reason = autoscaler.check(row)
        else:
            reason = _KINDS[kind](row) if kind in _KINDS else f"rows of kind {kind!r} are not modelled"
        results.append(CaseResult(row.case_id, not reason, reason))
    return results


class _Autoscaler:
    """The autoscaler of the sequence that is being checked."""

    def __init__(self) -> None:
        self._sequence: tuple[str, str] | None = None
        self._panic = Panic()
        self._past: MaximumWindow | None = None

    def check(self, row: Row) -> str:
        """Why a row of kind ``scale`` fails."""
        sequence = row.text("upstream_test"), row.text("sequence")
        if sequence != self._sequence or row.integer("step") == 0:
            self._sequence = sequence
            self._panic = _panic_before(row)
            delay_s = row.number("scale_down_delay_s")
            self._past = MaximumWindow(bucket_count(delay_s, TICK_S)) if delay_s > 0 else None
        rules, now_s = _rules(row), row.number("t_s")
        load = None
        if not row.flag("metric_error", False):
            load = Load(row.number("observed_stable"), row.number("observed_panic"))
        decision, self._panic = decide(rules, self._panic, now_s, row.integer("ready_pods"), load)
        pods = decision.pods
        if self._past is not None and rules.reachable and decision.is_valid:
            pods = self._past.record(bucket_of(now_s, TICK_S), pods)
        return _first(_scale_differences(row, pods, decision, self._panic))


def _panic_before(row: Row) -> Panic:
    if row.has("init_panic_age_s"):
        return Panic(row.number("t_s") - row.number("init_panic_age_s"), row.integer("init_max_panic_pods", 0))
    return start_panic(row.integer("init_ready_pods", 0), row.number("t_s"))


def _rules(row: Row) -> KpaRules:
    for column in ("target_value", "max_scale_down_rate"):
        if row.number(column) <= 0:
            raise row.error(column, f"{row.text(column)} is not above 0")
    return KpaRules(
        target=row.number("target_value"),
        total=row.number("total_value"),
        burst_capacity=row.number("target_burst_capacity"),
        panic_threshold=row.number("panic_threshold"),
        up_rate=row.number("max_scale_up_rate"),
        down_rate=row.number("max_scale_down_rate"),
        stable_window_s=row.number("stable_window_s"),
        activation_scale=row.integer("activation_scale", 0),
        reachable=row.flag("reachable"),
    )


def _scale_differences(row: Row, pods: int, decision: Decision, panic: Panic) -> Iterator[str]:
    yield _differs("pods", row.integer("expected_desired"), pods)
    yield _differs("valid", row.flag("expected_valid"), decision.is_valid)
    spare = row.number("expected_excess_burst")
    if abs(spare - decision.spare_burst) > BURST_TOLERANCE:
        yield _differs("spare burst", spare, decision.spare_burst)
    if row.has("expected_in_panic"):
        yield _differs("in panic", row.flag("expected_in_panic"), panic.since_s is not None)
    if row.has("expected_panic_started_t_s"):
        yield _differs("panic since", row.number("expected_panic_started_t_s"), panic.since_s)


def _start_state(row: Row) -> str:
    panic = start_panic(row.integer("init_ready_pods"), 0.0)
    return _first(
        iter(
            (
                _differs("most pods", row.integer("expected_desired"), panic.most_pods),
                _differs("in panic", row.flag("expected_in_panic"), panic.since_s is not None),
            )
        )
    )


def _resolve_target(row: Row) -> str:
    given = [_number_or_none(row, text) for text in row.parts("values", "|")]
    if len(given) != 7:
        raise row.error("values", f"it has {len(given)} items, 7 were expected")
    limit, annotated, percent, concurrency, utilisation, rps, rps_utilisation = given
    defaults = TargetDefaults(concurrency or 0.0, utilisation or 0.0, rps or 0.0, rps_utilisation or 0.0)
    found = resolve_target(
        row.text("scaling_metric"),
        container_concurrency=limit or 0.0,
        annotated_target=annotated,
        annotated_utilisation=None if percent is None else percent / 100.0,
        defaults=defaults,
    )
    expected = [_number_or_none(row, text) for text in row.parts("expected_values", "|")]
    same = len(expected) == 2 and all(e is not None and abs(e - f) <= CLOSE for e, f in zip(expected, found))
    return "" if same else f"target and total: expected {row.text('expected_values')}, came {found[0]:g}|{found[1]:g}"


def _window_max(row: Row) -> str:
    window = MaximumWindow(WINDOW_MAX_BUCKETS)
    indexes, values = row.integers("indexes"), row.integers("values")
    if len(indexes) != len(values):
        raise row.error("indexes", f"it has {len(indexes)} items, values {len(values)}")
    found = [window.record(index or 0, value or 0) for index, value in zip(indexes, values)]
    return _differs("largest", row.integers("expected_values"), found)


def _scrape_sample_size(row: Row) -> str:
    return _differs("sample", row.integer("expected_values"), sample_size(row.integer("ready_pods")))


_KINDS: dict[str, Callable[[Row], str]] = {
    "start_state": _start_state,
    "resolve_target": _resolve_target,
    "window_max": _window_max,
    "scrape_sample_size": _scrape_sample_size,
}


def _number_or_none(row: Row, text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise row.error("values", f"{text!r} is not a number") from None


def _differs(name: str, expected: object, found: object) -> str:
    return "" if expected == found else f"{name}: expected {expected}, came {found}"


def _first(reasons: Iterator[str]) -> str:
    return next((reason for reason in reasons if reason), "")
