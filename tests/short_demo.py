"""The demo scenario cut to minutes, for tests that run it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SCENARIOS = ROOT / "scenarios"

START_HOUR = 18.9
CROWD_S = 120.0

FILES = {
    "summary.csv",
    "services.csv",
    "summary.json",
    "intervals.parquet",
    "service_intervals.parquet",
    "replicas.parquet",
    "decisions.parquet",
    "certificate.csv",
    "waste_ledger.parquet",
    "manifest.json",
    "report.html",
}
"""What a comparison leaves in its output folder."""


def write_short_demo(path: Path, duration_s: float = 600.0) -> Path:
    """Write a copy of ``scenarios/demo.yaml`` that begins shortly before the crowd comes; return its path."""
    document: dict[str, Any] = yaml.safe_load((SCENARIOS / "demo.yaml").read_text(encoding="utf-8"))
    document["trace"] |= {"start_hour": START_HOUR, "duration_s": duration_s}
    for stream in document["trace"]["streams"]:
        for crowd in stream["arrivals"].get("flash_crowds", []):
            crowd["at_s"] = CROWD_S
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def read_summary(folder: Path) -> list[dict[str, str]]:
    """The rows of an output folder's ``summary.csv``."""
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
