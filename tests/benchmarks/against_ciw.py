"""Exponential queues at load 0.8 on the data plane and in Ciw: speed, and both mean waits.

Either one queue before all servers (M/M/c), beside Erlang C, or a queue before each, of which every request joins the
one with the fewest: least outstanding, as replicas are mostly routed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks.measuring import Timing, timed
from tests.benchmarks.plain_queue import PlainQueue, exponential, poisson_arrivals_s, serve, waits_s
from tests.oracle import theory

__all__ = ["Comparison", "measure"]

LOAD = 0.8
MORE = 20
"""Ours serves so many times as many requests: enough that its start does not count."""


@dataclass(frozen=True)
class Comparison:
    """Speeds count drawing the arrivals, on both sides; waits are in service times, with 95 % half widths."""

    ours_requests: int
    ciw_requests: int
    ours: Timing
    ciw: Timing
    ours_wait: tuple[float, float]
    ciw_wait: tuple[float, float]
    erlang_c_wait: float | None

    @property
    def ours_rps(self) -> float:
        """Requests per second of one core, ours."""
        return self.ours_requests / self.ours.cpu_s

    @property
    def ciw_rps(self) -> float:
        """Requests per second of one core, Ciw's."""
        return self.ciw_requests / self.ciw.cpu_s


def measure(servers: int, requests: int, repeats: int, *, queue_each: bool = False) -> Comparison:
    """Serve `requests` in Ciw and `MORE` times as many on the data plane, `repeats` times with other seeds.

    ``queue_each``: each server has a queue of its own.
    """
    ours, ours_waits = _ours(servers, requests * MORE, repeats, queue_each)
    ciw, ciw_waits = _ciw(servers, requests, repeats, queue_each)
    return Comparison(
        requests * MORE,
        requests,
        ours,
        ciw,
        theory.batch_means_interval(ours_waits, confidence=0.95),
        theory.batch_means_interval(ciw_waits, confidence=0.95),
        None if queue_each else theory.mmc_mean_wait_s(LOAD * servers, 1.0, servers),
    )


def _ours(servers: int, requests: int, repeats: int, queue_each: bool) -> tuple[Timing, np.ndarray]:
    queue = PlainQueue(exponential(), servers, max_outstanding=0 if queue_each else 1)
    rate_rps = LOAD * servers

    def run() -> None:
        serve(queue, poisson_arrivals_s(np.random.default_rng(1), rate_rps, requests), record=False)

    timing = timed(run, repeats)
    runs = [
        waits_s(queue, poisson_arrivals_s(np.random.default_rng(seed), rate_rps, requests), noise_seed=seed)[:, 0]
        for seed in range(repeats)
    ]
    return timing, np.concatenate(runs)


def _network(servers: int, queue_each: bool) -> Any:
    """The queue in Ciw; requests with a choice pass a node before it, which takes no time."""
    import ciw

    if not queue_each:
        return ciw.create_network(
            arrival_distributions=[ciw.dists.Exponential(LOAD * servers)],
            service_distributions=[ciw.dists.Exponential(1.0)],
            number_of_servers=[servers],
        )

    class LeastOutstanding(ciw.routing.JoinShortestQueue):  # type: ignore[misc]
        """Ciw's own counts those that wait alone, so that an idle server is no better than one with nobody behind."""

        def get_queue_size(self, node_index: int) -> int:
            return int(self.simulation.nodes[node_index].number_of_individuals)

    choice = LeastOutstanding(destinations=list(range(2, servers + 2)), tie_break="order")
    return ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(LOAD * servers), *[None] * servers],
        service_distributions=[ciw.dists.Deterministic(0.0), *[ciw.dists.Exponential(1.0)] * servers],
        number_of_servers=[float("inf"), *[1] * servers],
        routing=ciw.routing.NetworkRouting(routers=[choice, *[ciw.routing.Leave() for _ in range(servers)]]),
    )


def _ciw(servers: int, requests: int, repeats: int, queue_each: bool) -> tuple[Timing, np.ndarray]:
    import ciw

    network = _network(servers, queue_each)
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
        passed = (r for r in simulation.get_all_records() if not queue_each or r.node > 1)
        records = sorted(passed, key=lambda record: record.arrival_date)
        waits += [record.waiting_time for record in records]
    return timing, np.array(waits)
