"""Plans of replicas that share GPUs find room where GPUs are handed out one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.fleet.cards import node_shares
from optimizer.fleet.fallback import plan_fleet
from optimizer.fleet.fluid import FluidModel
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.packing import per_node
from optimizer.fleet.problem import FleetProblem
from optimizer.policies.hpa import Hpa, HpaOptions
from optimizer.policies.mip import Mip, MipOptions
from simulator.cluster import RESOURCES, resource_index
from simulator.placement import Placement
from simulator.policy import FleetFacts
from tests.optimizer.factory import GIB, context, facts, observation

GPU, MEMORY = resource_index("gpu"), resource_index("gpu_memory")


def shared(*gpu: float, memory_gib: float = 1.0) -> FleetFacts:
    """The usual fleet on its GPU nodes alone, of four 24-GiB GPUs, where replicas need ``gpu`` and nothing else."""
    need = np.zeros((4, 2, len(RESOURCES)))
    need[:, 0, GPU] = gpu
    need[:, 0, MEMORY] = memory_gib * GIB
    throughput = np.zeros((4, 2))
    throughput[:, 0] = [400.0, 300.0, 500.0, 220.0]
    return facts(need=need, throughput_rps=throughput, best_throughput_rps=1.4 * throughput, headroom=0.0)


def placed(fleet: FleetFacts, replicas: np.ndarray) -> int:
    """Of ``replicas[variant, node_type]``, those for which the simulator finds room."""
    placement = Placement(fleet.capacity, fleet.node_count, GPU, MEMORY)
    kinds = np.argwhere(replicas > 0).tolist()
    return sum(len(placement.place(n, fleet.need[v, n], int(replicas[v, n]))) for v, n in kinds)


@pytest.mark.parametrize(("gpu", "memory_gib"), [(0.6, 1), (0.3, 1), (0.07, 1), (0.2, 9), (1.0, 24), (0.5, 13)])
def test_a_node_takes_as_many_as_its_gpus_do(gpu: float, memory_gib: float) -> None:
    fleet = shared(gpu, 1.0, 1.0, 1.0, memory_gib=memory_gib)
    most = int(per_node(node_shares(fleet.need, fleet.capacity))[0, 0])
    alone = np.zeros((4, 2), dtype=np.int64)
    alone[0, 0] = 500
    assert most * fleet.node_count[0] == placed(fleet, alone)


def test_what_is_planned_finds_room() -> None:
    """21 replicas, none beside another: six nodes of four GPUs hold them; by the sum of their shares four would."""
    fleet = shared(0.6, 0.6, 0.6, 0.6)
    demand = np.array([3000.0, 2000.0, 2600.0])
    for nodes in (6, 5):
        small = replace(fleet, node_count=np.array([nodes, 0]))
        problem = FleetProblem.from_facts(small, demand)
        for plan in (plan_fleet(problem), solve_greedy(problem)):
            assert placed(small, plan.replicas) == plan.replicas.sum()
            assert plan.open_nodes[0] == nodes
            assert (plan.unserved_rps.sum() > 0.0) == (nodes == 5)
        assert plan_fleet(problem).status == "optimal"
        rates = np.tile(np.array([[1500.0], [3000.0]]), (1, 3))
        before = context(small, rates)
        for policy in (Mip(before, MipOptions()), Hpa(before, HpaOptions())):
            wanted = policy.decide(observation(small, 1, rates)).replicas
            assert placed(small, wanted) == wanted.sum() > 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.2, 0.25, 1 / 3, 0.4, 0.5, 0.6, 0.7, 1.0, 2.0]), min_size=2, max_size=3),
    st.lists(st.integers(1, 16), min_size=3, max_size=3),
)
def test_no_real_placement_breaks_a_cut(gpu: list[float], memory_gib: list[int]) -> None:
    """Every mix that two GPUs hold, replica by replica, is within a node by the shares too: bounds stay valid."""
    kinds = len(gpu)
    need = np.zeros((kinds, 1, len(RESOURCES)))
    need[:, 0, GPU] = gpu
    need[:, 0, MEMORY] = np.array(memory_gib[:kinds]) * np.maximum(gpu, 1.0)
    capacity = np.zeros((1, len(RESOURCES)))
    capacity[0, [GPU, MEMORY]] = 2.0, 32.0
    share = node_shares(need, capacity)[:, 0]
    for mix in product(range(6), repeat=kinds):
        if _holds(np.repeat(np.arange(kinds), mix), need[:, 0, :2], ((1.0, 16.0), (1.0, 16.0))):
            assert (np.array(mix) @ np.where(np.isfinite(share), share, 1e9)).max() <= 1.0 + 1e-6, mix


def _holds(items: np.ndarray, need: np.ndarray, free: tuple[tuple[float, float], ...]) -> bool:
    """Whether some way to hand out the GPUs places all."""
    if not len(items):
        return True
    gpu, memory = need[items[0]]
    if gpu > 1.0:
        whole = all(g == 1.0 for g, _ in free) and memory / 2 <= free[0][1]
        return whole and _holds(items[1:], need, ((0.0, 0.0), (0.0, 0.0)))
    for card, (g, m) in enumerate(free):
        if gpu <= g + 1e-9 and memory <= m + 1e-9:
            left = tuple(sorted((*free[:card], (g - gpu, m - memory), *free[card + 1 :])))
            if _holds(items[1:], need, left):
                return True
    return False


def test_the_relaxation_is_below_the_plan() -> None:
    fleet = shared(0.6, 0.6, 0.6, 0.6)
    problem = FleetProblem.from_facts(fleet, np.array([3000.0, 2000.0, 2600.0]))
    fluid = FluidModel(problem).solve()
    assert fluid.resource_price_usd_per_hour.shape == fleet.capacity.shape
    assert fluid.usd_per_hour < plan_fleet(problem).objective_usd_per_hour
