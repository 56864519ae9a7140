"""Checkpoints: where a training run stands, so that it can be taken up exactly there.

A checkpoint is a folder ``checkpoint-PHASE-STEP`` with ``weights.safetensors``, ``best.safetensors`` (the best weights
so far, where they are needed), ``optimizer.safetensors`` and ``state.json``. It is written under a temporary name and
renamed; then older ones are removed. No random state is kept: every draw hangs on seed, epoch and step alone.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from workloads.errors import InputError

__all__ = ["Checkpoints", "Held", "TrainState", "copy_of_weights", "restore_optimizer"]

_PHASES = ("search", "refit")
_SEPARATOR = "//"


@dataclass
class TrainState:
    """Where a run stands.

    Attributes
    ----------
    phase
        ``search`` trains on the training part and judges on the validation part; ``refit`` trains on both.
    epoch, step
        The next step's epoch, and its number within it.
    loss_sum, share_sum
        Of the epoch so far: sum of loss times the share of its batch, and of the shares.
    best_value, best_epoch
        Best validation value, and how many epochs gave it; None and 0 before there is one.
    history
        A record for each epoch of either phase.
    best_weights
        Weights that gave the best value.
    """

    phase: str = "search"
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    share_sum: float = 0.0
    best_value: float | None = None
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_weights: dict[str, torch.Tensor] | None = None

    def begin(self, phase: str) -> None:
        """Start a phase."""
        self.phase, self.epoch, self.step, self.loss_sum, self.share_sum = phase, 0, 0, 0.0, 0.0
        self.best_weights = None

    def plain(self) -> dict[str, Any]:
        """The fields that JSON can hold."""
        return {name: value for name, value in vars(self).items() if name != "best_weights"}


@dataclass(frozen=True, eq=False)
class Held:
    """An optimiser's part of a checkpoint: state by weight and key, as tensors and as plain values; steps made."""

    tensors: dict[str, torch.Tensor]
    plain: dict[str, Any]
    last_epoch: int


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Parameters
    ----------
    folder
        Where they go; created with the first one.
    identity
        What a run must share with a checkpoint to go on from it: model, sizes, data, settings.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self._identity = json.loads(json.dumps(identity))

    def latest(self) -> Path | None:
        """The newest checkpoint, or None."""
        found = [path for path in self.folder.glob("checkpoint-*-*") if (path / "state.json").is_file()]
        return max(found, key=_order, default=None)

    def remove(self) -> None:
        """Delete all: the run is over."""
        for path in self.folder.glob("checkpoint-*-*"):
            shutil.rmtree(path, ignore_errors=True)

    def write(
        self, state: TrainState, network: nn.Module, optimizer: Optimizer, schedule: LambdaLR, steps_made: int
    ) -> None:
        """Write one, then remove the others.

        Raises
        ------
        InputError
            The folder cannot be written.
        """
        target = self.folder / f"checkpoint-{state.phase}-{steps_made:08d}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".checkpoint.", dir=self.folder))
        except OSError as error:
            problem = f"checkpoints cannot be written ({error.strerror})"
            raise InputError(str(self.folder), problem, "give another folder") from None
        try:
            self._fill(draft, state, network, optimizer, schedule)
            if target.exists():
                shutil.rmtree(target)
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for path in self.folder.glob("checkpoint-*-*"):
            if path != target:
                shutil.rmtree(path, ignore_errors=True)

    def _fill(
        self, folder: Path, state: TrainState, network: nn.Module, optimizer: Optimizer, schedule: LambdaLR
    ) -> None:
        tensors, plain = _optimizer_parts(network, optimizer)
        save_file(copy_of_weights(network), folder / "weights.safetensors")
        save_file(tensors, folder / "optimizer.safetensors")
        if state.best_weights is not None:
            save_file(state.best_weights, folder / "best.safetensors")
        document = {
            "identity": self._identity,
            "state": state.plain(),
            "optimizer": plain,
            "schedule": {"last_epoch": schedule.last_epoch},
        }
        (folder / "state.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def read(self, path: Path) -> tuple[TrainState, dict[str, torch.Tensor], Held]:
        """State, weights and the optimiser's part of a checkpoint.

        Raises
        ------
        InputError
            The checkpoint was written by another run: other data, model or settings.
        """
        document = json.loads((path / "state.json").read_text(encoding="utf-8"))
        theirs = document["identity"]
        for part, mine in self._identity.items():
            if theirs.get(part) != mine:
                raise InputError(
                    f"--resume {path}", _difference(part, theirs.get(part), mine), "train without --resume"
                )
        state = TrainState(**document["state"])
        best = path / "best.safetensors"
        if best.is_file():
            state.best_weights = load_file(best)
        tensors = load_file(path / "optimizer.safetensors")
        held = Held(tensors, document["optimizer"], document["schedule"]["last_epoch"])
        return state, load_file(path / "weights.safetensors"), held


def copy_of_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's state on the CPU, each tensor a copy of its own."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in network.state_dict().items()}


def restore_optimizer(network: nn.Module, optimizer: Optimizer, schedule: LambdaLR, held: Held) -> None:
    """Put an optimiser and its schedule where a checkpoint left them."""
    parameters = dict(network.named_parameters())
    for name, tensor in held.tensors.items():
        weight, _, key = name.rpartition(_SEPARATOR)
        place = parameters[weight]
        # Counts of steps stay on the CPU, as torch's optimisers keep them.
        optimizer.state[place][key] = tensor if tensor.ndim == 0 else tensor.to(place.device)
    for name, value in held.plain.items():
        weight, _, key = name.rpartition(_SEPARATOR)
        optimizer.state[parameters[weight]][key] = value
    schedule.last_epoch = held.last_epoch
    for group, peak, share in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas):
        group["lr"] = peak * share(held.last_epoch)


def _optimizer_parts(network: nn.Module, optimizer: Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State by weight and key: tensors, and what is none."""
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, Any] = {}
    for weight, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            name = f"{weight}{_SEPARATOR}{key}"
            if isinstance(value, torch.Tensor):
                tensors[name] = value.detach().to("cpu", copy=True).contiguous()
            else:
                plain[name] = value
    return tensors, plain


def _order(path: Path) -> tuple[int, int]:
    _, phase, steps = path.name.rsplit("-", 2)
    return _PHASES.index(phase), int(steps)


def _difference(part: str, theirs: Any, mine: Any) -> str:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        names = [name for name in sorted({*theirs, *mine}) if theirs.get(name) != mine.get(name)]
        shown = ", ".join(f"{name} {theirs.get(name)!r} there, {mine.get(name)!r} here" for name in names[:3])
        return f"is of a run with another {part}: {shown}"
    return f"is of a run with another {part}: {theirs!r} there, {mine!r} here"
