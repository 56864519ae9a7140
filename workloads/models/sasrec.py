"""Retrieval: self-attention over a user's last items (Kang and McAuley 2018, arXiv:1808.09781).

Each position reads itself and those before it, and answers which item follows. Layers are pre-norm, item vectors are
shared between input and output, and the loss is the cross-entropy over every item rather than over a sampled one,
which ranks better (Klenitskiy and Vasilev 2023, arXiv:2309.07602). Histories are padded on the left; nobody reads a
padding position but that position itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.models.base import Prunable, with_overrides
from workloads.models.layers import best_items, padded_table
from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids
from workloads.models.sequences import crop_windows
from workloads.models.transformer import Encoder, EncoderSizes
from workloads.models.trend import add_trend, store_trend, trend_days_for

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = [
    "INPUTS",
    "PRUNABLE",
    "STAGE",
    "TRAINING_UNIT",
    "UNIT",
    "SasRec",
    "SasRecConfig",
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
INPUTS = f"history ids Zipf({ZIPF_EXPONENT}) spread over the table, every position in use"
TRAINING_UNIT = "users"
PRUNABLE = (Prunable("encoder", "encoder", ("heads", "feed_forward")),)
_FIRST_SPREAD = 0.02


@dataclass(frozen=True)
class SasRecConfig:
    """Sizes of the encoder.

    ``reach`` is how many of a user's last items training windows are cut from; ``trend_days``, where above 0, has the
    scores follow popularity over about so many days (`workloads.models.trend`).
    """

    items: int = 1_000_000
    width: int = 128
    layers: int = 2
    heads: int = 4
    head_dim: int = 32
    feed_forward: int = 512
    history_length: int = 50
    top_k: int = 500
    dropout: float = 0.0
    reach: int = 400
    trend_days: float = 0.0

    def encoder_sizes(self) -> EncoderSizes:
        """The encoder's part of the sizes."""
        sizes = (self.width, self.layers, self.heads, self.head_dim, self.feed_forward)
        return EncoderSizes(*sizes, norm_first=True, dropout=self.dropout)

    def embedding_count(self) -> int:
        """Numbers in the item and position tables."""
        return (self.items + self.history_length) * self.width

    def parameter_count(self) -> int:
        """Numbers in tables and layers."""
        trend = self.items if self.trend_days else 0
        return self.embedding_count() + self.encoder_sizes().parameter_count() + trend


class SasRec(nn.Module):
    """Scores and ids of the items that may come next."""

    predicts_rating = False

    def __init__(self, config: SasRecConfig) -> None:
        super().__init__()
        self.top_k = config.top_k
        self.input_scale = config.width**0.5
        self.item_table = padded_table(config.items, config.width, _FIRST_SPREAD)
        self.positions = nn.Embedding(config.history_length, config.width)
        nn.init.normal_(self.positions.weight, std=_FIRST_SPREAD)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config.encoder_sizes())
        self.has_trend = add_trend(self, config.items, config.trend_days)
        length = config.history_length
        self.register_buffer("earlier", torch.ones(length, length, dtype=torch.bool).tril())
        self.register_buffer("itself", torch.eye(length, dtype=torch.bool))

    def encode(self, history: torch.Tensor) -> torch.Tensor:
        """``hidden[request, position, channel]``, each position knowing nothing of later ones."""
        there = (history > 0)[:, None, None, :]
        mask = (there & self.get_buffer("earlier")) | self.get_buffer("itself")
        hidden = self.item_table(history) * self.input_scale + self.positions.weight
        return self.encoder(self.dropout(hidden), mask)

    def scores(self, history: torch.Tensor) -> torch.Tensor:
        """``scores[request, item]`` (logits) of every item to come next."""
        last, weight = self.encode(history)[:, -1], self.item_table.weight
        return torch.addmm(self.get_buffer("trend").T, last, weight.T) if self.has_trend else last @ weight.T

    def forward(self, history: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Best next items.

        Parameters
        ----------
        history
            ``history[request, position]`` ids, oldest first, padded with 0 on the left.

        Returns
        -------
        tuple
            ``scores[request, rank]`` falling, and int32 ``items[request, rank]``.
        """
        return best_items(self.scores(history), self.top_k)

    def loss(self, history: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the next item at every position, summed over a row's positions and divided by the length.

        Parameters
        ----------
        history, following
            ``[row, position]`` ids; what follows each position, 0 where nothing is to be answered.
        """
        asked = following > 0
        logits = self.encode(history)[asked] @ self.item_table.weight.T
        logits[:, 0] = float("-inf")
        return nn.functional.cross_entropy(logits, following[asked].long(), reduction="sum") / following.numel()


def default_config() -> SasRecConfig:
    """One million items, two layers over 50 positions."""
    return SasRecConfig()


def config_for(data: PreparedData, **overrides: Any) -> SasRecConfig:
    """The item table as the data needs, and dropout."""
    config = SasRecConfig(
        items=data.items, top_k=min(100, data.items - 1), dropout=0.3, trend_days=trend_days_for(data)
    )
    return with_overrides(config, overrides)


def build(config: SasRecConfig) -> SasRec:
    """The model with random weights."""
    return SasRec(config)


def example_inputs(config: SasRecConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``history[request, position]`` (int32)."""
    return (zipf_ids(generator, config.items - 1, (batch_size, config.history_length)) + np.int32(1),)


def inputs(rows: Rows, config: SasRecConfig) -> tuple[np.ndarray, ...]:
    """``history[row, position]``."""
    return (rows.history(config.history_length),)


def training_batch(rows: Rows, config: SasRecConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``history[user, position]`` and ``following[user, position]``, a random window of each user's items."""
    window = crop_windows(rows.history(config.reach), config.history_length + 1, generator)
    history, following = window[:, :-1], window[:, 1:]
    return history, np.where(history > 0, following, np.int32(0))


def refresh(network: nn.Module, data: PreparedData, config: SasRecConfig, known: str = "train") -> None:
    """Note what is popular now, if the scores follow it."""
    store_trend(network, data, known, config.trend_days)
