"""The allocation problem of one instant.

Choose whole replicas ``x[variant, node_type]`` and nodes ``y[node_type]`` that minimise, in USD per hour,

    sum price y + sum churn |x - x_now| + 3600 penalty sum weight unserved + absent (stages with demand and no replica)
    + sum lost x

subject to ``sum throughput x + unserved >= demand (1 + headroom)`` for each stage, a placement of the
replicas on the nodes, and ``y <= count``. A request is of use only if every stage of its service serves it, so
``unserved`` is one number a service: the largest of its stages'. It is priced, so a solution always exists.

Where a stage has an accuracy floor, ``sum routed (accuracy - floor) x >= 0`` too: the mean accuracy of what its
replicas are sent is at least the floor. ``lost`` prices the accuracy that a stage's best variant would have added.

Three parts more, each only where it is asked for:

* *Reserve.* For every node ``j`` of the placement, ``sum throughput x - (what j serves of the stage) + unserved >=
  reserve``: the fleet without any one of its nodes still serves ``reserve``. What is short of it is unserved.
* *Budget.* ``sum price y <= budget``.
* *Priorities.* Services of one priority are planned as if those of lower ones did not exist; those then get what is
  left (`optimizer.fleet.priorities`). `unserved_limit_rps` is how a class that was planned before keeps what it got.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from optimizer import accuracy
from optimizer.accuracy import FLOOR_TOLERANCE, floor_credit, lost_usd_per_hour
from optimizer.fleet.cards import node_shares
from optimizer.fleet.packing import per_node
from optimizer.fleet.plan import FleetPlan, InvalidPlanError, validate_plan
from simulator.policy import FleetFacts

__all__ = ["FleetPlan", "FleetProblem", "InvalidPlanError", "validate_plan"]

LIMIT_TOLERANCE = 1e-6
"""By how much of the largest demand what is unserved may exceed a limit."""


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
    reserve_rps
        ``[stage]`` requests/s that the fleet still serves when it has lost any one node. Optional: no reserve.
    budget_usd_per_hour
        Most that nodes may cost together.
    service_priority
        ``[service]``, 0 is the highest. Optional: all alike.
    service_weight
        ``[service]`` times that a request counts when it is left unserved. Optional: once.
    unserved_limit_rps
        ``[service]`` most that may be left unserved; infinite where it has a price only. Optional.
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
    reserve_rps: np.ndarray | None = field(default=None)
    budget_usd_per_hour: float = np.inf
    service_priority: np.ndarray | None = field(default=None)
    service_weight: np.ndarray | None = field(default=None)
    unserved_limit_rps: np.ndarray | None = field(default=None)

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
        reserve_demand_rps: np.ndarray | None = None,
    ) -> FleetProblem:
        """Take what does not change from ``facts``; headroom too, if not given.

        Parameters
        ----------
        expected_rps
            ``[stage]`` requests/s whose lost accuracy counts, where ``demand_rps`` holds more than is expected.
        accuracy_floor
            ``[stage]`` other than the scenario's.
        reserve_demand_rps
            ``[stage]`` requests/s that are to be served after the loss of a node, without the headroom for that, where
            the scenario asks for a reserve; ``demand_rps`` if not given. Of facts without what stands
            (`optimizer.standing`) it is the whole demand, while ``demand_rps`` is what they do not serve of it.
        """
        shape = facts.throughput_rps.shape
        demand = np.asarray(demand_rps, dtype=np.float64)
        margin = facts.headroom if headroom is None else headroom
        floor = facts.accuracy_floor if accuracy_floor is None else accuracy_floor
        expected = demand if expected_rps is None else np.asarray(expected_rps, dtype=np.float64)
        reserve = None
        if facts.headroom_after_loss is not None:
            whole = demand + np.where(demand > 0.0, facts.standing_rps, 0.0)
            after_loss = whole if reserve_demand_rps is None else np.asarray(reserve_demand_rps, dtype=np.float64)
            beyond = after_loss * (1.0 + facts.headroom_after_loss) - facts.standing_rps
            reserve = np.maximum(beyond, 0.0)
            if facts.standing_loss_rps.any():
                # The node that is lost may be one of those that stand beside: all that is planned here is then left.
                demand = np.maximum(demand, (beyond + facts.standing_loss_rps) / (1.0 + margin))
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
            reserve_rps=reserve,
            budget_usd_per_hour=facts.budget_usd_per_hour,
            service_priority=facts.service_priority if facts.service_priority.any() else None,
            service_weight=None if (facts.service_weight == 1.0).all() else facts.service_weight,
        )

    @cached_property
    def required_rps(self) -> np.ndarray:
        """``[stage]`` demand with headroom."""
        return np.asarray(self.demand_rps) * (1.0 + self.headroom)

    @cached_property
    def services(self) -> int:
        """Number of services."""
        return int(self.stage_service.max(initial=-1)) + 1

    @cached_property
    def weight(self) -> np.ndarray:
        """``[service]`` times that a request counts when it is left unserved."""
        given = self.service_weight
        return np.ones(self.services) if given is None else np.asarray(given, dtype=np.float64)[: self.services]

    @cached_property
    def unserved_usd_per_hour_rps(self) -> np.ndarray:
        """``[service]`` price of one request/s left unserved."""
        return 3600.0 * self.unserved_usd_per_request * self.weight

    @cached_property
    def unserved_limit(self) -> np.ndarray:
        """``[service]`` most that may be left unserved; infinite where it has a price only."""
        given = self.unserved_limit_rps
        return np.full(self.services, np.inf) if given is None else np.asarray(given, dtype=np.float64)

    @cached_property
    def share(self) -> np.ndarray:
        """``[variant, node_type, resource or cut]`` part of a node that one replica claims, GPU by GPU."""
        return node_shares(self.need, self.capacity)

    @cached_property
    def most(self) -> np.ndarray:
        """``[variant, node_type]`` replicas that could be worth having: 0 where the variant cannot run."""
        runs = self.throughput_rps > 0.0
        room = per_node(self.share) * np.asarray(self.node_count)
        rate = np.where(runs, self.throughput_rps, 1.0)
        enough = np.ceil(self.required_rps[self.variant_stage][:, None] / rate - 1e-9)
        if self.reserve_rps is not None:
            # Beyond what is enough by itself and a node full of it, one more never matters.
            rest = np.ceil(self.reserve_rps[self.variant_stage][:, None] / rate - 1e-9)
            enough = np.maximum(enough, np.where(rest > 0.0, rest + per_node(self.share), 0.0))
        most = np.where(runs, np.minimum(room, np.maximum(enough, 0.0)), 0.0).astype(np.int64)
        return most if self.replica_limit is None else np.minimum(most, self.replica_limit)

    @cached_property
    def most_held(self) -> np.ndarray:
        """``[variant, node_type]`` replicas that could be worth having or keeping: `most`, and what runs if it fits."""
        fits = (self.throughput_rps > 0.0) & (per_node(self.share) > 0)
        now = np.where(fits, self.replicas_now, 0).astype(np.int64)
        return np.maximum(self.most, now if self.replica_limit is None else np.minimum(now, self.replica_limit))

    @cached_property
    def absent_usd_per_hour(self) -> float:
        """Price of a stage that has demand and no replica: more than any node costs, or saves in penalties."""
        copies = np.where(self.throughput_rps > 0.0, np.minimum(per_node(self.share), self.most), 0)
        busiest = float((self.throughput_rps * copies).max(initial=0.0))
        dearest = float(np.max(self.price_usd_per_hour, initial=1.0))
        heaviest = 1.0 if self.service_weight is None else float(self.weight.max(initial=1.0))
        return 10.0 * dearest + 3600.0 * self.unserved_usd_per_request * heaviest * busiest

    def served_rps(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` rate that the replicas can serve within their budgets."""
        rate = (np.asarray(self.throughput_rps) * replicas).sum(axis=1)
        return np.bincount(self.variant_stage, weights=rate, minlength=len(self.demand_rps))

    def stage_replicas(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` replicas of all variants on all node types."""
        totals = np.asarray(replicas).sum(axis=1)
        return np.bincount(self.variant_stage, weights=totals, minlength=len(self.demand_rps)).astype(np.int64)

    def unserved_by_stage_rps(self, replicas: np.ndarray, lost_rps: np.ndarray | None = None) -> np.ndarray:
        """``[stage]`` demand with headroom that is not covered, or what lacks of the reserve if that is more.

        Parameters
        ----------
        lost_rps
            ``[stage]`` most that one node of the placement serves (`optimizer.fleet.reserve.worst_loss_rps`); needed
            where the problem has a reserve, and without effect elsewhere.
        """
        served = self.served_rps(replicas)
        unserved = np.maximum(self.required_rps - served, 0.0)
        if self.reserve_rps is None:
            return unserved
        if lost_rps is None:
            raise ValueError("lost_rps[stage] is needed where the problem has a reserve")
        return np.maximum(unserved, self.reserve_rps - (served - lost_rps))

    def unserved_by_service_rps(self, replicas: np.ndarray, lost_rps: np.ndarray | None = None) -> np.ndarray:
        """``[service]`` what some stage of the service does not cover; ``lost_rps`` as in `unserved_by_stage_rps`."""
        largest = np.zeros(self.services)
        np.maximum.at(largest, self.stage_service, self.unserved_by_stage_rps(replicas, lost_rps))
        return largest

    def keeps_limits(self, unserved_rps: np.ndarray) -> bool:
        """Whether ``unserved_rps[service]`` is within `unserved_limit_rps`, but for a solver's tolerance."""
        if self.unserved_limit_rps is None:
            return True
        slack = LIMIT_TOLERANCE * float(self.required_rps.max(initial=1.0))
        return bool((unserved_rps <= self.unserved_limit + slack).all())

    def keeps_budget(self, open_nodes: np.ndarray) -> bool:
        """Whether ``open_nodes[node_type]`` cost no more than the budget."""
        cost = float(np.dot(self.price_usd_per_hour, open_nodes))
        return cost <= self.budget_usd_per_hour * (1.0 + 1e-9)

    @cached_property
    def floored_stages(self) -> tuple[int, ...]:
        """Stages in which some replicas lie below the floor."""
        if self.floor_credit is None:
            return ()
        return tuple(np.unique(self.variant_stage[(self.floor_credit < 0.0).any(axis=1)]).tolist())

    @cached_property
    def credit_scale(self) -> np.ndarray:
        """``[stage]`` largest contribution of one replica to the mean over the floor, above or below it."""
        if self.floor_credit is None:
            return np.zeros(len(self.demand_rps))
        return accuracy.credit_scale(self.floor_credit, self.variant_stage, len(self.demand_rps))

    def credit(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` sum of what the replicas add to the mean accuracy over the floor; 0 without a floor."""
        if self.floor_credit is None:
            return np.zeros(len(self.demand_rps))
        return accuracy.stage_credit(self.floor_credit, self.variant_stage, len(self.demand_rps), replicas)

    def keeps_floor(self, replicas: np.ndarray) -> bool:
        """Whether the mean accuracy of every stage is at least its floor."""
        return accuracy.keeps_floor(self.credit(replicas), self.credit_scale)

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

    def objective_usd_per_hour(
        self, replicas: np.ndarray, open_nodes: np.ndarray, lost_rps: np.ndarray | None = None
    ) -> float:
        """The value that planning minimises; ``lost_rps`` as in `unserved_by_stage_rps`."""
        unserved = self.unserved_by_service_rps(replicas, lost_rps)
        counted = unserved if self.service_weight is None else self.weight * unserved
        absent = (self.required_rps > 0.0) & (self.stage_replicas(replicas) == 0)
        value = float(
            np.dot(self.price_usd_per_hour, open_nodes)
            + (self.churn_usd_per_hour * np.abs(replicas - self.replicas_now)).sum()
            + 3600.0 * self.unserved_usd_per_request * counted.sum()
            + self.absent_usd_per_hour * absent.sum()
        )
        return value if self.lost_usd_per_hour is None else value + float((self.lost_usd_per_hour * replicas).sum())
