"""``recfleet calibrate``, and what ``validate`` makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recfleet.cli import run
from simulator.fidelity.log_file import write_log
from simulator.fidelity.prediction import predict
from simulator.fidelity.setup import served_stage
from tests.benchmarks.fidelity_keep import FOLDER
from tests.workloads.profile_documents import small_document
from workloads.profile import profile_from_document, save_profile
from workloads.server.arrivals import arrivals


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile, and two logs of a server that is a tenth slower."""
    folder = tmp_path_factory.mktemp("calibrate")
    save_profile(small_document(), folder / "p.json")
    stage = served_stage(profile_from_document(small_document()), 6, 4e-3).scaled(1.1)
    for seed in (1, 2):
        write_log(folder / f"{seed}.parquet", predict(arrivals("poisson", 1000.0, 6000, seed), [stage], seed))
    return folder


def test_a_calibration_helps_on_another_log(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, profile = str(tmp_path / "c.json"), ["--profile", str(files / "p.json"), "--max-batch", "6"]
    assert run(["calibrate", *profile, "--log", str(files / "1.parquet"), "--out", made]) == 0
    assert "1 log: judge it on others" in " ".join(capsys.readouterr().out.split())
    assert json.loads(Path(made).read_text())["factor"] == pytest.approx(1.1, abs=0.01)
    found = {}
    for name, more in (("before", []), ("after", ["--calibration", made])):
        for seed in (1, 2):
            out = tmp_path / f"{name}{seed}.json"
            command = ["validate", *profile, "--max-wait-ms", "4", "--log", str(files / f"{seed}.parquet")]
            assert run([*command, "--replicates", "20", "--quiet", "--json", str(out), *more]) == 0
            found[name, seed] = json.loads(out.read_text())
    assert abs(found["after", 2]["error"]["mean_ms"]) < 0.02 < abs(found["before", 2]["error"]["mean_ms"])
    assert found["after", 1]["about"]["in_sample"]
    assert not found["after", 2]["about"]["in_sample"]


def test_a_servers_job(tmp_path: Path) -> None:
    made = tmp_path / "c.json"
    job = FOLDER / "dlrm-fp32-graph.json"
    assert run(["calibrate", "--server-log", str(job), "--out", str(made), "--quiet"]) == 0
    assert json.loads(made.read_text())["factor"] == pytest.approx(1.047, abs=0.002)


def test_turns_on_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "c.json"
    job = FOLDER / "sasrec-fp32-graph-shared.json"
    assert run(["calibrate", "--server-log", str(job), "--out", str(made)]) == 0
    assert "a batch takes 152 us more after one of another replica, 105 us" in " ".join(capsys.readouterr().out.split())
    assert json.loads(made.read_text())["turn_s"] == pytest.approx(1.52e-4, rel=0.01)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["--out", "/nowhere/c.json"], "--out"),
        (["--out", "c.json"], "one of the two"),
        (["--out", "c.json", "--log", "a.parquet"], "--profile"),
    ],
)
def test_wrong_uses_are_told(
    command: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["calibrate", *command]) == 2
    assert told in capsys.readouterr().err
