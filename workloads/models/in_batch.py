"""Learning two towers from positive pairs alone: the other pairs' items of a batch serve as negatives.

Items come into a batch as often as they are popular, so each stands in the softmax for its share of the catalogue:
its score is lowered by the logarithm of the chance of drawing it (Yi et al. 2019, "Sampling-bias-corrected neural
modeling for large corpus item recommendations"). The positive is not drawn by that chance but given, so its own score
stays as it is, and its item's other copies in the batch are left out (Khrylchenko et al. 2025, arXiv:2507.09331).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["corrected_logits", "in_batch_loss", "item_log_share"]


def item_log_share(data: PreparedData, item: np.ndarray) -> np.ndarray:
    """``log_share[row]`` (float32): logarithm of each item's share of the training interactions."""
    count = np.bincount(data.train.item, minlength=data.items)
    return np.log(np.maximum(count[item], 1) / max(len(data.train), 1)).astype(np.float32)


def corrected_logits(scores: torch.Tensor, item: torch.Tensor, log_share: torch.Tensor) -> torch.Tensor:
    """Scores of a batch's pairs as a softmax takes them.

    Parameters
    ----------
    scores
        ``scores[row, column]`` of each row's user with each column's item; the diagonal holds the positives.
    item, log_share
        ``item[column]`` ids, and the logarithm of the chance that a draw gives this item.

    Returns
    -------
    torch.Tensor
        ``logits[row, column]``. Over draws of the other pairs, ``exp(logits)`` off the diagonal adds up on average to
        the sum of ``exp(score)`` over every item but the positive: the estimate of the full softmax's denominator has
        no bias.
    """
    draws = max(len(item) - 1, 1)
    itself = torch.eye(len(item), dtype=torch.bool, device=scores.device)
    negatives = scores - (log_share + math.log(draws))
    same = (item[:, None] == item) & ~itself
    return torch.where(itself, scores, negatives.masked_fill(same, float("-inf")))


def in_batch_loss(
    query: torch.Tensor, vector: torch.Tensor, item: torch.Tensor, log_share: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Cross-entropy of each row's own item among the batch's; vectors are scaled to length 1.

    ``query[row, channel]`` and ``vector[row, channel]`` from the two towers; the scores are cosines over temperature.
    """
    scores = nn.functional.normalize(query) @ nn.functional.normalize(vector).T / temperature
    own = torch.arange(len(item), device=item.device)
    return nn.functional.cross_entropy(corrected_logits(scores, item, log_share), own)
