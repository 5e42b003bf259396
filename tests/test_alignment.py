"""Benchmarks and factors: aligned by the instant of the close, converted, without the listing itself, and read from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from conftest import cell, closes, make_study, rows_of, run, texts, weekdays, write_columns

from engine.errors import DataError, SpecError
from engine.inputs import load_study
from engine.lines import Grid, Market, build_line
from engine.market import PriceSeries
from engine.market.alignment import exchange_clock, returns_by_close, weekday_clock
from engine.market.factors import read_factors
from engine.plan import plan_study
from engine.report import memo_markdown
from engine.report.wording import model_name
from engine.sessions import exchange_sessions

NAN = float("nan")


def series(symbol: str, cells: dict[str, float], is_return: bool = False) -> PriceSeries:
    dates = np.array(sorted(cells), "datetime64[D]")
    values = np.array([cells[str(d)] for d in dates], float)
    return PriceSeries(symbol, dates, values, np.zeros(len(dates), bool), is_return)


def on_sessions(exchange: str, first: str, last: str) -> tuple[Any, Any]:
    """Dates and closes of an exchange between two days."""
    known = exchange_sessions(exchange, 2026)
    inside = (known.dates >= np.datetime64(first)) & (known.dates <= np.datetime64(last))
    return known.dates[inside], known.closes[inside]


def by_close(one: PriceSeries, venue: str, exchange: str, first: str, last: str, log: bool = False) -> dict[str, float]:
    """Returns of ``one`` on the sessions of ``exchange``, by date."""
    clock = weekday_clock(one, venue, "here") if ":" in venue else exchange_clock(exchange_sessions(venue, 2026))
    dates, instants = on_sessions(exchange, first, last)
    return dict(zip(dates.astype(str).tolist(), returns_by_close(one, clock, instants, log).tolist(), strict=True))


def same(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert list(found) == list(wanted)
    np.testing.assert_allclose(list(found.values()), list(wanted.values()), rtol=1e-12, atol=1e-15)


# A week around Thanksgiving 2025: New York is shut on Thursday the 27th, Tokyo on Monday the 24th.
US = {"2025-11-20": 100.0, "2025-11-21": 101.0, "2025-11-24": 103.0, "2025-11-25": 102.0, "2025-11-26": 104.0,
      "2025-11-28": 107.0, "2025-12-01": 108.0}  # fmt: skip


def test_a_factor_of_new_york_reaches_tokyo_on_the_next_session() -> None:
    """Tokyo's Tuesday the 25th sees New York's Friday and Monday; its Friday sees no close in between: no change."""
    found = by_close(series("^US", US), "XNYS", "XTKS", "2025-11-21", "2025-12-01")
    wanted = {"2025-11-21": NAN, "2025-11-25": 103 / 100 - 1, "2025-11-26": 102 / 103 - 1, "2025-11-27": 104 / 102 - 1,
              "2025-11-28": 0.0, "2025-12-01": 107 / 104 - 1}  # fmt: skip
    same(found, wanted)
    logs = by_close(series("^US", US), "XNYS", "XTKS", "2025-11-21", "2025-12-01", log=True)
    same(logs, {d: np.log1p(r) for d, r in wanted.items()})


def test_a_factor_of_tokyo_reaches_new_york_on_its_own_date() -> None:
    tokyo = {"2025-11-25": 50.0, "2025-11-26": 51.0, "2025-11-27": 52.0, "2025-11-28": 50.0}
    found = by_close(series("^JP", tokyo), "XTKS", "XNYS", "2025-11-25", "2025-12-01")
    same(found, {"2025-11-25": NAN, "2025-11-26": 51 / 50 - 1, "2025-11-28": 50 / 51 - 1, "2025-12-01": NAN})


def test_a_close_at_the_same_instant_is_known() -> None:
    """Hong Kong and a series with Hong Kong's closes: the same as by date."""
    cells = {"2025-11-24": 10.0, "2025-11-25": 11.0, "2025-11-26": 12.1}
    found = by_close(series("^HK", cells), "XHKG", "XHKG", "2025-11-24", "2025-11-26")
    same(found, {"2025-11-24": NAN, "2025-11-25": 0.1, "2025-11-26": 0.1})


