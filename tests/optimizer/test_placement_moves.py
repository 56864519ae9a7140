"""Placement beside what runs: nobody moves unasked, limits and prices hold, nodes are freed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.placement.greedy import GREEDY
from optimizer.placement.methods import place
from optimizer.placement.moves import MovePlan, consolidate, drain, place_more
from optimizer.placement.plan import check_placement
from optimizer.placement.problem import PlacementProblem
from simulator.placement import Seat
from tests.optimizer.placement_cases import single_resource, small_problem


def replay(problem: PlacementProblem, seats: tuple[Seat | None, ...], moved: MovePlan) -> None:
    """Make the moves one by one; after each the placement holds, and the last is the plan."""
    now = list(seats)
    for move in moved.moves:
        assert now[move.replica] == move.before
        now[move.replica] = move.after
        check_placement(problem, now)
    assert tuple(now) == moved.plan.seats


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 20), st.sampled_from(sorted(GREEDY)))
def test_those_who_sit_stay(seed: int, replicas: int, policy: str) -> None:
    problem = small_problem(seed, replicas=replicas, nodes=8)
    before = list(place(problem, "first_fit").seats)
    for replica in range(0, len(before), 3):
        before[replica] = None
    after = place_more(problem, before, policy).seats
    assert all(new == old for old, new in zip(before, after) if old is not None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 25), st.integers(0, 6), st.sampled_from([0.0, 0.2, 0.6]))
def test_consolidation_keeps_its_limits(seed: int, replicas: int, max_moves: int, move_price: float) -> None:
    problem = small_problem(seed, replicas=replicas, nodes=12)
    before = place(problem, "fgd")
    moved = consolidate(problem, before.seats, max_moves=max_moves, move_price=move_price)
    assert len(moved.moves) <= max_moves
    assert moved.plan.cost + move_price * len(moved.moves) <= before.cost + 1e-9
    assert moved.plan.unplaced == before.unplaced
    assert set(np.flatnonzero(moved.plan.hosted)) <= set(np.flatnonzero(before.hosted))
    assert len(moved.freed) == before.nodes_used - moved.plan.nodes_used
    replay(problem, before.seats, moved)


def test_consolidation_by_hand() -> None:
    """Four nodes a quarter full: three moves free three nodes, one move frees one, at 0.9 a move it still pays."""
    problem = single_resource([0.25], [4], nodes=4)
    spread = tuple(Seat(node) for node in range(4))
    assert len(consolidate(problem, spread, max_moves=9).freed) == 3
    assert len(consolidate(problem, spread, max_moves=1).freed) == 1
    assert len(consolidate(problem, spread, max_moves=9, move_price=0.9).freed) == 3
    assert consolidate(problem, spread, max_moves=9, move_price=1.1).moves == ()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20), st.sets(st.integers(0, 9), max_size=4))
def test_drained_nodes_are_empty(seed: int, replicas: int, nodes: set[int]) -> None:
    problem = small_problem(seed, replicas=replicas, nodes=10)
    before = place(problem, "best_fit")
    moved = drain(problem, before.seats, nodes)
    there = {r for r, seat in enumerate(moved.plan.seats) if seat is not None and seat.node in nodes}
    assert there == set(moved.stuck)
    assert all(move.before.node in nodes and move.after.node not in nodes for move in moved.moves)
    replay(problem, before.seats, moved)


def test_draining_within_a_limit_empties_whole_nodes() -> None:
    problem = single_resource([0.25], [4], nodes=4)
    moved = drain(problem, (Seat(0), Seat(0), Seat(1), Seat(2)), {0, 1}, max_moves=2)
    assert [move.replica for move in moved.moves] == [2]
    assert moved.stuck == (0, 1)
    assert moved.freed == (1,)


@pytest.mark.parametrize("policy", ["fgd", "best_fit"])
def test_newcomers_fill_open_nodes_first(policy: str) -> None:
    problem = single_resource([0.25], [4], nodes=4)
    plan = place_more(problem, (Seat(2), None, None, None), "best_fit" if policy == "best_fit" else "fgd_packed")
    assert plan.nodes_used == 1
