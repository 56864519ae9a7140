"""Simulations that a capacity plan asks for: a policy, a seed, a load, so many nodes, perhaps with one lost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from recfleet.digest import digest, source_digest
from recfleet.jobs import Job, PolicySpec, bound_of, build_policy, spec_digest
from recfleet.plan_stop import BudgetWatch
from recfleet.pool import JobPool
from recfleet.run_record import RunRecord
from simulator.measured import Measured
from simulator.policy import FleetFacts, PolicyContext

if TYPE_CHECKING:
    from simulator.result import RunResult
    from simulator.scenario import Scenario

__all__ = [
    "Loss",
    "PlanJob",
    "PlanRunner",
    "PlanWorld",
    "Question",
    "Simulations",
    "Trial",
    "UnaskedError",
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

    ``stands``: all these nodes are paid for throughout, whether they are open or not. ``verdict_only``: nothing but
    whether objectives hold is asked, so that the run may end when one is missed for certain (`recfleet.plan_stop`).
    """

    spec: PolicySpec
    label: str
    nodes: tuple[int, ...]
    seed: int
    load: float = 1.0
    loss: Loss | None = None
    stands: bool = False
    verdict_only: bool = False


@dataclass(frozen=True)
class PlanJob(Job):
    """A job of a plan: a job of a comparison, and what else its question says."""

    nodes: tuple[int, ...] = ()
    load: float = 1.0
    loss: Loss | None = None
    verdict_only: bool = False


@dataclass(frozen=True)
class Trial:
    """What one simulation said.

    Attributes
    ----------
    stopped_at_s
        When the run was ended because an objective was missed for certain; None for a whole run. Of a run that was
        ended only the verdict counts: cost (unless all nodes stand), bound, attainment and margin are NaN, and the
        rest is of the time until then.
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
    replicas_lost: int
    unplaced: int
    arrived: tuple[int, ...]
    stopped_at_s: float | None = None
    duration_s: float = 1.0

    @property
    def rank(self) -> float:
        """Orders trials from the worst: those that were stopped first, the earliest before all; then by margin."""
        return self.margin if self.stopped_at_s is None else self.stopped_at_s / self.duration_s - 2.0


def simulate_plan_job(world: PlanWorld, job: Any, progress: Callable[[float], None]) -> RunRecord:
    """Carry out one job; runs in a worker process."""
    from optimizer.planner.loads import context_with_nodes
    from simulator.engine import simulate

    began = time.perf_counter()
    nodes = np.array(job.nodes, dtype=np.int64)
    loaded = _loaded(world.scenario, job.load)
    scenario = _scenario_of(loaded, job, nodes)
    known = _context(world, loaded, job)
    context = context_with_nodes(known, nodes)
    policy = build_policy(job.spec, context, job.base)
    stop = _watch(world, loaded, job.seed) if job.verdict_only else None
    result = simulate(
        scenario, policy, seed=job.seed, policy_name=job.label, context=context, progress=progress, stop=stop
    )
    if stop is not None and result.duration_s < loaded.duration_s:
        spent = world.facts.services[stop.first_spent(_counts(result))]
        return RunRecord(result, math.nan, "stopped", False, time.perf_counter() - began, spent)
    bound_usd, status = bound_of(replace(result, facts=world.facts))  # of the whole cluster, not of the plan's nodes
    return RunRecord(result, bound_usd, status, False, time.perf_counter() - began)


_LOADED: WeakKeyDictionary[Scenario, dict[float, Scenario]] = WeakKeyDictionary()


def _loaded(planned: Scenario, load: float) -> Scenario:
    """The planned scenario at a load; one object for all that is asked about it, for its requests are counted once."""
    from optimizer.planner.loads import at_load

    known = _LOADED.setdefault(planned, {1.0: planned})
    return known[load] if load in known else known.setdefault(load, at_load(planned, load))


def _watch(world: PlanWorld, loaded: Scenario, seed: int) -> BudgetWatch:
    from simulator.facts import arrivals_per_slot

    return BudgetWatch(arrivals_per_slot(loaded, seed).sum(axis=1), world.facts.slo_quantile)


def _counts(result: RunResult) -> np.ndarray:
    """What a run counted, as `BudgetWatch` reads it."""
    names = ("completed", "slo_met", "rejected", "failed")
    counts = np.zeros(len(result.arrived), [(name, np.int64) for name in names])
    for name in names:
        counts[name] = getattr(result, name)
    return counts


def _scenario_of(loaded: Scenario, job: PlanJob, nodes: np.ndarray) -> Scenario:
    from optimizer.planner.loads import with_nodes
    from simulator.life.plan import Outage

    scenario = with_nodes(loaded, nodes)
    if job.loss is None:
        return scenario
    node = int(nodes[: job.loss.node_type].sum()) + job.loss.number
    for_good = Outage(job.loss.at_s, loaded.duration_s + 1.0, "node", (node,))
    return replace(scenario, life=replace(scenario.life, outages=(*scenario.life.outages, for_good)))


def _context(world: PlanWorld, loaded: Scenario, job: PlanJob) -> PolicyContext:
    """Rates are the truth at the load; the peak that a policy is told is the planned one."""
    from simulator.facts import prepare

    context = prepare(loaded, job.seed, world.facts)
    return context if job.load == 1.0 else replace(context, peak_rps=context.peak_rps / job.load)


class UnaskedError(Exception):
    """Questions that only simulations can answer, met where none may run."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(f"{len(questions)} questions")
        self.questions = list(questions)


