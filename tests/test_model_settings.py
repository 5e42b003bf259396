"""The keys of [model] that one model takes: defaults that are printed, refusals, and what the value does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import closes, make_study, returns, run, simulated, tables_of, write_columns, write_rows

from engine.errors import DataError, SpecError
from engine.golden import bless, compare
from engine.models import ITERATIVE, fit
from engine.report import memo_markdown
from engine.sessions import Window, exchange_sessions
from engine.spec.design import MODEL_KEYS
from engine.tables import table

NAN = np.nan


def small_study(folder: Path, **changes: Any) -> Path:
    series = simulated(3, ["AAA", "BBB", "CCC"], 120)
    dates = series["MKT"]["date"]
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": dates[95 + i]} for i, s in enumerate(("AAA", "BBB"))]
    return make_study(folder, events, series, **{"limits": {"max_excluded_share": 0.9}} | changes)


@pytest.mark.parametrize(
    ("model", "key", "default"),
    [
        ("dimson", "leads_lags", 1),
        ("rolling", "window", 60),
        ("exponential", "half_life", 30.0),
        ("matched", "weights", "equal"),
    ],
)
def test_a_default_is_used_and_printed(tmp_path: Path, model: str, key: str, default: Any) -> None:
    keys = {"name": model, "estimation_window": [-85, -11], "min_estimation_days": 65}
    tables = tables_of(model, (), ["BBB", "CCC"]) | {"model": keys | ({"peers": "peers"} if model == "matched" else {})}
    unsaid = run(small_study(tmp_path / "a", **tables))
    assert unsaid.manifest["settings"]["model"][key] == default
    tables["model"] |= {key: default}
    said = run(small_study(tmp_path / "b", **tables))
    assert unsaid.tables["cars"].equals(said.tables["cars"])
    assert re.search(rf"model.{key} *\| *{default}", memo_markdown(unsaid))


def test_only_the_keys_of_the_model_stand_in_the_settings(tmp_path: Path) -> None:
    manifest = run(small_study(tmp_path)).manifest
    assert set(manifest["settings"]["model"]) == {"name", "estimation_window", "min_estimation_days"}
    assert "code_sha256" not in manifest


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "market", "leads_lags": 1}, r'leads_lags is used by the model "dimson" only, and name = "market"'),
        ({"name": "rolling", "half_life": 3.0}, r'half_life is used by the model "exponential" only'),
        ({"name": "raw", "peers": "p"}, r'peers is used by the model "matched" only'),
        ({"name": "garch", "file": "x.py"}, r'file is used by the model "custom" only'),
        ({"name": "custom"}, r"file is required by the model"),
        ({"name": "custom", "file": "x.py"}, r"function is required by the model"),
        ({"name": "rolling", "window": 49}, r"window = 49 needs an estimation_window of 51 days or more.*has 50"),
        ({"name": "dimson", "leads_lags": 24}, r"leads_lags"),
        ({"name": "exponential", "half_life": 25}, r"half_life = 25.0 needs an estimation_window of 52 days"),
        ({"name": "matched", "peers": "peerz"}, r"peers = \"peerz\" is no basket of \[benchmark\] baskets"),
        ({"name": "matched"}, r'the model "matched" has no control portfolio for AAA'),
        ({"name": "matched", "weights": "cap"}, r"weights"),
    ],
)
def test_what_a_study_may_not_say(tmp_path: Path, model: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        run(small_study(tmp_path, model=model))


def test_the_scaffold_names_every_key() -> None:
    from engine.scaffold import TOML

    for keys in MODEL_KEYS.values():
        for key in keys:
            assert re.search(rf"^# {key} = ", TOML, re.MULTILINE), key


# Rows and neighbours


def one(model: str, y: list[float], x: list[float], **options: Any) -> Any:
    rows = Window(-len(y), -1)
    own = np.array([[rows.start, rows.end]])
    return fit(model, np.array([y]), np.array([[x]]), np.array([[[0.5]]]), rows, own, options=options)


def test_scholes_williams_by_hand() -> None:
    """x = 0 1 0 2 0 1 0, y = its day before: b(-1) = 1, b(0) = b(1) over five rows, rho of x with the day before it."""
    x = [0.0, 1.0, 0.0, 3.0, 1.0, 0.0, 2.0]
    y = [5.0, *x[:-1]]
    now, before, after = (np.array(x[i : i + 5]) for i in (1, 0, 2))
    used = np.array(y[1:6])

    def slope(v: np.ndarray) -> float:
        return float(((used - used.mean()) * (v - v.mean())).sum() / ((v - v.mean()) ** 2).sum())

    rho = np.corrcoef(now, before)[0, 1]
    beta = (1 + slope(now) + slope(after)) / (1 + 2 * rho)
    found = one("scholes_williams", y, x)
    assert found.coefficients[0] == pytest.approx([np.mean(y) - beta * np.mean(x), beta], rel=1e-13)
    assert (found.n_obs[0], found.dof[0]) == (7, 5)


@pytest.mark.parametrize(("model", "options"), [("scholes_williams", {}), ("dimson", {"leads_lags": 1})])
def test_which_rows_count_where_neighbours_are_missing(model: str, options: dict[str, Any]) -> None:
    """A missing return costs its row alone. A missing benchmark costs the corrected beta its row and both neighbours, the means
    and sigma its row. What lies beyond the estimation window is not looked at."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=40), rng.normal(size=40)
    y_gap, x_gap = y.copy(), x.copy()
    y_gap[10], x_gap[20] = NAN, NAN

    def beta_over(rows: list[int]) -> float:
        columns = np.array([[x[t - 1], x[t], x[t + 1]] for t in rows])
        if model == "dimson":
            design = np.column_stack([np.ones(len(rows)), columns])
            return float(np.linalg.lstsq(design, y[rows], rcond=None)[0][1:].sum())
        slopes = [np.polyfit(columns[:, j], y[rows], 1)[0] for j in range(3)]
        return float(sum(slopes) / (1 + 2 * np.corrcoef(columns[:, 1], columns[:, 0])[0, 1]))

    for own, market, out, count in (
        (y, x, {0, 39}, 40),
        (y_gap, x, {0, 39, 10}, 39),
        (y, x_gap, {0, 39, 19, 20, 21}, 39),
    ):
        found = one(model, own.tolist(), market.tolist(), **options)
        assert found.coefficients[0, 1] == pytest.approx(beta_over([t for t in range(40) if t not in out]), rel=1e-10)
        there = np.isfinite(own) & np.isfinite(market)
        alpha, beta = found.coefficients[0]
        assert alpha == pytest.approx(y[there].mean() - beta * x[there].mean(), rel=1e-10)
        residuals = (y - alpha - beta * x)[there]
        assert found.sigma[0] == pytest.approx(np.sqrt((residuals**2).sum() / (count - 2)), rel=1e-10)
        assert found.n_obs[0] == count


