"""The certificate again, in plain loops: pseudo-events, market model, tests and counts from the papers, one number at a time.

Nothing here is shared with the product but the generator of random numbers, whose stream is part of what a study fixes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Design:
    """estimation, event, windows: first and last relative days. gap: pseudo-days at least so far from real ones."""

    estimation: tuple[int, int]
    event: tuple[int, int]
    min_days: int

    @property
    def gap(self) -> int:
        return self.event[1] - self.event[0] + 1


@dataclass(frozen=True)
class Fit:
    """sigma, degrees of freedom, residuals by relative day, abnormal returns by relative day, and what the forecast needs."""

    sigma: float
    dof: int
    residuals: dict[int, float]
    ar: dict[int, float]
    n: int
    mean_x: float
    sxx: float
    x: dict[int, float]

    def car(self, window: tuple[int, int]) -> float:
        return sum(self.ar[d] for d in range(window[0], window[1] + 1))

    def se(self, window: tuple[int, int]) -> float:
        days = range(window[0], window[1] + 1)
        apart = sum(self.x[d] - self.mean_x for d in days)
        length = window[1] - window[0] + 1
        return self.sigma * math.sqrt(length + length**2 / self.n + apart**2 / self.sxx)

    def sar(self, day: int) -> float:
        return self.ar[day] / self.se((day, day))


Series = Sequence[float | None]


def fitted(y: Series, x: Series, at: int, design: Design) -> Fit | None:
    """The market model with day 0 at a position; None where it cannot be measured."""
    for d in range(design.event[0], design.event[1] + 1):
        if not 0 <= at + d < len(y) or y[at + d] is None:
            return None
    rows = []
    for d in range(design.estimation[0], design.estimation[1] + 1):
        if 0 <= at + d < len(y) and y[at + d] is not None and x[at + d] is not None:
            rows.append((d, float(y[at + d]), float(x[at + d])))  # type: ignore[arg-type]
    if len(rows) < design.min_days:
        return None
    n = len(rows)
    mean_y, mean_x = sum(r[1] for r in rows) / n, sum(r[2] for r in rows) / n
    sxx = sum((r[2] - mean_x) ** 2 for r in rows)
    beta = sum((r[2] - mean_x) * (r[1] - mean_y) for r in rows) / sxx
    alpha = mean_y - beta * mean_x
    residuals = {d: b - alpha - beta * a for d, b, a in rows}
    sigma = math.sqrt(sum(e * e for e in residuals.values()) / (n - 2))
    days = range(design.event[0], design.event[1] + 1)
    ahead = {d: float(x[at + d]) for d in days}  # type: ignore[arg-type]
    ar = {d: float(y[at + d]) - alpha - beta * ahead[d] for d in days}  # type: ignore[arg-type]
    return Fit(sigma, n - 2, residuals, ar, n, mean_x, sxx, ahead)


@dataclass(frozen=True)
class Event:
    """A listing's event at a position of the common calendar; cluster: events that move together."""

    symbol: str
    at: int
    cluster: int


def feasible(events: Sequence[Event], prices: dict[str, Series], x: Series, design: Design) -> dict[int, list[int]]:
    """For each cluster the shifts of its earliest event's position at which every member can be measured."""
    found: dict[int, list[int]] = {}
    for cluster in sorted({e.cluster for e in events}):
        members = [e for e in events if e.cluster == cluster]
        base = min(e.at for e in members)
        found[cluster] = []
        for start in range(len(x)):
            good = True
            for e in members:
                place = start + e.at - base
                apart = all(abs(place - other.at) >= design.gap for other in events if other.symbol == e.symbol)
                good = good and apart and place < len(x) and fitted(prices[e.symbol], x, place, design) is not None
            if good:
                found[cluster].append(start - base)
    return found


def draws(sizes: Sequence[int], count: int, seed: int, name: str) -> list[list[int]]:
    """Which pseudo-date each cluster has in each draw."""
    stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))
    shares = stream.random((count, len(sizes)))
    return [[int(share * size) for share, size in zip(row, sizes, strict=True)] for row in shares]


def moved(fit: Fit, centre: dict[int, float], scale: float, window: tuple[int, int], effect: float = 0.0) -> Fit:
    """The abnormal returns less their means, those of the window times a scale, and an effect on day 0."""
    ar = {}
    for d, value in fit.ar.items():
        inside = window[0] <= d <= window[1]
        ar[d] = (value - centre[d]) * (scale if inside else 1.0) + (effect if d == 0 else 0.0)
    return Fit(fit.sigma, fit.dof, fit.residuals, ar, fit.n, fit.mean_x, fit.sxx, fit.x)


