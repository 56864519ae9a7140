"""A linear layer whose matrices have the sizes that int8 kernels take.

cuBLAS multiplies int8 matrices of more than 16 rows whose widths are multiples of eight; compiled code that meets
others fails, and torchao's eager code sends them through host memory. Zeros are added on the way in and cut off on the
way out.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["PaddedLinear"]

_GRANULE = 8
_FEWEST_ROWS = 24


class PaddedLinear(nn.Linear):
    """Computes what a linear layer of the asked sizes computes; ``weight`` and ``bias`` have the padded ones."""

    def __init__(self, in_features: int, out_features: int, bias: bool, like: torch.Tensor) -> None:
        super().__init__(_padded(in_features), _padded(out_features), bias, device=like.device, dtype=like.dtype)
        self.asked = (in_features, out_features)

    @classmethod
    def of(cls, layer: nn.Linear) -> PaddedLinear:
        """The layer with its weights, padded with zeros."""
        padded = cls(layer.in_features, layer.out_features, layer.bias is not None, layer.weight)
        with torch.no_grad():
            padded.weight.zero_()[: layer.out_features, : layer.in_features] = layer.weight
            if layer.bias is not None:
                padded.bias.zero_()[: layer.out_features] = layer.bias
        return padded.train(layer.training)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``output[..., channel]`` of ``values[..., channel]``."""
        flat = values.flatten(0, -2)
        rows = flat.shape[0]
        more_channels = self.in_features - self.asked[0]
        more_rows = max(_FEWEST_ROWS - rows, 0) if values.is_cuda else 0
        if more_channels or more_rows:
            flat = F.pad(flat, (0, more_channels, 0, more_rows))
        output = super().forward(flat)[:rows, : self.asked[1]]
        return output.unflatten(0, values.shape[:-1])


def _padded(size: int) -> int:
    return -(-size // _GRANULE) * _GRANULE
