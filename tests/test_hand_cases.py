"""Cases small enough for paper: literal in, literal out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import closes, make_study, returns, rows_of, run, sample_of, weekdays

from engine.abnormal import AbnormalReturns, abnormal_returns, average, cumulate
from engine.errors import SpecError
from engine.lines import Grid, Line, Market, benchmark_days, build_line
from engine.market import PriceSeries
from engine.models import fit
from engine.models.fits import NormalFits
from engine.sessions import Window
from engine.significance import EVENT_TESTS, bootstrap, evaluate, romano_wolf
from engine.significance.parametric import mean_residual_correlation
from engine.significance.rank import _ranks

NAN = math.nan


def nearly(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)


# Windows


def test_a_window_holds_both_its_ends() -> None:
    assert len(Window(-1, 1)) == 3
    assert Window(-1, 1).days.tolist() == [-1, 0, 1]
    assert len(Window(0, 0)) == 1
    assert str(Window(-10, 10)) == "[-10, 10]"


def test_a_window_inside_another() -> None:
    assert Window(-1, 1) in Window(-1, 1)
    assert Window(0, 2) not in Window(-1, 1)
    assert Window(-2, 0) not in Window(-1, 1)
    assert np.arange(-5, 6)[Window(-1, 2).within(Window(-5, 5))].tolist() == [-1, 0, 1, 2]


def test_a_reversed_window_is_refused() -> None:
    with pytest.raises(SpecError, match=r"\[1, -1\] is reversed"):
        Window(1, -1)


# Ranks


@pytest.mark.parametrize(
    ("values", "ranks", "count"),
    [
        ([3.0, 1.0, 2.0], [3.0, 1.0, 2.0], 3),
        ([1.0, 2.0, 2.0, 3.0], [1.0, 2.5, 2.5, 4.0], 4),
        ([5.0, 5.0, 5.0], [2.0, 2.0, 2.0], 3),
        ([NAN, 2.0, 1.0, NAN], [NAN, 2.0, 1.0, NAN], 2),
        ([NAN, NAN], [NAN, NAN], 0),
    ],
)
def test_mid_ranks(values: list[float], ranks: list[float], count: int) -> None:
    found, n = _ranks(np.array([values]))
    nearly(found[0], ranks)
    assert n[0] == count


# Models


def one_fit(model: str, y: list[float], x: list[float], ahead: list[float]) -> NormalFits:
    rows = Window(-len(y), -1)
    return fit(model, np.array([y]), np.array([[x]]), np.array([[ahead]]), rows, np.array([[rows.start, rows.end]]))


def test_market_model_on_five_points() -> None:
    """x = 1..5, y = 2, 4, 5, 4, 5: sxx = 10, sxy = 6, beta = 0.6, alpha = 2.2, RSS = 2.4, s^2 = 0.8, syy = 6.

    At x = 6: expected 5.8, V = 1 + 1/5 + 9/10 = 2.1. At x = 3: V = 1.2, and the covariance of the two is 1/5 = 0.2.
    """
    fits = one_fit("market", [2, 4, 5, 4, 5], [1, 2, 3, 4, 5], [6, 3])
    nearly(fits.coefficients[0], [2.2, 0.6])
    nearly(fits.residuals[0], [-0.8, 0.6, 1.0, -0.6, -0.2])
    assert (fits.n_obs[0], fits.dof[0], fits.degenerate[0]) == (5, 3, "")
    nearly(fits.sigma[0] ** 2, 0.8)
    nearly(fits.r2[0], 0.6)
    nearly(fits.expected[0], [5.8, 4.0])
    nearly(np.eye(2) + fits.forecast_basis[0] @ fits.forecast_basis[0].T, [[2.1, 0.2], [0.2, 1.2]])


def test_market_model_forgets_a_missing_day_on_both_sides() -> None:
    """The benchmark's 100 stands on a day without a return, so it moves neither mean nor slope."""
    fits = one_fit("market", [2, 4, NAN, 5, 4, 5], [1, 2, 100, 3, 4, 5], [6])
    nearly(fits.coefficients[0], [2.2, 0.6])
    assert (fits.n_obs[0], fits.dof[0]) == (5, 3)
    assert np.isnan(fits.residuals[0]).tolist() == [False, False, True, False, False, False]