def p_values(fits: Sequence[Fit], window: tuple[int, int]) -> dict[str, float]:
    """Two-sided p-values of five tests."""
    return of_cars(fits, window) | {"corrado_zivney": _corrado_zivney(fits, window)}


def of_cars(fits: Sequence[Fit], window: tuple[int, int]) -> dict[str, float]:
    """Two-sided p-values of the four tests that look at CARs alone."""
    n = len(fits)
    cars = [f.car(window) for f in fits]
    scars = [f.car(window) / f.se(window) for f in fits]
    return {
        "cross_sectional_t": _of_mean(cars),
        "bmp": _of_mean(scars),
        "patell": _normal(sum(scars) / math.sqrt(sum(f.dof / (f.dof - 2) for f in fits))),
        "sign": float(stats.binomtest(sum(c > 0 for c in cars), n).pvalue),
    }


def _of_mean(values: Sequence[float]) -> float:
    n = len(values)
    mean = sum(values) / n
    sd = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return float(2 * stats.t.sf(abs(math.sqrt(n) * mean / sd), n - 1))


def _normal(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))


def _corrado_zivney(fits: Sequence[Fit], window: tuple[int, int]) -> float:
    scores: dict[int, list[float]] = {}
    for f in fits:
        own = f.residuals | f.ar
        for day, value in own.items():
            rank = 1 + sum(v < value for v in own.values()) + 0.5 * (sum(v == value for v in own.values()) - 1)
            scores.setdefault(day, []).append(rank / (1 + len(own)) - 0.5)
    daily = {day: sum(u) / math.sqrt(len(u)) for day, u in scores.items()}
    s = math.sqrt(sum(z * z for z in daily.values()) / len(daily))
    days = range(window[0], window[1] + 1)
    return _normal(sum(daily.get(d, 0.0) for d in days) / (math.sqrt(len(days)) * s))


def spread_ratio(fits: Sequence[Fit], window: tuple[int, int]) -> float:
    """The cross-sectional sd of standardised abnormal returns on the days of the window over that of estimation days."""

    def variance(values: Sequence[float]) -> float:
        mean = sum(values) / len(values)
        return sum((v - mean) ** 2 for v in values) / (len(values) - 1)

    inside = []
    for d in range(window[0], window[1] + 1):
        known = [f.sar(d) for f in fits if d in f.ar]
        if len(known) > 1:
            inside.append(variance(known))
    outside = []
    for d in sorted({d for f in fits for d in f.residuals}):
        known = [f.residuals[d] / f.sigma for f in fits if d in f.residuals]
        if len(known) > 1:
            outside.append(variance(known))
    return max(math.sqrt(sum(inside) / len(inside)) / math.sqrt(sum(outside) / len(outside)), 1.0)


def wilson(rejected: int, draws_: int, independent: int) -> tuple[float, float]:
    """Wilson's 99 % interval of a share whose draws count for no more than so many."""
    share, n, z = rejected / draws_, min(draws_, independent), float(stats.norm.isf(0.005))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


# Returns from one trade to the next


@dataclass(frozen=True)
class Thin:
    """A fit of returns that run over n sessions each: as `Fit`, with ``ar`` over sqrt(n), and whole abnormal returns beside it.

    spans, market: n and the benchmark's return over the same sessions. inverse: (X'X)^-1 of the weighted regression.
    """

    sigma: float
    dof: int
    residuals: dict[int, float]
    whole: dict[int, float]
    spans: dict[int, int]
    market: dict[int, float]
    inverse: np.ndarray

    @property
    def ar(self) -> dict[int, float]:
        return {d: value / math.sqrt(self.spans[d]) for d, value in self.whole.items()}

    def car(self, window: tuple[int, int]) -> float:
        return sum(value for d, value in self.whole.items() if window[0] <= d <= window[1])

    def se(self, window: tuple[int, int]) -> float:
        days = [d for d in self.whole if window[0] <= d <= window[1]]
        x = np.array([sum(self.spans[d] for d in days), sum(self.market[d] for d in days)])
        return self.sigma * math.sqrt(window[1] - window[0] + 1 + float(x @ self.inverse @ x))

    def sar(self, day: int) -> float:
        x = np.array([self.spans[day], self.market[day]])
        return self.whole[day] / (self.sigma * math.sqrt(self.spans[day] + float(x @ self.inverse @ x)))


