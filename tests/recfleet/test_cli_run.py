"""What `recfleet run` refuses, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from recfleet.cli import run
from tests.simulator.mini import write_mini


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seed", "-1"], "--seed"),
        (["--window", "nan:3"], "no window"),
        (["--window", "5:4"], "no window"),
        (["--window", "400:500"], "holds no request"),
        (["--policy", "nope"], "no policy of this name"),
    ],
)
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    path = write_mini(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run(["run", str(path), *options, "--quiet", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert says in told
    assert "defect" not in told
    assert sorted(tmp_path.rglob("*")) == before
