"""Whether requests can go where a scenario sends them: from home, stage by stage, and back."""

from __future__ import annotations

from simulator.cluster import Cluster
from simulator.scenario_reading import Reading
from simulator.service import Service, Stage
from workloads.errors import InputError

__all__ = ["refuse_dead_ends"]


def refuse_dead_ends(reading: Reading, services: tuple[Service, ...], cluster: Cluster) -> None:
    """An `InputError` where a router may send a request to a site from which no replica of its next stage, or no way
    home, can be reached whatever a policy does."""
    names, links = cluster.network.names, set(cluster.network.links)
    if len(names) == 1:
        return
    for i, service in enumerate(services):
        for home, share in enumerate(service.plan.home_shares):
            if share == 0.0:
                continue
            at = {home}
            for k, stage in enumerate(service.stages):
                holders = _sites_of(stage, cluster)
                for start in sorted(at):
                    if not any(start == to or (start, to) in links for to in holders):
                        raise InputError(
                            reading.where("services", i, "stages", k),
                            f"requests from {names[home]} may come to {names[start]}, from where no node type for "
                            f"stage {stage.name} can be reached",
                            "add a link, or a variant or node type for it there",
                        )
                at = {to for start in at for to in holders if start == to or (start, to) in links}
            for end in sorted(at):
                if end != home and (end, home) not in links:
                    raise InputError(
                        reading.where("services", i, "stages", len(service.stages) - 1),
                        f"requests from {names[home]} may end at {names[end]}, from where no link leads home",
                        "add a link, even if it is a slow one",
                    )


def _sites_of(stage: Stage, cluster: Cluster) -> set[int]:
    """Sites with a node type that can run a variant of the stage."""
    return {
        node.site
        for node in cluster.node_types
        for v in stage.variants
        if node.speed_of(v.profile.device) > 0 and v.shortage_on(node) is None
    }
