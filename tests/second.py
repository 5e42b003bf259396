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
    log: bool = False

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
    fitted.log = design.log
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


def adjusted_patell(sample, days, window):
    z, distribution = patell(sample, days, window)
    return z / math.sqrt(1 + (len(sample) - 1) * max(mean_correlation(sample), 0.0)), distribution


def kolari_pape_pynnonen(sample, days, window):
    """Each pair's correlation times the share of sessions that both windows have; positions are on one calendar."""
    n = len(sample)
    total = 0.0
    for i, one in enumerate(sample):
        for other in sample[i + 1 :]:
            shared = {one.position + d for d in days} & {other.position + d for d in days}
            total += mean_correlation([one, other]) * len(shared) / len(days)
    r = max(total / (n * (n - 1) / 2), 0.0)
    t, distribution = bmp(sample, days, window)
    return t * math.sqrt((1 - r) / (1 + (n - 1) * r)), distribution


def skewness_adjusted_t(sample, days, window):
    cars, n = [f.car(days) for f in sample], len(sample)
    mean, sd = _mean_sd(cars)
    g = n / ((n - 1) * (n - 2)) * math.fsum(((c - mean) / sd) ** 3 for c in cars)
    s = mean / sd
    return math.sqrt(n) * (s + g * s**2 / 3 + g**2 * s**3 / 27 + g / (6 * n)), stats.norm


def bhar_t(sample, days, window):
    return stats.ttest_1samp([f.bhar(days, f.log) for f in sample], 0.0).statistic, stats.t(len(sample) - 1)


def skewness_adjusted(values: Sequence[float], centre: float) -> float:
    """Hall's t of the mean less ``centre``; endless where the values are one and the same."""
    n = len(values)
    mean, sd = _mean_sd(values)
    if sd < 1e-13:
        return math.copysign(math.inf, mean - centre) if abs(mean - centre) > 1e-13 else 0.0
    s, g = (mean - centre) / sd, float(stats.skew(values, bias=False))
    return math.sqrt(n) * (s + g * s**2 / 3 + g**2 * s**3 / 27 + g / (6 * n))


def bhar_skewness_t(sample, days, window):
    return skewness_adjusted([f.bhar(days, f.log) for f in sample], 0.0), stats.norm


def resampled_p(values: Sequence[float], chosen: Iterable[Sequence[int]], alternative: str) -> float:
    """The share of resamples at or beyond the sample's statistic, and the sample itself."""
    t, mean = skewness_adjusted(values, 0.0), math.fsum(values) / len(values)
    drawn = [skewness_adjusted([values[i] for i in one], mean) for one in chosen]
    below = (1 + sum(d <= t + 1e-9 for d in drawn)) / (1 + len(drawn))
    above = (1 + sum(d >= t - 1e-9 for d in drawn)) / (1 + len(drawn))
    return {"less": below, "greater": above, "two-sided": min(1.0, 2 * min(below, above))}[alternative]


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


def corrado_zivney_adjusted(sample, days, window):
    spread = {d: _mean_sd([f.ar(d) / f.sigma for f in sample])[1] for d in days}
    by_day = _by_day(
        sample, lambda f: {d: ar / f.sigma / spread.get(d, 1.0) for d, ar in _series(f, window).items()}
    )  # fmt: skip
    z = {d: math.fsum(u for _, u in v) / math.sqrt(len(v)) for d, v in by_day.items()}
    s = math.sqrt(math.fsum(x * x for x in z.values()) / len(z))
    return math.fsum(z[d] for d in days) / (math.sqrt(len(days)) * s), stats.norm


def grank_z(sample, days, window):
    """The mean of N independent ranks, each uniform on T points: variance (T - 1) / (12 (T + 1)) of rank/(T + 1)."""
    _, sd = _mean_sd([f.scar(days) for f in sample])
    u = []
    for f in sample:
        own, among = f.scar(days) / sd, [e / f.sigma for e in f.residuals.values()]
        u.append(mid_rank(own, [*among, own]) / (len(among) + 2) - 0.5)
    t = len({d for f in sample for d in f.residuals}) + 1
    return math.fsum(u) / len(u) / math.sqrt((t - 1) / (12 * (t + 1)) / len(u)), stats.norm


