"""What a training run is asked for, what it tells on the way and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from workloads.model_folder import config_to_dict
from workloads.training.learner import LossFunction, StepHook
from workloads.training.settings import TrainSettings

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.models.base import ModelModule

__all__ = ["FitResult", "Progress", "Task"]


@dataclass(frozen=True)
class Progress:
    """What a progress display is told.

    Attributes
    ----------
    phase
        ``search`` or ``refit``.
    epoch, epochs, step, steps
        Epoch from 1 of at most `epochs`; steps done of those of the epoch.
    loss
        Mean training loss of the epoch; NaN before it is over.
    metric, value
        Validation metric and its value; NaN where there is none yet.
    """

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    metric: str
    value: float


@dataclass(frozen=True, eq=False)
class FitResult:
    """A trained network.

    Attributes
    ----------
    network
        In evaluation mode, on the device of training.
    config
        Its sizes, dropout as trained.
    epochs
        Passes over the training part that the weights have seen.
    history
        A record for each epoch: phase, epoch, loss, metric, value, lr, seconds.
    best_value
        Best validation value; None without a validation part.
    refit
        Whether the weights were trained on training and validation part together.
    data
        What they were trained on: judge them with this.
    seconds
        Wall-clock time in all, without earlier parts of a resumed run.
    """

    network: nn.Module
    config: Any
    epochs: int
    history: list[dict[str, Any]]
    best_value: float | None
    refit: bool
    data: PreparedData
    seconds: float


@dataclass(frozen=True, eq=False)
class Task:
    """What `fit` was asked for."""

    module: ModelModule
    config: Any
    data: PreparedData
    settings: TrainSettings
    folder: Path | None
    resume: bool
    loss: LossFunction | None
    after_step: StepHook | None

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that goes on from it; where it runs may differ."""
        free = ("device", "processes", "accumulate", "checkpoint_every", "epochs", "patience")
        settings = {name: value for name, value in self.settings.as_dict().items() if name not in free}
        settings["micro-batches"] = self.settings.shards
        if self.settings.decay != "none":
            settings["epochs"] = self.settings.epochs
        return {
            "model": self.module.__name__.rpartition(".")[2],  # type: ignore[attr-defined]
            "config": config_to_dict(self.config),
            "data": self.data.digest,
            "settings": settings,
        }
