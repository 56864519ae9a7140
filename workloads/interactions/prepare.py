"""From a source to prepared data: read, clean, divide, number, describe, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workloads.errors import InputError
from workloads.interactions.clean import CleanLog, CleanSettings, clean
from workloads.interactions.features import StaticFeatures, static_features
from workloads.interactions.sources.movielens import read_movielens_100k
from workloads.interactions.sources.movietweetings import read_movietweetings
from workloads.interactions.sources.raw import RawLog
from workloads.interactions.sources.table import TableColumns, read_own_table
from workloads.interactions.split import SplitSettings, part_of_rows
from workloads.interactions.types import InteractionTable, PreparedData

__all__ = ["SOURCES", "prepare", "prepare_log", "read_source"]

SOURCES = ("movietweetings", "movielens-100k")


def prepare(
    source: str | Path,
    *,
    split: str = "time",
    folder: Path | None = None,
    columns: TableColumns | None = None,
    scale: tuple[float, float] | None = None,
    like_from: float | None = None,
    cleaning: CleanSettings | None = None,
    **split_options: float | None,
) -> PreparedData:
    """Prepare a source for training.

    Parameters
    ----------
    source
        ``movietweetings``, ``movielens-100k``, or the path of a CSV or Parquet table of one's own.
    split
        ``time`` or ``user``; see `SplitSettings`, also for `split_options` (test_days, validation_days,
        test_share, validation_share; None is not given).
    folder
        Where a published data set lies; by default where it is usually found.
    columns
        What the columns of one's own table mean.
    scale, like_from
        Lowest and highest rating, and from where a rating is a like; by default as the source has them.
    cleaning
        What to drop beyond what cannot be used.

    Raises
    ------
    InputError
        The source is absent or cannot be used; the options make no sense.
    """
    raw = read_source(source, folder, columns, scale, like_from)
    settings = split_settings(raw, split, **split_options)
    return prepare_log(raw, settings, cleaning or CleanSettings())


def read_source(
    source: str | Path,
    folder: Path | None = None,
    columns: TableColumns | None = None,
    scale: tuple[float, float] | None = None,
    like_from: float | None = None,
) -> RawLog:
    """Read the log of a source; see `prepare`."""
    if str(source) not in SOURCES:
        if not Path(source).is_file():
            known = " or ".join(SOURCES)
            raise InputError(str(source), "is neither a known source nor a file", f"give {known}, or a CSV or Parquet")
        if folder is not None:
            raise InputError("--from", "does not go with a table of your own", f"give {source} alone")
        return read_own_table(Path(source), columns or TableColumns(), scale, like_from)
    if columns is not None:
        raise InputError(str(source), "has columns of its own", "name columns for a CSV or Parquet table only")
    if folder is not None and not folder.is_dir():
        raise InputError(str(folder), "is no folder", "give the folder that holds the data set's files")
    raw = read_movietweetings(folder) if str(source) == "movietweetings" else read_movielens_100k(folder)
    if scale is not None:
        raw = replace(raw, rating_low=scale[0], rating_high=scale[1])
    return raw if like_from is None else replace(raw, like_from=like_from)


def split_settings(raw: RawLog, by: str, **options: float | None) -> SplitSettings:
    """How to divide a log: as asked, and else as is usual for its source.

    By time: the source's days, or the last 10 % of the rows for test and 10 % before for validation. By user: 20 %
    and 10 %.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    by_days = [name for name in given if name.endswith("days")]
    for name in by_days:
        if by == "user":
            raise InputError(name, "does not go with a split by user", "give shares")
        if name.replace("days", "share") in given:
            raise InputError(name, "is given with a share of the same part", "give one of the two")
    if by == "user":
        given.setdefault("test_share", 0.2)
    else:
        for name in ("test", "validation"):
            if f"{name}_share" not in given:
                given.setdefault(f"{name}_days", getattr(raw, f"{name}_days"))
    return SplitSettings(by=by, **given)