def test_a_corrected_beta_without_enough_neighbours_is_a_reason() -> None:
    x = [1.0, NAN, 2.0, NAN, 4.0, NAN, 3.0, 5.0]
    assert one("scholes_williams", [1.0, 2, 1, 4, 2, 3, 1, 2], x).degenerate[0] == "too_few_neighbours"
    assert one("dimson", [1.0, 2, 1, 4, 2, 3, 1, 2], x, leads_lags=1).degenerate[0] == "too_few_neighbours"


def test_no_event_window_return_changes_a_fit(tmp_path: Path) -> None:
    """Of the rolling rule least of all: its newest row is the last of the estimation window."""
    for model in ("rolling", "exponential", "dimson", "scholes_williams", "theil_sen", "garch"):
        tables = tables_of(model, (), ["BBB", "CCC"])
        folder = small_study(tmp_path / model, **tables)
        before = run(folder).tables["fits"]
        for symbol in ("AAA", "MKT"):
            data = pl.read_csv(folder / "data" / f"{symbol}.csv")
            late = pl.col("date") >= data["date"][95 - 5 + 1]
            data.with_columns(pl.when(late).then(pl.col("return") + 0.07).otherwise(pl.col("return"))).write_csv(
                folder / "data" / f"{symbol}.csv"
            )
        after = run(folder).tables["fits"]
        assert before.filter(pl.col("symbol") == "AAA").equals(after.filter(pl.col("symbol") == "AAA")), model


def test_a_line_that_goes_through_days_ties_them() -> None:
    x = [0.0, 1, 2, 3, 4, 5, 6]
    found = one("lad", [0.1, 1.3, 1.9, 3.2, 3.8, 9.0, 6.1], x)
    assert (found.residuals == 0).sum() == 2


def test_huber_without_a_scale_is_a_reason() -> None:
    """More than half of the days lie on the line that the reweighting reaches: the median residual is zero."""
    found = one("huber", [0.0, 0, 0, 0, 0, 0, 0, 0, 0, 9], [float(v) for v in range(10)])
    assert found.degenerate[0] in ("", "not_converged")
    assert found.degenerate[0] or np.isfinite(found.sigma[0])


# Control portfolios


DATES = [str(d) for d in exchange_sessions("XNYS", 2016).dates if str(d) >= "2015-01-01"][:160]


