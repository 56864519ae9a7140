"""Tables: what they hold, and that their text is the same everywhere."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from recfleet.estimates import estimate
from recfleet.tables import (
    csv_text,
    decisions_frame,
    intervals_frame,
    number_text,
    replicas_frame,
    service_intervals_frame,
    service_rows,
    summary_rows,
    wanted_text,
)
from simulator.cluster import RESOURCES
from simulator.metrics import SERVICE_METRICS
from tests.recfleet.fakes import record

RUNS = [record("hpa", 1, intervals=12), record("mip", 1, intervals=12)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.3333333333"),
        (-0.0, "0"),
        (math.nan, ""),
        (None, ""),
        (7, "7"),
        (1e-12, "1e-12"),
        (123456789012.5, "1.23456789e+11"),
        ("mip", "mip"),
    ],
)
def test_number_text(value: object, text: str) -> None:
    assert number_text(value) == text


def test_csv_reads_back() -> None:
    rows = summary_rows(RUNS)
    read = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [row["policy"] for row in read] == ["hpa", "mip"]
    for row, back in zip(rows, read):
        assert int(back["requests"]) == row["requests"]
        assert float(back["cost_usd"]) == pytest.approx(row["cost_usd"], rel=1e-9)
    services = list(csv.DictReader(io.StringIO(csv_text(service_rows(RUNS), columns_of=SERVICE_METRICS))))
    assert len(services) == 6


def test_frames_agree_with_the_run() -> None:
    intervals, services = intervals_frame(RUNS), service_intervals_frame(RUNS)
    result = RUNS[0].result
    mine = intervals[intervals["policy"] == "hpa"]
    assert len(mine) == 12
    assert mine["arrived"].sum() == result.arrived.sum()
    assert mine["cost_usd"].sum() == pytest.approx(result.intervals.cost_usd.sum())
    for r, resource in enumerate(RESOURCES):
        total = (mine[f"used_{resource}"] * mine["length_s"]).sum()
        assert total == pytest.approx(result.intervals.used[:, r].sum())
    by_service = services[services["policy"] == "hpa"].groupby("service", sort=False)["arrived"].sum()
    assert by_service.to_list() == result.arrived.tolist()
    replicas = replicas_frame(RUNS)
    assert replicas["ready"].sum() == sum(int(run.result.intervals.ready.sum()) for run in RUNS)
    decisions = decisions_frame(RUNS)
    assert len(decisions) == 24
    assert decisions["objective_usd_per_hour"].isna().all()


def test_wanted_text() -> None:
    wanted = np.array([[2, 0], [0, 1]])
    assert wanted_text(wanted, ("a/x", "b/y"), ("gpu", "cpu")) == "a/x@gpu=2, b/y@cpu=1"
    assert wanted_text(np.zeros((2, 2)), ("a/x", "b/y"), ("gpu", "cpu")) == ""


def test_estimate_against_student_by_hand() -> None:
    """t(0.975, 2) = 4.302653; sd of 1, 2, 6 is 2.645751."""
    value = estimate([1.0, 2.0, 6.0])
    assert value.mean == 3.0
    assert value.half_width == pytest.approx(4.302653 * 2.645751 / math.sqrt(3), rel=1e-5)
    assert math.isnan(estimate([4.0]).half_width)
    assert math.isnan(estimate([]).mean)
    assert estimate([1.0, math.nan]).n == 1


def test_estimate_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = sum(abs(e.mean - 2.0) <= e.half_width for e in (estimate(rng.normal(2, 1, 4).tolist()) for _ in range(2000)))
    assert 0.935 < hits / 2000 < 0.965
