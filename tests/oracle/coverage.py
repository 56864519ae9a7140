"""What happened in a run, so that tests can show that their worlds meet everything."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .controls import FailReplicas
from .finished import Finished
from .whole_worlds import WholeScenario


def seen_in(scenario: WholeScenario, finished: Finished) -> Counter[str]:
    """How often each thing of interest happened."""
    world, _, controls = scenario
    seen: Counter[str] = Counter()
    for (what, _), count in finished.counts.items():
        seen[what] += count
    for stay in finished.stays:
        task = stay.task
        seen[f"{'twin ' if task.is_twin else ''}{stay.fate}"] += 1
        seen["far"] += stay.replica.site != task.request.site
        seen["tried again and done"] += 0 < stay.attempt < 32 and stay.fate == "completed"
        seen["part done"] += task.part > 0 and stay.fate == "completed"
        seen["background done"] += task.request.is_background and stay.fate == "completed"
        seen["held and taken"] += (
            stay.attempt == 0 and stay.taken_s > task.request.stage_reached_s and task is task.request.tasks[0]
        )
        seen["lost in a batch"] += stay.fate == "lost" and stay.start_s <= stay.over_s
        seen["lost on the way"] += stay.fate == "lost" and np.isnan(stay.ready_s)
        seen["void on the way"] += stay.fate == "void" and np.isnan(stay.ready_s)
        seen["void in the queue"] += stay.fate == "void" and np.isnan(stay.start_s)
        seen["void in a batch"] += stay.fate == "void" and stay.start_s <= stay.over_s
        seen[f"router {task.stage.router} done"] += stay.fate == "completed"
        seen["many tries"] += 31 <= stay.attempt < 32
    for request in finished.requests:
        outcome = request.outcome
        kind = "background " if request.is_background else ""
        seen[f"{kind}{outcome.status}"] += 1
        seen[f"{kind}{outcome.status} after {outcome.cache[:3]}"] += outcome.cache != ""
        seen[outcome.cache] += 1
        seen[f"class {request.priority}"] += 1
        if request.unfinished and outcome.status == "rejected":
            seen["refused after a part was taken"] += any(
                stay.task.request is request for stay in finished.stays[-200:]
            )
        seen["waits for a background request"] += sum(len(each.waiting) for each in [request] if request.is_background)
        seen["answer lost or stuck"] += (
            outcome.status == "failed" and not request.unfinished and bool(outcome.stage_slot)
        )
        seen["failed before any stage"] += outcome.status == "failed" and not outcome.stage_slot
        seen["answer long on its way"] += outcome.done_s > outcome.over_s + world.hop_delay_s
    for result_cache in finished.caches:
        if result_cache is not None:
            for level in result_cache.levels:
                for instance in level:
                    seen.update({f"cache {what}": count for what, count in instance.counts.items()})
    links = [*finished.network.links.values(), *finished.network.access_in, *finished.network.access_out]
    seen["link lost"] += sum(link.lost for link in links if link is not None)
    of_two_rates = [link for link in links if link is not None and 0 < link.small < link.server.count]
    seen["link with small and large payloads"] += len(of_two_rates)
    seen["busy tier"] += sum(server.busy_s > 0 for server in finished.tiers.servers.values())
    seen.update(type(control).__name__ for control in controls)
    seen["failed together"] += sum(len(c.slots) > 1 for c in controls if isinstance(c, FailReplicas))
    seen["failed at an instant of others"] += sum(
        any(c.time_s in (stay.end_s, stay.ready_s, stay.taken_s) for stay in finished.stays)
        for c in controls
        if isinstance(c, FailReplicas)
    )
    seen.update(f"router {stage.router}" for stage in world.stages)
    return seen


EXPECTED = """
    arrived, completed, rejected, failed, slo_met, budget_met, class 0, class 1, class 2, class 3,
    expired, lost, retried, tried again and done, many tries, part done, refused after a part was taken,
    hedged, hedges_won, twin completed, twin void, twin lost, held and taken, far,
    lost in a batch, lost on the way, void on the way, void in the queue, void in a batch,
    router least_outstanding done, router round_robin done, router weighted done, router power_of_two done,
    router consistent_hash done, router locality done, router function done,
    hit 0, hit 1, hit 2, wait, miss, completed after hit, failed after hit, completed after wai, rejected after wai,
    failed after wai, cache coalesced, cache refreshed, cache prefetched, cache hits, cache misses, cache expired,
    background started, background ended, background completed, background rejected, background failed,
    background done, waits for a background request,
    link lost, link with small and large payloads, answer lost or stuck, failed before any stage,
    answer long on its way, busy tier,
    FailReplicas, SetLink, SetAccess, SetSlowness, SetTierRate, SetLookup, ClearCaches,
    failed together, failed at an instant of others
"""


def unseen(seen: Counter[str]) -> list[str]:
    """What should have happened somewhere, and did not."""
    return [name.strip() for name in EXPECTED.split(",") if seen[name.strip()] == 0]