def test_returns_are_compounded_between_the_closes_and_logs_are_added() -> None:
    cells = {"2025-11-20": 0.5, "2025-11-21": 0.01, "2025-11-24": 0.02, "2025-11-25": -0.01, "2025-11-26": 0.03}
    wanted = {
        "2025-11-21": NAN,
        "2025-11-25": 1.01 * 1.02 - 1,
        "2025-11-26": -0.01,
        "2025-11-27": 0.03,
        "2025-11-28": 0.0,
    }
    same(by_close(series("F", cells, True), "XNYS", "XTKS", "2025-11-21", "2025-11-28"), wanted)
    logs = by_close(series("F", cells, True), "XNYS", "XTKS", "2025-11-21", "2025-11-28", log=True)
    assert logs["2025-11-25"] == pytest.approx(0.03)


def test_a_session_of_the_factor_without_a_value_costs_both_returns() -> None:
    cells = {d: v for d, v in US.items() if d != "2025-11-25"}
    found = by_close(series("^US", cells), "XNYS", "XTKS", "2025-11-21", "2025-12-01")
    assert np.isnan([found["2025-11-26"], found["2025-11-27"]]).all()
    assert found["2025-12-01"] == pytest.approx(107 / 104 - 1)


def test_the_hour_of_a_daily_value_decides_which_session_sees_it() -> None:
    """A value of 12:00 in London is known at the close in New York, one of 18:00 New York is not."""
    oil = dict.fromkeys(("2025-11-24", "2025-11-25", "2025-11-26"), 60.0) | {"2025-11-25": 66.0}
    early = by_close(series("OIL", oil), "12:00 Europe/London", "XNYS", "2025-11-24", "2025-11-26")
    late = by_close(series("OIL", oil), "18:00 America/New_York", "XNYS", "2025-11-25", "2025-11-26")
    same(early, {"2025-11-24": NAN, "2025-11-25": 0.1, "2025-11-26": 60 / 66 - 1})
    same(late, {"2025-11-25": NAN, "2025-11-26": 0.1})


def test_a_short_pause_of_a_market_without_calendar_is_no_change_and_a_long_one_is_a_gap() -> None:
    days = weekdays(16, "2025-11-03")
    short = {d: 60.0 + i for i, d in enumerate(days) if i not in (4, 5, 6)}
    found = by_close(series("OIL", short), "12:00 Europe/London", "XNYS", days[0], days[12])
    assert [found[d] for d in days[4:7]] == [0.0, 0.0, 0.0]
    assert found[days[7]] == pytest.approx(67 / 63 - 1)
    long = {d: 60.0 + i for i, d in enumerate(days) if i not in (4, 5, 6, 7)}
    found = by_close(series("OIL", long), "12:00 Europe/London", "XNYS", days[0], days[12])
    assert np.isnan([found[d] for d in days[4:9]]).all()
    assert found[days[9]] == pytest.approx(69 / 68 - 1)


def test_a_series_that_has_ended_is_missing_not_unchanged() -> None:
    oil = {d: 60.0 + i for i, d in enumerate(weekdays(6, "2025-11-03"))}
    found = by_close(series("OIL", oil), "12:00 Europe/London", "XNYS", "2025-11-07", "2025-11-12")
    same(found, {"2025-11-07": NAN, "2025-11-10": 65 / 64 - 1, "2025-11-11": NAN, "2025-11-12": NAN})


@pytest.mark.parametrize(
    "close", ["noon London", "25:00 Europe/London", "12:00", "12:00 Atlantis/City", "12:00:00 UTC"]
)
def test_a_closing_time_that_is_none_is_refused(close: str) -> None:
    with pytest.raises(SpecError, match=r'here = ".*" is no closing time\. Write hour and zone'):
        weekday_clock(series("OIL", {"2025-11-03": 1.0}), close, "here")


# Lines: currency, baskets, own weight

DAYS = np.array(["2021-03-01", "2021-03-02", "2021-03-03", "2021-03-04"], "datetime64[D]")


def listed(symbol: str, values: list[float]) -> PriceSeries:
    return series(symbol, dict(zip(DAYS.astype(str).tolist(), values, strict=True)))


