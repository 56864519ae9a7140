"""Searches over fleets and loads whose every question costs simulations: few questions, no luck involved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

__all__ = ["Bracket", "Margins", "breaking_load", "first_that_holds", "most_asked"]

Answers = Callable[[Sequence[float]], Sequence[bool]]
Margins = Callable[[Sequence[float], Sequence[int]], Sequence[Sequence[float]]]
"""``[load][seed]``: by how much objectives are held at each load on each seed; negative where one is not."""


ROUNDING = 1e-9


@dataclass(frozen=True)
class Bracket:
    """The largest load found to hold and the smallest found not to; ``breaks`` is None where none was found."""

    holds: float
    breaks: float | None


def first_that_holds(holds: Callable[[int], bool], size: int, start: int) -> int | None:
    """The first of ``size`` things in order of strength that holds, from the guess ``start``; None if none does.

    If one holds, stronger ones are taken to hold too. Steps double from the guess, and then halve, so that the answer
    and the thing before it have both been asked.
    """
    if size == 0:
        return None
    start = min(max(start, 0), size - 1)
    step, low, high = 1, -1, size  # low fails, high holds
    at = start
    while True:
        if holds(at):
            high = at
            if high - 1 == low or high == 0:
                break
            at = max(high - step, low + 1)
        else:
            low = at
            if low + 1 == high or low == size - 1:
                break
            at = min(low + step, high - 1)
        if low >= 0 and high < size:
            break
        step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high if high < size else None


def most_asked(size: int, start: int) -> int:
    """How many questions `first_that_holds` asks at most."""

    def asked(first: int) -> int:
        questions: list[int] = []

        def holds(i: int) -> bool:
            questions.append(i)
            return i >= first

        first_that_holds(holds, size, start)
        return len(questions)

    return max(asked(first) for first in range(size + 1))


def breaking_load(
    margins: Margins, seeds: Sequence[int], *, guess: float, tolerance: float, most: float, width: int = 2
) -> Bracket:
    """Where loads, as factors of one that holds on every seed, begin not to hold on every seed.

    One seed is asked about ``width`` loads at once: around ``guess``, then in steps up or down until one holds and one
    does not (or ``most`` holds), then between those until ``breaks / holds - 1 <= tolerance``. Steps are such that a
    guess which is off by less than half a step takes two rounds. Then the other seeds are asked at the load that holds.
    If one says no, the search goes on just below with the one that says so loudest: seeds break at similar loads.
    """
    seed: int = seeds[0]
    high: float | None = None
    step = (1.0 + tolerance) ** (width + 1)  # what one round of ``width`` divides finely enough
    loads = [guess * step ** (k - 0.5 * (width - 1)) for k in range(width)]
    while True:
        found = _narrow(partial(_one, margins, seed), 1.0, high, loads, tolerance, most)
        others = [s for s in seeds if s != seed]
        if found.holds == 1.0 or not others:
            return found
        (said,) = margins([found.holds], others)
        worst = min(range(len(others)), key=lambda k: said[k])
        if said[worst] >= 0.0:
            return found
        seed, high = others[worst], found.holds
        loads = [high / (1.0 + tolerance) ** (width - k) for k in range(width)]


def _one(margins: Margins, seed: int, loads: Sequence[float]) -> list[bool]:
    return [values[0] >= 0.0 for values in margins(loads, [seed])]


def _narrow(
    asked: Answers, low: float, high: float | None, loads: list[float], tolerance: float, most: float
) -> Bracket:
    """From the first ``loads`` on, as many at once."""
    width = len(loads)
    step = (1.0 + tolerance) ** (width + 1)
    while high is None or high / low - 1.0 > tolerance * (1.0 + ROUNDING):
        top = most * (1.0 + 1e-12) if high is None else high
        loads = [load for load in loads if low < load < top]
        if loads:
            low, fails = _split(loads, asked(loads), low)
            high = high if fails is None else fails
        if high is None and low >= most:
            return Bracket(low, None)
        loads = _next_loads(low, high, step, most, width)
    return Bracket(low, high)


def _next_loads(low: float, high: float | None, step: float, most: float, width: int) -> list[float]:
    """Up from what holds, down from what does not where nothing but 1 is known to, or between the two."""
    if high is None:
        return sorted({min(low * step ** (k + 1), most) for k in range(width)})
    if low == 1.0 and high > step * (1.0 + 1e-9):
        return [high * step ** (k - width) for k in range(width)]
    return [low * (high / low) ** ((k + 1) / (width + 1)) for k in range(width)]


def _split(loads: Sequence[float], answers: Sequence[bool], low: float) -> tuple[float, float | None]:
    """The last load before the first that does not hold, and that one."""
    for load, answer in zip(loads, answers):
        if not answer:
            return low, load
        low = load
    return low, None
