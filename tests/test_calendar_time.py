"""Calendar-time portfolios and RATS: by hand, against `second_long`, on planted effects, and their size."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import second
import second_long
import statsmodels.api as sm
from conftest import cell, closes, make_study, returns, rows_of, run, sample_of, simulated, texts, weekdays, write_rows
from matplotlib.text import Text
from test_second_implementation import ESTIMATION, FACTORS, design, events, prices

from engine import load_study, run_study
from engine.calendar_time import in_calendar_time
from engine.calendar_time.holdings import period_returns
from engine.calendar_time.least_squares import automatic_lags, least_squares
from engine.errors import DataError, SpecError
from engine.lines import Line
from engine.panel import Pair, build_panel
from engine.report import memo_html, memo_markdown, render_chart
from engine.report.calendar_time import band
from engine.report.memo import draw_chart
from engine.results import StudyResult, read_result, write_result
from engine.sessions import Window
from engine.significance import evaluate
from engine.spec.design import CalendarTime

DAYS = weekdays(200, "2015-01-01")
RULE = {"frequency": "daily", "hold": [1, 2], "min_firms": 1, "lags": 0}


def close(found: Any, wanted: Any, rel: float = 1e-9) -> None:
    np.testing.assert_allclose(np.array(found, float), np.array(wanted, float), rtol=rel, atol=1e-13)


def on(series: dict[str, Any], symbol: str, day: int, value: float | None) -> None:
    """Put a return into a series."""
    cells = list(series[symbol]["return"])
    cells[day] = value
    series[symbol] = returns(series[symbol]["date"], cells)


def study_of(
    folder: Path, at: dict[str, tuple[str, int]], series: dict[str, Any], rule: dict[str, Any], **more: Any
) -> Path:
    """at: event -> symbol and session of its day 0."""
    dates = series["MKT"]["date"]
    rows = [{"event_id": e, "symbol": s, "announced_at": dates[day]} for e, (s, day) in at.items()]
    return make_study(folder, rows, series, calendar_time=rule, limits={"max_excluded_share": 0.9}, **more)


def portfolio_of(result: StudyResult, weighting: str = "equal", group: str = "all") -> list[tuple[str, int, float]]:
    rows = rows_of(result, "portfolios", weighting=weighting, group=group)
    return [(str(d), n, r) for d, n, r in rows.select("period", "firms", "actual").rows()]


# By hand


def test_a_firm_with_two_events_is_held_once(tmp_path: Path) -> None:
    """A holds days 101-102 and 102-103 by two events, B 102-103: on 102 two firms, not three."""
    series = simulated(3, ["A", "B"], 200)
    for symbol, values in (("A", (0.10, 0.20, 0.30)), ("B", (0.05, 0.40, 0.02))):
        for day, value in zip((101, 102, 103), values, strict=True):
            on(series, symbol, day, value)
    result = run(study_of(tmp_path, {"a1": ("A", 100), "a2": ("A", 101), "b": ("B", 101)}, series, RULE))
    found = portfolio_of(result)
    dates = series["MKT"]["date"]
    assert [(d, n) for d, n, _ in found] == [(dates[101], 1), (dates[102], 2), (dates[103], 2)]
    close([r for _, _, r in found], [0.10, 0.30, 0.16])
    assert cell(result, "calendar_time", "n", term="alpha", regression="ols") == 3


def test_periods_with_too_few_firms_are_left_out_and_counted(tmp_path: Path) -> None:
    series = simulated(3, ["A", "B"], 200)
    at = {"a1": ("A", 100), "b": ("B", 101), "a2": ("A", 120)}
    result = run(study_of(tmp_path, at, series, RULE | {"min_firms": 2, "hold": [1, 5]}))
    dates = series["MKT"]["date"]
    assert [(d, n) for d, n, _ in portfolio_of(result)] == [(dates[i], 2) for i in range(102, 106)]
    rows = rows_of(result, "calendar_time", regression="ols", term="alpha").row(0, named=True)
    assert (rows["n_periods"], rows["mean_firms"], rows["periods_left_out"]) == (4, 2.0, 7)


def test_a_month_is_compounded_and_a_delisted_firm_leaves_on_its_last_day(tmp_path: Path) -> None:
    """February 2015 by hand: A whole, B to the 10th, C with a gap left out; the benchmark over each firm's own days."""
    series = simulated(5, ["A", "B", "C"], 120, "2014-09-01")
    dates = list(series["MKT"]["date"])
    february = [i for i, d in enumerate(dates) if d.startswith("2015-02")]
    last = dates.index("2015-02-10")
    for i in range(last + 1, 120):
        on(series, "B", i, None)
    on(series, "C", february[3], None)
    at = {s: (s, 80 + k) for k, s in enumerate("ABC")}
    assert all(dates[80 + k].startswith("2014-12") for k in range(3))
    rule = {"frequency": "monthly", "months": 2, "min_firms": 1, "lags": 0}
    result = run(study_of(tmp_path, at, series, rule))
    a = np.prod([1 + series["A"]["return"][i] for i in february]) - 1
    b = np.prod([1 + series["B"]["return"][i] for i in february if i <= last]) - 1
    day, firms, made = portfolio_of(result)[1]
    assert (day, firms) == ("2015-02-01", 2)
    close(made, (a + b) / 2)
    assert [d for d, _, _ in portfolio_of(result)] == ["2015-01-01", "2015-02-01"]


