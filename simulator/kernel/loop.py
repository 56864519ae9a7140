"""The event loop: arrivals of the trace against the earliest event of a replica, up to a given time."""

from __future__ import annotations

from simulator.kernel.batching import start_batch
from simulator.kernel.compiled import compiled, inlined
from simulator.kernel.completing import complete_batch
from simulator.kernel.event_tree import NEVER, bits, first_source, seconds
from simulator.kernel.routing import route
from simulator.kernel.state import ADVANCED, NEED_BLOCK, NEED_ROOM, Arrivals, Fleet, Latencies

__all__ = ["advance"]


@inlined
def _admit(fleet: Fleet, arrivals: Arrivals, row: int) -> None:
    """Take a row of the trace into the fleet."""
    clock = fleet.clock[0]
    clock.free_numbers -= 1
    number = fleet.free[clock.free_numbers]
    request = fleet.requests[number]
    service = fleet.services[arrivals.service[row]]
    request.id = clock.first_id + row
    request.arrival_s = arrivals.arrival_s[row]
    request.service = arrivals.service[row]
    request.items = arrivals.items[row]
    request.bytes_in = arrivals.bytes_in[row]
    service.arrived += 1
    route(fleet, number, service.first_stage, arrivals.arrival_s[row])


@compiled
def advance(until_s: float, arrivals: Arrivals, fleet: Fleet, latencies: Latencies) -> int:
    """Serve every event up to and including ``until_s``; returns why it stopped (`state.ADVANCED` and its siblings)."""
    clock = fleet.clock[0]
    until = bits(until_s)
    rows = arrivals.arrival_s.shape[0]
    row = clock.cursor
    why = ADVANCED
    while True:
        event = fleet.events[1]
        arrival = NEVER
        if row < rows:
            arrival = bits(arrivals.arrival_s[row])
        elif not clock.exhausted:
            why = NEED_BLOCK
            break
        now = min(event, arrival)
        if now > until or now == NEVER:
            break
        if arrival < event:
            if clock.free_numbers == 0:
                why = NEED_ROOM
                break
            _admit(fleet, arrivals, row)
            row += 1
        else:
            slot = first_source(fleet.events)
            if fleet.replicas[slot].running:
                complete_batch(fleet, slot, seconds(event))
            else:
                start_batch(fleet, latencies, slot, seconds(event))
    clock.cursor = row
    return why
