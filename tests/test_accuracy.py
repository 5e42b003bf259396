"""The closed-form models against long double, on data that hurt: levels, bad prints, near and exact fits, a flat market.

The same formulas in plain vectors of 80-bit numbers (eps 1.1e-19); none is taken from the package. A result may be off by what
the inputs themselves leave open: eps times the level for means and abnormal returns, and for slopes and spreads that much of the
deviations that they are made from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from engine.models import NormalFits, fit
from engine.sessions import Window

Long = np.longdouble
EPS = float(np.finfo(np.float64).eps)
M, D = 120, 11
WINDOW, HALF_LIFE = 40, 15.0

pytestmark = pytest.mark.skipif(np.finfo(Long).eps > 1e-18, reason="long double is double on this machine")


@dataclass(frozen=True)
class Data:
    """y (M,), x (2, M) benchmark and factor, ahead (2, D). scale: the spread of y. level: the largest number in the inputs."""

    y: np.ndarray
    x: np.ndarray
    ahead: np.ndarray

    @property
    def scale(self) -> float:
        return float(self.y.std())

    @property
    def level(self) -> float:
        return float(max(np.abs(self.y).max(), np.abs(self.x).max()))


def drawn(level: float = 0.0, noise: float = 0.02, market: float = 0.01) -> Data:
    rng = np.random.default_rng(11)
    x, ahead = rng.normal(0, market, (2, M)), rng.normal(0, market, (2, D))
    y = 0.0004 + 0.9 * x[0] + 0.3 * x[1] + rng.normal(0, noise, M)
    return Data(y + level, x + level, ahead + level)


CASES = {
    "ordinary returns": drawn(),
    "level 1e4": drawn(level=1e4),
    "level 1e6": drawn(level=1e6),
    "R2 near one": drawn(noise=1e-7),
    "a market of 1e-9": drawn(market=1e-9),
}


@dataclass(frozen=True)
class Answer:
    sigma: Any
    expected: Any
    residuals: Any
    variance: Any  # 1'V1 over the D days, without sigma^2


def _ones(columns: Any, like: Any) -> Any:
    return np.concatenate([np.ones((1, like.shape[-1]), Long), columns])


def _solve(a: Any, b: Any) -> Any:
    """Gauss with pivots, in long double: a (k, k), b (k, m)."""
    a, b, k = a.copy(), b.copy(), len(a)
    for i in range(k):
        p = i + int(np.argmax(np.abs(a[i:, i])))
        a[[i, p]], b[[i, p]] = a[[p, i]], b[[p, i]]
        for j in range(i + 1, k):
            f = a[j, i] / a[i, i]
            a[j], b[j] = a[j] - f * a[i], b[j] - f * b[i]
    for i in reversed(range(k)):
        b[i] = (b[i] - (a[i, i + 1 :, None] * b[i + 1 :]).sum(axis=0)) / a[i, i]
    return b


def _regression(y: Any, x: Any, ahead: Any, w: Any = None) -> tuple[Any, Any, Any]:
    """Fitted values of the rows, forecasts, and 1'(V - I)1 of weighted least squares; the level is taken off first."""
    w = np.ones(len(y), Long) if w is None else w
    shift, base = x.mean(axis=1)[:, None], y.mean()
    design, forecast = _ones(x - shift, y), _ones(ahead - shift, ahead)
    bread = _solve((design * w) @ design.T, np.eye(len(design), dtype=Long))
    b = bread @ ((design * w) @ (y - base))
    total = forecast.sum(axis=1)
    meat = (design * w * w) @ design.T
    return base + design.T @ b, base + forecast.T @ b, total @ bread @ meat @ bread @ total


def _least_squares(columns: int) -> Callable[[Any, Any, Any], Answer]:
    def answer(y: Any, x: Any, ahead: Any) -> Answer:
        fitted, expected, error = _regression(y, x[:columns], ahead[:columns])
        e = y - fitted
        return Answer(np.sqrt((e * e).sum() / (len(y) - columns - 1)), expected, e, D + error)

    return answer


