"""Placement: optima by brute force, invariants, bounds, determinism."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.placement.bounds import fluid_bound, sharpened_bound
from optimizer.placement.cards import pack_cards
from optimizer.placement.columns import ColumnLimits, place_columns
from optimizer.placement.fragmentation import expected_fragmentation
from optimizer.placement.greedy import GREEDY
from optimizer.placement.methods import METHODS, place
from optimizer.placement.plan import InvalidPlacementError, check_placement, round_up_to_prices
from optimizer.placement.problem import PlacementProblem, problem_from_rows
from simulator.placement import Seat
from tests.optimizer.placement_cases import brute_force_cost, single_resource, small_problem

EXACT = ColumnLimits(gap=0.0)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_columns_find_the_optimum_and_prove_bounds(first: int) -> None:
    """Of 60 small problems nearly all optima are found; every bound holds."""
    missed = 0
    for seed in range(first, first + 20):
        problem = small_problem(seed)
        least = brute_force_cost(problem)
        plan = place_columns(problem, EXACT)
        assert plan.bound is not None
        assert plan.bound <= least + 1e-9
        assert plan.cost >= least - 1e-9
        assert fluid_bound(problem) <= sharpened_bound(problem) + 1e-9 <= least + 2e-9
        missed += plan.cost > least + 1e-9
    assert missed <= 1


@pytest.mark.parametrize("method", ["mip", "mip_sat"])
def test_the_textbook_model_is_exact(method: str) -> None:
    for seed in range(100, 112):
        problem = small_problem(seed, replicas=5, nodes=3)
        plan = place(problem, method)
        assert plan.cost == pytest.approx(brute_force_cost(problem), abs=1e-9)
        assert plan.bound == pytest.approx(plan.cost, abs=1e-6)


def _overfull(problem: PlacementProblem, seats: tuple[Seat | None, ...]) -> bool:
    """The check written anew, replica by replica, in exact tenths."""
    used: dict[tuple[int, str], float] = {}
    for cls, seat in zip(problem.replica_class, seats):
        if seat is None:
            continue
        for r, amount in enumerate(problem.need[cls]):
            used[seat.node, f"r{r}"] = used.get((seat.node, f"r{r}"), 0.0) + amount
        for gpu in seat.gpus:
            used[seat.node, f"g{gpu}"] = used.get((seat.node, f"g{gpu}"), 0.0) + min(problem.gpus[cls], 1.0)
            gib = problem.gpu_memory_gib[cls] / len(seat.gpus)
            used[seat.node, f"m{gpu}"] = used.get((seat.node, f"m{gpu}"), 0.0) + gib
    for (node, what), amount in used.items():
        kind = problem.node_type[node]
        rooms = {"r": problem.capacity[kind], "g": np.ones(8), "m": np.full(8, problem.gpu_capacity_gib[kind])}
        if amount > rooms[what[0]][int(what[1:])] + 1e-6:
            return True
    return False


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(2, 12), st.sampled_from([*GREEDY, "columns"]))
def test_no_method_breaks_a_node(seed: int, replicas: int, nodes: int, method: str) -> None:
    problem = small_problem(seed, replicas=replicas, nodes=nodes)
    plan = place(problem, method, limits=ColumnLimits(rounds=20, neighbourhoods=2))
    assert not _overfull(problem, plan.seats)
    assert len(plan.seats) == problem.count.sum()
    assert set(plan.unplaced) == {r for r, seat in enumerate(plan.seats) if seat is None}
    assert sharpened_bound(problem) <= plan.cost + 1e-9
    assert (plan.bound or 0.0) <= plan.cost + 1e-9
    if problem.count.sum() and method in GREEDY:  # greedy leaves a replica out only where nothing has room
        for replica in plan.unplaced:
            cls = int(problem.replica_class[replica])
            for node in range(problem.nodes):
                for gpus in permutations(range(problem.node_gpus[problem.node_type[node]]), int(problem.cards[cls])):
                    seats = list(plan.seats)
                    seats[replica] = Seat(node, gpus)
                    with pytest.raises(InvalidPlacementError):
                        check_placement(problem, seats)


def test_known_bin_packings() -> None:
    """First fit needs 5/3 of the optimum on Johnson's example; the dual feasible functions prove what the LP cannot."""
    johnson = single_resource([0.15, 0.34, 0.51], [18, 18, 18])
    assert place(johnson, "first_fit", sequence=np.arange(54)).nodes_used == 3 + 9 + 18
    assert place_columns(johnson, EXACT).nodes_used == 18
    thirds = single_resource([0.34], [30])
    assert fluid_bound(thirds) == 11.0
    assert sharpened_bound(thirds) == 15.0
    assert place_columns(thirds, EXACT).bound == 15.0


def test_shares_do_not_span_gpus() -> None:
    """Three shares of 0.6 need three GPUs although they sum to less than two."""
    problem = replace(
        single_resource([0.0], [4]), gpus=np.array([0.6]), node_gpus=np.array([2]), node_count=np.array([4])
    )
    assert fluid_bound(problem) == 2.0
    for method in METHODS:
        plan = place(problem, method)
        assert plan.nodes_used >= 2
        assert all(len(seat.gpus) == 1 for seat in plan.seats if seat)
    three = replace(problem, node_gpus=np.array([3]), count=np.array([6]))
    assert sharpened_bound(three) == 2.0
    assert pack_cards(problem, 0, [0, 0, 0]) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5, 0.6, 0.75]), max_size=6), st.integers(1, 3))
