"""Linear layers in int8 by torchao, one scale for each output channel.

``int8-dynamic`` also rounds activations, one scale a row of the batch, so that the product itself runs in int8;
``int8-weight`` multiplies in floating point. Both pay off where `torch.compile` fuses the conversions; operator by
operator they are mostly slower than what they replace. Layers of other kinds stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workloads.compression.padded_linear import PaddedLinear
from workloads.compression.subject import Step, Subject, layers_of, replace_module
from workloads.compression.torchao_api import quantisation
from workloads.errors import InputError

__all__ = ["apply_dynamic", "apply_weight", "quantise", "rebuild", "skipped_layers"]

_NARROWEST = 8
"""Narrower layers have nothing to gain."""


def apply_dynamic(subject: Subject) -> Step:
    """Weights and activations; see `quantise`."""
    return Step(subject.config, subject.network, quantise(subject.network, subject.model, dynamic=True))


def apply_weight(subject: Subject) -> Step:
    """Weights alone; see `quantise`."""
    return Step(subject.config, subject.network, quantise(subject.network, subject.model, dynamic=False))


def quantise(network: nn.Module, model: str, dynamic: bool) -> dict[str, Any]:
    """Quantise a network's linear layers in place.

    Returns
    -------
    dict
        Paths of the layers ``quantised``, and of those ``skipped`` with the reason; and which are ``padded``.

    Raises
    ------
    InputError
        There is no layer to quantise.
    MissingDependencyError
        torchao is not installed.
    """
    ao = quantisation()
    skipped = skipped_layers(network)
    chosen = [path for path, _ in layers_of(network, nn.Linear) if path not in skipped]
    if not chosen:
        name = "int8-dynamic" if dynamic else "int8-weight"
        raise InputError(f"--method {name}", f"{model} has no linear layer to quantise", "use embedding-int8 or bf16")
    # Compiler settings are process-wide; who measures sets them for every variant alike.
    kind = ao.Int8DynamicActivationInt8WeightConfig if dynamic else ao.Int8WeightOnlyConfig
    wanted = set(chosen)
    if dynamic:
        for path in chosen:
            layer = network.get_submodule(path)
            assert isinstance(layer, nn.Linear)
            replace_module(network, path, PaddedLinear.of(layer))
    network.requires_grad_(False)
    with torch.no_grad():
        ao.quantize_(network, kind(set_inductor_config=False), filter_fn=lambda _, path: path in wanted)
    return {"quantised": chosen, "skipped": skipped, "padded": chosen if dynamic else []}


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The same modules in a fresh network, weights still to be read."""
    for path in record["padded"]:
        layer = network.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        replace_module(network, path, PaddedLinear.of(layer))
    return network


def skipped_layers(network: nn.Module) -> dict[str, str]:
    """Layers with weight matrices that stay as they are, and why."""
    skipped = {}
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            sizes = (layer.in_features, layer.out_features)
            if min(sizes) < _NARROWEST:
                skipped[path] = f"{sizes[0]} x {sizes[1]} is too narrow to gain"
        elif isinstance(layer, nn.RNNBase):
            skipped[path] = "torchao quantises linear layers only"
        elif isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            skipped[path] = "an id table; see embedding-int8"
    return skipped
