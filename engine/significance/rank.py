"""Rank tests. Every event is ranked against itself, over its estimation and event rows; never per firm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from engine.significance.inversion import ROUGH, inverted
from engine.significance.reranking import BLOCK, Moving, moving
from engine.significance.sample import (
    CarSample,
    Significance,
    noise,
    normal_p,
    quantile_of,
    t_p,
    unavailable,
    with_interval,
)
from engine.ties import NEAR

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Scoring = Callable[[Ints, Ints], "Scores"]

NULL_RANK = "the ranks of the abnormal returns in the window are those of any other days"
SAME_SCARS = "the standardised CARs do not vary across events"
REACH = 4  # steps: beyond them a search seldom goes
MOST_RANKED = 10_000_000  # values to rank again for one end of an interval; beyond it none is given


@dataclass(frozen=True)
class Scores:
    """A daily series from ranks: weight_t sum_i (slope_i rank_it + offset_i), over the events with a rank on the day.

    slope, offset: (N,); weight: (D,).
    """

    slope: Floats
    offset: Floats
    weight: Floats

    def daily(self, ranks: Floats) -> Floats:
        """(D,) of (N, D) ranks, NaN where there is none."""
        return np.asarray(self.of(ranks).sum(axis=0) * self.weight)

    def of(self, ranks: Floats) -> Floats:
        """The score of each rank, 0 where there is none."""
        scored = ranks * self.slope[:, None] + self.offset[:, None]
        return np.where(np.isfinite(scored), scored, 0.0)


@dataclass(frozen=True)
class Ranked:
    """N rows of D values and their ranks, and what makes a daily series of them.

    window: the (N, L) values of ``columns`` with an effect taken away.
    """

    rows: Floats
    ranks: Floats
    columns: slice
    scores: Scores
    window: Callable[[float], Floats]


def corrado(sample: CarSample) -> Significance:
    """sqrt(L) mean(k over the window) / S; N(0,1).

    k_t is the mean deviation of the mid-ranks from (M_i + 1)/2 over the events present on day t, S^2 the mean of k_t^2
    over all estimation and event days. Corrado (1989), eq. 3-5; several days: Cowan (1992), eq. 5.
    """
    return rank_test(sample, "corrado", all_rows(sample), NULL_RANK, mean_deviations, lambda tau: _shifted(sample, tau))


def corrado_zivney(sample: CarSample) -> Significance:
    """sum z_t / (sqrt(L) S), z_t = sum_i U_it / sqrt(n_t), U = rank/(1 + M_i) - 1/2, S^2 = mean z_t^2; N(0,1).

    Standardised ranks: right with unequal or missing histories. Corrado & Zivney (1992), eq. 4-6, without their
    restandardisation for event-induced variance.
    """
    rows = all_rows(sample)
    return rank_test(sample, "corrado_zivney", rows, NULL_RANK, standardised_sums, lambda tau: _shifted(sample, tau))


def corrado_zivney_adjusted(sample: CarSample) -> Significance:
    """corrado_zivney with each day of the window restandardised: AR / sigma over its sd across events; N(0,1).

    All other days enter as AR / sigma. Corrado & Zivney (1992), their adjustment for event-induced variance; as in the
    paper sigma is without the forecast error, which the sd across events takes out again.
    """
    name, sigma = "corrado_zivney_adjusted", sample.sigma[:, None]
    rows = all_rows(sample) / sigma
    columns = window_columns(sample)
    sd = rows[:, columns].std(axis=0, ddof=1)
    if np.isnan(sd).any():
        return unavailable(sample, name, "on a day of the window an event has no return of its own", NULL_RANK)
    if not all(s > noise(day) for s, day in zip(sd, rows[:, columns].T, strict=True)):
        return unavailable(
            sample, name, "on a day of the window the standardised returns do not vary", NULL_RANK
        )  # fmt: skip

    def window(tau: float) -> Floats:
        scaled = _shifted(sample, tau) / sigma
        return np.asarray(scaled / scaled.std(axis=0, ddof=1))

    rows[:, columns] = window(0.0)
    return rank_test(sample, name, rows, NULL_RANK, standardised_sums, window)


def rank_test(
    sample: CarSample, name: str, rows: Floats, null: str, scoring: Scoring, window: Callable[[float], Floats] | None
) -> Significance:
    """The window's sum of a daily series of ranks over sqrt(L) times its root mean square; N(0,1).

    rows: (N, R + E) values of the estimation and event days. window: the (N, L) values of the window with an effect taken
    away, None for a test that looks at no mean effect.
    """
    ranks, scores, used = _scored(rows, scoring)
    columns = window_columns(sample)
    answer = of_daily(sample, name, scores.daily(ranks), used, columns, null)
    if answer.unavailable:
        return answer
    if window is None:
        return answer
    ranked = Ranked(rows, ranks, columns, scores, window)
    return _with_interval(sample, answer, None, ranked, lambda daily: _over_its_size(daily, used, columns))


def _over_its_size(daily: Floats, used: Bools, columns: slice) -> float:
    """The sum over the window over sqrt(L) times the root mean square of the days with a rank; NaN where that is nothing."""
    length, s = columns.stop - columns.start, float(np.sqrt((daily[used] ** 2).mean()))
    return float(daily[columns].sum() / (np.sqrt(length) * s)) if s > noise(np.ones(1)) else float("nan")


def of_daily(sample: CarSample, name: str, daily: Floats, used: Bools, columns: slice, null: str) -> Significance:
    """The answer of a rank test from its daily series, without an interval."""
    own = _over_its_size(daily, used, columns)
    if np.isnan(own):
        return unavailable(sample, name, "all ranks are tied", null)
    return Significance(
        name, sample.group, sample.window, null, sample.n, float(sample.car.mean()), own, "normal",
        normal_p(own, sample.alternative),
    )  # fmt: skip


def grank_t(sample: CarSample) -> Significance:
    """Generalised rank t: Z sqrt((T - 2)/(T - 1 - Z^2)), Z = U_0 / S; t(T - 2).

    Each event's SCAR over the cross-sectional sd of the SCARs joins its estimation SARs (AR / sigma) as one more
    point; S^2 = (1/T) sum (n_t/N) U_t^2 over all T points. Kolari & Pynnonen (2011), eq. 10-17.
    """
    points = _generalised_points(sample)
    if points is None:
        return unavailable(sample, "grank_t", SAME_SCARS, NULL_RANK)
    ranks, scores, used = _scored(points, mean_ranks)
    counts = np.isfinite(points).sum(axis=0)
    answer = of_mean_ranks(sample, scores.daily(ranks), counts)
    if answer.unavailable:
        return answer
    t_points = int(used.sum())
    ranked = Ranked(points, ranks, slice(points.shape[1] - 1, points.shape[1]), scores, partial(_generalised, sample))
    return _with_interval(sample, answer, t_points - 2, ranked, lambda u: _generalised_t(u, counts, sample.n))


def grank_z(sample: CarSample) -> Significance:
    """Generalised rank z: U_0 sqrt(12 N (T + 1)/(T - 1)), U_0 the mean rank of the events as in grank_t; N(0,1).

    T counts the points, the estimation days with a residual and the event. Independent events: no cross-correlation.
    Kolari & Pynnonen (2011), the variance of uniform ranks (their GRANK-Z).
    """
    points = _generalised_points(sample)
    if points is None:
        return unavailable(sample, "grank_z", SAME_SCARS, NULL_RANK)
    ranks, scores, _ = _scored(points, mean_ranks)
    counts = np.isfinite(points).sum(axis=0)
    answer = of_mean_rank(sample, scores.daily(ranks), counts)
    if answer.unavailable:
        return answer
    ranked = Ranked(points, ranks, slice(points.shape[1] - 1, points.shape[1]), scores, partial(_generalised, sample))
    return _with_interval(sample, answer, None, ranked, lambda u: _generalised_z(u, counts, sample.n))


def _generalised_t(u: Floats, counts: Ints, n: int) -> float:
    """Z sqrt((T - 2)/(T - 1 - Z^2)) of the mean ranks u (T,) of the points, counts (T,) events at each."""
    used = counts > 0
    t_points = int(used.sum())
    s = np.sqrt((counts / n * u * u)[used].sum() / t_points)
    z = float(u[-1] / s) if s > noise(np.ones(1)) else float("nan")
    left = t_points - 1 - z * z
    return z * float(np.sqrt((t_points - 2) / left)) if t_points > 2 and left > 0 else float("nan")


def of_mean_ranks(sample: CarSample, u: Floats, counts: Ints) -> Significance:
    """The answer of `grank_t` from the mean ranks of the points, without an interval."""
    own, t_points = _generalised_t(u, counts, sample.n), int((counts > 0).sum())
    if np.isnan(own):
        return unavailable(sample, "grank_t", "too few estimation days for the rank distribution", NULL_RANK)
    return Significance(
        "grank_t", sample.group, sample.window, NULL_RANK, sample.n, float(sample.car.mean()), own,
        f"t({t_points - 2})", float(t_p(own, t_points - 2, sample.alternative)),
    )  # fmt: skip


def _generalised_z(u: Floats, counts: Ints, n: int) -> float:
    t_points = int((counts > 0).sum())
    return float(u[-1] * np.sqrt(12 * n * (t_points + 1) / (t_points - 1)))


def of_mean_rank(sample: CarSample, u: Floats, counts: Ints) -> Significance:
    """The answer of `grank_z` from the mean ranks of the points, without an interval."""
    if (counts > 0).sum() < 2:
        return unavailable(sample, "grank_z", "no estimation day to rank the events among", NULL_RANK)
    own = _generalised_z(u, counts, sample.n)
    return Significance(
        "grank_z", sample.group, sample.window, NULL_RANK, sample.n, float(sample.car.mean()), own, "normal",
        normal_p(own, sample.alternative),
    )  # fmt: skip


def all_rows(sample: CarSample) -> Floats:
    """Estimation and event-window abnormal returns side by side, (N, R + E)."""
    return np.concatenate([sample.residuals, sample.ar], axis=1)


def standardised_sums(counts: Ints, per_day: Ints) -> Scores:
    """sum_i U_it / sqrt(n_t), U = rank / (1 + count) - 1/2."""
    return Scores(1 / (1 + counts), np.full(len(counts), -0.5), 1 / np.sqrt(np.maximum(per_day, 1)))


def mean_deviations(counts: Ints, per_day: Ints) -> Scores:
    """The mean over the events of rank - (count + 1)/2."""
    return Scores(np.ones(len(counts)), -(counts + 1) / 2, 1 / np.maximum(per_day, 1))


def mean_ranks(counts: Ints, per_day: Ints) -> Scores:
    """U, the mean over the events of rank / (1 + count) - 1/2."""
    return Scores(1 / (1 + counts), np.full(len(counts), -0.5), 1 / np.maximum(per_day, 1))


def _scored(rows: Floats, scoring: Scoring) -> tuple[Floats, Scores, Bools]:
    """The ranks of each row, what makes a daily series of them, and the days on which any event has one."""
    ranks, counts = _ranks(rows)
    per_day = np.isfinite(rows).sum(axis=0)
    return ranks, scoring(counts, per_day), per_day > 0


def _generalised_points(sample: CarSample) -> Floats | None:
    """Estimation SARs and, last, the SCAR over its cross-sectional sd, (N, R + 1); None where the SCARs do not vary."""
    if not float(sample.scar.std(ddof=1)) > noise(sample.scar):
        return None
    return np.concatenate([sample.residuals / sample.sigma[:, None], _generalised(sample, 0.0)], axis=1)


def _generalised(sample: CarSample, tau: float) -> Floats:
    """(N, 1) SCARs with an effect taken from the CARs, over their cross-sectional sd."""
    scar = sample.scar - tau / sample.car_se if tau else sample.scar
    return np.asarray((scar / scar.std(ddof=1))[:, None])


def _shifted(sample: CarSample, tau: float) -> Floats:
    """(N, L) abnormal returns of the window with an effect taken from them in equal parts."""
    days = 1.0 if sample.spans is None else np.sqrt(sample.spans[:, sample.columns])
    return np.asarray(sample.ar[:, sample.columns] - days * tau / len(sample.window))


def window_columns(sample: CarSample) -> slice:
    """The columns of `all_rows` that are the tested window."""
    before = sample.residuals.shape[1]
    return slice(before + sample.columns.start, before + sample.columns.stop)


def _ranks(values: Floats) -> tuple[Floats, Ints]:
    """Mid-ranks within each row, NaN where missing, and the number of values in each row."""
    present = np.isfinite(values)
    return np.where(present, mid_ranks(np.where(present, values, np.inf)), np.nan), present.sum(axis=1)


def mid_ranks(values: Floats) -> Floats:
    """The ranks of each row, the mean rank for the equal ones, those that rounding alone parts among them.

    A row without two equal values, as most are, is only sorted. Missing values are infinite.
    """
    ranks, width = np.empty(values.shape), values.shape[1]
    in_turn = np.arange(1.0, width + 1)
    for begin in range(0, len(values), BLOCK):
        rows = np.ascontiguousarray(values[begin : begin + BLOCK])
        cells = np.argsort(rows, axis=1)
        cells += (np.arange(len(rows)) * width)[:, None]
        ordered = rows.ravel()[cells]
        steps = np.subtract(
            ordered[:, 1:], ordered[:, :-1], where=np.isfinite(ordered[:, 1:]), out=np.ones_like(ordered[:, 1:])
        )
        tied = np.flatnonzero((steps <= NEAR).any(axis=1))
        of_sorted = np.broadcast_to(in_turn, rows.shape)
        if len(tied):
            of_sorted = of_sorted.copy()
            of_sorted[tied] = _tied_ranks(steps[tied] > NEAR)
        ranks[begin : begin + BLOCK].ravel()[cells] = of_sorted
    return ranks


def _tied_ranks(steps: Bools) -> Floats:
    """Mid-ranks of sorted rows (N, D): half the sum of the first and the last rank of each run of equal values.

    steps: (N, D - 1) whether a value is above the one before it.
    """
    n, end = steps.shape
    place = np.arange(end + 1)
    first, last = np.zeros((n, end + 1), np.int64), np.full((n, end + 1), end)
    first[:, 1:] = np.maximum.accumulate(np.where(steps, place[1:], 0), axis=1)
    last[:, :-1] = np.minimum.accumulate(np.where(steps, place[:-1], end)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(1 + (first + last) / 2)


def _with_interval(
    sample: CarSample, answer: Significance, dof: int | None, ranked: Ranked, finish: Callable[[Floats], float]
) -> Significance:
    """finish: the statistic of a daily series."""
    values = sample.residuals.size + sample.ar.size
    if values * len(sample.window) > MOST_RANKED:
        return replace(answer, note="no interval: too many ranks")
    q, start, step = quantile_of(sample.alpha, dof), answer.estimate, sample.rough_error
    series = _series(ranked, start, REACH * step)
    return with_interval(answer, inverted(lambda tau: finish(series(tau)), q, start, step, ROUGH), q)


def _series(ranked: Ranked, start: float, reach: float) -> Callable[[float], Floats]:
    """The daily series (D,) with an effect taken from the window, for a search that begins at ``start``.

    What is ranked again are pairs whose order may change within ``reach`` of where the search begins, as it mostly does; from a
    place beyond it, those on the way there from halfway.
    """
    found: list[tuple[Floats, Moving]] = []

    def near(low: float, high: float, at: float) -> tuple[Floats, Moving]:
        rows, ranks, columns, scores = ranked.rows, ranked.ranks, ranked.columns, ranked.scores
        if at:
            rows = rows.copy()
            rows[:, columns] = ranked.window(at)
            ranks = _ranks(rows)[0]
        ends = ranked.window(low), ranked.window(high), rows[:, columns]
        return scores.daily(ranks), moving(
            rows, ranks, columns, scores.slope, np.minimum.reduce(ends), np.maximum.reduce(ends)
        )

    def series(tau: float) -> Floats:
        new = ranked.window(tau)
        if not found:
            found.append(near(start - reach, start + reach, 0.0 if abs(start) <= reach else start))
        if not any(pairs.covers(new) for _, pairs in found):
            found[1:] = [near((start + tau) / 2, tau, tau)]
        daily, pairs = next(one for one in found if one[1].covers(new))
        lifted, own = pairs.ranks(new)
        daily = daily + ranked.scores.weight * lifted
        daily[ranked.columns] = ranked.scores.of(own).sum(axis=0) * ranked.scores.weight[ranked.columns]
        return daily

    return series