def test_cards_are_packed_exactly(shares: list[float], cards: int) -> None:
    kinds = sorted(set(shares)) or [0.5]
    problem = replace(
        single_resource([0.0] * len(kinds), [9] * len(kinds)), gpus=np.array(kinds), node_gpus=np.array([cards])
    )
    replicas = [kinds.index(share) for share in shares]
    fits = any(
        max((sum(s for s, c in zip(shares, where) if c == card) for card in range(cards)), default=0.0) <= 1.0 + 1e-9
        for where in product(range(cards), repeat=len(shares))
    )
    found = pack_cards(problem, 0, replicas)
    assert (found is not None) == fits
    if found is not None:
        load = np.zeros(cards)
        for share, (card,) in zip(shares, found):
            load[card] += share
        assert load.max(initial=0.0) <= 1.0 + 1e-9


def test_fragmentation_by_hand() -> None:
    """Weng et al.: two GPUs with 0.3 and 1 free; tasks that want 0.5, one GPU, two GPUs, no GPU, or too much CPU."""
    problem = PlacementProblem(
        resources=("cpu",),
        need=np.array([[1.0], [1.0], [1.0], [1.0], [9.0]]),
        gpus=np.array([0.5, 1.0, 2.0, 0.0, 0.1]),
        gpu_memory_gib=np.zeros(5),
        count=np.ones(5, dtype=np.int64),
        capacity=np.array([[8.0]]),
        node_gpus=np.array([2]),
        gpu_capacity_gib=np.zeros(1),
        node_count=np.array([1]),
        price=np.ones(1),
        group=np.full(5, -1),
    )
    state = np.array([[4.0]]), np.array([[0.3, 1.0]]), np.zeros((1, 2))
    by_task = [expected_fragmentation(problem, *state, np.eye(5)[task])[0] for task in range(5)]
    assert by_task == pytest.approx([0.3, 0.3, 1.3, 1.3, 1.3])


def test_answers_repeat() -> None:
    problem = small_problem(5, replicas=40, nodes=16)
    limits = ColumnLimits(gap=0.0, neighbourhoods=5)
    first, second = place_columns(problem, limits), place_columns(problem, limits)
    assert first.seats == second.seats
    assert first.bound == second.bound
    for method in GREEDY:
        assert place(problem, method).seats == place(problem, method).seats


def test_a_wrong_placement_is_told() -> None:
    problem = single_resource([0.6], [2], nodes=2)
    assert check_placement(problem, [Seat(0), Seat(1)]).cost == 2.0
    with pytest.raises(InvalidPlacementError, match="pooled resource of node 0"):
        check_placement(problem, [Seat(0), Seat(0)])
    with pytest.raises(InvalidPlacementError, match="no node 2"):
        check_placement(problem, [Seat(0), Seat(2)])
    with pytest.raises(InvalidPlacementError, match="needs 0 GPUs"):
        check_placement(problem, [Seat(0, (0,)), None])
    limited = replace(single_resource([0.1], [2]), group=np.array([0]), group_limit=np.array([1]))
    with pytest.raises(InvalidPlacementError, match="group's limit"):
        check_placement(limited, [Seat(0), Seat(0)])


def test_bounds_are_rounded_up_to_prices() -> None:
    problem = single_resource([0.6], [2])
    assert round_up_to_prices(problem, 3.2) == 4.0
    assert round_up_to_prices(problem, 4.0 + 1e-7) == 4.0
    assert round_up_to_prices(replace(problem, price=np.array([np.pi])), 3.2) == pytest.approx(3.2, abs=1e-5)


def test_rows_become_classes_and_types() -> None:
    one = np.ones(3)
    problem, replicas, nodes = problem_from_rows(
        ("cpu",), np.array([[2.0], [1.0], [2.0]]), 0 * one, 0 * one, -one, np.zeros(0, dtype=np.int64),
        capacity=np.array([[8.0], [4.0], [8.0]]), node_gpus=0 * one, gpu_capacity_gib=0 * one, price=one,
    )  # fmt: skip
    assert problem.count.tolist() == [1, 2]
    assert replicas.tolist() == [1, 0, 2]
    assert nodes.tolist() == [1, 0, 2]


def test_what_fits_nowhere_is_told() -> None:
    problem = single_resource([2.0, 0.5], [1, 1])
    assert problem.misfit(0) == "no node has 2 cpu"
    assert problem.misfit(1) == ""
    plan = place_columns(problem)
    assert plan.unplaced == (0,)
    assert plan.bound == plan.cost == 11.0


def test_thousands_of_small_shares_have_their_cards() -> None:
    """As many as a node holds, and one more."""
    count = 3000
    for extra, fits in ((0, True), (1, False)):
        problem = replace(single_resource([0.0], [count]), gpus=np.array([1.0 / 1000.0]), node_gpus=np.array([3]))
        found = pack_cards(problem, 0, [0] * (count + extra))
        assert (found is not None) == fits
        if found is not None:
            assert np.bincount([gpus[0] for gpus in found]).tolist() == [1000, 1000, 1000]
