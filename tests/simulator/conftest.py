"""The mini scenario, loaded once."""

from __future__ import annotations

import pytest

from simulator.scenario import Scenario
from tests.simulator.mini import load_mini


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """The mini scenario as it is written."""
    return load_mini(tmp_path_factory.mktemp("mini"))
