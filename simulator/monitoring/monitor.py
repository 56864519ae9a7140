"""Reads the data plane's own counters at the end of every control interval, and makes series of them at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.monitoring.series import Series

if TYPE_CHECKING:
    from simulator.fleet import Fleet
    from simulator.policy import FleetFacts

__all__ = ["Monitor"]

_STAGE_RATES = ("retried", "hedged", "hedges_won", "lost", "expired")


class Monitor:
    """Copies of the data plane's struct arrays, one an interval; nothing is computed before the run is over."""

    def __init__(self, fleet: Fleet, facts: FleetFacts) -> None:
        self._fleet = fleet
        self._facts = facts
        self._stages = [fleet.state.stages.copy()]

    def take(self) -> None:
        """Read the counters as of now."""
        self._stages.append(self._fleet.state.stages.copy())

    def series(self, length_s: np.ndarray) -> tuple[Series, ...]:
        """What was read, as series over intervals of ``length_s[interval]``."""
        stages = np.empty((len(self._stages), *self._stages[0].shape), self._stages[0].dtype)
        for slot, read in enumerate(self._stages):
            stages[slot] = read
        rates = [name for name in _STAGE_RATES if name in (stages.dtype.names or ())]
        return tuple(
            Series(f"{name}_rps", "requests/s", self._facts.stages, np.diff(stages[name], axis=0) / length_s[:, None])
            for name in rates
        )
