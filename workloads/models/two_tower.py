"""Retrieval: a user tower, and an exhaustive search of its vector against every item's.

The user tower embeds the user's id and the mean of a bag of recently seen items, and mixes both with context
features. The item tower runs offline; its output is the matrix searched here by one matrix product and a top-k.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids

__all__ = [
    "INPUTS",
    "STAGE",
    "UNIT",
    "TwoTower",
    "TwoTowerConfig",
    "build",
    "default_config",
    "example_inputs",
]

STAGE = "retrieve"
UNIT = "requests"
INPUTS = f"user and history ids Zipf({ZIPF_EXPONENT}) spread over their tables, context features normal"


@dataclass(frozen=True)
class TwoTowerConfig:
    """Sizes of the retrieval model."""

    users: int = 4_000_000
    items: int = 1_000_000
    dim: int = 64
    history_length: int = 50
    context_features: int = 16
    hidden: tuple[int, ...] = (512, 256)
    top_k: int = 500

    def layer_sizes(self) -> tuple[int, ...]:
        """Widths of the user tower from input to query vector."""
        return (2 * self.dim + self.context_features, *self.hidden, self.dim)

    def embedding_count(self) -> int:
        """Numbers in the user table and in the history's item table."""
        return (self.users + self.items) * self.dim

    def parameter_count(self) -> int:
        """Numbers in tables, layers and the searched item matrix."""
        widths = self.layer_sizes()
        layers = sum(wide * high + high for wide, high in itertools.pairwise(widths))
        return self.embedding_count() + layers + self.items * self.dim


class TwoTower(nn.Module):
    """Scores and ids of the best items for each user."""

    def __init__(self, config: TwoTowerConfig) -> None:
        super().__init__()
        self.top_k = config.top_k
        self.user_table = nn.Embedding(config.users, config.dim)
        self.history_table = nn.EmbeddingBag(config.items, config.dim, mode="mean")
        widths = config.layer_sizes()
        layers: list[nn.Module] = []
        for wide, high in itertools.pairwise(widths):
            layers += [nn.Linear(wide, high), nn.ReLU()]
        self.tower = nn.Sequential(*layers[:-1])
        self.register_buffer("item_vectors", torch.randn(config.items, config.dim) / config.dim**0.5)

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
        item_vectors = self.get_buffer("item_vectors")
        parts = (self.user_table(user), self.history_table(history), context.to(item_vectors.dtype))
        query = self.tower(torch.cat(parts, dim=1))
        scores, items = torch.topk(query @ item_vectors.T, self.top_k, dim=1)
        return scores, items.to(torch.int32)


def default_config() -> TwoTowerConfig:
    """Four million users, one million items."""
    return TwoTowerConfig()


def build(config: TwoTowerConfig) -> TwoTower:
    """The model with random weights."""
    return TwoTower(config)


def example_inputs(config: TwoTowerConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``user[request]`` and ``history[request, position]`` (int32), ``context[request, feature]`` (float32)."""
    user = zipf_ids(generator, config.users, (batch_size,))
    history = zipf_ids(generator, config.items, (batch_size, config.history_length))
    context = generator.standard_normal((batch_size, config.context_features), dtype=np.float32)
    return user, history, context
