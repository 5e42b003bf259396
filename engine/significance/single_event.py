"""Tests of one event alone, for all events of a sample at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.sample import (
    CarSample,
    EventSignificance,
    empirical_p,
    no_answers,
    quantile_of,
    quantiles_of,
    t_p,
)
from engine.ties import at_least, at_most

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ZERO_CAR = "the CAR of this event is zero"


def forecast_error_t(sample: CarSample) -> EventSignificance:
    """CAR / sqrt(Var CAR) with the full forecast-error covariance; t(nu).

    Campbell, Lo & MacKinlay (1997), eq. 4.4.12-4.4.14; Salinger (1992), eq. 6.
    """
    n = sample.n
    quantile = quantiles_of(sample.alpha, sample.dof)
    return EventSignificance(
        name="forecast_error_t",
        window=sample.window,
        null=ZERO_CAR,
        statistic=sample.scar,
        distribution=[f"t({d})" for d in sample.dof],
        p_value=t_p(sample.scar, sample.dof, sample.alternative),
        se=sample.car_se,
        ci_low=sample.car - quantile * sample.car_se,
        ci_high=sample.car + quantile * sample.car_se,
        note=[""] * n,
        unavailable=[""] * n,
    )


def sq(sample: CarSample) -> EventSignificance:
    """Sample-quantile test of one day: the rank of the event AR among the estimation-window ARs; exact.

    One-sided p = (1 + estimation ARs at least as extreme) / (1 + M), two-sided twice the smaller. The statistic is the
    rank, 1 for the lowest of M + 1. The AR is that of the event's own fit, whose residuals it is ranked with, also where
    the CAR is a joint one. Gelbach, Helland & Klick (2013), section 3.
    """
    n = sample.n
    if len(sample.window) > 1:
        reason = f"tests one day only, {sample.window} has {len(sample.window)}"
        return no_answers(sample, "sq", reason, ZERO_CAR)
    present = np.isfinite(sample.residuals)
    m = present.sum(axis=1)
    ar = sample.ar[:, sample.columns]
    lower = (present & at_most(sample.residuals, ar)).sum(axis=1)
    upper = (present & at_least(sample.residuals, ar)).sum(axis=1)
    p = empirical_p(lower, upper, np.minimum(lower, upper), m, sample.alternative)
    if sample.alternative == "two-sided":
        p = np.minimum(2 * p, 1.0)
    ends = _rank_interval(sample, ar[:, 0], m)
    return EventSignificance(
        "sq", sample.window, ZERO_CAR, 1.0 + m - upper, ["exact"] * n, p,
        (ends[:, 1] - ends[:, 0]) / (2 * quantile_of(sample.alpha)), ends[:, 0], ends[:, 1],
        [f"rank among {k} estimation days" for k in m], [""] * n,
    )  # fmt: skip


def _rank_interval(sample: CarSample, ar: Floats, m: Ints) -> Floats:
    """(N, 2) AR less the k-th largest and k-th smallest estimation AR, k = alpha/2 (1 + M); NaN where that is below 1."""
    ordered = np.sort(sample.residuals, axis=1)  # the missing last
    k = np.floor(sample.alpha / 2 * (1 + m) + 1e-9).astype(np.int64)
    held = np.clip(k, 1, np.maximum(m, 1))
    lowest = np.take_along_axis(ordered, held[:, None] - 1, axis=1)[:, 0]
    highest = np.take_along_axis(ordered, (m - held)[:, None], axis=1)[:, 0]
    return np.where((k >= 1)[:, None], np.stack([ar - highest, ar - lowest], axis=1), np.nan)
