"""Id tables in int8, each row with a scale of its own: a look-up reads a quarter of the bytes.

A row is divided by the largest of its absolute values over 127 and rounded, so that no value is off by more than half
that scale. Rows are gathered in int8 and multiplied out afterwards. A model that scores all rows of a table multiplies
out the whole table each time: memory falls, that product does not get faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from workloads.compression.subject import Step, Subject, layers_of, replace_module
from workloads.compression.tables import Lookup, as_replacement
from workloads.errors import InputError

__all__ = ["Int8Table", "apply", "quantised_rows", "rebuild"]

_LARGEST = 127
_FEWEST_CHANNELS = 8
"""Below, a row's scale weighs more than its int8 numbers save."""


class Int8Table(Lookup):
    """``rows[row, channel]`` (int8) and ``scale[row, 1]`` (float32)."""

    rows: torch.Tensor
    scale: torch.Tensor

    def __init__(self, rows: int, dim: int, padding_idx: int | None, dtype: torch.dtype) -> None:
        super().__init__(rows, dim, padding_idx)
        self.dtype = dtype
        self.register_buffer("rows", torch.zeros(rows, dim, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(rows, 1))

    @classmethod
    def of(cls, layer: nn.Embedding | nn.EmbeddingBag) -> Int8Table:
        """The table of a layer, rounded."""
        weight = layer.weight.detach()
        table = cls(len(weight), weight.shape[1], layer.padding_idx, weight.dtype)
        table.rows, table.scale = quantised_rows(weight)
        return table

    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """``vector[..., channel]`` in the type that the model computes in."""
        return (F.embedding(ids, self.rows) * F.embedding(ids, self.scale)).to(self.dtype)

    @property
    def weight(self) -> torch.Tensor:
        """The table multiplied out."""
        return (self.rows * self.scale).to(self.dtype)


def quantised_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``rows[row, channel]`` (int8) and ``scale[row, 1]`` (float32) with ``rows * scale`` nearest to the weight."""
    weight = weight.float()
    scale = weight.abs().amax(dim=1, keepdim=True) / _LARGEST
    scale = torch.where(scale > 0, scale, 1.0)
    return torch.round(weight / scale).clamp(-_LARGEST, _LARGEST).to(torch.int8), scale


def apply(subject: Subject) -> Step:
    """Replace every id table of eight channels or more.

    Raises
    ------
    InputError
        The model has no such table.
    """
    record: dict[str, Any] = {"tables": []}
    for path, layer in layers_of(subject.network, (nn.Embedding, nn.EmbeddingBag)):
        assert isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        if layer.embedding_dim >= _FEWEST_CHANNELS:
            record["tables"].append({"path": path, "dtype": str(layer.weight.dtype).removeprefix("torch.")})
    if not record["tables"]:
        problem = f"{subject.model} has no id table of {_FEWEST_CHANNELS} channels or more"
        raise InputError("--method embedding-int8", problem, "use another method")
    return Step(subject.config, _replaced(subject.network, record, Int8Table.of), record)


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The same modules in a fresh network, weights still to be read."""

    def empty(layer: nn.Embedding | nn.EmbeddingBag) -> Int8Table:
        return Int8Table(layer.num_embeddings, layer.embedding_dim, layer.padding_idx, layer.weight.dtype)

    return _replaced(network, record, empty)


def _replaced(network: nn.Module, record: dict[str, Any], table_of: Any) -> nn.Module:
    """Tables that several layers share stay shared."""
    seen: dict[int, Int8Table] = {}
    for entry in record["tables"]:
        layer = network.get_submodule(entry["path"])
        assert isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        table = seen.setdefault(id(layer.weight), table_of(layer))
        table.dtype = getattr(torch, entry["dtype"])
        replace_module(network, entry["path"], as_replacement(layer, table))
    return network
