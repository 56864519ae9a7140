"""Simulations that a capacity plan asks for: a policy, a seed, a load, so many nodes, perhaps with one lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.digest import digest, source_digest
from recfleet.jobs import Job, PolicySpec, bound_of, build_policy, spec_digest
from recfleet.pool import JobPool
from recfleet.run_record import RunRecord
from simulator.measured import Measured
from simulator.policy import FleetFacts, PolicyContext

if TYPE_CHECKING:
    from simulator.scenario import Scenario

__all__ = [
    "Loss",
    "PlanJob",
    "PlanRunner",
    "PlanWorld",
    "Question",
    "Simulations",
    "Trial",
    "simulate_plan_job",
    "trial_of",
]

PlanRunner = Callable[["PlanWorld", Any, Callable[[float], None]], RunRecord]
"""Runs one `PlanJob`, as `recfleet.jobs.Runner` runs a job."""

ROUNDING = 1e-9


@dataclass(frozen=True)
class PlanWorld:
    """What all simulations of a plan share.

    Attributes
    ----------
    scenario
        At the planned load.
    facts
        At the planned load, of the whole cluster: what policies believe of replicas does not change with the load that
        they then meet.
    """

    scenario: Scenario
    facts: FleetFacts


@dataclass(frozen=True)
class Loss:
    """A node that is lost at ``at_s`` and does not come back: number ``number`` of its type."""

    node_type: int
    number: int
    at_s: float


@dataclass(frozen=True)
class Question:
    """How does a policy do at ``load`` times the planned demand on ``nodes[node_type]`` nodes?

    ``stands``: all these nodes are paid for throughout, whether they are open or not.
    """

    spec: PolicySpec
    label: str
    nodes: tuple[int, ...]
    seed: int
    load: float = 1.0
    loss: Loss | None = None
    stands: bool = False


@dataclass(frozen=True)
class PlanJob(Job):
    """A job of a plan: a job of a comparison, and what else its question says."""

    nodes: tuple[int, ...] = ()
    load: float = 1.0
    loss: Loss | None = None


@dataclass(frozen=True)
class Trial:
    """What one simulation said.

    Attributes
    ----------
    attainment
        ``[service]`` requests within the objective over requests; NaN without any.
    margin
        Least over services of attainment less what is asked.
    holds
        Every service's objective, and every stage's accuracy floor.
    worst_service
        The service of the least margin.
    open_most
        ``[node_type]`` most nodes open at the end of an interval.
    busiest
        ``[resource]`` used over provisioned in the intervals that missed an objective (over the whole run if none did).
    waiting_stage
        Of the worst service, the stage at which a request waited longest in the mean.
    minutes_out
        Length of these intervals.
    replicas_lost
        That failed.
    unplaced
        Most replicas that found no room at a decision.
    """

    question: Question
    cost_usd: float
    bound_usd: float
    attainment: tuple[float, ...]
    margin: float
    holds: bool
    worst_service: str
    open_most: tuple[int, ...]
    busiest: tuple[float, ...]
    waiting_stage: str
    minutes_out: float
    replicas_lost: int
    unplaced: int
    arrived: tuple[int, ...]


def simulate_plan_job(world: PlanWorld, job: Any, progress: Callable[[float], None]) -> RunRecord:
    """Carry out one job; runs in a worker process."""
    from optimizer.planner.loads import context_with_nodes
    from simulator.engine import simulate

    began = time.perf_counter()
    nodes = np.array(job.nodes, dtype=np.int64)
    scenario = _scenario_of(world.scenario, job, nodes)
    context = context_with_nodes(_context(world, scenario, job), nodes)
    policy = build_policy(job.spec, context, job.base)
    result = simulate(scenario, policy, seed=job.seed, policy_name=job.label, context=context, progress=progress)
    bound_usd, status = bound_of(replace(result, facts=world.facts))  # of the whole cluster, not of the plan's nodes
    return RunRecord(result, bound_usd, status, False, time.perf_counter() - began)


def _scenario_of(planned: Scenario, job: PlanJob, nodes: np.ndarray) -> Scenario:
    from optimizer.planner.loads import at_load, with_nodes
    from simulator.life.plan import Outage

    scenario = with_nodes(at_load(planned, job.load), nodes)
    if job.loss is None:
        return scenario
    node = int(nodes[: job.loss.node_type].sum()) + job.loss.number
    for_good = Outage(job.loss.at_s, planned.duration_s + 1.0, "node", (node,))
    return replace(scenario, life=replace(scenario.life, outages=(*scenario.life.outages, for_good)))


def _context(world: PlanWorld, scenario: Scenario, job: PlanJob) -> PolicyContext:
    """Rates are the truth at the load; the peak that a policy is told is the planned one."""
    from simulator.facts import prepare

    context = prepare(scenario, job.seed, world.facts)
    return context if job.load == 1.0 else replace(context, peak_rps=context.peak_rps / job.load)


class Simulations:
    """Asks questions in batches, each question once."""

    def __init__(self, pool: JobPool, world: PlanWorld, base: Path | None) -> None:
        self._pool, self._world, self._base = pool, world, base
        self._common = digest(world.scenario, world.facts, source_digest())
        self._known: dict[str, tuple[Trial, RunRecord]] = {}
        self.asked = 0

    def ask(self, questions: Sequence[Question]) -> list[Trial]:
        """Trials in the order of the questions."""
        return [trial for trial, _ in self._answers(questions)]

    def trials(self) -> list[Trial]:
        """All so far, in the order in which they were asked for."""
        return [trial for trial, _ in self._known.values()]

    def record(self, question: Question) -> RunRecord:
        """The whole run that answers a question."""
        return self._answers([question])[0][1]

    def _answers(self, questions: Sequence[Question]) -> list[tuple[Trial, RunRecord]]:
        keys = [self._key(q) for q in questions]
        new = {key: q for key, q in zip(keys, questions) if key not in self._known}
        jobs = [
            PlanJob(i, q.spec, self._base, _called(q, self._world.facts), q.seed, key, q.nodes, q.load, q.loss)
            for i, (key, q) in enumerate(new.items())
        ]
        if jobs:
            self.asked += len(jobs)
            for (key, q), record in zip(new.items(), self._pool.run(jobs)):
                self._known[key] = trial_of(q, record), record
        return [self._known[key] for key in keys]

    def _key(self, question: Question) -> str:
        spec = spec_digest(question.spec, self._base)
        return digest(self._common, spec, question.nodes, question.seed, float(question.load), question.loss)[:32]


def _called(question: Question, facts: FleetFacts) -> str:
    """How progress calls a simulation."""
    lost = "" if question.loss is None else f" without {facts.node_types[question.loss.node_type]}"
    at = "" if question.load == 1.0 else f" at {question.load:.3g} x"
    return f"{question.label}{at}{lost}"


def _paid(facts: FleetFacts, question: Question) -> float:
    return float(np.dot(question.nodes, facts.price_usd_per_hour)) * facts.duration_s / 3600.0


def trial_of(question: Question, record: RunRecord) -> Trial:
    """Reduce a run to what plans look at."""
    measured, result = Measured(record.result, record.bound_usd), record.result
    facts, intervals = result.facts, result.intervals
    attainment = measured.service_attainment
    margins = np.where(np.isnan(attainment), np.inf, attainment - facts.slo_quantile)
    floors = measured.accuracy_margin
    out = np.asarray(measured.violations.any(axis=1))
    chosen = out if out.any() else ~out
    provisioned = intervals.provisioned[chosen].sum(axis=0)
    used = intervals.used[chosen].sum(axis=0)
    worst = int(margins.argmin())
    waits = result.stage_wait_s / np.maximum(facts.by_stage(result.served_requests.sum(axis=1)), 1.0)
    waits = np.where(facts.stage_service == worst, waits, -1.0)
    return Trial(
        question=question,
        cost_usd=_paid(facts, question) if question.stands else measured.cost_usd,
        bound_usd=record.bound_usd,
        attainment=tuple(attainment.tolist()),
        margin=float(margins.min(initial=np.inf)),
        holds=bool((margins >= 0.0).all() and not (floors < -ROUNDING).any()),
        worst_service=facts.services[worst],
        open_most=tuple(intervals.open_nodes.max(axis=0).tolist()),
        busiest=tuple(np.divide(used, provisioned, out=np.zeros_like(used), where=provisioned > 0).tolist()),
        waiting_stage=facts.stages[int(waits.argmax())],
        minutes_out=float(intervals.length_s[out].sum()) / 60.0,
        replicas_lost=result.replicas_lost,
        unplaced=max((d.unplaced for d in result.decisions), default=0),
        arrived=tuple(int(n) for n in result.arrived),
    )
