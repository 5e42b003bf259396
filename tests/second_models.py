"""The models of `second.py` continued: each fitted again from its paper, in plain loops, without the package under test.

A study is the same: prices by symbol and date, events with a day and an estimation window.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import second
from scipy import optimize
from second import Event, Fitted, Prices

Days = dict[int, float]


@dataclass
class WeightedFit(Fitted):
    """Weighted least squares: V = I + X0 (X'WX)^-1 X'W^2X (X'WX)^-1 X0'."""

    weights: list[float] = field(default_factory=list)

    def variance(self, days: Sequence[int]) -> float:
        assert self.design is not None
        w = np.diag(self.weights)
        bread = np.linalg.inv(self.design.T @ w @ self.design)
        ahead = np.array([self.rows[d] for d in days])
        v = np.eye(len(days)) + ahead @ bread @ (self.design.T @ w @ w @ self.design) @ bread @ ahead.T
        return float(self.sigma**2 * v.sum())


def fit_all(
    model: str, keys: dict, events: Sequence[Event], prices: Prices, benchmark: str, peers: Sequence[str],
    window: tuple[int, int], min_days: int, sessions: Sequence[str],
) -> dict[tuple[str, str], Fitted | str]:  # fmt: skip
    """Every event fitted, or the stage at which it is lost; simple returns on the given sessions."""
    made: dict[tuple[str, str], Fitted | str] = {}
    for event in events:
        position = next(i for i, d in enumerate(sessions) if d >= event.day)
        own = second.returns_on(prices[event.symbol], sessions, False)
        if model == "raw":
            market = [0.0] * len(sessions)
        elif model == "matched":
            market = control_portfolio(event.symbol, peers, prices, sessions)
        else:
            market = second.returns_on(prices[benchmark], sessions, False)

        def around(series: Sequence[float | None], first: int, last: int, at: int = position) -> Days:
            found = {d: series[at + d] for d in range(first, last + 1) if 0 <= at + d < len(series)}
            return {d: v for d, v in found.items() if v is not None}

        actual, ahead = around(own, *window), around(market, *window)
        y, x = around(own, *event.estimation), around(market, *event.estimation)
        both = [d for d in y if d in x]
        name = event.event_id, event.symbol
        if not set(actual) & set(ahead):
            made[name] = "prices"
        elif len(both) < min_days:
            made[name] = "estimation"
        else:
            made[name] = one = FITS[model](event, position, y, x, both, keys)
            one.dates.update({d: sessions[position + d] for d in one.residuals})
            for d in sorted(set(actual) & set(ahead)):
                one.actual[d], one.rows[d] = actual[d], [1.0, ahead[d]]
                one.expected[d] = one.params[0] + one.params[1] * ahead[d] if one.params else ahead[d]
    return made


def control_portfolio(symbol: str, peers: Sequence[str], prices: Prices, sessions: Sequence[str]) -> list[float | None]:
    """The mean of the others' returns, where half of them or more have one."""
    others = [second.returns_on(prices[p], sessions, False) for p in peers if p != symbol]
    made: list[float | None] = []
    for day in zip(*others, strict=True):
        there = [r for r in day if r is not None]
        made.append(math.fsum(there) / len(there) if there and 2 * len(there) >= len(day) else None)
    return made


def _difference(event, position, y, x, both, keys):
    residuals = {d: y[d] - x[d] for d in both}
    return Fitted(
        event, position, [], statistics.stdev(residuals.values()), len(both) - 1, math.nan, None, residuals, {}
    )


def _given_line(event, position, y, x, both, alpha, beta, sigma=None):
    residuals = {d: y[d] - alpha - beta * x[d] for d in both}
    rss = math.fsum(e * e for e in residuals.values())
    mean = math.fsum(y[d] for d in both) / len(both)
    r2 = 1 - rss / math.fsum((y[d] - mean) ** 2 for d in both)
    design = np.array([[1.0, x[d]] for d in both])
    spread = math.sqrt(rss / (len(both) - 2)) if sigma is None else sigma
    residuals = {
        d: 0.0 if abs(e) < 1e-9 * spread else e for d, e in residuals.items()
    }  # the line goes through that day
    return Fitted(event, position, [alpha, beta], spread, len(both) - 2, r2, design, residuals, {})


def _with_ties(f):
    """A line drawn through days has some of them at zero, or two at one distance: equal but for rounding."""
    grain = 1e-9 * f.sigma
    f.residuals = {d: round(e / grain) * grain for d, e in f.residuals.items()}
    return f


def _slope(y: Sequence[float], x: Sequence[float]) -> float:
    return float(np.polyfit(np.array(x) - np.mean(x), y, 1)[0])


def _through_the_means(y, x, both, beta):
    return math.fsum(y[d] for d in both) / len(both) - beta * math.fsum(x[d] for d in both) / len(both)


def scholes_williams(event, position, y, x, both, keys):
    """Slopes and serial correlation over the days whose neighbours are in the estimation window too."""
    used = [d for d in both if d - 1 in x and d + 1 in x]
    sides = [_slope([y[d] for d in used], [x[d + j] for d in used]) for j in (-1, 0, 1)]
    rho = statistics.correlation([x[d] for d in used], [x[d - 1] for d in used])
    beta = math.fsum(sides) / (1 + 2 * rho)
    return _given_line(event, position, y, x, both, _through_the_means(y, x, both, beta), beta)


def dimson(event, position, y, x, both, keys):
    k = keys["leads_lags"]
    used = [d for d in both if all(d + j in x for j in range(-k, k + 1))]
    design = np.array([[1.0, *(x[d + j] for j in range(-k, k + 1))] for d in used])
    beta = float(np.linalg.lstsq(design, np.array([y[d] for d in used]), rcond=None)[0][1:].sum())
    return _given_line(event, position, y, x, both, _through_the_means(y, x, both, beta), beta)


def _weighted(y, x, rows, weights):
    design = np.array([[1.0, x[d]] for d in rows])
    root = np.sqrt(weights)
    params = np.linalg.lstsq(design * root[:, None], np.array([y[d] for d in rows]) * root, rcond=None)[0]
    return design, params


def _drifting(event, position, y, x, both, rows_before, first):
    """rows_before(day, days before it) -> the rows used and their weights."""
    errors, squares = {}, []
    for i, d in enumerate(both):
        if i < first:
            continue
        rows, weights = rows_before(d, both[:i])
        design, params = _weighted(y, x, rows, weights)
        one = np.array([1.0, x[d]])
        w = np.diag(weights)
        bread = np.linalg.inv(design.T @ w @ design)
        v = 1 + one @ bread @ (design.T @ w @ w @ design) @ bread @ one
        errors[d] = y[d] - float(one @ params)
        squares.append(errors[d] ** 2 / v)
    rows, weights = rows_before(event.estimation[1] + 1, both)
    design, params = _weighted(y, x, rows, weights)
    sigma = math.sqrt(math.fsum(squares) / len(squares))
    return WeightedFit(
        event, position, params.tolist(), sigma, len(errors), math.nan, design, errors, {}, weights=list(weights)
    )  # fmt: skip


def rolling(event, position, y, x, both, keys):
    def last(day, before):
        rows = before[-keys["window"] :]
        return rows, [1.0] * len(rows)

    return _drifting(event, position, y, x, both, last, keys["window"])


def exponential(event, position, y, x, both, keys):
    def decaying(day, before):
        return before, [0.5 ** ((day - 1 - d) / keys["half_life"]) for d in before]

    return _drifting(event, position, y, x, both, decaying, math.ceil(2 * keys["half_life"]))


def lad(event, position, y, x, both, keys):
    """The linear programme: the least sum of u + v with y = a + b x + u - v, u and v not below zero."""
    m = len(both)
    design = np.array([[1.0, x[d]] for d in both])
    left = np.concatenate([design, np.eye(m), -np.eye(m)], axis=1)
    costs = np.concatenate([[0, 0], np.ones(2 * m)])
    bounds = [(None, None)] * 2 + [(0, None)] * (2 * m)
    found = optimize.linprog(costs, A_eq=left, b_eq=[y[d] for d in both], bounds=bounds, method="highs")
    beta = float(found.x[1])
    alpha = statistics.median(y[d] - beta * x[d] for d in both)
    return _with_ties(_given_line(event, position, y, x, both, alpha, beta))


def huber(event, position, y, x, both, keys):
    import statsmodels.api as sm

    design = np.array([[1.0, x[d]] for d in both])
    model = sm.RLM(np.array([y[d] for d in both]), design, M=sm.robust.norms.HuberT(1.345))
    alpha, beta = model.fit(maxiter=5000, tol=1e-13, conv="coefs").params.tolist()
    return _given_line(event, position, y, x, both, alpha, beta)


def theil_sen(event, position, y, x, both, keys):
    pairs = [(a, b) for i, a in enumerate(both) for b in both[i + 1 :] if x[a] != x[b]]
    beta = statistics.median((y[b] - y[a]) / (x[b] - x[a]) for a, b in pairs)
    alpha = statistics.median(y[d] - beta * x[d] for d in both)
    return _with_ties(_given_line(event, position, y, x, both, alpha, beta))


def half_the_benchmark(event, position, y, x, both, keys):
    """The function that the studies of the tests bring along: level + half the benchmark, the spread about its mean."""
    level = math.fsum(y[d] - x[d] / 2 for d in both) / len(both)
    residuals = {d: y[d] - level - x[d] / 2 for d in both}
    sigma = statistics.stdev(residuals.values())
    return Fitted(event, position, [level, 0.5], sigma, len(both) - 1, math.nan, None, residuals, {})


FITS = {
    "raw": _difference,
    "matched": _difference,
    "scholes_williams": scholes_williams,
    "dimson": dimson,
    "rolling": rolling,
    "exponential": exponential,
    "lad": lad,
    "huber": huber,
    "theil_sen": theil_sen,
    "custom": half_the_benchmark,
}


# Conditional variances: the likelihood of a series under given parameters, day by day.


def log_likelihood(kind: str, p: Sequence[float], y: Sequence[float], x: Sequence[float]) -> float:
    """p: a, b, then the variance equation. The variance before the first day is a weighted mean of the first 75 squared
    residuals of the least-squares line, weights 0.94^t, as the library has it (its `backcast`)."""
    slope = _slope(y, x)
    ols = [v - np.mean(y) - slope * (u - np.mean(x)) for v, u in zip(y, x, strict=True)]
    weights = [0.94**t for t in range(min(75, len(ols)))]
    start = math.fsum(w * e * e for w, e in zip(weights, ols, strict=False)) / math.fsum(weights)
    total, before = 0.0, None
    for v, u in zip(y, x, strict=True):
        variance = _next_variance(kind, p[2:], before, start)
        if not 0 < variance < 1e12:
            return -math.inf
        e = v - p[0] - p[1] * u
        total -= (math.log(2 * math.pi) + math.log(variance) + e * e / variance) / 2
        before = e, variance
    return total


def _next_variance(kind: str, p: Sequence[float], before: tuple[float, float] | None, start: float) -> float:
    omega, arch, garch = p[0], p[1], p[-1]
    if kind == "egarch":
        if before is None:
            return math.exp(omega + garch * math.log(start))
        z = before[0] / math.sqrt(before[1])
        logs = omega + arch * (abs(z) - math.sqrt(2 / math.pi)) + p[2] * z + garch * math.log(before[1])
        return math.exp(min(logs, 100))
    leverage = p[2] if kind == "gjr" else 0.0
    if before is None:
        return omega + (arch + leverage / 2 + garch) * start
    return omega + (arch + leverage * (before[0] < 0)) * before[0] ** 2 + garch * before[1]


def unconditional_sigma(kind: str, p: Sequence[float], draws: np.ndarray) -> float:
    """The root of the mean variance along a simulated path of the equation; p: of the variance equation."""
    variance, total = 1.0, 0.0
    for i, z in enumerate(draws):
        variance = _next_variance(kind, p, (z * math.sqrt(variance), variance), 1.0)
        total += variance * (i >= 1000)
    return math.sqrt(total / (len(draws) - 1000))