def line_of(benchmark: str, log: bool = False, **market: Any) -> Any:
    known = {
        "S": listed("S", [100, 110, 99, 99]),
        "I": listed("I", [1000, 1050, 1050, 1071]),
        "A": listed("A", [10, 11, 11, NAN]),
        "B": listed("B", [20, 20, 25, 25]),
        "C": listed("C", [5, NAN, NAN, 6]),
    }
    return build_line("S", benchmark, Grid(DAYS, None, "", {}), Market(known, log, **market))


@pytest.mark.parametrize("log", [False, True])
def test_returns_in_a_base_currency(log: bool) -> None:
    """In dollars: price over units of the currency for one dollar; in yen: times yen for one dollar."""
    hkd, jpy = listed("HKD=X", [7.8, 7.75, 7.76, 7.7]), listed("JPY=X", [100, 101, 103, 102])
    own, of_hkd, of_jpy = np.array([100, 110, 99, 99]), hkd.values, jpy.values
    index = np.array([1000, 1050, 1050, 1071])
    for base, factor in (("USD", 1 / of_hkd), ("JPY", of_jpy / of_hkd)):
        fx = {"HKD": hkd, "JPY": jpy} if base == "JPY" else {"HKD": hkd}
        line = line_of("I", log, base=base, currencies={"S": "HKD", "I": "HKD"}, fx=fx)
        for found, level in ((line.returns, own * factor), (line.regressors[0], index * factor)):
            wanted = np.diff(np.log(level)) if log else level[1:] / level[:-1] - 1
            np.testing.assert_allclose(found[1:], wanted, rtol=1e-12)


def test_what_is_in_the_base_currency_already_is_left_alone() -> None:
    hkd = listed("HKD=X", [7.8, 7.75, 7.76, 7.7])
    line = line_of("I", base="USD", currencies={"S": "USD", "I": "HKD"}, fx={"HKD": hkd})
    np.testing.assert_allclose(line.returns[1:], [0.1, -0.1, 0], atol=1e-15)
    np.testing.assert_allclose(line.regressors[0][1], 1050 / 1000 * 7.8 / 7.75 - 1, rtol=1e-12)


def test_a_basket_is_the_mean_of_the_others_where_half_of_them_are_there() -> None:
    line = line_of("basket", baskets={"basket": ["S", "A", "B", "C"]})
    np.testing.assert_allclose(line.regressors[0], [NAN, 0.05, 0.125, NAN], rtol=1e-12)
    np.testing.assert_allclose(line.returns, [NAN, 0.1, -0.1, NAN], rtol=1e-12)


def test_a_basket_without_another_member_is_missing() -> None:
    line = line_of("basket", baskets={"basket": ["S", "S"]})
    assert np.isnan(line.regressors).all()


@pytest.mark.parametrize("log", [False, True])
def test_the_listings_own_weight_leaves_its_index(log: bool) -> None:
    own, index = np.array([0.1, -0.1, 0]), np.array([0.05, 0, 0.02])
    wanted = (index - 0.2 * own) / 0.8
    found = line_of("I", log, own_weight={"S": 0.2, "A": 0.5}).regressors[0]
    np.testing.assert_allclose(found[1:], np.log1p(wanted) if log else wanted, rtol=1e-12, atol=1e-15)


# Studies


def world(n: int = 160) -> tuple[list[str], dict[str, Any]]:
    """Prices on Tokyo's and New York's own sessions, oil and the yen on weekdays."""
    rng = np.random.default_rng(4)
    tokyo = exchange_sessions("XTKS", 2026).dates
    york = exchange_sessions("XNYS", 2026).dates
    first = np.datetime64("2025-01-06")
    made: dict[str, Any] = {}
    days = {
        "9984.T": tokyo, "7203.T": tokyo, "6758.T": tokyo, "^N225": tokyo, "^GSPC": york,
        "JPY=X": np.array(weekdays(400, "2025-01-01"), "datetime64[D]"),
    }  # fmt: skip
    for symbol, dates in days.items():
        own = dates[dates >= first][:n]
        made[symbol] = closes(own.astype(str).tolist(), (100 * np.cumprod(1 + rng.normal(0, 0.01, n))).tolist())
    return tokyo[tokyo >= first][:n].astype(str).tolist(), made


