"""Every invariant fails when it is broken, and only then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfleet.checks import check_runs, conservation_line
from recfleet.run_record import RunRecord
from simulator.cluster import resource_index
from tests.recfleet.fakes import record, replaced

ONE = np.array([0, 1, 0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.4, 3.0))
def test_a_sound_run_passes(seed: int, generosity: float) -> None:
    run = record("any", seed, intervals=30, generosity=generosity)
    assert all(check.ok for check in check_runs([run])), [c for c in check_runs([run]) if not c.ok]
    assert conservation_line([run]).startswith("every request accounted for")


def intervals(run: RunRecord, **fields: np.ndarray) -> RunRecord:
    return replaced(run, intervals=dataclasses.replace(run.result.intervals, **fields))


def more(values: np.ndarray, resource: str) -> np.ndarray:
    changed = values.copy()
    changed[3, resource_index(resource)] *= 1e4
    return changed


BREAKS: dict[str, Callable[[RunRecord], RunRecord]] = {
    "conservation": lambda run: replaced(run, failed=run.result.failed + ONE),
    "in flight": lambda run: intervals(run, in_flight=run.result.intervals.in_flight + ONE),
    "latencies": lambda run: replaced(run, histogram=run.result.histogram + 1),
    "objective": lambda run: replaced(run, slo_met=run.result.completed + ONE),
    "resources": lambda run: intervals(run, used=more(run.result.intervals.used, "network")),
    "claims": lambda run: intervals(
        run, used=np.minimum(more(run.result.intervals.used, "cpu"), run.result.intervals.provisioned)
    ),
    "bound": lambda run: dataclasses.replace(run, bound_usd=1e9),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_run_is_named(name: str) -> None:
    broken = BREAKS[name](record(intervals=30))
    failed = [check for check in check_runs([broken]) if not check.ok]
    assert [check.name for check in failed] == [name]
    assert failed[0].failures[0].startswith("static_peak, seed 1: ")


def test_other_arrivals_on_one_seed_are_named() -> None:
    one, other = record("hpa", 1, intervals=30), record("mip", 2, intervals=30)
    other = replaced(other, seed=1)
    failed = [check for check in check_runs([one, other]) if not check.ok]
    assert [check.name for check in failed] == ["common arrivals"]


def test_lost_requests_are_shouted() -> None:
    run = record(intervals=30)
    broken = replaced(run, arrived=run.result.arrived + ONE)
    assert "1 REQUESTS NOT ACCOUNTED FOR" in conservation_line([broken])
