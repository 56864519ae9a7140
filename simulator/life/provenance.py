"""What a scenario's life of the fleet assumes, in the sentences that every report prints."""

from __future__ import annotations

from simulator.life.plan import Life

__all__ = ["life_assumptions"]


def life_assumptions(life: Life) -> list[str]:
    """One sentence for each kind of thing that happens; none where nothing does."""
    lines = []
    kinds = {risk.kind for risk in life.risks}
    if kinds:
        words = {
            "node": "nodes",
            "slow_node": "stragglers",
            "spot": "spot nodes",
            "link": "links",
            "store": "the store",
        }
        some = ", ".join(word for kind, word in words.items() if kind in kinds)
        lines.append(f"Random outages ({some}) are exponential with the scenario file's means, each for itself; "
                     "every policy meets the same ones.")  # fmt: skip
    if life.outages:
        stated = len(life.outages)
        lines.append(f"{stated} {'outage is' if stated == 1 else 'outages are'} stated in the scenario file.")
    if any(image is not None for image in life.images):
        lines.append("Image sizes are inputs of the scenario file; a node keeps its images while it is open.")
    if life.refreshes:
        lines.append("Model refreshes change weights and nothing else: latency and accuracy stay as profiled.")
    if life.jobs:
        lines.append("Jobs beside serving take whole idle GPUs and slow serving only by what they move over the "
                     "store; they give way at once.")  # fmt: skip
    return lines