def test_value_weights_move_with_the_shares(tmp_path: Path) -> None:
    """A is worth 3 before day 0, B 1; both grow to day 1, which is weighted by what they are worth then."""
    series = simulated(5, ["A", "B", "C"], 120)
    dates = series["MKT"]["date"]
    for day, a, b in ((100, 0.5, -0.5), (101, 0.1, 0.2)):
        on(series, "A", day, a)
        on(series, "B", day, b)
    rows = [
        {"event_id": s, "symbol": s, "announced_at": dates[100], "worth": v}
        for s, v in (("A", 3), ("B", 1), ("C", None))
    ]
    rule = RULE | {"hold": [1, 1], "weights": ["equal", "value"], "market_value": "worth"}
    result = run(make_study(tmp_path, rows, series, calendar_time=rule))
    close(portfolio_of(result, "value")[0][2], (4.5 * 0.1 + 0.5 * 0.2) / 5)
    assert portfolio_of(result, "value")[0][1] == 2  # C has no value
    assert portfolio_of(result, "equal")[0][1] == 3


def test_two_listings_of_a_firm_count_as_one(tmp_path: Path) -> None:
    series = simulated(5, ["A", "H", "B"], 120)
    dates = series["MKT"]["date"]
    for symbol, value in (("A", 0.1), ("H", 0.3), ("B", 0.5)):
        on(series, symbol, 101, value)
    rows = [
        {"event_id": "e", "symbol": s, "announced_at": dates[100], "firm": f}
        for s, f in (("A", "one"), ("H", "one"), ("B", "two"))
    ]
    result = run(make_study(tmp_path, rows, series, calendar_time=RULE | {"hold": [1, 1]}))
    assert portfolio_of(result)[0][1] == 2
    close(portfolio_of(result)[0][2], (0.2 + 0.5) / 2)


def test_across_a_gap_the_value_is_not_known(tmp_path: Path) -> None:
    """A misses session 102: from 103 on the value weights do without it, until its next event says what it is worth."""
    series = simulated(5, ["A", "B"], 140)
    dates = series["MKT"]["date"]
    on(series, "A", 102, None)
    rows = [
        {"event_id": e, "symbol": s, "announced_at": dates[day], "worth": 2.0}
        for e, s, day in (("a", "A", 100), ("b", "B", 100), ("later", "A", 105))
    ]
    rule = RULE | {"hold": [1, 7], "weights": ["equal", "value"], "market_value": "worth"}
    result = run(make_study(tmp_path, rows, series, calendar_time=rule))
    assert [n for _, n, _ in portfolio_of(result, "equal")][:7] == [2, 1, 2, 2, 2, 2, 2]
    assert [n for _, n, _ in portfolio_of(result, "value")][:7] == [2, 1, 1, 1, 1, 2, 2]


def test_log_returns_in_excess_of_a_rate() -> None:
    """exp(r) - exp(r_f), for the listing and its benchmark; a further factor is no excess return."""
    days = np.arange("2015-01-05", 3, dtype="datetime64[D]")
    r, market, factor, rate = (
        np.array(v) for v in ([0.1, 0.2, -0.1], [0.05, 0.0, 0.1], [0.3, 0.1, 0.0], [0.01, 0.02, 0.0])
    )
    line = Line("A", "MKT", "", days, r, np.stack([market - rate, factor]), rate, "", "", 0, 0)
    found = period_returns(line, False, True)
    close(found.returns, np.exp(r) - np.exp(rate))
    close(found.regressors, [np.exp(market) - np.exp(rate), np.exp(factor) - 1])
    close(found.growth(np.array([0]), np.array([2])), np.exp([0.3]))


def test_a_relative_day_without_any_return_ends_the_sums(tmp_path: Path) -> None:
    series = simulated(8, list("ABCDEF"), 200)
    at = {s: (s, 100 + 7 * i) for i, s in enumerate("ABCDEF")}
    for s, day in at.values():
        on(series, s, day + 3, None)
    rows = run(study_of(tmp_path, at, series, RULE | {"hold": [1, 5], "rats": True})).tables["rats"]
    assert rows.select("relative_period", "n").rows() == [(1, 6), (2, 6), (3, 0), (4, 6), (5, 6)]
    assert rows["cumulated"].is_null().to_list() == [False, False, True, True, True]
    assert [bool(u) for u in rows["unavailable"]] == [False, False, True, False, False]


