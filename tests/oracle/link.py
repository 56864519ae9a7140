"""A link: one payload at a time, in order, until it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .clock import Clock
from .model import OracleLink
from .server import Server


@dataclass(eq=False)
class Message:
    """What to do when a payload is there, and when it is lost instead."""

    arrive: Callable[[], object]
    lose: Callable[[], object]


class Link:
    """A link whose arrivals have `rank` among the events of their instant."""

    def __init__(self, clock: Clock, plan: OracleLink, rank: int) -> None:
        self.clock = clock
        self.plan = plan
        self.rank = rank
        self.server = Server()
        self.is_up = True
        self.carried: list[Message] = []
        self.lost = 0
        self.small = 0

    def pass_over(self, size_bytes: float, from_s: float) -> float:
        """Take a payload that is there at `from_s`; return when it is at the other end."""
        plan = self.plan
        is_small = size_bytes < plan.small_bytes
        self.small += is_small
        per_message = plan.small_s_per_message if is_small else plan.s_per_message
        takes_s = per_message + size_bytes * (plan.small_s_per_byte if is_small else plan.s_per_byte)
        return self.server.serve(from_s, takes_s, size_bytes) + self.plan.delay_s

    def send(self, size_bytes: float, message: Message) -> None:
        """Take a payload now; it arrives, or is lost when the link fails before."""

        def arrive() -> None:
            if message in self.carried:
                self.carried.remove(message)
                message.arrive()

        self.carried.append(message)
        self.clock.then(self.pass_over(size_bytes, self.clock.now), self.rank, arrive)

    def fail(self) -> None:
        """Lose what is carried, in order; the link is free when it comes back."""
        self.is_up = False
        self.server.free_s = -math.inf
        gone, self.carried = self.carried, []
        self.lost += len(gone)
        for message in gone:
            message.lose()

    def come_back(self) -> None:
        self.is_up = True