WITHOUT: dict[str, Any] = {"factors": None, "model": {"name": "market_adjusted"}, "sessions": {"calendar": "exchange"}}
PEERS = ["7203.T", "6758.T"]
MARKET: dict[str, Any] = {"factors": None, "model": {"name": "market"}}
WORLD: dict[str, Any] = {
    "sessions": {"calendar": "exchange", "closes": {"JPY=X": "12:00 America/New_York"}},
    "benchmark": {"default": "^N225"},
    "model": {"name": "factor"},
    "factors": {"columns": ["^GSPC", "JPY=X"]},
}
ABOUT = {
    "symbol": ["9984.T", "7203.T", "^N225", "^GSPC", "JPY=X"],
    "exchange": ["XTKS", "XTKS", "XTKS", "XNYS", ""],
    "currency": ["JPY", "JPY", "JPY", "USD", "JPY"],
}


def world_study(folder: Path, **overrides: Any) -> tuple[Path, list[str], dict[str, Any]]:
    days, made = world()
    event = {"event_id": "e", "symbol": "9984.T", "announced_at": days[120]}
    study = make_study(folder, [event], made, **(WORLD | overrides))
    write_columns(folder / "data" / "symbols.csv", ABOUT)
    return study, days, made


NAMED: dict[str, Any] = WORLD | {"factors": {"set": "local_us_fx"}}


def test_the_world_market_model_by_its_name(tmp_path: Path) -> None:
    """The same bytes as its columns; the coefficient of the rate has the name that all currencies share."""
    one = run(world_study(tmp_path / "a")[0])
    two = run(world_study(tmp_path / "b", **NAMED)[0])
    assert two.manifest["coefficients"] == ["alpha", "beta_market", "beta_^GSPC", "beta_fx"]
    assert one.tables["fits"].rename({"beta_JPY=X": "beta_fx"}).equals(two.tables["fits"])
    assert texts(one)["cars"] == texts(two)["cars"]
    name = model_name(two.manifest["settings"])
    assert name == "factor model (with ^GSPC as of its last close and the rate of the currency, raw returns)"
    assert two.manifest["settings"]["factors"] == {
        "snapshot": None, "set": "local_us_fx", "columns": [], "units": "percent", "excess": False, "us": "^GSPC",
    }  # fmt: skip


def test_each_listing_has_the_rate_of_its_own_currency(tmp_path: Path) -> None:
    """Two listings of Tokyo, one of them quoted in Hong Kong dollars: each fit is that of the study of its own columns."""
    closes_of = {"JPY=X": "12:00 America/New_York", "HKD=X": "12:00 America/New_York"}
    about = {k: [*v, "" if k == "exchange" else "HKD=X" if k == "symbol" else "HKD"] for k, v in ABOUT.items()}
    about["currency"][1] = "HKD"
    found = {}
    for name, factors, symbols in (
        ("both", {"set": "local_us_fx"}, ("9984.T", "7203.T")),
        ("yen", {"columns": ["^GSPC", "JPY=X"]}, ("9984.T",)),
        ("dollars", {"columns": ["^GSPC", "HKD=X"]}, ("7203.T",)),
    ):
        days, made = world()
        rng = np.random.default_rng(9)
        made["HKD=X"] = closes(made["JPY=X"]["date"], (7.8 * np.cumprod(1 + rng.normal(0, 0.001, 160))).tolist())
        rows = [{"event_id": s, "symbol": s, "announced_at": days[120]} for s in symbols]
        used = closes_of if name == "both" else {k: v for k, v in closes_of.items() if k in factors["columns"]}
        sessions = {"calendar": "exchange", "closes": used}
        folder = make_study(tmp_path / name, rows, made, **(WORLD | {"factors": factors, "sessions": sessions}))
        write_columns(folder / "data" / "symbols.csv", about)
        found[name] = rows_of(run(folder), "fits")
    for name, symbol, beta in (("yen", "9984.T", "beta_JPY=X"), ("dollars", "7203.T", "beta_HKD=X")):
        own = found[name].rename({beta: "beta_fx"})
        assert found["both"].filter(pl.col("symbol") == symbol).equals(own)


