"""Laws of queues with batches, with classes, and of M/D/c, which `tests.oracle.theory` does not hold.

Rates are per second, waits are in the queue, in seconds.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from tests.oracle.theory import erlang_c, gm1_root


def mdc_mean_wait_s(rate_rps: float, service_s: float, servers: int, longest: int = 1500) -> float:
    """Mean wait in M/D/c with one queue.

    Crommelin, "Delay probability formulae when the holding times are constant", P.O. Electr. Eng. J. 25 (1932):
    who is in service now has left a service time later, so the number in system goes from `i` to
    ``max(i - c, 0) + Poisson(load)``, and as time is arbitrary this chain's law is that of the system. It is solved cut
    at `longest` in the system; Little's law gives the wait.
    """
    load = rate_rps * service_s
    states = np.arange(longest + 1)
    come = stats.poisson.pmf(states, load)
    step = np.zeros((longest + 1, longest + 1))
    for i in range(longest + 1):
        left = max(i - servers, 0)
        step[i, left:] = come[: longest + 1 - left]
        step[i, -1] += 1 - step[i].sum()
    balance = step.T - np.eye(longest + 1)
    balance[0] = 1.0
    right = np.zeros(longest + 1)
    right[0] = 1.0
    in_system = np.linalg.solve(balance, right)
    return float(in_system @ np.maximum(states - servers, 0)) / rate_rps


def bulk_mean_wait_s(rate_rps: float, service_s: float, max_batch: int) -> float:
    """Mean wait at one exponential server that takes what waits, at most `max_batch`, and nobody joins a batch.

    While it is busy, the number waiting is geometric: ``C r^n`` with r the root in (0, 1) of
    ``mu r^(b+1) - (lambda + mu) r + lambda`` (Gross, Shortle, Thompson and Harris 2008, section 3.2, for general bulk
    service), and it is idle with probability ``C mu / lambda``.
    """
    rate, mu = rate_rps, 1 / service_s

    def gap(r: float) -> float:
        return rate - mu * sum(r**j for j in range(1, max_batch + 1))

    r = float(optimize.brentq(gap, 0.0, 1.0, xtol=1e-15))
    scale = 1 / (mu / rate + 1 / (1 - r))
    return scale * r / (1 - r) ** 2 / rate


def full_batch_mean_wait_s(rate_rps: float, service_s: float, max_batch: int) -> float:
    """Mean wait at one exponential server that takes full batches only.

    A request waits for the batch to fill, ``(b - 1) / (2 lambda)`` on average, and the batch, which is complete with
    every b-th arrival, as a customer of E_b/M/1.
    """
    sigma = gm1_root(rate_rps, service_s, max_batch)
    return (max_batch - 1) / (2 * rate_rps) + service_s * sigma / (1 - sigma)


def timed_batch_mean_wait_s(rate_rps: float, max_wait_s: float) -> float:
    """Mean wait where a batch without a cap starts `max_wait_s` after its head came, and service takes no time.

    A head waits T and on average lambda T others wait T / 2 each: ``(T + lambda T^2 / 2) / (1 + lambda T)``.
    """
    others = rate_rps * max_wait_s
    return (max_wait_s + others * max_wait_s / 2) / (1 + others)


def priority_mean_waits_s(
    rate_rps: float, shares: tuple[float, ...], mean_s: float, residual_s: float, servers: int = 1
) -> list[float]:
    """Mean wait of each class, the first with the highest priority, where nobody's service is interrupted.

    ``W_k = W_0 / ((1 - s_(k-1)) (1 - s_k))``, `s_k` being the load of classes up to `k` and ``W_0`` the mean time until
    a server is free for the request that comes: Cobham, "Priority assignment in waiting line problems", Operations
    Research 2 (1954), for one server with any law of service, and for several with the same exponential one.

    Parameters
    ----------
    shares
        Of the requests, class by class.
    residual_s
        ``W_0``: at one server ``rate E[S^2] / 2``; at `c` exponential ones, Erlang C over ``c mu``.
    """
    loads = np.cumsum(shares) * rate_rps * mean_s / servers
    before = np.concatenate([[0.0], loads[:-1]])
    return [float(residual_s / ((1 - low) * (1 - high))) for low, high in zip(before, loads)]


def mg1_priority_mean_wait_s(
    rate_rps: float, mean_s: float, second_moment_s2: float, shares: tuple[float, ...], of: int
) -> float:
    """Mean wait of class `of` in M/G/1 with classes."""
    return priority_mean_waits_s(rate_rps, shares, mean_s, rate_rps * second_moment_s2 / 2)[of]


def mmc_priority_mean_wait_s(rate_rps: float, mean_s: float, servers: int, shares: tuple[float, ...], of: int) -> float:
    """Mean wait of class `of` in M/M/c with classes."""
    residual_s = erlang_c(rate_rps * mean_s, servers) * mean_s / servers
    return priority_mean_waits_s(rate_rps, shares, mean_s, residual_s, servers)[of]
