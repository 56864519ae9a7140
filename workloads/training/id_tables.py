"""Which rows of a network's tables belong to a user or an item: what an online update may touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["STORED", "STORED_VECTORS", "id_rows"]

STORED_VECTORS = "item_vectors"
"""Buffer in which retrieval models with an item tower keep each item's vector."""

STORED = (STORED_VECTORS, "trend")
"""That, and the term of retrieval scores that follows popularity (`workloads.models.trend`): computed, not learned."""

_FIRST_TOKEN = 3

_Rows = Callable[["PreparedData", np.ndarray, np.ndarray], np.ndarray]


def _user(data: PreparedData, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    return users


def _item(data: PreparedData, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    return items


def _users_then_items(first: int) -> _Rows:
    """One table with the users from row `first` on, and the items behind them."""

    def rows(data: PreparedData, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return np.concatenate((first + users, first + data.users + items))

    return rows


_STORED: dict[str, _Rows] = dict.fromkeys(STORED, _item)

_TABLES: dict[str, dict[str, _Rows]] = {
    "biased_mf": {
        "user_table.weight": _user,
        "user_bias.weight": _user,
        "item_table.weight": _item,
        "item_bias.weight": _item,
    },
    "neumf": {
        "user_product.weight": _user,
        "user_table.weight": _user,
        "item_product.weight": _item,
        "item_table.weight": _item,
    },
    "two_tower": {"user_table.weight": _user, "history_table.weight": _item, **_STORED},
    "lstm_two_tower": {"user_table.weight": _user, "item_table.weight": _item, **_STORED},
    "autoencoder": {"table.weight": _item, **_STORED},
    "sasrec": {"item_table.weight": _item, **_STORED},
    "bert4rec": {"item_table.weight": _item, **_STORED},
    "dlrm": {"table.weight": _users_then_items(0), "history_table.weight": _item},
    "bert_reranker": {"tokens.weight": _users_then_items(_FIRST_TOKEN)},
}


def id_rows(model: str, data: PreparedData, users: np.ndarray, items: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of each table that belong to some users and items.

    Parameters
    ----------
    users, items
        Ids above 0, rising.

    Returns
    -------
    dict
        Name in the network's state to ``row[place]`` (int64, rising). Names that a network lacks by its
        configuration (a ranker without a history) are to be skipped.

    Raises
    ------
    InputError
        A model of which this is not known.
    """
    if model not in _TABLES:
        raise InputError(f"model {model!r}", "cannot be updated online", f"use one of {', '.join(sorted(_TABLES))}")
    users, items = users.astype(np.int64), items.astype(np.int64)
    return {name: rows(data, users, items) for name, rows in _TABLES[model].items()}
