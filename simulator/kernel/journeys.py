"""A request of the lean and the whole path: it comes in, comes home, goes from stage to stage, and is answered."""

from __future__ import annotations

import numpy as np

from simulator.kernel.at_home import arrive_home, look_at_home
from simulator.kernel.cache import AHEAD_ROWS, key_of, prepare
from simulator.kernel.compiled import inlined
from simulator.kernel.dispatch import route_task
from simulator.kernel.draws import hashed
from simulator.kernel.going_on import todo
from simulator.kernel.journey_state import ANSWER, INCOMING, Whole, has_caches, is_wide
from simulator.kernel.lines import line_up
from simulator.kernel.links import carry
from simulator.kernel.state import FAILED, NONE, REJECTED, Arrivals, Fleet
from simulator.kernel.tasks import begin_task, end_request, take_number

__all__ = ["admit", "answer", "come_home", "enter_stage", "touch_ahead"]

_HOME_SALT, _CLASS_SALT = 1, 2


@inlined
def _share_of(cumulative: np.ndarray, service: int, user: int, salt: int) -> int:
    """The first place whose cumulative share exceeds the user's hash."""
    place = 0
    if cumulative.shape[1] > 1:
        u = hashed(user, salt)
        while cumulative[service, place] <= u:
            place += 1
    return place


@inlined
def touch_ahead(whole: Whole, arrivals: Arrivals, row: int) -> None:
    """Have at hand what the requests some rows from here will look at in the caches."""
    if not has_caches(whole) or row + AHEAD_ROWS[0] >= arrivals.arrival_s.shape[0]:
        return
    for step in range(2):
        ahead = row + AHEAD_ROWS[step]
        service, user = arrivals.service[ahead], arrivals.user[ahead]
        key = key_of(whole.caches.cache[service].key, user, arrivals.item[ahead])
        home = _share_of(whole.home_share, service, user, _HOME_SALT) if is_wide(whole) else 0
        prepare(whole.caches, service, home, key, step)


@inlined
def enter_stage(fleet: Fleet, whole: Whole, number: int, stage_index: int, now: float) -> None:
    """A request has come to its stage: too late, or it is split and its tasks are routed one after another."""
    request = fleet.requests[number]
    stage = fleet.stages[stage_index]
    if is_wide(whole) and now > request.arrival_s + stage.expire_s:
        stage.expired += 1
        end_request(fleet, whole, number, REJECTED, now)
        return
    items = request.items
    if items == 0 or items > stage.candidates:
        items = stage.candidates
    parts = 1
    share, more = items, 0
    if stage.split_items > 0 and items > stage.split_items:
        parts = (items + stage.split_items - 1) // stage.split_items
        share = items // parts
        more = items - share * parts
    request.parts_left = parts
    for j in range(parts):
        task = begin_task(fleet, whole, number, stage_index, j, share + (j < more))
        fleet.tasks[task].routed_s = now
        route_task(fleet, whole, task, now)
        if request.has_ended:
            break


@inlined
def come_home(fleet: Fleet, whole: Whole, number: int, now: float) -> None:
    """A request has come to its home: its result is there, or it goes on to its first stage."""
    if is_wide(whole):
        whole.journeys[number].site = whole.journeys[number].home
    service = fleet.requests[number].service
    if has_caches(whole) and whole.caches.cache[service].levels > 0:
        look_at_home(fleet, whole, number, now)
    elif is_wide(whole):
        todo(fleet, whole, number, fleet.services[service].first_stage)
    else:
        enter_stage(fleet, whole, number, fleet.services[service].first_stage, now)


@inlined
def admit(fleet: Fleet, whole: Whole, arrivals: Arrivals, row: int) -> None:
    """Take a row of the trace into the fleet: it sets out to its home."""
    number = take_number(fleet)
    now = arrivals.arrival_s[row]
    service = arrivals.service[row]
    request = fleet.requests[number]
    request.id = fleet.clock[0].first_id + row
    request.arrival_s = now
    request.service = service
    request.items = arrivals.items[row]
    request.bytes_in = arrivals.bytes_in[row]
    request.has_ended = 0
    request.is_in_flight = 0
    request.tasks_about = 0
    if is_wide(whole) or has_caches(whole):
        user = arrivals.user[row]
        journey = whole.journeys[number]
        journey.user = user
        journey.item_id = arrivals.item[row]
        journey.branch = 0
        journey.is_background = 0
        if is_wide(whole):
            journey.home = _share_of(whole.home_share, service, user, _HOME_SALT)
            journey.priority = _share_of(whole.class_share, service, user, _CLASS_SALT)
    fleet.services[service].arrived += 1
    if not is_wide(whole):
        come_home(fleet, whole, number, now)
        return
    home = whole.journeys[number].home
    link = whole.links[home]
    if not link.is_there:
        come_home(fleet, whole, number, now)
    elif link.is_up:
        task = begin_task(fleet, whole, number, INCOMING, 0, 0)
        line_up(fleet, whole, home, task, carry(link, now, request.bytes_in))
    else:
        end_request(fleet, whole, number, FAILED, now)


@inlined
def answer(fleet: Fleet, whole: Whole, number: int, now: float) -> None:
    """A request's last stage has ended: its answer goes home."""
    if not is_wide(whole):
        arrive_home(fleet, whole, number, now)
        return
    journey = whole.journeys[number]
    if journey.site == journey.home:
        arrive_home(fleet, whole, number, now)
        return
    place = whole.link_of[journey.site, journey.home]
    if place == NONE or not whole.links[place].is_up:
        end_request(fleet, whole, number, FAILED, now)
        return
    task = begin_task(fleet, whole, number, ANSWER, 0, 0)
    bytes_out = fleet.services[fleet.requests[number].service].bytes_out
    line_up(fleet, whole, place, task, carry(whole.links[place], now, bytes_out))
