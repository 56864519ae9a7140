"""Placement beside what already runs: replicas stay where they are, or move at a price and within a limit.

`place_more` seats newcomers around what is there, `drain` empties nodes that must go, and `consolidate` suggests
moves that free whole nodes. All answer with the moves themselves, in an order in which each can be made by itself: no
swap, no cycle, no node that is full until another move has been made, except by an earlier one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.placement.greedy import GREEDY, fill_room
from optimizer.placement.plan import PlacementPlan, check_placement
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.room import Room
from simulator.placement import Seat

__all__ = ["Move", "MovePlan", "consolidate", "drain", "place_more"]


@dataclass(frozen=True)
class Move:
    """A replica that goes from one seat to another."""

    replica: int
    before: Seat
    after: Seat


@dataclass(frozen=True)
class MovePlan:
    """Moves, and the placement once all are made.

    Attributes
    ----------
    moves
        In the order to make them.
    plan
        Checked; its cost leaves the price of moves out.
    freed
        Nodes that are empty afterwards and were not before.
    stuck
        Replicas on nodes to be emptied for which there is no other room, or no move left.
    """

    moves: tuple[Move, ...]
    plan: PlacementPlan
    freed: tuple[int, ...]
    stuck: tuple[int, ...] = ()


def place_more(problem: PlacementProblem, seats: Sequence[Seat | None], policy: str = "best_fit") -> PlacementPlan:
    """Seat the replicas that have none; those that have one keep it.

    Parameters
    ----------
    seats
        ``seats[replica]`` now; None for newcomers.
    policy
        Of `optimizer.placement.greedy.GREEDY`; a decreasing one takes the largest newcomers first.
    """
    make, decreasing = GREEDY[policy]
    found = list(seats)
    order = [replica for replica, seat in enumerate(found) if seat is None]
    if decreasing:
        order = _largest_first(problem, order)
    fill_room(Room(problem, found), order, make(problem), found)
    return check_placement(problem, found, method=policy)


def drain(
    problem: PlacementProblem, seats: Sequence[Seat | None], nodes: Collection[int], max_moves: int | None = None
) -> MovePlan:
    """Empty nodes, as before maintenance: where each of their replicas can go, best fit, largest first.

    Parameters
    ----------
    max_moves
        Most moves; whole nodes are emptied, those with fewest replicas first, as far as it goes.
    """
    found = list(seats)
    room = Room(problem, found)
    room.usable[list(nodes)] = False
    on_node = _by_node(found)
    limit = len(found) if max_moves is None else max_moves
    moves: list[Move] = []
    stuck: list[int] = []
    for node in sorted(nodes, key=lambda n: (len(on_node.get(n, [])), n)):
        replicas = _largest_first(problem, on_node.get(node, []))
        if len(replicas) > limit - len(moves):
            stuck += replicas
            continue
        for replica in replicas:
            moved = _move(problem, room, found, replica)
            if moved is None:
                stuck.append(replica)
            else:
                moves.append(moved)
    return _finished(problem, seats, found, moves, stuck)


def consolidate(
    problem: PlacementProblem, seats: Sequence[Seat | None], *, max_moves: int, move_price: float = 0.0
) -> MovePlan:
    """Moves that free nodes worth more than the moves.

    Nodes are tried by what emptying them saves for each move, best first; a node is emptied whole or not at all, into
    nodes that stay open. What it leaves is never dearer than what there was, moves included; it is a suggestion, not
    an optimum: `optimizer.placement.columns.place_columns` tells what a placement from nothing would cost.

    Parameters
    ----------
    max_moves
        Most moves.
    move_price
        Of one move, in the unit of the nodes' prices.
    """
    found = list(seats)
    room = Room(problem, found)
    moves: list[Move] = []
    received: set[int] = set()
    while True:
        on_node = _by_node(found)
        saving = {
            node: problem.price[problem.node_type[node]] - move_price * len(replicas)
            for node, replicas in on_node.items()
            if node not in received
        }
        worth = [n for n, saved in saving.items() if saved > 1e-12 and len(on_node[n]) <= max_moves - len(moves)]
        worth.sort(key=lambda n: (-saving[n] / len(on_node[n]), n))
        made = next((made for n in worth if (made := _emptied(problem, room, found, n, on_node[n])) is not None), None)
        if made is None:
            return _finished(problem, seats, found, moves, [])
        moves += made
        received |= {move.after.node for move in made}


def _emptied(
    problem: PlacementProblem, room: Room, seats: list[Seat | None], node: int, replicas: list[int]
) -> list[Move] | None:
    """Moves of all replicas of a node to other open nodes; None, and nothing changed, where one finds no room."""
    usable = room.usable.copy()
    room.usable &= room.hosted > 0
    room.usable[node] = False
    moves: list[Move] = []
    for replica in _largest_first(problem, replicas):
        moved = _move(problem, room, seats, replica)
        if moved is None:
            for move in reversed(moves):
                cls = int(problem.replica_class[move.replica])
                room.vacate(cls, move.after)
                room.occupy(cls, move.before)
                seats[move.replica] = move.before
            room.usable = usable
            return None
        moves.append(moved)
    room.usable = usable
    return moves


def _move(problem: PlacementProblem, room: Room, seats: list[Seat | None], replica: int) -> Move | None:
    """Move one replica, best fit; None where no usable node has room."""
    cls, before = int(problem.replica_class[replica]), seats[replica]
    assert before is not None
    nodes = np.flatnonzero(room.fits(cls))
    nodes = nodes[nodes != before.node]
    if len(nodes) == 0:
        return None
    make, _ = GREEDY["best_fit"]
    after = room.take(cls, make(problem)(room, cls, nodes))
    room.vacate(cls, before)
    seats[replica] = after
    return Move(replica, before, after)


def _by_node(seats: Sequence[Seat | None]) -> dict[int, list[int]]:
    on_node: dict[int, list[int]] = {}
    for replica, seat in enumerate(seats):
        if seat is not None:
            on_node.setdefault(seat.node, []).append(replica)
    return on_node


def _largest_first(problem: PlacementProblem, replicas: Sequence[int]) -> list[int]:
    size = problem.largest_share.max(axis=1)
    return sorted(replicas, key=lambda replica: (-size[problem.replica_class[replica]], replica))


def _finished(
    problem: PlacementProblem,
    before: Sequence[Seat | None],
    after: Sequence[Seat | None],
    moves: Sequence[Move],
    stuck: Sequence[int],
) -> MovePlan:
    plan = check_placement(problem, after, method="moves")
    were = {seat.node for seat in before if seat is not None}
    freed = sorted(were - {seat.node for seat in after if seat is not None})
    return MovePlan(tuple(moves), plan, tuple(freed), tuple(stuck))
