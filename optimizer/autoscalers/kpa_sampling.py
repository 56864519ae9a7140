"""How many pods the Knative Pod Autoscaler asks for their load."""

from __future__ import annotations

import math

__all__ = ["sample_size"]

ALL_UP_TO = 3
"""So few pods are all asked."""
LARGE_SAMPLE = 1.96**2 / 0.5**2
"""Sample of a very large population whose mean is within half a standard deviation with 95 % confidence."""


def sample_size(pods: int) -> int:
    """Pods to ask so that the mean over ``pods`` is known as well: Cochran's sample for a finite population.

    Examples
    --------
    >>> [sample_size(n) for n in (0, 3, 5, 100, 1000)]
    [0, 3, 4, 14, 16]
    """
    if pods <= ALL_UP_TO:
        return max(pods, 0)
    return math.ceil(pods * LARGE_SAMPLE / (pods + LARGE_SAMPLE - 1.0))
