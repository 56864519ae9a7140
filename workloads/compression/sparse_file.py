"""Tensors with many zeros in few bytes: the other values, and where they belong.

Two layouts are tried beside the plain one and the smallest is kept: a bit for each place, or the column of each value
with the number of values in each row (CSR). A value counts as zero where all its bits are, so that what is read is
equal to what was written bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["decode", "encode"]

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_UNSIGNED_16 = 2**16


def encode(tensor: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
    """The smallest layout.

    Returns
    -------
    tuple
        Parts by name, and how to put them together: the layout's name, shape and number of values; None for a tensor
        that is smallest as it is, whose only part has an empty name.
    """
    plain = tensor.detach().cpu().contiguous()
    if plain.numel() == 0:
        return {"": plain}, None
    matrix = plain.reshape(plain.shape[0] if plain.dim() > 1 else 1, -1)
    kept = matrix.view(_WORDS[matrix.element_size()]) != 0
    layouts = {
        "plain": {"": plain},
        "bitmask": {"values": matrix[kept], "bits": _bits(kept)},
        "csr": {"values": matrix[kept], **_columns(kept)},
    }
    name = min(layouts, key=lambda layout: sum(part.nbytes for part in layouts[layout].values()))
    if name == "plain":
        return layouts[name], None
    return layouts[name], {"layout": name, "shape": list(plain.shape)}


def decode(parts: dict[str, torch.Tensor], how: dict[str, Any]) -> torch.Tensor:
    """The tensor that `encode` was given."""
    shape = tuple(how["shape"])
    rows = shape[0] if len(shape) > 1 else 1
    values = parts["values"]
    matrix = torch.zeros(rows, int(np.prod(shape)) // rows, dtype=values.dtype)
    if how["layout"] == "bitmask":
        kept = np.unpackbits(parts["bits"].numpy(), count=matrix.numel()).astype(bool)
        matrix[torch.from_numpy(kept).view_as(matrix)] = values
    else:
        row = torch.repeat_interleave(torch.arange(rows), parts["counts"].long())
        matrix[row, parts["columns"].long()] = values
    return matrix.view(shape)


def _bits(kept: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.packbits(kept.numpy()))


def _columns(kept: torch.Tensor) -> dict[str, torch.Tensor]:
    """Column of each value, row by row, and values in each row."""
    kind = np.uint16 if kept.shape[1] <= _UNSIGNED_16 else np.int32
    columns = np.nonzero(kept.numpy())[1].astype(kind)
    return {"columns": torch.from_numpy(columns), "counts": kept.sum(1).to(torch.int32)}
