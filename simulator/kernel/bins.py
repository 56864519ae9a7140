"""Which bin of the latency histogram a latency falls into, without a logarithm.

A float64's exponent and the first bits of its fraction name one of 64 cells an octave. A cell is narrower than a bin,
so that it holds at most one edge between bins: one look-up and one comparison give the very bin of
`histogram.bin_edges`.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.histogram import HIGHEST_S, LOWEST_S, N_BINS, bin_edges
from simulator.kernel.compiled import inlined
from simulator.kernel.event_tree import bits

__all__ = ["bin_of"]

_SHIFT = 52 - 6


def _cell(time_s: float) -> int:
    return int(np.float64(time_s).view(np.int64)) >> _SHIFT


_FIRST, _LAST = _cell(LOWEST_S), _cell(2.0 ** math.ceil(math.log2(HIGHEST_S)))
_CELL_STARTS_S = (np.arange(_FIRST, _LAST + 1) << _SHIFT).view(np.float64)
_BIN = np.clip(np.searchsorted(bin_edges(), _CELL_STARTS_S, side="right") - 1, 0, N_BINS - 1).astype(np.uint32)
_NEXT_EDGE_S = np.append(bin_edges()[1:N_BINS], np.inf)


@inlined
def bin_of(latency_s: float) -> int:
    """Index of the bin with ``edge[bin] <= latency_s < edge[bin + 1]``; the nearest one where there is none."""
    cell = min(max((bits(latency_s) >> _SHIFT) - _FIRST, 0), _LAST - _FIRST)
    place = _BIN[np.uint32(cell)]
    return np.uint32(place + (latency_s >= _NEXT_EDGE_S[place]))  # type: ignore[return-value]
