"""Versions of what the numbers of a comparison could depend on."""

from __future__ import annotations

import platform
from importlib import metadata

__all__ = ["PACKAGES", "versions"]

PACKAGES = (
    "simpy",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "pulp",
    "ortools",
    "statsmodels",
    "matplotlib",
    "pydantic",
)


def versions() -> dict[str, str]:
    """Versions of Python, recfleet and the packages whose numbers could differ."""
    found = {"python": platform.python_version(), "recfleet": _version("recfleet")}
    return found | {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
