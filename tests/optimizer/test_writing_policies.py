"""The guide's code as shown: from a file, with options, and installed as a package's entry points."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from optimizer.policy_help import describe_policy, list_policies
from optimizer.registry import make_policy, validate_spec
from recfleet import cli
from tests.optimizer.factory import context, facts, observation, run
from workloads.errors import InputError

GUIDE = Path(__file__).parents[2] / "docs" / "writing-policies.md"
RATES = np.full((2, 6), 300.0)


def blocks(language: str) -> list[str]:
    text = GUIDE.read_text(encoding="utf-8")
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's module and its entry points as pip would leave them: a module beside a dist-info folder."""
    (tmp_path / "my_policy.py").write_text("\n\n".join(blocks("python")))
    points = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]["recfleet.policies"]
    info = tmp_path / "my_policies-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-policies\nVersion: 0.1\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("[recfleet.policies]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_policy", raising=False)
    return tmp_path


def test_the_first_policy(package: Path) -> None:
    assert len(blocks("python")[0].splitlines()) < 20
    fleet = facts()
    policy = make_policy("my_policy.py:HalfFull", context(fleet, RATES), base=package)
    answer = policy.decide(observation(fleet, 1, RATES))
    assert answer.replicas[0, 0] == 2
    assert (answer.replicas[~fleet.runs_on()] == 0).all()


def test_installed_policies_are_listed_described_and_run(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed = {one.name: one for one in list_policies() if one.kind == "installed"}
    assert {"half_full", "peak_share"} <= set(installed)
    assert installed["half_full"].summary == "Installed: my_policy:HalfFull"
    fleet = facts()
    for spec in ("half_full", {"name": "peak_share", "share": 0.5}):
        answers = run(make_policy(spec, context(fleet, RATES)), fleet, RATES)
        assert all((fleet.served_rps(answer.replicas) >= 300.0).all() for answer in answers)
    assert cli.run(["policies", "peak-share", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [o["name"] for o in shown["options"]] == ["share", "memory_s"]
    assert shown["options"][1] == {
        "name": "memory_s",
        "default": "900.0",
        "unit": "s",
        "text": "The largest rate of so many last seconds is served as well.",
    }
    with pytest.raises(InputError, match=r"option share: 2 is not a number at least 0 and at most 1"):
        validate_spec({"name": "peak_share", "share": 2})


def test_every_option_of_what_is_built_in_is_explained() -> None:
    for one in list_policies():
        if one.kind in ("built in", "wrapper"):
            assert 10 < len(one.summary) < 130
            assert "\n" not in one.summary
            for option in describe_policy(one.name).options:
                assert option.text, (one.name, option.name)
                assert option.default is not None


def test_wrappers_and_policies_on_the_command_line(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["policies"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("rolling_horizon", "half_full", "cooldown", "around any policy"))
    assert cli.run(["policies", "cooldown"]) == 0
    assert "down_s" in capsys.readouterr().out
    assert cli.run(["policies", f"{package / 'my_policy.py'}:HalfFull"]) == 0
    assert "(file): Every variant for twice" in capsys.readouterr().out
    assert cli.run(["policies", "coldown"]) == 2
    assert "did you mean 'cooldown'?" in capsys.readouterr().err
