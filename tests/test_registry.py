"""What every model and every test owes: an oracle or second implementation, a citation, a README row, and an answer
to every awkward sample. There is no list of exceptions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_oracle_clustered30 as oracle
import test_oracle_longley as longley
import test_oracle_models as models_oracle
import test_second_implementation as second_implementation
import test_second_models as second_models
import test_thirty_firms as thirty_firms
from conftest import MODEL_KEYS, make_study, returns, run, sample_of, simulated, tables_of

from engine.models import COVARIANCE, ITERATIVE, MODELS, PSEUDO_DATES, REFIT, WITHOUT_BENCHMARK, NormalFits, fit
from engine.results import StudyResult
from engine.sessions import Window
from engine.significance import EVENT_TESTS, NEEDS, RESAMPLING_TESTS, SIGNIFICANCE_TESTS, evaluate

README = Path(__file__).parents[1] / "README.md"
CITED = re.compile(r"[A-Z][\w'-]+.*?\((18|19|20)\d\d\)", re.DOTALL)
FUNCTIONS = {**MODELS, **SIGNIFICANCE_TESTS, **{f"{n} of one event": f for n, f in EVENT_TESTS.items()}}
TESTS = sorted({*SIGNIFICANCE_TESTS, *EVENT_TESTS})


# What each owes on paper


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_has_an_oracle_and_a_second_implementation(name: str) -> None:
    assert name in {*oracle.MODELS, *longley.MODELS, *models_oracle.MODELS}
    assert name in {*(model for model, _, _ in second_implementation.CASES), *second_models.CASES}


@pytest.mark.parametrize("name", sorted(SIGNIFICANCE_TESTS))
def test_every_group_test_is_proven_on_both_panels(name: str) -> None:
    assert name in thirty_firms.GROUP_TESTS
    assert name in second_implementation.GROUP_TESTS


@pytest.mark.parametrize("name", sorted(EVENT_TESTS))
def test_every_event_test_is_proven_on_both_panels(name: str) -> None:
    assert name in thirty_firms.SINGLE_TESTS
    assert name in second_implementation.EVENT_TESTS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_cites_author_and_year(name: str) -> None:
    own = FUNCTIONS[name].__doc__ or ""
    referred = FUNCTIONS.get(found[1]).__doc__ or "" if (found := re.search(r"`(\w+)`", own)) else ""
    assert CITED.search(own) or CITED.search(referred), own


@pytest.mark.parametrize("name", sorted({*MODELS, *TESTS}))
def test_every_name_has_a_row_in_the_readme(name: str) -> None:
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert any(f"`{name}`" in row for row in rows)


def test_names_that_need_resampling_or_no_benchmark_exist() -> None:
    assert set(TESTS) >= RESAMPLING_TESTS
    assert set(MODELS) >= WITHOUT_BENCHMARK | ITERATIVE
    assert set(TESTS) >= set(NEEDS)
    assert set(NEEDS.values()) == {COVARIANCE, REFIT, PSEUDO_DATES}


# Awkward studies: a number or a reason, never an exception or a warning

DAYS = 120
PLACES = [80, 85, 90, 100, 105]


def awkward_series(case: str) -> dict[str, Any]:
    series = simulated(5, [f"S{i}" for i in range(5)], DAYS) | {"OIL": simulated(9, ["OIL"], DAYS)["OIL"]}
    first = list(series["S0"]["return"])
    dates = series["S0"]["date"]
    match case:
        case "one listing constant":
            first = [0.001] * DAYS
        case "one listing zero":
            first = [0.0] * DAYS
        case "one listing all missing":
            first = [None] * DAYS
        case "one missing day":
            first[PLACES[0]] = None
        case "one listing missing in the event window":
            first[PLACES[0] - 5 : PLACES[0] + 6] = [None] * 11
        case "constant before the event":
            first[: PLACES[0] - 5] = [0.001] * (PLACES[0] - 5)
        case "one listing is the market":
            first = list(series["MKT"]["return"])
        case "zero in the event window":
            first[PLACES[0] - 5 : PLACES[0] + 6] = [0.0] * 11
        case "every listing zero":
            series = {s: returns(dates, [0.0] * DAYS) if s.startswith("S") else c for s, c in series.items()}
            first = [0.0] * DAYS
        case "identical firms":
            series = {s: returns(dates, first) if s.startswith("S") else c for s, c in series.items()}
    return series | {"S0": returns(dates, first)}


CASES = (
    "nothing special", "one listing constant", "one listing zero", "one listing all missing", "one missing day",
    "one listing missing in the event window", "constant before the event", "one listing is the market",
    "zero in the event window", "identical firms",
)  # fmt: skip


def awkward_study(folder: Path, model: str, case: str, n: int) -> StudyResult:
    series = awkward_series(case)
    dates = series["MKT"]["date"]
    places = [PLACES[0]] * n if case == "identical firms" else PLACES[:n]
    events = [{"event_id": f"e{i}", "symbol": f"S{i}", "announced_at": dates[p]} for i, p in enumerate(places)]
    return run(
        make_study(
            folder,
            events,
            series,
            **tables_of(model, ["OIL"], ["S2", "S3", "S4"]),
            windows={"event": [-5, 5], "car": [[0, 0], [-5, 5]]},
            significance={"tests": TESTS},
            resampling={"seed": 1, "draws": 99},
            limits={"max_excluded_share": 1.0},
        )
    )


def check_answers(result: StudyResult) -> None:
    """Every test gives one row a window: a p-value in [0, 1] with a statistic, or a reason and no p-value."""
    for name, registry in (("significance", SIGNIFICANCE_TESTS), ("event_significance", EVENT_TESTS)):
        for row in result.tables[name].iter_rows(named=True):
            if row["unavailable"] is None:
                assert row["p_value"] is not None, row
                assert 0 <= row["p_value"] <= 1, row
                assert np.isfinite(row["statistic"]), row
                assert row["distribution"], row
            else:
                assert row["p_value"] is None, row
        if len(result.tables["cars"]):
            assert set(result.tables[name]["test"]) == set(registry)


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", [2, 5])
def test_awkward_studies_are_answered(tmp_path: Path, model: str, case: str, n: int) -> None:
    result = awkward_study(tmp_path, model, case, n)
    check_answers(result)
    used, lost = set(result.tables["fits"]["event_id"]), result.tables["exclusions"]
    pairs = set(lost.filter(lost["stage"] != "window")["event_id"])
    assert used | pairs == {f"e{i}" for i in range(n)}
    assert not used & pairs


def small_fit(model: str, returns: Any, market: Any) -> NormalFits:
    """Fits of (N, 10) returns on one benchmark, ahead of three days on which it is one."""
    keys: dict[str, Any] = {"window": 4, "half_life": 2.0, "leads_lags": 1}
    own = {key: value for key, value in keys.items() if key in MODEL_KEYS.get(model, {})}
    if model == "custom":
        own = {"function": lambda r, x, ahead: (ahead[0] * 0 + r.mean(), r - r.mean())}
    n = len(returns)
    return fit(
        model, np.array(returns), np.tile(market, (n, 1))[:, None], np.ones((n, 1, 3)), Window(-10, -1),
        np.array([[-10, -1]] * n), options=own,
    )  # fmt: skip


def lacks_of(model: str) -> set[str]:
    rng = np.random.default_rng(5)
    return set(small_fit(model, rng.normal(size=(1, 10)), rng.normal(size=10)).lacks)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_one_event_is_answered(tmp_path: Path, model: str) -> None:
    result = awkward_study(tmp_path, model, "nothing special", 1)
    check_answers(result)
    group = result.tables["significance"]
    assert set(group["unavailable"]) == {"needs at least 2 events, has 1"}
    lacking = {test for test, need in NEEDS.items() if need in lacks_of(model)}
    answers = sum(1 if test == "sq" else 2 for test in {*EVENT_TESTS} - lacking)  # sq answers one of two windows
    assert result.tables["event_significance"]["p_value"].is_not_null().sum() == answers


def test_a_window_that_no_event_completes_is_answered(tmp_path: Path) -> None:
    """The market lacks one day of every event window of ten sessions; [0, 0] stays."""
    series = simulated(8, [f"S{i}" for i in range(3)], DAYS)
    dates = series["MKT"]["date"]
    for i in range(3):
        cells = list(series[f"S{i}"]["return"])
        cells[82] = None
        series[f"S{i}"] = returns(dates, cells)
    events = [{"event_id": f"e{i}", "symbol": f"S{i}", "announced_at": dates[80]} for i in range(3)]
    options = {"significance": {"tests": TESTS}, "resampling": {"seed": 1, "draws": 99}}
    result = run(make_study(tmp_path, events, series, **options))
    check_answers(result)
    rows = result.tables["significance"]
    wide = rows.filter(rows["window_start"] == -5)
    assert set(wide["unavailable"]) == {"needs at least 2 events, has 0"}
    assert wide["n"].to_list() == [0] * len(SIGNIFICANCE_TESTS)


# Awkward samples, handed to the tests directly


NOISE = np.random.default_rng(2).normal(size=(4, 20))
GAPS = np.where(np.arange(80).reshape(4, 20) % 3 == 0, np.nan, NOISE)
SAMPLES = {
    "no event": sample_of([], NOISE[:0]),
    "one event": sample_of([0.1], NOISE[:1]),
    "two events": sample_of([0.1, 0.3], NOISE[:2]),
    "two equal": sample_of([0.1, 0.1], NOISE[:2]),
    "all equal": sample_of([0.1] * 4, NOISE),
    "all zero": sample_of([0.0] * 4, NOISE),
    "identical firms": sample_of([0.1] * 4, np.tile(NOISE[:1], (4, 1))),
    "gaps": sample_of([0.1, -0.2, 0.3, 0.5], GAPS),
    "one estimation day": sample_of([0.1, -0.2, 0.3, 0.5], NOISE[:, :1], dof=1),
    "two degrees of freedom": sample_of([0.1, -0.2, 0.3, 0.5], NOISE[:, :4], dof=2),
    "no common days": sample_of([0.1, -0.2], np.where(np.arange(40).reshape(2, 20) // 10 % 3 == 0, NOISE[:2], np.nan)),
    "constant residuals": sample_of([0.1, -0.2, 0.3, 0.5], np.full((4, 20), 0.25)),
    "zero residuals": sample_of([0.1, -0.2, 0.3, 0.5], np.zeros((4, 20))),
    "one sign of residuals": sample_of([0.1, -0.2, 0.3, 0.5], np.abs(NOISE)),
    "everything tied": sample_of([0.0] * 4, np.zeros((4, 20))),
    "mirrored firms": sample_of([0.1, -0.1], NOISE[:1] * [[1], [-1]] + [[0.3 - 0.1 - 0.2], [0]]),
    "equal but for rounding": sample_of([0.1, np.nextafter(0.1, 1), 0.1, np.nextafter(0.1, 0)], NOISE),
}


@pytest.mark.parametrize("name", sorted(SIGNIFICANCE_TESTS))
@pytest.mark.parametrize("kind", SAMPLES)
def test_group_tests_answer_awkward_samples(name: str, kind: str) -> None:
    sample = SAMPLES[kind]
    answer = evaluate(name, sample)
    assert (answer.name, answer.n, answer.group) == (name, sample.n, "all")
    if answer.unavailable:
        assert np.isnan([answer.p_value, answer.statistic]).all()
    else:
        assert 0 <= answer.p_value <= 1
        assert np.isfinite(answer.statistic)
        assert answer.null
        assert answer.estimate == sample.car.mean()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("mirrored firms", "corrado_zivney_adjusted"),
        *(("mirrored firms", t) for t in ("crude_dependence_t", "corrado", "corrado_zivney", "grank_t")),
        *(
            ("equal but for rounding", t)
            for t in ("cross_sectional_t", "bmp", "kolari_pynnonen", "skewness_adjusted_t", "grank_t")
        ),
        *(
            ("equal but for rounding", t)
            for t in ("kolari_pape_pynnonen", "corrado_zivney_adjusted", "grank_z", "jackknife", "variance_bmp")
        ),
    ],
)
def test_a_spread_that_is_rounding_alone_is_no_spread(kind: str, name: str) -> None:
    """The daily means of mirrored firms are zero, the CARs of equal firms are one number: there is nothing to divide by."""
    assert evaluate(name, SAMPLES[kind]).unavailable


@pytest.mark.parametrize("name", sorted(EVENT_TESTS))
@pytest.mark.parametrize("kind", SAMPLES)
def test_event_tests_answer_awkward_samples(name: str, kind: str) -> None:
    sample = SAMPLES[kind]
    answer = EVENT_TESTS[name](sample)
    assert answer.name == name
    assert len(answer.p_value) == len(answer.statistic) == len(answer.unavailable) == len(answer.note) == sample.n
    for p, reason in zip(answer.p_value, answer.unavailable, strict=True):
        assert np.isnan(p) if reason else 0 <= p <= 1


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("name", TESTS)
def test_every_test_hears_the_alternative(tmp_path: Path, name: str, alternative: str) -> None:
    """The one-sided p-values of a large positive effect: small for greater, large for less; or that there is none."""
    p_values, reasons = [], set()
    for apart in (0, 3):
        result = large_effects(tmp_path / str(apart), name, alternative, [90 + apart * i for i in range(8)])
        for table in ("significance", "event_significance"):
            p_values += result.tables[table]["p_value"].drop_nulls().to_list()
            reasons |= set(result.tables[table]["unavailable"].drop_nulls())
    assert p_values or any(alternative in reason for reason in reasons)
    low, high = {"two-sided": (0, 0.051), "greater": (0, 0.026), "less": (0.97, 1)}[alternative]
    assert all(low <= p <= high for p in p_values)


def large_effects(folder: Path, name: str, alternative: str, places: list[int]) -> StudyResult:
    series = simulated(8, [f"S{i}" for i in range(8)], DAYS)
    dates = series["MKT"]["date"]
    for i, place in enumerate(places):
        cells = list(series[f"S{i}"]["return"])
        cells[place] += 0.2 + i / 50
        series[f"S{i}"] = returns(dates, cells)
    events = [{"event_id": f"e{i}", "symbol": f"S{i}", "announced_at": dates[place]} for i, place in enumerate(places)]
    return run(
        make_study(
            folder,
            events,
            series,
            windows={"event": [-1, 1], "car": [[0, 0]]},
            significance={"tests": [name], "alternative": alternative},
            resampling={"seed": 1, "draws": 99},
        )
    )


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("fill", ["missing", "constant", "zero", "exact"])
def test_models_say_why_a_fit_is_no_use(name: str, rows: int, fill: str) -> None:
    """Beside an ordinary event, which is not disturbed. Its ten days need not hold the maximum of a variance that moves."""
    rng = np.random.default_rng(4)
    market, good = rng.normal(size=10), rng.normal(size=10)
    odd = {"missing": np.full(10, np.nan), "constant": np.full(10, 0.3), "zero": np.zeros(10), "exact": market}[fill]
    odd = np.where(np.arange(10) < rows, odd, np.nan)
    fits, alone = small_fit(name, [odd, good], market), small_fit(name, [good], market)
    assert fits.degenerate[1] == alone.degenerate[0]
    for ours, its in ((fits.sigma[1], alone.sigma[0]), (fits.expected[1], alone.expected[0])):
        np.testing.assert_array_equal(ours, its)
    assert fits.degenerate[1] == "" or name in ("garch", "gjr", "egarch")
    assert np.isfinite([fits.sigma[1], *fits.expected[1]]).all() == (fits.degenerate[1] == "")
    varies = name in ("market_adjusted", "matched") and fill in ("constant", "zero") and rows > 1
    varies |= name in ("mean_adjusted", "raw") and fill == "exact" and rows > 1
    varies |= name == "custom" and fill == "exact" and rows > 2  # the function of this test is the mean
    assert (fits.degenerate[0] == "") == varies
    assert fits.n_obs[0] == (0 if fill == "missing" else rows)
