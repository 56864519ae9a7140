"""A child ends with a parent that was killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from workloads.parent import end_with_parent

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import multiprocessing
from tests.workloads.test_parent import child
process = multiprocessing.get_context("spawn").Process(target=child)
process.start()
process.join()
"""


def child() -> None:
    end_with_parent()
    print("ready", flush=True)
    time.sleep(60.0)


def test_a_child_of_a_killed_parent_ends() -> None:
    """The child holds standard output open for as long as it lives."""
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        assert parent.communicate(timeout=30.0)[0] == ""


def test_without_a_parent_nothing_happens() -> None:
    end_with_parent()
