"""Tests that fit the model again: with the event rows in (`conformal`), for the portfolio, for all firms at once.

A regression of [residuals, AR] on the same regressors leaves what a regression of the returns leaves, so that the returns
themselves are needed for the portfolio only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.cholesky import cholesky, forward_substituted
from engine.orthonormal import orthonormal
from engine.significance.inversion import NOWHERE, REJECTED, crossing
from engine.significance.parametric import ZERO_MEAN
from engine.significance.sample import (
    CarSample,
    EventSignificance,
    Regressions,
    Significance,
    interval,
    noise,
    quantile_of,
    t_p,
    unavailable,
)
from engine.ties import SHARE, above, at_least, at_most, below

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
NULL_BLOCK = "the event window is like any other block of days of its own length"
ALL_ZERO = "the CARs of all events are zero"
JOINT = "comes from a joint regression, not from the event's own fit"
UNKNOWN = "the regressors are not known"
DEPENDENT = 1e-12  # of a column's or a firm's variance that the others leave: less is rounding


def conformal(sample: CarSample) -> EventSignificance:
    """Rank of the window's sum among all blocks of L days, the model refitted with the window's rows in; exact.

    The statistic is the rank of the sum of the null residuals over the window, 1 for the lowest; p = the share of the M + L
    cyclic shifts of the estimation rows and the window's rows whose sum is at least as extreme, the window itself among
    them. Exact if the days are exchangeable, approximate if they are stationary and weakly dependent.
    Chernozhukov, Wuthrich & Zhu (2021), section 2, with their moving block permutations.
    """
    n, length = sample.n, len(sample.window)
    statistic, p = np.full(n, np.nan), np.full(n, np.nan)
    note, missing, ends = [""] * n, [""] * n, np.full((n, 2), np.nan)
    for i in range(n):
        fits = sample.regressions
        if fits is None or (sample.shared is not None and sample.shared[i]):
            missing[i] = UNKNOWN if fits is None else f"the CAR {JOINT}"
            continue
        known = np.isfinite(sample.residuals[i])
        values = np.concatenate([sample.residuals[i, known], sample.ar[i, sample.columns]])
        design = np.concatenate([fits.rows[i][:, known], fits.event_rows[i][:, sample.columns]], axis=1)
        unit, _ = _orthonormal(design, design[:, :0])
        effect = np.concatenate([np.zeros(int(known.sum())), np.full(length, 1 / length)])
        sums, unit_sums = _block_sums(_residuals(values, unit), length), _block_sums(_residuals(effect, unit), length)
        tie = noise(values) * length
        own = float(sums[-length])
        statistic[i] = 1 + below(sums, own, tie).sum()
        p[i] = _share(sums, own, tie, sample.alternative)
        ends[i] = _block_interval(sums, unit_sums, length, tie, sample.alpha, float(sample.car_se[i]))
        note[i] = f"{len(sums)} blocks, {len(sums) // length} side by side"
    return EventSignificance(
        "conformal", sample.window, NULL_BLOCK, statistic, ["" if m else "exact" for m in missing], p,
        (ends[:, 1] - ends[:, 0]) / (2 * quantile_of(sample.alpha)), ends[:, 0], ends[:, 1], note, missing,
    )  # fmt: skip


def _block_sums(values: Floats, length: int) -> Floats:
    """(D,) the sum of each block of ``length`` values, the first of them following the last."""
    around = np.concatenate([values, values[: length - 1]])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(around, length).sum(axis=1))


def _block_interval(
    sums: Floats, unit: Floats, length: int, tie: float, alpha: float, step: float
) -> tuple[float, float]:
    """The effects tau whose block sums, sums - tau unit, do not make the window's own extreme at alpha, two-sided.

    From the effect that leaves the window no sum to the first on either side that is rejected.
    """
    centre = float(sums[-length] / unit[-length]) if unit[-length] > DEPENDENT else float("nan")
    if not np.isfinite(centre):
        return NOWHERE

    def kept(tau: float) -> float:
        left = sums - tau * unit
        return _share(left, float(left[-length]), tie, "two-sided") - REJECTED * alpha

    return -crossing(lambda tau: kept(-tau), -centre, step), crossing(kept, centre, step)


def portfolio_t(sample: CarSample) -> Significance:
    """CAR of the equal-weighted portfolio, fitted again as one asset, over its forecast error; t(nu).

    The mean of the events' returns on the mean of their regressors, by calendar day on one date, by relative day on
    several. Jaffe (1974); MacKinlay (1997), on clustering; forecast error: Campbell, Lo & MacKinlay (1997), eq. 4.4.12.
    Cross-correlation is in the portfolio's variance, on several dates that of equal relative days alone; event-induced
    variance is not.
    """
    name, length = "portfolio_t", len(sample.window)
    known = _common_rows(sample)
    if isinstance(known, str) or sample.regressions is None:
        return unavailable(sample, name, known if isinstance(known, str) else UNKNOWN, ZERO_MEAN)
    fits = sample.regressions
    y = _mean_explained(sample.residuals, fits, known)
    expected = (fits.coefficients[:, :, None] * fits.event_rows).sum(axis=1)
    y_event = (sample.ar + expected)[:, sample.columns].mean(axis=0)
    k = fits.rows.shape[1]
    rows = np.stack([_rows(fits.rows[:, j], known).mean(axis=0) for j in range(k)]) if k else np.empty((0, len(y)))
    unit, basis = _orthonormal(rows, fits.event_rows[:, :, sample.columns].mean(axis=0))
    left = _residuals(y, unit) if k else y - y.mean()
    nu = len(y) - max(k, 1)
    if nu < 1:
        return unavailable(sample, name, f"needs more estimation rows than coefficients, has {len(y)}", ZERO_MEAN)
    sigma = float(np.sqrt((left**2).sum() / nu))
    if not np.isfinite(basis).all() or not sigma > noise(y):
        return unavailable(sample, name, "the portfolio or its regressors do not vary", ZERO_MEAN)
    shares = (unit * y).sum(axis=1)
    car = float((y_event - (shares[:, None] * basis).sum(axis=0)).sum())
    se = sigma * float(np.sqrt(length + (basis.sum(axis=1) ** 2).sum()))
    mean = float(sample.car.mean())
    same = abs(car - mean) <= SHARE * se
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN, sample.n, mean, car / se, f"t({nu})",
        float(t_p(car / se, nu, sample.alternative)), se=se, ci=interval(car, se, sample.alpha, nu),
        note="" if same else f"CAR of the portfolio {car:.6f}, standard error {se:.6f}",
    )  # fmt: skip


def sur_f(sample: CarSample) -> Significance:
    """F = W (nu - N + 1)/(nu N), W = car' S^-1 car / (1'V1), S = E'E/nu, V = I + X0 (X'X)^-1 X0'; F(N, nu - N + 1).

    One date, many firms on the same regressors: all CARs are zero. Exact for normal returns. The interval is of the mean CAR,
    by the means of all vectors of CARs that F does not reject (Scheffe 1953).
    Schipper & Thompson (1985); Binder (1985); the distribution: Rao (1973), section 8b.
    """
    from scipy import special

    name, n = "sur_f", sample.n
    found = _one_system(sample)
    if isinstance(found, str):
        return unavailable(sample, name, found, ALL_ZERO)
    errors, v, nu = found
    spread = np.sqrt((errors**2).sum(axis=1) / nu)
    if not (spread > noise(errors)).all():
        return unavailable(sample, name, "the residuals of a firm do not vary", ALL_ZERO)
    unit = errors / spread[:, None]
    correlation = np.stack([(unit * row).sum(axis=1) for row in unit]) / nu
    lower = cholesky(correlation[None], DEPENDENT)
    if not np.isfinite(lower).all():
        return unavailable(sample, name, "the residuals of a firm are a combination of the others'", ALL_ZERO)
    scaled = sample.ar[:, sample.columns].sum(axis=1) / spread
    w = float((forward_substituted(lower, scaled[None]) ** 2).sum()) / v
    together = float((spread * (correlation * spread).sum(axis=1)).sum())
    mean, se = float(sample.car.mean()), float(np.sqrt(v * together)) / n
    half = se * float(np.sqrt(special.fdtri(n, nu - n + 1, 1 - sample.alpha) * nu * n / (nu - n + 1)))
    statistic = w * (nu - n + 1) / (nu * n)
    return Significance(
        name, sample.group, sample.window, ALL_ZERO, n, float(sample.car.mean()), statistic, f"F({n},{nu - n + 1})",
        float(special.fdtrc(n, nu - n + 1, statistic)), se=se, ci=(mean - half, mean + half),
    )  # fmt: skip


def _one_system(sample: CarSample) -> tuple[Floats, float, int] | str:
    """The residuals (N, M) of the common rows, 1'V1 of the window and nu; or why the events are no system of equations."""
    if sample.alternative != "two-sided":
        return f"has no direction, and alternative is {sample.alternative}"
    dates = len(np.unique(sample.dates))
    if dates > 1:
        return f"needs one date, has {dates}"
    known = _common_rows(sample)
    if isinstance(known, str) or sample.regressions is None:
        return known if isinstance(known, str) else UNKNOWN
    fits, errors = sample.regressions, _rows(sample.residuals, known)
    k, m = fits.rows.shape[1], errors.shape[1]
    nu = m - max(k, 1)
    ahead = fits.event_rows[:, :, sample.columns]
    columns = [_rows(fits.rows[:, j], known) for j in range(k)]
    if any(above(np.abs(c - c[0]), 0.0).any() for c in (ahead, *columns)):
        return "the events have different regressors"
    if sample.n > nu:
        return f"needs no more firms than degrees of freedom, has {sample.n} and {nu}"
    rows = np.stack([c[0] for c in columns]) if k else np.empty((0, m))
    _, basis = _orthonormal(rows, ahead[0])
    if not np.isfinite(basis).all():
        return "the regressors do not vary"
    errors = errors if k else errors - errors.mean(axis=1)[:, None]
    return errors, len(sample.window) + float((basis.sum(axis=1) ** 2).sum()), nu


