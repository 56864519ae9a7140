"""The real server on a tiny model, on the CPU and by the wall clock: what must hold whatever the machine does."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from workloads.errors import InputError  # noqa: E402
from workloads.profile import profile_from_document  # noqa: E402
from workloads.server.__main__ import main  # noqa: E402
from workloads.server.arrivals import arrivals  # noqa: E402
from workloads.server.job import run_job  # noqa: E402
from workloads.server.log import RunLog  # noqa: E402
from workloads.server.log_files import read_log  # noqa: E402
from workloads.server.patterns import main as make_patterns  # noqa: E402
from workloads.server.plan import ServerPlan, read_plan, write_plan  # noqa: E402
from workloads.server.planning import cpu_plan, h200_plan, tiny_plan  # noqa: E402
from workloads.server.planning import main as make_plan  # noqa: E402


def plan_text(**fields: Any) -> str:
    """A plan whose one run has these fields; one without runs where there are none."""
    job = tiny_plan().jobs[0].model_dump(mode="json")
    return json.dumps({"jobs": [job | {"runs": [job["runs"][0] | fields] if fields else []}]})


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_job_leaves_a_log_that_obeys_the_rule(tmp_path: Path) -> None:
    job = tiny_plan().jobs[0]
    cores = sorted(os.sched_getaffinity(0))
    run_job(job, tmp_path, tmp_path / "w", [], cores, time.perf_counter() + 100.0, None, lambda text: None)
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert profile_from_document(found["profiles"][0]).batch_sizes.tolist() == [1, 2, 3, 4]
    assert found["cold_starts"][0]["ready_s"] > found["cold_starts"][0]["weights_s"]
    assert found["again"][0]["batch_sizes"] == [1, 3, 4]
    assert found["left_out"] == []
    assert not torch.is_inference_mode_enabled()
    with np.load(tmp_path / "tiny.npz") as file:
        arrays = dict(file)
    assert [run["name"] for run in found["runs"]] == ["capacity0", "run000", "run001"]
    for run in found["runs"]:
        own = {key.removeprefix(f"{run['name']}."): each for key, each in arrays.items() if key.startswith(run["name"])}
        log = RunLog.from_arrays(own, (1,))
        rows, batches = log.requests(), log.stages[0].replicas[0]
        assert len(rows.arrival_s) == run["requests"] == batches.requests.sum()
        assert (rows.start_s >= rows.arrival_s).all()
        assert (batches.start_s[1:] >= batches.done_s[:-1]).all()
        assert batches.units.max() <= 4
        assert run["late_s"]["mean"] >= 0.0


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two processes need two cores")
def test_the_tiny_plan_is_carried_out_in_every_mode(tmp_path: Path) -> None:
    """One replica, two by the clock, and a funnel, with real models in processes of their own."""
    write_plan(tiny_plan(), tmp_path / "plan.json")
    assert main([str(tmp_path / "plan.json"), "--out", str(tmp_path)]) == 0
    for job in tiny_plan().jobs:
        found, arrays = read_log(tmp_path / f"{job.name}.json")
        assert len(found["profiles"]) == len(job.models)
        assert len(found["cold_starts"]) == len(found["again"]) == job.processes
        runs = [run for run in found["runs"] if "plan" in run]
        assert len(runs) == len(job.runs)
        for run in runs:
            own = {key.removeprefix(f"{run['name']}."): each for key, each in arrays.items() if run["name"] in key}
            log = RunLog.from_arrays(own, (1,) * len(job.models))
            served = [sum(int(each.requests.sum()) for each in stage.replicas) for stage in log.stages]
            assert served == [run["requests"]] * len(job.models)
            ready_s = log.arrival_s
            for stage in log.stages:
                start_s, done_s, _ = stage.by_request()
                assert (ready_s - start_s).max() <= 1e-6  # arrivals are kept in whole microseconds
                ready_s = done_s


def test_plans_are_read_as_written(tmp_path: Path) -> None:
    for plan in (h200_plan(4), h200_plan(1), cpu_plan(2)):
        write_plan(plan, tmp_path / "plan.json")
        assert read_plan(tmp_path / "plan.json") == plan
        calibrating = {(r.arrivals, r.load, r.seed) for job in plan.jobs for r in job.runs if not r.held_out}
        assert calibrating == {("poisson", 0.3, 1), ("poisson", 0.6, 1)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["cpu", "--cores", "32"], "--cores: 32 is not from 1 to 16"),
        (["cpu", "--cores", "0"], "--cores: 0"),
        (["h200", "--gpus", "0"], "--gpus: 0"),
        (["tiny", "--scale", "nan"], "--scale: nan"),
        (["tiny", "--scale", "inf"], "--scale: inf"),
        (["tiny", "--scale", "0"], "--scale: 0"),
        (["tiny", "--scale", "-1"], "--scale: -1"),
    ],
)
def test_plans_that_cannot_be_are_refused(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_plan([*options, "--out", str(tmp_path / "plan.json")]) == 2
    told = capsys.readouterr().err
    assert (told.count("\n"), words in told) == (1, True)
    assert not (tmp_path / "plan.json").exists()


def test_the_largest_plan_is_a_plan(tmp_path: Path) -> None:
    assert make_plan(["cpu", "--cores", "16", "--scale", "0.001", "--out", str(tmp_path / "plan.json")]) == 0
    runs = [run for job in read_plan(tmp_path / "plan.json").jobs for run in job.runs]
    assert {round(run.seconds, 6) for run in runs} == {0.012, 0.030}


def test_patterns_are_written_or_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd = pytest.importorskip("pandas")
    assert make_patterns([str(tmp_path), "--out", str(tmp_path / "p.npz")]) == 2
    for name, column, rows in (("obd_impressions", "timestamp", 35_000), ("arrivals_azure_llm2023_code", "arrival", 9)):
        times = pd.Timestamp("2024-01-01") + pd.to_timedelta(range(rows), unit="s")
        pd.DataFrame({column: times}).to_parquet(tmp_path / f"{name}.parquet")
    assert make_patterns([str(tmp_path), "--out", str(tmp_path / "no" / "p.npz")]) == 2
    assert make_patterns([str(tmp_path), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 3
    assert make_patterns([str(tmp_path), "--out", str(tmp_path / "p.npz")]) == 0
    gap_s = np.diff(arrivals("impressions", 10.0, 50, 1, tmp_path / "p.npz"))
    assert gap_s == pytest.approx(np.full(49, 0.1))
    (tmp_path / "arrivals_azure_llm2023_code.parquet").write_text("no table")
    assert make_patterns([str(tmp_path), "--out", str(tmp_path / "p.npz")]) == 2


@pytest.mark.parametrize("budget", ["nan", "0", "-5"])
def test_a_budget_is_seconds(budget: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plan(tiny_plan(), tmp_path / "plan.json")
    assert main([str(tmp_path / "plan.json"), "--out", str(tmp_path / "out"), "--budget-s", budget]) == 2
    assert "--budget-s" in capsys.readouterr().err


def test_patterns_are_looked_at_before_anything_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tiny_plan().jobs[0]
    run = job.runs[0].model_copy(update={"arrivals": "impressions"})
    write_plan(ServerPlan(jobs=(job.model_copy(update={"runs": (run,)}),)), tmp_path / "plan.json")
    (tmp_path / "p.npz").write_text("no patterns")
    for patterns in ([], ["--patterns", str(tmp_path / "p.npz")]):
        assert main([str(tmp_path / "plan.json"), "--out", str(tmp_path / "out"), *patterns]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_written_ends_with_two_and_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_plan(["tiny", "--out", str(tmp_path / "no" / "plan.json")]) == 2
    assert make_plan(["tiny", "--out", str(tmp_path / "plan.json")]) == 0
    assert main([str(tmp_path / "plan.json"), "--out", str(tmp_path / "plan.json")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 2
    assert "cannot be written" in told
    assert "cannot be made" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{}", "jobs"),
        ('{"jobs": [{"name": "a", "models": [{"model": "dlrm", "device": "tpu"}], "runs": []}]}', "device"),
        (plan_text(load=0.5).replace('"gpus": 0', '"gpus": 1'), "gpus"),
        ('{"jobs": [], "more": 1}', "jobs"),
        (plan_text(), "jobs.0.runs"),
        (plan_text(max_batch=[-4]), "max_batch.0"),
        (plan_text(max_batch=[0]), "max_batch.0"),
        (plan_text(max_wait_s=[-1]), "max_wait_s.0"),
        (plan_text(max_wait_s=[math.nan]), "max_wait_s.0"),
        (plan_text(seconds=math.inf), "seconds"),
        (plan_text(load=math.nan), "load"),
    ],
)
def test_bad_plans_are_refused(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_plan(path)
    assert main([str(path), "--out", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
