"""What an online update is worth: the model with and without it on the interactions that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from workloads.model_folder import load_model
from workloads.training.evaluation import Metrics, evaluate

if TYPE_CHECKING:
    from workloads.interactions.prepared import InteractionTable
    from workloads.training.online import OnlineUpdate

__all__ = ["Replay", "judge_update"]


@dataclass(frozen=True)
class Replay:
    """Metrics on what follows, without and with the update; both models see the same histories."""

    before: Metrics
    after: Metrics


def judge_update(folder: str | Path, updated: OnlineUpdate, following: InteractionTable) -> Replay:
    """Judge the model of `folder` and its update on interactions after those that the update was made from."""
    data = replace(updated.data, test=following)
    old = load_model(folder)
    before = evaluate(old.module, old.config, old.network, data)
    return Replay(before, evaluate(old.module, old.config, updated.network, data))