def _common_rows(sample: CarSample) -> Bools | str:
    """The estimation rows (N, R) that hold a residual, if they are the same for all events; else why they are not."""
    if sample.shared is not None and sample.shared.any():
        return f"the CAR of {int(sample.shared.sum())} of {sample.n} events {JOINT}"
    known = np.isfinite(sample.residuals)
    one_date = len(np.unique(sample.dates)) == 1
    relative = np.broadcast_to(np.arange(known.shape[1]), known.shape)
    which, kind = (sample.residual_days, "calendar") if one_date else (relative, "relative")
    first = which[0, known[0]]
    other = sum(not np.array_equal(which[i, known[i]], first) for i in range(1, sample.n))
    if other:
        return f"{other} of {sample.n} events have other estimation rows than the first, by {kind} day"
    days = sample.event_days[:, sample.columns]
    if one_date and (days != days[0]).any():
        return f"{sample.window} is not on the same calendar days for all events"
    return known


def _rows(values: Floats, known: Bools) -> Floats:
    """(N, M) of the rows that are known, M for every event."""
    return values[known].reshape(len(values), -1)


def _mean_explained(residuals: Floats, fits: Regressions, known: Bools) -> Floats:
    """(M,) the mean over events of what the model explains: residual + fitted value."""
    total = _rows(residuals, known)
    for j in range(fits.rows.shape[1]):
        total = total + fits.coefficients[:, j, None] * _rows(fits.rows[:, j], known)
    return np.asarray(total.mean(axis=0))


def _orthonormal(rows: Floats, ahead: Floats) -> tuple[Floats, Floats]:
    """`orthonormal` of one fit: Q (K, M) of the rows and B (K, L) of ``ahead``, V = I + B' B."""
    unit, _, basis = orthonormal(rows[None], ahead[None], DEPENDENT)
    return unit[0], basis[0]


def _residuals(values: Floats, unit: Floats) -> Floats:
    for row in unit:
        values = values - (row * values).sum() * row
    return values


def _share(sums: Floats, own: float, tie: float, alternative: str) -> float:
    """The share of block sums at least as extreme as ``own``, which is one of them; a tie is within rounding."""
    extreme = {
        "greater": at_least(sums, own, tie),
        "less": at_most(sums, own, tie),
        "two-sided": at_least(np.abs(sums), abs(own), tie),
    }[alternative]
    return float(extreme.mean())
