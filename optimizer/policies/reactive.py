"""Plan on a short forecast, and plan again when it leaves the plan: what the planning policies share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from optimizer.accuracy_feedback import AccuracyFeedback
from optimizer.feedback import LatencyFeedback
from optimizer.fleet.cards import node_shares
from optimizer.fleet.problem import FleetPlan, FleetProblem
from optimizer.forecasting.demand import DEFAULT, ExpectedDemand, check_method
from optimizer.forecasting.methods import Setting
from optimizer.handover import hold_until_ready, is_affordable
from optimizer.options import check_flag, check_number
from optimizer.policies.base import BuiltinPolicy, allocation_of
from optimizer.standing import Standing, beyond_standing
from simulator.policy import Allocation, Observation, PolicyContext
from workloads.errors import InputError

__all__ = ["ReactiveOptions", "ReactivePolicy", "start_usd"]

HOLD_HOURS = 0.25
"""How long a plan is expected to hold; start-up costs are spread over it."""


@dataclass(frozen=True)
class ReactiveOptions:
    """Options of policies that plan on a forecast.

    Attributes
    ----------
    headroom
        Fraction above the forecast; the scenario's if not given.
    window_s
        The forecast looks back so far, at least three intervals; the plan follows a fall only after it.
    trend
        Whether a rising trend is continued until replicas decided at the next instant would be ready.
    trend_s
        The trend is that of so many last seconds, at least three intervals.
    churn
        Weight of the cost of starting and draining replicas.
    feedback
        Whether demand is corrected by the latency met (`optimizer.feedback`), and accuracy floors by what was served
        (`optimizer.accuracy_feedback`).
    hysteresis
        Demand may fall this fraction below what was planned for before a new plan is made.
    forecast
        ``peak_and_trend`` (what `window_s`, `trend` and `trend_s` are for), or a method of
        `optimizer.forecasting.methods` but the oracle.
    forecast_level
        Quantile of such a method's forecast that is prepared for; the headroom comes on top.
    forecast_period_s
        Season of such a method; the day and the week if not given.
    """

    headroom: float | None = None
    window_s: float = 300.0
    trend: bool = True
    trend_s: float = 180.0
    churn: float = 1.0
    feedback: bool = True
    hysteresis: float = 0.05
    forecast: str = DEFAULT
    forecast_level: float = 0.5
    forecast_period_s: float | None = None

    def __post_init__(self) -> None:
        if self.headroom is not None:
            check_number("headroom", self.headroom, 0.0)
        check_number("window_s", self.window_s, 0.0, above=True)
        check_flag("trend", self.trend)
        check_number("trend_s", self.trend_s, 0.0, above=True)
        check_number("churn", self.churn, 0.0)
        check_flag("feedback", self.feedback)
        check_number("hysteresis", self.hysteresis, 0.0, 1.0)
        check_method("forecast", self.forecast)
        check_number("forecast_level", self.forecast_level, 0.0, 1.0, above=True)
        if self.forecast_level == 1.0:
            raise InputError("forecast_level", "1 is no quantile of a forecast", "give less, as in 0.99")
        if self.forecast_period_s is not None:
            check_number("forecast_period_s", self.forecast_period_s, 0.0, above=True)


class ReactivePolicy(BuiltinPolicy):
    """Forecast, compare with the plan, and solve only when needed; `plan` is what subclasses supply.

    A new plan is made when the expected demand (with headroom) of a stage exceeds what the plan serves,
    when it falls by more than ``hysteresis`` below what was planned for, or when replicas found no room. In
    the last case the pairs that were full are held at what they have, once; if demand is then unserved, the
    next interval plans again without that limit. Replicas that a new plan does without stay until those that
    replace them are ready (`optimizer.handover`).
    """

    name: ClassVar[str] = "reactive"
    Options: ClassVar[type[Any]] = ReactiveOptions
    counts_standing: ClassVar[bool] = True

    def __init__(self, context: PolicyContext, options: Any) -> None:
        super().__init__(context, options)
        facts = self.facts
        self._standing, self._rest = Standing(facts), beyond_standing(facts)
        self._headroom = facts.headroom if options.headroom is None else options.headroom
        window, trend = self._slots(options.window_s), self._slots(options.trend_s) if options.trend else 0
        setting = Setting(facts.control_interval_s, options.forecast_period_s)
        self._demand = ExpectedDemand(
            options.forecast, self._lead_slots(), window, trend, setting, options.forecast_level
        )
        self._churn = options.churn * start_usd(facts) / HOLD_HOURS
        self._feedback = LatencyFeedback(facts) if options.feedback else None
        floored = bool((~facts.reaches_floor()).any())
        self._accuracy_feedback = AccuracyFeedback(facts) if options.feedback and floored else None
        self._floor = facts.accuracy_floor
        self._planned_rps: np.ndarray | None = None
        self._served_rps = np.zeros(len(facts.stages))
        self._last: Allocation | None = None
        self._retry = False
        self.solves = 0

    def plan(self, problem: FleetProblem) -> FleetPlan:
        """Solve one problem."""
        raise NotImplementedError

    def expected_rps(self, observation: Observation) -> np.ndarray:
        """``[stage]`` demand to prepare for, without headroom."""
        return self._demand(observation.stage_history_rps)

    def decide(self, observation: Observation) -> Allocation:
        """Keep the plan while it fits the forecast, else make a new one."""
        expected = self.expected_rps(observation)
        required = expected * (1.0 + self._headroom)
        if self._feedback is not None:
            required = required * self._feedback.learn(observation)[self.facts.stage_service]
        if self._accuracy_feedback is not None:
            self._floor = self._accuracy_feedback.learn(observation)
        reason = self._reason(required, observation)
        if self._last is None or reason:
            answer = self._last = self._replan(required, expected, observation, reason)
        else:
            kept = self._last
            answer = Allocation(
                kept.replicas, kept.status, note="demand is within the plan", most_per_node=kept.most_per_node
            )
        held = hold_until_ready(self.facts, answer.replicas, required, observation.ready)
        if not is_affordable(self.facts, held):
            held = answer.replicas
        extra = int(held.sum() - answer.replicas.sum())
        note = (
            f"{answer.note}; {extra} {'replica stays' if extra == 1 else 'replicas stay'} until others are ready"
            if extra
            else answer.note
        )
        return replace(answer, replicas=held, note=note, expected_rps=expected)

    def _reason(self, required: np.ndarray, observation: Observation) -> str:
        if self._planned_rps is None:
            return "first plan"
        if observation.unplaced.any():
            return "replicas found no room"
        if self._retry:
            return "room may have become free"
        if (required > np.maximum(self._served_rps, self._planned_rps) * (1.0 + 1e-9)).any():
            return "demand exceeds the plan"
        if (required < self._planned_rps * (1.0 - self.options.hysteresis)).any():
            return "demand fell"
        planned = None if self._last is None else self._standing.without(self._last.replicas)
        if planned is not None and (self.facts.planned_accuracy(planned) < self._floor - 1e-6).any():
            return "accuracy is below its floor"
        return ""

    def _replan(self, required: np.ndarray, expected: np.ndarray, observation: Observation, reason: str) -> Allocation:
        now = self._standing.without(observation.ready + observation.starting)
        limit = np.where(observation.unplaced > 0, now, np.iinfo(np.int32).max) if observation.unplaced.any() else None
        standing_rps = self._rest.standing_rps
        problem = FleetProblem.from_facts(
            self._rest,
            np.maximum(required - standing_rps, 0.0),
            replicas_now=now,
            churn_usd_per_hour=self._churn,
            headroom=0.0,
            replica_limit=limit,
            expected_rps=np.maximum(expected - standing_rps, 0.0),
            accuracy_floor=self._floor,
            reserve_demand_rps=required / (1.0 + self._headroom),
        )
        plan = self.plan(problem)
        self.solves += 1
        self._planned_rps, self._served_rps = required, problem.served_rps(plan.replicas) + standing_rps
        short = plan.unserved_rps.sum()
        self._retry = limit is not None and short > 1e-6
        notes = [reason, plan.note, f"{short:.1f} requests/s beyond the cluster" if short > 1e-6 else ""]
        return self._standing.beside(allocation_of(plan, notes))

    def _slots(self, seconds: float) -> int:
        return max(3, math.ceil(seconds / self.facts.control_interval_s - 1e-9))

    def _lead_slots(self) -> np.ndarray:
        """``[stage]`` intervals from the middle of the last one until replicas decided at the next instant are ready.

        Half an interval from the middle of the last to now, one to the next decision, and the start-up of the
        preferred pair.
        """
        first = [self.preference.ready_after_s(s)[:1].max(initial=0.0) for s in range(len(self.facts.stages))]
        return np.array(first) / self.facts.control_interval_s + 1.5


def start_usd(facts: Any) -> np.ndarray:
    """``[variant, node_type]`` USD of a replica's part of a node while it starts and serves nothing."""
    dominant = node_shares(facts.need, facts.capacity).max(axis=2)
    hours = facts.start_delay_s / 3600.0
    return np.where(facts.runs_on() & np.isfinite(dominant), dominant * hours * facts.price_usd_per_hour, 0.0)