def test_market_adjusted_and_mean_adjusted() -> None:
    """Differences 1, 2, 3, 2 have mean 2 and sum of squares 2; returns 2, 4, 6, 8 have mean 5 and sum of squares 20."""
    adjusted = one_fit("market_adjusted", [2, 4, 6, 3], [1, 2, 3, 1], [7])
    nearly(adjusted.residuals[0], [1, 2, 3, 2])
    nearly(adjusted.sigma[0] ** 2, 2 / 3)
    assert (adjusted.n_obs[0], adjusted.dof[0], adjusted.expected[0, 0]) == (4, 3, 7)
    assert adjusted.forecast_basis.shape == (1, 1, 0)
    assert np.isnan(adjusted.r2[0])
    mean = one_fit("mean_adjusted", [2, 4, 6, 8], [NAN] * 4, [NAN])
    nearly(mean.residuals[0], [-3, -1, 1, 3])
    nearly(mean.sigma[0] ** 2, 20 / 3)
    assert (mean.dof[0], mean.coefficients[0, 0], mean.expected[0, 0], mean.r2[0]) == (3, 5, 5, 0)
    nearly(mean.forecast_basis[0, 0, 0] ** 2, 1 / 4)


@pytest.mark.parametrize(
    ("model", "y", "x", "reason"),
    [
        ("market", [1, 1, 1, 1], [1, 2, 3, 4], "constant_returns"),
        ("market", [1, 3, 2, 4], [2, 2, 2, 2], "constant_benchmark"),
        ("market", [0.3, 0.5, 0.7, 0.9], [0.1, 0.2, 0.3, 0.4], "exact_fit"),
        ("market", [1, 2], [1, 3], "no_degrees_of_freedom"),
        ("market_adjusted", [1.5, 2.5, 3.5], [1, 2, 3], "exact_fit"),
        ("mean_adjusted", [0.1, 0.1, 0.1], [1, 2, 3], "constant_returns"),
        ("mean_adjusted", [0.1], [1], "no_degrees_of_freedom"),
    ],
)
def test_a_fit_that_cannot_be_tested_says_why(model: str, y: list[float], x: list[float], reason: str) -> None:
    assert one_fit(model, y, x, [1.0]).degenerate[0] == reason


# Abnormal returns


def abnormal(actual: list[float], expected: list[float]) -> tuple[AbnormalReturns, NormalFits]:
    """One event of the mean-adjusted kind, sigma 0.5 and 4 estimation days, with the expected returns given."""
    n = len(actual)
    fits = NormalFits(
        ("alpha",), np.zeros((1, 1)), np.array([4]), np.array([3]), np.array([0.5]), np.zeros(1), np.zeros((1, 4)),
        np.array([expected]), np.full((1, n, 1), 0.5), np.array([""]),
    )  # fmt: skip
    return abnormal_returns(np.array([actual]), fits, Window(0, n - 1)), fits


def test_abnormal_return_and_its_standard_error() -> None:
    """V_tt = 1 + 1/4; over three days Var(CAR) = 0.25 (3 + 9/4) = 1.3125."""
    found, fits = abnormal([0.10, -0.02, 0.03], [0.01, 0.01, 0.01])
    nearly(found.ar[0], [0.09, -0.03, 0.02])
    nearly(found.sar[0, 0], 0.09 / (0.5 * math.sqrt(1.25)))
    cars = cumulate(found, fits, Window(0, 2), log_returns=False)
    nearly([cars.car[0], cars.se[0]], [0.08, math.sqrt(1.3125)])
    nearly(cars.scar[0], 0.08 / math.sqrt(1.3125))


def test_a_car_with_a_missing_day_is_not_computed() -> None:
    found, fits = abnormal([0.10, NAN, 0.03], [0.01, 0.01, 0.01])
    cars = cumulate(found, fits, Window(0, 2), log_returns=False)
    assert not cars.complete[0]
    assert np.isnan([cars.car[0], cars.se[0], cars.scar[0], cars.bhar[0]]).all()
    assert cumulate(found, fits, Window(2, 2), log_returns=False).complete[0]


