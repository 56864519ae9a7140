"""Linear rows that every content of one node satisfies: capacities, GPUs, and cuts of whole replicas.

A content is ``copies[class]``. ``share.T @ copies <= 1`` holds for each row; the converse is not true, so that what
they allow is a relaxation. Limits of groups are kept apart (`NodeRows.group`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.fleet.packing import packing_cuts
from optimizer.placement.problem import PlacementProblem

__all__ = ["NodeRows", "node_rows"]


@dataclass(frozen=True)
class NodeRows:
    """Rows of one node type.

    Attributes
    ----------
    classes
        Those that fit on an empty node and have replicas.
    share
        ``share[place, row]`` of the classes.
    most
        ``most[place]`` copies that fit alone, no more than there are.
    group, limit
        ``[place]`` group of the class, -1 for none, and its most replicas on a node.
    """

    classes: np.ndarray
    share: np.ndarray
    most: np.ndarray
    group: np.ndarray
    limit: np.ndarray


def node_rows(problem: PlacementProblem, node_type: int, *, cuts: bool) -> NodeRows:
    """Rows of a node type; with ``cuts`` also those that hold for whole replicas alone.

    The cuts are the dual feasible functions of `optimizer.fleet.packing.packing_cuts`: of each pooled resource with
    the node as the bin, and of share and memory of a GPU with the GPUs as bins.
    """
    classes = np.flatnonzero(problem.fits_alone[:, node_type] & (problem.count > 0))
    capacity = problem.capacity[node_type]
    pooled = problem.need[classes] / np.where(capacity > 0.0, capacity, 1.0)
    rows = list(pooled.T)
    gpus = int(problem.node_gpus[node_type])
    if gpus:
        card = _card_shares(problem, classes, node_type)
        rows.append(problem.gpus[classes] / gpus)
        rows.append(card[:, 1] * problem.cards[classes] / gpus)
        if cuts:
            rows += [cut * np.maximum(problem.cards[classes], 1) / gpus for cut in packing_cuts(card)]
    if cuts:
        rows += list(packing_cuts(pooled))
    kept = [row for row in rows if row.any()]
    share = np.unique(np.array(kept), axis=0).T if kept else np.zeros((len(classes), 1))
    most = np.floor((1.0 + 1e-9) / np.maximum(share.max(axis=1, initial=0.0), 2.0**-20)).astype(np.int64)
    limit = problem.limit[classes]
    most = np.minimum(np.minimum(most, limit), problem.count[classes])
    return NodeRows(classes, share, most, problem.group[classes], limit)


def _card_shares(problem: PlacementProblem, classes: np.ndarray, node_type: int) -> np.ndarray:
    """``[place, 2]`` share and part of the memory of each GPU that a replica sits on."""
    memory = problem.gpu_capacity_gib[node_type]
    part = problem.card_memory_gib[classes] / memory if memory > 0.0 else np.zeros(len(classes))
    return np.column_stack([problem.card_share[classes], part])
