"""Files are replaced whole, where their links lead, and what is no file stays what it is."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from workloads.atomic_files import replace_file, write_json_file
from workloads.errors import InputError


def _new(path: Path) -> None:
    path.write_text("new")


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link, chain = tmp_path / "far" / "target", tmp_path / "link", tmp_path / "chain"
    target.write_text("old")
    link.symlink_to(Path("far") / "target")
    chain.symlink_to(link)
    replace_file(chain, _new)
    assert (chain.is_symlink(), link.is_symlink(), target.is_symlink()) == (True, True, False)
    assert target.read_text() == "new"
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["chain", "far", "link", "target"]


def test_a_link_to_what_is_not_there_yet_makes_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    replace_file(tmp_path / "link", _new)
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("through_link", [False, True])
def test_a_fifo_is_written_to(tmp_path: Path, through_link: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "link").symlink_to(fifo)
    read: list[str] = []
    holder = os.open(fifo, os.O_RDWR)  # so that nobody waits for ever where the FIFO is not opened
    reader = threading.Thread(target=lambda: read.append(os.read(holder, 100).decode()), daemon=True)
    reader.start()
    replace_file(tmp_path / "link" if through_link else fifo, _new)
    reader.join(10.0)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert read == ["new"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        replace_file(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_replaced_is_told(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "no" / "file", tmp_path / "loop"):
        with pytest.raises(InputError, match="cannot be written"):
            write_json_file({}, path)
    assert (tmp_path / "loop").is_symlink()


def test_a_path_that_an_option_gave_is_told_with_it(tmp_path: Path) -> None:
    for option, where in (("", f"{tmp_path}"), ("--json", f"--json {tmp_path}")):
        with pytest.raises(InputError) as told:
            write_json_file({}, tmp_path, option)
        assert told.value.where == where
