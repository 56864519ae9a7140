"""Retrieval: two LSTMs, one over a user's last items and one over an item's last users.

The first gives the query of a request. The second gives each item's vector and runs offline, in `refresh`; the vectors
are searched by one matrix product and a top-k, as in the plain two-tower model. After recurrent recommender networks
(Wu et al. 2017), with towers trained by an in-batch softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.models.base import Prunable, with_overrides
from workloads.models.features import (
    item_features,
    item_features_width,
    settled_item_features,
    user_features,
    user_features_width,
)
from workloads.models.in_batch import in_batch_loss, item_log_share
from workloads.models.item_vectors import store_item_vectors
from workloads.models.layers import best_items, padded_table
from workloads.models.recurrent import LstmReader, lstm_count
from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids
from workloads.models.trend import add_trend, store_trend, tower_scores, trend_days_for

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = [
    "INPUTS",
    "PRUNABLE",
    "STAGE",
    "TRAINING_UNIT",
    "UNIT",
    "LstmTwoTower",
    "LstmTwoTowerConfig",
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
INPUTS = f"history ids Zipf({ZIPF_EXPONENT}) spread over the table, every position in use, context features normal"
TRAINING_UNIT = "interactions"
PRUNABLE = (Prunable("user_reader", "lstm", ("hidden",)), Prunable("item_reader", "lstm", ("item_hidden",)))
_FIRST_SPREAD = 0.05


@dataclass(frozen=True)
class LstmTwoTowerConfig:
    """Sizes of both towers; the user table is read by the item tower alone.

    ``temperature`` divides the cosines that training compares; ``trend_days``, where above 0, has the scores follow
    popularity over about so many days (`workloads.models.trend`).
    """

    users: int = 1_000_000
    items: int = 1_000_000
    dim: int = 64
    hidden: int = 256
    item_hidden: int = 128
    history_length: int = 50
    audience_length: int = 20
    context_features: int = 16
    item_features: int = 32
    top_k: int = 500
    temperature: float = 0.1
    dropout: float = 0.0
    trend_days: float = 0.0

    def embedding_count(self) -> int:
        """Numbers in both id tables."""
        return (self.users + self.items) * self.dim

    def parameter_count(self) -> int:
        """Numbers in tables, towers and the searched item matrix."""
        readers = lstm_count(self.dim, self.hidden) + lstm_count(self.dim, self.item_hidden)
        features = (self.context_features + self.item_features) * self.dim + 2 * self.dim
        return self.embedding_count() + readers + features + self.items * (self.dim + (1 if self.trend_days else 0))


class LstmTwoTower(nn.Module):
    """Scores and ids of the best items for each user."""

    predicts_rating = False

    def __init__(self, config: LstmTwoTowerConfig) -> None:
        super().__init__()
        self.top_k, self.temperature = config.top_k, config.temperature
        self.user_table = padded_table(config.users, config.dim, _FIRST_SPREAD)
        self.item_table = padded_table(config.items, config.dim, _FIRST_SPREAD)
        self.user_reader = LstmReader(config.dim, config.hidden, config.history_length)
        self.item_reader = LstmReader(config.dim, config.item_hidden, config.audience_length)
        self.context = nn.Linear(config.context_features, config.dim)
        self.features = nn.Linear(config.item_features, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        add_trend(self, config.items, config.trend_days)
        self.register_buffer("item_vectors", torch.randn(config.items, config.dim) / config.dim**0.5)

    def query(self, history: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``query[request, channel]`` from the user tower."""
        read = self.user_reader(history, self.item_table)
        return self.dropout(read + self.context(context.to(read.dtype)))

    def item_vector(self, item: torch.Tensor, audience: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """``vector[row, channel]`` from the item tower: the item, its last users, and its features."""
        own = self.item_table(item)
        read = self.item_reader(audience, self.user_table)
        return self.dropout(own + read + self.features(features.to(own.dtype)))

    def scores(self, history: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``scores[request, item]``: products with the stored item vectors; arguments as in `forward`."""
        return tower_scores(self, self.query(history, context), self.temperature)

    def forward(self, history: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Best items of each user.

        Parameters
        ----------
        history, context
            ``history[request, position]`` ids, oldest first, padded with 0 on the left; ``context[request, feature]``.

        Returns
        -------
        tuple
            ``scores[request, rank]`` falling, and int32 ``items[request, rank]``.
        """
        return best_items(self.scores(history, context), self.top_k)

    def loss(
        self,
        history: torch.Tensor,
        context: torch.Tensor,
        item: torch.Tensor,
        audience: torch.Tensor,
        features: torch.Tensor,
        log_share: torch.Tensor,
    ) -> torch.Tensor:
        """Cross-entropy of each row's item among those of the batch; see `workloads.models.in_batch`."""
        query, vector = self.query(history, context), self.item_vector(item, audience, features)
        return in_batch_loss(query, vector, item, log_share, self.temperature)


def default_config() -> LstmTwoTowerConfig:
    """One million items, 256 hidden units over 50 items."""
    return LstmTwoTowerConfig()


def config_for(data: PreparedData, **overrides: Any) -> LstmTwoTowerConfig:
    """Tables and features as the data needs, fewer hidden units, and dropout."""
    config = LstmTwoTowerConfig(
        users=data.users,
        items=data.items,
        hidden=128,
        item_hidden=64,
        history_length=30,
        audience_length=20,
        context_features=user_features_width(data),
        item_features=item_features_width(data),
        top_k=min(100, data.items - 1),
        dropout=0.2,
        trend_days=trend_days_for(data),
    )
    return with_overrides(config, overrides)


def build(config: LstmTwoTowerConfig) -> LstmTwoTower:
    """The model with random weights."""
    return LstmTwoTower(config)


def example_inputs(
    config: LstmTwoTowerConfig, batch_size: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """``history[request, position]`` (int32) and ``context[request, feature]`` (float32)."""
    history = zipf_ids(generator, config.items - 1, (batch_size, config.history_length)) + np.int32(1)
    return history, generator.standard_normal((batch_size, config.context_features), dtype=np.float32)


def inputs(rows: Rows, config: LstmTwoTowerConfig) -> tuple[np.ndarray, ...]:
    """``history[row, position]`` and ``context[row, feature]``."""
    return rows.history(config.history_length), user_features(rows)


def training_batch(rows: Rows, config: LstmTwoTowerConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """`inputs`, then the item with its audience and features, and the logarithm of its share of interactions."""
    item = rows.trained_item()
    audience, features = rows.audience(config.audience_length), settled_item_features(rows)
    return *inputs(rows, config), item, audience, features, item_log_share(rows.data, item)


def refresh(network: nn.Module, data: PreparedData, config: LstmTwoTowerConfig, known: str = "train") -> None:
    """Run the item tower over every item and store its vectors, of length 1; note what is popular now."""
    store_trend(network, data, known, config.trend_days)
    store_item_vectors(network, data, known, lambda rows: _item_arguments(rows, config))


def _item_arguments(rows: Rows, config: LstmTwoTowerConfig) -> tuple[np.ndarray, ...]:
    return rows.trained_item(), rows.audience(config.audience_length), item_features(rows)
