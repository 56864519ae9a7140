"""What happened to the fleet during a run, and what became of the work beside serving."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PURPOSES", "Event", "EventLog", "JobReport"]

PURPOSES: tuple[str, ...] = ("weights", "image", "refresh", "training", "update")
"""What bytes are moved over the shared store for."""


class Event(NamedTuple):
    """A line of the event log.

    Attributes
    ----------
    at_s
        When.
    what
        ``node_failed``, ``node_repaired``, ``refresh_began`` and so on: a word of its own for each kind.
    where
        A node (``gpu/3``), a link (``a->b``), a service, a variant or a job.
    consequence
        In words.
    replicas
        Replicas that it hit.
    """

    at_s: float
    what: str
    where: str
    consequence: str = ""
    replicas: int = 0


class JobReport(NamedTuple):
    """What became of a job by the end of the run.

    Attributes
    ----------
    released, finished
        Times that it became due, and that it came to its end.
    asked_gpu_s, done_gpu_s
        GPU-seconds of work due so far, and done and kept: in jobs finished, and up to the last checkpoint of the one
        under way.
    lost_gpu_s
        Work done again, or to be done again: it came after the last checkpoint when the job gave way.
    held_gpu_s
        GPU-seconds that its GPUs were held, reads and checkpoints included.
    preempted
        Times that it gave way, or its node was lost.
    """

    name: str
    released: int
    finished: int
    asked_gpu_s: float
    done_gpu_s: float
    lost_gpu_s: float
    held_gpu_s: float
    preempted: int


class EventLog:
    """Collects events, in order of time."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, at_s: float, what: str, where: str, consequence: str = "", replicas: int = 0) -> None:
        """Write a line."""
        self._events.append(Event(float(at_s), what, where, consequence, int(replicas)))

    def all(self) -> tuple[Event, ...]:
        """All lines so far."""
        return tuple(self._events)
