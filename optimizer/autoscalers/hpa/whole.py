"""Whole numbers as the API holds them: replicas in 32 bits, metrics in 64 bits, neither ever wraps round."""

from __future__ import annotations

import math

__all__ = ["MOST_MILLI", "MOST_REPLICAS", "replicas_of", "within"]

MOST_REPLICAS = 2**31 - 1
MOST_MILLI = 2**63 - 1


def replicas_of(amount: float) -> int:
    """``ceil(amount)``, at most the largest number of replicas that the API can hold.

    Examples
    --------
    >>> replicas_of(2.1), replicas_of(1e30) == MOST_REPLICAS
    (3, True)
    """
    return within(math.ceil(amount) if math.isfinite(amount) else amount, MOST_REPLICAS)


def within(value: float, most: int) -> int:
    """``value`` without its fraction, from ``-most - 1`` to ``most``."""
    return int(max(-most - 1, min(value, most)))
