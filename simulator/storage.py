"""The shared weight store: loads in progress share its bandwidth, and each node's own, by max-min fairness."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

__all__ = ["WeightStore", "max_min_rates"]


def max_min_rates(nodes: list[int], store_rate: float, node_rate: dict[int, float]) -> list[float]:
    """Rates of flows to ``nodes[flow]`` under one shared limit and one limit a node: raise all alike, freeze those that
    hit a limit, go on with the rest (Bertsekas and Gallager, Data Networks, 6.5.2).

    Examples
    --------
    >>> max_min_rates([0, 0, 1], 9.0, {0: 4.0, 1: 9.0})
    [2.0, 2.0, 5.0]
    """
    rates = [0.0] * len(nodes)
    rising = set(range(len(nodes)))
    store_left, node_left = store_rate, dict(node_rate)
    while rising:
        share = {n: sum(nodes[i] == n for i in rising) for n in {nodes[i] for i in rising}}
        step = min([store_left / len(rising), *(node_left[n] / c for n, c in share.items())])
        for i in rising:
            rates[i] += step
        store_left -= step * len(rising)
        for n, c in share.items():
            node_left[n] -= step * c
        if store_left <= 1e-12 * store_rate:
            break
        rising -= {i for i in rising if node_left[nodes[i]] <= 1e-12 * node_rate[nodes[i]]}
    return rates


@dataclass(eq=False)
class _Flow:
    node: int
    left_bytes: float
    done: simpy.Event
    rate: float = 0.0


class WeightStore:
    """Reads weights for nodes; a SimPy process calls ``yield from store.load(node, bytes)``.

    Attributes
    ----------
    loaded_bytes
        Bytes read so far, up to the last change of the flows; call `settle` first to have it up to now.
    """

    def __init__(self, env: simpy.Environment, store_rate: float, node_rate: dict[int, float]) -> None:
        self.loaded_bytes = 0.0
        self._env = env
        self._store_rate = store_rate
        self._node_rate = node_rate
        self._flows: list[_Flow] = []
        self._settled_s = 0.0
        self._round = 0

    def load(self, node: int, size_bytes: float) -> Generator[simpy.Event, Any, None]:
        """Wait until ``size_bytes`` have been read to a node; interrupting the process ends the read."""
        if size_bytes <= 0:
            return
        flow = _Flow(node, size_bytes, self._env.event())
        self.settle()
        self._flows.append(flow)
        self._share_out()
        try:
            yield flow.done
        finally:
            if flow in self._flows:
                self.settle()
                self._flows.remove(flow)
                self._share_out()

    def settle(self) -> None:
        """Book what the flows have read since the last call."""
        elapsed = self._env.now - self._settled_s
        for flow in self._flows:
            read = min(flow.left_bytes, flow.rate * elapsed)
            flow.left_bytes -= read
            self.loaded_bytes += read
        self._settled_s = self._env.now

    def _share_out(self) -> None:
        """Give every flow its rate, and wait for the first to end."""
        self._round += 1
        if not self._flows:
            return
        rates = max_min_rates([f.node for f in self._flows], self._store_rate, self._node_rate)
        for flow, rate in zip(self._flows, rates):
            flow.rate = rate
        first_s = min(f.left_bytes / f.rate for f in self._flows)
        self._env.process(self._await_first(self._round, first_s))

    def _await_first(self, this_round: int, first_s: float) -> Generator[simpy.Event, Any, None]:
        yield self._env.timeout(first_s)
        if this_round != self._round:
            return
        self.settle()
        first = min(self._flows, key=lambda f: f.left_bytes / f.rate)
        ended = [f for f in self._flows if f is first or f.left_bytes <= 1e-6]
        for flow in ended:
            self.loaded_bytes += flow.left_bytes
            flow.left_bytes = 0.0
            self._flows.remove(flow)
            flow.done.succeed()
        self._share_out()
