"""A trained model on disk: ``model.safetensors`` (weights) beside ``model.json`` (its card).

The card says which model with which sizes it is, what it was trained on and how, and what was measured. Reading a card
needs no torch; loading a network does.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads import field_words
from workloads.atomic_files import file_sha256, replace_file, write_json_file
from workloads.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workloads.models.base import ModelModule

__all__ = [
    "CARD_FILE",
    "FORMAT",
    "FORMAT_VERSION",
    "WEIGHTS_FILE",
    "SavedModel",
    "config_from_dict",
    "config_to_dict",
    "load_model",
    "read_card",
    "save_model",
    "versions",
]

FORMAT = "recfleet-model"
FORMAT_VERSION = 1
CARD_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
_FREE_PARTS = ("data", "training", "metrics", "sizes")


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A model folder that was read.

    Attributes
    ----------
    folder
        Where it lies.
    model
        The model's name in the zoo.
    module
        Its module (`workloads.models.base.ModelModule`).
    config
        Its sizes, as the module's configuration class.
    network
        The network with its weights, in evaluation mode.
    card
        The content of ``model.json``.
    """

    folder: Path
    model: str
    module: ModelModule
    config: Any
    network: nn.Module
    card: dict[str, Any]


def save_model(
    folder: str | Path,
    *,
    model: str,
    config: Any,
    network: nn.Module,
    card: Mapping[str, Any],
    variant: Mapping[str, Any] | None = None,
    tensors: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, Any]:
    """Write a model folder; each file is written under a temporary name, synced and renamed, the card last.

    Parameters
    ----------
    folder
        Created where it does not exist; a model in it is replaced.
    model, config, network
        Name in the zoo, sizes and weights.
    card
        The parts ``data``, ``training``, ``metrics`` and ``sizes`` of the card; others are refused. ``sizes`` is
        completed with ``parameters``, ``embedding_parameters`` and ``disk_bytes`` where it lacks them.
    variant
        For a compressed model: ``{"method": ..., "of": ..., ...}``.
    tensors
        What is written instead of the network's state, for variants with a representation of their own;
        `workloads.compression.restore.load_variant` reads them back.

    Returns
    -------
    dict
        The card as written.

    Raises
    ------
    InputError
        The folder cannot be written, or `card` has other parts.
    """
    unknown = sorted(set(card) - set(_FREE_PARTS))
    if unknown:
        raise InputError("card", f"has unknown parts {unknown}", f"use only {', '.join(_FREE_PARTS)}")
    folder = Path(folder)
    weights = folder / WEIGHTS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_weights(network, tensors, weights)
    except OSError as error:
        raise InputError(str(folder), f"cannot be written ({error.strerror or error})", "give another folder") from None
    sizes = {
        "parameters": config.parameter_count(),
        "embedding_parameters": config.embedding_count(),
        "disk_bytes": weights.stat().st_size,
        **card.get("sizes", {}),
    }
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": model,
        "config": config_to_dict(config),
        "variant": None if variant is None else dict(variant),
        "data": dict(card.get("data", {})),
        "training": dict(card.get("training", {})),
        "metrics": dict(card.get("metrics", {})),
        "sizes": sizes,
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "weights_sha256": file_sha256(weights),
    }
    write_json_file(document, folder / CARD_FILE)
    return document


def load_model(folder: str | Path, device: str = "cpu") -> SavedModel:
    """Read a model folder: an ordinary model, or a compressed variant in its own representation.

    Raises
    ------
    InputError
        No such folder, a card of another format, sizes that the model lacks, or weights that are not the card's.
    MissingDependencyError
        torch or safetensors is not installed.
    """
    folder = Path(folder)
    card = read_card(folder)
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from safetensors.torch import load_model as load_weights
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MissingDependencyError(error.name, "loading a model", "torch") from None
    from workloads.models import model_module

    module = model_module(card["model"])
    config = config_from_dict(module, card["config"], where=str(folder / CARD_FILE))
    path = _checked_weights(folder, card)
    build = _builder(module, config)
    try:
        if card["variant"] is None:
            network = build()
            load_weights(network, path)
        else:
            from workloads.compression.restore import load_variant

            network = load_variant(build, card, load_file(path))
    except (SafetensorError, RuntimeError) as error:
        problem = f"does not hold the weights that {CARD_FILE} describes ({str(error).splitlines()[0]})"
        raise InputError(str(path), problem, "train or compress the model again") from None
    return SavedModel(folder, card["model"], module, config, network.to(device).eval(), card)


def read_card(folder: str | Path) -> dict[str, Any]:
    """The card of a model folder, checked; needs no torch.

    Raises
    ------
    InputError
        The folder has no card, or one of another format.
    """
    from pydantic import ValidationError

    from workloads.model_card import ModelCard

    path = Path(folder) / CARD_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            str(folder),
            f"is no model folder: {CARD_FILE} cannot be read ({error.strerror})",
            "make one with recfleet train",
        ) from None
    try:
        return ModelCard.model_validate_json(text).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        problem = first["msg"].lower() if first["type"] == "json_invalid" else field_words.problem(first)
        raise InputError(f"{path} {field}", problem, "train or compress the model again") from None


def config_to_dict(config: Any) -> dict[str, Any]:
    """The fields of a configuration as JSON has them: tuples become lists."""
    return json.loads(json.dumps(asdict(config)))


def config_from_dict(module: ModelModule, values: Mapping[str, Any], where: str = "config") -> Any:
    """A model's configuration from the fields that a card holds.

    Raises
    ------
    InputError
        A field that this model's configuration does not have.
    """
    kind = type(module.default_config())
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"{where} config", f"has fields {unknown} that {kind.__name__} lacks", "train the model again")
    return kind(**{name: _tuples(value) for name, value in values.items()})


def versions() -> dict[str, str]:
    """Versions of what the weights depend on."""
    import numpy as np
    import safetensors
    import torch

    found = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found


def _write_weights(network: nn.Module, tensors: Mapping[str, torch.Tensor] | None, path: Path) -> None:
    from safetensors.torch import save_file
    from safetensors.torch import save_model as save_weights

    def write(temporary: Path) -> None:
        if tensors is None:
            save_weights(network, str(temporary))  # knows weights that two layers share
        else:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)

    replace_file(path, write)


def _checked_weights(folder: Path, card: Mapping[str, Any]) -> Path:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise InputError(str(folder), f"has a card but no {WEIGHTS_FILE}", "train or compress the model again")
    if file_sha256(path) != card["weights_sha256"]:
        problem = f"is not the file that {CARD_FILE} was written for"
        raise InputError(str(path), problem, "train or compress the model again")
    return path


def _builder(module: ModelModule, config: Any) -> Callable[[], nn.Module]:
    """Builds the network on the CPU without touching the caller's random state."""
    import torch

    def build() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return module.build(config)

    return build


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
