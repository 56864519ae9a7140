"""A stack of transformer layers whose heads and channels can be removed.

`torch.nn.TransformerEncoderLayer` ties the heads' total width to the model's, so that no head can be taken out of it.
Here the projections are plain linear layers of width heads x head_dim; attention itself is torch's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["Encoder", "EncoderLayer", "EncoderSizes"]


@dataclass(frozen=True)
class EncoderSizes:
    """Sizes and kind of an `Encoder`.

    ``norm_first`` puts each normalisation before its block (and one after the last layer) rather than behind the sum.
    """

    width: int
    layers: int
    heads: int
    head_dim: int
    feed_forward: int
    norm_first: bool = False
    dropout: float = 0.0

    def parameter_count(self) -> int:
        """Weights of all layers."""
        inner = self.heads * self.head_dim
        attention = 3 * (self.width * inner + inner) + inner * self.width + self.width
        feed_forward = 2 * self.width * self.feed_forward + self.feed_forward + self.width
        last_norm = 2 * self.width if self.norm_first else 0
        return self.layers * (attention + feed_forward + 4 * self.width) + last_norm


class EncoderLayer(nn.Module):
    """Self-attention and two linear layers with GELU, each added to its input."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        width, inner = sizes.width, sizes.heads * sizes.head_dim
        self.head_dim, self.norm_first, self.dropout_rate = sizes.head_dim, sizes.norm_first, sizes.dropout
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)
        self.up = nn.Linear(width, sizes.feed_forward)
        self.down = nn.Linear(sizes.feed_forward, width)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """One layer; see `Encoder.forward`."""
        if self.norm_first:
            hidden = hidden + self.attend(self.attention_norm(hidden), mask)
            return hidden + self.feed(self.feed_forward_norm(hidden))
        hidden = self.attention_norm(hidden + self.attend(hidden, mask))
        return self.feed_forward_norm(hidden + self.feed(hidden))

    def attend(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Multi-head attention of every position over the positions that ``mask`` keeps."""
        query, key, value = (
            layer(hidden).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        rate = self.dropout_rate if self.training else 0.0
        attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        return self.dropout(self.out(attended.transpose(1, 2).flatten(2)))

    def feed(self, hidden: torch.Tensor) -> torch.Tensor:
        """The two linear layers."""
        return self.dropout(self.down(nn.functional.gelu(self.up(hidden))))


class Encoder(nn.Module):
    """Transformer layers one after another."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.layers))
        self.last_norm = nn.LayerNorm(sizes.width) if sizes.norm_first else nn.Identity()

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encode sequences.

        Parameters
        ----------
        hidden
            ``hidden[row, position, channel]``.
        mask
            ``mask[row or 1, 1, position or 1, attended position]``, true where a position may be read; None for all.

        Returns
        -------
        torch.Tensor
            ``hidden[row, position, channel]``.
        """
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return self.last_norm(hidden)
