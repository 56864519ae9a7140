"""Which user asks and for which item: a bounded Zipf law that drifts, and the fit of its exponent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ZipfPopularity", "zipf_exponent"]

_DAY_S = 86_400.0
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class ZipfPopularity:
    """A bounded Zipf law over identities 0 to ``count - 1``.

    The identity of rank r (from 1) has probability in proportion to ``r ** -zipf_s``. Which identity holds
    a rank is a fixed scattering of ranks over identities, so that neighbours in rank are no neighbours in
    number. With drift, a fresh identity enters at rank 1 every ``86400 / drift_ranks_per_day`` seconds, all
    others lose one rank, and the last one is the next to return as fresh: the law is the same at every
    instant, its holders age.

    Attributes
    ----------
    count
        Number of identities, 1 to 2**31.
    zipf_s
        Exponent, 0 (all alike) or above.
    drift_ranks_per_day
        Ranks that every identity loses in a day, 0 for a ranking that stays.
    """

    count: int
    zipf_s: float
    drift_ranks_per_day: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 2**31:
            raise ValueError(f"count is {self.count}, expected 1 to {2**31}")
        if not 0 <= self.zipf_s <= 20:
            raise ValueError(f"zipf_s is {self.zipf_s}, expected 0 to 20")
        if not 0 <= self.drift_ranks_per_day < float("inf"):
            raise ValueError(f"drift_ranks_per_day is {self.drift_ranks_per_day}, expected 0 or above")

    def sample(self, rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
        """Draw ``identity[row]``, int64, for requests at ``time_s[row]``."""
        return self.identity(self.sample_ranks(rng, len(time_s)), time_s)

    def identity(self, rank: np.ndarray, time_s: np.ndarray | float) -> np.ndarray:
        """Identity that holds ``rank[row]`` (from 1) at ``time_s[row]``."""
        position = rank.astype(np.int64)
        position -= 1
        if self.drift_ranks_per_day:
            gone = np.floor(np.asarray(time_s) * (self.drift_ranks_per_day / _DAY_S)).astype(np.int64)
            position -= gone
            _take_remainder(position, self.count)
        position *= self._multiplier()
        position += self.count // 3
        _take_remainder(position, self.count)
        return position

    def sample_ranks(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw ``rank[row]`` from 1, by rejection-inversion, which needs no table.

        W. Hoermann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
        distributions", ACM TOMACS 6(3), 1996. Fewer than one draw in eight is rejected.
        """
        if self.zipf_s == 0 or self.count == 1:
            return rng.integers(1, self.count + 1, size=size)
        top = self._area(np.array(self.count + 0.5))
        bottom = self._area(np.array(1.5)) - 1
        shortcut = 2 - self._inverse_area(self._area(np.array(2.5)) - 2.0**-self.zipf_s)
        ranks, left = self._propose(rng, size, top, bottom, shortcut)
        while len(left):
            ranks[left], rejected = self._propose(rng, len(left), top, bottom, shortcut)
            left = left[rejected]
        return ranks

    def _propose(
        self, rng: np.random.Generator, size: int, top: np.ndarray, bottom: np.ndarray, shortcut: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw ``rank[row]``, and the rows whose draw is rejected."""
        area = rng.random(size)
        area *= bottom - top
        area += top
        point = self._inverse_area(area)
        rank = point + 0.5
        np.clip(np.floor(rank, out=rank), 1, self.count, out=rank)
        # Most are accepted for their nearness to the point; only the others need the hat's area.
        doubtful = np.flatnonzero(np.subtract(rank, point, out=point) > shortcut)
        of_doubtful = rank[doubtful]
        least = self._area(of_doubtful + 0.5) - of_doubtful**-self.zipf_s
        return rank.astype(np.int64), doubtful[area[doubtful] < least]

    def share_of_top(self, ranks: int) -> float:
        """Probability that a request goes to one of the first `ranks` ranks; sums that many terms."""
        weights = np.arange(1, self.count + 1, dtype=np.float64) ** -self.zipf_s
        return float(weights[:ranks].sum() / weights.sum())

    def _area(self, x: np.ndarray) -> np.ndarray:
        """Integral of ``t ** -zipf_s`` from 1 to x."""
        logarithm = np.log(x)
        rest = 1 - self.zipf_s
        return logarithm if rest == 0 else np.expm1(rest * logarithm) / rest

    def _inverse_area(self, area: np.ndarray) -> np.ndarray:
        rest = 1 - self.zipf_s
        if rest == 0:
            return np.exp(area)
        logarithm = np.asarray(rest * area)
        np.maximum(logarithm, -1 + 1e-16, out=logarithm)
        np.log1p(logarithm, out=logarithm)
        logarithm /= rest
        return np.exp(logarithm, out=logarithm)

    def _multiplier(self) -> int:
        """A number without common factor with `count`, near its golden section."""
        candidate = max(1, int(self.count * _GOLDEN))
        while np.gcd(candidate, self.count) != 1:
            candidate += 1
        return candidate


def _take_remainder(numbers: np.ndarray, divisor: int) -> None:
    """``numbers %= divisor``, by NumPy's division by one number, which is several times as fast as its remainder."""
    multiple = numbers // divisor
    multiple *= divisor
    numbers -= multiple


def zipf_exponent(counts: np.ndarray) -> float:
    """Maximum-likelihood exponent of a bounded Zipf law over the identities that were seen.

    Parameters
    ----------
    counts
        ``counts[identity]``: how often each was seen; those not seen are left out. Ranks are by falling
        count.

    Returns
    -------
    float
        The exponent s at which the expected log-rank equals the observed one (0 if that needs s < 0); NaN
        if fewer than two identities were seen. Ranking by the same counts biases s upwards where most
        identities were seen a few times only.
    """
    from scipy.optimize import brentq

    seen = np.sort(np.asarray(counts, dtype=np.float64)[np.asarray(counts) > 0])[::-1]
    if len(seen) < 2:
        return float("nan")
    log_rank = np.log(np.arange(1, len(seen) + 1))
    observed = float(seen @ log_rank / seen.sum())

    def excess(exponent: float) -> float:
        weights = np.exp(-exponent * log_rank)
        return float(weights @ log_rank / weights.sum()) - observed

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, 20.0, xtol=1e-6)) if excess(20.0) < 0 else 20.0
