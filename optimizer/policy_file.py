"""Policies from outside the tree: a class in a Python file, or an installed entry point."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from optimizer.options import suggestion
from workloads.errors import InputError

__all__ = ["ENTRY_POINT_GROUP", "installed_policies", "load_policy_class", "split_file_spec"]

ENTRY_POINT_GROUP = "recfleet.policies"


def split_file_spec(name: str) -> tuple[str, str] | None:
    """``("path.py", "Class")`` of ``path.py:Class``, the class empty if not given; None if no file."""
    match = re.fullmatch(r"(.+\.py)(?::(.*))?", name)
    return (match[1], match[2] or "") if match else None


def load_policy_class(path: str, class_name: str, base: Path | None = None) -> type[Any]:
    """Import the file anew and return the class.

    Parameters
    ----------
    path
        File, relative to ``base`` (by default the current folder) unless absolute.
    class_name
        May be empty if the file defines just one class with ``decide``.

    Raises
    ------
    InputError
        If the file is missing or fails on import, or has no such class, or the class has no ``decide``.
    """
    where = f"policy {path}:{class_name}" if class_name else f"policy {path}"
    file = (base or Path.cwd()) / Path(path).expanduser()
    if not file.is_file():
        raise InputError(
            where, f"there is no file {file}", "give the path of a Python file, as in my_policy.py:MyPolicy"
        )
    found = _import(file, where)
    classes = {n: c for n, c in vars(found).items() if isinstance(c, type) and c.__module__ == found.__name__}
    policies = {n: c for n, c in classes.items() if callable(getattr(c, "decide", None))}
    if not class_name:
        if len(policies) != 1:
            fix = f"name it, as in {path}:{next(iter(policies))}" if policies else "add one (docs/writing-policies.md)"
            raise InputError(where, f"the file defines {len(policies)} classes with decide, not one", fix)
        return next(iter(policies.values()))
    chosen = getattr(found, class_name, None)
    if chosen is None:
        raise InputError(
            where, f"the file has no class {class_name!r}", suggestion(class_name, policies, "policies there")
        )
    return check_policy_class(chosen, where)


def check_policy_class(chosen: object, where: str) -> type[Any]:
    """``chosen`` if it is a class with a ``decide`` method, else an `InputError`."""
    if not isinstance(chosen, type):
        raise InputError(where, f"it is a {type(chosen).__name__}, not a class", "name a class")
    if not callable(getattr(chosen, "decide", None)):
        raise InputError(where, "the class has no method decide", "add decide(self, observation) -> Allocation")
    return chosen


def installed_policies() -> dict[str, EntryPoint]:
    """Entry points of installed packages, by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _import(file: Path, where: str) -> Any:
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]
    name = f"recfleet_policy_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(where, "Python cannot import it", "give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Compiled here and not by the loader, whose cache goes by whole seconds and would miss a quick edit.
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(where, f"importing it fails: {describe(error, file)}", "correct the file") from error
    return module


def describe(error: BaseException, file: Path | None = None) -> str:
    """Type and message in one line, with the last line number inside ``file``."""
    text = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if file is not None and f.filename == str(file)]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    return f"{type(error).__name__}: {text}" + (f" (line {line})" if line and "line" not in text else "")
