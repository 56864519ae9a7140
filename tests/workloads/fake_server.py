"""The server with a model that only waits: its processes, queues, files and signals without torch.

`python -m tests.workloads.fake_server` takes what `python -m workloads.server` takes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from workloads.profiler.steady_core import SteadyCore
from workloads.server import driver, model, team
from workloads.server.__main__ import main
from workloads.server.plan import ModelPlan

__all__ = ["FakeModel", "use", "work"]

_real_work = team._work


class FakeModel(model.ServedModel):
    """Takes ``latency_s`` of its config for every batch, ``load_s`` to load, or refuses where ``broken`` says why."""

    def __init__(self, plan: ModelPlan, sizes: tuple[int, ...], folder: Path) -> None:
        self.plan, self.sizes, self.folder = plan, sizes, folder
        self.settings = SimpleNamespace(device_kind=plan.device)  # type: ignore[assignment]
        self.core = SteadyCore(())
        self.latency_s = (plan.config or {}).get("latency_s", 1e-3)

    def profile(self, timing_s: float, replicas: tuple[int, ...] = (), interference_s: float = 1.0) -> dict[str, Any]:
        return {"latency": {"batch_sizes": [self.sizes[0], self.sizes[-1]], "mean_s": [self.latency_s] * 2}}

    def load(self) -> dict[str, Any]:
        if "broken" in (self.plan.config or {}):
            raise ValueError(self.plan.config["broken"])  # type: ignore[index]
        load_s = (self.plan.config or {}).get("load_s", 0.0)
        time.sleep(load_s)
        return {"ready_s": load_s}

    def close(self) -> None:
        pass

    def warm(self) -> None:
        pass

    def stage(self, first_unit: int, units: int) -> None:
        pass

    def run(self) -> None:
        time.sleep(self.latency_s)

    def assembly(self) -> dict[str, Any]:
        return {"batch_sizes": [1], "mean_s": [0.0]}

    def poll_s(self) -> float:
        return 1e-6

    def time_again(self, sizes: tuple[int, ...], timing_s: float) -> dict[str, Any]:
        return {"batch_sizes": list(sizes)}


def work(*orders: Any) -> None:
    """What a member's process does, with the fake."""
    use()
    _real_work(*orders)


def use() -> None:
    """From now on this process, its members and its jobs have the fake."""
    model.ServedModel = FakeModel  # type: ignore[misc]
    team._work = work
    team._LEAD_S = 1.0  # for machines that are busy
    driver._PROGRAM = (sys.executable, "-m", "tests.workloads.fake_server")


if __name__ == "__main__":
    from tests.workloads import fake_server  # processes know it by that name

    fake_server.use()
    sys.exit(main())
