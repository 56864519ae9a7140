"""The card of a model folder (``model.json``) as a pydantic model: the one definition of the format."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ModelCard"]

Part = dict[str, Any]


class ModelCard(BaseModel):
    """What a trained or compressed model is, where it comes from and what was measured on it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["recfleet-model"]
    format_version: Literal[1]
    model: str = Field(min_length=1, description="name in the zoo")
    config: Part = Field(description="the fields of the model's configuration")
    variant: Part | None = Field(description="how it was compressed and of what; null for a model as trained")
    data: Part = Field(description="the prepared data: name, split, hash")
    training: Part = Field(description="settings, epochs, history")
    metrics: Part = Field(description="what was measured on the test part")
    sizes: Part = Field(description="parameters, bytes")
    versions: dict[str, str]
    date: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of model.safetensors")
