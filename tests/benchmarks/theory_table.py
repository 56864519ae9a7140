"""The data plane's mean waits beside queueing theory: ``python -m tests.benchmarks.theory_table``.

Prints the table of docs/theory.md as Markdown. Each row is 20 independent replications, each with its own arrivals and
service noise, whose first quarter is left out; the interval is Student's over their means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from scipy import stats

from tests.benchmarks import machine, queue_laws
from tests.benchmarks.plain_queue import (
    PlainQueue,
    ServiceLaw,
    classes,
    deterministic,
    exponential,
    lognormal,
    poisson_arrivals_s,
    waits_s,
)
from tests.oracle import theory

LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
REPLICATIONS = 20
CONFIDENCE = 0.95
WARM_UP = 0.25
SHARES = (0.3, 0.7)
"""Of requests, by class."""
MeanWait = Callable[[float, float], float]
"""Mean wait in seconds from the arrival rate and the mean service time."""


@dataclass(frozen=True, eq=False)
class Law:
    """A queue with a known mean wait; ``slots`` requests can be in service at once.

    Loads below ``lightest`` are left out: too few requests wait there to tell. With ``of_class`` the waits are those of
    one class.
    """

    name: str
    queue: PlainQueue
    slots: int
    mean_wait_s: MeanWait
    lightest: float = 0.0
    of_class: int | None = None


@dataclass(frozen=True)
class Row:
    """One law at one load; times are in mean service times. ``deviation`` is in standard errors."""

    name: str
    load: float
    expected: float
    simulated: float
    half_width: float
    deviation: float

    @property
    def is_inside(self) -> bool:
        """Whether theory lies in this row's own interval."""
        return abs(self.simulated - self.expected) <= self.half_width


def _with(law: Callable[[float, float, int], float], slots: int) -> MeanWait:
    return lambda rate_rps, mean_s: law(rate_rps, mean_s, slots)


def _shortest_of_two(rate_rps: float, mean_s: float) -> float:
    return theory.shortest_queue_mean_wait_s(rate_rps, mean_s, 2, longest=200)


def _mg1(law: ServiceLaw) -> MeanWait:
    return lambda rate_rps, mean_s: theory.mg1_mean_wait_s(rate_rps, mean_s, law.second_moment_s2)


def laws() -> list[Law]:
    """Every law of the table."""
    e, d, g = exponential(), deterministic(), lognormal()
    erlang, crommelin, dealt = theory.mmc_mean_wait_s, queue_laws.mdc_mean_wait_s, theory.round_robin_mm_mean_wait_s
    bulk, full = queue_laws.bulk_mean_wait_s, queue_laws.full_batch_mean_wait_s
    return [
        Law("M/M/1", PlainQueue(e), 1, _with(erlang, 1)),
        Law("M/M/8", PlainQueue(e, 8, max_outstanding=1), 8, _with(erlang, 8)),
        Law("M/M/32", PlainQueue(e, 32, max_outstanding=1), 32, _with(erlang, 32), lightest=0.7),
        Law("M/D/1", PlainQueue(d), 1, _mg1(d)),
        Law("M/D/8", PlainQueue(d, 8, max_outstanding=1), 8, _with(crommelin, 8)),
        Law("M/G/1, lognormal, cv² 1.72", PlainQueue(g), 1, _mg1(g)),
        Law("round robin to 4: E₄/M/1 each", PlainQueue(e, 4, "round_robin"), 4, _with(dealt, 4)),
        Law("least outstanding of 2: shortest queue", PlainQueue(e, 2), 2, _shortest_of_two),
        Law("two M/M/1 in series, sum of waits", PlainQueue(e, stages=2), 1, lambda r, s: 2 * erlang(r, s, 1)),
        Law("batches up to 8: M/M(1,8)/1", PlainQueue(e, max_batch=8), 8, _with(bulk, 8)),
        Law("full batches of 4: fill, then E₄/M/1", PlainQueue(e, max_batch=4, max_wait_s=1e9), 4, _with(full, 4)),
        *_with_classes(e, g),
    ]


