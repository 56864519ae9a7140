"""What one forward pass must do at least: floating-point operations, and bytes that must cross the memory's bus.

Operations are counted by torch's own counter on the operators that really run. Bytes are the compulsory traffic: every
weight that is read in full once, of every table looked up by id the distinct rows asked for, inputs and outputs once.
Intermediate results are left out, as if all of them stayed in caches: a lower bound, as a roofline needs it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["ForwardCost", "flops", "forward_cost", "moved_bytes", "packed_weights", "stored_bytes"]

aten = torch.ops.aten
_LOOKUPS = {
    aten.embedding: 1,
    aten.embedding_bag: 1,
    aten._embedding_bag: 1,
    aten._embedding_bag_forward_only: 1,
    aten.index: 1,
    aten.index_select: 2,
    aten.gather: 2,
}
"""Operators that read rows of their first argument by id, and the argument that holds the ids."""


@dataclass(frozen=True)
class ForwardCost:
    """The least that one forward pass on one batch does.

    Attributes
    ----------
    flops
        Floating-point operations of matrix products, attention included; one multiply-add counts as two.
    weight_bytes
        Weights and stored vectors that are read in full, each once.
    gathered_bytes
        Distinct rows of tables that are read by id, each once.
    input_bytes, output_bytes
        What the pass is given and returns.
    table_bytes
        Whole size of the tables that are read by id alone; they need not move.
    """

    flops: int
    weight_bytes: int
    gathered_bytes: int
    input_bytes: int
    output_bytes: int
    table_bytes: int = 0

    @property
    def moved_bytes(self) -> int:
        """All bytes that must move."""
        return self.weight_bytes + self.gathered_bytes + self.input_bytes + self.output_bytes


def forward_cost(network: nn.Module, inputs: Sequence[np.ndarray | torch.Tensor]) -> ForwardCost:
    """Count one forward pass by running it on the network's device.

    Parameters
    ----------
    network
        Any module; on the ``meta`` device nothing is computed, and every id of a look-up counts as a distinct row.
    inputs
        One batch of what ``forward`` takes.

    Notes
    -----
    While counting, attention and recurrent layers run as plain matrix products, which gives the same numbers: the
    fused kernels hide theirs from the counter. Products of int8 numbers (``_int_mm``) and the packed layers of
    torch's dynamic quantisation count as if they were of floating point.
    """
    device = next((t.device for t in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    tensors = tuple(_tensor(array, device) for array in inputs)
    reads = _Reads([*network.parameters(), *network.buffers()])
    counter = FlopCounterMode(display=False, custom_mapping=_int8_products())
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules())
    with _plain_kernels(recurrent), torch.no_grad(), counter, reads:
        outputs = network(*tensors)
    flat = outputs if isinstance(outputs, tuple | list) else (outputs,)
    packed = sum(tensor.nbytes for tensor in packed_weights(network))
    return ForwardCost(
        flops=int(counter.get_total_flops()),
        weight_bytes=reads.full_bytes() + packed,
        gathered_bytes=reads.gathered_bytes(),
        input_bytes=sum(tensor.nbytes for tensor in tensors),
        output_bytes=sum(output.nbytes for output in flat if isinstance(output, torch.Tensor)),
        table_bytes=reads.table_bytes(),
    )


def flops(network: nn.Module, inputs: Sequence[np.ndarray | torch.Tensor]) -> int:
    """Floating-point operations of one forward pass; see `forward_cost`."""
    return forward_cost(network, inputs).flops


def moved_bytes(network: nn.Module, inputs: Sequence[np.ndarray | torch.Tensor]) -> int:
    """Bytes that one forward pass must move at least; see `forward_cost`."""
    return forward_cost(network, inputs).moved_bytes


def stored_bytes(network: nn.Module) -> int:
    """Bytes of all parameters, buffers and packed weights as they lie in memory, shared ones once."""
    plain = [part for tensor in (*network.parameters(), *network.buffers()) for part in _plain_parts(tensor)]
    by_storage = {_storage_key(tensor): tensor.untyped_storage().nbytes() for tensor in plain}
    return sum(by_storage.values()) + sum(tensor.nbytes for tensor in packed_weights(network))


def _tensor(array: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    return (torch.from_numpy(np.array(array)) if isinstance(array, np.ndarray) else array).to(device)


@contextmanager
def _plain_kernels(recurrent: bool) -> Iterator[None]:
    """Attention and recurrent layers as matrix products that the counter sees."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if recurrent:
                stack.enter_context(warnings.catch_warnings())
                # Switching oneDNN off warns about a TF32 setting of GPUs that are not there.
                warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN", category=UserWarning)
                stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


