"""Router functions of the user's own: the page's example, from a file, and what goes wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import routers
from simulator.kernel.compiled import compiled
from simulator.kernel.pools import change_cost
from simulator.kernel.routers import choose
from simulator.plan import StagePlan
from simulator.pools import PoolLayout
from workloads.errors import InputError

IS_COMPILED = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
PAGE = Path(__file__).parents[2] / "docs" / "routers.md"


@compiled
def choose_one(pools, stage, user, request_id):
    return choose(pools, stage, 0, user, np.uint64(7), request_id, np.uint64(1 + stage))


@compiled
def count_one(pools, stage, position):
    change_cost(pools, stage, position, 1)


def layout_of(*functions: str, sizes: tuple[int, ...] = (5, 7)) -> PoolLayout:
    layout = PoolLayout([StagePlan(0, 1, 0.0, "function", function=f) for f in functions])
    for stage in range(len(functions)):
        size = sizes[stage]
        layout.rebuild(stage, *(np.arange(size), np.zeros(size, int), np.zeros(size, int), np.arange(1.0, size + 1)))
    return layout


def place(layout: PoolLayout, stage: int, user: int = 0, request_id: int = 0) -> int:
    """Place within the stage's own pool."""
    with np.errstate(over="ignore"):
        found = choose_one(layout.state, stage, user, request_id)
    return int(found - layout.state.pools[stage].first)


def snippet() -> str:
    """The page's one block of Python, which the README has too."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code in (PAGE.parents[1] / "README.md").read_text()
    return str(code)


def test_the_example_of_the_page_spreads_a_user_over_its_two() -> None:
    names: dict[str, Any] = {}
    exec(snippet(), names)
    layout = layout_of("two-of-the-user")
    outstanding = [0] * 5
    for user in np.random.default_rng(1).integers(1000, size=200).tolist():
        one, other = user % 5, (user // 5) % 5
        expected = other if outstanding[other] < outstanding[one] else one
        assert place(layout, 0, user) == expected
        outstanding[expected] += 1
        count_one(layout.state, 0, layout.state.pools[0].first + expected)


def test_stages_have_functions_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def last(outstanding, weight, first, size, user, draw):\n    return first + size - 1\n"
        "def slow(outstanding, weight, first, size, user, draw):\n    return first + int(weight[first] + 2.5)\n"
    )
    layout = layout_of(f"{tmp_path}/mine.py:last", f"{tmp_path}/mine.py:slow")
    assert (place(layout, 0), place(layout, 1)) == (4, 3)


def register_far() -> None:
    """A function that chooses outside the pool; each test that needs it says so, for it may run in a process alone."""
    routers.register("far")(lambda outstanding, weight, first, size, user, draw: first + 10 * user)


def test_what_lies_outside_counts_as_the_nearest() -> None:
    register_far()
    layout = layout_of("far", "far")
    assert [place(layout, 1, user) for user in (-1, 0, 1)] == [0, 0, 6]


def test_the_draw_is_the_tasks_first() -> None:
    routers.register("by-draw")(lambda outstanding, weight, first, size, user, draw: first + int(draw * size))
    layout = layout_of("by-draw")
    counts = np.bincount([place(layout, 0, 0, i) for i in range(1000)], minlength=5)
    assert counts.sum() == 1000
    assert np.all(np.abs(counts - 200) < 5 * np.sqrt(160))
    again = PoolLayout([StagePlan(0, 1, 0.0, "power_of_two")])
    again.rebuild(0, np.arange(5), np.zeros(5, int), np.zeros(5, int), np.ones(5))
    assert all(place(again, 0, 0, i) == place(layout, 0, 0, i) for i in range(50))  # of an idle pool: its first draw


def test_a_function_that_raises_is_counted() -> None:
    def wrong(outstanding: Any, weight: Any, first: int, size: int, user: int, draw: float) -> int:
        return int(outstanding[10**6])

    routers.register("raises")(wrong)
    layout = layout_of("raises")
    if not IS_COMPILED:
        with pytest.raises(IndexError):
            place(layout, 0)
        return
    assert place(layout, 0) == 0
    with pytest.raises(InputError, match="router function raises: raised"):
        layout.check_functions()
    register_far()
    layout_of("far").check_functions()


def test_a_function_knows_no_sites() -> None:
    register_far()
    with pytest.raises(InputError, match="stage 0: a router function, and 2 sites"):
        PoolLayout([StagePlan(0, 1, 0.0, "function", function="far")], sites=2)


@pytest.mark.skipif(not IS_COMPILED, reason="uncompiled, anything goes")
def test_a_function_that_does_not_compile_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def choose(outstanding, weight, first, size, user, draw):\n    return first + len(dir(user))\n")
    with pytest.raises(InputError, match=r"mine\.py:1\): does not compile: .*dir") as caught:
        layout_of(f"{file}:choose")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (None, "mine.py:choose", "cannot read"),
        ("def choose(:", "mine.py:choose", r"running it fails: SyntaxError.*\(line 1\)"),
        ("x = 1\n1 / 0", "mine.py:choose", r"ZeroDivisionError.*\(line 2\)"),
        ("x = 1", "mine.py:choose", "has no function 'choose'"),
        ("choose = 1", "mine.py:choose", "it is a int, not a function"),
        ("def choose(outstanding): ...", "mine.py:choose", "takes 1 argument, not 6"),
        (None, "nobody", "is not registered"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, text: str | None, name: str, problem: str) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match=problem):
        routers.load_function(name, tmp_path)


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    for answer in (1, 2):
        file.write_text(f"def choose(outstanding, weight, first, size, user, draw):\n    return first + {answer}\n")
        assert place(layout_of(f"{file}:choose"), 0) == answer
