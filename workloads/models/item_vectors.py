"""The offline half of a two-tower model: every item's vector, computed anew and stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = ["store_item_vectors"]

_ITEMS_AT_ONCE = 2048


def store_item_vectors(
    network: nn.Module, data: PreparedData, known: str, arguments: Callable[[Rows], tuple[np.ndarray, ...]]
) -> None:
    """Fill ``network.item_vectors`` by ``network.item_vector``, scaled to length 1; row 0 becomes zero.

    Parameters
    ----------
    network
        Put into evaluation mode for the while; neither gradients nor random numbers are used.
    data, known
        The items, and whether they are described as after train or after train and validation (``all``).
    arguments
        What ``item_vector`` takes for rows whose user is unknown.
    """
    from workloads.interactions.rows import Rows

    vectors, was_training = network.get_buffer("item_vectors"), network.training
    network.eval()
    with torch.no_grad():
        for first in range(0, data.items, _ITEMS_AT_ONCE):
            items = np.arange(first, min(first + _ITEMS_AT_ONCE, data.items), dtype=np.int32)
            rows = Rows.of_pairs(data, np.zeros(len(items), np.int32), items, known=cast(Any, known))
            tensors = [torch.from_numpy(np.ascontiguousarray(a)).to(vectors.device) for a in arguments(rows)]
            found = cast(Any, network).item_vector(*tensors)
            vectors[first : first + len(items)] = nn.functional.normalize(found)
        vectors[:1] = 0.0
    network.train(was_training)
