"""Container images and rolling refreshes: what starts when, what is read, and that serving goes on."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.life.events import PURPOSES
from simulator.life.plan import Image, Life, Outage, Refresh
from tests.simulator.life_world import GB, HALF, START_S, A, B, World

IMAGE = Image("serving", 1.5 * GB)
"""3 s at a node's 0.5 GB/s."""


def moved(world: World, purpose: str) -> float:
    world.actuator.settle()
    return float(world.actuator.store.moved_bytes[PURPOSES.index(purpose)]) / GB


# --- images -------------------------------------------------------------------------------------------


def test_the_second_container_on_a_node_pulls_nothing() -> None:
    world = World(Life(images=(IMAGE,)))
    world.want((1, 0))
    world.run(START_S + 2.9)
    assert world.ready == [0, 0, 0]
    world.run(START_S + 3.1)
    assert world.ready == [1, 0, 0]
    world.run(20.0)
    world.want((2, 0))
    world.run(20.1 + START_S)
    assert world.ready == [2, 0, 0]
    assert (moved(world, "image"), moved(world, "weights")) == pytest.approx((1.5, 2.0))


def test_containers_that_start_together_share_one_pull() -> None:
    """Pull to 3, containers to 5, two loads at 0.25 GB/s to 9, warm-up to 10."""
    world = World(Life(images=(IMAGE,)))
    world.want((2, 0))
    world.run(9.9)
    assert world.ready == [0, 0, 0]
    world.run(10.1)
    assert world.ready == [2, 0, 0]
    assert moved(world, "image") == pytest.approx(1.5)


def test_a_pull_goes_on_without_those_that_asked_for_it_while_the_node_is_open() -> None:
    world = World(Life(images=(IMAGE, None, None)))
    world.want((1, 1), half=1)
    world.run(1.0)
    world.want((0, 0), half=1)  # the box closes; the GPU node stays open
    world.run(30.0)
    assert moved(world, "image") == pytest.approx(0.5 + 1.5)


def test_a_node_that_closes_forgets_its_images() -> None:
    world = World(Life(images=(IMAGE,)))
    world.want((1, 0), at_once=True)
    world.want((2, 0))
    world.run(10.0)
    assert moved(world, "image") == 0.0  # what stands before the run has its image
    world.want((0, 0))
    world.want((1, 0))
    world.run(30.0)
    assert moved(world, "image") == pytest.approx(1.5)


def test_a_pull_waits_for_the_boot() -> None:
    world = World(Life(images=(IMAGE,)), boot_s=np.array([10.0, 20.0]))
    world.want((1, 0))
    world.run(9.9)
    assert moved(world, "image") == 0.0
    world.run(10.1 + 3.0 + START_S)
    assert world.ready == [1, 0, 0]


# --- refresh ------------------------------------------------------------------------------------------


def refreshing(variant: int, most: int = 1, period_s: float = 1000.0, in_place: bool = False) -> Refresh:
    return Refresh(variant, period_s, first_s=100.0, max_unavailable=most, in_place=in_place)


def watch(world: World, until_s: float, step_s: float = 0.5) -> tuple[list[list[int]], list[int]]:
    """Ready replicas by variant, and replicas in any state, at every step from 100 s on."""
    ready, there = [], []
    while world.env.now < until_s:
        world.run(max(world.env.now, 99.75) + step_s)
        ready.append(world.ready)
        there.append(len(world.nodes()))
    return ready, there


def versions(world: World, variant: int) -> list[int]:
    return [replica.version for replica in world.actuator.roster.of(variant, range(2))]


def test_with_room_the_new_one_comes_before_the_old_one_goes() -> None:
    world = World(Life(refreshes=(refreshing(A),)))
    world.want((3, 0), at_once=True)
    ready, there = watch(world, 100.0 + 3 * START_S + 1.0)
    assert {r[A] for r in ready} == {3}
    assert max(there) == 4
    assert versions(world, A) == [1, 1, 1]
    assert moved(world, "refresh") == pytest.approx(3.0)
    assert world.events() == [(100.0, "refresh_began", "a/rank/cpu"), (115.0, "refresh_ended", "a/rank/cpu")]
    assert world.actuator.starting().sum() == 0
    world.check_books()


def test_two_at_a_time() -> None:
    world = World(Life(refreshes=(refreshing(A, most=2),)))
    world.want((4, 0), at_once=True)
    ready, there = watch(world, 130.0)
    assert {r[A] for r in ready} == {4}
    assert max(there) == 6
    assert versions(world, A) == [1] * 4


