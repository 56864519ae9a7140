"""Random worlds of the whole request path: those of `worlds`, dressed with any of its features."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from .controls import AnyControl
from .dressing.caches import dress_caches
from .dressing.devices import dress_interference, dress_tiers
from .dressing.failures import dress_replica_failures, dress_stragglers
from .dressing.making import Making
from .dressing.network import dress_access, dress_link_failures, dress_sites
from .dressing.stages import dress_classes, dress_expiry, dress_hedges, dress_retries, dress_routers, dress_splits
from .model import OracleArrival, OracleWorld
from .worlds import Draw, draw_lattice, random_world

WholeScenario = tuple[OracleWorld, list[OracleArrival], list[AnyControl]]

FEATURES: dict[str, Callable[[Making], None]] = {
    "sites": dress_sites,
    "access": dress_access,
    "splits": dress_splits,
    "classes": dress_classes,
    "expiry": dress_expiry,
    "routers": dress_routers,
    "retries": dress_retries,
    "hedges": dress_hedges,
    "tiers": dress_tiers,
    "interference": dress_interference,
    "caches": dress_caches,
    "stragglers": dress_stragglers,
    "replica failures": dress_replica_failures,
    "link failures": dress_link_failures,
}
"""How to dress a world with each feature, in the order in which that is done."""


def whole_world(
    rng: np.random.Generator,
    *,
    requests: int = 150,
    features: Iterable[str] | None = None,
    lattice: bool | None = None,
) -> WholeScenario:
    """Draw a world, its trace and its controls.

    Parameters
    ----------
    rng
        The source of every choice.
    requests
        Length of the trace.
    features
        Which of `FEATURES` to dress it with; if left out, any of them with even chances, or all but a few.
    lattice
        As in `random_world`.
    """
    lattice = draw_lattice(rng) if lattice is None else lattice
    world, arrivals, controls = random_world(rng, requests=requests, lattice=lattice, reuse_slots=False)
    draw = Draw(rng, lattice)
    chance = float(rng.choice([0.15, 0.4, 0.8]))
    chosen = {name for name in FEATURES if draw.chance(chance)} if features is None else set(features)
    scale_s = float(np.mean([variant.mean_s[0] for variant in world.variants]))
    horizon_s = max(arrivals[-1].arrival_s, scale_s) if arrivals else scale_s
    making = Making(draw, world, arrivals, list(controls), scale_s, horizon_s)
    name_users(making)
    making.each_service(lambda service: replace(service, slo_s=4 * scale_s, bytes_out=draw.size_bytes(2048)))
    for name, dress in FEATURES.items():
        if name in chosen:
            dress(making)
    making.world = replace(making.world, features=frozenset(chosen))
    return making.world, making.arrivals, sorted(making.controls, key=lambda control: control.time_s)


def name_users(making: Making) -> None:
    """Few users and items, so that keys come again; some of them large numbers."""
    draw = making.draw
    users = draw.rng.integers(0, 2**31, draw.integer(1, 40)) if draw.chance(0.5) else np.arange(draw.integer(1, 12))
    items = draw.integer(1, 20) + (10**9 if draw.chance(0.2) else 0)
    making.arrivals = [
        replace(
            arrival,
            user=int(draw.rng.choice(users)),
            item=int(items - 1 - min(draw.rng.geometric(0.2), items - 1)),
        )
        for arrival in making.arrivals
    ]
