"""`portfolio_t` and `sur_f` against statsmodels on complete panels, why they have no answer on others, and cases on paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second
from conftest import closes, make_study, rows_of, run, sample_of, weekdays

from engine.cholesky import cholesky, solve
from engine.sessions import Window
from engine.significance import EVENT_TESTS, evaluate
from engine.significance.sample import Regressions

SESSIONS = weekdays(200)
WINDOWS = ((0, 0), (-1, 1), (-3, 4))
FIRMS = ("A", "B", "C", "D")
MODELS = {"market": (), "market_adjusted": (), "mean_adjusted": (), "factor": ("OIL", "FX")}
ONE_DATE = dict.fromkeys(FIRMS, SESSIONS[150])
SEVERAL_DATES = dict(zip(FIRMS, (SESSIONS[i] for i in (120, 137, 137, 180)), strict=True))


def prices(gaps: dict[str, int]) -> dict[str, dict[str, float | None]]:
    """Four firms that share a shock every day, a market, two factors; ``gaps``: a session without price."""
    rng = np.random.default_rng(41)
    market, common = rng.normal(0, 0.01, 200), rng.normal(0, 0.008, 200)
    series = {"MKT": market, "OIL": 0.3 * market + rng.normal(0, 0.02, 200), "FX": rng.normal(0, 0.005, 200)}
    series |= {s: (0.6 + i / 5) * market + common + rng.normal(0, 0.01, 200) for i, s in enumerate(FIRMS)}
    made: dict[str, dict[str, float | None]] = {
        s: dict(zip(SESSIONS, (50 * np.cumprod(1 + r)).round(6).tolist(), strict=True)) for s, r in series.items()
    }
    for symbol, place in gaps.items():
        made[symbol][SESSIONS[place]] = None
    return made


def study(
    folder: Path, model: str, days: dict[str, str], series: dict[str, dict[str, float | None]], **significance: Any
) -> Any:
    events = [{"event_id": f"e{s}", "symbol": s, "announced_at": day} for s, day in days.items()]
    return run(
        make_study(
            folder,
            events,
            {s: closes(list(p), list(p.values())) for s, p in series.items()},
            model={"name": model, "estimation_window": [-80, -6], "min_estimation_days": 40},
            windows={"event": [-5, 5], "car": [list(w) for w in WINDOWS]},
            significance={"tests": ["portfolio_t", "sur_f"]} | significance,
            factors={"columns": list(MODELS[model])} if MODELS[model] else None,
        )
    )


def fitted(model: str, days: dict[str, str], series: dict[str, dict[str, float | None]]) -> list[second.Fitted]:
    events = [second.Event(f"e{s}", s, day, (-80, -6), "") for s, day in days.items()]
    found, lost = second.fit_all(events, series, second.Design("MKT", model, False, (-5, 5), 40, MODELS[model]))
    assert not lost
    return found


def check(result: Any, test: str, sample: list[second.Fitted]) -> None:
    for window in WINDOWS:
        days = list(range(window[0], window[1] + 1))
        row = rows_of(result, "significance", test=test, window_start=window[0]).row(0, named=True)
        statistic, distribution = getattr(second, test)(sample, days, [])
        np.testing.assert_allclose(row["statistic"], statistic, rtol=1e-9)
        one_sided = distribution.sf(abs(statistic))
        np.testing.assert_allclose(row["p_value"], one_sided * (1 if test == "sur_f" else 2), rtol=1e-9)
        name = "F({:.0f},{:.0f})" if test == "sur_f" else "t({:.0f})"
        assert row["distribution"] == name.format(*distribution.args)
        assert row["n"] == len(sample)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("gaps", [{}, {"MKT": 100}], ids=["complete", "a day missing for all"])
@pytest.mark.parametrize("test", ["portfolio_t", "sur_f"])
def test_one_date_in_statsmodels(tmp_path: Path, model: str, gaps: dict[str, int], test: str) -> None:
    series = prices(gaps)
    check(study(tmp_path, model, ONE_DATE, series), test, fitted(model, ONE_DATE, series))


@pytest.mark.parametrize("model", MODELS)
def test_the_portfolio_on_several_dates_in_statsmodels(tmp_path: Path, model: str) -> None:
    series = prices({})
    result = study(tmp_path, model, SEVERAL_DATES, series)
    check(result, "portfolio_t", fitted(model, SEVERAL_DATES, series))
    assert set(rows_of(result, "significance", test="sur_f")["unavailable"]) == {"needs one date, has 3"}


def test_the_interval_of_the_portfolio_is_about_its_own_car(tmp_path: Path) -> None:
    """On several dates the portfolio is fitted again, and its CAR is not the mean CAR."""
    result = study(tmp_path, "market", SEVERAL_DATES, prices({}))
    for row in rows_of(result, "significance", test="portfolio_t").iter_rows(named=True):
        middle = (row["ci_low"] + row["ci_high"]) / 2
        assert middle == pytest.approx(row["statistic"] * row["se"], rel=1e-9)
        assert middle != pytest.approx(row["estimate"], rel=1e-3)


def test_the_interval_of_the_portfolio_is_about_the_mean_car(tmp_path: Path) -> None:
    result = study(tmp_path, "market", ONE_DATE, prices({}))
    for row in rows_of(result, "significance", test="portfolio_t").iter_rows(named=True):
        assert row["estimate"] / row["se"] == pytest.approx(row["statistic"], rel=1e-9)
        assert (row["ci_low"] + row["ci_high"]) / 2 == pytest.approx(row["estimate"], rel=1e-9)
        assert row["distribution"] == "t(73)"


@pytest.mark.parametrize(
    ("days", "kind"), [(ONE_DATE, "calendar"), (SEVERAL_DATES, "relative")], ids=["one date", "several dates"]
)
def test_estimation_rows_that_differ_are_said(tmp_path: Path, days: dict[str, str], kind: str) -> None:
    """The second firm lacks two returns around one missing price."""
    rows = rows_of(study(tmp_path, "market", days, prices({"B": 105})), "significance", test="portfolio_t")
    assert set(rows["unavailable"]) == {f"1 of 4 events have other estimation rows than the first, by {kind} day"}
    assert rows["estimate"].null_count() == 0


def test_the_same_number_of_other_days_is_not_the_same_rows() -> None:
    noise = np.array([[1.0, np.nan, 2, -2, 3], [1, 1, np.nan, -1, 2]])
    for test in ("portfolio_t", "sur_f"):
        assert evaluate(test, sample_of([1.0, 2.0], noise)).unavailable.startswith(
            "1 of 2 events have other estimation"
        )
        assert not evaluate(test, sample_of([1.0, 2.0], np.delete(noise, [1, 2], axis=1))).unavailable


def test_a_joint_test_of_all_cars_has_no_direction(tmp_path: Path) -> None:
    result = study(tmp_path, "market", ONE_DATE, prices({}), alternative="less")
    assert set(rows_of(result, "significance", test="sur_f")["unavailable"]) == {
        "has no direction, and alternative is less"
    }
    half = rows_of(result, "significance", test="portfolio_t")
    both = rows_of(study(tmp_path / "both", "market", ONE_DATE, prices({})), "significance", test="portfolio_t")
    np.testing.assert_allclose(np.minimum(half["p_value"], 1 - half["p_value"]), both["p_value"] / 2, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 4, 30])
def test_cholesky_is_that_of_numpy(k: int) -> None:
    rng = np.random.default_rng(k)
    roots, right = rng.normal(size=(5, k, k + 3)), rng.normal(size=(5, k))
    matrices = roots @ np.swapaxes(roots, 1, 2)
    np.testing.assert_allclose(cholesky(matrices, 1e-12), np.linalg.cholesky(matrices), rtol=1e-9, atol=1e-12)
    wanted = np.linalg.solve(matrices, right[:, :, None])[:, :, 0]
    np.testing.assert_allclose(solve(matrices, right, 1e-12), wanted, rtol=1e-8, atol=1e-11)
    for i in range(5):  # alone and in the batch: the same bytes
        assert (solve(matrices[i : i + 1], right[i : i + 1], 1e-12)[0] == solve(matrices, right, 1e-12)[i]).all()


def test_cholesky_of_dependent_columns() -> None:
    rows = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
    matrix = np.array([*rows, rows.sum(axis=0)])
    found = cholesky((matrix @ matrix.T)[None], 1e-12)[0]
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2, 2])


def test_more_firms_than_degrees_of_freedom() -> None:
    """Six rows and a constant: five degrees of freedom, so five firms have F(5, 1) and six have none."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(6, 6))
    noise -= noise.mean(axis=1)[:, None]
    cars = rng.normal(size=6).tolist()
    assert evaluate("sur_f", sample_of(cars[:5], noise[:5])).distribution == "F(5,1)"
    reason = evaluate("sur_f", sample_of(cars, noise)).unavailable
    assert reason == "needs no more firms than degrees of freedom, has 6 and 5"


