"""Queueing theory that the simulators are held against.

Formulas are from Gross, Shortle, Thompson and Harris, *Fundamentals of Queueing Theory*, 4th ed. (2008),
where no other source is named. `rate_rps` is the arrival rate, `service_s` a mean service time, waits are
times in the queue, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, sparse, stats
from scipy.sparse.linalg import spsolve

FloatArray = NDArray[np.float64]


def erlang_c(load: float, servers: int) -> float:
    """Probability of waiting in M/M/c at `load` = rate x service time erlangs (section 2.3, by Erlang B)."""
    _require_stable(load / servers)
    blocking = 1.0
    for c in range(1, servers + 1):
        blocking = load * blocking / (c + load * blocking)
    return blocking / (1 - load / servers * (1 - blocking))


def mmc_mean_wait_s(rate_rps: float, service_s: float, servers: int) -> float:
    """Mean wait in M/M/c with one queue."""
    load = rate_rps * service_s
    return erlang_c(load, servers) * service_s / (servers - load)


def mmc_wait_tail(wait_s: ArrayLike, rate_rps: float, service_s: float, servers: int) -> FloatArray:
    """P(wait > `wait_s`) in M/M/c with one queue, first come first served."""
    load = rate_rps * service_s
    return erlang_c(load, servers) * np.exp(-(servers - load) / service_s * np.asarray(wait_s, dtype=float))


def mmc_wait_quantile_s(level: float, rate_rps: float, service_s: float, servers: int) -> float:
    """The wait that a share `level` of the requests of M/M/c does not exceed."""
    load = rate_rps * service_s
    return max(0.0, math.log(erlang_c(load, servers) / (1 - level)) * service_s / (servers - load))


def mg1_mean_wait_s(rate_rps: float, service_s: float, second_moment_s2: float) -> float:
    """Mean wait in M/G/1: Pollaczek and Khinchine (section 5.1)."""
    _require_stable(rate_rps * service_s)
    return rate_rps * second_moment_s2 / (2 * (1 - rate_rps * service_s))


def md1_mean_wait_s(rate_rps: float, service_s: float) -> float:
    """Mean wait in M/D/1."""
    return mg1_mean_wait_s(rate_rps, service_s, service_s**2)


def md1_wait_cdf(wait_s: float, rate_rps: float, service_s: float) -> float:
    """P(wait <= `wait_s`) in M/D/1.

    Franx, "A simple solution for the M/D/c waiting time distribution", Operations Research Letters 29 (2001),
    for one server: every term is positive, where Erlang's classical sum alternates. The probabilities of the
    number in system follow from cutting the embedded chain between j and j + 1, again without subtraction.
    """
    load = rate_rps * service_s
    _require_stable(load)
    if wait_s < 0:
        return 0.0
    k = math.floor(wait_s / service_s) + 1
    arrivals = stats.poisson(load)
    at_least = arrivals.sf(np.arange(k + 2) - 1)  # P(arrivals in one service >= m)
    in_system = [1 - load]
    for j in range(k):
        up = in_system[0] * at_least[j + 1]
        up += sum(in_system[i] * at_least[j + 2 - i] for i in range(1, j + 1))
        in_system.append(up / arrivals.pmf(0))
    waiting_at_most = np.cumsum(in_system)[1:]  # at most m waiting = at most m + 1 in system
    during = stats.poisson.pmf(np.arange(k), rate_rps * (k * service_s - wait_s))
    return float(during @ waiting_at_most[k - 1 :: -1][:k])


def gm1_root(phase_rate_rps: float, service_s: float, shape: int) -> float:
    """The root in (0, 1) of `sigma = A*((1 - sigma) / service_s)`, A Erlang with `shape` phases."""
    _require_stable(phase_rate_rps * service_s / shape)

    def gap(sigma: float) -> float:
        return (phase_rate_rps / (phase_rate_rps + (1 - sigma) / service_s)) ** shape - sigma

    return float(optimize.brentq(gap, 0.0, 1 - 1e-9, xtol=1e-15)) if shape > 1 else phase_rate_rps * service_s


def round_robin_mm_mean_wait_s(rate_rps: float, service_s: float, servers: int) -> float:
    """Mean wait where a Poisson stream is dealt in turn to exponential servers, each with its queue.

    Each server is E_c/M/1: wait `service_s * sigma / (1 - sigma)` (section 5.3, G/M/1).
    """
    sigma = gm1_root(rate_rps, service_s, servers)
    return service_s * sigma / (1 - sigma)


def shortest_queue_mean_wait_s(rate_rps: float, service_s: float, servers: int, longest: int = 40) -> float:
    """Mean wait where a Poisson stream joins the server with fewest requests, exponential service.

    This, not Erlang C, is the law of least-outstanding routing without batches: a request is bound to its
    replica at arrival. The chain of sorted queue lengths is solved as it stands, cut at `longest` requests a
    server; Little's law turns the mean number waiting into the wait. Meant for two or three servers.
    """
    _require_stable(rate_rps * service_s / servers)
    states = [s for s in product(range(longest + 1), repeat=servers) if list(s) == sorted(s)]
    index = {state: i for i, state in enumerate(states)}
    rows: list[int] = []
    columns: list[int] = []
    rates: list[float] = []

    def flow(source: tuple[int, ...], lengths: list[int], rate: float) -> None:
        rows.extend((index[tuple(sorted(lengths))], index[source]))
        columns.extend((index[source], index[source]))
        rates.extend((rate, -rate))

    for state in states:
        if state[0] < longest:
            flow(state, [state[0] + 1, *state[1:]], rate_rps)
        for server, length in enumerate(state):
            if length:
                flow(state, [*state[:server], length - 1, *state[server + 1 :]], 1 / service_s)
    balance = sparse.lil_matrix(
        sparse.coo_matrix((np.array(rates), (np.array(rows), np.array(columns))), shape=(len(states),) * 2)
    )
    balance[0, :] = 1.0
    right = np.zeros(len(states))
    right[0] = 1.0
    share = spsolve(balance.tocsc(), right)
    waiting = np.array([sum(max(0, length - 1) for length in state) for state in states])
    return float(share @ waiting) / rate_rps


def quantile_moments(levels: ArrayLike, values: ArrayLike) -> tuple[float, float]:
    """Mean and second moment of the law whose quantile function is linear between `levels[i]`, `values[i]`.

    Beyond the outermost levels the quantile is the outermost value.
    """
    u = np.concatenate([[0.0], np.asarray(levels, dtype=float), [1.0]])
    x = np.asarray(values, dtype=float)
    x = np.concatenate([x[:1], x, x[-1:]])
    width, low, high = np.diff(u), x[:-1], x[1:]
    return float(width @ (low + high) / 2), float(width @ (low**2 + low * high + high**2) / 3)


def lindley_waits_s(arrival_s: ArrayLike, service_s: ArrayLike) -> FloatArray:
    """Waits `[request]` of G/G/1, first come first served: Lindley's recursion on absolute times."""
    arrivals, services = np.asarray(arrival_s, dtype=float), np.asarray(service_s, dtype=float)
    waits = np.zeros(len(arrivals))
    free_s = -math.inf
    for i in range(len(arrivals)):
        start_s = max(arrivals[i], free_s)
        waits[i] = start_s - arrivals[i]
        free_s = start_s + services[i]
    return waits


