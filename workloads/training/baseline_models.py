"""Baselines that need no training to speak of, judged as models are: who cannot beat them says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from workloads.training.evaluation.judging import judge
from workloads.training.evaluation.results import Metrics

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows
    from workloads.interactions.types import Known, Part

__all__ = ["BASELINES", "Additive", "baselines", "fit_biases"]

BASELINES = ("global mean", "item mean", "user and item bias", "popularity", "recent popularity")

_LAMBDAS = tuple(2.0**power for power in range(-1, 10))
_RECENT_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0)
_DEFAULT_LAMBDAS = (4.0, 4.0)
_DEFAULT_DAYS = 7.0
_DAY_S = 86_400
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Additive:
    """A score that is a constant, a number for the user and a number for the item, in sum.

    Attributes
    ----------
    mean
        The constant.
    user, item
        ``user[user]``, ``item[item]``, float64.
    predicts_rating, ranks
        As `evaluation.Scorer` has them.
    """

    mean: float
    user: np.ndarray
    item: np.ndarray
    predicts_rating: bool = True
    ranks: bool = True

    def row_scores(self, rows: Rows) -> np.ndarray:
        """``score[row]``."""
        found: np.ndarray = self.mean + self.user[rows.user] + self.item[rows.item]
        return found

    def item_scores(self, users: np.ndarray, known: Known) -> torch.Tensor:
        """``score[user, item]``."""
        return torch.from_numpy((self.mean + self.user[users, None] + self.item[None, :]).astype(np.float32))


def baselines(
    data: PreparedData, part: Part = "test", ks: tuple[int, ...] = (10,), ranking_users: int = 0
) -> dict[str, Metrics]:
    """Judge every baseline on a part.

    Parameters
    ----------
    data
        For ``test``: what the baselines may choose (the strength of regularisation, the days that are recent) is
        chosen on the validation part, then they are fitted on training and validation part together. Without a
        validation part, and for ``validation``, fixed values are taken.
    part, ks, ranking_users
        As for `evaluation.judge`; a sample of users is the same one for models and baselines.

    Returns
    -------
    dict
        Name to metrics.
    """
    choose = part == "test" and len(data.validation) > 0
    lambdas = min(_tried(data, _LAMBDAS))[1] if choose else _DEFAULT_LAMBDAS
    days = max(_days_tried(data))[1] if choose else _DEFAULT_DAYS
    last = data.with_validation_in_training() if part == "test" else data
    made: dict[str, Callable[[], Additive]] = {
        "global mean": lambda: _global_mean(last),
        "item mean": lambda: _item_mean(last),
        "user and item bias": lambda: fit_biases(last, *lambdas),
        "popularity": lambda: _popularity(last, None),
        "recent popularity": lambda: _popularity(last, days),
    }
    return {name: judge(made[name](), last, part, ks, ranking_users) for name in BASELINES}


def fit_biases(data: PreparedData, user_lambda: float, item_lambda: float, rounds: int = _ROUNDS) -> Additive:
    """Ridge regression on user and item, solved by turns (Koren, Bell and Volinsky 2009).

    Minimises the sum of squared errors of ``mean + user + item`` with ``user_lambda`` times the squares of users'
    numbers and ``item_lambda`` times those of items', on ratings as shares of their scale. Others' numbers are 0.
    """
    table = data.train
    mean = float(data.scaled(table.rating).astype(np.float64).mean())
    residual = data.scaled(table.rating).astype(np.float64) - mean
    users, items = np.bincount(table.user, minlength=data.users), np.bincount(table.item, minlength=data.items)
    user, item = np.zeros(data.users), np.zeros(data.items)
    for _ in range(rounds):
        item = np.bincount(table.item, residual - user[table.user], data.items) / np.maximum(items + item_lambda, 1e-9)
        user = np.bincount(table.user, residual - item[table.item], data.users) / np.maximum(users + user_lambda, 1e-9)
    return Additive(mean, user, item)


def _tried(data: PreparedData, lambdas: tuple[float, ...]) -> Iterator[tuple[float, tuple[float, float]]]:
    """RMSE on the validation part for each pair of strengths."""
    table = data.validation
    target = data.scaled(table.rating).astype(np.float64)
    for user_lambda in lambdas:
        for item_lambda in lambdas:
            found = fit_biases(data, user_lambda, item_lambda)
            answer = np.clip(found.mean + found.user[table.user] + found.item[table.item], 0.0, 1.0)
            yield float(np.sqrt(((answer - target) ** 2).mean())), (user_lambda, item_lambda)


def _days_tried(data: PreparedData) -> Iterator[tuple[float, float]]:
    """NDCG@10 on the validation part for each length of what is recent."""
    for days in _RECENT_DAYS:
        found = judge(_popularity(data, days), data, "validation", (10,), replicates=0)
        yield found.values().get("ndcg10", 0.0), days


def _global_mean(data: PreparedData) -> Additive:
    mean = float(data.scaled(data.train.rating).astype(np.float64).mean())
    return Additive(mean, np.zeros(data.users), np.zeros(data.items), ranks=False)


def _item_mean(data: PreparedData) -> Additive:
    """The plain mean of each item's ratings; the global one for items without any."""
    return Additive(*_only_items(fit_biases(data, np.inf, 0.0, rounds=1)))


def _only_items(found: Additive) -> tuple[float, np.ndarray, np.ndarray]:
    return found.mean, np.zeros_like(found.user), found.item


def _popularity(data: PreparedData, days: float | None) -> Additive:
    """Interactions of each item; those of the last so many days first, all others only to break ties."""
    table = data.train
    count = np.bincount(table.item, minlength=data.items).astype(np.float64)
    if days is not None:
        recent = table.item[table.time_s > table.time_s[-1] - days * _DAY_S]
        count = np.bincount(recent, minlength=data.items) + count / (count.sum() + 1.0)
    return Additive(0.0, np.zeros(data.users), count, predicts_rating=False)
