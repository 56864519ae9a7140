"""A scenario file while it is read: where each field stands, and which files it led to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from simulator.strict_yaml import Document
from workloads.errors import InputError

__all__ = ["Place", "Reading", "placed"]

Place = tuple[str | int, ...]
"""Keys and indices that lead to a field of the file."""


@dataclass(frozen=True)
class Reading:
    """What the parts of a scenario need while they are resolved.

    Attributes
    ----------
    base
        Folder that relative paths start from.
    inputs
        SHA-256 of every file read so far, by path as given.
    """

    document: Document
    base: Path
    inputs: dict[str, str] = field(default_factory=dict)

    def where(self, *place: str | int) -> str:
        """File, line and field of a place."""
        return self.document.where(place)

    def note_input(self, name: str, path: Path) -> None:
        """Remember a file that the scenario rests on."""
        with path.open("rb") as file:
            self.inputs[name] = hashlib.file_digest(file, "sha256").hexdigest()

    def refuse_twins(self, place: Place, names: list[str]) -> None:
        """An `InputError` at the first name of a list that was used before."""
        for i, name in enumerate(names):
            if name in names[:i]:
                raise InputError(self.where(*place, i), f"name '{name}' is used twice", "rename one of them")


def placed(document: Document, place: Place, error: InputError) -> InputError:
    """An error of the trace at its line of the scenario: at the field that it names, else at ``place``."""
    field = re.match(r"trace(\.\w+|\[\d+\])+", error.where)
    if not field:
        return InputError(document.where(place), f"{error.where}: {error.problem}", error.fix)
    parts = re.findall(r"(\w+)|\[(\d+)\]", field[0].replace("[", ".["))
    location = tuple(name if not index else int(index) for name, index in parts)
    return InputError(document.where(location) + error.where[field.end() :], error.problem, error.fix)
