"""The shared weight store: max-min fair rates, times by hand, and every byte accounted for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.storage import WeightStore, max_min_rates

_rates = st.one_of(st.integers(1, 9).map(float), st.floats(0.01, 1e3))
_flows = st.lists(st.integers(0, 4), min_size=1, max_size=9)
_limits = st.fixed_dictionaries(dict.fromkeys(range(5), _rates))


@settings(max_examples=200, deadline=None)
@given(_flows, _rates, _limits)
def test_rates_are_feasible_and_max_min_fair(nodes: list[int], store: float, limits: dict[int, float]) -> None:
    rates = max_min_rates(nodes, store, limits)
    total = sum(rates)
    by_node = {n: sum(r for r, m in zip(rates, nodes) if m == n) for n in set(nodes)}
    near = 1 + 1e-9
    assert min(rates) > 0
    assert total <= store * near
    assert all(by_node[n] <= limits[n] * near for n in by_node)
    # Max-min fair if and only if every flow has a bottleneck: a full limit on its way that gives no other flow
    # more (Bertsekas and Gallager, 6.5.2). This implies that no bandwidth is left that a flow could use.
    for rate, node in zip(rates, nodes):
        at_store = total >= store / near and rate >= max(rates) / near
        at_node = (
            by_node[node] >= limits[node] / near and rate >= max(r for r, m in zip(rates, nodes) if m == node) / near
        )
        assert at_store or at_node


@given(_flows, _rates, _limits, st.randoms(use_true_random=False))
def test_rates_do_not_depend_on_the_order(
    nodes: list[int], store: float, limits: dict[int, float], random: Any
) -> None:
    order = list(range(len(nodes)))
    random.shuffle(order)
    shuffled = max_min_rates([nodes[i] for i in order], store, limits)
    expected = max_min_rates(nodes, store, limits)
    np.testing.assert_allclose(shuffled, [expected[i] for i in order], rtol=1e-9)


class Loads:
    """Loads that begin at given times; when each ended, or was interrupted."""

    def __init__(self, store_rate: float, node_rate: dict[int, float]) -> None:
        self.env = simpy.Environment()
        self.store = WeightStore(self.env, store_rate, node_rate)
        self.ended_s: dict[str, float] = {}
        self.processes: dict[str, simpy.Process] = {}

    def add(self, name: str, at_s: float, node: int, size: float) -> None:
        def load() -> Generator[simpy.Event, Any, None]:
            try:
                yield self.env.timeout(at_s)
                yield from self.store.load(node, size)
                self.ended_s[name] = self.env.now
            except simpy.Interrupt:
                return

        self.processes[name] = self.env.process(load())

    def interrupt(self, at_s: float, *names: str) -> None:
        def interrupt() -> Generator[simpy.Event, Any, None]:
            yield self.env.timeout(at_s)
            for name in names:
                if self.processes[name].is_alive:
                    self.processes[name].interrupt()

        self.env.process(interrupt())

    def run(self, until_s: float | None = None) -> dict[str, float]:
        self.env.run(until_s)
        self.store.settle()
        return self.ended_s


def test_one_load_alone_is_limited_by_its_node() -> None:
    loads = Loads(10.0, {0: 4.0})
    loads.add("a", 1.0, 0, 8.0)
    assert loads.run() == {"a": 3.0}
    assert loads.store.loaded_bytes == pytest.approx(8.0)


def test_two_loads_share_the_store() -> None:
    """Alone at 10 for 1 s, then 5 each: b has 10 of 20 when a ends, and reads on at 10."""
    loads = Loads(10.0, {0: 99.0, 1: 99.0})
    loads.add("a", 0.0, 0, 20.0)
    loads.add("b", 1.0, 1, 20.0)
    assert loads.run() == pytest.approx({"a": 3.0, "b": 4.0})


def test_two_loads_share_their_node_and_leave_the_rest_to_a_third() -> None:
    """Limits 4 of the node and 9 of the store: 2, 2 and 5. When c ends at 2 s nothing changes for a and b."""
    loads = Loads(9.0, {0: 4.0, 1: 9.0})
    for name, node, size in (("a", 0, 8.0), ("b", 0, 12.0), ("c", 1, 10.0)):
        loads.add(name, 0.0, node, size)
    assert loads.run() == pytest.approx({"c": 2.0, "a": 4.0, "b": 5.0})


def test_equal_loads_end_together() -> None:
    loads = Loads(6.0, {0: 99.0, 1: 99.0, 2: 99.0})
    for i in range(3):
        loads.add(str(i), 0.5, i, 4.0)
    assert loads.run() == pytest.approx({"0": 2.5, "1": 2.5, "2": 2.5})


def test_an_interrupted_load_gives_its_share_to_the_others() -> None:
    """5 each until 2 s, then b alone at 10 with 20 - 10 left."""
    loads = Loads(10.0, {0: 99.0, 1: 99.0})
    loads.add("a", 0.0, 0, 100.0)
    loads.add("b", 0.0, 1, 20.0)
    loads.interrupt(2.0, "a")
    assert loads.run() == pytest.approx({"b": 3.0})
    assert loads.store.loaded_bytes == pytest.approx(10.0 + 20.0)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a"), ("a", "b", "c"), ("c",)])
def test_several_interrupted_at_one_instant(names: tuple[str, ...]) -> None:
    loads = Loads(9.0, {0: 99.0, 1: 99.0, 2: 99.0})
    for i, name in enumerate("abc"):
        loads.add(name, 0.0, i, 90.0)
    loads.interrupt(3.0, *names)
    left = [name for name in "abc" if name not in names]
    expected = {name: 3.0 + (90.0 - 9.0) / (9.0 / len(left)) for name in left}
    assert loads.run() == pytest.approx(expected)
    assert loads.store.loaded_bytes == pytest.approx(27.0 + 81.0 * len(left))


def test_interrupt_at_the_instant_of_the_end() -> None:
    loads = Loads(10.0, {0: 99.0})
    loads.add("a", 0.0, 0, 20.0)
    loads.interrupt(2.0, "a")
    loads.run()
    assert loads.store.loaded_bytes == pytest.approx(20.0)


def test_nothing_to_load_takes_no_time() -> None:
    loads = Loads(10.0, {0: 99.0})
    loads.add("a", 2.0, 0, 0.0)
    assert loads.run() == {"a": 2.0}


@st.composite
def histories(draw: st.DrawFn) -> tuple[float, dict[int, float], list, list]:
    times = st.floats(0.0, 20.0).map(lambda t: round(t, 2))
    loads = draw(st.lists(st.tuples(times, st.integers(0, 2), st.floats(0.0, 60.0)), min_size=1, max_size=8))
    interrupts = draw(st.lists(st.tuples(times, st.integers(0, len(loads) - 1)), max_size=5))
    return draw(st.floats(1.0, 20.0)), {n: draw(st.floats(0.5, 20.0)) for n in range(3)}, loads, interrupts


@settings(max_examples=150, deadline=None)
@given(histories(), st.floats(0.1, 30.0))
def test_conservation_of_bytes(history: tuple, until_s: float) -> None:
    """What finished was read whole; what the store read fits under its limits; time never runs ahead of bytes."""
    store_rate, node_rate, sizes, interrupts = history
    loads = Loads(store_rate, node_rate)
    for i, (at_s, node, size) in enumerate(sizes):
        loads.add(str(i), at_s, node, size)
    for at_s, i in interrupts:
        loads.interrupt(at_s, str(i))
    loads.run(until_s)
    early_bytes = loads.store.loaded_bytes
    assert early_bytes <= store_rate * until_s * (1 + 1e-9)
    loads.run()
    finished = sum(sizes[int(i)][2] for i in loads.ended_s)
    asked = sum(size for _, _, size in sizes)
    assert finished - 1e-6 <= loads.store.loaded_bytes <= asked + 1e-6
    assert early_bytes <= loads.store.loaded_bytes + 1e-9
    touched = {i for _, i in interrupts}
    assert {int(i) for i in loads.ended_s} >= set(range(len(sizes))) - touched
    if not touched:
        assert loads.store.loaded_bytes == pytest.approx(asked, abs=1e-6)
    for i, ended_s in loads.ended_s.items():
        at_s, node, size = sizes[int(i)]
        assert ended_s - at_s >= size / min(store_rate, node_rate[node]) - 1e-6
