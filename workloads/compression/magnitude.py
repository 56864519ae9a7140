"""Unstructured pruning: the smallest weights of all linear layers together become zero (Han et al. 2015).

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

__all__ = ["apply", "prune_smallest", "rebuild", "zero_holder"]


def apply(subject: Subject) -> Step:
    """Prune, then fine-tune with the zeros held where there is data.

    Raises
    ------
    InputError
        The model has nothing to prune.
    """
    kinds = (nn.Linear, nn.Embedding, nn.EmbeddingBag) if subject.options.include_embeddings else (nn.Linear,)
    chosen = [path for path, _ in layers_of(subject.network, kinds)]
    if not chosen:
        fix = "give --include-embeddings to prune its id tables" if kinds == (nn.Linear,) else "use another method"
        raise InputError("--method magnitude", f"{subject.model} has no linear layer to prune", fix)
    prune_smallest(subject.network, chosen, subject.options.amount)
    network, tuned = fine_tune(subject, subject.network, after_step=zero_holder(subject.network, chosen))
    weights = [network.get_submodule(path).get_parameter("weight") for path in chosen]
    record: dict[str, Any] = {
        **subject.options.pick("amount", "include_embeddings"),
        "layers": chosen,
        "zero_share": sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights),
        "fine_tuning": tuned,
    }
    return Step(subject.config, network, record)


def prune_smallest(network: nn.Module, paths: list[str], amount: float) -> None:
    """Set a share of the weights of these layers to zero, the smallest over all layers; shared weights count once."""
    pairs: dict[int, tuple[nn.Module, str]] = {}
    for path in paths:
        layer = network.get_submodule(path)
        pairs.setdefault(id(layer.weight), (layer, "weight"))
    prune.global_unstructured(list(pairs.values()), pruning_method=prune.L1Unstructured, amount=amount)
    for layer, name in pairs.values():
        prune.remove(layer, name)


def zero_holder(network: nn.Module, paths: list[str]) -> Callable[[nn.Module], None]:
    """A function to call after each optimisation step, which sets the weights that are zero now to zero again."""
    zero = {path: network.get_submodule(path).get_parameter("weight") == 0 for path in paths}

    def hold(trained: nn.Module) -> None:
        with torch.no_grad():
            for path in paths:
                weight = trained.get_submodule(path).get_parameter("weight")
                zero[path] = zero[path].to(weight.device)
                weight.masked_fill_(zero[path], 0.0)

    return hold


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The network as it is: zeros are weights like others."""
    return network
