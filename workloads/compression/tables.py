"""Id tables that are not one matrix: a look-up gives vectors, a bag sums or averages them.

They stand in for `torch.nn.Embedding` and `torch.nn.EmbeddingBag`; ``weight`` computes the whole table, for models
that score every row of it.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Bag", "Lookup", "as_replacement"]


class Lookup(nn.Module):
    """A table of ``num_embeddings`` vectors that is held in some other form."""

    def __init__(self, rows: int, dim: int, padding_idx: int | None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = rows, dim, padding_idx

    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """``vector[..., channel]`` of ``ids[...]``."""
        raise NotImplementedError

    @property
    def weight(self) -> torch.Tensor:
        """``weight[row, channel]``, computed at each access."""
        raise NotImplementedError

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of the ids."""
        return self.vectors(ids)


class Bag(nn.Module):
    """Sum or mean of the vectors of each row of ids, like `torch.nn.EmbeddingBag` on a matrix of ids."""

    def __init__(self, table: Lookup, mode: str) -> None:
        super().__init__()
        self.table, self.mode = table, mode
        self.num_embeddings, self.embedding_dim = table.num_embeddings, table.embedding_dim
        self.padding_idx = table.padding_idx

    @property
    def weight(self) -> torch.Tensor:
        """``weight[row, channel]``, computed at each access."""
        return self.table.weight

    def forward(
        self, ids: torch.Tensor, offsets: torch.Tensor | None = None, per_sample_weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``vector[row, channel]`` of ``ids[row, position]``; padding counts for nothing."""
        if offsets is not None or ids.dim() != 2:
            raise ValueError("a compressed bag takes a matrix of ids; ragged bags with offsets are not supported")
        vectors = self.table.vectors(ids)
        if per_sample_weights is not None:
            vectors = vectors * per_sample_weights.unsqueeze(2)
        if self.padding_idx is None:
            return vectors.sum(1) if self.mode == "sum" else vectors.mean(1)
        used = (ids != self.padding_idx).unsqueeze(2)
        total = torch.where(used, vectors, 0).sum(1)
        return total if self.mode == "sum" else total / used.sum(1).clamp(min=1)


def as_replacement(original: nn.Embedding | nn.EmbeddingBag, table: Lookup) -> nn.Module:
    """The table in the shape of what it replaces.

    Raises
    ------
    ValueError
        A bag that takes the maximum.
    """
    if isinstance(original, nn.Embedding):
        return table
    if original.mode not in ("sum", "mean"):
        raise ValueError(f"a bag with mode {original.mode!r} cannot be compressed")
    return Bag(table, original.mode)
