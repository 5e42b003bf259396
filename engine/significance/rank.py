"""Rank tests. Every event is ranked against itself, over its estimation and event rows; never per firm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.sample import CarSample, Significance, noise, normal_p, t_p, unavailable

Floats = npt.NDArray[np.float64]

NULL_RANK = "the ranks of the abnormal returns in the window are those of any other days"
SAME_SCARS = "the standardised CARs do not vary across events"


def corrado(sample: CarSample) -> Significance:
    """sqrt(L) mean(k over the window) / S; N(0,1).

    k_t is the mean deviation of the mid-ranks from (M_i + 1)/2 over the events present on day t, S^2 the mean of k_t^2
    over all estimation and event days. Corrado (1989), eq. 3-5; several days: Cowan (1992), eq. 5.
    """
    ranks, counts = _ranks(all_rows(sample))
    deviation = ranks - (counts[:, None] + 1) / 2
    daily, used = _mean_over_events(deviation)
    return _day_statistic(sample, "corrado", daily, used, multi_day="mean")


def corrado_zivney(sample: CarSample) -> Significance:
    """sum z_t / (sqrt(L) S), z_t = sum_i U_it / sqrt(n_t), U = rank/(1 + M_i) - 1/2, S^2 = mean z_t^2; N(0,1).

    Standardised ranks: right with unequal or missing histories. Corrado & Zivney (1992), eq. 4-6, without their
    restandardisation for event-induced variance.
    """
    return standardised_rank_test(sample, "corrado_zivney", all_rows(sample), NULL_RANK)


def corrado_zivney_adjusted(sample: CarSample) -> Significance:
    """corrado_zivney with each day of the window restandardised: AR / sigma over its sd across events; N(0,1).

    All other days enter as AR / sigma. Corrado & Zivney (1992), their adjustment for event-induced variance; as in the
    paper sigma is without the forecast error, which the sd across events takes out again.
    """
    rows = all_rows(sample) / sample.sigma[:, None]
    window = rows[:, sample.residuals.shape[1] :][:, sample.columns]
    sd = window.std(axis=0, ddof=1)
    if not all(s > noise(day) for s, day in zip(sd, window.T, strict=True)):
        return unavailable(
            sample, "corrado_zivney_adjusted", "on a day of the window the standardised returns do not vary", NULL_RANK
        )
    window /= sd
    return standardised_rank_test(sample, "corrado_zivney_adjusted", rows, NULL_RANK)


def grank_t(sample: CarSample) -> Significance:
    """Generalised rank t: Z sqrt((T - 2)/(T - 1 - Z^2)), Z = U_0 / S; t(T - 2).

    Each event's SCAR over the cross-sectional sd of the SCARs joins its estimation SARs (AR / sigma) as one more
    point; S^2 = (1/T) sum (n_t/N) U_t^2 over all T points. Kolari & Pynnonen (2011), eq. 10-17.
    """
    name = "grank_t"
    points = _generalised_points(sample)
    if points is None:
        return unavailable(sample, name, SAME_SCARS, NULL_RANK)
    u, used = _mean_ranks(points)
    share = np.isfinite(points).sum(axis=0) / sample.n
    t_points = int(used.sum())
    s = np.sqrt((share * u * u)[used].sum() / t_points)
    z = float(u[-1] / s) if s > noise(np.ones(1)) else float("nan")
    if not (t_points > 2 and t_points - 1 - z * z > 0):
        return unavailable(sample, name, "too few estimation days for the rank distribution", NULL_RANK)
    statistic = z * float(np.sqrt((t_points - 2) / (t_points - 1 - z * z)))
    return Significance(
        name, sample.group, sample.window, NULL_RANK, sample.n, float(sample.car.mean()), statistic,
        f"t({t_points - 2})", float(t_p(statistic, t_points - 2, sample.alternative)),
    )  # fmt: skip


def _mean_ranks(points: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """U, the mean over the events of each point's rank / (1 + points) - 1/2, and the points that any event has."""
    ranks, counts = _ranks(points)
    return _mean_over_events(ranks / (counts[:, None] + 1) - 0.5)


