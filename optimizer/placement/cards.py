"""Which GPUs of one node its replicas sit on: a small bin packing, solved exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optimizer.fleet.packing import FIT_TOLERANCE
from optimizer.placement.problem import PlacementProblem

__all__ = ["MAX_STEPS", "pack_cards"]

MAX_STEPS = 20_000
"""Placements of single replicas tried before the answer is "does not fit"."""


def pack_cards(
    problem: PlacementProblem, node_type: int, replicas: Sequence[int]
) -> tuple[tuple[int, ...], ...] | None:
    """GPUs of each replica on one node of a type.

    Parameters
    ----------
    replicas
        ``[place]`` class of each replica on the node.

    Returns
    -------
    tuple or None
        ``gpus[place]``, or None where they do not fit on the node's GPUs; also, which is rare, where `MAX_STEPS` do not
        settle it.
    """
    cards = int(problem.node_gpus[node_type])
    seats: list[tuple[int, ...]] = [()] * len(replicas)
    whole = [i for i, cls in enumerate(replicas) if problem.gpus[cls] >= 1.0]
    parts = [i for i, cls in enumerate(replicas) if 0.0 < problem.gpus[cls] < 1.0]
    taken = 0
    for place in whole:
        count = int(problem.cards[replicas[place]])
        seats[place] = tuple(range(taken, taken + count))
        taken += count
    if taken > cards:
        return None
    parts.sort(key=lambda i: (-problem.card_share[replicas[i]], -problem.card_memory_gib[replicas[i]], replicas[i]))
    sizes = [(float(problem.card_share[replicas[i]]), float(problem.card_memory_gib[replicas[i]])) for i in parts]
    found = _pack(sizes, cards - taken, float(problem.gpu_capacity_gib[node_type]))
    if found is None:
        return None
    for place, card in zip(parts, found):
        seats[place] = (taken + card,)
    return tuple(seats)


def _pack(sizes: list[tuple[float, float]], cards: int, memory_gib: float) -> list[int] | None:
    """Card of each of the sizes (share, memory), largest first; depth first, cards with equal room tried once."""
    share, memory = [1.0] * cards, [memory_gib] * cards
    slack = FIT_TOLERANCE * max(1.0, memory_gib)
    chosen: list[int] = []
    steps = 0

    def cards_for(place: int) -> Iterator[int]:
        """Cards with room, now, for a size; equal room once."""
        part, gib = sizes[place]
        # A size like the one before goes to the same card or a later one: their order does not matter.
        start = chosen[place - 1] if place and sizes[place - 1] == sizes[place] else 0
        tried: set[tuple[float, float]] = set()
        for card in range(start, cards):
            room = (round(share[card], 9), round(memory[card], 9))
            if share[card] >= part - FIT_TOLERANCE and memory[card] >= gib - slack and room not in tried:
                tried.add(room)
                yield card

    open_choices = [cards_for(0)] if sizes else []
    while open_choices:
        place = len(open_choices) - 1
        part, gib = sizes[place]
        if len(chosen) > place:
            card = chosen.pop()
            share[card] += part
            memory[card] += gib
        card = next(open_choices[-1], -1)
        if card < 0:
            open_choices.pop()
            continue
        steps += 1
        if steps > MAX_STEPS:
            return None
        share[card] -= part
        memory[card] -= gib
        chosen.append(card)
        if len(chosen) == len(sizes):
            return chosen
        open_choices.append(cards_for(len(chosen)))
    return None if sizes else chosen
