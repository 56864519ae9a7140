"""The answer to an allocation problem, and the check in whole numbers that it holds, whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE, first_fit

if TYPE_CHECKING:
    from optimizer.fleet.problem import FleetProblem

__all__ = ["FleetPlan", "InvalidPlanError", "validate_plan"]

PLACED_TOLERANCE = 1e-6
"""By how much of its capacity a node of a placement that was handed over may be too full: solvers work to that."""


class InvalidPlanError(RuntimeError):
    """A plan that breaks the problem it was made for; a defect of a solver, never of the input."""


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
        ``[stage]`` demand with headroom that the plan does not cover, or what lacks of the reserve if that is more.
    status
        ``optimal`` (within the gap asked for), ``feasible``, ``fallback`` or ``hold``.
    objective_usd_per_hour
        Value of the plan, by `FleetProblem.objective_usd_per_hour`.
    bound_usd_per_hour
        No plan is cheaper than this; None where no bound was computed.
    note
        Why the status is what it is.
    on_nodes
        For each node type ``[node, variant]`` replicas of the placement, where it matters (a reserve) or was handed
        over; else None, and `optimizer.fleet.packing.first_fit` finds one.
    lost_rps
        ``[stage]`` most that one node of the placement serves; None without a reserve.
    """

    replicas: np.ndarray
    open_nodes: np.ndarray
    unserved_rps: np.ndarray
    status: str
    objective_usd_per_hour: float
    bound_usd_per_hour: float | None = None
    note: str = ""
    on_nodes: tuple[np.ndarray, ...] | None = None
    lost_rps: np.ndarray | None = None

    @property
    def gap(self) -> float | None:
        """``(objective - bound) / objective``; None without a bound, 0 where the objective is 0."""
        if self.bound_usd_per_hour is None:
            return None
        if self.objective_usd_per_hour <= 0.0:
            return 0.0
        return max(0.0, 1.0 - self.bound_usd_per_hour / self.objective_usd_per_hour)

    @property
    def most_per_node(self) -> np.ndarray | None:
        """``[variant, node_type]`` most replicas on one node, where a reserve asks for a placement; else None."""
        if self.on_nodes is None or self.lost_rps is None:
            return None
        return np.stack([on.max(axis=0, initial=0) for on in self.on_nodes], axis=1)


def validate_plan(
    problem: FleetProblem,
    replicas: np.ndarray,
    *,
    status: str,
    bound: float | None = None,
    note: str = "",
    on_nodes: Sequence[np.ndarray] | None = None,
    nodes: np.ndarray | None = None,
) -> FleetPlan:
    """Check replicas in whole numbers and make the plan: placement, nodes and objective are computed anew.

    Parameters
    ----------
    on_nodes
        A placement to check and keep, ``[node, variant]`` for each node type; one is found if not given.
    nodes
        ``[node_type]`` nodes that a placement with a reserve begins from, where that is more than it needs.

    Raises
    ------
    InvalidPlanError
        If a number is not whole, negative, on a pair that cannot run, or finds no room on the cluster; if the mean
        accuracy of a stage lies below its floor; if the nodes cost more than the budget; if a service is left with
        more unserved than its limit; or if the objective is not finite.
    """
    count = _whole(problem, replicas)
    lost_rps = None
    if on_nodes is not None:
        placed: tuple[np.ndarray, ...] | None = _checked(problem, count, on_nodes)
    elif problem.reserve_rps is not None:
        from optimizer.fleet.reserve import spread

        placed = spread(problem, count, nodes)
    else:
        placed = None
    if placed is None:
        if problem.reserve_rps is not None:
            raise InvalidPlanError("no placement found for all replicas")
        packed = [first_fit(problem.share[:, n], count[:, n], int(c)) for n, c in enumerate(problem.node_count)]
        if sum(p.complete for p in packed) < count.sum():
            raise InvalidPlanError("no placement found for all replicas")
        open_nodes = np.array([p.nodes for p in packed], dtype=np.int64)
    else:
        open_nodes = np.array([int(on.any(axis=1).sum()) for on in placed], dtype=np.int64)
        if problem.reserve_rps is not None:
            from optimizer.fleet.reserve import worst_loss_rps

            lost_rps = worst_loss_rps(problem, placed)
    if not problem.keeps_floor(count):
        raise InvalidPlanError("the mean accuracy of a stage lies below its floor")
    if not problem.keeps_budget(open_nodes):
        cost = float(np.dot(problem.price_usd_per_hour, open_nodes))
        raise InvalidPlanError(f"nodes cost {cost:g} USD/h, more than the budget of {problem.budget_usd_per_hour:g}")
    if not problem.keeps_limits(problem.unserved_by_service_rps(count, lost_rps)):
        raise InvalidPlanError("a service is left with more unserved than its limit")
    value = problem.objective_usd_per_hour(count, open_nodes, lost_rps)
    if not np.isfinite(value) or (bound is not None and np.isnan(bound)):
        raise InvalidPlanError(f"objective {value:g} and bound {bound} are not both numbers")
    unserved = problem.unserved_by_stage_rps(count, lost_rps)
    return FleetPlan(count, open_nodes, unserved, status, value, bound, note, placed, lost_rps)


def _whole(problem: FleetProblem, replicas: np.ndarray) -> np.ndarray:
    """The replicas as whole numbers on pairs that can run."""
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
    return count


def _checked(problem: FleetProblem, count: np.ndarray, on_nodes: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The placement, if it holds those replicas, on nodes that there are, none of them too full."""
    placed = tuple(np.asarray(on, dtype=np.int64).reshape(-1, count.shape[0]) for on in on_nodes)
    if len(placed) != count.shape[1] or any((on < 0).any() for on in placed):
        raise InvalidPlanError("the placement does not name whole replicas on each node type")
    for n, on in enumerate(placed):
        if len(on) > problem.node_count[n] or (on.sum(axis=0) != count[:, n]).any():
            raise InvalidPlanError("the placement is not one of these replicas on the nodes there are")
        used = on @ np.where(np.isfinite(problem.share[:, n]), problem.share[:, n], 0.0)
        if (on[:, ~np.isfinite(problem.share[:, n]).all(axis=1)] > 0).any():
            raise InvalidPlanError("the placement puts a replica on a node that lacks what it needs")
        if used.max(initial=0.0) > 1.0 + max(PLACED_TOLERANCE, FIT_TOLERANCE):
            raise InvalidPlanError("the placement fills a node beyond its capacity")
    return placed