def test_other_regressors_or_days_are_no_system() -> None:
    noise = np.array([[1.0, -1, 2, -2], [1, 1, -1, -1]])
    sample = sample_of([1.0, 2.0], noise)
    rows = np.array([[[1.0, 2, 3, 5]], [[1, 2, 3, 4]]])
    other = replace(sample, regressions=Regressions(rows, np.ones((2, 1, 3)), np.zeros((2, 1))))
    assert evaluate("sur_f", other).unavailable == "the events have different regressors"
    later = replace(sample, event_days=np.array([[99, 101, 102], [99, 102, 103]]))
    for test in ("sur_f", "portfolio_t"):
        assert evaluate(test, later).unavailable == "[0, 0] is not on the same calendar days for all events"
    shared = replace(sample, shared=np.array([True, False]))
    for test in ("sur_f", "portfolio_t"):
        assert evaluate(test, shared).unavailable.startswith("the CAR of 1 of 2 events comes from a joint regression")
    assert EVENT_TESTS["conformal"](shared).unavailable[0].startswith("the CAR comes from a joint regression")
    assert EVENT_TESTS["conformal"](shared).unavailable[1] == ""


# On paper


def test_the_portfolio_of_two_firms_by_hand() -> None:
    """Residuals 1 -1 2 -2 and 1 1 -1 -1 of a constant: mean 1, 0, .5, -1.5, squares 3.5, nu 3; V = 1 + 1/4."""
    answer = evaluate("portfolio_t", sample_of([1.0, 2.0], [[1, -1, 2, -2], [1, 1, -1, -1]]))
    se = (3.5 / 3 * 1.25) ** 0.5
    assert [answer.statistic, answer.se] == pytest.approx([1.5 / se, se], rel=1e-12)
    assert answer.distribution == "t(3)"


