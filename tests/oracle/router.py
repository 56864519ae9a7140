"""The page's section "Routers": which of the replicas in reach takes a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .draws import FIRST, SECOND, share

if TYPE_CHECKING:
    from .pool import Pool
    from .replica import Replica
    from .request import Task

Members = Sequence["Replica"]
Choice = Callable[["Pool", Members, "Task"], "Replica"]
UserFunction = Callable[[Sequence[int], Sequence[float], int, int, int, float], int]

POINTS = 64
FIRST_POINT, PLACE_OF_USER = 16, 3

FUNCTIONS: dict[str, UserFunction] = {}
"""Routers of users', by name; a world names one with router `function`."""


def least(members: Members) -> Replica:
    """The least outstanding, the first of them."""
    return min(members, key=lambda member: member.outstanding)


def least_outstanding(pool: Pool, members: Members, task: Task) -> Replica:
    return least(members)


def weighted(pool: Pool, members: Members, task: Task) -> Replica:
    return min(members, key=lambda member: (member.outstanding + 1) * round(1024 * pool.fastest / member.weight))


def round_robin(pool: Pool, members: Members, task: Task) -> Replica:
    chosen = members[pool.routed % len(members)]
    pool.routed += 1
    return chosen


def power_of_two(pool: Pool, members: Members, task: Task) -> Replica:
    draws = (task.draw(pool.noise_seed, number) for number in (FIRST, SECOND))
    one, other = (members[math.floor(u * len(members))] for u in draws)
    return other if other.outstanding < one.outstanding else one


def consistent_hash(pool: Pool, members: Members, task: Task) -> Replica:
    ring = sorted(
        (share(member.slot, FIRST_POINT + i), place) for place, member in enumerate(members) for i in range(POINTS)
    )
    start = share(task.request.user, PLACE_OF_USER)
    total = sum(member.outstanding for member in members)
    most = math.ceil((1 + task.stage.hash_bound) * (total + 1) / len(members))
    for _, place in sorted(ring, key=lambda point: point[0] < start):  # those below the start come round last
        if members[place].outstanding + 1 <= most:
            return members[place]
    raise AssertionError("all replicas are over the bound")


def locality(pool: Pool, members: Members, task: Task) -> Replica:
    near = [member for member in members if member.site == task.request.site]
    far = [member for member in members if member.site != task.request.site]
    if not near:
        return least(far)
    spill = task.stage.spill_outstanding
    is_full = spill > 0 and least(near).outstanding >= spill
    if is_full and far and least(far).outstanding < least(near).outstanding:
        return least(far)
    return least(near)


def function(pool: Pool, members: Members, task: Task) -> Replica:
    """A user's function; the pool is somewhere in the middle of longer arrays, as it may be in the kernel's."""
    margin = 2
    outstanding = [-1] * margin + [member.outstanding for member in members] + [-1] * margin
    weight = [math.nan] * margin + [member.weight for member in members] + [math.nan] * margin
    draw = task.draw(pool.noise_seed, FIRST)
    place = FUNCTIONS[task.stage.function](outstanding, weight, margin, len(members), task.request.user, draw)
    return members[min(max(place - margin, 0), len(members) - 1)]


CHOICES: dict[str, Choice] = {
    choice.__name__: choice
    for choice in (
        least_outstanding,
        weighted,
        round_robin,
        power_of_two,
        consistent_hash,
        locality,
        function,
    )
}