def _difference(y: Any, benchmark: Any, ahead: Any) -> Answer:
    e = y - benchmark
    return Answer(np.sqrt(((e - e.mean()) ** 2).sum() / (len(y) - 1)), ahead, e, Long(D))


def _mean(y: Any, x: Any, ahead: Any) -> Answer:
    e = y - y.mean()
    expected = np.full(D, y.mean(), Long)
    return Answer(np.sqrt((e * e).sum() / (len(y) - 1)), expected, e, D + Long(D) * D / len(y))


def _through_the_means(y: Any, x: Any, ahead: Any, beta: Any) -> Answer:
    e = y - y.mean() - beta * (x[0] - x[0].mean())
    _, _, error = _regression(y, x[:1], ahead[:1])
    expected = y.mean() + beta * (ahead[0] - x[0].mean())
    return Answer(np.sqrt((e * e).sum() / (len(y) - 2)), expected, e, D + error)


def _slope(y: Any, x: Any) -> Any:
    dx = x - x.mean()
    return (dx * (y - y.mean())).sum() / (dx * dx).sum()


def _scholes_williams(y: Any, x: Any, ahead: Any) -> Answer:
    r, before, now, after = y[1:-1], x[0, :-2], x[0, 1:-1], x[0, 2:]
    db, dn = before - before.mean(), now - now.mean()
    rho = (db * dn).sum() / np.sqrt((db * db).sum() * (dn * dn).sum())
    beta = (_slope(r, before) + _slope(r, now) + _slope(r, after)) / (1 + 2 * rho)
    return _through_the_means(y, x, ahead, beta)


def _dimson(y: Any, x: Any, ahead: Any) -> Answer:
    columns = np.stack([x[0, j : M - 4 + j] for j in range(5)])
    centred = columns - columns.mean(axis=1)[:, None]
    r = y[2:-2] - y[2:-2].mean()
    return _through_the_means(y, x, ahead, _solve(centred @ centred.T, (centred @ r)[:, None]).sum())


def _forecasts(y: Any, x: Any, ahead: Any, first: int, rows: Callable[[int], tuple[slice, Any]]) -> Answer:
    errors, squares = np.full(M, np.nan, Long), Long(0)
    for t in range(first, M):
        at, w = rows(t)
        _, one, error = _regression(y[at], x[:1, at], x[:1, t : t + 1], w)
        errors[t] = y[t] - one[0]
        squares += errors[t] ** 2 / (1 + error)
    at, w = rows(M)
    _, expected, error = _regression(y[at], x[:1, at], ahead[:1], w)
    return Answer(np.sqrt(squares / (M - first)), expected, errors, D + error)


def _rolling(y: Any, x: Any, ahead: Any) -> Answer:
    return _forecasts(y, x, ahead, WINDOW, lambda t: (slice(t - WINDOW, t), None))


def _exponential(y: Any, x: Any, ahead: Any) -> Answer:
    def rows(t: int) -> tuple[slice, Any]:
        return slice(0, t), np.exp2(-(np.arange(t)[::-1].astype(Long)) / Long(HALF_LIFE))

    return _forecasts(y, x, ahead, int(2 * HALF_LIFE), rows)


MODELS: dict[str, Callable[[Any, Any, Any], Answer]] = {
    "raw": lambda y, x, ahead: _difference(y, 0 * y, 0 * ahead[0]),
    "market_adjusted": lambda y, x, ahead: _difference(y, x[0], ahead[0]),
    "matched": lambda y, x, ahead: _difference(y, x[0], ahead[0]),
    "mean_adjusted": _mean,
    "market": _least_squares(1),
    "factor": _least_squares(2),
    "scholes_williams": _scholes_williams,
    "dimson": _dimson,
    "rolling": _rolling,
    "exponential": _exponential,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "dimson": {"leads_lags": 2}, "rolling": {"window": WINDOW}, "exponential": {"half_life": HALF_LIFE},
}  # fmt: skip


