"""Deals: both sides together in money, and windows that begin and end on dates of each deal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import second
from conftest import cell, closes, make_study, returns, rows_of, run, simulated, texts, weekdays, write_rows
from scipy import stats

from engine import load_study
from engine.announcements import read_announcements, stamp_days
from engine.combined import combine, day_errors
from engine.errors import DataError, SpecError
from engine.report import memo_html, memo_markdown
from engine.results import StudyResult, read_result, write_result
from engine.sessions import exchange_sessions
from engine.study import dry_run_result

A, B = [0.01, -0.01, 0.01, -0.01, 0.02, 0.03], [0.03, -0.01, -0.01, -0.01, 0.10, 0.00]
FOUR = {
    "model": {"name": "mean_adjusted", "estimation_window": [-4, -1], "min_estimation_days": 3},
    "windows": {"event": [0, 1], "car": [[0, 1], [0, 0]]},
    "deals": {"currency": "USD", "unit": "million"},
    "limits": {"max_excluded_share": 0.9},
}
DAYS = weekdays(6)


def two(**target: Any) -> list[dict[str, Any]]:
    """Acquirer A worth 300, target B worth 100, announced on the fifth day."""
    side = {"event_id": "d", "announced_at": DAYS[4], "currency": "USD"}
    return [
        side | {"symbol": "A", "role": "acquirer", "firm": "", "market_value": "300"},
        side | {"symbol": "B", "role": "target", "firm": "", "market_value": "100"} | target,
    ]


def four_days(folder: Path, events: list[dict[str, Any]], b: list[Any] = B, **options: Any) -> StudyResult:
    series = {"MKT": returns(DAYS, [0.001 * i for i in range(6)]), "A": returns(DAYS, A), "B": returns(DAYS, b)}
    return run(make_study(folder, events, series, **(FOUR | options)))


# --- on paper -------------------------------------------------------------------------------------------------------


def test_two_sides_on_paper(tmp_path: Path) -> None:
    """Residuals of A are +-1 %, of B 3, -1, -1, -1 %: squares add up to 4 and 12, products to 4, all over 3 degrees of
    freedom. The weights of the errors are 1 on the 2 days of the window and -2/4 on the 4 estimation days: squares 3.
    Var A = 4/3 x 3 = 4, Var B = 12, Cov = 4; 0.75 and 0.25: 2.25 + 0.75 + 1.5 = 4.5, in units of 1e-4."""
    result = four_days(tmp_path, two())
    rows = rows_of(result, "deals", window_start=0, window_end=1)
    assert rows["role"].to_list() == ["acquirer", "combined", "target"]
    assert rows["symbol"].to_list() == ["A", None, "B"]
    assert rows["car"].to_list() == pytest.approx([0.05, 0.0625, 0.10])
    assert rows["se"].to_list() == pytest.approx([0.02, math.sqrt(4.5e-4), math.sqrt(12e-4)])
    assert rows["market_value"].to_list() == [300, 400, 100]
    assert rows["weight"].to_list() == [0.75, 1.0, 0.25]
    assert rows["gain"].to_list() == pytest.approx([15, 25, 10])
    assert rows["gain_se"].to_list() == pytest.approx([6, 400 * math.sqrt(4.5e-4), 100 * math.sqrt(12e-4)])
    assert rows["t"].to_list() == pytest.approx([2.5, 0.0625 / math.sqrt(4.5e-4), 0.10 / math.sqrt(12e-4)])
    assert rows["dof"].to_list() == [3, 3, 3]
    assert rows["p_value"][1] == pytest.approx(2 * stats.t.sf(0.0625 / math.sqrt(4.5e-4), 3))
    assert rows["correlation"].to_list() == [None, pytest.approx(4 / math.sqrt(48)), None]
    assert rows["common_days"].to_list() == [None, 4, None]
    assert rows["currency"].to_list() == ["USD"] * 3
    assert rows["reason"].null_count() == 3


def test_a_window_that_meets_on_one_day_only() -> None:
    """The target's window is a day later: of the windows' days one is shared, so that the weights' products add up to
    1 + 4 x 1/4 = 2 in place of 3. Cov = 4/3 x 2 = 8/3."""
    residuals = np.array([[1, -1, 1, -1], [3, -1, -1, -1]]) / 100
    days = np.tile(np.arange(4), (2, 1))
    half, window = np.full((2, 4, 1), 0.5), np.full((2, 2, 1), 0.5)
    errors = day_errors(residuals, days, half, window, np.array([[10, 11], [11, 12]]))
    assert errors.weights.tolist() == [[-0.5] * 4 + [1, 1, 0], [-0.5] * 4 + [0, 1, 1]]
    both = combine(
        np.array([0.05, 0.1]), np.array([0.02, math.sqrt(12e-4)]), np.array([3, 2]), np.array([300.0, 100]), errors
    )
    assert both.se**2 == pytest.approx((2.25 + 0.75 + 2 * 0.75 * 0.25 * 8 / 3) * 1e-4)
    assert both.dof == 2


def test_a_day_in_the_window_of_one_and_the_estimation_of_the_other() -> None:
    """Day 3 is the last estimation day of the first and the only window day of the second: 1 x -1/4 joins the products."""
    residuals = np.array([[1, -1, 1, -1], [3, -1, -1, np.nan]]) / 100
    days = np.tile(np.arange(4), (2, 1))
    basis = np.array([[[0.5]] * 4, [[3**-0.5]] * 4])
    errors = day_errors(residuals, days, basis, basis[:, :1], np.array([[4], [3]]))
    assert errors.weights[0].tolist() == pytest.approx([-0.25] * 4 + [1])
    assert errors.weights[1].tolist() == pytest.approx([-1 / 3] * 3 + [1, 0])
    assert np.isnan(errors.residuals[1, 3:]).all()


def test_values_are_converted_by_the_stated_rate(tmp_path: Path) -> None:
    deals = {"deals": {"currency": "USD", "unit": "million", "rates": {"HKD": 0.125}}}
    result = four_days(tmp_path, two(market_value="800", currency="HKD"), **deals)
    assert cell(result, "deals", "market_value", role="target", window_end=1) == 100
    assert cell(result, "deals", "gain", role="combined", window_end=1) == pytest.approx(25)


def test_another_line_of_a_firm_is_not_counted_twice(tmp_path: Path) -> None:
    events = [*two(firm="T"), two(firm="T")[1] | {"symbol": "C", "market_value": "", "currency": ""}]
    series = {
        s: returns(DAYS, v) for s, v in (("MKT", [0.001 * i for i in range(6)]), ("A", A), ("B", B), ("C", B[::-1]))
    }
    result = run(make_study(tmp_path, events, series, **FOUR))
    assert cell(result, "deals", "gain", role="combined", window_end=1) == pytest.approx(25)
    assert cell(result, "deals", "reason", symbol="C", window_end=1) == "another line of T carries its market_value"
    assert cell(result, "deals", "weight", symbol="C", window_end=1) is None


# --- what cannot be told --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "b", "reason"),
    [
        ({"market_value": "", "currency": ""}, B, "target B: no market_value"),
        ({"role": "competitor"}, B, "no target in the calendar"),
        ({}, [None] * 6, "target B: not measured (prices: no_event_returns)"),
        ({}, [None, None, *B[2:]], "target B: not measured (estimation: too_few_estimation_days)"),
        ({}, [*B[:5], None], "target B: not complete in [0, 1]"),
        ({"market_value": "", "currency": "", "role": "acquirer"}, B, "no target in the calendar; acquirer B: no market_value"),
    ],
)  # fmt: skip
def test_a_side_that_is_missing_is_a_row_with_its_reason(
    target: dict[str, str], b: list[Any], reason: str, tmp_path: Path
) -> None:
    result = four_days(tmp_path, two(**target), b)
    row = rows_of(result, "deals", role="combined", window_end=1).row(0, named=True)
    assert row["reason"] == reason
    assert [row[c] for c in ("car", "se", "t", "p_value", "gain", "gain_se", "market_value")] == [None] * 7
    acquirer = rows_of(result, "deals", symbol="A", window_end=1).row(0, named=True)
    assert acquirer["gain"] == pytest.approx(15)  # what is known of the other side stays
    answers = rows_of(result, "deal_significance", measure="combined", window="[0, 1]")
    assert set(answers["unavailable"]) == {"needs at least 2 events, has 0"}


def test_sides_without_common_days_have_a_gain_and_no_error() -> None:
    residuals = np.array([[1, -1, 1, -1, np.nan, np.nan], [np.nan, np.nan, 3, -1, -1, -1]]) / 100
    days = np.tile(np.arange(6), (2, 1))
    basis = np.full((2, 6, 1), 0.5)
    errors = day_errors(residuals, days, basis, basis[:, :1], np.array([[10], [10]]))
    both = combine(np.array([0.05, 0.1]), np.array([0.02, 0.03]), np.array([3, 3]), np.array([300.0, 100]), errors)
    assert both.unavailable == "the sides have 2 estimation days in common, 3 needed for a covariance"
    assert (both.car, both.gain) == (pytest.approx(0.0625), pytest.approx(25))
    assert np.isnan([both.se, both.gain_se]).all()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"market_value": "1,000"}, 'row 3, column market_value: "1,000" is no amount above zero'),
        ({"market_value": "0"}, 'row 3, column market_value: "0" is no amount'),
        ({"market_value": "-5"}, 'row 3, column market_value: "-5" is no amount'),
        ({"currency": ""}, "row 3, column currency: is empty beside market_value = 100"),
        ({"currency": "CAD"}, 'row 3, column currency: "CAD" is not converted. Write [deals] rates = {CAD = ...}'),
    ],
)
def test_a_value_that_is_no_value_is_an_error(target: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        four_days(tmp_path, two(**target))
    assert says in str(error.value)
    assert "events.csv" in str(error.value)


def test_deals_need_a_role(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"\[deals\] needs a column role"):
        four_days(tmp_path, [two()[0] | {"role": "peer"}])


# --- a second implementation, and the portfolio as one --------------------------------------------------------------


def deal_study(folder: Path, model: str = "market", gaps: bool = False, n: int = 3, **options: Any) -> StudyResult:
    """n deals between S<2i> and S<2i + 1>, whose residuals share a part."""
    series, events, rng = simulated(5, [f"S{i}" for i in range(2 * n)], 150), [], np.random.default_rng(6)
    dates = series["MKT"]["date"]
    for i in range(n):
        shared = rng.normal(0, 0.02, 150)
        for k in (2 * i, 2 * i + 1):
            cells: list[Any] = (np.array(series[f"S{k}"]["return"]) + shared).tolist()
            for hole in range(30 + 7 * k, 90, 13 + k) if gaps else ():
                cells[hole] = None
            series[f"S{k}"] = returns(dates, cells)
            events.append(
                {"event_id": f"d{i}", "symbol": f"S{k}", "announced_at": dates[100 + 3 * i], "currency": "USD",
                 "role": ("acquirer", "target")[k % 2], "market_value": 1000 + 377 * k, "kind": "ab"[i % 2],
                 "first_public_at": dates[96 - i], "completed_at": dates[120 + 5 * i]}
            )  # fmt: skip
    setting: dict[str, Any] = {
        "model": {"name": model} | options.pop("more", {}),
        "deals": {"currency": "USD", "unit": "million"},
    } | options
    return run(make_study(folder, events, series, **setting))


def cells_of(folder: Path, symbol: str) -> tuple[np.ndarray, list[str]]:
    frame = pl.read_csv(folder / "data" / f"{symbol}.csv")
    return frame["return"].cast(pl.Float64).to_numpy(), frame["date"].to_list()


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("model", ["market", "market_adjusted", "mean_adjusted"])
def test_the_combined_error_by_matrices(model: str, gaps: bool, tmp_path: Path) -> None:
    result = deal_study(tmp_path, model, gaps)
    market, dates = cells_of(tmp_path, "MKT")
    rows = rows_of(result, "deals", role="combined")
    assert len(rows) == 9
    for row in rows.iter_rows(named=True):
        i = int(row["event_id"][1])
        sides, values = [f"S{2 * i}", f"S{2 * i + 1}"], [1000.0 + 377 * 2 * i, 1000.0 + 377 * (2 * i + 1)]
        span = (row["window_start"], row["window_end"])
        found = [(dates, cells_of(tmp_path, s)[0], market, 100 + 3 * i) for s in sides]
        car, se = second.combined(found, span, (-60, -11), model, values)
        assert row["car"] == pytest.approx(car, rel=1e-9)
        assert row["se"] == pytest.approx(se, rel=1e-9)
        assert row["gain_se"] == pytest.approx(se * sum(values), rel=1e-9)


def test_two_exchanges_share_the_days_that_both_have(tmp_path: Path) -> None:
    """News after the close in Hong Kong on 30 June 2020: day 0 is 30 June in New York and 2 July in Hong Kong, shut on the
    1st; the windows have some days in common, as the estimation days have, and no session is matched by its number."""
    rng, series = np.random.default_rng(8), {}
    days = {x: [str(d) for d in exchange_sessions(x, 2020).dates if str(d) > "2019-09"] for x in ("XHKG", "XNYS")}
    shared = {d: rng.normal(0, 0.02) for d in sorted({*days["XHKG"], *days["XNYS"]})}
    for symbol, index, exchange in (("0001.HK", "^HSI", "XHKG"), ("TGT", "^GSPC", "XNYS")):
        own = days[exchange]
        market = rng.normal(0, 0.01, len(own))
        series[index] = returns(own, market.tolist())
        mine = 0.8 * market + rng.normal(0, 0.01, len(own)) + [shared[d] for d in own]
        series[symbol] = returns(own, mine.tolist())
    event = {"event_id": "d", "announced_at": "2020-06-30T18:00:00+08:00", "currency": "USD"}
    events = [
        event | {"symbol": "0001.HK", "role": "acquirer", "market_value": "900"},
        event | {"symbol": "TGT", "role": "target", "market_value": "400"},
    ]
    options = FOUR | {
        "model": {"name": "market", "estimation_window": [-120, -6]}, "sessions": {"calendar": "exchange"},
        "windows": {"event": [-5, 5], "car": [[0, 0], [-1, 1], [-5, 5]]},
        "benchmark": {"default": "^GSPC", "by_exchange": {"XHKG": "^HSI"}},
    }  # fmt: skip
    result = run(make_study(tmp_path, events, series, **options))
    sides = [
        (days[x], np.array(series[s]["return"]), np.array(series[m]["return"]), days[x].index(day))
        for s, m, x, day in (("0001.HK", "^HSI", "XHKG", "2020-07-02"), ("TGT", "^GSPC", "XNYS", "2020-06-30"))
    ]
    rows = rows_of(result, "deals", role="combined")
    assert len(rows) == 3
    for row in rows.iter_rows(named=True):
        span = (row["window_start"], row["window_end"])
        car, se = second.combined(sides, span, (-120, -6), "market", [900, 400])
        assert (row["car"], row["se"]) == (pytest.approx(car, rel=1e-9), pytest.approx(se, rel=1e-9))
        assert row["common_days"] < 115
        assert row["correlation"] > 0.5


@pytest.mark.parametrize("model", ["lad", "huber"])
def test_a_model_without_a_covariance_has_gains_and_no_error(model: str, tmp_path: Path) -> None:
    result = deal_study(tmp_path, model, windows=NAMED)
    both = rows_of(result, "deals", role="combined")
    assert set(both["reason"]) == {"a side's CAR has no forecast-error variance"}
    assert both["gain"].null_count() == 0
    assert both["se"].null_count() == both["gain_se"].null_count() == both["p_value"].null_count() == len(both)
    answers = result.tables["deal_significance"]
    for measure in ("car", "combined"):
        own = answers.filter((pl.col("measure") == measure) & (pl.col("n") > 1))
        assert own.filter(pl.col("test") == "bmp")["unavailable"].null_count() == 0
        assert own.filter(pl.col("test") != "bmp")["p_value"].null_count() == 0


def test_a_model_of_newer_rows_takes_the_days_of_the_windows(tmp_path: Path) -> None:
    """Exponential weights: what an estimation day does to a forecast is not told, so r alone, the windows being the same."""
    result = deal_study(tmp_path, "exponential", n=2, more={"half_life": 10})
    for row in rows_of(result, "deals", role="combined").iter_rows(named=True):
        sides = result.tables["deals"].filter(
            (pl.col("event_id") == row["event_id"])
            & (pl.col("window_start") == row["window_start"])
            & (pl.col("role") != "combined")
        )
        w, se = sides["weight"].to_numpy(), sides["se"].to_numpy()
        variance = (w * w * se * se).sum() + 2 * w[0] * w[1] * se[0] * se[1] * row["correlation"]
        assert row["se"] == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_both_sides_are_one_portfolio(tmp_path: Path) -> None:
    """With the same days, the value-weighted portfolio as a listing of its own has the same CAR and the same error."""
    result = deal_study(tmp_path / "deals", n=1)
    series = {
        s: {"date": d, "return": c.tolist()} for s in ("MKT", "S0", "S1") for c, d in [cells_of(tmp_path / "deals", s)]
    }
    weights = np.array([1000, 1377]) / 2377
    whole = weights[0] * np.array(series["S0"]["return"]) + weights[1] * np.array(series["S1"]["return"])
    dates = series["MKT"]["date"]
    events = [{"event_id": "d0", "symbol": "P", "announced_at": dates[100]}]
    alone = run(make_study(tmp_path / "one", events, {"MKT": series["MKT"], "P": returns(dates, whole.tolist())}))
    for column in ("car", "se", "t", "p_value"):
        both = rows_of(result, "deals", role="combined")[column].to_list()
        assert both == pytest.approx(
            alone.tables["cars"].sort("window_start", "window_end")[column].to_list(), rel=1e-9
        )


def test_the_tests_of_the_combined_cars(tmp_path: Path) -> None:
    result = deal_study(tmp_path, n=5, significance={"group_by": ["kind", "role"]})
    both = rows_of(result, "deals", role="combined", window_start=-1, window_end=1)
    car, scar = both["car"].to_numpy(), (both["car"] / both["se"]).to_numpy()

    def answer(test: str, group: str = "all") -> tuple[float, float]:
        row = rows_of(result, "deal_significance", measure="combined", window="[-1, 1]", test=test, group=group).row(
            0, named=True
        )
        return row["statistic"], row["p_value"]

    assert answer("cross_sectional_t") == pytest.approx(tuple(stats.ttest_1samp(car, 0)))
    assert answer("bmp") == pytest.approx(tuple(stats.ttest_1samp(scar, 0)))
    assert answer("wilcoxon")[1] == pytest.approx(stats.wilcoxon(car).pvalue)
    assert answer("sign")[1] == pytest.approx(stats.binomtest(int((car > 0).sum()), 5).pvalue)
    assert answer("cross_sectional_t", "kind=a") == pytest.approx(tuple(stats.ttest_1samp(car[::2], 0)))
    groups = set(rows_of(result, "deal_significance", measure="combined")["group"])
    assert groups == {"all", "kind=a", "kind=b"}  # no deal has both its sides in one role


# --- named windows --------------------------------------------------------------------------------------------------

NAMED = {
    "event": [-1, 1], "car": [[0, 0]],
    "named": {
        "runup": ["first_public_at", "announced_at - 1"], "markup": [0, "completed_at"], "life": ["first_public_at", 3],
    },
}  # fmt: skip
TEN = weekdays(10)
LONG = [0.01, -0.01, 0.01, -0.01, 0.04, 0.02, 0.03, 0.05, -0.02, 0.01]


def ten_days(folder: Path, cells: list[Any] = LONG, windows: dict[str, Any] = NAMED, **row: Any) -> StudyResult:
    """Four estimation days, a leak on the fifth, the announcement on the seventh, completion on the ninth."""
    event = {"event_id": "e", "symbol": "A", "announced_at": TEN[6], "first_public_at": TEN[4], "completed_at": TEN[8]}
    series = {"MKT": returns(TEN, [0.001 * i for i in range(10)]), "A": returns(TEN, cells)}
    model = {"name": "mean_adjusted", "estimation_window": [-6, -3], "min_estimation_days": 3}
    return run(make_study(folder, [event | row], series, model=model, windows=windows))


def test_windows_between_dates_of_the_deal_on_paper(tmp_path: Path) -> None:
    """sigma^2 = 4/3 x 1e-4, mean 0; the variance of L days is sigma^2 (L + L^2/4): 3 for two, 21/4 for three, 15 for six."""
    result = ten_days(tmp_path)
    rows = result.tables["deal_windows"]
    assert rows["name"].to_list() == ["life", "markup", "runup"]
    assert rows["start"].to_list() == [-2, 0, -2]
    assert rows["end"].to_list() == [3, 2, -1]
    assert rows["n_days"].to_list() == [6, 3, 2]
    assert [str(d) for d in rows["first"]] == [TEN[4], TEN[6], TEN[4]]
    assert [str(d) for d in rows["last"]] == [TEN[9], TEN[8], TEN[5]]
    assert rows["car"].to_list() == pytest.approx([0.13, 0.06, 0.06])
    assert rows["se"].to_list() == pytest.approx([math.sqrt(v * 4 / 3 * 1e-4) for v in (15, 21 / 4, 3)])
    assert rows["t"].to_list() == pytest.approx((rows["car"] / rows["se"]).to_list())
    assert rows["scar"].to_list() == rows["t"].to_list()
    assert rows["p_value"].to_list() == pytest.approx((2 * stats.t.sf(rows["t"], 3)).tolist())
    assert rows["bhar"][2] == pytest.approx(1.04 * 1.02 - 1)
    assert rows["reason"].null_count() == 3


@pytest.mark.parametrize(
    ("row", "name", "reason"),
    [
        ({"completed_at": ""}, "markup", "no_date: completed_at is empty"),
        ({"first_public_at": TEN[6]}, "runup", "no_session: first_public_at is relative day 0, announced_at - 1 is -1"),
        ({"first_public_at": TEN[3]}, "runup", "estimation_overlap: [-3, -1] begins in or before the estimation window"),
        ({"completed_at": "2015-06-01"}, "markup", "outside_calendar: completed_at: "),
    ],
)  # fmt: skip
def test_an_event_without_the_window_is_a_row(row: dict[str, str], name: str, reason: str, tmp_path: Path) -> None:
    events = {"completed_at": TEN[8]} | row
    extra = {"event_id": "f", "symbol": "A", "announced_at": TEN[6], "first_public_at": TEN[4], "completed_at": TEN[8]}
    series = {"MKT": returns(TEN, [0.001 * i for i in range(10)]), "A": returns(TEN, LONG)}
    model = {"name": "mean_adjusted", "estimation_window": [-6, -3], "min_estimation_days": 3}
    result = run(make_study(tmp_path, [extra | {"event_id": "e"} | events, extra], series, model=model, windows=NAMED))
    found = rows_of(result, "deal_windows", event_id="e", name=name).row(0, named=True)
    assert found["reason"].startswith(reason)
    assert [found[c] for c in ("car", "se", "t", "p_value", "scar", "bhar", "n_days")] == [None] * 7
    lost = rows_of(result, "exclusions", event_id="e", stage="window")
    mine = [detail for detail in lost["detail"] if detail.startswith(f"{name}: ")]
    assert len(mine) == (0 if reason.startswith(("no_date", "no_session")) else 1)
    assert rows_of(result, "deal_windows", event_id="f", name=name)["reason"].item() is None
    row_n = rows_of(result, "deal_significance", window=name, test="sign")
    assert row_n["n"].item() == 1
    assert row_n["unavailable"].item() == "needs at least 2 events, has 1"


def test_a_missing_day_inside_is_not_computed(tmp_path: Path) -> None:
    result = ten_days(tmp_path, [*LONG[:7], None, *LONG[8:]])
    assert cell(result, "deal_windows", "reason", name="markup") == "missing_days: no return on relative day 1"
    assert cell(result, "deal_windows", "car", name="markup") is None
    assert cell(result, "deal_windows", "n_days", name="markup") == 3
    assert cell(result, "deal_windows", "car", name="runup") == pytest.approx(0.06)
    details = rows_of(result, "exclusions", stage="window", reason="missing_days")["detail"].to_list()
    assert [d for d in details if d.startswith("markup")] == ["markup: no return on relative day 1"]


def test_returns_from_trade_to_trade_bridge_a_missing_day(tmp_path: Path) -> None:
    """No price on relative day 1: the return of day 2 runs over both, so that the mark-up to day 2 is whole."""
    logs = np.log1p(LONG)
    prices: list[Any] = (100 * np.exp(np.cumsum(logs))).tolist()
    prices[7] = None
    series = {"MKT": returns(TEN, [0.001 * i for i in range(10)]), "A": closes(TEN, prices)}
    event = {"event_id": "e", "symbol": "A", "announced_at": TEN[6], "first_public_at": TEN[4], "completed_at": TEN[8]}
    model = {"name": "raw", "estimation_window": [-6, -3], "min_estimation_days": 3}
    kept = {"returns": "log", "missing": "trade_to_trade"}
    result = run(make_study(tmp_path, [event], series, model=model, windows=NAMED, prices=kept))
    assert cell(result, "deal_windows", "car", name="markup") == pytest.approx(logs[6:9].sum())
    assert cell(result, "deal_windows", "n_days", name="markup") == 3
    ends = NAMED | {"named": {"markup": [0, "completed_at - 1"]}}
    result = run(make_study(tmp_path / "cut", [event], series, model=model, windows=ends, prices=kept))
    assert cell(result, "deal_windows", "car", name="markup") is None
    assert cell(result, "deal_windows", "reason", name="markup").startswith("missing_days: ")


def test_the_leak_may_be_day_0(tmp_path: Path) -> None:
    """With stamp = "first_public_at" the same run-up starts on day 0 and ends before day 0 of the announcement."""
    events = {"events": {"stamp": "first_public_at"}}
    event = {"event_id": "e", "symbol": "A", "announced_at": TEN[6], "first_public_at": TEN[4]}
    series = {"MKT": returns(TEN, [0.001 * i for i in range(10)]), "A": returns(TEN, LONG)}
    model = {"name": "mean_adjusted", "estimation_window": [-4, -1], "min_estimation_days": 3}
    windows = {"event": [0, 1], "car": [[0, 0]], "named": {"runup": [0, "announced_at-1"]}}
    result = run(make_study(tmp_path, [event], series, model=model, windows=windows, **events))
    row = result.tables["deal_windows"].row(0, named=True)
    assert (row["start"], row["end"], row["car"]) == (0, 1, pytest.approx(0.06))


def test_a_pair_that_is_excluded_keeps_its_rows(tmp_path: Path) -> None:
    series = {
        "MKT": returns(TEN, [0.001 * i for i in range(10)]),
        "A": returns(TEN, LONG),
        "B": returns(TEN, [None] * 10),
    }
    events = [
        {"event_id": "e", "symbol": s, "announced_at": TEN[6], "first_public_at": TEN[4], "completed_at": TEN[8]}
        for s in "AB"
    ]
    model = {"name": "mean_adjusted", "estimation_window": [-6, -3], "min_estimation_days": 3}
    limits = {"max_excluded_share": 0.9}
    result = run(make_study(tmp_path, events, series, model=model, windows=NAMED, limits=limits))
    assert set(rows_of(result, "deal_windows", symbol="B")["reason"]) == {"excluded: see exclusions.csv"}


WAYS = ["market", "market_adjusted", "mean_adjusted"]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("model", WAYS)
def test_named_windows_by_matrices(model: str, log: bool, tmp_path: Path) -> None:
    """Each event's own days, its own least squares, the full covariance of the forecast errors."""
    prices = {"prices": {"returns": "log" if log else "simple"}}
    result = deal_study(tmp_path, model, windows=NAMED | {"event": [-5, 5]}, n=4, **prices)
    market, dates = cells_of(tmp_path, "MKT")
    rows = result.tables["deal_windows"]
    assert len(rows) == 8 * 3
    for row in rows.iter_rows(named=True):
        i = int(row["event_id"][1])
        leak, day0, done = 96 - i, 100 + 3 * i, 120 + 5 * i
        span = {"runup": (leak, day0 - 1), "markup": (day0, done), "life": (leak, day0 + 3)}[row["name"]]
        if leak - day0 <= -11 and row["name"] != "markup":
            assert row["reason"].startswith("estimation_overlap")
            continue
        assert [str(row["first"]), str(row["last"])] == [dates[span[0]], dates[span[1]]]
        own = cells_of(tmp_path, row["symbol"])[0]
        relative = (span[0] - day0, span[1] - day0)
        car, se = second.combined([(dates, own, market, day0)], relative, (-60, -11), model, [1.0])
        assert row["car"] == pytest.approx(car, rel=1e-9)
        assert row["se"] == pytest.approx(se, rel=1e-9)
    held = rows.filter(rows["reason"].is_null() & (rows["name"] == "markup"))
    answers = {
        r["test"]: r for r in rows_of(result, "deal_significance", window="markup", measure="car").iter_rows(named=True)
    }
    assert answers["cross_sectional_t"]["statistic"] == pytest.approx(stats.ttest_1samp(held["car"], 0).statistic)
    assert answers["bmp"]["p_value"] == pytest.approx(stats.ttest_1samp(held["scar"], 0).pvalue)
    assert answers["wilcoxon"]["p_value"] == pytest.approx(stats.wilcoxon(held["car"]).pvalue)
    assert answers["sign"]["p_value"] == pytest.approx(stats.binomtest(int((held["car"] > 0).sum()), 8).pvalue)
    low, high = answers["cross_sectional_t"]["ci_low"], answers["cross_sectional_t"]["ci_high"]
    assert (low, high) == pytest.approx(tuple(stats.ttest_1samp(held["car"], 0).confidence_interval(0.95)))