def test_without_room_the_old_one_goes_first() -> None:
    """Both GPU nodes are full. The old one of the first takes 3 s more for what it holds."""
    world = World(Life(refreshes=(refreshing(B),)))
    world.want(b=4, at_once=True)
    world.run(99.0)
    world.fleet.busy.add(0)
    world.run(102.5)
    assert world.ready == [0, 3, 0]
    assert world.starting == [0, 0, 0]
    world.fleet.busy.clear()
    ready, there = watch(world, 103.0 + 4 * START_S + 1.0)
    assert min(r[B] for r in ready) == 3
    assert max(there) == 4
    assert world.ready == [0, 4, 0]
    assert versions(world, B) == [1] * 4
    assert [line[1] for line in world.events()] == ["refresh_began", "refresh_ended"]
    world.check_books()


def test_in_place_the_old_weights_serve_until_the_new_ones_are_read() -> None:
    world = World(Life(refreshes=(refreshing(HALF, in_place=True),)))
    world.want(half=2, at_once=True)
    ready, there = watch(world, 105.0)
    assert {r[HALF] for r in ready} == {2}
    assert max(there) == 2
    assert versions(world, HALF) == [1, 1]
    assert moved(world, "refresh") == pytest.approx(2.0)
    assert world.events("refresh_ended") == [(104.0, "refresh_ended", "b/rank/half")]
    world.check_books()


def test_in_place_claims_the_second_copy_while_it_is_read() -> None:
    world = World(Life(refreshes=(refreshing(HALF, in_place=True),)))
    world.want(half=1, at_once=True)
    world.run(101.0)
    assert world.actuator.ledger.borrowed[1] == GB
    assert world.actuator.placement.devices.memory_free[3, 0] == 16 * GB - 6 * GB - GB
    world.want()  # it goes meanwhile, and all that it claimed with it
    world.run(103.0)
    assert world.actuator.ledger.borrowed[1] == 0.0
    assert world.actuator.placement.devices.memory_free[3, 0] == 16 * GB
    world.check_books()


def test_a_policy_that_wants_fewer_ends_the_replacement_too() -> None:
    world = World(Life(refreshes=(refreshing(A),)))
    world.want((2, 0), at_once=True)
    world.run(101.0)
    assert (world.ready, world.starting) == ([2, 0, 0], [1, 0, 0])
    assert world.want((1, 0)).sum() == 0
    assert world.ready[A] == 1
    assert world.actuator.starting().sum() == 0
    world.run(120.0)
    assert versions(world, A) == [1]
    world.want((2, 0))
    world.run(130.0)
    assert versions(world, A) == [1, 1]
    world.check_books()


def test_a_replacement_that_is_lost_is_tried_again_and_one_for_a_lost_replica_stays() -> None:
    """Old ones on box/0 (two) and box/1 (one); the first replacement starts beside the third, on box/1."""
    world = World(Life(refreshes=(refreshing(A),), outages=(Outage(101.0, 400.0, "node", (1,)),)))
    world.want((3, 0), at_once=True)
    world.run(102.0)
    assert (world.ready[A], world.starting[A]) == (2, 1)
    world.run(150.0)
    assert versions(world, A) == [1, 1]
    other = World(Life(refreshes=(refreshing(A),), outages=(Outage(101.0, 400.0, "node", (0,)),)))
    other.want((3, 0), at_once=True)
    other.run(102.0)
    assert (other.ready[A], other.starting[A]) == (1, 1)
    assert other.actuator.starting()[0, 0] == 1  # it counts now
    other.run(150.0)
    assert versions(other, A) == [1, 1]
    assert other.want((3, 0)).sum() == 0
    other.check_books()


def test_a_refresh_that_is_overtaken_goes_on_to_the_newer_weights() -> None:
    world = World(Life(refreshes=(refreshing(A, period_s=8.0),)))
    world.want((2, 0), at_once=True)
    world.run(120.0)
    assert world.ready[A] == 2
    assert [line[1] for line in world.events()].count("refresh_began") == 3
    assert world.actuator.version[A] == 3
    world.env.run(until=world.env.now + 3.0)  # 123 s: the fourth is due at 124
    assert len(versions(world, A)) in (2, 3)
    assert max(versions(world, A)) == 3
