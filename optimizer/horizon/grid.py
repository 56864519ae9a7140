"""The slots of a horizon, cut into blocks that grow with their distance from now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["HorizonGrid"]


@dataclass(frozen=True, eq=False)
class HorizonGrid:
    """Blocks of successive control intervals (slots), the first of which is the one that begins now.

    The plan of a far slot is never carried out; it only has to say what today's decision is worth. So blocks grow, and
    a horizon of an hour costs about ten of them, at any control interval. Where a start-up ends they may not: a block
    of one slot begins at each delay, since what is missing there must be asked for now and not at the next decision.

    Attributes
    ----------
    starts
        ``starts[block]`` first slot of each, rising from 0.
    slots
        Slots of the whole horizon.

    Examples
    --------
    >>> grid = HorizonGrid.of(delays=[2], slots=30)
    >>> grid.starts.tolist()
    [0, 1, 2, 3, 5, 9, 17]
    >>> grid.peaks(np.arange(30.0)[None]).tolist()
    [[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 29.0]]
    """

    starts: np.ndarray
    slots: int

    @classmethod
    def of(cls, delays: Iterable[int], slots: int) -> HorizonGrid:
        """The grid for start-up delays in slots; at least one slot longer than the longest."""
        waits = sorted({int(d) for d in delays})
        slots = max(int(slots), (waits[-1] if waits else 0) + 1)
        starts = {0, 1, *waits, *(d + 1 for d in waits)}
        at, length = max(starts), 2
        while at < slots:
            starts.add(at)
            at, length = at + length, 2 * length
        return cls(np.array(sorted(s for s in starts if s < slots)), slots)

    @property
    def lengths(self) -> np.ndarray:
        """``[block]`` slots of each."""
        return np.diff(self.starts, append=self.slots)

    def peaks(self, per_slot: np.ndarray) -> np.ndarray:
        """``[series, block]`` largest value of each block of ``per_slot[series, slot]``."""
        return np.maximum.reduceat(np.asarray(per_slot)[:, : self.slots], self.starts, axis=1)

    def last_start_for(self, delay: int) -> np.ndarray:
        """``[block]`` the last block at whose beginning a replica must be there to serve in each; -1 before now."""
        return np.searchsorted(self.starts, self.starts - delay, side="right") - 1
