"""A window as a Chrome trace: what it holds, and that its spans nest as viewers want them."""

from __future__ import annotations

import json

import numpy as np

from simulator.monitoring.chrome_trace import chrome_trace
from simulator.monitoring.requests import RequestSample
from simulator.monitoring.series import Series

NAN = np.nan


def sample() -> RequestSample:
    """Two requests in one batch, the second refused at the second stage; a third that found no replica."""
    return RequestSample(
        id=np.array([7, 8, 9]),
        service=np.zeros(3, np.int64),
        arrival_s=np.array([1.0, 1.25, 1.5]),
        status=np.array([1, 2, 3]),
        done_s=np.array([4.0, NAN, NAN]),
        stage=np.array([[0, 1], [0, -1], [-1, -1]]),
        slot=np.array([[3, 5], [3, -1], [-1, -1]]),
        ready_s=np.array([[1.0, 2.5], [1.25, NAN], [NAN, NAN]]),
        start_s=np.array([[1.5, 3.0], [1.5, NAN], [NAN, NAN]]),
        end_s=np.array([[2.5, 4.0], [2.5, NAN], [NAN, NAN]]),
        stages=("shop/retrieve", "shop/rank"),
    )


def test_batches_requests_events_and_series() -> None:
    queue = Series("queue_requests", "requests", ("shop/rank",), np.array([[2.0]]))
    trace = chrome_trace(sample(), events=[(1.75, "node 3 lost")], series=[(queue, np.array([2.0]))])
    rows = json.loads(json.dumps(trace, allow_nan=False))["traceEvents"]
    batches = [(r["tid"], r["ts"], r["dur"], r["args"]["requests"]) for r in rows if r["ph"] == "X"]
    assert batches == [(3, 1.5e6, 1.0e6, 2), (5, 3.0e6, 1.0e6, 1)]
    assert [r["name"] for r in rows if r["ph"] == "i"] == ["node 3 lost"]
    assert [r["args"] for r in rows if r["ph"] == "C"] == [{"shop/rank": 2.0}]
    assert "shop/rank, replica 5" in [r["args"]["name"] for r in rows if r["ph"] == "M"]


def test_a_request_is_one_span_with_its_stages_inside() -> None:
    rows = chrome_trace(sample())["traceEvents"]
    for number, (start_s, end_s) in {7: (1.0, 4.0), 8: (1.25, 2.5), 9: (1.5, 1.5)}.items():
        mine = [r for r in rows if r.get("id") == number]
        assert (mine[0]["name"], mine[0]["ph"]) == (f"request {number}", "b")
        times = [r["ts"] for r in mine]
        assert (min(times), max(times)) == (start_s * 1e6, end_s * 1e6)
        names = [r["name"] for r in mine if r["ph"] == "b"]
        assert sorted(names) == sorted(r["name"] for r in mine if r["ph"] == "e")
    inside = [r["name"] for r in rows if r.get("id") == 7 and r["ph"] == "b"][1:]
    assert inside == [f"{what} shop/{stage}" for stage in ("retrieve", "rank") for what in ("to", "wait", "in")]


def test_only_the_window() -> None:
    assert sample().within(1.25, 1.5).id.tolist() == [8]
