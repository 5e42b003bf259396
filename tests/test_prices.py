"""Snapshots of prices: the forms they come in, what is checked while they are read, and what the errors say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import closes, make_study, simulated, write_columns

from engine.errors import DataError
from engine.market import PriceSeries, Snapshot, find_snapshot, read_series
from engine.study import load_study

DATES = ["2021-03-01", "2021-03-02", "2021-03-03"]
ABC = {"date": DATES, "close": [10.0, 11.0, 12.0]}
IDX = {"date": DATES, "close": [100.0, 101.0, 99.0]}


def read(folder: Path, symbol: str = "ABC") -> PriceSeries:
    found, missing = read_series(find_snapshot("snap", folder, ()), [symbol])
    assert not missing
    return found[symbol]


def one_file(folder: Path, columns: dict[str, Any]) -> PriceSeries:
    write_columns(folder / "snap" / "ABC.csv", columns)
    return read(folder)


def error_of(folder: Path, columns: dict[str, Any]) -> str:
    with pytest.raises(DataError) as error:
        one_file(folder, columns)
    assert str(folder / "snap" / "ABC.csv") in str(error.value)
    return str(error.value)


# The forms of a snapshot


def folder_of_csv(root: Path) -> None:
    write_columns(root / "snap" / "ABC.csv", ABC)
    write_columns(root / "snap" / "^IDX.csv", IDX)


def symbols_and_prices(root: Path) -> None:
    write_columns(root / "snap" / "prices" / "ABC.csv", ABC)
    write_columns(root / "snap" / "prices" / "^IDX.csv", IDX)
    write_columns(root / "snap" / "symbols.csv", {"symbol": ["ABC"], "exchange": ["XETR"], "name": ["A, B & C"]})


def parquet_folder(root: Path) -> None:
    (root / "snap").mkdir()
    frames = [pl.DataFrame(c).with_columns(symbol=pl.lit(s)) for s, c in (("^IDX", IDX), ("ABC", ABC))]
    table = pl.concat(frames).with_columns(pl.col("date").str.to_date()).sample(fraction=1, shuffle=True, seed=3)
    table.write_parquet(root / "snap" / "prices.parquet")
    digest = hashlib.sha256((root / "snap" / "prices.parquet").read_bytes()).hexdigest()
    manifest = {"source": "made up", "redistributable": True, "files": {"prices.parquet": {"sha256": digest}}}
    (root / "snap" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("form", [folder_of_csv, symbols_and_prices, parquet_folder])
def test_the_forms_of_a_snapshot(tmp_path: Path, form: Any) -> None:
    form(tmp_path)
    snapshot = find_snapshot("snap", tmp_path, ())
    found, missing = read_series(snapshot, ["ABC", "^IDX", "NOT"])
    assert missing == ["NOT"]
    assert found["ABC"].dates.astype(str).tolist() == DATES
    assert found["ABC"].values.tolist() == [10, 11, 12]
    assert found["^IDX"].values.tolist() == [100, 101, 99]
    assert not found["ABC"].is_return
    assert snapshot.redistributable is (form is parquet_folder)
    assert snapshot.listings == (
        {"ABC": {"symbol": "ABC", "exchange": "XETR", "name": "A, B & C"}} if form is symbols_and_prices else {}
    )


def test_a_parquet_file_is_a_snapshot(tmp_path: Path) -> None:
    pl.DataFrame({"symbol": ["ABC"] * 3, "date": DATES, "return": [0.1, None, 0.3]}).write_parquet(
        tmp_path / "all.parquet"
    )
    series = read_series(find_snapshot("all.parquet", tmp_path, ()), ["ABC"])[0]["ABC"]
    np.testing.assert_array_equal(series.values, [0.1, np.nan, 0.3])
    assert series.is_return


def test_where_a_snapshot_is_looked_for(tmp_path: Path) -> None:
    """In the study's folder, then along the path: an entry is a snapshot named after its folder, or holds snapshots."""
    for place, value in (("study/snap", 1.0), ("first/snap", 2.0), ("second", 3.0)):
        write_columns(tmp_path / place / "ABC.csv", {"date": DATES[:1], "close": [value]})

    def first_close(name: str, path: tuple[Path, ...], study: str = "study") -> float:
        snapshot = find_snapshot(name, tmp_path / study, path)
        return float(read_series(snapshot, ["ABC"])[0]["ABC"].values[0])

    assert first_close("snap", (tmp_path / "first",)) == 1
    assert first_close("snap", (tmp_path / "first",), study="elsewhere") == 2
    assert first_close("snap", (tmp_path / "first" / "snap",), study="elsewhere") == 2
    assert first_close("second", (tmp_path / "first", tmp_path / "second")) == 3
    assert first_close(str(tmp_path / "second"), ()) == 3
    with pytest.raises(DataError, match=r'"third" is not here.*nowhere: the data path is empty'):
        first_close("third", ())


