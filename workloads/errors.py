"""The errors that a user's input can cause, and how they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["InputError", "ManyProblemsError", "MissingDependencyError", "RecfleetError"]

_MOST_TOLD = 10


class RecfleetError(Exception):
    """Base of every error that recfleet raises on purpose; the command line prints it and exits with 2."""


class InputError(RecfleetError):
    """Something the user gave cannot be used.

    Parameters
    ----------
    where
        The place: a file and field or row, for example ``demo.yaml:12 services[0].slo_ms``.
    problem
        What is wrong, with the offending value and what was expected.
    fix
        What to do about it, as an imperative sentence.

    Examples
    --------
    >>> print(InputError("demo.yaml:12 slo_ms", "-5 is not a positive number", "give milliseconds, as in 100"))
    demo.yaml:12 slo_ms: -5 is not a positive number; give milliseconds, as in 100
    """

    def __init__(self, where: str, problem: str, fix: str) -> None:
        self.where, self.problem, self.fix = where, problem, fix
        super().__init__(f"{where}: {problem}; {fix}")

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.where, self.problem, self.fix))


class ManyProblemsError(InputError):
    """Several things in one file cannot be used; told one a line, the first ten of them.

    Its ``where``, ``problem`` and ``fix`` are those of the first.

    Examples
    --------
    >>> print(ManyProblemsError("a.yaml", [InputError(f"a.yaml:{n} seed", "-1 is below 0", "give 0") for n in (1, 2)]))
    a.yaml has 2 problems:
      a.yaml:1 seed: -1 is below 0; give 0
      a.yaml:2 seed: -1 is below 0; give 0
    """

    def __init__(self, file: str, errors: Sequence[InputError]) -> None:
        self.file, self.errors = file, tuple(errors)
        first = self.errors[0]
        super().__init__(first.where, first.problem, first.fix)
        more = len(self.errors) - _MOST_TOLD
        lines = [f"{file} has {len(self.errors)} problems:", *(f"  {error}" for error in self.errors[:_MOST_TOLD])]
        self.args = ("\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])]),)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.file, self.errors))


class MissingDependencyError(RecfleetError):
    """An optional package is not installed; the message names the command that installs it."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        self.package, self.purpose, self.extra = package, purpose, extra
        super().__init__(f"{purpose} needs {package}, which is not installed; run: pip install 'recfleet[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str, str]]:
        return (type(self), (self.package, self.purpose, self.extra))