def test_a_standardised_return_by_hand(tmp_path: Path) -> None:
    """One firm against no benchmark: its return on the day after over the spread of the five returns before."""
    series = simulated(5, ["A"], 140)
    past = [0.02, -0.01, 0.03, 0.00, 0.01]
    for day, value in enumerate([*past, 0.05], start=96):
        on(series, "A", day, value)
    rule = RULE | {"hold": [1, 2], "history": 5, "min_history": 5}
    model = {"name": "mean_adjusted", "estimation_window": [-60, -11], "min_estimation_days": 30}
    result = run(study_of(tmp_path, {"a": ("A", 100)}, series, rule, model=model))
    found = rows_of(result, "portfolios", weighting="equal")["standardised"].to_list()
    close(found[0], 0.05 / (np.std(past, ddof=1)))
    row = rows_of(result, "calendar_time", term="standardised_mean").row(0, named=True)
    close(row["t"], np.mean(found) / (np.std(found, ddof=1) / np.sqrt(2)))
    assert (row["distribution"], row["no_history"], row["lags"]) == ("t(1)", 0, None)


def test_a_share_of_the_portfolio_is_looked_at_in_the_past(tmp_path: Path) -> None:
    """Two firms of unequal value: the past is that of three parts A and one part B."""
    series = simulated(5, ["A", "B"], 140)
    dates = series["MKT"]["date"]
    rows = [{"event_id": s, "symbol": s, "announced_at": dates[100], "worth": v} for s, v in (("A", 3), ("B", 1))]
    on(series, "A", 100, 0.0)
    on(series, "B", 100, 0.0)
    rule = RULE | {"hold": [1, 2], "weights": ["value"], "market_value": "worth", "history": 30, "min_history": 30}
    model = {"name": "mean_adjusted", "estimation_window": [-60, -11], "min_estimation_days": 30}
    result = run(make_study(tmp_path, rows, series, calendar_time=rule, model=model))
    a, b = (np.array(series[s]["return"][71:102], float) for s in "AB")
    wanted = (0.75 * a + 0.25 * b)[-1] / np.std((0.75 * a + 0.25 * b)[:-1], ddof=1)
    close(rows_of(result, "portfolios")["standardised"][0], wanted)


# Against statsmodels and the second implementation


@pytest.mark.parametrize("lags", [0, 1, 5, None])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_least_squares_is_that_of_statsmodels(k: int, lags: int | None) -> None:
    rng = np.random.default_rng(k)
    x, weights = rng.normal(size=(k, 60)), rng.integers(1, 9, 60).astype(float)
    y = 0.1 + x.sum(axis=0) + np.cumsum(rng.normal(size=60)) / 3
    design = np.column_stack([np.ones(60), *x])
    for w in (np.ones(60), weights):
        fit = least_squares(y, x, w, lags)
        assert fit.lags == (automatic_lags(60) if lags is None else lags)
        model = sm.WLS(y, design, weights=w)
        robust = model.fit(cov_type="HAC", cov_kwds={"maxlags": fit.lags, "use_correction": True})
        close(fit.estimate, robust.params)
        close(fit.se, model.fit().bse)
        close(fit.se_hac, robust.bse)
        close(fit.residuals, robust.resid)
        assert fit.dof == robust.df_resid


def test_automatic_lags() -> None:
    assert [automatic_lags(n) for n in (0, 10, 100, 250, 1000)] == [0, 2, 4, 4, 6]


@pytest.mark.parametrize(("y", "x", "words"), [
    (np.arange(2.0), np.ones((1, 2)), "needs more than 2 rows for 2 coefficients, has 2"),
    (np.arange(5.0) ** 2, np.ones((1, 5)), "does not vary"),
    (np.arange(5.0), np.arange(5.0)[None], "no residual"),
    (np.empty(0), np.empty((1, 0)), "has 0"),
])  # fmt: skip
def test_least_squares_says_why_not(y: Any, x: Any, words: str) -> None:
    fit = least_squares(y, x, np.ones(len(y)))
    assert words in fit.unavailable
    assert np.isnan([*fit.estimate, *fit.se, *fit.se_hac]).all()


CASES = [
    ("market", "simple", {"frequency": "daily", "hold": [1, 40], "lags": 3}),
    ("market", "log", {"frequency": "daily", "hold": [-5, 30], "lags": None}),
    ("factor", "simple", {"frequency": "daily", "hold": [1, 60], "lags": 0}),
    ("mean_adjusted", "simple", {"frequency": "daily", "months": 2, "lags": 2}),
    ("market", "simple", {"frequency": "monthly", "months": 6, "lags": 1, "min_history": 3}),
    ("market_adjusted", "log", {"frequency": "monthly", "months": 9, "lags": None, "min_history": 4}),
]


