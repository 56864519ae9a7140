"""Prepared data on disk, the sources, and ``recfleet data``."""

import json
import pickle
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from recfleet.cli_data import app
from workloads.data_folder import data_folder
from workloads.errors import InputError
from workloads.interactions import PreparedData, load_prepared, prepare, save_prepared, synthetic_data
from workloads.interactions.sources.movielens import read_movielens_100k
from workloads.interactions.sources.movietweetings import read_movietweetings

NEEDS_DATA = pytest.mark.skipif(data_folder() is None, reason="no folder of real traces (set RECFLEET_DATA)")


def movielens_is_there() -> bool:
    try:
        read_movielens_100k()
    except InputError:
        return False
    return True


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    data = synthetic_data()
    save_prepared(data, tmp_path / "d")
    read = load_prepared(tmp_path / "d")
    assert read.digest == data.digest
    assert read.report == data.report
    assert read.train.time_s.dtype == np.int64
    assert read.user_category_rows == data.user_category_rows
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    assert pickle.loads(pickle.dumps(read)).digest == data.digest


def test_equal_data_are_equal_files_and_a_seed_changes_them(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        save_prepared(synthetic_data(seed=seed), tmp_path / name)
    a, b, c = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "abc")
    assert a == b
    assert all(a[name] != c[name] for name in a)


def test_saving_replaces_prepared_data_and_nothing_else(tmp_path: Path) -> None:
    save_prepared(synthetic_data(seed=1), tmp_path / "d")
    save_prepared(synthetic_data(seed=2), tmp_path / "d")
    assert load_prepared(tmp_path / "d").digest == synthetic_data(seed=2).digest
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for target in (tmp_path / "mine", tmp_path / "mine" / "thesis.tex"):
        with pytest.raises(InputError, match="holds no prepared data"):
            save_prepared(synthetic_data(), target)
    with pytest.raises(InputError, match="is no folder"):
        save_prepared(synthetic_data(), tmp_path / "mine" / "thesis.tex" / "d")
    save_prepared(synthetic_data(), tmp_path / "new" / "d")
    assert load_prepared(tmp_path / "new" / "d").name == "synthetic"
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no prepared data"):
        load_prepared(tmp_path)
    folder = tmp_path / "d"

    def spoiled(name: str, message: str, content: bytes | None) -> None:
        save_prepared(synthetic_data(), folder)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_prepared(folder)

    spoiled("train.parquet", "was changed", b"x")
    spoiled("arrays.npz", "is missing", None)
    spoiled("manifest.json", "cannot be read as JSON", b"{")
    spoiled("manifest.json", "is not of the format", b"{}")
    spoiled("manifest.json", "format_version 9", b'{"format": "recfleet-interactions", "format_version": 9}')
    spoiled("manifest.json", "lacks files", b'{"format": "recfleet-interactions", "format_version": 1}')


# --- sources ------------------------------------------------------------------------------------------