def test_buy_and_hold_abnormal_return() -> None:
    """Simple: 1.1 * 0.9 - 1.02 * 1.01 = -0.0402. Log: exp(0) - exp(0.03)."""
    found, fits = abnormal([0.1, -0.1], [0.02, 0.01])
    nearly(cumulate(found, fits, Window(0, 1), log_returns=False).bhar[0], -0.0402)
    nearly(cumulate(found, fits, Window(0, 1), log_returns=True).bhar[0], 1 - math.exp(0.03))


def test_averages() -> None:
    """Day 0: 1, 3, 5 -> 3, sd 2. Day 1: 2, -, -4 -> -1, sd sqrt(18). Day 2 is empty: no average, not zero."""
    found = average(np.array([[1.0, 2.0, NAN], [3.0, NAN, NAN], [5.0, -4.0, NAN]]))
    assert found.n.tolist() == [3, 2, 0]
    nearly(found.aar, [3, -1, NAN])
    nearly(found.caar, [3, 2, NAN])
    nearly(found.se_aar, [2 / math.sqrt(3), 3, NAN])
    nearly(found.share_positive, [1, 0.5, NAN])
    nearly(found.se_caar, [2 / math.sqrt(3), 1, NAN])  # CARs 3 and 1 of the two complete events: sd sqrt(2) / sqrt(2)


def test_an_average_of_one_event_has_no_standard_error() -> None:
    found = average(np.array([[0.0, 2.0]]))
    nearly(found.se_aar, [NAN, NAN])
    nearly(found.share_positive, [0, 1])  # an abnormal return of zero is not positive


def test_mean_residual_correlation_of_one_date_is_that_of_its_pairs() -> None:
    """Without a missing day no pair is looked at; a firm that does not move counts as 0 with each of the others."""
    rng = np.random.default_rng(12)
    residuals = rng.normal(0, 0.02, (40, 30)) + rng.normal(0, 0.01, 30)
    days = np.tile(np.arange(30), (40, 1))
    pairs = [np.corrcoef(residuals[i], residuals[j])[0, 1] for i in range(40) for j in range(i)]
    nearly(mean_residual_correlation(residuals, days), float(np.mean(pairs)))
    still = np.vstack([residuals, np.zeros(30)])
    nearly(mean_residual_correlation(still, np.tile(np.arange(30), (41, 1))), sum(pairs) / (41 * 20))
    assert mean_residual_correlation(residuals[:, :2], days[:, :2]) == 0.0


def test_mean_residual_correlation_by_calendar_day() -> None:
    """Two events one day apart move together by date (r = 1) and not by relative day; the third has 2 common days."""
    series = np.array([1.0, -2.0, 4.0, 3.0, -1.0])
    residuals = np.array([series[:4], series[1:], [*series[2:4], NAN, NAN]])
    days = np.array([[10, 11, 12, 13], [11, 12, 13, 14], [12, 13, 14, 15]])
    nearly(mean_residual_correlation(residuals[:2], days[:2]), 1.0)
    nearly(mean_residual_correlation(residuals, days), 1 / 3)


# Tests with dependence


def test_tests_that_allow_for_correlation() -> None:
    """SCARs 1 and 2, r = 1/2, nu = 4: patell 3/sqrt(2 * 4/2) = 3/2, adjusted 3/2 / sqrt(3/2); bmp 3.

    kolari_pape_pynnonen on one date 3 sqrt((1/2)/(3/2)); with half of two days shared r = 1/4: 3 sqrt((3/4)/(5/4)).
    """
    sample = sample_of([1.0, 2.0], [[1, -1, 0, 0], [1, 0, -1, 0]], dof=4)
    nearly(evaluate("adjusted_patell", sample).statistic, 1.5 / math.sqrt(1.5))
    nearly(evaluate("kolari_pape_pynnonen", sample).statistic, 3 / math.sqrt(3))
    half = replace(sample, window=Window(0, 1), event_days=np.array([[9, 10, 11], [10, 11, 14]]))
    nearly(evaluate("kolari_pape_pynnonen", half).statistic, 3 * math.sqrt(3 / 5))
    apart = replace(sample, window=Window(0, 1), event_days=np.array([[9, 10, 11], [11, 12, 13]]))
    nearly(evaluate("kolari_pape_pynnonen", apart).statistic, 3)


