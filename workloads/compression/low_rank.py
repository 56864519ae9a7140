"""Linear layers as products of two thinner ones, by truncated singular value decomposition.

The nearest product of rank ``r`` in the Frobenius norm (Eckart and Young 1936). Only layers of the parts that the model
names as prunable are factorised, and only where the product has fewer weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workloads.compression.subject import Step, Subject, layers_of, replace_module
from workloads.compression.tuning import fine_tune
from workloads.errors import InputError

__all__ = ["apply", "factors", "rank_of", "rebuild"]


def rank_of(layer: nn.Linear, share: float) -> int:
    """The largest rank, at least 1 and a multiple of 8 where it is above 8, within the share of parameters."""
    rank = int(share * layer.weight.numel() / (layer.in_features + layer.out_features))
    return max(1, rank - rank % 8 if rank > 8 else rank)


def factors(layer: nn.Linear, rank: int) -> nn.Sequential:
    """Two layers whose product is nearest to the given one."""
    left, values, right = torch.linalg.svd(layer.weight.detach().float(), full_matrices=False)
    root = values[:rank].sqrt()
    pair = _pair(layer, rank)
    state = {"0.weight": root[:, None] * right[:rank], "1.weight": left[:, :rank] * root}
    pair.load_state_dict(state if layer.bias is None else state | {"1.bias": layer.bias})
    return pair


def apply(subject: Subject) -> Step:
    """Factorise the layers of the prunable parts, then fine-tune where there is data.

    Raises
    ------
    InputError
        No layer gets smaller that way.
    """
    share = subject.options.rank_share
    ranks = {}
    for path, layer in layers_of(subject.network, nn.Linear):
        inside = any(path.startswith(f"{part.path}.") for part in subject.module.PRUNABLE)
        assert isinstance(layer, nn.Linear)
        if inside and rank_of(layer, share) * (layer.in_features + layer.out_features) < layer.weight.numel():
            ranks[path] = rank_of(layer, share)
    if not ranks:
        raise InputError("--method low-rank", f"no layer of {subject.model} gets smaller", "use another method")
    network = subject.network
    for path, rank in ranks.items():
        layer = network.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        replace_module(network, path, factors(layer, rank))
    network, tuned = fine_tune(subject, network)
    return Step(subject.config, network, {**subject.options.pick("rank_share"), "ranks": ranks, "fine_tuning": tuned})


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The same modules in a fresh network, weights still to be read."""
    for path, rank in record["ranks"].items():
        layer = network.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        replace_module(network, path, _pair(layer, rank))
    return network


def _pair(layer: nn.Linear, rank: int) -> nn.Sequential:
    kind = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    first = nn.Linear(layer.in_features, rank, bias=False, **kind)
    return nn.Sequential(first, nn.Linear(rank, layer.out_features, bias=layer.bias is not None, **kind))
