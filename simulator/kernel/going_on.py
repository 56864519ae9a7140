"""Requests that go on when the event at hand is done, in order (`journey_state.TODO`)."""

from __future__ import annotations

from simulator.kernel.compiled import inlined
from simulator.kernel.journey_state import Whole, is_wide
from simulator.kernel.state import NOBODY, Fleet

__all__ = ["take_todo", "todo"]


@inlined
def _let_follow(fleet: Fleet, whole: Whole, number: int, following: int) -> None:
    """Link a request that goes on to the next. (On the whole path void tasks may have its number meanwhile.)"""
    if is_wide(whole):
        whole.journeys[number].next = following
    else:
        fleet.tasks[number].next = following


@inlined
def todo(fleet: Fleet, whole: Whole, number: int, stage_index: int) -> None:
    """Let a request go on to a stage when the event at hand is done, after those that do so already."""
    todo = whole.todo[0]
    _let_follow(fleet, whole, number, NOBODY)
    if todo.head == NOBODY:
        todo.head = number
    else:
        _let_follow(fleet, whole, todo.tail, number)
    todo.tail = number
    if is_wide(whole):
        whole.journeys[number].stage = stage_index
    else:
        fleet.tasks[number].stage = stage_index


@inlined
def take_todo(fleet: Fleet, whole: Whole) -> tuple[int, int]:
    """The first request that goes on, and the stage to which."""
    number = whole.todo[0].head
    if is_wide(whole):
        whole.todo[0].head = whole.journeys[number].next
        return number, whole.journeys[number].stage
    whole.todo[0].head = fleet.tasks[number].next
    return number, fleet.tasks[number].stage
