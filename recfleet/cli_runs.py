"""What commands that run many simulations share: names of policies, and the word at an interruption."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from workloads.errors import InputError

__all__ = ["policy_names", "telling_what_is_kept"]


def policy_names(policies: list[str] | None) -> list[str] | None:
    """The names of a repeated ``--policies`` option, each a list separated by commas; None where it was not given.

    Raises
    ------
    InputError
        A name is empty.
    """
    if policies is None:
        return None
    names = [name.strip() for text in policies for name in text.split(",")]
    if not all(names):
        raise InputError("--policies", "has an empty name", "separate names by single commas, as in hpa,mip")
    return names


@contextmanager
def telling_what_is_kept(out: Path) -> Iterator[None]:
    """At Ctrl-C, say which finished runs of the output ``out`` are kept, and end with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        kept = Path(f"{out}.partial")
        hint = f"finished runs are kept in {kept}, and the same command goes on from there"
        typer.echo(f"recfleet: interrupted; {hint if kept.exists() else 'no run was finished'}", err=True)
        raise typer.Exit(130) from None
