"""``recfleet validate``, offline from files and live on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recfleet.cli import run
from simulator.fidelity.log_file import COLUMNS, write_log
from simulator.fidelity.prediction import predict
from simulator.fidelity.setup import served_stage
from simulator.fidelity.summary import METRICS
from tests.benchmarks.fidelity_keep import FOLDER
from tests.workloads.profile_documents import small_document
from workloads.profile import load_profile, profile_from_document, save_profile
from workloads.server.arrivals import arrivals
from workloads.trace import ArrayTrace, TraceInfo
from workloads.trace.parquet import write_parquet

FAST = ["--replicates", "20", "--quiet"]
JOB = str(FOLDER / "sasrec-bf16-graph.json")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile, and a log that the simulator made of it."""
    folder = tmp_path_factory.mktemp("validate")
    save_profile(small_document(), folder / "p.json")
    stage = served_stage(profile_from_document(small_document()), 6, 4e-3)
    write_log(folder / "log.parquet", predict(arrivals("poisson", 500.0, 3000, 1), [stage], 7))
    return folder


def offline(folder: Path, *more: str) -> list[str]:
    command = ["validate", "--profile", str(folder / "p.json"), "--log", str(folder / "log.parquet")]
    return [*command, "--max-batch", "6", "--max-wait-ms", "4", *FAST, *more]


def test_a_log_of_the_simulators_own_has_next_to_no_error(files: Path, tmp_path: Path) -> None:
    out, figure = tmp_path / "v.json", tmp_path / "v.svg"
    assert run(offline(files, "--json", str(out), "--figure", str(figure))) == 0
    found = json.loads(out.read_text())
    assert list(found)[:5] == ["measured", "predicted", "error", "low", "high"]
    covered = 0
    for name in METRICS:
        measured, predicted = found["measured"][name], found["predicted"][name]
        assert found["error"][name] == pytest.approx(predicted / measured - 1.0)
        assert abs(found["error"][name]) < 0.02
        assert found["low"][name] <= predicted <= found["high"][name]
        covered += found["low"][name] <= measured <= found["high"][name]
    assert covered >= len(METRICS) - 1  # nine of ten are to be expected
    frame = pd.read_parquet(files / "log.parquet")
    latency_ms = 1e3 * (frame.done_s - frame.arrival_s)
    assert found["measured"]["p99_ms"] == pytest.approx(np.quantile(latency_ms, 0.99))
    assert found["measured"]["mean_batch"] == pytest.approx(len(frame) / frame.start_s.nunique())
    assert found["measured"]["throughput_rps"] == pytest.approx(
        len(frame) / (frame.done_s.max() - frame.arrival_s.min())
    )
    again = tmp_path / "again.svg"
    run(offline(files, "--figure", str(again)))
    assert figure.read_bytes() == again.read_bytes()
    assert b"measured" in figure.read_bytes()


