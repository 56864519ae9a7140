"""Behaviour around a policy, never inside it: bounds, cool-down, rate limit, hysteresis.

A wrapper is a policy that asks another and changes its answer. A stage is the unit: what a wrapper holds
back, it holds back for all variants and node types of the stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from optimizer.options import check_number, check_whole
from optimizer.preference import Preference
from simulator.policy import Allocation, FleetFacts, Observation, Policy
from workloads.errors import InputError

__all__ = ["WRAPPERS", "Bounds", "Cooldown", "Hysteresis", "RateLimit", "Wrapper"]


class Wrapper:
    """Base: asks the inner policy, then lets `adjust` change the replicas.

    Parameters
    ----------
    inner
        The policy asked.
    facts
        The fleet.
    options
        An instance of the class's ``Options``.
    """

    Options: ClassVar[type[Any]]

    def __init__(self, inner: Policy, facts: FleetFacts, options: Any) -> None:
        self.inner, self.facts, self.options = inner, facts, options
        self.held: np.ndarray | None = None

    @property
    def clairvoyant(self) -> bool:
        """Whether the inner policy sees the future."""
        return bool(getattr(self.inner, "clairvoyant", False))

    def decide(self, observation: Observation) -> Allocation:
        """The inner policy's allocation, adjusted; the first one passes as it is but for bounds."""
        allocation = self.inner.decide(observation)
        if not isinstance(allocation, Allocation):
            raise InputError(
                f"policy {type(self.inner).__name__}",
                f"decide returned {type(allocation).__name__}, not an Allocation",
                "return simulator.policy.Allocation(replicas)",
            )
        wanted = np.asarray(allocation.replicas)
        adjusted = self.adjust(wanted, observation)
        self.held = adjusted
        if np.array_equal(adjusted, wanted):
            return allocation
        note = "; ".join(n for n in (allocation.note, type(self).__name__.lower()) if n)
        return replace(allocation, replicas=adjusted, note=note)

    def adjust(self, wanted: np.ndarray, observation: Observation) -> np.ndarray:
        """Replicas instead of ``wanted[variant, node_type]``; ``self.held`` is the last answer."""
        raise NotImplementedError

    def totals(self, replicas: np.ndarray) -> np.ndarray:
        """``[stage]`` replicas."""
        return self.facts.by_stage(np.asarray(replicas).sum(axis=1))

    def held_where(self, stages: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """``wanted``, but the last answer for stages that are true in ``stages[stage]``."""
        assert self.held is not None
        return np.where(stages[self.facts.variant_stage][:, None], self.held, wanted)


@dataclass(frozen=True)
class BoundsOptions:
    """Least and most replicas of every stage.

    Attributes
    ----------
    min_replicas, max_replicas
        Of a stage in all, whatever their variants and node types; no maximum by default.
    """

    min_replicas: int = 0
    max_replicas: int | None = None

    def __post_init__(self) -> None:
        check_whole("min_replicas", self.min_replicas, 0)
        if self.max_replicas is not None and check_whole("max_replicas", self.max_replicas, 0) < self.min_replicas:
            raise InputError(
                "max_replicas", f"{self.max_replicas} is below min_replicas {self.min_replicas}", "raise it"
            )


class Bounds(Wrapper):
    """Keeps each stage's replicas within bounds.

    It adds replicas of the stage's preferred pair, or takes some away: those below its accuracy floor, then those of
    its least preferred pair. Those that always stand count, and stay even above a maximum.
    """

    Options = BoundsOptions

    def __init__(self, inner: Policy, facts: FleetFacts, options: BoundsOptions) -> None:
        super().__init__(inner, facts, options)
        preference = Preference(facts)
        self._pairs, self._below_floor = preference.pairs, preference.below_floor

    def adjust(self, wanted: np.ndarray, observation: Observation) -> np.ndarray:
        """Keep every stage's total within the bounds."""
        adjusted = wanted.copy()
        for stage, total in enumerate(self.totals(wanted)):
            pairs = self._pairs[stage]
            if pairs and total < self.options.min_replicas:
                adjusted[pairs[0]] += self.options.min_replicas - int(total)
            excess = 0 if self.options.max_replicas is None else int(total) - self.options.max_replicas
            for pair in (*self._below_floor[stage], *reversed(pairs)):
                drop = int(np.clip(excess, 0, max(0, adjusted[pair] - self.facts.min_replicas[pair])))
                adjusted[pair] -= drop
                excess -= drop
        return adjusted


@dataclass(frozen=True)
class CooldownOptions:
    """How long a stage rests after a change.

    Attributes
    ----------
    up_s, down_s
        Least time from a stage's last change to its next growth, and to its next shrinking.
    """

    up_s: float = 0.0
    down_s: float = 300.0

    def __post_init__(self) -> None:
        check_number("up_s", self.up_s, 0.0)
        check_number("down_s", self.down_s, 0.0)


class Cooldown(Wrapper):
    """Lets a stage rest after a change: growth waits ``up_s``, shrinking ``down_s``."""

    Options = CooldownOptions

    def __init__(self, inner: Policy, facts: FleetFacts, options: CooldownOptions) -> None:
        super().__init__(inner, facts, options)
        self._changed_s = np.full(len(facts.stages), -np.inf)

    def adjust(self, wanted: np.ndarray, observation: Observation) -> np.ndarray:
        """Hold stages whose last change is too recent."""
        if self.held is None:
            self._changed_s[:] = observation.now_s
            return wanted
        since = observation.now_s - self._changed_s
        step = self.totals(wanted) - self.totals(self.held)
        wait = np.where(step > 0, self.options.up_s, self.options.down_s)
        adjusted = self.held_where(since < wait, wanted)
        moved = np.zeros(len(since), dtype=bool)
        np.logical_or.at(moved, self.facts.variant_stage, (adjusted != self.held).any(axis=1))
        self._changed_s[moved] = observation.now_s
        return adjusted


@dataclass(frozen=True)
class RateLimitOptions:
    """How fast a stage moves.

    Attributes
    ----------
    up, down
        Most replicas of one variant and node type added, and taken away, in a decision; no limit by default.
    """

    up: int | None = None
    down: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("up", self.up), ("down", self.down)):
            if value is not None:
                check_whole(name, value, 1)