# Ranks and pseudo-values


def test_jackknife_of_three() -> None:
    """1, 2, 4: q = sqrt(7/3); without the first and the last 3/sqrt(2), without the second 5/(3 sqrt(2))."""
    q, ends, middle = math.sqrt(7 / 3), 3 / math.sqrt(2), 5 / (3 * math.sqrt(2))
    pseudo = np.array([3 * q - 2 * ends, 3 * q - 2 * middle, 3 * q - 2 * ends])
    answer = evaluate("jackknife", sample_of([1.0, 2.0, 4.0], np.ones((3, 4))))
    nearly(answer.statistic, math.sqrt(3) * pseudo.mean() / pseudo.std(ddof=1))
    assert answer.distribution == "t(2)"
    two_equal = evaluate("jackknife", sample_of([1.0, 1.0, 4.0], np.ones((3, 4))))
    assert two_equal.unavailable == "without one of the events the standardised CARs do not vary"
    assert evaluate("jackknife", sample_of([1.0, 2.0], np.ones((2, 4)))).unavailable.startswith("needs at least 3")


def test_generalised_rank_z_of_two() -> None:
    """SCARs 1 and 3 over sd sqrt(2) are 0.71 and 2.12: ranks 3 and 4 of 4. U_0 = (3/5 + 4/5)/2 - 1/2 = 1/5, T = 4."""
    answer = evaluate("grank_z", sample_of([1.0, 3.0], [[0, 0.5, 1], [0, 0.5, 1]]))
    nearly(answer.statistic, 0.2 * math.sqrt(12 * 2 * 5 / 3))


def test_ranks_of_a_window_restandardised() -> None:
    """ARs 2 and 4 are the largest of six; over their sd sqrt(2), 1.41 and 2.83, the first is below a residual of 1.5.

    Rows of 5 with event ARs 0, x, 0 and residuals 1.5, -1: U of x is 4/6 - 1/2 and 5/6 - 1/2, sum 1/2.
    """
    sample = sample_of([2.0, 4.0], [[1.5, -1], [1.5, -1]])
    z = np.array([(5 + 4) / 6 - 1, (1 + 1) / 6 - 1, 5 / 6 - 1, (4 + 5) / 6 - 1, 5 / 6 - 1])
    nearly(evaluate("corrado_zivney_adjusted", sample).statistic, z[3] / math.sqrt((z**2).mean()))
    plain = np.array([4 / 3 - 1, 1 / 3 - 1, 5 / 6 - 1, 5 / 3 - 1, 5 / 6 - 1])
    nearly(evaluate("corrado_zivney", sample).statistic, plain[3] / math.sqrt((plain**2).mean()))


def test_variance_of_three() -> None:
    """SCARs 1, 2, 6: variance 7, and 8, 25/2, 1/2 without one; times (6 - 2)/6 for the t(6) that a SCAR is."""
    answer = evaluate("variance_bmp", sample_of([1.0, 2.0, 6.0], np.ones((3, 4)), dof=6))
    pseudo = 3 * math.log(14 / 3) - 2 * np.log(np.array([16 / 3, 25 / 3, 1 / 3]))
    nearly(answer.statistic, math.sqrt(3) * pseudo.mean() / pseudo.std(ddof=1))
    assert (answer.distribution, answer.note) == ("t(2)", "variance 4.6667 times the expected")
    few = evaluate("variance_bmp", sample_of([1.0, 2.0, 6.0], np.ones((3, 4)), dof=2))
    assert few.unavailable.startswith("an event has 2 degrees of freedom or fewer")
    assert evaluate("variance_bmp", sample_of([1.0, 2.0], np.ones((2, 4)))).unavailable


def test_ranks_of_absolute_returns() -> None:
    """0, -3, 0 after 1 and -2: by size 3 is the fifth, 2 the fourth, 1 the third, and the zeros share rank 1.5."""
    z = np.array([3, 4, 1.5, 5, 1.5]) / 6 - 0.5
    answer = evaluate("variance_rank", sample_of([-3.0, -3.0], [[1, -2], [1, -2]]))
    nearly(answer.statistic, z[3] / math.sqrt((z**2).mean()))