@pytest.mark.parametrize(
    ("model", "kind", "rule"), CASES, ids=lambda v: str(v) if isinstance(v, str) else v["frequency"]
)
def test_portfolios_against_the_second_implementation(
    tmp_path: Path, model: str, kind: str, rule: dict[str, Any]
) -> None:
    """Irregular prices, repeated firms, gaps, an early end: every portfolio return and coefficient."""
    worths = {e.event_id: 1.0 + 7 * i % 13 for i, e in enumerate(events()) if e.event_id != "joint, deal"}
    chosen = [e for e in events() if e.event_id in worths]
    rows = [
        {"event_id": e.event_id, "symbol": e.symbol, "announced_at": e.day, "kind": e.kind,
         "market_value": worths[e.event_id], "estimation_start": e.estimation[0], "estimation_end": e.estimation[1]}
        for e in chosen
    ]  # fmt: skip
    folder = make_study(
        tmp_path, rows, {s: closes(list(p), list(p.values())) for s, p in prices().items()}, prices={"returns": kind},
        model={"name": model, "estimation_window": list(ESTIMATION), "min_estimation_days": 40},
        significance={"tests": ["bhar_t"], "group_by": ["kind"]}, limits={"max_excluded_share": 0.9},
        factors={"columns": list(FACTORS)} if model == "factor" else None,
        calendar_time={"history": 40, "min_history": 20} | rule | {"min_firms": 2, "weights": ["value", "equal"], "rats": True},
    )  # fmt: skip
    result = run(folder)
    used = set(result.tables["fits"]["event_id"])
    plain = design("factor" if model == "factor" else "market" if model != "mean_adjusted" else model, kind)
    asked = second_long.Rule(
        rule["frequency"] == "monthly", rule.get("hold"), rule.get("months"), 2, rule["lags"], 40,
        rule.get("min_history", 20),
    )  # fmt: skip
    for group in ("all", "kind=a"):
        inside = [e for e in chosen if e.event_id in used and group in ("all", f"kind={e.kind}")]
        for weighting in ("equal", "value"):
            made, left_out = second_long.portfolio(
                inside, prices(), plain, asked, worths if weighting == "value" else None
            )
            found = portfolio_of(result, weighting, group)
            assert [d if asked.hold or not asked.monthly else d[:7] for d, _, _ in found] == list(made)
            assert [n for _, n, _ in found] == [n for _, _, n, _ in made.values()]
            close([r for _, _, r in found], [r for r, _, _, _ in made.values()])
            check_standardised(result, group, weighting, second_long.standardised(made, asked), made)
            for regression in ("ols", "wls"):
                check_regression(result, group, weighting, regression, made, asked, left_out)
        check_rats(result, group, second_long.rats(inside, prices(), plain, asked))


def check_regression(
    result: StudyResult, group: str, weighting: str, regression: str, made: Any, asked: Any, left_out: int
) -> None:
    plain, robust, lags = second_long.regression(made, asked, regression == "wls")
    rows = rows_of(result, "calendar_time", group=group, weighting=weighting, regression=regression)
    rows = rows.with_columns(pl.col("term").ne("alpha").alias("second")).sort("second", maintain_order=True)
    names = ["alpha", *[c for c in result.manifest["coefficients"] if c.startswith("beta")]]
    if len(names) == len(rows):
        rows = pl.concat([rows.filter(pl.col("term") == n) for n in names])
    close(rows["estimate"], robust.params)
    close(rows["se"], plain.bse)
    close(rows["se_hac"], robust.bse)
    close(rows["p_value"], robust.pvalues)
    close(np.array([rows["ci_low"], rows["ci_high"]]).T, robust.conf_int())
    assert set(rows["distribution"]) == {f"t({len(made) - len(rows)})"}
    assert set(rows.select("n_periods", "periods_left_out", "lags").rows()) == {(len(made), left_out, lags)}
    if regression == "ols":
        found = rows_of(result, "portfolios", group=group, weighting=weighting)["abnormal"]
        close(found, robust.params[0] + robust.resid)


def check_standardised(
    result: StudyResult, group: str, weighting: str, wanted: dict[str, float | None], made: Any
) -> None:
    found = rows_of(result, "portfolios", group=group, weighting=weighting)["standardised"].to_list()
    assert [z is None for z in found] == [z is None for z in wanted.values()]
    known = [z for z in wanted.values() if z is not None]
    close([z for z in found if z is not None], known)
    row = rows_of(result, "calendar_time", group=group, weighting=weighting, term="standardised_mean").row(
        0, named=True
    )
    assert (row["regression"], row["n_periods"], row["no_history"]) == (
        "jaffe_mandelker", len(known), len(wanted) - len(known),
    )  # fmt: skip
    if len(known) < 2:
        assert row["unavailable"]
        assert row["p_value"] is None
        return
    answer = second.stats.ttest_1samp(known, 0.0)
    close([row["estimate"], row["t"], row["p_value"]], [np.mean(known), answer.statistic, answer.pvalue])
    close([row["ci_low"], row["ci_high"]], answer.confidence_interval(0.95))
    close(
        row["mean_firms"],
        np.mean([cell[2] for cell, z in zip(made.values(), wanted.values(), strict=True) if z is not None]),
    )


