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
    rating = raw.frame["rating"].to_numpy(dtype=np.float64, na_value=np.nan)
    time_s = raw.frame["time_s"].to_numpy(dtype=np.float64, na_value=np.nan)
    kept = np.ones(len(user), bool)
    dropped: dict[str, int] = {}

    def drop(reason: str, bad: np.ndarray) -> None:
        dropped[reason] = int((kept & bad).sum())
        kept[bad] = False

    drop("user missing", user < 0)
    drop("item missing", item < 0)
    drop("rating missing or no number", ~np.isfinite(rating))
    drop("time missing or no time", ~np.isfinite(time_s))
    low, high, like_from, notes = _scale(raw, rating[kept])
    drop("rating outside the scale", (rating < low) | (rating > high))
    drop("time before 1970 or after 2100", (time_s < 0) | (time_s >= _YEAR_2100_S))
    _refuse_empty(raw, kept, dropped)
    drop("time far from all others", _far(time_s, kept))

    order = np.flatnonzero(kept)[np.argsort(time_s[kept], kind="stable")]
    seconds = np.floor(time_s[order]).astype(np.int64)
    exact, repeated = _repeats(user[order], item[order], rating[order], seconds)
    stays = ~exact if settings.keep_repeats else ~(exact | repeated)
    dropped["exact duplicate of another row"] = int(exact.sum())
    dropped["earlier rating of the same pair"] = 0 if settings.keep_repeats else int((repeated & ~exact).sum())
    order, seconds = order[stays], seconds[stays]

    suspect = _suspects(user[order], seconds, len(user_keys), settings.suspect_per_day)
    suspects = _told_suspects(suspect, user[order], user_keys, settings)
    if settings.drop_suspects:
        stays = ~suspect[user[order]]
        dropped["suspect user"] = int((~stays).sum())
        order, seconds = order[stays], seconds[stays]
    stays = _core(user[order], item[order], settings.fewest_of_user, settings.fewest_of_item)
    dropped["user or item with too few interactions"] = int((~stays).sum())
    order, seconds = order[stays], seconds[stays]
    _refuse_empty(raw, order, dropped)
    report: dict[str, Any] = {
        "source": raw.source,
        "licence": raw.licence,
        "rows_read": len(raw.frame),
        "rows_dropped": dropped,
        "rows_kept": len(order),
        "repeats_kept": settings.keep_repeats,
        "suspects": suspects,
        "notes": [*raw.notes, *notes],
    }
    ordered = (user[order], item[order], rating[order], seconds)
    return CleanLog(*ordered, user_keys, item_keys, low, high, like_from, report)


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


def _scale(raw: RawLog, rating: np.ndarray) -> tuple[float, float, float, list[str]]:
    """The scale as given, or as the ratings show it."""
    notes = []
    if raw.rating_low is None or raw.rating_high is None:
        if not len(rating):
            raise InputError(raw.source, "no row is left to take the scale of ratings from", "check the columns named")
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
    return low, high, like_from, notes


def _far(time_s: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Times further from the middle 98 % than ten times its width (or ten days): clocks gone wrong, and zeros.

    One of them would move the days that the split counts from the end.
    """
    low, high = np.quantile(time_s[kept], [0.01, 0.99])
    room = _FAR * max(high - low, _DAY_S)
    return (time_s < low - room) | (time_s > high + room) | ((time_s == 0) & (low > 366 * _DAY_S))


def _repeats(
    user: np.ndarray, item: np.ndarray, rating: np.ndarray, time_s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which the same row comes again; and rows of whose pair a later rating comes. Rows are in order."""
    import pandas as pd

    rows = pd.DataFrame({"user": user, "item": item, "rating": rating, "time_s": time_s})
    return rows.duplicated(keep="last").to_numpy(), rows.duplicated(["user", "item"], keep="last").to_numpy()


def _suspects(user: np.ndarray, time_s: np.ndarray, users: int, most_per_day: int) -> np.ndarray:
    """``suspect[user]``, bool."""
    day = time_s // _DAY_S
    pair, count = np.unique((day - day.min()) * users + user if len(day) else day, return_counts=True)
    found = np.zeros(users, bool)
    found[pair[count > most_per_day] % users] = True
    return found


def _told_suspects(
    suspect: np.ndarray, user: np.ndarray, user_keys: np.ndarray, settings: CleanSettings
) -> dict[str, Any]:
    count = np.bincount(user, minlength=len(suspect)) * suspect
    top = np.argsort(-count, kind="stable")[: min(_SHOWN_SUSPECTS, int(suspect.sum()))]
    return {
        "more_on_one_day_than": settings.suspect_per_day,
        "users": int(suspect.sum()),
        "rows": int(count.sum()),
        "dropped": settings.drop_suspects,
        "most_active": {str(user_keys[k]): int(count[k]) for k in top},
    }


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


def _refuse_empty(raw: RawLog, kept: np.ndarray, dropped: dict[str, int]) -> None:
    if not kept.any():
        reason, rows = max(dropped.items(), key=lambda each: each[1])
        fix = "give --time-unit ms" if reason.startswith("time before") else "check the columns and options"
        raise InputError(raw.source, f"no row is left; {rows:,} of {len(raw.frame):,} have: {reason}", fix)
