"""What is popular now against what was popular over the training part, as a term of retrieval scores.

A softmax trained on a long log answers with the popularity of that log. Where popularity moves, its probabilities are
those of another time; multiplying each by (share of now / share of then) corrects them, if users' tastes are otherwise
the same (prior shift: Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
probabilities"). On logits that is the sum with a stored vector, made anew in `refresh` without training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["log_trend", "store_trend", "trend_days_for", "trend_scores"]

_DAY_S = 86_400.0
_DAYS = 7.0
_FLOOR = 0.02
"""Share of the old popularity that every item keeps, so that none is written off."""


def trend_days_for(data: PreparedData) -> float:
    """Days for `log_trend`: a week where one moment divides the data; 0, so none, where each user has its own."""
    return _DAYS if data.split == "time" else 0.0


def log_trend(data: PreparedData, known: str, days: float) -> np.ndarray:
    """``log_ratio[item]`` (float32): logarithm of each item's share of late over its share of the training part.

    Parameters
    ----------
    data, known
        Interactions: the training part, or training and validation (``all``).
    days
        An interaction so many days before the last weighs 1/e of it in the late share.
    """
    then = np.bincount(data.train.item, minlength=data.items) + 1.0
    log = data.known(cast(Any, known)).table
    age_days = (log.time_s[-1] - log.time_s) / _DAY_S
    now = np.bincount(log.item, weights=np.exp(-age_days / days), minlength=data.items)
    ratio = (now / now.sum()) / (then / then.sum())
    return np.log(ratio + _FLOOR).astype(np.float32)


def trend_scores(query: torch.Tensor, vectors: torch.Tensor, trend: torch.Tensor, temperature: float) -> torch.Tensor:
    """``scores[request, item]``: cosines over temperature, which is what towers are trained on, and the trend.

    ``query[request, channel]``; ``vectors[item, channel]`` of length 1; ``trend[item, 0]``.
    """
    return torch.addmm(trend.T, nn.functional.normalize(query) / temperature, vectors.T)


def store_trend(network: nn.Module, data: PreparedData, known: str, days: float) -> None:
    """Fill ``network.trend[item, 0]``, where the network has it and anything is known."""
    if days > 0 and len(data.known(cast(Any, known)).table):
        trend = network.get_buffer("trend")
        trend.copy_(torch.from_numpy(log_trend(data, known, days)[:, None]))