def test_movietweetings_as_published(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::0111161::9::1362062307\n2::0068646::0::1362062400\n")
    (tmp_path / "movies.dat").write_text(
        "0111161::The Shawshank Redemption (1994)::Crime|Drama\n0068646::Amélie: (500) Days (2009)::\n"
    )
    log = read_movietweetings(tmp_path)
    assert log.frame[["user", "item", "rating", "time_s"]].to_numpy().tolist() == [
        [1, 111161, 9, 1362062307],
        [2, 68646, 0, 1362062400],
    ]
    assert log.items.frame is not None
    assert log.items.frame["year"].tolist() == [1994, 2009]
    assert log.items.frame["decade"].tolist() == [1990, 2000]
    assert log.items.frame["first_genre"].tolist() == ["Crime", ""]


def grouplens(folder: Path) -> Path:
    folder.mkdir()
    flags = {"Toy Story": (3, 4, 5), "Unknown": (0,)}
    items = []
    for number, (title, places) in enumerate(flags.items(), 1):
        told = f"{title} (1995)" if places != (0,) else title
        items.append(f"{number}|{told}|01-Jan-1995||http://x|" + "|".join(str(int(k in places)) for k in range(19)))
    (folder / "u.data").write_text("196\t1\t3\t881250949\n186\t2\t5\t891717742\n")
    (folder / "u.user").write_text("196|49|M|writer|05105\n186|39|F|executive|T8H1N\n")
    (folder / "u.item").write_text("\n".join(items) + "\n", encoding="latin-1")
    return folder


def recbole(folder: Path) -> Path:
    folder.mkdir()
    (folder / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t1\t3\t881250949\n186\t2\t5\t891717742\n"
    )
    (folder / "ml-100k.user").write_text(
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "196\t49\tM\twriter\t05105\n186\t39\tF\texecutive\tT8H1N\n"
    )
    (folder / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Children's Comedy\n2\tUnknown\tV\tunknown\n"
    )
    return folder


def test_movielens_reads_the_same_in_both_layouts(tmp_path: Path) -> None:
    one, two = read_movielens_100k(grouplens(tmp_path / "a")), read_movielens_100k(recbole(tmp_path / "b"))
    pd.testing.assert_frame_equal(one.frame, two.frame)
    for kind in ("users", "items"):
        told = getattr(one, kind)
        columns = [told.key, *told.numbers, *told.categories, *([told.tags] if told.tags else [])]
        pd.testing.assert_frame_equal(told.frame[columns], getattr(two, kind).frame[columns])
    assert one.users.frame is not None
    assert one.users.frame["region"].tolist() == ["0", "T"]
    assert one.items.frame is not None
    assert one.items.frame["genres"].tolist() == ["Animation|Children's|Comedy", ""]


def test_movielens_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", absent)
    with pytest.raises(InputError, match=r"pip install --no-deps recbole==1\.2\.1"):
        prepare("movielens-100k")
    with pytest.raises(InputError, match=r"holds neither ml-100k\.inter nor u\.data"):
        prepare("movielens-100k", folder=tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        prepare("movietweetings", folder=tmp_path / "absent")
    with pytest.raises(InputError, match="download MovieTweetings"):
        prepare("movietweetings", folder=tmp_path)


@pytest.mark.data
@NEEDS_DATA
def test_movietweetings_by_time() -> None:
    data = prepare("movietweetings")
    assert (data.users, data.items) == (14_217, 9_449)
    assert (len(data.train), len(data.validation), len(data.test)) == (56_450, 8_141, 15_879)
    assert data.report["split"]["test_from"] == "2013-07-02 00:00:00 UTC"
    assert sum(data.report["rows_dropped"].values()) == 0
    assert abs(float(data.item_dense[np.unique(data.train.item), 0].mean())) < 0.01


@pytest.mark.skipif(not movielens_is_there(), reason="recbole 1.2.1 is not installed")
@pytest.mark.parametrize(("split", "sizes"), [("time", (79_999, 10_001, 10_000)), ("user", (70_012, 9_988, 20_000))])
def test_movielens(split: str, sizes: tuple[int, int, int]) -> None:
    data = prepare("movielens-100k", split=split)
    assert (data.users, data.items, len(data.tag_names)) == (944, 1_683, 18)
    assert (len(data.train), len(data.validation), len(data.test)) == sizes
    assert data.user_category_names == ("gender", "occupation", "age_band", "region")


# --- the command --------------------------------------------------------------------------------------

MINE = """member,sku,stars,when
ann,x,5,2024-01-01T10:00:00Z
bob,x,1,2024-01-02T10:00:00Z
ann,y,4,2024-01-03T10:00:00Z
bob,y,,2024-01-03T11:00:00Z
cat,x,3,2024-01-04T10:00:00Z
cat,z,5,2024-01-05T10:00:00Z
"""
COLUMNS = ["--user", "member", "--item", "sku", "--rating", "stars", "--time", "when"]


def mine(folder: Path) -> Path:
    (folder / "mine.csv").write_text(MINE)
    return folder / "mine.csv"


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "members.csv").write_text("member,age,town\nann,30,Ulm\nbob,40,Bonn\ncat,50,Ulm\n")
    (tmp_path / "skus.csv").write_text("sku,kinds\nx,red|big\ny,red\nz,blue\n")
    users = ["--users-table", tmp_path / "members.csv", "--user-numbers", "age", "--user-categories", "town"]
    items = ["--items-table", tmp_path / "skus.csv", "--item-tags", "kinds"]
    more = ["--test-days", "1", "--validation-days", "1", "--like-from", "4", "--scale", "1:5"]
    done = run("prepare", mine(tmp_path), *COLUMNS, *users, *items, *more, "--out", tmp_path / "d")
    assert done.exit_code == 0, done.output
    assert "rating missing or no number     1" in done.output
    data = load_prepared(tmp_path / "d")
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 1, 1)
    assert data.tag_names == ("big", "red")
    assert data.user_dense[data.user_ids(["ann", "bob"]), 0].tolist() == [-1, 1]
    told = json.loads(run("show", tmp_path / "d", "--json").output)
    assert told["digest"] == data.digest
    assert told["rows_dropped"]["rating missing or no number"] == 1
    assert told["item_features"]["tags_not_in_training"] == 1


