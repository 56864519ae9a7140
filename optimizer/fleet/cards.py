"""Parts of a node that a replica claims, where GPUs of the node are handed out one by one.

Two replicas that need 0.6 of a GPU do not share one, although two GPUs hold three of them by their sum. The simulator
hands out single GPUs (`simulator.devices`); plans count nodes. So beside the plain part of each resource a replica is
given a part of the node's GPUs by each cut of `optimizer.fleet.packing.packing_cuts`, with the GPU as the bin: every
real placement keeps them, hence bounds stay valid, and of one kind of replica a node takes exactly as many as its GPUs
do. Where kinds of several sizes share GPUs the cuts are necessary and not always sufficient; a replica that then finds
no room is reported as unplaced.
"""

from __future__ import annotations

import math

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE, packing_cuts, shares
from simulator.cluster import RESOURCES, resource_index

__all__ = ["MOST_ON_GPU", "node_shares"]

MOST_ON_GPU = 64
"""Replicas on one GPU up to which their number is exact."""

_GPU, _MEMORY = resource_index("gpu"), resource_index("gpu_memory")


def node_shares(need: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """`optimizer.fleet.packing.shares`, and behind them what replicas claim of a node by the cuts of its GPUs.

    Parameters
    ----------
    need, capacity
        ``need[variant, node_type, resource]`` and ``capacity[node_type, resource]``; nothing is added where the
        resources are not those of a cluster (`simulator.cluster.RESOURCES`).

    Returns
    -------
    numpy.ndarray
        ``share[variant, node_type, resource or cut]``.

    Examples
    --------
    Of replicas that need 0.6 of a GPU, a node with four GPUs holds four:

    >>> need = np.zeros((1, 1, len(RESOURCES)))
    >>> need[0, 0, 0] = 0.6
    >>> node_shares(need, np.full((1, len(RESOURCES)), 4.0)).max(axis=2).tolist()
    [[0.25]]
    """
    plain = shares(need, capacity)
    if plain.shape[2] != len(RESOURCES):
        return plain
    cuts = [_gpu_cuts(np.asarray(need)[:, n], np.asarray(capacity)[n]) for n in range(plain.shape[1])]
    width = max((len(rows) for rows in cuts), default=0)
    more = np.zeros((*plain.shape[:2], width))
    for n, rows in enumerate(cuts):
        more[:, n, : len(rows)] = rows.T
    return np.concatenate([plain, more], axis=2)


def _gpu_cuts(need: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """``part[cut, variant]`` of a node's GPUs, for ``need[variant, resource]`` on ``capacity[resource]``."""
    # Part of a GPU may be what others left of one (`optimizer.standing`): a bin too.
    gpus = math.ceil(float(capacity[_GPU]) - FIT_TOLERANCE)
    of_gpu = need[:, _GPU]
    shared = (of_gpu > 0.0) & (of_gpu < 1.0 - FIT_TOLERANCE)
    if gpus == 0 or not shared.any():
        return np.zeros((0, len(need)))
    memory = need[:, _MEMORY] / max(float(capacity[_MEMORY]) / gpus, np.finfo(float).tiny)
    # Whole GPUs are shared with nobody: all of each is taken, memory too.
    on_one = np.where(shared[:, None], np.stack([of_gpu, memory], axis=1), np.where(of_gpu > 0.0, 1.0, 0.0)[:, None])
    taken = np.where(shared, 1.0, np.ceil(of_gpu - FIT_TOLERANCE))
    rows = packing_cuts(np.where(on_one > 1.0 + FIT_TOLERANCE, np.inf, on_one), MOST_ON_GPU) * taken / gpus
    rows[:, (on_one > 1.0 + FIT_TOLERANCE).any(axis=1)] = np.inf
    return rows
