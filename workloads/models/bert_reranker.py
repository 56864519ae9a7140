"""Reranking: an encoder of BERT-base shape reads a user's tokens beside an item's and scores the pair.

The first half of the sequence stands for the user's profile and history, the second for the item's features;
each pair is a sequence of its own (a cross-encoder). Every position is in use: no padding, so no mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids

__all__ = [
    "INPUTS",
    "STAGE",
    "UNIT",
    "BertReranker",
    "BertRerankerConfig",
    "build",
    "default_config",
    "example_inputs",
]

STAGE = "rerank"
UNIT = "items"
INPUTS = f"token ids Zipf({ZIPF_EXPONENT}) over the vocabulary, every position of the sequence in use"


@dataclass(frozen=True)
class BertRerankerConfig:
    """Sizes of the encoder; the defaults are BERT-base's (Devlin et al. 2019) with 64 tokens."""

    vocabulary: int = 30_522
    sequence_length: int = 64
    user_tokens: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072

    def embedding_count(self) -> int:
        """Numbers in the token, position and segment tables."""
        return (self.vocabulary + self.sequence_length + 2) * self.width

    def parameter_count(self) -> int:
        """Numbers in tables, encoder layers and head."""
        width = self.width
        attention = 4 * (width * width + width)
        feed_forward = 2 * width * self.feed_forward + self.feed_forward + width
        layer = attention + feed_forward + 2 * 2 * width
        head = width * width + width + width + 1
        return self.embedding_count() + 2 * width + self.layers * layer + head


class BertReranker(nn.Module):
    """One relevance score for each user-candidate pair."""

    def __init__(self, config: BertRerankerConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.sequence_length, config.width)
        self.segments = nn.Embedding(2, config.width)
        self.norm = nn.LayerNorm(config.width)
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.feed_forward, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.pooler = nn.Linear(config.width, config.width)
        self.score = nn.Linear(config.width, 1)
        segment = (torch.arange(config.sequence_length) >= config.user_tokens).to(torch.int64)
        self.register_buffer("segment", segment)

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        """Score each pair.

        Parameters
        ----------
        token
            ``token[item, position]`` ids.

        Returns
        -------
        torch.Tensor
            ``score[item]``.
        """
        place = self.positions.weight + self.segments(self.get_buffer("segment"))
        encoded = self.encoder(self.norm(self.tokens(token) + place))
        return self.score(torch.tanh(self.pooler(encoded[:, 0]))).squeeze(1)


def default_config() -> BertRerankerConfig:
    """BERT-base on 64 tokens."""
    return BertRerankerConfig()


def build(config: BertRerankerConfig) -> BertReranker:
    """The model with random weights."""
    return BertReranker(config)


def example_inputs(
    config: BertRerankerConfig, batch_size: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """``token[item, position]`` (int32)."""
    return (zipf_ids(generator, config.vocabulary, (batch_size, config.sequence_length)),)
