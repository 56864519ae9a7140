"""What plans and fleets do not take, and that whole numbers for times compile nothing anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.fleet import Fleet
from simulator.fleet_arrays import grow_replicas, rebuild_plain_pools
from simulator.kernel.loop import advance
from simulator.kernel.state import READY
from simulator.latency_tables import LatencyTable
from simulator.plan import BatchRule, CacheLevelPlan, CachePlan, FleetPlan, ServicePlan, StagePlan
from workloads.errors import InputError

STAGE = StagePlan(0, 40_000, 0.0, "least_outstanding")
PLAN = FleetPlan(
    stages=(STAGE,),
    rules=(BatchRule(0, False, 1, 0.0, 0),),
    tables=(LatencyTable(np.array([1]), np.zeros(1), np.ones((1, 1)), np.ones(1)),),
    nic_bytes_per_s=np.array([1e9]),
    hop_delay_s=0.0,
    services=(ServicePlan(1.0),),
    noise_seed=1,
)


def _changed(**stage: object) -> FleetPlan:
    return replace(PLAN, stages=(replace(STAGE, **stage),))  # type: ignore[arg-type]


@pytest.mark.parametrize("bound", [-0.5, float("nan")])
def test_a_share_below_the_mean_is_refused(bound: float) -> None:
    with pytest.raises(InputError, match="stage 0: hash_bound"):
        _changed(router="consistent_hash", hash_bound=bound)


def test_more_parts_than_are_told_apart_are_refused() -> None:
    with pytest.raises(InputError, match="40000 tasks, over 4096"):
        _changed(split_items=1)
    assert _changed(split_items=10).stages[0].most_parts() == 4_000


def test_more_prefetches_than_are_told_apart_are_refused() -> None:
    with pytest.raises(InputError, match="prefetch 1023"):
        replace(PLAN, services=(ServicePlan(1.0, cache=CachePlan("item", (CacheLevelPlan(1),), prefetch=1023)),))


def test_a_pool_of_the_plain_path_has_room_for_so_many_replicas() -> None:
    state = Fleet(PLAN, iter([])).state
    while len(state.replicas) <= 2**16:
        state = grow_replicas(state, 0)
    state.replicas["state"][: 2**16] = READY
    assert rebuild_plain_pools(state).stages["ready"] == [2**16]
    state.replicas["state"][2**16] = READY
    with pytest.raises(InputError, match="has 65537 replicas, over 65536"):
        rebuild_plain_pools(state)


def test_a_time_that_is_a_whole_number_compiles_nothing_anew() -> None:
    fleet = Fleet(PLAN, iter([]))
    fleet.advance(1)
    fleet.activate(fleet.add_replica(0, 0, 0))
    fleet.advance(np.int64(2))  # type: ignore[arg-type]
    assert type(fleet.now_s) is float
    compiled_for = getattr(advance, "signatures", [])
    assert {str(signature[0]) for signature in compiled_for} <= {"float64"}
