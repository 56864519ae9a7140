"""Simulations that end when their verdict is known: the verdict is that of the whole run, and nothing else is told."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recfleet.json_text import plain
from recfleet.plan_files import plan_document
from recfleet.plan_runs import PlanJob, PlanWorld, Question, Simulations, simulate_plan_job, trial_of
from recfleet.plan_stop import BudgetWatch
from recfleet.planning import _world, plan
from recfleet.pool import open_pool
from recfleet.progress import Silent
from recfleet.run_record import RunRecord, load_record, save_record
from simulator.facts import arrivals_per_slot
from tests.recfleet.test_planning import load_queue
from tests.simulator.mini import load_mini

FEW = {"name": "fixed", "replicas": {"ads/rank/ads-cpu": {"box": 2}}}
"""Of 0.1 s a request, so that 20 requests/s are the most that two can serve."""
COUNTS = [("arrived", "i8"), ("completed", "i8"), ("rejected", "i8"), ("failed", "i8"), ("slo_met", "i8")]


def run(world: PlanWorld, spec: Any, load: float, seed: int = 1, *, verdict_only: bool) -> RunRecord:
    nodes = tuple(int(n) for n in world.facts.node_count)
    job = PlanJob(0, spec, None, "few", seed, "key", nodes, load, verdict_only=verdict_only)
    return simulate_plan_job(world, job, lambda share: None)


@given(
    st.lists(st.tuples(*[st.integers(0, 40)] * 4), min_size=1, max_size=12),
    st.floats(0.5, 1.0, exclude_max=True),
)
def test_a_watch_that_says_stop_is_right_whatever_comes_after(steps: list[tuple[int, ...]], quantile: float) -> None:
    """Each interval so many requests are met, late, rejected and failed; those arriving are known beforehand."""
    grown = np.cumsum(steps, axis=0)
    total = int(grown[-1].sum())
    attained = grown[-1, 0] / max(total, 1)
    watch = BudgetWatch(np.array([total, 0]), np.array([quantile, 0.9]))
    for met, late, rejected, failed in grown.tolist():
        now = np.array([(met + late + rejected + failed, met + late, rejected, failed, met), (0,) * 5], dtype=COUNTS)
        if watch(now):
            assert attained - quantile < 0.0
            assert watch.first_spent(now) == 0
    assert watch(now) == (total > 0 and attained - quantile < 0.0), "at the end the watch and the verdict agree"


@pytest.mark.parametrize("services", ["one", "two"])
def test_a_run_that_may_stop_comes_to_the_verdict_of_the_whole_run(tmp_path: Path, services: str) -> None:
    """From loads that hold to those that break at once; what was run until the end is the same to the last digit."""
    scenario, spec = (load_queue(tmp_path, 10.0), FEW) if services == "one" else (load_mini(tmp_path), "hpa")
    world = _world(scenario, 1.0, None)
    verdicts, stops = set(), 0
    for load in (0.5, 1.0, 1.3, 1.5, 1.6, 1.7, 1.8, 2.5, 5.0):
        whole, some = (run(world, spec, load, verdict_only=only) for only in (False, True))
        nodes = tuple(int(n) for n in world.facts.node_count)
        question = Question(spec, "few", nodes, 1, load)
        full, short = trial_of(question, whole), trial_of(replace(question, verdict_only=True), some)
        assert full.holds == short.holds
        verdicts.add(full.holds)
        if short.stopped_at_s is None:
            assert (short.margin, short.cost_usd, short.arrived) == (full.margin, full.cost_usd, full.arrived)
            continue
        stops += 1
        assert full.margin < 0.0
        assert all(math.isnan(v) for v in (short.margin, short.cost_usd, short.bound_usd, *short.attainment))
        service = world.facts.services.index(short.worst_service)
        assert full.attainment[service] < world.facts.slo_quantile[service]
        slots = len(some.result.intervals.start_s)
        assert 0 < slots < len(whole.result.intervals.start_s)
        for name in ("arrived", "slo_met", "cost_usd", "ready"):
            was, would = (getattr(r.result.intervals, name) for r in (some, whole))
            assert np.array_equal(was, would[:slots]), "a run knows nothing of its end"
    assert verdicts == {True, False}
    assert stops >= 2


@pytest.mark.parametrize("load", [1.0, 2.5])
def test_the_requests_that_a_watch_counts_on_are_those_that_arrive(tmp_path: Path, load: float) -> None:
    from optimizer.planner.loads import at_load

    for scenario in (load_queue(tmp_path, 10.0), load_mini(tmp_path)):
        world = _world(scenario, 1.0, None)
        record = run(world, "hpa", load, seed=4, verdict_only=False)
        counted = arrivals_per_slot(at_load(scenario, load), 4).sum(axis=1)
        assert np.array_equal(record.result.arrived, counted)


def test_a_stopped_run_is_kept_and_read_back_as_one(tmp_path: Path) -> None:
    world = _world(load_queue(tmp_path, 10.0), 1.0, None)
    record = run(world, FEW, 5.0, verdict_only=True)
    assert record.stopped_by == "ads"
    save_record(record, tmp_path / "run.npz")
    again = load_record(tmp_path / "run.npz")
    assert again is not None
    question = Question(FEW, "few", (8,), 1, 5.0, verdict_only=True)
    assert repr(trial_of(question, again)) == repr(trial_of(question, record))


def test_a_plan_tells_which_runs_were_stopped_and_no_figures_of_them(tmp_path: Path) -> None:
    found = plan(load_queue(tmp_path, 25.0), policies=[], seeds=1, tolerance=0.1)
    assert found.breaking is not None
    stopped = [p for p in found.loads if p.stopped_at_s is not None]
    assert stopped, "or there is nothing to test"
    for point in found.loads:
        assert math.isnan(point.margin) == math.isnan(point.attained["ads"]) == (point.stopped_at_s is not None)
        assert point.cost_usd == found.loads[0].cost_usd, "a static fleet's is known without a run"
        assert not (point.holds and point.stopped_at_s is not None)
    rows = json.loads(json.dumps(plain(plan_document(found))))["loads"]
    told = [row for row in rows if row["stopped_at_s"] is not None]
    assert len(told) == len(stopped)
    assert all(row["margin"] is None and row["attained"] == {"ads": None} for row in told)
    if any(p.load == found.breaking.breaks for p in stopped):
        assert "that run was stopped after" in found.text
    found.plot()


class Counting(Silent):
    """Remembers the batches of a pool."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def begin(self, labels: list[str]) -> None:
        self.batches.append(labels)


def test_a_search_beside_shares_batches_and_is_asked_nothing_twice(tmp_path: Path) -> None:
    world = _world(load_queue(tmp_path, 10.0), 1.0, None)
    heard = Counting()

    def question(load: float) -> Question:
        return Question(FEW, f"load {load:g}", (8,), 1, load)

    def search() -> float:
        """The first load of 1.2 and on that breaks."""
        load = 1.2
        while sims.ask([question(load)])[0].holds:
            load += 0.5
        return load

    with open_pool(world, tmp_path, 1, simulate_plan_job, heard) as pool:
        sims = Simulations(pool, world, None)
        with sims.beside(search):
            sims.ask([question(0.5)])
            sims.ask([question(0.6)])
        alone = search()
        asked = sims.asked
        assert [len(batch) for batch in heard.batches[:2]] == [2, 2]
        assert alone > 1.2
        assert asked == len(sims.trials()) == len({t.question.load for t in sims.trials()})
        search()
        assert sims.asked == asked
