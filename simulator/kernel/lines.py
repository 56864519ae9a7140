"""Lines: tasks that wait for a time, in order of it. Each is one source of events, that of its head.

A task on a link or waiting for a retry is linked by ``TASK.next`` and due at ``TASK.ready_s``. Whether a task is to be
hedged is asked while it may be anywhere else, so hedge lines have links of their own, both ways: a task that completes
leaves its line from the middle.
"""

from __future__ import annotations

from simulator.kernel.compiled import inlined
from simulator.kernel.event_tree import NEVER, bits, set_event
from simulator.kernel.journey_state import Whole
from simulator.kernel.state import NOBODY, Fleet

__all__ = ["await_hedge", "hedge_line", "leave_hedge_line", "line_up", "retry_line", "take_first"]


@inlined
def retry_line(fleet: Fleet, whole: Whole, stage_index: int) -> int:
    """The line of a stage's tasks that are tried again."""
    return whole.lines.shape[0] - 2 * fleet.stages.shape[0] + stage_index


@inlined
def hedge_line(fleet: Fleet, whole: Whole, stage_index: int) -> int:
    """The line of a stage's tasks that get a twin unless they complete before."""
    return whole.lines.shape[0] - fleet.stages.shape[0] + stage_index


@inlined
def line_up(fleet: Fleet, whole: Whole, line_index: int, task: int, due_s: float) -> None:
    """Append a task to a line; it is due no earlier than those before it."""
    line = whole.lines[line_index]
    fleet.tasks[task].ready_s = due_s
    fleet.tasks[task].next = NOBODY
    if line.head == NOBODY:
        line.head = task
        set_event(fleet.events, fleet.replicas.shape[0] + line_index, bits(due_s))
    else:
        fleet.tasks[line.tail].next = task
    line.tail = task


@inlined
def take_first(fleet: Fleet, whole: Whole, line_index: int) -> int:
    """Take the head of a line that is not empty."""
    line = whole.lines[line_index]
    task = line.head
    line.head = fleet.tasks[task].next
    due = NEVER if line.head == NOBODY else bits(fleet.tasks[line.head].ready_s)
    set_event(fleet.events, fleet.replicas.shape[0] + line_index, due)
    return task


@inlined
def await_hedge(fleet: Fleet, whole: Whole, task: int, due_s: float) -> None:
    """Append a task to its stage's hedge line."""
    hedge = whole.hedges[task]
    line_index = hedge_line(fleet, whole, fleet.tasks[task].stage)
    line = whole.lines[line_index]
    hedge.due_s = due_s
    hedge.next = NOBODY
    hedge.previous = NOBODY
    whole.parts[task].awaits_hedge = 1
    if line.head == NOBODY:
        line.head = task
        set_event(fleet.events, fleet.replicas.shape[0] + line_index, bits(due_s))
    else:
        hedge.previous = line.tail
        whole.hedges[line.tail].next = task
    line.tail = task


@inlined
def leave_hedge_line(fleet: Fleet, whole: Whole, task: int) -> None:
    """Take a task out of its hedge line, if it is there."""
    part = whole.parts[task]
    if not part.awaits_hedge:
        return
    part.awaits_hedge = 0
    hedge = whole.hedges[task]
    line_index = hedge_line(fleet, whole, fleet.tasks[task].stage)
    line = whole.lines[line_index]
    if hedge.next != NOBODY:
        whole.hedges[hedge.next].previous = hedge.previous
    else:
        line.tail = hedge.previous
    if hedge.previous != NOBODY:
        whole.hedges[hedge.previous].next = hedge.next
    else:
        line.head = hedge.next
        due = NEVER if line.head == NOBODY else bits(whole.hedges[line.head].due_s)
        set_event(fleet.events, fleet.replicas.shape[0] + line_index, due)
