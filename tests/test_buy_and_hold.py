"""BHAR tests by hand, among all resamples and on skewed samples; CARs cumulated in three ways."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second
from conftest import make_study, returns, rows_of, run, sample_of, simulated
from scipy import stats
from test_second_implementation import CASES, close, events, members_of, theirs, write

from engine.abnormal import three_ways
from engine.significance import CarSample, evaluate


def bhars(values: Any, alternative: str = "two-sided", draws: int = 999) -> CarSample:
    """A sample whose CARs are all 0.5, so that a test that looks at them is seen."""
    n = len(values)
    sample = sample_of([0.5] * n, np.zeros((n, 2)), alternative=alternative)
    assert sample.resampling is not None
    return replace(sample, bhar=np.array(values, float), resampling=replace(sample.resampling, draws=draws))


# By hand


def test_bhar_t_by_hand() -> None:
    """Mean 0.2, sd 0.1, N = 3: t = 2 sqrt(3)."""
    answer = evaluate("bhar_t", bhars([0.1, 0.2, 0.3]))
    assert answer.statistic == pytest.approx(2 * math.sqrt(3), rel=1e-12)
    assert answer.p_value == pytest.approx(float(2 * stats.t.sf(2 * math.sqrt(3), 2)), rel=1e-12)
    assert (answer.distribution, answer.estimate, answer.n) == ("t(2)", 0.5, 3)
    assert answer.note == "mean BHAR 20.00 %, s.e. 5.77 %, skewness 0.00"
    half = 0.1 / math.sqrt(3) * float(stats.t.isf(0.025, 2))
    np.testing.assert_allclose([answer.se, *answer.ci], [0.1 / math.sqrt(3), 0.2 - half, 0.2 + half], rtol=1e-12)


def test_bhar_skewness_t_by_hand() -> None:
    """0, 0, 0.3: S = 1/sqrt(3), g = sqrt(3); sqrt(3) (S + g/9 + 3 S^3/27 + g/18)."""
    s, g = 1 / math.sqrt(3), math.sqrt(3)
    answer = evaluate("bhar_skewness_t", bhars([0.0, 0.0, 0.3]))
    assert answer.statistic == pytest.approx(math.sqrt(3) * (s + g / 9 + s**3 / 9 + g / 18), rel=1e-12)
    assert answer.p_value == pytest.approx(float(2 * stats.norm.sf(answer.statistic)), rel=1e-9)
    assert answer.note.endswith("skewness 1.73")


def test_skewness_does_not_turn_the_sign() -> None:
    """S = 6.4 and g = -0.7: without the cubic term the statistic would be negative."""
    values = [0.19, 0.255, 0.289, 0.285, 0.27, 0.321, 0.289, 0.332]
    s, g = np.mean(values) / np.std(values, ddof=1), stats.skew(values, bias=False)
    assert s + g * s**2 / 3 + g / 48 < 0
    for name in ("bhar_skewness_t", "bhar_bootstrap"):
        answer = evaluate(name, bhars(values))
        assert answer.statistic > 0
        assert answer.p_value < 0.01


@pytest.mark.parametrize(("n", "size"), [(5, 5), (9, 9), (12, 10), (43, 10), (44, 11), (200, 50)])
def test_a_quarter_is_drawn(n: int, size: int) -> None:
    answer = evaluate("bhar_bootstrap", bhars(np.random.default_rng(n).normal(size=n)))
    assert answer.note.endswith(f"; resamples of {size}")
    assert answer.distribution == "bhar_bootstrap(999)"


def test_four_bhars_are_not_resampled() -> None:
    assert (
        evaluate("bhar_bootstrap", bhars([0.1, 0.2, 0.3, 0.5])).unavailable
        == "needs at least 5 events to resample, has 4"
    )


def test_bhars_that_differ_by_rounding_do_not_vary() -> None:
    """A BHAR is a difference of numbers near 1, whose rounding is larger than that of a small number."""
    for name in ("bhar_t", "bhar_skewness_t", "bhar_bootstrap"):
        assert (
            evaluate(name, bhars([1e-9, 1e-9 + 2e-16, 1e-9, 1e-9, 1e-9 + 4e-16])).unavailable == "the BHARs do not vary"
        )


# Among all resamples


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize(
    "values", [[0.1, -0.05, 0.2, 0.02, 0.9], [-0.3, -0.1, -0.2, 0.05, -0.15], [0.4, 0.5, 0.7, 0.3, 1.5]]
)
def test_bhar_bootstrap_among_all_ways_to_draw_five(values: list[float], alternative: str) -> None:
    """5^5 equally likely resamples: the p-value within Monte Carlo error."""
    draws = 40_000
    answer = evaluate("bhar_bootstrap", bhars(values, alternative, draws))
    everything = list(product(range(5), repeat=5))
    p = second.resampled_p(values, everything, alternative)
    assert answer.statistic == pytest.approx(second.skewness_adjusted(values, 0.0), rel=1e-12)
    one_side = p / 2 if alternative == "two-sided" else p
    allowed = (
        4.5 * math.sqrt(max(one_side * (1 - one_side), 1e-4) / draws) * (2 if alternative == "two-sided" else 1)
        + 2 / 3125
    )
    assert answer.p_value == pytest.approx(p, abs=allowed)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[7]], ids="-".join)
def test_bhar_bootstrap_of_a_study(tmp_path: Path, case: tuple[str, str, str]) -> None:
    """The statistic to the last digit, the p within Monte Carlo error of other draws."""
    draws, own = 4999, 1500
    result = run(write(tmp_path, events(), case, ["bhar_bootstrap"], [], resampling={"seed": 5, "draws": draws}))
    dice = np.random.default_rng(3)
    for row in result.tables["significance"].iter_rows(named=True):
        days = range(row["window_start"], row["window_end"] + 1)
        values = [f.bhar(days, f.log) for f in members_of(theirs(*case[:2])[0], "all") if f.complete(days)]
        size = max(len(values) // 4, 10)
        p = second.resampled_p(values, dice.integers(0, len(values), (own, size)).tolist(), case[2])
        close(row["statistic"], second.skewness_adjusted(values, 0.0))
        one_side = p / 2 if case[2] == "two-sided" else p
        near = 4.5 * 2 * math.sqrt(max(one_side * (1 - one_side), 1e-3) * (1 / draws + 1 / own))
        assert row["p_value"] == pytest.approx(p, abs=near)


def test_the_bootstrap_hears_of_no_other_group(tmp_path: Path) -> None:
    case, more = CASES[0], {"resampling": {"seed": 5, "draws": 999}}
    grouped = run(write(tmp_path / "a", events(), case, ["bhar_bootstrap", "bhar_t"], ["kind"], **more))
    alone = run(write(tmp_path / "b", events(), case, ["bhar_t", "bhar_bootstrap"], [], **more))
    assert rows_of(grouped, "significance", group="all").equals(alone.tables["significance"])


def test_size_on_skewed_bhars() -> None:
    """100 lognormal BHARs of mean 0, 5 % on the left: t and sign of skewness mislead, the bootstrap hardly.

    Lyon, Barber & Tsai (1999): right-skewed BHARs push the t to the left.
    """
    rng, rejected = np.random.default_rng(11), {"bhar_t": [0, 0], "bhar_bootstrap": [0, 0]}
    samples = 400
    for _ in range(samples):
        values = rng.lognormal(-0.5, 1.0, 100) - 1.0
        for name, found in rejected.items():
            for i, side in enumerate(("less", "greater")):
                found[i] += evaluate(name, bhars(values, side, 499)).p_value <= 0.05
    left, right = (rejected["bhar_t"][i] / samples for i in (0, 1))
    assert left > 0.09
    assert right < 0.02
    error = 3.5 * math.sqrt(0.05 * 0.95 / samples)
    for share in rejected["bhar_bootstrap"]:
        assert abs(share / samples - 0.05) < error + 0.02
    assert rejected["bhar_bootstrap"][0] < 0.7 * rejected["bhar_t"][0]


# Three ways to cumulate


def test_three_ways_by_hand() -> None:
    """R = 0.5, -0.5 against E = 0: arithmetic 0, log ln 0.75, compound -0.25. E = 0.1 each: ln(1.5/1.1) + ln(0.5/1.1)."""
    actual = np.array([[0.5, -0.5], [0.5, -0.5]])
    expected = np.array([[0.0, 0.0], [0.1, 0.1]])
    simple, log, compound = three_ways(actual, expected, log_returns=False)
    np.testing.assert_allclose(simple, [0.0, -0.2], atol=1e-15)
    np.testing.assert_allclose(log, [math.log(0.75), math.log(0.75 / 1.21)], rtol=1e-14)
    np.testing.assert_allclose(compound, [-0.25, 1.4 * 0.4 - 1], rtol=1e-14)
    again = three_ways(np.log1p(actual), np.log1p(expected), log_returns=True)
    np.testing.assert_allclose(again, [simple, log, compound], rtol=1e-12, atol=1e-15)


def test_a_total_loss_has_no_log() -> None:
    simple, log, compound = three_ways(np.array([[0.1, -1.0]]), np.zeros((1, 2)), log_returns=False)
    assert (simple[0], compound[0]) == (pytest.approx(-0.9), -1.0)
    assert np.isnan(log[0])


@pytest.mark.parametrize("kind", ["simple", "log"])
def test_three_ways_stand_beside_long_windows_alone(tmp_path: Path, kind: str) -> None:
    """Over [0, 20], 21 days, and not over [0, 19]; one of the sums is the CAR itself."""
    series = simulated(4, ["A", "B"], 200)
    dates = series["MKT"]["date"]
    rows = [{"event_id": s, "symbol": s, "announced_at": dates[100 + i]} for i, s in enumerate("AB")]
    folder = make_study(
        tmp_path, rows, series, prices={"returns": kind},
        windows={"event": [0, 30], "car": [[0, 20], [0, 19]]}, significance={"tests": ["bhar_t"]},
    )  # fmt: skip
    result = run(folder)
    short = rows_of(result, "cars", window_end=19)
    assert all(short[c].is_null().all() for c in ("car_simple", "car_log", "car_compound"))
    daily = {s: rows_of(result, "abnormal_returns", symbol=s).filter(relative_days_to(20)) for s in "AB"}
    for row in rows_of(result, "cars", window_end=20).iter_rows(named=True):
        pairs = daily[row["symbol"]].select("actual", "expected").rows()
        if kind == "log":
            pairs = [(math.expm1(r), math.expm1(e)) for r, e in pairs]
        close(row["car_simple"], math.fsum(r - e for r, e in pairs))
        close(row["car_log"], math.fsum(math.log((1 + r) / (1 + e)) for r, e in pairs))
        close(row["car_compound"], math.prod(1 + r - e for r, e in pairs) - 1)
        close(row["car"], row["car_log" if kind == "log" else "car_simple"])


def relative_days_to(last: int) -> Any:
    import polars as pl

    return pl.col("relative_day") <= last


def test_an_attribute_may_not_take_the_name(tmp_path: Path) -> None:
    from engine.errors import DataError

    series = simulated(4, ["A"], 200)
    rows = [{"event_id": "a", "symbol": "A", "announced_at": series["MKT"]["date"][100], "car_log": "1"}]
    with pytest.raises(DataError, match="car_log has the name of a result column"):
        run(make_study(tmp_path, rows, series | {"A": returns(series["MKT"]["date"], series["A"]["return"])}))
