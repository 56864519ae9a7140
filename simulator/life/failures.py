"""Carries out outages: nodes go and come back or straggle, links break, the store slows down, caches are lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from simulator.actuator import Actuator
from simulator.fleet import Fleet
from simulator.life.plan import Outage

__all__ = ["Failures", "Names"]


@dataclass(frozen=True)
class Names:
    """How the event log calls things: ``nodes[node]`` and ``sites[site]``."""

    nodes: Sequence[str]
    sites: Sequence[str]

    def of(self, outage: Outage) -> str:
        """What an outage hits."""
        match outage.kind, outage.target:
            case ("link", (a, b)):
                return f"{self.sites[a]}->{self.sites[b]}"
            case ("access", (site, way)):
                return f"{self.sites[site]} access {('in', 'out')[way]}"
            case ("store", _):
                return "store"
            case ("cache", ()):
                return "all caches"
            case ("cache", (site,)):
                return f"{self.sites[site]} caches"
        return self.nodes[outage.target[0]]


class Failures:
    """Begins and ends outages at their times.

    Outages of one thing may overlap: a node or link works again when the last of them has ended; the store has the
    smallest share of those that last, and a node the largest slowness.
    """

    def __init__(
        self,
        env: simpy.Environment,
        fleet: Fleet,
        actuator: Actuator,
        outages: Sequence[Outage],
        names: Names,
    ) -> None:
        self._env = env
        self._fleet = fleet
        self._actuator = actuator
        self._names = names
        self._lasting: dict[tuple[str, tuple[int, ...]], list[float]] = defaultdict(list)
        self._down: Counter[int] = Counter()
        self._cordoned: Counter[int] = Counter()
        for outage in outages:
            # All their times are queued now, so that at one instant outages come before everything else.
            loss_s = outage.at_s + outage.notice_s
            times = (env.timeout(outage.at_s), env.timeout(loss_s), env.timeout(max(loss_s, outage.until_s)))
            env.process(self._last(outage, *times))

    def _last(
        self, outage: Outage, notice: simpy.Event, loss: simpy.Event, repair: simpy.Event
    ) -> Generator[simpy.Event, Any, None]:
        begin, end = {
            "node": (self._lose_node, self._repair_node),
            "spot": (self._lose_node, self._repair_node),
            "slow_node": (self._straggle, self._straggle),
            "link": (self._break_link, self._mend_link),
            "access": (self._break_link, self._mend_link),
            "store": (self._slow_store, self._slow_store),
            "cache": (self._empty_caches, lambda _: None),
        }[outage.kind]
        key = outage.kind, outage.target
        if outage.kind == "spot":
            yield notice
            self._give_notice(outage)
        yield loss
        self._lasting[key].append(outage.factor)
        begin(outage)
        yield repair
        self._lasting[key].remove(outage.factor)
        end(outage)

    def _log(self, what: str, outage: Outage, consequence: str = "", replicas: int = 0) -> None:
        self._actuator.log.add(self._env.now, what, self._names.of(outage), consequence, replicas)

    # --- nodes -----------------------------------------------------------------------------------------

    def _give_notice(self, outage: Outage) -> None:
        """Nothing more comes to the node; what is on it drains, or gives up its start."""
        (node,) = outage.target
        self._cordoned[node] += 1
        self._set_usable(node)
        actuator = self._actuator
        actuator.catch_up()
        replicas = actuator.roster.on(node)
        self._log("spot_notice", outage, f"{len(replicas)} replicas to drain in {outage.notice_s:g} s", len(replicas))
        actuator.withdraw(replicas)
        self._after_loss()

    def _lose_node(self, outage: Outage) -> None:
        (node,) = outage.target
        actuator = self._actuator
        if outage.kind == "spot":
            self._cordoned[node] -= 1
        self._down[node] += 1
        self._set_usable(node)
        lost = actuator.roster.on(node)
        actuator.fail(lost)
        what = "spot_taken" if outage.kind == "spot" else "node_failed"
        self._log(what, outage, f"{len(lost)} replicas lost", len(lost))
        self._after_loss()

    def _repair_node(self, outage: Outage) -> None:
        (node,) = outage.target
        self._down[node] -= 1
        if self._down[node] == 0:
            self._set_usable(node)
            self._log("spot_back" if outage.kind == "spot" else "node_repaired", outage)
            self._after_loss()

    def _set_usable(self, node: int) -> None:
        self._actuator.placement.is_usable[node] = self._down[node] == 0 and self._cordoned[node] == 0

    def _after_loss(self) -> None:
        if self._actuator.life.replaces_at_once:
            self._actuator.top_up()

    def _straggle(self, outage: Outage) -> None:
        (node,) = outage.target
        factor = max(self._lasting["slow_node", outage.target], default=1.0)
        before = self._actuator.slowness[node]
        self._actuator.slow_down(node, factor)
        hit = len(self._actuator.roster.on(node))
        if factor > before:
            self._log("node_slow", outage, f"batches take {factor:g} times as long", hit)
        elif factor < before:
            self._log("node_well" if factor == 1.0 else "node_slow", outage,
                      "" if factor == 1.0 else f"batches take {factor:g} times as long", hit)  # fmt: skip

    # --- links and the store ---------------------------------------------------------------------------

    def _break_link(self, outage: Outage) -> None:
        if len(self._lasting[outage.kind, outage.target]) == 1:
            self._set_link(outage, False)
            self._log("link_failed", outage, "what it carried is lost")

    def _mend_link(self, outage: Outage) -> None:
        if not self._lasting[outage.kind, outage.target]:
            self._set_link(outage, True)
            self._log("link_repaired", outage)

    def _set_link(self, outage: Outage, is_up: bool) -> None:
        self._actuator.catch_up()
        first, second = outage.target
        if outage.kind == "link":
            self._fleet.set_link(first, second, is_up)
        else:
            self._fleet.set_access(first, ("in", "out")[second], is_up)

    def _slow_store(self, outage: Outage) -> None:
        """Loads go on at what is left; tiers of rows that the store holds slow down too, though never to nothing."""
        share = min(self._lasting["store", ()], default=1.0)
        self._actuator.catch_up()
        self._actuator.store.set_share(share)
        life = self._actuator.life
        for tier in life.slowed_tiers:
            rate = self._fleet.plan.tiers[tier].bytes_per_s * max(share, life.least_tier_share)
            self._fleet.set_tier_rate(tier, rate)
        if share < 1.0:
            self._log("store_failed" if share == 0.0 else "store_slow", outage, f"{100 * share:g} % of its bandwidth")
        else:
            self._log("store_repaired", outage)

    def _empty_caches(self, outage: Outage) -> None:
        self._actuator.catch_up()
        self._fleet.clear_caches(*outage.target)
        self._log("cache_lost", outage, "emptied")
