"""Numbers that describe a row: how much, how high and how lately its user and its item were rated before it.

Scales are fixed constants, not fitted, so that no number of a row depends on anything after it.
"""

from __future__ import annotations

import numpy as np

from workloads.interactions.known import PRIOR_OF_ITEM, PRIOR_OF_TASTE, PRIOR_OF_USER, KnownLog, Slices, deviation
from workloads.interactions.types import PreparedData

__all__ = ["dense_features", "dense_inputs", "dense_names"]

_NAMES = (
    "user_count",
    "item_count",
    "user_mean",
    "item_mean",
    "user_residual",
    "expected",
    "user_taste",
    "user_age",
    "user_idle",
    "item_age",
    "item_idle",
)
_DAY_S = 86_400.0
_PER_LOG = 0.25
_PER_DEVIATION = 5.0


def dense_features(data: PreparedData) -> int:
    """Columns of `Rows.dense`."""
    return len(_NAMES) + data.user_dense.shape[1] + data.item_dense.shape[1]


def dense_names(data: PreparedData) -> tuple[str, ...]:
    """Names of the columns of `Rows.dense`.

    ``user_count``, ``item_count``: ln(1 + ratings before) / 4. ``user_mean``, ``item_mean``: mean rating before less
    the mean of all, shrunk, times 5. ``user_residual``: the same of what the items' means left unexplained.
    ``expected``: 5 times (mean of all + item's + user's residual - 1/2), a running user and item bias.
    ``user_taste``: mean residual of the user's ratings of items that share a tag with this one, shrunk, times 5.
    ``..._age``, ``..._idle``: ln(1 + days since the first, the last rating) / 4, 0 where there is none. Ratings are
    shares of the scale. Then the static features of the user and of the item.
    """
    user = data.user_dense_names or tuple(f"user_{k}" for k in range(data.user_dense.shape[1]))
    item = data.item_dense_names or tuple(f"item_{k}" for k in range(data.item_dense.shape[1]))
    return (*_NAMES, *user, *item)


def dense_inputs(
    data: PreparedData, log: KnownLog, user: np.ndarray, item: np.ndarray, before: np.ndarray, time_s: np.ndarray
) -> np.ndarray:
    """The columns of `dense_names` for each row, from the events of `log` at positions below ``before[row]``."""
    of_user, of_item = log.by_user.before(user, before), log.by_item.before(item, before)
    mean = log.mean[before]
    item_mean = deviation(log.item_sum, of_item, mean, PRIOR_OF_ITEM)
    residual = deviation(log.residual_sum, of_user, 0.0, PRIOR_OF_USER)
    columns = (
        np.log1p(of_user.count) * _PER_LOG,
        np.log1p(of_item.count) * _PER_LOG,
        deviation(log.user_sum, of_user, mean, PRIOR_OF_USER) * _PER_DEVIATION,
        item_mean * _PER_DEVIATION,
        residual * _PER_DEVIATION,
        (mean + item_mean + residual - 0.5) * _PER_DEVIATION,
        _taste(data, log, user, item, before) * _PER_DEVIATION,
        *_days(log, log.by_user.event, of_user, time_s),
        *_days(log, log.by_item.event, of_item, time_s),
    )
    found = np.empty((len(user), dense_features(data)), np.float32)
    for place, column in enumerate(columns):
        found[:, place] = column
    static = len(columns) + data.user_dense.shape[1]
    found[:, len(columns) : static] = data.user_dense[user]
    found[:, static:] = data.item_dense[item]
    return found


def _days(log: KnownLog, event: np.ndarray, slices: Slices, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Since the first and since the last event of each slice."""
    if not len(event):
        return np.zeros(len(time_s)), np.zeros(len(time_s))
    some = slices.count > 0
    most = len(event) - 1
    first = time_s - log.table.time_s[event[np.minimum(slices.start, most)]]
    last = time_s - log.table.time_s[event[np.maximum(slices.end - 1, 0)]]
    age, idle = (np.log1p(np.where(some, np.maximum(gap, 0), 0) / _DAY_S) * _PER_LOG for gap in (first, last))
    return age, idle


def _taste(data: PreparedData, log: KnownLog, user: np.ndarray, item: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Shrunk mean residual of the user over the item's tags; a rating counts once for each tag it shares."""
    row, tag = np.nonzero(data.item_tags[item])
    key = user[row].astype(np.int64) * data.item_tags.shape[1] + tag
    slices = log.by_taste.before(key, before[row])
    rows = len(user)
    total = np.bincount(row, log.taste_sum[slices.end] - log.taste_sum[slices.start], rows)
    return total / (np.bincount(row, slices.count, rows) + PRIOR_OF_TASTE)
