"""``python -m tests.benchmarks``: measure, print, and write build/bench.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.benchmarks.figures import FULL, QUICK, measure, show


def main(
    out: Annotated[Path, typer.Option(help="Where the figures go, as JSON.")] = Path("build/bench.json"),
    quick: Annotated[bool, typer.Option(help="Small sizes, for a look; the figures mean little.")] = False,
    long: Annotated[bool, typer.Option(help="Add a run of ten days, 864 million requests.")] = False,
) -> None:
    """Measure the data plane beside SimPy, Ciw and plain Python, in one run. Takes a few minutes; fails on no clock."""
    console = Console()
    progress = Console(stderr=True)
    figures = measure(
        replace(QUICK if quick else FULL, long_day=long),
        lambda what: progress.print(f"[dim]measuring {what} ...[/dim]"),
    )
    show(figures, console)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {out}")


if __name__ == "__main__":
    typer.run(main)
