"""Embedding look-ups of batches: by hand in times that are exact, and against a list of queues."""

from __future__ import annotations

import numpy as np

from simulator.kernel.compiled import compiled
from simulator.kernel.lookup import look_up
from simulator.kernel.state import NODE
from simulator.latency_tables import LatencyTable
from simulator.lookups import lookup_state, set_lookup, set_tier_rate
from simulator.plan import FleetPlan, LookupPlan, ServicePlan, TierPlan

TABLE = LatencyTable(np.array([1]), np.zeros(1), np.ones((1, 1)), np.ones(1))
DRAM, SSD, REMOTE = TierPlan("dram", 1024.0, 0.0), TierPlan("ssd", 256.0, 0.125), TierPlan("far", 64.0, 0.5, True)


@compiled
def look_up_one(lookups, nodes, table, node, units, now):
    return look_up(lookups, nodes, table, node, units, now)


def plan_of(tiers: tuple[TierPlan, ...], lookups: tuple[LookupPlan | None, ...], nodes: int = 2) -> FleetPlan:
    return FleetPlan((), (), (TABLE,) * len(lookups), np.full(nodes, 512.0), 0.0, (ServicePlan(1.0),), 1,
                     tiers=tiers, lookups=lookups)  # fmt: skip


def cards(nodes: int = 2) -> np.ndarray:
    card = np.zeros(nodes, NODE)
    card["nic_s_per_byte"] = 1 / 512.0
    return card


def test_a_batch_waits_for_the_last_tier_and_unpacks() -> None:
    state = lookup_state(plan_of((DRAM, SSD), (LookupPlan((64.0, 32.0), decode_s_per_unit=0.25),)))
    # 4 units: 256 bytes of DRAM take 0.25 s; 128 of the SSD 0.5 s and its delay; 1 s to unpack.
    assert look_up_one(state, cards(), 0, 0, 4, 10.0) == 10.0 + 0.5 + 0.125 + 1.0
    assert state.tiers["busy_s"].tolist() == [0.25, 0.0, 0.5, 0.0]
    assert state.tiers["bytes"].tolist() == [256.0, 0.0, 128.0, 0.0]


def test_tiers_of_a_node_queue_apart_and_shared_ones_together() -> None:
    state, card = lookup_state(plan_of((DRAM, REMOTE), (LookupPlan((1024.0, 0.0)), LookupPlan((0.0, 64.0))))), cards()
    assert [look_up_one(state, card, 0, node, 1, 0.0) for node in (0, 0, 1)] == [1.0, 2.0, 1.0]
    assert [look_up_one(state, card, 1, node, 1, 0.0) for node in (0, 1, 1)] == [1.5, 2.5, 3.5]
    assert look_up_one(state, card, 1, 0, 1, 8.0) == 9.5


def test_rows_on_other_nodes_come_over_the_card() -> None:
    state, card = lookup_state(plan_of((DRAM,), (LookupPlan((512.0,), sharded_bytes_per_unit=512.0),))), cards()
    card["nic_free_s"][0] = 2.0
    assert look_up_one(state, card, 0, 0, 1, 1.0) == 3.0
    assert card["nic_free_s"].tolist() == [3.0, 0.0]
    assert card["nic_bytes"].tolist() == [512.0, 0.0]


def test_what_reads_nothing_goes_on_at_once() -> None:
    for plan in (plan_of((DRAM,), (None,)), plan_of((), (LookupPlan(()),)), plan_of((DRAM,), (LookupPlan((0.0,)),))):
        assert look_up_one(lookup_state(plan), cards(), 0, 0, 5, 3.0) == 3.0


def test_rates_and_placements_change_for_what_comes_after() -> None:
    state = lookup_state(plan_of((DRAM, REMOTE), (LookupPlan((1024.0, 0.0)),)))
    assert look_up_one(state, cards(), 0, 0, 1, 0.0) == 1.0
    set_tier_rate(state, 0, 512.0, node=0)
    assert [look_up_one(state, cards(), 0, node, 1, 0.0) for node in (0, 1)] == [3.0, 1.0]
    set_tier_rate(state, 0, 256.0)
    assert [look_up_one(state, cards(), 0, node, 1, 3.0) for node in (0, 1)] == [7.0, 7.0]
    set_tier_rate(state, 1, 128.0)
    set_lookup(state, 0, LookupPlan((0.0, 64.0)))
    assert look_up_one(state, cards(), 0, 1, 1, 0.0) == 1.0


def test_against_a_list_of_queues() -> None:
    rng = np.random.default_rng(3)
    tiers = (DRAM, REMOTE, SSD)
    bytes_per_unit = rng.choice([0.0, 3.0, 70.0], size=(4, 3))
    sharded, decode_s = rng.choice([0.0, 5.0], size=4), rng.choice([0.0, 0.01], size=4)
    rows = tuple(LookupPlan(tuple(bytes_per_unit[k]), sharded[k], decode_s[k]) for k in range(4))
    state, card = lookup_state(plan_of(tiers, rows, nodes=3)), cards(3)
    free: dict[tuple[object, int], float] = {}
    now = 0.0
    for _ in range(200):
        now += rng.exponential(0.5)
        table, node, units = int(rng.integers(4)), int(rng.integers(3)), int(rng.integers(1, 9))
        ends = [now]
        reads = [(t.name, 0 if t.is_shared else node, t.bytes_per_s, t.delay_s, b)
                 for t, b in zip(tiers, bytes_per_unit[table])]  # fmt: skip
        for name, place, rate, delay_s, b in [*reads, ("card", node, 512.0, 0.0, sharded[table])]:
            if b:
                free[name, place] = max(now, free.get((name, place), 0.0)) + units * b / rate
                ends.append(free[name, place] + delay_s)
        expected = max(ends) + units * decode_s[table]
        assert abs(look_up_one(state, card, table, node, units, now) - expected) < 1e-12
