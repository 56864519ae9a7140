"""Kept logs of a server on an H200 are predicted no worse than when they were kept (docs/fidelity.md)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from simulator.fidelity.server_logs import JobLog, read_job_log
from tests.benchmarks.fidelity_keep import ERRORS, FOLDER, JUDGED, errors_of

ALLOWED = 0.005
"""Half a percentage point."""

KEPT = json.loads(ERRORS.read_text(encoding="utf-8"))


def grown(log: JobLog) -> list[str]:
    """Errors that have grown by more than is allowed and than luck explains."""
    found = []
    for run in log.runs:
        kept, error = KEPT[log.job.name][run.name], errors_of(log, run)
        for name in JUDGED:
            allowed = abs(kept["error"][name]) + ALLOWED + 3.0 * kept["luck"][name]
            if abs(error[name]) > allowed:
                found.append(f"{run.name} {run.plan.arrivals} {name}: {error[name]:+.4f}, allowed {allowed:.4f}")
    return found


@pytest.mark.parametrize("job", sorted(KEPT))
def test_no_error_grows_by_half_a_point(job: str) -> None:
    log = read_job_log(FOLDER / f"{job}.json")
    assert {run.name for run in log.runs} == set(KEPT[job])
    assert not grown(log)


def test_a_profile_two_per_cent_off_would_be_told() -> None:
    """The test above can fail."""
    log = read_job_log(FOLDER / "bert_reranker-fp32-graph.json")
    document = json.loads(json.dumps(log.found))
    latency = document["profiles"][0]["latency"]
    for key in ("mean_s", "cpu_core_s"):
        latency[key] = [0.98 * value for value in latency[key]]
    latency["quantiles_s"] = [[0.98 * value for value in row] for row in latency["quantiles_s"]]
    assert grown(replace(log, found=document))


def test_every_kept_log_says_where_and_when_it_was_measured() -> None:
    for job in KEPT:
        log = read_job_log(FOLDER / f"{job}.json")
        profile = log.found["profiles"][0]
        assert log.found["date"].startswith("2026-11-23")
        assert profile["device"]["name"] == "NVIDIA H200"
        assert profile["provenance"]["versions"]["torch"]


def test_logs_kept_for_calibration_are_marked() -> None:
    plans = [run.plan for job in KEPT for run in read_job_log(FOLDER / f"{job}.json").runs]
    allowed = [plan for plan in plans if not plan.held_out]
    assert allowed
    assert {(plan.arrivals, plan.load, plan.seed) for plan in allowed} == {("poisson", 0.3, 1), ("poisson", 0.6, 1)}
