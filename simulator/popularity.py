"""How popular rows of embedding tables are: the share of look-ups that the hottest rows draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workloads.errors import InputError

__all__ = ["MeasuredPopularity", "Popularity", "ZipfPopularity", "load_reuse", "zipf_sum"]

_EXACT = 1000


def zipf_sum(rows: float, exponent: float) -> float:
    """Sum of ``k ** -exponent`` for ``k`` from 1 to ``rows``; linear between whole numbers up to 1,000.

    Term by term up to 1,000, then by the Euler-Maclaurin formula (Apostol, "An elementary view of Euler's summation
    formula", 1999), whose first term left out is below 1e-18 for exponents up to 3.

    Examples
    --------
    >>> zipf_sum(3, 1.0)
    1.8333333333333333
    """
    whole = min(math.floor(rows), _EXACT)
    total = float((np.arange(1, whole + 1, dtype=np.float64) ** -exponent).sum())
    if rows <= _EXACT:
        return total + (rows - whole) * (whole + 1.0) ** -exponent
    s, m, log_ratio = exponent, float(_EXACT), math.log(rows / _EXACT)
    flat = 1.0 - s
    integral = m**flat * (math.expm1(flat * log_ratio) / flat if flat else log_ratio)
    ends = (rows**-s - m**-s) / 2.0 + s / 12.0 * (m ** (-s - 1.0) - rows ** (-s - 1.0))
    return total + integral + ends - s * (s + 1.0) * (s + 2.0) / 720.0 * (m ** (-s - 3.0) - rows ** (-s - 3.0))


class Popularity:
    """``rows`` rows, and `mass`, the share of look-ups that go to the hottest of them."""

    rows: float

    def mass(self, rows: float) -> float:
        """Share of look-ups of the ``rows`` hottest rows: 0 for none, 1 for all (and more), and concave between."""
        raise NotImplementedError


@dataclass(frozen=True)
class ZipfPopularity(Popularity):
    """The ``k``-th hottest of ``rows`` rows is looked up in proportion to ``k ** -exponent``.

    Examples
    --------
    >>> round(ZipfPopularity(rows=1e9, exponent=1.0).mass(1e6), 3)
    0.675
    """

    rows: float
    exponent: float
    _total: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_total", zipf_sum(self.rows, self.exponent))

    def mass(self, rows: float) -> float:
        """`zipf_sum` of these over that of all."""
        return zipf_sum(min(max(rows, 0.0), self.rows), self.exponent) / self._total


@dataclass(frozen=True)
class MeasuredPopularity(Popularity):
    """Rows in groups, hottest first, the rows of a group being alike.

    Attributes
    ----------
    group_rows, group_share
        ``[group]`` rows of each group, and its share of look-ups (which sum to 1).
    """

    group_rows: np.ndarray
    group_share: np.ndarray

    @property
    def rows(self) -> float:  # type: ignore[override]
        """All rows."""
        return float(self.group_rows.sum())

    def mass(self, rows: float) -> float:
        """Linear within a group."""
        ends, shares = np.cumsum(self.group_rows), np.cumsum(self.group_share)
        return float(np.interp(rows, np.append(0.0, ends), np.append(0.0, shares / shares[-1])))

    @classmethod
    def from_reuse(
        cls, reuse_gt: Sequence[int], reuse_le: Sequence[int], share_of_lookups: Sequence[float], rows: float
    ) -> MeasuredPopularity:
        """From a histogram of reuse: ``share_of_lookups`` go to rows looked up ``gt < times <= le`` times.

        A group has as many rows as its look-ups over their reuse, for which the geometric mean of its least and its
        largest number of times stands; an open group (``le`` of -1) is taken to end at twice its start. That is an
        assumption, and the hottest rows carry most of it.

        Examples
        --------
        >>> MeasuredPopularity.from_reuse([0, 1], [1, 2], [0.5, 0.5], rows=300.0).group_rows
        array([100., 200.])
        """
        low, high = np.asarray(reuse_gt, np.float64), np.asarray(reuse_le, np.float64)
        share = np.asarray(share_of_lookups, np.float64)
        high = np.where(high < 0, 2.0 * low, high)
        relative = share / np.sqrt((low + 1.0) * high)
        hottest_first = np.argsort(-low, kind="stable")
        return cls((relative * rows / relative.sum())[hottest_first], (share / share.sum())[hottest_first])


def load_reuse(path: str | Path, release: int, rows: float) -> MeasuredPopularity:
    """Popularity from a table of reuse: columns release, reuse_gt, reuse_le (-1: open) and share_of_lookups.

    Raises
    ------
    InputError
        If the file cannot be read or has no such release.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path)
        table = table[table["release"] == release]
        low, high, share = (table[name].tolist() for name in ("reuse_gt", "reuse_le", "share_of_lookups"))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(str(path), f"cannot be read as a table of reuse ({error})", "give its path") from None
    if table.empty:
        raise InputError(str(path), f"has no release {release}", "name one that it has")
    return MeasuredPopularity.from_reuse(low, high, share, rows)