def _with_classes(e: ServiceLaw, g: ServiceLaw) -> Iterator[Law]:
    """Queues of two classes, of which nobody is interrupted."""
    one, several = PlainQueue(g, class_shares=SHARES), PlainQueue(e, 8, max_outstanding=1, class_shares=SHARES)
    for of, name in enumerate(("first", "second")):
        share = f"{SHARES[of]:.0%} of {name} class"
        yield Law(f"M/G/1, lognormal, {share}", one, 1, _mg1_class(g, of), of_class=of)
        yield Law(f"M/M/8, {share}", several, 8, _mm8_class(of), of_class=of)


def _mg1_class(law: ServiceLaw, of: int) -> MeanWait:
    return lambda rate_rps, mean_s: queue_laws.mg1_priority_mean_wait_s(
        rate_rps, mean_s, law.second_moment_s2, SHARES, of
    )


def _mm8_class(of: int) -> MeanWait:
    return lambda rate_rps, mean_s: queue_laws.mmc_priority_mean_wait_s(rate_rps, mean_s, 8, SHARES, of)


def row(law: Law, load: float, requests: int, replications: int = REPLICATIONS) -> Row:
    """Simulate a law at a load: `requests` in each replication."""
    mean_s = law.queue.law.mean_s
    rate_rps = load * law.slots / mean_s
    means = []
    for replication in range(replications):
        seed = np.random.SeedSequence([20261122, *law.name.encode(), round(load * 1000), replication])
        arrivals, noise = seed.spawn(2)
        arrival_s = poisson_arrivals_s(np.random.default_rng(arrivals), rate_rps, requests)
        waits = waits_s(law.queue, arrival_s, noise_seed=int(noise.generate_state(1, np.uint64)[0]))
        counted = np.arange(requests) >= requests * WARM_UP
        if law.of_class is not None:
            counted &= classes(law.queue, requests) == law.of_class
        means.append(float(waits[counted].sum(axis=1).mean()))
    mean, half = theory.replication_interval(means, confidence=CONFIDENCE)
    expected = law.mean_wait_s(rate_rps, mean_s)
    error = half / float(stats.t.ppf(0.5 + CONFIDENCE / 2, replications - 1))
    return Row(law.name, load, expected / mean_s, mean / mean_s, half / mean_s, (mean - expected) / error)


def rows(requests: int) -> Iterator[Row]:
    """All laws at all loads; at 0.9 and above four times as many requests."""
    for law in laws():
        for load in (load for load in LOADS if load >= law.lightest):
            yield row(law, load, requests * (4 if load >= 0.9 else 1))


def verdict(table: list[Row]) -> str:
    """How many rows theory lies inside of, one by one and all together."""
    inside = sum(r.is_inside for r in table)
    limit = float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / len(table), REPLICATIONS - 1))
    largest = max(table, key=lambda r: abs(r.deviation))
    together = "inside" if abs(largest.deviation) <= limit else "OUTSIDE"
    return (
        f"Theory lies inside the row's own {CONFIDENCE:.0%} interval in {inside} of {len(table)} rows "
        f"({CONFIDENCE * len(table):.1f} expected by chance alone). All rows together, at {CONFIDENCE:.0%} by "
        f"Bonferroni (deviations up to {limit:.2f}): {together}; the largest is {largest.deviation:+.2f} "
        f"({largest.name} at {largest.load:g})."
    )


def main(
    requests: Annotated[int, typer.Option(help="Requests in a replication.", min=1000)] = 100_000,
) -> None:
    """Print the table of docs/theory.md: mean waits of the data plane beside queueing theory."""
    print("| queue | load | theory | simulated | ± 95 % | deviation | inside |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    table = []
    for r in rows(requests):
        table.append(r)
        print(
            f"| {r.name} | {r.load:g} | {r.expected:.5g} | {r.simulated:.5g} | {r.half_width:.2g} "
            f"| {r.deviation:+.2f} | {'yes' if r.is_inside else 'no'} |",
            flush=True,
        )
    print(f"\n{verdict(table)}\n")
    about = machine.describe()
    print(f"{about['date']}, " + ", ".join(f"{name} {number}" for name, number in machine.versions().items()) + ".")


if __name__ == "__main__":
    typer.run(main)
