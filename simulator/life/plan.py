"""What a scenario says of the life of its fleet: plain data, numbered like the arrays of the run."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Image", "Job", "Life", "Outage", "Refresh", "Risk"]


@dataclass(frozen=True)
class Image:
    """A container image, pulled over the store to each node that runs it."""

    name: str
    size_bytes: float


@dataclass(frozen=True, order=True)
class Outage:
    """Something does not work, or works badly, from ``at_s`` to before ``until_s``.

    Attributes
    ----------
    kind
        ``node``, ``slow_node``, ``spot``, ``link``, ``access``, ``store`` or ``cache``.
    target
        ``(node,)``, ``(from site, to site)``, ``(site, 0 in or 1 out)``, ``(site,)``, or nothing.
    factor
        Of a slow node: batches take so many times as long. Of the store: the share of its bandwidth that is left.
    notice_s
        Of ``spot``: ``at_s`` is when notice is given, so long before the node goes.
    """

    at_s: float
    until_s: float
    kind: str
    target: tuple[int, ...] = ()
    factor: float = 0.0
    notice_s: float = 0.0


@dataclass(frozen=True)
class Risk:
    """Random outages of one thing: it works for an exponential time of mean ``mtbf_s``, and is out for one of mean
    ``mttr_s``, again and again (an alternating renewal process)."""

    kind: str
    target: tuple[int, ...]
    name: str
    """What its stream of random numbers is seeded by."""
    mtbf_s: float
    mttr_s: float
    factor: float = 0.0
    notice_s: float = 0.0


@dataclass(frozen=True)
class Refresh:
    """New weights for a variant, every ``period_s``, at most ``max_unavailable`` replicas at a time.

    ``in_place``: the new weights are read beside the old ones where the node has room for both; else, and where it has
    not, a new replica comes before the old one leaves, or after it where there is no room.
    """

    variant: int
    period_s: float
    first_s: float
    max_unavailable: int = 1
    in_place: bool = False


@dataclass(frozen=True)
class Job:
    """Work beside serving: ``gpu_s`` GPU-seconds on ``gpus`` whole GPUs of one node.

    It takes what serving leaves free on nodes that are open, and gives way; or, with ``own_node``, opens a node of its
    own and keeps it to the end. An online update is a job that comes anew every ``period_s``.

    Attributes
    ----------
    first_s, period_s
        When it is ready to run first, and again; period 0: once.
    gpus
        0: the job only moves bytes, from a place outside the cluster.
    need
        ``[resource]`` on its node.
    checkpoint_gpu_s
        Work between checkpoints; what was done since the last one is lost when the job gives way. 0: no checkpoints.
    start_s
        From getting its GPUs to the read of its data.
    read_bytes, write_bytes, checkpoint_bytes
        Over the store: at each start, at the end, and at each checkpoint (work stops meanwhile).
    """

    name: str
    gpus: int
    gpu_s: float
    node_types: tuple[int, ...]
    need: tuple[float, ...]
    first_s: float = 0.0
    period_s: float = 0.0
    checkpoint_gpu_s: float = 0.0
    start_s: float = 0.0
    read_bytes: float = 0.0
    write_bytes: float = 0.0
    checkpoint_bytes: float = 0.0
    own_node: bool = False


@dataclass(frozen=True)
class Life:
    """The life of a fleet; as it stands here, nothing ever happens to it.

    Attributes
    ----------
    images
        Of each variant, ``[variant]`` (None, or shorter: it has none to pull).
    replaces_at_once
        Replicas that were lost are placed anew as soon as there is room, not only at the next decision.
    evicts
        Replicas of services of lower priority leave where those of higher priority find no room.
    outages
        Stated ones.
    risks
        Random ones.
    slowed_tiers
        Tiers of embedding rows that slow down with the store.
    least_tier_share
        Of their bandwidth that is left to them at worst: a batch that has begun must end.
    """

    images: tuple[Image | None, ...] = ()
    replaces_at_once: bool = False
    evicts: bool = False
    outages: tuple[Outage, ...] = ()
    risks: tuple[Risk, ...] = ()
    refreshes: tuple[Refresh, ...] = ()
    jobs: tuple[Job, ...] = ()
    slowed_tiers: tuple[int, ...] = ()
    least_tier_share: float = 0.01
    weights: tuple[float, ...] = field(default=())
    """``[service]`` fair shares; empty: all alike."""
    priorities: tuple[int, ...] = field(default=())
    """``[service]``, 0 is the highest; empty: all alike."""

    def image_of(self, variant: int) -> Image | None:
        """The image that a variant's containers run."""
        return self.images[variant] if variant < len(self.images) else None
