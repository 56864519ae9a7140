"""What a network weighs: numbers, zeros, bytes in memory, and operations for one unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from workloads.compression.int8_legacy import pack_layer, packed_layers

if TYPE_CHECKING:
    from workloads.models.base import ModelModule

__all__ = ["flops_per_unit", "measure_sizes", "resident_tensors"]

_PROBE = 8
"""Units of the batch that operations are counted on."""


def measure_sizes(module: ModelModule, config: Any, network: nn.Module) -> dict[str, int]:
    """Sizes for a card.

    Returns
    -------
    dict
        ``memory_bytes`` of all tensors that stay resident; ``parameters`` and ``nonzero_parameters``, numbers in
        weights and stored vectors, scales of quantised ones not counted; ``flops_per_unit`` of matrix products, whatever the
        type of number; and ``nonzero_flops_per_unit`` without products with zero weights of linear layers.
    """
    numbers = [tensor for tensor in _weights(network) if tensor.dtype != torch.int64]
    nominal, nonzero = flops_per_unit(module, config, network)
    return {
        "memory_bytes": sum(tensor.nbytes for tensor in resident_tensors(network)),
        "parameters": sum(tensor.numel() for tensor in numbers),
        "nonzero_parameters": sum(int(torch.count_nonzero(tensor)) for tensor in numbers),
        "flops_per_unit": nominal,
        "nonzero_flops_per_unit": nonzero,
    }


def resident_tensors(network: nn.Module) -> list[torch.Tensor]:
    """The plain tensors that a network holds, shared ones once."""
    found: dict[tuple[int, Any], torch.Tensor] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        for part in _plain_parts(tensor):
            found[part.untyped_storage().data_ptr(), part.storage_offset()] = part
    packed = [part for layer in packed_layers(network).values() for part in pack_layer(layer)[0].values()]
    return [*found.values(), *packed]


def flops_per_unit(module: ModelModule, config: Any, network: nn.Module) -> tuple[int, int]:
    """Operations of one unit of work; and those among them whose weight is not zero.

    Only the zeros of linear layers are looked for.
    """
    from workloads.models.cost import flops

    inputs = module.example_inputs(config, _PROBE, np.random.default_rng(0))
    saved = 0

    def count(layer: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal saved
        weight = layer.get_parameter("weight")
        positions = output.numel() // weight.shape[0]
        saved += 2 * positions * (weight.numel() - sum(int(torch.count_nonzero(p)) for p in _numbers(weight)))

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if type(layer) is nn.Linear]
    try:
        nominal = flops(network.eval(), inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return nominal // _PROBE, (nominal - saved) // _PROBE


def _weights(network: nn.Module) -> Iterator[torch.Tensor]:
    """Numbers that were learnt, in whatever form, shared ones once; indices and scales left out."""
    seen: set[int] = set()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        part = next(_numbers(tensor))
        key = part.data_ptr()
        if key not in seen and not name.endswith(".scale") and (part.is_floating_point() or part.dtype == torch.int8):
            seen.add(key)
            yield part
    for layer in packed_layers(network).values():
        yield from pack_layer(layer)[0].values()


def _numbers(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The weights themselves of a quantised tensor, or the tensor."""
    yield getattr(tensor, "qdata", tensor)


def _plain_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in _plain_parts(getattr(tensor, name))]