def engines(model: str, data: Data, first: int = 0) -> NormalFits:
    k = 2 if model == "factor" else 1
    rows = Window(-M, -1)
    return fit(
        model, data.y[None], data.x[None, :k], data.ahead[None, :k], rows, np.array([[first - M, -1]]), ("a", "b"),
        OPTIONS.get(model),
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", MODELS)
def test_against_long_double(model: str, case: str) -> None:
    data = CASES[case]
    found = engines(model, data)
    wanted = MODELS[model](*(v.astype(Long) for v in (data.y, data.x, data.ahead)))
    assert found.degenerate[0] == ""
    open_ = EPS * data.level  # what the inputs leave open
    slopes = 1 + 1e-2 * data.scale / float(data.x[0].std())  # an error of the benchmark counts beta times
    assert np.abs(found.expected[0] - wanted.expected).max() <= 100 * open_ * slopes + 1e-13 * data.scale
    there = np.isfinite(found.residuals[0])
    assert (there == np.isfinite(wanted.residuals.astype(float))).all()
    assert np.abs(found.residuals[0] - wanted.residuals)[there].max() <= 100 * open_ * slopes + 1e-13 * data.scale
    near = 1e-12 + 100 * open_ / float(wanted.sigma) + 100 * open_ / float(data.x[0].std())
    assert found.sigma[0] == pytest.approx(float(wanted.sigma), rel=near)
    variance = D + (found.forecast_basis[0].sum(axis=0) ** 2).sum()
    assert variance == pytest.approx(float(wanted.variance), rel=1e-12 + 100 * open_ / float(data.x[0].std()))


@pytest.mark.parametrize("model", MODELS)
def test_a_bad_print_outside_the_window_changes_no_bit(model: str) -> None:
    """1e8 on the day before the event's own window: nothing is summed up from there."""
    clean = drawn()
    y, x = clean.y.copy(), clean.x.copy()
    y[9], x[:, 9] = 1e8, -1e8
    plain, hit = (engines(model, Data(a, b, clean.ahead), first=10) for a, b in ((clean.y, clean.x), (y, x)))
    for name in ("coefficients", "sigma", "expected", "residuals", "forecast_basis"):
        assert np.array_equal(getattr(plain, name), getattr(hit, name), equal_nan=True), name


@pytest.mark.parametrize("level", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("model", sorted(set(MODELS) - {"raw", "mean_adjusted"}))
def test_an_exact_fit_is_a_reason_at_any_level(model: str, level: float) -> None:
    """The listing is its benchmark: the residuals that are left are rounding, and there is nothing to test against."""
    data = drawn(level=level)
    assert engines(model, Data(data.x[0].copy(), data.x, data.ahead)).degenerate[0] == "exact_fit"


@pytest.mark.parametrize("level", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("model", sorted(set(MODELS) - {"raw", "mean_adjusted", "market_adjusted", "matched"}))
def test_a_market_that_does_not_move_is_a_reason_at_any_level(model: str, level: float) -> None:
    data = drawn(level=level)
    x = np.full(data.x.shape, level + 0.1)
    reason = "constant_factor" if model == "factor" else "constant_benchmark"
    assert engines(model, Data(data.y, x, data.ahead)).degenerate[0] == reason


# Trade to trade: a return over n sessions, its regressors over the same, least squares with weights 1/n on n and the regressors.

BRIDGED = ("market", "factor", "mean_adjusted", "market_adjusted", "matched", "raw")


def _spanned(data: Data, level: float) -> tuple[Data, np.ndarray, np.ndarray]:
    """The data as sums over 1 to 5 sessions, each with its level; the sessions of the rows and of the rows ahead."""
    rng = np.random.default_rng(12)
    n, ahead = rng.integers(1, 6, M).astype(float), rng.integers(1, 6, D).astype(float)
    root = np.sqrt(n)
    return (
        Data(data.y * root + level * n, data.x * root + level * n, data.ahead * np.sqrt(ahead) + level * ahead),
        n,
        ahead,
    )


def _bridged(model: str, data: Data, n: Any, n_ahead: Any) -> Answer:
    """Maynes & Rumsey (1993), in long double: residuals over sqrt(n), V from (X'WX)^-1 with W = diag(1/n)."""
    y, x, ahead = (v.astype(Long) for v in (data.y, data.x, data.ahead))
    n, n_ahead = n.astype(Long), n_ahead.astype(Long)
    slopes = {"market": 1, "factor": 2}.get(model, 0)
    if model in ("market_adjusted", "matched", "raw"):
        against, forecast = (x[0], ahead[0]) if model != "raw" else (0 * y, 0 * ahead[0])
        e = (y - against) / np.sqrt(n)
        mean = (np.sqrt(n) * e).sum() / n.sum()
        left = e - mean * np.sqrt(n)
        return Answer(np.sqrt((left * left).sum() / (M - 1)), forecast, e, Long(0))
    shift = (x[:slopes].sum(axis=1) / n.sum())[:, None]
    design = np.concatenate([n[None], x[:slopes] - shift * n])
    forecast = np.concatenate([n_ahead[None], ahead[:slopes] - shift * n_ahead])
    base = y.sum() / n.sum()
    bread = _solve((design / n) @ design.T, np.eye(len(design), dtype=Long))
    b = bread @ ((design / n) @ (y - base * n))
    e = (y - base * n - design.T @ b) / np.sqrt(n)
    total = forecast.sum(axis=1)
    sigma = np.sqrt((e * e).sum() / (M - 1 - slopes))
    return Answer(sigma, base * n_ahead + forecast.T @ b, e, total @ bread @ total)


def _bridged_engines(model: str, data: Data, n: np.ndarray, n_ahead: np.ndarray) -> NormalFits:
    k = 2 if model == "factor" else 1
    x, ahead = np.concatenate([n[None], data.x[:k]])[None], np.concatenate([n_ahead[None], data.ahead[:k]])[None]
    return fit(
        model, data.y[None], x, ahead, Window(-M, -1), np.array([[-M, -1]]), ("n", "a", "b")[: k + 1], bridged=True
    )


@pytest.mark.parametrize(
    ("case", "level"), [(c, 0.0) for c in CASES if "level" not in c] + [("ordinary returns", 10.0)]
)
@pytest.mark.parametrize("model", BRIDGED)
def test_trade_to_trade_against_long_double(model: str, case: str, level: float) -> None:
    """At a level the regressors are all but a multiple of n: what is left of them is 1e-3 of their length at 10."""
    data, n, n_ahead = _spanned(CASES[case], level)
    found, wanted = _bridged_engines(model, data, n, n_ahead), _bridged(model, data, n, n_ahead)
    assert found.degenerate[0] == ""
    open_ = EPS * data.level
    spread = float(CASES[case].x[0].std())
    slopes = 1 + 1e-2 * CASES[case].scale / spread
    bound = (1e2 * open_ * slopes + 1e-13 * CASES[case].scale) * (1 + level / spread)
    assert np.abs(found.expected[0] - wanted.expected).max() <= bound
    assert np.abs(found.residuals[0] - wanted.residuals).max() <= bound
    near = (1e-12 + 100 * open_ / float(wanted.sigma)) * (1 + level / spread)
    assert found.sigma[0] == pytest.approx(float(wanted.sigma), rel=near)
    variance = (found.forecast_basis[0].sum(axis=0) ** 2).sum() if found.names else 0.0
    assert variance == pytest.approx(float(wanted.variance), rel=1e-11 + 100 * open_ * (1 + level / spread) / spread)


@pytest.mark.parametrize("model", ["market", "factor"])
def test_trade_to_trade_at_a_level_that_hides_the_market_is_a_reason(model: str) -> None:
    data, n, n_ahead = _spanned(drawn(), 1e6)
    assert _bridged_engines(model, data, n, n_ahead).degenerate[0] == "collinear_factors"