def test_a_run_of_a_kept_server_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a fresh clone: the held-out run by default, and what was measured is what the job's file says."""
    out, calibration = tmp_path / "v.json", tmp_path / "c.json"
    job = ["validate", "--server-log", JOB, "--replicates", "20", "--json", str(out)]
    assert run(job) == 0
    told = " ".join(capsys.readouterr().out.split())
    what = "run003: the first 20,000 of 120,000 requests, poisson at load 0.9, predicted from"
    assert f"sasrec-bf16-graph on NVIDIA H200, {what}" in told
    assert "1 replica, batches of up to 32, waiting up to 1 ms" in told
    found = json.loads(out.read_text())
    assert found["about"]["run"] == "run003"
    assert abs(found["error"]["throughput_rps"]) < 0.02
    assert run(["calibrate", "--server-log", JOB, "--out", str(calibration), "--quiet"]) == 0
    for name, in_sample in (("run000", True), ("run003", False)):
        assert run([*job, "--run", name, "--calibration", str(calibration)]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert ("on this very run: no test of it" in told) == in_sample
        assert json.loads(out.read_text())["about"]["in_sample"] is in_sample
        assert abs(json.loads(out.read_text())["error"]["mean_ms"]) < 0.1


def test_recalibration_knows_the_runs_before_and_mends_what_a_calibration_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job changed after its first two runs."""
    out, calibration = tmp_path / "v.json", tmp_path / "c.json"
    assert run(["calibrate", "--server-log", JOB, "--out", str(calibration), "--quiet"]) == 0
    job = ["validate", "--server-log", JOB, "--run", "run013", "--replicates", "20", "--json", str(out)]
    found = {}
    for name, more in (("calibrated", ["--calibration", str(calibration)]), ("recalibrated", ["--recalibrate"])):
        assert run([*job, *more]) == 0
        found[name] = json.loads(out.read_text())
    told = " ".join(capsys.readouterr().out.split())
    assert "predicted from the job's own profile and assembly of batches, calibrated" in told
    assert found["recalibrated"]["about"]["calibration"] == ["run000", "run001", "run003", "run006"]
    assert abs(found["recalibrated"]["error"]["mean_ms"]) < 0.5 * abs(found["calibrated"]["error"]["mean_ms"])
    several = str(FOLDER / "sasrec-fp32-graph-shared.json")
    assert run(["validate", "--server-log", several, "--recalibrate"]) == 2
    assert "was served by several processes" in capsys.readouterr().err


def test_the_table_marks_what_lies_outside(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_parquet(files / "log.parquet")
    frame["done_s"] = frame.start_s + 1e-4
    frame.to_parquet(tmp_path / "log.parquet")
    (tmp_path / "p.json").write_bytes((files / "p.json").read_bytes())
    assert run([part for part in offline(tmp_path) if part != "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "log.parquet, 3,000 requests, predicted from tiny-cpu2-fp32" in shown
    assert "latency p99, ms" in shown
    assert "outside" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "takes --log with --profile"),
        (["--log", "LOG", "--server-log", "JOB"], "takes --log with --profile"),
        (["--server-log", "JOB", "--max-batch", "8"], "says itself what served it"),
        (["--server-log", "JOB", "--replicas", "2"], "says itself what served it"),
        (["--server-log", "JOB", "--run", "run999"], "give one of run000, run001, run003, run006, run013"),
        (["--server-log", "P"], "no such file"),
        (["--server-log", "gone.npz"], "give gone.json"),
        (["--server-log", "JOB", "--calibration", "P", "--recalibrate"], "in place of --calibration"),
        (["--model", "two_tower", "--replicas", "2"], "live, one replica serves"),
        (["--log", "LOG", "--run", "run000"], "is of a --server-log"),
        (["--log", "LOG", "--model", "dlrm"], "takes --log with --profile"),
        (["--log", "LOG"], "needs --profile"),
        (["--log", "LOG", "--profile", "P", "--max-batch", "6"], "needs --max-wait-ms"),
        (["--log", "gone.parquet", "--profile", "P", "--max-batch", "6", "--max-wait-ms", "4"], "no such file"),
        (["--log", "LOG", "--profile", "P", "--max-batch", "9", "--max-wait-ms", "4"], "largest measured"),
        (["--log", "LOG", "--profile", "P", "--max-batch", "5", "--max-wait-ms", "4"], "above --max-batch 5"),
        (["--log", "LOG", "--profile", "P", "--max-batch", "6", "--max-wait-ms", "nan"], "no time"),
        (["--log", "P", "--profile", "P", "--max-batch", "6", "--max-wait-ms", "4"], "table"),
        (["--log", "LOG", "--profile", "LOG", "--max-batch", "6", "--max-wait-ms", "4"], "UTF-8"),
        (["--log", "LOG", "--profile", "P", "--max-batch", "6", "--max-wait-ms", "4", "--router", "x"], "--router"),
        (["--log", "LOG", "--profile", "P", "--max-batch", "6", "--max-wait-ms", "4", "--drift", "2"], "--drift"),
        (["--log", "LOG", "--figure", "a.gif"], "--figure"),
        (["--log", "LOG", "--keep", "P/sub"], "--keep"),
        (["--log", "LOG", "--json", "no/such/folder.json"], "--json"),
        (["--log", "LOG", "--replicates", "1"], "--replicates"),
        (["--model", "nope", "--trace", "LOG"], "zoo"),
        (["--model", "dlrm"], "--trace"),
        (["--model", "sasrec", "--items", "4", "--trace", "LOG"], "--items"),
        (["--model", "dlrm", "--device", "tpu", "--trace", "LOG"], "--device"),
        (["--model", "dlrm", "--trace", "LOG"], "LOG"),
    ],
)
def test_bad_input_ends_with_two_and_a_line(
    arguments: list[str], words: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"LOG": str(files / "log.parquet"), "P": str(files / "p.json"), "JOB": JOB}
    names["P/sub"] = str(files / "p.json" / "sub")
    assert run(["validate", *(names.get(each, each) for each in arguments)]) == 2
    told = capsys.readouterr().err
    assert names.get(words, words) in told
    assert told.count("\n") == 1


def test_live_serves_predicts_and_keeps(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tests.workloads.tiny_models import TINY
    from workloads.model_folder import save_model
    from workloads.models import model_module

    threads, config = torch.get_num_threads(), TINY["dlrm"]
    card: Any = {"data": {"name": "none"}, "training": {}, "metrics": {}, "sizes": {}}
    save_model(
        tmp_path / "m", model="dlrm", config=config, network=model_module("dlrm").build(config).eval(), card=card
    )
    info = TraceInfo("t", ("a",), 2.0, "drawn", "none", synthetic=True)
    write_parquet(ArrayTrace(info, arrivals("poisson", 100.0, 150, 1)), tmp_path / "t.parquet")
    command = ["validate", "--model-folder", str(tmp_path / "m"), "--trace", str(tmp_path / "t.parquet")]
    command += ["--rate", "200", "--seconds", "0.5", "--max-batch", "8", "--items", "2", "--profile-s", "0.2"]
    command += ["--threads", "1", "--keep", str(tmp_path / "kept"), "--json", str(tmp_path / "v.json"), *FAST]
    assert run(command) == 0
    torch.set_num_threads(threads)
    assert not torch.is_inference_mode_enabled()
    found = json.loads((tmp_path / "v.json").read_text())
    assert all(np.isfinite(list(found[part].values())).all() for part in ("measured", "predicted", "low", "high"))
    assert found["about"]["profile"] == load_profile(tmp_path / "kept" / "profile.json").name
    kept = pd.read_parquet(tmp_path / "kept" / "log.parquet")
    assert list(kept.columns) == [*COLUMNS, "items"]
    assert kept["items"].eq(2).all()
    assert kept.batch.le(8).all()
    assert len(kept) == found["about"]["requests"] > 50
