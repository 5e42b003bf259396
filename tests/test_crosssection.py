"""The cross-section of CARs: formulas, designs, covariances, differences, quantiles and pre-event slopes."""

from __future__ import annotations

import csv
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import second_crosssection as second
import statsmodels.formula.api as smf
from conftest import cell, make_study, rows_of, run, simulated, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine import load_study
from engine.attributes import as_attribute, check_attributes
from engine.crosssection import COVARIANCES, CrossSample, PreEvent, design, differences, partial, quantiles, regress
from engine.crosssection.benchmark import pre_event_cars
from engine.crosssection.groups import by_regression, kruskal_wallis, rank_sum, welch_f, welch_t
from engine.errors import DataError, SpecError
from engine.formula import parse_formula
from engine.report import memo_html, memo_markdown
from engine.report.crosssection_partial import MOST_PANELS
from engine.report.drivers import coefficient
from engine.report.memo import draw_chart
from engine.results import StudyResult, read_result, write_result

README = Path(__file__).parents[1] / "README.md"
LONGLEY = Path(__file__).parents[1] / "fixtures" / "oracles" / "nist-longley"
CLUSTERED = ("clustered_date", "clustered_firm", "clustered_both")


# Formulas


@pytest.mark.parametrize(
    ("text", "terms", "constant"),
    [
        ("car ~ 1", [], True),
        ("car ~ a", ["a"], True),
        ("car~a+C(b)+log(c)", ["a", "C(b)", "log(c)"], True),
        ("car ~ a - 1", ["a"], False),
        ("car ~ 0 + a", ["a"], False),
        ("car ~ a*b", ["a", "b", "a:b"], True),
        ("car ~ a:b + a", ["a", "a:b"], True),
        ("car ~ a + b:a", ["a", "b:a"], True),
        ('car ~ C(b, Treatment("cash"))', ['C(b, Treatment("cash"))'], True),
        ("car ~ `deal value` + log(`x y`)", ["deal value", "log(x y)"], True),
        ("car ~ a*b*c", ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"], True),
    ],
)
def test_formulas_are_read(text: str, terms: list[str], constant: bool) -> None:
    found = parse_formula(text)
    assert sorted(":".join(f.name for f in term) for term in found.terms) == sorted(terms)
    assert [len(term) for term in found.terms] == sorted(len(term) for term in found.terms)
    assert found.constant == constant


@pytest.mark.parametrize(
    "text",
    [
        "car ~ __import__('os').system('true')",
        "car ~ open(a)",
        "car ~ np.log(a)",
        "car ~ I(a**2)",
        "car ~ a.b",
        "car ~ C(a)[0]",
        "car ~ log(log(a))",
        "car ~ C(a, levels=[1])",
        "car ~ Q('a')",
        "car ~ a if b else c",
        "car ~ (lambda: 1)()",
        "car ~ {a}",
        "car ~ a ** 2",
        "car ~ a^2",
        "car ~ 2",
        "car ~ a + 1.5",
        "car ~ a - b",
        "car ~ a + + b",
        "car ~ a +",
        "car ~",
        "car ~ a b",
        "car ~ a + a",
        "car ~ a + b:a + a:b",
        "car ~ a + a*b",
        "car ~ a*a",
        "car ~ a:b:a",
        "car ~ C(a) + C(a)",
        "car ~ a ~ b",
        "car ~ a:",
        "car ~ log a",
        "car ~ (a + b)",
        "car ~ - 1",
        "log(car) ~ a",
        "a ~ car",
        "car ~ car",
        "car",
        "",
        "car ~ a\\nb",
        "car ~ `a",
        "car ~ a; b",
        "car ~ " + "*".join("abcdefghij"),
        "car ~ " + " + ".join(f"c{i}" for i in range(500)),
    ],
)
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(SpecError):
        parse_formula(text)


@given(st.text(alphabet="car~ab+-*:()CLlog01,`\"'[]._ \n", max_size=40))
def test_a_formula_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        found = parse_formula("car ~ " + text)
    except SpecError:
        return
    assert found.terms or found.constant


# Designs, against the formulas of statsmodels


def made_up(seed: int, n: int = 60) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "kind": [str(v) for v in rng.choice(["cash", "mixed", "stock"], n)],
        "open": [str(v) for v in rng.choice(["no", "yes"], n)],
        "size": rng.lognormal(size=n),
        "year": rng.integers(1990, 2000, n).astype(float),
        "score": rng.normal(size=n),
    }


