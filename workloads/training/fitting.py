"""Training a model: early stopping on the validation part, then perhaps afresh on all that is not test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from workloads.errors import InputError
from workloads.training.distributed import fit_in_processes, team_of_environment
from workloads.training.learner import LossFunction, StepHook
from workloads.training.running import fit_in_team
from workloads.training.settings import TrainSettings
from workloads.training.task import FitResult, Progress, Task
from workloads.training.team import ALONE

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.models.base import ModelModule

__all__ = ["FitResult", "Progress", "fit"]


def fit(
    module: ModelModule,
    config: Any,
    data: PreparedData,
    settings: TrainSettings,
    *,
    network: nn.Module | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    loss: LossFunction | None = None,
    after_step: StepHook | None = None,
) -> FitResult:
    """Train a model.

    Parameters
    ----------
    module, config, data, settings
        What to train, on what, and how.
    network
        Weights to start from (moved to the device and changed in place); by default freshly drawn ones.
    folder
        Where checkpoints go while the run lasts; none are written without it.
    resume
        Go on from the newest checkpoint in `folder`; where there is none, start.
    progress
        Called now and then, in the calling process.
    loss, after_step
        Instead of the network's own loss, for example to learn from a teacher; called after each step. With more than
        one process they must be functions that can be pickled.

    Raises
    ------
    InputError
        The training part is too small, the loss is not finite, the checkpoint is of another run, or there are fewer
        GPUs than processes.
    KeyboardInterrupt
        After Ctrl-C, once the checkpoint is written.

    Notes
    -----
    On a CPU a resumed run equals an uninterrupted one bit for bit. On CUDA, gradients of embedding rows are summed in
    no fixed order, so that any two runs differ in the last digits.
    """
    config = _with_dropout(config, settings, network)
    task = Task(module, config, data, settings, None if folder is None else Path(folder), resume, loss, after_step)
    launched = team_of_environment(settings)
    if launched is not None:
        return fit_in_team(task, network, launched, progress)
    if settings.processes == 1:
        return fit_in_team(task, network, ALONE, progress)
    return fit_in_processes(task, network, progress)


def _with_dropout(config: Any, settings: TrainSettings, network: nn.Module | None) -> Any:
    if settings.dropout is None:
        return config
    if "dropout" not in {field.name for field in fields(config)}:
        raise InputError("--dropout", f"{type(config).__name__} has none", "leave the option out")
    if network is not None and config.dropout != settings.dropout:
        raise InputError("--dropout", "the network given has its own", "build the network with the dropout wanted")
    return replace(config, dropout=settings.dropout)
