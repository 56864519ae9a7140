"""Linear and LSTM layers in int8 by `torch.ao.quantization`, which torch keeps but no longer develops; CPU only.

One scale for each weight matrix. The layers hold packed weights that are no tensors, so that they are stored as their
int8 numbers and packed anew when read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from workloads.compression.subject import Step, Subject, layers_of, replace_module
from workloads.errors import InputError

__all__ = ["apply", "is_packed", "pack_layer", "packed_bytes", "packed_layers", "unpack_layer"]


def apply(subject: Subject) -> Step:
    """Quantise linear and LSTM layers.

    Raises
    ------
    InputError
        This torch has no such quantisation, or the model no such layer.
    """
    legacy = _library()
    chosen = [path for path, _ in layers_of(subject.network, (nn.Linear, nn.LSTM))]
    if not chosen:
        problem = f"{subject.model} has no linear or LSTM layer"
        raise InputError("--method int8-legacy", problem, "use embedding-int8 or bf16")
    with _no_deprecations():
        network = legacy.quantize_dynamic(subject.network.eval(), {nn.Linear, nn.LSTM}, torch.qint8)
    return Step(subject.config, network, {"quantised": chosen, "devices": ["cpu"]})


def packed_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Quantised layers by path."""
    return {path: layer for path, layer in network.named_modules() if is_packed(layer)}


def is_packed(layer: nn.Module) -> bool:
    """Whether a layer is one of torch.ao's dynamic ones."""
    return type(layer).__module__.startswith("torch.ao.nn.quantized.dynamic") and hasattr(layer, "from_float")


def packed_bytes(layer: nn.Module) -> int:
    """Bytes of a layer's weights and biases."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _weights_and_biases(layer).values())


def pack_layer(layer: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A layer's numbers as plain tensors, and the scales that belong to them."""
    tensors, scales = {}, {}
    for name, tensor in _weights_and_biases(layer).items():
        if tensor.is_quantized:
            scales[name] = [tensor.q_scale(), tensor.q_zero_point()]
            tensor = tensor.int_repr()
        tensors[name] = tensor.detach()
    return tensors, {"scales": scales}


def unpack_layer(network: nn.Module, path: str, tensors: dict[str, torch.Tensor], how: dict[str, Any]) -> None:
    """Put the quantised layer in the place of the one in floating point, from what `pack_layer` gave."""
    original = network.get_submodule(path)
    with _no_deprecations():
        layer = _packed_like(original, tensors, how["scales"])
    replace_module(network, path, layer.eval())


def _packed_like(original: nn.Module, tensors: dict[str, torch.Tensor], scales: dict[str, Any]) -> nn.Module:
    dynamic = _library_layers()
    whole = {
        name: torch._make_per_tensor_quantized_tensor(tensor, *scales[name]) if name in scales else tensor
        for name, tensor in tensors.items()
    }
    layer: Any
    if isinstance(original, nn.LSTM):
        layer = dynamic.LSTM(
            original.input_size,
            original.hidden_size,
            original.num_layers,
            bias=original.bias,
            batch_first=original.batch_first,
            dropout=original.dropout,
            bidirectional=original.bidirectional,
            dtype=torch.qint8,
        )
        layer.set_weight_bias(whole)
    else:
        assert isinstance(original, nn.Linear)
        layer = dynamic.Linear(original.in_features, original.out_features, dtype=torch.qint8)
        layer.set_weight_bias(whole["weight"], whole.get("bias"))
    return layer


def _weights_and_biases(layer: Any) -> dict[str, torch.Tensor]:
    if hasattr(layer, "get_weight"):
        return {**layer.get_weight(), **layer.get_bias()}
    bias = layer.bias()
    return {"weight": layer.weight(), **({} if bias is None else {"bias": bias})}


@contextmanager
def _no_deprecations() -> Iterator[None]:
    """torch says at every use that this will go; the documentation says it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _library() -> Any:
    try:
        import torch.ao.quantization as legacy

        legacy.quantize_dynamic  # noqa: B018
    except (ImportError, AttributeError):
        raise _gone() from None
    if not any(engine in ("x86", "fbgemm", "onednn") for engine in torch.backends.quantized.supported_engines):
        raise InputError("--method int8-legacy", "this torch was built without its CPU kernels", "use int8-dynamic")
    return legacy


def _library_layers() -> Any:
    try:
        import torch.ao.nn.quantized.dynamic as dynamic
    except ImportError:
        raise _gone() from None
    return dynamic


def _gone() -> InputError:
    problem = f"torch {torch.__version__} no longer has torch.ao.quantization"
    return InputError("--method int8-legacy", problem, "use int8-dynamic")