def wilcoxon(sample, days, window):
    """W+ less its mean over its sd: under the null each rank counts or not, with even chances."""
    cars = [f.car(days) for f in sample]
    ranks = [mid_rank(abs(c), [abs(x) for x in cars]) for c in cars]
    w = math.fsum(r for r, c in zip(ranks, cars, strict=True) if c > 0)
    return (w - math.fsum(ranks) / 2) / math.sqrt(math.fsum(r * r for r in ranks) / 4), stats.norm


def jackknife(sample, days, window):
    return _jackknife([f.scar(days) for f in sample], lambda mean, sd: mean / sd)


def _jackknife(values, of):
    n, q = len(values), of(*_mean_sd(values))
    pseudo = [n * q - (n - 1) * of(*_mean_sd(values[:i] + values[i + 1 :])) for i in range(n)]
    mean, sd = _mean_sd(pseudo)
    return mean / (sd / math.sqrt(n)), stats.t(n - 1)


def variance_rank(sample, days, window):
    by_day = _by_day(sample, lambda f: {d: abs(ar) for d, ar in _series(f, window).items()})
    z = {d: math.fsum(u for _, u in v) / math.sqrt(len(v)) for d, v in by_day.items()}
    s = math.sqrt(math.fsum(x * x for x in z.values()) / len(z))
    return math.fsum(z[d] for d in days) / (math.sqrt(len(days)) * s), stats.norm


def variance_bmp(sample, days, window):
    return _jackknife([f.scar(days) / stats.t(f.dof).std() for f in sample], lambda _, sd: math.log(sd**2))


def sign(sample, days, window):
    n, positive = len(sample), sum(f.car(days) > 0 for f in sample)
    return (positive - n / 2) / math.sqrt(n / 4), stats.binom(n, 0.5)


def generalized_sign(sample, days, window):
    n, positive = len(sample), sum(f.car(days) > 0 for f in sample)
    p = math.fsum(sum(e > 0 for e in f.residuals.values()) / len(f.residuals) for f in sample) / n
    return (positive - n * p) / math.sqrt(n * p * (1 - p)), stats.norm


def _on_a_constant(sample, days, **how):
    """The regression of the CARs on a constant in statsmodels, with the covariance that is asked for."""
    import statsmodels.api as sm

    return sm.OLS([f.car(days) for f in sample], [[1.0]] * len(sample)).fit(use_t=True, **how)


def _codes(values):
    return np.unique(values, return_inverse=True)[1]


def clustered_t_date(sample, days, window):
    dates = _codes([f.position for f in sample])
    fit = _on_a_constant(sample, days, cov_type="cluster", cov_kwds={"groups": dates})
    return float(fit.tvalues[0]), stats.t(dates.max())


def clustered_t_firm(sample, days, window):
    firms = _codes([f.event.symbol for f in sample])
    fit = _on_a_constant(sample, days, cov_type="cluster", cov_kwds={"groups": firms})
    return float(fit.tvalues[0]), stats.t(firms.max())


def clustered_t_both(sample, days, window):
    dates, firms = _codes([f.position for f in sample]), _codes([f.event.symbol for f in sample])
    fit = _on_a_constant(sample, days, cov_type="cluster", cov_kwds={"groups": np.column_stack([dates, firms])})
    return float(fit.tvalues[0]), stats.t(min(dates.max(), firms.max()))


def hac_t(sample, days, window):
    """Newey-West on the sums by session, the sessions without events being zero; the factor is that of the clusters."""
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    cars = np.array([f.car(days) for f in sample])
    places = np.array([f.position for f in sample])
    sums = np.zeros(places.max() - places.min() + 1)
    for place, car in zip(places, cars, strict=True):
        sums[place - places.min()] += car - cars.mean()
    dates = len(set(places.tolist()))
    variance = dates / (dates - 1) * S_hac_simple(sums, nlags=len(days) - 1).item() / len(cars) ** 2
    return cars.mean() / math.sqrt(variance), stats.t(dates - 1)


