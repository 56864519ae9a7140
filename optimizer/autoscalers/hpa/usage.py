"""Metrics of a workload's pods added up, which is all that the replica calculator needs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optimizer.autoscalers.hpa.pods import Pod, PodGroups, Sample

__all__ = ["NoProposalError", "PodUsage", "add_up"]


class NoProposalError(Exception):
    """A metric from which no number of replicas follows."""


@dataclass(frozen=True)
class PodUsage:
    """Sums over pods; requests are 0 where the metric has nothing to do with them.

    Attributes
    ----------
    ready, value_milli, request_milli
        Pods that count, their metric and their requests.
    unready, unready_request_milli
        Pods that do not serve yet.
    missing_request_milli
        Request of each pod without a metric.
    unknown, unknown_value_milli
        Samples of pods that the workload does not have.
    """

    ready: int
    value_milli: int
    request_milli: int = 0
    unready: int = 0
    unready_request_milli: int = 0
    missing_request_milli: tuple[int, ...] = ()
    unknown: int = 0
    unknown_value_milli: int = 0

    @property
    def missing(self) -> int:
        return len(self.missing_request_milli)

    @property
    def samples(self) -> int:
        """Metrics at hand, those of unknown pods too."""
        return self.ready + self.unknown


def add_up(pods: Sequence[Pod], groups: PodGroups, samples: Mapping[str, Sample], *, of_requests: bool) -> PodUsage:
    """The sums of grouped pods.

    Parameters
    ----------
    of_requests
        Whether the metric is a share of what pods request; each must then request something.

    Raises
    ------
    NoProposalError
        If there is no pod, no metric of one that counts, or a request is missing.
    """
    if not pods:
        raise NoProposalError("no pods returned by selector while calculating replica count")
    request_milli = {pod.name: pod.request_milli or 0 for pod in pods}
    unknown = [sample.value_milli for name, sample in samples.items() if name not in request_milli]
    if not groups.ready and not unknown:
        raise NoProposalError("did not receive metrics for targeted pods (pods might be unready)")
    lacking = [pod.name for pod in pods if pod.request_milli is None]
    if of_requests and lacking:
        raise NoProposalError(f"missing request of pod {lacking[0]}")
    return PodUsage(
        ready=len(groups.ready),
        value_milli=sum(samples[name].value_milli for name in groups.ready),
        request_milli=sum(request_milli[name] for name in groups.ready),
        unready=len(groups.unready),
        unready_request_milli=sum(request_milli[name] for name in groups.unready),
        missing_request_milli=tuple(request_milli[name] for name in groups.missing),
        unknown=len(unknown),
        unknown_value_milli=sum(unknown),
    )
