"""What all sections of a scenario file share: the base of their models, and the kinds of number and name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Fraction",
    "Limit",
    "Name",
    "NotNegative",
    "NumberOf",
    "Positive",
    "RouterName",
    "Section",
    "Share",
    "ToldError",
]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
"""A part of a whole, which is not nothing."""
Fraction = Annotated[float, Field(ge=0, le=1)]
NumberOf = Annotated[int, Field(ge=1, le=10**9)]
Limit = Annotated[int, Field(ge=0, le=10**9)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]

RouterName = Literal[
    "least_outstanding", "round_robin", "weighted", "power_of_two", "consistent_hash", "locality", "function"
]
"""`simulator.plan.ROUTERS`."""


class ToldError(ValueError):
    """What is wrong with a section as a whole, with its own advice."""

    def __init__(self, problem: str, fix: str) -> None:
        self.fix = fix
        super().__init__(problem)


class Section(BaseModel):
    """A section of the file: unknown keys are errors, and a number is never made of a word."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
