"""The real server on a tiny model, on the CPU and by the wall clock: what must hold whatever the machine does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from workloads.errors import InputError  # noqa: E402
from workloads.profile import profile_from_document  # noqa: E402
from workloads.server.__main__ import main  # noqa: E402
from workloads.server.job import run_job  # noqa: E402
from workloads.server.log import RunLog  # noqa: E402
from workloads.server.plan import read_plan, write_plan  # noqa: E402
from workloads.server.planning import cpu_plan, h200_plan, tiny_plan  # noqa: E402
from workloads.server.planning import main as make_plan  # noqa: E402


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


def test_plans_are_read_as_written(tmp_path: Path) -> None:
    for plan in (h200_plan(4), h200_plan(1), cpu_plan(2)):
        write_plan(plan, tmp_path / "plan.json")
        assert read_plan(tmp_path / "plan.json") == plan
        calibrating = {(r.arrivals, r.load, r.seed) for job in plan.jobs for r in job.runs if not r.held_out}
        assert calibrating == {("poisson", 0.3, 1), ("poisson", 0.6, 1)}


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
        ('{"jobs": [{"name": "a", "models": [{"model": "dlrm", "device": "cpu"}], "gpus": 1, "runs": []}]}', "gpus"),
        ('{"jobs": [], "more": 1}', "jobs"),
    ],
)
def test_bad_plans_are_refused(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_plan(path)
    assert main([str(path), "--out", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
