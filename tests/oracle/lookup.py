"""Embedding look-ups: step 7 of the page."""

from __future__ import annotations

from .model import OracleWorld
from .network import Network
from .server import Server


class Tiers:
    """The tiers of embedding rows, each with one server a node, or one for all."""

    def __init__(self, world: OracleWorld, network: Network) -> None:
        self.world = world
        self.network = network
        self.lookups = dict(world.lookups)
        nodes = range(len(world.nic_bytes_per_s))
        self.rates = {(tier, node): plan.bytes_per_s for tier, plan in enumerate(world.tiers) for node in nodes}
        self.servers: dict[tuple[int, int], Server] = {}
        for tier, plan in enumerate(world.tiers):
            of_all = Server()
            for node in nodes:
                self.servers[tier, node] = of_all if plan.is_shared else Server()

    def set_rate(self, tier: int, node: int | None, bytes_per_s: float) -> None:
        for each in range(len(self.world.nic_bytes_per_s)):
            if node is None or node == each or self.world.tiers[tier].is_shared:
                self.rates[tier, each] = bytes_per_s

    def look_up(self, variant: int, node: int, units: int) -> float:
        """Read the rows of a batch that starts now; return when they are there and unpacked."""
        now_s = self.network.clock.now
        lookup = self.lookups.get((variant, node))
        if lookup is None:
            return now_s
        done_s = [now_s]
        for tier, bytes_per_unit in enumerate(lookup.bytes_per_unit):
            if bytes_per_unit > 0:
                size_bytes = units * bytes_per_unit
                takes_s = size_bytes / self.rates[tier, node]
                free_s = self.servers[tier, node].serve(now_s, takes_s, size_bytes)
                done_s.append(free_s + self.world.tiers[tier].delay_s)
        if lookup.sharded_bytes_per_unit > 0:
            done_s.append(self.network.receive(node, units * lookup.sharded_bytes_per_unit))
        return max(done_s) + units * lookup.decode_s_per_unit
