"""Unstructured pruning: the smallest weights of linear and LSTM layers become zero (Han et al. 2015).

On disk the zeros cost next to nothing. In memory the matrices stay dense and every product runs over the zeros, so that
latency does not fall: no kernel of torch gains from zeros that lie anywhere, below far higher shares of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune

from workloads.compression.subject import Step, Subject, layers_of
from workloads.compression.tuning import fine_tune
from workloads.errors import InputError

__all__ = ["apply", "prunable_weights", "prune_smallest", "rebuild", "zero_holder"]


def apply(subject: Subject) -> Step:
    """Prune, then fine-tune with the zeros held where there is data.

    Raises
    ------
    InputError
        The model has nothing to prune.
    """
    tables = (nn.Embedding, nn.EmbeddingBag) if subject.options.include_embeddings else ()
    chosen = prunable_weights(subject.network, (nn.Linear, nn.LSTM, *tables))
    if not chosen:
        fix = "use another method" if tables else "give --include-embeddings to prune its id tables"
        raise InputError("--method magnitude", f"{subject.model} has no linear or LSTM layer to prune", fix)
    prune_smallest(subject.network, chosen, subject.options.amount)
    network, tuned = fine_tune(subject, subject.network, after_step=zero_holder(subject.network, chosen))
    weights = [network.get_parameter(name) for name in chosen]
    record: dict[str, Any] = {
        **subject.options.pick("amount", "include_embeddings"),
        "weights": chosen,
        "zero_share": sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights),
        "fine_tuning": tuned,
    }
    return Step(subject.config, network, record)


def prunable_weights(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    """Names of the weight matrices of layers of these kinds; of weights that layers share, the first name."""
    found: dict[int, str] = {}
    for path, layer in layers_of(network, kinds):
        for name, weight in layer.named_parameters(recurse=False):
            if name.startswith("weight"):
                found.setdefault(id(weight), f"{path}.{name}")
    return list(found.values())


def prune_smallest(network: nn.Module, names: list[str], amount: float) -> None:
    """Set a share of these weights to zero, the smallest over all of them."""
    split = [name.rpartition(".") for name in names]
    pairs = [(network.get_submodule(path), name) for path, _, name in split]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=amount)
    with torch.no_grad():
        for layer, name in pairs:
            prune.remove(layer, name)
            weight = layer.get_parameter(name)
            weight.masked_fill_(weight == 0, 0.0)  # a negative weight times zero is -0.0, which is not all zero bits


def zero_holder(network: nn.Module, names: list[str]) -> Callable[[nn.Module], None]:
    """A function to call after each optimisation step, which sets the weights that are zero now to zero again."""
    zero = {name: network.get_parameter(name) == 0 for name in names}

    def hold(trained: nn.Module) -> None:
        with torch.no_grad():
            for name in names:
                weight = trained.get_parameter(name)
                zero[name] = zero[name].to(weight.device)
                weight.masked_fill_(zero[name], 0.0)

    return hold


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The network as it is: zeros are weights like others."""
    return network
