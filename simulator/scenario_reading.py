"""A scenario file while it is read: where each field stands, which files it led to, and what is wrong, in words."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from simulator.scenario_fields import ToldError
from simulator.strict_yaml import Document
from workloads.errors import InputError

__all__ = ["Place", "Reading", "explain", "placed"]

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


def explain(document: Document, error: ValidationError, model: type[BaseModel] | None = None) -> InputError:
    """One problem that pydantic found, at its line; ``model`` is what was read, a scenario by default."""
    errors = error.errors()
    # A misspelt key is both unknown and missing: the first tells more.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    location = tuple(first["loc"])
    where = document.where(location)
    kind, value = first["type"], first.get("input")
    last = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        known = _section_fields(location[:-1], model)
        near = difflib.get_close_matches(last, known, 1)
        fix = f"did you mean '{near[0]}'?" if near else f"this section takes {', '.join(known)}"
        return InputError(where, f"unknown key '{last}'", fix)
    if kind == "missing":
        return InputError(where, f"'{last}' is missing", f"add {last}: to this section")
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(value, dict | list):
        return InputError(where, message, _advice(first, model))
    message = message[:1].lower() + message[1:]
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    return InputError(where, f"got {shown}: {message}", "change the value")


def _advice(error: Any, model: type[BaseModel] | None) -> str:
    """What a check of a whole section says to do, or where to look."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ToldError):
        return cause.fix
    return "mend this section" if model else "mend this section; see `recfleet schema scenario`"


def _section_fields(location: Place, model: type[BaseModel] | None) -> list[str]:
    """Keys of the section at a location, found by walking the JSON Schema of what was read."""
    from simulator.scenario_file import ScenarioFile  # whose parts are resolved with this module

    schema: dict[str, Any] = (model or ScenarioFile).model_json_schema()
    node = schema
    for part in location:
        inner = node.get("properties", {}).get(part) or node.get("additionalProperties")
        node = (node.get("items") if isinstance(part, int) else inner) or node
        options = node.get("anyOf", [node])
        node = next((option for option in options if "$ref" in option or "items" in option), node)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return sorted(node.get("properties", {}))


def placed(document: Document, place: Place, error: InputError) -> InputError:
    """An error of the trace at its line of the scenario: at the field that it names, else at ``place``."""
    field = re.match(r"trace(\.\w+|\[\d+\])+", error.where)
    if not field:
        return InputError(document.where(place), f"{error.where}: {error.problem}", error.fix)
    parts = re.findall(r"(\w+)|\[(\d+)\]", field[0].replace("[", ".["))
    location = tuple(name if not index else int(index) for name, index in parts)
    return InputError(document.where(location) + error.where[field.end() :], error.problem, error.fix)
