"""The ring of consistent hashing: changed step by step, it is the one made at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import hash_ring
from simulator.hash_ring import RING_POINTS, HashRing
from simulator.kernel.draws import hashes


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.sets(st.integers(0, 40), max_size=12), max_size=5))
def test_a_ring_that_changes_is_the_one_made_at_once(steps: list[set[int]]) -> None:
    ring = HashRing()
    for step in steps:
        slots = np.array(sorted(step, key=lambda s: s * 7 % 41), np.int64)  # any order of places
        ring = ring.with_slots(slots)
        anew = HashRing().with_slots(slots)
        np.testing.assert_array_equal(ring.point, anew.point)
        np.testing.assert_array_equal(ring.slot, anew.slot)
        assert np.all(np.diff(ring.point) >= 0)
        assert np.bincount(ring.slot, minlength=41).tolist() == [RING_POINTS * (s in step) for s in range(41)]


def test_equal_points_are_in_the_order_of_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_ring, "hashes", lambda slots, salts: np.floor(hashes(slots, salts) * 8) / 8)
    slots = np.array([5, 2, 9])
    ring = HashRing().with_slots(np.array([9, 2])).with_slots(slots)
    place = {5: 0, 2: 1, 9: 2}
    pairs = list(zip(ring.point.tolist(), [place[s] for s in ring.slot.tolist()]))
    assert pairs == sorted(pairs)


def test_starts_count_the_points_before() -> None:
    ring = HashRing().with_slots(np.arange(5))
    parts = np.floor(ring.point * len(ring.point))
    assert ring.starts().tolist() == [int((parts < part).sum()) for part in range(len(ring.point))]
