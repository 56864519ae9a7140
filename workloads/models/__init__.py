"""The recommender models, by name; torch is imported only when one is asked for."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from workloads.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from workloads.models.base import ModelModule

__all__ = ["MODEL_NAMES", "model_module"]

MODEL_NAMES: tuple[str, ...] = (
    "biased_mf",
    "two_tower",
    "lstm_two_tower",
    "autoencoder",
    "sasrec",
    "bert4rec",
    "neumf",
    "dlrm",
    "bert_reranker",
)


def model_module(name: str) -> ModelModule:
    """The module of one model: its configuration class, `build` and `example_inputs`.

    Raises
    ------
    InputError
        No model has this name.
    MissingDependencyError
        torch is not installed.
    """
    if name not in MODEL_NAMES:
        near = difflib.get_close_matches(name, MODEL_NAMES, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(MODEL_NAMES)}"
        raise InputError(f"model {name!r}", "is not in the zoo", fix)
    try:
        return importlib.import_module(f"workloads.models.{name}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError("torch", f"the model {name}", "torch") from None
