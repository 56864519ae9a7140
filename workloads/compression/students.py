"""The sizes of a student: the teacher's configuration with its widths scaled down."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

__all__ = ["student_config"]

_WIDTHS = frozenset(
    {
        "bottom",
        "decoder_hidden",
        "dim",
        "feed_forward",
        "hidden",
        "item_hidden",
        "latent",
        "layer_dim",
        "out",
        "product_dim",
        "top",
        "width",
    }
)
"""Fields of the zoo's configurations that count channels."""

_GRANULE = 8


def student_config(teacher: Any, share: float) -> Any:
    """The configuration with every width at ``share`` of the teacher's, in multiples of eight, and as few heads.

    Examples
    --------
    >>> from workloads.models.sasrec import SasRecConfig
    >>> student = student_config(SasRecConfig(width=128, heads=4, head_dim=32), 0.5)
    >>> student.width, student.heads, student.head_dim
    (64, 2, 32)
    """
    changes: dict[str, Any] = {}
    for field in fields(teacher):
        value = getattr(teacher, field.name)
        if field.name in _WIDTHS:
            changes[field.name] = (
                tuple(_scaled(v, share) for v in value) if isinstance(value, tuple) else _scaled(value, share)
            )
    if hasattr(teacher, "heads"):
        heads = teacher.heads * share
        changes["heads"] = max(1, int(heads))
        if heads < 1:
            changes["head_dim"] = _scaled(teacher.head_dim, heads)
    return replace(teacher, **changes)


def _scaled(width: int, share: float) -> int:
    return min(width, max(_GRANULE, round(width * share / _GRANULE) * _GRANULE))
