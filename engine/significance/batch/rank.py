"""`engine.significance.rank` for many samples at once: each row is ordered once, and an effect moves one value of it.

The day with the effect is left out of the order and put in again for each effect: it ranks above the values below it, and
lifts those above it by one; the next effect changes only the ranks between the two. The formulas and their sources stand
with the functions of the same names there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.significance.batch.sample import Answers, Batch, Floats, Ints, of_normal, of_t, once

LEAST = 16 * float(np.finfo(np.float64).eps)  # below it a spread of scores is rounding
DEVIATIONS, STANDARDISED = (
    0,
    1,
)  # two ways to score a rank: from its mean, averaged; and over 1 + count, summed over sqrt(n_t)


@dataclass(frozen=True)
class Sorted:
    """(D, N, R) values in order with their columns, missing ones last, and (D, N) how many are there."""

    values: Floats
    columns: npt.NDArray[np.int32]
    known: Ints


def in_order(rows: Floats, known: Ints) -> Sorted:
    """The (D, N, R) rows, each in order, NaN and 0 behind the values. known: (D, N) how many have a value."""
    from engine.significance.batch.compiled import from_keys, to_keys

    bits = max(rows.shape[2] - 1, 1).bit_length()
    keys = np.empty(rows.shape, np.int64)
    to_keys((rows + 0.0).view(np.int64), rows, bits, keys)  # 0.0 is -0.0, and must look so
    keys.sort(axis=2)
    values, columns = np.full(rows.shape, np.nan), np.zeros(rows.shape, np.int32)
    from_keys(keys, known, rows, bits, values, columns)
    return Sorted(values, columns, known)


def sorted_residuals(batch: Batch) -> Sorted:
    """The residuals of the batch in order."""
    found: Sorted = once(batch.common, "residuals in order", lambda: in_order(batch.residuals, batch.known))
    return found


@dataclass(frozen=True)
class Daily:
    """A daily series of scores for each sample and effect: (K, D, E) on the days of the event window, and (K, D) its root mean
    square over all days with a rank."""

    late: Floats
    spread: Floats


def corrado(batch: Batch) -> Answers:
    return of_normal(_statistic(batch, _scores(batch)[DEVIATIONS]))


def corrado_zivney(batch: Batch) -> Answers:
    return of_normal(_statistic(batch, _scores(batch)[STANDARDISED]))


def variance_rank(batch: Batch) -> Answers:
    """Of absolute values, which an effect moves in no one direction: without one."""
    rows: Sorted = once(batch.common, "sizes in order", lambda: in_order(np.abs(batch.residuals), batch.known))
    late, nothing = np.abs(batch.ar), (np.empty((1, *batch.car.shape)), np.full(batch.car.shape, -1))
    daily = once(batch.kept, "scores of sizes", lambda: daily_scores(batch, "sizes", rows, late, *nothing))[
        STANDARDISED
    ]
    return of_normal(np.repeat(_statistic(batch, daily), len(batch.taus), axis=0))


def grank_t(batch: Batch) -> Answers:
    value, squares, t_points = _generalised(batch)
    s = np.sqrt(squares / t_points)
    z = value / np.where(s > LEAST, s, np.nan)
    left = t_points - 1 - z * z
    known = (t_points > 2) & (left > 0)
    statistic = np.where(known, z * np.sqrt((t_points - 2) / np.where(known, left, 1.0)), np.nan)
    return of_t(statistic, np.maximum(t_points - 2, 1))


def grank_z(batch: Batch) -> Answers:
    value, _, t_points = _generalised(batch)
    scale = np.sqrt(12 * batch.n * (t_points + 1) / np.maximum(t_points - 1, 1))
    return of_normal(np.where(t_points > 1, value * scale, np.nan))


def daily_scores(
    batch: Batch, name: str, rows: Sorted, late: Floats, inserted: Floats, column: Ints
) -> tuple[Daily, Daily]:
    """The series of `DEVIATIONS` and of `STANDARDISED` with (K, D, N) values put in (D, N) columns of the late days, -1 for none.

    rows: the estimation days, named; late: (D, N, E) values of the days behind them, NaN where missing.
    """
    from engine.significance.batch.compiled import score_residuals, score_rows

    there = np.isfinite(late)
    per_day = np.concatenate([residuals_a_day(batch), there.sum(axis=1)], axis=1)
    many = there.sum(axis=2)
    n, days = rows.known + many, np.maximum(per_day, 1)
    used = (per_day > 0).astype(np.float64)
    slope, centre = np.stack([np.ones(n.shape), 1 / (1 + n)]), (n + 1) / 2

    def among() -> Floats:
        sums = np.zeros((2, len(n), rows.values.shape[2]))
        score_residuals(rows.values, rows.columns, rows.known, slope, centre, sums)
        return sums

    shape = (2, len(inserted), *late.shape[::2])
    found, squares = np.empty(shape), np.empty(shape[:3])
    score_rows(
        rows.values, rows.columns, rows.known, once(batch.common, f"scores of {name}", among), late,
        np.argsort(late, axis=2), many, column, inserted, slope, centre, np.stack([days, np.sqrt(days)]), used, found, squares,
    )  # fmt: skip
    spread = np.sqrt(squares / used.sum(axis=1))
    return Daily(found[DEVIATIONS], spread[DEVIATIONS]), Daily(found[STANDARDISED], spread[STANDARDISED])


def residuals_a_day(batch: Batch) -> Ints:
    """(D, R) how many events have a residual on each estimation day."""
    found: Ints = once(batch.common, "residuals a day", lambda: batch.present.sum(axis=1))
    return found


def _scores(batch: Batch) -> tuple[Daily, Daily]:
    """Of estimation and event-window abnormal returns."""

    def make() -> tuple[Daily, Daily]:
        return daily_scores(batch, "residuals", sorted_residuals(batch), batch.ar, batch.moved, batch.day)

    found: tuple[Daily, Daily] = once(batch.kept, f"scores {batch.on}", make)
    return found


def _statistic(batch: Batch, daily: Daily) -> Floats:
    """(K, D) the window's sum of daily scores over sqrt(L) times their root mean square."""
    s = np.where(daily.spread > LEAST, daily.spread, np.nan)
    return np.asarray(daily.late[:, :, batch.columns].sum(axis=2) / (np.sqrt(len(batch.window)) * s))