def test_a_changed_file_is_found_by_its_hash(tmp_path: Path) -> None:
    series = simulated(1, ["S0"], 100)
    study = make_study(tmp_path, [{"event_id": "e", "symbol": "S0", "announced_at": series["S0"]["date"][80]}], series)
    files = {
        f"{s}.csv": {"sha256": hashlib.sha256((tmp_path / "data" / f"{s}.csv").read_bytes()).hexdigest()}
        for s in series
    }
    (tmp_path / "data" / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    assert load_study(study, data_path=()).sha256["snapshot"] == {n: f["sha256"] for n, f in files.items()}
    with (tmp_path / "data" / "S0.csv").open("a", encoding="utf-8") as file:
        file.write("2030-01-02,0.1\n")
    with pytest.raises(DataError, match=r"S0\.csv: its sha256 is .* the manifest of snapshot data says"):
        load_study(study, data_path=())


def test_a_file_that_a_fetched_snapshot_does_not_name_is_refused(tmp_path: Path) -> None:
    series = simulated(1, ["S0"], 100)
    study = make_study(tmp_path, [{"event_id": "e", "symbol": "S0", "announced_at": series["S0"]["date"][80]}], series)
    (tmp_path / "data" / "manifest.json").write_text(
        json.dumps({"files": {"MKT.csv": {}}, "failures": {}}), encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"S0\.csv: is not in the manifest of snapshot data"):
        load_study(study, data_path=())


# Columns


def test_adjusted_closes_come_before_closes(tmp_path: Path) -> None:
    assert one_file(tmp_path, ABC | {"adj_close": [5, 6, 7]}).values.tolist() == [5, 6, 7]


def test_an_empty_adjusted_column_leaves_the_closes(tmp_path: Path) -> None:
    assert one_file(tmp_path, ABC | {"adj_close": [None] * 3}).values.tolist() == [10, 11, 12]


@pytest.mark.parametrize("header", ["Adj Close", "ADJ_CLOSE", " adj_close ", "\ufeffadj_close"])
def test_headers_as_vendors_write_them(tmp_path: Path, header: str) -> None:
    series = one_file(tmp_path, {header: [5, 6, 7], "Date": DATES, "Close": [1, 1, 1], "Stock Splits": [0, 0, 0]})
    assert series.values.tolist() == [5, 6, 7]


def test_rows_in_any_order(tmp_path: Path) -> None:
    series = one_file(tmp_path, {"date": [DATES[2], DATES[0], DATES[1]], "close": [12, 10, 11]})
    assert series.values.tolist() == [10, 11, 12]
    assert series.dates.astype(str).tolist() == DATES


@pytest.mark.parametrize("nothing", ["", "nan", "NA", "null", "None", "N/A"])
def test_cells_that_say_nothing(tmp_path: Path, nothing: str) -> None:
    np.testing.assert_array_equal(one_file(tmp_path, ABC | {"close": [10, nothing, 12]}).values, [10, np.nan, 12])


@pytest.mark.parametrize("price", [0.0, -37.63])
def test_a_price_that_is_not_positive_is_no_price(tmp_path: Path, price: float) -> None:
    np.testing.assert_array_equal(one_file(tmp_path, ABC | {"close": [10, price, 12]}).values, [10, np.nan, 12])


@pytest.mark.parametrize(
    ("close", "volume", "stale"),
    [
        ([10, 10, 12], [5, 0, 5], [False, True, False]),
        ([10, 11, 12], [5, 0, 5], [False, False, False]),  # another close: a price
        ([10, 10, 12], [5, None, 5], [False, False, False]),  # an empty cell says nothing
        ([10, 10, 10], [0, 0, 0], [False, False, False]),  # a series without any volume, such as an index
        ([10, 10, 10], [0, 0, 5], [False, True, False]),
    ],
)
def test_stale_prices(tmp_path: Path, close: list[Any], volume: list[Any], stale: list[bool]) -> None:
    series = one_file(tmp_path, {"date": DATES, "close": close, "volume": volume})
    assert series.stale.tolist() == stale
    assert np.isnan(series.values).tolist() == stale


def test_staleness_is_judged_by_the_close_not_the_adjusted_close(tmp_path: Path) -> None:
    """The adjusted close moves on a dividend day without trade."""
    series = one_file(tmp_path, ABC | {"close": [10, 10, 12], "adj_close": [8, 9, 12], "volume": [5, 0, 5]})
    assert series.stale.tolist() == [False, True, False]


# Errors name file and row


def test_duplicate_dates(tmp_path: Path) -> None:
    says = error_of(tmp_path, {"date": [*DATES, DATES[0], DATES[1]], "close": [1, 2, 3, 4, 5]})
    assert "date 2021-03-01 stands there more than once (and 1 more)" in says


@pytest.mark.parametrize("bad", ["ten", "1,000", "10..5", "inf", "-Infinity", "1e999"])
@pytest.mark.parametrize("column", ["close", "adj_close", "return", "volume"])
def test_text_and_infinities(tmp_path: Path, column: str, bad: str) -> None:
    says = error_of(tmp_path, {"date": DATES, "close": [1, 2, 3], column: [1, bad, 3]})
    assert f"row 3, column {column}" in says
    assert f'"{bad}" is not a number' in says


@pytest.mark.parametrize(
    "bad", ["2021-02-30", "2021-13-01", "01/03/2021", "2021-3-2", "20210302", "", "2021-03-02 16:00"]
)
def test_dates_that_do_not_exist(tmp_path: Path, bad: str) -> None:
    says = error_of(tmp_path, {"date": [DATES[0], bad, DATES[2]], "close": [1, 2, 3]})
    assert "row 3, column date" in says
    assert "is not a date that exists" in says


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"day": DATES, "close": [1, 2, 3]}, 'has no column "date"'),
        ({"date": DATES, "price": [1, 2, 3]}, "has none of the columns close, adj_close, return. Read: date, price"),
        ({"date": DATES, "close": [1, 2, 3], "Close": [1, 2, 3]}, "two columns have the same name"),
        ({"date": DATES, "adj_close": [None] * 3}, "the column adj_close is empty and there is no close"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    assert says in error_of(tmp_path, columns)


def test_a_header_that_stands_twice(tmp_path: Path) -> None:
    """Which of the two columns is the price cannot be told."""
    (tmp_path / "snap").mkdir()
    (tmp_path / "snap" / "ABC.csv").write_text("date,close,close\n2021-03-01,1,5\n", encoding="utf-8")
    with pytest.raises(DataError, match=r'ABC\.csv: row 1: the column "close" stands there more than once'):
        read(tmp_path)


def test_a_row_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "snap").mkdir()
    (tmp_path / "snap" / "ABC.csv").write_text("date,close\n2021-03-01,1\n2021-03-02,1,5\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"ABC\.csv: cannot be read as CSV"):
        read(tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "snap").mkdir()
    (tmp_path / "snap" / "ABC.csv").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"ABC\.csv: is empty"):
        read(tmp_path)


