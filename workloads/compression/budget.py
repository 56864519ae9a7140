"""How wide the parts of a pruned network are, so that the asked share of their parameters is gone.

All widths keep the same share of their channels, rounded to multiples of eight where they are large, as matrix units
like them; the share is the largest that meets the budget.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from workloads.compression.channels import Group

if TYPE_CHECKING:
    from workloads.models.base import ModelModule

__all__ = ["part_parameters", "pruned_config", "rounded"]

_GRANULE = 8
_TRIALS = 200


def part_parameters(module: ModelModule, config: Any) -> int:
    """Numbers in the prunable parts of a network of this size."""
    with torch.device("meta"):
        network = module.build(config)
    paths = tuple(f"{part.path}." for part in module.PRUNABLE)
    return sum(weight.numel() for name, weight in network.named_parameters() if name.startswith(paths))


def pruned_config(module: ModelModule, config: Any, groups: list[Group], ratio: float) -> Any:
    """The configuration with ``ratio`` of the prunable parts' parameters gone, or as near as widths of one allow."""
    target = (1.0 - ratio) * part_parameters(module, config)
    low, high = 0, _TRIALS
    best = _narrowed(config, groups, 0.0)
    while low <= high:
        middle = (low + high) // 2
        tried = _narrowed(config, groups, middle / _TRIALS)
        if part_parameters(module, tried) <= target:
            best, low = tried, middle + 1
        else:
            high = middle - 1
    return best


def rounded(size: int, share: float) -> int:
    """Channels to keep of ``size``: at least one granule, or one channel where there are few."""
    granule = _GRANULE if size >= 4 * _GRANULE else 1
    return min(size, max(granule, int(share * size) // granule * granule))


def _narrowed(config: Any, groups: list[Group], share: float) -> Any:
    changes: dict[str, Any] = {}
    for group in groups:
        if group.role == "query":
            changes |= _attention(config, group, share)
        elif group.index >= 0:
            widths = list(changes.get(group.field, getattr(config, group.field)))
            widths[group.index] = rounded(group.size, share)
            changes[group.field] = tuple(widths)
        elif group.role == "plain":
            changes[group.field] = rounded(group.size, share)
    return replace(config, **changes)


def _attention(config: Any, group: Group, share: float) -> dict[str, int]:
    """Whole heads first; when less than one is to stay, one head that is narrower."""
    heads = getattr(config, group.field)
    head_dim = group.size // heads
    kept = int(share * heads)
    if kept >= 1 or not hasattr(config, "head_dim"):
        return {group.field: max(1, kept)}
    return {group.field: 1, "head_dim": rounded(head_dim, share * heads)}
