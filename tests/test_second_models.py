"""The engine against `second_models.py`, an independent program, on the messy panel of `test_second_implementation.py`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second
import second_models
from conftest import MODEL_KEYS, closes, make_study, rows_of, run, tables_of
from test_second_implementation import EVENT_WINDOW, MIN_DAYS, SESSIONS, WINDOWS, by_pair, days_of, events, key, prices

from engine.models import COVARIANCE, MODELS
from engine.results import StudyResult
from engine.sessions import exchange_sessions
from engine.significance import EVENT_TESTS, NEEDS, RESAMPLING_TESTS, SIGNIFICANCE_TESTS

PEERS = ("S02", "S04", "S05", "S06", "S08", "S11")
CONDITIONAL = ("garch", "gjr", "egarch")
CASES = (*second_models.FITS, *CONDITIONAL)
ROBUST = ("lad", "huber", "theil_sen", "custom")
TESTS = (
    "cross_sectional_t",
    "crude_dependence_t",
    "bmp",
    "kolari_pynnonen",
    "corrado_zivney",
    "grank_t",
    "generalized_sign",
)
LONG = (-120, -11)  # for the variance equations

case = pytest.mark.parametrize("model", second_models.FITS)


@cache
def theirs(model: str) -> dict[tuple[str, str], second.Fitted]:
    found = second_models.fit_all(
        model, MODEL_KEYS.get(model, {}), events(), prices(), "MKT", PEERS, EVENT_WINDOW, MIN_DAYS, sessions_of(model)
    )  # fmt: skip
    return {name: one for name, one in found.items() if not isinstance(one, str)}


def sessions_of(model: str) -> list[str]:
    """The market's days; for the control portfolio, which has no days of its own, New York's."""
    if model != "matched":
        return second.sessions_of(prices(), "MKT")
    dates = [str(d) for d in exchange_sessions("XNYS", 2017).dates]
    return [d for d in dates if d >= SESSIONS[0]]


def study(folder: Path, model: str, tests: Any, estimation: tuple[int, int] | None = None) -> Path:
    tables = tables_of(model, (), PEERS)
    rows = [
        {
            "event_id": e.event_id, "symbol": e.symbol, "announced_at": e.day,
            "estimation_start": (estimation or e.estimation)[0], "estimation_end": (estimation or e.estimation)[1],
        }
        for e in events()
    ]  # fmt: skip
    tables["model"] |= {"estimation_window": [-90, -11], "min_estimation_days": MIN_DAYS}
    return make_study(
        folder,
        rows,
        {s: closes(list(p), list(p.values())) for s, p in prices().items()},
        windows={"event": list(EVENT_WINDOW), "car": [list(w) for w in WINDOWS]},
        significance={"tests": list(tests)},
        limits={"max_excluded_share": 0.95},
        sessions={"calendar": "exchange" if model == "matched" else "benchmark"},
        **tables,
    )


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def run_case(model: str) -> StudyResult:
        return run(study(tmp_path_factory.mktemp(model), model, [*TESTS, "forecast_error_t"]))

    return run_case


def close(actual: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(wanted, float), rtol=1e-8, atol=1e-13)


@case
def test_fits(ours: Any, model: str) -> None:
    rows, fitted = by_pair(ours(model).tables["fits"]), theirs(model)
    assert set(rows) == set(fitted)
    assert len(rows) > 20
    for name, f in fitted.items():
        row = rows[name]
        assert row["dof"] == f.dof
        close(row["sigma"], f.sigma)
        close(np.nan if row["r2"] is None else row["r2"], f.r2)
        if model not in ("raw", "matched", "custom"):
            close([row["alpha"], row["beta_market"]], f.params)


@case
def test_abnormal_returns(ours: Any, model: str) -> None:
    table = ours(model).tables["abnormal_returns"]
    cells = {(r["event_id"], r["symbol"], r["relative_day"]): r for r in table.iter_rows(named=True)}
    for f in theirs(model).values():
        for d in days_of(EVENT_WINDOW):
            row = cells[*key(f), d]
            if d not in f.actual:
                assert row["ar"] is None
            else:
                wanted = 0.0 if model == "raw" else f.expected[d]
                close([row["expected"], row["ar"]], [wanted, f.actual[d] - wanted])
                if model in ROBUST:
                    assert row["sar"] is None
                else:
                    close(row["sar"], f.sar(d))


@case
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_cars(ours: Any, model: str, window: tuple[int, int]) -> None:
    days, rows = days_of(window), by_pair(rows_of(ours(model), "cars", window_start=window[0], window_end=window[1]))
    complete = {name: f for name, f in theirs(model).items() if f.complete(days)}
    assert set(rows) == set(complete)
    for name, f in complete.items():
        row = rows[name]
        close([row["car"], row["bhar"]], [f.car(days), f.bhar(days, False)])
        if model in ROBUST:
            assert [row[c] for c in ("se", "t", "p_value", "scar")] == [None] * 4
        else:
            close([row["se"], row["scar"]], [f.variance(days) ** 0.5, f.scar(days)])


@case
@pytest.mark.parametrize("test", TESTS)
def test_group_statistics(ours: Any, model: str, test: str) -> None:
    for window in WINDOWS:
        days = days_of(window)
        row = rows_of(
            ours(model), "significance", group="all", test=test, window_start=window[0], window_end=window[1]
        ).row(0, named=True)  # fmt: skip
        if model in ROBUST and NEEDS.get(test) == COVARIANCE:
            assert "no" in row["unavailable"]
            assert row["p_value"] is None
            continue
        sample = [f for f in theirs(model).values() if f.complete(days)]
        statistic, distribution = second.GROUP_TESTS[test](sample, days, days_of(EVENT_WINDOW))
        close([row["statistic"], row["p_value"]], [statistic, second.p_value(statistic, distribution, "two-sided")])


@pytest.mark.parametrize("model", sorted(MODELS))
def test_what_a_model_lacks_is_said_by_every_test_that_needs_it(tmp_path: Path, model: str) -> None:
    """And by no other: its reason stands in the table, its numbers do not."""
    tables = tables_of(model, ["OIL", "FX"], PEERS)
    tests = sorted({*SIGNIFICANCE_TESTS, *EVENT_TESTS} - RESAMPLING_TESTS - {"sur_f"})
    folder = study(tmp_path, model, tests, LONG) if model != "factor" else None
    if folder is None:
        assert tables["factors"] is not None  # the factor model lacks nothing: `test_second_implementation.py`
        return
    result = run(folder)
    # What each model gives, written down here once more.
    without_v = model in ROBUST
    least_squares = model in ("raw", "matched", "market", "market_adjusted", "mean_adjusted")
    for name in ("significance", "event_significance"):
        for row in rows_of(result, name).iter_rows(named=True):
            need = NEEDS.get(row["test"])
            said = row["unavailable"] or ""
            if need == "covariance":
                assert ("standard error" in said) == without_v, row
            elif need == "refit":
                assert ("fits again by least squares" in said) == (not least_squares), row
            else:
                assert "least squares" not in said, row
                assert "standard error" not in said, row


@pytest.mark.parametrize("model", CONDITIONAL)
def test_variance_equations_are_where_the_likelihood_is_highest(tmp_path: Path, model: str) -> None:
    """The engine's parameters against a likelihood of our own: no step along a parameter leads higher."""
    result = run(study(tmp_path, model, ["cross_sectional_t"], LONG))
    rows, sessions = by_pair(result.tables["fits"]), second.sessions_of(prices(), "MKT")
    market = second.returns_on(prices()["MKT"], sessions, False)
    assert len(rows) > 8
    for event in events():
        if (event.event_id, event.symbol) not in rows:
            continue
        row = rows[event.event_id, event.symbol]
        at = next(i for i, d in enumerate(sessions) if d >= event.day)
        own = second.returns_on(prices()[event.symbol], sessions, False)
        places = [i for i in range(max(at + LONG[0], 0), at + LONG[1] + 1) if None not in (own[i], market[i])]
        y, x = np.array([own[i] for i in places]), np.array([market[i] for i in places])
        scale = y.std()
        variance = [row[n] for n in ("omega", "arch", "asymmetry", "garch") if row.get(n) is not None]
        p = [row["alpha"] / scale, row["beta_market"] / scale * x.std(), *variance]
        p[2] = p[2] / scale**2 if model != "egarch" else p[2] - 2 * (1 - p[-1]) * np.log(scale)
        y, x = y / scale, x / x.std()
        best = second_models.log_likelihood(model, p, y, x)
        for j in range(len(p)):
            for step in (-1e-3, 1e-3):
                other = [v + step * (i == j) for i, v in enumerate(p)]
                allowed = other[-1] >= 0 and (model == "egarch" or (min(other[2:]) >= 0 and sum(other[3:]) < 1))
                if allowed:
                    assert second_models.log_likelihood(model, other, y, x) < best + 2e-6
        close(row["dof"], len(places) - 2)


@pytest.mark.parametrize(
    ("model", "p"),
    [("garch", [0.2, 0.1, 0.8]), ("gjr", [0.1, 0.05, 0.1, 0.8]), ("egarch", [0.02, 0.2, -0.1, 0.9])],
)
def test_the_unconditional_sigma_is_that_of_a_long_path(model: str, p: list[float]) -> None:
    from engine.models.conditional import KINDS

    draws = np.random.default_rng(3).standard_normal(400_000)
    assert KINDS[model].spread(np.array(p)) == pytest.approx(
        second_models.unconditional_sigma(model, p, draws), rel=0.01
    )


def test_a_search_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an end, or on a top lower than a constant variance: the search made to do so."""
    from engine.models import conditional

    rng = np.random.default_rng(2)
    y, x = rng.normal(size=(1, 60)), rng.normal(size=(1, 1, 60))
    for found in (None, np.array([0.0, 0.1, 0.1, 0.1, 0.1])):
        monkeypatch.setattr(conditional, "highest", lambda hill, starts, found=found: found)
        assert MODELS["garch"](y, x, np.ones((1, 1, 3))).degenerate[0] == "not_converged"