def test_sur_f_of_two_firms_by_hand() -> None:
    """The cross product 1 - 1 - 2 + 2 is 0, so S = diag(10, 4)/3 and W = 3 (1/10 + 4/4)/1.25; F = W 2/(3 2)."""
    answer = evaluate("sur_f", sample_of([1.0, 2.0], [[1, -1, 2, -2], [1, 1, -1, -1]]))
    assert answer.statistic == pytest.approx(3 * (1 / 10 + 4 / 4) / 1.25 * 2 / 6, rel=1e-12)
    assert answer.distribution == "F(2,2)"


def test_sur_f_has_the_error_of_the_mean_of_firms_that_move_together() -> None:
    """The residuals add up to 2, -2, 4, -4: 40/3 over three degrees of freedom, times 1.25, halved."""
    answer = evaluate("sur_f", sample_of([1.0, 2.0], [[1, -1, 2, -2], [1, -1, 2, -2 + 1e-3]]))
    assert answer.se == pytest.approx((1.25 * 40 / 3) ** 0.5 / 2, rel=1e-3)


def test_conformal_by_hand() -> None:
    """With a constant: 1, 3, 2 and the event's 6 have mean 3: -2, 0, -1, 3. Largest of four; both ends: 1 of 4."""
    sample = sample_of([6.0], [[1, 3, 2]])
    answer = EVENT_TESTS["conformal"](sample)
    assert [answer.statistic[0], answer.p_value[0]] == pytest.approx([4, 0.25])
    assert EVENT_TESTS["conformal"](replace(sample, alternative="less")).p_value[0] == 1
    assert answer.note == ["4 blocks, 4 side by side"]
    low = EVENT_TESTS["conformal"](
        sample_of([0.0], [[5, 3, 4]])
    )  # mean 3: 2, 0, 1, -3; without the refit 0 is the smallest
    assert [low.statistic[0], low.p_value[0]] == pytest.approx([1, 0.25])


