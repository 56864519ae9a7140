"""The profile file as pydantic models: the one definition of the format, behind its JSON Schema."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["FORMAT_VERSION", "ProfileDocument", "json_schema"]

FORMAT_VERSION = 1

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Bytes = Annotated[int, Field(ge=0, le=2**60)]
Count = Annotated[int, Field(ge=1, le=10**9)]
PositiveSeconds = Annotated[float, Field(gt=0, le=1e6)]
Seconds = Annotated[float, Field(ge=0, le=1e6)]
Level = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(ge=0, le=1e6)]
Rate = Annotated[float, Field(gt=0, le=1e21)]
Scalar = str | int | float | bool | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ModelPart(_Part):
    """What was profiled."""

    name: Name
    stage: Literal["retrieve", "filter", "rank", "rerank"]
    unit: Literal["requests", "items"] = Field(description="what a batch size counts")
    config: dict[str, Scalar | list[int]] = Field(description="the fields of the model's configuration")
    parameters: Annotated[int, Field(ge=0)]
    embedding_bytes: Bytes = Field(description="bytes of the embedding tables, part of weights_bytes")
    weights_bytes: Bytes = Field(description="bytes of all parameters and buffers, at the profile's precision")
    weights: Text = Field(description="where the weights came from, for example random with a seed")


class HostPart(_Part):
    """The computer that holds the device."""

    cpu: Text
    cores: Count = Field(description="cores that the operating system shows")
    memory_bytes: Bytes


class DevicePart(_Part):
    """Where it ran."""

    id: Name = Field(description="stable name that node types refer to")
    kind: Literal["cpu", "cuda"]
    name: Text
    memory_bytes: Bytes = Field(description="memory of the accelerator; of the host on a CPU")
    driver: str | None = None
    host: HostPart


class ExecutionPart(_Part):
    """How it ran."""

    precision: Literal["fp32", "bf16", "int8"]
    mode: Literal["eager", "compiled", "cuda_graph", "compiled_graph"]
    threads: Count = Field(description="threads that one operator may use on the host")
    inputs: Text = Field(description="how inputs were drawn")


class SplitPart(_Part):
    """Medians of the parts of a batch, by size, timed in runs of their own."""

    transfer_in_s: list[Seconds]
    compute_s: list[Seconds]
    transfer_out_s: list[Seconds]


class LatencyPart(_Part):
    """Wall-clock time of one batch as a server sees it: inputs in host memory to outputs in host memory."""

    batch_sizes: Annotated[list[Count], Field(min_length=1, max_length=1000)]
    runs: list[Count] = Field(description="timings kept, by size")
    runs_set_aside: list[Annotated[int, Field(ge=0)]] = Field(
        description="timings left out because other work held the cores, by size"
    )
    quantile_levels: Annotated[list[Level], Field(min_length=2, max_length=1000)]
    quantiles_s: list[list[PositiveSeconds]] = Field(description="quantiles_s[size][level]")
    mean_s: list[PositiveSeconds]
    cpu_core_s: list[Seconds] = Field(description="mean CPU core-seconds of the process in one batch")
    split: SplitPart | None = None
    drift: list[float] = Field(description="median of the last third of timings over the first's, less 1")
    two_modes: list[bool] = Field(description="whether the timings fall in two separate groups")

    @model_validator(mode="after")
    def _shapes(self) -> LatencyPart:
        size_count = len(self.batch_sizes)
        by_size: dict[str, list[Any]] = {
            "runs": self.runs,
            "runs_set_aside": self.runs_set_aside,
            "quantiles_s": self.quantiles_s,
            "mean_s": self.mean_s,
            "cpu_core_s": self.cpu_core_s,
            "drift": self.drift,
            "two_modes": self.two_modes,
        }
        if self.split is not None:
            by_size |= {f"split.{name}": values for name, values in self.split}
        for name, values in by_size.items():
            if len(values) != size_count:
                raise ValueError(f"{name}: has {len(values)} entries for {size_count} batch sizes")
        return self

    @model_validator(mode="after")
    def _order(self) -> LatencyPart:
        if not _increases(self.batch_sizes):
            raise ValueError("batch_sizes: must rise from one to the next")
        if not _increases(self.quantile_levels):
            raise ValueError("quantile_levels: must rise from one to the next")
        if self.quantile_levels[0] != 0.0 or self.quantile_levels[-1] != 1.0:
            raise ValueError("quantile_levels: must start at 0 (the minimum) and end at 1 (the maximum)")
        for index, (row, mean_s) in enumerate(zip(self.quantiles_s, self.mean_s)):
            if len(row) != len(self.quantile_levels):
                raise ValueError(f"quantiles_s[{index}]: has {len(row)} entries for {len(self.quantile_levels)} levels")
            if any(later < earlier for earlier, later in itertools.pairwise(row)):
                raise ValueError(f"quantiles_s[{index}]: must not fall as the level rises")
            if not row[0] * (1 - 1e-9) <= mean_s <= row[-1] * (1 + 1e-9):
                raise ValueError(f"mean_s[{index}]: {mean_s:g} lies outside the quantiles {row[0]:g} to {row[-1]:g}")
        return self


class LoadPart(_Part):
    """Time from weights on disk to the first answer."""

    weights_s: Seconds = Field(description="reading the weights from disk onto the device")
    first_inference_s: Seconds
    compile_s: Seconds = Field(default=0.0, description="compiling for all sizes, nothing cached; 0 where not compiled")
    graph_capture_s: Seconds = Field(description="capturing one CUDA graph a batch size; 0 without graphs")
    build_s: Seconds = Field(
        default=0.0, description="the network around the weights, and tidying up; not in total_s; 0 where not measured"
    )
    total_s: Seconds
    file_cache: Text = Field(description="whether the file was read from disk or from the page cache")


class ResourcePart(_Part):
    """What one replica holds."""

    device_memory_bytes: Bytes = Field(description="peak on the accelerator, its context included; 0 on a CPU")
    host_memory_bytes: Bytes = Field(description="peak resident host memory while serving")
    host_cores: Count = Field(description="CPU cores that one replica claims")
    load: LoadPart


class PowerPart(_Part):
    """Electric power of the device."""

    idle_w: Annotated[float, Field(ge=0, le=1e5)] = Field(description="a loaded replica that serves nothing")
    busy_w: list[Annotated[float, Field(ge=0, le=1e5)]] = Field(
        description="while batches of one size follow one another, by size"
    )
    source: Text


class VariantPart(_Part):
    """How a compressed model came about."""

    method: Text = Field(description="steps of compression, joined by +")
    of: Text = Field(description="the model that was compressed")
    options: dict[str, Scalar | list[int]] = Field(default_factory=dict)


class AccuracyPart(_Part):
    """What was measured of these very weights."""

    data: Text = Field(description="the data set")
    split: str | None = Field(default=None, description="how it was split: time or user")
    part: Text = Field(default="test", description="the part judged")
    metrics: Annotated[dict[Name, float], Field(min_length=1)] = Field(description="for example auc, rmse, ndcg10")
    intervals: dict[Name, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        default_factory=dict, description="lower and upper end of the 95 % interval over users, where there is one"
    )


class InterferencePart(_Part):
    """What replicas on the same device do to one another."""

    replicas: Annotated[list[Annotated[int, Field(ge=2, le=1000)]], Field(min_length=1)]
    batch_sizes: Annotated[list[Count], Field(min_length=1, max_length=1000)]
    alone_mean_s: list[PositiveSeconds] = Field(description="mean latency of one replica alone, by size")
    slowdown: list[list[Ratio]] = Field(description="slowdown[replicas][size]: mean latency together over alone")
    throughput_ratio: list[list[Ratio]] = Field(
        description="throughput_ratio[replicas][size]: batches a second of one replica, together over alone"
    )
    quantile_levels: Annotated[list[Level], Field(min_length=1)]
    quantiles_s: list[list[list[PositiveSeconds]]] = Field(description="quantiles_s[replicas][size][level], together")
    runs: list[list[Count]] = Field(description="runs[replicas][size]: batches of all replicas within the common time")
    how: Text
    takes_turns: bool = Field(
        default=False, description="whether batches of the device run one after another, each as if alone"
    )
    turn_s: Seconds = Field(
        default=0.0, description="where they take turns, what a batch takes longer after one of another replica"
    )
    turn_waiting_s: Seconds = Field(default=0.0, description="the same where it waited for that batch to end")

    @model_validator(mode="after")
    def _shapes(self) -> InterferencePart:
        shape = (len(self.replicas), len(self.batch_sizes))
        if not (_increases(self.replicas) and _increases(self.batch_sizes)):
            raise ValueError("replicas: must rise from one to the next, and batch_sizes too")
        if len(self.alone_mean_s) != shape[1]:
            raise ValueError(f"alone_mean_s: has {len(self.alone_mean_s)} entries for {shape[1]} batch sizes")
        tables: dict[str, list[list[Any]]] = {
            "slowdown": self.slowdown,
            "throughput_ratio": self.throughput_ratio,
            "quantiles_s": self.quantiles_s,
            "runs": self.runs,
        }
        for name, table in tables.items():
            if len(table) != shape[0] or any(len(row) != shape[1] for row in table):
                raise ValueError(f"{name}: must have one row for each count of replicas, one entry for each size")
        if any(len(row) != len(self.quantile_levels) for rows in self.quantiles_s for row in rows):
            raise ValueError("quantiles_s: must have one entry for each level")
        return self


class RooflinePart(_Part):
    """The device's measured ceilings, and how near to them each batch size comes."""

    matmul_flop_per_s: Rate
    stream_bytes_per_s: Rate
    gather_bytes_per_s: Rate
    row_bytes: Count = Field(description="bytes of the rows that were gathered")
    flops: list[Annotated[int, Field(ge=0)]] = Field(description="of one batch, by size")
    moved_bytes: list[Bytes] = Field(description="that one batch must move at least, by size")
    gathered_bytes: list[Bytes] = Field(description="the part of them that are table rows, by size")
    bound_s: list[Seconds] = Field(description="the least time of a batch under the ceilings, by size")
    limit: list[Literal["compute", "memory"]] = Field(description="which ceiling sets the bound, by size")
    ratio: list[Ratio] = Field(description="bound over measured time, by size")
    how: Text