def check_rats(result: StudyResult, group: str, wanted: dict[int, Any]) -> None:
    rows = rows_of(result, "rats", group=group).to_dicts()
    assert [r["relative_period"] for r in rows] == list(wanted)
    total, squares, broken = 0.0, 0.0, False
    for row, (n, alpha, se, p) in ((r, w) for r, w in zip(rows, wanted.values(), strict=True) if w is not None):
        close([row["n"], row["alpha"], row["se"], row["p_value"]], [n, alpha, se, p])
    for row, one in zip(rows, wanted.values(), strict=True):
        broken |= one is None
        if broken:
            assert row["cumulated"] is None
            assert bool(row["unavailable"]) == (one is None)
            continue
        total, squares = total + one[1], squares + one[2] ** 2
        close([row["cumulated"], row["se_cumulated"]], [total, squares**0.5])
        close(row["p_cumulated"], second.p_value(total / squares**0.5, second.stats.norm, "two-sided"))


def test_the_second_implementation_is_independent() -> None:
    assert "engine" not in Path(second_long.__file__).read_text(encoding="utf-8")


# Properties


def planted(folder: Path, tau: float, later: float = 0.0) -> StudyResult:
    """tau on each day held, and ``later`` on every day after the last one held and on the days before the first event."""
    symbols = [f"S{i}" for i in range(6)]
    series = simulated(8, symbols, 260)
    at = {f"e{i}": (s, 90 + 7 * i) for i, s in enumerate(symbols)}
    for symbol, day in at.values():
        cells = [
            r + (tau if day < i <= day + 30 else 0.0) + (later if i > 200 or i < 20 else 0.0)
            for i, r in enumerate(series[symbol]["return"])
        ]
        series[symbol] = returns(series[symbol]["date"], cells)
    return run(study_of(folder, at, series, RULE | {"hold": [1, 30], "rats": True}))


def test_a_planted_return_is_the_alpha(tmp_path: Path) -> None:
    """It raises each alpha by itself, the cumulated RATS by its sum, and moves nothing else."""
    before, after = planted(tmp_path / "0", 0.0), planted(tmp_path / "1", 0.004)
    for regression in ("ols", "wls"):
        one, two = (rows_of(r, "calendar_time", regression=regression) for r in (before, after))
        close(two["estimate"] - one["estimate"], [0.004, 0.0], rel=1e-8)
        close(two["se"], one["se"])
        close(two["se_hac"], one["se_hac"])
    one, two = (r.tables["rats"] for r in (before, after))
    close(two["cumulated"] - one["cumulated"], 0.004 * np.arange(1, 31), rel=1e-8)


def test_nothing_outside_the_holding_period_is_looked_at(tmp_path: Path) -> None:
    before, after = planted(tmp_path / "0", 0.0), planted(tmp_path / "1", 0.0, later=0.3)
    for name in ("calendar_time", "portfolios", "rats"):
        assert texts(before)[name] == texts(after)[name]


def test_the_order_of_rows_and_a_stranger_change_no_byte(tmp_path: Path) -> None:
    series = simulated(8, [f"S{i}" for i in range(5)], 260)
    at = {f"e{i}": (f"S{i % 4}", 90 + 9 * i) for i in range(8)}
    rule = {"frequency": "monthly", "months": 3, "min_firms": 2, "rats": True}
    first = run(study_of(tmp_path / "a", at, series, rule))
    names = list(at)
    random.Random(1).shuffle(names)
    shuffled = run(study_of(tmp_path / "b", {n: at[n] for n in names}, series, rule))
    one_group = {f"e{i}": "a" for i in range(8)} | {"z": "b"}
    folder = study_of(tmp_path / "c", at | {"z": ("S4", 120)}, series, rule, significance={"group_by": ["kind"]})
    rows = [{"event_id": e, "symbol": s, "announced_at": series["MKT"]["date"][d], "kind": one_group[e]}
            for e, (s, d) in (at | {"z": ("S4", 120)}).items()]  # fmt: skip
    write_rows(folder / "events.csv", rows)
    beside = run(folder)
    for name in ("calendar_time", "portfolios", "rats"):
        assert texts(first)[name] == texts(shuffled)[name]
        group = rows_of(beside, name, group="kind=a").drop("group")
        assert group.equals(first.tables[name].drop("group"))


def test_the_alternative_is_about_the_alpha(tmp_path: Path) -> None:
    """Halves and complements of the alpha's p; the beta's stays two-sided."""
    series = simulated(8, ["A", "B"], 200)
    made = {
        side: run(
            study_of(tmp_path / side, {"a": ("A", 100), "b": ("B", 104)}, series, RULE | {"hold": [1, 60], "rats": False},
                     significance={"alternative": side})
        )
        for side in ("two-sided", "greater", "less")
    }  # fmt: skip
    alpha, beta = (
        {s: cell(r, "calendar_time", "p_value", term=t, regression="ols") for s, r in made.items()}
        for t in ("alpha", "beta_market")
    )
    close(alpha["greater"] + alpha["less"], 1.0)
    close(2 * min(alpha["greater"], alpha["less"]), alpha["two-sided"])
    assert beta["greater"] == beta["less"] == beta["two-sided"]
    assert "rats" not in made["less"].tables


