"""What long work tells whoever started it."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

__all__ = ["Listener", "Silent"]


class Listener(Protocol):
    """Hears how far a comparison is; called from the process that started it only."""

    def begin(self, labels: list[str]) -> None:
        """Runs are about to start; ``labels[job]`` names each."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""

    def advance(self, job: int, fraction: float) -> None:
        """A run has done this share of its trace."""

    def finish(self, job: int, kept: bool) -> None:
        """A run is done; ``kept`` where an earlier, interrupted comparison had done it."""


class Silent:
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing."""

    def begin(self, labels: list[str]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def advance(self, job: int, fraction: float) -> None:
        """Nothing."""

    def finish(self, job: int, kept: bool) -> None:
        """Nothing."""
