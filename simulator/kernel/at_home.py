"""A request at its home: the result cache before its first stage, and its way out after the last.

A request whose key is *in flight* has gone on with it and has not ended; others may wait for it. It *lands* when it
ends, and with it those that wait.
"""

from __future__ import annotations

from simulator.kernel.cache import MISS, fill, holds, key_of, level_of, look_up
from simulator.kernel.cache_state import RECORD_MISS, RECORD_WAIT
from simulator.kernel.compiled import inlined
from simulator.kernel.counting import count_completed, record_row
from simulator.kernel.flight import end_flight, find_flight, start_flight
from simulator.kernel.going_on import todo
from simulator.kernel.journey_state import Whole, has_caches, is_wide
from simulator.kernel.links import carry
from simulator.kernel.routing import free_number
from simulator.kernel.state import FAILED, NOBODY, NONE, Fleet
from simulator.kernel.tasks import end_request, is_background, take_number

__all__ = ["arrive_home", "end_those_waiting", "look_at_home"]


@inlined
def _record(fleet: Fleet, request_id: int, found: int) -> None:
    row = record_row(fleet.clock[0], request_id)
    if row != NONE:
        fleet.record.outcome[row].cache = found


@inlined
def _leave_home(fleet: Fleet, whole: Whole, number: int, leaves_s: float, now: float) -> None:
    """The result of a request is at home: the request is completed, and its answer leaves."""
    request = fleet.requests[number]
    if is_background(whole, number):
        end_request(fleet, whole, number, NONE, now)
        return
    if is_wide(whole):
        journey = whole.journeys[number]
        link = whole.links[whole.links.shape[0] - whole.link_of.shape[0] + journey.home]
        if link.is_there:
            if not link.is_up:
                end_request(fleet, whole, number, FAILED, now)
                return
            leaves_s = carry(link, leaves_s, fleet.services[request.service].bytes_out)
    count_completed(fleet, request, leaves_s + fleet.clock[0].hop_delay_s)
    request.has_ended = 1
    if request.tasks_about == 0:
        free_number(fleet, number)


@inlined
def _start_flight(fleet: Fleet, whole: Whole, number: int, place: int, where: int) -> None:
    fleet.requests[number].is_in_flight = 1
    start_flight(whole.caches, place, where, whole.journeys[number].key)


@inlined
def _wait(whole: Whole, number: int, place: int) -> None:
    """A request waits for the one that is in flight with its key, behind those that do."""
    flight = whole.caches.flight[place]
    whole.journeys[number].next = NOBODY
    if flight.first == NOBODY:
        flight.first = number
    else:
        whole.journeys[flight.last].next = number
    flight.last = number


@inlined
def _send_in_background(fleet: Fleet, whole: Whole, cause: int, place: int, ahead: int, now: float) -> None:
    """Send a request for the key that is ``ahead`` of that of the request which causes it."""
    number = take_number(fleet)
    fleet.requests[number] = fleet.requests[cause]
    whole.journeys[number] = whole.journeys[cause]
    fleet.requests[number].arrival_s = now
    journey = whole.journeys[number]
    journey.key += ahead
    journey.branch = 1 + ahead
    journey.is_absent = 0
    journey.is_background = 1
    service = fleet.requests[number].service
    fleet.services[service].background_started += 1
    _start_flight(fleet, whole, number, place, whole.caches.cache[service].first + journey.home)
    todo(fleet, whole, number, fleet.services[service].first_stage)


@inlined
def _miss(fleet: Fleet, whole: Whole, number: int) -> None:
    """A request finds nothing: it waits for one that is in flight with its key, or goes on."""
    request, journey = fleet.requests[number], whole.journeys[number]
    cache = whole.caches.cache[request.service]
    found = RECORD_MISS
    journey.is_absent = cache.is_alone
    if cache.follows_keys:
        where = cache.first + journey.home
        place = find_flight(whole.caches.flight, where, journey.key)
        if cache.coalesces and whole.caches.flight[place].count > 0:
            found = RECORD_WAIT
            whole.caches.level[level_of(whole.caches, request.service, journey.home, 0)].coalesced += 1
            _wait(whole, number, place)
        else:
            _start_flight(fleet, whole, number, place, where)
    if found == RECORD_MISS:
        todo(fleet, whole, number, fleet.services[request.service].first_stage)
    _record(fleet, request.id, found)


@inlined
def look_at_home(fleet: Fleet, whole: Whole, number: int, now: float) -> None:
    """Look a request up in its service's cache: it is answered, waits, or goes on; others may be sent with it."""
    request, journey = fleet.requests[number], whole.journeys[number]
    caches, service, home = whole.caches, request.service, journey.home
    cache = caches.cache[service]
    key = key_of(cache.key, journey.user, journey.item_id)
    journey.key = key
    at, is_due = look_up(caches, service, home, key, now)
    if at == MISS:
        _miss(fleet, whole, number)
        begin, end = 1, 1 + cache.prefetch
    else:
        begin, end = 0, 1 if is_due else 0
    for ahead in range(begin, end):
        place = find_flight(caches.flight, cache.first + home, key + ahead)
        if caches.flight[place].count == 0 and (ahead == 0 or not holds(caches, service, home, key + ahead, now)):
            if at == MISS:
                caches.level[level_of(caches, service, home, 0)].prefetched += 1
            else:
                caches.level[at].refreshed += 1
            _send_in_background(fleet, whole, number, place, ahead, now)
    if at != MISS:
        _record(fleet, request.id, caches.level[at].number + 1)
        _leave_home(fleet, whole, number, now + caches.level[at].hit_s, now)


@inlined
def _land(fleet: Fleet, whole: Whole, number: int) -> int:
    """The first of those that wait for a request, which ends."""
    request = fleet.requests[number]
    if not request.is_in_flight:
        return NOBODY
    request.is_in_flight = 0
    journey = whole.journeys[number]
    cache = whole.caches.cache[request.service]
    return end_flight(whole.caches, cache.first + journey.home, journey.key)


@inlined
def arrive_home(fleet: Fleet, whole: Whole, number: int, now: float) -> None:
    """A request's result is at home: it fills the caches, and the request is completed, then those that wait for it."""
    service = fleet.requests[number].service
    if has_caches(whole) and whole.caches.cache[service].levels > 0:
        journey = whole.journeys[number]
        fill(whole.caches, service, journey.home, journey.key, journey.is_absent, now)
    waiting = _land(fleet, whole, number)
    _leave_home(fleet, whole, number, now, now)
    while waiting != NOBODY:
        number = waiting
        waiting = whole.journeys[number].next
        _leave_home(fleet, whole, number, now, now)


@inlined
def end_those_waiting(fleet: Fleet, whole: Whole, now: float) -> None:
    """End those that wait for requests which were rejected or have failed (`TODO.ended`)."""
    todo = whole.todo[0]
    while todo.ended != NOBODY:
        number = todo.ended
        journey, request = whole.journeys[number], fleet.requests[number]
        todo.ended = journey.next
        waiting = _land(fleet, whole, number)
        while waiting != NOBODY:
            following = whole.journeys[waiting].next
            end_request(fleet, whole, waiting, journey.status, now)
            waiting = following
        request.tasks_about -= 1
        if request.tasks_about == 0:
            free_number(fleet, number)
