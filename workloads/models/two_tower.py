"""Retrieval: a user tower, and an exhaustive search of its vector against every item's.

The user tower embeds the user's id and the mean of a bag of recently seen items, and mixes both with context
features. The item tower mixes the item's embedding, the same that the bag takes, with the item's features; it runs
offline, in `refresh`. Its output is the matrix searched here by one matrix product and a top-k.
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
from workloads.models.layers import Mlp, best_items, mlp_count, padded_table
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
    "TwoTower",
    "TwoTowerConfig",
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
INPUTS = f"user and history ids Zipf({ZIPF_EXPONENT}) spread over their tables, context features normal"
TRAINING_UNIT = "interactions"
PRUNABLE = (Prunable("tower", "mlp", ("hidden",)), Prunable("item_tower", "mlp", ("item_hidden",)))
_FIRST_SPREAD = 0.05


@dataclass(frozen=True)
class TwoTowerConfig:
    """Sizes of the retrieval model.

    ``temperature`` divides the cosines that training compares; ``trend_days``, where above 0, has the scores follow
    popularity over about so many days (`workloads.models.trend`).
    """

    users: int = 4_000_000
    items: int = 1_000_000
    dim: int = 64
    history_length: int = 50
    context_features: int = 16
    hidden: tuple[int, ...] = (512, 256)
    top_k: int = 500
    item_features: int = 32
    item_hidden: tuple[int, ...] = (256,)
    temperature: float = 0.1
    dropout: float = 0.0
    trend_days: float = 0.0

    def layer_sizes(self) -> tuple[int, ...]:
        """Widths of the user tower from input to query vector."""
        return (2 * self.dim + self.context_features, *self.hidden, self.dim)

    def item_layer_sizes(self) -> tuple[int, ...]:
        """Widths of the item tower from input to searched vector."""
        return (self.dim + self.item_features, *self.item_hidden, self.dim)

    def embedding_count(self) -> int:
        """Numbers in the user table and in the history's item table."""
        return (self.users + self.items) * self.dim

    def parameter_count(self) -> int:
        """Numbers in tables, layers and the searched item matrix."""
        layers = mlp_count(self.layer_sizes()) + mlp_count(self.item_layer_sizes())
        return self.embedding_count() + layers + self.items * (self.dim + (1 if self.trend_days else 0))


class TwoTower(nn.Module):
    """Scores and ids of the best items for each user."""

    predicts_rating = False

    def __init__(self, config: TwoTowerConfig) -> None:
        super().__init__()
        self.top_k, self.temperature = config.top_k, config.temperature
        self.user_table = padded_table(config.users, config.dim, _FIRST_SPREAD)
        self.history_table = nn.EmbeddingBag(config.items, config.dim, mode="mean", padding_idx=0)
        with torch.no_grad():
            self.history_table.weight.normal_(std=_FIRST_SPREAD)
            self.history_table.weight[:1].zero_()
        self.tower = Mlp(config.layer_sizes(), dropout=config.dropout)
        self.item_tower = Mlp(config.item_layer_sizes(), dropout=config.dropout)
        add_trend(self, config.items, config.trend_days)
        self.register_buffer("item_vectors", torch.randn(config.items, config.dim) / config.dim**0.5)

    def query(self, user: torch.Tensor, history: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``query[request, channel]`` from the user tower."""
        looked_up = self.user_table(user)
        parts = (looked_up, self.history_table(history), context.to(looked_up.dtype))
        return self.tower(torch.cat(parts, dim=1))

    def item_vector(self, item: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """``vector[row, channel]`` from the item tower, for ``item[row]`` and ``features[row, feature]``."""
        looked_up = nn.functional.embedding(item, self.history_table.weight, padding_idx=0)
        return self.item_tower(torch.cat((looked_up, features.to(looked_up.dtype)), dim=1))

    def scores(self, user: torch.Tensor, history: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``scores[request, item]``: products with the stored item vectors; arguments as in `forward`."""
        return tower_scores(self, self.query(user, history, context), self.temperature)

    def forward(
        self, user: torch.Tensor, history: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Best items of each user.

        Parameters
        ----------
        user, history, context
            ``user[request]``, ``history[request, position]`` ids; ``context[request, feature]``.

        Returns
        -------
        tuple
            ``scores[request, rank]`` falling, and int32 ``items[request, rank]``.
        """
        return best_items(self.scores(user, history, context), self.top_k)

    def loss(
        self,
        user: torch.Tensor,
        history: torch.Tensor,
        context: torch.Tensor,
        item: torch.Tensor,
        features: torch.Tensor,
        log_share: torch.Tensor,
    ) -> torch.Tensor:
        """Cross-entropy of each row's item among those of the batch; see `workloads.models.in_batch`."""
        query, vector = self.query(user, history, context), self.item_vector(item, features)
        return in_batch_loss(query, vector, item, log_share, self.temperature)


def default_config() -> TwoTowerConfig:
    """Four million users, one million items."""
    return TwoTowerConfig()


def config_for(data: PreparedData, **overrides: Any) -> TwoTowerConfig:
    """Tables and features as the data needs, and dropout."""
    config = TwoTowerConfig(
        users=data.users,
        items=data.items,
        context_features=user_features_width(data),
        item_features=item_features_width(data),
        hidden=(256, 128),
        item_hidden=(128,),
        top_k=min(100, data.items - 1),
        dropout=0.2,
        trend_days=trend_days_for(data),
    )
    return with_overrides(config, overrides)


def build(config: TwoTowerConfig) -> TwoTower:
    """The model with random weights."""
    return TwoTower(config)


def example_inputs(config: TwoTowerConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``user[request]`` and ``history[request, position]`` (int32), ``context[request, feature]`` (float32)."""
    user = zipf_ids(generator, config.users, (batch_size,))
    history = zipf_ids(generator, config.items - 1, (batch_size, config.history_length)) + np.int32(1)
    context = generator.standard_normal((batch_size, config.context_features), dtype=np.float32)
    return user, history, context


def inputs(rows: Rows, config: TwoTowerConfig) -> tuple[np.ndarray, ...]:
    """``user[row]``, ``history[row, position]``, ``context[row, feature]``."""
    return rows.trained_user(), rows.history(config.history_length), user_features(rows)


def training_batch(rows: Rows, config: TwoTowerConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """`inputs`, then ``item[row]``, ``features[row, feature]`` of it and the logarithm of its share of interactions."""
    item = rows.trained_item()
    return *inputs(rows, config), item, settled_item_features(rows), item_log_share(rows.data, item)


def refresh(network: nn.Module, data: PreparedData, config: TwoTowerConfig, known: str = "train") -> None:
    """Run the item tower over every item and store its vectors, of length 1; note what is popular now."""
    store_trend(network, data, known, config.trend_days)
    store_item_vectors(network, data, known, lambda rows: (rows.trained_item(), item_features(rows)))
