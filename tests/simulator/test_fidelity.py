"""Predictions of logged arrivals: right where the answer is known, with intervals that cover as they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.fidelity.comparison import LEAST_DRIFT, Spread, compare, drift_of
from simulator.fidelity.log_file import COLUMNS, read_log, write_log
from simulator.fidelity.prediction import predict
from simulator.fidelity.setup import ServedStage, served_stage, with_assembly
from simulator.fidelity.summary import METRICS, summarise
from tests.workloads.profile_documents import full_document, small_document
from tests.workloads.virtual_server import serve_virtually
from workloads.errors import InputError
from workloads.profile import ModelProfile, profile_from_document
from workloads.server.arrivals import arrivals
from workloads.server.batching import BatchRule
from workloads.server.log import RequestLog, RunLog, StageLog


def profile(**changes: Any) -> ModelProfile:
    """One that counts requests, of eight sizes with a spread of some per cent."""
    document = small_document()
    levels = [0.0, 0.1, 0.5, 0.9, 0.99, 1.0]
    spread = np.array([0.97, 0.98, 1.0, 1.03, 1.15, 1.3])
    sizes = list(range(1, 9))
    mean_s = [1e-3 + 0.4e-3 * size for size in sizes]
    document["model"]["unit"] = "requests"
    document["latency"] = {
        "batch_sizes": sizes, "runs": [200] * 8, "runs_set_aside": [0] * 8, "quantile_levels": levels,
        "quantiles_s": [(mean * spread).tolist() for mean in mean_s],
        "mean_s": [mean * float(np.trapezoid(spread, levels)) for mean in mean_s], "cpu_core_s": mean_s, "split": None,
        "drift": [0.0] * 8, "two_modes": [False] * 8,
    }  # fmt: skip
    return replace(profile_from_document(document), **changes)


def exact(stage: ServedStage, mean_s: np.ndarray) -> ServedStage:
    return stage.with_table(stage.table.without_noise(mean_s))


def test_without_noise_it_is_the_servers_own_loop() -> None:
    """The server's loop is held against the oracle by tests of its own."""
    known = profile()
    arrival_s = arrivals("gamma", 1500.0, 2000, 3)
    stage = exact(served_stage(known, 6, 2e-3), known.mean_s)
    made = predict(arrival_s, [stage], 1)
    sizes, mean_s = tuple(known.batch_sizes.tolist()), tuple(known.mean_s.tolist())
    batches = serve_virtually(arrival_s, 1, BatchRule(6, 2e-3), sizes, mean_s)
    served = RunLog(arrival_s, (1,), (StageLog((batches,), np.zeros(2000, np.uint8)),)).requests()
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(made, name), getattr(served, name), rtol=0, atol=1e-9)
    np.testing.assert_allclose(summarise(made), summarise(served))
    assert summarise(served)[METRICS.index("mean_batch")] == pytest.approx(batches.requests.mean())


def test_a_funnel_with_items_and_replicas_keeps_its_shape() -> None:
    known = profile()
    arrival_s = arrivals("poisson", 400.0, 1000, 4)
    first = exact(served_stage(known, 4, 1e-3, replicas=2, router="round_robin"), known.mean_s)
    items = profile_from_document(small_document())
    second = exact(served_stage(items, 8, 0.0), items.mean_s)
    made = predict(arrival_s, [first, second], 1, np.full(1000, 4))
    assert set(made.batch.tolist()) <= {4, 8}
    _, middle_s, _ = (
        np.concatenate(columns)
        for columns in zip(
            *(
                _by_request(serve_virtually(arrival_s[r::2], 1, BatchRule(4, 1e-3), tuple(range(1, 9)), known.mean_s))
                for r in (0, 1)
            )
        )
    )
    order = np.argsort(middle_s, kind="stable")
    batches = serve_virtually(middle_s[order], 4, BatchRule(8, 0.0), (1, 8), tuple(items.mean_s))
    np.testing.assert_allclose(np.sort(made.done_s), np.sort(np.repeat(batches.done_s, batches.requests)), atol=1e-9)


def _by_request(batches: Any) -> list[np.ndarray]:
    return [np.repeat(column, batches.requests) for column in (batches.start_s, batches.done_s, batches.units)]


