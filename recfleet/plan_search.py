"""Which fleet and policy: candidates of the MIP and of autoscalers, confirmed by simulation, the cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.jobs import PolicySpec, label_of
from recfleet.plan_losses import losses_of_autoscaled, losses_of_static
from recfleet.plan_progress import Reports
from recfleet.plan_runs import Loss, Question, Simulations, Trial

if TYPE_CHECKING:
    from optimizer.planner.static_fleet import StaticFleet
    from simulator.policy import FleetFacts

__all__ = ["Candidate", "PlanSearch", "autoscaled_specs", "next_level"]

STRONGEST, BEYOND = 1.6, 4.0
"""Strength of the strongest static fleet that is proposed at first, and where none of those holds."""
MOST_SPARE = 3
START = 3
"""The search begins at this part of the way from the cheapest fleet to the first that is strong enough by plan."""
LOST_AT_ONCE = 4
"""Losses of nodes are simulated so many at a time, the worst first, until a plan does not survive one."""
PLANNERS = ("rolling_horizon", "mip")
AUTOSCALERS = ("hpa", "kpa", "ray_serve", "keda")


@dataclass(frozen=True)
class Candidate:
    """A policy on so many nodes; ``fleet`` where it is static."""

    label: str
    spec: PolicySpec
    nodes: tuple[int, ...]
    fleet: StaticFleet | None = None

    @property
    def kind(self) -> str:
        return "autoscaled" if self.fleet is None else "static"


def autoscaled_specs(scenario_policies: Sequence[PolicySpec]) -> list[PolicySpec]:
    """What is tried where nobody says: both planners, and the scenario's own autoscalers and policies from files.

    Left out: static policies (the planner's own static fleets stand for them), yardsticks that see the future, and the
    document's.
    """
    own = [spec for spec in scenario_policies if _name(spec) in AUTOSCALERS or ".py" in _name(spec)]
    planners = [spec for name in PLANNERS for spec in ([s for s in scenario_policies if _name(s) == name] or [name])]
    return [*planners, *own]


def _name(spec: PolicySpec) -> str:
    name = spec.get("name", "") if isinstance(spec, Mapping) else spec
    return str(name).strip().replace("-", "_") if isinstance(name, str) else ""


def next_level(spec: PolicySpec, held: bool, headroom: float) -> PolicySpec | None:
    """The same policy a level bolder where it held, and more cautious where it did not; None where it has no level."""
    options: dict[str, Any] = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    if "options" in options or "manifest" in options or "wrap" in options:
        return None
    if _name(spec) in PLANNERS:
        level = float(options.get("headroom", headroom))
        level = round(level / 2, 4) if held else round(2 * level + 0.1, 4)
        return options | {"headroom": level, "label": f"{label_of(spec)} {level:.0%} headroom"}
    if _name(spec) == "hpa":
        target = float(options.get("target", 0.65))
        target = round(min(0.95, target * 1.2), 3) if held else round(target * 0.8, 3)
        return options | {"target": target, "label": f"{label_of(spec)} target {target:.0%}"}
    return None


class PlanSearch:
    """Finds the plan for one load; asks simulations as few questions as it can.

    Attributes
    ----------
    tried
        By candidate label, every trial at the planned load, in order.
    fleets
        Static fleets that were proposed, by rising cost and strength; those cheaper than ``static_usd_per_hour``, which
        no static fleet undercuts, are not simulated.
    """

    def __init__(
        self,
        simulations: Simulations,
        facts: FleetFacts,
        peak_rps: np.ndarray,
        seeds: Sequence[int],
        survive: bool,
        weakest: float,
        static_usd_per_hour: float = 0.0,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._sims, self._facts, self._seeds, self._survive = simulations, facts, tuple(seeds), survive
        self._peak_rps, self._weakest, self._static_usd_per_hour = peak_rps, weakest, static_usd_per_hour
        self.fleets: list[StaticFleet] = []
        self.tried: dict[str, tuple[Candidate, list[Trial], str]] = {}
        self.losses: dict[str, list[Trial]] = {}
        self.strongest: StaticFleet | None = None
        self._proposed: dict[float, list[StaticFleet]] = {}
        self._reports = Reports(facts, say)
        self._most_static: dict[float, int] = {}
        self._most_autoscaled = 0

    # --- what is asked -----------------------------------------------------------------------------------

    def question(
        self,
        candidate: Candidate,
        seed: int | None = None,
        load: float = 1.0,
        loss: Loss | None = None,
        *,
        verdict_only: bool = False,
    ) -> Question:
        """About a candidate; the first seed if none is given."""
        seed = self._seeds[0] if seed is None else seed
        stands = candidate.fleet is not None
        return Question(candidate.spec, candidate.label, candidate.nodes, seed, load, loss, stands, verdict_only)

    def _first(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """Each candidate on the first seed; of a static one, whose cost is known, just whether it holds."""
        trials = self._sims.ask([self.question(c, verdict_only=c.fleet is not None) for c in candidates])
        for candidate, trial in zip(candidates, trials):
            self._note(candidate, [trial], "")
            self._reports.tried(candidate.label, trial)
        return trials

    def _note(self, candidate: Candidate, trials: Sequence[Trial], note: str) -> None:
        self.tried[candidate.label] = (candidate, list(trials), note)

    # --- static fleets -----------------------------------------------------------------------------------

    def static(self) -> Candidate | None:
        """The cheapest static fleet that holds on the first seed, and without its worst node where that is asked."""
        for strongest in (STRONGEST, BEYOND):
            self.fleets = self._propose(strongest)
            if not self.fleets:
                return None
            self.strongest = self.fleets[-1]
            found = self._search(strongest)
            if found is not None:
                return found
            if self.strongest.strength < strongest:  # the cluster has no more
                return None
        return None

    def _propose(self, strongest: float) -> list[StaticFleet]:
        """Fleets of all mixes, without those for which another is as cheap and as strong."""
        if strongest not in self._proposed:
            self._proposed[strongest] = self._solved(strongest)
        return self._proposed[strongest]

    def _solved(self, strongest: float) -> list[StaticFleet]:
        from optimizer.planner.static_fleet import frontier, mixes

        found = [
            fleet
            for mix in mixes(self._facts, self._peak_rps)
            for fleet in frontier(self._facts, self._peak_rps, mix, self._weakest, strongest)
        ]
        found.sort(key=lambda f: (f.usd_per_hour, -f.strength, f.key))
        best: list[StaticFleet] = []
        for fleet in found:
            if not best or fleet.strength > best[-1].strength * (1.0 + 1e-9):
                best.append(fleet)
        return best

    def _search(self, strongest: float) -> Candidate | None:
        """Among fleets that are not below what every static fleet is proven to cost."""
        from optimizer.planner.search import first_that_holds, most_asked

        least = self._static_usd_per_hour * (1.0 - 1e-6)
        left = [f for f in self.fleets if f.usd_per_hour >= least]

        def holds(i: int) -> bool:
            return self.static_holds(self.static_candidate(left[i]))

        strong = next((i for i, f in enumerate(left) if f.strength >= 1.0), len(left) - 1)
        self._most_static[strongest] = most_asked(len(left), strong // START)
        if strongest > STRONGEST:
            self._reports.none_holds(STRONGEST, self._most_static[strongest])
        self._reports.most_tries = self._most_autoscaled + sum(self._most_static.values())
        i = first_that_holds(holds, len(left), strong // START)
        return None if i is None else self.static_candidate(left[i])

    def static_candidate(self, fleet: StaticFleet) -> Candidate:
        """A fleet with the policy that keeps it."""
        from optimizer.policies.fixed import replicas_by_name

        types = self._facts.node_types
        nodes = ", ".join(f"{n} {types[i]}" for i, n in enumerate(fleet.nodes) if n)
        spec = {"name": "fixed", "label": "plan", "replicas": replicas_by_name(self._facts, fleet.replicas)}
        if fleet.most_per_node is not None:
            spec["most_per_node"] = replicas_by_name(self._facts, fleet.most_per_node)
        return Candidate(f"static: {nodes}", spec, fleet.key, fleet)

    def static_holds(self, candidate: Candidate) -> bool:
        """On the first seed."""
        (trial,) = self._first([candidate])
        if not trial.holds or not self._survive:
            return trial.holds
        return all(t.holds for t in self._lose(candidate, every=False))

    # --- losing a node -----------------------------------------------------------------------------------

    def _lose(self, candidate: Candidate, *, every: bool) -> list[Trial]:
        """The candidate on the first seed, one node less, once for each node that is worth it."""
        record = self._sims.record(self.question(candidate))
        if candidate.fleet is None:
            losses = losses_of_autoscaled(record)
        else:
            losses = losses_of_static(self._facts, candidate.fleet, record, every=every)
        trials: list[Trial] = []
        for i in range(0, len(losses), LOST_AT_ONCE):
            if all(t.holds for t in trials):  # or the rest, which is no worse, changes nothing
                some = [self.question(candidate, loss=loss, verdict_only=True) for loss in losses[i : i + LOST_AT_ONCE]]
                trials += self._sims.ask(some)
        self.losses[candidate.label] = trials
        if not all(t.holds for t in trials):
            self._note(candidate, self.tried[candidate.label][1], "does not survive the loss of a node")
        return trials

    # --- autoscaled fleets ---------------------------------------------------------------------------------

    def autoscaled(self, specs: Sequence[PolicySpec]) -> list[Candidate]:
        """Policies on the whole cluster, on the first seed, and a second level of those for which it may pay.

        A bolder level is tried of the cheapest that held; a more cautious one of those that did not hold and cost less
        than that (caution costs).
        """
        cluster = tuple(int(n) for n in self._facts.node_count)
        levelled = [spec for spec in specs if next_level(spec, True, self._facts.headroom) is not None]
        self._most_autoscaled = len(specs) + len(levelled)
        first = [Candidate(label_of(spec), spec, cluster) for spec in specs]
        trials = self._first(first)
        cheapest = min((t.cost_usd for t in trials if t.holds), default=np.inf)
        levels = [
            next_level(c.spec, t.holds, self._facts.headroom)
            for c, t in zip(first, trials)
            if (t.cost_usd == cheapest if t.holds else t.cost_usd < cheapest)
        ]
        more = [Candidate(label_of(spec), spec, cluster) for spec in levels if spec is not None]
        more = [c for c in more if c.label not in self.tried]
        trials += self._first(more)
        return [c for c, t in zip([*first, *more], trials) if t.holds]

    # --- the choice ----------------------------------------------------------------------------------------

    def choose(self, static: Candidate | None, scaling: Sequence[Candidate]) -> Candidate | None:
        """The cheapest that holds on every seed, with the nodes that it needs; of two as cheap, the static one."""
        self._reports.most_tries = None
        left = [*([static] if static else []), *scaling]
        while left:
            left.sort(key=lambda c: (float(f"{self._cost(c):.7g}"), c.fleet is None, c.label))
            candidate = left.pop(0)
            confirmed = self._confirmed(candidate)
            if confirmed is not None:
                return confirmed
            if candidate.fleet is not None and (stronger := self._next_static(candidate.fleet)) is not None:
                left.append(stronger)
        return None

    def _cost(self, candidate: Candidate) -> float:
        return float(np.mean([t.cost_usd for t in self.tried[candidate.label][1]]))

    def _next_static(self, fleet: StaticFleet) -> Candidate | None:
        """The next stronger fleet that holds on the first seed."""
        for stronger in self._stronger(fleet):
            candidate = self.static_candidate(stronger)
            if self.static_holds(candidate):
                return candidate
        return None

    def _stronger(self, fleet: StaticFleet) -> Iterator[StaticFleet]:
        """By rising cost: fleets that were proposed, and then those that the cluster has beyond them."""
        yield from [f for f in self.fleets if f.strength > fleet.strength]
        last = self.fleets[-1]
        if STRONGEST <= last.strength < BEYOND:
            self.fleets = self._propose(BEYOND)
            yield from [f for f in self.fleets if f.strength > max(fleet.strength, last.strength)]

    def _confirmed(self, candidate: Candidate) -> Candidate | None:
        """The candidate on all seeds; None where it fails on one."""
        if candidate.fleet is not None:
            return candidate if self._holds_everywhere(candidate) else None
        (seen,) = self.tried[candidate.label][1]
        there = np.array(candidate.nodes)
        used = np.array(seen.open_most)
        for spare in range(int(self._survive), MOST_SPARE + 1):
            nodes = np.minimum(used + spare * (used > 0), there)
            limited = replace(candidate, nodes=tuple(int(n) for n in nodes))
            if self._holds_everywhere(limited):
                return limited
            if (nodes == there).all():
                break
        return None

    def _holds_everywhere(self, candidate: Candidate) -> bool:
        trials = self._sims.ask([self.question(candidate, seed) for seed in self._seeds])
        holds = all(t.holds for t in trials)
        self._note(candidate, trials, "" if holds else "does not hold on every seed")
        self._reports.confirmed(candidate.label, candidate.nodes, trials)
        return holds and (not self._survive or all(t.holds for t in self._lose(candidate, every=True)))

    def strengths_of(self, candidate: Candidate) -> tuple[float, float]:
        """What a candidate's nodes serve of the peak as planned: within the latency budgets, and at the best throughput
        of every replica, whatever the latency."""
        from optimizer.planner.static_fleet import planning_problem, strength
        from optimizer.planner.strongest import binding_resources

        best = replace(self._facts, throughput_rps=self._facts.best_at_cap_rps)
        if candidate.fleet is not None:
            return candidate.fleet.strength, strength(best, candidate.fleet.replicas, self._peak_rps)
        found = []
        for facts in (self._facts, best):
            problem = planning_problem(facts, self._peak_rps, np.array(candidate.nodes))
            standing = facts.served_rps(facts.min_replicas)
            found.append(binding_resources(problem, problem.node_count, self._peak_rps, standing).strength)
        return found[0], found[1]

    # --- the load at which it breaks ------------------------------------------------------------------------

    def at_loads(self, candidate: Candidate, loads: Sequence[float], seeds: Sequence[int]) -> list[list[Trial]]:
        """Trials of a candidate, ``[load][seed]``; where it does not hold, no more than that is asked."""
        questions = [self.question(candidate, seed, load, verdict_only=True) for load in loads for seed in seeds]
        trials = self._sims.ask(questions)
        self._reports.loaded(trials)
        return [trials[i * len(seeds) : (i + 1) * len(seeds)] for i in range(len(loads))]
