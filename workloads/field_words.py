"""What is wrong with a field's value, in the project's words: those of pydantic speak of its own types."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["complaint", "problem", "told_value"]

_LONGEST = 60

_BOUNDS = {
    "greater_than": ("gt", "not above {}", "give more than {}"),
    "greater_than_equal": ("ge", "below {}", "give {} or more"),
    "less_than": ("lt", "not below {}", "give less than {}"),
    "less_than_equal": ("le", "above {}", "give {} or less"),
    "too_short": ("min_length", "too short", "give at least {}"),
    "too_long": ("max_length", "too long", "give at most {}"),
    "string_too_short": ("min_length", "too short", "give at least {} characters"),
    "string_too_long": ("max_length", "too long", "give at most {} characters"),
    "string_pattern_mismatch": ("pattern", "does not match {}", "write it so"),
}
"""Name of the bound in an error's context, what is wrong, and what to do."""

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a section of keys and values",
    "model": "a section of keys and values",
}
"""The first word of an error's type, and what is expected there."""


def complaint(error: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong with a value that stands where one is expected, and what to do.

    Parameters
    ----------
    error
        One of ``pydantic.ValidationError.errors()``, but for missing and unknown fields.

    Examples
    --------
    >>> complaint({"type": "greater_than", "input": -5, "msg": "", "ctx": {"gt": 0.0}})
    ('not above 0', 'give more than 0')
    >>> complaint({"type": "int_type", "input": "6", "msg": ""})
    ('not a whole number', 'write it without quotes')
    """
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind in _BOUNDS:
        name, wrong, fix = _BOUNDS[kind]
        bound = context[name]
        shown = f"{bound:.10g}" if isinstance(bound, float) else str(bound)
        return wrong.format(shown), fix.format(shown)
    if kind in ("literal_error", "enum"):
        return _choice(str(context["expected"]), error["input"])
    expected = _KINDS.get(kind.partition("_")[0])
    if expected is not None:
        return f"not {expected}", _rewritten(expected, error["input"])
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return message, "change it"


def _choice(expected: str, value: Any) -> tuple[str, str]:
    """``expected`` is pydantic's list of choices, as in ``'a', 'b' or 'c'``."""
    choices = expected.split("'")[1::2]
    near = difflib.get_close_matches(str(value), choices, 1, cutoff=0.7)
    if len(choices) == 1:
        return f"not {expected}", f"write {choices[0]}"
    return f"not one of {expected}", f"did you mean '{near[0]}'?" if near else "give one of them"


def _rewritten(expected: str, value: Any) -> str:
    """How to write a value of the right kind; a number in quotes and text that looks like a number are told apart."""
    number: Callable[[str], object] | None = {"a whole number": int, "a number": float}.get(expected)
    if isinstance(value, str) and number is not None:
        try:
            number(value)
        except ValueError:
            return "give one"
        return "write it without quotes"
    if expected == "text" and isinstance(value, bool | int | float):
        return "write it in quotes"
    return f"give {expected}"


def problem(error: Mapping[str, Any]) -> str:
    """What is wrong with a field, whatever it is, for a message that names the field.

    Examples
    --------
    >>> problem({"type": "missing", "input": {}, "msg": ""})
    'is missing'
    >>> problem({"type": "greater_than", "input": -5, "msg": "", "ctx": {"gt": 0.0}})
    'got -5: not above 0'
    """
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "extra_forbidden":
        return "is no field that is known here"
    what = complaint(error)[0]
    if error["type"] == "value_error" or isinstance(error["input"], dict | list):
        return what
    return f"got {told_value(error['input'])}: {what[:1].lower()}{what[1:]}"


def told_value(value: Any) -> str:
    """A value as messages show it.

    Examples
    --------
    >>> told_value("fast"), told_value(None), len(told_value("x" * 100))
    ("'fast'", 'nothing', 60)
    """
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."