def test_written_and_read_back(tmp_path: Path) -> None:
    series = simulated(8, ["A", "B"], 200)
    result = run(
        study_of(tmp_path / "s", {"a": ("A", 100), "b": ("B", 104)}, series, RULE | {"rats": True, "min_firms": 9})
    )
    write_result(result, tmp_path / "out")
    assert read_result(tmp_path / "out") == result
    rows = result.tables["calendar_time"]
    assert set(rows["unavailable"]) == {
        "needs more than 2 rows for 2 coefficients, has 0: periods with at least 9 firms; 4 have fewer",
        "needs 2 periods whose firms have 36 returns before it in common, has 0 of 0",
    }
    assert rows["p_value"].null_count() == len(rows)


@pytest.mark.parametrize("frequency", [{}, {"frequency": "monthly", "hold": None, "months": 2}])
def test_a_group_that_lost_all_its_events_says_so(tmp_path: Path, frequency: dict[str, Any]) -> None:
    """Its rows are there without a number, those of the other groups are as without it."""
    at, samples = {s: (s, 6 if s == "D" else 100) for s in "ABCD"}, {"late": {"kind": ["d"]}}

    def found(name: str, **more: Any) -> StudyResult:
        rule = RULE | {"rats": True, "weights": ["equal", "value"]} | frequency
        folder = study_of(tmp_path / name, at, simulated(8, list("ABCD"), 200), rule, **more)
        table = pl.read_csv(folder / "events.csv", infer_schema=False)
        table.with_columns(
            pl.col("symbol").str.to_lowercase().alias("kind"), pl.lit("7").alias("market_value")
        ).write_csv(folder / "events.csv")
        return run(folder)

    tests = {"tests": ["cross_sectional_t"]}
    result = found("with", significance=tests | {"samples": samples})
    rows = rows_of(result, "calendar_time", group="sample=late")
    assert len(rows) == 2 * 5
    assert set(rows["n"]) == {0}
    assert rows["unavailable"].null_count() == rows["estimate"].count() == rows["p_value"].count() == 0
    assert not rows_of(result, "portfolios", group="sample=late").height
    without = found("without", significance=tests)
    assert rows_of(result, "calendar_time", group="all").equals(without.tables["calendar_time"])


def test_one_date_has_no_rats(tmp_path: Path) -> None:
    series = simulated(8, list("ABCD"), 200)
    result = run(study_of(tmp_path, {s: (s, 100) for s in "ABCD"}, series, RULE | {"rats": True}))
    rows = result.tables["rats"]
    assert set(rows["unavailable"]) == {"a regressor does not vary, or is a combination of the others"}
    assert rows["p_value"].null_count() == len(rows) == 2


# What the study file may not say


@pytest.mark.parametrize(("change", "words"), [
    ({"hold": None}, "exactly one of hold"),
    ({"months": 3}, "exactly one of hold"),
    ({"frequency": "monthly"}, "whole months"),
    ({"hold": [3, 1]}, "must not be after the last"),
    ({"hold": [1, 90000]}, "farther than"),
    ({"hold": [1]}, "hold"),
    ({"weights": ["equal", "equal"]}, "more than once"),
    ({"weights": ["value"]}, '"market_value" is no column of the calendar'),
    ({"weights": ["value"], "market_value": "worth"}, '"dear" of b B is no number above zero'),
    ({"min_firms": 0}, "min_firms"),
    ({"history": 20, "min_history": 21}, "min_history = 21 is more than history = 20"),
    ({"lag": 2}, "lags"),
    ({"frequency": None}, "frequency"),
])  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    series = simulated(8, ["A", "B"], 200)
    folder = study_of(tmp_path, {"a": ("A", 100), "b": ("B", 104)}, series, RULE | change)
    dates = series["MKT"]["date"]
    write_rows(folder / "events.csv", [
        {"event_id": s.lower(), "symbol": s, "announced_at": dates[100], "worth": w} for s, w in (("A", "3"), ("B", "dear"))
    ])  # fmt: skip
    with pytest.raises((SpecError, DataError)) as caught:
        load_study(folder, data_path=())
    assert words in str(caught.value)
    assert "calendar_time" in str(caught.value)


# Size, with overlapping windows and a common shock


def line_of(symbol: str, values: np.ndarray, market: np.ndarray, days: np.ndarray) -> Line:
    return Line(symbol, "MKT", "", days, values, market[None], np.zeros(len(days)), "", "", 0, 0)


