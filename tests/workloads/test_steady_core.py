"""Leaving a core that has company, on a machine that is made up."""

from __future__ import annotations

import os
from collections.abc import Collection

import pytest

from workloads.profiler.steady_core import SteadyCore


class Machine:
    """Cores of which some are slow; a thread is on one of those that it was given."""

    def __init__(self, slow: Collection[int] = ()) -> None:
        self.slow, self.allowed, self.probes_left_slow = set(slow), [0, 1, 2, 3], 0
        self.trail: list[list[int]] = []

    def probe_s(self) -> float:
        if self.probes_left_slow:
            self.probes_left_slow -= 1
            return 4e-6
        return 4e-6 if self.allowed[0] in self.slow else 2e-6

    def move_to(self, cores: Collection[int]) -> None:
        self.allowed = list(cores)
        self.trail.append(self.allowed)

    def core(self, cores: Collection[int] = (0, 1, 2, 3)) -> SteadyCore:
        return SteadyCore(cores, self.probe_s, self.move_to)


def checked(core: SteadyCore, times: int) -> None:
    for _ in range(times):
        core.check()


def test_it_settles_on_a_quick_core_and_stays_there() -> None:
    machine = Machine(slow={0})
    with machine.core() as core:
        checked(core, 100)
        assert machine.allowed == [1]
        assert core.facts() == {"moves": 0, "probes": 100, "slow_share": 0.0}
    assert machine.allowed == [0, 1, 2, 3]


def test_it_leaves_a_core_that_gets_company_for_one_that_has_none() -> None:
    machine = Machine()
    with machine.core() as core:
        assert machine.allowed == [0]
        machine.slow = {0, 1, 2}
        checked(core, 16)
        assert machine.allowed == [3]
        checked(core, 24)
        assert core.facts() == {"moves": 1, "probes": 40, "slow_share": 0.4}
        assert core.facts() == {}


def test_a_few_slow_probes_are_no_reason_to_move() -> None:
    machine = Machine()
    with machine.core() as core:
        for _ in range(10):
            machine.probes_left_slow = 15
            checked(core, 16)
        assert core.facts()["moves"] == 0


def test_on_a_machine_that_is_slow_everywhere_it_tries_each_core_and_goes_on() -> None:
    machine = Machine()
    with machine.core() as core:
        machine.slow = {0, 1, 2, 3}
        checked(core, 32)
        assert core.facts() == {"moves": 2, "probes": 32, "slow_share": 1.0}
        assert len(machine.allowed) == 1


def test_with_a_single_core_or_outside_of_a_with_statement_it_does_nothing() -> None:
    machine = Machine()
    machine.slow = {0, 2}
    with machine.core(cores=(2,)) as core:
        checked(core, 20)
        assert core.facts() == {}
    core = machine.core()
    checked(core, 20)
    assert core.facts() == {}
    assert machine.trail == []


def test_real_cores_are_given_back() -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("this machine has a single core")
    with SteadyCore(before) as core:
        checked(core, 50)
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    assert core.facts()["probes"] == 50
    assert core.facts() == {}
