"""Train a model, judge it beside the baselines, write its folder; and judge a folder that was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workloads.errors import InputError
from workloads.model_folder import CARD_FILE, load_model, save_model
from workloads.models import model_module
from workloads.training.baseline_models import baselines
from workloads.training.devices import usable_device
from workloads.training.distributed import is_leader, leave_team
from workloads.training.evaluation import Metrics, evaluate
from workloads.training.fitting import fit
from workloads.training.recipes import Recipe
from workloads.training.task import FitResult, Progress

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.types import Part

__all__ = ["Judged", "check_out", "data_of_card", "judge_folder", "refuse_updated", "train_and_save", "training_part"]


@dataclass(frozen=True, eq=False)
class Judged:
    """A model's card with its metrics beside those of the baselines."""

    card: Mapping[str, Any]
    metrics: Metrics
    baselines: Mapping[str, Metrics]


def train_and_save(
    model: str,
    data: PreparedData,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    ks: tuple[int, ...] = (10,),
    with_baselines: bool = True,
    progress: Callable[[Progress], None] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Judged | None:
    """Train by a recipe and write a model folder.

    Parameters
    ----------
    model, data, recipe
        What to train, on what, and how; sizes are the module's ``config_for(data)`` with the recipe's changes.
    out
        The model folder; checkpoints lie in it while training lasts.
    resume
        Go on from the checkpoint in `out`.
    progress, tell
        Called while training; with each later step in words.

    Returns
    -------
    Judged or None
        None in processes that torchrun started and that do not lead.

    Raises
    ------
    InputError
        Settings, data or folder cannot be used.
    """
    check_out(out, resume)
    module = model_module(model)
    config = module.config_for(data, **recipe.config)
    result = fit(module, config, data, recipe.settings, folder=out, resume=resume, progress=progress)
    leads = is_leader()
    leave_team()
    if not leads:
        return None
    tell("judging on the test part")
    place = next(result.network.parameters()).device
    metrics = evaluate(
        module,
        result.config,
        result.network,
        result.data,
        device=place,
        ks=ks,
        ranking_users=recipe.settings.ranking_users,
    )
    card = save_model(
        out,
        model=model,
        config=result.config,
        network=result.network.cpu(),
        card={
            "data": {"name": data.name, "split": data.split, "digest": data.digest},
            "training": training_part(result, recipe, place),
            "metrics": metrics.as_dict(),
            "sizes": {"memory_bytes": memory_bytes(result.network)},
        },
    )
    tell("judging the baselines")
    return Judged(card, metrics, baselines(data, "test", ks, recipe.settings.ranking_users) if with_baselines else {})


def judge_folder(
    folder: Path,
    data: PreparedData,
    *,
    part: Part = "test",
    device: str = "cpu",
    precision: str = "fp32",
    ks: tuple[int, ...] = (10,),
    ranking_users: int = 0,
    with_baselines: bool = True,
) -> Judged:
    """Judge a model folder, compressed or not, with the weights that it holds.

    Raises
    ------
    InputError
        The folder, the device or the data cannot be used; the data are not those that the model was trained on; the
        model was updated since, so that the part is nothing new to it.
    """
    usable_device(device)
    saved = load_model(folder, device)
    refuse_updated(saved.card, str(folder), "judge updates with recfleet update --share, on what follows them")
    last = data_of_card(saved.card, data, str(folder), part)
    metrics = evaluate(saved.module, saved.config, saved.network, last, part, device, ks, ranking_users, precision)
    return Judged(saved.card, metrics, baselines(data, part, ks, ranking_users) if with_baselines else {})


def refuse_updated(card: Mapping[str, Any], where: str, fix: str) -> None:
    """Refuse a model that an online update changed, where a part of the data is to judge it.

    Raises
    ------
    InputError
        It was updated.
    """
    if card["training"].get("updates"):
        problem = "was updated with interactions that followed its training, so no part of the data is new to it"
        raise InputError(where, problem, fix)


def data_of_card(card: Mapping[str, Any], data: PreparedData, where: str, part: Part = "test") -> PreparedData:
    """The data as the model of this card saw them: after a refit, validation belongs to the training part.

    Raises
    ------
    InputError
        The card was written for other data, or for a model that has seen the part to judge.
    """
    theirs = card["data"].get("digest")
    if theirs is not None and theirs != data.digest:
        problem = f"was trained on {card['data'].get('name')} {theirs[:12]}, this is {data.name} {data.digest[:12]}"
        raise InputError(where, problem, "give the folder of data that it was trained on")
    if not card["training"].get("refit"):
        return data
    if part == "validation":
        raise InputError(where, "was trained on the validation part too", "judge it on the test part")
    return data.with_validation_in_training()


def check_out(out: Path, resume: bool) -> None:
    """Refuse an output folder before any work is done for it.

    Raises
    ------
    InputError
        It holds something that is no model, or the checkpoint of a run that `resume` does not ask to go on.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"--out {out}", "is a file", "give a folder")
    if any(out.glob("checkpoint-*")):
        if not resume:
            problem = "holds the checkpoint of a run that was interrupted"
            raise InputError(f"--out {out}", problem, "add --resume to go on, or give another folder")
        return
    if any(out.iterdir()) and not (out / CARD_FILE).is_file():
        raise InputError(f"--out {out}", "holds files but no model", "give an empty or a new folder")


def training_part(result: FitResult, recipe: Recipe, place: torch.device) -> dict[str, Any]:
    """How the weights came about, for the card."""
    device = torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu"
    return {
        "settings": recipe.settings.as_dict(),
        "epochs": result.epochs,
        "refit": result.refit,
        "best": {"metric": recipe.settings.metric, "value": result.best_value},
        "history": result.history,
        "seconds": round(result.seconds, 3),
        "device": device,
    }


def memory_bytes(network: nn.Module) -> int:
    """Bytes of all weights and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in [*network.parameters(), *network.buffers()])