def peers_study(folder: Path, weights: str, values: dict[str, Any], **column: Any) -> Path:
    rng = np.random.default_rng(4)
    series = {s: returns(DATES, rng.normal(0, 0.02, 160).tolist()) for s in ("AAA", "BBB", "CCC", "DDD", "MKT")}
    events = [{"event_id": "e", "symbol": "AAA", "announced_at": DATES[120]} | column]
    folder = make_study(
        folder,
        events,
        series,
        benchmark={"default": "MKT", "baskets": {"peers": ["AAA", "BBB", "CCC"], "others": ["CCC", "DDD"]}},
        sessions={"calendar": "exchange"},
        model={"name": "matched", "peers": "peers", "weights": weights},
        significance={"tests": ["forecast_error_t"]},
    )
    rows = [{"symbol": s, "market_value": v, "market_value_on": DATES[114]} for s, v in values.items()]
    write_rows(folder / "data" / "symbols.csv", rows)
    return folder


def expected_of(folder: Path) -> np.ndarray:
    return run(folder).tables["abnormal_returns"].sort("relative_day")["expected"].to_numpy()


def read(folder: Path, symbol: str) -> np.ndarray:
    return pl.read_csv(folder / "data" / f"{symbol}.csv")["return"].to_numpy()[115:126]


def test_peers_are_weighed_and_never_the_firm_itself(tmp_path: Path) -> None:
    equal = peers_study(tmp_path / "a", "equal", {"AAA": 9})
    np.testing.assert_allclose(expected_of(equal), (read(equal, "BBB") + read(equal, "CCC")) / 2, rtol=1e-12)
    value = peers_study(tmp_path / "b", "value", {"AAA": 1e9, "BBB": 30, "CCC": "1e1"})
    np.testing.assert_allclose(expected_of(value), 0.75 * read(value, "BBB") + 0.25 * read(value, "CCC"), rtol=1e-12)
    own = peers_study(tmp_path / "c", "equal", {"AAA": 9}, benchmark="others")
    np.testing.assert_allclose(expected_of(own), (read(own, "DDD") + read(own, "CCC")) / 2, rtol=1e-12)


@pytest.mark.parametrize("value", ["", "n/a", "-3", "0", "inf"])
def test_a_peer_without_a_market_value_is_named(tmp_path: Path, value: str) -> None:
    folder = peers_study(tmp_path, "value", {"AAA": 1, "BBB": 30, "CCC": value})
    with pytest.raises(SpecError, match=r"market value of CCC: the column market_value of symbols.csv"):
        run(folder)


def dated(folder: Path, days: dict[str, str], **study: Any) -> Path:
    rows = [{"symbol": s, "market_value": 1, "market_value_on": day} for s, day in days.items()]
    write_rows(folder / "data" / "symbols.csv", rows)
    return folder


@pytest.mark.parametrize("day", ["", "31.12.2019", "2019-13-01", "20191231x"])
def test_a_market_value_without_a_day_is_refused(tmp_path: Path, day: str) -> None:
    folder = dated(peers_study(tmp_path, "value", {}), {"BBB": DATES[10], "CCC": day, "AAA": DATES[10]})
    with pytest.raises(SpecError, match=r"day of the market value of CCC: the column market_value_on of symbols.csv"):
        run(folder)
    equal = tmp_path / "study.toml"
    equal.write_text(
        equal.read_text(encoding="utf-8").replace('weights = "value"', 'weights = "equal"'), encoding="utf-8"
    )
    run(folder)


def test_a_market_value_from_the_event_window_on_loses_the_pair(tmp_path: Path) -> None:
    """The event window begins on session 115: a value of the session before weighs, one of that session would look ahead."""
    days = {"AAA": DATES[150], "BBB": DATES[114], "CCC": DATES[114]}  # AAA is never its own peer
    run(dated(peers_study(tmp_path / "a", "value", {}), days))
    with pytest.raises(DataError, match="1 x prices: market_value_too_late") as caught:
        run(dated(peers_study(tmp_path / "b", "value", {}), days | {"CCC": DATES[115]}))
    words = f"market_value of CCC of {DATES[115]} is not from before the event window, {DATES[115]} on"
    assert words in str(caught.value)


# Factor sets by name

SETS = {"capm": ["Mkt-RF"], "ff3": ["Mkt-RF", "SMB", "HML"], "ff5": ["Mkt-RF", "SMB", "HML", "RMW", "CMA"],
        "carhart": ["Mkt-RF", "SMB", "HML", "Mom"]}  # fmt: skip


