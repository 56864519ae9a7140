"""M/M/8 at load 0.8 on the data plane and in Ciw: speed, and both mean waits beside Erlang C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.measuring import Timing, timed
from tests.benchmarks.plain_queue import PlainQueue, exponential, poisson_arrivals_s, serve, waits_s
from tests.oracle import theory

__all__ = ["Comparison", "measure"]

SERVERS, LOAD = 8, 0.8


@dataclass(frozen=True)
class Comparison:
    """Speeds count drawing the arrivals, on both sides; waits are in service times, with 95 % half widths."""

    requests: int
    ours: Timing
    ciw: Timing
    ours_wait: tuple[float, float]
    ciw_wait: tuple[float, float]
    erlang_c_wait: float

    @property
    def ours_rps(self) -> float:
        """Requests per second of one core, ours."""
        return self.requests / self.ours.cpu_s

    @property
    def ciw_rps(self) -> float:
        """Requests per second of one core, Ciw's."""
        return self.requests / self.ciw.cpu_s


def measure(requests: int, repeats: int) -> Comparison:
    """Serve the same number of requests on both, `repeats` times with other seeds."""
    ours, ours_waits = _ours(requests, repeats)
    ciw, ciw_waits = _ciw(requests, repeats)
    return Comparison(
        requests,
        ours,
        ciw,
        theory.batch_means_interval(ours_waits, confidence=0.95),
        theory.batch_means_interval(ciw_waits, confidence=0.95),
        theory.mmc_mean_wait_s(LOAD * SERVERS, 1.0, SERVERS),
    )


def _ours(requests: int, repeats: int) -> tuple[Timing, np.ndarray]:
    queue = PlainQueue(exponential(), SERVERS, max_outstanding=1)
    rate_rps = LOAD * SERVERS

    def run() -> None:
        serve(queue, poisson_arrivals_s(np.random.default_rng(1), rate_rps, requests), record=False)

    timing = timed(run, repeats)
    runs = [
        waits_s(queue, poisson_arrivals_s(np.random.default_rng(seed), rate_rps, requests), noise_seed=seed)[:, 0]
        for seed in range(repeats)
    ]
    return timing, np.concatenate(runs)


def _ciw(requests: int, repeats: int) -> tuple[Timing, np.ndarray]:
    import ciw

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(LOAD * SERVERS)],
        service_distributions=[ciw.dists.Exponential(1.0)],
        number_of_servers=[SERVERS],
    )
    seeds = iter(range(repeats))
    simulations: list[ciw.Simulation] = []

    def before() -> None:
        ciw.seed(next(seeds))
        simulations.append(ciw.Simulation(network))

    timing = timed(
        lambda: simulations[-1].simulate_until_max_customers(requests, method="Arrive"),
        repeats,
        before=before,
        warm_up=False,
    )
    waits: list[float] = []
    for simulation in simulations:
        records = sorted(simulation.get_all_records(), key=lambda record: record.arrival_date)
        waits += [record.waiting_time for record in records]
    return timing, np.array(waits)
