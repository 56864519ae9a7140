"""The cheapest fleet and policy that meet every objective: searched, certified, and loaded until they break."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recfleet.comparing import announce_compilation
from recfleet.jobs import PolicySpec, check_labels
from recfleet.output import open_workspace
from recfleet.plan_progress import Numbered
from recfleet.plan_result import CapacityPlan
from recfleet.plan_runs import PlanRunner, PlanWorld, Simulations, simulate_plan_job
from recfleet.plan_search import Candidate, PlanSearch, autoscaled_specs
from recfleet.plan_views import Findings, view
from recfleet.pool import default_workers, open_pool
from recfleet.progress import Listener, Silent
from workloads.errors import InputError

if TYPE_CHECKING:
    from optimizer.planner.search import Bracket
    from simulator.policy import FleetFacts
    from simulator.scenario import Scenario

__all__ = ["plan"]

MOST_LOAD = 8.0
"""Loads beyond so many times the planned one are not tried."""
TINY = 1e-9
"""Margin of a run that misses an accuracy floor alone."""


def plan(
    scenario: Scenario | str | Path,
    *,
    growth: float = 1.0,
    survive: str | None = None,
    seeds: int | Sequence[int] = 3,
    policies: Sequence[PolicySpec] | None = None,
    tolerance: float = 0.05,
    out: str | Path | None = None,
    workers: int | None = 1,
    resume: bool = True,
    listener: Listener | None = None,
    command: str = "",
    runner: PlanRunner = simulate_plan_job,
) -> CapacityPlan:
    """Plan the capacity of a scenario.

    Static fleets come from the MIP at rising strength, for all mixes of node types; autoscaled ones are policies on
    the scenario's cluster. All are confirmed by simulation: a plan meets the objectives if every service's attainment
    over the run reaches its quantile on every seed, and every stage its accuracy floor.

    Parameters
    ----------
    growth
        Factor on the scenario's demand.
    survive
        ``node``: the plan also holds, on the first seed, after any one node is lost at its worst moment for good;
        ``none``: it need not. By default what the scenario says (`planning.survive`), else ``none``.
    seeds
        The seeds, or how many: the scenario's seed and those after it.
    policies
        What autoscales, as in `recfleet.compare`; by default `rolling_horizon`, `mip` and the scenario's
        autoscalers; nothing if empty.
    tolerance
        Of the breaking load, relative.
    out
        Folder for the plan's files; it appears when complete. What an interrupted plan has simulated is used again.
    workers
        Processes; None for one a core.

    Raises
    ------
    InputError
        Something given cannot be used.

    Examples
    --------
    >>> import recfleet as rf
    >>> plan = rf.plan("scenarios/demo.yaml", growth=1.5)  # doctest: +SKIP
    >>> print(plan)  # doctest: +SKIP
    """
    if isinstance(scenario, str | Path):
        from simulator.scenario import load_scenario

        scenario = load_scenario(Path(scenario))
    _check(growth, survive, tolerance, workers)
    seed_list = tuple(range(scenario.seed, scenario.seed + seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not seed_list or len(set(seed_list)) < len(seed_list):
        raise InputError("seeds", f"{list(seed_list)} is empty or names one twice", "give each seed once")
    specs = _specs(scenario, policies)
    base = scenario.path.parent if policies is None else None
    listener = listener or Silent()
    count = default_workers(64) if workers is None else workers

    def finish(folder: Path) -> CapacityPlan:
        announce_compilation(scenario, listener)
        listener.note("computing what each replica can serve within its latency budget")
        world = _world(scenario, growth, survive)
        survives = world.facts.headroom_after_loss is not None
        with open_pool(world, folder, count, runner, Numbered(listener)) as pool:
            sims = Simulations(pool, world, base)
            return _plan(scenario, world, sims, growth, survives, seed_list, specs, tolerance, listener)

    if out is None:
        with tempfile.TemporaryDirectory(prefix="recfleet-") as folder:
            return finish(Path(folder))
    with open_workspace(Path(out), resume=resume) as workspace:
        from recfleet.plan_files import write_plan

        planned = finish(workspace.runs)
        write_plan(planned, workspace.draft, command)
        workspace.publish()
    return planned


def _check(growth: float, survive: str | None, tolerance: float, workers: int | None) -> None:
    if not (math.isfinite(growth) and 0.0 < growth <= 1000.0):
        raise InputError("growth", f"{growth:g} is no factor above 0 and up to 1000", "give one, as in 1.5")
    if survive not in (None, "none", "node"):
        raise InputError("survive", f"'{survive}' is nothing to survive", "give node, or none")
    if not (0.0 < tolerance <= 1.0):
        raise InputError("tolerance", f"{tolerance:g} is not above 0 and at most 1", "give one, as in 0.05")
    if workers is not None and workers < 1:
        raise InputError("workers", f"{workers} is not a positive number", "give 1 or more")


def _specs(scenario: Scenario, policies: Sequence[PolicySpec] | None) -> list[PolicySpec]:
    from optimizer.registry import validate_spec

    specs = autoscaled_specs(scenario.policies) if policies is None else list(policies)
    if specs:
        check_labels(specs)
    for spec in specs:
        if not isinstance(spec, str | dict):
            raise InputError(f"policy {spec!r}", "is not a name or a mapping", "name it, or give path/to/file.py:Class")
        validate_spec(spec, base=scenario.path.parent if policies is None else None)
    return specs


def _world(scenario: Scenario, growth: float, survive: str | None) -> PlanWorld:
    """The scenario at its planned load; policies keep a reserve for a node where the plan must survive its loss."""
    from optimizer.planner.loads import at_load
    from simulator.facts import fleet_facts

    planned = at_load(scenario, growth)
    facts = fleet_facts(planned)
    if survive == "node" and facts.headroom_after_loss is None:
        facts = replace(facts, headroom_after_loss=0.0)
    if survive == "none":
        facts = replace(facts, headroom_after_loss=None)
    return PlanWorld(planned, facts)


def _plan(
    scenario: Scenario,
    world: PlanWorld,
    sims: Simulations,
    growth: float,
    survive: bool,
    seeds: tuple[int, ...],
    specs: Sequence[PolicySpec],
    tolerance: float,
    listener: Listener,
) -> CapacityPlan:
    from optimizer.planner.least_capacity import static_bound
    from simulator.facts import prepare

    facts = world.facts
    contexts = [prepare(world.scenario, seed, facts) for seed in seeds]
    peak_rps = np.max([context.peak_rps for context in contexts], axis=0)
    stage_peak = facts.planned_demand(peak_rps)
    least = least_demand(world, seeds)
    cached = any(service.level_names for service in scenario.services)
    bound = None if cached else static_bound(facts, least)
    usd_per_hour = 0.0 if bound is None else bound.integer_usd_per_hour
    weakest = _weakest(facts, peak_rps, least)
    search = PlanSearch(sims, facts, stage_peak, seeds, survive, weakest, usd_per_hour, listener.note)
    listener.note(f"1 of 3: {len(specs)} autoscaled policies and the MIP's static fleets, on seed {seeds[0]}")
    with sims.beside(search.static):
        scaling = search.autoscaled(specs)
    static = search.static()
    listener.note("2 of 3: confirming the cheapest that held")
    chosen = search.choose(static, scaling)
    bracket = None
    if chosen is not None:
        listener.note(f"3 of 3: loading the plan until it breaks, to {100 * tolerance:g} %")
        bracket = break_plan(search, chosen, seeds, tolerance)
    findings = Findings(scenario, world, growth, survive, seeds, tolerance, peak_rps, stage_peak, bound)
    return view(findings, search, sims, chosen, bracket)


def least_demand(world: PlanWorld, seeds: Sequence[int]) -> np.ndarray:
    """``[service]`` capacity that every static fleet needs: the most over seeds of `least_capacity_rps`."""
    from optimizer.planner.least_capacity import least_capacity_rps
    from simulator.facts import arrivals_per_slot, slot_ends_s

    facts = world.facts
    length_s = np.diff(slot_ends_s(world.scenario), prepend=0.0)
    counts = [arrivals_per_slot(world.scenario, seed) for seed in seeds]
    return np.array(
        [
            max(least_capacity_rps(c[s], length_s, float(facts.slo_s[s]), float(facts.slo_quantile[s])) for c in counts)
            for s in range(len(facts.services))
        ]
    )


def _weakest(facts: FleetFacts, peak_rps: np.ndarray, least: np.ndarray) -> float:
    """Strength below which no static fleet can hold: least capacity over the peak, at the best rather than the
    SLO-feasible throughput of any pair."""
    runs = facts.throughput_rps > 0.0
    better = float((facts.best_throughput_rps[runs] / facts.throughput_rps[runs]).max(initial=1.0))
    some = peak_rps > 0.0
    return max(0.3, float((least[some] / peak_rps[some]).min(initial=1.0)) / better)


def break_plan(search: PlanSearch, chosen: Candidate, seeds: Sequence[int], tolerance: float) -> Bracket:
    """The loads between which the plan breaks.

    The first guess lies in the middle (by factors) between what its nodes serve within the latency budgets of single
    replicas and what they serve at best: replicas that share a queue hold an objective at loads between the two.
    """
    from optimizer.planner.search import breaking_load

    def margins(loads: Sequence[float], some: Sequence[int]) -> list[list[float]]:
        return [
            [t.rank if t.holds else min(t.rank, -TINY) for t in row] for row in search.at_loads(chosen, loads, some)
        ]

    within_budgets, at_best = search.strengths_of(chosen)
    between = math.sqrt(max(within_budgets, 1.0) * max(within_budgets, at_best, 1.0))
    guess = min(max(1.0 + tolerance, between), MOST_LOAD)
    return breaking_load(margins, seeds, guess=guess, tolerance=tolerance, most=MOST_LOAD)