FORMULAS = [
    "car ~ kind + score",
    "car ~ C(kind) + log(size)",
    'car ~ C(kind, Treatment("stock")) + score',
    "car ~ kind - 1",
    "car ~ score + kind + open - 1",
    "car ~ kind*open",
    "car ~ kind*score",
    "car ~ kind + kind:score",
    "car ~ score:log(size) + score",
    "car ~ kind:open - 1",
    "car ~ C(year) + score",
    "car ~ kind*open*score",
    "car ~ kind:score",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_designs_are_those_of_statsmodels(text: str) -> None:
    """The same names and columns as patsy's, whose log is numpy's and whose quotes are Python's."""
    values = made_up(1)
    frame = pd.DataFrame(values | {"car": np.arange(60.0)})
    theirs = smf.ols(text.replace("log(", "np.log("), frame)
    found = design(parse_formula(text), values, np.ones(60, bool))
    plain = [n.replace("np.log(", "log(").replace(".0]", "]") for n in theirs.exog_names]
    assert sorted(found.names) == sorted(plain)
    for name in found.names:
        np.testing.assert_array_equal(found.matrix[:, found.names.index(name)], theirs.exog[:, plain.index(name)])


def test_missing_cells_lose_the_row_and_are_counted() -> None:
    values = {
        "kind": ["a", None, "b", "a", "b", "a"],
        "size": np.array([1.0, 2.0, np.nan, -3.0, 4.0, 5.0]),
    }
    wanted = np.array([True, True, True, True, True, False])
    found = design(parse_formula("car ~ kind + log(size)"), values, wanted)
    assert found.complete.tolist() == [True, False, False, False, True, False]
    assert found.lost == {"kind": 1, "log(size)": 2}
    assert found.missing == ("", "kind", "log(size)", "log(size)", "", "")


def test_a_dummy_for_every_event_of_many_is_refused() -> None:
    values = {"name": [f"n{i}" for i in range(600)], "kind": ["a", "b"] * 300}
    with pytest.raises(SpecError, match="makes 601 columns or more"):
        design(parse_formula("car ~ name"), values, np.ones(600, bool))
    assert len(design(parse_formula("car ~ kind"), values, np.ones(600, bool)).names) == 2


# Coefficients and their covariances


def sample(seed: int, n: int = 60, weighted: bool = False) -> CrossSample:
    rng = np.random.default_rng(seed)
    dates, firms = rng.integers(0, 25, n), rng.integers(0, 12, n)
    car = rng.normal(size=25)[dates] + rng.normal(size=12)[firms] + rng.normal(size=n) * rng.uniform(0.5, 3, n)
    return CrossSample(0.01 * car, rng.uniform(0.01, 0.05, n), dates * 7 + 12_000, firms, weighted, 0.05)


def reference(kind: str, x: Any, y: Any, w: Any, s: CrossSample) -> tuple[Any, Any]:
    """Standard errors and distribution by hand."""
    dates, firms = s.dates.tolist(), s.firms.tolist()
    d, f = len(set(dates)) - 1, len(set(firms)) - 1
    n, k = x.shape
    match kind:
        case "classical":
            return second.classical(x, y, w), stats.t(n - k)
        case "HC1" | "HC3":
            return second.hc(x, y, w, kind), stats.t(n - k)
        case "clustered_date":
            return second.clustered(x, y, w, dates), stats.t(d)
        case "clustered_firm":
            return second.clustered(x, y, w, firms), stats.t(f)
    return second.two_way(x, y, w, dates, firms), stats.t(min(d, f))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("text", ["car ~ 1", "car ~ kind + log(size)", "car ~ kind*score + C(open)", "car ~ kind - 1"])
@pytest.mark.parametrize("kind", sorted(set(COVARIANCES) - {"benchmarked_t", "benchmarked_rank"}))
def test_regressions_by_hand(kind: str, text: str, weighted: bool) -> None:
    s = sample(5, weighted=weighted)
    right = design(parse_formula(text), made_up(2), np.ones(60, bool))
    (found,) = regress(s, right, [kind])
    w = 1 / s.car_se**2 if weighted else np.ones(60)
    b, _, e = second.least_squares(right.matrix, s.car, w)
    se, law = reference(kind, right.matrix, s.car, w, s)
    assert found.unavailable == ("",) * len(b)
    np.testing.assert_allclose(found.estimate, b, rtol=1e-9)
    np.testing.assert_allclose(found.se, se, rtol=1e-9)
    np.testing.assert_allclose(found.t, b / se, rtol=1e-9)
    np.testing.assert_allclose(found.p_value, 2 * law.sf(abs(b / se)), rtol=1e-9)
    np.testing.assert_allclose(found.ci_low, b - law.isf(0.025) * se, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.ci_high, b + law.isf(0.025) * se, rtol=1e-9, atol=1e-12)
    centre = (w * s.car).sum() / w.sum()
    assert found.r2 == pytest.approx(1 - (w * e**2).sum() / (w * (s.car - centre) ** 2).sum(), abs=1e-9)
    assert (found.n, found.lost) == (60, 0)


def hand(car: list[float], x: list[float], dates: list[int]) -> tuple[CrossSample, Any]:
    n = len(car)
    s = CrossSample(np.array(car), np.ones(n), np.array(dates), np.arange(n), False, 0.05)
    return s, design(parse_formula("car ~ x"), {"x": np.array(x)}, np.ones(n, bool))


def test_a_slope_on_paper() -> None:
    """x = -1, -1, 1, 1 and CARs 0, 2, 3, 7 in %: constant 3, slope 2, residuals -1, 1, -2, 2; sums of squares 10.

    HC1: n/(n - k) sum x^2 e^2 / 16 = 2 * 10/16. HC3: leverages 1/2, residuals doubled: 40/16. Dates (1, 2, 1, 2):
    scores x e sum to 1 - 2 = -1 and -1 + 2 = 1, so 2/1 * 3/2 * 2/16.
    """
    s, right = hand([0.0, 0.02, 0.03, 0.07], [-1.0, -1.0, 1.0, 1.0], [1, 2, 1, 2])
    plain, hc1, hc3, by_date = regress(s, right, ["classical", "HC1", "HC3", "clustered_date"])
    assert plain.estimate == pytest.approx([0.03, 0.02], abs=1e-15)
    assert plain.se == pytest.approx(0.01 * np.sqrt([5 / 4, 5 / 4]), rel=1e-12)
    assert hc1.se == pytest.approx(0.01 * np.sqrt([20 / 16, 20 / 16]), rel=1e-12)
    assert hc3.se == pytest.approx(0.01 * np.sqrt([40 / 16, 40 / 16]), rel=1e-12)
    assert by_date.se[1] == pytest.approx(0.01 * np.sqrt(3 * 2 / 16), rel=1e-12)
    assert (by_date.distribution, by_date.clusters) == ("t(1)", 2)
    assert "few clusters" in by_date.note
    assert plain.r2 == pytest.approx(16 / 26, rel=1e-12)


def test_longley_is_certified() -> None:
    """The regression that the National Institute of Standards and Technology certifies, on six nearly collinear columns."""
    certified = json.loads((LONGLEY / "expected.json").read_text(encoding="utf-8"))
    with (LONGLEY / "longley.csv").open(encoding="utf-8", newline="") as file:
        rows = np.array([list(map(float, row)) for row in list(csv.reader(file))[1:]])
    s = CrossSample(rows[:, 0], np.ones(16), np.arange(16), np.arange(16), False, 0.05)
    values = {c: rows[:, i] for i, c in enumerate("abcdef", 1)}
    right = design(parse_formula("car ~ a + b + c + d + e + f"), values, np.ones(16, bool))
    (found,) = regress(s, right, ["classical"])
    np.testing.assert_allclose(found.estimate, certified["coefficients"], rtol=1e-9)
    np.testing.assert_allclose(found.se, certified["standard_errors"], rtol=1e-9)
    assert found.r2 == pytest.approx(certified["r_squared"], rel=1e-12)
    assert found.distribution == f"t({certified['dof']})"


def test_collinear_terms_are_named() -> None:
    values = made_up(3) | {"twice": 2 * np.asarray(made_up(3)["score"])}
    right = design(parse_formula("car ~ score + kind + twice"), values, np.ones(60, bool))
    for found in regress(sample(5), right, ["HC3", "clustered_both"]):
        assert found.names == ("",)
        assert found.unavailable == ("twice: a combination of the terms before, so its effect cannot be told apart",)
        assert np.isnan(found.estimate).all()


def test_a_column_of_one_value_is_named() -> None:
    right = design(parse_formula("car ~ kind"), {"kind": ["cash"] * 60}, np.ones(60, bool))
    (found,) = regress(sample(5), right, ["HC1"])
    assert found.unavailable[0].startswith("kind: a combination")


def test_too_few_events_and_an_exact_fit_have_no_answer() -> None:
    s, right = hand([0.1, 0.2], [1.0, 2.0], [1, 2])
    assert regress(s, right, ["HC1"])[0].unavailable == ("needs more events than terms, has 2 for 2",)
    s, right = hand([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0], [1, 2, 3, 4])
    assert regress(s, right, ["HC1"])[0].unavailable == ("the terms fit the CARs without residual",)


def test_one_cluster_has_no_answer_and_one_date_is_said() -> None:
    s, right = hand([0.1, 0.3, 0.2, 0.9], [1.0, 2.0, 3.0, 5.0], [4, 4, 4, 4])
    by_date, hc1, by_firm = regress(s, right, ["clustered_date", "HC1", "clustered_firm"])
    assert by_date.unavailable == ("needs at least 2 dates for clusters, has 1",) * 2
    assert np.isfinite(by_date.estimate).all()
    assert np.isnan([*by_date.se, *by_date.p_value, *by_date.t]).all()
    assert "share one date" in hc1.note
    assert "share one date" in by_firm.note


def test_a_term_of_one_event_or_one_date_has_no_robust_error() -> None:
    """The dummy is one for the events of one date: within it residuals sum to zero, and its clustered error says nothing."""
    s, right = hand([0.1, 0.3, 0.2, 0.9, 0.4, 0.5], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [1, 1, 2, 2, 3, 3])
    by_date, hc3 = regress(s, right, ["clustered_date", "HC3"])
    assert by_date.unavailable == ("", "one of the dates alone determines it")
    assert hc3.unavailable == ("", "")
    s, right = hand([0.1, 0.3, 0.2, 0.9, 0.4, 0.5], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1, 1, 2, 2, 3, 3])
    hc1, hc3, plain = regress(s, right, ["HC1", "HC3", "classical"])
    assert hc1.unavailable == ("", "one event alone determines it, so there is no variance")
    assert all("leverage 1" in reason for reason in hc3.unavailable)
    assert plain.unavailable == ("", "")


