"""Items that users did not interact with, drawn for learning by contrast."""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.errors import InputError
from workloads.interactions.types import PreparedData

__all__ = ["sample_negatives"]

_TRIES = 20


def sample_negatives(
    rows_user: Any, data: PreparedData, generator: np.random.Generator, power: float = 0.0
) -> np.ndarray:
    """Draw for each row an item of the training part that its user does not have there.

    Parameters
    ----------
    rows_user
        ``rows_user[row]``.
    generator
        Source of the draws.
    power
        Items are drawn in proportion to (their training interactions) ** power: 0 evenly, 1 by popularity.

    Returns
    -------
    item
        ``item[row]``, int32.

    Raises
    ------
    InputError
        A user has every item.
    """
    rows_user = np.asarray(rows_user, np.int64)
    popularity = np.bincount(data.train.item, minlength=data.items)
    items = np.flatnonzero(popularity)
    weight = popularity[items].astype(np.float64) ** power
    cumulative = np.cumsum(weight) / weight.sum()
    taken = data.trained_pairs
    drawn = np.zeros(len(rows_user), np.int64)
    open_rows = np.arange(len(rows_user))
    for _ in range(_TRIES):
        place = np.minimum(np.searchsorted(cumulative, generator.random(len(open_rows)), "right"), len(items) - 1)
        drawn[open_rows] = items[place]
        open_rows = open_rows[_has(taken, rows_user[open_rows] * data.items + drawn[open_rows])]
        if not len(open_rows):
            break
    for row in open_rows:
        drawn[row] = _among_the_rest(int(rows_user[row]), data, items, weight, taken, generator)
    return drawn.astype(np.int32)


def _has(sorted_codes: np.ndarray, codes: np.ndarray) -> np.ndarray:
    if not len(sorted_codes):
        return np.zeros(len(codes), bool)
    place = np.minimum(np.searchsorted(sorted_codes, codes), len(sorted_codes) - 1)
    found: np.ndarray = sorted_codes[place] == codes
    return found


def _among_the_rest(
    user: int,
    data: PreparedData,
    items: np.ndarray,
    weight: np.ndarray,
    taken: np.ndarray,
    generator: np.random.Generator,
) -> int:
    """One draw for a user who has nearly everything."""
    free = ~_has(taken, user * data.items + items)
    if not free.any():
        raise InputError(
            f"{data.name} user {user}", "has every item, so none is left to contrast", "leave that user out"
        )
    return int(generator.choice(items[free], p=weight[free] / weight[free].sum()))
