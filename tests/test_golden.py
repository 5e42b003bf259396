"""Golden results: equal stays silent, a changed cell is named with its event, withheld columns never reach the folder."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from conftest import DEFAULTS, closes, make_study, run, simulated, weekdays

from engine.golden import bless, compare
from engine.results import StudyResult

DATES = weekdays(160)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    return make_study(tmp_path / "made", events, simulated(3, ["A", "B"], 160), model=DEFAULTS["model"])


def moved(result: StudyResult, table: str, column: str, factor: float) -> StudyResult:
    """The same result with the first cell of a column multiplied."""
    frame = result.tables[table]
    values = frame[column].to_list()
    values[0] *= factor
    return StudyResult(result.tables | {table: frame.with_columns(pl.Series(column, values))}, result.manifest)


def test_the_same_numbers_are_equal(study: Path, tmp_path: Path) -> None:
    result = run(study)
    bless(result, tmp_path / "golden", "first")
    found = compare(run(study), tmp_path / "golden")
    assert found.differences == ()
    assert found.inputs == ()
    assert found.summary() == "inputs unchanged, numbers equal"


def test_a_changed_cell_is_named(study: Path, tmp_path: Path) -> None:
    result = run(study)
    bless(result, tmp_path / "golden", "first")
    (difference,) = compare(moved(result, "cars", "car", 1 + 1e-8), tmp_path / "golden").differences
    assert (difference.study, difference.table, difference.column) == ("made", "cars", "car")
    assert difference.row == "event_id=e0 symbol=A window_start=-5 window_end=5"
    assert float(difference.new) == pytest.approx(float(difference.old) * (1 + 1e-8), rel=1e-12)
    assert compare(moved(result, "cars", "car", 1 + 1e-10), tmp_path / "golden").differences == ()


def test_a_lost_event_and_a_changed_input_are_named(study: Path, tmp_path: Path) -> None:
    bless(run(study), tmp_path / "golden", "first")
    events = study / "events.csv"
    events.write_text("".join(f"{line}\n" for line in events.read_text().splitlines() if not line.startswith("e1")))
    found = compare(run(study), tmp_path / "golden")
    assert found.inputs == ("calendar events.csv", "prices B.csv")
    assert ("events", "event_id=e1 symbol=B", "row") in {(d.table, d.row, d.column) for d in found.differences}


def test_one_changed_price_names_its_event(study: Path, tmp_path: Path) -> None:
    bless(run(study), tmp_path / "golden", "first")
    path = study / "data" / "B.csv"
    lines = path.read_text().splitlines()
    lines[100] = lines[100].split(",")[0] + ",0.077"  # the day after event e1, which is session 99
    path.write_text("\n".join(lines) + "\n")
    found = compare(run(study), tmp_path / "golden")
    assert found.inputs == ("prices B.csv",)
    by_event = {d.row.split()[0] for d in found.differences if d.table in ("fits", "cars")}
    assert by_event == {"event_id=e1"}


def test_prices_that_may_not_be_passed_on_stay_out(study: Path, tmp_path: Path) -> None:
    bless(run(study), tmp_path / "golden", "first")
    columns = (tmp_path / "golden" / "abnormal_returns.csv").read_text().splitlines()[0].split(",")
    assert columns == ["event_id", "symbol", "relative_day", "date", "ar", "sar"]
    withheld = json.loads((tmp_path / "golden" / "manifest.json").read_text())["withheld"]["abnormal_returns"]
    assert set(withheld) == {"actual", "expected"}
    found = compare(moved(run(study), "abnormal_returns", "actual", 1.001), tmp_path / "golden")
    assert [(d.table, d.column) for d in found.differences] == [("abnormal_returns", "actual")]


def test_redistributable_prices_keep_all_columns(study: Path, tmp_path: Path) -> None:
    (study / "data" / "manifest.json").write_text('{"redistributable": true}')
    bless(run(study), tmp_path / "golden", "first")
    header = (tmp_path / "golden" / "abnormal_returns.csv").read_text().splitlines()[0]
    assert "actual,expected" in header


def test_blessing_keeps_every_reason_and_what_it_moved(study: Path, tmp_path: Path) -> None:
    first = run(study)
    bless(first, tmp_path / "golden", "first")
    bless(moved(first, "cars", "car", 1.5), tmp_path / "golden", "a dividend\nwas corrected")
    _, _, told, _, reason, before, cell, earlier = (tmp_path / "golden" / "CHANGELOG.md").read_text().splitlines()
    was = first.tables["cars"]["car"][0]
    assert (told, reason, earlier) == ("The newest entry comes first.", "- a dividend was corrected", "- first")
    where = "event_id=e0 symbol=A window_start=-5 window_end=5"
    assert before == f"  Before: inputs unchanged, numbers moved in 1 cells of 1 pair, first in {where}."
    assert cell == f"  The first: cars.csv, {where}, car: {was:.15g} -> {1.5 * was:.15g}."


def test_price_series_and_return_series_are_not_mixed_up(tmp_path: Path) -> None:
    """A price path and its returns as a return series give the same result."""
    made = simulated(5, ["A"], 160)
    paths = {}
    for symbol, columns in made.items():
        level, values = 100.0, []
        for r in columns["return"]:
            level *= 1 + r
            values.append(level)
        paths[symbol] = closes(columns["date"], values)
    events = [{"event_id": "e", "symbol": "A", "announced_at": DATES[120]}]
    by_return = run(make_study(tmp_path / "r", events, made)).tables["cars"]
    by_price = run(make_study(tmp_path / "p", events, paths)).tables["cars"]
    assert by_price["car"].to_list() == pytest.approx(by_return["car"].to_list(), rel=1e-9)


def test_a_table_above_the_limit_is_parquet_and_reads_back(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine import results

    monkeypatch.setattr(results, "MANY_ROWS", 10)
    result = run(study)
    results.write_result(result, tmp_path / "out")
    assert (tmp_path / "out" / "abnormal_returns.parquet").is_file()
    assert (tmp_path / "out" / "fits.csv").is_file()
    assert results.read_result(tmp_path / "out") == result