def test_conformal_blocks_go_round() -> None:
    """Two days 4 and 2 after 0, 1, -2: mean 1, so -1, 0, -3 | 3, 1; blocks -1, -3, 0, 4, and round the end 0."""
    sample = replace(sample_of([6.0], [[0, 1, -2]]), window=Window(0, 1), ar=np.array([[9.0, 4, 2]]))
    answer = EVENT_TESTS["conformal"](sample)
    assert [answer.statistic[0], answer.p_value[0]] == pytest.approx([5, 0.2])
    less = replace(sample, ar=np.array([[9.0, 2, -1]]))  # mean 0: 0, 1, -2 | 2, -1; blocks 1, -1, 0, 1, -1
    assert EVENT_TESTS["conformal"](replace(less, alternative="greater")).p_value[0] == pytest.approx(0.4)


def test_clusters_by_hand() -> None:
    """CARs 1, 2, 6, 7 less their mean 4: -3, -2 | 2, 3. By date 2 (25 + 25)/16, by firm (1, 3 | 2, 4) 2 (1 + 1)/16."""
    sample = replace(
        sample_of([1.0, 2.0, 6.0, 7.0], np.ones((4, 5))), dates=np.array([1, 1, 2, 2]), firms=np.array([0, 1, 0, 1])
    )
    sample = replace(sample, event_days=np.array([[0, 1, 2]] * 2 + [[1, 2, 3]] * 2))
    by_date, by_firm, alone = 2 * 50 / 16, 2 * 2 / 16, 4 / 3 * 26 / 16
    assert evaluate("clustered_t_date", sample).se == pytest.approx(by_date**0.5, rel=1e-12)
    assert evaluate("clustered_t_firm", sample).se == pytest.approx(by_firm**0.5, rel=1e-12)
    both = evaluate("clustered_t_both", sample)
    assert both.se == pytest.approx((by_date + by_firm - alone) ** 0.5, rel=1e-12)
    assert (both.statistic, both.distribution) == (pytest.approx(4 / both.se), "t(1)")
    assert evaluate("hac_t", sample).se == pytest.approx(by_date**0.5, rel=1e-12)
    wide = replace(sample, window=Window(-1, 1))
    assert evaluate("hac_t", wide).se == pytest.approx((by_date * (1 - 2 / 3)) ** 0.5, rel=1e-12)
    assert evaluate("hac_t", wide).note == "2 dates, bandwidth 2 sessions"


def test_one_cluster_is_none() -> None:
    sample = sample_of([1.0, 2.0, 6.0, 7.0], np.ones((4, 5)))
    for test in ("clustered_t_date", "clustered_t_both", "hac_t"):
        assert evaluate(test, sample).unavailable == "needs at least 2 dates for clusters, has 1"
    alone = replace(sample, dates=np.arange(4), firms=np.zeros(4, int))
    assert evaluate("clustered_t_both", alone).unavailable == "needs at least 2 firms for clusters, has 1"


def test_listings_of_a_firm_are_one_cluster(tmp_path: Path) -> None:
    """A and B are lines of one firm: three clusters, not four."""
    series = prices({})
    events = [
        {"event_id": f"e{s}", "symbol": s, "announced_at": day, "firm": "one" if s in "AB" else s}
        for s, day in SEVERAL_DATES.items()
    ]
    folder = make_study(
        tmp_path, events, {s: closes(list(p), list(p.values())) for s, p in series.items()},
        significance={"tests": ["clustered_t_firm", "clustered_t_date"]},
    )  # fmt: skip
    result = run(folder)
    assert set(rows_of(result, "significance", test="clustered_t_firm")["distribution"]) == {"t(2)"}
    assert set(rows_of(result, "significance", test="clustered_t_date")["distribution"]) == {"t(2)"}
