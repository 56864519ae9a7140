"""Specifications, files, entry points and wrappers; every mistake is one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer import policy_file
from optimizer.registry import available_policies, make_policy, policy_label, validate_spec
from tests.optimizer.factory import context, facts, observation, run
from workloads.errors import InputError

RATES = np.full((2, 6), 300.0)

USER_POLICY = """
import numpy as np
from simulator.policy import Allocation


class Steady:
    def __init__(self, copies=2):
        self.copies = copies

    def decide(self, observation):
        return Allocation(observation.facts.runs_on() * self.copies, note="steady")
"""


def message(spec: str | Mapping[str, Any], base: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        validate_spec(spec, base=base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_dashes_and_underscores_name_the_same_policy() -> None:
    assert validate_spec("static-peak").name == validate_spec("static_peak").name == "static_peak"
    assert all(len(summary) < 100 for summary in available_policies().values())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("statik_peak", "did you mean 'static_peak'?"),
        ("zzz", "policies: clairvoyant_horizon, clairvoyant_mip"),
        ("", "it has no name"),
        ({}, "it has no name"),
        ({"name": "hpa", "targett": 0.5}, "policy hpa option targett: it has no such option; did you mean 'target'?"),
        ({"name": "hpa", "target": 1.5}, "policy hpa option target: 1.5 is not a number above 0 and at most 1"),
        ({"name": "hpa", "target": "high"}, "'high' is not a number"),
        ({"name": "hpa", "target": True}, "True is not a number"),
        ({"name": "hpa", "target": float("nan")}, "nan is not a number"),
        ({"name": "hpa", "min_replicas": 0}, "0 is not a whole number of at least 1"),
        ({"name": "hpa", "max_replicas": 1, "min_replicas": 2}, "below min_replicas 2"),
        ({"name": "mip", "gap": -1}, "policy mip option gap"),
        ({"name": "mip", "trend": "yes"}, "neither true nor false"),
        ({"name": "clairvoyant_mip", "extra_slots": 0.5}, "not a whole number"),
        ({"name": "document_greedy", "headroom": 0.1}, "there are no options"),
        ({"name": "mip", "options": [1]}, "is not a mapping"),
        ({"name": "mip", "wrap": "bounds"}, "is not a list of wrappers"),
        ({"name": "mip", "wrap": 5}, "is not a list of wrappers"),
        ({"name": "mip", "wrap": [{"name": "bound"}]}, "did you mean 'bounds'?"),
        ({"name": "mip", "wrap": [{"name": "cooldown", "down": 3}]}, "did you mean 'down_s'?"),
        ({"name": "mip", "wrap": [{"name": "rate_limit", "up": 0}]}, "policy mip wrap rate_limit option up"),
    ],
)
def test_mistakes(spec: str | Mapping[str, Any], expected: str) -> None:
    assert expected in message(spec)


def test_label() -> None:
    assert policy_label("static-peak") == "static_peak"
    assert policy_label({"name": "hpa", "label": "hpa at 60 %"}) == "hpa at 60 %"
    assert policy_label("some/where/mine.py:Mine") == "Mine"


def test_options_reach_the_policy() -> None:
    fleet = facts()
    nested = make_policy({"name": "hpa", "options": {"target": 0.5}}, context(fleet, RATES))
    flat = make_policy({"name": "hpa", "target": 0.5}, context(fleet, RATES))
    assert nested.options == flat.options  # type: ignore[attr-defined]


def test_a_policy_from_a_file(tmp_path: Path) -> None:
    assert len(USER_POLICY.splitlines()) < 20
    (tmp_path / "mine.py").write_text(USER_POLICY)
    fleet = facts()
    spec = {"name": "mine.py:Steady", "copies": 3}
    assert validate_spec(spec, base=tmp_path).options == {"copies": 3}
    policy = make_policy(spec, context(fleet, RATES), base=tmp_path)
    answer = policy.decide(observation(fleet, 1, RATES))
    assert (answer.replicas == fleet.runs_on() * 3).all()
    assert make_policy("mine.py", context(fleet, RATES), base=tmp_path)
    assert "did you mean 'copies'?" in message({"name": "mine.py:Steady", "copis": 3}, tmp_path)


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    fleet = facts()
    for copies in (2, 7):
        file.write_text(USER_POLICY.replace("copies=2", f"copies={copies}"))
        policy = make_policy(f"{file}:Steady", context(fleet, RATES))
        assert policy.decide(observation(fleet, 1, RATES)).replicas.max() == copies


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (None, "mine.py:Steady", "there is no file"),
        (USER_POLICY, "mine.py:Stead", "did you mean 'Steady'?"),
        (USER_POLICY, "mine.py:np", "not a class"),
        ("x = 1", "mine.py:Mine", "there are no policies there"),
        ("x = 1", "mine.py", "defines 0 classes with decide"),
        ("class Mine: pass", "mine.py:Mine", "has no method decide"),
        ("def Mine(): pass", "mine.py:Mine", "it is a function, not a class"),
        ("class Mine(:", "mine.py:Mine", "SyntaxError"),
        ("\n\nimport no_such_module_here", "mine.py:Mine", "No module named 'no_such_module_here' (line 3)"),
        ("raise ValueError('two\\nlines')", "mine.py:Mine", "ValueError: two lines"),
        ("raise SystemExit(3)", "mine.py:Mine", "SystemExit: 3"),
    ],
)
def test_mistakes_in_files(tmp_path: Path, text: str | None, name: str, expected: str) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    assert expected in message(name, tmp_path)


def test_a_constructor_that_fails(tmp_path: Path) -> None:
    text = "class Mine:\n def __init__(self): self.x = 1 / 0\n def decide(self, o): ...\n"
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match="it cannot be built: ZeroDivisionError"):
        make_policy("mine.py:Mine", context(facts(), RATES), base=tmp_path)


def test_from_context_that_makes_no_policy(tmp_path: Path) -> None:
    text = "class Mine:\n @classmethod\n def from_context(cls, c): return 3\n def decide(self, o): ...\n"
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match="made a int without decide"):
        make_policy("mine.py:Mine", context(facts(), RATES), base=tmp_path)


class Point:
    """Stand-in for an entry point of an installed package."""

    name, value = "theirs", "package.module:Theirs"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def load(self) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_installed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs:
        def decide(self, observation: object) -> None: ...

    for answer in (Theirs, ImportError("gone")):
        monkeypatch.setattr(policy_file, "entry_points", lambda group, a=answer: [Point(a)])
        assert available_policies()["theirs"] == "Installed: package.module:Theirs"
        if answer is Theirs:
            assert isinstance(make_policy("theirs", context(facts(), RATES)), Theirs)
        else:
            assert "ImportError: gone" in message("theirs")


WRAPPED = np.array([[100.0, 900.0, 100.0, 900.0, 880.0, 100.0, 100.0, 100.0]]).repeat(2, axis=0)


def totals(*wrap: Mapping[str, Any]) -> list[int]:
    fleet = facts()
    policy = make_policy({"name": "document_greedy", "wrap": list(wrap)}, context(fleet, WRAPPED))
    return [int(a.replicas[1].sum()) for a in run(policy, fleet, WRAPPED)]


def test_wrappers() -> None:
    """Replicas of the rank stage, 300 requests/s each; slot t sees the demand of slot t - 1."""
    assert totals() == [1, 1, 3, 1, 3, 3, 1, 1]
    assert totals({"name": "bounds", "min_replicas": 2, "max_replicas": 2}) == [2] * 8
    assert totals({"name": "cooldown", "down_s": 120.0}) == [1, 1, 3, 3, 3, 3, 1, 1]
    assert totals({"name": "cooldown", "up_s": 180.0, "down_s": 0.0}) == [1, 1, 1, 1, 3, 3, 1, 1]
    assert totals({"name": "rate_limit", "up": 1, "down": 1}) == [1, 1, 2, 1, 2, 3, 2, 1]
    assert totals({"name": "hysteresis", "fraction": 0.7}) == [1, 1, 3, 3, 3, 3, 3, 3]
    assert totals({"name": "hysteresis"}, {"name": "bounds", "min_replicas": 2}) == [2, 2, 3, 2, 3, 3, 2, 2]


def test_a_wrapped_policy_that_returns_nonsense(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n def decide(self, o): return None\n")
    fleet = facts()
    policy = make_policy({"name": "mine.py:Mine", "wrap": ["hysteresis"]}, context(fleet, RATES), base=tmp_path)
    with pytest.raises(InputError, match="returned NoneType, not an Allocation"):
        policy.decide(observation(fleet, 1, RATES))
