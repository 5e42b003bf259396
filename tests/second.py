"""An event study written a second time, from the papers, in plain loops; it knows nothing of the package under test.

Prices come in as symbol -> {date: price or None}, events as rows with symbol, day and the estimation window of each.
statsmodels fits the market model; scipy has the distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise, product

import numpy as np
from scipy import stats

Prices = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Event:
    event_id: str
    symbol: str
    day: str
    estimation: tuple[int, int]
    kind: str


@dataclass(frozen=True)
class Design:
    benchmark: str
    model: str
    log: bool
    window: tuple[int, int]
    min_days: int
    factors: tuple[str, ...] = ()


@dataclass
class Fitted:
    """One event: its fit, and everything by relative day."""

    event: Event
    position: int
    params: list[float]
    sigma: float
    dof: int
    r2: float
    design: np.ndarray | None
    residuals: dict[int, float]
    dates: dict[int, str]
    actual: dict[int, float] = field(default_factory=dict)
    expected: dict[int, float] = field(default_factory=dict)
    rows: dict[int, list[float]] = field(default_factory=dict)

    def ar(self, day: int) -> float:
        return self.actual[day] - self.expected[day]

    def variance(self, days: Sequence[int]) -> float:
        """sigma^2 1'(I + X0 (X'X)^-1 X0')1, the matrices written out."""
        v = np.eye(len(days))
        if self.design is not None:
            ahead = np.array([self.rows[d] for d in days])
            v = v + ahead @ np.linalg.inv(self.design.T @ self.design) @ ahead.T
        return float(self.sigma**2 * v.sum())

    def complete(self, days: Sequence[int]) -> bool:
        return all(d in self.actual for d in days)

    def car(self, days: Sequence[int]) -> float:
        return math.fsum(self.ar(d) for d in days)

    def scar(self, days: Sequence[int]) -> float:
        return self.car(days) / math.sqrt(self.variance(days))

    def sar(self, day: int) -> float:
        return self.scar([day])

    def bhar(self, days: Sequence[int], log: bool) -> float:
        grown, normal = 1.0, 1.0
        for d in days:
            grown *= math.exp(self.actual[d]) if log else 1 + self.actual[d]
            normal *= math.exp(self.expected[d]) if log else 1 + self.expected[d]
        return grown - normal


def sessions_of(prices: Prices, benchmark: str) -> list[str]:
    return sorted(d for d, p in prices[benchmark].items() if p is not None)


def returns_on(prices: Mapping[str, float | None], sessions: Sequence[str], log: bool) -> list[float | None]:
    """Return of each session from the session before; None where either price is missing."""
    made: list[float | None] = [None]
    for before, now in pairwise(sessions):
        p0, p1 = prices.get(before), prices.get(now)
        if p0 is None or p1 is None:
            made.append(None)
        else:
            made.append(math.log(p1 / p0) if log else p1 / p0 - 1)
    return made


Point = tuple[float, tuple[float, ...]]


def pairs_of(prices: Prices, symbol: str, design: Design) -> tuple[list[str], list[Point | None]]:
    """Sessions, and (return, returns of benchmark and factors) on each; None where the rule gives no return."""
    sessions = sessions_of(prices, design.benchmark)
    own = returns_on(prices[symbol], sessions, design.log)
    names = () if design.model == "mean_adjusted" else (design.benchmark, *design.factors)
    others = [returns_on(prices[name], sessions, design.log) for name in names]
    found: list[Point | None] = []
    for i, r in enumerate(own):
        x = tuple(other[i] for other in others)
        found.append(None if r is None or None in x else (r, x))
    return sessions, found


def at(pairs: Sequence[Point | None], place: int) -> Point | None:
    return pairs[place] if 0 <= place < len(pairs) else None


def fit_event(event: Event, position: int, prices: Prices, design: Design) -> Fitted | str:
    """Fit one event whose day 0 is at ``position``; the reason where it cannot be."""
    sessions, pairs = pairs_of(prices, event.symbol, design)
    days = range(design.window[0], design.window[1] + 1)
    inside = {d: pair for d in days if (pair := at(pairs, position + d)) is not None}
    first, last = event.estimation
    known = {d: pair for d in range(first, last + 1) if (pair := at(pairs, position + d)) is not None}
    if not inside:
        return "prices"
    if len(known) < design.min_days:
        return "estimation"
    fitted = FITS[design.model](event, position, known)
    fitted.dates.update({d: sessions[position + d] for d in known})
    for d, (r, x) in inside.items():
        fitted.actual[d] = r
        fitted.rows[d] = [] if design.model == "market_adjusted" else [1.0, *x]
        weights = fitted.params or [1.0]
        fitted.expected[d] = sum(b * v for b, v in zip(weights, fitted.rows[d] or x, strict=True))
    return fitted


