"""Plans over a rolling horizon: quantile demand, start-up delays and paid starts; the first decision is carried out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from optimizer.accuracy_feedback import AccuracyFeedback
from optimizer.backlog import backlog_rps
from optimizer.feedback import LatencyFeedback
from optimizer.fleet.problem import FleetPlan, FleetProblem
from optimizer.handover import hold_until_ready, is_affordable
from optimizer.horizon.demand import DemandPath
from optimizer.horizon.grid import HorizonGrid
from optimizer.horizon.model import HorizonLimits
from optimizer.horizon.plan import plan_horizon
from optimizer.horizon.problem import HorizonProblem, delay_slots
from optimizer.options import check_flag, check_number, check_whole
from optimizer.policies.base import BuiltinPolicy, allocation_of
from optimizer.policies.reactive import HOLD_HOURS, ReactiveOptions, start_usd
from optimizer.pooling import MOST_LOAD, Pool
from optimizer.standing import Standing, beyond_standing
from simulator.policy import Allocation, FleetFacts, Observation, PolicyContext

__all__ = ["RollingHorizon", "RollingHorizonOptions"]

RAISED, RELAXED = 1.1, 0.998
"""The latency feedback settles where about one interval in fifty misses."""
PUT_OFF, MOVED = "a start was put off", "what was started is ready"
"""Why a plan that fits is looked at again: only its first step has been done."""


@dataclass(frozen=True)
class RollingHorizonOptions(ReactiveOptions):
    """Options of `RollingHorizon`, beside those of `ReactiveOptions`.

    Attributes
    ----------
    horizon_s
        How far a plan looks; at least until what is started now is ready.
    pooling
        Whether replicas that share a queue are trusted to serve more than each alone (`optimizer.pooling`).
    most_load
        Pools are not planned to be busier than this part of their best throughput, whatever their latency would allow;
        what is left is there for demand that nobody saw coming.
    drain_s
        A queue longer than what an objective's time of demand brings is to be gone after so many seconds.
    gap
        Relative gap at which the search stops.
    nodes
        Branch-and-bound nodes at most, in one solve.
    whole_blocks
        Blocks of the horizon in which nodes are whole; in the others they may be fractions.
    """

    hysteresis: float = 0.1
    horizon_s: float = 1800.0
    pooling: bool = True
    most_load: float = MOST_LOAD
    drain_s: float = 120.0
    gap: float = 0.005
    nodes: int = 200
    whole_blocks: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("horizon_s", self.horizon_s, 0.0, above=True)
        check_flag("pooling", self.pooling)
        check_number("most_load", self.most_load, 0.0, 1.0, above=True)
        check_number("drain_s", self.drain_s, 0.0, above=True)
        check_number("gap", self.gap, 0.0, 1.0)
        check_whole("nodes", self.nodes, 1)
        check_whole("whole_blocks", self.whole_blocks, 1)


class RollingHorizon(BuiltinPolicy):
    """Looks ahead at each decision, plans all of it when the old plan no longer fits, and does its first step.

    The plan knows how long starts take, pays for each start, and so holds through a dip that is shorter than a restart
    is worth. What today's decision must cover is the demand until a replica that is asked for at the next one could be
    ready; the rest of the horizon steers it. A new plan is made when what must be covered is not, when it falls by more
    than ``hysteresis``, when replicas found no room, or when a plan has a second step: it put off a start, or what it
    kept only until others are ready can go.
    """

    name: ClassVar[str] = "rolling_horizon"
    Options = RollingHorizonOptions
    counts_standing: ClassVar[bool] = True

    def __init__(self, context: PolicyContext, options: RollingHorizonOptions) -> None:
        super().__init__(context, options)
        facts = self.facts
        self._standing = Standing(facts)
        interval_s = facts.control_interval_s
        self._headroom = facts.headroom if options.headroom is None else options.headroom
        self._delay = delay_slots(facts.start_delay_s + facts.boot_s[None, :], interval_s)
        slots = max(1, round(options.horizon_s / interval_s))
        self._grid = HorizonGrid.of(self._delay[facts.runs_on()].tolist(), slots)
        self._start_usd = options.churn * start_usd(facts)
        self._path = DemandPath.of(options, interval_s, self._grid.slots, self._lead_slots())
        self._pool = Pool(facts, options.most_load) if options.pooling else None
        self._demand_rps = np.zeros(len(facts.stages))
        self._feedback = LatencyFeedback(facts, self._served_rps, RAISED, RELAXED) if options.feedback else None
        floored = bool((~facts.reaches_floor()).any())
        self._accuracy_feedback = AccuracyFeedback(facts) if options.feedback and floored else None
        self._floor = facts.accuracy_floor
        self._planned_rps: np.ndarray | None = None
        self._last: Allocation | None = None
        self._retry = False
        self._unfinished = ""
        self.solves = 0

    def decide(self, observation: Observation) -> Allocation:
        """Keep the plan while it fits what is expected, else make a new one."""
        self._demand_rps = observation.stage_rps
        required = self._required_rps(observation)
        until = self._grid.starts[None, :] <= self._must_until()[:, None]
        must = np.where(until, required, 0.0).max(axis=1)
        facts = self._facts_for(must)
        if self._accuracy_feedback is not None:
            self._floor = self._accuracy_feedback.learn(observation)
        reason = self._reason(must, facts, observation)
        if self._last is None or reason:
            self._last = self._replan(must, required, facts, observation, reason)
            answer = self._last
        else:
            kept = self._last
            answer = Allocation(
                kept.replicas, kept.status, note="demand is within the plan", most_per_node=kept.most_per_node
            )
        held = hold_until_ready(facts, answer.replicas, must, observation.ready)
        if not is_affordable(facts, held):
            held = answer.replicas
        extra = int(held.sum() - answer.replicas.sum())
        stay = f"{extra} {'replica stays' if extra == 1 else 'replicas stay'} until others are ready" if extra else ""
        note = "; ".join(n for n in (answer.note, stay) if n)
        expected = np.where(until, self._peaks_rps, 0.0).max(axis=1)
        return replace(answer, replicas=held, note=note, expected_rps=expected)

    def expected_rps(self, observation: Observation) -> np.ndarray:
        """``[stage, slot]`` demand of the horizon at the quantile to prepare for, without headroom."""
        return self._path(observation.stage_history_rps)

    def _required_rps(self, observation: Observation) -> np.ndarray:
        """``[stage, block]`` demand to prepare for: quantile, backlog, headroom, and what the latency met teaches."""
        backlog = backlog_rps(observation, self.options.drain_s)
        factor = np.ones(len(self.facts.services))
        if self._feedback is not None:
            factor = self._feedback.learn(observation)
        self._peaks_rps = self._grid.peaks(self.expected_rps(observation))
        expected = self._peaks_rps + backlog[:, None]
        return np.asarray(expected * ((1.0 + self._headroom) * factor[self.facts.stage_service])[:, None])

    def _must_until(self) -> np.ndarray:
        """``[stage]`` last slot for which today's decision is the last chance: the start of the preferred pair."""
        first = [self._delay[pairs[0]] if pairs else 1 for pairs in self.preference.pairs]
        return np.array(first, dtype=np.int64)

    def _lead_slots(self) -> np.ndarray:
        """``[stage]`` intervals from the middle of the last one to the middle of the last that must be covered."""
        return self._must_until() + 1.0

    def _facts_for(self, required_rps: np.ndarray) -> FleetFacts:
        """The fleet with the throughputs of replicas in pools for such a demand."""
        if self._pool is None:
            return self.facts
        return replace(self.facts, throughput_rps=self._pool.throughput_rps(required_rps))

    def _served_rps(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` rate that replicas should suffice for, near the demand of the last interval."""
        return self._facts_for(self._demand_rps).served_rps(replicas)

    def _reason(self, must: np.ndarray, facts: FleetFacts, observation: Observation) -> str:
        if self._planned_rps is None or self._last is None:
            return "first plan"
        if observation.unplaced.any():
            return "replicas found no room"
        if self._retry:
            return "room may have become free"
        if self._unfinished and (self._unfinished == PUT_OFF or not observation.starting.any()):
            return self._unfinished
        served = np.maximum(facts.served_rps(self._last.replicas), self._planned_rps)
        if (must > served * (1.0 + 1e-9)).any():
            return "demand exceeds the plan"
        if (must < self._planned_rps * (1.0 - self.options.hysteresis)).any():
            return "demand fell"
        planned = self._standing.without(self._last.replicas)
        if (facts.planned_accuracy(planned) < self._floor - 1e-6).any():
            return "accuracy is below its floor"
        return ""

    def _replan(
        self, must: np.ndarray, required: np.ndarray, facts: FleetFacts, observation: Observation, reason: str
    ) -> Allocation:
        now = self._standing.without(observation.ready + observation.starting)
        limit = np.where(observation.unplaced > 0, now, np.iinfo(np.int32).max) if observation.unplaced.any() else None
        rest = beyond_standing(facts)
        beyond = np.maximum(must - rest.standing_rps, 0.0)
        instant = FleetProblem.from_facts(
            rest,
            beyond,
            replicas_now=now,
            churn_usd_per_hour=self._start_usd / HOLD_HOURS,
            headroom=0.0,
            replica_limit=limit,
            expected_rps=beyond / (1.0 + self._headroom),
            accuracy_floor=self._floor,
            reserve_demand_rps=must / (1.0 + self._headroom),
        )
        plan = self._solve(instant, required, observation)
        self.solves += 1
        self._planned_rps = must
        short = float(plan.unserved_rps.sum())
        self._retry = limit is not None and short > 1e-6
        self._unfinished = self._second_step(plan, beyond, facts, now)
        where = "left for a later start" if self._unfinished == PUT_OFF else "beyond the cluster"
        notes = [reason, plan.note, f"{short:.1f} requests/s {where}" if short > 1e-6 else ""]
        return self._standing.beside(allocation_of(plan, notes))

    def _second_step(self, plan: FleetPlan, must: np.ndarray, facts: FleetFacts, now: np.ndarray) -> str:
        """Why a plan goes on although demand stays: `PUT_OFF`, `MOVED`, or nothing."""
        first = np.where(facts.runs_on(), self._delay, np.iinfo(np.int64).max).min(axis=1)
        quickest = np.full(len(facts.stages), np.iinfo(np.int64).max)
        np.minimum.at(quickest, facts.variant_stage, first)
        if ((plan.unserved_rps > 1e-6) & (quickest < self._must_until())).any():
            return PUT_OFF
        spare = (facts.served_rps(plan.replicas) - must)[facts.variant_stage][:, None]
        grows = (facts.by_stage(np.asarray((plan.replicas > now).any(axis=1))) > 0)[facts.variant_stage][:, None]
        can_go = grows & (plan.replicas > 0) & facts.runs_on() & (facts.throughput_rps <= spare + 1e-9)
        return MOVED if can_go.any() else ""

    def _solve(self, instant: FleetProblem, required: np.ndarray, observation: Observation) -> FleetPlan:
        # What is asked for at the very beginning is ready at once.
        delay = self._delay if observation.now_s > 0.0 else np.zeros_like(self._delay)
        blocks = [self._facts_for(block) for block in required.T]
        standing = np.stack([block.served_rps(self._standing.replicas) for block in blocks], axis=1)
        horizon = HorizonProblem(
            now=instant,
            grid=self._grid,
            required_rps=np.maximum(required - standing, 0.0),
            throughput_rps=np.stack([block.throughput_rps for block in blocks], axis=2),
            delay=delay,
            ready=self._standing.without(observation.ready),
            start_usd=self._start_usd,
            slot_hours=self.facts.control_interval_s / 3600.0,
        )
        return plan_horizon(horizon, HorizonLimits(self.options.gap, self.options.nodes, self.options.whole_blocks))
