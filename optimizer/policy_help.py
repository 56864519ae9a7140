"""What can be said of a policy or a wrapper without running it: one line, and its options with defaults and units."""

from __future__ import annotations

import dataclasses
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.options import suggestion
from optimizer.policy_file import split_file_spec
from optimizer.registry import available_policies, policy_class
from optimizer.wrappers import WRAPPERS
from workloads.errors import InputError

__all__ = ["OptionHelp", "PolicyHelp", "describe_policy", "list_policies"]

UNITS = {
    "_s": "s",
    "_ms": "ms",
    "_rps": "requests/s",
    "_usd": "USD",
    "_slots": "control intervals",
    "_bytes": "bytes",
    "_replicas": "replicas",
    "_pods": "replicas",
}
"""By the end of an option's name; others say what they are in their text, or are plain numbers."""


@dataclass(frozen=True)
class OptionHelp:
    """One option.

    Attributes
    ----------
    default
        As written in Python; None where one must be given.
    unit
        By the option's name; empty where that tells none.
    """

    name: str
    default: str | None
    unit: str
    text: str


@dataclass(frozen=True)
class PolicyHelp:
    """One policy or wrapper.

    Attributes
    ----------
    kind
        ``built in``, ``installed``, ``file`` or ``wrapper``.
    """

    name: str
    kind: str
    summary: str
    options: tuple[OptionHelp, ...] = ()


def list_policies() -> list[PolicyHelp]:
    """All policies that can be named and all wrappers, a line each, without their options; nothing is imported."""
    policies = [PolicyHelp(name, _kind(line), line) for name, line in available_policies().items()]
    return policies + [PolicyHelp(name, "wrapper", _first_sentence(cls)) for name, cls in WRAPPERS.items()]


def describe_policy(name: str, base: Path | None = None) -> PolicyHelp:
    """A policy (``path.py:Class`` too) or a wrapper with its options.

    Raises
    ------
    InputError
        There is nothing of this name, or it cannot be loaded.
    """
    plain = name.replace("-", "_")
    known = {entry.name: entry for entry in list_policies()}
    if plain in WRAPPERS:
        return dataclasses.replace(known[plain], options=_options(WRAPPERS[plain]))
    if split_file_spec(name) is None and name not in known and plain not in known:
        raise InputError(
            f"policy {name}", "there is no policy or wrapper of this name", suggestion(plain, known, "names")
        )
    chosen = policy_class(name, base)
    found = known.get(name) or known.get(plain) or PolicyHelp(name, "file", _first_sentence(chosen))
    return dataclasses.replace(found, options=_options(chosen))


def _kind(line: str) -> str:
    return "installed" if line.startswith("Installed: ") else "built in"


def _first_sentence(described: type[Any]) -> str:
    return _plain((inspect.getdoc(described) or "").split("\n\n")[0]) or "No description"


def _plain(text: str) -> str:
    """A docstring's text on one line, without its marks."""
    return " ".join(text.split()).replace("`", "")


def _options(chosen: type[Any]) -> tuple[OptionHelp, ...]:
    declared: Any = getattr(chosen, "Options", None)
    if isinstance(declared, type) and dataclasses.is_dataclass(declared):
        texts = _documented(declared)
        return tuple(
            OptionHelp(f.name, _default(f), _unit(f.name), texts.get(f.name, "")) for f in dataclasses.fields(declared)
        )
    built_by = chosen.from_context if hasattr(chosen, "from_context") else chosen
    try:
        parameters = list(inspect.signature(built_by).parameters.values())
    except (TypeError, ValueError):
        return ()
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    texts = _documented(chosen)
    return tuple(
        OptionHelp(p.name, None if p.default is p.empty else repr(p.default), _unit(p.name), texts.get(p.name, ""))
        for p in named[1 if hasattr(chosen, "from_context") else 0 :]
    )


def _default(option: dataclasses.Field[Any]) -> str | None:
    if option.default is not dataclasses.MISSING:
        return repr(option.default)
    return repr(option.default_factory()) if option.default_factory is not dataclasses.MISSING else None


def _unit(name: str) -> str:
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


def _documented(described: type[Any]) -> dict[str, str]:
    """Option to its text in the ``Attributes`` or ``Parameters`` of NumPy-style docstrings, inherited ones first."""
    texts: dict[str, str] = {}
    for one in reversed(described.__mro__):
        doc = inspect.cleandoc(one.__doc__ or "")
        pattern = r"^(?:Attributes|Parameters)\n-+\n(.*?)(?:\n\n[^\n]+\n-+\n|\Z)"
        section = re.search(pattern, doc, re.DOTALL | re.MULTILINE)
        entries = re.findall(
            r"^((?:\S[^\n]*,\n)*\S[^\n]*)\n((?:[ ]+[^\n]*\n?|\n)+)", section[1] if section else "", re.MULTILINE
        )
        for names, text in entries:
            line = _plain(text)
            texts |= {part.split(":")[0].strip(): line for part in names.split(",")}
    return texts
