"""Logs of the server's jobs: read back, and predicted stage by stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.fidelity.comparison import Spread
from simulator.fidelity.server_logs import compare_run, read_job_log
from tests.benchmarks.fidelity_keep import FOLDER
from tests.workloads.profile_documents import full_document, small_document
from tests.workloads.virtual_server import serve_virtually
from workloads.errors import InputError
from workloads.profile import write_json
from workloads.server.arrivals import arrivals
from workloads.server.batching import BatchRule
from workloads.server.log import RunLog, StageLog
from workloads.server.log_files import read_log, write_log
from workloads.server.plan import JobPlan

ASSEMBLY = {"batch_sizes": [1, 8], "mean_s": [1e-4, 8e-4]}


def written(folder: Path, job: dict[str, Any], documents: list[dict[str, Any]], log: RunLog) -> Path:
    """A job's files as the server writes them, of one run."""
    plan = JobPlan.model_validate(job)
    facts = {"name": "run000", "plan": plan.runs[0].model_dump(mode="json"), "late_s": {"mean": 1e-6}}
    found = {
        "format": "recfleet-server-log", "format_version": 1, "job": plan.model_dump(mode="json"),
        "profiles": documents, "assembly": [ASSEMBLY] * plan.processes,
        "runs": [{"name": "capacity0"}, facts],
    }  # fmt: skip
    write_json(found, folder / f"{plan.name}.json")
    np.savez_compressed(folder / f"{plan.name}.npz", **{f"run000.{k}": v for k, v in log.arrays().items()})
    return folder / f"{plan.name}.json"


def certain(document: dict[str, Any]) -> dict[str, Any]:
    """Every batch takes its mean."""
    latency = document["latency"]
    latency["quantiles_s"] = [[mean] * 3 for mean in latency["mean_s"]]
    return document


def run_plan(**fields: Any) -> dict[str, Any]:
    return {"arrivals": "poisson", "load": 0.5, "seconds": 1.0} | fields


def test_one_replica_is_predicted_with_its_assembly_alone(tmp_path: Path) -> None:
    arrival_s, rule = arrivals("poisson", 300.0, 500, 1), BatchRule(8, 3e-3)
    batches = serve_virtually(arrival_s, 2, rule, (1, 8), (0.0021 + 1e-4, 0.0043 + 8e-4))
    log = RunLog(arrival_s, (2,), (StageLog((batches,), np.zeros(500, np.uint8)),))
    model = {"model": "dlrm", "device": "cpu", "request_units": 2}
    job = {"name": "one", "models": [model], "runs": [run_plan(max_batch=[8], max_wait_s=[3e-3])]}
    read = read_job_log(written(tmp_path, job, [certain(small_document())], log))
    spread = Spread(0.0, 3, 1)
    assert np.abs(compare_run(read, read.runs[0], spread).error).max() < 1e-3
    assert compare_run(read, read.runs[0], spread, assembly=False).error[3] < -0.02


def test_shared_replicas_and_funnels_are_laid_out(tmp_path: Path) -> None:
    arrival_s = arrivals("poisson", 50.0, 100, 1)
    one = serve_virtually(arrival_s, 1, BatchRule(4, 0.0), (1, 8), (0.002, 0.004))
    stage = StageLog((one,), np.zeros(100, np.uint8))
    shared = {
        "name": "shared", "models": [{"model": "dlrm", "device": "cuda"}], "replicas": 2, "gpus": 1,
        "runs": [run_plan(max_batch=[4], max_wait_s=[0.0], router="round_robin")],
    }  # fmt: skip
    read = read_job_log(written(tmp_path, shared, [full_document()], RunLog(arrival_s, (1,), (stage,))))
    (made,) = read.stages(read.runs[0].plan)
    assert (made.replicas, made.router, made.shares_device) == (2, "round_robin", True)
    assert made.table.interference is not None
    funnel = {
        "name": "funnel", "models": [{"model": "sasrec", "device": "cpu"}, {"model": "dlrm", "device": "cpu"}],
        "runs": [run_plan(max_batch=[4, 6], max_wait_s=[0.0, 1e-3])],
    }  # fmt: skip
    documents = [small_document(), small_document()]
    read = read_job_log(written(tmp_path, funnel, documents, RunLog(arrival_s, (1, 1), (stage, stage))))
    assert [(s.max_batch, s.max_wait_s, s.shares_device) for s in read.stages(read.runs[0].plan)] == [
        (4, 0.0, False), (6, 1e-3, False),
    ]  # fmt: skip
    assert np.isfinite(compare_run(read, read.runs[0], Spread(0.01, 3, 1)).predicted).all()


