"""The document's problem on a forecast, step by step: the levels of the policy `document_lp` when it looks ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.document.rolling import RollingDocumentLp
from optimizer.horizon.demand import DemandPath
from optimizer.horizon.problem import delay_slots
from optimizer.policies.reactive import ReactiveOptions
from optimizer.preference import Preference

__all__ = ["DocumentHorizon", "Step", "whole_replicas"]


@dataclass(frozen=True, eq=False)
class Step:
    """The first slot of a plan.

    Attributes
    ----------
    level, shortfall
        ``[stage]`` replica equivalents from now on, and what they lack of the demand planned for.
    expected_rps
        ``[stage]`` that demand, without headroom.
    is_new
        Whether a stage has other whole replicas than before.
    """

    level: np.ndarray
    shortfall: np.ndarray
    expected_rps: np.ndarray
    is_new: bool


class DocumentHorizon:
    """Plans every stage's level over the slots to come and carries out the first.

    What is asked for in a slot serves after the start-up of the stage's preferred pair, ``d`` slots, and must be there
    still when a later slot wants it. So the demand of a slot is the most that is forecast for it and the ``d`` after
    it: ``C_t >= R_s`` for every ``s`` from ``t`` to ``t + d``.

    Parameters
    ----------
    slots
        How far a plan looks; the forecast looks further, by the start-up.
    capacity, ramp_down, ramp_up
        As of `optimizer.document.rolling.RollingDocumentLp`, in replica equivalents (a slot).
    headroom
        Fraction added to the forecast.
    """

    def __init__(
        self,
        preference: Preference,
        forecasting: ReactiveOptions,
        slots: int,
        *,
        capacity: np.ndarray,
        ramp_down: float,
        ramp_up: float,
        headroom: float,
    ) -> None:
        interval_s = preference.facts.control_interval_s
        self._preference, self.slots, self._factor = preference, slots, 1.0 + headroom
        self._delay = delay_slots(preference.first_ready_after_s(), interval_s)
        seen = slots + int(self._delay.max(initial=0))
        self._path = DemandPath.of(forecasting, interval_s, seen, self._delay + 1.0)
        self._plans = RollingDocumentLp(self._equivalents, capacity, ramp_down=ramp_down, ramp_up=ramp_up)
        self._expected_rps = np.zeros(len(self._delay))
        self.solves = 0

    def step(self, history_rps: np.ndarray) -> Step:
        """From ``history_rps[stage, slot]``; the solver is called where whole replicas change by the closed form."""
        before, problem = self._plans.level, self._plans.problem(history_rps)
        level = problem.least[:, 0]
        is_new = before is None or bool((whole_replicas(level) != whole_replicas(before)).any())
        if is_new:
            level = self._plans.solve(problem)[:, 0]
            self.solves += 1
        self._plans.level = level
        return Step(level, np.maximum(problem.demand[:, 0] - level, 0.0), self._expected_rps, is_new)

    def _equivalents(self, history_rps: np.ndarray) -> np.ndarray:
        """``[stage, slot]`` demand in replica equivalents."""
        path = self._path(history_rps)
        windows = [np.lib.stride_tricks.sliding_window_view(row, d + 1) for row, d in zip(path, self._delay)]
        most_rps = np.stack([window[: self.slots].max(axis=1) for window in windows])
        self._expected_rps = most_rps[:, 0]
        return self._preference.replica_equivalents(most_rps * self._factor)


def whole_replicas(level: np.ndarray) -> np.ndarray:
    """Whole replicas for fractional ones, deaf to the solver's tolerance."""
    return np.ceil(level - 1e-4).astype(np.int64)
