"""Retrieval: a variational autoencoder of a user's items with a multinomial likelihood (Liang et al. 2018,
arXiv:1802.05814).

A user is the set of items rated, scaled to length 1. The encoder's first layer is therefore a sum of rows of a table;
serving decodes the mean of the code. Training drops items of the input, draws the code, and asks for all of them; the
weight of the divergence grows to no schedule but is one constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.models.base import Prunable, with_overrides
from workloads.models.layers import Mlp, best_items, mlp_count
from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids
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
    "Autoencoder",
    "AutoencoderConfig",
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
PRUNABLE = (Prunable("decoder", "mlp", ("decoder_hidden",)),)


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes; ``divergence`` weighs the code's distance from a normal one, ``dropout`` is the share of items dropped.

    ``trend_days``, where above 0, has the scores follow popularity over about so many days (`workloads.models.trend`).
    """

    items: int = 100_000
    hidden: int = 600
    latent: int = 200
    decoder_hidden: tuple[int, ...] = (600,)
    history_length: int = 200
    top_k: int = 500
    dropout: float = 0.5
    divergence: float = 0.2
    trend_days: float = 0.0

    def decoder_sizes(self) -> tuple[int, ...]:
        """Widths from code to items."""
        return (self.latent, *self.decoder_hidden, self.items)

    def embedding_count(self) -> int:
        """Numbers in the table that stands for the encoder's first layer."""
        return self.items * self.hidden

    def parameter_count(self) -> int:
        """Numbers in table and layers."""
        encoder = self.hidden + mlp_count((self.hidden, 2 * self.latent))
        trend = self.items if self.trend_days else 0
        return self.embedding_count() + encoder + mlp_count(self.decoder_sizes()) + trend


class Autoencoder(nn.Module):
    """Scores and ids of the best items for each user."""

    predicts_rating = False

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.top_k, self.divergence = config.top_k, config.divergence
        self.table = nn.EmbeddingBag(config.items, config.hidden, mode="sum", padding_idx=0)
        with torch.no_grad():
            self.table.weight.normal_(std=config.hidden**-0.5)
            self.table.weight[:1].zero_()
        self.first_bias = nn.Parameter(torch.zeros(config.hidden))
        self.code = nn.Linear(config.hidden, 2 * config.latent)
        self.decoder = Mlp(config.decoder_sizes(), activation="tanh")
        self.has_trend = add_trend(self, config.items, config.trend_days)

    def encode(self, history: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and logarithm of the variance of each user's code: ``[request, channel]`` each."""
        total = self.table(history)
        length = (history > 0).sum(dim=1, keepdim=True).clamp(min=1).to(total.dtype).sqrt()
        mean, log_variance = self.code(torch.tanh(total / length + self.first_bias)).chunk(2, dim=1)
        return mean, log_variance

    def scores(self, history: torch.Tensor) -> torch.Tensor:
        """``scores[request, item]`` (logits); arguments as in `forward`."""
        decoded = self.decoder(self.encode(history)[0])
        return decoded + self.get_buffer("trend").T if self.has_trend else decoded

    def forward(self, history: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Best items of each user.

        Parameters
        ----------
        history
            ``history[request, position]`` ids in any order, 0 for none.

        Returns
        -------
        tuple
            ``scores[request, rank]`` falling, and int32 ``items[request, rank]``.
        """
        return best_items(self.scores(history), self.top_k)

    def loss(self, kept: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
        """Negative evidence bound of users' items, divided by the number of positions; draws codes while training.

        Parameters
        ----------
        kept, history
            ``[row, position]`` ids: the input's, and all that the decoder has to find; 0 for none.
        """
        mean, log_variance = self.encode(kept)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        logits = self.decoder(code)
        logits[:, 0] = float("-inf")
        found = logits.log_softmax(dim=1).gather(1, history.long())
        likelihood = torch.where(history > 0, found, 0.0).sum(dim=1)
        divergence = 0.5 * (log_variance.exp() + mean**2 - 1.0 - log_variance).sum(dim=1)
        return (self.divergence * divergence - likelihood).mean() / history.shape[1]


def default_config() -> AutoencoderConfig:
    """A hundred thousand items, layers of 600, 200 and 600."""
    return AutoencoderConfig()


def config_for(data: PreparedData, **overrides: Any) -> AutoencoderConfig:
    """Items as the data has, narrower layers."""
    config = AutoencoderConfig(
        items=data.items,
        hidden=256,
        latent=64,
        decoder_hidden=(256,),
        top_k=min(100, data.items - 1),
        trend_days=trend_days_for(data),
    )
    return with_overrides(config, overrides)


def build(config: AutoencoderConfig) -> Autoencoder:
    """The model with random weights."""
    return Autoencoder(config)


def example_inputs(
    config: AutoencoderConfig, batch_size: int, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """``history[request, position]`` (int32)."""
    return (zipf_ids(generator, config.items - 1, (batch_size, config.history_length)) + np.int32(1),)


def inputs(rows: Rows, config: AutoencoderConfig) -> tuple[np.ndarray, ...]:
    """``history[row, position]``."""
    return (rows.history(config.history_length),)


def training_batch(rows: Rows, config: AutoencoderConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``kept[user, position]``, where some items are dropped, and ``history[user, position]``."""
    history = rows.history(config.history_length)
    dropped = generator.random(history.shape) < config.dropout
    return np.where(dropped, np.int32(0), history), history


def refresh(network: nn.Module, data: PreparedData, config: AutoencoderConfig, known: str = "train") -> None:
    """Note what is popular now, if the scores follow it."""
    store_trend(network, data, known, config.trend_days)
