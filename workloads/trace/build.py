"""From a scenario's ``trace:`` section to a trace: one function for each form."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from workloads.arrivals import ArrivalProcess, CountArrivals, RateCurve, RenewalArrivals, scaled_counts
from workloads.arrivals.spec import as_range
from workloads.data_folder import resolve_path
from workloads.errors import InputError
from workloads.importers.counts import read_counts
from workloads.importers.tables import origin_of
from workloads.trace.derived import RelabelledTrace, ScaledTrace, SpedUpTrace
from workloads.trace.generated import GeneratedTrace, Stream, named_generator
from workloads.trace.parquet import open_trace
from workloads.trace.spec import CountsSpec, RequestColumns, TraceSpec
from workloads.trace.types import Trace, TraceInfo

__all__ = ["from_counts", "from_file", "from_streams"]

_MODEL = "drawn from the scenario's models"


def from_streams(spec: TraceSpec, seed: int, services: tuple[str, ...]) -> Trace:
    """Streams drawn from models."""
    assert spec.streams is not None
    assert spec.duration_s is not None
    names = services or spec.service_names
    numbers: Counter[str] = Counter()
    streams: list[Stream] = []
    for index, stream in enumerate(spec.streams):
        numbers[stream.service] += 1
        name = stream.name or f"{stream.service}#{numbers[stream.service]}"
        if name in {other.name for other in streams}:
            raise InputError(f"trace.streams[{index}].name", f"{name!r} is taken", "give each stream its own name")
        arrivals = stream.arrivals.build(spec.duration_s, spec.start_hour or 0.0, spec.start_day or "monday")
        service = _service_index(stream.service, names, f"trace.streams[{index}].service")
        streams.append(_stream(name, service, arrivals, stream))
    info = TraceInfo(spec.name or "generated", names, spec.duration_s, _MODEL, "none needed", synthetic=True)
    return GeneratedTrace(info, streams, seed)


def from_counts(spec: TraceSpec, seed: int, services: tuple[str, ...], base_dir: Path) -> Trace:
    """Logged counts, replayed.

    Dividing a bin's requests among services by a multinomial draw, and placing each service's share in the
    bin independently, is in law the same as placing all and drawing each request's service.
    """
    counts = spec.counts
    assert counts is not None
    names = services or spec.service_names
    path = resolve_path(counts.file, base_dir)
    series = read_counts(path, counts.count_column, counts.time_column, counts.bin_s, counts.days, counts.where)
    scaled = scaled_counts(series.counts, counts.scale)
    if not scaled.sum():
        raise InputError(str(path), f"holds no request at scale {counts.scale:g}", "raise the scale")
    shares = np.array(list(counts.mix.values())) / sum(counts.mix.values())
    by_service = named_generator(seed, "mix").multinomial(scaled, shares)
    streams = []
    for column, service in enumerate(counts.mix):
        index = _service_index(service, names, "trace.counts.mix")
        arrivals: ArrivalProcess
        if counts.mode == "exact":
            arrivals = CountArrivals(by_service[:, column], series.bin_s)
        else:
            rates_rps = series.counts * (counts.scale * shares[column] / series.bin_s)
            arrivals = RenewalArrivals(RateCurve.steps(rates_rps, series.bin_s), counts.cv)
        streams.append(_stream(service, index, arrivals, counts.per_service.get(service, counts)))
    known_source, known_licence = origin_of(path)
    info = TraceInfo(
        name=spec.name or path.stem,
        services=names,
        duration_s=len(scaled) * series.bin_s,
        source=counts.source or known_source,
        licence=counts.licence or known_licence,
        synthetic=False,
        scale=counts.scale,
        notes=(*series.notes, *_count_notes(counts, series.bin_s)),
    )
    return _cropped(GeneratedTrace(info, streams, seed), spec)


def from_file(spec: TraceSpec, seed: int, services: tuple[str, ...], base_dir: Path) -> Trace:
    """A trace on disk: cropped, sped up, scaled, and its services renamed or divided, in that order."""
    assert spec.file is not None
    trace: Trace = open_trace(resolve_path(spec.file, base_dir))
    own = trace.info.services
    trace = _cropped(trace, spec)
    if spec.speed is not None and spec.speed != 1:
        trace = SpedUpTrace(trace, spec.speed)
    if spec.scale is not None and spec.scale != 1:
        spread_s = 60.0 if spec.spread_s is None else spec.spread_s
        trace = ScaledTrace(trace, spec.scale, seed, spread_s)
    if spec.mix is not None:
        if len(own) != 1:
            raise InputError("trace.mix", f"{spec.file} has services {', '.join(own)}", "use service_map instead")
        targets = {own[0]: dict(spec.mix)}
    else:
        for name in spec.service_map or {}:
            _service_index(name, own, f"trace.service_map of {spec.file}")
        targets = {name: {(spec.service_map or {}).get(name, name): 1.0} for name in own}
    wanted = tuple(dict.fromkeys(target for shares in targets.values() for target in shares))
    names = services or wanted
    for name in wanted:
        _service_index(name, names, f"trace.file {spec.file}", "rename it with service_map, or divide it with mix")
    if names != own or spec.mix is not None or spec.service_map:
        trace = RelabelledTrace(trace, names, targets, seed)
    if spec.name is not None:
        trace.info = replace(trace.info, name=spec.name)
    return trace


def _cropped(trace: Trace, spec: TraceSpec) -> Trace:
    if spec.start_s is None and spec.duration_s is None:
        return trace
    start_s = spec.start_s or 0.0
    end_s = trace.info.duration_s if spec.duration_s is None else start_s + spec.duration_s
    if end_s > trace.info.duration_s:
        raise InputError(
            "trace.duration_s",
            f"the crop ends at {end_s:g} s, {trace.info.name} at {trace.info.duration_s:g} s",
            "shorten it",
        )
    return trace.crop(start_s, end_s)


def _stream(name: str, service: int, arrivals: ArrivalProcess, columns: RequestColumns) -> Stream:
    return Stream(
        name=name,
        service=service,
        arrivals=arrivals,
        users=None if columns.users is None else columns.users.build(),
        catalogue=None if columns.catalogue is None else columns.catalogue.build(),
        items=as_range(columns.items),
        bytes_in=as_range(columns.bytes_in),
    )


def _count_notes(counts: CountsSpec, bin_s: float) -> list[str]:
    if counts.mode == "exact":
        notes = [f"assumed: times within each bin of {bin_s:g} s are independent and uniform"]
    else:
        kind = "Poisson" if counts.cv == 1 else f"renewal with cv {counts.cv:g}"
        notes = [f"assumed: {kind} arrivals at the logged rate of each bin of {bin_s:g} s"]
    if len(counts.mix) > 1:
        total = sum(counts.mix.values())
        shares = ", ".join(f"{service} {share / total:.3g}" for service, share in counts.mix.items())
        notes.append(f"assumed: the log has one kind of request, divided at random: {shares}")
    if counts.users or counts.catalogue or any(c.users or c.catalogue for c in counts.per_service.values()):
        notes.append("assumed: users and items are drawn from Zipf laws, not logged")
    return notes


def _service_index(name: str, services: tuple[str, ...], where: str, fix: str | None = None) -> int:
    if name not in services:
        known = ", ".join(services)
        raise InputError(where, f"service {name!r} is not one of: {known}", fix or "use one of these names")
    return services.index(name)
