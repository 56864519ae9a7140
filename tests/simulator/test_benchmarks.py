"""The benchmark runs, on sizes at which its figures mean nothing; no test looks at a clock."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from simulator.plan import RecordPlan
from tests.benchmarks import against_ciw, day, figures, growth, parts, request_path, theory_table
from tests.benchmarks.funnels import CACHED, NOISE_SEED, ONE_STAGE, THREE_STAGES, Funnel
from tests.benchmarks.heap_loop import HeapLoop
from tests.oracle import theory
from tests.oracle.model import as_arrays
from tests.oracle.service_time import uniform
from tests.oracle.simpy_oracle import run

TINY = replace(
    figures.QUICK, requests=2_000, oracle_requests=50, heap_requests=100, ciw_requests=100, repeats=1, compiles=False
)

KEYS = (
    "one_stage_rps", "three_stage_rps", "cache_rps", "ratio_simpy_oracle", "ratio_ciw", "ratio_python_heap",
    "import_seconds", "peak_mb",
)  # fmt: skip


def test_figures_are_flat_and_complete() -> None:
    said: list[str] = []
    measured = figures.measure(TINY, said.append)
    assert len(said) == 7
    assert measured == json.loads(json.dumps(measured))
    assert all(isinstance(value, int | float | str) for value in measured.values())
    for key in KEYS:
        value = measured[key]
        assert isinstance(value, int | float)
        assert 0 < value < math.inf
    assert measured["version_numba"]
    left_out = set(figures.MEANINGS) - set(measured)
    assert {name.split("_")[0] for name in left_out} == {
        "whole",
        "compile",
        "tenth",
        "day",
        "ten",
        "funnel",
        "placement",
    }
    shown = io.StringIO()
    figures.show(measured, Console(file=shown, width=160))
    assert "ratio_simpy_oracle" in shown.getvalue()


@pytest.mark.parametrize("funnel", [ONE_STAGE, THREE_STAGES, CACHED], ids=lambda funnel: funnel.name)
def test_what_is_compared_is_the_same_work(funnel: Funnel) -> None:
    """The timed fleet and the timed oracle give every request the same times."""
    few = replace(funnel, cache_entries=tuple(entries // 100 for entries in funnel.cache_entries))
    arrivals = few.oracle_arrivals(400)
    outcomes, _ = run(few.world(), arrivals, few.controls())
    expected = as_arrays(outcomes, len(few.stages))
    timed = request_path.serve(few, iter(few.blocks(400)), 400 / few.rate_rps, RecordPlan(len(arrivals)))
    assert timed.state.record.step["end_s"][expected.slot >= 0] == pytest.approx(
        expected.end_s[expected.slot >= 0], rel=0, abs=1e-9
    )
    assert timed.state.record.outcome["done_s"] == pytest.approx(expected.done_s, rel=0, abs=1e-9)
    assert timed.state.services["completed"].sum() == len(arrivals)


@pytest.mark.parametrize("change", [{}, {"rate_rps": 58_000.0}, {"rate_rps": 2_000.0, "replicas": 3}])
def test_the_plain_loop_is_the_same_work_too(change: dict[str, float]) -> None:
    funnel = replace(ONE_STAGE, **change)
    arrivals = funnel.oracle_arrivals(600)
    outcomes, _ = run(funnel.world(), arrivals, funnel.controls())
    loop = HeapLoop(funnel, lambda number: uniform(NOISE_SEED, number, 0))
    loop.serve(arrivals)
    assert loop.end_s == pytest.approx([outcome.stage_end_s[0] for outcome in outcomes], rel=0, abs=1e-9)
    assert sum(loop.histogram) == len(arrivals)


def test_both_sides_of_mmc_are_near_erlang_c() -> None:
    both = against_ciw.measure(8, 20_000, 1)
    assert both.erlang_c_wait is not None
    for mean, half_width in (both.ours_wait, both.ciw_wait):
        assert abs(mean - both.erlang_c_wait) < 3 * half_width
        assert half_width < 0.5 * both.erlang_c_wait


def test_both_sides_of_least_outstanding_wait_alike() -> None:
    both = against_ciw.measure(6, 12_000, 1, queue_each=True)
    (ours, our_half_width), (ciw, ciw_half_width) = both.ours_wait, both.ciw_wait
    assert abs(ours - ciw) < 3 * math.hypot(our_half_width, ciw_half_width)
    assert ciw_half_width < 0.5 * ours
    assert ours > 1.2 * theory.mmc_mean_wait_s(against_ciw.LOAD * 6, 1.0, 6)  # one queue before all waits less


def test_a_short_day() -> None:
    short = day.run("ranking", 120.0, requests_per_s=50.0)
    assert short.requests == pytest.approx(6000, rel=0.7)  # the day begins at midnight
    assert short.decisions == 12
    assert 0 < short.seconds < math.inf


def test_growth_serves_everything() -> None:
    for many in (growth.Many(replicas=5), growth.Many(3, 2, 2)):
        assert many.measure(500, 1) > 0
    rows = [growth.Point("replicas", 1, 100.0, 5), growth.Point("replicas", 3, 150.0, 5)]
    assert "| replicas | 3 | 150 | 1.50 | 2.00 |" in growth.table(rows)


def test_variations_change_one_thing() -> None:
    listed = list(parts.variations())
    assert listed[0].funnel == ONE_STAGE
    assert len({variation.what for variation in listed}) == len(listed)
    assert all(variation.funnel != ONE_STAGE for variation in listed[1:])


def test_theory_row_and_verdict() -> None:
    law = theory_table.laws()[0]
    row = theory_table.row(law, 0.5, 2_000)
    assert row.expected == pytest.approx(1.0, rel=1e-4)
    assert abs(row.deviation) < 4
    wrong = replace(row, simulated=row.expected * 2, deviation=9.0)
    assert "in 1 of 2 rows" in theory_table.verdict([replace(row, simulated=row.expected), wrong])
    assert "OUTSIDE" in theory_table.verdict([wrong])
