"""The rows that `Rows` looks up at once, worked out one by one from plain lists: slow, obvious, and independent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workloads.interactions.types import InteractionTable, PreparedData

DAY_S = 86_400


@dataclass(frozen=True)
class Event:
    user: int
    item: int
    target: float
    time_s: int


def small_data(
    parts: Sequence[Sequence[tuple[int, int, float, int]]], users: int = 5, items: int = 6, seed: int = 0
) -> PreparedData:
    """Data of three lists of (user, item, rating 1 to 5, time), each put in order of time, and features at random."""
    draw = np.random.default_rng(seed)
    tags = draw.random((items, 3)) < 0.5
    tags[0] = False
    return PreparedData(
        name="small",
        split="time",
        users=users,
        items=items,
        rating_low=1.0,
        rating_high=5.0,
        like_from=4.0,
        user_dense=draw.normal(size=(users, 1)).astype(np.float32),
        item_dense=draw.normal(size=(items, 2)).astype(np.float32),
        user_categories=draw.integers(0, 3, (users, 1), np.int32),
        item_categories=draw.integers(0, 3, (items, 2), np.int32),
        user_category_rows=(3,),
        item_category_rows=(3, 3),
        item_tags=tags,
        tag_names=("a", "b", "c"),
        train=table_of(parts[0]),
        validation=table_of(parts[1]),
        test=table_of(parts[2]),
        report={},
    )


def table_of(rows: Sequence[tuple[int, int, float, int]]) -> InteractionTable:
    rows = sorted(rows, key=lambda row: row[3])
    columns = list(zip(*rows)) if rows else [(), (), (), ()]
    kinds = (np.int32, np.int32, np.float32, np.int64)
    return InteractionTable(*(np.array(column, kind) for column, kind in zip(columns, kinds)))


def events_of(table: InteractionTable) -> list[Event]:
    columns = (table.user.tolist(), table.item.tolist(), table.rating.tolist(), table.time_s.tolist())
    return [Event(user, item, (rating - 1) / 4, time_s) for user, item, rating, time_s in zip(*columns)]


def known_events(data: PreparedData, part: str, index: int) -> list[Event]:
    """What a row of a part knows, oldest first."""
    train = events_of(data.train)
    if part == "train":
        return train[:index]
    if part == "validation":
        return train
    return sorted([*train, *events_of(data.validation)], key=lambda event: event.time_s)


def padded(values: Sequence[float], length: int) -> list[float]:
    kept = list(values)[-length:]
    return [0.0] * (length - len(kept)) + kept


def history(data: PreparedData, known: list[Event], user: int) -> list[Event]:
    trained = set(data.train.item.tolist())
    return [event for event in known if event.user == user and event.item in trained]


def audience(data: PreparedData, known: list[Event], item: int) -> list[Event]:
    trained = set(data.train.user.tolist())
    return [event for event in known if event.item == item and event.user in trained]


def shrunk(values: list[float], centre: float, prior: float) -> float:
    return sum(value - centre for value in values) / (len(values) + prior)


def running_mean(known: list[Event]) -> float:
    return (10 + sum(event.target for event in known)) / (20 + len(known))


def item_effect(known: list[Event], item: int) -> float:
    return shrunk([event.target for event in known if event.item == item], running_mean(known), 5)


def dense(data: PreparedData, known: list[Event], user: int, item: int, time_s: int) -> list[float]:
    """The columns of `dense_names`, by their definitions there."""
    mean = running_mean(known)
    mine = [place for place, event in enumerate(known) if event.user == user]
    its = [event for event in known if event.item == item]

    def residual(place: int) -> float:
        before = known[:place]
        return known[place].target - running_mean(before) - item_effect(before, known[place].item)

    alike = [
        residual(place)
        for place in mine
        for tag in np.flatnonzero(data.item_tags[item])
        if data.item_tags[known[place].item, tag]
    ]
    of_user = shrunk([residual(place) for place in mine], 0, 5)
    of_item = item_effect(known, item)

    def days(events: list[Event], which: int) -> float:
        return math.log1p(max(0, time_s - events[which].time_s) / DAY_S) / 4 if events else 0.0

    my_events = [known[place] for place in mine]
    return [
        math.log1p(len(mine)) / 4,
        math.log1p(len(its)) / 4,
        5 * shrunk([event.target for event in my_events], mean, 5),
        5 * of_item,
        5 * of_user,
        5 * (mean + of_item + of_user - 0.5),
        5 * shrunk(alike, 0, 5),
        days(my_events, 0),
        days(my_events, -1),
        days(its, 0),
        days(its, -1),
        *data.user_dense[user].tolist(),
        *data.item_dense[item].tolist(),
    ]
