"""What a capacity plan says; plain data, which `recfleet.plan_files` writes and `recfleet.cli_plan` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recfleet.report.picture import Picture

__all__ = [
    "BindingView", "BreakingLoad", "CandidateView", "CapacityPlan", "CertificateView", "ChosenPlan", "LoadPoint",
    "LossView", "ServiceView", "ShortfallView",
]  # fmt: skip


@dataclass(frozen=True)
class CandidateView:
    """A fleet and a policy that were tried at the planned load.

    Attributes
    ----------
    kind
        ``static`` (bought for the run) or ``autoscaled`` (paid while open).
    nodes
        By node type: what stands, or what the policy may open.
    cost_usd, margin
        Means over the seeds that were simulated; the margin is the worst service's attainment less what is asked.
    holds
        On every seed that was simulated.
    seeds
        How many were.
    note
        Why it is where it is.
    stopped_at_s
        When the worst run was ended because it had missed an objective for certain; the margin is then NaN. None where
        all runs went on to their end.
    """

    label: str
    kind: str
    mix: str
    nodes: dict[str, int]
    cost_usd: float
    margin: float
    worst_service: str
    holds: bool
    seeds: int
    note: str = ""
    stopped_at_s: float | None = None


@dataclass(frozen=True)
class ServiceView:
    """A service's attainment at the planned load: the least over seeds, beside what is asked."""

    service: str
    slo_ms: float
    asked: float
    attained: float


@dataclass(frozen=True)
class LossView:
    """One node lost at its worst moment for the rest of the run, and whether all objectives held."""

    node: str
    at_s: float
    replicas_lost: int
    margin: float
    holds: bool


@dataclass(frozen=True)
class ChosenPlan:
    """The plan, ready to be applied.

    Attributes
    ----------
    policy
        A specification for a scenario's ``policies``.
    nodes
        By node type: what to have.
    replicas
        By variant and node type: what stands, or the most that were ready at once in any of the seeds.
    batches
        By variant in use: ``max_batch`` and ``max_wait_ms``, the scenario's, or the largest cap chosen for a node type
        in use.
    planning
        What the scenario's ``planning`` must say for the policy to plan as it did here.
    cost_usd, cost_half_width_usd
        Of the run: mean over seeds, and half of its 95 % interval (NaN with one seed).
    """

    label: str
    kind: str
    policy: dict[str, Any]
    nodes: dict[str, int]
    replicas: dict[str, dict[str, int]]
    batches: dict[str, dict[str, float]]
    planning: dict[str, Any]
    cost_usd: float
    cost_half_width_usd: float
    usd_per_hour: float
    services: tuple[ServiceView, ...]
    losses: tuple[LossView, ...] = ()


@dataclass(frozen=True)
class CertificateView:
    """Lower bounds beside the plan, USD for the run; None where one does not apply.

    Attributes
    ----------
    fluid_usd
        No policy that serves what the plan served pays less (the plan's mean over seeds of `optimizer.bounds`).
    static_fluid_usd, static_integer_usd
        No static fleet that holds every objective costs less (`optimizer.planner.least_capacity`), with divisible and
        with whole nodes.
    static_found_usd
        The cheapest static fleet that held in simulation.
    optimum_lower_usd, optimum_upper_usd, optimum_status
        Of an autoscaled plan: the cheapest sequence of whole fleets of the whole cluster, for demand known beforehand,
        lies between (mean over seeds; `optimizer.certificate`). The status is the worst of any seed.
    condition_met
        The plan met the optimum's condition in every slot of every seed, so that it cannot have paid less; None for a
        static plan.
    why_below
        Why an autoscaled plan paid less than the optimum, of the seed that lies furthest below; empty if none does.
    gap
        ``(plan - bound) / plan`` with the sharpest bound that applies to the plan: a static plan's whole nodes, the
        optimum's lower value where its condition was met, else the fluid bound.
    condition
        When the bounds hold, in words.
    """

    fluid_usd: float
    static_fluid_usd: float | None
    static_integer_usd: float | None
    static_found_usd: float | None
    optimum_lower_usd: float | None
    optimum_upper_usd: float | None
    optimum_status: str
    condition_met: bool | None
    why_below: str
    plan_usd: float
    gap: float
    condition: str


