"""The benchmark runs, on sizes at which its figures mean nothing; no test looks at a clock."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from tests.benchmarks import against_ciw, figures, parts, request_path, theory_table
from tests.benchmarks.funnels import ONE_STAGE, THREE_STAGES, Funnel
from tests.oracle.model import as_arrays
from tests.oracle.simpy_oracle import run
from tests.simulator.oracle_bridge import run_on_fleet

TINY = replace(figures.QUICK, requests=2_000, oracle_requests=50, ciw_requests=500, repeats=1, compiles=False)


def test_figures_are_flat_and_complete() -> None:
    said: list[str] = []
    measured = figures.measure(TINY, said.append)
    assert len(said) == 5
    assert measured == json.loads(json.dumps(measured))
    assert all(isinstance(value, int | float | str) for value in measured.values())
    for key in ("one_stage_rps", "three_stage_rps", "ratio_simpy_oracle", "ratio_ciw", "import_seconds", "peak_mb"):
        value = measured[key]
        assert isinstance(value, int | float)
        assert 0 < value < math.inf
    assert measured["version_numba"]
    left_out = set(figures.MEANINGS) - set(measured)
    assert {name.split("_")[0] for name in left_out} == {"whole", "compile"}
    shown = io.StringIO()
    figures.show(measured, Console(file=shown, width=160))
    assert "ratio_simpy_oracle" in shown.getvalue()


@pytest.mark.parametrize("funnel", [ONE_STAGE, THREE_STAGES], ids=lambda funnel: funnel.name)
def test_what_is_compared_is_the_same_work(funnel: Funnel) -> None:
    """The timed fleet and the timed oracle give every request the same times."""
    arrivals = funnel.oracle_arrivals(400)
    outcomes, _ = run(funnel.world(), arrivals, funnel.controls())
    expected = as_arrays(outcomes, len(funnel.stages))
    fleet, _ = run_on_fleet(funnel.world(), arrivals, funnel.controls())
    assert fleet.state.record.step["end_s"] == pytest.approx(expected.end_s, rel=0, abs=1e-9)
    timed = request_path.serve(funnel, funnel.trace(400).blocks(), 400 / funnel.rate_rps)
    assert timed.state.services["completed"].sum() == len(arrivals)
    assert (timed.state.histogram == fleet.state.histogram).all()


def test_both_sides_of_mm8_are_near_erlang_c() -> None:
    both = against_ciw.measure(20_000, 1)
    for mean, half_width in (both.ours_wait, both.ciw_wait):
        assert abs(mean - both.erlang_c_wait) < 3 * half_width
        assert half_width < 0.5 * both.erlang_c_wait


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