def set_study(folder: Path, name: str, momentum: str | None) -> Path:
    rng = np.random.default_rng(6)
    dates = DATES
    folder = make_study(
        folder,
        [{"event_id": "e", "symbol": "AAA", "announced_at": dates[120]}],
        {
            "AAA": returns(dates, rng.normal(0, 0.02, 160).tolist()),
            "MKT": closes(dates, [10.0 + i for i in range(160)]),
        },
        model={"name": "factor"},
        factors={"set": name},
        sessions={"calendar": "exchange"},
        significance={"tests": ["forecast_error_t"]},
    )
    columns = ["Mkt-RF", "SMB", "HML", "RMW", "CMA", "RF", *([momentum] if momentum else [])]
    drawn = {c: (rng.normal(0, 1, 160) if c != "RF" else np.full(160, 0.01)).round(6).tolist() for c in columns}
    three = [c for c in columns if c not in ("RMW", "CMA")]
    write_columns(folder / "data" / "factors" / "FF5_US_daily.csv", {"date": dates, **drawn})
    write_columns(folder / "data" / "factors" / "FF3_US_daily.csv", {"date": dates, **{c: drawn[c] for c in three}})
    return folder


@pytest.mark.parametrize("name", SETS)
def test_named_sets_are_their_columns_as_statsmodels_fits_them(tmp_path: Path, name: str) -> None:
    import statsmodels.api as sm

    folder = set_study(tmp_path, name, "Mom")
    fits = run(folder).tables["fits"]
    assert fits.columns[7:] == ["alpha", *(f"beta_{c}" for c in SETS[name])]
    factors = pl.read_csv(folder / "data" / "factors" / "FF5_US_daily.csv")
    own = pl.read_csv(folder / "data" / "AAA.csv")["return"].to_numpy()
    rows = slice(120 - 60, 120 - 10)
    x = factors.select(SETS[name]).to_numpy()[rows] / 100
    ols = sm.OLS((own - factors["RF"].to_numpy() / 100)[rows], sm.add_constant(x)).fit()
    np.testing.assert_allclose(fits.select(fits.columns[7:]).row(0), ols.params, rtol=1e-9)
    np.testing.assert_allclose(fits["sigma"].item(), np.sqrt(ols.scale), rtol=1e-9)


@pytest.mark.parametrize("momentum", ["MOM", "UMD", "WML"])
def test_momentum_has_several_names(tmp_path: Path, momentum: str) -> None:
    assert f"beta_{momentum}" in run(set_study(tmp_path, "carhart", momentum)).tables["fits"].columns


def test_carhart_without_momentum_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r'set = "carhart" needs the column MOM or Mom.*F-F_Momentum_Factor_daily'):
        run(set_study(tmp_path, "carhart", None))


# Golden results of models that are searched for


def test_searched_models_are_compared_to_five_digits(tmp_path: Path) -> None:
    assert {"garch", "egarch", "gjr", "lad", "huber"} == ITERATIVE
    for model, off, differs in (("lad", 3e-6, False), ("lad", 3e-5, True), ("market", 3e-6, True)):
        folder = small_study(tmp_path / f"{model}{off}", model={"name": model})
        result = run(folder)
        bless(result, folder / "golden", "first")
        columns = result.tables["fits"].to_dict(as_series=False)
        columns["sigma"] = [s * (1 + off) for s in columns["sigma"]]
        extra = dict.fromkeys(result.tables["fits"].columns[7:], pl.Float64)
        moved = type(result)(result.tables | {"fits": table("fits", columns, extra)}, result.manifest)
        assert bool(compare(moved, folder / "golden").differences) == differs


def test_two_runs_of_a_search_give_the_same_bytes(tmp_path: Path) -> None:
    for model in sorted(ITERATIVE):
        first, again = (run(small_study(tmp_path / f"{model}{i}", model={"name": model})) for i in range(2))
        assert all(first.tables[name].equals(again.tables[name]) for name in first.tables)
        assert ("arch" in first.manifest["versions"]) == (model in ("garch", "egarch", "gjr"))


def test_the_memo_says_that_a_variance_equations_sigma_is_unconditional(tmp_path: Path) -> None:
    text = memo_markdown(run(small_study(tmp_path, model={"name": "garch"})))
    assert "unconditional standard deviation, sqrt(omega / (1 - arch - garch))" in " ".join(text.split())


def test_a_users_residuals_are_spread_about_their_mean() -> None:
    found = one("custom", [1.0, 2, 4], [0.0, 0, 0], function=lambda r, x, ahead: (ahead[0], r + 10))
    assert found.sigma[0] == pytest.approx(np.std([1, 2, 4], ddof=1), rel=1e-13)
    assert found.dof[0] == 2
