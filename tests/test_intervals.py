"""The interval beside a p-value holds the effects that the test does not reject: found here by taking effects away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from engine.sessions import Window
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS, VARIANCE_TESTS, evaluate
from engine.significance.sample import CarSample, PseudoCars, PseudoFirms, Regressions, Resampling

WITH_INTERVAL = sorted(set(SIGNIFICANCE_TESTS) - VARIANCE_TESTS)
SHIFTED = [t for t in WITH_INTERVAL if t != "sur_f"]  # whose null is one effect, not one for each event
ONE_DATE = {"portfolio_t"}  # that want the same estimation days for all
SEVERAL_DATES = {"clustered_t_date", "clustered_t_both", "hac_t", "wild_bootstrap", "block_bootstrap"}
ROWS = 60


def sample_over(window: Window, seed: int, n: int = 14, one_date: bool = False, alpha: float = 0.05) -> CarSample:
    """Events with unequal variances and missing days, in pairs on the same day, repeated firms; a small effect."""
    rng = np.random.default_rng(seed)
    event_window = Window(-3, 3)
    sigma = rng.uniform(0.01, 0.04, n)
    residuals = sigma[:, None] * rng.standard_t(5, (n, ROWS))
    if not one_date:
        residuals[rng.random((n, ROWS)) < 0.1] = np.nan
    ar = sigma[:, None] * rng.standard_t(5, (n, len(event_window))) + 0.004
    car = ar[:, window.within(event_window)].sum(axis=1)
    first = np.zeros(n, int) if one_date else 20 * (np.arange(n) // 2)
    se = sigma * np.sqrt(len(window) + rng.uniform(0, 0.2, n))
    joint = rng.normal(0, 0.01, 399)
    rows = np.stack([np.ones((n, ROWS)), np.tile(rng.normal(0, 0.01, ROWS), (n, 1))], axis=1)
    ahead = np.stack([np.ones((n, len(event_window))), np.tile(rng.normal(0, 0.01, len(event_window)), (n, 1))], axis=1)
    return CarSample(
        group="all",
        window=window,
        event_window=event_window,
        car=car,
        car_se=se,
        scar=car / se,
        bhar=car + car**2,
        sigma=sigma,
        dof=np.isfinite(residuals).sum(axis=1) - 2,
        ar=ar,
        residuals=residuals,
        residual_days=first[:, None] + np.arange(ROWS),
        event_days=first[:, None] + ROWS + 7 + np.arange(len(event_window)),
        dates=first + ROWS + 10,
        firms=np.arange(n) % 9,
        alternative="two-sided",
        alpha=alpha,
        pseudo=PseudoCars(joint, joint, joint, tuple(rng.normal(0, 0.02, 399) for _ in range(n)), np.full(n, 30)),
        regressions=Regressions(rows, ahead, np.tile([0.0, 1.0], (n, 1))),
        resampling=Resampling(first, 499, 3),
        pseudo_firms=PseudoFirms(joint[::-1], rng.uniform(-0.2, 0.2, 399), 0.002, 0.3, np.full(n, 9)),
    )


def without(sample: CarSample, tau: float) -> CarSample:
    """The sample with an effect taken from every CAR, in equal parts from the days of its window."""
    ar = sample.ar.copy()
    ar[:, sample.columns] -= tau / len(sample.window)
    firms = sample.pseudo_firms
    assert firms is not None
    moved_firms = replace(firms, draws=firms.draws - tau * firms.shares, centre=firms.centre - tau * firms.share)
    return replace(
        sample,
        car=sample.car - tau,
        bhar=sample.bhar - tau,
        scar=(sample.car - tau) / sample.car_se,
        ar=ar,
        pseudo_firms=moved_firms,
    )


def p_without(name: str, sample: CarSample, tau: float) -> float:
    return evaluate(name, without(sample, tau)).p_value


@pytest.mark.parametrize("window", [Window(0, 0), Window(-1, 2)], ids=str)
@pytest.mark.parametrize(("one_date", "alpha"), [(False, 0.05), (True, 0.1)])
@pytest.mark.parametrize("name", SHIFTED)
def test_the_ends_are_where_the_p_value_crosses_alpha(name: str, window: Window, one_date: bool, alpha: float) -> None:
    sample = sample_over(window, 5, one_date=one_date, alpha=alpha)
    answer = evaluate(name, sample)
    if answer.unavailable:
        assert name in (ONE_DATE if not one_date else SEVERAL_DATES)
        return
    low, high = answer.ci
    assert low < high
    assert answer.se > 0
    near = 1e-3 * (high - low)
    inside = [p_without(name, sample, tau) for tau in (low + near, (low + high) / 2, high - near)]
    outside = [p_without(name, sample, tau) for tau in (low - near, high + near)]
    assert min(inside) > alpha >= max(outside), (inside, outside)


@pytest.mark.parametrize("window", [Window(0, 0), Window(-1, 2)], ids=str)
@pytest.mark.parametrize("name", sorted(EVENT_TESTS))
def test_the_ends_of_every_event_alone(name: str, window: Window) -> None:
    sample = sample_over(window, 7, n=6)
    answer = EVENT_TESTS[name](sample)
    if name == "sq" and len(window) > 1:
        assert all(answer.unavailable)
        return
    for i in range(sample.n):
        low, high = answer.ci_low[i], answer.ci_high[i]
        near = 1e-4 * (high - low)
        ps = [
            EVENT_TESTS[name](without(sample, tau)).p_value[i]
            for tau in (low - near, low + near, high - near, high + near)
        ]
        assert max(ps[0], ps[3]) <= 0.05 < min(ps[1], ps[2])
        assert (
            answer.se[i] == pytest.approx((high - low) / (2 * stats.norm.isf(0.025)), rel=1e-9)
            or name == "forecast_error_t"
        )


def test_the_interval_of_sur_f_holds_the_means_of_all_cars_that_f_does_not_reject() -> None:
    """Vectors of effects on the edge of the ellipsoid, drawn at random: none has a mean beyond the ends, some come near."""
    sample = sample_over(Window(-1, 2), 11, n=4, one_date=True)
    answer = evaluate("sur_f", sample)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4000, 4)) * sample.car_se
    means = []
    for direction in directions:
        lower, upper = 0.0, 1.0
        while evaluate("sur_f", moved(sample, upper * direction)).p_value > 0.05:
            upper *= 2
        for _ in range(12):
            middle = (lower + upper) / 2
            accepted = evaluate("sur_f", moved(sample, middle * direction)).p_value > 0.05
            lower, upper = (middle, upper) if accepted else (lower, middle)
        means.append(sample.car.mean() + lower * direction.mean())
        if len(means) == 400:
            break
    assert answer.ci[0] <= min(means) + 1e-4
    assert answer.ci[1] >= max(means) - 1e-4
    reach = answer.ci[1] - answer.ci[0]
    assert max(means) - min(means) > 0.8 * reach
    assert answer.ci[0] + answer.ci[1] == pytest.approx(2 * answer.estimate)


def moved(sample: CarSample, effects: Any) -> CarSample:
    """The sample whose CARs are the given effects."""
    ar = sample.ar.copy()
    ar[:, sample.columns] = effects[:, None] / len(sample.window)
    return replace(sample, car=effects, scar=effects / sample.car_se, ar=ar)


@pytest.mark.parametrize("name", WITH_INTERVAL)
def test_every_test_of_an_effect_answers_with_a_standard_error_and_an_interval(name: str) -> None:
    answers = [evaluate(name, sample_over(Window(0, 0), 5, one_date=one)) for one in (False, True)]
    answered = [a for a in answers if not a.unavailable]
    assert answered
    for answer in answered:
        assert np.isfinite([answer.estimate, answer.se, *answer.ci]).all()


@pytest.mark.parametrize("name", sorted(VARIANCE_TESTS))
def test_a_test_of_variance_says_nothing_of_the_mean(name: str) -> None:
    answer = evaluate(name, sample_over(Window(0, 0), 5))
    assert np.isfinite(answer.p_value)
    assert np.isnan([answer.se, *answer.ci]).all()


@pytest.mark.parametrize("name", ["sign", "generalized_sign", "wilcoxon", "permutation", "corrado", "grank_t"])
def test_too_few_events_leave_an_end_without_bound(name: str) -> None:
    """Three events cannot reject at 5 % by their signs, nor 9 draws by their ranks; the two rank tests go on."""
    sample = sample_over(Window(0, 0), 5, n=3)
    draws = np.linspace(-0.02, 0.02, 9)
    few = replace(sample, pseudo=PseudoCars(draws, draws, draws, (draws,) * 3, np.full(3, 3)))
    answer = evaluate(name, few)
    bounded = np.isfinite(answer.ci)
    p_far = [p_without(name, few, tau) for tau in (-1e3, 1e3)]
    assert list(bounded) == [p <= 0.05 for p in p_far]


def test_wilcoxon_by_its_normal_approximation_and_by_its_exact_distribution_agree() -> None:
    """At 50 events the exact interval and, with one more event at the middle, the approximate one are close."""
    sample = sample_over(Window(0, 0), 3, n=50)
    exact = evaluate("wilcoxon", sample)
    more = sample_over(Window(0, 0), 3, n=51)
    same_and_one = np.append(sample.car, np.median(sample.car))
    approximate = evaluate("wilcoxon", replace(more, car=same_and_one))
    assert (exact.distribution, approximate.distribution) == ("wilcoxon(50)", "normal")
    assert approximate.ci == pytest.approx(exact.ci, abs=0.1 * (exact.ci[1] - exact.ci[0]))
    reach = stats.wilcoxon(same_and_one - approximate.ci[0] - 1e-9, method="approx").pvalue
    assert reach == pytest.approx(0.05, abs=0.005)
