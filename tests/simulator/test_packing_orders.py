"""A mix that finds no room in the order of variants is placed largest first; what fitted is placed as before."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cluster import resource_index
from simulator.packing_orders import pack, packing_orders
from simulator.placement import Placement, Seat
from tests.simulator.life_world import GPU as NODE
from tests.simulator.life_world import HALF, B, World, make_facts

GPU, GPU_MEMORY = 0, 1
Seats = list[tuple[int, Seat]] | None


def kind_after_kind(placement: Placement, need: np.ndarray, count: np.ndarray) -> Seats:
    """What placement was before other orders were tried."""
    found = []
    for kind in np.flatnonzero(count).tolist():
        seats = placement.place(0, need[kind], int(count[kind]))
        if len(seats) < count[kind]:
            return None
        found += [(kind, seat) for seat in seats]
    return found


def two_gpus() -> Placement:
    return Placement(np.array([[2.0, 80.0]]), np.array([1]), GPU, GPU_MEMORY)


def test_gpu_shares_that_only_fit_largest_first() -> None:
    """0.4 and 0.4 share a GPU where they come first, and one of 0.6 finds no room; so 0.6 goes first."""
    need = np.array([[0.4, 10.0], [0.6, 10.0]])
    count = np.array([2, 2])
    assert kind_after_kind(two_gpus(), need, count) is None
    found = pack(two_gpus(), 0, need, count)
    assert found == [(0, Seat(0, (0,))), (0, Seat(0, (1,))), (1, Seat(0, (0,))), (1, Seat(0, (1,)))]


def test_by_the_sum_of_shares_where_the_largest_share_does_not_tell() -> None:
    """Every kind has the largest share 0.5; the one that needs both resources must find its whole node's half first."""
    need = np.array([[0.5, 0.0], [0.0, 0.5], [0.5, 0.5]])
    assert list(packing_orders(need, np.array([1, 1, 1]))) == [(0, 1, 2), (2, 0, 1)]


def test_what_is_too_much_is_refused_and_leaves_nothing() -> None:
    placement = two_gpus()
    before = placement.save()
    assert pack(placement, 0, np.array([[0.4, 10.0], [0.6, 10.0]]), np.array([2, 3])) is None
    assert pack(placement, 0, np.array([[0.5, 50.0], [0.6, 10.0]]), np.array([2, 2])) is None
    for now, then in zip(placement.save(), before):
        np.testing.assert_array_equal(now, then)


def test_the_fleet_that_is_wanted_stands() -> None:
    """Through the actuator, on four GPUs: those of 0.4 come first by number, and would share GPUs with each other."""
    need = make_facts().need.copy()
    need[B, NODE, resource_index("gpu")], need[HALF, NODE, resource_index("gpu")] = 0.4, 0.6
    assert World(need=need).want(b=4, half=4, at_once=True).sum() == 0


SHARES = st.sampled_from([0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 1.0])
KINDS = st.lists(st.tuples(SHARES, SHARES, st.integers(0, 3)), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(KINDS, st.integers(1, 4))
def test_what_fitted_is_placed_as_before_and_nothing_is_lost(kinds: list[tuple[float, float, int]], nodes: int) -> None:
    need, count = np.array([kind[:2] for kind in kinds]), np.array([kind[2] for kind in kinds])
    capacity = np.ones((1, 2))
    old = kind_after_kind(Placement(capacity, np.array([nodes])), need, count)
    placement = Placement(capacity, np.array([nodes]))
    found = pack(placement, 0, need, count)
    if old is not None:
        assert found == old
    if found is None:
        assert (placement.free == 1.0).all()
        assert not placement.hosted.any()
        return
    assert np.bincount([kind for kind, _ in found], minlength=len(kinds)).tolist() == count.tolist()
    used = np.zeros((nodes, 2))
    for kind, seat in found:
        used[seat.node] += need[kind]
    assert (used <= 1.0 + 1e-9).all()
    np.testing.assert_allclose(placement.free, 1.0 - used, atol=1e-9)