@pytest.mark.parametrize(
    ("changes", "about", "error", "words"),
    [
        ({"factors": {"set": "local_us_fx", "columns": ["^GSPC"]}}, {}, SpecError, "has its factors"),
        ({"factors": {"set": "local_us_fx", "excess": True}}, {}, SpecError, "excess = true takes the risk-free rate"),
        ({"factors": {"columns": ["^GSPC"], "us": "^NDX"}}, {}, SpecError, "us is the index of set"),
        ({"sessions": {"calendar": "benchmark"}}, {}, SpecError, "needs \\[sessions\\] calendar"),
        ({"sessions": {"calendar": "exchange"}}, {}, SpecError, "closes is required for JPY=X"),
        ({"benchmark": {"default": None}}, {}, SpecError, "no benchmark for 9984.T"),
        ({"factors": {"set": "local_us_fx", "us": "^NDX"}}, {}, DataError, "\\^NDX \\(the US index\\), which"),
        ({}, {"currency": ["EUR", *["JPY"] * 4]}, DataError, "EUR=X \\(the rate of EUR\\), which"),
        ({}, {"currency": ["USD", *["JPY"] * 4]}, SpecError, "9984.T trades in US dollars"),
    ],
)
def test_what_the_world_market_model_lacks_is_said(
    tmp_path: Path, changes: dict[str, Any], about: dict[str, Any], error: type[Exception], words: str
) -> None:
    folder, _, _ = world_study(tmp_path, **(NAMED | changes))
    write_columns(folder / "data" / "symbols.csv", ABOUT | about)
    with pytest.raises(error, match=words):
        run(folder)


def test_the_world_market_model_equals_statsmodels_on_a_table_joined_by_hand(tmp_path: Path) -> None:
    """Park (2004): local index, the last US session closed before Tokyo, and the yen of the noon before."""
    folder, days, made = world_study(tmp_path)
    result = run(folder)
    local, index = (dict(zip(made[s]["date"], made[s]["close"], strict=True)) for s in ("9984.T", "^N225"))
    us, yen = (made[s] for s in ("^GSPC", "JPY=X"))

    def before(one: dict[str, Any], day: str) -> float:
        return [p for d, p in zip(one["date"], one["close"], strict=True) if d < day][-1]

    rows = []
    for t in range(60, 110):
        now, last = days[t], days[t - 1]
        x = [
            1.0,
            index[now] / index[last] - 1,
            before(us, now) / before(us, last) - 1,
            before(yen, now) / before(yen, last) - 1,
        ]
        rows.append((local[now] / local[last] - 1, *x))
    table = np.array(rows)
    theirs = sm.OLS(table[:, 0], table[:, 1:]).fit()
    ours = result.tables["fits"].row(0, named=True)
    names = ["alpha", "beta_market", "beta_^GSPC", "beta_JPY=X"]
    np.testing.assert_allclose([ours[n] for n in names], theirs.params, rtol=1e-10)
    np.testing.assert_allclose([ours["sigma"], ours["r2"]], [np.sqrt(theirs.scale), theirs.rsquared], rtol=1e-10)
    assert ours["n_obs"] == 50


def test_what_is_missing_is_named_when_a_pair_is_lost(tmp_path: Path) -> None:
    """The yen ends before the event: its days are said, beside the listing's and the other series'."""
    folder, days, made = world_study(tmp_path)
    keep = [i for i, d in enumerate(made["JPY=X"]["date"]) if d < days[60]]
    write_columns(folder / "data" / "JPY=X.csv", {k: [v[i] for i in keep] for k, v in made["JPY=X"].items()})
    with pytest.raises(DataError, match=rf"JPY=X \(2025-01-06 to {made['JPY=X']['date'][keep[-1]]}\)"):
        run(folder)


def test_a_benchmark_of_another_exchange_is_aligned_by_its_close(tmp_path: Path) -> None:
    """Against New York, Tokyo's session takes New York's session of the night before."""
    folder, days, made = world_study(tmp_path, benchmark={"default": "^GSPC"}, **WITHOUT)
    expected = cell(run(folder), "abnormal_returns", "expected", relative_day=0)
    closed = [p for d, p in zip(made["^GSPC"]["date"], made["^GSPC"]["close"], strict=True) if d < days[120]]
    earlier = [p for d, p in zip(made["^GSPC"]["date"], made["^GSPC"]["close"], strict=True) if d < days[119]]
    assert expected == pytest.approx(closed[-1] / earlier[-1] - 1, rel=1e-12)


def test_a_known_index_needs_no_symbols_csv(tmp_path: Path) -> None:
    folder, _, _ = world_study(tmp_path, benchmark={"default": "^GSPC"}, **WITHOUT)
    with_table = run(folder).tables["abnormal_returns"]
    (folder / "data" / "symbols.csv").unlink()
    assert run(folder).tables["abnormal_returns"].equals(with_table)


