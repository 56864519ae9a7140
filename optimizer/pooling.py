"""What replicas serve together: more than the sum of what each serves alone within the same latency.

`FleetFacts.throughput_rps` is measured on one replica. Replicas behind one router share a queue, in effect: a request
waits only while all are busy. How much that is worth follows from the queue with exponential times and ``c`` servers
(Erlang 1917; Kleinrock, Queueing Systems, volume 1, section 3.8), of which the wait exceeds ``t`` service times with
probability

    C(c, rho) exp(-c (1 - rho) t)        C: Erlang's delay formula, rho: load of each server

One replica keeps its objective up to the load ``rho_1 = throughput / best throughput``. That says what wait ``t`` its
budget allows at the quantile ``1 - e``: ``rho_1 exp(-(1 - rho_1) t) = e``. The load of ``c`` replicas is the one at
which the same wait has the same probability. Burstier arrivals and steadier service scale the exponent alike for every
``c``, to first order, and so are in ``t`` already. It is an approximation: routers bind a request when it comes, and
batches are not exponential. Policies that use it watch the latency that is met.
"""

from __future__ import annotations

import numpy as np

from simulator.policy import FleetFacts

__all__ = ["Pool", "pooled_load"]

MOST_LOAD = 0.65
"""No pool is planned to be busier, but where one replica alone may be."""
LARGEST = 128
"""A larger pool is planned at the load of this one."""
_STEPS = 30


def pooled_load(single_load: np.ndarray, late: np.ndarray, replicas: int) -> np.ndarray:
    """Load at which a pool keeps the wait that one replica keeps at ``single_load``.

    Parameters
    ----------
    single_load
        Any shape, above 0 and at most 1.
    late
        Of the same shape: share of requests that may wait longer.
    replicas
        Size of the pool, at least 1.

    Examples
    --------
    >>> pooled_load(np.array([0.2]), np.array([0.01]), 1).round(4).tolist()
    [0.2]
    >>> pooled_load(np.array([0.2]), np.array([0.01]), 4).round(2).tolist()
    [0.73]
    """
    single = np.clip(single_load, 1e-9, 1.0)
    if replicas == 1:
        return np.asarray(single_load, dtype=np.float64)
    slack = np.maximum(1.0 - single, 1e-9)
    wait = np.maximum(np.log(np.maximum(single / late, 1.0)), 0.0) / slack
    low, high = single.copy(), np.ones_like(single)
    for _ in range(_STEPS):
        load = 0.5 * (low + high)
        probability = _delay(load, replicas) * np.exp(-replicas * (1.0 - load) * wait)
        fine = probability <= np.maximum(late, _delay(single, 1) * np.exp(-slack * wait))
        low, high = np.where(fine, load, low), np.where(fine, high, load)
    return low


def _delay(load: np.ndarray, servers: int) -> np.ndarray:
    """Erlang's C, by the recursion of Erlang's B."""
    offered = load * servers
    blocked = np.ones_like(load)
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return np.asarray(blocked / np.maximum(1.0 - load * (1.0 - blocked), 1e-12))


class Pool:
    """How many replicas of a pair a stage needs, if the pair served it alone.

    Parameters
    ----------
    facts
        Throughputs of one replica, at the SLO and at best within its batch cap; quantiles of the objectives.
    most_load
        Pools are not planned to be busier than this, nor below what their replicas serve alone.
    """

    def __init__(self, facts: FleetFacts, most_load: float = MOST_LOAD) -> None:
        self._stage = facts.variant_stage
        runs = facts.throughput_rps > 0.0
        best = np.where(runs, np.maximum(facts.best_at_cap_rps, facts.throughput_rps), 1.0)
        single = np.where(runs, facts.throughput_rps / best, 1.0)
        late = 1.0 - facts.slo_quantile[facts.stage_service][self._stage][:, None] + np.zeros_like(single)
        late = np.maximum(late, 1e-6)
        sizes = [*range(1, 17), *(s for s in (20, 24, 32, 40, 48, 64, 96, LARGEST))]
        load = np.stack([pooled_load(single, late, size) for size in sizes], axis=-1)
        load = np.maximum.accumulate(np.maximum(np.minimum(load, most_load), single[..., None]), axis=-1)
        whole = np.arange(1, LARGEST + 1)
        every = np.apply_along_axis(lambda of_pair: np.interp(whole, sizes, of_pair), -1, load)
        self._served = np.where(runs[..., None], best[..., None] * every * whole, 0.0)
        self._runs = runs

    def served_rps(self, replicas: np.ndarray) -> np.ndarray:
        """``[variant, node_type]`` rate of so many replicas of each pair as pools of their own."""
        count = np.asarray(replicas)
        index = np.clip(count, 1, LARGEST) - 1
        found = np.take_along_axis(self._served, index[..., None], axis=-1)[..., 0]
        return np.where(count > 0, found * np.maximum(count, 1) / (index + 1), 0.0)

    def replicas_for(self, required_rps: np.ndarray) -> np.ndarray:
        """``[variant, node_type]`` fewest replicas whose pool serves ``required_rps[stage]``; 0 if none can."""
        wanted = np.asarray(required_rps, dtype=np.float64)[self._stage][:, None]
        within = (self._served < wanted[..., None] * (1.0 - 1e-9)).sum(axis=-1) + 1
        each = np.where(self._runs, self._served[..., -1] / LARGEST, 1.0)
        beyond = np.ceil(wanted / each - 1e-9)
        return np.where(self._runs, np.where(within <= LARGEST, within, beyond), 0).astype(np.int64)

    def throughput_rps(self, required_rps: np.ndarray) -> np.ndarray:
        """``[variant, node_type]`` of one replica in the pool that the demand needs, so that the pool just covers it.

        Where one replica is more than enough it counts in full.
        """
        wanted = np.asarray(required_rps, dtype=np.float64)[self._stage][:, None]
        count = self.replicas_for(required_rps)
        alone = self._served[..., 0]
        shared = np.divide(wanted, count, out=np.zeros(count.shape), where=count > 0)
        return np.where(count > 1, shared, alone)
