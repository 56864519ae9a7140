"""The command ``lp``: results, exit codes, and one clear line for every unusable file."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from optimizer.document_lp import least_allocation
from recfleet.cli_lp import lp, read_demand
from workloads.errors import InputError

app = typer.Typer()
app.command()(lp)
runner = CliRunner()


def test_solved_problem(tmp_path: Path) -> None:
    file, out = tmp_path / "demand.csv", tmp_path / "plan.csv"
    file.write_text("slot,demand,note\n0,300,a\n1,500,b\n2,400,c\n")
    done = runner.invoke(
        app, ["--demand", str(file), "--capacity", "600", "--column", "demand", "--json", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["status"] == "optimal"
    assert result["allocation"] == pytest.approx([300.0, 500.0, 500.0], abs=1e-3)
    assert result["waste_squared"] == pytest.approx(10000.0, rel=1e-4)
    assert pd.read_csv(out)["allocation"].tolist() == pytest.approx([300.0, 500.0, 500.0], abs=1e-3)
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_infeasible_problem_is_a_result_with_code_1(tmp_path: Path) -> None:
    file = tmp_path / "demand.parquet"
    pd.DataFrame({"demand": [300.0, 650.0]}).to_parquet(file)
    done = runner.invoke(app, ["--demand", str(file), "--capacity", "600"])
    assert done.exit_code == 1
    assert "infeasible" in done.stdout
    assert "1 (by 50.0)" in done.stdout
    elastic = runner.invoke(app, ["--demand", str(file), "--capacity", "600", "--elastic", "--json"])
    assert elastic.exit_code == 0
    assert json.loads(elastic.stdout)["short_slots"] == [{"slot": 1, "short_by": pytest.approx(50.0, abs=1e-3)}]


def test_worked_case_says_that_it_is_synthetic() -> None:
    first, second = (runner.invoke(app, ["--example", "--seed", "3"]) for _ in range(2))
    assert first.exit_code in (0, 1)
    assert first.stdout == second.stdout
    assert "synthetic" in first.stdout
    assert "0.0158" in first.stdout


def test_the_seed_that_the_help_names_is_the_first_with_a_solution() -> None:
    done = [runner.invoke(app, ["--example", "--seed", str(seed)]) for seed in range(11)]
    assert [one.exit_code for one in done] == [1] * 10 + [0]
    hint = "there to show this: hardly any draw has a solution. The first that has one: recfleet lp --example --seed 10"
    assert [hint in one.output for one in done] == [True] * 10 + [False]
    assert hint not in runner.invoke(app, ["--example", "--capacity", "650"]).output


def test_the_worked_case_says_how_often_it_has_a_solution_in_closed_form_and_simulated() -> None:
    done = runner.invoke(app, ["--example", "--seed", "10"])
    assert "0.01583 (closed form); simulated 0.01" in done.stdout
    assert "95% interval" in done.stdout
    found = json.loads(runner.invoke(app, ["--example", "--draws", "20000", "--json"]).stdout)["feasibility"]
    assert found["closed_form"] == pytest.approx(0.0158262, rel=1e-5)
    assert found["low"] < found["closed_form"] < found["high"]
    assert found["draws"] == 20000
    bounded = ["--example", "--initial", "300", "--ramp-up", "50", "--draws", "5000", "--json"]
    found = json.loads(runner.invoke(app, bounded).stdout)["feasibility"]
    assert found["closed_form"] is None
    assert found["simulated"] < 0.01


def test_the_worked_case_on_a_rolling_horizon() -> None:
    """The truth for a forecast gives the closed form of the slots that were planned; the last value is a slot late."""
    solved = ["--example", "--seed", "10", "--horizon", "4", "--ramp-down", "20"]
    truth = json.loads(runner.invoke(app, [*solved, "--forecast", "oracle", "--json"]).stdout)
    demand = np.array(truth["demand"])
    assert len(demand) == 23
    assert truth["source"] == "worked case, synthetic, seed 10, plans of 4 slots on oracle"
    assert "feasibility" not in truth
    np.testing.assert_allclose(truth["allocation"], least_allocation(demand, 20.0), atol=1e-3)
    printed = runner.invoke(app, solved)
    assert printed.exit_code == 0
    assert "each plan is optimal; against the demand that came: waste" in printed.stdout
    assert " short in " in printed.stdout


@pytest.mark.parametrize("objective", ["linear", "quadratic"])
def test_several_resources_with_prices_and_a_budget(tmp_path: Path, objective: str) -> None:
    file, out = tmp_path / "demand.csv", tmp_path / "plan.csv"
    file.write_text("gpu,cpu,usd\n3,40,1\n5,20,2\n2,30,1\n")
    options = ["--column", "gpu", "--column", "cpu", "--price-column", "usd", "--capacity", "6", "--capacity", "50"]
    given = ["--demand", str(file), *options, "--objective", objective, "--ramp-down", "15"]
    done = runner.invoke(app, [*given, "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["resources"] == ["gpu", "cpu"]
    assert result["allocation"] == [[3.0, 5.0, 2.0], [40.0, 25.0, 30.0]]
    assert result["objective_value"] == pytest.approx(10.0 if objective == "linear" else 50.0, rel=1e-6)
    assert pd.read_csv(out)["resource"].tolist() == ["gpu"] * 3 + ["cpu"] * 3
    dear = runner.invoke(app, [*given, "--budget", "50"])
    assert dear.exit_code == 1
    assert "demand costs more than the budget in slots 1 (by 10.0)" in dear.stdout
    assert runner.invoke(app, [*given, "--budget", "50", "--elastic"]).exit_code == 0
    low = runner.invoke(app, ["--demand", str(file), *options[:6], "--capacity", "4", "--capacity", "50"])
    assert "1 (by 1.0 of gpu)" in low.stdout


def test_a_column_called_demand_wins(tmp_path: Path) -> None:
    file = tmp_path / "demand.csv"
    file.write_text("slot,demand\n0,300\n1,500\n")
    assert read_demand(file).tolist() == [300.0, 500.0]
    assert read_demand(file, "slot").tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("demand\n1\n\n-2\n", [], "row 2 column demand: -2 is not a finite number >= 0"),
        ("demand,x\n1,a\nnan,b\n", ["--column", "demand"], "row 2 column demand"),
        ("demand\n1\ninf\n", [], "row 2 column demand"),
        ("demand\n1\nlots\n", [], "lots"),
        ("demand\n", [], "it has no rows"),
        ("", [], "it is empty"),
        ("a,b\n1,2\n", [], "name the column of the demand with --column"),
        ("a,b\n1,2\n", ["--column", "c"], "choose one of a, b"),
        ("500\n600\n", [], "add a header line"),
        ("demand\n1\n", ["--capacity", "-1"], "lp --capacity"),
        ("demand\n1\n", ["--capacity", "nan"], "lp --capacity"),
        ("demand\n1\n", ["--ramp-down", "-1"], "lp --ramp-down"),
        ("demand\n1\n", ["--penalty", "2"], "add --elastic"),
        ("demand\n1\n", ["--elastic", "--penalty", "0"], "lp --penalty"),
        ("demand\n1\n", ["--example"], "one of them"),
        ("demand\n1\n", ["--ramp-up", "-1"], "lp --ramp-up"),
        ("demand\n1\n", ["--budget", "nan"], "lp --budget"),
        ("demand\n1\n", ["--initial", "700"], "initial: 700 cannot fall"),
        ("demand\n1\n", ["--objective", "cubic"], "choose one of linear, quadratic"),
        ("demand\n1\n", ["--objective", "quadratic", "--solver", "cbc"], "choose one of pdlp, scip"),
        ("demand\n1\n", ["--capacity", "700"], "2 of them for 1 resources"),
        ("demand,p\n1,0\n", ["--column", "demand", "--price-column", "p"], "0 is not a finite number > 0"),
        ("demand\n1\n", ["--column", "demand", "--column", "demand"], "comes twice"),
        ("demand\n1\n", ["--out", "/no/such/folder/plan.csv"], "folder that exists"),
        ("demand\n1\n", ["--out", "."], "--out .: is no file"),
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path: Path, text: str, options: list[str], expected: str) -> None:
    file = tmp_path / "demand.csv"
    file.write_text(text)
    done = runner.invoke(app, ["--demand", str(file), "--capacity", "600", *options])
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


def test_missing_things(tmp_path: Path) -> None:
    assert runner.invoke(app, []).exit_code == 2
    missing = runner.invoke(app, ["--demand", str(tmp_path / "none.csv"), "--capacity", "1"])
    assert missing.exit_code == 2
    assert "there is no such file" in missing.stderr
    file = tmp_path / "demand.csv"
    file.write_text("demand\n1\n")
    assert "--capacity" in runner.invoke(app, ["--demand", str(file)]).stderr


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=120) | st.text(alphabet="0123456789.,-\n\"'e nai;", max_size=80).map(str.encode),
    st.sampled_from([".csv", ".parquet"]),
)
def test_any_bytes_give_numbers_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / f"demand{suffix}"
    file.write_bytes(data)
    with contextlib.suppress(InputError):
        demand = read_demand(file)
        assert demand.ndim == 1
        assert demand.size > 0
        assert np.isfinite(demand).all()
        assert (demand >= 0.0).all()


def test_a_rolling_horizon(tmp_path: Path) -> None:
    """The last value is always a slot late; with the truth nothing is short, and the plan is the running maximum."""
    file, out = tmp_path / "demand.csv", tmp_path / "plan.csv"
    file.write_text("demand\n300\n500\n400\n450\n")
    asked = ["--demand", str(file), "--capacity", "600", "--horizon", "2", "--json", "--out", str(out)]
    late = json.loads(runner.invoke(app, asked).stdout)
    assert late["allocation"] == pytest.approx([300.0, 500.0, 500.0], abs=1e-4)
    assert late["short_slots"] == [{"slot": 1, "short_by": pytest.approx(200.0, abs=1e-3)}]
    assert pd.read_csv(out)["slot"].tolist() == [1, 2, 3]
    known = json.loads(runner.invoke(app, [*asked, "--forecast", "oracle"]).stdout)
    assert known["allocation"] == pytest.approx([500.0, 500.0, 500.0], abs=1e-4)
    assert known["short_slots"] == []
    cheap = json.loads(runner.invoke(app, [*asked, "--penalty", "0.5"]).stdout)
    assert cheap["allocation"][0] <= late["allocation"][0] + 1e-6
    for wrong, told in (
        (["--whole"], "--whole"),
        (["--budget", "0"], "--budget"),
        (["--level", "2"], "--level"),
        (["--forecast", "x"], "no such method"),
    ):
        done = runner.invoke(app, [*asked, *wrong])
        assert done.exit_code == 2
        assert told in done.output
