"""What a scenario assumes of the request path: networks, users, caches, tiers and shared GPUs, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.scenario import Scenario
    from simulator.scenario_embedding import EmbeddingFile
    from simulator.scenario_network import LineFile
    from simulator.service import Service, Variant

__all__ = ["path_assumptions"]


def path_assumptions(scenario: Scenario) -> list[str]:
    """All of them; empty for a scenario of one site, without caches, tiers and shared GPUs."""
    return [*_network(scenario), *_tiers(scenario), *(line for s in scenario.services for line in _service(s))]


def _network(scenario: Scenario) -> Iterator[str]:
    cluster = scenario.file.cluster
    for site in cluster.sites:
        if site.access is not None:
            yield f"Access to {site.name}: {_line(site.access)}."
        if site.access_out is not None:
            yield f"Access from {site.name}: {_line(site.access_out)}."
    for link in cluster.links:
        both = "" if link.one_way else ", and back"
        yield f"Link {link.between[0]} to {link.between[1]}: {_line(link)}{both}."
    if cluster.sites:
        yield "Latency budgets of stages, and the throughputs that follow from them, know no links between sites."


def _line(line: LineFile) -> str:
    text = f"{line.bandwidth_gbit_per_s:g} Gbit/s, {line.delay_ms:g} ms"
    if line.us_per_message:
        text += f", {line.us_per_message:g} us a message"
    if line.small is not None:
        text += (
            f" (below {line.small.below_kbyte:g} kB {line.small.bandwidth_gbit_per_s:g} Gbit/s "
            f"and {line.small.us_per_message:g} us a message)"
        )
    if line.compression is not None:
        of = line.compression
        text += (
            f", payloads compressed to {of.ratio:g} at {of.compress_gbyte_per_s:g} GB/s "
            f"and back at {of.decompress_gbyte_per_s:g} GB/s"
        )
    if line.encryption is not None:
        of_one = line.encryption
        text += f", encrypted at {of_one.gbyte_per_s:g} GB/s and {of_one.us_per_message:g} us a message"
    return text


def _tiers(scenario: Scenario) -> Iterator[str]:
    for tier in scenario.cluster.tiers:
        whose = "one for all nodes" if tier.is_shared else "one for each node"
        yield (
            f"Embedding tier {tier.name}: {tier.bytes_per_s / 1e9:g} GB/s, {tier.delay_s * 1e6:g} us a batch, {whose}."
        )


def _service(service: Service) -> Iterator[str]:
    plan = service.plan
    names = dict(zip(service.class_names, plan.class_shares))
    if len(names) > 1:
        yield f"Priorities of {service.name}: {_shares(names)}, drawn by user."
    if service.home_shares:
        yield f"Homes of the users of {service.name}: {_shares(service.home_shares)}, drawn by user."
    if plan.bytes_out:
        yield f"Answers of {service.name} have {plan.bytes_out:g} bytes."
    if service.planned_hit_share:
        yield (
            f"Plans made before the run leave {_percent(service.planned_hit_share)} of the requests of {service.name} "
            "to its cache."
        )
    if service.preload_keys:
        yield (
            f"The caches of {service.name} start with the hottest {service.preload_keys} keys of "
            f"{service.preload_seen_s:g} s of requests drawn like the run's (of a trace from a file: the run's own)."
        )
    for stage in service.stages:
        for variant in stage.variants:
            yield from _variant(f"{service.name}/{stage.name}/{variant.name}", variant)


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{_percent(share)} {name}" for name, share in shares.items() if share)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _variant(name: str, variant: Variant) -> Iterator[str]:
    if variant.gpu_share < 1.0:
        yield (
            f"{name} claims {variant.gpu_share:g} of a GPU: plans count on what it serves while all "
            f"{variant.most_on_gpu} replicas of a full GPU are busy."
        )
    if variant.embedding is not None:
        yield f"{name}: {_rows(variant.embedding)}."


def _rows(file: EmbeddingFile) -> str:
    text = (
        f"{file.rows:,.0f} embedding rows of {file.row_bytes:g} bytes, {file.lookups_per_unit:g} a unit, popular by a "
        f"Zipf law of exponent {file.zipf_s:g}; {file.device_gib:g} GiB of them on the device, "
        f"{file.dram_gib:g} in DRAM, {file.ssd_gib:g} on disks, the others remote"
    )
    if file.compression is not None:
        text += f"; stored at {file.compression.ratio:g} of their size"
    if file.shards > 1:
        text += f"; spread over {file.shards} nodes"
    if file.drift_rows_per_hour:
        placed = "once" if file.placed_every_h is None else f"every {file.placed_every_h:g} h, at once and for nothing,"
        text += f"; placed {placed} while popularity moves by {file.drift_rows_per_hour:g} ranks an hour"
    return text
