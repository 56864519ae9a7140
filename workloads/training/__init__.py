"""Training, evaluation and online updates of the zoo's models; names are imported when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workloads.errors import MissingDependencyError

if TYPE_CHECKING:
    from workloads.training.baseline_models import baselines
    from workloads.training.evaluation import Metrics, evaluate
    from workloads.training.fitting import FitResult, fit
    from workloads.training.online import OnlineSettings, apply_delta, update_online
    from workloads.training.recipes import Recipe, recipe_for
    from workloads.training.settings import TrainSettings

__all__ = [
    "FitResult",
    "Metrics",
    "OnlineSettings",
    "Recipe",
    "TrainSettings",
    "apply_delta",
    "baselines",
    "evaluate",
    "fit",
    "recipe_for",
    "update_online",
]

_HOMES = {
    "FitResult": "fitting",
    "Metrics": "evaluation",
    "OnlineSettings": "online",
    "Recipe": "recipes",
    "TrainSettings": "settings",
    "apply_delta": "online",
    "baselines": "baseline_models",
    "evaluate": "evaluation",
    "fit": "fitting",
    "recipe_for": "recipes",
    "update_online": "online",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MissingDependencyError(error.name, "training", "torch") from None
