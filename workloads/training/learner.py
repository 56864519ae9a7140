"""One optimisation step: micro-batches forward and backward, gradients synchronised once, weights moved."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from workloads.training.batches import MicroBatch
from workloads.training.optimisers import make_optimizer, make_schedule
from workloads.training.settings import TrainSettings
from workloads.training.team import Team

__all__ = ["Learner", "LossFunction", "StepHook"]

LossFunction = Callable[..., torch.Tensor]
"""``loss(network, *training_batch)``, a mean over rows."""

StepHook = Callable[[nn.Module], None]
"""Called with the network after each step, for example to hold pruned weights at zero."""


class _Loss(nn.Module):
    """The loss as the forward pass, which is what data parallelism wraps."""

    def __init__(self, network: nn.Module, loss: LossFunction | None) -> None:
        super().__init__()
        self.network = network
        self._loss = loss

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        if self._loss is not None:
            return self._loss(self.network, *batch)
        return self.network.loss(*batch)  # type: ignore[operator]


class Learner:
    """A network with its optimiser and schedule.

    Parameters
    ----------
    network
        On its device already.
    steps
        Length of the schedule.
    team
        The processes that train together; gradients are averaged over them.
    loss, after_step
        Instead of ``network.loss``; called after each step.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        steps: int,
        team: Team,
        loss: LossFunction | None = None,
        after_step: StepHook | None = None,
    ) -> None:
        self.network = network
        self.optimizer = make_optimizer(network, settings)
        self.schedule = make_schedule(self.optimizer, settings, steps)
        self.device = next(network.parameters()).device
        self._settings, self._team, self._after_step = settings, team, after_step
        self._forward: nn.Module = _Loss(network, loss)
        if team.processes > 1:
            options: dict[str, Any] = {_buffers_option(): False}
            self._forward = DistributedDataParallel(self._forward, **options)

    @property
    def lr(self) -> float:
        """Rate of the last group, that of the layers."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def step(self, micro_batches: Sequence[MicroBatch]) -> torch.Tensor:
        """Make one step.

        Returns
        -------
        torch.Tensor
            Loss of this process's rows times their share of the global batch; the sum over processes is its mean loss.
        """
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for index, micro in enumerate(micro_batches):
            last = index == len(micro_batches) - 1
            with contextlib.nullcontext() if last else self._no_sync():
                loss = self._loss_of(micro)
                # Data parallelism divides by the processes; each micro-batch counts by its share of the global batch.
                (loss * (micro.weight * self._team.processes)).backward()
            total += loss.detach().double() * micro.weight
        if self._settings.clip_norm > 0:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        if self._after_step is not None:
            self._after_step(self.network)
        return total

    def _loss_of(self, micro: MicroBatch) -> torch.Tensor:
        torch.manual_seed(micro.torch_seed)
        tensors = micro.tensors(self.device)
        if self._settings.precision == "bf16":
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                return self._forward(*tensors)
        return self._forward(*tensors)

    def _no_sync(self) -> contextlib.AbstractContextManager[None]:
        if isinstance(self._forward, DistributedDataParallel):
            return self._forward.no_sync()
        return contextlib.nullcontext()


def _buffers_option() -> str:
    """What this torch calls the sending of buffers before each forward pass, which nothing here needs."""
    names = inspect.signature(DistributedDataParallel).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