class RateLimit(Wrapper):
    """Moves from the last answer towards the wanted one in steps of at most so many replicas."""

    Options = RateLimitOptions

    def adjust(self, wanted: np.ndarray, observation: Observation) -> np.ndarray:
        """Clip the step of every pair."""
        if self.held is None:
            return wanted
        low = 0 if self.options.down is None else self.held - self.options.down
        high = np.maximum(wanted, self.held) if self.options.up is None else self.held + self.options.up
        return np.clip(wanted, low, high)


@dataclass(frozen=True)
class HysteresisOptions:
    """How small a reduction is ignored.

    Attributes
    ----------
    fraction
        A stage shrinks only if its throughput falls by more than this fraction.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        check_number("fraction", self.fraction, 0.0, 1.0)


class Hysteresis(Wrapper):
    """Ignores small reductions of a stage; growth passes."""

    Options = HysteresisOptions

    def adjust(self, wanted: np.ndarray, observation: Observation) -> np.ndarray:
        """Hold stages whose throughput would fall a little."""
        if self.held is None:
            return wanted
        before, after = self.facts.served_rps(self.held), self.facts.served_rps(wanted)
        small = (after < before) & (after >= before * (1.0 - self.options.fraction))
        return self.held_where(small, wanted)


WRAPPERS: dict[str, type[Wrapper]] = {
    "bounds": Bounds,
    "cooldown": Cooldown,
    "rate_limit": RateLimit,
    "hysteresis": Hysteresis,
}
"""Wrappers by the name that a policy's ``wrap`` list uses."""
