"""Nodes that fail, straggle and are taken away; links and the store: what the fleet is told, and when."""

from __future__ import annotations

import pytest

from simulator.kernel.state import DRAINING
from simulator.life.plan import Life, Outage
from tests.simulator.life_world import GB, START_S, World


def fails(node: int, at_s: float, until_s: float) -> Outage:
    return Outage(at_s, until_s, "node", (node,))


def test_a_node_fails_with_all_its_replicas() -> None:
    world = World(Life(outages=(fails(0, 10.0, 50.0),)))
    world.want((4, 0), at_once=True)
    assert world.nodes() == [0, 0, 1, 1]
    world.run(10.5)
    assert world.fleet.calls == [("fail", 10.0, (0, 1))]
    assert world.ready == [2, 0, 0]
    assert world.actuator.lost.sum() == 2
    assert world.actuator.placement.open_nodes().tolist() == [1, 0]
    world.check_books()
    # The next decision finds the third box; the first is out of use until 50.
    assert world.want((6, 0)).tolist() == [[2, 0], [0, 0], [0, 0]]
    world.run(20.0)
    assert world.nodes() == [2, 2, 1, 1]
    world.run(51.0)
    assert world.want((6, 0)).sum() == 0
    assert world.events() == [(10.0, "node_failed", "box/0"), (50.0, "node_repaired", "box/0")]


def test_a_start_on_a_node_that_fails_is_given_up() -> None:
    world = World(Life(outages=(fails(0, 3.0, 50.0),)))
    world.want((2, 0))
    world.run(4.0)
    assert world.starting == [0, 0, 0]
    assert world.fleet.calls == []  # nothing served yet, so there is nothing to lose
    assert world.actuator.store.loaded_bytes == pytest.approx(0.5 * GB)  # from 2 to 3 s, both at half of 0.5 GB/s
    world.check_books()


def test_replaced_at_once_and_again_when_there_is_room() -> None:
    world = World(Life(replaces_at_once=True, outages=(fails(0, 10.0, 50.0), fails(1, 20.0, 30.0))))
    world.want((6, 0), at_once=True)
    world.run(10.5)
    assert world.starting == [0, 0, 0]  # all three boxes were full
    assert world.actuator.unplaced[0, 0] == 2
    world.run(30.5)
    assert world.starting == [2, 0, 0]
    world.run(50.5)
    assert (world.ready, world.starting) == ([4, 0, 0], [2, 0, 0])
    world.run(50.1 + START_S + 2.0)  # two loads at a quarter of a GB/s each, and so 4 s instead of 2
    assert world.ready == [6, 0, 0]
    assert world.actuator.unplaced.sum() == 0


def test_overlapping_outages_end_with_the_last() -> None:
    world = World(Life(outages=(fails(0, 10.0, 50.0), fails(0, 20.0, 30.0), fails(0, 40.0, 60.0))))
    world.run(59.0)
    assert not world.actuator.placement.is_usable[0]
    world.run(61.0)
    assert world.actuator.placement.is_usable[0]
    assert [line[1] for line in world.events()] == ["node_failed"] * 3 + ["node_repaired"]


def test_a_failing_node_takes_what_drains_on_it() -> None:
    world = World(Life(outages=(fails(0, 10.0, 50.0),)))
    world.want((2, 0), at_once=True)
    world.fleet.busy |= {0, 1}
    world.want((0, 0))
    assert world.count(DRAINING) == [2, 0, 0]
    world.run(30.0)
    assert world.count(DRAINING) == [0, 0, 0]
    assert world.fleet.calls == [("fail", 10.0, (0, 1))]
    world.check_books()


def test_a_straggling_node_slows_what_is_on_it_and_what_comes() -> None:
    slow = Outage(10.0, 40.0, "slow_node", (0,), 3.0), Outage(20.0, 30.0, "slow_node", (0,), 5.0)
    world = World(Life(outages=slow))
    world.want((1, 0), at_once=True)
    world.run(10.5)
    assert world.fleet.slowness[:1].tolist() == [3.0]
    world.want((3, 0))
    assert world.fleet.slowness[:3].tolist() == [3.0, 3.0, 1.0]
    world.run(25.0)
    assert world.fleet.slowness[:3].tolist() == [5.0, 5.0, 1.0]
    world.run(35.0)
    assert world.fleet.slowness[:3].tolist() == [3.0, 3.0, 1.0]
    world.run(45.0)
    assert world.fleet.slowness[:3].tolist() == [1.0, 1.0, 1.0]
    assert [line[1] for line in world.events()] == ["node_slow"] * 3 + ["node_well"]


# --- spot ---------------------------------------------------------------------------------------------


