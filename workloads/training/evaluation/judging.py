"""From a scorer to its metrics on a part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.errors import InputError
from workloads.interactions.rows import Rows
from workloads.training.evaluation.bootstrap import REPLICATES, interval_of_mean, interval_over_clusters
from workloads.training.evaluation.metrics import RankSums, coverage, hits_of, intra_list_diversity, ndcg, recall, rmse
from workloads.training.evaluation.ranking import Rankings, rank_users
from workloads.training.evaluation.results import Estimate, Metrics, RankingMetrics
from workloads.training.evaluation.scorers import NetworkScorer, Scorer

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.types import Part
    from workloads.models.base import ModelModule

__all__ = ["evaluate", "judge"]

_SEED = 20_261


def evaluate(
    module: ModelModule,
    config: Any,
    network: nn.Module,
    data: PreparedData,
    part: Part = "test",
    device: str | torch.device = "cpu",
    ks: tuple[int, ...] = (10,),
    ranking_users: int = 0,
    precision: str = "fp32",
    replicates: int = REPLICATES,
) -> Metrics:
    """Judge a network, as it is, on a part.

    Parameters
    ----------
    module, config, network
        The model. Stored item vectors are used as they are: `fit` computes them anew before it returns.
    data
        What the network was trained on (`FitResult.data`), with the part to judge.
    device, precision
        Where to score; ``bf16`` for autocast.
    ks
        Lengths of lists; empty leaves ranking out.
    ranking_users
        A seeded sample of users for the ranking of a model that scores pair by pair; 0 ranks for all.
    replicates
        Resamples of users behind each interval; 0 gives no intervals.

    Raises
    ------
    InputError
        The part is empty.
    """
    scorer = NetworkScorer(module, config, network, data, device, precision)
    return judge(scorer, data, part, ks, ranking_users, replicates)


def judge(
    scorer: Scorer,
    data: PreparedData,
    part: Part = "test",
    ks: tuple[int, ...] = (10,),
    ranking_users: int = 0,
    replicates: int = REPLICATES,
) -> Metrics:
    """`evaluate` for anything that scores."""
    rows = Rows.of_interactions(data, part, np.arange(len(data.part(part))))
    if not len(rows):
        raise InputError(f"data {data.name}", f"the {part} part is empty", "prepare it with a part to judge on")
    auc, error = _row_metrics(scorer, rows, replicates)
    counts = {
        "rows": len(rows),
        "rows_of_unknown_users": int((rows.trained_user() == 0).sum()),
        "rows_of_unknown_items": int((rows.trained_item() == 0).sum()),
    }
    ranking: dict[int, RankingMetrics] = {}
    if ks and scorer.ranks:
        lists = rank_users(scorer, data, part, max(ks), ranking_users, _SEED)
        counts |= lists.counts | {"catalogue": lists.catalogue}
        ranking = {k: _ranking_metrics(lists, k, data.item_tags, replicates) for k in ks}
    return Metrics(part, auc, error, ranking, counts)


def _row_metrics(scorer: Scorer, rows: Rows, replicates: int) -> tuple[Estimate | None, Estimate | None]:
    """AUC and RMSE over all rows."""
    score = scorer.row_scores(rows)
    if not np.isfinite(score).all():
        raise InputError("evaluation", "the model gives scores that are not finite", "train it again, at a lower --lr")
    cluster = np.unique(rows.user, return_inverse=True)[1]
    sums = RankSums(score, rows.liked)
    auc = None if math.isnan(sums.auc()) else interval_over_clusters(sums.auc, cluster, _SEED, replicates)
    if not scorer.predicts_rating:
        return auc, None
    scale = rows.data.rating_high - rows.data.rating_low
    squared = ((np.clip(score, 0.0, 1.0) - rows.target.astype(np.float64)) * scale) ** 2
    return auc, interval_over_clusters(lambda weight: rmse(squared, weight), cluster, _SEED, replicates)


def _ranking_metrics(lists: Rankings, k: int, tags: np.ndarray, replicates: int) -> RankingMetrics:
    """Metrics of lists cut to length `k`."""
    shown = lists.shown[:, :k]
    hit, relevant = hits_of(shown, lists.relevant_user, lists.relevant_item), lists.relevant()
    diversity = intra_list_diversity(shown, tags)
    return RankingMetrics(
        ndcg=interval_of_mean(ndcg(hit, relevant), _SEED, replicates),
        recall=interval_of_mean(recall(hit, relevant), _SEED, replicates),
        coverage=coverage(shown, lists.catalogue),
        diversity=float(np.nanmean(diversity)) if not np.isnan(diversity).all() else math.nan,
    )
