"""From what a search found to what a plan says."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.estimates import estimate
from recfleet.plan_optimum import whole_fleets
from recfleet.plan_result import (
    BindingView,
    BreakingLoad,
    CandidateView,
    CapacityPlan,
    CertificateView,
    ChosenPlan,
    LoadPoint,
    LossView,
    ServiceView,
    ShortfallView,
)
from recfleet.plan_runs import PlanWorld, Simulations, Trial
from recfleet.plan_search import Candidate, PlanSearch
from simulator.cluster import RESOURCES
from simulator.policy import FleetFacts

if TYPE_CHECKING:
    from optimizer.planner.least_capacity import StaticBound
    from optimizer.planner.search import Bracket
    from simulator.scenario import Scenario

__all__ = ["Findings", "policy_view", "view"]

FLUID_LOADS = 25
NEGLIGIBLE = 1e-3
BUSY = ("gpu", "cpu", "storage", "network")
"""Resources that work; memory is full or not whatever the load."""


@dataclass(frozen=True)
class Findings:
    """What was asked for; ``peak_rps[service]`` and ``stage_peak_rps[stage]`` of it.

    ``static``: what no static fleet undercuts; None where result caches answer requests.
    """

    scenario: Scenario
    world: PlanWorld
    growth: float
    survive: bool
    seeds: tuple[int, ...]
    tolerance: float
    peak_rps: np.ndarray
    stage_peak_rps: np.ndarray
    static: StaticBound | None

    @property
    def facts(self) -> FleetFacts:
        return self.world.facts

    @property
    def hours(self) -> float:
        return self.facts.duration_s / 3600.0


def view(
    found: Findings, search: PlanSearch, sims: Simulations, chosen: Candidate | None, bracket: Bracket | None
) -> CapacityPlan:
    """Everything that is known about the plan, or about why there is none."""
    facts, scenario = found.facts, found.scenario
    shortfall = None if chosen is not None else _shortfall(found, search, sims)
    loads = () if chosen is None else _loads(found, search, chosen, sims)
    return CapacityPlan(
        scenario=scenario.name,
        path=str(scenario.path),
        file_sha256=scenario.file_sha256,
        growth=found.growth,
        survive="node" if found.survive else "none",
        seeds=found.seeds,
        duration_s=facts.duration_s,
        peak_rps=dict(zip(facts.services, found.peak_rps.tolist())),
        chosen=None if chosen is None else _chosen(found, search, sims, chosen),
        certificate=None if chosen is None else _certificate(found, search, sims, chosen),
        breaking=None if bracket is None else BreakingLoad(bracket.holds, bracket.breaks, found.tolerance, found.seeds),
        binding=None if chosen is None else _binding(found, sims, chosen, bracket),
        shortfall=shortfall,
        candidates=_candidates(search, facts, chosen),
        loads=loads,
        frontier=tuple((f.strength, f.usd_per_hour) for f in search.fleets),
        fluid_curve=_fluid_curve(found, search, chosen, loads),
        simulations=sims.asked,
        assumptions=tuple(scenario.assumptions),
    )


def _by_type(facts: FleetFacts, nodes: Sequence[int]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(facts.node_types, nodes) if count}


def _candidates(search: PlanSearch, facts: FleetFacts, chosen: Candidate | None) -> tuple[CandidateView, ...]:
    rows = []
    for candidate, trials, note in search.tried.values():
        worst = min(trials, key=lambda t: t.rank)
        lost = search.losses.get(candidate.label, [])
        rows.append(
            CandidateView(
                label=candidate.label,
                kind=candidate.kind,
                mix="" if candidate.fleet is None else candidate.fleet.mix,
                nodes=_by_type(facts, candidate.nodes),
                cost_usd=float(np.mean([t.cost_usd for t in trials])),
                margin=worst.margin,
                worst_service=worst.worst_service,
                holds=all(t.holds for t in trials) and all(t.holds for t in lost),
                seeds=len(trials),
                note=note,
                stopped_at_s=worst.stopped_at_s,
            )
        )
    best = "" if chosen is None else chosen.label
    return tuple(sorted(rows, key=lambda r: (r.label != best, not r.holds, r.cost_usd, r.label)))


def _chosen(found: Findings, search: PlanSearch, sims: Simulations, chosen: Candidate) -> ChosenPlan:
    from optimizer.policies.fixed import replicas_by_name

    facts, trials = found.facts, search.tried[chosen.label][1]
    if chosen.fleet is not None:
        replicas = chosen.fleet.replicas
    else:
        records = [sims.record(search.question(chosen, seed)) for seed in found.seeds]
        replicas = np.max([r.result.intervals.ready.max(axis=0) for r in records], axis=0)
    cost = estimate([t.cost_usd for t in trials])
    attained = np.min([t.attainment for t in trials], axis=0)
    return ChosenPlan(
        label=chosen.label,
        kind=chosen.kind,
        policy=policy_view(chosen.spec, sims.base, found.scenario.path.parent),
        nodes=_by_type(facts, chosen.nodes),
        replicas=replicas_by_name(facts, replicas),
        batches=_batches(found.scenario, facts, replicas),
        planning={"survive": "none"}
        if facts.headroom_after_loss is None
        else {"survive": "node", "headroom_after_loss": float(facts.headroom_after_loss)},
        cost_usd=cost.mean,
        cost_half_width_usd=cost.half_width,
        usd_per_hour=cost.mean / found.hours,
        services=tuple(
            ServiceView(name, 1e3 * float(facts.slo_s[s]), float(facts.slo_quantile[s]), float(attained[s]))
            for s, name in enumerate(facts.services)
        ),
        losses=tuple(_loss(facts, t) for t in search.losses.get(chosen.label, [])),
    )


def policy_view(spec: Any, base: Path | None, folder: Path) -> dict[str, Any]:
    """A specification as a scenario in ``folder`` reads it; without a ``base``, files were named from here."""
    named = dict(spec) if isinstance(spec, dict) else {"name": str(spec)}
    return named if base is not None else {key: _from_folder(value, folder) for key, value in named.items()}


def _from_folder(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _from_folder(one, folder) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_from_folder(one, folder) for one in value]
    if not isinstance(value, str):
        return value
    file, colon, name = value.rpartition(":") if ".py:" in value else (value, "", "")
    if not file.endswith((".py", ".yaml", ".yml")) or not Path(file).is_file():
        return value
    return f"{Path(os.path.relpath(file, folder)).as_posix()}{colon}{name}"


def _loss(facts: FleetFacts, trial: Trial) -> LossView:
    loss = trial.question.loss
    assert loss is not None
    node = f"{facts.node_types[loss.node_type]}/{loss.number}"
    return LossView(node, loss.at_s, trial.replicas_lost, trial.margin, trial.holds)


def _batches(scenario: Scenario, facts: FleetFacts, replicas: np.ndarray) -> dict[str, dict[str, float]]:
    """Batching of the variants in use; a chosen cap differs by node type, and is then the largest of those in use."""
    cap = np.where(replicas > 0, facts.batch_cap, 0).max(axis=1)
    variants = [v for service in scenario.services for stage in service.stages for v in stage.variants]
    return {
        name: {"max_batch": int(cap[v]) or variants[v].max_batch, "max_wait_ms": 1e3 * variants[v].max_wait_s}
        for v, name in enumerate(facts.variants)
        if replicas[v].any()
    }


def _certificate(found: Findings, search: PlanSearch, sims: Simulations, chosen: Candidate) -> CertificateView:
    trials = search.tried[chosen.label][1]
    plan_usd = float(np.mean([t.cost_usd for t in trials]))
    fluid = float(np.mean([t.bound_usd for t in trials]))
    static_fluid = static_integer = None
    if found.static is not None:
        static_fluid = found.static.fluid_usd_per_hour * found.hours
        static_integer = found.static.integer_usd_per_hour * found.hours
    held = [
        float(np.mean([t.cost_usd for t in trials]))
        for candidate, trials, note in search.tried.values()
        if candidate.fleet is not None and not note and all(t.holds for t in trials)
    ]
    whole = None
    if chosen.fleet is None:
        whole = whole_fleets(found.facts, [sims.record(search.question(chosen, seed)) for seed in found.seeds])
    sharp = fluid
    if chosen.fleet is not None and static_integer is not None:
        sharp = max(fluid, static_integer)
    if whole is not None and whole.condition_met:
        sharp = max(fluid, whole.lower_usd)
    condition = (
        "fluid: for any policy that serves as many requests on this cluster; static: for any fleet that stays the "
        "same and holds every objective on every one of these seeds"
    )
    if whole is not None:
        condition += (
            "; whole fleets: for any policy whose fleet, in every slot, has the SLO-feasible throughput of the slot's "
            "mean demand at each stage and keeps the accuracy floors"
        )
    if found.static is None:
        condition += "; no bound of static fleets where result caches answer requests"
    return CertificateView(
        fluid_usd=fluid,
        static_fluid_usd=static_fluid,
        static_integer_usd=static_integer,
        static_found_usd=min(held) if held else None,
        optimum_lower_usd=None if whole is None else whole.lower_usd,
        optimum_upper_usd=None if whole is None or whole.upper_usd == math.inf else whole.upper_usd,
        optimum_status="" if whole is None else whole.status,
        condition_met=None if whole is None else whole.condition_met,
        why_below="" if whole is None else whole.why_below,
        plan_usd=plan_usd,
        gap=(plan_usd - sharp) / plan_usd if plan_usd > 0.0 else math.nan,
        condition=condition,
    )


def _of(trial: Trial, chosen: Candidate) -> bool:
    """Whether a trial is of the plan, with no node lost."""
    q = trial.question
    return q.label == chosen.label and q.nodes == chosen.nodes and q.loss is None


def _loads(found: Findings, search: PlanSearch, chosen: Candidate, sims: Simulations) -> tuple[LoadPoint, ...]:
    """Every load at which the plan was simulated."""
    by_load: dict[float, list[Trial]] = {}
    for trial in sims.trials():
        if _of(trial, chosen):
            by_load.setdefault(trial.question.load, []).append(trial)
    points = []
    for load, trials in sorted(by_load.items()):
        attained = np.min([t.attainment for t in trials], axis=0)
        points.append(
            LoadPoint(
                load=load,
                seeds=len(trials),
                cost_usd=float(np.mean([t.cost_usd for t in trials])),
                margin=min(trials, key=lambda t: t.rank).margin,
                attained=dict(zip(found.facts.services, attained.tolist())),
                holds=all(t.holds for t in trials),
                stopped_at_s=min(trials, key=lambda t: t.rank).stopped_at_s,
            )
        )
    return tuple(points)


def _binding(found: Findings, sims: Simulations, chosen: Candidate, bracket: Bracket | None) -> BindingView:
    from optimizer.planner.static_fleet import planning_problem
    from optimizer.planner.strongest import binding_resources

    facts, nodes = found.facts, np.array(chosen.nodes)
    problem = planning_problem(facts, found.stage_peak_rps, nodes)
    standing = facts.served_rps(facts.min_replicas)
    binding = binding_resources(problem, problem.node_count, found.stage_peak_rps, standing)
    pairs = [
        (facts.node_types[n], RESOURCES[r], float(binding.resource_share[n, r]))
        for n, r in np.argwhere(binding.resource_share > NEGLIGIBLE).tolist()
    ]
    stages = [(facts.stages[s], float(v)) for s, v in enumerate(binding.stage_share) if v > NEGLIGIBLE]
    broken: Trial | None = None
    if bracket is not None and bracket.breaks is not None:
        asked = (t for t in sims.trials() if t.question.load == bracket.breaks and _of(t, chosen))
        broken = min(asked, key=lambda t: t.rank)
    busy = [] if broken is None else [pair for pair in zip(RESOURCES, broken.busiest) if pair[0] in BUSY]
    return BindingView(
        planned=tuple(sorted(pairs, key=lambda p: (-p[2], p[0], p[1]))),
        stages=tuple(sorted(stages, key=lambda p: (-p[1], p[0]))),
        simulated=tuple(sorted((pair for pair in busy if pair[1] > NEGLIGIBLE), key=lambda pair: -pair[1])),
        service="" if broken is None else broken.worst_service,
        stage="" if broken is None else broken.waiting_stage,
    )


def _fluid_curve(
    found: Findings, search: PlanSearch, chosen: Candidate | None, loads: tuple[LoadPoint, ...]
) -> tuple[tuple[float, float], ...]:
    """``(load, USD)``: the fluid bound on serving all requests of the first seed at each load; it grows in
    proportion until nodes run out."""
    from optimizer.bounds import fluid_bound_usd

    if chosen is None:
        return ()
    facts = found.facts
    arrived = np.array(search.tried[chosen.label][1][0].arrived, dtype=np.float64)
    served = facts.planned_demand(arrived)
    most = max([1.5, *(p.load for p in loads)])
    curve = []
    for load in np.linspace(0.0, most * 1.05, FLUID_LOADS)[1:].tolist():
        bound = fluid_bound_usd(facts, served * load, facts.duration_s)
        if bound.status == "optimal":
            curve.append((load, float(bound.usd)))
    return tuple(curve)


def _shortfall(found: Findings, search: PlanSearch, sims: Simulations) -> ShortfallView:
    """What binds on the whole cluster, and how many nodes more of one type would do."""
    from optimizer.planner.more_nodes import fewest_more
    from optimizer.planner.static_fleet import planning_problem
    from optimizer.planner.strongest import binding_resources

    facts = found.facts
    problem = planning_problem(facts, found.stage_peak_rps, facts.node_count)
    standing = facts.served_rps(facts.min_replicas)
    binding = binding_resources(problem, problem.node_count, found.stage_peak_rps, standing)
    n, r = np.unravel_index(int(binding.resource_share.argmax()), binding.resource_share.shape)
    strength = 0.0 if search.strongest is None else search.strongest.strength
    needed = max(1.0, 1.05 * strength)
    more: dict[str, int] = {}
    confirmed = False
    for _ in range(4):
        fleet = fewest_more(facts, found.stage_peak_rps, needed)
        if fleet is None:
            break
        extra = np.maximum(fleet.nodes - facts.node_count, 0)
        more = _by_type(facts, extra.tolist())
        candidate = search.static_candidate(fleet)
        trial = sims.ask([search.question(candidate, verdict_only=True)])[0]
        confirmed = trial.holds
        if confirmed:
            break
        needed = max(needed, fleet.strength) * 1.1
    closest = max(search.tried.values(), key=lambda item: min(t.rank for t in item[1]), default=None)
    return ShortfallView(
        strength=max(strength, 0.0) or binding.strength,
        node_type=facts.node_types[int(n)],
        resource=RESOURCES[int(r)],
        more=more,
        confirmed=confirmed,
        closest="" if closest is None else closest[0].label,
    )