class Simulations:
    """Asks questions in batches, each question once."""

    def __init__(self, pool: JobPool, world: PlanWorld, base: Path | None) -> None:
        self._pool, self._world, self.base = pool, world, base
        self._common = digest(world.scenario, world.facts, source_digest())
        self._known: dict[str, tuple[Trial, RunRecord]] = {}
        self._trials: list[Trial] = []
        self._beside: Callable[[], object] | None = None
        self._only_known = False
        self.asked = 0

    def ask(self, questions: Sequence[Question]) -> list[Trial]:
        """Trials in the order of the questions."""
        return [trial for trial, _ in self._answers(questions)]

    def trials(self) -> list[Trial]:
        """All so far, in the order in which they were asked for."""
        return list(self._trials)

    def record(self, question: Question) -> RunRecord:
        """The whole run that answers a question."""
        return self._answers([question])[0][1]

    @contextmanager
    def beside(self, search: Callable[[], object]) -> Iterator[None]:
        """Meanwhile, what ``search`` would ask next runs in the same batches as what is asked.

        ``search`` must come to the same questions whenever it is called with the same answers; it is called again
        afterwards, and then finds its first answers known. Batches do not depend on the number of workers.
        """
        self._beside = search
        try:
            yield
        finally:
            self._beside = None

    def _answers(self, questions: Sequence[Question]) -> list[tuple[Trial, RunRecord]]:
        new = self._new(questions)
        if new and self._only_known:
            raise UnaskedError(list(new.values()))
        if new:
            self._run(new | self._new(self._next_beside()))
        return [self._known[self._key_known(q)] for q in questions]

    def _new(self, questions: Sequence[Question]) -> dict[str, Question]:
        return {self._key(q): q for q in questions if self._key_known(q) not in self._known}

    def _next_beside(self) -> list[Question]:
        """What the search that runs beside would ask next."""
        if self._beside is None:
            return []
        self._only_known = True
        try:
            self._beside()
        except UnaskedError as unasked:
            return unasked.questions
        finally:
            self._only_known = False
        return []

    def _run(self, new: dict[str, Question]) -> None:
        jobs = [
            PlanJob(
                i, q.spec, self.base, _called(q, self._world.facts), q.seed, key, q.nodes, q.load, q.loss,
                q.verdict_only,
            )
            for i, (key, q) in enumerate(new.items())
        ]  # fmt: skip
        self.asked += len(jobs)
        for (key, q), record in zip(new.items(), self._pool.run(jobs)):
            trial = trial_of(q, record)
            self._trials.append(trial)
            self._known[key] = trial, record
            if trial.stopped_at_s is None:  # then it is the whole run, too
                self._known[self._key(replace(q, verdict_only=False))] = trial, record

    def _key_known(self, question: Question) -> str:
        """Of the whole run where that is known, for it says all that a verdict does."""
        whole = self._key(replace(question, verdict_only=False))
        return whole if whole in self._known else self._key(question)

    def _key(self, question: Question) -> str:
        q, spec = question, spec_digest(question.spec, self.base)
        return digest(self._common, spec, q.nodes, q.seed, float(q.load), q.loss, q.verdict_only)[:32]


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
    stopped = bool(record.stopped_by)
    attainment = np.full(len(facts.services), np.nan) if stopped else measured.service_attainment
    margins = np.where(np.isnan(attainment), np.inf, attainment - facts.slo_quantile)
    floors = measured.accuracy_margin
    out = np.asarray(measured.violations.any(axis=1))
    chosen = out if out.any() else ~out
    provisioned = intervals.provisioned[chosen].sum(axis=0)
    used = intervals.used[chosen].sum(axis=0)
    worst = facts.services.index(record.stopped_by) if stopped else int(margins.argmin())
    waits = result.stage_wait_s / np.maximum(facts.by_stage(result.served_requests.sum(axis=1)), 1.0)
    waits = np.where(facts.stage_service == worst, waits, -1.0)
    cost_usd = math.nan if stopped else measured.cost_usd
    return Trial(
        question=question,
        cost_usd=_paid(facts, question) if question.stands else cost_usd,
        bound_usd=record.bound_usd,
        attainment=tuple(attainment.tolist()),
        margin=math.nan if stopped else float(margins.min(initial=np.inf)),
        holds=not stopped and bool((margins >= 0.0).all() and not (floors < -ROUNDING).any()),
        worst_service=facts.services[worst],
        open_most=tuple(intervals.open_nodes.max(axis=0).tolist()),
        busiest=tuple(np.divide(used, provisioned, out=np.zeros_like(used), where=provisioned > 0).tolist()),
        waiting_stage=facts.stages[int(waits.argmax())],
        replicas_lost=result.replicas_lost,
        unplaced=max((d.unplaced for d in result.decisions), default=0),
        arrived=tuple(int(n) for n in result.arrived),
        stopped_at_s=result.duration_s if stopped else None,
        duration_s=facts.duration_s,
    )
