"""The bars of running simulations."""

from __future__ import annotations

import io

from rich.console import Console

from recfleet.cli_progress import RichListener


def test_a_late_report_of_an_earlier_batch_is_nobodys() -> None:
    listener = RichListener(Console(file=io.StringIO(), force_terminal=True))
    with listener:
        listener.begin(["a", "b", "c"])
        listener.finish(2, kept=False)
        listener.begin(["d"])
        listener.advance(2, 1.0)
        listener.advance(0, 0.5)
        listener.finish(0, kept=False)


def test_a_note_is_told_once_and_is_one_line_in_a_pipe() -> None:
    pipe = io.StringIO()
    listener = RichListener(Console(file=pipe, width=80))
    for text in ("word " * 40, "word " * 40, "another"):
        listener.note(text)
    assert pipe.getvalue().splitlines() == ["word " * 40, "another"]
