"""Where the published cases of other projects lie, and how tests skip where they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from optimizer.conformance.case import PROJECTS

ROOT = Path(__file__).resolve().parents[2]


def cases_of(project: str) -> Path:
    """The file of a project's cases, beside the folder of traces; the test is skipped where it is not there."""
    data = Path(os.environ.get("RECFLEET_DATA", ROOT.parent / "shared" / "data"))
    path = data.parent / "conformance" / PROJECTS[project].file_name
    if not path.is_file():
        pytest.skip(f"needs the published cases, {path}")
    return path


def failures(project: str) -> dict[str, str]:
    """Why rows fail, by case id."""
    results = PROJECTS[project].check(cases_of(project))
    return {result.case_id: result.reason for result in results if not result.passed}
