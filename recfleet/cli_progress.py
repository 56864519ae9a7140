"""The progress display of a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

__all__ = ["RichListener"]

_STEPS = 1000


class RichListener:
    """One bar for all runs and one for each that is under way; a line a run where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._told: set[str] = set()
        self._labels: list[str] = []
        self._fractions: list[float] = []
        self._tasks: dict[int, TaskID] = {}
        self._all: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, labels: list[str]) -> None:
        """Show the bar of all runs, in place of that of an earlier batch."""
        for task in (*self._tasks.values(), *([] if self._all is None else [self._all])):
            self._progress.remove_task(task)
        self._tasks.clear()
        self._labels, self._fractions = labels, [0.0] * len(labels)
        self._all = self._progress.add_task(f"{len(labels)} runs", total=len(labels) * _STEPS)

    def note(self, text: str) -> None:
        """Print a line above the bars, once; it is wrapped in a terminal only."""
        if text not in self._told:
            self._told.add(text)
            self._console.print(text, markup=False, soft_wrap=not self._console.is_terminal)

    def advance(self, job: int, fraction: float) -> None:
        """Move a run's bar, which appears with its first report; a late report of an ended batch is nobody's."""
        if not 0 <= job < len(self._labels):
            return
        if job not in self._tasks:
            self._tasks[job] = self._progress.add_task(f"  {self._labels[job]}", total=_STEPS)
        self._fractions[job] = fraction
        self._progress.update(self._tasks[job], completed=_STEPS * fraction)
        self._show_all()

    def finish(self, job: int, kept: bool) -> None:
        """Drop a run's bar and count it."""
        self._fractions[job] = 1.0
        if job in self._tasks:
            self._progress.remove_task(self._tasks.pop(job))
        self._show_all()
        if kept or not self._console.is_terminal:
            self._console.print(f"{'kept' if kept else 'done'}: {self._labels[job]}", markup=False, soft_wrap=True)

    def _show_all(self) -> None:
        if self._all is not None:
            self._progress.update(self._all, completed=_STEPS * sum(self._fractions))
