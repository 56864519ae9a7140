"""What prepared data are: three tables of interactions and what is known of users and items."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from workloads.interactions.known import KnownLog

__all__ = ["InteractionTable", "Known", "Part", "PreparedData"]

Part = Literal["train", "validation", "test"]
Known = Literal["train", "all"]
"""What a row may know: the training part, or training and validation together."""


@dataclass(frozen=True, eq=False)
class InteractionTable:
    """Interactions in order of time; at equal times, in the order of the log.

    Attributes
    ----------
    user, item
        ``user[row]``, ``item[row]``, int32, from 1.
    rating
        ``rating[row]``, float32, in the units of the log.
    time_s
        ``time_s[row]``, int64, seconds from 1970 (UTC).
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    time_s: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: np.ndarray) -> InteractionTable:
        """The rows of `index` (positions or a mask)."""
        return InteractionTable(self.user[index], self.item[index], self.rating[index], self.time_s[index])

    @classmethod
    def merged(cls, first: InteractionTable, second: InteractionTable) -> InteractionTable:
        """Both tables in order of time; at equal times the rows of `first` come first."""
        joined = cls(*(np.concatenate([getattr(first, f.name), getattr(second, f.name)]) for f in fields(cls)))
        return joined.take(np.argsort(joined.time_s, kind="stable"))

    @classmethod
    def empty(cls) -> InteractionTable:
        """A table without rows."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64))


def _no_keys() -> np.ndarray:
    return np.empty(0, dtype=str)


@dataclass(frozen=True, eq=False)
class PreparedData:
    """A log made ready for training: ids from 1, static features, and three parts.

    Id 0 stands for nobody and nothing (padding, unknown). Users and items that occur in validation or test
    alone have ids too, but no weights can have been learned for them: see `Rows.trained_user`.

    Attributes
    ----------
    name
        Of the log.
    split
        ``time`` (one moment divides all) or ``user`` (the last interactions of each user are held out).
    users, items
        Rows of id tables, row 0 included.
    rating_low, rating_high, like_from
        The scale of ratings, and from where a rating counts as a like.
    user_dense, item_dense
        ``user_dense[user, feature]``, ``item_dense[item, feature]``, float32; static, of mean 0 and deviation 1
        over the users (items) of the training part; row 0 is zero.
    user_categories, item_categories
        ``user_categories[user, column]``, ``item_categories[item, column]``, int32; 0 is unknown.
    user_category_rows, item_category_rows
        Values of each column, the unknown one included.
    item_tags
        ``item_tags[item, tag]``, bool.
    tag_names
        ``tag_names[tag]``.
    train, validation, test
        The parts.
    report
        What cleaning found and did, in counts; plain values, as JSON knows them.
    user_dense_names, item_dense_names, user_category_names, item_category_names
        Names of features and columns; empty where nobody gave any.
    user_keys, item_keys
        ``user_keys[id - 1]``, ``item_keys[id - 1]``: the id as the source has it, as text; empty where it had none.
    """

    name: str
    split: str
    users: int
    items: int
    rating_low: float
    rating_high: float
    like_from: float
    user_dense: np.ndarray
    item_dense: np.ndarray
    user_categories: np.ndarray
    item_categories: np.ndarray
    user_category_rows: tuple[int, ...]
    item_category_rows: tuple[int, ...]
    item_tags: np.ndarray
    tag_names: tuple[str, ...]
    train: InteractionTable
    validation: InteractionTable
    test: InteractionTable
    report: Mapping[str, Any]
    user_dense_names: tuple[str, ...] = ()
    item_dense_names: tuple[str, ...] = ()
    user_category_names: tuple[str, ...] = ()
    item_category_names: tuple[str, ...] = ()
    user_keys: np.ndarray = field(default_factory=_no_keys)
    item_keys: np.ndarray = field(default_factory=_no_keys)

    def part(self, name: Part) -> InteractionTable:
        """The table of a part."""
        table: InteractionTable = getattr(self, name)
        return table

    def scaled(self, rating: np.ndarray) -> np.ndarray:
        """Ratings as shares of the scale, 0 to 1, float32."""
        return ((rating - self.rating_low) / (self.rating_high - self.rating_low)).astype(np.float32)

    def with_validation_in_training(self) -> PreparedData:
        """For the last fit: training and validation are one part, validation is empty."""
        train = InteractionTable.merged(self.train, self.validation)
        return replace(self, train=train, validation=InteractionTable.empty())

    def known(self, known: Known) -> KnownLog:
        """The log of what rows may know, indexed for looking up; built once."""
        return self._known_train if known == "train" or not len(self.validation) else self._known_all

    @cached_property
    def trained_pairs(self) -> np.ndarray:
        """``user * items + item`` of what the training part holds, int64, rising, each once."""
        return np.unique(self.train.user.astype(np.int64) * self.items + self.train.item)

    @cached_property
    def _known_train(self) -> KnownLog:
        from workloads.interactions.known import KnownLog

        return KnownLog.of(self, self.train)

    @cached_property
    def _known_all(self) -> KnownLog:
        from workloads.interactions.known import KnownLog

        return KnownLog.of(self, InteractionTable.merged(self.train, self.validation))

    def user_ids(self, keys: Sequence[object] | np.ndarray) -> np.ndarray:
        """Ids of users as the source has them, int32; 0 for those not in the data."""
        return _ids(self.user_keys, keys)

    def item_ids(self, keys: Sequence[object] | np.ndarray) -> np.ndarray:
        """Ids of items as the source has them, int32; 0 for those not in the data."""
        return _ids(self.item_keys, keys)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that models see (not of `report`), in hexadecimal; equal data have equal digests."""
        found = hashlib.sha256()
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, InteractionTable):
                arrays = [getattr(value, column.name) for column in fields(value)]
            elif isinstance(value, np.ndarray):
                arrays = [value]
            else:
                found.update(b"" if each.name == "report" else f"{each.name}={value!r};".encode())
                continue
            for array in arrays:
                found.update(f"{each.name} {array.dtype.str} {array.shape};".encode())
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what is built from them can be built again."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _ids(keys: np.ndarray, wanted: Sequence[object] | np.ndarray) -> np.ndarray:
    text = np.asarray([str(key) for key in wanted], dtype=str)
    if not len(keys) or not len(text):
        return np.zeros(len(text), np.int32)
    order = np.argsort(keys, kind="stable")
    place = np.minimum(np.searchsorted(keys[order], text), len(keys) - 1)
    return np.where(keys[order][place] == text, order[place] + 1, 0).astype(np.int32)
