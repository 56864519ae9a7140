"""How a policy stands against the accuracy floors of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recfleet.estimates import Estimate, estimate
from simulator.measured import Measured

__all__ = ["FloorStanding", "worst_floor"]

ROUNDING = 1e-9
"""A mean of equal accuracies may lie this much below them."""


@dataclass(frozen=True)
class FloorStanding:
    """The stage whose served accuracy lies furthest below (or least above) its floor.

    Attributes
    ----------
    margin
        Mean accuracy of what the stage served over its floor, over seeds.
    """

    stage: str
    metric: str
    floor: float
    margin: Estimate

    @property
    def kept(self) -> bool:
        """The mean over seeds is at least the floor."""
        return self.margin.mean >= -ROUNDING

    @property
    def miss(self) -> str:
        """In words, what is served and what is asked for."""
        return f"{self.stage} serves {self.metric} {self.floor + self.margin.mean:.5g} of {self.floor:g}"


def worst_floor(runs: Sequence[Measured]) -> FloorStanding | None:
    """Of a policy's runs; None where no stage that served anything has a floor."""
    facts = runs[0].result.facts
    margins = np.array([run.accuracy_margin for run in runs])
    found = {k: estimate(margins[:, k].tolist()) for k in np.flatnonzero(np.isfinite(margins).any(axis=0)).tolist()}
    if not found:
        return None
    worst = min(found, key=lambda k: found[k].mean)
    return FloorStanding(
        facts.stages[worst], facts.accuracy_metric[worst], float(facts.accuracy_floor[worst]), found[worst]
    )
