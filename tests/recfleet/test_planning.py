"""Capacity plans on fleets small enough to know the answer: by brute force, by queueing theory, by breaking nodes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import recfleet as rf
from recfleet import cli
from recfleet.plan_files import plan_document, plan_yaml
from recfleet.plan_runs import simulate_plan_job
from recfleet.plan_views import policy_view
from recfleet.planning import plan
from recfleet.progress import Silent
from recfleet.run_record import RunRecord
from simulator.scenario import Scenario
from tests.simulator.mini import HAND, load_mini, write_mini
from workloads.errors import InputError

QUEUE = {
    "control_interval_s: 20": "control_interval_s: 60",
    "trace: {file: t.parquet}": "trace: {duration_s: DURATION, streams: [{service: ads, arrivals: {rate_rps: RATE}}]}",
    "count: 3": "count: COUNT",
    "slo_ms: 1000": "slo_ms: 500\n    slo_quantile: 0.95",
}
"""Deterministic service of 0.1 s a request, one at a time; two replicas a node at 3.6 USD an hour."""


class Notes(Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def queue_text(rate_rps: float, duration_s: float, count: int) -> str:
    text = HAND
    for old, new in QUEUE.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.replace("RATE", str(rate_rps)).replace("DURATION", str(duration_s)).replace("COUNT", str(count))


def write_queue(folder: Path, rate_rps: float, duration_s: float = 1200.0, count: int = 8) -> Path:
    return write_mini(folder, queue_text(rate_rps, duration_s, count))


def load_queue(folder: Path, rate_rps: float) -> Scenario:
    return rf.load_scenario(write_queue(folder, rate_rps))


def attained(scenario: Scenario, policy: Any, seed: int) -> float:
    result = rf.simulate(scenario, policy, seed=seed)
    return float((result.slo_met / result.arrived - result.facts.slo_quantile).min())


# --- the cheapest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_rps", [7.0, 25.0, 47.0])
def test_the_cheapest_static_fleet_is_that_of_trying_all(tmp_path: Path, rate_rps: float) -> None:
    scenario, seeds = load_queue(tmp_path, rate_rps), (1, 2)
    variant = "ads/rank/ads-cpu"
    fewest = next(
        nodes
        for nodes in range(1, 9)
        if all(
            attained(scenario, {"name": "fixed", "replicas": {variant: {"box": 2 * nodes}}}, seed) >= 0.0
            for seed in seeds
        )
    )
    notes = Notes()
    found = plan(scenario, policies=[], seeds=seeds, tolerance=0.5, listener=notes)
    assert found.chosen is not None
    assert found.chosen.nodes == {"box": fewest}
    tries = [
        re.match(r"  try (\d+) of at most (\d+): static: ", text) for text in notes.told if text.startswith("  try")
    ]
    assert tries
    assert all(tries)
    assert [int(one[1]) for one in tries if one] == list(range(1, len(tries) + 1))
    assert all(len(tries) <= int(one[2]) <= 8 for one in tries if one)
    assert found.chosen.cost_usd == pytest.approx(fewest * 3.6 * 1200 / 3600)
    proof = found.certificate
    assert proof is not None
    assert proof.static_fluid_usd is not None
    assert proof.static_integer_usd is not None
    assert 0.0 < proof.static_fluid_usd <= proof.static_integer_usd * (1 + 1e-9)
    assert proof.static_integer_usd <= proof.plan_usd * (1 + 1e-9)
    assert proof.fluid_usd <= proof.plan_usd


def test_growth_costs_more_and_is_the_scenario_at_that_demand(tmp_path: Path) -> None:
    costs = []
    for growth in (0.5, 1.0, 2.0):
        found = plan(load_queue(tmp_path, 20.0), growth=growth, policies=[], seeds=1, tolerance=0.5)
        assert found.chosen is not None
        costs.append(found.chosen.cost_usd)
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]
    grown = plan(load_queue(tmp_path, 40.0), policies=[], seeds=1, tolerance=0.5)
    assert grown.chosen is not None
    assert grown.chosen.cost_usd == costs[-1]
    assert grown.peak_rps == found.peak_rps


# --- the breaking load -----------------------------------------------------------------------------------


def waits_at_most(rate_rps: float, service_s: float, wait_s: float) -> float:
    """``P(W <= wait)`` of M/D/1 (Erlang 1909): ``(1 - rho) sum_k (rate (k D - t))^k e^(-rate (k D - t)) / k!``."""
    rho = rate_rps * service_s
    terms = (rate_rps * (k * service_s - wait_s) for k in range(int(wait_s / service_s + 1e-9) + 1))
    return (1.0 - rho) * sum(x**k * math.exp(-x) / math.factorial(k) for k, x in enumerate(terms))


def test_the_breaking_load_is_that_of_queueing_theory(tmp_path: Path) -> None:
    """One replica, Poisson arrivals, 0.1 s each: at most 5 % may take longer than 0.5 s, so wait longer than 0.4 s."""
    low, high = 1.0, 9.99
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if waits_at_most(middle, 0.1, 0.4) >= 0.95 else (low, middle)
    critical_rps = low
    assert 5.0 < critical_rps < 9.0, "or the formula is wrong"
    text = queue_text(4.0, 20_000.0, 1).replace("cpu_cores: 8", "cpu_cores: 4")
    scenario = rf.load_scenario(write_mini(tmp_path, text))
    found = plan(scenario, policies=[], seeds=3, tolerance=0.01)
    assert found.chosen is not None
    assert found.chosen.replicas == {"ads/rank/ads-cpu": {"box": 1}}
    limit = found.breaking
    assert limit is not None
    assert limit.breaks is not None
    assert limit.breaks / limit.holds - 1.0 <= 0.01 + 1e-9
    # Three seeds of 20,000 s must all hold: a little below the mean, within 3 % of it.
    assert critical_rps / 4.0 == pytest.approx(limit.breaks, rel=0.03)
    holds = {p.load: p.holds for p in found.loads}
    assert holds[limit.holds]
    assert not holds[limit.breaks]
    assert found.binding is not None
    assert found.binding.planned[0][:2] == ("box", "cpu")


# --- surviving a node ------------------------------------------------------------------------------------


def test_a_plan_that_survives_does_so_whichever_node_fails(tmp_path: Path) -> None:
    path = write_queue(tmp_path, 25.0)
    plain = plan(path, policies=[], seeds=1, tolerance=0.5)
    found = plan(path, policies=[], seeds=1, tolerance=0.5, survive="node")
    assert found.chosen is not None
    assert plain.chosen is not None
    assert found.chosen.cost_usd > plain.chosen.cost_usd
    assert found.chosen.losses
    assert all(loss.holds and loss.replicas_lost > 0 for loss in found.chosen.losses)
    assert found.chosen.planning == {"survive": "node", "headroom_after_loss": 0.0}
    assert plain.chosen.planning == {"survive": "none"}
    assert yaml.safe_load(plan_yaml(found))["planning"] == found.chosen.planning

    def margin_without(node: int, chosen: Any) -> float:
        failing = path.read_text().replace("count: 8", f"count: {chosen.nodes['box']}")
        failing += f"life: {{failures: [{{node: box/{node}, at_s: 60, lasts_s: 5000}}]}}\n"
        (tmp_path / "failing.yaml").write_text(failing)
        return attained(rf.load_scenario(tmp_path / "failing.yaml"), chosen.policy, 1)

    assert min(margin_without(node, found.chosen) for node in range(found.chosen.nodes["box"])) >= 0.0
    assert margin_without(0, plain.chosen) < 0.0, "or there was nothing to survive"


def two_services(folder: Path, rate_rps: float) -> Scenario:
    """Two services alike on nodes of five replicas; the loss of any node is to be survived."""
    text = queue_text(rate_rps, 900.0, 8).replace("cpu_cores: 8", "cpu_cores: 16")
    stream = f"{{service: ads, arrivals: {{rate_rps: {rate_rps}}}}}"
    head, rest = text.replace(stream, f"{stream}, {stream.replace('ads', 'web')}").split("services:\n")
    service, policies = rest.split("policies:")
    both = service + service.replace("name: ads", "name: web")
    return rf.load_scenario(
        write_mini(folder, f"{head}services:\n{both}policies:{policies}planning: {{survive: node}}\n")
    )


def test_a_fleet_that_spreads_its_replicas_survives_with_fewer_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = two_services(tmp_path, 12.0)
    options: dict[str, Any] = {"policies": [], "seeds": 1, "tolerance": 1.0}
    spread = plan(scenario, **options)
    assert spread.survive == "node", "by default what the scenario says"
    monkeypatch.setattr("optimizer.planner.static_fleet.even_most", lambda *_: None)
    packed = plan(scenario, **options)
    assert spread.chosen is not None
    assert packed.chosen is not None
    assert "most_per_node" in spread.chosen.policy
    assert "most_per_node" not in packed.chosen.policy
    assert spread.chosen.nodes["box"] < packed.chosen.nodes["box"]
    assert len(spread.chosen.losses) >= 1
    assert all(loss.holds and loss.replicas_lost > 0 for loss in spread.chosen.losses)


def test_where_the_second_worst_node_is_too_much_stronger_fleets_are_tried(tmp_path: Path) -> None:
    """Two nodes of strength 1.8 survive one of them and not the other; the next fleet is beyond the first ladder."""
    scenario = two_services(tmp_path, 18.0)
    found = plan(scenario, policies=[], seeds=1, tolerance=1.0)
    assert found.chosen is not None
    assert found.chosen.nodes == {"box": 4}
    assert all(loss.holds for loss in found.chosen.losses)
    assert [row.nodes for row in found.candidates if not row.holds] == [{"box": 2}]
    plain = plan(scenario, policies=[], seeds=1, tolerance=1.0, survive="none")
    assert plain.survive == "none"
    assert plain.chosen is not None
    assert plain.chosen.nodes["box"] < 4


# --- no plan ---------------------------------------------------------------------------------------------


def test_a_cluster_too_small_is_told_with_what_it_lacks(tmp_path: Path, capsys: Any) -> None:
    path = write_queue(tmp_path, 47.0, 600.0, 2)
    out = tmp_path / "out"
    options = ["--policies", "static", "--seeds", "1", "--workers", "1", "-q"]
    code = cli.run(["plan", str(path), *options, "--out", str(out)])
    text = capsys.readouterr().out
    assert code == 1
    assert "No fleet of this cluster meets every objective" in text
    assert "what binds is CPU cores of box" in text
    document = json.loads((out / "plan.json").read_text())
    assert not document["found"]
    more = document["shortfall"]["more"]["box"]
    assert document["shortfall"]["confirmed"]
    enough = write_queue(tmp_path, 47.0, 600.0, 2 + more)
    assert plan(enough, policies=[], seeds=1, tolerance=0.5).found
    assert f"{more} box more" in text


def test_an_objective_that_nothing_meets_is_bad_input(tmp_path: Path, capsys: Any) -> None:
    path = write_mini(tmp_path, queue_text(5.0, 600.0, 2).replace("slo_ms: 500", "slo_ms: 90"))
    for command in ("plan", "compare"):
        assert cli.run([command, str(path), "--out", str(tmp_path / "out")]) == 2
        told = capsys.readouterr()
        assert "no variant meets its latency budget" in told.err
        assert told.out == "", "assumptions are of no use then"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--growth", "0"], ["--growth", "nan"], ["--survive", "site"], ["--tolerance", "0"], ["--seeds", "0"],
        ["--policies", "nonsense"], ["--policies", "mip,,hpa"], ["--json", "absent/plan.json"],
    ],
)  # fmt: skip
def test_bad_options_are_one_line_and_write_nothing(arguments: list[str], tmp_path: Path, capsys: Any) -> None:
    path = write_queue(tmp_path, 5.0)
    before = sorted(tmp_path.iterdir())
    assert cli.run(["plan", str(path), "--out", str(tmp_path / "out"), "-q", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("recfleet: error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(tmp_path.iterdir()) == before


# --- files -----------------------------------------------------------------------------------------------


def test_the_files_can_be_applied(tmp_path: Path, capsys: Any) -> None:
    path = write_mini(tmp_path)
    out, copy = tmp_path / "out", tmp_path / "copy.json"
    code = cli.run(["plan", str(path), "--seeds", "1", "--tolerance", "0.3", "--workers", "1", "--policies", "hpa",
                    "--out", str(out), "--json", str(copy)])  # fmt: skip
    shown = capsys.readouterr().out
    assert code == 0
    assert "Certificate" in shown
    assert "is the cheapest plan found that meets every objective" in " ".join(shown.split())
    assert {p.name for p in out.iterdir()} == {
        "plan.json", "plan.yaml", "plan.svg", "plan.png", "candidates.csv", "loads.csv", "manifest.json"
    }  # fmt: skip
    assert copy.read_bytes() == (out / "plan.json").read_bytes()
    document = json.loads(copy.read_text())
    applied = yaml.safe_load((out / "plan.yaml").read_text())
    scenario = load_mini(tmp_path)
    again = rf.compare(scenario, applied["policies"])
    assert again.runs[0].result.intervals.cost_usd.sum() == pytest.approx(document["chosen"]["cost_usd"])
    assert set(applied["batches"]) == set(applied["replicas"])


def test_files_of_a_policy_are_named_from_the_scenarios_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "hpa.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    spec = {"name": "mine.py:Mine", "manifest": "hpa.yaml", "label": "other.yaml", "headroom": 0.1}
    named = {"name": "../mine.py:Mine", "manifest": "../hpa.yaml", "label": "other.yaml", "headroom": 0.1}
    assert policy_view(spec, None, tmp_path / "scenarios") == named
    assert policy_view(spec, tmp_path, tmp_path / "scenarios") == spec
    assert policy_view("mip", None, tmp_path) == {"name": "mip"}


def test_an_autoscaled_plan_is_held_against_whole_fleets(tmp_path: Path) -> None:
    """A day with a short peak, for which scaling pays."""
    text = queue_text(8.0, 3600.0, 8).replace(
        "rate_rps: 8.0", "rate_rps: 8.0, flash_crowds: [{at_s: 1500, rise_s: 600, hold_s: 300, fall_s: 300, factor: 5}]"
    )
    scenario = rf.load_scenario(write_mini(tmp_path, text))
    found = plan(scenario, seeds=1, tolerance=1.0, policies=["mip"])
    assert found.chosen is not None
    assert found.chosen.kind == "autoscaled", "or there is nothing to test"
    proof = found.certificate
    assert proof is not None
    assert proof.optimum_lower_usd is not None
    assert proof.optimum_upper_usd is not None
    assert proof.fluid_usd <= proof.optimum_lower_usd <= proof.optimum_upper_usd
    assert proof.condition_met is not None
    assert bool(proof.why_below) == (proof.plan_usd < proof.optimum_lower_usd)
    sharp = proof.optimum_lower_usd if proof.condition_met else proof.fluid_usd
    assert proof.gap == pytest.approx(1.0 - sharp / proof.plan_usd)
    assert "The cheapest sequence of whole fleets" in found.text
    (other,) = rf.compare(scenario, [found.chosen.policy]).certificates
    assert proof.optimum_lower_usd <= other.optimum.upper_usd * (1 + 1e-9), "that of a comparison, by fewer solves"
    assert other.optimum.lower_usd <= proof.optimum_upper_usd * (1 + 1e-9)
    if proof.condition_met:
        assert proof.plan_usd >= proof.optimum_lower_usd


KEYS = {
    "format", "format_version", "found", "text", "scenario", "path", "file_sha256", "growth", "survive", "seeds",
    "duration_s", "peak_rps", "chosen", "certificate", "breaking", "binding", "shortfall", "candidates", "loads",
    "frontier", "fluid_curve", "simulations", "assumptions",
}  # fmt: skip
CHOSEN = {
    "label", "kind", "policy", "nodes", "replicas", "batches", "planning", "cost_usd", "cost_half_width_usd",
    "usd_per_hour", "services", "losses",
}  # fmt: skip
CANDIDATE = {
    "label",
    "kind",
    "mix",
    "nodes",
    "cost_usd",
    "margin",
    "worst_service",
    "holds",
    "seeds",
    "note",
    "stopped_at_s",
}
CERTIFICATE = {
    "fluid_usd", "static_fluid_usd", "static_integer_usd", "static_found_usd", "optimum_lower_usd", "optimum_upper_usd",
    "optimum_status", "condition_met", "why_below", "plan_usd", "gap", "condition",
}  # fmt: skip


class Interrupting:
    """Runs ``most`` jobs, then is interrupted."""

    def __init__(self, most: int) -> None:
        self.left = most

    def __call__(self, world: Any, job: Any, progress: Callable[[float], None]) -> RunRecord:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return simulate_plan_job(world, job, progress)


def test_an_interrupted_plan_leaves_nothing_half_written_and_goes_on(tmp_path: Path) -> None:
    scenario = load_mini(tmp_path)
    options: dict[str, Any] = {"seeds": 2, "tolerance": 0.2, "policies": ["hpa"]}
    whole = plan(scenario, **options)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        plan(scenario, out=out, runner=Interrupting(3), **options)
    assert not out.exists()
    assert len(list((tmp_path / "out.partial" / "runs").glob("*.npz"))) == 3
    rest = Interrupting(whole.simulations - 3)
    resumed = plan(scenario, out=out, runner=rest, **options)
    assert rest.left == 0, "what was simulated before is used"
    assert not (tmp_path / "out.partial").exists()
    assert json.dumps(plan_document(resumed)) == json.dumps(plan_document(whole)), "and the plan is the same"
    document = json.loads((out / "plan.json").read_text())
    assert set(document) == KEYS
    assert set(document["chosen"]) == CHOSEN
    assert set(document["candidates"][0]) == CANDIDATE
    assert set(document["certificate"]) == CERTIFICATE
    assert document["candidates"][0]["label"] == document["chosen"]["label"]
    assert (document["format"], document["format_version"]) == ("recfleet-plan", 1)


def test_a_class_is_no_policy_of_a_plan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a name or a mapping"):
        plan(load_mini(tmp_path), policies=[np.ndarray])
