"""The ``trace:`` section of a YAML file, be it a scenario or the section by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.trace.spec import TraceSpec

__all__ = ["read_trace_section"]


def read_trace_section(path: Path) -> tuple[TraceSpec, dict[str, Any]]:
    """The section, or the whole file where it has none; and the file as it is written.

    Raises
    ------
    InputError
        Names the file, the line and what is wrong.
    """
    from simulator.strict_yaml import read_yaml
    from workloads.trace.spec import parse_trace_spec

    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise InputError(str(path), "holds no trace section", "see docs/trace-format.md")
    prefix = ("trace",) if "trace" in document.value else ()
    section = document.value["trace"] if prefix else document.value
    spec = parse_trace_spec(section, str(path), lambda location: document.where((*prefix, *location)))
    return spec, document.value
