"""Blocks that several models share: layers of perceptrons, and the end of a retrieval."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["Mlp", "best_items", "mlp_count", "padded_table"]


class Mlp(nn.Sequential):
    """Linear layers with an activation after each, and after the last only if asked for.

    Parameters
    ----------
    widths
        From input to output, as ``(64, 512, 256, 1)``.
    last_activation
        Whether an activation follows the last layer.
    dropout
        Share of values dropped after each activation while training.
    activation
        ``relu`` or ``tanh``.

    Notes
    -----
    Names of layers count the linear ones (``linear_0``), so that stored weights do not depend on dropout.
    """

    def __init__(
        self, widths: Sequence[int], last_activation: bool = False, dropout: float = 0.0, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        for index, (wide, high) in enumerate(itertools.pairwise(widths)):
            self.add_module(f"linear_{index}", nn.Linear(wide, high))
            if index < len(widths) - 2 or last_activation:
                self.add_module(f"{activation}_{index}", {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]())
                if dropout > 0:
                    self.add_module(f"dropout_{index}", nn.Dropout(dropout))


def mlp_count(widths: Sequence[int]) -> int:
    """Weights and biases of linear layers with these widths.

    Examples
    --------
    >>> mlp_count((3, 2, 1))
    11
    """
    return sum(wide * high + high for wide, high in itertools.pairwise(widths))


def padded_table(rows: int, dim: int, spread: float) -> nn.Embedding:
    """A table of normal vectors with this standard deviation, whose row 0 is zero and stays so."""
    table = nn.Embedding(rows, dim, padding_idx=0)
    with torch.no_grad():
        table.weight.normal_(std=spread)
        table.weight[:1].zero_()
    return table


def best_items(scores: torch.Tensor, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest scores and their items, the padding of column 0 left out.

    Parameters
    ----------
    scores
        ``scores[request, item]``; its column 0 is overwritten.
    top_k
        How many, below the number of columns.

    Returns
    -------
    tuple
        ``scores[request, rank]`` falling, and int32 ``items[request, rank]``.
    """
    scores[:, 0] = float("-inf")
    best, items = torch.topk(scores, top_k, dim=1)
    return best, items.to(torch.int32)
