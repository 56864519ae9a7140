"""Who leaves first: the heap against looking at every replica, one after another; and GPUs by share."""

from __future__ import annotations

import numpy as np
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices import Devices
from simulator.kernel.state import READY, REPLICA, STARTING
from simulator.placement import Seat
from simulator.roster import Replica, Roster

_replicas = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([READY, READY, STARTING]), st.integers(0, 1), st.booleans()),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(_replicas, st.integers(0, 30), st.randoms(use_true_random=False))
def test_against_looking_at_every_one(drawn: list, count: int, random: object) -> None:
    """(node, state, outstanding, of another kind), slots shuffled against the order of coming."""
    env, roster = simpy.Environment(), Roster()
    slots = list(range(len(drawn)))
    random.shuffle(slots)  # type: ignore[attr-defined]
    fleet = np.zeros(32, REPLICA)
    hosted = np.zeros(4, np.int64)
    for order, (slot, (node, state, outstanding, other)) in enumerate(zip(slots, drawn)):
        fleet["state"][slot], fleet["outstanding"][slot] = state, outstanding
        hosted[node] += 1
        roster.join(Replica(int(other), 0, slot, Seat(node), order, env.event(), env.event()))
    mine = {slot: (order, *d) for order, (slot, d) in enumerate(zip(slots, drawn)) if not d[3]}
    expected_hosted = hosted.copy()
    starting, ready = roster.to_leave((0, 0), count, fleet, hosted)
    expected: list[int] = []
    while len(expected) < min(count, len(mine)):
        left = {s: d for s, d in mine.items() if s not in expected}
        young = [s for s in left if left[s][2] == STARTING]
        if young:
            slot = max(young, key=lambda s: left[s][0])
            expected_hosted[left[slot][1]] -= 1
        else:
            slot = min(left, key=lambda s: (expected_hosted[left[s][1]], -s))
            expected_hosted[left[slot][1]] -= left[slot][3] == 0
        expected.append(slot)
    assert [replica.slot for replica in starting + ready] == expected
    np.testing.assert_array_equal(hosted, expected_hosted)


_claims = st.lists(
    st.tuples(
        st.booleans(), st.integers(0, 99), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1 / 3, 1.0, 2.0]), st.floats(0.0, 9.0)
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_claims)
def test_gpus_are_never_claimed_beyond_what_they_have(moves: list) -> None:
    devices = Devices(np.array([2.0, 0.0, 4.0]), np.array([20.0, 0.0, 16.0]))
    there: list[tuple[int, tuple[int, ...], float, float]] = []
    for comes, pick, gpus, memory in moves:
        if comes or not there:
            node = pick % 3
            if devices.fits(0, 3, gpus, memory)[node]:
                there.append((node, devices.take(node, gpus, memory), gpus, memory))
        else:
            devices.give_back(*there.pop(pick % len(there)))
        for node, (count, each) in enumerate([(2, 10.0), (0, 0.0), (4, 4.0)]):
            for gpu in range(4):
                mine = [(g / len(p), m / len(p)) for n, p, g, m in there if n == node and gpu in p]
                if gpu >= count:
                    assert not mine
                    continue
                assert sum(share for share, _ in mine) <= 1 + 1e-6
                assert sum(memory for _, memory in mine) <= each * (1 + 1e-6)
                assert (gpu in devices.empty(node)) == (not mine)
        assert all(len(places) == (0 if gpus == 0 else max(1, round(gpus))) for _, places, gpus, _ in there)
    for one in there:
        devices.give_back(*one)
    assert devices.share_free.tolist() == [[1.0, 1.0, -1.0, -1.0], [-1.0] * 4, [1.0] * 4]


def test_fractions_go_to_the_fullest_gpu_that_has_room() -> None:
    devices = Devices(np.array([3.0]), np.array([30.0]))
    assert devices.take(0, 0.5, 1.0) == (0,)
    assert devices.take(0, 0.75, 1.0) == (1,)
    assert devices.take(0, 0.25, 1.0) == (1,)
    assert devices.take(0, 0.25, 1.0) == (0,)
    assert devices.take(0, 1.0, 1.0) == (2,)
    assert not devices.fits(0, 1, 0.5, 1.0)[0]
    assert devices.fits(0, 1, 0.25, 8.0)[0]
    assert not devices.fits(0, 1, 0.25, 8.5)[0]
