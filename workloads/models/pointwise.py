"""What models that score one user and item at a time share: their two objectives and the rows that they need."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = ["click_labels", "logit", "mean_target", "stacked", "staleness_for", "with_negatives", "with_stale_knowledge"]

_DAY_S = 86_400
_STALE_DAYS = 28.0


def logit(share: float) -> float:
    """The logit of a probability, which is kept away from 0 and 1."""
    inside = min(max(share, 1e-4), 1.0 - 1e-4)
    return math.log(inside / (1.0 - inside))


def mean_target(data: PreparedData, objective: str, negatives: int) -> float:
    """Mean of what the objective fits on the training part: rating as a share of its scale, or label of a click."""
    if len(data.train) == 0:
        return 0.5
    if objective == "rating":
        return float((data.train.rating.mean() - data.rating_low) / (data.rating_high - data.rating_low))
    return float((data.train.rating >= data.like_from).mean() / (1 + negatives))


def staleness_for(data: PreparedData) -> float:
    """Days for `with_stale_knowledge`: four weeks where one moment divides the data, 0 where each user has its own."""
    return _STALE_DAYS if data.split == "time" else 0.0


def with_stale_knowledge(rows: Rows, days: float, generator: np.random.Generator) -> Rows:
    """Training rows that know nothing of their last hours or days, each for its own time drawn up to ``days``.

    A model that serves for weeks from what was known at its start meets users and items whose last event is long ago.
    In the training part the last event was mostly just before, so that it would learn too much trust in fresh facts.
    """
    if days <= 0:
        return rows
    since_s = rows.time_s - (generator.random(len(rows)) * days * _DAY_S).astype(np.int64)
    return replace(rows, before=np.minimum(rows.before, np.searchsorted(rows.log.table.time_s, since_s)))


def with_negatives(rows: Rows, negatives: int, generator: np.random.Generator) -> list[Rows]:
    """The rows, then ``negatives`` times the same users and moments with items that they have not rated.

    Items are drawn uniformly, so that a probability stays comparable between popular and rare ones.
    """
    from workloads.interactions.negatives import sample_negatives

    drawn = [sample_negatives(rows.user, rows.data, generator, power=0.0) for _ in range(negatives)]
    return [rows, *(rows.with_items(items) for items in drawn)]


def click_labels(parts: list[Rows]) -> np.ndarray:
    """``label[row]`` (float32) of `with_negatives`: 1 where the user liked the item, else 0, unrated ones too."""
    first, *others = parts
    return np.concatenate([first.liked.astype(np.float32), *(np.zeros(len(part), np.float32) for part in others)])


def stacked(batches: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Batches of the same arrays, one behind another."""
    return tuple(np.concatenate(arrays) for arrays in zip(*batches))
