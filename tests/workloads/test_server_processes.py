"""The server's processes, with a model that only waits: members, router, funnel, driver, and how they end.

By the wall clock, on a machine that may be busy: what is held is what is true at any speed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workloads import fake_server
from workloads.server import driver, model, team
from workloads.server.arrivals import arrivals
from workloads.server.batching import Batches, BatchRule
from workloads.server.driver import run_plan
from workloads.server.job import run_job
from workloads.server.log import RunLog
from workloads.server.log_files import read_log
from workloads.server.plan import JobPlan, ServerPlan, write_plan
from workloads.server.team import TeamError, team_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module, name in ((model, "ServedModel"), (team, "_work"), (team, "_LEAD_S"), (driver, "_PROGRAM")):
        monkeypatch.setattr(module, name, getattr(module, name))  # so that it is put back
    affinity = os.sched_getaffinity(0)
    fake_server.use()
    yield
    os.sched_setaffinity(0, affinity)


def job_of(latency_s: tuple[float, ...] = (1e-3,), runs: int = 1, **fields: Any) -> JobPlan:
    """A job with a stage for each latency."""
    models = [{"model": "fake", "device": "cpu", "config": {"latency_s": each}} for each in latency_s]
    run = {
        "arrivals": "poisson", "load": 0.5, "max_batch": [4] * len(models), "max_wait_s": [2e-3] * len(models),
        "seconds": 0.3, "most_requests": 300, "router": "round_robin",
    }  # fmt: skip
    plan = {"name": "job", "models": models, "runs": [run] * runs, "again_s": 0.1}
    return JobPlan.model_validate(plan | fields)


def some_cores(count: int) -> list[int]:
    """So many, though the machine may have fewer."""
    cores = sorted(os.sched_getaffinity(0))
    return [cores[number % len(cores)] for number in range(count)]


def check(log: RunLog, arrival_s: np.ndarray, rule: BatchRule) -> None:
    """Every request is served once by every stage, in order, after it came, in batches that the rule allows."""
    assert log.arrival_s.tolist() == arrival_s[: len(log.arrival_s)].tolist()
    ready_s = log.arrival_s
    for stage in log.stages:
        assert sum(int(batches.requests.sum()) for batches in stage.replicas) == len(ready_s)
        start_s, done_s, size = stage.by_request()
        assert (ready_s <= start_s).all()
        assert (start_s < done_s).all()
        assert size.max() <= rule.max_batch
        for batches in stage.replicas:
            assert (batches.start_s[1:] >= batches.done_s[:-1]).all()
        ready_s = done_s


def test_replicas_take_turns_by_the_clock(tmp_path: Path) -> None:
    job, rule, arrival_s = (
        job_of(replicas=2, router_process=False),
        BatchRule(4, 2e-3),
        arrivals("poisson", 400, 150, 1),
    )
    with team_of(job, tmp_path, [], some_cores(2)) as members:
        assert [each["ready_s"] for each in members.load()] == [0.0, 0.0]
        log = members.serve(arrival_s, (rule,), "round_robin", 100.0)
    assert len(log.arrival_s) == 150
    assert log.stages[0].replica.tolist() == [0, 1] * 75
    check(log, arrival_s, rule)
    assert not any(process.is_alive() for process in members.processes)  # type: ignore[attr-defined]


@pytest.mark.parametrize("router", ["round_robin", "least_outstanding"])
def test_a_routers_process_hands_every_request_to_one_replica(tmp_path: Path, router: str) -> None:
    rule, arrival_s = BatchRule(4, 2e-3), arrivals("poisson", 400, 150, 1)
    with team_of(job_of(replicas=2), tmp_path, [], some_cores(3)) as members:
        log = members.serve(arrival_s, (rule,), router, 100.0)
        assert [inbox.outstanding() for inbox in members.inboxes] == [0, 0]  # type: ignore[attr-defined]
    assert len(log.arrival_s) == 150
    assert log.stages[0].replica[0] == 0
    if router == "round_robin":
        assert log.stages[0].replica.tolist() == [0, 1] * 75
    check(log, arrival_s, rule)


def test_a_funnel_serves_in_order_and_ends_at_the_limit(tmp_path: Path) -> None:
    """Once all, and then with a limit that the slow second stage cannot keep."""
    job, rule = job_of((1e-3, 5e-2), router_process=False), BatchRule(4, 2e-3)
    arrival_s = arrivals("poisson", 100, 40, 1)
    with team_of(job, tmp_path, [], some_cores(2)) as members:
        log = members.serve(arrival_s, (rule, rule), "round_robin", 100.0)
        assert len(log.arrival_s) == 40
        check(log, arrival_s, rule)
        many_s, begun_s = arrivals("poisson", 2000, 3000, 1), time.perf_counter()
        cut = members.serve(many_s, (rule, rule), "round_robin", 1.0)  # 37 s of work
        assert time.perf_counter() - begun_s < 30.0
    assert len(cut.arrival_s) < 3000
    check(cut, many_s, rule)
    again = RunLog.from_arrays(cut.arrays(), cut.request_units)
    np.testing.assert_allclose(again.requests().done_s, cut.requests().done_s, atol=1e-6)


def test_a_members_failure_is_told_and_all_end(tmp_path: Path) -> None:
    broken = {"model": "fake", "device": "cpu", "config": {"broken": "no weights here"}}
    job = job_of(replicas=2, models=[broken], router_process=False)
    with pytest.raises(TeamError, match="process 0: ValueError: no weights here"), team_of(
        job, tmp_path, [], some_cores(2)
    ) as members:  # fmt: skip
        members.load()
    assert not any(process.is_alive() for process in members.processes)  # type: ignore[attr-defined]


class Watched(fake_server.FakeModel):
    """Slows down by so much after its first run, and sees what has been written by then."""

    folder_of_logs = Path()
    times_slower = 1.0
    serves = 0
    written: list[list[str]]

    def serve(self, *arguments: Any) -> Batches:
        kept = self.folder_of_logs / "job.json"
        names = [run["name"] for run in read_log(kept)[0]["runs"]] if kept.exists() else []
        self.written.append(names)
        if len(self.written) > 1:
            self.latency_s *= self.times_slower
        return super().serve(*arguments)


def watched(folder: Path, monkeypatch: pytest.MonkeyPatch, times_slower: float = 1.0) -> type[Watched]:
    fields = {"folder_of_logs": folder, "times_slower": times_slower, "written": []}
    made = type("Made", (Watched,), fields)
    monkeypatch.setattr(model, "ServedModel", made)
    return made


def run_alone(job: JobPlan, folder: Path, within_s: float = 1000.0) -> list[str]:
    told: list[str] = []
    run_job(job, folder, folder / "w", [], some_cores(1), time.perf_counter() + within_s, None, told.append)
    return told


def test_files_are_written_after_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = watched(tmp_path, monkeypatch)
    run_alone(job_of(runs=2), tmp_path)
    assert made.written == [[], ["capacity0"], ["capacity0", "run000"]]
    found, arrays = read_log(tmp_path / "job.json")
    assert [run["name"] for run in found["runs"]] == ["capacity0", "run000", "run001"]
    assert {name.split(".")[0] for name in arrays} == {"capacity0", "run000", "run001"}
    assert {run["cut_short"] for run in found["runs"][1:]} == {0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.json", "job.npz"]


def test_an_overloaded_run_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """150 requests or so in 0.3 s; at 0.4 s a batch they would take ten times the limit of 1.6 s."""
    watched(tmp_path, monkeypatch, times_slower=400.0)
    told = run_alone(job_of(), tmp_path)
    run = read_log(tmp_path / "job.json")[0]["runs"][1]
    assert run["cut_short"] > 0
    assert 0 < run["requests"] <= 4 * 6
    assert any(f"overloaded, the last {run['cut_short']} of" in line for line in told)


def test_runs_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    long = job_of().runs[0].model_copy(update={"seconds": 1e6})
    job = job_of()
    run_alone(job.model_copy(update={"runs": (*job.runs, long)}), tmp_path)
    found, _ = read_log(tmp_path / "job.json")
    assert found["left_out"] == [1]
    assert [run["name"] for run in found["runs"]] == ["capacity0", "run000"]


def plan_of(*jobs: JobPlan) -> ServerPlan:
    return ServerPlan(jobs=jobs)


def test_the_driver_carries_out_a_plan(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = job_of(name="broken", models=[{"model": "fake", "device": "cpu", "config": {"broken": "no weights"}}])
    assert run_plan(plan_of(job_of(), broken), tmp_path / "out", [], 1000.0, None) == 1
    told = capfd.readouterr()
    assert told.err == ""
    assert told.out.index("job: begun") < told.out.index(": done") < told.out.index("broken: begun")
    assert "failed: ValueError: no weights" in told.out
    assert len(read_log(tmp_path / "out" / "job.json")[0]["runs"]) == 2
    assert not (tmp_path / "out" / "broken.json").exists()


def test_a_job_past_the_deadline_is_ended_and_others_are_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model that takes ten minutes to load keeps its job from seeing the deadline: it is asked to end."""
    monkeypatch.setattr(driver, "_GRACE_S", 2.0)
    stuck = job_of(models=[{"model": "fake", "device": "cpu", "config": {"load_s": 600.0}}])
    begun_s = time.perf_counter()
    assert run_plan(plan_of(stuck, job_of(name="later")), tmp_path / "out", [], 1.0, None) == 2
    assert time.perf_counter() - begun_s < 300.0
    assert "later: not begun" in capfd.readouterr().out


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A driver whose job has finished its first run and is at another, of an hour, with a process for each stage."""
    job = job_of((1e-3, 1e-3), router_process=False)
    long = job.runs[0].model_copy(update={"seconds": 3600.0, "load": 1e-4})
    write_plan(plan_of(job.model_copy(update={"runs": (*job.runs, long)})), tmp_path / "plan.json")
    command = [sys.executable, "-m", "tests.workloads.fake_server", str(tmp_path / "plan.json")]
    command += ["--out", str(tmp_path / "out"), "--budget-s", "1e6"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # a killed driver leaves its temporary folder
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs of a shell's background ignore it
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "1/2" in line:
                break
        yield process
        process.kill()


def test_no_job_outlives_a_killed_driver(busy: subprocess.Popen[str], tmp_path: Path) -> None:
    """Jobs and their members hold standard output open for as long as they live."""
    busy.kill()
    busy.communicate(timeout=120.0)
    assert len(json.loads((tmp_path / "out" / "job.json").read_text())["runs"]) == 2


def test_an_interrupted_driver_ends_its_jobs_and_says_a_line(busy: subprocess.Popen[str], tmp_path: Path) -> None:
    busy.send_signal(signal.SIGINT)
    told = busy.communicate(timeout=120.0)[1]
    assert busy.returncode == 130
    assert told == f"interrupted: runs that were finished are in {tmp_path / 'out'}\n"
    assert len(read_log(tmp_path / "out" / "job.json")[0]["runs"]) == 2
