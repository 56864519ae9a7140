"""``recfleet profile``: a measurement, several, and refusals in one line."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from recfleet.cli_profile import profile
from workloads.profile import load_profile


@pytest.fixture(autouse=True)
def _quick_garbage_collection() -> Iterator[None]:
    gc.freeze()
    yield
    gc.unfreeze()


RUNNER = CliRunner(env={"COLUMNS": "200"})
APP = typer.Typer()
APP.command()(profile)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "takes a model's name or --model-folder"),
        (["dlrm", "--model-folder", "x"], "give one of them"),
        (["--model-folder", "no/such/model"], "is no model folder"),
        (["dlrm", "--threads", "1,x"], "not a list of whole numbers"),
        (["dlrm", "--threads", "1,1", "--name", "x"], "one name for several"),
        (["dlrm", "--threads", "1,1", "--out", "no/such/folder"], "is no folder"),
        (["dlrm", "--replicas", "1"], "counts from 2 to 16"),
        (["dlmr"], "did you mean dlrm"),
        (["dlrm", "--device", "gpu"], "use one of cpu, cuda"),
        (["dlrm", "--mode", "cuda_graph"], "needs --device cuda"),
        (["dlrm", "--precision", "int8"], "use one of fp32, bf16"),
        (["dlrm", "--sizes", "1,x"], "not a list of whole numbers"),
        (["dlrm", "--sizes", "4,2"], "do not rise"),
        (["dlrm", "--out", "no/such/folder/p.json"], "there is no folder"),
    ],
)
def test_refusals(arguments: list[str], word: str) -> None:
    if word in (
        "there is no folder",
        "did you mean dlrm",
        "is no folder",
        "one name for several",
        "is no model folder",
    ):
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


def test_one_profile_for_each_thread_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    import os

    from tests.workloads.tiny_models import TINY
    from workloads.models import dlrm

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    monkeypatch.setattr(dlrm, "default_config", lambda: TINY["dlrm"])
    options = ["--sizes", "1 4", "--timing-s", "0.1", "--fewest-runs", "3", "--threads", "1,2", "--out", str(tmp_path)]
    measured = RUNNER.invoke(APP, ["dlrm", *options])
    assert measured.exit_code == 0, measured.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dlrm-cpu1-fp32.json", "dlrm-cpu2-fp32.json"]
    assert [load_profile(path).host_cores for path in sorted(tmp_path.iterdir())] == [1, 2]


def test_the_bare_command_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from tests.workloads.tiny_models import TINY
    from workloads.models import dlrm
    from workloads.profiler.__main__ import main

    monkeypatch.setattr(dlrm, "default_config", lambda: TINY["dlrm"])
    few = ["--sizes", "1", "4", "--timing-s", "0.1", "--fewest-runs", "3", "--threads", "1", "--out", str(tmp_path)]
    asked = ["nonsense", "dlrm", "--device", "cpu", *few]
    assert main(asked) == 1
    assert "failed: model 'nonsense'" in capsys.readouterr().out
    assert load_profile(tmp_path / "dlrm-cpu1-fp32.json").model == "dlrm"
    written = (tmp_path / "dlrm-cpu1-fp32.json").stat().st_mtime_ns
    assert main([*asked, "--skip-existing"]) == 1
    assert "made before" in capsys.readouterr().out
    assert (tmp_path / "dlrm-cpu1-fp32.json").stat().st_mtime_ns == written
    assert main([*asked, "--budget-s", "1e-9"]) == 1
    assert "2 profiles were not begun" in capsys.readouterr().out
    assert main(["--device", "cpu"]) == 2
    assert main(["--model-folders", str(tmp_path), "--device", "cpu"]) == 2
    assert "holds no model.json" in capsys.readouterr().err