def _regression(event: Event, position: int, known: Mapping[int, Point]) -> Fitted:
    import statsmodels.api as sm

    y = np.array([r for r, _ in known.values()])
    x = np.array([[1.0, *x] for _, x in known.values()])
    ols = sm.OLS(y, x).fit()
    residuals = dict(zip(known, ols.resid.tolist(), strict=True))
    return Fitted(
        event, position, ols.params.tolist(), math.sqrt(ols.scale), int(ols.df_resid), ols.rsquared, x, residuals, {}
    )


def _market_adjusted(event: Event, position: int, known: Mapping[int, Point]) -> Fitted:
    residuals = {d: r - x[0] for d, (r, x) in known.items()}
    sigma = float(np.std(list(residuals.values()), ddof=1))
    return Fitted(event, position, [], sigma, len(known) - 1, math.nan, None, residuals, {})


def _mean_adjusted(event: Event, position: int, known: Mapping[int, Point]) -> Fitted:
    mean = math.fsum(r for r, _ in known.values()) / len(known)
    residuals = {d: r - mean for d, (r, _) in known.items()}
    sigma = math.sqrt(math.fsum(e * e for e in residuals.values()) / (len(known) - 1))
    ones = np.ones((len(known), 1))
    return Fitted(event, position, [mean], sigma, len(known) - 1, 0.0, ones, residuals, {})


FITS = {
    "market": _regression, "factor": _regression, "market_adjusted": _market_adjusted, "mean_adjusted": _mean_adjusted,
}  # fmt: skip


def fit_all(events: Sequence[Event], prices: Prices, design: Design) -> tuple[list[Fitted], dict[tuple[str, str], str]]:
    """Every event that can be fitted, and the stage at which the others are lost."""
    fitted, lost = [], {}
    sessions = sessions_of(prices, design.benchmark)
    for event in events:
        position = next(i for i, d in enumerate(sessions) if d >= event.day)
        one = fit_event(event, position, prices, design)
        if isinstance(one, str):
            lost[event.event_id, event.symbol] = one
        else:
            fitted.append(one)
    return fitted, lost


# Group tests: (events complete in the window, its days, days of the event window) -> (statistic, its distribution).


