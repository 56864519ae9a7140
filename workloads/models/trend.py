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

__all__ = ["add_trend", "log_trend", "store_trend", "tower_scores", "trend_days_for"]

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


def add_trend(network: nn.Module, items: int, days: float) -> bool:
    """Give the network a buffer ``trend[item, 0]`` of zeros where `days` is above 0; whether it has one now."""
    if days > 0:
        network.register_buffer("trend", torch.zeros(items, 1))
    return days > 0


def tower_scores(network: nn.Module, query: torch.Tensor, temperature: float) -> torch.Tensor:
    """``scores[request, item]`` of ``query[request, channel]`` with the network's stored item vectors.

    With a trend they are cosines over temperature, which is what towers are trained on, and the trend; without one,
    products.
    """
    vectors = network.get_buffer("item_vectors")
    if not hasattr(network, "trend"):
        return query @ vectors.T
    return torch.addmm(network.get_buffer("trend").T, nn.functional.normalize(query) / temperature, vectors.T)


def store_trend(network: nn.Module, data: PreparedData, known: str, days: float) -> None:
    """Fill ``network.trend[item, 0]``, where the network has it and anything is known."""
    if days > 0 and len(data.known(cast(Any, known)).table):
        trend = network.get_buffer("trend")
        trend.copy_(torch.from_numpy(log_trend(data, known, days)[:, None]))
