"""Retrieval: biased matrix factorisation (Koren, Bell and Volinsky 2009, "Matrix factorization techniques").

A user's score of an item is a mean, a bias of each, and the dot product of their vectors. Trained on ratings it is
regularised: the squares of all biases and vectors are added to the sum of squared errors, each user's and item's once,
not once for each of its ratings, so that those with few ratings stay near the mean. Trained on clicks the sum is a
logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.models.base import Prunable, with_overrides
from workloads.models.layers import best_items, padded_table
from workloads.models.pointwise import click_labels, logit, mean_target, with_negatives
from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = [
    "INPUTS",
    "PRUNABLE",
    "STAGE",
    "TRAINING_UNIT",
    "UNIT",
    "BiasedMf",
    "BiasedMfConfig",
    "build",
    "config_for",
    "default_config",
    "example_inputs",
    "inputs",
    "refresh",
    "training_batch",
]

STAGE = "retrieve"
UNIT = "requests"
INPUTS = f"user ids Zipf({ZIPF_EXPONENT}) spread over the table"
TRAINING_UNIT = "interactions"
PRUNABLE: tuple[Prunable, ...] = ()
_FIRST_SPREAD = 0.01


@dataclass(frozen=True)
class BiasedMfConfig:
    """Sizes, and what is learnt.

    ``mean`` is the mean of targets (the share of the rating scale, or of likes) that an untrained model answers;
    ``bias_regularisation`` and ``regularisation`` weigh the squares of biases and of vectors, in units of a rating's (a
    click's) error on its scale of 0 to 1, and ``negatives`` unrated items join each rating when clicks are learnt.
    """

    users: int = 4_000_000
    items: int = 1_000_000
    dim: int = 64
    top_k: int = 500
    objective: str = "rating"
    mean: float = 0.5
    bias_regularisation: float = 4.0
    regularisation: float = 2.0
    negatives: int = 4

    def embedding_count(self) -> int:
        """Numbers in vectors and biases."""
        return (self.users + self.items) * (self.dim + 1)

    def parameter_count(self) -> int:
        """Numbers in vectors, biases and the mean."""
        return self.embedding_count() + 1


class BiasedMf(nn.Module):
    """Scores and ids of the best items for each user."""

    def __init__(self, config: BiasedMfConfig) -> None:
        super().__init__()
        self.top_k = config.top_k
        self.bias_regularisation, self.regularisation = config.bias_regularisation, config.regularisation
        self.predicts_rating = config.objective == "rating"
        self.user_table = padded_table(config.users, config.dim, _FIRST_SPREAD)
        self.item_table = padded_table(config.items, config.dim, _FIRST_SPREAD)
        self.user_bias = padded_table(config.users, 1, 0.0)
        self.item_bias = padded_table(config.items, 1, 0.0)
        mean = config.mean if self.predicts_rating else logit(config.mean)
        self.mean = nn.Parameter(torch.full((1,), mean))

    def scores(self, user: torch.Tensor) -> torch.Tensor:
        """``scores[request, item]`` of every item: ratings as shares of their scale, now and then beyond 0 and 1,
        or logits of a like."""
        bias = self.item_bias.weight.T + self.mean
        return torch.addmm(bias, self.user_table(user), self.item_table.weight.T) + self.user_bias(user)

    def forward(self, user: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Best items of each ``user[request]``: ``scores[request, rank]`` falling, int32 ``items[request, rank]``."""
        return best_items(self.scores(user), self.top_k)

    def loss(
        self,
        user: torch.Tensor,
        item: torch.Tensor,
        target: torch.Tensor,
        user_share: torch.Tensor,
        item_share: torch.Tensor,
    ) -> torch.Tensor:
        """Squared error, or cross-entropy of clicks, with the squares of what the rows touch.

        Parameters
        ----------
        user, item, target
            ``[row]``.
        user_share, item_share
            ``[row]``: of its user's and its item's rows in an epoch, one by their number.
        """
        user_vector, item_vector = self.user_table(user), self.item_table(item)
        user_bias, item_bias = self.user_bias(user).squeeze(1), self.item_bias(item).squeeze(1)
        answer = self.mean + user_bias + item_bias + (user_vector * item_vector).sum(dim=1)
        squares = user_share * self._squares(user_bias, user_vector) + item_share * self._squares(
            item_bias, item_vector
        )
        if self.predicts_rating:
            error = (answer - target) ** 2
        else:
            error = nn.functional.binary_cross_entropy_with_logits(answer, target, reduction="none")
        return (error + squares).mean()

    def _squares(self, bias: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        return self.bias_regularisation * bias**2 + self.regularisation * (vector**2).sum(dim=1)


def default_config() -> BiasedMfConfig:
    """Four million users, one million items."""
    return BiasedMfConfig()


def config_for(data: PreparedData, **overrides: Any) -> BiasedMfConfig:
    """Tables as the data needs, vectors of 32."""
    config = BiasedMfConfig(users=data.users, items=data.items, dim=32, top_k=min(100, data.items - 1))
    config = with_overrides(config, overrides)
    return with_overrides(config, {"mean": mean_target(data, config.objective, config.negatives)} | overrides)


def build(config: BiasedMfConfig) -> BiasedMf:
    """The model with random vectors, near zero."""
    return BiasedMf(config)


def example_inputs(config: BiasedMfConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``user[request]`` (int32)."""
    return (zipf_ids(generator, config.users, (batch_size,)),)


def inputs(rows: Rows, config: BiasedMfConfig) -> tuple[np.ndarray, ...]:
    """``user[request]``."""
    return (rows.trained_user(),)


def training_batch(rows: Rows, config: BiasedMfConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``user[row]``, ``item[row]`` and ``target[row]`` (with unrated items when clicks are learnt), and shares."""
    if config.objective == "rating":
        user, item = rows.trained_user(), rows.trained_item()
        return user, item, rows.target, *_shares(rows.data, user, item, 0)
    parts = with_negatives(rows, config.negatives, generator)
    user = np.concatenate([part.trained_user() for part in parts])
    item = np.concatenate([part.trained_item() for part in parts])
    return user, item, click_labels(parts), *_shares(rows.data, user, item, config.negatives)


def _shares(data: PreparedData, user: np.ndarray, item: np.ndarray, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """``share[row]`` of its user's, and of its item's, rows in an epoch; negatives count as drawn evenly over items."""
    of_user = np.bincount(data.train.user, minlength=data.users) * (1 + negatives)
    of_item = np.bincount(data.train.item, minlength=data.items) + len(data.train) * negatives / data.items
    shares = (1.0 / np.maximum(count[ids], 1.0) for count, ids in ((of_user, user), (of_item, item)))
    first, second = (share.astype(np.float32) for share in shares)
    return first, second


def refresh(network: nn.Module, data: PreparedData, config: BiasedMfConfig, known: str = "train") -> None:
    """Nothing: the item table is what is searched."""
