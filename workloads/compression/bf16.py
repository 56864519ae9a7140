"""Weights and arithmetic in bfloat16: half the bytes, eight bits of precision, the range of float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workloads.compression.subject import Step, Subject

__all__ = ["apply", "rebuild"]


def apply(subject: Subject) -> Step:
    """Convert all floating-point weights."""
    return Step(subject.config, rebuild(subject.network, {}), {})


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The network in bfloat16."""
    return network.to(torch.bfloat16)
