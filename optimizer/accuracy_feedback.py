"""Floors corrected by what is served: a plan's mean accuracy is an estimate, the router decides what it becomes."""

from __future__ import annotations

import numpy as np

from simulator.policy import FleetFacts, Observation

__all__ = ["AccuracyFeedback"]

REPAY_S = 600.0
"""What was served below the floor is to be made good within so long."""

LEARNT = 0.1
"""Part of the raise that is kept, at each interval, for as long as a debt remains."""

AIM = 0.02
"""Part of the way from the floor to the best variant that is aimed at, so that a run does not end a hair below."""

STEPS = 20
"""Raises are rounded up to so many steps between the floor and the best variant, so that plans change seldom."""


class AccuracyFeedback:
    """Raises the floor that plans keep while the run's mean lies below the floor asked for.

    The debt of a stage is the sum, over requests served so far, of floor (and a little, `AIM`) less accuracy. The raise
    makes it good over the requests of the next `REPAY_S`; a part of it is learnt, as in a proportional and integral
    controller, so that a router that keeps sending more to the less accurate variants than a plan supposes leaves no
    lasting debt. The raised floor is never below the one asked for: a surplus is not spent.
    """

    def __init__(self, facts: FleetFacts) -> None:
        self._facts = facts
        stages = len(facts.stages)
        self._floored = np.isfinite(facts.accuracy_floor)
        best = np.full(stages, -np.inf)
        runs = facts.runs_on().any(axis=1)
        np.fmax.at(best, facts.variant_stage[runs], facts.accuracy[runs])
        asked = np.where(self._floored, facts.accuracy_floor, 0.0)
        self._range = np.where(self._floored, np.maximum(best - asked, 0.0), 0.0)
        self._debt = np.zeros(stages)
        self._learnt = np.zeros(stages)
        self._repaid = np.zeros(stages)

    def learn(self, observation: Observation) -> np.ndarray:
        """``[stage]`` floor that plans should keep, after the interval that ended now; ``-inf`` where there is none."""
        facts = self._facts
        served = facts.by_stage(observation.served_requests.sum(axis=1))
        known = self._floored & (served > 0.0)
        mean = facts.mean_accuracy(observation.served_requests)
        self._debt += served * np.where(known, facts.accuracy_floor + AIM * self._range - mean, 0.0)
        horizon = served * REPAY_S / facts.control_interval_s
        self._repaid = np.where(known, self._debt / np.maximum(horizon, 1.0), self._repaid)
        self._learnt = np.clip(self._learnt + LEARNT * np.where(known, self._repaid, 0.0), 0.0, self._range)
        wanted = np.clip(self._learnt + self._repaid, 0.0, self._range)
        step = np.where(self._range > 0.0, self._range / STEPS, 1.0)
        raised = np.minimum(np.ceil(wanted / step - 1e-9) * step, self._range)
        return np.where(self._floored, facts.accuracy_floor + raised, -np.inf)
