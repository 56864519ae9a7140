"""Cleaning a log: what cannot be used is dropped and counted, what is odd is counted and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.errors import InputError
from workloads.interactions.sources.raw import RawLog

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CleanLog", "CleanSettings", "clean", "keys_of"]

_DAY_S = 86_400
_YEAR_2100_S = 4_102_444_800
_FAR = 10.0
_SHOWN_SUSPECTS = 5


@dataclass(frozen=True)
class CleanSettings:
    """What to drop beyond what cannot be used.

    Attributes
    ----------
    keep_repeats
        Keep every interaction of a pair of user and item; else the last one alone.
    suspect_per_day
        A user with more interactions than this on one UTC day is suspect.
    drop_suspects
        Drop suspect users; else they are named and kept.
    fewest_of_user, fewest_of_item
        Drop users and items with fewer interactions, again and again until none is left (a k-core). 1 drops none.
    """

    keep_repeats: bool = False
    suspect_per_day: int = 300
    drop_suspects: bool = False
    fewest_of_user: int = 1
    fewest_of_item: int = 1

    def __post_init__(self) -> None:
        for name in ("suspect_per_day", "fewest_of_user", "fewest_of_item"):
            if getattr(self, name) < 1:
                raise InputError(name, f"{getattr(self, name)} is below 1", "give a whole number from 1")


@dataclass(frozen=True, eq=False)
class CleanLog:
    """A log without rows that cannot be used, in order of time.

    Attributes
    ----------
    user, item
        ``user[row]``, ``item[row]``, int64: places in `user_keys`, `item_keys`.
    rating, time_s
        ``rating[row]``, float64; ``time_s[row]``, int64.
    user_keys, item_keys
        Ids as the source has them, as text.
    rating_low, rating_high, like_from
        The scale.
    report
        What was found, in counts.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    time_s: np.ndarray
    user_keys: np.ndarray
    item_keys: np.ndarray
    rating_low: float
    rating_high: float
    like_from: float
    report: dict[str, Any]


def clean(raw: RawLog, settings: CleanSettings) -> CleanLog:
    """Drop rows that cannot be used, count why, and put the rest in order of time.

    A row is counted under the first reason that applies, in the order of the report.

    Raises
    ------
    InputError
        No row is left, or the scale makes no sense.
    """
    (user, user_keys), (item, item_keys) = keys_of(raw.frame["user"]), keys_of(raw.frame["item"])
    numbers = (raw.frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("rating", "time_s"))
    rows = _Sieve(user, item, *numbers)
    scale = _drop_unusable(rows, raw)
    rows.sort_by_time()
    _drop_repeats(rows, settings.keep_repeats)
    suspects = _handle_suspects(rows, user_keys, settings)
    rows.drop(
        "user or item with too few interactions",
        ~_core(rows.user, rows.item, settings.fewest_of_user, settings.fewest_of_item),
    )
    _refuse_empty(rows, raw)
    report: dict[str, Any] = {
        "source": raw.source,
        "licence": raw.licence,
        "rows_read": len(raw.frame),
        "rows_dropped": rows.dropped,
        "rows_kept": len(rows),
        "repeats_kept": settings.keep_repeats,
        "suspects": suspects,
        "rows_of_unknown_order": _ties(rows.user, rows.time_s),
        "notes": [*raw.notes, *scale.notes],
    }
    columns = (rows.user, rows.item, rows.rating, rows.time_s.astype(np.int64), user_keys, item_keys)
    return CleanLog(*columns, scale.low, scale.high, scale.like_from, report)


class _Sieve:
    """Rows that are left, and how many went for which reason."""

    def __init__(self, user: np.ndarray, item: np.ndarray, rating: np.ndarray, time_s: np.ndarray) -> None:
        self.user, self.item, self.rating, self.time_s = user, item, rating, time_s
        self.dropped: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.user)

    def drop(self, reason: str, bad: np.ndarray) -> None:
        """Drop the rows of a mask."""
        self.dropped[reason] = int(bad.sum())
        if bad.any():
            self._take(~bad)

    def sort_by_time(self) -> None:
        """Whole seconds, in order; at equal times, in the order of the log."""
        self.time_s = np.floor(self.time_s)
        self._take(np.argsort(self.time_s, kind="stable"))

    def _take(self, index: np.ndarray) -> None:
        self.user, self.item = self.user[index], self.item[index]
        self.rating, self.time_s = self.rating[index], self.time_s[index]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    like_from: float
    notes: tuple[str, ...]


def _drop_unusable(rows: _Sieve, raw: RawLog) -> _Scale:
    """Drop rows with a missing or an impossible value; return the scale of the ratings."""
    rows.drop("user missing", rows.user < 0)
    rows.drop("item missing", rows.item < 0)
    rows.drop("rating missing or no number", ~np.isfinite(rows.rating))
    rows.drop("time missing or no time", ~np.isfinite(rows.time_s))
    _refuse_empty(rows, raw)
    scale = _scale(raw, rows.rating)
    rows.drop("rating outside the scale", (rows.rating < scale.low) | (rows.rating > scale.high))
    rows.drop("time before 1970 or after 2100", (rows.time_s < 0) | (rows.time_s >= _YEAR_2100_S))
    _refuse_empty(rows, raw)
    rows.drop("time far from all others", _far(rows.time_s))
    return scale