class _Reads(TorchDispatchMode):
    """Watches which stored tensors the operators read: in full, or rows by id."""

    def __init__(self, stored: Iterable[torch.Tensor]) -> None:
        super().__init__()
        plain = [part for tensor in stored for part in _plain_parts(tensor)]
        self._stored = {_storage_key(tensor): tensor.untyped_storage().nbytes() for tensor in plain}
        self._full: dict[int, dict[tuple[int, int], int]] = {}
        self._rows: dict[int, list[tuple[torch.Tensor, int, int]]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        if not func.is_view:
            self._note(func, args, kwargs or {})
        return outputs

    def full_bytes(self) -> int:
        """Bytes of the stored tensors that were read in full, each once."""
        return sum(min(sum(parts.values()), self._stored[key]) for key, parts in self._full.items())

    def gathered_bytes(self) -> int:
        """Bytes of the distinct rows that were read by id; none of a tensor that was read in full too."""
        return sum(
            min(_distinct_bytes(reads), self._stored[key]) for key, reads in self._rows.items() if key not in self._full
        )

    def table_bytes(self) -> int:
        """Bytes of the stored tensors that were read by id alone."""
        return sum(self._stored[key] for key in self._rows if key not in self._full)

    def _note(self, func: Any, args: Any, kwargs: Any) -> None:
        place = _LOOKUPS.get(func.overloadpacket)
        rest = args
        if place is not None and _storage_key(args[0]) in self._stored:
            rest = args[1:]
            ids = args[place]
            self._note_rows(args[0], next(i for i in ids if i is not None) if isinstance(ids, list | tuple) else ids)
        for tensor in _tensors((rest, kwargs)):
            key = _storage_key(tensor)
            if key in self._stored:
                part = (int(tensor.storage_offset()), tensor.numel())
                self._full.setdefault(key, {})[part] = tensor.nbytes

    def _note_rows(self, table: torch.Tensor, ids: torch.Tensor) -> None:
        row_bytes = table.nbytes // max(len(table), 1)
        self._rows.setdefault(_storage_key(table), []).append((ids.flatten(), row_bytes, int(table.storage_offset())))


def _distinct_bytes(reads: list[tuple[torch.Tensor, int, int]]) -> int:
    """Bytes of all rows asked for, rows asked for twice counted once."""
    by_view: dict[tuple[int, int], list[torch.Tensor]] = {}
    for ids, row_bytes, offset in reads:
        by_view.setdefault((offset, row_bytes), []).append(ids)
    total = 0
    for (_, row_bytes), parts in by_view.items():
        ids = torch.cat(parts)
        total += row_bytes * (ids.numel() if ids.is_meta else int(torch.unique(ids).numel()))
    return total


def _plain_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The tensor itself, or what a wrapper (a quantised tensor, for example) holds."""
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in _plain_parts(getattr(tensor, name))]


def _storage_key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(node: Any) -> Iterator[torch.Tensor]:
    if isinstance(node, torch.Tensor):
        yield from _plain_parts(node)
    elif isinstance(node, list | tuple):
        for part in node:
            yield from _tensors(part)
    elif isinstance(node, dict):
        yield from _tensors(list(node.values()))


def packed_weights(network: nn.Module) -> Iterator[torch.Tensor]:
    """Weights that torch's dynamic quantisation keeps outside the parameters, read in full by each pass."""
    for module in network.modules():
        packed = getattr(module, "_packed_params", None)
        unpack = getattr(packed, "_weight_bias", None)
        if callable(unpack):
            yield from (tensor for tensor in unpack() if isinstance(tensor, torch.Tensor))


def _int8_products() -> dict[Any, Any]:
    """Formulas for products that torch's counter does not know."""

    def of_matrices(left: Any, right: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return 2 * left[0] * left[1] * right[1]

    def of_packed(x: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        rows = int(np.prod(out_shape[:-1]))
        return 2 * rows * x[-1] * out_shape[-1]

    def of_transposed(left: Any, right: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return 2 * left[0] * left[1] * right[0]

    formulas: dict[Any, Any] = {aten._int_mm: of_matrices, aten._weight_int8pack_mm: of_transposed}
    for name in ("linear_dynamic", "linear_relu_dynamic"):
        operator = getattr(torch.ops.quantized, name, None)
        if operator is not None:
            formulas[operator] = of_packed
    return formulas
