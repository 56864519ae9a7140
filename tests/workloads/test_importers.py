"""Importers: published layouts are read as they are, mistakes name the row, real files match the known facts."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.data_folder import data_folder, data_path
from workloads.errors import InputError
from workloads.importers.azure_llm import import_azure_llm
from workloads.importers.counts import read_counts
from workloads.importers.event_table import EventColumns, import_csv
from workloads.importers.movietweetings import import_movietweetings

NEEDS_DATA = pytest.mark.skipif(data_folder() is None, reason="no folder of real traces (set RECFLEET_DATA)")


def written(folder: Path, text: str, name: str = "in.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_azure_as_published(tmp_path: Path) -> None:
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,4808,10\n"
        "2023-11-16 18:17:04.0319600,3180,8\n"
        "2023-11-16 18:17:05,110,27\n"
    )
    trace = import_azure_llm(written(tmp_path, text))
    np.testing.assert_allclose(trace.column("arrival_s"), [0, 0.052, 1.02004], atol=1e-6)
    assert trace.column("items").tolist() == [38, 25, 1]
    assert trace.column("bytes_in").tolist() == [4 * 4808, 4 * 3180, 440]
    assert trace.info.duration_s == 2
    assert any("assumed" in note for note in trace.info.notes)


def test_movietweetings_as_published_needs_sorting(tmp_path: Path) -> None:
    path = written(tmp_path, "1::68646::10::1381620027\n1::113277::10::1379466669\n2::422720::8::1381620027\n", "r.dat")
    with pytest.raises(InputError, match=r"row 1 unix_s: is earlier than the row before; .*--sort"):
        import_movietweetings(path)
    trace = import_movietweetings(path, sort=True)
    assert trace.column("item").tolist() == [113277, 68646, 422720]
    assert trace.column("user").tolist() == [1, 1, 2]
    assert trace.column("arrival_s").tolist() == [0, 2153358, 2153358]
    spread = import_movietweetings(path, sort=True, jitter_s=1.0, seed=3)
    assert np.ptp(spread.column("arrival_s")[1:]) > 0
    assert (np.floor(spread.column("arrival_s")) == [0, 2153358, 2153358]).all()


def test_csv_with_all_columns_mapped(tmp_path: Path) -> None:
    text = "t,svc,who,page,n,size\n1500,rank,ann,7,10,100\n1500,home,bob,8,20,200\n4500,rank,ann,7,30,300\n"
    columns = EventColumns("t", "ms", "svc", "who", "page", "n", "size")
    trace = import_csv(written(tmp_path, text), columns, name="mine", licence="CC0")
    assert trace.info.services == ("rank", "home")
    assert trace.column("arrival_s").tolist() == [0, 0, 3]
    assert trace.column("service").tolist() == [0, 1, 0]
    assert trace.column("user").tolist() == [0, 1, 0]
    assert trace.column("item").tolist() == [7, 8, 7]
    assert trace.column("items").tolist() == [10, 20, 30]
    assert trace.column("bytes_in").tolist() == [100, 200, 300]
    assert (trace.info.name, trace.info.licence, trace.info.source) == ("mine", "CC0", "in.csv")


def test_keys_of_64_bits_stay_apart(tmp_path: Path) -> None:
    keys = [2**53, 2**53 + 1, 2**63 - 1]
    path = written(tmp_path, "t,user\n" + "".join(f"{t},{key}\n" for t, key in enumerate(keys)))
    assert import_csv(path, EventColumns("t", user="user")).column("user").tolist() == keys


@pytest.mark.parametrize("key", [2**63, 2**64 - 1])
def test_a_key_that_does_not_fit_is_named(tmp_path: Path, key: int) -> None:
    path = written(tmp_path, f"t,n\n0,1\n1,{key}\n")
    with pytest.raises(InputError, match=rf"row 1 n: {key} is not a whole number"):
        import_csv(path, EventColumns("t", user="n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("t\n", "holds no row"),
        ("time\n1\n", "has no column 't'; name one of its columns: time"),
        ("t\n1\nnan\n", "row 1 t: nan is not a time"),
        ("t\n1\nsoon\n", "row 0 t: 1 is not a time"),
        ("t\n2024-01-01\nsoon\n", "row 1 t: soon is not a time"),
        ("t\n5\n3\n", "row 1 t: is earlier than the row before"),
        ("t,n\n5,1\n6,1.5\n", "row 1 n: 1.5 is not a whole number"),
        ("t,n\n5,1\n6,-1\n", "row 1 n: -1 is not a whole number"),
        ("t,n\n5,1\n6,\n", "row 1 n: nan is not a whole number"),
        ("t,n\n5,99999999999\n", "row 0 n: 99999999999 is not a whole number from 0 to 2147483647"),
    ],
)
def test_mistakes_in_a_csv(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        import_csv(path, EventColumns("t", items="n" if ",n" in text else None))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200) | st.text("0123456789.,-\nteinfa :\"'", max_size=200).map(str.encode))
def test_any_bytes_give_a_trace_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("in.csv", "in.parquet"):
        (folder / name).write_bytes(b"t,n\n" + content if name.endswith("csv") else content)
        message = ""
        try:
            import_csv(folder / name, EventColumns("t", items="n"))
        except InputError as error:
            message = str(error)
        assert "\n" not in message


def test_counts_with_gaps_repeats_and_a_filter(tmp_path: Path) -> None:
    text = (
        "kind,when,n\nweb,2024-01-01 00:00,5\nbot,2024-01-01 00:00,900\nweb,2024-01-01 00:05,1\n"
        "web,2024-01-01 00:05,2\nweb,2024-01-01 00:15,7\n"
    )
    series = read_counts(written(tmp_path, text), "n", "when", where={"kind": "web"})
    assert series.counts.tolist() == [5, 3, 0, 7]
    assert series.bin_s == 300
    assert "1 of 4 bins are absent" in series.notes[0]


def test_counts_by_number_of_bin_and_by_row(tmp_path: Path) -> None:
    path = written(tmp_path, "minute,f,n\n480,1,5\n480,2,6\n482,1,7\n")
    assert read_counts(path, "n", "minute", bin_s=60).counts.tolist() == [11, 0, 7]
    assert read_counts(path, "n", None, bin_s=60).counts.tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when,n\n2024-01-01 00:00,5\n", "one time only"),
        ("when,n\n2024-01-01 00:00,5\n2024-01-01 00:02,5\n2024-01-01 00:05,5\n", "row 2 when"),
        ("when,n\n2024-01-01 00:00,5\nx,5\n", "row 1 when: x is not a time"),
        ("when,n\n2024-01-01 00:00,5\n2024-01-01 00:01,-5\n", "row 1 n: -5 is not a whole number"),
        ("when,n\n2024-01-01 00:00:00.000001,5\n2024-01-01 00:00:00,5\n2024-01-01 00:01,5\n", "spans 60000001 bins"),
        ("when,m\n2024-01-01 00:00,5\n", "has no column 'n'"),
    ],
)
def test_mistakes_in_counts(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_counts(written(tmp_path, text), "n", "when")
    assert message in str(caught.value)


def test_a_time_column_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no column 'minute'; name one of its columns: n"):
        read_counts(written(tmp_path, "n\n5\n7\n"), "n", "minute")


def test_days_need_bins_that_fill_a_day(tmp_path: Path) -> None:
    path = written(tmp_path, "when,n\n2024-01-01 00:00,5\n2024-01-01 00:07,7\n")
    with pytest.raises(InputError, match="bins of 420 s, which do not fill a day"):
        read_counts(path, "n", "when", days=[date(2024, 1, 1)])


def test_time_zones_become_utc(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=3, freq="s", tz="Europe/Paris"), "n": [1, 2, 3]})
    frame.to_parquet(tmp_path / "z.parquet")
    assert import_csv(tmp_path / "z.parquet", EventColumns("t")).column("arrival_s").tolist() == [0, 1, 2]
    assert read_counts(tmp_path / "z.parquet", "n", "t").start_s == pd.Timestamp("2023-12-31 23:00").timestamp()


@pytest.mark.data
@NEEDS_DATA
def test_azure_matches_its_known_facts() -> None:
    summary = import_azure_llm(data_path("arrivals_azure_llm2023_code.parquet")).describe()
    assert summary.requests == 8819
    assert summary.mean_rate_rps == pytest.approx(2.57, abs=0.01)
    assert summary.cv_interarrival == pytest.approx(13.2, abs=0.1)
    assert summary.licence == "CC BY 4.0"


@pytest.mark.data
@NEEDS_DATA
def test_movietweetings_matches_its_known_facts() -> None:
    summary = import_movietweetings(data_path("ratings_movietweetings.parquet")).describe()
    assert (summary.requests, summary.users, summary.items) == (80_470, 14_216, 9_448)
    assert summary.mean_rate_rps == pytest.approx(0.0061, abs=0.0001)
    assert summary.cv_interarrival == pytest.approx(1.45, abs=0.01)
    assert summary.item_zipf_s == pytest.approx(0.89, abs=0.01)
    assert summary.user_zipf_s == pytest.approx(0.70, abs=0.01)


@pytest.mark.data
@NEEDS_DATA
def test_world_cup_season_matches_its_known_facts() -> None:
    series = read_counts(data_path("arrivals_worldcup98_1min.parquet"))
    assert len(series.counts) == 64_800
    assert series.bin_s == 60
    assert series.counts.mean() / 60 == pytest.approx(90.5, abs=0.05)
    assert series.counts.max() / 60 == pytest.approx(2143, abs=1)
