"""``recfleet conformance``: our autoscalers held against the published cases of the projects they model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from optimizer.conformance.case import CaseResult

__all__ = ["conformance"]


def conformance(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with files of cases.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check the autoscalers against published cases: inputs, and the numbers that the project itself expects.

    DIR holds any of hpa_cases.csv (Kubernetes), kpa_cases.csv (Knative) and rayserve_cases.csv (Ray Serve): tables of
    those projects' test cases, which recfleet does not ship (docs/autoscalers.md says what they are).
    Exit code 0: every row passes; 1: some row does not; 2: the input cannot be used.

    Example, where DIR lies beside the checkout: recfleet conformance ../shared/conformance
    """
    try:
        results = _check(folder)
    except InputError as error:
        typer.echo(f"recfleet: error: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps({project: _as_dict(cases) for project, cases in results.items()}, indent=2))
    else:
        _print(results)
    if any(not case.passed for cases in results.values() for case in cases):
        raise typer.Exit(1)


def _check(folder: Path) -> dict[str, list[CaseResult]]:
    """Results by project; a file that is not there is told on standard error."""
    from optimizer.conformance.case import PROJECTS

    if not folder.is_dir():
        fix = "give a folder with files of cases, which recfleet does not ship (docs/autoscalers.md)"
        raise InputError(str(folder), "there is no such folder", fix)
    there = {name: project for name, project in PROJECTS.items() if (folder / project.file_name).is_file()}
    if not there:
        known = ", ".join(project.file_name for project in PROJECTS.values())
        raise InputError(str(folder), f"it has none of the files of cases ({known})", "give a folder that has one")
    for name, project in PROJECTS.items():
        if name not in there:
            typer.echo(f"recfleet: note: {folder} has no {project.file_name}, so {name} is not checked", err=True)
    return {name: project.check(folder / project.file_name) for name, project in there.items()}


def _as_dict(cases: list[CaseResult]) -> dict[str, Any]:
    failed = [case.case_id for case in cases if not case.passed]
    return {"passed": len(cases) - len(failed), "total": len(cases), "failed": failed}


def _print(results: dict[str, list[CaseResult]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("project", box=None, pad_edge=False, header_style="bold")
    for name in ("rows", "passed", "failed"):
        table.add_column(name, justify="right")
    for project, cases in results.items():
        passed = sum(case.passed for case in cases)
        table.add_row(Text(project), str(len(cases)), str(passed), str(len(cases) - passed))
    console.print(table)
    for project, cases in results.items():
        for case in cases:
            if not case.passed:
                console.print(f"{project} {case.case_id}: {case.reason}", highlight=False, markup=False, soft_wrap=True)
