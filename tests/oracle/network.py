"""Sites, the links between them and to their users, and the cards of nodes."""

from __future__ import annotations

from .clock import LINK, Clock
from .link import Link
from .model import OracleWorld
from .server import Server


class Network:
    """All links and cards of a world."""

    def __init__(self, clock: Clock, world: OracleWorld) -> None:
        self.clock = clock
        self.world = world
        ranks = {pair: LINK + len(world.sites) + number for number, pair in enumerate(world.links)}
        self.links = {pair: Link(clock, link, ranks[pair]) for pair, link in world.links.items()}
        self.access_in: list[Link | None] = []
        self.access_out: list[Link | None] = []
        for number, site in enumerate(world.sites):
            self.access_in.append(Link(clock, site.access_in, LINK + number) if site.access_in else None)
            self.access_out.append(Link(clock, site.access_out, LINK + number) if site.access_out else None)
        self.cards = [Server() for _ in world.nic_bytes_per_s]

    def leads(self, from_site: int, to_site: int) -> bool:
        """Whether something can go from one site to the other now, or need not."""
        link = self.links.get((from_site, to_site))
        return from_site == to_site or (link is not None and link.is_up)

    def receive(self, node: int, size_bytes: float) -> float:
        """Let a node's card receive something; return when it has."""
        return self.cards[node].serve(self.clock.now, size_bytes / self.world.nic_bytes_per_s[node], size_bytes)
