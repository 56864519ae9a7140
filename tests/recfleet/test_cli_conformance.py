"""The command ``conformance``: what it prints, how it exits, and one clear line for every unusable folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from optimizer.conformance import case
from optimizer.conformance.case import CaseResult, Project
from optimizer.conformance.rows import Row, check_rows, read_rows
from recfleet.cli_conformance import conformance

app = typer.Typer()
app.command()(conformance)
runner = CliRunner()


def check(path: Path) -> list[CaseResult]:
    """Of a project in which two times ``x`` is ``y``."""
    return check_rows(read_rows(path, ("x", "y")), _twice)


def _twice(row: Row) -> str:
    found = 2 * row.integer("x")
    return "" if found == row.integer("y") else f"expected {row.text('y')}, came {found}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for two such projects, without a file."""
    projects = {name: Project(f"{name}_cases.csv", __name__) for name in ("twice", "again")}
    monkeypatch.setattr(case, "PROJECTS", projects)
    return tmp_path


def test_all_pass(folder: Path) -> None:
    for name in ("twice", "again"):
        (folder / f"{name}_cases.csv").write_text("case_id,x,y\na,1,2\nb,3,6\n")
    done = runner.invoke(app, [str(folder), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {n: {"passed": 2, "total": 2, "failed": []} for n in ("twice", "again")}
    assert done.stderr == ""


def test_failed_rows_are_named_and_a_missing_file_is_told_beside_the_json(folder: Path) -> None:
    (folder / "again_cases.csv").write_text("case_id,x,y\na,1,2\nb,3,7\n")
    done = runner.invoke(app, [str(folder), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"again": {"passed": 1, "total": 2, "failed": ["b"]}}
    assert "has no twice_cases.csv" in done.stderr
    table = runner.invoke(app, [str(folder)])
    assert table.exit_code == 1
    assert "again b: expected 7, came 6" in table.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("case_id,x,y\na,1,2\nb,one,6\n", "row 2 (b) column x: 'one' is not a whole number"),
        ("case_id,x,y\na,1,2\nb,,6\n", "row 2 (b) column x: it is empty"),
        ("case_id,x,y\na,1,2\nb,3\n", "row 2: it has 2 cells, the header 3"),
        ("case_id,x,y\na,1,2\na,3,6\n", "row 2 (a) column case_id: row 1 has the same id"),
        ("case_id,x,y\n,1,2\n", "row 1 column case_id: it is empty"),
        ("case_id,x\na,1\n", "it lacks the column y"),
        ("case_id,x,y\n", "it has no rows"),
        ("", "it lacks the column case_id"),
        ('case_id,x,y\n"a"b,1,2\n', "it is not CSV"),
    ],
)
def test_unusable_file(folder: Path, text: str, told: str) -> None:
    (folder / "twice_cases.csv").write_text(text)
    done = runner.invoke(app, [str(folder)])
    assert done.exit_code == 2
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("recfleet: error: ")]
    assert len(errors) == 1
    assert told in errors[0]
    assert "twice_cases.csv" in errors[0]


def test_folder_without_cases(folder: Path) -> None:
    empty = runner.invoke(app, [str(folder)])
    assert empty.exit_code == 2
    assert "twice_cases.csv, again_cases.csv" in empty.stderr
    none = runner.invoke(app, [str(folder / "nothing")])
    assert none.exit_code == 2
    assert "there is no such folder" in none.stderr
