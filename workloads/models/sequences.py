"""Stretches of users' histories for training."""

from __future__ import annotations

import numpy as np

__all__ = ["crop_windows"]


def crop_windows(history: np.ndarray, length: int, generator: np.random.Generator) -> np.ndarray:
    """One stretch of each history, at a random place where it is longer than the stretch.

    Parameters
    ----------
    history
        ``history[row, position]`` ids, padded with 0 on the left.
    length
        Positions of a stretch.
    generator
        Source of randomness; one number is drawn for each row.

    Returns
    -------
    numpy.ndarray
        ``window[row, position]``, padded with 0 on the left; of a history no longer than ``length``, the whole.

    Examples
    --------
    >>> crop_windows(np.array([[0, 0, 7, 8]]), 3, np.random.default_rng(0))
    array([[0, 7, 8]])
    """
    rows, reach = history.shape
    if reach < length:
        history = np.pad(history, ((0, 0), (length - reach, 0)))
        reach = length
    spare = np.maximum((history > 0).sum(axis=1) - length, 0)
    back = np.floor(generator.random(rows) * (spare + 1)).astype(np.int64)
    first = reach - length - back
    return np.take_along_axis(history, first[:, None] + np.arange(length), axis=1)
