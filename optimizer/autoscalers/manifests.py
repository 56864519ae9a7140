"""What readers of foreign manifests share: fields that are looked up, refused or ignored, and which stage has which.

A manifest is made for another tool. Fields that cannot change how many replicas run are ignored. Those that could, and
are not modelled, are refused with their place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from optimizer.options import suggestion
from simulator.strict_yaml import Document, read_yaml
from workloads.errors import InputError

__all__ = ["Section", "by_stage", "duration_s", "manifest_paths", "only_manifest", "read_manifest"]

Place = tuple[str | int, ...]

_GO_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_GO_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")


class Section:
    """A mapping of a manifest, with where it stands.

    Parameters
    ----------
    place
        Keys and indices that lead to it.
    """

    def __init__(self, document: Document, value: Any, place: Place = ()) -> None:
        self.document, self.place = document, place
        if not isinstance(value, dict):
            raise self.error((), f"{value!r} is no section", "give keys with values")
        self.value: dict[str, Any] = value

    def error(self, place: Place, problem: str, fix: str) -> InputError:
        """An error of a field below this section, to be raised."""
        return InputError(self.document.where((*self.place, *place)), problem, fix)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self.value.get(key) is not None

    def section(self, *keys: str) -> Section:
        """The section below; an empty one where there is none."""
        found = self
        for key in keys:
            value = found.value.get(key)
            found = Section(self.document, {} if value is None else value, (*found.place, key))
        return found

    def sections(self, key: str) -> list[Section]:
        """The sections of a list; none where there is no list."""
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error((key,), f"{value!r} is no list", "give a list")
        return [Section(self.document, item, (*self.place, key, i)) for i, item in enumerate(value)]

    def text(self, key: str, default: str | None = None) -> str:
        """A string; the default where the key is missing, which is an error where there is none."""
        value = self.value.get(key, default)
        if not isinstance(value, str):
            told = f"'{key}' is missing" if value is None else f"{value!r} is not text"
            raise self.error((key,), told, "add it" if value is None else f'quote it: "{value}"')
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number that is not in quotes."""
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            told = f"'{key}' is missing" if value is None else f"{value!r} is not a number"
            raise self.error((key,), told, "give a number")
        return float(value)

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number >= 0 that is not in quotes."""
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            told = f"'{key}' is missing" if value is None else f"{value!r} is not a whole number from 0"
            raise self.error((key,), told, "give a whole number")
        return value

    def quoted_number(self, key: str, default: float | None = None) -> float:
        """A number that stands in quotes, as in annotations and trigger metadata."""
        text = self.text(key, None if default is None else repr(default))
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.error((key,), f"{text!r} is not a number", 'give a number in quotes, as in "10"')
        return number

    def refuse(self, keys: Iterable[str], why: str, fix: str) -> None:
        """An `InputError` at the first of the keys that is there."""
        for key in keys:
            if self.has(key):
                raise self.error((key,), f"'{key}' {why}", fix)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """An `InputError` at the first key that is not among those known."""
        for key in self.value:
            if key not in known:
                raise self.error((key,), f"'{key}' is not known", suggestion(key, known, "keys"))


def read_manifest(path: str) -> Section:
    """The whole of a YAML file with one document."""
    document = read_yaml(Path(path).expanduser())
    return Section(document, document.value)


def duration_s(text: str) -> float | None:
    """Seconds of a duration as Go writes it (``90s``, ``1m30s``, ``1.5h``, ``0``); None if it is none.

    Examples
    --------
    >>> duration_s("1m30s"), duration_s("250ms"), duration_s("0"), duration_s("5 min")
    (90.0, 0.25, 0.0, None)
    """
    if text == "0":
        return 0.0
    parts = _GO_DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _GO_UNITS_S[unit] for number, unit in parts)


def manifest_paths(manifest: str | Mapping[str, str] | None) -> list[str]:
    """All paths of an option that is one, has one by stage, or has none."""
    if manifest is None:
        return []
    if isinstance(manifest, str):
        return [manifest]
    if not isinstance(manifest, Mapping) or not all(isinstance(path, str) for path in manifest.values()):
        raise InputError("manifest", f"{manifest!r} is no path", "give one, or stage: path for every stage")
    return list(dict.fromkeys(manifest.values()))


def by_stage(manifest: str | Mapping[str, str] | None, stages: tuple[str, ...], option: str) -> list[str]:
    """The path for each stage, empty where it has none.

    A mapping names stages as ``service/stage``, or as ``stage`` where that is enough.

    Raises
    ------
    InputError
        If a name fits no stage.
    """
    if manifest is None or isinstance(manifest, str):
        return [manifest or ""] * len(stages)
    names = [(stage, stage.rpartition("/")[2]) for stage in stages]
    for key in manifest:
        if not any(key in pair for pair in names):
            raise InputError(
                f"{option} {key}", "the scenario has no such stage", suggestion(str(key), stages, "stages")
            )
    return [next((manifest[name] for name in pair if name in manifest), "") for pair in names]


def only_manifest(options: Any, name: str, beside: tuple[str, ...] = (), free: tuple[str, ...] = ()) -> None:
    """Refuse other options beside a manifest of all stages, which says it all; by stage, they are for the other stages.

    Parameters
    ----------
    beside
        Options that come only with a manifest.
    free
        Options that come with one or without.
    """
    if getattr(options, name) is None:
        for other in beside:
            if getattr(options, other) is not None:
                raise InputError(other, f"it is given without {name}", f"add {name}: path, or leave it out")
        return
    for field in fields(options) if isinstance(getattr(options, name), str) else ():
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if field.name not in (name, *beside, *free) and getattr(options, field.name) != default:
            raise InputError(field.name, f"it is given beside {name}", f"say it in the {name}, or leave it out there")
