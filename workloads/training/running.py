"""One process's part of a training run: epochs, validation, early stopping, checkpoints, refit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workloads.errors import InputError
from workloads.training.batches import BatchPlan, Examples, ahead
from workloads.training.checkpoints import Checkpoints, Held, TrainState, copy_of_weights, restore_optimizer
from workloads.training.devices import usable_device
from workloads.training.interruption import Interruption
from workloads.training.learner import Learner
from workloads.training.task import FitResult, Progress, Task
from workloads.training.team import Team

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workloads.interactions.prepared import PreparedData
    from workloads.training.batches import MicroBatch

__all__ = ["fit_in_team"]

_TELL_EVERY_S = 0.2
_ASK_EVERY_STEPS = 8


def fit_in_team(
    task: Task, network: nn.Module | None, team: Team, progress: Callable[[Progress], None] | None
) -> FitResult:
    """What each process of a team does; alone, the whole of `fit`.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, once the step under way is done and its checkpoint written.
    """
    began_s = time.perf_counter()
    device = _device(task.settings.device, team)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), Interruption() as interruption:
        if network is None:
            torch.manual_seed(task.settings.seed)
            network = task.module.build(task.config)
        run = _Run(task, network.to(device), team, progress, interruption)
        result = run.carry_out()
    return replace(result, seconds=time.perf_counter() - began_s)


class _Phase:
    """What stays the same while a phase's epochs go by."""

    def __init__(self, task: Task, network: nn.Module, team: Team, data: PreparedData, epochs: int) -> None:
        settings = task.settings
        self.data, self.epochs = data, epochs
        self.examples = Examples(task.module, task.config, data)
        self.plan = BatchPlan(len(self.examples), settings.batch_size, settings.shards, settings.seed)
        if self.plan.steps == 0:
            problem = f"has {len(self.examples)} examples to train on, {settings.shards} are needed"
            raise InputError(f"data {data.name}", problem, "prepare more data, or train with fewer micro-batches")
        steps = self.plan.steps * settings.epochs
        self.learner = Learner(network, settings, steps, team, task.loss, task.after_step)