GROUP_TESTS = {
    f.__name__: f
    for f in (
        cross_sectional_t, crude_dependence_t, patell, bmp, kolari_pynnonen, skewness_adjusted_t, corrado,
        corrado_zivney, grank_t, sign, generalized_sign,
        adjusted_patell, kolari_pape_pynnonen, corrado_zivney_adjusted, grank_z, wilcoxon, jackknife,
        bhar_t, bhar_skewness_t, variance_rank, variance_bmp, clustered_t_date, clustered_t_firm, clustered_t_both, hac_t,
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


def wilcoxon_p(sample, days, alternative: str) -> float:
    """Exact: the ways to choose ranks out of 1..n that sum to at least, or at most, W+; normal where sizes tie."""
    n, in_order = len(sample), sorted((f.car(days) for f in sample), key=abs)
    if any(abs(a) == abs(b) for a, b in pairwise(in_order)):
        return p_value(*wilcoxon(sample, days, days), alternative)
    w = sum(rank for rank, c in enumerate(in_order, 1) if c > 0)
    ways = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    upper, lower = sum(ways[w:]) / 2**n, sum(ways[: w + 1]) / 2**n
    return {"greater": upper, "less": lower, "two-sided": min(1.0, 2 * min(upper, lower))}[alternative]


EXACT_P = {"sign": sign_p, "wilcoxon": wilcoxon_p}


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


def conformal(f: Fitted, days, alternative: str) -> tuple[float, float]:
    """The regression made anew with the days of the window in, and the sums of its residuals over all blocks of days."""
    y, x = explained(f, days)
    left = y if x is None else y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    count = len(left)
    sums = [math.fsum(left[(start + j) % count] for j in range(len(days))) for start in range(count)]
    own = sums[count - len(days)]
    extreme = {
        "two-sided": [abs(s) >= abs(own) for s in sums],
        "greater": [s >= own for s in sums],
        "less": [s <= own for s in sums],
    }[alternative]
    return 1 + sum(s < own for s in sums), sum(extreme) / count


def explained(f: Fitted, days) -> tuple[np.ndarray, np.ndarray | None]:
    """What the model explains on the estimation days and ``days``, and its regressors."""
    if f.design is None:
        return np.array([*f.residuals.values(), *(f.ar(d) for d in days)]), None
    before = np.array(list(f.residuals.values())) + f.design @ np.array(f.params)
    width = f.design.shape[1]
    return np.append(before, [f.actual[d] for d in days]), np.vstack([f.design, [f.rows[d][:width] for d in days]])


def _with_dummies(x: np.ndarray | None, days) -> np.ndarray:
    count, length = (0 if x is None else len(x)), len(days)
    dummies = np.zeros((count, length))
    dummies[count - length :] = np.eye(length)
    return np.column_stack([x, dummies])


def portfolio_t(sample, days, window):
    """Mean returns on mean regressors, a dummy for every day of the window; t of the sum of the dummies' coefficients."""
    import statsmodels.api as sm

    parts = [explained(f, days) for f in sample]
    y = sum(part[0] for part in parts) / len(parts)
    if parts[0][1] is None:  # no regression: the spread about the mean, the mean itself being no part of the model
        _, sd = _mean_sd(y[: -len(days)].tolist())
        return math.fsum(y[-len(days) :]) / (sd * math.sqrt(len(days))), stats.t(len(y) - len(days) - 1)
    fit = sm.OLS(y, _with_dummies(sum(part[1] for part in parts) / len(parts), days)).fit()
    test = fit.t_test(np.append(np.zeros(parts[0][1].shape[1]), np.ones(len(days))))
    return float(test.tvalue.item()), stats.t(int(fit.df_resid))


def sur_f(sample, days, window):
    """All firms' returns on the common regressors and the dummies at once; Wilks' F of the sum of the coefficients."""
    from statsmodels.multivariate.multivariate_ols import _MultivariateOLS

    parts = [explained(f, days) for f in sample]
    y, n, length = np.column_stack([part[0] for part in parts]), len(parts), len(days)
    if parts[0][1] is None:  # Hotelling's T^2 with the covariance about the means
        nu = len(y) - length - 1
        total = y[-length:].sum(axis=0)
        t2 = float(total @ np.linalg.inv(np.cov(y[:-length].T)) @ total) / length
        return t2 * (nu - n + 1) / (nu * n), stats.f(n, nu - n + 1)
    x = _with_dummies(parts[0][1], days)
    contrast = np.append(np.zeros(x.shape[1] - length), np.ones(length))[None, :]
    table = _MultivariateOLS(y, x).fit().mv_test([("car", contrast)]).results["car"]["stat"].loc["Wilks' lambda"]
    return float(table["F Value"]), stats.f(int(table["Num DF"]), round(table["Den DF"]))


EVENT_TESTS = {"forecast_error_t": forecast_error_t, "sq": sq, "conformal": conformal}


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


# --- deals ----------------------------------------------------------------------------------------------------------


def forecast_error(
    own: np.ndarray, market: np.ndarray, day0: int, span: tuple[int, int], estimation: tuple[int, int], model: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """What each day's disturbance weighs in the forecast error of a CAR, the residuals, the CAR and the residual sd.

    A weight is 1 in the window, less the row that least squares gives the estimation days.
    """
    window = np.arange(day0 + span[0], day0 + span[1] + 1)
    rows = np.arange(day0 + estimation[0], day0 + estimation[1] + 1)
    own = np.asarray(own, dtype=float)
    y = own - market if model == "market_adjusted" else own
    columns = {"market": [np.ones(len(y)), market], "mean_adjusted": [np.ones(len(y))], "market_adjusted": []}[model]
    design = np.array(columns).reshape(len(columns), len(y)).T
    used = rows[np.isfinite(own[rows])]
    hat = np.linalg.pinv(design[used])  # (k, M)
    fitted = hat @ y[used]
    g, e = np.zeros(len(y)), np.full(len(y), np.nan)
    g[window] = 1.0
    g[used] -= design[window].sum(axis=0) @ hat
    e[used] = y[used] - design[used] @ fitted
    centred = e[used] - e[used].mean() if model == "market_adjusted" else e[used]
    sd = float(np.sqrt((centred @ centred) / (len(used) - max(len(columns), 1))))
    return g, e, float((y[window] - design[window] @ fitted).sum()), sd


def combined(
    sides: Sequence[tuple[Sequence[str], np.ndarray, np.ndarray, int]], span: tuple[int, int],
    estimation: tuple[int, int], model: str, values: Sequence[float],
) -> tuple[float, float]:  # fmt: skip
    """Value-weighted CAR of several listings and its standard error: v' (S * (G G')) v / (sum v)^2 by matrices.

    sides: the dates of each listing, its returns, its market's, and the place of day 0 among them. G holds the weights of
    `forecast_error` by calendar day, S the covariance of the disturbances: r_ij s_i s_j by the days that both have.
    """
    calendar = sorted({d for dates, *_ in sides for d in dates})
    n = len(sides)
    g, e, cars, sds = np.zeros((n, len(calendar))), np.full((n, len(calendar)), np.nan), [], []
    for i, (dates, own, market, day0) in enumerate(sides):
        weights, errors, car, sd = forecast_error(own, market, day0, span, estimation, model)
        at = [calendar.index(d) for d in dates]
        g[i, at], e[i, at] = weights, errors
        cars.append(car)
        sds.append(sd)
    sigma = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            both = np.isfinite(e[i]) & np.isfinite(e[j])
            sigma[i, j] = np.corrcoef(e[i][both], e[j][both])[0, 1] * sds[i] * sds[j]
    share = np.asarray(values) / np.sum(values)
    return float(share @ np.array(cars)), float(np.sqrt(share @ (sigma * (g @ g.T)) @ share))