def test_a_benchmark_of_which_nothing_is_known_keeps_the_listings_days_and_the_memo_says_so(tmp_path: Path) -> None:
    folder, days, made = world_study(tmp_path, benchmark={"default": "IDX"}, **WITHOUT)
    write_columns(folder / "data" / "IDX.csv", made["^N225"])
    result = run(folder)
    assert result.manifest["closes"] == {"IDX": "by date"}
    index = dict(zip(made["^N225"]["date"], made["^N225"]["close"], strict=True))
    expected = cell(result, "abnormal_returns", "expected", relative_day=0)
    assert expected == pytest.approx(index[days[120]] / index[days[119]] - 1, rel=1e-12)
    said = "The exchange of IDX is not known: aligned by date"
    assert said in memo_markdown(result)
    write_columns(
        folder / "data" / "symbols.csv", ABOUT | {"symbol": [*ABOUT["symbol"][:2], "IDX", *ABOUT["symbol"][3:]]}
    )
    assert said not in memo_markdown(run(folder))


def test_a_study_in_another_currency_and_with_a_basket(tmp_path: Path) -> None:
    folder, days, made = world_study(
        tmp_path,
        prices={"currency": "USD"},
        benchmark={"default": "tokyo", "baskets": {"tokyo": ["9984.T", "7203.T"]}},
        model={"name": "market_adjusted"},
        factors=None,
    )
    row = rows_of(run(folder), "abnormal_returns", relative_day=0).row(0, named=True)

    def in_dollars(symbol: str, t: int) -> float:
        yen = [p for d, p in zip(made["JPY=X"]["date"], made["JPY=X"]["close"], strict=True) if d < days[t]][-1]
        return made[symbol]["close"][t] / yen

    assert row["actual"] == pytest.approx(in_dollars("9984.T", 120) / in_dollars("9984.T", 119) - 1, rel=1e-12)
    assert row["expected"] == pytest.approx(in_dollars("7203.T", 120) / in_dollars("7203.T", 119) - 1, rel=1e-12)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"factors": None}, r'\[factors\] is required by the model "factor"'),
        ({"factors": {"columns": []}}, r"\[factors\] needs columns"),
        ({"factors": {"excess": True}}, r"excess = true takes the risk-free rate"),
        ({"factors": {"columns": ["^GSPC", "^GSPC"]}}, r'"\^GSPC" stands there more than once'),
        ({"model": {"name": "market"}}, r'\[factors\] is used by the model "custom", "factor" only'),
        ({"sessions": {"calendar": "exchange"}}, r"\[sessions\] closes is required for JPY=X"),
        ({"sessions": {"closes": {"JPY=X": "12:00 UTC", "OIL": "12:00 UTC"}}}, r'closes: "OIL" is no series of the study'),
        ({"sessions": {"closes": {"JPY=X": "noon: UTC"}}}, r'closes: JPY=X = "noon: UTC" is no closing time'),
        ({"sessions": {"closes": {"JPY=X": "XXXX"}}}, r'exchange "XXXX" has no trading calendar'),
        ({"prices": {"currency": "dollars"}}, r"\[prices\] currency = 'dollars'"),
        ({"factors": {"set": "ff3"}, "prices": {"returns": "log"}}, r"\[factors\] set holds simple returns"),
        ({"benchmark": {"baskets": {"x": ["A", "A", "B"]}}}, r'baskets.x: "A" stands there more than once'),
        ({"benchmark": {"own_weight": {"9983.T": 0.1}}}, r'own_weight: "9983.T" is no listing of the study'),
        ({"benchmark": {"default": "b", "baskets": {"b": PEERS}, "own_weight": {"9984.T": 0.1}}}, "which never holds"),
        ({"sessions": {"closes": {"JPY=X": "12:00 UTC", "^N225": "15:45 Asia/Tokyo"}}}, r"closes: \^N225 trades on XTKS"),
        ({"benchmark": {"default": "JPY=X"}, "sessions": {"calendar": "exchange"}, **MARKET}, r"closes is required for JPY=X"),
        ({"factors": {"set": "ff9"}}, r'\[factors\] set = "ff9" is not in snapshot'),
        ({"benchmark": {"baskets": {"x": ["A"]}}}, r"\[benchmark\] baskets"),
        ({"benchmark": {"own_weight": {"9984.T": 1.0}}}, r"\[benchmark\] own_weight"),
    ],
)  # fmt: skip
def test_what_the_study_should_have_said(tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    merged = {k: (WORLD.get(k) or {}) | v if isinstance(v, dict) else v for k, v in overrides.items()}
    if "sessions" in overrides and "closes" not in overrides["sessions"]:
        merged["sessions"] = {"calendar": "exchange"}
    folder, _, _ = world_study(tmp_path, **merged)
    with pytest.raises(SpecError, match=message):
        plan_study(load_study(folder, data_path=()))


def test_missing_factors_and_currencies_are_data_errors(tmp_path: Path) -> None:
    folder, _, _ = world_study(tmp_path, factors={"columns": ["^GSPC", "BZ=F"]})
    with pytest.raises(DataError, match="no prices for factor BZ=F"):
        load_study(folder, data_path=())
    folder, _, _ = world_study(tmp_path / "fx", prices={"currency": "EUR"}, factors=None, model={"name": "market"})
    with pytest.raises(DataError, match="no prices for exchange rate EUR=X"):
        load_study(folder, data_path=())


# Factor sets in the form of Ken French's library


def factor_rows(dates: list[str], seed: int = 3) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"date": dates}
    for name in ("Mkt-RF", "SMB", "HML"):
        columns[name] = rng.normal(0, 1, len(dates)).round(2).tolist()
    return columns | {"RF": [0.02] * len(dates)}


