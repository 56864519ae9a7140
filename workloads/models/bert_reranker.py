"""Reranking: an encoder of BERT-base shape reads a user's tokens beside an item's and scores the pair.

The first part of the sequence stands for the user's profile and history, the second for the item's features; each pair
is a sequence of its own (a cross-encoder). At serving size every position is in use: no padding, so no mask. On
prepared data (`workloads.models.reranker_tokens`) padding is not read, ratings stand beside tokens as grades, and a
pair's dense features join the first token and, past the encoder, the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.models.base import Prunable, with_overrides
from workloads.models.pointwise import (
    click_labels,
    logit,
    mean_target,
    stacked,
    staleness_for,
    with_negatives,
    with_stale_knowledge,
)
from workloads.models.reranker_tokens import GRADES, token_rows, tokens
from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids
from workloads.models.transformer import Encoder, EncoderSizes

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = [
    "INPUTS",
    "PRUNABLE",
    "STAGE",
    "TRAINING_UNIT",
    "UNIT",
    "BertReranker",
    "BertRerankerConfig",
    "build",
    "config_for",
    "default_config",
    "example_inputs",
    "inputs",
    "refresh",
    "training_batch",
]

STAGE = "rerank"
UNIT = "items"
INPUTS = f"token ids Zipf({ZIPF_EXPONENT}) over the vocabulary, every position of the sequence in use"
TRAINING_UNIT = "interactions"
PRUNABLE = (Prunable("encoder", "encoder", ("heads", "feed_forward")),)
_FIRST_SPREAD = 0.02


@dataclass(frozen=True)
class BertRerankerConfig:
    """Sizes of the encoder, and what it learns; the defaults are BERT-base's (Devlin et al. 2019) with 64 tokens.

    ``padded`` has token 0 unread. ``grades`` and ``features``, where above 0, are the size of the table of grades and
    the number of dense features. ``audience`` is how many of an item's users are shown at most, ``token_dropout`` the
    share of tokens that training hides as padding; training rows know nothing new for up to ``stale_days``.
    """

    vocabulary: int = 30_522
    sequence_length: int = 64
    user_tokens: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    head_dim: int = 64
    feed_forward: int = 3072
    padded: bool = False
    grades: int = 0
    features: int = 0
    audience: int = 16
    objective: str = "click"
    mean: float = 0.5
    dropout: float = 0.1
    token_dropout: float = 0.0
    negatives: int = 4
    stale_days: float = 0.0

    def encoder_sizes(self) -> EncoderSizes:
        """The encoder's part of the sizes."""
        sizes = (self.width, self.layers, self.heads, self.head_dim, self.feed_forward)
        return EncoderSizes(*sizes, dropout=self.dropout)

    def embedding_count(self) -> int:
        """Numbers in the tables of tokens, positions, segments and grades."""
        return (self.vocabulary + self.sequence_length + 2 + self.grades) * self.width

    def parameter_count(self) -> int:
        """Numbers in tables, encoder layers and head."""
        width = self.width
        head = width * width + width + width + 1
        features = (self.features + 1) * (width + 1) if self.features else 0
        return self.embedding_count() + 2 * width + self.encoder_sizes().parameter_count() + head + features


