"""The one error that a user's input can cause, and how it reads."""

from __future__ import annotations

__all__ = ["InputError", "MissingDependencyError", "RecfleetError"]


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

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return (type(self), (self.where, self.problem, self.fix))


class MissingDependencyError(RecfleetError):
    """An optional package is not installed; the message names the command that installs it."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        self.package, self.purpose, self.extra = package, purpose, extra
        super().__init__(f"{purpose} needs {package}, which is not installed; run: pip install 'recfleet[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str, str]]:
        return (type(self), (self.package, self.purpose, self.extra))
