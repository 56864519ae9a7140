"""Placement: never beyond capacity, open nodes first, and back to where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simulator.placement import SLACK, Placement, Seat

RESOURCES = 3
_amounts = st.one_of(st.integers(0, 4).map(float), st.floats(0.0, 3.0, allow_subnormal=False))


@st.composite
def clusters(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Capacity ``[type, resource]``, count ``[type]`` and some needs ``[kind, resource]``."""
    types = draw(st.integers(1, 3))
    capacity = draw(hnp.arrays(np.float64, (types, RESOURCES), elements=st.sampled_from([0.0, 1.0, 4.0, 7.3])))
    count = draw(hnp.arrays(np.int64, types, elements=st.integers(1, 4)))
    needs = draw(hnp.arrays(np.float64, (draw(st.integers(1, 4)), RESOURCES), elements=_amounts))
    return capacity, count, needs


_moves = st.lists(st.tuples(st.booleans(), st.integers(0, 99), st.integers(0, 99)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(clusters(), _moves)
def test_random_comings_and_goings(cluster: tuple[np.ndarray, np.ndarray, np.ndarray], moves: list) -> None:
    capacity, count, needs = cluster
    placement = Placement(capacity, count)
    node_capacity = capacity[placement.node_type]
    slack = SLACK * (1 + len(moves)) * node_capacity
    placed: list[tuple[int, int]] = []
    for comes, a, b in moves:
        if comes or not placed:
            node_type, kind = a % len(count), b % len(needs)
            hosts_before, free_before = placement.hosted.copy(), placement.free.copy()
            seats = placement.place(node_type, needs[kind])
            of_type = placement.node_type == node_type
            fits = (free_before - needs[kind] >= -SLACK * node_capacity).all(axis=1) & of_type
            if not seats:
                assert not fits.any()
                continue
            node = seats[0].node
            assert fits[node]
            if hosts_before[node] == 0:
                assert not (fits & (hosts_before > 0)).any(), "opened a node though an open one had room"
                assert node == np.flatnonzero(fits)[0]
            placed.append((node, kind))
        else:
            node, kind = placed.pop(a % len(placed))
            placement.release(Seat(node), needs[kind])
        used = np.zeros_like(node_capacity)
        for node, kind in placed:
            used[node] += needs[kind]
        assert (used <= node_capacity + slack).all()
        np.testing.assert_allclose(placement.free, node_capacity - used, rtol=0, atol=1e-7)
        hosted = np.bincount([node for node, _ in placed], minlength=len(placement.hosted))
        np.testing.assert_array_equal(placement.hosted, hosted)
        opened = [int((hosted[placement.node_type == n] > 0).sum()) for n in range(len(count))]
        assert placement.open_nodes().tolist() == opened
    for node, kind in placed:
        placement.release(Seat(node), needs[kind])
    np.testing.assert_array_equal(placement.free, node_capacity)  # to the last bit, whatever came and went
    assert placement.open_nodes().sum() == 0


def test_takes_the_open_node_that_is_left_with_least() -> None:
    placement = Placement(np.array([[10.0, 10.0]]), np.array([3]))
    assert placement.place(0, np.array([6.0, 1.0])) == [Seat(0)]
    assert placement.place(0, np.array([5.0, 5.0])) == [Seat(1)]
    assert placement.place(0, np.array([3.0, 3.0])) == [Seat(1)]  # free: (4, 9) and (5, 5)
    assert placement.place(0, np.array([4.0, 1.0])) == [Seat(0)]
    assert placement.place(0, np.array([3.0, 1.0])) == [Seat(2)]
    assert placement.place(0, np.array([11.0, 0.0])) == []


def test_a_replica_that_fills_a_node_exactly_fits() -> None:
    need = np.array([0.1, 1e11 / 3])
    placement = Placement(np.array([[0.3, 1e11]]), np.array([1]))
    assert placement.place(0, need, 4) == [Seat(0)] * 3


def test_types_do_not_mix() -> None:
    placement = Placement(np.array([[1.0], [5.0]]), np.array([2, 1]))
    assert placement.node_type.tolist() == [0, 0, 1]
    assert placement.place(0, np.array([2.0])) == []
    assert placement.place(1, np.array([2.0])) == [Seat(2)]
    assert placement.open_nodes().tolist() == [0, 1]


@pytest.mark.parametrize("needs", [[0.0, 0.0], [0.0, 1.0]])
def test_a_resource_that_a_node_has_not(needs: list[float]) -> None:
    placement = Placement(np.array([[4.0, 0.0]]), np.array([1]))
    assert (placement.place(0, np.array(needs)) == []) == (needs[1] > 0)