def _mean_sd(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def cross_sectional_t(sample, days, window):
    mean, sd = _mean_sd([f.car(days) for f in sample])
    return mean / (sd / math.sqrt(len(sample))), stats.t(len(sample) - 1)


def crude_dependence_t(sample, days, window):
    by_day: dict[int, list[float]] = {}
    for f in sample:
        for d, e in f.residuals.items():
            by_day.setdefault(d, []).append(e)
    _, sd = _mean_sd([math.fsum(v) / len(v) for v in by_day.values()])
    mean = math.fsum(f.car(days) for f in sample) / len(sample)
    return mean / (sd * math.sqrt(len(days))), stats.t(len(by_day) - 1)


def patell(sample, days, window):
    variance = math.fsum(f.dof / (f.dof - 2) for f in sample)
    return math.fsum(f.scar(days) for f in sample) / math.sqrt(variance), stats.norm


def bmp(sample, days, window):
    mean, sd = _mean_sd([f.scar(days) for f in sample])
    return math.sqrt(len(sample)) * mean / sd, stats.t(len(sample) - 1)


def mean_correlation(sample):
    by_date = [{f.dates[d]: e for d, e in f.residuals.items()} for f in sample]
    found = []
    for i, one in enumerate(by_date):
        for other in by_date[i + 1 :]:
            common = sorted(set(one) & set(other))
            if len(common) < 3:
                found.append(0.0)
            else:
                found.append(float(stats.pearsonr([one[d] for d in common], [other[d] for d in common])[0]))
    return math.fsum(found) / len(found)


def kolari_pynnonen(sample, days, window):
    n, r = len(sample), max(mean_correlation(sample), 0.0)
    t, distribution = bmp(sample, days, window)
    return t * math.sqrt((1 - r) / (1 + (n - 1) * r)), distribution


def skewness_adjusted_t(sample, days, window):
    cars, n = [f.car(days) for f in sample], len(sample)
    mean, sd = _mean_sd(cars)
    g = n / ((n - 1) * (n - 2)) * math.fsum(((c - mean) / sd) ** 3 for c in cars)
    s = mean / sd
    return math.sqrt(n) * (s + g * s**2 / 3 + g**2 * s**3 / 27 + g / (6 * n)), stats.norm


def mid_rank(value: float, among: Sequence[float]) -> float:
    return sum(v < value for v in among) + (sum(v == value for v in among) + 1) / 2


def _series(f: Fitted, window: Sequence[int]) -> dict[int, float]:
    return f.residuals | {d: f.ar(d) for d in window if d in f.actual}


@cache
def _mid_ranks(values: tuple[float, ...]) -> list[float]:
    return [mid_rank(v, values) for v in values]


def _by_day(sample, points: Callable[[Fitted], dict]) -> dict[int, list[tuple[float, float]]]:
    """day -> for each event the deviation of its mid-rank from the middle, and its rank / (1 + points) - 1/2."""
    made: dict[int, list[tuple[float, float]]] = {}
    for f in sample:
        own = points(f)
        count = len(own)
        for d, rank in zip(own, _mid_ranks(tuple(own.values())), strict=True):
            made.setdefault(d, []).append((rank - (count + 1) / 2, rank / (count + 1) - 0.5))
    return made


def corrado(sample, days, window):
    k = {d: math.fsum(x for x, _ in v) / len(v) for d, v in _by_day(sample, lambda f: _series(f, window)).items()}
    s = math.sqrt(math.fsum(x * x for x in k.values()) / len(k))
    return math.sqrt(len(days)) * (math.fsum(k[d] for d in days) / len(days)) / s, stats.norm


def corrado_zivney(sample, days, window):
    by_day = _by_day(sample, lambda f: _series(f, window))
    z = {d: math.fsum(u for _, u in v) / math.sqrt(len(v)) for d, v in by_day.items()}
    s = math.sqrt(math.fsum(x * x for x in z.values()) / len(z))
    return math.fsum(z[d] for d in days) / (math.sqrt(len(days)) * s), stats.norm


def grank_t(sample, days, window):
    _, sd = _mean_sd([f.scar(days) for f in sample])
    points = _by_day(
        sample, lambda f: {d: e / f.sigma for d, e in f.residuals.items()} | {"event": f.scar(days) / sd}
    )  # fmt: skip
    t, n = len(points), len(sample)
    u = {d: math.fsum(x for _, x in v) / len(v) for d, v in points.items()}
    s = math.sqrt(math.fsum(len(points[d]) / n * x * x for d, x in u.items()) / t)
    z = u["event"] / s
    return z * math.sqrt((t - 2) / (t - 1 - z * z)), stats.t(t - 2)


def sign(sample, days, window):
    n, positive = len(sample), sum(f.car(days) > 0 for f in sample)
    return (positive - n / 2) / math.sqrt(n / 4), stats.binom(n, 0.5)


def generalized_sign(sample, days, window):
    n, positive = len(sample), sum(f.car(days) > 0 for f in sample)
    p = math.fsum(sum(e > 0 for e in f.residuals.values()) / len(f.residuals) for f in sample) / n
    return (positive - n * p) / math.sqrt(n * p * (1 - p)), stats.norm


GROUP_TESTS = {
    f.__name__: f
    for f in (
        cross_sectional_t, crude_dependence_t, patell, bmp, kolari_pynnonen, skewness_adjusted_t, corrado,
        corrado_zivney, grank_t, sign, generalized_sign,
    )
}  # fmt: skip


def p_value(statistic: float, distribution, alternative: str) -> float:
    if alternative == "greater":
        return float(distribution.sf(statistic))
    if alternative == "less":
        return float(distribution.cdf(statistic))
    return float(2 * min(distribution.sf(statistic), distribution.cdf(statistic)))


def sign_p(sample, days, alternative: str) -> float:
    """Exact binomial: two-sided by adding up all outcomes that are no likelier than the one seen."""
    n, positive = len(sample), sum(f.car(days) > 0 for f in sample)
    chance = [math.comb(n, w) / 2**n for w in range(n + 1)]
    if alternative == "greater":
        return math.fsum(chance[positive:])
    if alternative == "less":
        return math.fsum(chance[: positive + 1])
    return min(1.0, math.fsum(c for c in chance if c <= chance[positive] * (1 + 1e-9)))


def forecast_error_t(f: Fitted, days, alternative: str) -> tuple[float, float]:
    t = f.scar(days)
    return t, p_value(t, stats.t(f.dof), alternative)


def sq(f: Fitted, days, alternative: str) -> tuple[float, float]:
    """Rank of the one day among the estimation days, and its exact p."""
    value, others = f.car(days), list(f.residuals.values())
    lower = (1 + sum(e <= value for e in others)) / (1 + len(others))
    upper = (1 + sum(e >= value for e in others)) / (1 + len(others))
    p = {"less": lower, "greater": upper, "two-sided": min(1.0, 2 * min(lower, upper))}[alternative]
    return 1 + sum(e < value for e in others), p


EVENT_TESTS = {"forecast_error_t": forecast_error_t, "sq": sq}


def pseudo_events(events: Sequence[Event], prices: Prices, design: Design) -> dict[int, list[Fitted]]:
    """For events on one date: the position of every other date that is free for all, with the fits made anew there."""
    sessions = sessions_of(prices, design.benchmark)
    real = next(i for i, d in enumerate(sessions) if d >= events[0].day)
    window = range(design.window[0], design.window[1] + 1)
    found = {}
    for place in range(len(sessions)):
        if abs(place - real) < len(window):
            continue
        fits = [fit_event(event, place, prices, design) for event in events]
        if all(isinstance(f, Fitted) and f.complete(window) for f in fits):
            found[place] = fits
    return found


def pseudo_places(events: Sequence[Event], prices: Prices, design: Design) -> list[int]:
    return list(pseudo_events(events, prices, design))


def pseudo_cars(events: Sequence[Event], prices: Prices, design: Design, days: Sequence[int]) -> list[list[float]]:
    return [[f.car(days) for f in fits] for fits in pseudo_events(events, prices, design).values()]


def permutation_p(value: float, draws: Sequence[float], alternative: str) -> float:
    b = {
        "two-sided": sum(abs(d) >= abs(value) for d in draws),
        "greater": sum(d >= value for d in draws),
        "less": sum(d <= value for d in draws),
    }[alternative]
    return (1 + b) / (1 + len(draws))


def romano_wolf(values: Sequence[float], draws: Sequence[Sequence[float]], alternative: str) -> list[float]:
    """Step-down p-values: draws[b][j] of statistic j in joint draw b; at each step the maximum over those still in."""

    spread = [_mean_sd([d[j] for d in draws])[1] for j in range(len(values))]

    def size(j: int, value: float) -> float:
        t = value / spread[j]
        return {"two-sided": abs(t), "greater": t, "less": -t}[alternative]

    own = [size(j, v) for j, v in enumerate(values)]
    drawn = [[size(j, v) for j, v in enumerate(d)] for d in draws]
    left, found, last = set(range(len(values))), [0.0] * len(values), 0.0
    while left:
        most = max(left, key=lambda j: own[j])
        reached = sum(max(d[j] for j in left) >= own[most] for d in drawn)
        last = max(last, (1 + reached) / (1 + len(drawn)))
        found[most] = last
        left.remove(most)
    return found


def date_clusters(sample: Sequence[Fitted]) -> list[list[Fitted]]:
    """Events that share an event id or a day, straight or through others, are together."""
    found: list[list[Fitted]] = []
    for f in sample:
        linked = [c for c in found if any(g.position == f.position or g.event.event_id == f.event.event_id for g in c)]
        found = [c for c in found if c not in linked] + [[f, *(g for c in linked for g in c)]]
    return found


def cluster_t(clusters: Sequence[Sequence[float]]) -> tuple[float, float]:
    """t of the mean and its cluster-robust standard error; an endless t where the clusters do not vary."""
    count, n = len(clusters), sum(len(c) for c in clusters)
    mean = math.fsum(v for c in clusters for v in c) / n
    scores = [math.fsum(v - mean for v in c) for c in clusters]
    se = math.sqrt(count / (count - 1) * math.fsum(s * s for s in scores)) / n
    if se < 1e-14:
        return math.copysign(math.inf, mean) if abs(mean) > 1e-14 else 0.0, se
    return mean / se, se


def _share(t: float, drawn: Sequence[float], alternative: str) -> float:
    if alternative == "two-sided":
        return sum(abs(d) > abs(t) - 1e-9 for d in drawn) / len(drawn)
    return sum(d > t - 1e-9 if alternative == "greater" else d < t + 1e-9 for d in drawn) / len(drawn)


def wild_p(clusters: Sequence[Sequence[float]], alternative: str) -> float:
    """The share of all sign changes of whole clusters with a t as extreme, the unchanged sample among them."""
    changed = product((1, -1), repeat=len(clusters))
    drawn = [cluster_t([[s * v for v in c] for s, c in zip(signs, clusters, strict=True)])[0] for signs in changed]
    return _share(cluster_t(clusters)[0], drawn, alternative)


def block_ts(clusters: Sequence[Sequence[float]], chosen: Iterable[Sequence[int]]) -> list[float]:
    """t of the chosen clusters, whose values have the mean of all taken away."""
    n = sum(len(c) for c in clusters)
    mean = math.fsum(v for c in clusters for v in c) / n
    centred = [[v - mean for v in c] for c in clusters]
    return [cluster_t([centred[g] for g in one])[0] for one in chosen]


def block_p(clusters: Sequence[Sequence[float]], chosen: Iterable[Sequence[int]], alternative: str) -> float:
    return _share(cluster_t(clusters)[0], block_ts(clusters, chosen), alternative)
