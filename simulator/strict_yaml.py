"""YAML as people mean it: a safe reader that refuses what YAML 1.1 would quietly turn into something else.

Duplicate keys, anchors, aliases and tags, ``no`` for false, ``12:30`` for 750, ``010`` for 8, ``.inf``, and ``1e3``
that stays a string are errors that name the line. Every value remembers its line, so that later checks can name it too.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from workloads.errors import InputError

__all__ = ["Document", "read_yaml"]

Path_ = tuple[str | int, ...]

_TRUE_FALSE = {"true": True, "false": False}
_OLD_BOOLEANS = {"yes", "no", "on", "off", "y", "n"}
_NOT_FINITE = {".inf", "+.inf", "-.inf", ".nan"}
_LONGEST_INTEGER = 20
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?)")
_LIKE_NUMBER = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|[-+]?0[xob][0-9a-fA-F_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


@dataclass
class Document:
    """A YAML document as plain Python values, and the line of each."""

    path: Path
    value: Any
    lines: dict[Path_, int] = field(default_factory=dict)

    def where(self, location: Path_) -> str:
        """``file:line a.b[0].c``; of a location that does not exist, the nearest parent that does."""
        known = self._nearest(location)
        text = ""
        for part in known:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return f"{self.path}:{self.lines.get(known, 1)}" + (f" {text}" if text else "")

    def line(self, location: Path_) -> int:
        """Line of a location, or of the nearest parent that exists."""
        return self.lines.get(self._nearest(location), 1)

    def _nearest(self, location: Path_) -> Path_:
        known: Path_ = ()
        for part in location:
            if (*known, part) in self.lines:
                known = (*known, part)
        return known


def read_yaml(path: Path) -> Document:
    """Read one YAML document.

    Raises
    ------
    InputError
        If the file is missing, is not YAML, or holds one of the traps above.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "give the path of a YAML file") from None
    except UnicodeDecodeError:
        raise InputError(str(path), "is not UTF-8 text", "save the file as UTF-8") from None
    document = Document(path, None)
    try:
        root = _compose(path, text)
        if root is not None:
            document.value = _value(document, root, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}", f"not valid YAML ({error.problem})", "mend the syntax") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{path}:{line}", f"character U+{ord(text[error.position]):04X} has no place in YAML",
                         "remove it") from None  # fmt: skip
    except RecursionError:
        raise InputError(str(path), "is nested too deeply", "write fewer levels") from None
    return document


def _compose(path: Path, text: str) -> yaml.Node | None:
    """The tree of nodes, without anchors and tags."""
    event: yaml.Event | None = None
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if anchor := getattr(event, "anchor", None):
                raise InputError(f"{path}:{_line(event)}", f"anchor or alias '{anchor}'",
                                 "write the value out where it is used")  # fmt: skip
            if tag := getattr(event, "tag", None):
                raise InputError(f"{path}:{_line(event)}", f"tag '{tag}'", "leave it out: values are plain YAML")
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except (ValueError, OverflowError) as error:  # PyYAML lets chr() fail on "\\UFFFFFFFF"
        raise InputError(f"{path}:{_line(event)}", f"not valid YAML ({error})", "mend the syntax after it") from None
    return root


def _line(event: yaml.Event | None) -> int:
    return event.start_mark.line + 1 if event and event.start_mark else 1


def _value(document: Document, node: yaml.Node, location: Path_) -> Any:
    document.lines[location] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, node, location)
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, child, (*location, i)) for i, child in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(f"{document.path}:{node.start_mark.line + 1}", node)


def _mapping(document: Document, node: yaml.MappingNode, location: Path_) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        where = f"{document.path}:{line}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise InputError(where, "a key that is not a word", "use plain words as keys")
        key = str(key_node.value)
        if not key.isprintable():
            raise InputError(where, f"a key that is not a word: {key!r}", "use plain words as keys")
        if key == "<<":
            raise InputError(where, "merge key '<<'", "write the keys out where they are used")
        if key in result:
            raise InputError(where, f"key '{key}' appears twice in this section", "keep one of them")
        result[key] = _value(document, value_node, (*location, key))
        document.lines[*location, key] = line
    return result


def _scalar(where: str, node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if _SURROGATE.search(text):
        raise InputError(where, "half a character (a lone surrogate)", "write the character itself")
    if node.style is not None:
        return text
    lower = text.lower()
    if lower in _TRUE_FALSE:
        return _TRUE_FALSE[lower]
    if lower in ("", "null", "~"):
        return None
    if lower in _OLD_BOOLEANS:
        raise InputError(where, f"'{text}' means a boolean in some YAML readers and a word in others",
                         f"write true or false, or quote it: \"{text}\"")  # fmt: skip
    if _INTEGER.fullmatch(text) and len(text) <= _LONGEST_INTEGER:
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if lower in _NOT_FINITE or _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
        raise InputError(where, f"'{text[:40]}' is not a finite number of ordinary size",
                         "give a smaller number, or leave it out where there is no limit")  # fmt: skip
    if _SEXAGESIMAL.fullmatch(text):
        raise InputError(where, f"'{text}' is a number in base 60 for some YAML readers",
                         f"quote it if it is a word: \"{text}\"; else write seconds as a number")  # fmt: skip
    if _LIKE_NUMBER.fullmatch(text):
        raise InputError(where, f"'{text}' is a number for some YAML readers and a word for others",
                         "write it as a plain decimal number, as in 1000 or 0.5")  # fmt: skip
    return text