@dataclass(frozen=True)
class LoadPoint:
    """The plan at ``load`` times the planned demand, over the seeds that were simulated there.

    Attributes
    ----------
    attained
        By service, the least over seeds.
    stopped_at_s
        When the worst run was ended because it had missed an objective for certain: there is then no margin, no
        attainment and, unless all nodes stand, no cost (NaN), just the verdict. None where all runs went on to their
        end.
    """

    load: float
    seeds: int
    cost_usd: float
    margin: float
    attained: dict[str, float]
    holds: bool
    stopped_at_s: float | None = None


@dataclass(frozen=True)
class BreakingLoad:
    """Where the plan breaks, as a factor on the planned demand.

    Attributes
    ----------
    holds
        The largest load found at which every objective held on every seed.
    breaks
        The smallest at which one did not; None where none up to the largest tried did.
    tolerance
        ``breaks / holds - 1`` at most.
    """

    holds: float
    breaks: float | None
    tolerance: float
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class BindingView:
    """What binds first.

    Attributes
    ----------
    planned
        From the duals of the linear programme at the plan's nodes: ``(node type, resource, share)``, largest first.
    stages
        From the same duals: ``(stage, share)``.
    simulated
        In the intervals that missed an objective at the breaking load, until an error budget was spent:
        ``(resource, used / provisioned)``, of those that work, the busiest first.
    service, stage
        The service that misses first, and its stage with the longest mean wait; empty where nothing broke.
    """

    planned: tuple[tuple[str, str, float], ...]
    stages: tuple[tuple[str, float], ...]
    simulated: tuple[tuple[str, float], ...] = ()
    service: str = ""
    stage: str = ""


@dataclass(frozen=True)
class ShortfallView:
    """Why there is no plan.

    Attributes
    ----------
    strength
        What the strongest fleet of the cluster serves of the peak.
    node_type, resource
        Which resource of which nodes binds.
    more
        By node type, nodes beyond those at hand with which a static fleet would do; empty where none would.
    confirmed
        That fleet held in simulation.
    """

    strength: float
    node_type: str
    resource: str
    more: dict[str, int]
    confirmed: bool
    closest: str


@dataclass(frozen=True)
class CapacityPlan:
    """The cheapest fleet and policy found that meet every objective, with what is known about it.

    Attributes
    ----------
    chosen
        None where nothing of this cluster meets the objectives; `shortfall` then says what is missing.
    candidates
        All that were tried, the chosen one first, then by cost.
    frontier
        ``(strength, USD per hour)`` of the static fleets that the MIP proposed.
    """

    scenario: str
    path: str
    file_sha256: str
    growth: float
    survive: str
    seeds: tuple[int, ...]
    duration_s: float
    peak_rps: dict[str, float]
    chosen: ChosenPlan | None
    certificate: CertificateView | None
    breaking: BreakingLoad | None
    binding: BindingView | None
    shortfall: ShortfallView | None
    candidates: tuple[CandidateView, ...]
    loads: tuple[LoadPoint, ...]
    frontier: tuple[tuple[float, float], ...]
    fluid_curve: tuple[tuple[float, float], ...]
    simulations: int
    assumptions: tuple[str, ...]

    @property
    def found(self) -> bool:
        """Whether there is a plan."""
        return self.chosen is not None

    @property
    def text(self) -> str:
        """The plan in sentences."""
        from recfleet.plan_words import sentences

        return " ".join(sentences(self))

    def __str__(self) -> str:
        return self.text

    def plot(self) -> Picture:
        """Cost and attainment against load, with the breaking point."""
        from recfleet.report.figure_plan import draw

        return draw(self)
