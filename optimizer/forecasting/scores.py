"""How good quantile forecasts were: pinball loss, coverage, error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["central_pair", "pinball_loss"]


def pinball_loss(actual: np.ndarray, quantile: np.ndarray, level: float | np.ndarray) -> np.ndarray:
    """``level * (actual - quantile)`` where demand came higher, ``(1 - level) * (quantile - actual)`` where lower.

    Its mean is least at the true quantile (Koenker and Bassett, Econometrica 46, 1978); at level 0.5 it is half the
    absolute error. Arrays broadcast; the unit is that of the rates.

    Examples
    --------
    >>> pinball_loss(np.array([110.0, 90.0]), np.array([100.0, 100.0]), 0.9).tolist()
    [9.0, 0.9999999999999998]
    """
    gap = np.asarray(actual) - quantile
    loss: np.ndarray = np.maximum(level * gap, (np.asarray(level) - 1.0) * gap)
    return loss


def central_pair(levels: Sequence[float]) -> tuple[int, int] | None:
    """Indices of the widest pair of levels ``p`` and ``1 - p``, which bound a central interval; None without one.

    Examples
    --------
    >>> central_pair([0.05, 0.5, 0.95, 0.99])
    (0, 2)
    """
    pairs = [
        (low, high)
        for low, p in enumerate(levels)
        for high, q in enumerate(levels)
        if p < 0.5 < q and abs(p + q - 1.0) < 1e-9
    ]
    return min(pairs, key=lambda pair: levels[pair[0]], default=None)