def overlapping(
    rng: np.random.Generator, sessions: int = 500, firms: int = 30, held: int = 120
) -> tuple[Any, np.ndarray]:
    """A panel of firms of one industry, whose events fall into ten weeks, and their BHARs against the market."""
    days = np.arange("2015-01-01", sessions, dtype="datetime64[D]")
    market, industry = rng.normal(0.0003, 0.01, sessions), rng.normal(0, 0.008, sessions)
    own = market + industry + rng.normal(0, 0.02, (firms, sessions))
    at = rng.integers(200, 250, firms)
    names = [f"S{i:02d}" for i in range(firms)]
    lines = {(s, "MKT", ""): line_of(s, own[i], market, days) for i, s in enumerate(names)}
    pairs = [Pair(s, s, (s, "MKT", ""), days[at[i]], Window(-60, -11)) for i, s in enumerate(names)]
    spans = [slice(p + 1, p + 1 + held) for p in at]
    bhar = np.array([np.prod(1 + own[i, s]) - np.prod(1 + market[s]) for i, s in enumerate(spans)])
    return build_panel(pairs, lines, Window(-1, 1)), bhar


def test_overlap_with_a_common_shock() -> None:
    """BHARs of overlapping windows are taken for independent and reject far too often; the portfolio's alpha holds."""
    rng, samples, held = np.random.default_rng(5), 300, 120
    rule = CalendarTime(frequency="daily", hold=[1, held], min_firms=10, lags=0)
    everyone = [("all", np.arange(30))]
    rejected = {"bhar_t": 0, "ols": 0, "wls": 0, "jaffe_mandelker": 0}
    for _ in range(samples):
        panel, bhar = overlapping(rng, held=held)
        sample = replace(sample_of([0.1] * 30, np.zeros((30, 2))), bhar=bhar)
        rejected["bhar_t"] += evaluate("bhar_t", sample).p_value < 0.05
        found = in_calendar_time(
            panel, rule, ("market",), everyone, np.arange(30), np.full(30, np.nan), False, "two-sided", 0.05
        )
        for row in found.alphas:
            if row.term in ("alpha", "standardised_mean"):
                rejected[row.regression] += row.p_value < 0.05
    error = 3.5 * (0.05 * 0.95 / samples) ** 0.5
    assert rejected["bhar_t"] / samples > 0.3
    assert abs(rejected["ols"] / samples - 0.05) < error
    assert abs(rejected["wls"] / samples - 0.05) < error
    assert abs(rejected["jaffe_mandelker"] / samples - 0.05) < error


# A study with real prices, and what a reader sees


ROOT = Path(__file__).parents[1]
YEAR = {"frequency": "monthly", "months": 12, "min_firms": 3, "rats": True, "weights": ["equal"]}


@pytest.fixture(scope="module")
def acquirers() -> StudyResult:
    """us-acquirers, each firm held for the twelve months after its deal."""
    study = load_study(ROOT / "studies" / "us-acquirers", data_path=(ROOT / "fixtures" / "prices",))
    chosen = study.spec.significance.model_copy(update={"tests": ["bhar_bootstrap"], "group_by": ["consideration"]})
    windows = study.spec.windows.model_copy(update={"event": [-10, 252], "car": [[1, 252]]})
    report = study.spec.report.model_copy(update={"charts": ["calendar_time"]})
    changed = {
        "calendar_time": CalendarTime(**YEAR), "significance": chosen, "windows": windows, "report": report,
    }  # fmt: skip
    return run_study(replace(study, spec=study.spec.model_copy(update=changed)))


def test_the_year_after_a_takeover_is_in_the_readme(acquirers: StudyResult) -> None:
    rows = rows_of(acquirers, "calendar_time", term="alpha", regression="ols")
    lines = ["| group | events | months | alpha a month | t | p |", "|---|---:|---:|---:|---:|---:|"]
    for r in rows.iter_rows(named=True):
        cells = (
            str(r["n"]),
            str(r["n_periods"]),
            f"{100 * r['estimate']:.2f} %",
            f"{r['t']:.2f}",
            f"{r['p_value']:.3f}",
        )
        lines.append(f"| {' | '.join((r['group'], *cells))} |")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- us-acquirers-year:start -->\n")[2].partition("<!-- us-acquirers-year:end -->")[0]
    assert shown.strip().splitlines() == lines


def test_the_year_by_plain_loops_over_the_prices(acquirers: StudyResult) -> None:
    """Every month of the portfolio from the price file, without the second program's sessions: months of closes."""
    frame = pl.read_parquet(ROOT / "fixtures" / "prices" / "us-large-caps" / "prices.parquet")
    column = "adj_close" if "adj_close" in frame.columns else "close"
    ends: dict[str, dict[str, float]] = {}
    for symbol, day, price in frame.select("symbol", "date", column).drop_nulls().sort("symbol", "date").rows():
        ends.setdefault(symbol, {})[str(day)[:7]] = price  # the last of the month stands
    held: dict[str, set[str]] = {}
    for symbol, day in acquirers.tables["events"].select("symbol", "event_day").rows():
        for one in second_long.months_after(str(day), 12):
            held.setdefault(one, set()).add(symbol)
    months = sorted(ends["^GSPC"])
    before = dict(zip(months[1:], months, strict=False))
    wanted = {}
    for one, firms in held.items():
        known = [s for s in sorted(firms) if one in ends[s] and before[one] in ends[s]] if one in before else []
        if len(known) >= 3:
            wanted[one] = np.mean([ends[s][one] / ends[s][before[one]] - 1 for s in known])
    found = {d[:7]: r for d, _, r in portfolio_of(acquirers)}
    shared = sorted(set(found) & set(wanted))
    assert len(shared) > 150
    assert len(set(found) ^ set(wanted)) <= 2
    close([found[m] for m in shared], [wanted[m] for m in shared], rel=1e-6)
    benchmark = [ends["^GSPC"][m] / ends["^GSPC"][before[m]] - 1 for m in found if m in before]
    fit = sm.OLS([found[m] for m in found if m in before], sm.add_constant(np.array(benchmark))).fit()
    close(
        cell(acquirers, "calendar_time", "estimate", group="all", regression="ols", term="alpha"),
        fit.params[0],
        rel=1e-6,
    )


