"""A tournament over keys: the least key wins, ties go to the lower index.

``tree[base + node]`` holds the winner's index of every node; leaves are ``capacity`` to ``2 * capacity - 1`` and node 1
is the winner of all. ``capacity`` is a power of two. Two trees differ only in where their keys lie: the events of
replicas (`REPLICA.event_s`) and the loads of a pool's members (`MEMBER.load`).
"""

from __future__ import annotations

import numpy as np

from simulator.kernel.compiled import compiled, inlined

__all__ = ["build_events", "build_loads", "update_event", "update_load"]


@inlined
def update_event(tree: np.ndarray, replicas: np.ndarray, slot: int) -> None:
    """Replay the matches of a replica whose event changed, from its leaf upwards; O(log replicas)."""
    node = (replicas.shape[0] + slot) >> 1
    while node >= 1:
        left, right = tree[2 * node], tree[2 * node + 1]
        winner = right if replicas[right].event_s < replicas[left].event_s else left
        if tree[node] == winner and winner != slot:
            return
        tree[node] = winner
        node >>= 1


@inlined
def update_load(tree: np.ndarray, members: np.ndarray, offset: int, capacity: int, position: int) -> None:
    """Replay the matches of a pool's member whose load changed; O(log members)."""
    node = (capacity + position) >> 1
    while node >= 1:
        left, right = tree[2 * offset + 2 * node], tree[2 * offset + 2 * node + 1]
        winner = right if members[offset + right].load < members[offset + left].load else left
        if tree[2 * offset + node] == winner and winner != position:
            return
        tree[2 * offset + node] = winner
        node >>= 1


@compiled
def build_events(tree: np.ndarray, replicas: np.ndarray) -> None:
    """Play all matches among the replicas' events."""
    capacity = replicas.shape[0]
    for slot in range(capacity):
        tree[capacity + slot] = slot
    for node in range(capacity - 1, 0, -1):
        left, right = tree[2 * node], tree[2 * node + 1]
        tree[node] = right if replicas[right].event_s < replicas[left].event_s else left


@compiled
def build_loads(tree: np.ndarray, members: np.ndarray, offset: int, capacity: int) -> None:
    """Play all matches in one pool."""
    base = 2 * offset
    for position in range(capacity):
        tree[base + capacity + position] = position
    for node in range(capacity - 1, 0, -1):
        left, right = tree[base + 2 * node], tree[base + 2 * node + 1]
        tree[base + node] = right if members[offset + right].load < members[offset + left].load else left