class BertReranker(nn.Module):
    """One relevance score for each user-candidate pair."""

    def __init__(self, config: BertRerankerConfig) -> None:
        super().__init__()
        self.predicts_rating, self.padded = config.objective == "rating", config.padded
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.sequence_length, config.width)
        self.segments = nn.Embedding(2, config.width)
        tables = [self.tokens, self.positions, self.segments]
        if config.grades:
            self.grades = nn.Embedding(config.grades, config.width)
            tables.append(self.grades)
        for table in tables:
            nn.init.normal_(table.weight, std=_FIRST_SPREAD)
        if config.features:
            self.features = nn.Linear(config.features, config.width)
            self.direct = nn.Linear(config.features, 1)
            nn.init.zeros_(self.direct.weight)
            nn.init.zeros_(self.direct.bias)
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config.encoder_sizes())
        self.pooler = nn.Linear(config.width, config.width)
        self.head = nn.Linear(config.width, 1)
        nn.init.normal_(self.head.weight, std=_FIRST_SPREAD)
        nn.init.constant_(self.head.bias, logit(config.mean))
        segment = (torch.arange(config.sequence_length) >= config.user_tokens).to(torch.int64)
        self.register_buffer("segment", segment)

    def logits(
        self, token: torch.Tensor, grade: torch.Tensor | None = None, features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``logit[item]`` of the score; arguments as in `forward`."""
        hidden = self.tokens(token) + (self.positions.weight + self.segments(self.get_buffer("segment")))
        if grade is not None:
            hidden = hidden + self.grades(grade)
        if features is not None:
            features = features.to(hidden.dtype)
            first = hidden[:, :1] + self.features(features).unsqueeze(1)
            hidden = torch.cat((first, hidden[:, 1:]), dim=1)
        mask = (token > 0)[:, None, None, :] if self.padded else None
        encoded = self.encoder(self.dropout(self.norm(hidden)), mask)
        logits = self.head(self.dropout(torch.tanh(self.pooler(encoded[:, 0]))))
        if features is not None:
            logits = logits + self.direct(features)
        return logits.squeeze(1)

    def forward(
        self, token: torch.Tensor, grade: torch.Tensor | None = None, features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Score each pair.

        Parameters
        ----------
        token
            ``token[item, position]`` ids.
        grade, features
            Where the configuration has them: ``grade[item, position]`` ids and ``features[item, feature]``.

        Returns
        -------
        torch.Tensor
            ``score[item]`` between 0 and 1.
        """
        return torch.sigmoid(self.logits(token, grade, features))

    score = forward

    def loss(self, target: torch.Tensor, *arguments: torch.Tensor) -> torch.Tensor:
        """Squared error of ``target[row]``, or cross-entropy of clicks; further arguments as in `forward`."""
        logits = self.logits(*arguments)
        if self.predicts_rating:
            return nn.functional.mse_loss(torch.sigmoid(logits), target)
        return nn.functional.binary_cross_entropy_with_logits(logits, target)


def default_config() -> BertRerankerConfig:
    """BERT-base on 64 tokens."""
    return BertRerankerConfig()


def config_for(data: PreparedData, **overrides: Any) -> BertRerankerConfig:
    """The vocabulary as the data needs, four layers of width 256, ratings as the target."""
    from workloads.interactions.rows import dense_features

    config = BertRerankerConfig(
        vocabulary=token_rows(data),
        width=256,
        layers=4,
        heads=4,
        head_dim=64,
        feed_forward=1024,
        padded=True,
        grades=GRADES,
        features=dense_features(data),
        objective="rating",
        stale_days=staleness_for(data),
        token_dropout=0.1,
    )
    config = with_overrides(config, overrides)
    return with_overrides(config, {"mean": mean_target(data, config.objective, config.negatives)} | overrides)


def build(config: BertRerankerConfig) -> BertReranker:
    """The model with random weights."""
    return BertReranker(config)


def example_inputs(
    config: BertRerankerConfig, batch_size: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """``token[item, position]`` (int32), and grades and features where the configuration has them."""
    shape = (batch_size, config.sequence_length)
    arrays: list[np.ndarray] = [zipf_ids(generator, config.vocabulary - 1, shape) + np.int32(1)]
    if config.grades:
        arrays.append(generator.integers(0, config.grades, shape, dtype=np.int32))
    if config.features:
        arrays.append(generator.standard_normal((batch_size, config.features), dtype=np.float32))
    return tuple(arrays)


def inputs(rows: Rows, config: BertRerankerConfig) -> tuple[np.ndarray, ...]:
    """``token[row, position]``, ``grade[row, position]`` and ``features[row, feature]``."""
    return *tokens(rows, config.sequence_length, config.user_tokens, config.audience), rows.dense()


def training_batch(rows: Rows, config: BertRerankerConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``target[row]``, then `inputs` with some tokens hidden; unrated items join them when clicks are learnt."""
    rows = with_stale_knowledge(rows, config.stale_days, generator)
    if config.objective == "rating":
        target, arrays = rows.target, inputs(rows, config)
    else:
        parts = with_negatives(rows, config.negatives, generator)
        target, arrays = click_labels(parts), stacked([inputs(part, config) for part in parts])
    token, grade, features = arrays
    hidden = generator.random(token.shape) < config.token_dropout
    hidden[:, 0] = False
    return target, np.where(hidden, np.int32(0), token), np.where(hidden, np.int32(0), grade), features


def refresh(network: nn.Module, data: PreparedData, config: BertRerankerConfig, known: str = "train") -> None:
    """Nothing: no vectors of items are stored."""
