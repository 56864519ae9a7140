"""Ids as traffic brings them: few popular, many rare, popular ones not next to each other in memory."""

from __future__ import annotations

import numpy as np

__all__ = ["ZIPF_EXPONENT", "zipf_ids"]

ZIPF_EXPONENT = 1.05
_SPREAD_PRIME = 2_654_435_761  # prime and above any table size here, so that multiplying modulo rows is a permutation


def zipf_ids(
    generator: np.random.Generator, rows: int, shape: tuple[int, ...], exponent: float = ZIPF_EXPONENT
) -> np.ndarray:
    """Draw row ids with frequencies near ``rank ** -exponent``.

    Parameters
    ----------
    generator
        Source of randomness.
    rows
        Table size; ids lie in ``[0, rows)``.
    shape
        Shape of the result.
    exponent
        Steepness, not 1.

    Returns
    -------
    numpy.ndarray
        int32 ids of the given shape.

    Notes
    -----
    The rank is the whole part of a bounded Pareto draw on ``[1, rows + 1)``, by inversion of its distribution
    function; ranks are then spread over the table by a fixed permutation.
    """
    power = 1.0 - exponent
    top = float(rows + 1) ** power
    uniform = generator.random(shape)
    rank = np.floor((1.0 + uniform * (top - 1.0)) ** (1.0 / power)).astype(np.int64)
    rank = np.clip(rank, 1, rows) - 1
    return ((rank * _SPREAD_PRIME) % rows).astype(np.int32)
