"""Dividing a log into training, validation and test, in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from workloads.errors import InputError

__all__ = ["SPLITS", "SplitSettings", "part_of_rows"]

SPLITS = ("time", "user")
_DAY_S = 86_400


@dataclass(frozen=True)
class SplitSettings:
    """How to divide.

    Attributes
    ----------
    by
        ``time``: one moment ends the training of all, another the validation. ``user``: of each user, the last
        interactions are for test and those before for validation; other users' later interactions are then known,
        so results are somewhat better than a service would see.
    test_days, validation_days
        With ``time``: whole UTC days counted from the end; 0 to go by shares.
    test_share, validation_share
        Shares of the rows, where not by days. With ``user``: of each user's rows, rounded, at least one where the
        user has enough (two for a test row, three for a validation row as well).
    """

    by: str = "time"
    test_days: float = 0.0
    validation_days: float = 0.0
    test_share: float = 0.1
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        if self.by not in SPLITS:
            raise InputError("split", f"{self.by!r} is unknown", "use time or user")
        for name in ("test_days", "validation_days"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(name, f"{getattr(self, name):g} is below 0", "give a number of days")
        for name in ("test_share", "validation_share"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(name, f"{getattr(self, name):g} is not between 0 and 1", "give a share, as in 0.1")
        if self.test_share + self.validation_share >= 1:
            raise InputError("test_share", "leaves nothing for training", "let the shares sum to less than 1")


def part_of_rows(user: np.ndarray, time_s: np.ndarray, settings: SplitSettings) -> tuple[np.ndarray, dict[str, Any]]:
    """Of each row, its part: 0 training, 1 validation, 2 test; and how it was found, for the report.

    Parameters
    ----------
    user, time_s
        ``user[row]``, ``time_s[row]``, in order of time.

    Raises
    ------
    InputError
        A part would be empty.
    """
    part, told = _by_time(time_s, settings) if settings.by == "time" else _by_user(user, settings)
    sizes = np.bincount(part, minlength=3)
    if not sizes.all():
        empty = ("training", "validation", "test")[int(np.argmin(sizes))]
        raise InputError("split", f"the {empty} part has no row", "give other days or shares, or more rows")
    return part, told


def _by_time(time_s: np.ndarray, settings: SplitSettings) -> tuple[np.ndarray, dict[str, Any]]:
    end = (int(time_s[-1]) // _DAY_S + 1) * _DAY_S
    rows = len(time_s)
    if settings.test_days:
        test_from = end - round(settings.test_days * _DAY_S)
    else:
        test_from = int(time_s[min(rows - 1, round(rows * (1 - settings.test_share)))])
    if settings.validation_days:
        validation_from = test_from - round(settings.validation_days * _DAY_S)
    else:
        share = settings.validation_share
        before = int(np.searchsorted(time_s, test_from))
        validation_from = int(time_s[max(0, before - max(1, round(rows * share)))]) if before else test_from
    part = (time_s >= validation_from).astype(np.int64) + (time_s >= test_from)
    return part, {"by": "time", "validation_from": _moment(validation_from), "test_from": _moment(test_from)}


def _by_user(user: np.ndarray, settings: SplitSettings) -> tuple[np.ndarray, dict[str, Any]]:
    order = np.argsort(user, kind="stable")
    count = np.bincount(user)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    rank = np.empty(len(user), np.int64)
    rank[order] = np.arange(len(user)) - start[user[order]]
    test = np.where(count >= 2, np.maximum(1, np.rint(count * settings.test_share)), 0).astype(np.int64)
    rest = count - test
    wanted = np.maximum(1, np.rint(count * settings.validation_share)).astype(np.int64)
    validation = np.where(rest >= 2, np.minimum(wanted, rest - 1), 0)
    from_end = count[user] - rank
    part = (from_end <= (test + validation)[user]).astype(np.int64) + (from_end <= test[user])
    told = {"by": "user", "test_share": settings.test_share, "validation_share": settings.validation_share}
    return part, told | {"users_in_training_alone": int((test[np.unique(user)] == 0).sum())}


def _moment(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
