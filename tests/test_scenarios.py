"""The scenarios that ship: they load, they fit their schema, they run, and their page describes every field."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from optimizer.registry import make_policy
from recfleet import cli
from simulator.engine import simulate
from simulator.facts import prepare
from simulator.policy import Allocation, Observation
from simulator.scenario import load_scenario
from simulator.scenario_file import ScenarioFile
from simulator.strict_yaml import read_yaml
from tests.short_demo import FILES, ROOT, SCENARIOS, read_summary, write_short_demo
from workloads.data_folder import data_folder, data_path

NEEDS_DATA = {"worldcup"}
SERVICES = {"accuracy": 1, "demo": 3, "news": 2, "shop": 1, "worldcup": 3}
NAMES = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))
POLICIES = [
    "static_peak",
    "hpa",
    "document_greedy",
    "document_lp",
    "marginal_greedy",
    "mip",
    "rolling_horizon",
    "clairvoyant_mip",
]
absent = pytest.mark.skipif(data_folder() is None, reason="the folder of real traces (RECFLEET_DATA) is absent")


def scenario_parameters() -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.data, absent] if name in NEEDS_DATA else []) for name in NAMES]


def test_the_scenarios_ship() -> None:
    assert set(SERVICES) <= set(NAMES)


@pytest.mark.parametrize("name", scenario_parameters())
def test_a_scenario_loads_and_offers_all_eight_policies(name: str) -> None:
    scenario = load_scenario(SCENARIOS / f"{name}.yaml")
    assert scenario.name == name
    assert list(scenario.policies) == POLICIES
    assert len(scenario.service_names) == SERVICES[name]
    for profile in scenario.profiles:
        assert profile.provenance == "measured"
    assert scenario.assumptions
    assert scenario.duration_s > 0


@pytest.mark.data
@absent
def test_worldcup_names_trace_cluster_and_pairing() -> None:
    scenario = load_scenario(SCENARIOS / "worldcup.yaml")
    real, assumed = "\n".join(scenario.sources), "\n".join(scenario.assumptions)
    assert "1998 World Cup" in real
    assert "1998-06-03, 1998-06-10" in real
    assert "Scale 0.25" in real
    assert "openb" in real
    assert "Node type t4x2: 387 such nodes" in real
    assert "pairing them is an assumption" in assumed
    assert "0.066 of the measured speed" in assumed


@pytest.mark.data
@absent
def test_worldcup_runs_and_accounts_for_every_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty minutes of the second day; as many as the logs hold for them times the scale, within 5 %."""
    document = read_yaml(SCENARIOS / "worldcup.yaml").value
    document["trace"] |= {"start_s": 86400 + 72000, "duration_s": 1200}
    scenario, out = tmp_path / "worldcup.yaml", tmp_path / "out"
    scenario.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    assert cli.run(["compare", str(scenario), "--policies", "hpa,mip", "--out", str(out), "--workers", "1"]) == 0
    assert "every request accounted for" in capsys.readouterr().out
    rows = read_summary(out)
    assert len({row["requests"] for row in rows}) == 1
    counts = pd.read_parquet(data_path("arrivals_worldcup98_1min.parquet"))
    day = counts[counts["minute"].astype(str).str.startswith("1998-06-10")]["requests"].to_numpy()
    assert int(rows[0]["requests"]) == pytest.approx(0.25 * day[1200:1220].sum(), rel=0.05)


