"""A batch of rows as every model sees it: who, what, when, and what was known before; never anything later.

A row of the training part knows the training interactions before it in the table. A row of the validation part
knows the whole training part; a row of the test part, training and validation. No row knows itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from workloads.interactions.dense import dense_features, dense_inputs, dense_names
from workloads.interactions.known import KnownLog, Slices
from workloads.interactions.types import Known, Part, PreparedData

__all__ = ["Rows", "dense_features", "dense_names"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to learn from, to judge, or to answer. Make them with one of the class methods.

    Attributes
    ----------
    data
        Where they come from.
    user, item
        ``user[row]``, ``item[row]``, int32; item 0 where rows are users.
    target
        ``target[row]``, float32: the rating as a share of the scale; NaN where unknown.
    liked
        ``liked[row]``, bool: the rating is at least `PreparedData.like_from`; False where unknown.
    time_s
        ``time_s[row]``, int64: the moment of the row.
    known
        Which log the row may look into.
    before
        ``before[row]``, int64: the row knows the events of that log at positions below this.

    Examples
    --------
    >>> from workloads.interactions import synthetic_data
    >>> data = synthetic_data()
    >>> rows = Rows.of_interactions(data, "train", np.array([0, 500]))
    >>> rows.history(3).shape
    (2, 3)
    """

    data: PreparedData
    user: np.ndarray
    item: np.ndarray
    target: np.ndarray
    liked: np.ndarray
    time_s: np.ndarray
    known: Known
    before: np.ndarray

    @classmethod
    def of_interactions(cls, data: PreparedData, part: Part, index: Any) -> Rows:
        """Interactions at the positions `index` of a part."""
        index = np.asarray(index, np.int64)
        table = data.part(part).take(index)
        known: Known = "all" if part == "test" else "train"
        before = index if part == "train" else np.full(len(index), len(data.known(known)), np.int64)
        liked = table.rating >= data.like_from
        return cls(data, table.user, table.item, data.scaled(table.rating), liked, table.time_s, known, before)

    @classmethod
    def of_users(cls, data: PreparedData, users: Any, known: Known, time_s: int | None = None) -> Rows:
        """Users as they stand after the training part, or after training and validation (``all``).

        Parameters
        ----------
        time_s
            The moment; by default that of the last interaction known.
        """
        users = np.asarray(users)
        return cls.of_pairs(data, users, np.zeros(len(users), np.int32), known, time_s)

    @classmethod
    def of_pairs(cls, data: PreparedData, users: Any, items: Any, known: Known, time_s: int | None = None) -> Rows:
        """Pairs of a user and an item, with what `of_users` knows; their targets are unknown."""
        users, items = np.asarray(users, np.int32), np.asarray(items, np.int32)
        log = data.known(known)
        if time_s is None:
            time_s = int(log.table.time_s[-1]) if len(log) else 0
        rows = len(users)
        return cls(
            data,
            users,
            items,
            np.full(rows, np.nan, np.float32),
            np.zeros(rows, bool),
            np.full(rows, time_s, np.int64),
            known,
            np.full(rows, len(log), np.int64),
        )

    def with_items(self, items: Any) -> Rows:
        """The same users at the same moments beside other items, of which no rating is known."""
        rows = len(self)
        return replace(
            self,
            item=np.asarray(items, np.int32),
            target=np.full(rows, np.nan, np.float32),
            liked=np.zeros(rows, bool),
        )

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, index: Any) -> Rows:
        """The rows of `index` (positions, a mask or a slice)."""
        names = ("user", "item", "target", "liked", "time_s", "before")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    @property
    def log(self) -> KnownLog:
        """The log that the rows look into."""
        return self.data.known(self.known)

    def trained_user(self) -> np.ndarray:
        """``[row]``, int32: `user`, or 0 where the user does not occur in training, for tables of weights."""
        return np.where(self.log.trained_user[self.user], self.user, 0).astype(np.int32)

    def trained_item(self) -> np.ndarray:
        """``[row]``, int32: `item`, or 0 where the item does not occur in training, for tables of weights."""
        return np.where(self.log.trained_item[self.item], self.item, 0).astype(np.int32)

    def history(self, length: int) -> np.ndarray:
        """``[row, length]``, int32: the last items the user rated before the row, oldest first, zeros before them.

        Items that do not occur in the training part are left out; so they are from `history_targets`.
        """
        log = self.log
        return log.histories.last(self._history, length, log.history_item)

    def history_targets(self, length: int) -> np.ndarray:
        """``[row, length]``, float32: the ratings of `history` as shares of the scale, zeros at padding."""
        log = self.log
        return log.histories.last(self._history, length, log.history_target)

    def audience(self, length: int) -> np.ndarray:
        """``[row, length]``, int32: the last users who rated the row's item before the row, as in `history`."""
        log = self.log
        return log.audiences.last(self._audience, length, log.audience_user)

    def audience_targets(self, length: int) -> np.ndarray:
        """``[row, length]``, float32: the ratings of `audience` as shares of the scale, zeros at padding."""
        log = self.log
        return log.audiences.last(self._audience, length, log.audience_target)

    def dense(self) -> np.ndarray:
        """``[row, feature]``, float32: see `dense_names`; statistics of what is known before the row, and static."""
        return dense_inputs(self.data, self.log, self.user, self.item, self.before, self.time_s)

    def user_categories(self) -> np.ndarray:
        """``[row, column]``, int32."""
        return self.data.user_categories[self.user]

    def item_categories(self) -> np.ndarray:
        """``[row, column]``, int32."""
        return self.data.item_categories[self.item]

    def item_tags(self) -> np.ndarray:
        """``[row, tag]``, bool."""
        return self.data.item_tags[self.item]

    @cached_property
    def _history(self) -> Slices:
        return self.log.histories.before(self.user, self.before)

    @cached_property
    def _audience(self) -> Slices:
        return self.log.audiences.before(self.item, self.before)
