"""Calibration: it finds what was put in, is judged on other logs, and helps where a profile is off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator.fidelity.calibration import Calibration, ServedBatches, batches_of, factor_of, fit
from simulator.fidelity.calibration_file import read_calibration, write_calibration
from simulator.fidelity.comparison import LEAST_DRIFT, Spread, compare
from simulator.fidelity.drift import drift_of_others, drift_so_far, offsets
from simulator.fidelity.prediction import predict
from simulator.fidelity.server_logs import (
    calibrate_job,
    calibrations_in_turn,
    compare_run,
    read_job_log,
)
from simulator.fidelity.setup import COLD_AFTER_S, ServedStage, served_stage
from simulator.fidelity.turns import turns_of
from simulator.latency_tables import Interference, mean_over_quantiles
from tests.benchmarks.fidelity_keep import FOLDER
from tests.benchmarks.fidelity_table import drifts_for, drifts_of
from tests.simulator.test_fidelity import profile
from workloads.errors import InputError
from workloads.server.arrivals import arrivals
from workloads.server.batching import Batches

NO_ASSEMBLY = {"batch_sizes": [1, 32], "mean_s": [0.0, 0.0]}


def stage() -> ServedStage:
    return served_stage(profile(), 8, 1e-3)


def batches(factor: float, cold_s: float, correlation: float, seed: int, count: int = 4000) -> ServedBatches:
    """What a server would do whose batches take so many times the profile, with noise of 2 %."""
    rng = np.random.default_rng(seed)
    units = rng.integers(1, 9, count)
    idle_s = rng.exponential(1e-3, count) * (rng.random(count) < 0.5)
    noise = np.zeros(count)
    for k, step in enumerate(rng.standard_normal(count)):
        noise[k] = correlation * noise[k - 1] + np.sqrt(1.0 - correlation**2) * step
    mean_s = np.interp(units, stage().table.batch_sizes, mean_over_quantiles(stage().table))
    cold = cold_s * (1.0 - np.exp(-idle_s / COLD_AFTER_S))
    return ServedBatches(f"log {seed}", units, mean_s * (factor + 0.02 * noise) + cold, idle_s)


def test_what_was_put_in_is_found() -> None:
    found = fit("p", stage(), [batches(1.07, 1e-4, 0.6, seed) for seed in (1, 2)], {})
    assert found.factor == pytest.approx(1.07, abs=0.002)
    assert found.cold_s == pytest.approx(1e-4, rel=0.1)
    assert found.correlation == pytest.approx(0.6, abs=0.05)
    assert (found.batches, found.left_out) == (8000, 0)
    assert found.drift < 0.003
    assert fit("p", stage(), [batches(f, 0.0, 0.0, 3) for f in (1.0, 1.1)], {}).drift == pytest.approx(0.067, rel=0.05)


def test_batches_that_took_too_long_are_left_out_and_few_refused() -> None:
    log = batches(1.0, 0.0, 0.0, 1)
    log.took_s[::100] *= 50.0
    found = fit("p", stage(), [log], {})
    assert (found.left_out, found.drift) == (40, 0.0)
    assert found.factor == pytest.approx(1.0, abs=0.002)
    with pytest.raises(InputError, match="too few"):
        fit("p", stage(), [batches(1.0, 0.0, 0.0, 1, count=49)], {})


def test_a_slower_server_is_predicted_after_calibration_on_another_log() -> None:
    served = stage().scaled(1.08)
    first, second = (predict(arrivals("poisson", 1200.0, 6000, seed), [served], seed) for seed in (1, 2))
    found = fit("p", stage(), [batches_of("first", first)], {})
    assert found.factor == pytest.approx(1.08, abs=0.003)
    spread = Spread(0.0, 3, 3)
    before, after = (compare(second, [one], spread).error[3] for one in (stage(), found.mended(stage())))
    assert abs(after) < 0.02 < abs(before)


def test_what_an_idle_machine_costs_is_not_told_from_idle_machines_alone() -> None:
    """Every batch but the first after a long idle time: one odd batch must not decide."""
    units = np.ones(400, dtype=np.int64)
    alone_s = float(mean_over_quantiles(stage().table)[0])
    took_s = alone_s * (1.0 + 0.01 * np.random.default_rng(1).standard_normal(400))
    for first in (0.7, 1.8):
        log = ServedBatches(
            "log", units, np.concatenate([[first * alone_s], took_s[1:]]), np.r_[0.0, np.full(399, 0.02)]
        )
        found = fit("p", stage(), [log], {})
        assert (found.factor, found.cold_s) == (pytest.approx(1.0, abs=0.005), 0.0)


def test_a_machine_that_is_simply_slow_is_not_cut_off() -> None:
    for slow in (3.2, 8.0):
        found = fit("p", stage(), [batches(slow, 0.0, 0.0, 1)], {})
        assert (found.factor, found.left_out) == (pytest.approx(slow, rel=0.01), 0)


def test_a_job_is_calibrated_on_what_it_may_be() -> None:
    log = read_job_log(FOLDER / "bert_reranker-bf16-graph.json")
    found = calibrate_job(log)
    allowed = {run.name for run in log.runs if not run.plan.held_out}
    assert set(found.fitted_on) == allowed
    assert found == calibrate_job(replace(log, runs=tuple(run for run in log.runs if run.name in allowed)))
    held = [run for run in log.runs if run.plan.held_out]
    errors = [
        np.mean([abs(compare_run(log, run, Spread(0.0, 1, 3), mend=mend).error[3]) for run in held])
        for mend in (lambda one: one, found.mended)
    ]
    assert errors[1] < 0.7 * errors[0]
    with pytest.raises(InputError, match="several"):
        calibrate_job(replace(read_job_log(FOLDER / "sasrec-fp32-graph-2gpus.json"), runs=log.runs))


def test_turns_on_one_gpu_are_fitted_on_one_run_and_hold_for_the_others() -> None:
    log = read_job_log(FOLDER / "two_tower-fp32-graph-shared.json")
    found = calibrate_job(log)
    assert 0.0 < found.turn_waiting_s < found.turn_s < 3e-4
    for run in log.runs[1:]:
        plain, mended = (
            compare_run(log, run, Spread(0.0, 1, 3), mend=mend) for mend in (lambda one: one, found.mended)
        )
        assert abs(mended.error[3]) < 0.5 * abs(plain.error[3])


def test_turns_are_found_as_they_were_made() -> None:
    served, generator = stage(), np.random.default_rng(3)
    own_s = float(mean_over_quantiles(served.table)[0])
    turn_s, waiting_s = 0.3 * own_s, 0.1 * own_s
    made: list[list[tuple[float, float]]] = [[], []]
    last, free_s = 0, [0.0, 0.0]
    for due_s in np.cumsum(generator.exponential(own_s, 400)):
        replica = int(generator.integers(0, 2))
        start_s, gpu_free_s = max(due_s, free_s[replica]), max(free_s)
        change_s = (waiting_s if gpu_free_s > start_s else turn_s) if replica != last else 0.0
        free_s[replica] = max(start_s, gpu_free_s) + own_s + change_s
        made[replica].append((start_s, free_s[replica]))
        last = replica
    ones = [np.ones(len(rows), np.int64) for rows in made]
    replicas = [Batches(one, one, *np.array(rows).T[[0, 0, 1]]) for one, rows in zip(ones, made)]
    assert turns_of("log", served, replicas)[:2] == pytest.approx((turn_s, waiting_s), rel=1e-6)
    with pytest.raises(InputError, match="too few"):
        turns_of("log", served, replicas[:1])


def test_a_machine_that_goes_cold_is_predicted_so() -> None:
    cold = stage()
    cold = cold.with_table(replace(cold.table, cold_s=5e-4, cold_after_s=COLD_AFTER_S))
    first, second = (predict(arrivals("poisson", 60.0, 3000, seed), [cold], seed) for seed in (1, 2))
    found = fit("p", stage(), [batches_of("first", first)], {})
    assert found.cold_s == pytest.approx(5e-4, rel=0.1)
    busy = predict(arrivals("poisson", 1200.0, 3000, 3), [cold], 3)
    for log in (second, busy):
        assert abs(compare(log, [found.mended(stage())], Spread(0.0, 3, 3)).error[3]) < 0.02
    only_factor = stage().scaled(factor_of(stage(), batches_of("first", first), 0.0))
    assert compare(busy, [only_factor], Spread(0.0, 3, 3)).error[3] > 0.05


def test_a_calibration_follows_the_machine_by_half() -> None:
    first = fit("p", stage(), [batches(1.0, 1e-4, 0.0, 1)], {"log 1": "a"})
    then = first.updated(stage(), batches(1.21, 1e-4, 0.0, 2), "b")
    assert then.factor == pytest.approx(1.1, abs=0.003)
    assert dict(then.fitted_on) == {"log 1": "a", "log 2": "b"}
    assert (first.factor, then.cold_s) == (pytest.approx(1.0, abs=0.002), first.cold_s)


def test_no_run_is_predicted_with_a_calibration_on_itself() -> None:
    log = read_job_log(FOLDER / "sasrec-bf16-graph.json")
    known = calibrate_job(log)
    for run, calibration in calibrations_in_turn(log, known):
        assert run.name not in calibration.fitted_on or not run.plan.held_out
    assert known.factor != calibration.factor


def test_drift_is_told_by_other_jobs_alone() -> None:
    found = {name: offsets(read_job_log(FOLDER / f"{name}.json")) for name in ("sasrec-fp32-graph", "dlrm-bf16-graph")}
    assert all(len(values) == 3 for values in found["sasrec-fp32-graph"].values())
    calibrated = {name: values["calibrated"] for name, values in found.items()}
    steady, drifts = (drift_of_others(calibrated, name) for name in ("dlrm-bf16-graph", "sasrec-fp32-graph"))
    assert (
        LEAST_DRIFT
        <= steady
        < drifts
        == pytest.approx(float(np.sqrt(np.mean(np.square(calibrated["dlrm-bf16-graph"])))))
    )
    assert drift_of_others({"a": [0.5]}, "a") == LEAST_DRIFT
    assert drift_of_others({"a": [0.5], "b": [0.03, -0.03], "c": [0.05]}, "a") == pytest.approx(np.sqrt(0.0017))


def test_drift_so_far_goes_from_that_of_others_to_the_jobs_own() -> None:
    assert drift_so_far(0.02, []) == 0.02
    assert drift_so_far(0.02, [0.0, 0.04, -0.04]) == pytest.approx(np.sqrt((3 * 0.02**2 + 2 * 0.04**2) / 6))
    assert drift_so_far(0.02, [0.05] * 1000) == pytest.approx(0.05, rel=0.01)
    assert 0.0 < drift_so_far(0.02, [0.0] * 1000) < 0.004


def test_files_come_back_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    known = Calibration("p", 1.05, 1e-5, 0.01, 0.4, 100, 1, {"a.parquet": "ab"})
    path = tmp_path / "c.json"
    write_calibration(known, path)
    assert read_calibration(path) == known
    for changes, match in (({"factor": 0.0}, "factor"), ({"format": "x"}, "format"), ({"more": 1}, "more")):
        path.write_text(json.dumps(json.loads(json.dumps(_document(known))) | changes))
        with pytest.raises(InputError, match=match):
            read_calibration(path)


def _document(known: Calibration) -> dict[str, object]:
    return {"format": "recfleet-calibration", "format_version": 1} | {
        name: getattr(known, name) for name in Calibration.__dataclass_fields__
    }


def test_a_calibration_without_turns_keeps_those_of_the_profile() -> None:
    turns = Interference((2,), np.ones(1), np.full((1, 1), 2.0), takes_turns=True, turn_s=1e-4, turn_waiting_s=5e-5)
    served = stage().with_table(replace(stage().table, interference=turns))
    plain = Calibration("p", 1.1, 0.0, 0.0, 0.0, 100, 0, {})
    assert plain.mended(served).table.interference == turns
    fitted = replace(plain, turn_s=0.0, turn_waiting_s=2e-5).mended(served).table.interference
    assert fitted is not None
    assert (fitted.turn_s, fitted.turn_waiting_s) == (0.0, 2e-5)


def test_the_only_eager_job_has_the_drift_of_those_with_graphs() -> None:
    logs = [read_job_log(FOLDER / f"{name}.json") for name in ("two_tower-fp32-eager", "sasrec-bf16-graph")]
    drifts = drifts_of(logs)
    assert set(drifts_for(logs[0], drifts)["assembly"]) == {"sasrec-bf16-graph"}
    assert drift_of_others(drifts_for(logs[0], drifts)["assembly"], logs[0].job.name) > 0.03


def test_a_replica_beside_idle_processes_takes_what_was_measured_there() -> None:
    log = read_job_log(FOLDER / "sasrec-fp32-graph-shared.json")
    latency = log.found["profiles"][0]["latency"]
    slower = {"batch_sizes": latency["batch_sizes"], "mean_s": [1.25 * value for value in latency["mean_s"]]}
    plan = log.runs[0].plan
    own, beside = (
        replace(log, found=log.found | {"beside": found, "assembly": [NO_ASSEMBLY] * 2}).stages(plan)[0].table.latency_s
        for found in (None, slower)
    )
    np.testing.assert_allclose(beside, 1.25 * own)
