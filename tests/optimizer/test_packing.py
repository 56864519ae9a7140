"""Placement: feasible, never below a lower bound, and cuts that no real placement breaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.fleet.packing import FirstFits, Room, first_fit, packing_cuts, per_node, shares
from tests.optimizer.tiny_days import fewest_nodes

mixes = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def test_shares_and_copies_per_node() -> None:
    need = np.array([[[2.0, 0.0]], [[3.0, 1.0]], [[0.0, 0.0]]])
    share = shares(need, np.array([[8.0, 0.0]]))
    assert share[0, 0].tolist() == [0.25, 0.0]
    assert share[1, 0, 1] == np.inf
    assert per_node(share)[:, 0].tolist() == [4, 0, 2**20]


def test_ten_tenths_fit_on_a_node() -> None:
    share = np.array([[0.1]])
    assert first_fit(share, np.array([10]), 5).nodes == 1
    assert first_fit(share, np.array([11]), 5).nodes == 2


def test_what_does_not_fit_is_left_out() -> None:
    packing = first_fit(np.array([[0.6], [0.3]]), np.array([3, 4]), 2)
    assert packing.nodes == 2
    assert packing.placed.tolist() == [2, 2]


@settings(max_examples=60, deadline=None)
@given(mixes)
def test_first_fit_against_exact_placement_and_cuts(rng: np.random.Generator) -> None:
    share = rng.choice([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5, 0.6, 1.0], (3, 2))
    share[:, 0] = np.maximum(share[:, 0], 0.1)
    replicas = rng.integers(0, 4, 3)
    packing = first_fit(share, replicas, 9)
    exact = fewest_nodes(share, np.ones(2), tuple(int(k) for k in replicas), 9)
    assert exact is not None
    assert packing.complete == replicas.sum()
    assert exact <= packing.nodes <= exact + 1
    if replicas.any():
        assert (packing_cuts(share) @ replicas <= exact + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(mixes)
def test_first_fits_know_what_looking_at_every_node_says(rng: np.random.Generator) -> None:
    """Variants that claim nothing, or fit no node of a type, among them; only the type that was filled is counted."""
    variants, types = 4, 3
    share = rng.choice([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.6, 1.0, np.inf], (variants, types, 2))
    room = Room(share, rng.integers(0, 5, types))
    first = FirstFits(room, share)
    for _ in range(12):
        for v in range(variants):
            for n in range(types):
                assert first.anywhere[v, n] == (room.fits(v, n) > 0).any()
                assert first.in_open[v, n] == (room.fits(v, n, open_only=True) > 0).any()
        filled = int(rng.integers(types))
        room.take(int(rng.integers(variants)), filled, int(rng.integers(1, 5)), open_only=bool(rng.integers(2)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "open_nodes", None)
            first.look_again(filled)


def test_the_cut_of_large_items_is_found() -> None:
    """Items above one half need a node each; the capacity row alone would accept five on three nodes."""
    cuts = packing_cuts(np.array([[0.6]]))
    assert any(np.isclose(cut[0], 1.0) for cut in cuts)


@pytest.mark.parametrize("less", [0.0, 1e-12, 1e-10, 1e-8, 3e-7, 1e-5])
@pytest.mark.parametrize("parts", [2, 3, 5, 7])
def test_cuts_allow_a_node_filled_by_nearly_equal_parts(parts: int, less: float) -> None:
    """One part takes what the others, each a little below the even share, leave: it still fits a node."""
    small = 1.0 / parts - less
    share, replicas = np.array([[small], [1.0 - (parts - 1) * small]]), np.array([parts - 1, 1])
    assert first_fit(share, replicas, 1).complete == parts
    assert (packing_cuts(share) @ replicas <= 1.0 + 1e-8).all()


def test_room_fills_open_nodes_first() -> None:
    room = Room(np.array([[[0.5]], [[0.25]]]), np.array([2]))
    assert room.take(0, 0, 1) == 1
    assert room.take(1, 0, 5, open_only=True) == 2
    assert room.open_nodes().tolist() == [1]
    assert room.take(1, 0, 9) == 4
