"""Embedding rows that lose rank during a run: what batches read is looked at anew at every control instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.fleet_plan import Numbering, lookup_plans

if TYPE_CHECKING:
    from simulator.fleet import Fleet
    from simulator.scenario import Scenario

__all__ = ["RowDrift"]


class RowDrift:
    """Keeps the fleet's look-ups up to date where rows drift."""

    def __init__(self, fleet: Fleet, scenario: Scenario, numbering: Numbering) -> None:
        self._fleet, self._scenario, self._numbering = fleet, scenario, numbering
        files = [numbering.variants[v][1].embedding for v, _ in numbering.runs]
        self._tables = [i for i, file in enumerate(files) if file is not None and file.drift_rows_per_hour > 0]

    def take(self, now_s: float) -> None:
        """Let batches that start from now on read what they read at this time."""
        if not self._tables:
            return
        plans = lookup_plans(self._scenario, self._numbering, now_s)
        for table in self._tables:
            self._fleet.set_lookup(table, plans[table])
