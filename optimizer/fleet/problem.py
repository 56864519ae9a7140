"""The allocation problem of one instant, its answer, and the check that an answer holds.

Choose whole replicas ``x[variant, node_type]`` and nodes ``y[node_type]`` that minimise, in USD per hour,

    sum price y + sum churn |x - x_now| + 3600 penalty sum unserved + absent (stages with demand and no replica)
    + sum lost x

subject to ``sum throughput x + unserved >= demand (1 + headroom)`` for each stage, a placement of the
replicas on the nodes, and ``y <= count``. A request is of use only if every stage of its service serves it, so
``unserved`` is one number a service: the largest of its stages'. It is priced, so a solution always exists.

Where a stage has an accuracy floor, ``sum routed (accuracy - floor) x >= 0`` too: the mean accuracy of what its
replicas are sent is at least the floor. ``lost`` prices the accuracy that a stage's best variant would have added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from optimizer.accuracy import floor_credit, lost_usd_per_hour
from optimizer.fleet.packing import first_fit, per_node, shares
from simulator.policy import FleetFacts

__all__ = ["FleetPlan", "FleetProblem", "InvalidPlanError", "validate_plan"]

FLOOR_TOLERANCE = 1e-6
"""By how much of the largest contribution of one replica a mean may lie below its floor: solvers work to such a
tolerance."""


class InvalidPlanError(RuntimeError):
    """A plan that breaks the problem it was made for; a defect of a solver, never of the input."""


@dataclass(frozen=True)
class FleetProblem:
    """Data of the allocation problem.

    Attributes
    ----------
    demand_rps
        ``[stage]`` requests/s expected.
    stage_service
        ``[stage]`` index of the service, which shares what is unserved.
    variant_stage
        ``[variant]`` index of the stage.
    throughput_rps
        ``[variant, node_type]``; 0 where a variant cannot run.
    need, capacity
        ``[variant, node_type, resource]`` and ``[node_type, resource]``.
    node_count, price_usd_per_hour
        ``[node_type]``.
    replicas_now
        ``[variant, node_type]`` replicas that run or start.
    churn_usd_per_hour
        ``[variant, node_type]`` cost of each replica started or drained, as a rate: USD per change over the
        time that the plan is expected to hold.
    unserved_usd_per_request
        Penalty of demand left unserved.
    headroom
        Fraction by which capacity exceeds ``demand_rps``.
    replica_limit
        ``[variant, node_type]`` most replicas wanted; none where a placement could not take more. Optional.
    lost_usd_per_hour
        ``[variant, node_type]`` price of the accuracy lost by what one replica serves (`lost_usd_per_hour`). Optional.
    floor_credit
        ``[variant, node_type]`` what one replica adds to its stage's mean accuracy over the floor,
        ``routed (accuracy - floor)``; its sum over a stage must not be negative. Optional: no floor.
    """

    demand_rps: np.ndarray
    stage_service: np.ndarray
    variant_stage: np.ndarray
    throughput_rps: np.ndarray
    need: np.ndarray
    capacity: np.ndarray
    node_count: np.ndarray
    price_usd_per_hour: np.ndarray
    replicas_now: np.ndarray
    churn_usd_per_hour: np.ndarray
    unserved_usd_per_request: float
    headroom: float = 0.0
    replica_limit: np.ndarray | None = field(default=None)
    lost_usd_per_hour: np.ndarray | None = field(default=None)
    floor_credit: np.ndarray | None = field(default=None)

    @classmethod
    def from_facts(
        cls,
        facts: FleetFacts,
        demand_rps: np.ndarray,
        *,
        replicas_now: np.ndarray | None = None,
        churn_usd_per_hour: np.ndarray | float = 0.0,
        headroom: float | None = None,
        replica_limit: np.ndarray | None = None,
        expected_rps: np.ndarray | None = None,
        accuracy_floor: np.ndarray | None = None,
    ) -> FleetProblem:
        """Take what does not change from ``facts``; headroom too, if not given.

        Parameters
        ----------
        expected_rps
            ``[stage]`` requests/s whose lost accuracy counts, where ``demand_rps`` holds more than is expected.
        accuracy_floor
            ``[stage]`` other than the scenario's.
        """
        shape = facts.throughput_rps.shape
        demand = np.asarray(demand_rps, dtype=np.float64)
        margin = facts.headroom if headroom is None else headroom
        floor = facts.accuracy_floor if accuracy_floor is None else accuracy_floor
        expected = demand if expected_rps is None else np.asarray(expected_rps, dtype=np.float64)
        return cls(
            demand_rps=demand,
            stage_service=facts.stage_service,
            variant_stage=facts.variant_stage,
            throughput_rps=facts.throughput_rps,
            need=facts.need,
            capacity=facts.capacity,
            node_count=facts.node_count,
            price_usd_per_hour=facts.price_usd_per_hour,
            replicas_now=np.zeros(shape, dtype=np.int64) if replicas_now is None else np.asarray(replicas_now),
            churn_usd_per_hour=np.broadcast_to(np.asarray(churn_usd_per_hour, dtype=np.float64), shape),
            unserved_usd_per_request=facts.unserved_usd_per_request,
            headroom=margin,
            replica_limit=replica_limit,
            lost_usd_per_hour=lost_usd_per_hour(facts, expected, demand * (1.0 + margin)),
            floor_credit=floor_credit(facts, np.where(facts.runs_on(), facts.routed_share, 0.0), floor),
        )

    @cached_property
    def required_rps(self) -> np.ndarray:
        """``[stage]`` demand with headroom."""
        return np.asarray(self.demand_rps) * (1.0 + self.headroom)

    @cached_property
    def share(self) -> np.ndarray:
        """``[variant, node_type, resource]`` part of a node that one replica claims."""
        return shares(self.need, self.capacity)

    @cached_property
    def most(self) -> np.ndarray:
        """``[variant, node_type]`` replicas that could be worth having: 0 where the variant cannot run."""
        runs = self.throughput_rps > 0.0
        room = per_node(self.share) * np.asarray(self.node_count)
        rate = np.where(runs, self.throughput_rps, 1.0)
        enough = np.ceil(self.required_rps[self.variant_stage][:, None] / rate - 1e-9)
        most = np.where(runs, np.minimum(room, np.maximum(enough, 0.0)), 0.0).astype(np.int64)
        return most if self.replica_limit is None else np.minimum(most, self.replica_limit)

    @cached_property
    def absent_usd_per_hour(self) -> float:
        """Price of a stage that has demand and no replica: more than any node costs, or saves in penalties."""
        copies = np.where(self.throughput_rps > 0.0, np.minimum(per_node(self.share), self.most), 0)
        busiest = float((self.throughput_rps * copies).max(initial=0.0))
        dearest = float(np.max(self.price_usd_per_hour, initial=1.0))
        return 10.0 * dearest + 3600.0 * self.unserved_usd_per_request * busiest

    def served_rps(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` rate that the replicas can serve within their budgets."""
        rate = (np.asarray(self.throughput_rps) * replicas).sum(axis=1)
        return np.bincount(self.variant_stage, weights=rate, minlength=len(self.demand_rps))

    def stage_replicas(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` replicas of all variants on all node types."""
        totals = np.asarray(replicas).sum(axis=1)
        return np.bincount(self.variant_stage, weights=totals, minlength=len(self.demand_rps)).astype(np.int64)

    def unserved_by_service_rps(self, replicas: np.ndarray) -> np.ndarray:
        """``[service]`` demand with headroom that some stage of the service does not cover."""
        unserved = np.maximum(self.required_rps - self.served_rps(replicas), 0.0)
        largest = np.zeros(int(self.stage_service.max(initial=-1)) + 1)
        np.maximum.at(largest, self.stage_service, unserved)
        return largest

    @cached_property
    def floored_stages(self) -> tuple[int, ...]:
        """Stages in which some replicas lie below the floor."""
        if self.floor_credit is None:
            return ()
        return tuple(np.unique(self.variant_stage[(self.floor_credit < 0.0).any(axis=1)]).tolist())

    @cached_property
    def credit_scale(self) -> np.ndarray:
        """``[stage]`` largest contribution of one replica to the mean over the floor, above or below it."""
        scale = np.zeros(len(self.demand_rps))
        if self.floor_credit is not None:
            np.maximum.at(scale, self.variant_stage, np.abs(self.floor_credit).max(axis=1, initial=0.0))
        return scale

    def credit(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` sum of what the replicas add to the mean accuracy over the floor; 0 without a floor."""
        if self.floor_credit is None:
            return np.zeros(len(self.demand_rps))
        per_variant = (self.floor_credit * replicas).sum(axis=1)
        return np.bincount(self.variant_stage, weights=per_variant, minlength=len(self.demand_rps))

    def keeps_floor(self, replicas: np.ndarray) -> bool:
        """Whether the mean accuracy of every stage is at least its floor."""
        return bool((self.credit(replicas) >= -FLOOR_TOLERANCE * self.credit_scale).all())

    def brought_to_floor(self, replicas: np.ndarray) -> np.ndarray:
        """The same replicas without as many of those furthest below the floor as it takes to keep it."""
        credit = self.floor_credit
        if credit is None or self.keeps_floor(replicas):
            return replicas
        kept = np.array(replicas, dtype=np.int64)
        below = [(int(v), int(n)) for v, n in np.argwhere((kept > 0) & (credit < 0.0))]
        for pair in sorted(below, key=lambda p: (credit[p], p)):
            stage = self.variant_stage[pair[0]]
            short = -self.credit(kept)[stage] - FLOOR_TOLERANCE * self.credit_scale[stage]
            if short > 0.0:
                kept[pair] -= min(int(kept[pair]), int(np.ceil(short / -credit[pair])))
        return kept

    def objective_usd_per_hour(self, replicas: np.ndarray, open_nodes: np.ndarray) -> float:
        """The value that planning minimises."""
        unserved = self.unserved_by_service_rps(replicas)
        absent = (self.required_rps > 0.0) & (self.stage_replicas(replicas) == 0)
        value = float(
            np.dot(self.price_usd_per_hour, open_nodes)
            + (self.churn_usd_per_hour * np.abs(replicas - self.replicas_now)).sum()
            + 3600.0 * self.unserved_usd_per_request * unserved.sum()
            + self.absent_usd_per_hour * absent.sum()
        )
        return value if self.lost_usd_per_hour is None else value + float((self.lost_usd_per_hour * replicas).sum())


@dataclass(frozen=True)
class FleetPlan:
    """An answer to a `FleetProblem`.

    Attributes
    ----------
    replicas
        ``[variant, node_type]`` whole numbers that a placement was found for.
    open_nodes
        ``[node_type]`` nodes of that placement.
    unserved_rps
        ``[stage]`` demand with headroom that the plan does not cover.
    status
        ``optimal`` (within the gap asked for), ``feasible``, ``fallback`` or ``hold``.
    objective_usd_per_hour
        Value of the plan, by `FleetProblem.objective_usd_per_hour`.
    bound_usd_per_hour
        No plan is cheaper than this; None where no bound was computed.
    note
        Why the status is what it is.
    """

    replicas: np.ndarray
    open_nodes: np.ndarray
    unserved_rps: np.ndarray
    status: str
    objective_usd_per_hour: float
    bound_usd_per_hour: float | None = None
    note: str = ""

    @property
    def gap(self) -> float | None:
        """``(objective - bound) / objective``; None without a bound, 0 where the objective is 0."""
        if self.bound_usd_per_hour is None:
            return None
        if self.objective_usd_per_hour <= 0.0:
            return 0.0
        return max(0.0, 1.0 - self.bound_usd_per_hour / self.objective_usd_per_hour)


def validate_plan(
    problem: FleetProblem, replicas: np.ndarray, *, status: str, bound: float | None = None, note: str = ""
) -> FleetPlan:
    """Check replicas in whole numbers and make the plan: placement, nodes and objective are computed anew.

    Raises
    ------
    InvalidPlanError
        If a number is not whole, negative, on a pair that cannot run, or finds no room on the cluster; or if the mean
        accuracy of a stage lies below its floor.
    """
    raw = np.asarray(replicas, dtype=np.float64)
    whole = np.round(raw)
    if raw.shape != problem.throughput_rps.shape or not np.isfinite(raw).all():
        raise InvalidPlanError(
            f"replicas of shape {raw.shape} with finite values expected {problem.throughput_rps.shape}"
        )
    if np.abs(raw - whole).max(initial=0.0) > 1e-6 or whole.min(initial=0.0) < 0.0:
        raise InvalidPlanError("replicas are not whole numbers >= 0")
    count = whole.astype(np.int64)
    if (count[problem.throughput_rps <= 0.0] > 0).any():
        raise InvalidPlanError("replicas on a node type where the variant cannot run")
    packed = [first_fit(problem.share[:, n], count[:, n], int(c)) for n, c in enumerate(problem.node_count)]
    if sum(p.complete for p in packed) < count.sum():
        raise InvalidPlanError("no placement found for all replicas")
    if not problem.keeps_floor(count):
        raise InvalidPlanError("the mean accuracy of a stage lies below its floor")
    nodes = np.array([p.nodes for p in packed], dtype=np.int64)
    unserved = np.maximum(problem.required_rps - problem.served_rps(count), 0.0)
    return FleetPlan(count, nodes, unserved, status, problem.objective_usd_per_hour(count, nodes), bound, note)