def _generalised(batch: Batch) -> tuple[Floats, Floats, Ints]:
    """Mean ranks of the SCARs over their sd among the estimation SARs (K, D), the sums of squares of the daily means weighted
    by the share of events present (K, D), and the days (D,), that of the SCARs among them.

    Residuals over one sigma are in the order of the residuals, so that the SCARs are put among those times sigma.
    """

    def make() -> tuple[Floats, Floats, Ints]:
        from engine.significance.batch.compiled import score_one_more

        rows, scars = sorted_residuals(batch), batch.scars
        sd = scars.std(axis=2, ddof=1)
        inserted = scars / np.where(sd > LEAST * np.abs(scars).max(axis=2), sd, np.nan)[..., None] * batch.sigma
        per_day = np.concatenate([residuals_a_day(batch), np.full((len(batch.car), 1), batch.n)], axis=1)
        n = rows.known + 1
        value, squares = np.empty((*scars.shape[:2], 1)), np.empty(scars.shape[:2])
        base = once(batch.common, "generalised residuals", lambda: _among_residuals(rows, n))
        score_one_more(
            rows.values, rows.columns, rows.known, base, inserted, 1 / (1 + n), (n + 1) / 2,
            np.maximum(per_day, 1).astype(np.float64), per_day / batch.n, value, squares,
        )  # fmt: skip
        value = np.where(np.isfinite(inserted).all(axis=2), value[:, :, 0], np.nan)
        return value, squares, (per_day > 0).sum(axis=1)

    found: tuple[Floats, Floats, Ints] = once(batch.kept, f"generalised {batch.window}", make)
    return found


def _among_residuals(rows: Sorted, n: Ints) -> Floats:
    """(D, R) the daily sums of rank / (1 + n) - 1/2 less what a further value adds, ranks among the residuals alone."""
    from engine.significance.batch.compiled import score_residuals

    base = np.zeros((1, len(n), rows.values.shape[2]))
    score_residuals(rows.values, rows.columns, rows.known, 1 / (1 + n)[None], (n + 1) / 2, base)
    return np.asarray(base[0])
