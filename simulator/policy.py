"""The one interface of allocation policies: an observation in, an allocation out.

A policy is any object with ``decide(observation) -> Allocation``. If its class has a classmethod
``from_context(context, **options)`` it is built with that, else by calling the class with the options.
A fresh policy is built for every run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

__all__ = ["Allocation", "FleetFacts", "Observation", "Policy", "PolicyContext"]


def _not_given() -> np.ndarray:
    return np.empty(0)


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    values = np.zeros(shape, np.int64)
    values.flags.writeable = False
    return values


def _unknown(length: int) -> np.ndarray:
    values = np.full(length, np.nan)
    values.flags.writeable = False
    return values


@dataclass(frozen=True)
class FleetFacts:
    """What does not change during a run; every array is read-only.

    Axes: ``service``, ``stage`` (all stages of all services, in order), ``variant`` (all variants of all stages, in
    order), ``node_type``, ``resource`` (`simulator.cluster.RESOURCES`).

    Attributes
    ----------
    stages
        Names ``service/stage``.
    variants
        Names ``service/stage/variant``.
    stage_service, variant_stage
        ``stage_service[stage]`` is the service index, ``variant_stage[variant]`` the stage index.
    throughput_rps
        ``[variant, node_type]`` requests/s of one replica at which the stage's latency budget still holds
        (`simulator.throughput`); 0 where the variant cannot run there or cannot meet the budget.
    best_throughput_rps
        ``[variant, node_type]`` requests/s of one replica that is always busy with its most efficient batch, whatever
        the latency; no replica can serve more for long. 0 where it cannot run.
    need
        ``[variant, node_type, resource]`` claimed by one replica.
    capacity, node_count, price_usd_per_hour
        ``[node_type, resource]``, ``[node_type]``, ``[node_type]``.
    start_delay_s
        ``[variant, node_type]`` estimate from decision to ready on a node that is already open, has not its image,
        and finds the store idle; add ``boot_s[node_type]`` for a node that must be opened.
    slo_s
        ``[service]`` latency objective, at quantile ``slo_quantile[service]``.
    headroom
        Fraction by which plans should exceed the demand they expect (scenario's `planning.headroom`).
    unserved_usd_per_request
        Penalty that planning problems put on demand left unserved.
    accuracy
        ``[variant]`` in its stage's metric; NaN where the stage names none.
    accuracy_metric
        ``[stage]`` name of the metric, empty where the scenario names none.
    accuracy_floor
        ``[stage]`` least mean over served requests; ``-inf`` where none is asked for.
    lost_usd_per_request
        ``[variant]`` what a request is worth less when this variant serves it and not the stage's most accurate one;
        0 where the scenario sets no price on accuracy. Nobody is billed for it: it is a weight for plans.
    routed_share
        ``[variant, node_type]`` requests that one ready replica gets, relative to the others of its stage: its
        throughput where the router looks for the least outstanding, 1 where it goes round. An approximation.
    service_weight
        ``[service]`` fair shares of the cluster beside each other; 1 unless stated.
    service_priority
        ``[service]``, 0 is the highest: who is placed first where not all fits; 0 unless stated.
    tasks_per_request
        ``[stage]`` mean number of tasks that a request is split into; `throughput_rps` is of whole requests.
    planned_share
        ``[service]`` share of the requests that plans made before the run expect to pass the result cache.
    min_replicas
        ``[variant, node_type]`` replicas that stand whatever a policy wants.
    standing_rps
        ``[stage]`` rate that others serve, which `stage_demand` leaves out; 0 unless a wrapper hides what stands.
    standing_loss_rps
        ``[stage]`` most of that which one node serves; 0 unless a wrapper hides what stands.
    headroom_after_loss
        Fraction by which a fleet that has lost any one node should exceed the demand; None where plans need no such
        reserve (scenario's `planning.survive`).
    batch_cap
        ``[variant, node_type]`` largest batch that `throughput_rps` is for, where the scenario has it chosen; 0: what
        the variant states.
    best_at_cap_rps
        ``[variant, node_type]`` as `best_throughput_rps`, of batches within `batch_cap`.
    budget_usd_per_hour
        Most that planned nodes may cost together; infinite where the scenario names no budget.
    """

    services: tuple[str, ...]
    stages: tuple[str, ...]
    variants: tuple[str, ...]
    node_types: tuple[str, ...]
    stage_service: np.ndarray
    variant_stage: np.ndarray
    throughput_rps: np.ndarray
    best_throughput_rps: np.ndarray
    need: np.ndarray
    capacity: np.ndarray
    node_count: np.ndarray
    price_usd_per_hour: np.ndarray
    start_delay_s: np.ndarray
    boot_s: np.ndarray
    slo_s: np.ndarray
    slo_quantile: np.ndarray
    control_interval_s: float
    duration_s: float
    headroom: float
    unserved_usd_per_request: float
    accuracy: np.ndarray = field(default_factory=_not_given)
    accuracy_metric: tuple[str, ...] = ()
    accuracy_floor: np.ndarray = field(default_factory=_not_given)
    lost_usd_per_request: np.ndarray = field(default_factory=_not_given)
    routed_share: np.ndarray = field(default_factory=_not_given)
    service_weight: np.ndarray = field(default_factory=_not_given)
    service_priority: np.ndarray = field(default_factory=_not_given)
    tasks_per_request: np.ndarray = field(default_factory=_not_given)
    planned_share: np.ndarray = field(default_factory=_not_given)
    min_replicas: np.ndarray = field(default_factory=_not_given)
    standing_rps: np.ndarray = field(default_factory=_not_given)
    standing_loss_rps: np.ndarray = field(default_factory=_not_given)
    batch_cap: np.ndarray = field(default_factory=_not_given)
    best_at_cap_rps: np.ndarray = field(default_factory=_not_given)
    headroom_after_loss: float | None = None
    budget_usd_per_hour: float = math.inf

    def __post_init__(self) -> None:
        stages, variants = len(self.stages), len(self.variants)
        given = {
            "accuracy": np.full(variants, np.nan),
            "accuracy_metric": ("",) * stages,
            "accuracy_floor": np.full(stages, -np.inf),
            "lost_usd_per_request": np.zeros(variants),
            "routed_share": np.array(self.throughput_rps, dtype=np.float64),
            "service_weight": np.ones(len(self.services)),
            "service_priority": np.zeros(len(self.services), np.int64),
            "tasks_per_request": np.ones(stages),
            "planned_share": np.ones(len(self.services)),
            "min_replicas": np.zeros(np.shape(self.throughput_rps), np.int64),
            "standing_rps": np.zeros(stages),
            "standing_loss_rps": np.zeros(stages),
            "batch_cap": np.zeros(np.shape(self.throughput_rps), np.int64),
            "best_at_cap_rps": np.array(self.best_throughput_rps, dtype=np.float64),
        }
        for name, value in given.items():
            if len(getattr(self, name)) == 0:
                if isinstance(value, np.ndarray):
                    value.flags.writeable = False
                object.__setattr__(self, name, value)

    def stage_demand(self, service_rps: np.ndarray) -> np.ndarray:
        """Requests/s that reach each stage, ``[stage, ...]``, when ``service_rps[service, ...]`` pass result caches."""
        demand = np.asarray(service_rps)[self.stage_service]
        if not self.standing_rps.any():
            return demand
        return np.maximum(demand - self.standing_rps.reshape(-1, *[1] * (demand.ndim - 1)), 0.0)

    def planned_demand(self, service_rps: np.ndarray) -> np.ndarray:
        """The same when services receive ``service_rps[service, ...]`` and caches answer what was planned."""
        rps = np.asarray(service_rps)
        return self.stage_demand(rps * self.planned_share.reshape(-1, *[1] * (rps.ndim - 1)))

    def by_stage(self, per_variant: np.ndarray) -> np.ndarray:
        """``[stage]`` sums of ``per_variant[variant]``."""
        return np.bincount(self.variant_stage, weights=per_variant, minlength=len(self.stages))

    def served_rps(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` rate that ``replicas[variant, node_type]`` serve within their budgets."""
        return self.by_stage((self.throughput_rps * replicas).sum(axis=1))

    def mean_accuracy(self, weight: np.ndarray) -> np.ndarray:
        """``[stage]`` mean accuracy when ``weight[variant, node_type]`` requests go to each; NaN where none go or the
        stage names no metric."""
        requests = np.asarray(weight, dtype=np.float64).sum(axis=1)
        total = self.by_stage(requests)
        weighted = self.by_stage(np.where(requests > 0.0, requests * self.accuracy, 0.0))
        return np.divide(weighted, total, out=np.full(len(total), np.nan), where=total > 0.0)

    def planned_accuracy(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` mean accuracy of what ``replicas[variant, node_type]`` serve, by `routed_share`."""
        return self.mean_accuracy(self.routed_share * replicas)

    def reaches_floor(self) -> np.ndarray:
        """``[variant]`` true unless the variant alone would break its stage's floor."""
        return ~(self.accuracy < self.accuracy_floor[self.variant_stage])

    def runs_on(self) -> np.ndarray:
        """``[variant, node_type]`` true where a replica can run and meets its stage's budget."""
        return self.throughput_rps > 0.0


@dataclass(frozen=True)
class Observation:
    """What a policy sees at a control instant; every array is read-only.

    Attributes
    ----------
    now_s
        Time of the decision. The last interval is the one that ended now. At 0 there was none: rates and history then
        hold the trace's first interval (a warm start), everything else is zero.
    slot
        Index of the interval that begins now.
    history_rps
        ``[service, slot]`` arrival rates of all intervals so far, oldest first; the last column is ``arrival_rps``.
    stage_rps, stage_history_rps
        ``[stage]`` requests/s that passed the result cache to the funnel in the last interval, and ``[stage, slot]`` in
        all so far: arrivals less hits and those that waited for another's answer, and background requests. A stage's
        demand counts what stages before it rejected, and neither retries nor hedges. At 0, `FleetFacts.planned_demand`.
    arrival_rps, p50_s, p95_s, p99_s
        ``[service]`` over the last interval; latencies are NaN where nothing completed.
    completed, rejected, failed
        ``[service]`` requests in the last interval.
    served_requests
        ``[variant, node_type]`` requests whose batch ended in the last interval.
    queue_requests
        ``[stage]`` requests waiting or in transfer now (not in a batch).
    stage_waiting, stage_computing
        ``[stage]`` mean number of tasks waiting for a batch, and in one, over the last interval, by Little's law: waits
        that ended and batches that began in it, in seconds of tasks, over its length. A queue that grows is told late.
        NaN where not known, as at 0.
    busy_fraction
        ``[variant, node_type]`` fraction of the time of ready and draining replicas in the last interval in which they
        computed; NaN without one.
    resource_utilisation
        ``[resource]`` used / provisioned over the last interval; NaN where nothing was provisioned.
    ready, starting, draining
        ``[variant, node_type]`` replicas now; of those starting, without such as come to replace one that is ready.
    unplaced
        ``[variant, node_type]`` replicas that the last decision asked for and no node could take.
    open_nodes
        ``[node_type]`` nodes paid for now.
    usable_nodes
        ``[node_type]`` nodes at hand now, open or not: not failed, and not given notice.
    replicas_lost
        ``[variant, node_type]`` replicas that failed in the last interval.
    """

    now_s: float
    slot: int
    facts: FleetFacts
    history_rps: np.ndarray
    arrival_rps: np.ndarray
    completed: np.ndarray
    rejected: np.ndarray
    failed: np.ndarray
    p50_s: np.ndarray
    p95_s: np.ndarray
    p99_s: np.ndarray
    served_requests: np.ndarray
    queue_requests: np.ndarray
    busy_fraction: np.ndarray
    resource_utilisation: np.ndarray
    ready: np.ndarray
    starting: np.ndarray
    draining: np.ndarray
    unplaced: np.ndarray
    open_nodes: np.ndarray
    usable_nodes: np.ndarray = field(default_factory=_not_given)
    replicas_lost: np.ndarray = field(default_factory=_not_given)
    stage_rps: np.ndarray = field(default_factory=_not_given)
    stage_history_rps: np.ndarray = field(default_factory=_not_given)
    stage_waiting: np.ndarray = field(default_factory=_not_given)
    stage_computing: np.ndarray = field(default_factory=_not_given)

    def __post_init__(self) -> None:
        for name in ("stage_waiting", "stage_computing"):
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, _unknown(len(self.facts.stages)))
        if len(self.stage_rps) == 0:
            object.__setattr__(self, "stage_rps", self.facts.stage_demand(self.arrival_rps))
        if len(self.stage_history_rps) == 0:
            object.__setattr__(self, "stage_history_rps", self.facts.stage_demand(self.history_rps))
        if len(self.usable_nodes) == 0:
            object.__setattr__(self, "usable_nodes", self.facts.node_count)
        if len(self.replicas_lost) == 0:
            object.__setattr__(self, "replicas_lost", _zeros(self.facts.throughput_rps.shape))


@dataclass(frozen=True)
class Allocation:
    """What a policy wants from now on.

    Attributes
    ----------
    replicas
        ``[variant, node_type]`` whole numbers >= 0: replicas that should be starting or ready.
    status
        How it was found: ``rule``, ``optimal``, ``feasible``, ``fallback`` or ``hold``.
    objective_usd_per_hour, bound_usd_per_hour
        Of the planning problem, where one was solved.
    note
        A short reason for the decision log.
    expected_rps
        ``[stage]`` demand that the policy expects and plans for, without any headroom, for the decision log and the
        waste ledger; None where it has no such forecast.
    most_per_node
        ``[variant, node_type]`` replicas that one node should hold at most, so that its loss takes few; replicas that
        find no room otherwise are placed all the same. None: packed as tight as can be.
    batch_caps
        ``[variant, node_type]`` largest batches of replicas that start from now on, from 1 to what the variant states.
        None: `FleetFacts.batch_cap`.
    """

    replicas: np.ndarray
    status: str = "rule"
    objective_usd_per_hour: float | None = None
    bound_usd_per_hour: float | None = None
    note: str = ""
    expected_rps: np.ndarray | None = None
    most_per_node: np.ndarray | None = None
    batch_caps: np.ndarray | None = None


@dataclass(frozen=True)
class PolicyContext:
    """What a policy may know before the run.

    Attributes
    ----------
    peak_rps
        ``[service]`` largest rate of any control interval of the trace, as a planner knows it from earlier days (a last
        interval of less than half the length is too short to tell).
    future_rps
        ``[service, slot]`` the true arrival rates. Only for yardsticks that say that they are clairvoyant.
    """

    facts: FleetFacts
    peak_rps: np.ndarray
    future_rps: np.ndarray = field(repr=False)


@runtime_checkable
class Policy(Protocol):
    """An allocation policy."""

    def decide(self, observation: Observation) -> Allocation:
        """Return the replicas wanted from ``observation.now_s`` on."""
        ...
