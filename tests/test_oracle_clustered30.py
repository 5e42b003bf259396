"""Oracle `clustered-30`: 30 firms on one date, every statistic computed by an independent program from the papers.

The wide file of returns goes through the whole engine as a snapshot of returns; see the README of the oracle.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_study, returns, rows_of, run
from scipy import stats

ORACLE = Path(__file__).parents[1] / "fixtures" / "oracles" / "clustered-30"
MODELS = {"market": "market", "market_adjusted": "mktadj", "mean_adjusted": "mean"}
WINDOWS = ((0, 0), (-1, 1), (-5, 5), (-10, 10), (0, 4))
N, M = 30, 250


def t29(t: float) -> tuple[float, str, float]:
    return t, "t(29)", 2 * stats.t.sf(abs(t), 29)


def normal(z: float) -> tuple[float, str, float]:
    return z, "normal", 2 * stats.norm.sf(abs(z))


# Test -> (statistic, distribution, p-value) out of the oracle's block for one model and window.
GROUP_TESTS = {
    "cross_sectional_t": lambda o: (o["csect_t_car"], "t(29)", o["csect_p_car_t"]),
    "crude_dependence_t": lambda o: (
        o["brown_warner"]["demean_ddof1"]["car"], "t(249)",
        2 * stats.t.sf(abs(o["brown_warner"]["demean_ddof1"]["car"]), 249),
    ),
    "patell": lambda o: normal(o["patell"]["car_scar_predcov"]),
    "bmp": lambda o: t29(o["bmp"]["car_scar_predcov"]),
    "kolari_pynnonen": lambda o: t29(o["kolari_pynnonen"]["calendar0"]["adj_bmp_car_scar_predcov"]),
    "adjusted_patell": lambda o: normal(
        o["patell"]["car_scar_predcov"] * o["kolari_pynnonen"]["calendar0"]["factor_patell"]
    ),
    "kolari_pape_pynnonen": lambda o: t29(o["kolari_pynnonen"]["calendar0"]["adj_bmp_car_scar_predcov"]),  # one date
    "skewness_adjusted_t": lambda o: normal(o["skew"]["hall_G1"]),
    "corrado": lambda o: normal(o["rank"]["corrado1989"]["car_cowan"]),
    "corrado_zivney": lambda o: normal(o["rank"]["corrado_zivney1992"]["car"]),
    "grank_t": lambda o: (
        o["grank"]["est_sar_over_s__scar_predcov"]["grank_t"], "t(249)", o["grank"]["est_sar_over_s__scar_predcov"]["p"],
    ),
    "grank_z": lambda o: normal(o["grank"]["est_sar_over_s__scar_predcov"]["grank_z_independence"]),
    "wilcoxon": lambda o: (
        o["wilcoxon"]["car"]["z_no_cc"], "wilcoxon(30)", o["wilcoxon"]["car"]["p_exact"],
    ),
    "sign": lambda o: (o["sign"]["simple_car"], "binomial(30)", o["sign"]["binomial_exact_p_car"]),
    "generalized_sign": lambda o: normal(o["sign"]["generalized_car"]),
}  # fmt: skip
EVENT_TESTS = ("forecast_error_t",)

model = pytest.mark.parametrize("model", MODELS)
window = pytest.mark.parametrize("window", WINDOWS, ids=str)


@cache
def wide() -> dict[str, list[str]]:
    with (ORACLE / "returns.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, zip(*rows, strict=True), strict=True))


@cache
def expected() -> dict[str, Any]:
    return json.loads((ORACLE / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with (ORACLE / "events.csv").open(encoding="utf-8", newline="") as file:
        events = [
            {"event_id": r["event_id"], "symbol": r["firm"], "announced_at": r["event_date"]}
            for r in csv.DictReader(file)
        ]
    series = {s: returns(wide()["date"], values) for s, values in wide().items() if s != "date"}
    made = {}
    for name in MODELS:
        folder = make_study(
            tmp_path_factory.mktemp(name),
            events,
            series,
            model={"name": name, "estimation_window": [-260, -11], "min_estimation_days": M},
            windows={"event": [-10, 10], "car": [list(w) for w in WINDOWS]},
            significance={"tests": [*GROUP_TESTS, *EVENT_TESTS]},
        )
        made[name] = run(folder)
    return made


def block(model: str, window: tuple[int, int]) -> dict[str, Any]:
    return expected()[MODELS[model]][f"[{window[0]},{window[1]}]"]


def same(actual: Any, wanted: Any) -> None:
    """Equal to 1e-10 relative, element by element; a number that is zero must be zero but for rounding of a return."""
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(wanted, float), rtol=1e-10, atol=1e-15)


def by_firm(frame: Any) -> Any:
    return frame.sort("symbol")


@model
@window
@pytest.mark.parametrize("test", GROUP_TESTS)
def test_group_statistic(results: dict[str, Any], model: str, window: tuple[int, int], test: str) -> None:
    oracle = block(model, window)
    row = rows_of(
        results[model], "significance", group="all", test=test, window_start=window[0], window_end=window[1]
    ).row(0, named=True)
    statistic, distribution, p = GROUP_TESTS[test](oracle)
    same([row["statistic"], row["p_value"]], [statistic, p])
    assert (row["distribution"], row["n"], row["unavailable"]) == (distribution, N, None)
    same(row["estimate"], np.mean(oracle["event_level"]["car"]))


@model
@window
def test_standard_errors_and_intervals_of_the_mean_car(
    results: dict[str, Any], model: str, window: tuple[int, int]
) -> None:
    oracle, length = block(model, window), window[1] - window[0] + 1
    mean = np.mean(oracle["event_level"]["car"])
    wanted = {
        "cross_sectional_t": (mean / oracle["csect_t_car"], stats.t.isf(0.025, 29)),
        "crude_dependence_t": (oracle["brown_warner"]["demean_ddof1"]["sd"] * length**0.5, stats.t.isf(0.025, 249)),
    }
    for test, (se, quantile) in wanted.items():
        row = rows_of(
            results[model], "significance", test=test, window_start=window[0], window_end=window[1]
        ).row(0, named=True)  # fmt: skip
        same([row["se"], row["ci_low"], row["ci_high"]], [se, mean - quantile * se, mean + quantile * se])


@model
@window
def test_cars(results: dict[str, Any], model: str, window: tuple[int, int]) -> None:
    event = block(model, window)["event_level"]
    cars = by_firm(rows_of(results[model], "cars", window_start=window[0], window_end=window[1]))
    same(cars["car"], event["car"])
    same(cars["se"], event["car_se_predcov"])
    same(cars["t"], event["car_t_predcov"])
    same(cars["scar"], event["car_t_predcov"])
    same(cars["p_value"], 2 * stats.t.sf(np.abs(event["car_t_predcov"]), event["df"]))


@model
@window
def test_single_event_test(results: dict[str, Any], model: str, window: tuple[int, int]) -> None:
    event = block(model, window)["event_level"]
    rows = by_firm(
        rows_of(
            results[model], "event_significance", test="forecast_error_t", window_start=window[0], window_end=window[1]
        )
    )
    quantile = stats.t.isf(0.025, event["df"])
    car, se = np.array(event["car"]), np.array(event["car_se_predcov"])
    same(rows["statistic"], event["car_t_predcov"])
    same(rows["p_value"], 2 * stats.t.sf(np.abs(event["car_t_predcov"]), event["df"]))
    same(rows["estimate"], car)
    same(rows["se"], se)
    same(rows["ci_low"], car - quantile * se)
    same(rows["ci_high"], car + quantile * se)
    assert rows["distribution"].to_list() == [f"t({d})" for d in event["df"]]


@model
def test_fits(results: dict[str, Any], model: str) -> None:
    event = block(model, (0, 0))["event_level"]
    fits = by_firm(results[model].tables["fits"])
    same(fits["sigma"], event["sigma"])
    assert fits["n_obs"].to_list() == event["M"]
    assert fits["dof"].to_list() == event["df"]
    names = {"market": ["alpha", "beta_market"], "market_adjusted": [], "mean_adjusted": ["alpha"]}[model]
    assert fits.columns[7:] == names
    if names:
        coefficients = np.array(event["coef"]).reshape(N, -1)[:, : len(names)]
        same(fits.select(names).to_numpy(), coefficients)


@model
def test_abnormal_returns(results: dict[str, Any], model: str) -> None:
    event = block(model, (0, 0))["event_level"]
    table = results[model].tables["abnormal_returns"].sort("symbol", "relative_day")
    ar = table["ar"].to_numpy().reshape(N, 21)
    same(ar / np.array(event["sigma"])[:, None], event["ar_t_naive"])
    same(table["sar"].to_numpy().reshape(N, 21), event["ar_t_predcorr"])
    same(table["actual"] - table["expected"], table["ar"])
    day_0 = wide()["date"].index("2016-02-25")
    raw = [wide()[f"F{i:02d}"][day_0 - 10 : day_0 + 11] for i in range(N)]
    same(table["actual"].to_numpy().reshape(N, 21), raw)
    assert table["date"].cast(str).to_list() == list(wide()["date"][day_0 - 10 : day_0 + 11]) * N


@model
def test_averages(results: dict[str, Any], model: str) -> None:
    oracle = block(model, (-10, 10))
    averages = rows_of(results[model], "averages", group="all").sort("relative_day")
    same(averages["aar"], oracle["AAR"])
    same(averages["caar"], np.cumsum(oracle["AAR"]))
    same(averages["caar"][-1], oracle["CAAR_sum_of_AAR"])
    same(averages["aar"] / averages["se_aar"], oracle["csect_t_day"])
    same(averages["caar"][-1] / averages["se_caar"][-1], oracle["csect_t_car"])
    same(averages["share_positive"] * N, oracle["sign"]["n_pos_day"])
    assert averages["n"].to_list() == oracle["N_t"]
    assert averages["relative_day"].to_list() == oracle["relative_day"]


@model
@window
def test_mean_residual_correlation(results: dict[str, Any], model: str, window: tuple[int, int]) -> None:
    r = block(model, window)["kolari_pynnonen"]["rbar_calendar_nonoverlap_zero"]
    row = rows_of(results[model], "significance", test="kolari_pynnonen", window_start=window[0]).row(0, named=True)
    assert row["note"] == f"mean r = {r:.4f}"


def test_one_firm_in_statsmodels(results: dict[str, Any]) -> None:
    one = json.loads((ORACLE / "statsmodels_F00.json").read_text(encoding="utf-8"))["F00_E1"]
    fit = rows_of(results["market"], "fits", symbol="F00").row(0, named=True)
    same([fit["alpha"], fit["beta_market"]], one["params"])
    same(fit["r2"], one["r2"])
    days = rows_of(results["market"], "abnormal_returns", symbol="F00").sort("relative_day")
    same(days["expected"], one["predicted_mean"])
    same(days["ar"] / days["sar"], one["se_obs"])
