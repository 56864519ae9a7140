"""Ongoing requests as Ray Serve's controller knows them: samples of a look-back period, made one number."""

from __future__ import annotations

import math
from collections import deque

from workloads.errors import InputError

__all__ = ["AGGREGATIONS", "LookBack"]

AGGREGATIONS = ("mean", "max", "min")
"""``aggregation_function``."""


class LookBack:
    """Samples of the last ``period_s``; a sample exactly so old is out.

    Parameters
    ----------
    aggregation
        One of `AGGREGATIONS`.
    """

    def __init__(self, period_s: float, aggregation: str = "mean") -> None:
        if aggregation not in AGGREGATIONS:
            raise InputError("aggregation_function", f"{aggregation!r} is unknown", f"use {', '.join(AGGREGATIONS)}")
        self._period_s, self._aggregation = period_s, aggregation
        self._samples: deque[tuple[float, float]] = deque()

    def record(self, now_s: float, value: float) -> float:
        """Add a sample, not before the last one; the number that the controller decides by."""
        self._samples.append((now_s, value))
        while len(self._samples) > 1 and self._samples[0][0] <= now_s - self._period_s:
            self._samples.popleft()
        values = [sample for _, sample in self._samples]
        if self._aggregation == "mean":
            return math.fsum(values) / len(values)
        return max(values) if self._aggregation == "max" else min(values)
