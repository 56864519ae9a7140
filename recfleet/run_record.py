"""One finished run and its file: arrays in NumPy's format, the rest as JSON inside it, nothing pickled."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.monitoring.series import Series
from simulator.policy import FleetFacts
from simulator.result import Decision, Intervals, RunResult
from workloads.atomic_files import replace_file

__all__ = ["RunRecord", "load_record", "save_record"]


@dataclass(frozen=True)
class RunRecord:
    """A run and what is known about it from outside the simulator.

    Attributes
    ----------
    bound_usd, bound_status
        Fluid lower bound for the requests that this run served; NaN where there is none.
    clairvoyant
        The policy saw the future: a yardstick, not something to deploy.
    wall_s
        Seconds the run took; kept out of every table that is compared byte by byte.
    stopped_by
        The service whose spent error budget ended the run early, where just a verdict was asked for; else empty.
    """

    result: RunResult
    bound_usd: float
    bound_status: str
    clairvoyant: bool
    wall_s: float
    stopped_by: str = ""

    @property
    def policy(self) -> str:
        return self.result.policy

    @property
    def seed(self) -> int:
        return self.result.seed


def save_record(record: RunRecord, path: Path) -> None:
    """Write to a temporary name beside ``path``, sync, rename; single requests are left out."""
    result = record.result
    arrays: dict[str, np.ndarray] = {}
    tree = {
        "record": _split(record, "record", arrays),
        "result": _split(result, "result", arrays),
        "facts": _split(result.facts, "facts", arrays),
        "intervals": _split(result.intervals, "intervals", arrays),
        "decisions": [_split(decision, "", {}) for decision in result.decisions],
        "monitored": [_split(series, f"monitored{i}", arrays) for i, series in enumerate(result.monitored)],
    }
    arrays["wanted"] = np.array([decision.wanted for decision in result.decisions])
    arrays["tree"] = np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    replace_file(path, write)


def load_record(path: Path) -> RunRecord | None:
    """Read a record; None where the file is absent, damaged or of another layout."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        tree = json.loads(arrays.pop("tree").tobytes())
        parts = {part: _join(tree[part], part, arrays) for part in ("record", "result", "facts", "intervals")}
        decisions = tuple(
            Decision(wanted=wanted, **_join(fields, "", {}))
            for wanted, fields in zip(arrays["wanted"], tree["decisions"])
        )
        monitored = [Series(**_join(one, f"monitored{i}", arrays)) for i, one in enumerate(tree["monitored"])]
        result = RunResult(
            **parts["result"],
            facts=FleetFacts(**parts["facts"]),
            intervals=Intervals(**parts["intervals"]),
            decisions=decisions,
            monitored=tuple(monitored),
        )
        return RunRecord(**parts["record"], result=result)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError):
        return None


_NESTED = ("result", "facts", "intervals", "decisions", "monitored", "sample")


def _split(value: Any, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Plain fields of a dataclass as a JSON tree; its arrays go to ``arrays``, named ``name.field``."""
    tree: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, np.ndarray):
            arrays[f"{name}.{field.name}"] = item
        elif field.name not in _NESTED:
            tree[field.name] = item.item() if isinstance(item, np.generic) else item
    return tree


def _join(tree: Mapping[str, Any], name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in tree.items()}
    prefix = f"{name}."
    return plain | {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
