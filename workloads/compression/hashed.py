"""Large id tables by a hashing trick without collisions: quotient and remainder (Shi et al. 2020, arXiv:1909.02107).

An id's vector is the product, channel by channel, of a row of the quotient table (``id // n``) and a row of the
remainder table (``id % n``). ``n`` ids share a quotient row, every id has a pair of rows of its own, and the table
shrinks by nearly ``n``. Such a model has to be trained from the start.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from workloads.compression.subject import Step, Subject, layers_of, replace_module
from workloads.compression.tables import Lookup, as_replacement
from workloads.compression.tuning import source_settings, train, trained_on_validation
from workloads.errors import InputError

__all__ = ["HashedTable", "apply", "rebuild"]

_FEWEST_CHANNELS = 8
_REMAINDER_SPREAD = 0.5


class HashedTable(Lookup):
    """``quotient[row // n, channel]`` times ``remainder[row % n, channel]``; padding gives zeros."""

    def __init__(self, rows: int, dim: int, padding_idx: int | None, shared: int, spread: float) -> None:
        super().__init__(rows, dim, padding_idx)
        self.shared = shared
        self.quotient = nn.Embedding(-(-rows // shared), dim)
        self.remainder = nn.Embedding(shared, dim)
        nn.init.normal_(self.quotient.weight, std=spread)
        nn.init.normal_(self.remainder.weight, mean=1.0, std=_REMAINDER_SPREAD)

    def vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """``vector[..., channel]``."""
        found = self.quotient(ids // self.shared) * self.remainder(ids % self.shared)
        if self.padding_idx is None:
            return found
        return found * (ids != self.padding_idx).unsqueeze(-1).to(found.dtype)

    @property
    def weight(self) -> torch.Tensor:
        """The whole table, computed from the two."""
        every = (self.quotient.weight[:, None] * self.remainder.weight).flatten(0, 1)[: self.num_embeddings]
        if self.padding_idx is None:
            return every
        ids = torch.arange(len(every), device=every.device)
        return every * (ids != self.padding_idx).unsqueeze(1).to(every.dtype)


def apply(subject: Subject) -> Step:
    """Replace the large tables and train the model from the start, as the source was.

    Raises
    ------
    InputError
        There is no data, or no table that is large enough.
    """
    options = subject.options
    data = subject.needs_data("hashed")
    record: dict[str, Any] = {**options.pick("rows_per_vector", "min_table_rows"), "tables": []}
    for path, layer in layers_of(subject.network, (nn.Embedding, nn.EmbeddingBag)):
        assert isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        if layer.num_embeddings >= options.min_table_rows and layer.embedding_dim >= _FEWEST_CHANNELS:
            record["tables"].append(path)
    if not record["tables"]:
        problem = f"{subject.model} on {data.name} has no id table of {options.min_table_rows} rows or more"
        raise InputError("--method hashed", problem, "give a smaller --min-table-rows, or use another method")
    settings = replace(source_settings(subject), refit=trained_on_validation(subject.card))
    if options.train_epochs:
        settings = settings.with_(epochs=options.train_epochs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = rebuild(subject.module.build(subject.config), record)
    result = train(subject, settings, "training", network=network)
    record["training"] = {"epochs": result.epochs, "seconds": round(result.seconds, 1), "refit": result.refit}
    return Step(subject.config, result.network.cpu().eval(), record)


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The hashed tables in a fresh network; tables that layers share stay shared."""
    seen: dict[int, HashedTable] = {}
    for path in record["tables"]:
        layer = network.get_submodule(path)
        assert isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        if id(layer.weight) not in seen:
            spread = float(layer.weight.detach().std())
            rows, dim, padding = layer.num_embeddings, layer.embedding_dim, layer.padding_idx
            seen[id(layer.weight)] = HashedTable(rows, dim, padding, record["rows_per_vector"], spread)
        replace_module(network, path, as_replacement(layer, seen[id(layer.weight)]))
    return network