@pytest.mark.parametrize(("alternative", "p"), [("two-sided", 0.5), ("greater", 0.25), ("less", 0.875)])
def test_wilcoxon_of_three(alternative: str, p: float) -> None:
    """-1, 2, 3: W+ = 5 of 6, reached or passed by 2 of 8 signs, and 7 of 8 are at most 5; z = (5 - 3)/sqrt(3.5)."""
    answer = evaluate("wilcoxon", sample_of([-1.0, 2.0, 3.0], np.ones((3, 4)), alternative=alternative))
    assert (answer.distribution, answer.note) == ("wilcoxon(3)", "W+ = 5 of 6; interval without bound below or above")
    nearly([answer.statistic, answer.p_value], [2 / math.sqrt(3.5), p])


def test_wilcoxon_with_zeros_ties_and_many_events() -> None:
    """0, 1, 1, -1: ranks 2 each, W+ = 4 of 6, sd sqrt(3.5 - 24/48); three of the signs in two have 4 or more, p = 1."""
    tied = evaluate("wilcoxon", sample_of([0.0, 1.0, 1.0, -1.0], np.ones((4, 4))))
    assert (tied.distribution, tied.note) == ("wilcoxon(3)", "W+ = 4 of 6; interval without bound below or above")
    nearly([tied.statistic, tied.p_value], [1 / math.sqrt(3), 1])
    assert evaluate("wilcoxon", sample_of([0.0] * 4, np.ones((4, 4)))).unavailable == "all CARs are zero"
    cars = [float(i) for i in range(1, 52)]
    assert evaluate("wilcoxon", sample_of(cars[:50], np.ones((50, 4)))).distribution == "wilcoxon(50)"
    many = evaluate("wilcoxon", sample_of(cars, np.ones((51, 4))))
    assert many.distribution == "normal"
    nearly(many.p_value, math.erfc(many.statistic / math.sqrt(2)))
    some = evaluate("wilcoxon", sample_of([1.0, *cars[:13]], np.ones((14, 4))))
    assert some.distribution == "normal"


# Tests at their ties


@pytest.mark.parametrize(("alternative", "p"), [("two-sided", 1.0), ("greater", 0.75), ("less", 0.75)])
def test_a_sign_test_counts_what_is_strictly_above_zero(alternative: str, p: float) -> None:
    """CARs 1, 0: one of two above zero, z = 0; two-sided p = 1, one-sided 3/4. A zero residual is not positive either."""
    sample = sample_of([1.0, 0.0], [[1, -1, 0, 0], [1, 2, -1, 0]], alternative=alternative)
    sign = evaluate("sign", sample)
    nearly([sign.statistic, sign.p_value], [0, p])
    generalized = evaluate("generalized_sign", sample)  # expected share (1/4 + 2/4) / 2 = 3/8
    nearly(generalized.statistic, (1 - 2 * 3 / 8) / math.sqrt(2 * 3 / 8 * 5 / 8))


@pytest.mark.parametrize(("alternative", "p"), [("two-sided", 1.0), ("greater", 0.6), ("less", 0.8)])
def test_sq_counts_a_tie_on_both_sides(alternative: str, p: float) -> None:
    """2 among 0, 1, 2, 3: three at or below it, two at or above, and itself is the fifth; two below make it rank 3."""
    answer = EVENT_TESTS["sq"](sample_of([2.0], [[0, 1, 2, 3]], alternative=alternative))
    nearly(answer.statistic, [3])
    nearly(answer.p_value, [p])


@pytest.mark.parametrize(("alternative", "p"), [("two-sided", 0.8), ("greater", 0.6), ("less", 0.8)])
def test_permutation_counts_a_tie_as_extreme(alternative: str, p: float) -> None:
    """2 against -3, 1, 2, 3: three are as large in absolute value, two as large, three as small; it is the fifth."""
    sample = sample_of([2.0, 2.0], [[1, -1], [1, -1]], pseudo=[-3, 1, 2, 3], alternative=alternative)
    answer = evaluate("permutation", sample)
    assert answer.distribution == "permutation(4)"
    nearly([answer.statistic, answer.p_value], [2, p])
    nearly(EVENT_TESTS["permutation"](sample).p_value, [p, p])


