"""The files of a capacity plan."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recfleet.digest import file_sha256
from recfleet.output import PLAN_FORMAT
from recfleet.plan_result import CapacityPlan
from recfleet.versions import versions
from workloads.errors import InputError

__all__ = ["plan_document", "plan_yaml", "write_json", "write_plan"]

FORMAT_VERSION = 1


def write_plan(plan: CapacityPlan, folder: Path, command: str) -> None:
    """``plan.json``, ``plan.yaml``, ``candidates.csv``, ``loads.csv``, the figure, and the manifest."""
    (folder / "plan.json").write_text(_text(plan_document(plan)), encoding="utf-8")
    _write_table(folder / "candidates.csv", [_flat(asdict(row)) for row in plan.candidates])
    if plan.chosen is not None:
        (folder / "plan.yaml").write_text(plan_yaml(plan), encoding="utf-8")
        _write_table(folder / "loads.csv", [_flat(asdict(row)) for row in plan.loads])
        figure = plan.plot()
        figure.save(folder / "plan.svg")
        figure.save(folder / "plan.png")
    manifest = {
        "format": PLAN_FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "scenario": {"name": plan.scenario, "path": plan.path, "sha256": plan.file_sha256},
        "seeds": list(plan.seeds),
        "versions": versions(),
        "files": {path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    }
    (folder / "manifest.json").write_text(_text(manifest), encoding="utf-8")


def plan_document(plan: CapacityPlan) -> dict[str, Any]:
    """``plan.json``: the fields of `CapacityPlan`, and the plan in words; null where there is no value."""
    body = asdict(plan)
    return {
        "format": PLAN_FORMAT,
        "format_version": FORMAT_VERSION,
        "found": plan.found,
        "text": plan.text,
        **body,
    }


def write_json(plan: CapacityPlan, path: Path) -> None:
    """The same document under a name of the user's; it appears complete or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(_text(plan_document(plan)), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"--json {path}", f"cannot be written ({error.strerror})", "give another file") from None


def plan_yaml(plan: CapacityPlan) -> str:
    """What to change in the scenario, and what to deploy: ``policies`` can be pasted into a scenario file."""
    import yaml

    chosen = plan.chosen
    assert chosen is not None
    parts = {
        "nodes": chosen.nodes,
        "replicas": chosen.replicas,
        "batches": chosen.batches,
        "policies": [chosen.policy],
    }
    what = "what stands." if chosen.kind == "static" else "the most ready at once; the policy scales below."
    head = [
        f"# Capacity plan of {plan.scenario} at {plan.growth:g} times its demand, for {plan.duration_s:g} s.",
        "# nodes: what to have of each type (cluster.node_types[].count).",
        f"# replicas: {what}",
        "# batches: the scenario's caps for the variants in use.",
        "# policies: paste into a scenario file in place of its own.",
    ]  # fmt: skip
    return "\n".join(head) + "\n" + yaml.safe_dump(_plain(parts), sort_keys=False, allow_unicode=True)


def _text(document: Any) -> str:
    return json.dumps(_plain(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """JSON has no NaN: null; floats at ten significant digits."""
    if isinstance(value, float):
        return float(format(value, ".10g")) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table: what is by node type or service becomes columns."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n", float_format="%.10g")
