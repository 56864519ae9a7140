"""A calibration as a small JSON file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.fidelity.calibration import Calibration
from workloads.json_document import read_document
from workloads.profile import write_json

__all__ = ["read_calibration", "write_calibration"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["recfleet-calibration"]
    format_version: Literal[1]
    name: str
    factor: float = Field(gt=0.0, lt=100.0, allow_inf_nan=False)
    cold_s: float = Field(ge=0.0, allow_inf_nan=False)
    drift: float = Field(ge=0.0, lt=1.0)
    correlation: float = Field(ge=-1.0, le=1.0)
    batches: int = Field(ge=1)
    left_out: int = Field(ge=0)
    fitted_on: dict[str, str]
    assembly: bool = False
    turn_s: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    turn_waiting_s: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration."""
    write_json({"format": "recfleet-calibration", "format_version": 1} | asdict(calibration), path)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration; `InputError` names what is wrong with it."""
    made = "make one with recfleet calibrate"
    document = read_document(path, _Document, absent="give the path of a calibration", invalid=made, no_json=made)
    return Calibration(**document.model_dump(exclude={"format", "format_version"}))