def test_a_parquet_without_symbols(tmp_path: Path) -> None:
    pl.DataFrame(ABC).write_parquet(tmp_path / "all.parquet")
    with pytest.raises(DataError, match=r'all\.parquet: .*column "symbol".*date.*close'):
        read_series(find_snapshot("all.parquet", tmp_path, ()), ["ABC"])


def test_a_parquet_with_a_bad_cell_names_file_and_symbol(tmp_path: Path) -> None:
    table = pl.DataFrame({"symbol": ["ABC"] * 3, "date": DATES, "close": [1.0, float("inf"), 3.0]})
    table.write_parquet(tmp_path / "all.parquet")
    with pytest.raises(DataError, match=r"all\.parquet symbol ABC: row 3, column close"):
        read_series(find_snapshot("all.parquet", tmp_path, ()), ["ABC"])


def test_a_manifest_that_is_not_json(tmp_path: Path) -> None:
    write_columns(tmp_path / "snap" / "ABC.csv", ABC)
    (tmp_path / "snap" / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest\.json: is not valid JSON"):
        read(tmp_path)


# Missing symbols, all named at once


def study_without(folder: Path, *absent: str, **overrides: Any) -> Path:
    series = simulated(1, ["S0", "S1", "S2"], 100)
    events = [{"event_id": s, "symbol": s, "announced_at": series["S0"]["date"][80]} for s in ("S0", "S1", "S2")]
    kept = {s: c for s, c in series.items() if s not in absent}
    return make_study(folder, events, kept, **overrides)


def test_missing_symbols_are_all_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no prices for benchmark MKT and listing S0, S2"):
        load_study(study_without(tmp_path, "MKT", "S2", "S0"), data_path=())


def test_missing_listings_may_become_rows(tmp_path: Path) -> None:
    from engine import run_study

    loose = {"limits": {"allow_missing_symbols": True, "max_excluded_share": 0.7}}
    result = run_study(load_study(study_without(tmp_path / "a", "S2", "S0", **loose), data_path=()))
    assert result.tables["exclusions"].select("event_id", "stage", "reason").rows() == [
        ("S0", "prices", "no_price_file"),
        ("S2", "prices", "no_price_file"),
    ]
    with pytest.raises(DataError, match="has no prices for benchmark MKT"):
        load_study(study_without(tmp_path / "b", "MKT", **loose), data_path=())


def test_a_series_of_prices_can_have_any_number_of_rows(tmp_path: Path) -> None:
    assert len(one_file(tmp_path, closes([], [])).dates) == 0
    snapshot = find_snapshot("snap", tmp_path, ())
    assert isinstance(snapshot, Snapshot)
    assert snapshot.file_of("ABC") == tmp_path / "snap" / "ABC.csv"


def test_dates_of_a_parquet_file_are_the_exchanges_own(tmp_path: Path) -> None:
    """Midnight in Tokyo is the day before in UTC; the date that is written counts. A number is no date."""
    days = pl.Series("date", DATES).str.to_datetime("%Y-%m-%d").dt.replace_time_zone("Asia/Tokyo")
    table = pl.DataFrame(
        {"Symbol": ["ABC"] * len(DATES), "date": days, "Adj Close": [1.0 + i for i in range(len(DATES))]}
    )
    table.write_parquet(tmp_path / "p.parquet")
    found, _ = read_series(find_snapshot("p.parquet", tmp_path, ()), ["ABC"])
    assert found["ABC"].dates.astype(str).tolist() == DATES
    table.with_columns(pl.lit(20200102).alias("date")).write_parquet(tmp_path / "n.parquet")
    with pytest.raises(DataError, match="column date is Int32"):
        read_series(find_snapshot("n.parquet", tmp_path, ()), ["ABC"])
