"""Write the notebooks beside their sources, with outputs: ``python notebooks/execute.py``.

The sources are the ``.py`` files with cells. What would differ from one execution to the next (cell ids, times) is left
out, so that a notebook changes when its source or its numbers do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jupytext  # type: ignore[import-untyped]
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SOURCES = tuple(path for path in sorted(HERE.glob("*.py")) if path != Path(__file__))


def executed(source: Path, timeout_s: int = 600) -> Any:
    """The notebook of a source, executed in the source's folder."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    client = NotebookClient(notebook, timeout=timeout_s, kernel_name="python3", record_timing=False,
                            resources={"metadata": {"path": str(source.parent)}})  # fmt: skip
    notebook = client.execute()
    notebook.metadata.get("language_info", {}).pop("version", None)
    notebook.metadata.pop("jupytext", None)
    return notebook


def main() -> None:
    for source in SOURCES:
        nbformat.write(executed(source), source.with_suffix(".ipynb"))
        print(f"wrote {source.with_suffix('.ipynb').name}", file=sys.stderr)


if __name__ == "__main__":
    main()
