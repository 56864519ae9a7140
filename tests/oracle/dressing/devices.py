"""What replicas do: look rows up and share devices."""

from __future__ import annotations

from dataclasses import replace

from ..controls import Control, SetLookup, SetTierRate
from ..model import OracleInterference, OracleLookup, OracleTier, OracleVariant
from .making import Making


def dress_tiers(making: Making) -> None:
    """Up to three tiers; most variants read from some of them, some from other nodes, some unpack."""
    draw, scale_s = making.draw, making.scale_s

    def rate() -> float:
        return 2.0 ** draw.integer(10, 14) if draw.lattice else float(draw.rng.uniform(1e3, 3e4) / scale_s)

    def lookup(tiers: int) -> OracleLookup:
        sizes = [draw.rng.choice([0.0, 64.0, 256.0, 512.0]) for _ in range(tiers)]
        has_far_rows = draw.chance(0.3) and not draw.coarse
        return OracleLookup(
            bytes_per_unit=tuple(map(float, sizes)),
            sharded_bytes_per_unit=128.0 if has_far_rows else 0.0,
            decode_s_per_unit=(2.0**-8 if draw.lattice else scale_s / 50) if draw.chance(0.3) else 0.0,
        )

    tiers = tuple(
        OracleTier(rate(), draw.duration_s(scale_s / 8) if draw.chance(0.5) else 0.0, is_shared=draw.chance(0.5))
        for _ in range(draw.integer(1, 3))
    )
    world = making.world
    places = [(v, node) for v in range(len(world.variants)) for node in range(len(world.nic_bytes_per_s))]
    lookups = {place: lookup(len(tiers)) for place in places if draw.chance(0.7)}
    making.world = replace(world, tiers=tiers, lookups=lookups)
    if draw.chance(0.5):
        tier, node = draw.integer(0, len(tiers) - 1), draw.integer(0, len(world.nic_bytes_per_s) - 1)
        which = None if tiers[tier].is_shared or draw.chance(0.5) else node
        making.controls.append(SetTierRate(making.moment_s(), tier, rate(), which))
    used = {(c.replica.variant, c.replica.node) for c in making.controls if isinstance(c, Control)}
    if (known := sorted(used & set(lookups))) and draw.chance(0.5):
        variant, node = known[draw.integer(0, len(known) - 1)]
        making.controls.append(SetLookup(making.moment_s(), variant, node, lookup(len(tiers))))


def dress_interference(making: Making) -> None:
    """Two devices a node, slowdowns measured for up to five replicas on one; in half of the worlds most take turns.

    Half of the variants go cold when idle.
    """
    draw = making.draw
    device = {
        control.replica.slot: 2 * control.replica.node + draw.integer(0, 1) if draw.chance(0.8) else -1
        for control in making.controls
        if isinstance(control, Control)
    }
    making.controls = [
        replace(control, replica=replace(control.replica, device=device[control.replica.slot]))
        if isinstance(control, Control)
        else control
        for control in making.controls
    ]

    takes_turns = not draw.lattice and draw.chance(0.5)

    def slow(variant: OracleVariant) -> OracleVariant:
        counts = ((2,), (2, 4), (4,))[draw.integer(0, 2)] if draw.lattice else (2, 3, 5)[: draw.integer(1, 3)]
        sizes = (2, 4, 8)[: draw.integer(1, 3)]
        rows = tuple(
            tuple(1 + float(draw.rng.choice([0.0, 0.25, 0.5, 1.0])) + i / 2 for _ in sizes) for i in range(len(counts))
        )
        turns_s = [making.scale_s * (0.0 if draw.lattice else draw.integer(0, 2) / 8) for _ in range(2)]
        measured = OracleInterference(counts, sizes, rows, takes_turns and draw.chance(0.8), *turns_s)
        goes_cold = not draw.lattice and draw.chance(0.5)
        return replace(
            variant,
            interference=measured if draw.chance(0.8) else None,
            cold_s=making.scale_s / 4 if goes_cold else 0.0,
            cold_after_s=making.scale_s,
        )

    making.each_variant(slow)
