"""The notebooks: the committed file is its source, executed; it runs, and ends in a figure and a sentence."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext  # type: ignore[import-untyped]
import nbformat
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
STEMS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
ENDING = re.compile(
    r"(is the cheapest policy that holds|No policy holds|Every policy compared sees"
    r"|is the cheapest plan found that meets|No fleet of this cluster meets)"
)
PRIVATE = re.compile(r"/(home|root|tmp|work|Users)/|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@cache
def executing() -> ModuleType:
    """The script that writes the notebooks."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def committed(stem: str) -> Any:
    return nbformat.read(FOLDER / f"{stem}.ipynb", as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output: Any) -> str:
    return output.get("text") or output.get("data", {}).get("text/plain", "")


def has_picture(cell: Any) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def ends_well(notebook: Any) -> None:
    """The last cell is a sentence, the one before it a figure; nothing on standard error."""
    figure, sentence = code(notebook)[-2:]
    assert has_picture(figure)
    text = " ".join("".join(text_of(output) for output in sentence.outputs).split())
    assert ENDING.search(text), text
    assert re.search(r"\d USD", text), text
    assert text.endswith("."), text
    for cell in code(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text


def test_there_is_one() -> None:
    assert "compare_policies" in STEMS
    assert [path.stem for path in executing().SOURCES] == STEMS


@pytest.mark.parametrize("stem", STEMS)
def test_the_committed_notebook_is_its_source(stem: str) -> None:
    source, notebook = jupytext.read(FOLDER / f"{stem}.py"), committed(stem)
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in source.cells]


@pytest.mark.parametrize("stem", STEMS)
def test_the_committed_outputs_are_whole(stem: str) -> None:
    notebook = committed(stem)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    ends_well(notebook)
    assert sum(has_picture(cell) for cell in code(notebook)) >= 2


@pytest.mark.parametrize("stem", STEMS)
def test_the_committed_notebook_names_no_machine(stem: str) -> None:
    for cell in committed(stem).cells:
        texts = [text_of(o) + str(o.get("data", {}).get("text/html", "")) for o in cell.get("outputs", [])]
        for text in (cell.source, str(cell.metadata), *texts):
            assert not PRIVATE.search(text), text


@pytest.mark.parametrize("stem", STEMS)
def test_the_notebook_runs_and_gives_the_same_kinds_of_output(stem: str) -> None:
    notebook = executing().executed(FOLDER / f"{stem}.py")
    ends_well(notebook)
    assert kinds(notebook) == kinds(committed(stem)), "run: python notebooks/execute.py"


def kinds(notebook: Any) -> list[list[tuple[str, list[str]]]]:
    return [[(o.output_type, sorted(o.get("data", {}))) for o in cell.outputs] for cell in code(notebook)]
