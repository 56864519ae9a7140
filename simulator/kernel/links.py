"""What a link does with a payload: one at a time, in order."""

from __future__ import annotations

from typing import Any

from simulator.kernel.compiled import inlined

__all__ = ["carry"]


@inlined
def carry(link: Any, now: float, payload_bytes: float) -> float:
    """When a payload given to the link at ``now`` is there."""
    busy_s = link.s_per_message + payload_bytes * link.s_per_byte
    if payload_bytes < link.small_bytes:
        busy_s = link.small_s_per_message + payload_bytes * link.small_s_per_byte
    link.free_s = max(now, link.free_s) + busy_s
    link.busy_s += busy_s
    link.bytes += payload_bytes
    link.messages += 1
    return link.free_s + link.delay_s
