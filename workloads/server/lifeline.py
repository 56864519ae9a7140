"""Jobs that end with their driver, however that ends, and in good order where they are given the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["CLOSING_S", "asked_to_end", "end_all", "end_with_standard_input"]

CLOSING_S = 15.0
"""So long may a process take to end in good order: it closes its team, and writes its files."""


@contextmanager
def asked_to_end() -> Iterator[None]:
    """Meanwhile SIGTERM ends the process by way of its ``finally`` clauses, with exit code 143."""
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    sys.exit(128 + number)


def end_with_standard_input() -> None:
    """From now on this process is sent SIGTERM when its standard input closes, and ends at once `CLOSING_S` later.

    Standard input is a pipe that its parent holds and never writes to: it closes when the parent ends, even if that was
    killed.
    """
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(CLOSING_S)
    os._exit(1)


def end_all(processes: Iterable[subprocess.Popen[bytes]], closing_s: float = CLOSING_S) -> None:
    """Ask processes to end, and kill those that have not in time, or at once if this is interrupted, too."""
    processes = list(processes)
    try:
        for process in processes:
            process.terminate()
        until_s = time.perf_counter() + closing_s
        for process in processes:
            process.wait(max(0.0, until_s - time.perf_counter()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
