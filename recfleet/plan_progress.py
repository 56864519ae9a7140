"""What a capacity plan tells while it is made: a line a finding, and the best so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from recfleet.plan_words import nodes_text

if TYPE_CHECKING:
    from recfleet.plan_runs import Trial
    from recfleet.progress import Listener
    from simulator.policy import FleetFacts

__all__ = ["Numbered", "Reports", "found_text"]


def found_text(trial: Trial) -> str:
    """What a trial said, in words."""
    if trial.stopped_at_s is not None:
        share = trial.stopped_at_s / trial.duration_s
        return f"misses: {trial.worst_service} had spent its error budget after {share:.0%} of the run, stopped there"
    if trial.holds:
        return f"holds, {100.0 * trial.margin:.2g} points to spare"
    if trial.margin >= 0.0:
        return "misses an accuracy floor"
    return f"misses: {trial.worst_service} by {-100.0 * trial.margin:.2g} points"


class Numbered:
    """A listener that hears which simulation of how many in the batch each is."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.note, self.advance, self.finish = listener.note, listener.advance, listener.finish

    def begin(self, labels: list[str]) -> None:
        """With numbers, where there are several."""
        several = len(labels) > 1
        self._listener.begin([f"{i} of {len(labels)}: {text}" if several else text for i, text in enumerate(labels, 1)])


class Reports:
    """Tells each finding once, candidates by number.

    Attributes
    ----------
    most_tries
        How many candidates there can be; None where nobody knows.
    """

    def __init__(self, facts: FleetFacts, say: Callable[[str], None]) -> None:
        self._facts, self._say = facts, say
        self._told: set[tuple[object, ...]] = set()
        self._best: tuple[float, str] | None = None
        self._tries = 0
        self.most_tries: int | None = None

    def tried(self, label: str, trial: Trial) -> None:
        """A candidate on one seed."""
        if self._is_new("tried", label, trial.question.nodes):
            if trial.holds and (self._best is None or trial.cost_usd < self._best[0]):
                self._best = trial.cost_usd, label
            cost = "" if trial.stopped_at_s is not None else f"{trial.cost_usd:,.2f} USD, "
            self._tries += 1
            most = "" if self.most_tries is None else f" of at most {self.most_tries}"
            self._say(f"  try {self._tries}{most}: {label}: {cost}{found_text(trial)}{self._best_text(label)}")

    def _best_text(self, label: str) -> str:
        if self._best is None:
            return "; none holds so far"
        cost, best = self._best
        return "; the cheapest so far" if best == label else f"; cheapest so far: {best}, {cost:,.2f} USD"

    def none_holds(self, strength: float, more: int) -> None:
        """Of the static fleets up to a strength; so many more may be tried."""
        if self._is_new("none holds", strength):
            self._say(f"  no static fleet up to {strength:g} times the peak holds: at most {more} stronger ones follow")

    def confirmed(self, label: str, nodes: Sequence[int], trials: Sequence[Trial]) -> None:
        """A candidate on every seed."""
        if self._is_new("confirmed", label, tuple(nodes)):
            held = [t for t in trials if t.holds]
            cost = sum(t.cost_usd for t in trials) / len(trials)
            there = nodes_text({t: int(n) for t, n in zip(self._facts.node_types, nodes) if n})
            many = f"{len(trials)} seeds" if len(trials) > 1 else "one seed"
            self._say(f"  {label} on {there}: holds on {len(held)} of {many}, {cost:,.2f} USD")

    def loaded(self, trials: Sequence[Trial]) -> None:
        """The plan at other loads."""
        for trial in trials:
            q = trial.question
            if self._is_new("loaded", q.label, q.nodes, q.load, q.seed):
                self._say(f"  {q.load:.3g} times the load, seed {q.seed}: {found_text(trial)}")

    def _is_new(self, *finding: object) -> bool:
        new = finding not in self._told
        self._told.add(finding)
        return new
