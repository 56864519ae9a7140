"""The short forecast of the reactive planner: recent peak and linear trend over the lead time."""

from __future__ import annotations

import numpy as np

__all__ = ["peak_and_trend"]


def peak_and_trend(history_rps: np.ndarray, window: int, lead: np.ndarray | float, trend_slots: int = 0) -> np.ndarray:
    """Rate to prepare for, ``[series]``.

    The larger of the peak of the last ``window`` slots and, with a trend, the least-squares line through the last
    ``trend_slots`` slots, ``lead`` slots after the last, where that line rises. A fall is followed only once the
    window has passed.

    Parameters
    ----------
    history_rps
        ``history_rps[series, slot]``, oldest first, at least one slot.
    window
        Slots of which the peak is taken, at least 1.
    lead
        Slots ahead, one number or one for each series.
    trend_slots
        Slots that the line is fitted to, 0 for no trend; fewer than three of history are no trend either.

    Examples
    --------
    >>> peak_and_trend(np.array([[10.0, 20.0, 30.0]]), window=3, lead=2.0, trend_slots=3).round(6).tolist()
    [50.0]
    >>> peak_and_trend(np.array([[30.0, 20.0, 10.0]]), window=2, lead=2.0, trend_slots=3).tolist()
    [20.0]
    """
    history = np.asarray(history_rps, dtype=np.float64)
    peak = history[:, -max(1, window) :].max(axis=1)
    recent = history[:, -trend_slots:] if trend_slots else history[:, :0]
    if recent.shape[1] < 3:
        return peak
    level, slope = np.polynomial.polynomial.polyfit(np.arange(recent.shape[1]) - recent.shape[1] + 1, recent.T, 1)
    return np.where(slope > 0.0, np.maximum(peak, level + slope * lead), peak)