@pytest.mark.parametrize(
    ("values", "alternative", "p"),
    [
        ([1, 3], "two-sided", [0.75, 0.25]),  # no |t*| reaches 1.5; of the first alone two of three reach 1
        ([1, 1.8], "two-sided", [1, 1]),  # one of the two is at 1 in every draw; the second's own 0.75 is no less
        ([1, 3], "greater", [0.5, 0.25]),
        ([1, 3], "less", [1, 1]),
        ([1, 3], "constant", [0.75, NAN]),
    ],
)
def test_romano_wolf_steps_down(values: list[float], alternative: str, p: list[float]) -> None:
    """Three draws with sd 1 and 2: t* = -1, 0, 1 beside -1, 1, 0."""
    draws = np.array([[-1.0, 0, 1], [-2, 2, 0]])
    if alternative == "constant":
        draws[1], alternative = 0.1, "two-sided"
    nearly(romano_wolf(np.array(values, float), draws, alternative), p)
    nearly(romano_wolf(np.array(values, float), draws[:, :1], alternative), [NAN, NAN])


SIX = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(("alternative", "p"), [("two-sided", 2 / 64), ("greater", 1 / 64), ("less", 1.0)])
def test_wild_bootstrap_takes_all_sign_changes(alternative: str, p: float) -> None:
    """No other signs of 1..6 give a t as large: the sample itself is the one, or two, of 64. Alone, t is the ordinary."""
    sample = sample_of(SIX, np.zeros((6, 2)), alternative=alternative)
    answer = evaluate("wild_bootstrap", sample)
    nearly([answer.statistic, answer.se, answer.p_value], [3.5 / math.sqrt(3.5 / 6), math.sqrt(3.5 / 6), p])
    assert (answer.distribution, answer.note) == ("wild_bootstrap(63)", "6 date clusters")
    nearly(answer.statistic, evaluate("cross_sectional_t", sample).statistic)


@pytest.mark.parametrize("clusters", [13, 16, 41])
def test_sums_with_signs_by_tables(clusters: int) -> None:
    """Looked up eight clusters at a time, the sums of signed weights are those of the signs one by one; each draw has its own."""
    bits = bootstrap._drawn_signs(3, 500, clusters)
    signs = 2.0 * np.unpackbits(bits.T, axis=1, count=clusters, bitorder="little") - 1
    assert signs.shape == (500, clusters)
    assert len(np.unique(signs, axis=0)) > 450
    assert abs(signs.mean()) < 0.05
    weights = np.random.default_rng(4).normal(size=(3, clusters))
    expected = (signs[None] * weights[:, None]).sum(axis=2)
    np.testing.assert_allclose(bootstrap._signed_sums(bits, weights), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["wild_bootstrap", "block_bootstrap"])
def test_a_bootstrap_counts_clusters_not_events(name: str) -> None:
    """Each event twice in its cluster: mean and se stay. In five clusters there is no answer, nor without spread."""
    once, twice = (evaluate(name, sample_of(SIX * k, np.zeros((6 * k, 2)), cluster=[*range(6)] * k)) for k in (1, 2))
    nearly([twice.statistic, twice.se, twice.p_value], [once.statistic, once.se, once.p_value])
    nearly(twice.ci, once.ci)
    five = evaluate(name, sample_of(SIX, np.zeros((6, 2)), cluster=[7, 7, 1, 2, 3, 4]))
    assert five.unavailable == "needs at least 6 date clusters, has 5"
    equal = evaluate(name, sample_of([0.1] * 5 + [0.3 - 0.2], np.zeros((6, 2))))
    assert equal.unavailable == "the CARs do not vary across date clusters"


def test_the_labels_of_date_clusters_say_nothing() -> None:
    labels = ([0, 1, 2, 3, 4, 5, 5, 0], [9, 2, 7, 3, 8, 1, 1, 9])
    answers = [evaluate("block_bootstrap", sample_of([*SIX, -2, 3], np.zeros((8, 2)), cluster=c)) for c in labels]
    assert answers[0].p_value == answers[1].p_value
    assert answers[0].ci == answers[1].ci


# The return rule

