"""The short forecast of the reactive planner: recent peak and linear trend over the lead time."""

from __future__ import annotations

import numpy as np

__all__ = ["peak_and_trend"]


def peak_and_trend(history_rps: np.ndarray, window: int, lead: np.ndarray | int, *, trend: bool = True) -> np.ndarray:
    """Rate to prepare for, ``[series]``.

    The larger of the peak of the last ``window`` slots and, with ``trend``, the last value plus ``lead``
    times the least-squares slope over those slots where that slope is positive. A fall is followed only
    once the window has passed.

    Parameters
    ----------
    history_rps
        ``history_rps[series, slot]``, oldest first, at least one slot.
    window
        Slots looked at, at least 1.
    lead
        Slots ahead, one number or one for each series.

    Examples
    --------
    >>> peak_and_trend(np.array([[10.0, 20.0, 30.0]]), window=3, lead=2).round(6).tolist()
    [50.0]
    >>> peak_and_trend(np.array([[30.0, 20.0, 10.0]]), window=2, lead=2).tolist()
    [20.0]
    """
    recent = np.asarray(history_rps, dtype=np.float64)[:, -max(1, window) :]
    peak = recent.max(axis=1)
    if not trend or recent.shape[1] < 3:
        return peak
    slope = np.polynomial.polynomial.polyfit(np.arange(recent.shape[1]), recent.T, 1)[1]
    return np.maximum(peak, recent[:, -1] + np.maximum(slope, 0.0) * lead)
