"""Who is placed where not all fits: the paper's example, priorities, a slow reference, and evictions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.kernel.state import DRAINING, READY
from simulator.life.fairness import Standing, dominant_share, jain_index, place_all, place_fairly
from simulator.life.plan import Life
from simulator.placement import Placement
from tests.simulator.life_world import GB, World, make_facts

NOTHING = np.zeros((3, 2), np.int64)


def one_node(capacity: list[float], needs: list[list[float]], **changes: Any) -> tuple[Placement, Any]:
    """A single node and a service a need, in cores and bytes of memory."""
    n = len(needs)
    table = np.zeros((n, 1, 6))
    table[:, 0, 2], table[:, 0, 3] = np.array(needs).T
    room = np.zeros((1, 6))
    room[0, 2], room[0, 3] = capacity
    names = tuple("abcdef"[:n])
    values = {
        "services": names, "stages": names, "variants": names, "node_types": ("node",),
        "stage_service": np.arange(n), "variant_stage": np.arange(n), "throughput_rps": np.ones((n, 1)),
        "best_throughput_rps": np.ones((n, 1)), "need": table, "capacity": room, "node_count": np.array([1]),
        "price_usd_per_hour": np.ones(1), "start_delay_s": np.ones((n, 1)), "boot_s": np.zeros(1),
        "slo_s": np.ones(n), "slo_quantile": np.full(n, 0.9),
    }  # fmt: skip
    return Placement(room, np.array([1])), make_facts(**values | changes)


def placed(placement: Placement, facts: Any, missing: list[int], **standing: list) -> list[int]:
    n = len(missing)
    standing_ = Standing(
        np.array(standing.get("weight", [1.0] * n), float), np.array(standing.get("priority", [0] * n), np.int64)
    )
    column = np.array(missing).reshape(-1, 1)
    found = place_fairly(placement, facts, column, np.zeros_like(column), standing_)
    return np.bincount([v for v, _, _ in found], minlength=n).tolist()


def test_the_example_of_the_paper() -> None:
    """9 cores and 18 GB; A needs 1 core and 4 GB, B 3 cores and 1 GB: 3 of A and 2 of B, each 2/3 of its resource."""
    placement, facts = one_node([9.0, 18.0], [[1.0, 4.0], [3.0, 1.0]])
    assert placed(placement, facts, [9, 9]) == [3, 2]
    share = dominant_share(facts, np.array([[3], [2]]))
    np.testing.assert_allclose(share, [2 / 3, 2 / 3])


def test_weights_and_priorities() -> None:
    needs = [[1.0, 1.0], [1.0, 1.0]]
    assert placed(*one_node([12.0, 12.0], needs), [12, 12], weight=[2.0, 1.0]) == [8, 4]
    assert placed(*one_node([12.0, 12.0], needs), [9, 12], priority=[1, 0]) == [0, 12]
    assert placed(*one_node([12.0, 12.0], needs), [12, 5], priority=[1, 0]) == [7, 5]
    assert placed(*one_node([12.0, 12.0], needs), [3, 12]) == [3, 9]  # what one does not want goes to the other


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 12), st.sampled_from([0.5, 1.0, 3.0])),
        min_size=1,
        max_size=4,
    ),
    st.integers(4, 30),
    st.integers(4, 30),
)
def test_against_filling_step_by_step(services: list, cores: int, memory: int) -> None:
    needs = [[float(c), float(m)] for c, m, _, _ in services]
    missing, weight = [k for _, _, k, _ in services], [w for _, _, _, w in services]
    placement, facts = one_node([cores, memory], needs)
    got = placed(placement, facts, missing, weight=weight)
    have, free, open_ = [0] * len(services), np.array([cores, memory], float), set(range(len(services)))
    while open_:
        share = {s: (have[s] * max(needs[s][0] / cores, needs[s][1] / memory) / weight[s], s) for s in open_}
        s = min(open_, key=lambda s: share[s])
        if have[s] == missing[s] or (free < needs[s]).any():
            open_.remove(s)
            continue
        have[s] += 1
        free -= needs[s]
    assert got == have


def test_all_that_fits_is_placed_and_nothing_is_kept_of_what_does_not() -> None:
    facts = make_facts()
    placement = World().actuator.placement
    few, many = NOTHING.copy(), NOTHING.copy()
    few[0, 0], many[0, 0] = 6, 7
    before = placement.save()
    assert place_all(placement, facts, many) is None
    for now, then in zip(placement.save(), before):
        np.testing.assert_array_equal(now, then)
    found = place_all(placement, facts, few)
    assert found is not None
    assert [seat.node for _, _, seat in found] == [0, 0, 1, 1, 2, 2]


def test_within_a_service_kinds_fill_alike() -> None:
    """Six of b/gpu and six of b/half on four GPUs: as many parts of each, as they fit."""
    world = World()
    unplaced = world.want(b=6, half=6, at_once=True)
    # In turn: 1/6 each, 2/6 each; then the GPUs have one place for a whole one, or two halves.
    assert (6 - unplaced[1, 1], 6 - unplaced[2, 1]) == (3, 2)


# --- eviction -----------------------------------------------------------------------------------------


def priorities(*values: int) -> dict[str, np.ndarray]:
    return {"service_priority": np.array(values)}


def test_lower_priority_leaves_and_higher_comes_when_it_is_gone() -> None:
    world = World(Life(evicts=True, replaces_at_once=True), **priorities(1, 0))
    world.want((0, 8), at_once=True)  # service a fills the cores of both GPU nodes
    assert world.ready == [8, 0, 0]
    world.fleet.busy |= set(range(8))
    unplaced = world.want((0, 8), b=1)
    assert unplaced[1, 1] == 1
    assert world.count(DRAINING) == [1, 0, 0]
    world.want((0, 8), b=1)  # it drains still: nobody else has to go
    assert world.count(DRAINING) == [1, 0, 0]
    world.run(5.0)
    world.fleet.busy.clear()
    world.run(20.0)
    assert world.ready == [7, 1, 0]
    assert world.actuator.unplaced[0, 1] == 1
    world.check_books()


def test_without_eviction_or_with_equal_priority_nobody_leaves() -> None:
    for life, changes in ((Life(), priorities(1, 0)), (Life(evicts=True), priorities(0, 0))):
        world = World(life, **changes)
        world.want((0, 8), at_once=True)
        assert world.want((0, 8), b=1)[1, 1] == 1
        assert world.ready == [8, 0, 0]


def test_higher_priority_comes_first_whatever_the_order_of_the_file() -> None:
    world = World(**priorities(1, 0))
    unplaced = world.want((0, 8), b=4, at_once=True)
    assert unplaced.sum(axis=1).tolist() == [2, 0, 0]  # 8 of 32 cores are b's: six of a fit beside
    assert world.ready == [6, 4, 0]


def test_draining_ones_do_not_come_back() -> None:
    world = World(Life(evicts=True), **priorities(1, 0))
    world.want((0, 8), at_once=True)
    world.want((0, 8), b=2)
    world.run(30.0)
    world.want((0, 8), b=2)
    assert (world.actuator.count(READY) + world.actuator.starting()).sum(axis=1).tolist() == [7, 2, 0]


def test_a_whole_gpu_is_made_free_where_two_are_half_taken() -> None:
    """Two GPUs are free in sum, none as a whole: one half leaves, and only the one that helps."""
    three = {"services": ("a", "b", "c"), "stages": ("a", "b", "c"), "stage_service": np.arange(3),
             "variant_stage": np.arange(3), "slo_s": np.ones(3), "slo_quantile": np.full(3, 0.9),
             "node_count": np.array([3, 1])}  # fmt: skip
    world = World(Life(evicts=True), **three, **priorities(0, 0, 1))
    world.want(half=4, at_once=True)
    world.actuator.drain([r for r in world.actuator.roster.on(3) if r.slot in (0, 2)])
    assert world.actuator.placement.devices.share_free[3].tolist() == [0.5, 0.5]
    world.want(b=1, half=2)
    assert world.events("evicted") == [(0.0, "evicted", "b/rank/half")]
    world.run(10.0)
    assert world.ready == [0, 1, 2]  # it came back beside the other half
    world.check_books()


def test_a_small_one_stays_where_a_large_one_must_leave_anyway() -> None:
    """A cluster of one node: 8 of 10 cores must be free; the younger of 2 cores need not leave for that."""
    need = np.zeros((3, 2, 6))
    need[:, 0, 2] = [2.0, 8.0, 8.0]
    three = {"services": ("a", "b", "c"), "stages": ("a", "b", "c"), "stage_service": np.arange(3),
             "variant_stage": np.arange(3), "slo_s": np.ones(3), "slo_quantile": np.full(3, 0.9), "need": need,
             "node_count": np.array([1, 0]), "best_throughput_rps": np.array([[1.0, 0.0]] * 3)}  # fmt: skip
    capacity = make_facts().capacity.copy()
    capacity[0, 2] = 10.0
    world = World(Life(evicts=True), capacity=capacity, **three, **priorities(1, 1, 0))
    world.actuator.apply(np.array([[0, 0], [1, 0], [0, 0]]), at_once=True)
    world.run(1.0)
    world.actuator.apply(np.array([[1, 0], [1, 0], [0, 0]]))
    world.run(50.0)
    assert world.ready == [1, 1, 0]
    world.actuator.apply(np.array([[1, 0], [1, 0], [1, 0]]))
    assert world.events("evicted") == [(50.0, "evicted", "b/rank/gpu")]
    world.run(100.0)
    assert world.ready == [1, 0, 1]
    world.check_books()


# --- Jain's index -------------------------------------------------------------------------------------


def test_jains_index() -> None:
    assert jain_index(np.array([3.0, 3.0, 3.0])) == pytest.approx(1.0)
    assert jain_index(np.array([1.0, 0.0])) == 0.5
    assert np.isnan(jain_index(np.zeros(3)))
    assert jain_index(np.array([1.0, 0.5]), np.array([3.0, 1.0])) == pytest.approx(
        jain_index(np.array([1.0, 1.0, 1.0, 0.5]))
    )


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=8), st.floats(0.1, 10.0))
def test_jains_index_has_its_bounds_and_no_scale(values: list[float], scale: float) -> None:
    x = np.array(values)
    index = jain_index(x)
    assert 1 / len(x) - 1e-12 <= index <= 1 + 1e-12
    assert jain_index(scale * x) == pytest.approx(index)
    for order in itertools.islice(itertools.permutations(range(len(x))), 3):
        assert jain_index(x[list(order)]) == pytest.approx(index)


def test_memory_of_each_gpu_is_respected() -> None:
    """Halves that need 12 of a GPU's 16 GB: one a GPU, though the node has room for two by cores, shares and sum."""
    need = make_facts().need.copy()
    need[2, 1, 1] = 12 * GB
    world = World(need=need)
    assert world.want(half=8, at_once=True)[2, 1] == 4
    assert sorted(world.fleet.device[:4].tolist()) == [0, 1, 2, 3]
    world.check_books()