DAYS = np.array(["2021-03-01", "2021-03-02", "2021-03-03", "2021-03-04", "2021-03-05"], "datetime64[D]")


def series(symbol: str, values: list[float], dates: Any = DAYS, is_return: bool = False) -> PriceSeries:
    dates = np.asarray(dates, "datetime64[D]")
    return PriceSeries(symbol, dates, np.array(values, float), np.zeros(len(dates), bool), is_return)


def line_of(listing: PriceSeries, benchmark: PriceSeries | None, log: bool = False) -> Line:
    known = {one.symbol: one for one in (listing, benchmark) if one is not None}
    grid = Grid(DAYS, None, "", {})
    return build_line(listing.symbol, benchmark.symbol if benchmark else "", grid, Market(known, log))


def test_returns_between_neighbouring_sessions() -> None:
    found = line_of(series("S", [100, 110, 99, 99, 100]), series("M", [10, 10, 11, 11, 22]))
    nearly(found.returns, [NAN, 0.1, -0.1, 0, 1 / 99])
    nearly(found.regressors[0], [NAN, 0, 0.1, 0, 1])
    logs = line_of(series("S", [100, 110, 99, 99, 100]), series("M", [10, 10, 11, 11, 22]), log=True)
    nearly(logs.returns[1:3], [math.log(1.1), math.log(0.9)])


def test_a_gap_in_the_listing_costs_two_returns_of_its_own() -> None:
    """The benchmark's stay, for the days before and after that a corrected beta looks at."""
    found = line_of(series("S", [100, NAN, 99, 99, 100]), series("M", [10, 10, 11, 11, 22]))
    nearly(found.returns, [NAN, NAN, NAN, 0, 1 / 99])
    nearly(found.regressors[0], [NAN, 0, 0.1, 0, 1])


def test_a_gap_in_the_benchmark_costs_two_returns_of_both() -> None:
    found = line_of(series("S", [100, 110, 99, 99, 100]), series("M", [10, 10, NAN, 11, 22]))
    nearly(found.returns, [NAN, 0.1, NAN, NAN, 1 / 99])
    nearly(found.regressors[0], [NAN, 0, NAN, NAN, 1])


def test_without_a_benchmark_only_the_listing_counts() -> None:
    nearly(line_of(series("S", [100, 110, NAN, 99, 100]), None).returns, [NAN, 0.1, NAN, NAN, 1 / 99])


def test_a_row_on_a_day_that_is_no_session_is_left_out() -> None:
    """6 March is a Saturday: its price is not moved to a session, and the return goes past it."""
    dates = ["2021-02-27", "2021-03-01", "2021-03-02", "2021-03-03", "2021-03-04", "2021-03-05", "2021-03-06"]
    found = line_of(series("S", [7, 100, 110, 99, 99, 100, 500], dates), series("M", [10, 10, 11, 11, 22]))
    nearly(found.returns, [NAN, 0.1, -0.1, 0, 1 / 99])
    assert found.off_session == 2


def test_a_cell_of_a_return_series_is_the_return_whatever_the_day_before() -> None:
    found = line_of(
        series("S", [0.01, NAN, 0.03, 0.04, NAN], is_return=True),
        series("M", [0.1, 0.2, 0.3, NAN, 0.5], is_return=True),
    )
    nearly(found.returns, [0.01, NAN, 0.03, NAN, NAN])
    nearly(found.regressors[0], [0.1, 0.2, 0.3, NAN, 0.5])
    logs = line_of(series("S", [0.01] * 5, is_return=True), series("M", [0.02] * 5, is_return=True), log=True)
    nearly(logs.returns, [0.01] * 5)


def test_the_days_of_a_benchmark() -> None:
    """Prices give their first return on the second day; returns on the first."""
    prices, cells = series("M", [10, NAN, 11, 12, 13]), series("M", [NAN, 0.1, 0.2, NAN, 0.3], is_return=True)
    assert benchmark_days(prices)[1:].astype(str).tolist() == ["2021-03-03", "2021-03-04", "2021-03-05"]
    assert benchmark_days(cells)[1:].astype(str).tolist() == ["2021-03-02", "2021-03-03", "2021-03-05"]