class _Run:
    """The state of a run and what moves it on."""

    def __init__(
        self,
        task: Task,
        network: nn.Module,
        team: Team,
        progress: Callable[[Progress], None] | None,
        interruption: Interruption,
    ) -> None:
        self.task, self.settings, self.network, self.team = task, task.settings, network, team
        self.device = next(network.parameters()).device
        self.state = TrainState()
        self._progress = progress if team.leads else None
        self._interruption = interruption
        self._told_s = 0.0
        self._checkpoints = None if task.folder is None else Checkpoints(task.folder, task.identity())

    def carry_out(self) -> FitResult:
        """Search for the number of epochs; then train anew on everything, where that is asked for."""
        task, state_data = self.task, self.task.data
        self._check_metric()
        refit = self.settings.refit and len(task.data.validation) > 0
        first_weights = copy_of_weights(self.network) if refit else {}
        held = self._take_up()
        if self.state.phase == "search":
            self._go_through(_Phase(task, self.network, self.team, task.data, self.settings.epochs), held)
            held = None
            if self.state.best_weights is not None:
                self.network.load_state_dict(self.state.best_weights)
        if refit:
            state_data = task.data.with_validation_in_training()
            if self.state.phase == "search":
                self.network.load_state_dict(first_weights)
                self.state.begin("refit")
            self._go_through(_Phase(task, self.network, self.team, state_data, self.state.best_epoch), held)
        task.module.refresh(self.network, state_data, task.config, "train")
        if self._checkpoints is not None and self.team.leads:
            self._checkpoints.remove()
        state = self.state
        epochs = state.best_epoch or state.epoch
        return FitResult(
            self.network.eval(), task.config, epochs, state.history, state.best_value, refit, state_data, 0.0
        )

    def _check_metric(self) -> None:
        """Refuse a metric that the model does not have, before an epoch is spent on it."""
        if self.settings.metric == "rmse" and len(self.task.data.validation) and not self.network.predicts_rating:
            raise InputError("--metric rmse", "this model's scores are no ratings", "use auc, ndcg10 or recall10")

    def _take_up(self) -> Held | None:
        """Go to where the newest checkpoint stands, if that is asked for; returns the optimiser's part of it."""
        latest = None if self._checkpoints is None or not self.task.resume else self._checkpoints.latest()
        if self._checkpoints is None or latest is None:
            return None
        self.state, weights, held = self._checkpoints.read(latest)
        self.network.load_state_dict(weights)
        if not self.team.leads:
            self.state.loss_sum = self.state.share_sum = 0.0
        return held

    def _go_through(self, phase: _Phase, held: Held | None) -> None:
        """Epoch after epoch, from where the state stands."""
        if held is not None:
            restore_optimizer(self.network, phase.learner.optimizer, phase.learner.schedule, held)
        while self.state.epoch < phase.epochs and not self._patience_is_over():
            self._epoch(phase)

    def _patience_is_over(self) -> bool:
        state, patience = self.state, self.settings.patience
        judged = state.phase == "search" and state.best_value is not None
        return judged and 0 < patience <= state.epoch - state.best_epoch

    def _epoch(self, phase: _Phase) -> None:
        began_s = time.perf_counter()
        state = self.state
        total = torch.tensor([state.loss_sum, state.share_sum], dtype=torch.float64, device=self.device)
        for micro_batches in self._steps(phase):
            share = sum(micro.weight for micro in micro_batches)
            total += torch.stack((phase.learner.step(micro_batches), total.new_tensor(share)))
            state.step += 1
            if state.step < phase.plan.steps:
                self._between_steps(phase, total)
        loss, share = self.team.sum(total).tolist()
        if not math.isfinite(loss):
            problem = f"the loss became {loss} in epoch {state.epoch + 1}"
            raise InputError("training", problem, "give a lower --lr, or --clip-norm 1")
        state.epoch, state.step, state.loss_sum, state.share_sum = state.epoch + 1, 0, 0.0, 0.0
        record = {"phase": state.phase, "epoch": state.epoch, "loss": loss / share, "lr": phase.learner.lr}
        record |= self._judged() if state.phase == "search" and len(phase.data.validation) else {}
        state.history.append(record | {"seconds": round(time.perf_counter() - began_s, 3)})
        self._tell(phase, phase.plan.steps, loss / share)
        stop = self.team.any(self._interruption.asked, self.device)
        if stop or self.settings.checkpoint_every == 0:
            self._write(phase)
        if stop:
            raise KeyboardInterrupt

    def _steps(self, phase: _Phase) -> Iterator[list[MicroBatch]]:
        """This process's micro-batches of each step that the epoch still has."""
        epoch, plan = self.state.epoch, phase.plan
        order = plan.order(epoch)
        first = self.team.rank * self.settings.accumulate
        mine = range(first, first + self.settings.accumulate)
        steps = range(self.state.step, plan.steps)
        made = (plan.micro_batches(phase.examples, order, epoch, step, mine) for step in steps)
        return ahead(made) if self.device.type == "cuda" else made

    def _between_steps(self, phase: _Phase, total: torch.Tensor) -> None:
        state, every = self.state, self.settings.checkpoint_every
        self._tell(phase, state.step, math.nan)
        stop = False
        if self.team.processes == 1 or state.step % _ASK_EVERY_STEPS == 0:
            stop = self.team.any(self._interruption.asked, self.device)
        if stop or (every and (state.epoch * phase.plan.steps + state.step) % every == 0):
            state.loss_sum, state.share_sum = self.team.sum(total).tolist()
            self._write(phase)
        if stop:
            raise KeyboardInterrupt

    def _judged(self) -> dict[str, Any]:
        """Judge on the validation part and remember the best; the leading process does it for all."""
        from workloads.training.evaluation.validating import validation_value

        task, state = self.task, self.state
        value = math.nan
        if self.team.leads:
            task.module.refresh(self.network, task.data, task.config, "train")
            value = validation_value(task.module, task.config, self.network.eval(), task.data, self.settings)
        value = self.team.from_leader(value, self.device)
        if not math.isfinite(value):
            problem = f"cannot be computed on the validation part of {task.data.name} (it is {value})"
            raise InputError(f"--metric {self.settings.metric}", problem, "judge by another metric")
        if self.settings.is_better(value, state.best_value):
            state.best_value, state.best_epoch = value, state.epoch
            if not self.settings.refit:
                state.best_weights = copy_of_weights(self.network)
        return {"metric": self.settings.metric, "value": value}

    def _write(self, phase: _Phase) -> None:
        if self._checkpoints is not None and self.team.leads:
            learner, made = phase.learner, self.state.epoch * phase.plan.steps + self.state.step
            self._checkpoints.write(self.state, self.network, learner.optimizer, learner.schedule, made)

    def _tell(self, phase: _Phase, step: int, loss: float) -> None:
        over = not math.isnan(loss)
        if self._progress is None or not (over or time.perf_counter() - self._told_s > _TELL_EVERY_S):
            return
        self._told_s = time.perf_counter()
        state = self.state
        epoch = state.epoch if over else state.epoch + 1
        values = [record["value"] for record in state.history if "value" in record]
        value = values[-1] if values else math.nan
        told = (state.phase, epoch, phase.epochs, step, phase.plan.steps, loss, self.settings.metric, value)
        self._progress(Progress(*told))


def _device(kind: str, team: Team) -> torch.device:
    """This process's device: of several GPUs, the one with its number."""
    device = usable_device(kind)
    if device.type != "cuda":
        return device
    if team.processes > 1:
        device = torch.device("cuda", team.local_rank)
    elif device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    return device
