"""Updating a trained model from new interactions: only the rows of their users and items move, the layers stay.

The new interactions are taken in order of time, batch by batch, once. What changed is written as a delta, a small
fraction of the model, that `apply_delta` puts into a copy of the model it was made from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.errors import InputError
from workloads.interactions.prepared import InteractionTable
from workloads.interactions.rows import Rows
from workloads.model_folder import SavedModel, load_model
from workloads.training.batches import to_tensors
from workloads.training.delta import Delta, put_into, read_delta, write_delta
from workloads.training.id_tables import STORED, id_rows
from workloads.training.session import data_of_card

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["OnlineSettings", "OnlineUpdate", "apply_delta", "update_online"]


@dataclass(frozen=True)
class OnlineSettings:
    """How rows are moved.

    Attributes
    ----------
    optimizer
        ``adagrad``, whose sums of squares go on from one delta to the next, or ``sgd``.
    lr
        Learning rate.
    batch_size
        Interactions of a step.
    passes
        How often the new interactions are gone through.
    seed
        Of negatives and masks.
    """

    optimizer: str = "adagrad"
    lr: float = 0.01
    batch_size: int = 256
    passes: int = 1
    seed: int = 20_261

    def __post_init__(self) -> None:
        if self.optimizer not in ("adagrad", "sgd"):
            raise InputError("--optimizer", f"{self.optimizer!r} is not known", "use adagrad or sgd")
        if not 0 < self.lr < float("inf"):
            raise InputError("--lr", f"{self.lr} is no learning rate", "give a positive number, as in 0.01")
        for name in ("batch_size", "passes"):
            if getattr(self, name) < 1:
                option = "--" + name.replace("_", "-")
                raise InputError(option, f"{getattr(self, name)} is below 1", "give at least 1")


@dataclass(frozen=True, eq=False)
class OnlineUpdate:
    """What an update made.

    Attributes
    ----------
    delta
        Rows that changed, and what is said of them.
    data
        The data with the new interactions in their training part: judge the updated model with this.
    network
        The updated network.
    """

    delta: Delta
    data: PreparedData
    network: nn.Module


def update_online(
    folder: str | Path,
    data: PreparedData,
    new: InteractionTable,
    out: str | Path | None = None,
    settings: OnlineSettings | None = None,
    previous: str | Path | None = None,
    seen: InteractionTable | None = None,
) -> OnlineUpdate:
    """Update a model from new interactions and write the delta.

    Parameters
    ----------
    folder
        A model folder, not compressed.
    data
        What the model was trained on.
    new
        New interactions, with the ids of `data`. Those of users or items that `data` has no id for are left out and
        counted: tables do not grow, as ids are given when data are prepared. Users and items that have an id and
        were never trained start from their first, random vector.
    out
        Folder of the delta; None writes nothing.
    previous
        The delta before this one, already applied to `folder`: Adagrad's sums go on from there.
    seen
        Interactions of the updates before: known to the rows here, not learned again.

    Raises
    ------
    InputError
        The model is compressed, was trained on other data, or no interaction can be used.
    """
    settings = OnlineSettings() if settings is None else settings
    saved = load_model(folder)
    if saved.card["variant"] is not None:
        raise InputError(str(folder), "is a compressed variant", "update the model it was made of, and compress again")
    base = data_of_card(saved.card, data, str(folder))
    if seen is not None and len(seen):
        base, _ = _joined(base, _known_ids(seen, data))
    kept = _known_ids(new, data)
    joined, places = _joined(base, kept)
    rows = id_rows(saved.model, data, np.unique(kept.user), np.unique(kept.item))
    state = saved.network.state_dict()
    rows = {name: row for name, row in rows.items() if name in state}
    before = {name: state[name][torch.from_numpy(row)].clone() for name, row in rows.items()}
    sums = {} if previous is None else _sums_of(previous, saved)
    learner = _RowLearner(saved, rows, settings, sums)
    losses = [learner.step(batch) for batch in _batches(saved, joined, places, settings)]
    _refresh_some(saved, joined, rows)
    delta = _delta(saved, rows, before, learner, len(new) - len(kept), len(kept), losses, settings)
    if out is not None:
        delta = write_delta(delta, out)
    return OnlineUpdate(delta, joined, saved.network.eval())


def apply_delta(folder: str | Path, delta: str | Path, out: str | Path) -> dict[str, Any]:
    """Write a copy of a model with a delta put into it; returns its card.

    Raises
    ------
    InputError
        The delta was made from other weights.
    """
    return put_into(load_model(folder), read_delta(delta), Path(out))


class _RowLearner:
    """Moves some rows of some tables; everything else stays bit for bit.

    Tables that are only looked up give sparse gradients, so that a step costs what the rows cost and not the table.
    """

    def __init__(
        self,
        saved: SavedModel,
        rows: dict[str, np.ndarray],
        settings: OnlineSettings,
        sums: dict[str, tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        self.network = saved.network.eval().requires_grad_(False)
        self.tables = {name: weight for name, weight in self.network.named_parameters() if name in rows}
        self._may_move: dict[str, torch.Tensor] = {}
        for name, weight in self.tables.items():
            weight.requires_grad_(True)
            self.network.get_submodule(name.removesuffix(".weight")).sparse = True  # type: ignore[assignment]
            mask = torch.zeros(len(weight), dtype=torch.bool)
            mask[torch.from_numpy(rows[name])] = True
            self._may_move[name] = mask
        weights = list(self.tables.values())
        kinds = {"adagrad": torch.optim.Adagrad, "sgd": torch.optim.SGD}
        self.optimizer: torch.optim.Optimizer = kinds[settings.optimizer](weights, lr=settings.lr)
        self._carried = {name: row.numpy() for name, (row, _) in sums.items()}
        if settings.optimizer == "adagrad":
            for name, (row, values) in sums.items():
                self.optimizer.state[self.tables[name]]["sum"][row] = values

    def step(self, batch: tuple[np.ndarray, ...]) -> float:
        """One step; returns the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.network.loss(*to_tensors(batch, torch.device("cpu")))  # type: ignore[operator]
        loss.backward()
        for name, weight in self.tables.items():
            if weight.grad is not None:
                weight.grad = _only(weight.grad, self._may_move[name])
        with torch.sparse.check_sparse_tensor_invariants(False):
            self.optimizer.step()
        return float(loss.detach())

    def sums(self, rows: dict[str, np.ndarray]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Adagrad's sums of the rows, and of those that came from the delta before; empty for SGD."""
        found = {}
        for name, weight in self.tables.items():
            if "sum" in self.optimizer.state.get(weight, {}):
                row = torch.from_numpy(np.union1d(rows[name], self._carried.get(name, rows[name])))
                found[name] = row, self.optimizer.state[weight]["sum"][row].clone()
        return found


def _sums_of(previous: str | Path, saved: SavedModel) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Adagrad's sums of the delta before, which must be the last that was applied to the model."""
    delta = read_delta(previous)
    if saved.card["training"].get("updates", [])[-1:] != [dict(delta.facts)]:
        problem = f"is not the update that {saved.folder} was last made by"
        raise InputError(f"--previous {previous}", problem, "give the delta that was applied to it")
    return delta.sums


def _only(gradient: torch.Tensor, may_move: torch.Tensor) -> torch.Tensor:
    """The gradient of some rows; of the others, none."""
    if not gradient.is_sparse:
        return gradient * may_move[:, None]
    gradient = gradient.coalesce()
    kept = may_move[gradient.indices()[0]]
    return torch.sparse_coo_tensor(
        gradient.indices()[:, kept], gradient.values()[kept], gradient.shape, is_coalesced=True, check_invariants=False
    )


def _known_ids(new: InteractionTable, data: PreparedData) -> InteractionTable:
    known = (new.user > 0) & (new.user < data.users) & (new.item > 0) & (new.item < data.items)
    if not known.any():
        problem = f"none of {len(new)} is of a user and an item that the model's tables have"
        raise InputError("new interactions", problem, "prepare the data anew and train")
    return new.take(known)


def _joined(base: PreparedData, new: InteractionTable) -> tuple[PreparedData, np.ndarray]:
    """Training part and new interactions in order of time, and where in it the new ones are."""
    train = InteractionTable.merged(base.train, new)
    order = np.argsort(np.concatenate((base.train.time_s, new.time_s)), kind="stable")
    empty = InteractionTable.empty()
    return replace(base, train=train, validation=empty, test=empty), np.flatnonzero(order >= len(base.train))


def _batches(
    saved: SavedModel, data: PreparedData, places: np.ndarray, settings: OnlineSettings
) -> Iterator[tuple[np.ndarray, ...]]:
    """What the loss takes, stretch by stretch of the new interactions."""
    generator = np.random.default_rng(np.random.SeedSequence(settings.seed))
    for _ in range(settings.passes):
        for first in range(0, len(places), settings.batch_size):
            index = places[first : first + settings.batch_size]
            if saved.module.TRAINING_UNIT == "users":
                rows = Rows.of_users(data, np.unique(data.train.user[index]), "train")
            else:
                rows = Rows.of_interactions(data, "train", index)
            yield saved.module.training_batch(rows, saved.config, generator)


def _refresh_some(saved: SavedModel, data: PreparedData, rows: dict[str, np.ndarray]) -> None:
    """Compute what is stored about items anew, of the items concerned only."""
    stored = {name: saved.network.get_buffer(name) for name in STORED if name in rows}
    if not stored:
        return
    kept = {name: buffer.clone() for name, buffer in stored.items()}
    saved.module.refresh(saved.network, data, saved.config, "train")
    for name, buffer in stored.items():
        row = torch.from_numpy(rows[name])
        kept[name][row] = buffer[row]
        buffer.copy_(kept[name])


def _delta(
    saved: SavedModel,
    rows: dict[str, np.ndarray],
    before: dict[str, torch.Tensor],
    learner: _RowLearner,
    left_out: int,
    interactions: int,
    losses: list[float],
    settings: OnlineSettings,
) -> Delta:
    state = saved.network.state_dict()
    changed: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, old in before.items():
        row = torch.from_numpy(rows[name])
        values = state[name][row]
        moved = (values != old).any(dim=1)
        changed[name] = row[moved], values[moved].detach().clone()
    if any(not bool(torch.isfinite(values).all()) for _, values in changed.values()):
        raise InputError("update", "values became infinite or no numbers", "give a lower --lr")
    facts = {
        "interactions": interactions,
        "left_out": left_out,
        "steps": len(losses),
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "settings": asdict(settings),
    }
    return Delta(saved.model, saved.card["weights_sha256"], changed, learner.sums(rows), facts)
