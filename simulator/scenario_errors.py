"""What pydantic found wrong in a scenario file, or another YAML file: every problem at its line, in words."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from simulator.scenario_fields import ToldError
from simulator.scenario_reading import Place
from simulator.strict_yaml import Document
from workloads.errors import InputError, ManyProblemsError
from workloads.field_words import complaint, told_value

__all__ = ["explain"]


@dataclass(frozen=True)
class _Wrong:
    """One problem.

    Attributes
    ----------
    place
        Of the field in the file.
    union, branch
        Where the field may be of several kinds: its place, and the kind that was tried.
    """

    error: Mapping[str, Any]
    place: Place
    union: Place | None
    branch: str

    @property
    def kind(self) -> str:
        return str(self.error["type"])

    @property
    def key(self) -> str:
        return str(self.place[-1]) if self.place else ""


def explain(document: Document, error: ValidationError, model: type[BaseModel] | None = None) -> InputError:
    """All problems that pydantic found, by line; ``model`` is what was read, a scenario by default."""
    from simulator.scenario_file import ScenarioFile  # whose parts are resolved beside this module

    schema = (model or ScenarioFile).model_json_schema()
    found = _of_one_kind([_wrong(document, each) for each in error.errors(include_url=False)])
    known = {wrong.place[:-1]: _keys(schema, wrong.place[:-1]) for wrong in found}
    meant = {(w.place[:-1], _near(w, known)) for w in found if w.kind == "extra_forbidden"}
    told: dict[str, InputError] = {}
    for wrong in sorted(found, key=lambda w: document.line(w.place)):
        # A misspelt key is both unknown and missing: the first tells more.
        if wrong.kind != "missing" or (wrong.place[:-1], wrong.key) not in meant:
            one = _told(document, wrong, known, schema, "" if model else "; see `recfleet schema scenario`")
            told.setdefault(str(one), one)
    problems = list(told.values())
    return problems[0] if len(problems) == 1 else ManyProblemsError(str(document.path), problems)


def _wrong(document: Document, error: Mapping[str, Any]) -> _Wrong:
    """A location names, beside places of the file, the kind that was tried where several may stand."""
    place: Place = ()
    union, branch = None, ""
    for i, part in enumerate(error["loc"]):
        is_absent = error["type"] == "missing" and i == len(error["loc"]) - 1
        if is_absent or (*place, part) in document.lines:
            place = (*place, part)
        elif union is None:
            union, branch = place, str(part)
    return _Wrong(error, place, union, branch)


def _of_one_kind(found: Sequence[_Wrong]) -> list[_Wrong]:
    """Where a field is of none of several kinds, the problems of that which came nearest."""
    nearest: dict[Place, _Wrong] = {}
    for wrong in found:
        if wrong.union is not None:
            best = nearest.setdefault(wrong.union, wrong)
            if len(wrong.place) > len(best.place):
                nearest[wrong.union] = wrong
    return [w for w in found if w.union is None or w.branch == nearest[w.union].branch]


def _told(
    document: Document, wrong: _Wrong, known: Mapping[Place, Mapping[str, Any]], schema: Mapping[str, Any], hint: str
) -> InputError:
    where, section, value = document.where(wrong.place), known[wrong.place[:-1]], wrong.error.get("input")
    if wrong.kind == "extra_forbidden":
        near = _near(wrong, known)
        fix = f"did you mean '{near}'?" if near else f"this section takes {', '.join(sorted(section))}"
        return InputError(where, f"unknown key '{wrong.key}'", fix)
    if wrong.kind == "missing":
        kind = _kind(section.get(wrong.key, {}), schema)
        return InputError(where, f"'{wrong.key}' is missing", f"add {wrong.key}: to this section{kind and ', '}{kind}")
    what, fix = complaint(wrong.error)
    if isinstance(value, dict | list):
        if wrong.kind == "value_error":
            cause = wrong.error.get("ctx", {}).get("error")
            return InputError(where, what, cause.fix if isinstance(cause, ToldError) else f"mend this section{hint}")
        shown = f"a list of {len(value)}" if isinstance(value, list) else "a section"
        return InputError(where, f"got {shown}: {what}", fix)
    return InputError(where, f"got {told_value(value)}: {what[:1].lower()}{what[1:]}", fix)


def _near(wrong: _Wrong, known: Mapping[Place, Mapping[str, Any]]) -> str:
    """The key that an unknown one is like; empty if there is none."""
    return next(iter(difflib.get_close_matches(wrong.key, list(known[wrong.place[:-1]]), 1)), "")


def _keys(schema: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Keys of the section at a place and what stands there, found by walking the JSON Schema of what was read."""
    node: Mapping[str, Any] = schema
    for part in place:
        inner = node.get("properties", {}).get(part) or node.get("additionalProperties")
        node = (node.get("items") if isinstance(part, int) else inner) or node
        options = node.get("anyOf", [node])
        node = next((option for option in options if "$ref" in option or "items" in option), node)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return dict(node.get("properties", {}))


_LIMITS = (
    ("exclusiveMinimum", "above"),
    ("minimum", "from"),
    ("exclusiveMaximum", "below"),
    ("maximum", "to"),
)
_KINDS = {"number": "a number", "integer": "a whole number", "string": "text", "boolean": "true or false"}
_KINDS |= {"array": "a list", "object": "a section"}


def _kind(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a field takes, from its JSON Schema; empty where that says nothing.

    Examples
    --------
    >>> _kind({"type": "integer", "minimum": 1, "maximum": 9}, {})
    'a whole number from 1 to 9'
    """
    options = [option for option in node.get("anyOf", [node]) if option.get("type") != "null"]
    return " or ".join(dict.fromkeys(filter(None, (_one_kind(option, schema) for option in options))))


def _one_kind(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in node:
        section = schema["$defs"][node["$ref"].rpartition("/")[2]]
        needed = section.get("required", [])
        return "a section" + (f" with {', '.join(needed)}" if needed else "")
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    kind = str(node.get("const", "")) or _KINDS.get(str(node.get("type")), "")
    limits = [f"{word} {node[name]:g}" for name, word in _LIMITS if name in node]
    return " ".join([kind, *limits])
