"""Cases of Ray Serve's autoscaling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optimizer.autoscalers.ray_serve import (
    IDLE,
    Deployment,
    Pending,
    ServeRules,
    Want,
    bounded,
    decide,
    delayed,
    queue_length,
    with_factors,
)
from optimizer.autoscalers.ray_serve_gangs import whole_gangs
from optimizer.conformance.case import CaseResult
from optimizer.conformance.rows import Row, read_rows

__all__ = ["check"]

_POLICIES: dict[str, Want] = {
    "queue_length": queue_length,
    "custom: 3 if requests>0 else 0": lambda rules, deployment: 3.0 if deployment.ongoing > 0 else 0.0,
    "custom: constant 5": lambda rules, deployment: 5.0,
}
"""Policies of the cases by their name there."""


def check(path: Path) -> list[CaseResult]:
    """A result for each row of ``rayserve_cases.csv``; steps of one sequence share their state, in the file's order."""
    rows = read_rows(path, ("kind", "upstream_test", "sequence", "step"))
    checker = _Checker()
    return [CaseResult(row.case_id, not reason, reason) for row, reason in ((row, checker.check(row)) for row in rows)]


class _Checker:
    """The direction that waits for its delay in the sequence that is being checked."""

    def __init__(self) -> None:
        self._sequence: tuple[str, str, str] | None = None
        self._pending = IDLE

    def check(self, row: Row) -> str:
        """Why a row fails; empty where it passes."""
        sequence = row.text("kind"), row.text("upstream_test"), row.text("sequence")
        if sequence != self._sequence or row.integer("step") == 0:
            self._sequence, self._pending = sequence, IDLE
        kind = row.text("kind")
        if kind not in _KINDS:
            return f"rows of kind {kind!r} are not modelled"
        reason, self._pending = _KINDS[kind](row, self._pending)
        return reason


def _rules(row: Row) -> ServeRules:
    default = ServeRules()
    for column in ("target_ongoing_requests", "gang_size"):
        if row.number(column, 1.0) <= 0:
            raise row.error(column, f"{row.text(column)} is not above 0")
    zero = row.number("downscale_to_zero_delay_s") if row.has("downscale_to_zero_delay_s") else None
    return ServeRules(
        min_replicas=row.integer("min_replicas", 0),
        max_replicas=row.integer("max_replicas", default.max_replicas),
        target_ongoing_requests=row.number("target_ongoing_requests", default.target_ongoing_requests),
        upscaling_factor=row.number("upscaling_factor", default.upscaling_factor),
        downscaling_factor=row.number("downscaling_factor", default.downscaling_factor),
        upscale_delay_s=row.number("upscale_delay_s", default.upscale_delay_s),
        downscale_delay_s=row.number("downscale_delay_s", default.downscale_delay_s),
        downscale_to_zero_delay_s=zero,
        gang_size=row.integer("gang_size", default.gang_size),
    )


def _policy(row: Row, pending: Pending) -> tuple[str, Pending]:
    """Calls every ``dt_s`` from ``t_s`` on, which all give the same."""
    name = row.text("policy")
    if name not in _POLICIES:
        return f"the policy {name!r} is not modelled", pending
    rules = _rules(row)
    deployment = Deployment(
        row.integer("current_replicas"), row.integer("target_replicas"), row.number("total_requests")
    )
    reason = ""
    for call in range(row.integer("repeat", 1)):
        now_s = row.number("t_s") + call * row.number("dt_s", 0.0)
        replicas, pending = decide(rules, pending, now_s, deployment, _POLICIES[name])
        reason = reason or _differs(row, replicas, f" at call {call + 1}, {now_s:g} s")
    return reason, pending


def _scaling_factor(row: Row, pending: Pending) -> tuple[str, Pending]:
    found = with_factors(_rules(row), row.number("desired_in"), row.integer("current_replicas"))
    return _differs(row, found), pending


def _delay(row: Row, pending: Pending) -> tuple[str, Pending]:
    target, wanted = row.integer("target_replicas"), row.integer("desired_in")
    found, pending = delayed(_rules(row), pending, row.number("t_s"), target, wanted)
    return _differs(row, found), pending


def _gang(row: Row, pending: Pending) -> tuple[str, Pending]:
    return _differs(row, whole_gangs(row.integer("desired_in"), _rules(row).gang_size)), pending


def _gang_wrapped(row: Row, pending: Pending) -> tuple[str, Pending]:
    wanted = row.number("desired_in")
    deployment = Deployment(row.integer("current_replicas"), row.integer("target_replicas"), 0.0)
    found, pending = decide(_rules(row), pending, row.number("t_s", 0.0), deployment, lambda rules, now: wanted)
    return _differs(row, found), pending


def _gang_bounds(row: Row, pending: Pending) -> tuple[str, Pending]:
    return _differs(row, bounded(_rules(row), row.integer("desired_in"))), pending


_KINDS: dict[str, Callable[[Row, Pending], tuple[str, Pending]]] = {
    "policy": _policy,
    "scaling_factor": _scaling_factor,
    "delay": _delay,
    "gang": _gang,
    "gang_wrapped": _gang_wrapped,
    "gang_bounds": _gang_bounds,
}


def _differs(row: Row, found: int, when: str = "") -> str:
    """Empty also where nothing is expected."""
    if not row.has("expected_replicas") or row.integer("expected_replicas") == found:
        return ""
    return f"replicas: expected {row.integer('expected_replicas')}, came {found}{when}"
