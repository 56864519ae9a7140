"""Whatever serves one after the other: network cards, links, tiers of embedding rows."""

from __future__ import annotations

import math


class Server:
    """First come, first served; all there is to know is when it is free again."""

    def __init__(self) -> None:
        self.free_s = -math.inf
        self.busy_s = 0.0
        self.size_bytes = 0.0
        self.count = 0

    def serve(self, now_s: float, takes_s: float, size_bytes: float) -> float:
        """Serve what comes at `now_s` and takes so long; return when that is done."""
        self.free_s = max(now_s, self.free_s) + takes_s
        self.busy_s += takes_s
        self.size_bytes += size_bytes
        self.count += 1
        return self.free_s
