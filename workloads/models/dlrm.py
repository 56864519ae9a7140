"""Ranking: a deep learning recommendation model with dot interactions (Naumov et al. 2019, arXiv:1906.00091).

At serving size, table sizes follow the 26 categorical columns of the Criteo Kaggle data set, with a cap, as hashing
gives in practice; the layers follow the DLRM of MLPerf, with vectors of 64. The tables are stored as one, rows one
after another, so that a batch is one gather.

On prepared data the columns are user, item and their categories, tags join the dense features, and two pooled vectors
stand for the user's last items: their sum, and their sum weighted by how the user rated each against the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.models.base import Prunable, with_overrides
from workloads.models.layers import Mlp, mlp_count, padded_table
from workloads.models.pointwise import (
    click_labels,
    logit,
    mean_target,
    stacked,
    staleness_for,
    with_negatives,
    with_stale_knowledge,
)
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
    "Dlrm",
    "DlrmConfig",
    "build",
    "config_for",
    "default_config",
    "example_inputs",
    "inputs",
    "refresh",
    "training_batch",
]

STAGE = "rank"
UNIT = "items"
INPUTS = f"each table's ids Zipf({ZIPF_EXPONENT}) spread over the table, dense features normal"
TRAINING_UNIT = "interactions"
PRUNABLE = (Prunable("bottom", "mlp", ("bottom",)), Prunable("top", "mlp", ("top",)))
_FIRST_SPREAD = 0.01

# fmt: off
CRITEO_KAGGLE_ROWS = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
    27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)
# fmt: on


@dataclass(frozen=True)
class DlrmConfig:
    """Sizes of the ranker, and what it learns.

    ``history_length`` of 0 leaves the pooled history away; ``id_dropout`` is the share of user and item ids (the first
    two columns) that training replaces by the unknown one; ``stale_days`` is for how long, at most, training rows know
    nothing new; ``mean`` is what the untrained model answers, about.
    """

    table_rows: tuple[int, ...] = tuple(min(rows, 2_000_000) for rows in CRITEO_KAGGLE_ROWS)
    dim: int = 64
    dense_features: int = 13
    bottom: tuple[int, ...] = (512, 256)
    top: tuple[int, ...] = (1024, 1024, 512, 256)
    history_length: int = 0
    history_items: int = 0
    objective: str = "click"
    mean: float = 0.5
    dropout: float = 0.0
    id_dropout: float = 0.0
    negatives: int = 4
    stale_days: float = 0.0

    def vectors(self) -> int:
        """Vectors that interact."""
        return 1 + len(self.table_rows) + (2 if self.history_length else 0)

    def bottom_sizes(self) -> tuple[int, ...]:
        """Widths of the dense features' layers, ending in one vector."""
        return (self.dense_features, *self.bottom, self.dim)

    def top_sizes(self) -> tuple[int, ...]:
        """Widths of the layers over the interactions, ending in one score."""
        return (self.dim + self.vectors() * (self.vectors() - 1) // 2, *self.top, 1)

    def embedding_count(self) -> int:
        """Numbers in all tables."""
        return (sum(self.table_rows) + (self.history_items if self.history_length else 0)) * self.dim

    def parameter_count(self) -> int:
        """Numbers in tables and layers."""
        return self.embedding_count() + mlp_count(self.bottom_sizes()) + mlp_count(self.top_sizes())


class Dlrm(nn.Module):
    """One score for each user-candidate pair."""

    def __init__(self, config: DlrmConfig) -> None:
        super().__init__()
        self.predicts_rating = config.objective == "rating"
        self.table = nn.Embedding(sum(config.table_rows), config.dim)
        nn.init.normal_(self.table.weight, std=_FIRST_SPREAD)
        first_row = np.concatenate(([0], np.cumsum(config.table_rows)[:-1]))
        self.register_buffer("first_row", torch.tensor(first_row, dtype=torch.int32))
        lower = np.tril_indices(config.vectors(), k=-1)
        self.register_buffer("pairs", torch.tensor(lower[0] * config.vectors() + lower[1], dtype=torch.int64))
        if config.history_length:
            self.history_table = padded_table(config.history_items, config.dim, _FIRST_SPREAD)
        self.bottom = Mlp(config.bottom_sizes(), last_activation=True, dropout=config.dropout)
        self.top = Mlp(config.top_sizes(), dropout=config.dropout)
        nn.init.constant_(self.top[-1].bias, logit(config.mean))  # type: ignore[arg-type]

    def logits(
        self,
        dense: torch.Tensor,
        sparse: torch.Tensor,
        history: torch.Tensor | None = None,
        history_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """``logit[item]`` of the score; arguments as in `forward`."""
        looked_up = self.table(sparse + self.get_buffer("first_row"))
        bottom = self.bottom(dense.to(looked_up.dtype))
        parts = [bottom.unsqueeze(1), looked_up]
        if history is not None and history_weight is not None:
            parts.append(torch.bmm(history_weight.to(looked_up.dtype), self.history_table(history)))
        vectors = torch.cat(parts, dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        interactions = products.index_select(1, self.get_buffer("pairs"))
        return self.top(torch.cat((bottom, interactions), dim=1)).squeeze(1)

    def forward(
        self,
        dense: torch.Tensor,
        sparse: torch.Tensor,
        history: torch.Tensor | None = None,
        history_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Score each item.

        Parameters
        ----------
        dense, sparse
            ``dense[item, feature]``; ``sparse[item, table]``, rows within each table.
        history, history_weight
            Where the configuration has a history: ``history[item, position]`` ids and
            ``history_weight[item, pool, position]``, 0 at padding.

        Returns
        -------
        torch.Tensor
            ``score[item]`` between 0 and 1.
        """
        return torch.sigmoid(self.logits(dense, sparse, history, history_weight))

    score = forward

    def loss(self, target: torch.Tensor, *arguments: torch.Tensor) -> torch.Tensor:
        """Squared error of ``target[row]``, or cross-entropy of clicks; further arguments as in `forward`."""
        logits = self.logits(*arguments)
        if self.predicts_rating:
            return nn.functional.mse_loss(torch.sigmoid(logits), target)
        return nn.functional.binary_cross_entropy_with_logits(logits, target)


def default_config() -> DlrmConfig:
    """26 tables of at most two million rows, 10.6 million rows in all."""
    return DlrmConfig()


def config_for(data: PreparedData, **overrides: Any) -> DlrmConfig:
    """Tables as the data needs, vectors of 16, narrower layers, the last 20 items, ratings as the target.

    Wider vectors and more trust in ids learn the training part by heart within two passes over 60,000 ratings.
    """
    from workloads.interactions.rows import dense_features

    config = DlrmConfig(
        table_rows=(data.users, data.items, *data.user_category_rows, *data.item_category_rows),
        dim=16,
        dense_features=dense_features(data) + data.item_tags.shape[1],
        bottom=(256, 64),
        top=(512, 512, 256),
        history_length=20,
        history_items=data.items,
        objective="rating",
        stale_days=staleness_for(data),
        dropout=0.2,
        id_dropout=0.5,
    )
    config = with_overrides(config, overrides)
    return with_overrides(config, {"mean": mean_target(data, config.objective, config.negatives)} | overrides)


def build(config: DlrmConfig) -> Dlrm:
    """The model with random weights."""
    return Dlrm(config)


def example_inputs(config: DlrmConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``dense[item, feature]`` (float32) and ``sparse[item, table]`` (int32), and a full history where there is one."""
    dense = generator.standard_normal((batch_size, config.dense_features), dtype=np.float32)
    columns = [zipf_ids(generator, rows, (batch_size,)) for rows in config.table_rows]
    sparse = np.stack(columns, axis=1)
    if not config.history_length:
        return dense, sparse
    shape = (batch_size, config.history_length)
    history = zipf_ids(generator, config.history_items - 1, shape) + np.int32(1)
    return dense, sparse, history, _pool_weights(history, generator.random(shape, dtype=np.float32))


def inputs(rows: Rows, config: DlrmConfig) -> tuple[np.ndarray, ...]:
    """``dense[row, feature]``, ``sparse[row, table]``, and history and its weights where the configuration has one."""
    dense = np.concatenate((rows.dense(), rows.item_tags().astype(np.float32)), axis=1)
    ids = np.stack((rows.trained_user(), rows.trained_item()), axis=1)
    sparse = np.concatenate((ids, rows.user_categories(), rows.item_categories()), axis=1).astype(np.int32)
    if not config.history_length:
        return dense, sparse
    history = rows.history(config.history_length)
    return dense, sparse, history, _pool_weights(history, rows.history_targets(config.history_length))


def _pool_weights(history: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``weight[row, pool, position]``: of each item its rating's difference from the user's mean, and 1.

    Both are divided by the root of the number of items, so that the pooled vectors' spread does not depend on it.
    """
    there = history > 0
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = (targets * there).sum(axis=1, keepdims=True) / count
    residual = np.where(there, targets - mean, 0.0)
    return (np.stack((residual, there), axis=1) / np.sqrt(count)[:, None]).astype(np.float32)


def training_batch(rows: Rows, config: DlrmConfig, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``target[row]``, then `inputs` with some ids unknown; unrated items join them when clicks are learnt."""
    rows = with_stale_knowledge(rows, config.stale_days, generator)
    if config.objective == "rating":
        target, arrays = rows.target, inputs(rows, config)
    else:
        parts = with_negatives(rows, config.negatives, generator)
        target, arrays = click_labels(parts), stacked([inputs(part, config) for part in parts])
    dense, sparse, *others = arrays
    unknown = generator.random((len(sparse), 2)) < config.id_dropout
    sparse = np.concatenate((np.where(unknown, np.int32(0), sparse[:, :2]), sparse[:, 2:]), axis=1)
    return target, dense, sparse, *others


def refresh(network: nn.Module, data: PreparedData, config: DlrmConfig, known: str = "train") -> None:
    """Nothing: no vectors of items are stored apart from the tables."""
