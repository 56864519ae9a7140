"""Filtering: neural matrix factorisation (He et al. 2017, arXiv:1708.05031).

Two views of a pair, each with its own vectors of user and item: their element-wise product, and layers over both side
by side. A linear layer joins the views to one score. Ids are all that the model sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.models.base import Prunable, with_overrides
from workloads.models.layers import Mlp, mlp_count, padded_table
from workloads.models.pointwise import click_labels, logit, mean_target, stacked, with_negatives
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
    "NeuMf",
    "NeuMfConfig",
    "build",
    "config_for",
    "default_config",
    "example_inputs",
    "inputs",
    "refresh",
    "training_batch",
]

STAGE = "filter"
UNIT = "items"
INPUTS = f"user and item ids Zipf({ZIPF_EXPONENT}) spread over their tables"
TRAINING_UNIT = "interactions"
PRUNABLE = (Prunable("mlp", "mlp", ("hidden",)),)
_FIRST_SPREAD = 0.01


@dataclass(frozen=True)
class NeuMfConfig:
    """Sizes of both views: vectors that are multiplied, and vectors that layers read.

    ``out`` is the width of the layers' last activation, beside which the product is laid.
    """

    users: int = 4_000_000
    items: int = 1_000_000
    product_dim: int = 32
    layer_dim: int = 128
    hidden: tuple[int, ...] = (256, 128)
    out: int = 64
    objective: str = "click"
    mean: float = 0.5
    dropout: float = 0.0
    negatives: int = 4

    def layer_sizes(self) -> tuple[int, ...]:
        """Widths of the layers over both vectors."""
        return (2 * self.layer_dim, *self.hidden, self.out)

    def embedding_count(self) -> int:
        """Numbers in the four tables."""
        return (self.users + self.items) * (self.product_dim + self.layer_dim)

    def parameter_count(self) -> int:
        """Numbers in tables and layers."""
        return self.embedding_count() + mlp_count(self.layer_sizes()) + mlp_count((self.product_dim + self.out, 1))


class NeuMf(nn.Module):
    """One score for each user-candidate pair."""

    def __init__(self, config: NeuMfConfig) -> None:
        super().__init__()
        self.predicts_rating = config.objective == "rating"
        self.user_product = padded_table(config.users, config.product_dim, _FIRST_SPREAD**0.5)
        self.item_product = padded_table(config.items, config.product_dim, _FIRST_SPREAD**0.5)
        self.user_table = padded_table(config.users, config.layer_dim, _FIRST_SPREAD)
        self.item_table = padded_table(config.items, config.layer_dim, _FIRST_SPREAD)
        self.mlp = Mlp(config.layer_sizes(), last_activation=True, dropout=config.dropout)
        self.head = nn.Linear(config.product_dim + config.out, 1)
        nn.init.constant_(self.head.bias, logit(config.mean))

    def logits(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """``logit[item]`` of the score."""
        product = self.user_product(user) * self.item_product(item)
        read = self.mlp(torch.cat((self.user_table(user), self.item_table(item)), dim=1))
        return self.head(torch.cat((product, read), dim=1)).squeeze(1)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """``score[item]`` between 0 and 1 of ``user[item]`` with ``item[item]``."""
        return torch.sigmoid(self.logits(user, item))

    score = forward

    def loss(self, target: torch.Tensor, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of ``target[row]``, or squared error of ratings."""
        logits = self.logits(user, item)
        if self.predicts_rating:
            return nn.functional.mse_loss(torch.sigmoid(logits), target)
        return nn.functional.binary_cross_entropy_with_logits(logits, target)


def default_config() -> NeuMfConfig:
    """Four million users, one million items; layers of 256, 128 and 64."""
    return NeuMfConfig()


def config_for(data: PreparedData, **overrides: Any) -> NeuMfConfig:
    """Tables as the data needs, narrower vectors and layers, and dropout."""
    config = NeuMfConfig(
        users=data.users, items=data.items, product_dim=32, layer_dim=32, hidden=(128, 64), out=32, dropout=0.3
    )
    config = with_overrides(config, overrides)
    return with_overrides(config, {"mean": mean_target(data, config.objective, config.negatives)} | overrides)


def build(config: NeuMfConfig) -> NeuMf:
    """The model with random weights."""
    return NeuMf(config)


def example_inputs(config: NeuMfConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``user[item]`` and ``item[item]`` (int32)."""
    return zipf_ids(generator, config.users, (batch_size,)), zipf_ids(generator, config.items, (batch_size,))


def inputs(rows: Rows, config: NeuMfConfig) -> tuple[np.ndarray, ...]:
    """``user[row]`` and ``item[row]``."""
    return rows.trained_user(), rows.trained_item()


def training_batch(rows: Rows, config: NeuMfConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``target[row]``, then `inputs`; unrated items join the rows when clicks are learnt."""
    if config.objective == "rating":
        return rows.target, *inputs(rows, config)
    parts = with_negatives(rows, config.negatives, generator)
    return click_labels(parts), *stacked([inputs(part, config) for part in parts])


def refresh(network: nn.Module, data: PreparedData, config: NeuMfConfig, known: str = "train") -> None:
    """Nothing: no vectors of items are stored apart from the tables."""
