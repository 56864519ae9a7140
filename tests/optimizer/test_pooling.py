"""Pools against the queue they are taken from, and their limits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optimizer.backlog import backlog_rps
from optimizer.pooling import MOST_LOAD, Pool, pooled_load
from tests.optimizer.factory import facts, observation

LATE = np.array([0.01])


def tail(load: float, servers: int, wait: float) -> float:
    """P(wait > ``wait`` service times) of M/M/c, from the textbook's sums."""
    offered = load * servers
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) / (1.0 - load)
    return last / (sum(terms) + last) * math.exp(-servers * (1.0 - load) * wait)


@given(st.floats(0.02, 0.97), st.integers(2, 40))
def test_a_pool_keeps_the_wait_that_one_replica_keeps(single: float, servers: int) -> None:
    load = float(pooled_load(np.array([single]), LATE, servers)[0])
    wait = max(0.0, math.log(single / 0.01)) / (1.0 - single)
    assert single <= load < 1.0
    allowed = max(0.01, tail(single, 1, wait))
    assert tail(load, servers, wait) <= allowed * (1.0 + 1e-6)
    more = min(1.0 - 1e-9, load * 1.01 + 1e-4)
    assert more >= 1.0 - 1e-6 or tail(more, servers, wait) > allowed


def test_counts_and_throughputs_fit_together() -> None:
    fleet = facts()
    pool = Pool(fleet)
    for scale in (0.1, 1.0, 20.0, 3000.0):
        required = scale * np.array([100.0, 70.0, 40.0])
        count = pool.replicas_for(required)
        wanted = required[fleet.variant_stage][:, None]
        runs = fleet.runs_on()
        assert (count[~runs] == 0).all()
        assert (pool.served_rps(count) >= wanted * (1.0 - 1e-9))[runs].all()
        assert (pool.served_rps(count - 1) < wanted)[runs & (count > 1)].all()
        assert (count * pool.throughput_rps(required) >= wanted * (1.0 - 1e-9))[runs].all()
        alone = np.maximum(np.ceil(wanted / np.where(runs, fleet.throughput_rps, 1.0) - 1e-9), 1)
        assert (count <= alone)[runs].all()
        assert (wanted <= count * np.maximum(MOST_LOAD * fleet.best_throughput_rps, fleet.throughput_rps) + 1e-9)[
            runs
        ].all()


def test_a_backlog_is_what_an_objective_does_not_bring() -> None:
    """100 requests/s at an objective of 0.1 s: ten may wait."""
    fleet, rates = facts(), np.full((2, 3), 100.0)
    seen = observation(fleet, 1, rates, queue_requests=np.array([10, 70, 0]))
    assert backlog_rps(seen, 60.0).tolist() == [0.0, 1.0, 0.0]


def test_a_pool_of_small_batches_is_no_busier_than_they_allow() -> None:
    """A chosen cap of batches may lie far below the stated one, and with it what a replica serves at best."""
    fleet = facts()
    capped = replace(fleet, batch_cap=np.full((4, 2), 4), best_at_cap_rps=1.05 * fleet.throughput_rps)
    demand = np.full(3, 30_000.0)
    rate = Pool(capped).throughput_rps(demand)
    assert (rate <= capped.best_at_cap_rps + 1e-9).all()
    assert (Pool(fleet, 1.0).throughput_rps(demand) > capped.best_at_cap_rps)[fleet.runs_on()].any()
