"""Sites and links of a scenario: what the file says of them, and what the data plane makes of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from simulator.cluster import Network
from simulator.plan import LinkPlan, SitePlan
from simulator.scenario_fields import Name, NotNegative, Positive, Section
from simulator.scenario_reading import Reading
from workloads.errors import InputError

__all__ = ["CompressionFile", "EncryptionFile", "LineFile", "LinkFile", "SiteFile", "SmallFile", "resolve_network"]

BITS = 8


class CompressionFile(Section):
    """Payloads are compressed at one end of a link and decompressed at the other, one after the other."""

    ratio: Annotated[float, Field(gt=0, le=1)] = Field(description="bytes on the wire over bytes given")
    compress_gbyte_per_s: Positive = Field(description="of bytes given")
    decompress_gbyte_per_s: Positive = Field(description="of bytes given back")


class EncryptionFile(Section):
    """Payloads are encrypted, as they are on the wire, at one end of a link and decrypted at the other."""

    gbyte_per_s: Positive = Field(description="of one end; both take their time")
    us_per_message: NotNegative = Field(0.0, description="of both ends together")


class SmallFile(Section):
    """Payloads that a network sends by another protocol than larger ones."""

    below_kbyte: Positive = Field(description="of a payload on the wire")
    bandwidth_gbit_per_s: Positive
    us_per_message: NotNegative = Field(0.0, description="in place of the line's")


class LineFile(Section):
    """One way over a network: payloads pass one after the other, and arrive a delay later."""

    bandwidth_gbit_per_s: Positive
    delay_ms: NotNegative = Field(0.0, description="until what was sent is there")
    us_per_message: NotNegative = Field(0.0, description="that a payload takes the line, whatever its size")
    small: SmallFile | None = None
    compression: CompressionFile | None = None
    encryption: EncryptionFile | None = None

    def plan(self) -> LinkPlan:
        """The same in seconds and bytes; see `_busy`."""
        busy = self._busy(self.bandwidth_gbit_per_s, self.us_per_message)
        if self.small is None:
            return LinkPlan(*busy, self.delay_ms / 1e3)
        small_bytes = self.small.below_kbyte * 1e3 / (1.0 if self.compression is None else self.compression.ratio)
        of_small = self._busy(self.small.bandwidth_gbit_per_s, self.small.us_per_message)
        return LinkPlan(*busy, self.delay_ms / 1e3, small_bytes, *of_small)

    def _busy(self, bandwidth_gbit_per_s: float, us_per_message: float) -> tuple[float, float]:
        """Seconds for a byte given, and for a message: compress + ratio / bandwidth + decompress + encrypt, decrypt."""
        ratio, s_per_byte, s_per_message = 1.0, 0.0, us_per_message * 1e-6
        if self.compression is not None:
            ratio = self.compression.ratio
            s_per_byte += 1e-9 / self.compression.compress_gbyte_per_s
            s_per_byte += 1e-9 / self.compression.decompress_gbyte_per_s
        s_per_byte += ratio * BITS / (bandwidth_gbit_per_s * 1e9)
        if self.encryption is not None:
            s_per_byte += 2.0 * ratio * 1e-9 / self.encryption.gbyte_per_s
            s_per_message += self.encryption.us_per_message * 1e-6
        return s_per_byte, s_per_message


class SiteFile(Section):
    """A place where nodes stand and users are at home."""

    name: Name
    access: LineFile | None = Field(None, description="between its users and it, each way; else nothing is in between")
    access_out: LineFile | None = Field(None, description="from it to its users, where that differs")

    @model_validator(mode="after")
    def _the_way_in_first(self) -> SiteFile:
        if self.access_out is not None and self.access is None:
            raise ValueError("access_out says how the way back differs from 'access', which is missing: add it")
        return self


class LinkFile(LineFile):
    """A link from one site to another, and one like it back."""

    between: Annotated[list[Name], Field(min_length=2, max_length=2)] = Field(description="the two sites")
    one_way: bool = Field(False, description="only from the first to the second")


def resolve_network(reading: Reading, sites: list[SiteFile], links: list[LinkFile]) -> Network:
    """The network; a file that names no sites has one, which users reach at once.

    Raises
    ------
    InputError
        Two sites of one name, a link of a site that there is not, or two links for one way.
    """
    if not sites:
        if links:
            raise InputError(reading.where("cluster", "links"), "there are links but no sites", "add cluster.sites")
        return Network()
    names = [site.name for site in sites]
    reading.refuse_twins(("cluster", "sites"), names)
    plans: dict[tuple[int, int], LinkPlan] = {}
    for i, link in enumerate(links):
        where = reading.where("cluster", "links", i)
        for end in link.between:
            if end not in names:
                raise InputError(where, f"there is no site '{end}'", f"use one of {', '.join(names)}")
        there = (names.index(link.between[0]), names.index(link.between[1]))
        if there[0] == there[1]:
            raise InputError(where, f"a link from '{link.between[0]}' to itself", "name two sites")
        for way in (there,) if link.one_way else (there, there[::-1]):
            if way in plans:
                raise InputError(
                    where, f"a second link from '{names[way[0]]}' to '{names[way[1]]}'", "keep one of them"
                )
            plans[way] = link.plan()
    return Network(tuple(names), tuple(_site(site) for site in sites), plans)


def _site(file: SiteFile) -> SitePlan:
    if file.access is None:
        return SitePlan()
    return SitePlan(file.access.plan(), (file.access_out or file.access).plan())