def test_the_memo_says_what_was_held(acquirers: StudyResult) -> None:
    text = memo_markdown(acquirers)
    page = memo_html(acquirers)
    for words in (
        "in the 12 calendar months after the one of day 0", "is held once", "leaves on its last day", "of events share sessions",
        "Arithmetic", "Compound", "RATS", "not in excess of a risk-free rate", "bhar_bootstrap allows for that",
    ):  # fmt: skip
        assert words in text
        assert words in page
    row = rows_of(acquirers, "calendar_time", group="all", regression="ols", term="alpha").row(0, named=True)
    assert f"| {100 * row['estimate']:.3f}" in text
    assert f"| {1200 * row['estimate']:.2f} |" in text
    cars = acquirers.tables["cars"]
    means = [f"{100 * cars[c].mean():.2f}" for c in ("car_simple", "car_log", "car_compound", "bhar")]
    assert f"| [1, 252] | {len(cars)} | {' | '.join(means)} |" in text
    for words in ("Newey & West (1987)", "Ibbotson (1975)", "Fama (1998)"):
        assert words in text
    assert "(table [calendar_time])" in text.replace("\\", "")


def test_events_share_sessions_by_plain_pairs(acquirers: StudyResult) -> None:
    daily = acquirers.tables["abnormal_returns"].filter(
        pl.col("relative_day").is_between(1, 252), pl.col("date").is_not_null()
    )
    spans = daily.group_by("event_id", "symbol").agg(pl.col("date").min().alias("a"), pl.col("date").max().alias("b"))
    spans = spans.select("a", "b").rows()
    pairs = [(x, y) for i, x in enumerate(spans) for y in spans[i + 1 :]]
    sharing = sum(x[0] <= y[1] and y[0] <= x[1] for x, y in pairs)
    assert f"{sharing} of {len(pairs)} pairs of events share sessions" in memo_markdown(acquirers)


def test_the_chart_is_the_running_sum(acquirers: StudyResult) -> None:
    figure = draw_chart(acquirers, "calendar_time")
    figure.canvas.draw()
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text():
            box = text.get_window_extent()
            assert (box.min >= figure.bbox.min - 1).all(), text.get_text()
            assert (box.max <= figure.bbox.max + 1).all(), text.get_text()
    line = next(one for one in figure.axes[0].lines if len(one.get_ydata()) > 2)
    abnormal = rows_of(acquirers, "portfolios", group="all")["abnormal"].to_numpy()
    close(line.get_ydata(), np.cumsum(abnormal))
    close(
        band(abnormal, 0.05, len(abnormal))[3], second.stats.t.isf(0.025, len(abnormal) - 1) * abnormal.std(ddof=1) * 2
    )
    assert render_chart(acquirers, "calendar_time", "svg") == render_chart(acquirers, "calendar_time", "svg")


def test_a_chart_of_nothing_still_stands(tmp_path: Path) -> None:
    series = simulated(8, ["A", "B"], 200)
    charts = {"charts": ["calendar_time"]}
    folder = study_of(tmp_path, {"a": ("A", 100), "b": ("B", 104)}, series, RULE | {"min_firms": 9}, report=charts)
    result = run(folder)
    assert render_chart(result, "calendar_time", "svg")
    assert "Unavailable, all equal" in memo_markdown(result)


def test_a_chart_without_the_table_is_refused(tmp_path: Path) -> None:
    folder = make_study(tmp_path, [], {}, report={"charts": ["calendar_time"]})
    with pytest.raises(SpecError, match="the table \\[calendar_time\\], which is not there"):
        load_study(folder, data_path=())


def test_windows_that_touch_share_a_session(tmp_path: Path) -> None:
    """[0, 20] from session 100, 120 and 141: the first two share session 120, the third shares none."""
    series = simulated(8, ["A", "B", "C"], 200)
    at = {"a": ("A", 100), "b": ("B", 120), "c": ("C", 141)}
    windows = {"event": [0, 20], "car": [[0, 20]]}
    text = memo_markdown(run(study_of(tmp_path, at, series, RULE, windows=windows)))
    assert "1 of 3 pairs of events share sessions of their windows" in text
