"""The data plane as the control plane sees it: replicas to add and drain, and ``advance`` to serve requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from simulator.caches import clear, grow_flights, has_room, preload
from simulator.fleet_arrays import add_numbers, arrivals_of, build_fleet, grow_replicas, rebuild_plain_pools
from simulator.journey_arrays import (
    PATHS,
    Path,
    add_journeys,
    build_whole,
    grow_classes,
    lines_of,
    path_of,
    places_of_links,
    reach,
)
from simulator.kernel.completing import settle
from simulator.kernel.failing import lose_link, lose_replica, lose_whole_replica, pass_on_all_held
from simulator.kernel.loop import advance
from simulator.kernel.routing import pass_on_all
from simulator.kernel.state import (
    ABSENT,
    ADVANCED,
    DRAINING,
    NEED_BLOCK,
    NEED_ROOM,
    NOBODY,
    NONE,
    READY,
    STARTING,
)  # fmt: skip
from simulator.kernel.whole_loop import advance_lean, advance_whole
from simulator.latency_tables import flatten
from simulator.lookups import set_lookup, set_tier_rate
from simulator.plan import FleetPlan, LookupPlan, RecordPlan
from simulator.pools import PoolLayout

if TYPE_CHECKING:
    from workloads.trace import TraceBlock

__all__ = ["Fleet"]


class Fleet:
    """The replicas, their queues and the requests in flight.

    Parameters
    ----------
    plan
        What stays the same.
    blocks
        The trace, block by block, with users and items where the plan has caches, shares of users or routers that ask.
    record
        Which requests to keep one by one; none unless given.
    path
        What to run it on; the smallest that knows all that the plan names, unless given. (Larger ones do the same.)

    Attributes
    ----------
    now_s
        Up to where requests have been served.
    state
        Everything that changes, `simulator.kernel.state.Fleet`; to read.
    whole
        What the lean and the whole path have beside it, `simulator.kernel.journey_state.Whole`; None on the plain one.
    """

    def __init__(
        self,
        plan: FleetPlan,
        blocks: Iterator[TraceBlock],
        record: RecordPlan | None = None,
        *,
        path: Path | None = None,
    ) -> None:
        self.plan = plan
        self.now_s = 0.0
        self._is_served = False
        self._blocks = blocks
        path = path or path_of(plan)
        if PATHS.index(path) < PATHS.index(path_of(plan)):
            raise ValueError(f"the {path} path does not know all of the plan, which needs the {path_of(plan)} one")
        is_plain = path == "plain"
        tables, self._latencies = flatten(plan.tables)
        self._lines = lines_of(plan) if path == "whole" else 0
        self.state = build_fleet(plan, tables, self._lines, record or RecordPlan())
        self.whole = None
        if not is_plain:
            self._weight = np.array([table.weight for table in plan.tables])
            self._pools = PoolLayout(plan.stages, len(plan.sites), float(self._weight.max()))
            self.whole = build_whole(plan, self._pools.state, len(self.replicas), len(self.state.tasks), path)
            self._node_site = plan.node_site if len(plan.node_site) else np.zeros(len(plan.nic_bytes_per_s), np.int64)
        if path == "whole":
            self._rebuild_pools(range(len(plan.stages)))
            self._set_reach()
        self._arrivals = arrivals_of(None, not is_plain)

    # --- requests --------------------------------------------------------------------------------------

    def advance(self, until_s: float) -> None:
        """Serve every event of the request path up to and including ``until_s``."""
        until_s = float(until_s)  # a whole number would have the kernels compiled anew
        if until_s == self.now_s and self._is_served:
            return
        with np.errstate(over="ignore"):
            while (why := self._advance(until_s)) != ADVANCED:
                if why == NEED_BLOCK:
                    self._next_block()
                elif why == NEED_ROOM:
                    self._make_room()
        if math.isfinite(until_s):
            self.now_s = until_s
            settle(self.state.replicas, self.state.tables, until_s)
            self._is_served = True

    def _advance(self, until_s: float) -> int:
        if self.whole is None:
            return int(advance(until_s, self._arrivals, self.state, self._latencies))
        loop = advance_whole if self.whole.wide else advance_lean
        return int(loop(until_s, self._arrivals, self.state, self.whole, self._latencies))

    def finish(self) -> None:
        """Serve what is in flight to the end, with no replica coming or going."""
        self.advance(math.inf)
        if self.whole is not None:
            self._pools.check_functions()

    def in_flight(self) -> np.ndarray:
        """``[service]`` requests that have arrived and have no outcome yet."""
        s = self.state.services
        return s["arrived"] - s["completed"] - s["rejected"] - s["failed"]

    def received_bytes(self) -> float:
        """Bytes that the nodes' cards have received by now."""
        nodes = self.state.nodes
        backlog = np.maximum(nodes["nic_free_s"] - self.now_s, 0.0) / nodes["nic_s_per_byte"]
        return float((nodes["nic_bytes"] - backlog).sum())

    def _next_block(self) -> None:
        block = next(self._blocks, None)
        clock = self.state.clock
        clock["cursor"] = 0
        clock["exhausted"] = block is None
        clock["first_id"] = 0 if block is None else block.start_index
        self._arrivals = arrivals_of(block, self.whole is not None)

    def _make_room(self) -> None:
        """Make room for twice as many keys in flight, or requests and tasks."""
        if self.whole is not None and not has_room(self.whole.caches):
            self.whole = self.whole._replace(caches=grow_flights(self.whole.caches))
            return
        self.state = add_numbers(self.state, len(self.state.tasks))
        if self.whole is not None:
            self.whole = add_journeys(self.whole, len(self.state.tasks))

    # --- replicas --------------------------------------------------------------------------------------

    @property
    def replicas(self) -> np.ndarray:
        """The replica slots, structs of `simulator.kernel.state.REPLICA`; to read."""
        return self.state.replicas

    def add_replica(
        self,
        rule: int,
        table: int,
        node: int,
        slot: int | None = None,
        device: int = NONE,
        max_batch: int | None = None,
    ) -> int:
        """Reserve a slot (the lowest free one unless given) for a replica that is starting; returns the slot.

        ``rule`` and ``table`` index the plan's batch rules and latency tables; replicas on one ``device`` slow each
        other down (`NONE`: alone on one). ``max_batch``: other than the rule's.
        """
        if slot is None:
            absent = np.flatnonzero(self.replicas["state"] == ABSENT)
            slot = int(absent[0]) if len(absent) else len(self.replicas)
        while slot >= len(self.replicas):
            self._grow_replicas()
        replica, batch = self.replicas[slot], self.plan.rules[rule]
        replica.state, replica.stage, replica.table, replica.node = STARTING, batch.stage, table, node
        replica.counts_items, replica.max_batch = batch.counts_items, max_batch or batch.max_batch
        replica.max_wait_s, replica.queue_limit = batch.max_wait_s, batch.queue_limit
        replica.released_s, replica.fill_s, replica.slowness, replica.device_index = np.inf, np.inf, 1.0, device
        if self.whole is not None:
            replica.site = self._node_site[node]
        new = device + 1 - len(self.state.running)
        if new > 0:
            running = np.concatenate([self.state.running, np.zeros(2 * new, np.int64)])
            free_s = np.concatenate([self.state.device_free_s, np.zeros(2 * new)])
            last = np.concatenate([self.state.device_last, np.zeros(2 * new, np.int64)])
            self.state = self.state._replace(running=running, device_free_s=free_s, device_last=last)
        return slot

    def activate(self, *slots: int) -> None:
        """Let starting replicas receive requests from now on, and first those that routers hold."""
        for some in ([slot] for slot in slots) if self._holds() else [list(slots)]:
            self.replicas["state"][some] = READY
            self.replicas["free_s"][some] = self.now_s
            self._change_pools(some)
            self._pass_on()

    def drain(self, *slots: int) -> None:
        """Send ready replicas no more requests; each is released when it holds none."""
        for slot in slots:
            replica = self.replicas[slot]
            replica.state = DRAINING
            if replica.outstanding == 0:
                replica.released_s = self.now_s
        self._change_pools(slots)
        self._pass_on()

    def is_released(self, slot: int) -> bool:
        """True when a draining replica holds no request any more."""
        return bool(np.isfinite(self.replicas[slot].released_s))

    def remove(self, slot: int) -> None:
        """Free the slot of a replica that is starting or released."""
        self.replicas[slot].state = ABSENT

    def fail(self, *slots: int) -> None:
        """Replicas fail: their batches are revoked, what they hold is lost, and their slots are free."""
        for slot in slots:
            replica = self.replicas[slot]
            replica.state = ABSENT
            replica.life += 1
            replica.released_s = np.inf
        self._change_pools(slots)
        with np.errstate(over="ignore"):
            for slot in slots:
                if self.whole is None:
                    lose_replica(self.state, slot, self.now_s)
                else:
                    lose_whole_replica(self.state, self.whole, slot, self.now_s)
        self.replicas["fill_s"][list(slots)] = np.inf
        self._pass_on()

    def set_slowness(self, slot: int, factor: float) -> None:
        """Let a replica's batches that start from now on take ``factor`` times as long; 1 as they should."""
        self.replicas[slot].slowness = factor

    # --- links -----------------------------------------------------------------------------------------

    def set_link(self, from_site: int, to_site: int, is_up: bool) -> None:
        """A link between sites fails, with what it carries, or is there again."""
        self._set_link(places_of_links(self.plan)[from_site, to_site], is_up)

    def set_access(self, site: int, direction: Literal["in", "out"], is_up: bool) -> None:
        """A site's access link fails or is there again; a site without one has none to fail."""
        assert self.whole is not None
        place = site if direction == "in" else len(self.whole.links) - len(self.plan.sites) + site
        if self.whole.links[place].is_there:
            self._set_link(place, is_up)

    def _set_link(self, place: int, is_up: bool) -> None:
        assert self.whole is not None
        link = self.whole.links[place]
        if bool(link.is_up) == is_up:
            return
        link.is_up, link.free_s = is_up, self.now_s
        self._set_reach()
        if not is_up and place < len(self.whole.links) - len(self.plan.sites):
            with np.errstate(over="ignore"):
                lose_link(self.state, self.whole, place, self.now_s)
        self._pass_on()

    # --- embedding rows --------------------------------------------------------------------------------

    def set_lookup(self, table: int, lookup: LookupPlan | None) -> None:
        """Batches of a latency table that start from now on read this."""
        set_lookup(self.state.lookups, table, lookup)

    def set_tier_rate(self, tier: int, bytes_per_s: float, node: int | None = None) -> None:
        """Let a tier serve what it is asked for from now on at this rate, above 0: a node's, or all of them."""
        set_tier_rate(self.state.lookups, tier, bytes_per_s, node)

    # --- caches ----------------------------------------------------------------------------------------

    def preload(self, service: int, level: int, keys: np.ndarray, site: int | None = None) -> None:
        """Put keys into a level of a service's cache as of time 0, at one site or at all, the last most recent.

        Before the first request only.
        """
        assert self.whole is not None
        assert self.state.services["arrived"].sum() == 0
        preload(self.whole.caches, service, level, keys, site)

    def clear_caches(self, site: int | None = None) -> None:
        """Empty the caches that serve one site and no other, or all of them."""
        if self.whole is not None:
            clear(self.whole.caches, site)

    # --- pools -----------------------------------------------------------------------------------------

    def _holds(self) -> bool:
        held = self.state.stages["held_head"] if self.whole is None else self.whole.held_head
        return bool((held != NOBODY).any())

    def _pass_on(self) -> None:
        self._is_served = False  # this may lead to events of this very moment
        with np.errstate(over="ignore"):
            if self.whole is None:
                pass_on_all(self.state, self.now_s)
            else:
                pass_on_all_held(self.state, self.whole, self.now_s)

    def _grow_replicas(self) -> None:
        self.state = grow_replicas(self.state, self._lines)
        if self.whole is not None:
            self.whole = grow_classes(self.whole, len(self.replicas))

    def _set_reach(self) -> None:
        assert self.whole is not None
        self._pools.set_reach(reach(self.whole))

    def _change_pools(self, slots: Iterable[int]) -> None:
        """Lay out the pools of some replicas' stages anew."""
        if self.whole is None or not self.whole.wide:
            self.state = rebuild_plain_pools(self.state)
        else:
            self._rebuild_pools(np.unique(self.replicas["stage"][list(slots)]).tolist())

    def _rebuild_pools(self, stages: Iterable[int]) -> None:
        assert self.whole is not None
        replicas = self.replicas
        for stage in stages:
            pool = np.flatnonzero((replicas["state"] == READY) & (replicas["stage"] == stage))
            its = replicas[pool]
            replicas["position"][pool] = self._pools.rebuild(
                stage,
                pool,
                its["site"].astype(np.int64),
                its["outstanding"].astype(np.int64),
                self._weight[its["table"]],
            )
        self.whole = self.whole._replace(pools=self._pools.state)
