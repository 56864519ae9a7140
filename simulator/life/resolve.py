"""From the section ``life`` of a scenario file to the plan of a run: names become numbers, units become seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from simulator.cluster import GIB, RESOURCES, Cluster
from simulator.life.plan import Image, Job, Life, Outage, Refresh, Risk
from simulator.scenario_life import FailureFile, ImageFile, JobFile, LifeFile
from simulator.service import Service
from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.scenario_reading import Place, Reading

__all__ = ["at_spot_prices", "node_names", "resolve_life", "site_names", "variant_names"]

H, MIN, GBYTE = 3600.0, 60.0, 1e9


def node_names(cluster: Cluster) -> tuple[str, ...]:
    """``[node]`` names, as ``gpu/3``: type, and number within it."""
    return tuple(f"{kind.name}/{i}" for kind in cluster.node_types for i in range(kind.count))


def site_names(cluster: Cluster) -> tuple[str, ...]:
    """``[site]`` names."""
    return cluster.network.names


def variant_names(services: Iterable[Service]) -> tuple[str, ...]:
    """``[variant]`` names, as ``service/stage/variant``."""
    return tuple(f"{s.name}/{stage.name}/{v.name}" for s in services for stage in s.stages for v in stage.variants)


def at_spot_prices(cluster: Cluster, file: LifeFile) -> Cluster:
    """The cluster, with spot node types at their prices."""
    factor = {spot.node_type: spot.price_factor for spot in file.spot}
    kinds = (replace(n, price_usd_per_hour=n.price_usd_per_hour * factor.get(n.name, 1.0)) for n in cluster.node_types)
    return replace(cluster, node_types=tuple(kinds))


def resolve_life(reading: Reading, file: LifeFile, cluster: Cluster, services: Sequence[Service]) -> Life:
    """The life of the fleet.

    Raises
    ------
    InputError
        At a name that the scenario does not have, or something stated twice.
    """
    return _Resolver(reading, file, cluster, services).life()


def _fits(need: np.ndarray, capacity: np.ndarray) -> bool:
    """Whether an empty node has what a job needs, whose memory lies on its GPUs in equal parts."""
    gpu, gpu_memory = RESOURCES.index("gpu"), RESOURCES.index("gpu_memory")
    on_gpus = need[gpu] / capacity[gpu] * capacity[gpu_memory] if capacity[gpu] else 0.0
    return bool((need <= capacity).all() and need[gpu_memory] <= on_gpus * (1.0 + 1e-9))


class _Resolver:
    def __init__(self, reading: Reading, file: LifeFile, cluster: Cluster, services: Sequence[Service]) -> None:
        self._reading, self._file, self._cluster, self._services = reading, file, cluster, services
        self._nodes = node_names(cluster)
        self._types = tuple(n.name for n in cluster.node_types)
        self._variants = variant_names(services)
        self._network = cluster.network
        self._sites = site_names(cluster)
        self._first = np.cumsum(cluster.count) - cluster.count

    def life(self) -> Life:
        file = self._file
        self._reading.refuse_twins(("life", "jobs"), [job.name for job in file.jobs])
        failures = [self._failure(("life", "failures", i), failure) for i, failure in enumerate(file.failures)]
        return Life(
            images=self._images(file.images),
            replaces_at_once=file.replace == "at_once",
            evicts=file.evict_lower_priority,
            outages=tuple(failures),
            risks=tuple(self._risks()),
            refreshes=tuple(self._refreshes()),
            jobs=tuple(self._job(("life", "jobs", i), job) for i, job in enumerate(file.jobs)),
            slowed_tiers=self._tiers(),
            weights=tuple(s.weight for s in self._services),
            priorities=self._priorities(),
        )

    def _index(self, place: Place, names: Sequence[str], name: str, what: str) -> int:
        if name not in names:
            known = ", ".join(names) if what != "node" else self._ranges()
            fix = f"use one of {known}" if names else f"the scenario has no {what}s: leave it out"
            raise InputError(self._reading.where(*place), f"there is no {what} '{name}'", fix)
        return names.index(name)

    def _ranges(self) -> str:
        return ", ".join(f"{n.name}/0 to {n.name}/{n.count - 1}" for n in self._cluster.node_types)

    # --- containers, refreshes, jobs, tenants ----------------------------------------------------------

    def _images(self, files: list[ImageFile]) -> tuple[Image | None, ...]:
        self._reading.refuse_twins(("life", "images"), [image.name for image in files])
        images: list[Image | None] = [None] * len(self._variants)
        for i, file in enumerate(files):
            for j, name in enumerate(file.variants):
                place = ("life", "images", i, "variants", j)
                v = self._index(place, self._variants, name, "variant")
                if images[v] is not None:
                    raise InputError(self._reading.where(*place), f"'{name}' has an image already", "name it once")
                images[v] = Image(file.name, file.gbyte * GBYTE)
        for_all = [i for i, file in enumerate(files) if not file.variants]
        if len(for_all) > 1:
            raise InputError(self._reading.where("life", "images", for_all[1]),
                             "a second image for all variants", "name its variants")  # fmt: skip
        if for_all:
            rest = Image(files[for_all[0]].name, files[for_all[0]].gbyte * GBYTE)
            images = [image or rest for image in images]
        return tuple(images)

    def _refreshes(self) -> Iterable[Refresh]:
        self._reading.refuse_twins(("life", "refreshes"), [r.variant for r in self._file.refreshes])
        for i, file in enumerate(self._file.refreshes):
            variant = self._index(("life", "refreshes", i, "variant"), self._variants, file.variant, "variant")
            first_min = file.period_min if file.first_min is None else file.first_min
            yield Refresh(variant, file.period_min * MIN, first_min * MIN, file.max_unavailable, file.how == "in_place")

    def _job(self, place: Place, file: JobFile) -> Job:
        kinds = [self._index((*place, "node_types", j), self._types, n, "node type")
                 for j, n in enumerate(file.node_types)]  # fmt: skip
        need = {"gpu": float(file.gpus), "gpu_memory": file.gpu_memory_gib * GIB, "cpu": file.cpu_cores,
                "memory": file.memory_gib * GIB}  # fmt: skip
        amounts = np.array([need.get(resource, 0.0) for resource in RESOURCES])
        fits = [n for n, kind in enumerate(self._cluster.node_types) if _fits(amounts, kind.capacity)]
        if kinds:
            fits = [n for n in kinds if n in fits]
        if file.gpus and not fits:
            raise InputError(self._reading.where(*place), f"job '{file.name}' fits no node it may run on",
                             "ask for less, or name other node_types")  # fmt: skip
        return Job(
            name=file.name,
            gpus=file.gpus,
            gpu_s=file.work_gpu_h * H,
            node_types=tuple(fits),
            need=tuple(amounts.tolist()),
            first_s=file.first_min * MIN,
            period_s=(file.period_min or 0.0) * MIN,
            checkpoint_gpu_s=(file.checkpoint_every_gpu_min or 0.0) * MIN,
            start_s=file.start_s,
            read_bytes=file.read_gbyte * GBYTE,
            write_bytes=file.write_gbyte * GBYTE,
            checkpoint_bytes=file.checkpoint_gbyte * GBYTE,
            own_node=file.own_node,
        )

    def _priorities(self) -> tuple[int, ...]:
        names = [service.name for service in self._services]
        for name in self._file.priorities:
            self._index(("life", "priorities", name), names, name, "service")
        return tuple(self._file.priorities.get(name, 0) for name in names)

    def _tiers(self) -> tuple[int, ...]:
        tiers = self._cluster.tiers
        if self._file.store_tiers is None:
            return tuple(i for i, tier in enumerate(tiers) if tier.is_shared)
        shared = [i for i, tier in enumerate(tiers) if tier.is_shared]
        names = [tiers[i].name for i in shared]
        places = [self._index(("life", "store_tiers", i), names, name, "shared tier")
                  for i, name in enumerate(self._file.store_tiers)]  # fmt: skip
        return tuple(shared[place] for place in places)

    # --- failures --------------------------------------------------------------------------------------

    def _failure(self, place: Place, file: FailureFile) -> Outage:
        until_s = file.at_s + (file.lasts_s or 0.0)
        if file.cache is not None:
            everywhere = file.cache == "all"
            sites = () if everywhere else (self._index((*place, "cache"), self._sites, file.cache, "site"),)
            return Outage(file.at_s, until_s, "cache", sites)
        if file.node is not None:
            node = self._index((*place, "node"), self._nodes, file.node, "node")
            kind = "node" if file.slow_factor is None else "slow_node"
            return Outage(file.at_s, until_s, kind, (node,), file.slow_factor or 0.0)
        if file.link is not None:
            return Outage(file.at_s, until_s, "link", self._link((*place, "link"), file.link))
        for way, name in enumerate((file.access_in, file.access_out)):
            if name is not None:
                place = (*place, ("access_in", "access_out")[way])
                site = self._index(place, self._sites, name, "site")
                if self._network.sites[site].access_in is None:
                    raise InputError(self._reading.where(*place), f"site '{name}' has no access link",
                                     "give the site 'access', or leave this out")  # fmt: skip
                return Outage(file.at_s, until_s, "access", (site, way))
        assert file.store_share is not None
        return Outage(file.at_s, until_s, "store", (), file.store_share)

    def _link(self, place: Place, names: list[str]) -> tuple[int, int]:
        a, b = (self._index((*place, i), self._sites, name, "site") for i, name in enumerate(names))
        if (a, b) not in self._network.links:
            raise InputError(self._reading.where(*place), f"there is no link from '{names[0]}' to '{names[1]}'",
                             "name a link of cluster.links, in its direction")  # fmt: skip
        return a, b

    def _risks(self) -> Iterable[Risk]:
        risks, place = self._file.risks, ("life", "risks")
        for kind in ("nodes", "stragglers"):
            self._reading.refuse_twins((*place, kind), [r.node_type for r in getattr(risks, kind)])
        for i, risk in enumerate(risks.nodes):
            for node, name in self._each((*place, "nodes", i, "node_type"), risk.node_type):
                yield Risk("node", (node,), name, risk.mtbf_h * H, risk.mttr_min * MIN)
        for i, slow in enumerate(risks.stragglers):
            well_s = slow.lasts_min * MIN * (1.0 - slow.share) / slow.share
            for node, name in self._each((*place, "stragglers", i, "node_type"), slow.node_type):
                yield Risk("slow_node", (node,), name, well_s, slow.lasts_min * MIN, slow.factor)
        for i, link in enumerate(risks.links):
            ends = self._link((*place, "links", i, "link"), link.link)
            yield Risk("link", ends, "->".join(link.link), link.mtbf_h * H, link.mttr_min * MIN)
        if risks.store is not None:
            yield Risk("store", (), "store", risks.store.mtbf_h * H, risks.store.mttr_min * MIN, risks.store.share_left)
        self._reading.refuse_twins(("life", "spot"), [spot.node_type for spot in self._file.spot])
        for i, spot in enumerate(self._file.spot):
            for node, name in self._each(("life", "spot", i, "node_type"), spot.node_type):
                yield Risk("spot", (node,), name, spot.mean_life_h * H, spot.mean_away_min * MIN,
                           notice_s=spot.notice_s)  # fmt: skip

    def _each(self, place: Place, node_type: str) -> Iterable[tuple[int, str]]:
        n = self._index(place, self._types, node_type, "node type")
        for node in range(int(self._first[n]), int(self._first[n]) + int(self._cluster.count[n])):
            yield node, self._nodes[node]
