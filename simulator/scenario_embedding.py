"""Embedding rows outside the device: tiers of the cluster, and what a variant's batches read of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.cluster import GIB
from simulator.plan import TierPlan
from simulator.scenario_fields import NotNegative, NumberOf, Positive, Section
from simulator.scenario_reading import Place, Reading
from workloads.errors import InputError

__all__ = [
    "TIER_NAMES",
    "EmbeddingFile",
    "RowCompressionFile",
    "TierFile",
    "TiersFile",
    "refuse_rows_without_place",
    "resolve_tiers",
]

TIER_NAMES = ("dram", "ssd", "remote")
"""Tiers outside the device, in the order in which rows fill them; `remote` is one for all nodes."""


class TierFile(Section):
    """A place of embedding rows that serves one batch after the other."""

    gbyte_per_s: Positive = Field(description="of random reads of rows, not of long ones")
    delay_us: NotNegative = 0.0


class TiersFile(Section):
    """Tiers outside the devices; one that is left out holds no rows."""

    dram: TierFile | None = Field(None, description="memory of a node; one for each node")
    ssd: TierFile | None = Field(None, description="disks of a node; one for each node")
    remote: TierFile | None = Field(None, description="a store for all nodes together")


class RowCompressionFile(Section):
    """Rows are stored smaller than they are used, outside the device."""

    ratio: Annotated[float, Field(gt=0, le=1)] = Field(description="bytes stored over bytes used")
    decode_gbyte_per_s: Positive = Field(description="of bytes used, in one replica")


class EmbeddingFile(Section):
    """Tables larger than the device: the most popular rows stay there, others lie in tiers in order of popularity."""

    rows: NumberOf = Field(description="of all tables together")
    row_bytes: Positive
    lookups_per_unit: Positive = Field(description="rows that one request or item of a batch reads")
    zipf_s: NotNegative = Field(description="exponent of the Zipf law over rows; 0: all alike")
    device_gib: NotNegative = Field(description="of the device's own memory (HBM; of a CPU, its node's) for rows")
    dram_gib: NotNegative = Field(0.0, description="of a node's memory for rows, for each replica")
    ssd_gib: NotNegative = Field(0.0, description="of a node's disks for rows, for each replica")
    shards: NumberOf = Field(1, description="nodes over which the rows outside remote storage are spread")
    compression: RowCompressionFile | None = None
    drift_rows_per_hour: NotNegative = Field(0.0, description="ranks that rows lose in an hour, as new ones come up")
    placed_every_h: Positive | None = Field(
        None, description="the device's rows are placed anew by popularity; else they stay those of the start"
    )

    def age_s(self, now_s: float) -> float:
        """Time since the rows on the device were placed."""
        return now_s if self.placed_every_h is None else now_s % (3600.0 * self.placed_every_h)

    def oldest_s(self, duration_s: float) -> float:
        """The longest such time within a run."""
        return duration_s if self.placed_every_h is None else min(3600.0 * self.placed_every_h, duration_s)


def resolve_tiers(file: TiersFile | None) -> tuple[TierPlan, ...]:
    """The tiers that there are, in the order of `TIER_NAMES`."""
    given = [(name, getattr(file, name)) for name in TIER_NAMES if file is not None]
    return tuple(
        TierPlan(name, tier.gbyte_per_s * 1e9, tier.delay_us / 1e6, is_shared=name == "remote")
        for name, tier in given
        if tier is not None
    )


def refuse_rows_without_place(
    reading: Reading, place: Place, file: EmbeddingFile, on_gpu: bool, tiers: tuple[TierPlan, ...]
) -> None:
    """Every row needs a place, and every place that is claimed must be there.

    Raises
    ------
    InputError
        Memory or disks are given to rows and the cluster has no such tier, or rows are left over and there is no
        remote store.
    """
    names = {tier.name for tier in tiers}
    for tier, gib in (("dram", file.dram_gib), ("ssd", file.ssd_gib)):
        if gib and tier not in names:
            raise InputError(
                reading.where(*place, f"{tier}_gib"),
                f"{gib:g} GiB of rows in {tier}, but the cluster has no such tier",
                f"add {tier}: to cluster.tiers",
            )
    if file.dram_gib and not on_gpu:
        raise InputError(
            reading.where(*place, "dram_gib"),
            "the device is a CPU, whose own memory is the node's",
            "give its rows in device_gib",
        )
    ratio = 1.0 if file.compression is None else file.compression.ratio
    stored = file.rows * file.row_bytes
    held = (file.device_gib + (file.dram_gib + file.ssd_gib) / ratio) * GIB * file.shards
    if stored > held * (1.0 + 1e-9) and "remote" not in names:
        raise InputError(
            reading.where(*place),
            f"{file.rows} rows are {stored / GIB:.4g} GiB, and {held / GIB:.4g} have a place",
            "give them more, or add remote: to cluster.tiers",
        )
