"""What a tower may know of one side alone: numbers of a user without the item, of an item without the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = [
    "item_features",
    "item_features_width",
    "settled_item_features",
    "user_features",
    "user_features_width",
]

_USER_COLUMNS = ("user_count", "user_mean", "user_residual")
"""No times since events: a user is ranked at the end of a log, long after the moments that training rows know."""

_ITEM_COLUMNS = ("item_count", "item_mean", "item_age", "item_idle")
_MOST_VALUES = 64
"""Categories with more values than this are left to tables."""


def user_features_width(data: PreparedData) -> int:
    """Columns of `user_features`."""
    return len(_USER_COLUMNS) + data.user_dense.shape[1] + _one_hot_width(data.user_category_rows)


def item_features_width(data: PreparedData) -> int:
    """Columns of `item_features`."""
    tags = data.item_tags.shape[1]
    return len(_ITEM_COLUMNS) + data.item_dense.shape[1] + tags + _one_hot_width(data.item_category_rows)


def user_features(rows: Rows) -> np.ndarray:
    """``[row, feature]`` (float32): what is known of the user at the row's moment, and categories one-hot.

    Nothing in it depends on the row's item.
    """
    data = rows.data
    moment = rows.with_items(np.zeros(len(rows), np.int32)).dense()[:, _columns(data, _USER_COLUMNS)]
    hot = _one_hot(rows.user_categories(), data.user_category_rows)
    return np.concatenate((moment, data.user_dense[rows.user], hot), axis=1)


def item_features(rows: Rows) -> np.ndarray:
    """``[row, feature]`` (float32): what is known of the item at the row's moment, tags, and categories one-hot.

    Nothing in it depends on the row's user.
    """
    data = rows.data
    moment = rows.dense()[:, _columns(data, _ITEM_COLUMNS)]
    hot = _one_hot(rows.item_categories(), data.item_category_rows)
    tags = rows.item_tags().astype(np.float32)
    return np.concatenate((moment, data.item_dense[rows.item], tags, hot), axis=1)


def settled_item_features(rows: Rows) -> np.ndarray:
    """`item_features` as they stand after the training part, when item vectors are stored and served.

    Taken at each row's own moment, counts and ages would tell when a row happened, and so which items of a batch
    belong together.
    """
    from workloads.interactions.rows import Rows as AnyRows

    return item_features(AnyRows.of_pairs(rows.data, np.zeros(len(rows), np.int32), rows.item, known="train"))


def _columns(data: PreparedData, names: tuple[str, ...]) -> list[int]:
    from workloads.interactions.rows import dense_names

    every = dense_names(data)
    return [every.index(name) for name in names]


def _one_hot_width(category_rows: tuple[int, ...]) -> int:
    return sum(values - 1 for values in category_rows if values <= _MOST_VALUES)


def _one_hot(categories: np.ndarray, category_rows: tuple[int, ...]) -> np.ndarray:
    """``[row, value]`` of all narrow columns; the unknown value is all zeros."""
    parts = [
        categories[:, [column]] == np.arange(1, values)
        for column, values in enumerate(category_rows)
        if values <= _MOST_VALUES
    ]
    return np.concatenate([np.zeros((len(categories), 0), bool), *parts], axis=1).astype(np.float32)