def kiefer_wolfowitz_waits_s(arrival_s: ArrayLike, service_s: ArrayLike, servers: int) -> FloatArray:
    """Waits `[request]` of G/G/c with one queue, first come first served.

    Kiefer and Wolfowitz, "On the theory of queues with many servers", Trans. AMS 78 (1955): the vector `w` of
    the servers' remaining work, sorted, goes to `sort((w + s e_1 - a)^+)`, and `w_1` is the wait.
    """
    arrivals, services = np.asarray(arrival_s, dtype=float), np.asarray(service_s, dtype=float)
    work = np.zeros(servers)
    waits = np.zeros(len(arrivals))
    for i in range(len(arrivals)):
        if i:
            work = np.sort(np.maximum(work - (arrivals[i] - arrivals[i - 1]), 0.0))
        waits[i] = work[0]
        work[0] += services[i]
    return waits


def batch_means_interval(
    samples: ArrayLike, *, batches: int = 20, confidence: float = 0.99, warm_up: float = 0.1
) -> tuple[float, float]:
    """Mean of a stationary, correlated series and the half width of its confidence interval.

    The series loses its first `warm_up` share and is cut into `batches` equal runs, whose means are taken as
    independent (Law, *Simulation Modeling and Analysis*, 5th ed., section 9.5.3).
    """
    x = np.asarray(samples, dtype=float)
    x = x[int(len(x) * warm_up) :]
    length = len(x) // batches
    if length < 2:
        raise ValueError(f"samples: {len(x)} after warm-up are too few for {batches} batches")
    means = x[: length * batches].reshape(batches, length).mean(axis=1)
    return _student_interval(means, confidence)


def regenerative_interval(
    samples: ArrayLike, cycle_starts: ArrayLike, *, confidence: float = 0.99
) -> tuple[float, float]:
    """Mean and half width from independent cycles: the classical ratio estimator (Law, section 9.5.3).

    `cycle_starts[request]` is true where the system starts afresh, as at a request that finds a G/G/1 empty.
    What lies before the first start and after the last is left out.
    """
    x = np.asarray(samples, dtype=float)
    starts = np.flatnonzero(np.asarray(cycle_starts, dtype=bool))
    if len(starts) < 30:
        raise ValueError(f"cycle_starts: {len(starts)} starts; at least 30 are needed")
    lengths = np.diff(starts)
    sums = np.add.reduceat(x[: starts[-1]], starts[:-1])
    mean = float(sums.sum() / lengths.sum())
    spread = float(np.std(sums - mean * lengths, ddof=1))
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * spread / (lengths.mean() * math.sqrt(len(lengths)))
    return mean, half


def replication_interval(means: Sequence[float], *, confidence: float = 0.99) -> tuple[float, float]:
    """Mean and half width over independent replications (seeds)."""
    return _student_interval(np.asarray(means, dtype=float), confidence)


def _student_interval(means: FloatArray, confidence: float) -> tuple[float, float]:
    factor = float(stats.t.ppf(0.5 + confidence / 2, len(means) - 1))
    return float(means.mean()), factor * float(means.std(ddof=1)) / math.sqrt(len(means))


def _require_stable(utilisation: float) -> None:
    if not 0 < utilisation < 1:
        raise ValueError(f"utilisation {utilisation}: expected between 0 and 1, both excluded")