def test_the_two_files_of_a_log_belong_together(tmp_path: Path) -> None:
    arrival_s = arrivals("poisson", 50.0, 100, 1)
    one = serve_virtually(arrival_s, 1, BatchRule(4, 0.0), (1, 8), (0.002, 0.004))
    log = RunLog(arrival_s, (1,), (StageLog((one,), np.zeros(100, np.uint8)),))
    model = {"model": "dlrm", "device": "cpu"}
    job = {"name": "one", "models": [model], "runs": [run_plan(max_batch=[4], max_wait_s=[0.0])]}
    path = written(tmp_path, job, [small_document()], log)
    found, arrays = read_log(path)  # an earlier version's, which does not say
    write_log(found, arrays, path)
    assert len(read_job_log(path).runs[0].log.arrival_s) == 100
    old = path.read_bytes()
    write_log(found, arrays | {"run001.gap_us": np.zeros(1, np.uint8)}, path)
    read_log(path)
    path.write_bytes(old)
    with pytest.raises(InputError, match=r"one\.npz: is not the file that one\.json was written for"):
        read_job_log(path)
    path.with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes()[:50])
    with pytest.raises(InputError, match=r"one\.json: cannot be read"):
        read_job_log(path)


def test_a_log_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    write_log({"runs": []}, {"a": np.zeros(3)}, path)

    class Unwritable:
        def __array__(self, *arguments: Any, **fields: Any) -> np.ndarray:
            raise MemoryError("in the midst of the file")

    with pytest.raises(MemoryError):
        write_log({"runs": [1]}, {"a": np.zeros(3), "b": Unwritable()}, path)  # type: ignore[dict-item]
    found, arrays = read_log(path)
    assert (found["runs"], arrays["a"].tolist()) == ([], [0.0] * 3)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.json", "one.npz"]
    with pytest.raises(InputError, match="cannot be written"):
        write_log({}, {}, path / "below.json")


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"format": "other"})])
def test_what_is_no_log_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    np.savez(tmp_path / "a.npz", a=np.zeros(1))
    with pytest.raises(InputError, match=r"a\.json"):
        read_job_log(tmp_path / "a.json")


def test_damaged_files_are_told_in_one_line(tmp_path: Path) -> None:
    whole = json.loads((FOLDER / "sasrec-bf16-graph.json").read_text())
    arrays = (FOLDER / "sasrec-bf16-graph.npz").read_bytes()
    for document, data in (
        ({"format": "recfleet-server-log"}, arrays),
        (whole | {"job": {"name": "x"}}, arrays),
        (whole, arrays[: len(arrays) // 2]),
        (whole | {"runs": [whole["runs"][-1] | {"name": "run999"}]}, arrays),
    ):
        write_json(document, tmp_path / "log.json")
        (tmp_path / "log.npz").write_bytes(data)
        with pytest.raises(InputError, match=r"log\.json"):
            read_job_log(tmp_path / "log.json")


def test_stages_that_take_other_numbers_of_items_are_refused(tmp_path: Path) -> None:
    arrival_s = arrivals("poisson", 50.0, 100, 1)
    stages = tuple(
        StageLog(
            (serve_virtually(arrival_s, units, BatchRule(8, 0.0), (1, 8), (0.002, 0.004)),), np.zeros(100, np.uint8)
        )
        for units in (2, 1)
    )
    job = {
        "name": "funnel",
        "models": [{"model": "dlrm", "device": "cpu", "request_units": units} for units in (2, 1)],
        "runs": [run_plan(max_batch=[8, 8], max_wait_s=[0.0, 0.0])],
    }  # fmt: skip
    read = read_job_log(written(tmp_path, job, [small_document(), small_document()], RunLog(arrival_s, (2, 1), stages)))
    with pytest.raises(InputError, match="1 and 2 items"):
        compare_run(read, read.runs[0], Spread(0.0, 1, 1))