def test_spot_nodes_drain_on_notice_and_are_lost_at_its_end() -> None:
    """Notice at 10, taken at 40, back at 100; one of two replicas is empty by then."""
    world = World(Life(outages=(Outage(10.0, 100.0, "spot", (0,), notice_s=30.0),)))
    world.want((2, 0), at_once=True)
    world.fleet.busy |= {1}
    world.run(10.5)
    assert world.ready == [0, 0, 0]
    assert world.count(DRAINING) == [1, 0, 0]
    world.want((2, 0))
    assert world.nodes() == [1, 0, 1]  # nothing more comes to the node
    world.run(40.5)
    assert world.fleet.calls == [("fail", 40.0, (1,))]
    world.run(99.0)
    assert not world.actuator.placement.is_usable[0]
    world.run(101.0)
    assert world.actuator.placement.is_usable[0]
    assert world.events() == [
        (10.0, "spot_notice", "box/0"), (40.0, "spot_taken", "box/0"), (100.0, "spot_back", "box/0")
    ]  # fmt: skip
    world.check_books()


def test_spot_replicas_are_replaced_from_the_notice_on() -> None:
    world = World(Life(replaces_at_once=True, outages=(Outage(10.0, 100.0, "spot", (0,), notice_s=30.0),)))
    world.want((2, 0), at_once=True)
    world.fleet.busy |= {0, 1}
    world.run(39.0)
    assert world.ready == [2, 0, 0]
    assert world.count(DRAINING) == [2, 0, 0]
    world.run(41.0)
    assert world.ready == [2, 0, 0]


# --- links and the store ------------------------------------------------------------------------------


def test_links_break_once_however_many_outages_overlap() -> None:
    life = Life(outages=(
        Outage(10.0, 30.0, "link", (0, 1)), Outage(20.0, 40.0, "link", (0, 1)), Outage(15.0, 25.0, "access", (1, 0)),
        Outage(16.0, 26.0, "access", (1, 1)),
    ))  # fmt: skip
    world = World(life)
    world.run(50.0)
    assert world.fleet.calls == [
        ("link", 10.0, 0, 1, False),
        ("access", 15.0, 1, "in", False),
        ("access", 16.0, 1, "out", False),
        ("access", 25.0, 1, "in", True),
        ("access", 26.0, 1, "out", True),
        ("link", 40.0, 0, 1, True),
    ]
    assert [line[2] for line in world.events("link_failed")] == ["here->there", "there access in", "there access out"]


def test_caches_are_emptied_at_a_site_or_everywhere() -> None:
    world = World(Life(outages=(Outage(10.0, 10.0, "cache", (1,)), Outage(20.0, 20.0, "cache"))))
    world.run(30.0)
    assert world.fleet.calls == [("cache", 10.0, 1), ("cache", 20.0, None)]
    assert world.events() == [(10.0, "cache_lost", "there caches"), (20.0, "cache_lost", "all caches")]


def test_loads_pause_while_the_store_is_out_and_go_on() -> None:
    """Read from 2 to 3 s, out until 13, at half of 2 GB/s until 33 (which a node's 0.5 GB/s stays below)."""
    life = Life(outages=(Outage(3.0, 13.0, "store", (), 0.0), Outage(3.0, 33.0, "store", (), 0.5)), slowed_tiers=(1,))
    world = World(life)
    world.want((1, 0))
    world.run(12.9)
    assert world.actuator.store.loaded_bytes == pytest.approx(0.5 * GB)
    world.run(14.95)
    assert world.ready == [0, 0, 0]
    world.run(15.05)
    assert world.ready == [1, 0, 0]
    # The tier that the store holds keeps a hundredth of its 8 bytes/s.
    assert world.fleet.calls[:2] == [("tier", 3.0, 1, 0.08), ("tier", 3.0, 1, 0.08)]
    world.run(40.0)
    assert world.fleet.calls[2:] == [("tier", 13.0, 1, 4.0), ("tier", 33.0, 1, 8.0)]
    assert [line[:2] for line in world.events()][-2:] == [(13.0, "store_slow"), (33.0, "store_repaired")]


def test_at_one_instant_outages_come_before_decisions() -> None:
    """Lost at 20, taken after notice at 40, repaired at 60: each time a decision at the same instant knows."""
    world = World(Life(outages=(fails(0, 20.0, 60.0), Outage(30.0, 70.0, "spot", (1,), notice_s=10.0))))
    seen = []

    def decide():  # type: ignore[no-untyped-def]
        for _ in range(4):
            yield world.env.timeout(20.0)
            seen.append((world.env.now, world.actuator.placement.is_usable[:2].tolist()))

    world.env.process(decide())
    world.run(100.0)
    assert seen == [(20.0, [False, True]), (40.0, [False, False]), (60.0, [True, False]), (80.0, [True, True])]