class ProvenancePart(_Part):
    """Where the numbers come from."""

    kind: Literal["measured", "assumed"]
    date: str = Field(description="day of the measurement, YYYY-MM-DD")
    versions: dict[str, str]
    command: str | None = None
    other_load_cores: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="cores that other work on the same machine used while timing, on average"
    )

    @field_validator("date")
    @classmethod
    def _date(cls, value: str) -> str:
        from datetime import date

        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            raise ValueError("must be a day written YYYY-MM-DD")
        date.fromisoformat(value)
        return value


class ProfileDocument(_Part):
    """A measured (or assumed) model profile: latency by batch size on one device."""

    format: Literal["recfleet-profile"]
    format_version: Literal[1]
    name: Name
    model: ModelPart
    device: DevicePart
    execution: ExecutionPart
    latency: LatencyPart
    resources: ResourcePart
    power: PowerPart | None = Field(default=None, description="absent where it was not measured")
    variant: VariantPart | None = Field(default=None, description="absent for a model as trained or drawn")
    accuracy: AccuracyPart | None = Field(default=None, description="absent for random weights")
    interference: InterferencePart | None = Field(default=None, description="absent where it was not measured")
    roofline: RooflinePart | None = Field(default=None, description="absent where it was not measured")
    provenance: ProvenancePart
    notes: list[Text]

    @model_validator(mode="after")
    def _consistent(self) -> ProfileDocument:
        if self.execution.mode in ("cuda_graph", "compiled_graph") and self.device.kind != "cuda":
            raise ValueError(f"execution.mode: {self.execution.mode} needs a device of kind cuda")
        if self.device.kind == "cpu" and self.resources.device_memory_bytes != 0:
            raise ValueError("resources.device_memory_bytes: must be 0 on a CPU, which has no memory of its own")
        if self.power is not None and len(self.power.busy_w) != len(self.latency.batch_sizes):
            raise ValueError("power.busy_w: must have one entry for each batch size")
        self._check_roofline()
        if self.model.embedding_bytes > self.model.weights_bytes:
            raise ValueError("model.embedding_bytes: exceeds model.weights_bytes, of which it is a part")
        return self

    def _check_roofline(self) -> None:
        if self.roofline is None:
            return
        for name in ("flops", "moved_bytes", "gathered_bytes", "bound_s", "limit", "ratio"):
            if len(getattr(self.roofline, name)) != len(self.latency.batch_sizes):
                raise ValueError(f"roofline.{name}: must have one entry for each batch size")


def _increases(values: list[Any]) -> bool:
    return all(later > earlier for earlier, later in itertools.pairwise(values))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a profile file, as shipped in ``profile_schema.json``."""
    schema = ProfileDocument.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "recfleet profile"}
