"""`engine.significance.rank` for many samples at once: each row is ordered once, and an effect moves one value of it.

The day with the effect is left out of the order and put in again for each effect: it ranks above the values below it, and
lifts those above it by one. The formulas and their sources stand with the functions of the same names there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.significance.batch.sample import Answers, Batch, Floats, Ints, of_normal, of_t, once

Bools = npt.NDArray[np.bool_]
LEAST = 16 * float(np.finfo(np.float64).eps)  # below it a spread of scores is rounding


@dataclass(frozen=True)
class Ordered:
    """(D, N, T) rows with one column left out, -1 for none: (D, N, T) columns by value, the ``known`` (D, N) first.

    there: (D, N, T) whether there is a value, in the column left out always.
    """

    rows: Floats
    order: Ints
    known: Ints
    there: Bools
    column: int


def ordered(batch: Batch, rows: Floats, column: int) -> Ordered:
    """Order rows that begin with the residuals of the batch, or with values in the same order."""
    from engine.significance.batch.compiled import merge_columns

    order, known = residual_order(batch)
    there = np.isfinite(rows)
    if column >= 0:
        there[:, :, column] = True
    whole, counts = np.zeros(rows.shape, np.int64), np.empty(known.shape, np.int64)
    merge_columns(rows, order, known, order.shape[2], column, whole, counts)
    return Ordered(rows, whole, counts, there, column)


def residual_order(batch: Batch) -> tuple[Ints, Ints]:
    """(D, N, R) the columns of the residuals by value, those without one last, and (D, N) how many have one."""

    def make() -> tuple[Ints, Ints]:
        present = np.isfinite(batch.residuals)
        return np.argsort(np.where(present, batch.residuals, np.inf), axis=2), present.sum(axis=2)

    found: tuple[Ints, Ints] = once(batch.common, "order of the residuals", make)
    return found


@dataclass(frozen=True)
class Daily:
    """A daily series of scores for each sample and effect, slope_i rank + offset_i summed over the events and weighted.

    series: (K, D, T). used: (D, T) days on which any event has a rank.
    """

    series: Floats
    used: Bools

    def spread(self) -> Floats:
        """(K, D) the root mean square over the days used."""
        squares = np.where(self.used, self.series, 0.0) ** 2
        return np.asarray(np.sqrt(squares.sum(axis=2) / self.used.sum(axis=1)))


def corrado(batch: Batch) -> Answers:
    return of_normal(_rank_test(batch, "deviations"))


def corrado_zivney(batch: Batch) -> Answers:
    return of_normal(_rank_test(batch, "standardised"))


def variance_rank(batch: Batch) -> Answers:
    """Of absolute values, which an effect moves in no one direction: without one."""
    rows = np.abs(all_rows(batch))
    there = np.isfinite(rows)
    order = np.argsort(np.where(there, rows, np.inf), axis=2)
    whole = Ordered(rows, order, there.sum(axis=2), there, -1)
    daily = daily_scores(whole, np.empty((1, *batch.car.shape)), ("standardised",), {})["standardised"]
    return of_normal(np.repeat(_statistic(batch, daily), len(batch.taus), axis=0))


def grank_t(batch: Batch) -> Answers:
    daily, points = _generalised(batch)
    share = points / batch.n
    t_points = daily.used.sum(axis=1)
    s = np.sqrt(np.where(daily.used, share * daily.series**2, 0.0).sum(axis=2) / t_points)
    z = daily.series[:, :, -1] / np.where(s > LEAST, s, np.nan)
    left = t_points - 1 - z * z
    known = (t_points > 2) & (left > 0)
    statistic = np.where(known, z * np.sqrt((t_points - 2) / np.where(known, left, 1.0)), np.nan)
    return of_t(statistic, np.maximum(t_points - 2, 1))


def grank_z(batch: Batch) -> Answers:
    daily, _ = _generalised(batch)
    t_points = daily.used.sum(axis=1)
    scale = np.sqrt(12 * batch.n * (t_points + 1) / np.maximum(t_points - 1, 1))
    return of_normal(np.where(t_points > 1, daily.series[:, :, -1] * scale, np.nan))


def all_rows(batch: Batch) -> Floats:
    """Estimation and event-window abnormal returns side by side, (D, N, R + E)."""
    return np.concatenate([batch.residuals, batch.ar], axis=2)


def daily_scores(rows: Ordered, inserted: Floats, scorings: Sequence[str], kept: dict[str, Any]) -> dict[str, Daily]:
    """The series of each scoring with (K, D, N) values put into the column left out; K = 1 and no values where none is.

    "deviations" from the mean rank, averaged; "standardised" ranks U = rank / (1 + count) - 1/2 summed over sqrt(n_t), or
    "means" of them. kept: where the scores of the rows among themselves are kept, under the names of the scorings.
    """
    from engine.significance.batch.compiled import score_inserted, score_ranks

    counts, per_day = rows.there.sum(axis=2), rows.there.sum(axis=1)
    plain = [scoring == "deviations" for scoring in scorings]
    slope = np.stack([np.ones(counts.shape) if one else 1 / (1 + counts) for one in plain])
    offset = np.stack([-(counts + 1) / 2 if one else np.full(counts.shape, -0.5) for one in plain])

    def among() -> Floats:
        sums = np.zeros((len(scorings), *per_day.shape))
        score_ranks(rows.rows, rows.order, rows.known, slope, offset, sums)
        return sums

    base: Floats = once(kept, f"scores {scorings} {rows.column}", among)
    sums = np.zeros((len(scorings), len(inserted), *per_day.shape))
    if rows.column >= 0:
        score_inserted(rows.rows, rows.order, rows.known, inserted, rows.column, slope, offset, sums)
    sums += base[:, None]
    days = np.maximum(per_day, 1)
    weights = {"deviations": days, "means": days, "standardised": np.sqrt(days)}
    return {scoring: Daily(sums[s] / weights[scoring], per_day > 0) for s, scoring in enumerate(scorings)}


def _rank_test(batch: Batch, scoring: str) -> Floats:
    """(K, D) the window's sum of daily scores over sqrt(L) times their root mean square."""
    return _statistic(batch, once(batch.kept, f"scores {batch.day} {batch.window}", lambda: _scores(batch))[scoring])


