"""Ranking: a deep learning recommendation model with dot interactions (Naumov et al. 2019, arXiv:1906.00091).

Table sizes follow the 26 categorical columns of the Criteo Kaggle data set, with a cap, as hashing gives in
practice; the layers follow the DLRM of MLPerf, with vectors of 64. The tables are stored as one, rows one after
another, so that a batch is one gather.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from workloads.models.sampling import ZIPF_EXPONENT, zipf_ids

__all__ = ["INPUTS", "STAGE", "UNIT", "Dlrm", "DlrmConfig", "build", "default_config", "example_inputs"]

STAGE = "rank"
UNIT = "items"
INPUTS = f"each table's ids Zipf({ZIPF_EXPONENT}) spread over the table, dense features normal"

# fmt: off
CRITEO_KAGGLE_ROWS = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
    27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)
# fmt: on


@dataclass(frozen=True)
class DlrmConfig:
    """Sizes of the ranker."""

    table_rows: tuple[int, ...] = tuple(min(rows, 2_000_000) for rows in CRITEO_KAGGLE_ROWS)
    dim: int = 64
    dense_features: int = 13
    bottom: tuple[int, ...] = (512, 256)
    top: tuple[int, ...] = (1024, 1024, 512, 256)

    def bottom_sizes(self) -> tuple[int, ...]:
        """Widths of the dense features' layers, ending in one vector."""
        return (self.dense_features, *self.bottom, self.dim)

    def top_sizes(self) -> tuple[int, ...]:
        """Widths of the layers over the interactions, ending in one score."""
        vectors = len(self.table_rows) + 1
        return (self.dim + vectors * (vectors - 1) // 2, *self.top, 1)

    def embedding_count(self) -> int:
        """Numbers in all tables."""
        return sum(self.table_rows) * self.dim

    def parameter_count(self) -> int:
        """Numbers in tables and layers."""
        sizes = (self.bottom_sizes(), self.top_sizes())
        return self.embedding_count() + sum(
            wide * high + high for widths in sizes for wide, high in itertools.pairwise(widths)
        )


class Dlrm(nn.Module):
    """One click score for each user-candidate pair."""

    def __init__(self, config: DlrmConfig) -> None:
        super().__init__()
        vectors = len(config.table_rows) + 1
        self.table = nn.Embedding(sum(config.table_rows), config.dim)
        first_row = np.concatenate(([0], np.cumsum(config.table_rows)[:-1]))
        self.register_buffer("first_row", torch.tensor(first_row, dtype=torch.int32))
        lower = np.tril_indices(vectors, k=-1)
        self.register_buffer("pairs", torch.tensor(lower[0] * vectors + lower[1], dtype=torch.int64))
        self.bottom = _layers(config.bottom_sizes(), last_relu=True)
        self.top = _layers(config.top_sizes(), last_relu=False)

    def forward(self, dense: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
        """Score each item.

        Parameters
        ----------
        dense, sparse
            ``dense[item, feature]``; ``sparse[item, table]``, rows within each table.

        Returns
        -------
        torch.Tensor
            ``score[item]`` between 0 and 1.
        """
        looked_up = self.table(sparse + self.get_buffer("first_row"))
        bottom = self.bottom(dense.to(looked_up.dtype))
        vectors = torch.cat((bottom.unsqueeze(1), looked_up), dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        interactions = products.index_select(1, self.get_buffer("pairs"))
        return torch.sigmoid(self.top(torch.cat((bottom, interactions), dim=1))).squeeze(1)


def _layers(widths: tuple[int, ...], last_relu: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide, high in itertools.pairwise(widths):
        layers += [nn.Linear(wide, high), nn.ReLU()]
    return nn.Sequential(*(layers if last_relu else layers[:-1]))


def default_config() -> DlrmConfig:
    """26 tables of at most two million rows, 10.6 million rows in all."""
    return DlrmConfig()


def build(config: DlrmConfig) -> Dlrm:
    """The model with random weights."""
    return Dlrm(config)


def example_inputs(config: DlrmConfig, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``dense[item, feature]`` (float32) and ``sparse[item, table]`` (int32)."""
    dense = generator.standard_normal((batch_size, config.dense_features), dtype=np.float32)
    columns = [zipf_ids(generator, rows, (batch_size,)) for rows in config.table_rows]
    return dense, np.stack(columns, axis=1)
