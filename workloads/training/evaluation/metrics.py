"""The metrics, each defined once, on plain arrays."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["RankSums", "coverage", "discounted_gain", "hits_of", "intra_list_diversity", "ndcg", "recall", "rmse"]


class RankSums:
    """Area under the ROC curve of scores, under any weights of the rows.

    The share of pairs (a liked row, another row) in which the liked row has the higher score; ties count one half.
    Rows are sorted once; each set of weights then costs one pass.

    Parameters
    ----------
    score, liked
        ``score[row]``; bool ``liked[row]``.

    Examples
    --------
    >>> RankSums(np.array([1.0, 2.0, 2.0]), np.array([False, True, False])).auc()
    0.75
    """

    def __init__(self, score: np.ndarray, liked: np.ndarray) -> None:
        self._order = np.argsort(score, kind="stable")
        ranked = score[self._order]
        self._liked = liked[self._order]
        self._first = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1]))) if len(score) else None

    def auc(self, weight: np.ndarray | None = None) -> float:
        """The area; NaN where no row is liked, or all are.

        Parameters
        ----------
        weight
            ``weight[row]``, at least 0; by default 1.
        """
        if self._first is None:
            return math.nan
        ranked = np.ones(len(self._order)) if weight is None else weight[self._order]
        liked = np.add.reduceat(np.where(self._liked, ranked, 0.0), self._first)
        other = np.add.reduceat(np.where(self._liked, 0.0, ranked), self._first)
        pairs = liked.sum() * other.sum()
        below = np.cumsum(other) - other
        return float((liked * (below + 0.5 * other)).sum() / pairs) if pairs > 0 else math.nan


def rmse(squared_error: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Root of the mean of ``squared_error[row]``, under ``weight[row]``; NaN without rows."""
    total = len(squared_error) if weight is None else weight.sum()
    squares = squared_error.sum() if weight is None else (weight * squared_error).sum()
    return math.sqrt(squares / total) if total > 0 else math.nan


def hits_of(shown: np.ndarray, relevant_user: np.ndarray, relevant_item: np.ndarray) -> np.ndarray:
    """Which of the items shown are relevant.

    Parameters
    ----------
    shown
        ``shown[user, rank]`` ids; 0 where a list is shorter.
    relevant_user, relevant_item
        The relevant pairs: row in `shown`, and item id above 0.

    Returns
    -------
    numpy.ndarray
        bool ``hit[user, rank]``.
    """
    width = np.int64(max(shown.max(initial=0), relevant_item.max(initial=0)) + 1)
    rows = np.arange(len(shown), dtype=np.int64)[:, None]
    hit: np.ndarray = np.isin(rows * width + shown, relevant_user.astype(np.int64) * width + relevant_item)
    return hit


def discounted_gain(hit: np.ndarray) -> np.ndarray:
    """``gain[user]``: the sum of ``1 / log2(rank + 1)`` over hits, ranks from 1."""
    gain: np.ndarray = hit @ (1.0 / np.log2(np.arange(hit.shape[1]) + 2.0))
    return gain


def ndcg(hit: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """``ndcg[user]``: discounted gain over that of the best list of the same length.

    Parameters
    ----------
    hit
        bool ``hit[user, rank]``.
    relevant
        ``relevant[user]``: relevant items of each user, at least 1, in the list or not.
    """
    best = np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(hit.shape[1]) + 2.0))))
    quotient: np.ndarray = discounted_gain(hit) / best[np.minimum(relevant, hit.shape[1])]
    return quotient


def recall(hit: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """``recall[user]``: hits over all relevant items of the user, also where those are more than the list is long."""
    share: np.ndarray = hit.sum(axis=1) / relevant
    return share


def coverage(shown: np.ndarray, catalogue: int) -> float:
    """Share of a catalogue of so many items that is in any list ``shown[user, rank]`` (0 is nothing)."""
    ids = np.unique(shown)
    return float((ids > 0).sum() / catalogue) if catalogue else math.nan


def intra_list_diversity(shown: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """One minus the mean cosine of the tag vectors of all pairs of items in a list.

    Parameters
    ----------
    shown
        ``shown[user, rank]`` ids; 0 is nothing.
    tags
        bool ``tags[item, tag]``; items without tags are left out of the pairs.

    Returns
    -------
    numpy.ndarray
        ``diversity[user]``; NaN where fewer than two items of the list have tags.
    """
    norm = np.sqrt(tags.sum(axis=1, keepdims=True))
    unit = np.divide(tags, norm, out=np.zeros(tags.shape), where=norm > 0)
    unit[0] = 0.0
    listed = unit[shown]
    count = (norm[shown, 0] > 0).sum(axis=1) - ((shown == 0) & (norm[0, 0] > 0)).sum(axis=1)
    pairs = count * (count - 1) / 2.0
    cosines = ((listed.sum(axis=1) ** 2).sum(axis=1) - count) / 2.0
    return 1.0 - np.divide(cosines, pairs, out=np.full(len(shown), np.nan), where=pairs > 0)
