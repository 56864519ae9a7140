"""Accuracy of a scenario: what stages ask for reaches policies, what was served is counted, in the same bytes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.registry import make_policy
from recfleet.cli import run
from simulator.engine import prepare, simulate
from simulator.facts import fleet_facts
from simulator.metrics import ACCURACY_METRICS, summarise_accuracy
from simulator.scenario import Scenario, load_scenario
from tests.simulator.mini import HAND, Scripted, profile_document, write_trace

TWO = """\
        router: round_robin
        accuracy: {metric: auc, floor: 0.75, usd_per_point_per_million: 20}
        variants:
          - {profile: large.json, max_batch: 1, container_start_s: 2}
          - {profile: small.json, max_batch: 1, container_start_s: 2}
"""
ONE = "        variants: [{profile: ads-cpu.json, max_batch: 1, container_start_s: 2, warm_up_s: 1}]\n"


def stated(auc: float) -> dict[str, Any]:
    return {"data": "made up", "split": "time", "part": "test", "metrics": {"auc": auc, "rmse": 1.0}}


def write_two(folder: Path, arrival_s: list[float], duration_s: float = 60.0, router: str = "round_robin") -> Path:
    """The hand scenario with two variants: ``large`` at 0.2 s and an AUC of 0.80, ``small`` at 0.1 s and 0.70."""
    for name, mean_s, auc in (("large", 0.2, 0.80), ("small", 0.1, 0.70)):
        document = profile_document(name, {1: mean_s}, accuracy=stated(auc))
        (folder / f"{name}.json").write_text(json.dumps(document))
    write_trace(folder / "t.parquet", arrival_s, duration_s)
    assert ONE in HAND
    path = folder / "two.yaml"
    path.write_text(HAND.replace(ONE, TWO.replace("round_robin", router)))
    return path


@pytest.fixture
def two(tmp_path: Path) -> Scenario:
    return load_scenario(write_two(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0]))


def test_facts_of_a_stage_with_a_floor_and_a_price(two: Scenario) -> None:
    """20 USD a million and point: a request of ``small``, ten points below, is worth 0.0002 USD less."""
    facts = fleet_facts(two)
    assert facts.accuracy.tolist() == [0.80, 0.70]
    assert facts.accuracy_metric == ("auc",)
    assert facts.accuracy_floor.tolist() == [0.75]
    assert facts.lost_usd_per_request.tolist() == pytest.approx([0.0, 0.0002])
    assert facts.reaches_floor().tolist() == [True, False]
    assert facts.planned_accuracy(np.array([[1], [1]]))[0] == pytest.approx(0.75)
    assert two.services[0].stages[0].accuracy is not None
    assert two.services[0].stages[0].accuracy.data == "made up, split by time, test part"


def test_replicas_weigh_by_throughput_where_the_router_looks_at_the_load(tmp_path: Path) -> None:
    facts = fleet_facts(load_scenario(write_two(tmp_path, [1.0, 2.0], router="least_outstanding")))
    large, small = facts.throughput_rps[:, 0]
    mean = (0.80 * large + 0.70 * small) / (large + small)
    assert facts.planned_accuracy(np.array([[1], [1]]))[0] == pytest.approx(mean)


def test_served_accuracy_by_hand(two: Scenario) -> None:
    """Five requests in turn to one replica of each: three to ``large``, two to ``small``."""
    result = simulate(two, Scripted([[1], [1]]), seed=1)
    row = summarise_accuracy(result)[0]
    assert row["stage"] == "ads/rank"
    assert row["requests"] == 5
    assert row["accuracy"] == pytest.approx((3 * 0.80 + 2 * 0.70) / 5)
    assert row["accuracy_margin"] == pytest.approx(0.01)
    assert row["lost_points"] == pytest.approx(4.0)
    assert row["lost_usd"] == pytest.approx(2 * 0.0002)
    assert (row["accuracy_best"], row["accuracy_floor"]) == (0.80, 0.75)
    assert list(row) == [metric.name for metric in ACCURACY_METRICS]


def test_a_policy_sees_what_each_variant_served(two: Scenario) -> None:
    policy = Scripted([[1], [1]])
    result = simulate(two, policy, seed=1)
    seen = [observation.served_requests for observation in policy.seen]
    assert seen[0].tolist() == [[0], [0]]
    assert seen[1].tolist() == [[3], [2]]
    assert sum(s.sum() for s in seen[1:]) <= result.served_requests.sum()


def mixed(folder: Path) -> Path:
    """Poisson arrivals at which a mix of both variants is cheapest, least outstanding routing, twenty nodes."""
    path = write_two(folder, [1.0], router="least_outstanding")
    trace = "trace: {duration_s: 900, streams: [{service: ads, arrivals: {rate_rps: 40}}]}\n"
    text = path.read_text().replace("trace: {file: t.parquet}\n", trace).replace("count: 3", "count: 60")
    path.write_text(text.replace(", usd_per_point_per_million: 20", "").replace("slo_ms: 1000", "slo_ms: 900"))
    return path


def test_the_planning_policies_keep_the_floor_in_the_run_and_pay_less_than_a_rule(tmp_path: Path) -> None:
    scenario = load_scenario(mixed(tmp_path))
    cost, margin = {}, {}
    for name in ("static_peak", "mip", "marginal_greedy"):
        context = prepare(scenario, 1)
        result = simulate(scenario, make_policy(name, context), seed=1, context=context)
        cost[name] = float(result.intervals.cost_usd.sum())
        margin[name] = summarise_accuracy(result)[0]["accuracy_margin"]
        assert all(context.facts.planned_accuracy(d.wanted)[0] >= 0.75 - 1e-6 for d in result.decisions)
    assert margin["static_peak"] == pytest.approx(0.05)
    assert min(margin.values()) >= 0.0
    assert cost["mip"] < cost["static_peak"]


def compare(path: Path, out: Path, workers: int) -> dict[str, bytes]:
    arguments = ["compare", str(path), "--policies", "static_peak,mip", "--workers", str(workers), "--quiet"]
    assert run([*arguments, "--out", str(out)]) == 0
    return {file.name: file.read_bytes() for file in out.iterdir() if file.name not in ("manifest.json", "report.html")}


def test_a_comparison_writes_the_accuracy_table_the_same_on_any_number_of_workers(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    first, second = (compare(path, tmp_path / f"out{n}", n) for n in (1, 2))
    assert first == second
    rows = list(csv.DictReader(first["accuracy.csv"].decode().splitlines()))
    assert [row["policy"] for row in rows] == ["static_peak", "mip"]
    assert len(json.loads(first["summary.json"])["accuracy"]) == 2
    page = (tmp_path / "out1" / "report.html").read_text()
    assert "<h2>Accuracy</h2>" in page
    assert "and every accuracy floor" in page


def test_a_scenario_that_names_no_metric_has_no_such_table(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    path.write_text(path.read_text().replace("        accuracy: {metric: auc, floor: 0.75}\n", ""))
    files = compare(path, tmp_path / "out", 1)
    assert "accuracy.csv" not in files
    assert "accuracy" not in json.loads(files["summary.json"])
    assert "<h2>Accuracy</h2>" not in (tmp_path / "out" / "report.html").read_text()
