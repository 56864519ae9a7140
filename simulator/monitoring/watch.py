"""Which requests of a run are kept one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.trace import Trace

__all__ = ["MOST_REQUESTS", "Watch", "window_of"]

MOST_REQUESTS = 2_000_000
"""Requests that a window may hold: a Chrome trace of more opens in no viewer."""


@dataclass(frozen=True)
class Watch:
    """Each ``every``-th request from number ``first`` on, ``most`` at most (0: none)."""

    first: int = 0
    every: int = 1
    most: int = 0


def window_of(trace: Trace, start_s: float, end_s: float) -> Watch:
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
    return Watch(first, 1, found)
