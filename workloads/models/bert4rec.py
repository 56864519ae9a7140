"""Retrieval: a bidirectional encoder of a user's items, trained to fill gaps (Sun et al. 2019, arXiv:1904.06690).

Training hides some items behind a mask token and asks for them, reading both sides. Serving appends the mask token to
the history and asks what stands there. Item vectors are shared between input and output; the loss is the cross-entropy
over every item. Histories are padded on the left, and padding is never read.
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
    "Bert4Rec",
    "Bert4RecConfig",
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
INPUTS = f"history ids Zipf({ZIPF_EXPONENT}) spread over the table, every position but the mask token's in use"
TRAINING_UNIT = "users"
PRUNABLE = (Prunable("encoder", "encoder", ("heads", "feed_forward")),)
_FIRST_SPREAD = 0.02


@dataclass(frozen=True)
class Bert4RecConfig:
    """Sizes of the encoder.

    ``length`` counts positions, the mask token's included; ``masked`` is the share of items hidden while training,
    ``reach`` how many of a user's last items training windows are cut from. ``trend_days``, where above 0, has the
    scores follow popularity over about so many days (`workloads.models.trend`).
    """

    items: int = 1_000_000
    width: int = 256
    layers: int = 2
    heads: int = 4
    head_dim: int = 64
    feed_forward: int = 1024
    length: int = 50
    top_k: int = 500
    dropout: float = 0.0
    masked: float = 0.2
    reach: int = 400
    trend_days: float = 0.0

    def encoder_sizes(self) -> EncoderSizes:
        """The encoder's part of the sizes."""
        sizes = (self.width, self.layers, self.heads, self.head_dim, self.feed_forward)
        return EncoderSizes(*sizes, dropout=self.dropout)

    def embedding_count(self) -> int:
        """Numbers in the tables of items (and the mask token) and positions."""
        return (self.items + 1 + self.length) * self.width

    def parameter_count(self) -> int:
        """Numbers in tables, layers and the items' biases."""
        width = self.width
        norm, head = 2 * width, width * width + width + 2 * width + self.items * (2 if self.trend_days else 1)
        return self.embedding_count() + norm + self.encoder_sizes().parameter_count() + head


class Bert4Rec(nn.Module):
    """Scores and ids of the items that may come next."""

    predicts_rating = False

    def __init__(self, config: Bert4RecConfig) -> None:
        super().__init__()
        self.top_k, self.items = config.top_k, config.items
        self.item_table = padded_table(config.items + 1, config.width, _FIRST_SPREAD)
        self.positions = nn.Embedding(config.length, config.width)
        nn.init.normal_(self.positions.weight, std=_FIRST_SPREAD)
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config.encoder_sizes())
        self.head = nn.Linear(config.width, config.width)
        self.head_norm = nn.LayerNorm(config.width)
        self.item_bias = nn.Parameter(torch.zeros(config.items))
        self.has_trend = add_trend(self, config.items, config.trend_days)
        self.register_buffer("mask_token", torch.full((1, 1), config.items, dtype=torch.int32))

    def encode(self, token: torch.Tensor) -> torch.Tensor:
        """``hidden[row, position, channel]`` of ``token[row, position]``; the id behind the last item is the mask."""
        there = (token > 0)[:, None, None, :]
        hidden = self.dropout(self.norm(self.item_table(token) + self.positions.weight))
        return self.encoder(hidden, there)

    def answer(self, hidden: torch.Tensor) -> torch.Tensor:
        """``logits[place, item]`` for what stands at places with ``hidden[place, channel]``."""
        read = self.head_norm(nn.functional.gelu(self.head(hidden)))
        return torch.addmm(self.item_bias, read, self.item_table.weight[: self.items].T)

    def scores(self, history: torch.Tensor) -> torch.Tensor:
        """``scores[request, item]`` (logits); arguments as in `forward`."""
        mask = self.get_buffer("mask_token").to(history.dtype).expand(len(history), 1)
        answer = self.answer(self.encode(torch.cat((history, mask), dim=1))[:, -1])
        return answer + self.get_buffer("trend").T if self.has_trend else answer

    def forward(self, history: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Best next items.

        Parameters
        ----------
        history
            ``history[request, position]`` ids, one position short of the encoder's, oldest first, padded with 0 on
            the left.

        Returns
        -------
        tuple
            ``scores[request, rank]`` falling, and int32 ``items[request, rank]``.
        """
        return best_items(self.scores(history), self.top_k)

    def loss(self, token: torch.Tensor, hidden_item: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the hidden items, each row's mean over its own; rows that hide nothing count 0.

        Parameters
        ----------
        token, hidden_item
            ``[row, position]``: what is read, and the item behind each mask, 0 elsewhere.
        """
        asked = hidden_item > 0
        logits = self.answer(self.encode(token)[asked])
        logits[:, 0] = float("-inf")
        each = nn.functional.cross_entropy(logits, hidden_item[asked].long(), reduction="none")
        share = (1.0 / asked.sum(dim=1).clamp(min=1))[:, None].expand_as(asked)[asked]
        return (each * share).sum() / len(token)


def default_config() -> Bert4RecConfig:
    """One million items, two layers of width 256 over 50 positions."""
    return Bert4RecConfig()


def config_for(data: PreparedData, **overrides: Any) -> Bert4RecConfig:
    """The item table as the data needs, width 128, and dropout."""
    config = Bert4RecConfig(
        items=data.items,
        width=128,
        head_dim=32,
        feed_forward=512,
        top_k=min(100, data.items - 1),
        dropout=0.2,
        trend_days=trend_days_for(data),
    )
    return with_overrides(config, overrides)


def build(config: Bert4RecConfig) -> Bert4Rec:
    """The model with random weights."""
    return Bert4Rec(config)


def example_inputs(config: Bert4RecConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``history[request, position]`` (int32)."""
    return (zipf_ids(generator, config.items - 1, (batch_size, config.length - 1)) + np.int32(1),)


def inputs(rows: Rows, config: Bert4RecConfig) -> tuple[np.ndarray, ...]:
    """``history[row, position]``."""
    return (rows.history(config.length - 1),)


def training_batch(rows: Rows, config: Bert4RecConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``token[user, position]`` and ``hidden_item[user, position]``: a window of each user's items, some hidden.

    One user in two has the last item hidden alone, which is what serving asks; the others a random share.
    """
    window = crop_windows(rows.history(config.reach), config.length, generator)
    there = window > 0
    hidden = there & (generator.random(window.shape) < config.masked)
    last_alone = generator.random(len(window)) < 0.5
    last_alone |= ~hidden.any(axis=1)
    hidden[last_alone] = False
    hidden[last_alone, -1] = there[last_alone, -1]
    return np.where(hidden, np.int32(config.items), window), np.where(hidden, window, np.int32(0))


def refresh(network: nn.Module, data: PreparedData, config: Bert4RecConfig, known: str = "train") -> None:
    """Note what is popular now, if the scores follow it."""
    store_trend(network, data, known, config.trend_days)
