"""A calibration as a small JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.fidelity.calibration import Calibration
from workloads.errors import InputError
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


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration."""
    write_json({"format": "recfleet-calibration", "format_version": 1} | asdict(calibration), path)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration; `InputError` names what is wrong with it."""
    try:
        document = _Document.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "give the path of a calibration") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} {place}".rstrip(), first["msg"], "make one with recfleet calibrate") from None
    except ValueError as error:
        raise InputError(str(path), f"is not JSON ({error})", "make one with recfleet calibrate") from None
    return Calibration(**document.model_dump(exclude={"format", "format_version"}))
