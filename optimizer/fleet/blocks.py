"""The allocation problem cut into one block a stage: what a replica of each pair serves, claims and costs there.

Node types tie the stages together by rows ``sum row x <= y``: the claims of each resource, and cuts of whole replicas
on whole nodes (`optimizer.fleet.packing.packing_cuts`). Everything else belongs to one stage alone, but for the
unserved demand of a service, which is the largest of its stages'.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optimizer.fleet.packing import packing_cuts
from optimizer.fleet.problem import FleetProblem

__all__ = ["Blocks", "Rows", "build_blocks", "build_rows"]


@dataclass(frozen=True)
class Blocks:
    """Items, which are replicas that may be chosen, of every stage, padded to the same number.

    A pair (variant, node type) with replicas that run now is two items where changes cost something: those kept, each
    of which saves the cost of draining it, and those started.

    Attributes
    ----------
    pair
        ``[stage, item]`` number ``variant * node_types + node_type``; -1 where a stage has fewer items.
    rate_rps, bound, own_usd_per_hour
        ``[stage, item]`` throughput of one replica, most replicas, and the cost of one besides its node.
    required_rps
        ``[stage]``.
    absent_usd_per_hour
        Cost of a stage with demand and no replica.
    constant_usd_per_hour
        Cost of draining everything that runs now.
    """

    pair: np.ndarray
    rate_rps: np.ndarray
    bound: np.ndarray
    own_usd_per_hour: np.ndarray
    required_rps: np.ndarray
    absent_usd_per_hour: float
    constant_usd_per_hour: float

    @cached_property
    def is_open(self) -> np.ndarray:
        """``[stage]`` with demand, or replicas that may be kept though no demand asks for them."""
        return (self.required_rps > 0.0) | (self.own_usd_per_hour < 0.0).any(axis=1)

    def cost(self, pair_usd_per_hour: np.ndarray) -> np.ndarray:
        """``[stage, item]`` cost of a replica whose room on nodes costs ``pair_usd_per_hour[pair]``."""
        return np.where(self.pair >= 0, pair_usd_per_hour[self.pair] + self.own_usd_per_hour, np.inf)

    def counts(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage, item]`` the items that ``replicas[variant, node_type]`` are, as far as bounds allow."""
        left = np.append(np.asarray(replicas, dtype=np.int64).ravel(), 0)
        count = np.zeros(self.pair.shape, dtype=np.int64)
        for item in range(self.pair.shape[1]):
            count[:, item] = np.minimum(left[self.pair[:, item]], self.bound[:, item])
            left[self.pair[:, item]] -= count[:, item]
        return count


def build_blocks(problem: FleetProblem) -> Blocks:
    """Blocks of a problem that `optimizer.fleet.columns.supports`."""
    variants, types = problem.throughput_rps.shape
    upper = problem.most_held
    churn = np.broadcast_to(problem.churn_usd_per_hour, upper.shape)
    lost = np.zeros(upper.shape) if problem.lost_usd_per_hour is None else problem.lost_usd_per_hour
    kept = np.where(churn > 0.0, np.minimum(problem.replicas_now, upper), 0)
    number = np.arange(variants * types)
    stage = np.repeat(problem.variant_stage, types)
    both = [(kept.ravel(), (lost - churn).ravel()), ((upper - kept).ravel(), (lost + churn).ravel())]
    pair = np.concatenate([number[bound > 0] for bound, _ in both])
    bound = np.concatenate([b[b > 0] for b, _ in both])
    own = np.concatenate([c[b > 0] for b, c in both])
    where, position, width = _places(stage[pair], len(problem.demand_rps))
    shape = (len(problem.demand_rps), width)

    def padded(values: np.ndarray, fill: float) -> np.ndarray:
        out = np.full(shape, fill, dtype=values.dtype)
        out[where, position] = values
        return out

    return Blocks(
        pair=padded(pair, -1),
        rate_rps=padded(np.asarray(problem.throughput_rps, dtype=np.float64).ravel()[pair], 1.0),
        bound=padded(bound.astype(np.int64), 0),
        own_usd_per_hour=padded(own, 0.0),
        required_rps=problem.required_rps,
        absent_usd_per_hour=problem.absent_usd_per_hour,
        constant_usd_per_hour=float((churn * problem.replicas_now).sum()),
    )


def _places(stage: np.ndarray, stages: int) -> tuple[np.ndarray, np.ndarray, int]:
    """``[item]`` stage and number within it, and the largest number of items of a stage."""
    order = np.argsort(stage, kind="stable")
    counts = np.bincount(stage, minlength=stages)
    position = np.empty(len(stage), dtype=np.int64)
    position[order] = np.arange(len(stage)) - np.repeat(np.cumsum(counts) - counts, counts)
    return stage, position, max(1, int(counts.max(initial=0)))


@dataclass(frozen=True)
class Rows:
    """Rows ``sum_pair claim x <= y[node_type]``.

    Attributes
    ----------
    node_type
        ``[row]``.
    claim
        ``[row, variant]``, by the variant of a pair on the row's node type.
    is_cut
        ``[row]``, else the row is a resource's.
    """

    node_type: np.ndarray
    claim: np.ndarray
    is_cut: np.ndarray

    def pair_claims(self, chosen: np.ndarray, node_types: int) -> np.ndarray:
        """``[pair, chosen row]`` claims."""
        variants = self.claim.shape[1]
        out = np.zeros((variants, node_types, len(chosen)))
        for column, row in enumerate(chosen):
            out[:, self.node_type[row], column] = self.claim[row]
        return out.reshape(variants * node_types, len(chosen))


def build_rows(problem: FleetProblem) -> Rows:
    """All rows of all node types: resources first, then cuts."""
    usable = (problem.throughput_rps > 0.0) & np.isfinite(problem.share).all(axis=2)
    found: list[tuple[bool, int, np.ndarray]] = []
    for n in range(len(problem.node_count)):
        share = np.where(usable[:, n, None], problem.share[:, n], 0.0)
        found += [(False, n, row) for row in share.T if row.any()]
        found += [(True, n, row) for row in packing_cuts(share)]
    found.sort(key=lambda f: f[0])
    return Rows(
        node_type=np.array([n for _, n, _ in found], dtype=np.int64),
        claim=np.array([row for _, _, row in found]).reshape(len(found), problem.share.shape[0]),
        is_cut=np.array([cut for cut, _, _ in found], dtype=bool),
    )
