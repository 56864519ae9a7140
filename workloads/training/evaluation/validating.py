"""The one number that early stopping looks at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import nn

from workloads.training.evaluation.judging import judge
from workloads.training.evaluation.scorers import NetworkScorer
from workloads.training.settings import TrainSettings

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.models.base import ModelModule

__all__ = ["validation_value"]


def validation_value(
    module: ModelModule, config: Any, network: nn.Module, data: PreparedData, settings: TrainSettings
) -> float:
    """``settings.metric`` on the validation part; NaN where it is not defined there."""
    metric = settings.metric
    device = next(network.parameters()).device
    scorer = NetworkScorer(module, config, network, data, device)
    ks = () if metric in ("rmse", "auc") else (10,)
    found = judge(scorer, data, "validation", ks, settings.ranking_users, replicates=0)
    return found.values().get(metric, math.nan)