def test_a_named_window_of_plain_days_is_the_car_window(tmp_path: Path) -> None:
    result = deal_study(
        tmp_path, windows={"named": {"plain": [-1, 1], "announced": ["announced_at - 1", "announced_at + 1"]}}
    )
    own = rows_of(result, "cars", window_start=-1, window_end=1)
    for name in ("plain", "announced"):
        rows = rows_of(result, "deal_windows", name=name)
        for column in ("car", "se", "t", "p_value", "bhar", "scar"):
            assert rows[column].to_list() == own[column].to_list(), (name, column)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"w": [0]}, "named.w = [0]: a window has two ends"),
        ({"w": [3, 1]}, "named.w = [3, 1] is reversed"),
        ({"w": ["completed_at", "completed_at - 1"]}, "is reversed"),
        ({"w": [0, "complete_at"]}, '"complete_at" is no stamp of the calendar. Did you mean "completed_at"?'),
        ({"w": [0, "completed_at * 2"]}, "'completed_at * 2' is no end"),
        ({"w": [0, 30000]}, "reaches farther than 20000 sessions"),
        ({"1 w": [0, 1]}, "a name begins with a letter"),
        ({"w": [0, "withdrawn_at"]}, "the column withdrawn_at of "),
        ({"w": [0, 1.5]}, "[windows] named"),
    ],
)
def test_what_a_named_window_may_not_be(named: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        ten_days(tmp_path, windows=NAMED | {"named": named})
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"completed_at": "soon"}, 'row 2, column completed_at: "soon" is neither a date nor a time'),
        ({"completed_at": "2015-02-30"}, 'row 2, column completed_at: "2015-02-30" is not a date that exists'),
        ({"completed_at": f"{TEN[8]}T10:00"}, "row 2, column completed_at: "),
        ({"completed_at": TEN[2]}, f'row 2, column completed_at: "{TEN[2]}" is before announced_at = {TEN[6]}'),
        ({"withdrawn_at": TEN[9]}, "row 2, column withdrawn_at: the deal is completed_at"),
    ],
)
def test_a_milestone_that_cannot_be_is_an_error(row: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        ten_days(tmp_path, **row)
    assert says in str(error.value)
    assert "events.csv" in str(error.value)


def test_the_precision_of_the_announcement_is_not_the_milestones(tmp_path: Path) -> None:
    """The bid after the close of 1 March is day 0 on the 2nd; a bare date of completion stands for noon: its own session."""
    row = {"event_id": "e", "symbol": "S", "announced_at": "2021-03-01", "zone": "Asia/Hong_Kong", "precision": "after_close",
           "completed_at": "2021-03-10"}  # fmt: skip
    write_rows(tmp_path / "events.csv", [row, row | {"event_id": "f", "completed_at": ""}])
    table = read_announcements(tmp_path / "events.csv", None, {}).table
    sessions = [exchange_sessions("XHKG", 2021)] * 2
    found = {
        column: [r and str(r.event_day) for r in stamp_days(table, column, sessions, [None] * 2, "close", 7)]
        for column in ("announced_at", "completed_at")
    }
    assert found == {"announced_at": ["2021-03-02"] * 2, "completed_at": ["2021-03-10", None]}


def test_only_returns_become_money(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"\[deals\] turns returns into money"):
        four_days(tmp_path, two(), outcome={"name": "log_volume"})


def test_a_milestone_is_no_attribute(tmp_path: Path) -> None:
    assert set(ten_days(tmp_path).tables["cars"].columns) & {"completed_at", "first_public_at"} == set()


def test_a_dry_run_tells_of_named_windows(tmp_path: Path) -> None:
    make = {"completed_at": TEN[8], "first_public_at": TEN[3]}
    ten_days(tmp_path, **make)
    table = dry_run_result(load_study(tmp_path, data_path=()))
    assert "runup: [-3, -1] begins in or before the estimation window [-6, -3]" in table["detail"].item()


def test_results_with_deals_are_read_back(tmp_path: Path) -> None:
    result = deal_study(tmp_path / "study", windows=NAMED)
    write_result(result, tmp_path / "out")
    assert read_result(tmp_path / "out") == result
    assert {"deals", "deal_windows", "deal_significance"} <= set(result.tables)


def test_a_study_without_deals_has_none_of_the_tables(tmp_path: Path) -> None:
    result = deal_study(tmp_path, deals=None)
    assert not {"deals", "deal_windows", "deal_significance"} & set(result.tables)


def test_order_and_company_change_no_byte(tmp_path: Path) -> None:
    first = deal_study(tmp_path / "one", windows=NAMED, n=3)
    text = (tmp_path / "one" / "events.csv").read_text().splitlines()
    (tmp_path / "one" / "events.csv").write_text("\n".join([text[0], *reversed(text[1:])]) + "\n")
    assert texts(run(tmp_path / "one"))["deals"] == texts(first)["deals"]
    assert texts(run(tmp_path / "one"))["deal_windows"] == texts(first)["deal_windows"]
    (tmp_path / "one" / "events.csv").write_text("\n".join(t for t in text if not t.startswith("d2")) + "\n")
    fewer = run(tmp_path / "one")
    for name in ("deals", "deal_windows"):
        kept = first.tables[name].filter(pl.col("event_id") != "d2")
        assert kept.equals(fewer.tables[name])


# --- size -----------------------------------------------------------------------------------------------------------


def test_the_size_of_the_combined_t_with_correlated_sides() -> None:
    """2,000 pairs of equal value whose residuals correlate by 0.6: without the covariance the t of the gain rejects 12 % at a
    nominal 5 %, with it 5 %; with -0.6 it would reject hardly ever. Bands: 3.5 binomial standard errors."""
    draws, m, length = 2000, 60, 3
    band = 3.5 * math.sqrt(0.05 * 0.95 / draws)
    for rho, without in ((0.6, (0.09, 0.16)), (-0.6, (0.0, 0.01))):
        rng = np.random.default_rng(20050622)
        made = rng.normal(size=(2, draws, m + length))
        made[1] = rho * made[0] + math.sqrt(1 - rho**2) * made[1]
        residuals = made[:, :, :m] - made[:, :, :m].mean(axis=2, keepdims=True)
        sigma2 = (residuals**2).sum(axis=2) / (m - 1)
        car = (made[:, :, m:] - made[:, :, :m].mean(axis=2, keepdims=True)).sum(axis=2)
        se = np.sqrt(sigma2 * (length + length**2 / m))
        basis, days = np.full((2, m, 1), m**-0.5), np.tile(np.arange(m), (2, 1))
        rejected = np.zeros(2)
        for k in range(draws):
            errors = day_errors(
                residuals[:, k], days, basis, basis[:, :length], np.tile(np.arange(m, m + length), (2, 1))
            )
            both = combine(car[:, k], se[:, k], np.array([m - 1, m - 1]), np.ones(2), errors)
            ignoring = both.car / math.sqrt(float((se[:, k] ** 2).sum()) / 4)
            limit = stats.t.isf(0.025, m - 1)
            rejected += [abs(both.car / both.se) > limit, abs(ignoring) > limit]
        size, wrong = rejected / draws
        assert abs(size - 0.05) < band, (rho, size)
        assert without[0] <= wrong <= without[1], (rho, wrong)


# --- the memo -------------------------------------------------------------------------------------------------------


def section(text: str) -> str:
    return text[text.index("## Deals") : text.index("## Which test when")]


def test_the_memo_shows_both_sides_in_money(tmp_path: Path) -> None:
    text = section(memo_markdown(four_days(tmp_path, two())))
    assert "Both sides of 1 of 1 deal are measured" in text
    assert "All gains together: 25.0 USD million." in text
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[0][7:10] == ["Value", "Gain, USD million", "s.e. of gain"]
    assert rows[2] == ["d", "acquirer", "A", "5.00", "2.00", "2.50", "0.088", "300.0", "15.0", "6.0", ""]
    assert rows[3][1:4] + rows[3][8:9] == ["target", "B", "10.00", "10.0"]
    combined = ["", "combined", "", "6.25", "2.12", "2.95", "0.060", "400.0", "25.0", "8.5"]
    assert rows[4] == [*combined, "residual correlation 0.58 on 4 common days"]


def test_the_memo_says_why_a_deal_has_no_gain(tmp_path: Path) -> None:
    text = section(memo_markdown(four_days(tmp_path, two(market_value="", currency=""))))
    assert "None of 1 deal has both sides measured with a market value" in text
    assert "Why: target B: no market_value." in text
    assert "All gains" not in text


def test_the_memo_has_no_table_of_dashes(tmp_path: Path) -> None:
    text = section(memo_markdown(four_days(tmp_path, [row | {"market_value": "", "currency": ""} for row in two()])))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["Event", "Side", "Symbol", "CAR %", "s.e. %", "t", "p"]
    assert [row[1] for row in rows[2:4]] == ["acquirer", "target"]
    assert rows[2][3:] == ["5.00", "2.00", "2.50", "0.088"]


def test_the_memo_shows_named_windows(tmp_path: Path) -> None:
    result = deal_study(tmp_path, windows=NAMED, n=4, significance={"group_by": ["kind"]})
    text, page = section(memo_markdown(result)), memo_html(result)
    assert "| markup | d0 | S0 | " in text
    assert "estimation_overlap: [-12, -1] begins in or before the estimation window" in text
    assert "| runup | all | 4 | " in text
    assert "| runup | kind: a | 2 | " in text
    for title in ("<h2>Deals</h2>", "<h3>Windows between dates of each deal</h3>", "<h3>Averages</h3>"):
        assert title in page


def test_a_memo_without_deals_has_no_section(tmp_path: Path) -> None:
    assert "## Deals" not in memo_markdown(deal_study(tmp_path, deals=None))