def between_trades(y: Series, x: Series) -> dict[int, tuple[float, int, float]]:
    """At each session with a price and one before it: the log return, its sessions, and the benchmark's over them."""
    found, before = {}, None
    for at, price in enumerate(y):
        if price is None:
            continue
        if before is not None:
            found[at] = (math.log(price / y[before]), at - before, math.log(x[at] / x[before]))  # type: ignore[operator]
        before = at
    return found


def fitted_thin(y: Series, x: Series, at: int, design: Design, windows: Sequence[tuple[int, int]]) -> Thin | None:
    """Weighted least squares of r/sqrt(n) on sqrt(n) and m/sqrt(n); None where a window is not covered to its ends."""
    for first, last in windows:
        ends = (at + first - 1, at + last)
        if ends[0] < 0 or at + design.event[0] < 0 or at + design.event[1] >= len(y) or any(y[e] is None for e in ends):
            return None
    trades = between_trades(y, x)
    rows = {d: trades[at + d] for d in range(design.estimation[0], design.estimation[1] + 1) if at + d in trades}
    if len(rows) < design.min_days:
        return None
    left = np.array([[math.sqrt(n), m / math.sqrt(n)] for _, n, m in rows.values()])
    right = np.array([r / math.sqrt(n) for r, n, _ in rows.values()])
    (alpha, beta), *_ = np.linalg.lstsq(left, right, rcond=None)
    errors = right - left @ np.array([alpha, beta])
    ahead = {d: trades[at + d] for d in range(design.event[0], design.event[1] + 1) if at + d in trades}
    return Thin(
        sigma=math.sqrt(float(errors @ errors) / (len(rows) - 2)),
        dof=len(rows) - 2,
        residuals=dict(zip(rows, errors.tolist(), strict=True)),
        whole={d: r - alpha * n - beta * m for d, (r, n, m) in ahead.items()},
        spans={d: n for d, (_, n, _) in ahead.items()},
        market={d: m for d, (_, _, m) in ahead.items()},
        inverse=np.linalg.inv(left.T @ left),
    )


def moved_thin(fit: Thin, centre: dict[int, float], scale: float, window: tuple[int, int], effect: float = 0.0) -> Thin:
    """As `moved`; the effect comes with the return that covers day 0."""
    covering = min(d for d in fit.whole if d >= 0)
    whole = {}
    for d, value in fit.whole.items():
        inside = window[0] <= d <= window[1]
        whole[d] = (value - centre[d]) * (scale if inside else 1.0) + (effect if d == covering else 0.0)
    return Thin(fit.sigma, fit.dof, fit.residuals, whole, fit.spans, fit.market, fit.inverse)


# Events in overlapping windows


@dataclass(frozen=True)
class Shared:
    """CAR, standard error and degrees of freedom of one event of a regression with a dummy for each."""

    total: float
    error: float
    dof: int

    def car(self, window: tuple[int, int]) -> float:
        return self.total

    def se(self, window: tuple[int, int]) -> float:
        return self.error


def expected(y: Series, x: Series, at: int, design: Design, days: Sequence[int]) -> dict[int, float]:
    """The market model of the estimation rows before ``at``, on some days."""
    rows = [t for t in range(at + design.estimation[0], at + design.estimation[1] + 1) if t >= 0 and y[t] is not None]
    left = np.array([[1.0, x[t]] for t in rows], float)
    (alpha, beta), *_ = np.linalg.lstsq(left, np.array([y[t] for t in rows], float), rcond=None)
    return {t: alpha + beta * float(x[t]) for t in days}  # type: ignore[arg-type]


def joined(
    y: Series, x: Series, places: Sequence[int], design: Design, window: tuple[int, int], instead: dict[int, float]
) -> list[Shared]:
    """One least-squares fit over the estimation rows of the first event and all windows' days, with the returns of some days
    replaced."""
    days = [range(at + window[0], at + window[1] + 1) for at in places]
    first = range(places[0] + design.estimation[0], places[0] + design.estimation[1] + 1)
    rows = sorted({t for t in first if t >= 0 and y[t] is not None} | {t for own in days for t in own})
    right = np.array([instead.get(t, y[t]) for t in rows], float)
    left = np.array([[1.0, x[t], *(float(t in own) for own in days)] for t in rows], float)
    solved, *_ = np.linalg.lstsq(left, right, rcond=None)
    errors, dof = right - left @ solved, len(rows) - 2 - len(places)
    variances = float(errors @ errors) / dof * np.diag(np.linalg.inv(left.T @ left))
    length = window[1] - window[0] + 1
    return [Shared(length * solved[2 + e], length * math.sqrt(variances[2 + e]), dof) for e in range(len(places))]
