"""The document's linear programme as a policy: allocations that cover demand and never fall (by default)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from optimizer.document_lp import document_lp, least_allocation
from optimizer.options import check_number
from optimizer.policies.base import BuiltinPolicy, scaled_to_fit
from optimizer.policies.document_horizon import DocumentHorizon, whole_replicas
from optimizer.policies.reactive import ReactiveOptions
from optimizer.preference import spread
from simulator.policy import Allocation, Observation, PolicyContext
from workloads.errors import InputError

__all__ = ["DocumentLp", "DocumentLpOptions"]


@dataclass(frozen=True)
class DocumentLpOptions:
    """Options of `DocumentLp`.

    Attributes
    ----------
    ramp_down
        Replica equivalents per hour that a stage's allocation may fall; 0 is the document's.
    headroom
        Fraction added to demand; 0 is the document's.
    horizon_s
        How far each plan looks ahead, on a forecast; without it only demand that came is planned for, as in the
        document.
    ramp_up
        Replica equivalents per hour that a stage's allocation may rise; with `horizon_s`, which sees the peaks that a
        limit must rise ahead of.
    forecast
        Of `horizon_s`: ``peak_and_trend``, or a method of docs/forecasting.md but the oracle.
    forecast_level
        Of `horizon_s`: quantile of such a method's forecast that is prepared for.
    forecast_period_s
        Of `horizon_s`: season of such a method; the day and the week if not given.
    """

    ramp_down: float = 0.0
    headroom: float = 0.0
    horizon_s: float | None = None
    ramp_up: float | None = None
    forecast: str = ReactiveOptions.forecast
    forecast_level: float = ReactiveOptions.forecast_level
    forecast_period_s: float | None = None

    def __post_init__(self) -> None:
        check_number("ramp_down", self.ramp_down, 0.0)
        check_number("headroom", self.headroom, 0.0)
        if self.ramp_up is not None:
            check_number("ramp_up", self.ramp_up, 0.0, above=True)
        if self.horizon_s is not None:
            check_number("horizon_s", self.horizon_s, 0.0, above=True)
        for name in ("ramp_up", "forecast", "forecast_level", "forecast_period_s"):
            if self.horizon_s is None and getattr(self, name) != getattr(type(self), name):
                raise InputError(name, "it is for plans that look ahead", "give horizon_s too, as in 1800")
        self.forecasting()

    def forecasting(self) -> ReactiveOptions:
        """The forecast, in the words of the planning policies, which check them."""
        return ReactiveOptions(
            forecast=self.forecast, forecast_level=self.forecast_level, forecast_period_s=self.forecast_period_s
        )


class DocumentLp(BuiltinPolicy):
    """`optimizer.document_lp` on each stage's replica equivalents, in its elastic form.

    Slots are control intervals; ``R_t`` is the last interval's demand over the throughput of one replica of
    the preferred pair; the capacity is what the cluster could hold for that stage alone, and where the
    stages together want more than there is, all get the same fraction. By the closed form
    `least_allocation` the policy knows when the solution would not change a whole replica, and calls the
    solver only when it would, over the slots since the last call and from the allocation reached then: the
    least solution does not depend on where the slots are cut. With ``horizon_s`` the slots are those to come
    (`optimizer.policies.document_horizon`).
    """

    Options = DocumentLpOptions

    def __init__(self, context: PolicyContext, options: DocumentLpOptions) -> None:
        super().__init__(context, options)
        interval_h = self.facts.control_interval_s / 3600.0
        self._ramp = options.ramp_down * interval_h
        self._capacity = self.preference.capacity_replicas()
        self._slots: list[np.ndarray] = []
        self._level: np.ndarray | None = None
        self._expected: np.ndarray | None = None
        self._allocation = Allocation(np.zeros(self.facts.throughput_rps.shape, dtype=np.int64))
        self.solves = 0
        self._ahead = None if options.horizon_s is None else DocumentHorizon(
            self.preference,
            options.forecasting(),
            max(1, round(options.horizon_s / self.facts.control_interval_s)),
            capacity=self._capacity,
            ramp_down=self._ramp,
            ramp_up=math.inf if options.ramp_up is None else options.ramp_up * interval_h,
            headroom=options.headroom,
        )  # fmt: skip

    def decide(self, observation: Observation) -> Allocation:
        """Append the last interval, or look ahead, and solve if a whole replica would change."""
        if self._ahead is not None:
            return self._look_ahead(self._ahead, observation)
        demand = observation.stage_rps * (1.0 + self.options.headroom)
        self._slots.append(self.preference.replica_equivalents(demand))
        reachable = np.minimum(self._slots[-1], self._capacity)
        self._expected = least_allocation(reachable[:, None], self._ramp, self._expected)[:, -1]
        if self._level is None or (whole_replicas(self._expected) != whole_replicas(self._level)).any():
            self._solve(np.stack(self._slots, axis=1))
        return self._allocation

    def _look_ahead(self, ahead: DocumentHorizon, observation: Observation) -> Allocation:
        step = ahead.step(observation.stage_history_rps)
        self.solves = ahead.solves
        if step.is_new:
            self._carry_out(step.level, step.shortfall, f"planned {ahead.slots} slots ahead")
        return replace(self._allocation, expected_rps=step.expected_rps)

    def _solve(self, slots: np.ndarray) -> None:
        solved = document_lp(slots, self._capacity, ramp_down=self._ramp, elastic=True, initial=self._level)
        self._level = self._expected = np.minimum(solved.allocation[:, -1], self._capacity)
        self._slots = []
        self.solves += 1
        over = slots.shape[1]
        self._carry_out(self._level, solved.shortfall[:, -1], f"solved over {over} slot{'s' * (over != 1)}")

    def _carry_out(self, level: np.ndarray, shortfall: np.ndarray, note: str) -> None:
        wanted_rps = level * self.preference.first_throughput_rps()
        replicas = scaled_to_fit(self._replicas_for, wanted_rps, self.facts.served_rps)
        short = shortfall.sum()
        if short > 1e-9:
            note = f"short by {short:.1f} replica equivalents"
        self._allocation = Allocation(replicas, status="optimal", note=note)

    def _replicas_for(self, demand_rps: np.ndarray) -> np.ndarray:
        keep = self._allocation.replicas
        return spread(self.preference, demand_rps, worth=self.facts.throughput_rps, keep=keep)