def test_percent_missing_values_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "ff3.csv"
    write_columns(path, {"date": ["2021-01-04", "2021-01-05"], "Mkt-RF": [0.5, -99.99], "RF": [0.01, -999]})
    found = read_factors(path, "percent")
    np.testing.assert_allclose(found["Mkt-RF"].values, [0.005, NAN])
    np.testing.assert_allclose(found["RF"].values, [0.0001, NAN])
    assert found["Mkt-RF"].is_return
    np.testing.assert_allclose(read_factors(path, "fraction")["Mkt-RF"].values, [0.5, NAN])


def test_a_set_in_other_units_than_said_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ff3.csv"
    write_columns(path, {"date": ["2021-01-04", "2021-01-05"], "Mkt-RF": [0.5, -1.7], "RF": [0.01, 0.01]})
    with pytest.raises(DataError, match=r"Mkt-RF of 2021-01-05 is a loss of everything .* read as fraction"):
        read_factors(path, "fraction")
    assert read_factors(path, "percent")["Mkt-RF"].values[1] == pytest.approx(-0.017)


def test_a_set_with_its_own_market_takes_the_place_of_the_benchmark(tmp_path: Path) -> None:
    york = exchange_sessions("XNYS", 2026).dates
    dates = york[(york >= np.datetime64("2025-01-02")) & (york <= np.datetime64("2025-12-30"))].astype(str).tolist()
    for columns, names in (([], ["beta_Mkt-RF", "beta_SMB", "beta_HML"]), (["SMB"], ["beta_market", "beta_SMB"])):
        factors = {"set": "mine", "columns": columns}
        folder, _, _ = world_study(tmp_path / names[0], factors=factors, sessions={"closes": {"mine": "XNYS"}})
        write_columns(folder / "data" / "factors" / "mine.csv", factor_rows(dates))
        assert run(folder).tables["fits"].columns[-len(names) :] == names


