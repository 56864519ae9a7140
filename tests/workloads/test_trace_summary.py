"""Summaries against hand-made traces and against theory."""

import numpy as np
import pytest

from workloads.arrivals import RateCurve, RenewalArrivals
from workloads.popularity import ZipfPopularity
from workloads.trace import ArrayTrace, GeneratedTrace, Stream, TraceInfo
from workloads.trace.summary import summarise


def test_a_trace_counted_by_hand() -> None:
    info = TraceInfo("hand", ("a", "b"), 180.0, "typed in", "none", synthetic=True)
    times = [0.0, 10.0, 20.0, 30.0, 70.0, 130.0]
    trace = ArrayTrace(
        info, times, service=[0, 0, 0, 1, 1, 0], user=[1, 1, 2, -1, 3, 2**40], items=[0, 4, 0, 8, 0, 0], bytes_in=600
    )
    summary = trace.describe()
    assert summary.requests == 6
    assert summary.mean_rate_rps == pytest.approx(6 / 180)
    assert summary.peak_minute_rate_rps == pytest.approx(4 / 60)
    assert summary.peak_to_mean == pytest.approx(2.0)
    gaps = np.diff(times)
    assert summary.cv_interarrival == pytest.approx(gaps.std() / gaps.mean())
    assert summary.dispersion_minute == pytest.approx(np.var([4, 1, 1], ddof=1) / 2)
    assert summary.users == 4
    assert summary.items == 0
    assert np.isnan(summary.item_zipf_s)
    assert summary.mean_items == pytest.approx(2)
    assert summary.mean_bytes_in == 600
    a, b = summary.services
    assert (a.service, a.requests, b.requests) == ("a", 4, 2)
    assert a.share == pytest.approx(4 / 6)
    assert b.mean_items == pytest.approx(4)
    assert np.isnan(b.cv_interarrival)


@pytest.mark.parametrize("cv", [1.0, 2.0])
def test_a_drawn_trace_has_its_burstiness_and_its_popularity(cv: float) -> None:
    info = TraceInfo("drawn", ("a",), 36_000.0, "test", "none", synthetic=True)
    process = RenewalArrivals(RateCurve.constant(20, 36_000.0), cv)
    stream = Stream("a", 0, process, ZipfPopularity(500, 0.7), ZipfPopularity(2000, 1.1))
    summary = GeneratedTrace(info, [stream], 2).describe()
    assert summary.mean_rate_rps == pytest.approx(20, rel=0.01)
    assert summary.cv_interarrival == pytest.approx(cv, rel=0.02)
    assert summary.dispersion_minute == pytest.approx(cv**2, rel=0.2)
    assert summary.user_zipf_s == pytest.approx(0.7, abs=0.02)
    assert summary.item_zipf_s == pytest.approx(1.1, abs=0.03)


def test_summary_does_not_depend_on_blocks_and_reports_progress() -> None:
    info = TraceInfo("t", ("a",), 1000.0, "", "", synthetic=True)
    rng = np.random.default_rng(0)
    trace = ArrayTrace(info, np.sort(rng.random(300_000) * 1000), user=rng.integers(0, 2**50, 300_000))
    rows: list[int] = []
    summary = summarise(trace, rows.append)
    assert rows == [262_144, 37_856]
    gaps = np.diff(trace.column("arrival_s"))
    assert summary.cv_interarrival == pytest.approx(gaps.std() / gaps.mean(), rel=1e-6)
    assert summary.users == len(np.unique(trace.column("user")))


def test_one_request_has_no_burstiness() -> None:
    info = TraceInfo("one", ("a",), 30.0, "", "", synthetic=True)
    summary = ArrayTrace(info, [3.0]).describe()
    assert summary.requests == 1
    assert summary.peak_minute_rate_rps == pytest.approx(1 / 60)
    assert np.isnan(summary.cv_interarrival)
    assert np.isnan(summary.dispersion_minute)