def known_days(folder: Path, volume: list[Any]) -> list[bool]:
    """Whether the sessions -2..2 have a return; ``volume`` is theirs, and the close of day 0 is that of day -1."""
    dates = weekdays(60)
    path = [100 + (i * 7) % 5 + i / 10 for i in range(60)]
    path[50] = path[49]
    market = [200 + (i * 3) % 7 for i in range(60)]
    full = [1000] * 60
    full[48:53] = volume
    study = make_study(
        folder,
        [{"event_id": "e", "symbol": "S", "announced_at": dates[50]}],
        {"S": {"date": dates, "close": path, "volume": full}, "MKT": closes(dates, market)},
        model={"name": "market_adjusted", "estimation_window": [-40, -11]},
        windows={"event": [-2, 2], "car": [[0, 0]]},
    )
    return [a is not None for a in run(study).tables["abnormal_returns"]["actual"]]


def test_volume_0_with_an_unchanged_close_is_no_price(tmp_path: Path) -> None:
    assert known_days(tmp_path, [1000, 1000, 0, 1000, 1000]) == [True, True, False, False, True]


def test_volume_0_with_another_close_is_a_price(tmp_path: Path) -> None:
    assert known_days(tmp_path, [1000, 0, 1000, 1000, 1000]) == [True] * 5


def test_an_empty_volume_cell_says_nothing(tmp_path: Path) -> None:
    assert known_days(tmp_path, [1000, 1000, None, 1000, 1000]) == [True] * 5


def test_an_index_without_any_volume_is_not_stale(tmp_path: Path) -> None:
    """Its close of day 0 is that of day -1, and its volume is 0 throughout."""
    dates = weekdays(60)
    market = [200 + (i * 3) % 7 for i in range(60)]
    market[50] = market[49]
    study = make_study(
        tmp_path,
        [{"event_id": "e", "symbol": "S", "announced_at": dates[50]}],
        {
            "S": closes(dates, [100 + (i * 7) % 5 + i / 10 for i in range(60)]),
            "MKT": {"date": dates, "close": market, "volume": [0] * 60},
        },
        model={"name": "market_adjusted", "estimation_window": [-40, -11]},
        windows={"event": [-2, 2], "car": [[0, 0]]},
    )
    tables = run(study).tables
    assert str(tables["events"]["event_day"].item()) == dates[50]
    assert tables["abnormal_returns"]["expected"].null_count() == 0


# A whole study on paper


def test_two_events_by_hand(tmp_path: Path) -> None:
    """Market-adjusted, differences of 1, 2 and 3 % before: sigma 1 %. CARs 5 and 2.5 %: mean 3.75, se 1.25, t = 3."""
    dates = weekdays(6)
    before = [0.01, 0.03, 0.02]
    cells = {
        "A": [*before, 0.07, 0.0, 0.0],
        "B": [*before, 0.045, 0.0, 0.0],
        "MKT": [0.0, 0.01, -0.01, 0.02, 0.0, 0.01],
    }
    study = make_study(
        tmp_path,
        [{"event_id": f"on {s}", "symbol": s, "announced_at": dates[3]} for s in "AB"],
        {s: returns(dates, r) for s, r in cells.items()},
        model={"name": "market_adjusted", "estimation_window": [-3, -1], "min_estimation_days": 3},
        windows={"event": [0, 1], "car": [[0, 0]]},
        significance={"tests": ["cross_sectional_t", "sign", "forecast_error_t", "sq"]},
    )
    result = run(study)
    nearly(result.tables["cars"]["car"], [0.05, 0.025])
    nearly(result.tables["cars"]["t"], [5, 2.5])
    t = rows_of(result, "significance", test="cross_sectional_t").row(0, named=True)
    nearly([t["estimate"], t["statistic"], t["se"]], [0.0375, 3, 0.0125])
    nearly(t["p_value"], 1 - 2 * math.atan(3) / math.pi)  # t with one degree of freedom is Cauchy
    sign = rows_of(result, "significance", test="sign").row(0, named=True)
    nearly([sign["statistic"], sign["p_value"]], [math.sqrt(2), 0.5])
    sq = rows_of(result, "event_significance", test="sq")
    nearly(sq["statistic"], [4, 3])
    nearly(sq["p_value"], [0.5, 1])
