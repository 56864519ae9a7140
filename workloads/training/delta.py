"""The file of an online update: rows of tables with their new values, and which weights they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from workloads.atomic_files import file_sha256, replace_file, write_json_file
from workloads.errors import InputError
from workloads.model_folder import WEIGHTS_FILE, SavedModel, save_model, versions

__all__ = ["DELTA_CARD", "DELTA_FILE", "Delta", "put_into", "read_delta", "write_delta"]

DELTA_FILE, DELTA_CARD = "delta.safetensors", "delta.json"
_ROWS, _VALUES, _SUM_ROWS, _SUMS = "rows", "values", "sum rows", "sums"

RowValues = dict[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class Delta:
    """Rows that an update changed.

    Attributes
    ----------
    model
        Name in the zoo.
    base_sha256
        Of the weights that it was made from.
    rows
        Table to ``row[place]`` (int64) and ``value[place, channel]``.
    sums
        Adagrad's sums of squares for the rows that may move, and for those of the deltas before, likewise; empty for
        SGD.
    facts
        Interactions used and left out, steps, losses, settings; once written, bytes.
    """

    model: str
    base_sha256: str
    rows: RowValues
    sums: RowValues
    facts: Mapping[str, Any] = field(default_factory=dict)

    def changed_rows(self) -> dict[str, int]:
        """Rows of each table that changed."""
        return {name: len(row) for name, (row, _) in self.rows.items()}


class _Card(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["recfleet-delta"]
    format_version: Literal[1]
    model: str
    base_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    delta_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    changed_rows: dict[str, int]
    facts: dict[str, Any]
    versions: dict[str, str]
    date: str


def write_delta(delta: Delta, folder: str | Path) -> Delta:
    """Write the delta's two files, the card last; returns it with its bytes among the facts.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    folder = Path(folder)
    tensors: dict[str, torch.Tensor] = {}
    for name, (row, values) in delta.rows.items():
        tensors |= {f"{name}/{_ROWS}": row.to(torch.int32), f"{name}/{_VALUES}": values.contiguous()}
    for name, (row, values) in delta.sums.items():
        tensors |= {f"{name}/{_SUM_ROWS}": row.to(torch.int32), f"{name}/{_SUMS}": values.contiguous()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / DELTA_FILE, lambda path: save_file(tensors, path))
    except OSError as error:
        raise InputError(str(folder), f"cannot be written ({error.strerror})", "give another folder") from None
    changed = sum(row.numel() * 4 + values.numel() * values.element_size() for row, values in delta.rows.values())
    sizes = {"changed_bytes": changed, "disk_bytes": (folder / DELTA_FILE).stat().st_size}
    delta = replace(delta, facts={**delta.facts, **sizes})
    document = {
        "format": "recfleet-delta",
        "format_version": 1,
        "model": delta.model,
        "base_sha256": delta.base_sha256,
        "delta_sha256": file_sha256(folder / DELTA_FILE),
        "changed_rows": delta.changed_rows(),
        "facts": dict(delta.facts),
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json_file(document, folder / DELTA_CARD)
    return delta


def read_delta(folder: str | Path) -> Delta:
    """Read a delta.

    Raises
    ------
    InputError
        There is none, or its files do not belong together.
    """
    folder = Path(folder)
    again = "make it again with recfleet update"
    try:
        card = _Card.model_validate_json((folder / DELTA_CARD).read_text(encoding="utf-8"))
        if file_sha256(folder / DELTA_FILE) != card.delta_sha256:
            raise InputError(str(folder / DELTA_FILE), f"is not the file that {DELTA_CARD} was written for", again)
        tensors = load_file(folder / DELTA_FILE)
    except OSError as error:
        raise InputError(str(folder), f"is no delta ({error.strerror}: {error.filename})", again) from None
    except (ValidationError, SafetensorError) as error:
        problem = f"cannot be read as a delta ({str(error).splitlines()[0]})"
        raise InputError(str(folder), problem, again) from None
    rows, sums = _pairs(tensors, _ROWS, _VALUES), _pairs(tensors, _SUM_ROWS, _SUMS)
    return Delta(card.model, card.base_sha256, rows, sums, card.facts)


def put_into(saved: SavedModel, delta: Delta, out: Path) -> dict[str, Any]:
    """Write a copy of a model with the delta's rows; its metrics are left empty, as nobody has judged it.

    Raises
    ------
    InputError
        The delta was made from other weights, or `out` is the model's own folder.
    """
    if saved.card["weights_sha256"] != delta.base_sha256:
        problem = f"was made from other weights than {saved.folder / WEIGHTS_FILE}"
        raise InputError("delta", problem, "apply it to the model that it was made from")
    if out.resolve() == saved.folder.resolve():
        raise InputError(f"--apply {out}", "is the model's own folder", "give another folder")
    state = saved.network.state_dict()
    for name, (row, values) in delta.rows.items():
        state[name][row] = values
    training = dict(saved.card["training"])
    training["updates"] = [*training.get("updates", []), dict(delta.facts)]
    card = {"data": saved.card["data"], "training": training, "sizes": saved.card["sizes"]}
    return save_model(out, model=saved.model, config=saved.config, network=saved.network, card=card)


def _pairs(tensors: Mapping[str, torch.Tensor], rows: str, values: str) -> RowValues:
    names = [name.removesuffix(f"/{rows}") for name in tensors if name.endswith(f"/{rows}")]
    return {name: (tensors[f"{name}/{rows}"].long(), tensors[f"{name}/{values}"]) for name in names}