def test_worldcup_without_data_names_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECFLEET_DATA", str(tmp_path / "nothing"))
    out = tmp_path / "out"
    assert cli.run(["compare", str(SCENARIOS / "worldcup.yaml"), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "https://github.com/" in message
    assert not out.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_fits_the_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema", "scenario"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = read_yaml(SCENARIOS / f"{name}.yaml").value
    assert not list(validator.iter_errors(document))
    document["trace"]["nonsense"] = 1
    document["cluster"]["node_types"][0]["price_usd_per_hour"] = -1
    wrong = {error.json_path for error in validator.iter_errors(document)}
    assert wrong == {"$.trace", "$.cluster.node_types[0].price_usd_per_hour"}


def test_all_eight_policies_run_and_leave_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = write_short_demo(tmp_path / "demo.yaml")
    out = tmp_path / "out"
    assert cli.run(["compare", str(scenario), "--out", str(out), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "\nVerdict: " in printed
    assert "every request accounted for" in printed
    assert {path.name for path in out.iterdir()} == FILES
    assert not (tmp_path / "out.partial").exists()

    rows = read_summary(out)
    assert [row["policy"] for row in rows] == POLICIES
    assert len({row["requests"] for row in rows}) == 1, "every policy meets the same requests"
    for row in rows:
        assert int(row["requests"]) == sum(int(row[end]) for end in ("completed", "rejected", "failed"))
        assert float(row["cost_usd"]) >= float(row["bound_cost_usd"]) > 0

    document = json.loads((out / "summary.json").read_text())
    assert set(document["policies"]) == set(POLICIES)
    assert document["policies"]["clairvoyant_mip"]["clairvoyant"] is True
    assert document["verdict"]["winner"] != "clairvoyant_mip"
    intervals = pq.read_table(out / "intervals.parquet").to_pandas()
    assert intervals.groupby("policy")["arrived"].sum().nunique() == 1
    assert len(intervals) == len(POLICIES) * 10
    page = (out / "report.html").read_text()
    assert all(policy in page for policy in POLICIES)


def short(name: str, folder: Path, duration_s: float, **changes: Any) -> Path:
    """A scenario cut to its beginning."""
    document = read_yaml(SCENARIOS / f"{name}.yaml").value | changes
    document["trace"] |= {"duration_s": duration_s}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def test_news_spares_its_funnel_what_caches_answer(tmp_path: Path) -> None:
    """Two minutes: what policies see is what passed the caches, on whose account fewer replicas do."""
    seen: list[Observation] = []

    class Standing:
        def decide(self, observation: Observation) -> Allocation:
            seen.append(observation)
            rest = observation.facts.throughput_rps > 0.0
            return Allocation(np.maximum(observation.facts.min_replicas, rest.astype(int)))

    scenario = load_scenario(short("news", tmp_path, 150.0))
    result = simulate(scenario, Standing(), seed=1)
    assert (result.arrived == result.completed).all()
    next_rps, front_rps = result.intervals.arrived[0] / 30.0
    assert seen[1].arrival_rps == pytest.approx([next_rps, front_rps])
    assert seen[1].stage_rps[:2] == pytest.approx([seen[1].stage_rps[0]] * 2)
    assert 0.1 * next_rps < seen[1].stage_rps[0] < 0.6 * next_rps, "preloaded, and popular"
    assert 0.6 * front_rps < seen[1].stage_rps[2] <= front_rps, "cold, and personal"
    assert seen[0].stage_rps[0] == pytest.approx(0.4 * seen[0].arrival_rps[0]), "planned before anything is measured"
    passed = sum(observation.stage_rps * 30.0 for observation in seen[1:])
    served = result.facts.by_stage(result.served_requests.sum(axis=1))
    assert served[2] == pytest.approx(passed[2], rel=0.3)
    assert served[0] <= result.arrived[0] * 0.6


def test_shop_loses_a_node_and_no_request(tmp_path: Path) -> None:
    """Two minutes with a node lost in the first: tasks of split requests are retried, and each request ends once."""
    failures = {"failures": [{"at_s": 45, "lasts_s": 60, "node": "h200/1"}]}
    scenario = load_scenario(short("shop", tmp_path, 120.0, life=failures))
    context = prepare(scenario, 1)
    result = simulate(scenario, make_policy("static_peak", context), seed=1, context=context)
    assert result.replicas_lost > 0
    assert (result.completed + result.rejected + result.failed == result.arrived).all()
    assert result.failed.sum() <= 0.001 * result.arrived.sum()
    tasks = result.facts.by_stage(result.served_requests.sum(axis=1)) / result.arrived[0]
    assert tasks == pytest.approx(result.facts.tasks_per_request, rel=0.05)


def test_workers_and_hash_seeds_change_no_byte_of_the_summary(tmp_path: Path) -> None:
    scenario = write_short_demo(tmp_path / "demo.yaml", duration_s=300.0)
    summaries = []
    for workers in ("1", "2"):
        out = tmp_path / f"out{workers}"
        options = ["--policies", "hpa,mip", "--seeds", "2", "--workers", workers, "--out", str(out), "--quiet"]
        done = subprocess.run(
            [sys.executable, "-m", "recfleet", "compare", str(scenario), *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": workers},
        )
        assert done.returncode == 0, done.stderr
        summaries.append((out / "summary.csv").read_bytes())
    assert summaries[0] == summaries[1]
    assert summaries[0].count(b"\n") == 5


def test_the_script_runs_from_any_folder(tmp_path: Path) -> None:
    beside = tmp_path / "scenarios"
    beside.mkdir()
    write_short_demo(beside / "demo.yaml", duration_s=300.0)
    script = shutil.copy(SCENARIOS / "compare_policies.py", beside)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, script],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "Verdict: " in done.stdout
    assert "every request accounted for" in done.stdout
    report = re.search(r"^report: (.+)$", done.stdout, re.MULTILINE)
    assert report is not None
    assert (elsewhere / report[1]).is_file()
    assert [path.name for path in elsewhere.iterdir()] == ["out"]


def test_the_script_is_a_dozen_lines() -> None:
    text = (SCENARIOS / "compare_policies.py").read_text()
    code = [line for line in text.split('"""', 2)[2].splitlines() if line.strip()]
    assert len(code) <= 15
    assert "import recfleet as rf" in code


# --- docs/scenarios.md and the models of the file ---------------------------------------------------------

DOCUMENTED = re.compile(r"^\| `(?P<field>\w+)` \| (?P<unit>[^|]+) \| (?P<default>[^|]+) \| (?P<meaning>[^|]+) \|$")


def sections() -> dict[str, dict[str, str]]:
    """``sections()[place][field]`` is the default that the page gives; the place of the file itself is empty."""
    found: dict[str, dict[str, str]] = {}
    place = None
    for line in (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8").splitlines():
        heading = re.match(r"#+ (.*)", line)
        if heading:
            path = re.fullmatch(r"`([\w.]+)`", heading[1])
            place = path[1] if path else "" if heading[1] == "The file" else None
        row = DOCUMENTED.match(line)
        if row and place is not None:
            assert row["field"] not in found.setdefault(place, {}), f"{place}.{row['field']} is there twice"
            found[place][row["field"]] = row["default"]
    return found


def models_within(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation contains, through lists, unions and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_within(argument)]


def model_at(place: str) -> type[BaseModel]:
    model: type[BaseModel] = ScenarioFile
    for part in filter(None, place.split(".")):
        assert part in model.model_fields, f"docs/scenarios.md: {place}: there is no field {part}"
        (model,) = models_within(model.model_fields[part].annotation)
    return model


def reachable(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for field in model.model_fields.values():
        for inner in models_within(field.annotation):
            found |= reachable(inner)
    return found


def as_written(field: Any) -> str:
    """A field's default as the page writes it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}"
    return value or "-"


def test_every_section_of_the_file_is_documented() -> None:
    assert {model_at(place) for place in sections()} == reachable(ScenarioFile)


@pytest.mark.parametrize("place", sections())
def test_every_field_is_documented_with_its_default(place: str) -> None:
    fields = {name: as_written(field) for name, field in model_at(place).model_fields.items()}
    assert sections()[place] == fields