@pytest.mark.parametrize("load", [0.3, 0.9])
def test_a_log_of_the_simulators_own_is_predicted_within_its_noise(load: float) -> None:
    stage = served_stage(profile(), 8, 2e-3)
    arrival_s = arrivals("poisson", load * 8 / 4.3e-3, 6000, 5)
    found = compare(predict(arrival_s + 50.0, [stage], 99), [stage], Spread(drift=0.002, replicates=30, point_runs=4))
    assert np.abs(found.error).max() < 0.02
    assert found.covered.all()
    assert found.predicted_log.arrival_s[0] == pytest.approx(50.0 + arrival_s[0])
    document = found.as_document()
    assert list(document) == ["measured", "predicted", "error", "low", "high"]
    assert all(tuple(part) == METRICS for part in document.values())


def test_intervals_cover_as_often_as_they_say() -> None:
    """Servers drawn as the intervals assume: another profile's luck, a drift of each run's own."""
    stage, drift, spread = served_stage(profile(), 8, 1e-3), 0.02, Spread(drift=0.02, replicates=40, point_runs=1)
    arrival_s = arrivals("poisson", 900.0, 1000, 6)
    generator = np.random.default_rng(1)
    covered = []
    for number in range(30):
        factor = float(np.exp(drift * generator.standard_normal()))
        log = predict(arrival_s, [stage.scaled(factor)], 1000 + number)
        covered.append(compare(log, [stage], replace(spread, seed=number)).covered[: METRICS.index("mean_ms") + 1])
    assert 0.80 <= np.mean(covered) <= 0.97


def test_a_slower_server_is_seen_and_not_covered() -> None:
    stage = served_stage(profile(), 8, 1e-3)
    log = predict(arrivals("poisson", 900.0, 2000, 6), [stage.scaled(1.15)], 3)
    found = compare(log, [stage], Spread(replicates=30, point_runs=2))
    assert (found.error[:4] < -0.08).all()
    assert not found.covered[:4].any()


def test_assembly_lengthens_every_batch() -> None:
    stage = served_stage(profile(), 8, 1e-3)
    longer = with_assembly(stage, {"batch_sizes": [1, 8], "mean_s": [1e-4, 8e-4]})
    added_s = longer.table.latency_s - stage.table.latency_s
    np.testing.assert_allclose(added_s, np.repeat(np.arange(1, 9)[:, None] * 1e-4, 6, axis=1))
    assert longer.table.cold_s == 0.0
    cold = with_assembly(stage, {"batch_sizes": [1, 8], "mean_s": [1e-4, 8e-4], "cold_s": 2e-5})
    assert cold.table.cold_s == 2e-5


def test_drift_is_the_profiles_own_or_the_least_assumed() -> None:
    assert drift_of(profile(), 8) == LEAST_DRIFT
    assert drift_of(profile(drift=np.array([0.03] * 4 + [0.5] * 4)), 4) == pytest.approx(0.03)


def test_shared_devices_need_measured_interference() -> None:
    with pytest.raises(InputError, match="interference"):
        served_stage(profile(), 4, 0.0, replicas=2, shares_device=True)
    shared = profile_from_document(full_document())
    alone = predict(arrivals("poisson", 100.0, 300, 1), [served_stage(shared, 8, 0.0, 2)], 1)
    together = predict(arrivals("poisson", 100.0, 300, 1), [served_stage(shared, 8, 0.0, 2, shares_device=True)], 1)
    assert summarise(together)[3] > summarise(alone)[3]


def test_replicas_of_a_gpu_take_turns() -> None:
    """Two replicas by turns on one GPU, batches of one, are a queue before one server: by Lindley's recursion."""
    document = full_document()
    document["device"]["kind"], document["model"]["unit"] = "cuda", "requests"
    shared = profile_from_document(document)
    stage = exact(served_stage(shared, 1, 0.0, 2, "round_robin", shares_device=True), shared.mean_s)
    assert stage.table.interference is not None
    assert stage.table.interference.takes_turns
    arrival_s = arrivals("poisson", 0.6 / float(shared.mean_s[0]), 400, 2)
    done_s, free_s = predict(arrival_s, [stage], 1).done_s, 0.0
    for came_s, ended_s in zip(arrival_s, done_s):
        free_s = max(came_s, free_s) + float(shared.mean_s[0])
        assert ended_s == pytest.approx(free_s, abs=1e-9)


