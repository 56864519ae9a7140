"""Windows over time of the Knative Pod Autoscaler: averages of the load, and the largest of past decisions.

Time is cut into buckets of one length. A window of ``n`` buckets covers the present one and the ``n - 1`` before it.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["ExponentialWindow", "LinearWindow", "MaximumWindow", "bucket_count", "bucket_of"]

DIGITS = 6
"""Decimal places that averages are rounded to, so that sums of differences leave no dust."""
FULL_WEIGHT = 0.9999
"""Sum of the weights of an exponential window that is full, where the least decay does not make it more."""
LEAST_DECAY = 0.2
"""Least share of an exponential window's weight that its newest bucket has."""


def bucket_of(time_s: float, length_s: float) -> int:
    """Index of the bucket that a time lies in."""
    return math.floor(time_s / length_s + 1e-9)


def bucket_count(window_s: float, length_s: float) -> int:
    """Buckets of a window; at least one."""
    return max(1, math.ceil(window_s / length_s - 1e-9))


class MaximumWindow:
    """The largest value of the last ``buckets`` buckets; values fall along the queue, so each is kept once."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._falling: deque[tuple[int, int]] = deque()

    def record(self, bucket: int, value: int) -> int:
        """Add a value to a bucket not before the last one; the largest of the window that ends there."""
        while self._falling and self._falling[-1][1] <= value:
            self._falling.pop()
        self._falling.append((bucket, value))
        while self._falling[0][0] <= bucket - self._buckets:
            self._falling.popleft()
        return self._falling[0][1]


class LinearWindow:
    """The plain mean of the buckets; a window that has not been filled yet is divided by what it has.

    Values of one bucket add up, and a bucket without a value between others counts as 0. Buckets after the last value
    are left out, until the whole window is empty: then the mean is 0.
    """

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._values: deque[tuple[int, float]] = deque()
        self._first = 0
        self._total = 0.0

    def record(self, bucket: int, value: float) -> None:
        """Add a value to a bucket not before the last one."""
        values = self._values
        if not values or bucket - values[-1][0] >= self._buckets:
            values.clear()
            self._first, self._total = bucket, 0.0
        elif values[-1][0] == bucket:
            before = values.pop()[1]
            self._total -= before
            value += before
        values.append((bucket, value))
        self._total += value
        while values[0][0] <= bucket - self._buckets:
            self._total -= values.popleft()[1]

    def average(self, bucket: int) -> float | None:
        """The mean of the window that ends with a bucket not before the last value's; None before any value."""
        if not self._values:
            return None
        last = self._values[-1][0]
        oldest = max(self._first, bucket - self._buckets + 1)
        if oldest > last:
            return 0.0
        return round(self._mean(bucket, oldest, last), DIGITS)

    def _mean(self, bucket: int, oldest: int, last: int) -> float:
        whole = bucket == last
        total = self._total if whole else math.fsum(value for at, value in self._values if at >= oldest)
        return total / (last - oldest + 1)


class ExponentialWindow(LinearWindow):
    """A sum in which each bucket weighs less than the next newer one by the same factor.

    The share of the newest is such that the weights of a full window sum to `FULL_WEIGHT`, and at least `LEAST_DECAY`.
    Asked for by the annotation ``metric-aggregation-algorithm: weighted-exponential`` alone. A window that has not been
    filled yet has less weight in all: its value begins low.
    """

    def __init__(self, buckets: int) -> None:
        super().__init__(buckets)
        self.newest_share = max(1.0 - (1.0 - FULL_WEIGHT) ** (1.0 / buckets), LEAST_DECAY)

    def _mean(self, bucket: int, oldest: int, last: int) -> float:
        kept = 1.0 - self.newest_share
        weighted = (value * kept ** (bucket - at) for at, value in self._values if at >= oldest)
        return self.newest_share * math.fsum(weighted)
