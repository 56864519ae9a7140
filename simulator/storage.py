"""The shared store: what is in transfer shares its bandwidth, and each node's own, by max-min fairness."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from simulator.life.events import PURPOSES

__all__ = ["WeightStore", "fair_rates", "max_min_rates"]

_END_BYTES = 1e-6
"""A transfer with less left has ended."""


def fair_rates(flows: np.ndarray, limit: np.ndarray, store_rate: float) -> np.ndarray:
    """Rate of each flow to a node, ``[node]``, where ``flows[node]`` flows share the store and ``limit[node]``.

    All rates rise alike until a limit stops them (max-min fairness: Bertsekas and Gallager, Data Networks, 6.5.2): a
    node's flows get ``limit / flows``, or the store's level where that is lower. 0 where a node has no flow.
    """
    rates = np.zeros(len(flows))
    some = np.flatnonzero(flows)
    if len(some) == 0:
        return rates
    own = limit[some] / flows[some]
    order = np.argsort(own, kind="stable")
    counts, share = flows[some][order], own[order]
    used_before = np.concatenate([[0.0], np.cumsum(counts * share)[:-1]])
    rising = np.cumsum(counts[::-1])[::-1]
    level = (store_rate - used_before) / rising
    # The first node, in order of its own share, that the store's level stops; all after it are stopped too.
    stopped = np.flatnonzero(level <= share)
    rates[some] = np.minimum(own, level[stopped[0]]) if len(stopped) else own
    return rates


def max_min_rates(nodes: list[int], store_rate: float, node_rate: dict[int, float]) -> list[float]:
    """Rates of flows to ``nodes[flow]`` under one shared limit and one limit a node; see `fair_rates`.

    Examples
    --------
    >>> max_min_rates([0, 0, 1], 9.0, {0: 4.0, 1: 9.0})
    [2.0, 2.0, 5.0]
    """
    names = sorted(set(nodes))
    flows = np.array([nodes.count(name) for name in names])
    rates = fair_rates(flows, np.array([node_rate[name] for name in names]), store_rate)
    of = dict(zip(names, rates.tolist()))
    return [of[node] for node in nodes]


@dataclass(eq=False)
class _Flow:
    lane: int
    purpose: int
    end_bytes: float
    done: simpy.Event
    is_alive: bool = True


class WeightStore:
    """Moves bytes between the store and nodes; a SimPy process calls ``yield from store.load(node, bytes)``.

    The flows of a node always have equal rates, so that a node's progress is one number, and each flow ends at a value
    of it that is known when it begins: a change costs one pass over the nodes with NumPy, and a flow a heap's push.

    Attributes
    ----------
    loaded_bytes
        Moved so far, up to the last change of the flows; call `settle` first to have it up to now.
    moved_bytes
        The same by purpose, in the order of `PURPOSES`.
    """

    def __init__(self, env: simpy.Environment, store_rate: float, node_rate: dict[int, float]) -> None:
        self.moved_bytes = np.zeros(len(PURPOSES))
        self._env = env
        self._store_rate = store_rate
        self._share = 1.0
        self._lane_of = {node: lane for lane, node in enumerate(node_rate)}
        self._limit = np.array([*node_rate.values(), np.inf])
        lanes = len(self._limit)
        self._flows = np.zeros((len(PURPOSES), lanes), np.int64)
        self._progress_bytes = np.zeros(lanes)
        self._rate = np.zeros(lanes)
        self._first_end_bytes = np.full(lanes, np.inf)
        self._queues: list[list[tuple[float, int, _Flow]]] = [[] for _ in range(lanes)]
        self._begun = 0
        self._settled_s = 0.0
        self._round = 0
        self._is_moving = False
        self._is_stale = False

    @property
    def loaded_bytes(self) -> float:
        """All bytes moved."""
        return float(self.moved_bytes.sum())

    def load(
        self, node: int | None, size_bytes: float, purpose: str = "weights", until: simpy.Event | None = None
    ) -> Generator[simpy.Event, Any, None]:
        """Wait until ``size_bytes`` have been moved to or from a node (None: a place with bandwidth without limit).

        Interrupting the process, or the event ``until``, ends the transfer.
        """
        if size_bytes <= 0:
            return
        flow = self._begin(len(self._limit) - 1 if node is None else self._lane_of[node], size_bytes, purpose)
        try:
            yield flow.done if until is None else self._env.any_of([flow.done, until])
        finally:
            if flow.is_alive:
                self.settle()
                self._leave(flow)
                self._change()

    def set_share(self, share: float) -> None:
        """From now on the store gives this share of its bandwidth; at 0 transfers pause."""
        self.settle()
        self._share = share
        self._change()

    def settle(self) -> None:
        """Book what has been moved since the last call."""
        elapsed_s = self._env.now - self._settled_s
        self._settled_s = self._env.now
        if elapsed_s > 0.0 and self._is_moving:
            step = self._rate * elapsed_s
            self._progress_bytes += step
            self.moved_bytes += self._flows @ step

    # --- flows -----------------------------------------------------------------------------------------

    def _begin(self, lane: int, size_bytes: float, purpose: str) -> _Flow:
        self.settle()
        if not self._flows[:, lane].any():
            self._progress_bytes[lane] = 0.0
        end_bytes = float(self._progress_bytes[lane]) + size_bytes
        flow = _Flow(lane, PURPOSES.index(purpose), end_bytes, self._env.event())
        self._begun += 1
        heapq.heappush(self._queues[lane], (end_bytes, self._begun, flow))
        self._flows[flow.purpose, lane] += 1
        self._look(lane)
        self._change()
        return flow

    def _leave(self, flow: _Flow) -> None:
        flow.is_alive = False
        self._flows[flow.purpose, flow.lane] -= 1
        self._look(flow.lane)

    def _look(self, lane: int) -> None:
        """Find the lane's next end, and forget flows that have left."""
        queue = self._queues[lane]
        while queue and not queue[0][2].is_alive:
            heapq.heappop(queue)
        self._first_end_bytes[lane] = queue[0][0] if queue else np.inf

    # --- time ------------------------------------------------------------------------------------------

    def _change(self) -> None:
        """Share out anew when everything else of this instant has happened."""
        if not self._is_stale:
            self._is_stale = True
            event = self._env.event()
            event.callbacks.append(lambda _: self._share_out())
            event.succeed()

    def _share_out(self) -> None:
        """Give every flow its rate, and wait for the first to end."""
        self._is_stale = False
        self._round += 1
        self.settle()
        self._rate = fair_rates(self._flows.sum(axis=0), self._limit, self._store_rate * self._share)
        moving = np.flatnonzero(self._rate)
        self._is_moving = len(moving) > 0
        if self._is_moving:
            left_bytes = self._first_end_bytes[moving] - self._progress_bytes[moving]
            this_round = self._round
            timeout = self._env.timeout(max(0.0, float((left_bytes / self._rate[moving]).min())))
            timeout.callbacks.append(lambda _: self._end_first(this_round))

    def _end_first(self, this_round: int) -> None:
        if this_round != self._round:
            return
        self.settle()
        left_bytes = self._first_end_bytes - self._progress_bytes
        with np.errstate(invalid="ignore", divide="ignore"):
            left_s = np.where(self._rate > 0.0, left_bytes / self._rate, np.inf)
        ended = set(np.flatnonzero(left_bytes <= _END_BYTES).tolist())
        if not self._is_stale:  # what was waited for has not been interrupted just now: it ends, whatever rounding says
            ended.add(int(np.argmin(left_s)))
        for lane in sorted(ended):
            self._end(lane)
        self._change()

    def _end(self, lane: int) -> None:
        """End the lane's first flow, and others that end with it."""
        until_bytes = max(self._first_end_bytes[lane], self._progress_bytes[lane]) + _END_BYTES
        while self._first_end_bytes[lane] <= until_bytes:
            flow = self._queues[lane][0][2]
            self.moved_bytes[flow.purpose] += flow.end_bytes - self._progress_bytes[lane]
            self._leave(flow)
            flow.done.succeed()
