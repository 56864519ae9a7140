"""``recfleet profile``: the shipped profiles, the schema, a measurement, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from recfleet.cli_profile import profile
from workloads.catalogue import shipped_profiles
from workloads.profile import load_profile

RUNNER = CliRunner(env={"COLUMNS": "200"})
APP = typer.Typer()
APP.command()(profile)


def test_list_and_show() -> None:
    listed = RUNNER.invoke(APP, ["--list"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in shipped_profiles())
    shown = RUNNER.invoke(APP, ["--show", "dlrm-h200-bf16-graph"])
    assert shown.exit_code == 0
    assert "32768" in shown.output
    assert "Weights are random" in shown.output


def test_schema_is_json() -> None:
    printed = RUNNER.invoke(APP, ["--schema"])
    assert json.loads(printed.output)["title"] == "recfleet profile"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "no model is given"),
        (["--show", "dlrm-h200-bf16-grph"], "did you mean"),
        (["dlmr"], "did you mean dlrm"),
        (["dlrm", "--device", "gpu"], "use one of cpu, cuda"),
        (["dlrm", "--mode", "cuda_graph"], "needs --device cuda"),
        (["dlrm", "--sizes", "1,x"], "not a list of whole numbers"),
        (["dlrm", "--sizes", "4,2"], "do not rise"),
        (["dlrm", "--out", "no/such/folder/p.json"], "there is no folder"),
    ],
)
def test_refusals(arguments: list[str], word: str) -> None:
    if word == "there is no folder" or word == "did you mean dlrm":
        pytest.importorskip("torch")
    refused = RUNNER.invoke(APP, arguments)
    assert refused.exit_code == 2
    assert word in refused.output
    assert len(refused.output.strip().splitlines()) == 1


def test_a_measurement_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from tests.workloads.tiny_models import TINY
    from workloads.models import dlrm

    monkeypatch.setattr(dlrm, "default_config", lambda: TINY["dlrm"])
    out = tmp_path / "mine.json"
    options = ["--sizes", "1 4", "--timing-s", "0.2", "--fewest-runs", "5", "--threads", "1", "--out", str(out)]
    measured = RUNNER.invoke(APP, ["dlrm", *options])
    assert measured.exit_code == 0, measured.output
    found = load_profile(out)
    assert found.batch_sizes.tolist() == [1, 4]
    assert found.model == "dlrm"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]
