"""The results of a study as one JSON file that grows: what is in it already is not measured again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workloads.atomic_files import write_json_file
from workloads.errors import InputError

__all__ = ["STUDY_FILE", "StudyFile", "read_study"]

FORMAT = "recfleet-compression-study"
FORMAT_VERSION = 1
STUDY_FILE = "study.json"

_VARIANT_KEY = ("model", "method", "size")
_LATENCY_KEY = (*_VARIANT_KEY, "device", "threads", "mode", "batch")


@dataclass
class StudyFile:
    """Rows of a study and where they are kept.

    Attributes
    ----------
    path
        The file, written anew after each change.
    variants
        A row for each model, method and size (``trained`` or ``serving``): sizes, operations, accuracy, or why the
        method does not apply.
    latencies
        A row for each variant, device, mode and batch: quantiles of latency, or the error.
    """

    path: Path
    variants: list[dict[str, Any]] = field(default_factory=list)
    latencies: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def in_folder(cls, folder: Path) -> StudyFile:
        """The study of a folder, which is made where it is not there yet.

        Raises
        ------
        InputError
            The folder cannot be made, or holds something else by the study's name.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {folder}", f"cannot be a folder ({error.strerror})", "give another path") from None
        return cls.open(folder / STUDY_FILE)

    @classmethod
    def open(cls, path: Path) -> StudyFile:
        """The file's rows, or none where there is no file yet."""
        return read_study(path) if path.is_file() else cls(path)

    def put_variant(self, row: dict[str, Any]) -> None:
        """Add a variant's row in the place of an earlier one."""
        self.variants = [r for r in self.variants if _key(r, _VARIANT_KEY) != _key(row, _VARIANT_KEY)] + [row]
        self.write()

    def put_latencies(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows of latencies in the place of earlier ones."""
        rows = list(rows)
        new = {_key(row, _LATENCY_KEY) for row in rows}
        self.latencies = [r for r in self.latencies if _key(r, _LATENCY_KEY) not in new] + rows
        self.write()

    def has_latency(self, **key: Any) -> bool:
        """Whether there is a row with this key, of these very weights."""
        names = (*_LATENCY_KEY, "weights")
        return any(_key(row, names) == _key(key, names) for row in self.latencies)

    def write(self) -> None:
        """Write all rows."""
        document = {"format": FORMAT, "format_version": FORMAT_VERSION}
        write_json_file({**document, "variants": self.variants, "latencies": self.latencies}, self.path)


def read_study(path: Path) -> StudyFile:
    """Read a study.

    Raises
    ------
    InputError
        There is no such file, or it is something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "run recfleet compress --study") from None
    except ValueError as error:
        raise InputError(str(path), f"is not JSON ({error})", "remove it and run the study again") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(
            str(path), f"is not of the format {FORMAT}", "give a file written by recfleet compress --study"
        )
    if document.get("format_version") != FORMAT_VERSION:
        problem = f"format_version {document.get('format_version')!r} is not {FORMAT_VERSION}"
        raise InputError(str(path), problem, "remove it and run the study again")
    return StudyFile(path, document["variants"], document["latencies"])


def _key(row: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)