def grank_z(sample: CarSample) -> Significance:
    """Generalised rank z: U_0 sqrt(12 N (T + 1)/(T - 1)), U_0 the mean rank of the events as in grank_t; N(0,1).

    T counts the points, the estimation days with a residual and the event. Independent events: no cross-correlation.
    Kolari & Pynnonen (2011), the variance of uniform ranks (their GRANK-Z).
    """
    name = "grank_z"
    points = _generalised_points(sample)
    if points is None:
        return unavailable(sample, name, SAME_SCARS, NULL_RANK)
    u, used = _mean_ranks(points)
    t_points = int(used.sum())
    if t_points < 2:
        return unavailable(sample, name, "no estimation day to rank the events among", NULL_RANK)
    statistic = float(u[-1] * np.sqrt(12 * sample.n * (t_points + 1) / (t_points - 1)))
    return Significance(
        name, sample.group, sample.window, NULL_RANK, sample.n, float(sample.car.mean()), statistic, "normal",
        normal_p(statistic, sample.alternative),
    )  # fmt: skip


def standardised_rank_test(sample: CarSample, name: str, rows: Floats, null: str) -> Significance:
    """The statistic of `corrado_zivney` on ``rows``, (N, R + E) values of the estimation and event days."""
    ranks, counts = _ranks(rows)
    u = ranks / (1 + counts[:, None]) - 0.5
    per_day = np.isfinite(u).sum(axis=0)
    used = per_day > 0
    z = np.where(np.isfinite(u), u, 0.0).sum(axis=0) / np.sqrt(np.maximum(per_day, 1))
    return _day_statistic(sample, name, z, used, multi_day="sum", null=null)


def _generalised_points(sample: CarSample) -> Floats | None:
    """Estimation SARs and, last, the SCAR over its cross-sectional sd, (N, R + 1); None where the SCARs do not vary."""
    sd = float(sample.scar.std(ddof=1))
    if not sd > noise(sample.scar):
        return None
    return np.concatenate([sample.residuals / sample.sigma[:, None], (sample.scar / sd)[:, None]], axis=1)


def all_rows(sample: CarSample) -> Floats:
    """Estimation and event-window abnormal returns side by side, (N, R + E)."""
    return np.concatenate([sample.residuals, sample.ar], axis=1)


def _ranks(values: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Mid-ranks within each row, NaN where missing, and the number of values in each row."""
    from scipy import stats

    present = np.isfinite(values)
    ranks = stats.rankdata(np.where(present, values, np.inf), axis=1)
    return np.where(present, ranks, np.nan), present.sum(axis=1)


def _mean_over_events(values: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Mean of each column over the events present, and which columns have any."""
    present = np.isfinite(values)
    per_day = present.sum(axis=0)
    return np.where(present, values, 0.0).sum(axis=0) / np.maximum(per_day, 1), per_day > 0


def _day_statistic(
    sample: CarSample, name: str, daily: Floats, used: npt.NDArray[np.bool_], multi_day: str, null: str = NULL_RANK
) -> Significance:
    """The window's sum (or sqrt(L) times its mean) of a daily series over its root mean square; N(0,1)."""
    s = float(np.sqrt((daily[used] ** 2).mean()))
    if not s > noise(np.ones(1)):
        return unavailable(sample, name, "all ranks are tied", null)
    length = len(sample.window)
    inside = daily[sample.residuals.shape[1] :][sample.columns]
    if multi_day == "mean":
        statistic = float(np.sqrt(length) * inside.mean() / s)
    else:
        statistic = float(inside.sum() / (np.sqrt(length) * s))
    return Significance(
        name, sample.group, sample.window, null, sample.n, float(sample.car.mean()), statistic, "normal",
        normal_p(statistic, sample.alternative),
    )  # fmt: skip
