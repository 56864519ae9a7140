"""Checks of policy options, so that a wrong one is one clear line before a run starts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches

from workloads.errors import InputError

__all__ = ["check_flag", "check_number", "check_whole", "suggestion"]


def check_number(where: str, value: object, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """``value`` as a float if from ``low`` (excluded if ``above``) to ``high``, else an `InputError`."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    bad = number is None or not math.isfinite(number) or number < low or number > high or (above and number == low)
    if number is None or bad:
        left = f"above {low:g}" if above else f"at least {low:g}"
        span = left if math.isinf(high) else f"{left} and at most {high:g}"
        raise InputError(where, f"{value!r} is not a number {span}", "give such a number or leave the option out")
    return float(number)


def check_whole(where: str, value: object, low: int) -> int:
    """``value`` as an int if it is a whole number of at least ``low``, else an `InputError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(
            where,
            f"{value!r} is not a whole number of at least {low}",
            "give such a number or leave the option out",
        )
    return value


def check_flag(where: str, value: object) -> bool:
    """``value`` if it is true or false, else an `InputError`."""
    if not isinstance(value, bool):
        raise InputError(where, f"{value!r} is neither true nor false", "give one of them or leave the option out")
    return value


def suggestion(word: str, known: Iterable[str], noun: str) -> str:
    """What to write instead of an unknown word: a near match, or everything there is."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{noun}: {', '.join(names)}" if names else f"there are no {noun}"