# --- logs in files -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    log = predict(arrivals("poisson", 900.0, 300, 6), [served_stage(profile(), 8, 1e-3)], 3)
    return pd.DataFrame({name: getattr(log, name) for name in COLUMNS})


def test_a_log_is_read_as_written_whatever_its_order(frame: pd.DataFrame, tmp_path: Path) -> None:
    write_log(tmp_path / "a.parquet", RequestLog(*(frame[name].to_numpy() for name in COLUMNS)), items=3)
    frame.sample(frac=1.0, random_state=1).to_csv(tmp_path / "b.csv", index=False)
    one, other = read_log(tmp_path / "a.parquet", 8), read_log(tmp_path / "b.csv", 8)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one.log, name), getattr(other.log, name))
    assert one.items is not None
    assert set(one.items.tolist()) == {3}
    assert other.items is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(COLUMNS),
    row=st.integers(0, 299),
    value=st.sampled_from([np.nan, np.inf, -np.inf, -1.0, 1e9, 0.0, 2.5, "text", None, True, "drop", 1e-300]),
)
def test_a_damaged_log_is_refused_in_words_or_still_sound(
    frame: pd.DataFrame, tmp_path: Path, column: str, row: int, value: Any
) -> None:
    damaged = frame.drop(columns=column) if value == "drop" else frame.copy().astype({column: object})
    if value != "drop":
        damaged.loc[row, column] = value
    path = tmp_path / "log.csv"
    damaged.to_csv(path, index=False)
    refusal, read = "", None
    try:
        read = read_log(path, 8).log
    except InputError as error:
        refusal = str(error)
    if read is None:
        assert str(path) in refusal
        assert any(name in refusal for name in (column, "start_s", "done_s"))
    else:
        assert value in (1e9, 0.0, 1e-300, True, -1.0, 2.5)
        assert (read.start_s >= read.arrival_s - 2e-6).all()
        assert (read.done_s > read.start_s).all()
        assert ((read.batch >= 1) & (read.batch <= 8)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.assign(batch=9), "--max-batch"),
        (lambda f: f.assign(start_s=f.arrival_s, done_s=f.arrival_s + 1.0), "--replicas"),
        (lambda f: f.iloc[:0], "no row"),
        (lambda f: f.assign(items=0), "items"),
        (lambda f: f.assign(batch=1), "batch: is 1 at"),
        (lambda f: f.assign(arrival_s=pd.to_timedelta(f.arrival_s, unit="s")), "dates or durations"),
    ],
)
def test_logs_that_cannot_be_are_refused(frame: pd.DataFrame, tmp_path: Path, change: Any, words: str) -> None:
    change(frame).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match=words):
        read_log(tmp_path / "log.parquet", 8)


def test_a_log_may_begin_before_its_zero(frame: pd.DataFrame, tmp_path: Path) -> None:
    times = ["arrival_s", "start_s", "done_s"]
    frame.assign(**{name: frame[name] - 1000.0 for name in times}).to_parquet(tmp_path / "log.parquet")
    assert read_log(tmp_path / "log.parquet", 8).log.arrival_s[0] < 0.0


def test_two_replicas_may_overlap(tmp_path: Path) -> None:
    log = predict(arrivals("poisson", 1500.0, 400, 6), [served_stage(profile(), 4, 1e-3, replicas=2)], 3)
    write_log(tmp_path / "log.parquet", log)
    assert len(read_log(tmp_path / "log.parquet", 4, replicas=2).log.batch) == 400
    with pytest.raises(InputError, match="--replicas"):
        read_log(tmp_path / "log.parquet", 4)


def test_caps_and_waits_that_cannot_be_are_refused() -> None:
    for cap, wait_s, words in ((0, 0.0, "--max-batch"), (9, 0.0, "largest"), (4, -1.0, "--max-wait-ms")):
        with pytest.raises(InputError, match=words):
            served_stage(profile(), cap, wait_s)