def prepare_log(raw: RawLog, split: SplitSettings, cleaning: CleanSettings) -> PreparedData:
    """Clean, divide, number and describe a log."""
    log = clean(raw, cleaning)
    part, told = part_of_rows(log.user, log.time_s, split)
    (user, user_keys), (item, item_keys) = _numbered(log.user, log.user_keys), _numbered(log.item, log.item_keys)
    table = InteractionTable(user, item, log.rating.astype(np.float32), log.time_s)
    train, validation, test = (table.take(part == number) for number in range(3))
    of_users = static_features(raw.users, user_keys, _occurs(train.user, len(user_keys)))
    of_items = static_features(raw.items, item_keys, _occurs(train.item, len(item_keys)))
    data = _assembled(raw, log, split.by, (train, validation, test), of_users, of_items, user_keys, item_keys)
    report = log.report | {"split": told | {"parts": parts_report(data)}}
    return replace(data, report=report | {"user_features": of_users.report, "item_features": of_items.report})


def _assembled(
    raw: RawLog,
    log: CleanLog,
    split: str,
    parts: tuple[InteractionTable, InteractionTable, InteractionTable],
    of_users: StaticFeatures,
    of_items: StaticFeatures,
    user_keys: np.ndarray,
    item_keys: np.ndarray,
) -> PreparedData:
    return PreparedData(
        name=raw.name,
        split=split,
        users=len(user_keys) + 1,
        items=len(item_keys) + 1,
        rating_low=log.rating_low,
        rating_high=log.rating_high,
        like_from=log.like_from,
        user_dense=of_users.dense,
        item_dense=of_items.dense,
        user_categories=of_users.categories,
        item_categories=of_items.categories,
        user_category_rows=of_users.category_rows,
        item_category_rows=of_items.category_rows,
        item_tags=of_items.tags,
        tag_names=of_items.tag_names,
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        report={},
        user_dense_names=of_users.dense_names,
        item_dense_names=of_items.dense_names,
        user_category_names=of_users.category_names,
        item_category_names=of_items.category_names,
        user_keys=user_keys,
        item_keys=item_keys,
    )


def _numbered(code: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids from 1 in order of first appearance, and their keys; keys that do not appear have none."""
    used, first = np.unique(code, return_index=True)
    used = used[np.argsort(first, kind="stable")]
    place = np.zeros(len(keys), np.int32)
    place[used] = np.arange(1, len(used) + 1)
    return place[code], keys[used]


def _occurs(ids: np.ndarray, count: int) -> np.ndarray:
    """``[id]``, bool, for the ids 0 to `count`."""
    found = np.zeros(count + 1, bool)
    found[ids] = True
    return found


def parts_report(data: PreparedData) -> dict[str, dict[str, Any]]:
    """Sizes of the parts; and the share of rows whose user (item) no earlier part has."""
    known_users, known_items = np.zeros(data.users, bool), np.zeros(data.items, bool)
    found: dict[str, dict[str, Any]] = {}
    for name, table in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        cold_user, cold_item = ~known_users[table.user], ~known_items[table.item]
        found[name] = {
            "rows": len(table),
            "users": len(np.unique(table.user)),
            "items": len(np.unique(table.item)),
            "first_s": int(table.time_s[0]),
            "last_s": int(table.time_s[-1]),
            "mean_rating": round(float(table.rating.mean()), 4),
            "liked_share": round(float((table.rating >= data.like_from).mean()), 4),
        }
        if name != "train":
            found[name] |= {
                "rows_of_new_users_share": round(float(cold_user.mean()), 4),
                "rows_of_new_items_share": round(float(cold_item.mean()), 4),
                "rows_of_either_share": round(float((cold_user | cold_item).mean()), 4),
                "new_users": len(np.unique(table.user[cold_user])),
                "new_items": len(np.unique(table.item[cold_item])),
            }
        known_users[table.user] = known_items[table.item] = True
    return found
