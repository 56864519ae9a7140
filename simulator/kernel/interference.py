"""Interference: how much slower a batch is while other replicas of its device run; `docs/request-path.md`, step 8."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.kernel.compiled import inlined
from simulator.kernel.structs import struct

__all__ = ["INTERFERENCE", "Interferences", "slowdown_of"]

INTERFERENCE = struct(
    counts="i8", count_offset="i8", sizes="i8", size_offset="i8", slowdown_offset="i8", turn_s="f8",
    turn_waiting_s="f8", takes_turns="i1",
)  # fmt: skip
"""Where a table's measured slowdowns lie, ``[table]``; ``counts`` 0: not measured. ``takes_turns``: its batches wait
for those of its device that began before, and take so much longer after one of another replica: ``turn_waiting_s``
where they waited for it, ``turn_s`` where it had ended."""


class Interferences(NamedTuple):
    """All measured slowdowns end to end: ``table[table]``, ``replicas`` (counts of replicas that ran at once, the least
    being 2), ``batch_size``, and ``slowdown`` row by row of counts."""

    table: np.ndarray
    replicas: np.ndarray
    batch_size: np.ndarray
    slowdown: np.ndarray


@inlined
def _at_count(interferences: Interferences, measured: Any, row: int, units: int) -> float:
    """Slowdown at the ``row``-th measured count: linear in the batch, constant beyond the measured sizes."""
    first, values = measured.size_offset, measured.slowdown_offset + row * measured.sizes
    last = measured.sizes - 1
    if units <= interferences.batch_size[first]:
        return interferences.slowdown[values]
    if units >= interferences.batch_size[first + last]:
        return interferences.slowdown[values + last]
    low = 0
    while interferences.batch_size[first + low + 1] < units:
        low += 1
    below = interferences.batch_size[first + low]
    share = (units - below) / (interferences.batch_size[first + low + 1] - below)
    slowdown = interferences.slowdown[values + low]
    return slowdown + share * (interferences.slowdown[values + low + 1] - slowdown)


@inlined
def slowdown_of(interferences: Interferences, table: int, running: int, units: int) -> float:
    """Factor on the latency of a batch of ``units`` that starts as one of ``running`` on its device.

    Linear in the count, from 1 where it runs alone; in proportion to it beyond the largest measured one.
    """
    measured = interferences.table[table]
    if running <= 1 or measured.counts == 0:
        return 1.0
    counts, last = measured.count_offset, measured.counts - 1
    most = interferences.replicas[counts + last]
    if running >= most:
        return _at_count(interferences, measured, last, units) * (running / most)
    row = 0
    while interferences.replicas[counts + row] < running:
        row += 1
    above, high = interferences.replicas[counts + row], _at_count(interferences, measured, row, units)
    below, low = 1, 1.0
    if row > 0:
        below, low = interferences.replicas[counts + row - 1], _at_count(interferences, measured, row - 1, units)
    return low + (running - below) / (above - below) * (high - low)