def _scores(batch: Batch) -> dict[str, Daily]:
    column = batch.residuals.shape[2] + batch.day
    rows: Ordered = once(batch.kept, f"rows without {column}", lambda: ordered(batch, all_rows(batch), column))
    inserted = batch.ar[:, :, batch.day] + batch.taus[:, None, None]
    return daily_scores(rows, inserted, ("deviations", "standardised"), batch.kept)


def _statistic(batch: Batch, daily: Daily) -> Floats:
    before, spread = batch.residuals.shape[2], daily.spread()
    columns = slice(before + batch.columns.start, before + batch.columns.stop)
    s = np.where(spread > LEAST, spread, np.nan)
    return np.asarray(daily.series[:, :, columns].sum(axis=2) / (np.sqrt(len(batch.window)) * s))


def _generalised(batch: Batch) -> tuple[Daily, Ints]:
    """The daily means of the ranks of estimation SARs and, last, the SCAR over its sd; and how many events each day has.

    Residuals over one sigma are in the order of the residuals, so that the SCARs are put among those times sigma.
    """
    order, known = residual_order(batch)
    there = np.concatenate([np.isfinite(batch.residuals), np.ones((*known.shape, 1), bool)], axis=2)
    scars = batch.scars
    sd = scars.std(axis=2, ddof=1)
    inserted = scars / np.where(sd > LEAST * np.abs(scars).max(axis=2), sd, np.nan)[..., None] * batch.sigma
    rows = Ordered(batch.residuals, order, known, there, order.shape[2])
    return daily_scores(rows, inserted, ("means",), batch.common)["means"], there.sum(axis=1)
