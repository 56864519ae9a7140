"""Policies that keep one autoscaler for each stage, as if each were a deployment of its own.

Such autoscalers tick every few seconds; policies are asked once a control interval. At each decision the ticks of the
interval that just ended are carried out one after the other, with its mean load and with the replicas that stand now,
and what the last one wants holds until the next decision. So windows, delays and panic run on the right clock; a
change of load within an interval is seen at its end, and a decision is carried out up to one interval late.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from optimizer.policies.base import BuiltinPolicy
from optimizer.preference import spread
from optimizer.stage_load import LoadReader
from simulator.policy import Allocation, Observation, PolicyContext

__all__ = ["Autoscaler", "DeploymentPolicy", "Reader", "ticks_between"]

MOST_REPLICAS = 100_000
"""Of one stage; what an autoscaler wants beyond that finds no room in any cluster."""


class Autoscaler(Protocol):
    """An autoscaler of one deployment."""

    def advance(self, start_s: float, end_s: float, load: Any) -> int:
        """Carry out the ticks after ``start_s`` up to ``end_s``, by what the policy's reader says of the stage; the
        replicas wanted then."""
        ...

    def told(self) -> str:
        """What it goes by, for the decision log."""
        ...


class Reader(Protocol):
    """Says of every stage what its autoscaler goes by."""

    def read(self, observation: Observation) -> Sequence[Any]:
        """One load a stage."""
        ...


def ticks_between(start_s: float, end_s: float, tick_s: float) -> list[float]:
    """Multiples of ``tick_s`` after ``start_s`` and up to ``end_s``."""
    first, last = int(start_s / tick_s + 1e-9) + 1, int(end_s / tick_s + 1e-9)
    return [k * tick_s for k in range(first, last + 1)]


class DeploymentPolicy(BuiltinPolicy):
    """One autoscaler a stage; `make` is what subclasses supply.

    A stage starts with the replicas that serve the first interval's demand with the scenario's headroom. Replicas are
    those of the stage's preferred pair of variant and node type, and of its next one where no node has room. Those for
    which there is no room at all stay wanted.
    """

    def __init__(self, context: PolicyContext, options: Any) -> None:
        super().__init__(context, options)
        self._autoscalers: list[Autoscaler] = []
        self._loads = self.reader()
        self._before_s = 0.0
        self._last: tuple[list[int], np.ndarray, np.ndarray] | None = None

    def reader(self) -> Reader:
        """What reads the stages' loads."""
        return LoadReader(self.facts)

    def make(self, stage: int, replicas: int, now_s: float) -> Autoscaler:
        """The autoscaler of a stage that starts with ``replicas``."""
        raise NotImplementedError

    def decide(self, observation: Observation) -> Allocation:
        """The ticks of the last interval of every stage."""
        loads = self._loads.read(observation)
        if not self._autoscalers:
            first = self._first_replicas(observation)
            self._autoscalers = [self.make(stage, count, observation.now_s) for stage, count in enumerate(first)]
        pairs = list(zip(self._autoscalers, loads))
        wanted = [min(a.advance(self._before_s, observation.now_s, load), MOST_REPLICAS) for a, load in pairs]
        self._before_s = observation.now_s
        replicas = self._spread(wanted, observation.ready + observation.starting)
        told = "; ".join(
            f"{stage} {autoscaler.told()}, wants {count}"
            for stage, autoscaler, count in zip(self.facts.stages, self._autoscalers, wanted)
        )
        pending = sum(wanted) - int(replicas.sum())
        return Allocation(replicas, note=f"{told}; {pending} replicas find no room" if pending else told)

    def _first_replicas(self, observation: Observation) -> list[int]:
        equivalents = self.preference.replica_equivalents(observation.stage_rps)
        return [int(n) for n in np.ceil(equivalents * (1.0 + self.facts.headroom) - 1e-9)]

    def _spread(self, wanted: list[int], keep: np.ndarray) -> np.ndarray:
        """Replicas on pairs; those of the last time where neither what is wanted nor what is there has changed."""
        if self._last is None or self._last[0] != wanted or not np.array_equal(self._last[1], keep):
            amounts = np.array(wanted, dtype=np.float64)
            self._last = wanted, keep, spread(self.preference, amounts, worth=np.ones(keep.shape), keep=keep)
        return self._last[2].copy()
