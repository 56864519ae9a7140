"""The embedding look-ups of a plan, as the kernel carries them; and what the control plane changes of them."""

from __future__ import annotations

import numpy as np

from simulator.kernel.lookup import LOOKUP, TIER, TIER_KIND, Lookups
from simulator.plan import FleetPlan, LookupPlan

__all__ = ["lookup_state", "set_lookup", "set_tier_rate"]


def lookup_state(plan: FleetPlan) -> Lookups:
    """The plan's tiers, idle, and what each table's batches read from them."""
    nodes = len(plan.nic_bytes_per_s)
    kinds = np.zeros(len(plan.tiers), TIER_KIND)
    instances = np.array([1 if tier.is_shared else nodes for tier in plan.tiers], np.int64)
    kinds["first"] = np.cumsum(instances) - instances
    kinds["step"] = [not tier.is_shared for tier in plan.tiers]
    tiers = np.zeros(int(instances.sum()), TIER)
    tiers["s_per_byte"] = np.repeat([1.0 / tier.bytes_per_s for tier in plan.tiers], instances)
    tiers["delay_s"] = np.repeat([tier.delay_s for tier in plan.tiers], instances)
    lookups = Lookups(
        lookup=np.zeros(len(plan.tables), LOOKUP),
        bytes_per_unit=np.zeros((len(plan.tables), len(plan.tiers))),
        kinds=kinds,
        tiers=tiers,
    )
    for table, lookup in enumerate(plan.lookups):
        set_lookup(lookups, table, lookup)
    return lookups


def set_lookup(lookups: Lookups, table: int, lookup: LookupPlan | None) -> None:
    """Let a table's batches that start from now on read this."""
    lookup = LookupPlan(()) if lookup is None else lookup
    row = lookups.lookup[table]
    lookups.bytes_per_unit[table] = 0.0
    lookups.bytes_per_unit[table, : len(lookup.bytes_per_unit)] = lookup.bytes_per_unit
    row.sharded_bytes_per_unit = lookup.sharded_bytes_per_unit
    row.decode_s_per_unit = lookup.decode_s_per_unit
    row.reads = any((*lookup.bytes_per_unit, lookup.sharded_bytes_per_unit, lookup.decode_s_per_unit))


def set_tier_rate(lookups: Lookups, tier: int, bytes_per_s: float, node: int | None = None) -> None:
    """Let a tier serve what it is asked for from now on at this rate, on one node or on all."""
    kind = lookups.kinds[tier]
    if node is not None or kind.step == 0:
        lookups.tiers["s_per_byte"][kind.first + kind.step * (node or 0)] = 1.0 / bytes_per_s
        return
    end = lookups.kinds["first"][tier + 1] if tier + 1 < len(lookups.kinds) else len(lookups.tiers)
    lookups.tiers["s_per_byte"][kind.first : end] = 1.0 / bytes_per_s
