"""A plan of measurements: which models are served how, and which runs are made with each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workloads.errors import InputError
from workloads.json_document import read_document

__all__ = ["MOST_REPLICAS", "JobPlan", "ModelPlan", "RunPlan", "ServerPlan", "read_plan", "write_plan"]

MOST_REPLICAS = 16


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelPlan(_Strict):
    """A model and how it runs; ``request_units`` items are asked of it at once (1 where it counts requests)."""

    model: str
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16", ""] = "fp32"
    mode: Literal["eager", "compiled", "cuda_graph", "compiled_graph"] = "eager"
    threads: int = Field(default=0, ge=0)
    request_units: int = Field(default=1, ge=1)
    config: dict[str, Any] | None = None
    model_folder: Path | None = None
    seed: int = Field(default=20_261, ge=0)


class RunPlan(_Strict):
    """One replay.

    Attributes
    ----------
    arrivals
        ``poisson``, ``gamma`` or the name of a pattern.
    load
        Rate over the capacity that the server shows with batches at the cap.
    max_batch, max_wait_s
        By stage; ``max_batch`` in units.
    seconds, most_requests
        Whichever is reached first ends it.
    held_out
        Never used to calibrate.
    """

    arrivals: str
    load: float = Field(gt=0.0, le=2.0)
    max_batch: tuple[Annotated[int, Field(ge=1)], ...]
    max_wait_s: tuple[Annotated[float, Field(ge=0.0)], ...]
    seconds: float = Field(gt=0.0)
    most_requests: int = Field(default=100_000, ge=1)
    seed: int = Field(default=1, ge=0)
    router: Literal["least_outstanding", "round_robin"] = "least_outstanding"
    held_out: bool = True


class JobPlan(_Strict):
    """What one process, or several together, measure in one go.

    Attributes
    ----------
    models
        One for each stage of the funnel.
    replicas
        Of the one stage; a funnel has one each.
    gpus
        GPUs in all: as many as processes, or one for all of them; 0 on a CPU.
    router_process
        Whether a process of its own hands requests to replicas. Without one, each replica takes its requests from the
        clock, which round robin allows and two cores demand.
    profile_s, interference_s
        Time for timings of the profile, and of replicas sharing a GPU or a CPU (0: not measured).
    again_s
        Time for measuring a few sizes again at the end.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    models: tuple[ModelPlan, ...] = Field(min_length=1)
    replicas: int = Field(default=1, ge=1, le=MOST_REPLICAS)
    gpus: int = Field(default=0, ge=0)
    router_process: bool = True
    profile_s: float = Field(default=4.0, gt=0.0)
    interference_s: float = Field(default=0.0, ge=0.0)
    again_s: float = Field(default=1.0, gt=0.0)
    runs: tuple[RunPlan, ...] = Field(min_length=1)

    @property
    def processes(self) -> int:
        """Processes that hold a model."""
        return self.replicas * len(self.models)

    @property
    def shares_gpu(self) -> bool:
        """Whether several replicas are processes on one GPU."""
        return self.replicas > 1 and self.gpus == 1

    def sizes(self, stage: int) -> tuple[int, ...]:
        """Sizes that batches of a stage can have, in units."""
        units = self.models[stage].request_units
        return tuple(range(units, max(units, *(run.max_batch[stage] for run in self.runs)) + 1, units))

    @model_validator(mode="after")
    def _fits(self) -> JobPlan:
        if self.replicas > 1 and len(self.models) > 1:
            raise ValueError("a funnel has one replica a stage")
        if self.gpus not in (0, 1, self.processes):
            raise ValueError(f"gpus is {self.gpus}, neither 0, 1 nor the {self.processes} processes")
        if (self.gpus > 0) != any(model.device == "cuda" for model in self.models):
            raise ValueError("gpus and the models' devices do not agree")
        for run in self.runs:
            if not len(run.max_batch) == len(run.max_wait_s) == len(self.models):
                raise ValueError("max_batch and max_wait_s need one entry a stage")
            if not self.router_process and self.replicas > 1 and run.router != "round_robin":
                raise ValueError("without a router's process, replicas can only take turns: router round_robin")
        return self


class ServerPlan(_Strict):
    """Jobs in the order in which they are begun."""

    format: Literal["recfleet-server-plan"] = "recfleet-server-plan"
    format_version: Literal[1] = 1
    jobs: tuple[JobPlan, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> ServerPlan:
        names = [job.name for job in self.jobs]
        if len(set(names)) < len(names):
            raise ValueError("two jobs have one name")
        return self


def read_plan(path: Path) -> ServerPlan:
    """Read a plan; `InputError` names what is wrong with it."""
    return read_document(
        path,
        ServerPlan,
        absent="give the path of a plan",
        invalid="correct the plan",
        no_json="give a plan that workloads.server.planning made",
    )


def write_plan(plan: ServerPlan, path: Path) -> None:
    """Write a plan as JSON; `InputError` where it cannot be written."""
    try:
        path.write_text(plan.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be written ({error.strerror})", "give a path that can") from None
