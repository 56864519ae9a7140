"""A window of a run as a Chrome trace, to be opened in Perfetto or ``chrome://tracing``.

Format: Trace Event Format (Google, 2016), JSON object form; times in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.monitoring.requests import STATUSES, RequestSample
from simulator.monitoring.series import Series

if TYPE_CHECKING:
    from simulator.result import Decision

__all__ = ["chrome_trace"]

_REPLICAS, _REQUESTS, _CONTROL, _SERIES = 1, 2, 3, 4
_MICRO = 1e6


def chrome_trace(
    sample: RequestSample,
    decisions: Sequence[Decision] = (),
    events: Sequence[tuple[float, str]] = (),
    series: Sequence[tuple[Series, np.ndarray]] = (),
) -> dict[str, Any]:
    """The trace as a JSON object.

    Parameters
    ----------
    sample
        The window's requests.
    decisions
        Of the policy, within the window.
    events
        Times (s) and texts of what happened to the fleet.
    series
        Series to draw, each with the times (s) of its rows.
    """
    rows = [
        *_names(sample),
        *_batches(sample),
        *_journeys(sample),
        *_decisions(decisions),
        *(_instant(time_s, text) for time_s, text in events),
        *_counters(series),
    ]
    return {"traceEvents": rows, "displayTimeUnit": "ms"}


def _names(sample: RequestSample) -> Iterator[dict[str, Any]]:
    for process, name in (
        (_REPLICAS, "replicas"),
        (_REQUESTS, "requests"),
        (_CONTROL, "control plane"),
        (_SERIES, "series"),
    ):
        yield _meta("process_name", process, 0, name)
    served = sample.slot >= 0
    for slot in np.unique(sample.slot[served]).tolist():
        stage = int(sample.stage[served & (sample.slot == slot)][0])
        yield _meta("thread_name", _REPLICAS, slot, f"{sample.stages[stage]}, replica {slot}")


def _meta(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _batches(sample: RequestSample) -> Iterator[dict[str, Any]]:
    """One bar a batch, from the requests of the sample that it held."""
    held = (sample.slot >= 0) & np.isfinite(sample.end_s)
    keys = np.stack([sample.slot[held], sample.start_s[held], sample.end_s[held]], axis=1)
    batches, first, requests = np.unique(keys, axis=0, return_index=True, return_counts=True)
    stage = sample.stage[held][first]
    for (slot, start_s, end_s), k, count in zip(batches.tolist(), stage.tolist(), requests.tolist()):
        yield {
            "ph": "X",
            "name": f"{sample.stages[k]}: {count}",
            "cat": "batch",
            "pid": _REPLICAS,
            "tid": int(slot),
            "ts": start_s * _MICRO,
            "dur": (end_s - start_s) * _MICRO,
            "args": {"requests": count},
        }


def _journeys(sample: RequestSample) -> Iterator[dict[str, Any]]:
    """A nested span a request: the whole, then transfer, wait and compute at each stage."""
    for row in range(len(sample)):
        number, arrival_s = int(sample.id[row]), float(sample.arrival_s[row])
        status = STATUSES[int(sample.status[row])]
        ends_s = sample.end_s[row][np.isfinite(sample.end_s[row])]
        done_s = float(sample.done_s[row])
        over_s = done_s if np.isfinite(done_s) else float(ends_s.max(initial=arrival_s))
        whole = _span(number, f"request {number}", arrival_s, over_s, {"status": status})
        yield next(whole)
        reached_s = arrival_s
        for k, ready_s, start_s, end_s in zip(
            sample.stage[row].tolist(), sample.ready_s[row].tolist(), sample.start_s[row].tolist(),
            sample.end_s[row].tolist(),
        ):  # fmt: skip
            if k < 0 or not np.isfinite(end_s):
                break
            name = sample.stages[k]
            for what, from_s, to_s in (("to", reached_s, ready_s), ("wait", ready_s, start_s), ("in", start_s, end_s)):
                yield from _span(number, f"{what} {name}", from_s, to_s, {})
            reached_s = end_s
        yield from whole


def _span(number: int, name: str, start_s: float, end_s: float, args: dict[str, Any]) -> Iterator[dict[str, Any]]:
    common = {"name": name, "cat": "request", "pid": _REQUESTS, "tid": 0, "id": number}
    yield {"ph": "b", "ts": start_s * _MICRO, "args": args, **common}
    yield {"ph": "e", "ts": end_s * _MICRO, **common}


def _decisions(decisions: Sequence[Decision]) -> Iterator[dict[str, Any]]:
    for d in decisions:
        if d.started or d.drained:
            yield _instant(d.now_s, f"decision: +{d.started} -{d.drained} replicas ({d.status})")


def _instant(time_s: float, text: str) -> dict[str, Any]:
    return {"ph": "i", "s": "g", "name": text, "cat": "control", "pid": _CONTROL, "tid": 0, "ts": time_s * _MICRO}


def _counters(series: Sequence[tuple[Series, np.ndarray]]) -> Iterator[dict[str, Any]]:
    for one, times_s in series:
        for time_s, values in zip(times_s.tolist(), one.values.tolist()):
            args = {label: value for label, value in zip(one.labels, values) if np.isfinite(value)}
            yield {"ph": "C", "name": one.name, "pid": _SERIES, "tid": 0, "ts": time_s * _MICRO, "args": args}