@given(st.permutations(range(20)), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_events_says_nothing(order: list[int], seed: int) -> None:
    s, values = sample(seed, 20, True), made_up(seed, 20)
    shuffled = CrossSample(*(v[order] for v in (s.car, s.car_se, s.dates, s.firms)), True, 0.05)
    moved = {k: v[order] if isinstance(v, np.ndarray) else [v[i] for i in order] for k, v in values.items()}
    formula, kinds = parse_formula("car ~ open + score"), ["HC3", "clustered_date", "clustered_firm"]
    one = regress(s, design(formula, values, np.ones(20, bool)), kinds)
    other = regress(shuffled, design(formula, moved, np.ones(20, bool)), kinds)
    for a, b in zip(one, other, strict=True):
        assert a.unavailable == b.unavailable
        np.testing.assert_allclose(a.estimate, b.estimate, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(a.p_value, b.p_value, rtol=1e-8, atol=1e-13)


@given(st.floats(1e-6, 1e9), st.sampled_from(["HC1", "HC3", "clustered_both", "classical"]))
@settings(max_examples=25, deadline=None)
def test_units_change_the_slope_and_not_its_t(factor: float, kind: str) -> None:
    s, values = sample(4), made_up(4)
    formula = parse_formula("car ~ kind + size")
    one = regress(s, design(formula, values, np.ones(60, bool)), [kind])[0]
    scaled = values | {"size": factor * values["size"]}
    other = regress(s, design(formula, scaled, np.ones(60, bool)), [kind])[0]
    np.testing.assert_allclose(other.estimate[-1] * factor, one.estimate[-1], rtol=1e-8)
    np.testing.assert_allclose(other.t, one.t, rtol=1e-8)


# Partial plots


@pytest.mark.parametrize("weighted", [False, True])
def test_partial_plots_have_the_coefficients_as_slopes(weighted: bool) -> None:
    s = sample(6, weighted=weighted)
    right = design(parse_formula("car ~ kind + log(size)"), made_up(6), np.ones(60, bool))
    (found,) = regress(s, right, ["classical"])
    parts = partial(s, right)
    assert [p.name for p in parts] == list(found.names)
    for p, b, se in zip(parts, found.estimate, found.se, strict=True):
        slope = (p.x * p.y).sum() / (p.x**2).sum()
        assert slope == pytest.approx(b, rel=1e-9)
        rest = p.y - slope * p.x
        assert np.sqrt((rest**2).sum() / (60 - 4) / (p.x**2).sum()) == pytest.approx(se, rel=1e-9)


# Pre-event slopes


def panel_of_one_date(seed: int, n: int, days: int, common: float, regressors: int = 2) -> tuple[Any, Any, Any]:
    """Returns (n, days), regressors (n, K, days) and exposures: errors move together by ``common`` times the exposure."""
    rng = np.random.default_rng(seed)
    exposure = rng.normal(size=n)
    shock = rng.normal(size=days)
    x = np.stack([np.ones(days), rng.normal(size=days)])[:regressors]
    returns = common * exposure[:, None] * shock + rng.normal(size=(n, days))
    return returns, np.broadcast_to(x, (n, *x.shape)), exposure


def pre_event(returns: Any, rows: Any, length: int) -> PreEvent:
    residuals = np.full_like(returns, np.nan)
    for i, y in enumerate(returns):
        on = np.isfinite(y)
        x = rows[i][:, on].T
        b = np.linalg.lstsq(x, y[on], rcond=None)[0] if x.shape[1] else np.zeros(0)
        residuals[i, on] = y[on] - x @ b
    return PreEvent(residuals, np.tile(np.arange(returns.shape[1]) + 500, (len(returns), 1)), rows, length)


@pytest.mark.parametrize("length", [1, 3, 11])
@pytest.mark.parametrize("regressors", [0, 1, 2])
def test_pre_event_cars_are_those_of_a_refit_without_the_window(length: int, regressors: int) -> None:
    returns, rows, _ = panel_of_one_date(1, 5, 60, 0.5, regressors)
    returns[1, 7] = returns[4, 30] = returns[4, 31] = np.nan
    found = pre_event_cars(pre_event(returns, rows, length))
    days = list(range(60))
    by_day = [{d: float(r[d]) for d in days if np.isfinite(r[d])} for r in returns]
    given_x = [{d: [float(v) for v in rows[i][:, d]] for d in days} for i in range(5)]
    windows = second.windows_before([days] * 5, by_day, length)
    assert found.shape == (len(windows), 5)
    assert len(windows) == 57 // length
    for m, window in enumerate(windows):
        for i in range(5):
            wanted = second.car_left_out(by_day[i], given_x[i], window)
            assert found[m, i] == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def of_one_date(returns: Any, rows: Any, car: Any, length: int) -> CrossSample:
    n = len(car)
    pre = pre_event(returns, rows, length)
    return CrossSample(np.asarray(car), np.ones(n), np.full(n, 9000), np.arange(n), False, 0.05, pre)


def test_benchmarked_slopes_by_hand() -> None:
    returns, rows, exposure = panel_of_one_date(2, 8, 50, 0.7)
    car = np.random.default_rng(3).normal(size=8)
    s = of_one_date(returns, rows, car, 4)
    right = design(parse_formula("car ~ exposure"), {"exposure": exposure}, np.ones(8, bool))
    by_t, by_rank = regress(s, right, ["benchmarked_t", "benchmarked_rank"])
    x = right.matrix
    slopes = []
    for window in second.windows_before([list(range(50))] * 8, [dict.fromkeys(range(50), 0.0)] * 8, 4):
        cars = [
            second.car_left_out(dict(enumerate(returns[i])), {d: rows[i][:, d].tolist() for d in range(50)}, window)
            for i in range(8)
        ]
        slopes.append(np.linalg.lstsq(x, cars, rcond=None)[0])
    squares = np.sqrt((np.array(slopes) ** 2).mean(axis=0))
    b = np.linalg.lstsq(x, car, rcond=None)[0]
    np.testing.assert_allclose(by_t.se, squares, rtol=1e-9)
    np.testing.assert_allclose(by_t.p_value, 2 * stats.t(12).sf(abs(b / squares)), rtol=1e-9)
    assert by_t.distribution == "t(12)"
    beyond = (abs(np.array(slopes)) >= abs(b)).sum(axis=0)
    assert by_rank.p_value.tolist() == ((1 + beyond) / 13).tolist()
    assert by_rank.note == "12 pre-event windows"


def test_several_dates_and_short_histories_have_no_benchmark() -> None:
    returns, rows, exposure = panel_of_one_date(2, 8, 29, 0.7)
    right = design(parse_formula("car ~ exposure"), {"exposure": exposure}, np.ones(8, bool))
    s = of_one_date(returns, rows, exposure**2, 3)
    (found,) = regress(s, right, ["benchmarked_t"])
    assert found.unavailable == ("needs at least 10 pre-event windows of 3 days, has 9",) * 2
    spread = CrossSample(s.car, s.car_se, np.arange(8) % 2, s.firms, False, 0.05, s.pre_event)
    assert regress(spread, right, ["benchmarked_rank"])[0].unavailable == ("needs events of one date, has 2 dates",) * 2


def test_the_size_of_the_slope_under_errors_that_move_together() -> None:
    """30 firms whose errors share a shock in proportion to the attribute: least squares rejects a true null most of the
    time, the pre-event slopes hold 5 % (500 draws: standard error 1 %)."""
    rejected = np.zeros(3)
    draws, rng = 500, np.random.default_rng(11)
    for _ in range(draws):
        n, days, length = 30, 125, 3
        exposure = rng.normal(size=n)
        errors = 0.6 * exposure[:, None] * rng.normal(size=days) + rng.normal(size=(n, days))
        rows = np.broadcast_to(np.stack([np.ones(120), rng.normal(size=120)]), (n, 2, 120))
        right = design(parse_formula("car ~ exposure"), {"exposure": exposure}, np.ones(n, bool))
        s = of_one_date(errors[:, :120], rows, errors[:, 121:124].sum(axis=1), length)
        found = regress(s, right, ["HC3", "benchmarked_t", "benchmarked_rank"])
        rejected += [f.p_value[1] < 0.05 for f in found]
    rates = rejected / draws
    assert rates[0] > 0.4
    assert 0.03 <= rates[1] <= 0.075
    assert 0.02 <= rates[2] <= 0.075


# Differences and quantiles


def test_welch_and_ranks_as_in_scipy_and_by_hand() -> None:
    rng = np.random.default_rng(4)
    a, b, c = rng.normal(size=9), rng.normal(0.5, 2, 14), np.round(rng.normal(1, 1, 11), 1)
    found, scipys = welch_t(a, b, 0.05, "x", "y"), stats.ttest_ind(a, b, equal_var=False)
    assert found.statistic == pytest.approx(scipys.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(scipys.pvalue, rel=1e-12)
    assert found.ci == pytest.approx(tuple(scipys.confidence_interval(0.95)), rel=1e-12)
    assert found.estimate == a.mean() - b.mean()
    ranks = rank_sum(np.concatenate([a, c[:3]]), c, 0.05, "x", "y")
    u, p = second.rank_sum([*a, *c[:3]], [*c])
    assert (ranks.statistic, ranks.p_value) == (u, pytest.approx(p, rel=1e-9))
    joint = welch_f([a, b, c], "")
    f, dof, p = second.welch_f([[*a], [*b], [*c]])
    assert (joint.statistic, joint.p_value) == (pytest.approx(f, rel=1e-9), pytest.approx(p, rel=1e-9))
    assert joint.distribution == f"F(2,{dof:.4g})"
    h, p = second.kruskal_wallis([[*a], [*b], [*c]])
    kw = kruskal_wallis([a, b, c], "")
    assert (kw.statistic, kw.p_value) == (pytest.approx(h, rel=1e-9), pytest.approx(p, rel=1e-9))


def test_two_groups_on_paper() -> None:
    """1, 2, 3 and 6, 8: means 2 and 7, variances 1 and 2, se^2 = 1/3 + 1 = 4/3; dof = (16/9)/(1/18 + 1) = 32/19. None of
    the six pairs has the first above: U = 0, the least of ten orders, p = 2/10."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([6.0, 8.0])
    found = welch_t(a, b, 0.05, "a", "b")
    assert found.statistic == pytest.approx(-5 / np.sqrt(4 / 3), rel=1e-12)
    assert found.distribution == f"t({32 / 19:.4g})"
    assert found.p_value == pytest.approx(2 * stats.t.sf(5 / np.sqrt(4 / 3), 32 / 19), rel=1e-12)
    ranks = rank_sum(a, b, 0.05, "a", "b")
    assert (ranks.statistic, ranks.p_value, ranks.distribution) == (0, pytest.approx(0.2), "exact")
    two = welch_f([a, b], "")
    assert two.statistic == pytest.approx(found.statistic**2, rel=1e-12)
    assert two.p_value == pytest.approx(found.p_value, rel=1e-12)


def test_clustered_differences_by_hand() -> None:
    s = sample(8)
    groups = [("a", np.arange(0, 20)), ("b", np.arange(20, 45)), ("c", np.arange(45, 60))]
    found = by_regression(s, groups[0], groups[2], "clustered_date")
    rows = np.r_[0:20, 45:60]
    x = np.column_stack([np.ones(35), rows < 20])
    se = second.clustered(x, s.car[rows], np.ones(35), s.dates[rows].tolist())[1]
    assert found.estimate == pytest.approx(s.car[:20].mean() - s.car[45:].mean(), rel=1e-12)
    assert found.se == pytest.approx(se, rel=1e-9)
    assert found.statistic == pytest.approx(found.estimate / se, rel=1e-9)
    made = differences(s, groups, ["HC3", *CLUSTERED])
    assert len(made) == 3 * (2 + 3) + 2
    assert {(d.first, d.second) for d in made} == {("a", "b"), ("a", "c"), ("b", "c"), ("", "")}


def test_groups_that_cannot_be_compared_say_why() -> None:
    s = sample(8)
    one = differences(s, [("a", np.arange(60))], [])
    assert [d.unavailable for d in one] == ["needs at least 2 groups, has 1"] * 2
    small = differences(s, [("a", np.arange(59)), ("b", np.array([59]))], ["clustered_firm"])
    assert all(d.unavailable for d in small)
    assert all(np.isnan(d.p_value) for d in small)
    flat = CrossSample(np.ones(60), s.car_se, s.dates, s.firms, False, 0.05)
    assert all(d.unavailable for d in differences(flat, [("a", np.arange(30)), ("b", np.arange(30, 60))], [*CLUSTERED]))
    many = differences(s, [(str(i), np.array([2 * i, 2 * i + 1])) for i in range(9)], [])
    assert [d.test for d in many] == ["welch_f", "kruskal_wallis"]
    assert all("9 groups" in d.note for d in many)


def test_quantiles_lie_between_the_order_statistics() -> None:
    """0, 10, ..., 50: the quarter is 1/4 of the way through five steps, 12.5."""
    found = quantiles(np.array([50.0, 0.0, 10.0, 40.0, 20.0, 30.0]))
    assert [found[k] for k in ("min", "p10", "p25", "p50", "p75", "p90", "max")] == [0, 5, 12.5, 25, 37.5, 45, 50]
    assert (found["mean"], found["sd"]) == (25, pytest.approx(np.sqrt(350), rel=1e-12))
    assert np.isnan(quantiles(np.array([1.0]))["sd"])


# Whole studies


def study_of(folder: Path, crosssection: dict[str, Any] | None, places: list[int], order: int = 1) -> Path:
    series = simulated(3, [f"S{i}" for i in range(len(places))], 200)
    dates = series["MKT"]["date"]
    rng = np.random.default_rng(9)
    events = [
        {"event_id": f"e{i:02}", "symbol": f"S{i}", "announced_at": dates[p], "kind": ["cash", "stock"][i % 2],
         "value": None if i == 4 else float(rng.lognormal())}
        for i, p in enumerate(places)
    ]  # fmt: skip
    return make_study(
        folder, events[::order], series, windows={"event": [-5, 5], "car": [[-1, 1], [0, 0]]},
        significance={"tests": ["cross_sectional_t"], "group_by": ["kind"]}, crosssection=crosssection,
    )  # fmt: skip


ASKED = {
    "formula": {"base": "car ~ kind", "full": "car ~ kind + log(value) + sigma + runup + r2"},
    "covariance": ["HC3", "clustered_date"],
    "windows": [[0, 0], [-1, 1]],
}
PLACES = [80 + 3 * i for i in range(24)]


def test_a_study_with_a_cross_section(tmp_path: Path) -> None:
    result = run(study_of(tmp_path, ASKED, PLACES))
    table = result.tables["crosssection"]
    assert len(table) == 2 * 2 * (2 + 6)
    assert set(table["term"]) == {"Intercept", "kind[T.stock]", "log(value)", "sigma", "runup", "r2"}
    full = rows_of(result, "crosssection", specification="full", window_start=-1)
    assert set(full["n"]) == {23}
    assert set(full["lost"]) == {1}
    assert "1 without log(value)" in full["note"][0]
    losses = rows_of(result, "exclusions", stage="crosssection")
    assert losses.select("event_id", "symbol", "reason", "detail").rows() == [
        ("e04", "S4", "no_value", "full: log(value) has no value")
    ]
    cars = rows_of(result, "cars", window_start=-1, window_end=1)
    fits = result.tables["fits"]
    ar = result.tables["abnormal_returns"].filter(pl.col("relative_day") < -1)
    runup = ar.group_by("event_id").agg(pl.col("ar").sum()).sort("event_id")["ar"].to_numpy()
    value = cars["value"].cast(pl.Float64).to_numpy()
    stock = (cars["kind"] == "stock").to_numpy()
    x = np.column_stack([np.ones(24), stock, np.log(value), fits["sigma"].to_numpy(), runup, fits["r2"].to_numpy()])
    keep = np.isfinite(value)
    b, _, _ = second.least_squares(x[keep], cars["car"].to_numpy()[keep], np.ones(23))
    rows = full.filter(pl.col("covariance") == "HC3").sort("position")
    np.testing.assert_allclose(rows["estimate"].to_numpy(), b, rtol=1e-6)
    np.testing.assert_allclose(
        rows["se"], second.hc(x[keep], cars["car"].to_numpy()[keep], np.ones(23), "HC3"), rtol=1e-6
    )
    points = result.tables["partials"]
    assert set(zip(points["specification"], points["window_start"], strict=True)) == {("base", 0)}
    difference = rows_of(result, "differences", test="welch_t", window_start=-1)
    a, c = cars["car"].to_numpy()[~stock], cars["car"].to_numpy()[stock]
    assert difference["statistic"].item() == pytest.approx(stats.ttest_ind(a, c, equal_var=False).statistic, rel=1e-9)
    assert cell(result, "quantiles", "p50", group="kind=stock", window_start=-1) == pytest.approx(
        np.median(c), rel=1e-9
    )


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1", None, "-2.5e-3", ".5"], [1.0, np.nan, -0.0025, 0.5]),
        (["1", "nan"], None),
        (["1", "inf"], None),
        (["1_000", "2"], None),
        (["2020-01-02", "2"], None),
        ([None, None], None),
    ],
)
def test_columns_are_numbers_only_where_every_cell_is_one(cells: list[str | None], numbers: list[float] | None) -> None:
    found = as_attribute(cells, range(len(cells)))
    if numbers is None:
        assert found == cells
    else:
        np.testing.assert_array_equal(found, numbers)


MIXED = ["1", "2.5", "n/a", None, "4"]


@pytest.mark.parametrize("term", ["size", "log(size)", "other:size"])
def test_one_cell_of_text_among_numbers_is_an_error(term: str) -> None:
    columns = {"size": MIXED, "other": ["1"] * 5}
    rows = [f"events.csv: row {i}" for i in range(2, 7)]
    with pytest.raises(DataError) as error:
        check_attributes(parse_formula(f"car ~ {term}"), columns, (), rows, "here")
    for words in ("events.csv: row 4, column size", '"n/a" is no number', "3 of the 4 cells", "C(size)"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("cells", "term"),
    [
        (MIXED, "C(size)"),
        (["1", "a", None], "size"),  # half of them: text
        (["1", "a", "b"], "size"),
        (["1", None, "2"], "log(size)"),
        ([None, None], "size"),
    ],
)
def test_columns_of_numbers_or_of_text_are_taken(cells: list[str | None], term: str) -> None:
    check_attributes(parse_formula(f"car ~ {term}"), {"size": cells}, (), [""] * len(cells), "here")


@pytest.mark.parametrize(
    ("columns", "column", "said"),
    [
        ({"kind": ["cash", "stock", None]}, "kind", 'is text, such as "cash", "stock". Write kind or C(kind)'),
        ({"kind": ["1", "a"]}, "kind", 'is text, such as "a"'),
        ({"kind": [None, None]}, "kind", "is empty in every row"),
        ({}, "decade", "is text. Write decade"),
    ],
)
def test_the_log_of_text_is_an_error(columns: dict[str, list[str | None]], column: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        check_attributes(parse_formula(f"car ~ log({column})"), columns, ("decade",), [""] * 3, "here")
    assert said in str(error.value)
    assert f"here: log({column}) needs numbers" in str(error.value)


def test_row_order_changes_no_byte(tmp_path: Path) -> None:
    one = texts(run(study_of(tmp_path / "one", ASKED, PLACES)))
    other = texts(run(study_of(tmp_path / "other", ASKED, PLACES, order=-1)))
    for name in ("crosssection", "partials", "differences", "quantiles"):
        assert one[name] == other[name]


def test_a_study_without_one_has_no_cross_section(tmp_path: Path) -> None:
    result = run(study_of(tmp_path, None, PLACES[:6]))
    assert {"crosssection", "partials"} & set(result.tables) == set()
    assert {"differences", "quantiles"} <= set(result.tables)


def test_one_date_is_benchmarked(tmp_path: Path) -> None:
    asked = {
        "formula": "car ~ kind + beta_market",
        "covariance": ["benchmarked_t", "benchmarked_rank", "clustered_date"],
    }
    result = run(study_of(tmp_path, asked, [150] * 12))
    rows = rows_of(result, "crosssection", covariance="benchmarked_t")
    assert rows["distribution"].to_list() == ["t(16)"] * 3
    assert rows["p_value"].is_not_null().all()
    assert set(rows_of(result, "crosssection", covariance="benchmarked_rank")["note"]) == {"16 pre-event windows"}
    lost = rows_of(result, "crosssection", covariance="clustered_date")
    assert set(lost["unavailable"]) == {"needs at least 2 dates for clusters, has 1"}
    assert lost["estimate"].is_not_null().all()


@pytest.mark.parametrize(
    ("crosssection", "said"),
    [
        ({"formula": "car ~ knd"}, 'Did you mean "kind"?'),
        ({"formula": "car ~ exec(kind)"}, 'calls "exec"'),
        ({"formula": {"a": "car ~ kind", "b": "kind"}}, "formula.b"),
        ({"formula": {}}, "formula is empty"),
        ({"formula": 'car ~ C(kind, Treatment("csh"))'}, 'Did you mean "cash"?'),
        ({"formula": "car ~ log(kind)"}, "log(kind) needs numbers"),
        ({"formula": {"a": "car ~ kind", "b": "car ~ log(exchange)"}}, "formula b: log(exchange) needs numbers"),
        ({"formula": "car ~ kind + kind"}, "holds the term kind more than once"),
        ({"formula": "car ~ kind", "covariance": ["HC2"]}, "is not a covariance"),
        ({"formula": "car ~ kind", "covariance": []}, "covariance"),
        ({"formula": "car ~ kind", "windows": [[-5, 5]]}, "is not one of [windows] car"),
        ({"formula": "car ~ kind", "windows": [[0, 0], [0, 0]]}, "more than once"),
        ({"formula": "car ~ kind", "weight": "none"}, 'unknown key "weight"'),
        ({"formula": "car ~ kind", "weights": "size"}, "weights"),
        ({"windows": []}, "[crosssection] formula: this key is required"),
    ],
)
def test_what_a_study_may_not_ask(tmp_path: Path, crosssection: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as error:
        load_study(study_of(tmp_path, crosssection, PLACES[:6]), data_path=())
    assert said in str(error.value)
    assert "study.toml" in str(error.value)


def test_a_beta_that_the_model_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="makes no"):
        run(study_of(tmp_path, {"formula": "car ~ beta_oil"}, PLACES[:6]))


def test_a_formula_runs_nothing(tmp_path: Path) -> None:
    """Neither at reading nor later does a formula reach an interpreter."""
    target = tmp_path / "touched"
    for text in (f"car ~ open('{target}', 'w')", f'car ~ `__import__("pathlib").Path("{target}").touch()`'):
        with pytest.raises(SpecError):
            load_study(study_of(tmp_path / "study", {"formula": text}, PLACES[:6]), data_path=())
    assert not target.exists()


# The registry


@pytest.mark.parametrize("name", COVARIANCES)
def test_every_covariance_cites_its_source_and_has_a_row_in_the_readme(name: str) -> None:
    own = COVARIANCES[name].__doc__ or ""
    assert re.search(r"[A-Z]\w+.*?\((19|20)\d\d\)", own, re.DOTALL)
    assert any(line.startswith("|") and f"`{name}`" in line for line in README.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("name", COVARIANCES)
@pytest.mark.parametrize("case", ["equal", "zero", "no se", "one firm", "two events"])
def test_every_covariance_answers_awkward_samples(name: str, case: str) -> None:
    """A number or a reason for each term, never an exception or a warning."""
    n = 2 if case == "two events" else 8
    car = {"equal": np.full(n, 0.1), "zero": np.zeros(n)}.get(case, np.arange(n) ** 2 / 100)
    se = np.full(n, np.nan if case == "no se" else 0.1)
    firms = np.zeros(n, int) if case == "one firm" else np.arange(n)
    s = CrossSample(car, se, np.arange(n), firms, case == "no se", 0.05)
    for text in ("car ~ 1", "car ~ x", "car ~ x + y"):
        right = design(parse_formula(text), {"x": np.arange(n) % 3.0, "y": ["a"] * (n - 1) + ["b"]}, np.ones(n, bool))
        (found,) = regress(s, right, [name])
        assert len(found.names) == len(found.unavailable) == len(found.p_value)
        for p, reason in zip(found.p_value, found.unavailable, strict=True):
            assert np.isnan(p) if reason else 0 <= p <= 1


# Memo and chart


def hostile(folder: Path, terms: int) -> StudyResult:
    """A study with many terms, of which some have names that could break a page."""
    series = simulated(3, [f"S{i}" for i in range(40)], 200)
    dates = series["MKT"]["date"]
    rng = np.random.default_rng(9)
    events = [
        {"event_id": f"e{i:02}", "symbol": f"S{i}", "announced_at": dates[80 + 2 * i],
         "kind": ["<b>cash</b>", "a|b", "$x$", "中国移动有限公司的一个很长很长的名字" * 2][i % 4]}
        | {f"column_{j}": float(rng.normal()) for j in range(terms)}
        for i in range(40)
    ]  # fmt: skip
    formula = "car ~ " + " + ".join(["kind", *(f"column_{j}" for j in range(terms))])
    return run(
        make_study(
            folder, events, series, windows={"event": [-5, 5], "car": [[-1, 1]]},
            significance={"tests": ["cross_sectional_t"], "group_by": ["kind"]},
            crosssection={"formula": ["car ~ 1", formula][terms > 0 :], "covariance": ["HC1", "clustered_both"]},
            report={"charts": ["crosssection_partial"]},
        )
    )  # fmt: skip


@pytest.mark.parametrize("terms", [0, 1, 4, 20])
def test_the_partial_plot_shows_every_term_inside_the_picture(tmp_path: Path, terms: int) -> None:
    result = hostile(tmp_path, terms)
    figure = draw_chart(result, "crosssection_partial")
    figure.canvas.draw()
    shown = 0 if terms == 0 else min(MOST_PANELS, 3 + terms)
    assert len(figure.axes) == 1 + shown
    titles = [axes._left_title for axes in figure.axes[1:]]
    boxes = [t.get_window_extent() for t in titles]
    for box in [*boxes, *(t.get_window_extent() for t in figure.texts)]:
        assert (box.min >= figure.bbox.min - 1).all()
        assert (box.max <= figure.bbox.max + 1).all()
    for a, b in combinations([*boxes, *(axes.get_window_extent() for axes in figure.axes[1:])], 2):
        assert not (a.x0 < b.x1 - 1 and b.x0 < a.x1 - 1 and a.y0 < b.y1 - 1 and b.y0 < a.y1 - 1)
    for axes, row in zip(figure.axes[1:], first_specification(result), strict=False):
        x, y = axes.lines[2].get_data()
        assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(row["estimate"], rel=1e-9)
        assert len(axes.lines[1].get_xdata()) == 40


def first_specification(result: StudyResult) -> list[dict[str, Any]]:
    rows = rows_of(result, "crosssection", specification="1", covariance="HC1").sort("position")
    return rows.filter(pl.col("term") != "Intercept").to_dicts()


def test_the_memo_puts_specifications_side_by_side(tmp_path: Path) -> None:
    result = run(study_of(tmp_path, ASKED, PLACES))
    text = memo_markdown(result)
    part = text[text.index("## What drives the CARs") : text.index("## Every")]
    assert "| Term | base: HC3 | base: clustered_date | full: HC3 | full: clustered_date |" in part
    assert "base: car \\~ kind; full:" in part
    row = rows_of(
        result, "crosssection", specification="base", covariance="HC3", window_start=0, position=1
    ).to_dicts()[0]
    cells = next(line for line in part.splitlines() if line.startswith("| kind[T.stock]")).split(" | ")
    assert cells[1].rstrip("*") == coefficient(row["estimate"])
    assert "| N | 24 | 24 | 23 | 23 |" in part
    assert "clustered_date: 24 dates: few clusters" in part
    assert "1 without log(value)" in part
    assert "*by kind*" in part
    assert "| cash − stock | 24 |" in part
    assert "HC3" in text[text.index("## Methods") :]
    assert "<h2>What drives the CARs</h2>" in memo_html(result)
    write_result(result, tmp_path / "out")
    assert read_result(tmp_path / "out") == result


def test_a_hostile_calendar_stays_text_in_the_memo(tmp_path: Path) -> None:
    result = hostile(tmp_path, 1)
    assert "<b>cash" not in memo_html(result)
    for line in memo_markdown(result).splitlines():
        if line.startswith("| kind["):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "1.23"), (-0.0004, "-0.040"), (0.00004, "0.00400"), (3e-8, "3e-06"), (0.0, "0.00"), (None, "–")],
)
def test_small_coefficients_keep_digits(value: float | None, text: str) -> None:
    assert coefficient(value) == text
