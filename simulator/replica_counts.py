"""How many replicas are in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.fleet_plan import Numbering
from simulator.kernel.state import ABSENT, DRAINING, READY, STARTING

if TYPE_CHECKING:
    from simulator.fleet import Fleet

__all__ = ["ReplicaCounts"]

_STATES = 1 + max(ABSENT, STARTING, READY, DRAINING)


class ReplicaCounts:
    """Counts the fleet's slots anew only where something has changed."""

    def __init__(self, fleet: Fleet, numbering: Numbering) -> None:
        self._fleet = fleet
        self._shape = numbering.table_of.shape
        self._variant = np.array([v for v, _ in numbering.runs], np.int64)
        self._node_type = np.array([n for _, n in numbering.runs], np.int64)
        self._seen = b""
        self._counts = np.zeros((0, 0, 0), np.int64)

    def by_state(self) -> np.ndarray:
        """``[state, variant, node_type]`` replicas, by the states of `simulator.kernel.state`; read-only."""
        slots = self._fleet.replicas
        seen = slots["state"].tobytes() + slots["table"].tobytes()
        if seen != self._seen:
            self._seen = seen
            self._counts = self._count(slots)
        return self._counts

    def _count(self, slots: np.ndarray) -> np.ndarray:
        """``[state, variant, node_type]`` replicas."""
        runs = len(self._variant)
        there = slots[slots["state"] != ABSENT]
        per_state = np.bincount(there["state"] * np.int64(runs) + there["table"], minlength=_STATES * runs)
        counts = np.zeros((_STATES, *self._shape), np.int64)
        counts[:, self._variant, self._node_type] = per_state.reshape(_STATES, runs)
        counts.flags.writeable = False
        return counts
