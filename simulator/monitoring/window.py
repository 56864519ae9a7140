"""The requests of a window of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.plan import RecordPlan
from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.trace import Trace

__all__ = ["MOST_REQUESTS", "window_of"]

MOST_REQUESTS = 2_000_000
"""Requests that a window may hold: a Chrome trace of more opens in no viewer."""


def window_of(trace: Trace, start_s: float, end_s: float) -> RecordPlan:
    """All requests that arrive in ``[start_s, end_s)``, found by one pass over the trace.

    Raises
    ------
    InputError
        If there are none, or more than `MOST_REQUESTS`.
    """
    first = last = 0
    for block in trace.blocks():
        first += int(np.searchsorted(block.arrival_s, start_s))
        last += int(np.searchsorted(block.arrival_s, end_s))
        if len(block) and block.arrival_s[-1] >= end_s:
            break
    where, found = f"window {start_s:g} to {end_s:g} s", last - first
    if found == 0:
        raise InputError(where, "holds no request", f"choose one within 0 to {trace.info.duration_s:g} s")
    if found > MOST_REQUESTS:
        raise InputError(where, f"holds {found} requests", f"choose a shorter one: at most {MOST_REQUESTS}")
    return RecordPlan(rows=found, first_id=first)