def test_without_ratings_every_row_is_a_like(tmp_path: Path) -> None:
    words = ["--user", "member", "--item", "sku", "--time", "when", "--no-rating"]
    done = run("prepare", mine(tmp_path), *words, "--test-share", "0.2", "--out", tmp_path / "d")
    assert done.exit_code == 0, done.output
    data = load_prepared(tmp_path / "d")
    assert (data.train.rating >= data.like_from).all()
    assert data.scaled(data.train.rating).tolist() == [1] * len(data.train)
    assert "note: the log has no ratings" in done.output


def test_times_as_numbers_of_another_unit(tmp_path: Path) -> None:
    frame = pd.read_csv(mine(tmp_path))
    frame["when"] = pd.to_datetime(frame["when"]).map(lambda moment: int(moment.timestamp() * 1000))
    frame.to_parquet(tmp_path / "mine.parquet")
    for name, unit in (("mine.csv", "s"), ("mine.parquet", "ms")):
        words = [tmp_path / name, *COLUMNS, "--time-unit", unit, "--name", "mine", "--out", tmp_path / unit]
        assert run("prepare", *words).exit_code == 0
    assert load_prepared(tmp_path / "s").digest == load_prepared(tmp_path / "ms").digest


def test_a_time_that_cannot_be_read_is_dropped_and_the_others_are_not(tmp_path: Path) -> None:
    rows = [f"u{k % 3},i{k},3,{1_700_000_000 + k}" for k in range(30)]
    (tmp_path / "n.csv").write_text("\n".join(["user,item,rating,time", *rows, "u1,x,3,yesterday"]) + "\n")
    assert run("prepare", tmp_path / "n.csv", "--scale", "1:5", "--out", tmp_path / "d").exit_code == 0
    report = load_prepared(tmp_path / "d").report
    assert (report["rows_kept"], report["rows_dropped"]["time missing or no time"]) == (30, 1)


def test_synthetic_says_so(tmp_path: Path) -> None:
    done = run("prepare", "synthetic", "--out", tmp_path / "d")
    assert done.exit_code == 0, done.output
    assert "synthetic: nobody logged these" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.csv"], "is neither a known source nor a file"),
        (["mine.csv", *COLUMNS, "--split", "item"], "'item' is unknown; use time or user"),
        (["mine.csv", *COLUMNS, "--scale", "5"], "'5' is not LOW:HIGH"),
        (["mine.csv", "--user", "member"], "has no column 'item'"),
        (["mine.csv", *COLUMNS, "--no-rating"], "--no-rating: is given together with --rating"),
        (["mine.csv", *COLUMNS, "--rating", "sku"], "holds no number"),
        (["mine.csv", *COLUMNS, "--time", "sku"], "holds no time"),
        (["mine.csv", *COLUMNS, "--time-unit", "min"], "'min' is unknown"),
        (["mine.csv", *COLUMNS, "--test-days", "90"], "the training part has no row"),
        (["mine.csv", *COLUMNS, "--user-numbers", "age"], "no table of users is given"),
        (["movielens-100k", "--user", "member"], "has columns of its own"),
        (["synthetic", "--user", "member"], "has columns of its own"),
        (["synthetic", "--split", "user"], "--split does not go with it"),
        (["synthetic", "--test-days", "3"], "--test-days does not go with it"),
        (["synthetic", "--like-from", "0"], "--like-from does not go with it"),
        (["synthetic", "--min-item", "2"], "--min-item does not go with it"),
        (["mine.csv", *COLUMNS, "--from", "."], "does not go with a table of your own"),
    ],
)
def test_what_cannot_be_used_is_told(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine(tmp_path)
    done = run("prepare", *words, "--out", "d")
    assert isinstance(done.exception, InputError), done.output
    assert message in str(done.exception)
    assert not (tmp_path / "d").exists()


def test_the_place_is_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = run("prepare", "absent.csv", "--out", tmp_path / "file" / "d")
    assert "is no folder" in str(done.exception)


def test_synthetic_data_are_what_they_say() -> None:
    """Of the size asked for, each pair once, in order, and the same for a seed."""
    data: PreparedData = synthetic_data(30, 20, 500, seed=3)
    parts = [data.train, data.validation, data.test]
    pairs = np.concatenate([part.user.astype(np.int64) * data.items + part.item for part in parts])
    assert len(np.unique(pairs)) == len(pairs) == 500
    assert (data.users, data.items) == (31, 21)
    assert all((np.diff(part.time_s) >= 0).all() for part in parts)
    assert data.digest == synthetic_data(30, 20, 500, seed=3).digest != synthetic_data(30, 20, 500, seed=4).digest
    with pytest.raises(InputError, match="601 is not from 1 to 600"):
        synthetic_data(30, 20, 601)
