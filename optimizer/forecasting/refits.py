"""When a model is fitted anew: seldom, and at instants that depend on nothing but the length of the history."""

from __future__ import annotations

__all__ = ["refit_length"]


def refit_length(length: int, growth: float) -> int:
    """Longest history, of at most ``length`` intervals, at which a model is fitted.

    Fits come each time the history has grown by the fraction ``growth``, so a run of any length has few, and a
    forecast is the same whether or not the forecaster was asked at all the instants before.

    Examples
    --------
    >>> sorted({refit_length(n, 0.5) for n in range(1, 21)})
    [1, 2, 3, 5, 8, 12, 18]
    """
    at = 1
    while (after := max(at + 1, round(at * (1.0 + growth) + 1e-9))) <= length:
        at = after
    return at
