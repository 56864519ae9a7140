"""The profiles that ship with the package, by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from workloads.errors import InputError

__all__ = ["profile_path", "shipped_profiles"]

_FOLDER = Path(__file__).parent / "profiles"


def shipped_profiles() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted; `workloads.profile.load_profile` takes any of them."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def profile_path(path_or_name: str | Path) -> Path:
    """The file of a shipped profile's name, or the given path itself where it names a file.

    Raises
    ------
    InputError
        Neither a file nor a shipped name; the message lists the nearest names.
    """
    text = os.fspath(path_or_name)
    if text in shipped_profiles():
        return _FOLDER / f"{text}.json"
    looks_like_path = isinstance(path_or_name, Path) or text.endswith(".json") or os.sep in text
    if looks_like_path and Path(text).is_file():
        return Path(text)
    if looks_like_path:
        raise InputError(text, "is no file", "give the path of a profile, or a shipped name without .json")
    raise InputError(f"profile {text!r}", "is not a shipped profile", _suggestion(text))


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, shipped_profiles(), n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"use one of {', '.join(shipped_profiles())}, or a path ending in .json"