def test_excess_returns_on_three_factors_equal_statsmodels(tmp_path: Path) -> None:
    """Fama & French (1993): excess return on market, size and value, as a set implies; actual and expected stay raw."""
    york = exchange_sessions("XNYS", 2026).dates
    dates = york[(york >= np.datetime64("2025-01-02")) & (york <= np.datetime64("2025-09-30"))].astype(str).tolist()
    rng = np.random.default_rng(11)
    price = 50 * np.cumprod(1 + rng.normal(0, 0.02, len(dates)))
    factors = factor_rows(dates)
    factors["SMB"][100] = -99.99
    folder = make_study(
        tmp_path,
        [{"event_id": "e", "symbol": "AAA", "announced_at": dates[150]}],
        {"AAA": closes(dates, price.tolist())},
        benchmark=None,
        sessions={"calendar": "exchange"},
        model={"name": "factor"},
        factors={"set": "FF3_US_daily"},
    )
    write_columns(folder / "data" / "factors" / "FF3_US_daily.csv", factors)
    result = run(folder)

    own = price[1:] / price[:-1] - 1
    x = np.column_stack([np.array(factors[n]) / 100 for n in ("Mkt-RF", "SMB", "HML")])[1:]
    rf = 0.0002
    rows = [t for t in range(150 - 60, 150 - 10) if t != 100]
    y = np.array([own[t - 1] for t in rows]) - rf
    theirs = sm.OLS(y, sm.add_constant(np.array([x[t - 1] for t in rows]))).fit()
    ours = result.tables["fits"].row(0, named=True)
    assert ours["n_obs"] == 49
    names = ["alpha", "beta_Mkt-RF", "beta_SMB", "beta_HML"]
    np.testing.assert_allclose([ours[n] for n in names], theirs.params, rtol=1e-9, atol=1e-13)
    day0 = rows_of(result, "abnormal_returns", relative_day=0).row(0, named=True)
    assert day0["actual"] == pytest.approx(own[149], rel=1e-12)
    assert day0["expected"] == pytest.approx(theirs.predict(np.array([[1.0, *x[149]]]))[0] + rf, rel=1e-9)


def test_factors_of_another_snapshot_are_hashed_with_its_name(tmp_path: Path) -> None:
    factors = {"set": "mine", "columns": ["SMB"], "snapshot": "library"}
    folder, _, _ = world_study(tmp_path, factors=factors, sessions={"closes": {"mine": "XNYS"}})
    york = exchange_sessions("XNYS", 2026).dates
    dates = york[(york >= np.datetime64("2025-01-02")) & (york <= np.datetime64("2025-12-30"))].astype(str).tolist()
    write_columns(folder / "library" / "factors" / "mine.csv", factor_rows(dates))
    result = run(folder)
    assert result.tables["fits"].columns[-2:] == ["beta_market", "beta_SMB"]
    assert "library/mine.csv" in result.manifest["snapshot"]["sha256"]


# CRSP


def test_a_crsp_panel_with_delisting_returns(tmp_path: Path) -> None:
    """permno, date, ret, dlret: codes are missing, the delisting return is compounded into its day."""
    dates = weekdays(90)
    rng = np.random.default_rng(6)
    market, own = rng.normal(0, 0.01, 90), rng.normal(0, 0.02, 90)
    codes = own.copy()
    codes[20] = -66.0
    dlret: list[float | None] = [None] * 90
    codes[80], dlret[80] = 0.05, -0.3
    dlret[81], codes[81] = -0.5, np.nan
    day = pl.Series(dates).str.to_date()
    frame = pl.concat(
        [
            pl.DataFrame(
                {"permno": [10107] * 90, "date": day, "ret": codes, "dlret": pl.Series(dlret, dtype=pl.Float64)}
            ),
            pl.DataFrame(
                {"permno": [1] * 90, "date": day, "ret": market, "dlret": pl.Series([None] * 90, dtype=pl.Float64)}
            ),
        ]
    )
    folder = make_study(
        tmp_path,
        [{"event_id": "e", "symbol": "10107", "announced_at": dates[80]}],
        {},
        benchmark={"default": "1"},
        windows={"event": [-1, 1], "car": [[0, 0], [0, 1]]},
    )
    (folder / "data").mkdir()
    frame.write_parquet(folder / "data" / "crsp.parquet")
    result = run(folder)
    actual = result.tables["abnormal_returns"]["actual"].to_list()
    assert actual == pytest.approx([own[79], 1.05 * 0.7 - 1, -0.5], rel=1e-12)
    assert result.tables["fits"]["n_obs"].item() == 49


def test_letters_for_a_missing_return(tmp_path: Path) -> None:
    from engine.market import read_series
    from engine.market.snapshots import find_snapshot

    columns = {"date": ["2021-01-04", "2021-01-05"], "return": ["C", 0.1], "delisting return": ["", "A"]}
    write_columns(tmp_path / "s" / "X.csv", columns)
    snapshot = find_snapshot("s", tmp_path, ())
    np.testing.assert_allclose(read_series(snapshot, ["X"])[0]["X"].values, [NAN, 0.1])
