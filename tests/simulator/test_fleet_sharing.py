"""Replicas that share tiers of embedding rows, devices and routers of the user's, through the whole path, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulator.fleet import Fleet
from simulator.kernel.state import NONE
from simulator.latency_tables import Interference, LatencyTable
from simulator.plan import BatchRule, FleetPlan, LookupPlan, RecordPlan, ServicePlan, StagePlan, TierPlan
from simulator.routers import register
from tests.simulator.whole_worlds import WholeWorld, check, draw_world, serve
from workloads.trace import TraceBlock

ONE_SECOND = LatencyTable(np.array([1, 2]), np.zeros(1), np.array([[1.0], [2.0]]), np.ones(2))
STAGE = StagePlan(0, 10, 0.0, "least_outstanding")
PLAN = FleetPlan(
    stages=(STAGE,),
    rules=(BatchRule(0, True, 1, 0.0, 0),),
    tables=(ONE_SECOND,),
    nic_bytes_per_s=np.array([64.0, 64.0]),
    hop_delay_s=0.0,
    services=(ServicePlan(9.0),),
    noise_seed=1,
)
DRAM, REMOTE = TierPlan("dram", 64.0, 0.5), TierPlan("remote", 32.0, 0.0, is_shared=True)


def run(
    plan: FleetPlan,
    arrival_s: Sequence[float],
    *nodes: int,
    items: int = 1,
    user: Sequence[int] = (),
    device: int = NONE,
) -> tuple[Fleet, list[float]]:
    """Serve requests on one replica each of ``nodes``; the fleet and when each request was answered."""
    fleet = start(plan, arrival_s, *nodes, items=items, user=user, device=device)
    fleet.finish()
    return fleet, done_s(fleet)


def start(plan: FleetPlan, arrival_s: Sequence[float], *nodes: int, items: int = 1, user: Sequence[int] = (),
          device: int = NONE) -> Fleet:  # fmt: skip
    rows = len(arrival_s)
    zeros = np.zeros(rows, np.int32)
    users = np.array([*user, *zeros[len(user) :]], np.int64)
    block = TraceBlock(0, np.array(arrival_s), zeros.astype(np.int16), zeros + items, zeros, users, zeros)
    fleet = Fleet(plan, iter([block]), RecordPlan(rows))
    fleet.activate(*(fleet.add_replica(0, 0, node, device=device) for node in nodes))
    return fleet


def done_s(fleet: Fleet) -> list[float]:
    return [float(t) for t in fleet.state.record.outcome["done_s"]]


def with_rows(*lookups: LookupPlan, **changes: Any) -> FleetPlan:
    return replace(PLAN, tiers=(DRAM, REMOTE), lookups=lookups, **changes)


# --- tiers ------------------------------------------------------------------------------------------------


def test_a_batch_reads_its_rows_before_it_computes() -> None:
    fleet, done = run(with_rows(LookupPlan((64.0, 0.0), decode_s_per_unit=0.25)), [0.0, 0.0], 0)
    assert done == [2.75, 5.5]  # 1 s of DRAM, 0.5 s until it is there, 0.25 s to unpack, 1 s to compute
    assert fleet.state.stages["compute_s"].tolist() == [5.5]


def test_replicas_of_a_node_queue_for_its_memory_and_all_for_the_remote_store() -> None:
    assert run(with_rows(LookupPlan((64.0, 0.0))), [0.0] * 3, 0, 0, 1)[1] == [2.5, 3.5, 2.5]
    fleet, done = run(with_rows(LookupPlan((0.0, 32.0))), [0.0] * 3, 0, 0, 1)
    assert done == [2.0, 3.0, 4.0]
    assert fleet.state.lookups.tiers["bytes"].tolist() == [0.0, 0.0, 96.0]
    assert fleet.state.lookups.tiers["busy_s"].tolist() == [0.0, 0.0, 3.0]


def test_tiers_are_read_at_once_and_the_last_decides() -> None:
    assert run(with_rows(LookupPlan((64.0, 32.0))), [0.0], 0)[1] == [2.5]
    assert run(with_rows(LookupPlan((64.0, 96.0))), [0.0], 0)[1] == [4.0]


def test_rows_from_other_nodes_share_the_card_with_payloads() -> None:
    plan = with_rows(LookupPlan((0.0, 0.0), sharded_bytes_per_unit=64.0), stages=(replace(STAGE, item_bytes=64.0),))
    # A payload takes 1 s of the card, then its rows; the second request's payload goes before the first one's rows.
    assert run(plan, [0.0, 0.5], 0)[1] == [4.0, 6.0]


def test_a_tier_slows_down_and_rows_are_placed_anew() -> None:
    fleet = start(with_rows(LookupPlan((0.0, 32.0))), [0.0, 4.0, 8.0], 0)
    fleet.advance(3.0)
    fleet.set_tier_rate(1, 16.0)
    fleet.advance(7.5)
    fleet.set_lookup(0, LookupPlan((0.0, 8.0)))
    fleet.finish()
    assert done_s(fleet) == [2.0, 7.0, 9.5]


# --- devices ----------------------------------------------------------------------------------------------

SHARED = replace(PLAN, tables=(replace(ONE_SECOND, interference=Interference((2,), np.ones(1), np.full((1, 1), 2.0))),))


def test_a_batch_is_slowed_by_those_that_run_when_it_starts() -> None:
    _, done = run(SHARED, [0.0, 0.0, 1.5], 0, 0, device=3)
    assert done == [1.0, 2.0, 3.5]  # alone; beside the first; beside the second
    assert run(SHARED, [0.0, 0.0, 1.5], 0, 0)[1] == [1.0, 1.0, 2.5]


def test_what_has_failed_slows_nobody_down() -> None:
    fleet = start(SHARED, [0.0, 0.0, 0.75], 0, 0, device=0)
    fleet.advance(0.5)
    fleet.fail(1)
    fleet.finish()
    assert done_s(fleet)[0::2] == [1.0, 2.0]
    assert fleet.state.services["failed"].tolist() == [1]
    assert fleet.state.running.tolist()[0] == 0


def test_batches_of_a_device_that_take_turns_run_one_after_another() -> None:
    turns = Interference((2,), np.ones(1), np.full((1, 1), 2.0), takes_turns=True)
    plan = replace(SHARED, tables=(replace(ONE_SECOND, interference=turns),))
    _, done = run(plan, [0.0, 0.25, 2.5, 2.75, 3.0], 0, 0, device=3)
    assert done == [1.0, 2.0, 3.5, 4.5, 5.5]  # each as if alone, once those before it have ended
    assert run(plan, [0.0, 0.0, 1.5], 0, 0)[1] == [1.0, 1.0, 2.5]


def test_changing_from_one_replica_to_another_takes_time() -> None:
    turns = Interference((2,), np.ones(1), np.full((1, 1), 2.0), takes_turns=True, turn_s=0.5, turn_waiting_s=0.25)
    plan = replace(SHARED, tables=(replace(ONE_SECOND, interference=turns),))
    # Slot 0 first of all; slot 1 waits for it; slot 0 after slot 1's end; slot 0 again; slot 1 waits for it.
    _, done = run(plan, [0.0, 0.25, 4.0, 9.0, 9.25], 0, 0, device=3)
    assert done == [1.0, 2.25, 5.5, 10.0, 11.25]
    _, alone = run(plan, [0.0, 0.25, 4.0], 0, device=3)
    assert alone == [1.0, 2.0, 5.0]


def test_an_idle_machine_has_gone_cold() -> None:
    plan = replace(PLAN, tables=(replace(ONE_SECOND, cold_s=0.5, cold_after_s=2.0),))
    _, done = run(plan, [1.0, 1.5, 7.0], 0)
    first = 2.0 + 0.5 * (1.0 - np.exp(-0.5))
    assert done == pytest.approx([first, first + 1.0, 8.0 + 0.5 * (1.0 - np.exp((first + 1.0 - 7.0) / 2.0))])
    faster = replace(PLAN, tables=(plan.tables[0].scaled(2.0),))
    assert run(faster, [1.0], 0)[1] == pytest.approx([1.0 + (first - 1.0) / 2.0])


# --- routers ----------------------------------------------------------------------------------------------


def test_a_users_function_routes() -> None:
    register("by-user")(lambda outstanding, weight, first, size, user, draw: first + user)
    plan = replace(PLAN, stages=(replace(STAGE, router="function", function="by-user"),))
    fleet, done = run(plan, [0.0] * 4, 0, 1, user=[0, 0, 1, 0])
    assert fleet.state.record.step["slot"][:, 0].tolist() == [0, 0, 1, 0]
    assert done == [1.0, 2.0, 1.0, 3.0]


@pytest.mark.parametrize(("router", "slots"), [("weighted", [1, 0, 1, 1]), ("least_outstanding", [0, 1, 0, 1])])
def test_the_faster_of_two_gets_more_where_tasks_are_weighted(router: str, slots: list[int]) -> None:
    tables = (replace(ONE_SECOND, weight=1.0), replace(ONE_SECOND.scaled(0.5), weight=2.0))
    plan = replace(PLAN, tables=tables, stages=(replace(STAGE, router=router, hedge_after_s=99.0),))
    fleet = start(plan, [0.0] * 4)
    fleet.activate(fleet.add_replica(0, 0, 0), fleet.add_replica(0, 1, 0))
    fleet.finish()
    assert fleet.state.record.step["slot"][:, 0].tolist() == slots


# --- together with everything else ------------------------------------------------------------------------


def dressed(world: WholeWorld) -> WholeWorld:
    """The same world with rows in tiers, replicas that slow one another down, and routers of the user's on one site."""
    register("by-draw")(lambda outstanding, weight, first, size, user, draw: first + int(draw * size))
    rng = np.random.default_rng([11, world.seed])
    plan = world.plan
    slowdown = Interference((2, 4), np.array([1.0, 8.0]), np.array([[1.2, 1.5], [1.5, 2.5]]))
    stages = plan.stages
    if len(plan.sites) == 1:
        stages = (replace(stages[0], router="function", function="by-draw", max_outstanding=0), *stages[1:])
    lookups = [LookupPlan(tuple(rng.choice([0.0, 50.0], 2)), rng.choice([0.0, 100.0]), 1e-5) for _ in plan.tables]
    return replace(world, plan=replace(
        plan, stages=stages, tables=tuple(replace(table, interference=slowdown) for table in plan.tables),
        tiers=(TierPlan("dram", 1e5, 1e-4), TierPlan("remote", 1e5, 1e-3, True)), lookups=tuple(lookups),
    ))  # fmt: skip


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_whatever_fails_nothing_is_lost_and_devices_come_to_rest(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    add_replica = Fleet.add_replica
    monkeypatch.setattr(Fleet, "add_replica", lambda fleet, rule, table, node, slot=None: add_replica(
        fleet, rule, table, node, slot, device=node % 3))  # fmt: skip
    read_bytes = 0.0
    for seed in range(first, first + 20):
        fleet = serve(dressed(draw_world(seed)))
        check(fleet)
        assert fleet.whole is not None
        assert not fleet.state.running.any()
        assert not (fleet.whole.pools.outstanding < 0).any()
        read_bytes += fleet.state.lookups.tiers["bytes"].sum()
    assert read_bytes > 0