def keys_of(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a column of ids, -1 where missing or blank, and the ids as text.

    Whole numbers read the same whether a gap in their column made them 12.0 or not.
    """
    import pandas as pd

    codes, uniques = pd.factorize(series, use_na_sentinel=True)
    values = pd.Series(uniques)
    if pd.api.types.is_float_dtype(values) and bool((values == np.floor(values)).all()):
        values = values.astype("int64")
    text = values.astype(str).str.strip()
    merged, names = pd.factorize(text.where(text != ""), use_na_sentinel=True)
    table = np.append(merged, -1)
    return table[codes].astype(np.int64), np.asarray(names, dtype=str)


def _scale(raw: RawLog, rating: np.ndarray) -> _Scale:
    """The scale as given, or as the ratings show it."""
    notes = []
    if raw.rating_low is None or raw.rating_high is None:
        low, high = float(rating.min()), float(rating.max())
        notes.append(f"assumed: the scale of ratings is the range found, {low:g} to {high:g}")
    else:
        low, high = float(raw.rating_low), float(raw.rating_high)
    if not low < high:
        raise InputError("scale of ratings", f"{low:g} to {high:g} is no range", "give --scale LOW:HIGH")
    like_from = raw.like_from
    if like_from is None:
        like_from = low + 0.75 * (high - low)
        notes.append(f"assumed: a rating from {like_from:g}, three quarters of the scale, is a like")
    if not low < like_from <= high:
        problem = f"{like_from:g} is not above {low:g} and at most {high:g}"
        raise InputError("--like-from", problem, "give a rating within the scale")
    return _Scale(low, high, like_from, tuple(notes))


def _far(time_s: np.ndarray) -> np.ndarray:
    """Times further from the middle 98 % than ten times its width (or ten days): clocks gone wrong, and zeros.

    One of them would move the days that the split counts from the end.
    """
    low, high = np.quantile(time_s, [0.01, 0.99])
    room = _FAR * max(high - low, _DAY_S)
    return (time_s < low - room) | (time_s > high + room) | ((time_s == 0) & (low > 366 * _DAY_S))


def _drop_repeats(rows: _Sieve, keep: bool) -> None:
    """Of rows that are the same in everything, keep one; of the ratings of a pair, the last, unless `keep`."""
    import pandas as pd

    frame = pd.DataFrame({"user": rows.user, "item": rows.item, "rating": rows.rating, "time_s": rows.time_s})
    exact = frame.duplicated(keep="last").to_numpy()
    repeated = frame[~exact].duplicated(["user", "item"], keep="last").to_numpy()
    rows.drop("exact duplicate of another row", exact)
    rows.drop("earlier rating of the same pair", repeated & (not keep))


def _handle_suspects(rows: _Sieve, user_keys: np.ndarray, settings: CleanSettings) -> dict[str, Any]:
    """Find users who do more in a day than people do; tell who they are, and drop them if asked to."""
    suspect = _suspects(rows.user, rows.time_s.astype(np.int64), len(user_keys), settings.suspect_per_day)
    count = np.bincount(rows.user, minlength=len(suspect)) * suspect
    top = np.argsort(-count, kind="stable")[: min(_SHOWN_SUSPECTS, int(suspect.sum()))]
    if settings.drop_suspects:
        rows.drop("suspect user", suspect[rows.user])
    return {
        "more_on_one_day_than": settings.suspect_per_day,
        "users": int(suspect.sum()),
        "rows": int(count.sum()),
        "dropped": settings.drop_suspects,
        "most_active": {str(user_keys[k]): int(count[k]) for k in top},
    }


def _suspects(user: np.ndarray, time_s: np.ndarray, users: int, most_per_day: int) -> np.ndarray:
    """``suspect[user]``, bool."""
    day = time_s // _DAY_S
    pair, count = np.unique((day - day.min()) * users + user if len(day) else day, return_counts=True)
    found = np.zeros(users, bool)
    found[pair[count > most_per_day] % users] = True
    return found


def _ties(user: np.ndarray, time_s: np.ndarray) -> int:
    """Rows whose user has another row at the same second: which of them came first is not known."""
    order = np.lexsort((time_s, user))
    same = (np.diff(user[order]) == 0) & (np.diff(time_s[order]) == 0)
    return int((np.append(same, False) | np.append(False, same)).sum())


def _core(user: np.ndarray, item: np.ndarray, fewest_of_user: int, fewest_of_item: int) -> np.ndarray:
    """Rows whose user and item have enough rows among those that stay."""
    stays = np.ones(len(user), bool)
    while stays.any():
        users, items = np.bincount(user[stays]), np.bincount(item[stays])
        poor = stays.copy()
        poor[stays] = (users[user[stays]] < fewest_of_user) | (items[item[stays]] < fewest_of_item)
        if not poor.any():
            break
        stays &= ~poor
    return stays


def _refuse_empty(rows: _Sieve, raw: RawLog) -> None:
    if not len(rows):
        reason, count = max(rows.dropped.items(), key=lambda each: each[1])
        fix = "give --time-unit ms" if reason.startswith("time before") else "check the columns and options"
        raise InputError(raw.source, f"no row is left; {count:,} of {len(raw.frame):,} have: {reason}", fix)
