"""What it costs that processes on one GPU take turns, fitted on a log of several replicas.

A GPU that gives its processes slices of time changes from one to the other between batches. What a batch takes beyond
its own time, and beyond what those before it had left, is told apart by who ran last: where it was the same replica,
nothing is to be paid; where another's batch had ended, ``turn_s``; where the batch waited for another's, of which the
change then lies partly within the wait, ``turn_waiting_s``. Both are medians, and the same for all sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.fidelity.setup import ServedStage, gone_cold, idle_before_s
from workloads.errors import InputError
from workloads.server.batching import Batches

__all__ = ["turns_of"]

_LEAST_TURNS = 20


def turns_of(name: str, stage: ServedStage, replicas: Sequence[Batches]) -> tuple[float, float, int]:
    """``turn_s``, ``turn_waiting_s``, and from how many batches.

    Parameters
    ----------
    name
        Of the log, for the error.
    stage
        As its batches are predicted without turns that cost.
    replicas
        Batches of each replica; those that begin at the same time count in the order of replicas.

    Raises
    ------
    InputError
        There are too few batches of either kind.
    """
    start_s = np.concatenate([each.start_s for each in replicas])
    order = np.argsort(start_s, kind="stable")
    replica = np.repeat(np.arange(len(replicas)), [len(each.start_s) for each in replicas])[order]
    start_s, done_s = start_s[order], np.concatenate([each.done_s for each in replicas])[order]
    units = np.concatenate([each.units for each in replicas])[order]
    idle_s = np.concatenate([idle_before_s(each.start_s, each.done_s) for each in replicas])[order]
    own_s = stage.table.mean_s(units) + stage.table.cold_s * gone_cold(idle_s)
    free_s = np.concatenate([[-np.inf], np.maximum.accumulate(done_s)[:-1]])
    extra_s = done_s - np.maximum(start_s, free_s) - own_s
    changes = np.concatenate([[False], replica[1:] != replica[:-1]])
    waits = free_s > start_s
    kinds = [changes & ~waits, changes & waits]
    fewest = min(int(kind.sum()) for kind in kinds)
    if fewest < _LEAST_TURNS:
        problem = f"holds {fewest} batches after an idle, or a busy, other replica, too few to tell what turns cost"
        raise InputError(name, problem, f"give a log with {_LEAST_TURNS} or more of each")
    turn_s, waiting_s = (max(float(np.median(extra_s[kind])), 0.0) for kind in kinds)
    return turn_s, waiting_s, int(changes.sum())
