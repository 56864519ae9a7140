"""What an evaluation found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Estimate", "Metrics", "RankingMetrics"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval over users; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class RankingMetrics:
    """What lists of one length are worth.

    Attributes
    ----------
    ndcg, recall
        Means over the users ranked.
    coverage
        Share of the catalogue that is in any list.
    diversity
        Mean over users of one minus the mean cosine of tags within their list.
    """

    ndcg: Estimate
    recall: Estimate
    coverage: float
    diversity: float


@dataclass(frozen=True)
class Metrics:
    """One scorer on one part.

    Attributes
    ----------
    part
        ``test`` or ``validation``.
    auc, rmse
        Over all rows of the part, users and items that training has not seen included; rmse in units of the rating,
        None where scores are no ratings; auc None where rows are all liked, or none.
    ranking
        By length of list; empty where the scorer does not rank.
    counts
        Rows and users behind the numbers; `docs/training.md` explains each.
    """

    part: str
    auc: Estimate | None
    rmse: Estimate | None
    ranking: Mapping[int, RankingMetrics]
    counts: Mapping[str, int]

    def estimates(self) -> dict[str, Estimate]:
        """All metrics by flat name (``auc``, ``rmse``, ``ndcg10``, ``recall10``, ...); NaN bounds where no interval."""
        found = {name: value for name, value in (("auc", self.auc), ("rmse", self.rmse)) if value is not None}
        for k, ranking in self.ranking.items():
            found |= {
                f"ndcg{k}": ranking.ndcg,
                f"recall{k}": ranking.recall,
                f"coverage{k}": Estimate(ranking.coverage),
                f"diversity{k}": Estimate(ranking.diversity),
            }
        return {name: estimate for name, estimate in found.items() if not math.isnan(estimate.value)}

    def values(self) -> dict[str, float]:
        """The values of `estimates`."""
        return {name: estimate.value for name, estimate in self.estimates().items()}

    def as_dict(self) -> dict[str, Any]:
        """For JSON: values, intervals (only where there are any) and counts."""
        estimates = self.estimates()
        intervals = {name: [e.low, e.high] for name, e in estimates.items() if not math.isnan(e.low)}
        return {"part": self.part, **self.values(), "intervals": intervals, "counts": dict(self.counts)}
