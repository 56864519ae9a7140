"""A mean over seeds with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CONFIDENCE", "Estimate", "estimate"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """Mean of independent seeds.

    Attributes
    ----------
    half_width
        Half of the two-sided 95 % Student interval of the mean; NaN with fewer than two seeds.
    n
        Seeds with a value.
    """

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student interval of the values that are numbers.

    Examples
    --------
    >>> e = estimate([1.0, 2.0, 3.0])
    >>> round(e.mean, 3), round(e.half_width, 3), e.n
    (2.0, 2.484, 3)
    """
    finite = np.array([v for v in values if math.isfinite(v)], dtype=np.float64)
    n = len(finite)
    if n == 0:
        return Estimate(math.nan, math.nan, 0)
    mean = float(finite.mean())
    if n == 1:
        return Estimate(mean, math.nan, 1)
    from scipy.special import stdtrit

    spread = float(finite.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * spread, n)
