"""How good a model is: AUC, RMSE and full rankings, with intervals over users; `docs/training.md` defines them."""

from __future__ import annotations

from workloads.training.evaluation.judging import evaluate, judge
from workloads.training.evaluation.results import Estimate, Metrics, RankingMetrics
from workloads.training.evaluation.scorers import NetworkScorer, Scorer

__all__ = ["Estimate", "Metrics", "NetworkScorer", "RankingMetrics", "Scorer", "evaluate", "judge"]
