"""Metrics against numbers worked out by hand, and against their page."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.attainment import outcomes_and_met, violated, worst_window
from simulator.histogram import N_BINS, RELATIVE_ERROR, bin_edges
from simulator.metrics import ACCURACY_METRICS, METRICS, SERVICE_METRICS, summarise, summarise_services
from simulator.result import Intervals, RunResult
from tests.recfleet.fakes import facts, run_result

REQUIRED = """
policy seed requests completed rejected failed p50_ms p95_ms p99_ms slo_attainment cost_usd
gpu_hours cpu_core_hours waste_gpu_hours waste_cpu_core_hours waste_squared utilisation_gpu
utilisation_cpu utilisation_gpu_memory utilisation_network utilisation_storage cold_starts
bound_cost_usd gap
"""


def by_hand(**changes: Any) -> RunResult:
    """Two intervals of 60 s; three services of which one is used; resources in round numbers."""
    fleet = dataclasses.replace(facts(60.0, 120.0), slo_quantile=np.array([0.9, 0.9, 0.9]))
    one = np.array([[1, 0, 0], [1, 0, 0]])
    zeros = np.zeros((2, 3))
    series: dict[str, Any] = {
        "start_s": np.array([0.0, 60.0]),
        "length_s": np.array([60.0, 60.0]),
        "arrived": one * 100,
        "completed": one * np.array([[90], [100]]),
        "rejected": one * np.array([[6], [0]]),
        "failed": one * np.array([[2], [0]]),
        "slo_met": one * np.array([[80], [99]]),
        "in_flight": one * 2,
        "p50_s": zeros,
        "p95_s": zeros,
        "p99_s": zeros,
        "queue_requests": zeros,
        "ready": np.zeros((2, 3, 2), int),
        "starting": np.zeros((2, 3, 2), int),
        "draining": np.zeros((2, 3, 2), int),
        "open_nodes": np.ones((2, 2), int),
        "provisioned": np.array([[8.0, 8e9, 200.0, 4e9, 2e9, 2e9], [16.0, 8e9, 400.0, 4e9, 2e9, 2e9]]) * 60,
        "allocated": np.array([[4.0, 4e9, 100.0, 2e9, 1e9, 1e9], [8.0, 4e9, 100.0, 2e9, 1e9, 1e9]]) * 60,
        "used": np.array([[2.0, 1e9, 50.0, 1e9, 0.0, 5e8], [4.0, 1e9, 50.0, 1e9, 0.0, 5e8]]) * 60,
        "cost_usd": np.array([3.0, 5.0]),
    }
    histogram = np.zeros((3, N_BINS), np.int64)
    edges = bin_edges()
    histogram[0, np.searchsorted(edges, 0.010) - 1] = 150
    histogram[0, np.searchsorted(edges, 0.100) - 1] = 42
    result = dataclasses.replace(
        run_result(of=fleet, intervals=2, interval_s=60.0),
        facts=fleet,
        intervals=Intervals(**series),
        arrived=np.array([200, 0, 0]),
        completed=np.array([192, 0, 0]),
        rejected=np.array([6, 0, 0]),
        failed=np.array([2, 0, 0]),
        slo_met=np.array([181, 0, 0]),
        histogram=histogram,
        cold_starts=3,
    )
    return dataclasses.replace(result, **changes)


def test_hand_case() -> None:
    row = summarise(by_hand(), bound_usd=2.0)
    expected = {
        "requests": 200,
        "completed": 192,
        "rejected": 6,
        "failed": 2,
        "slo_attainment": 181 / 200,
        "cost_usd": 8.0,
        "gap": 0.75,
        "gpu_hours": 24 / 60,
        "cpu_core_hours": 10.0,
        "waste_gpu_hours": 18 / 60,
        "waste_cpu_core_hours": 500 / 60,
        "idle_claimed_gpu_hours": 6 / 60,
        "idle_claimed_cpu_core_hours": 100 / 60,
        "utilisation_gpu": 0.25,
        "utilisation_cpu": 100 / 600,
        "utilisation_storage": 0.0,
        "utilisation_network": 0.25,
        "gpu_memory_gb_hours": 16 / 60,
        "cost_per_million_usd": 8 / 192e-6,
        "slo_margin": 181 / 200 - 0.9,
        "minutes_in_violation": 1.0,
        "cold_starts": 3,
        "worst_5min_slo": 179 / 198,
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-12), name


def test_fairness_by_hand() -> None:
    """Attainments 0.9 and 0.5 of services of weight 3 and 1; the third had no request."""
    changes = {"arrived": np.array([100, 10, 0]), "slo_met": np.array([90, 5, 0])}
    base = by_hand(**changes)
    fleet = dataclasses.replace(base.facts, service_weight=np.array([3.0, 1.0, 1.0]))
    ready = np.zeros((2, 3, 2), int)
    ready[:, 0, 0], ready[0, 1, 0] = 3, 2
    intervals = dataclasses.replace(base.intervals, ready=ready)
    result = dataclasses.replace(base, facts=fleet, intervals=intervals)
    row = summarise(result, 0.0)
    assert row["fairness_slo"] == pytest.approx((3 * 0.9 + 0.5) ** 2 / (4 * (3 * 0.81 + 0.25)), rel=1e-12)
    total = fleet.node_count @ fleet.capacity
    shares = [(3 * fleet.need[0, 0] / total).max(), (1 * fleet.need[1, 0] / total).max()]
    x = np.array([shares[0] / 3.0, shares[1]])
    assert row["fairness_share"] == pytest.approx(x.sum() ** 2 / (2 * (x**2).sum()), rel=1e-12)
    by_service = [r["dominant_share"] for r in summarise_services(result)]
    assert by_service == pytest.approx([*shares, 0.0])


def test_waste_squared_by_hand() -> None:
    """Shares of 4 x 8 GPUs and 4 x 192 + 20 x 64 = 2048 cores, summed over two whole intervals."""
    row = summarise(by_hand(), 0.0)
    gpu = (6 / 32) ** 2 + (12 / 32) ** 2
    cpu = (150 / 2048) ** 2 + (350 / 2048) ** 2
    assert row["waste_squared"] == pytest.approx(gpu + cpu, rel=1e-12)


def test_waste_squared_does_not_depend_on_a_split_of_the_last_interval() -> None:
    """An interval of half the length counts half."""
    result = by_hand()
    i = result.intervals
    half = dataclasses.replace(
        i,
        length_s=np.array([60.0, 30.0]),
        **{name: getattr(i, name) * np.array([[1.0], [0.5]]) for name in ("provisioned", "allocated", "used")},
    )
    row = summarise(dataclasses.replace(result, intervals=half), 0.0)
    gpu = (6 / 32) ** 2 + (12 / 32) ** 2 / 2
    cpu = (150 / 2048) ** 2 + (350 / 2048) ** 2 / 2
    assert row["waste_squared"] == pytest.approx(gpu + cpu, rel=1e-12)


def test_latencies_are_within_the_stated_error() -> None:
    row = summarise(by_hand(), 0.0)
    for name, value in (("p50_ms", 10.0), ("p95_ms", 100.0), ("p99_ms", 100.0), ("p999_ms", 100.0)):
        assert row[name] == pytest.approx(value, rel=2 * RELATIVE_ERROR), name
    assert row["mean_ms"] == pytest.approx((150 * 10 + 42 * 100) / 192, rel=2 * RELATIVE_ERROR)


def test_nothing_arrived_and_nothing_provisioned_give_no_number() -> None:
    result = by_hand(
        arrived=np.zeros(3, int),
        completed=np.zeros(3, int),
        slo_met=np.zeros(3, int),
        histogram=np.zeros((3, N_BINS), np.int64),
    )
    nothing = dataclasses.replace(
        result.intervals, provisioned=np.zeros((2, 6)), allocated=np.zeros((2, 6)), used=np.zeros((2, 6))
    )
    row = summarise(dataclasses.replace(result, intervals=nothing), math.nan)
    for name in ("p50_ms", "mean_ms", "slo_attainment", "utilisation_gpu", "bound_cost_usd", "gap", "slo_margin"):
        assert math.isnan(row[name]), name
    assert row["waste_gpu_hours"] == 0.0


def test_services_table() -> None:
    first, second, _ = summarise_services(by_hand())
    assert first["service"] == "feed"
    assert (first["requests"], first["rejected"], first["failed"]) == (200, 6, 2)
    assert first["slo_attainment"] == pytest.approx(181 / 200)
    assert first["slo_ms"] == 50.0
    assert first["minutes_in_violation"] == 1.0
    assert second["requests"] == 0
    assert math.isnan(second["slo_attainment"])
    assert math.isnan(second["worst_5min_slo"])
    assert second["minutes_in_violation"] == 0.0


def test_a_stalled_service_is_in_violation() -> None:
    """No outcome, requests in flight from beginning to end: all of them count as misses."""
    i = by_hand().intervals
    stalled = dataclasses.replace(
        i,
        completed=i.completed * np.array([[1], [0]]),
        slo_met=i.slo_met * np.array([[1], [0]]),
        in_flight=np.array([[2, 0, 0], [102, 0, 0]]),
    )
    outcomes, met = outcomes_and_met(stalled)
    assert outcomes[1, 0] == 2
    assert met[1, 0] == 0
    assert violated(stalled, np.array([0.9, 0.9, 0.9]))[1].tolist() == [True, False, False]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.floats(5.0, 700.0), st.integers(0, 2**31))
def test_worst_window_is_the_lowest_of_all_windows(n: int, length_s: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    completed = rng.integers(0, 20, (n, 2))
    met = rng.binomial(completed, 0.7)
    base = run_result(intervals=n).intervals
    none = np.zeros((n, 2), int)
    series = dataclasses.replace(
        base,
        length_s=np.full(n, length_s),
        completed=completed,
        slo_met=met,
        rejected=none,
        failed=none,
        in_flight=none,
    )
    fleet, services = worst_window(series)
    width = min(n, max(1, math.ceil(300.0 / length_s - 1e-9)))
    shares = []
    for t in range(n - width + 1):
        done = completed[t : t + width].sum()
        if done:
            shares.append(met[t : t + width].sum() / done)
    expected = min(shares, default=math.nan)
    assert fleet == pytest.approx(expected, nan_ok=True)
    lowest = np.nanmin(services) if np.isfinite(services).any() else math.nan
    assert not fleet < lowest - 1e-12


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 3.0))
def test_waste_splits_and_shares_are_shares(seed: int, generosity: float) -> None:
    row = summarise(run_result("any", seed, generosity=generosity), 1.0)
    for name, value in row.items():
        if name.startswith("waste_") and name != "waste_squared":
            column = name.removeprefix("waste_")
            assert 0 <= row[f"idle_claimed_{column}"] <= value * (1 + 1e-9)
            assert value <= row[column] * (1 + 1e-9)
        if name.startswith("utilisation_") or name.endswith(("_slo", "_attainment")):
            assert math.isnan(value) or 0 <= value <= 1
    assert row["requests"] == row["completed"] + row["rejected"] + row["failed"]
    assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["p999_ms"]


def test_required_columns_come_first_and_names_are_unique() -> None:
    required = REQUIRED.split()
    names = [metric.name for metric in METRICS]
    assert names[: len(required)] == required
    assert len(set(names)) == len(names)
    assert list(summarise(by_hand(), 1.0)) == names
    assert list(summarise_services(by_hand())[0]) == [metric.name for metric in SERVICE_METRICS]


def documented(heading: str) -> dict[str, tuple[str, str, str]]:
    """Column to (symbol, unit, denominator) as the page gives them under a heading."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", page, flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(heading))
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|", text, flags=re.MULTILINE)
    return {name: (symbol.strip("`"), unit, denominator) for name, symbol, unit, denominator in rows}


@pytest.mark.parametrize(
    ("heading", "registry"),
    [
        ("Columns of summary.csv", METRICS),
        ("Columns of services.csv", SERVICE_METRICS),
        ("Columns of accuracy.csv", ACCURACY_METRICS),
    ],
)
def test_the_page_and_the_registry_are_in_step(heading: str, registry: tuple[Any, ...]) -> None:
    expected = {m.name: (m.symbol, m.unit, m.denominator) for m in registry}
    assert documented(heading) == expected
