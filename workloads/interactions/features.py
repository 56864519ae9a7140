"""Static features of users and items, from what the source tells of them; fitted on the training part alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.interactions.clean import keys_of
from workloads.interactions.sources.raw import Entities

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StaticFeatures", "static_features"]

_WIDEST = 5.0
"""A quantity further from the mean than so many deviations is moved to there."""


@dataclass(frozen=True, eq=False)
class StaticFeatures:
    """Features of users (or of items); row 0 stands for none.

    Attributes
    ----------
    dense, dense_names
        ``dense[id, feature]``, float32.
    categories, category_rows, category_names
        ``categories[id, column]``, int32, 0 unknown, below ``category_rows[column]``.
    tags, tag_names
        ``tags[id, tag]``, bool.
    report
        What was found, in counts.
    """

    dense: np.ndarray
    dense_names: tuple[str, ...]
    categories: np.ndarray
    category_rows: tuple[int, ...]
    category_names: tuple[str, ...]
    tags: np.ndarray
    tag_names: tuple[str, ...]
    report: dict[str, Any]


def static_features(told: Entities, keys: np.ndarray, in_training: np.ndarray) -> StaticFeatures:
    """Features of the ids 0 to ``len(keys)``.

    Parameters
    ----------
    told
        What the source tells.
    keys
        ``keys[id - 1]``: the id as the source has it.
    in_training
        ``in_training[id]``, bool. Means, deviations, and which values and tags there are come from these alone.
    """
    frame, told_rows, repeated = _aligned(told, keys)
    dense, dense_names, clipped = _numbers(frame, told.numbers, in_training)
    categories, rows, unseen = _categories(frame, told.categories, in_training)
    tags, tag_names, unseen_tags = _tags(frame, told.tags, in_training)
    report = {
        "described": int(told_rows),
        "not_described": len(keys) - int(told_rows),
        "described_twice": repeated,
        "dense": list(dense_names),
        "quantities_moved_to_5_deviations": clipped,
        "categories": dict(zip(told.categories, rows)),
        "tags": len(tag_names),
        "missing": _missing(frame, told),
        "values_not_in_training": unseen,
        "tags_not_in_training": unseen_tags,
    }
    return StaticFeatures(dense, dense_names, categories, rows, told.categories, tags, tag_names, report)


def _aligned(told: Entities, keys: np.ndarray) -> tuple[pd.DataFrame, int, int]:
    """The source's table with one row for each id, row 0 empty; how many are described; how many rows were spare."""
    import pandas as pd

    if told.frame is None:
        return pd.DataFrame(index=range(len(keys) + 1)), 0, 0
    codes, names = keys_of(told.frame[told.key])
    known = codes >= 0
    frame = told.frame[known].assign(**{told.key: names[codes[known]]}).set_index(told.key)
    spare = frame.index.duplicated(keep="last")
    frame = frame[~spare]
    described = int(pd.Index(keys).isin(frame.index).sum())
    frame = frame.reindex(pd.Index(["\0", *keys]))
    return frame.reset_index(drop=True), described, int(spare.sum())


def _missing(frame: pd.DataFrame, told: Entities) -> dict[str, int]:
    """How many ids have no value, by column."""
    import pandas as pd

    found = {}
    for name in told.numbers:
        found[name] = int(pd.to_numeric(frame[name], errors="coerce").iloc[1:].isna().sum())
    for name in (*told.categories, *([told.tags] if told.tags else [])):
        found[name] = int((keys_of(frame[name])[0][1:] < 0).sum())
    return found


def _numbers(
    frame: pd.DataFrame, names: tuple[str, ...], in_training: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Quantities of mean 0 and deviation 1 over training, and where some are missing, a column that says which."""
    import pandas as pd

    columns, column_names, clipped = [], [], 0
    for name in names:
        value = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        there = np.isfinite(value)
        seen = value[there & in_training]
        mean, deviation = (seen.mean(), seen.std()) if len(seen) else (0.0, 0.0)
        scaled = np.where(there, (value - mean) / (deviation or np.inf), 0.0)
        clipped += int((np.abs(scaled) > _WIDEST).sum())
        columns.append(np.clip(scaled, -_WIDEST, _WIDEST))
        column_names.append(name)
        if not there[1:].all():
            columns.append((~there).astype(np.float64))
            column_names.append(f"{name}_missing")
    dense = np.stack(columns, axis=1) if columns else np.zeros((len(in_training), 0))
    dense[0] = 0.0
    return dense.astype(np.float32), tuple(column_names), clipped


def _categories(
    frame: pd.DataFrame, names: tuple[str, ...], in_training: np.ndarray
) -> tuple[np.ndarray, tuple[int, ...], int]:
    """Codes from 1 in the order of the values as text; values that training does not have are unknown."""
    found = np.zeros((len(in_training), len(names)), np.int32)
    rows, unseen = [], 0
    for column, name in enumerate(names):
        codes, values = keys_of(frame[name])
        used = np.zeros(len(values), bool)
        used[codes[(codes >= 0) & in_training]] = True
        in_order = sorted((int(code) for code in np.flatnonzero(used)), key=lambda code: _order(str(values[code])))
        table = np.zeros(len(values) + 1, np.int32)
        table[in_order] = np.arange(1, len(in_order) + 1)
        found[:, column] = table[codes]
        unseen += int(((codes >= 0) & (found[:, column] == 0)).sum())
        rows.append(len(in_order) + 1)
    found[0] = 0
    return found, tuple(rows), unseen


def _order(text: str) -> tuple[float, str]:
    """Numbers by size, then words by spelling."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _tags(frame: pd.DataFrame, name: str, in_training: np.ndarray) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Several names each; those that training does not have are left out."""
    if not name:
        return np.zeros((len(in_training), 0), bool), (), 0
    several = frame[name].fillna("").astype(str).str.split("|").explode().str.strip()
    several = several[several != ""]
    tag_names = tuple(sorted(set(several[in_training[several.index.to_numpy()]])))
    place = several.map({tag: k for k, tag in enumerate(tag_names)})
    found = np.zeros((len(in_training), len(tag_names)), bool)
    seen = place.notna().to_numpy()
    found[several.index.to_numpy()[seen], place[seen].to_numpy(np.int64)] = True
    found[0] = False
    return found, tag_names, int((~seen).sum())
