"""An output folder that is complete or absent, and the workspace beside it that survives an interruption."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from workloads.errors import InputError

__all__ = ["FORMAT", "PLAN_FORMAT", "RUN_FORMAT", "Workspace", "check_target", "is_recfleet_output", "open_workspace"]

FORMAT = "recfleet-comparison"
RUN_FORMAT = "recfleet-run"
PLAN_FORMAT = "recfleet-plan"
"""``format`` fields of the manifest, by which an output folder is known to be ours."""

_WORKSPACE_ENTRIES = {"lock", "runs", "draft", "previous"}


@dataclass(frozen=True)
class Workspace:
    """``OUT.partial`` beside ``OUT``.

    Attributes
    ----------
    runs
        Folder of finished runs, kept until the output is published.
    """

    out: Path
    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def draft(self) -> Path:
        """Where the output is written before it gets its name."""
        return self.root / "draft"

    def publish(self) -> None:
        """Sync the draft and give it the output's name, in place of an earlier output; drop the workspace."""
        check_target(self.out)
        for path in sorted(self.draft.rglob("*")):
            _sync(path)
        _sync(self.draft)
        previous = self.root / "previous"
        if self.out.exists():
            self.out.rename(previous)
        self.draft.rename(self.out)
        _sync(self.out.parent)
        shutil.rmtree(self.root)


def is_recfleet_output(folder: Path) -> bool:
    """Whether a folder was written by a comparison, a run or a plan."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") in (FORMAT, PLAN_FORMAT, RUN_FORMAT)


@contextmanager
def open_workspace(out: Path, *, resume: bool = True) -> Iterator[Workspace]:
    """The workspace of ``out``, held by one process at a time.

    Parameters
    ----------
    resume
        Keep runs that an interrupted comparison left; else start afresh.

    Raises
    ------
    InputError
        ``out`` holds something else than an output of recfleet, cannot be written, or is being written now.
    """
    out = Path(os.path.abspath(out))
    check_target(out)
    workspace = Workspace(out, out.with_name(f"{out.name}.partial"))
    _check_workspace(workspace.root)
    try:
        workspace.root.mkdir(parents=True, exist_ok=True)
        lock = (workspace.root / "lock").open("w")
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})", "give another folder") from None
    with lock:
        _take(lock, out)
        if (previous := workspace.root / "previous").exists() and not out.exists():
            previous.rename(out)
        shutil.rmtree(workspace.draft, ignore_errors=True)
        if not resume:
            shutil.rmtree(workspace.runs, ignore_errors=True)
        workspace.runs.mkdir(exist_ok=True)
        workspace.draft.mkdir()
        try:
            yield workspace
        except BaseException:
            if workspace.root.exists() and not any(workspace.runs.glob("*.npz")):
                shutil.rmtree(workspace.root)
            raise


def _take(lock: IO[str], out: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(
            f"--out {out}", "is being written by another recfleet", "wait for it or give another folder"
        ) from None


def check_target(out: Path) -> None:
    """Refuse a target that holds something else than an output of recfleet.

    Raises
    ------
    InputError
        Naming it.
    """
    if out.is_dir() and (not any(out.iterdir()) or is_recfleet_output(out)):
        return
    if out.exists() or out.is_symlink():
        kind = "a folder that recfleet did not write" if out.is_dir() else "not a folder"
        raise InputError(f"--out {out}", f"is {kind} and would be replaced", "give another folder")


def _check_workspace(root: Path) -> None:
    """Refuse a folder of that name that no comparison made: publishing would delete it."""
    if root.is_dir() and {path.name for path in root.iterdir()} - _WORKSPACE_ENTRIES:
        raise InputError(str(root), "is a folder that recfleet did not write and would be deleted", "move it away")


def _sync(path: Path) -> None:
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) if path.is_dir() else os.O_RDONLY
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
