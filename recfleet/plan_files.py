"""The files of a capacity plan."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recfleet.json_text import json_text, plain
from recfleet.output import PLAN_FORMAT
from recfleet.plan_result import CapacityPlan
from recfleet.versions import versions
from workloads.atomic_files import file_sha256

__all__ = ["plan_document", "plan_yaml", "write_plan"]

FORMAT_VERSION = 1


def write_plan(plan: CapacityPlan, folder: Path, command: str) -> None:
    """``plan.json``, ``plan.yaml``, ``candidates.csv``, ``loads.csv``, the figure, and the manifest."""
    (folder / "plan.json").write_text(json_text(plan_document(plan)), encoding="utf-8")
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
    (folder / "manifest.json").write_text(json_text(manifest), encoding="utf-8")


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


def plan_yaml(plan: CapacityPlan) -> str:
    """What to change in the scenario, and what to deploy: ``policies`` can be pasted into a scenario file."""
    import yaml

    chosen = plan.chosen
    assert chosen is not None
    parts = {
        "nodes": chosen.nodes,
        "replicas": chosen.replicas,
        "batches": chosen.batches,
        "planning": chosen.planning,
        "policies": [chosen.policy],
    }
    what = "what stands." if chosen.kind == "static" else "the most ready at once; the policy scales below."
    head = [
        f"# Capacity plan of {plan.scenario} at {plan.growth:g} times its demand, for {plan.duration_s:g} s.",
        "# nodes: what to have of each type (cluster.node_types[].count).",
        f"# replicas: {what}",
        "# batches: caps of the variants in use.",
        "# planning, policies: paste into the scenario file in place of its own keys; they belong together.",
    ]  # fmt: skip
    return "\n".join(head) + "\n" + yaml.safe_dump(plain(parts), sort_keys=False, allow_unicode=True)


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
