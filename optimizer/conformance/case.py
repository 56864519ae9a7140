"""What a conformance case ends as, and which projects have cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

__all__ = ["PROJECTS", "CaseResult", "Project"]


@dataclass(frozen=True)
class CaseResult:
    """One row of a project's cases.

    Attributes
    ----------
    reason
        What was expected and what came; empty where it passed.
    """

    case_id: str
    passed: bool
    reason: str = ""


@dataclass(frozen=True)
class Project:
    """Cases of one project.

    Attributes
    ----------
    file_name
        Of the cases, in whatever folder is checked.
    module
        Holds ``check(path) -> list[CaseResult]``; imported only to check.
    """

    file_name: str
    module: str

    def check(self, path: Path) -> list[CaseResult]:
        """A result a row of the file, in its order.

        Raises
        ------
        InputError
            If the file cannot be read as such cases; it names file and row.
        """
        checker: Callable[[Path], list[CaseResult]] = import_module(self.module).check
        return checker(path)


PROJECTS: dict[str, Project] = {
    "hpa": Project("hpa_cases.csv", "optimizer.conformance.hpa"),
    "kpa": Project("kpa_cases.csv", "optimizer.conformance.kpa"),
    "ray_serve": Project("rayserve_cases.csv", "optimizer.conformance.ray_serve"),
}
"""By the key of the JSON of ``recfleet conformance``."""
