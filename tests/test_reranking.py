"""Ranks of rows in which some values move, against scipy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from engine.significance.rank import Ranked, Scores, _ranks, _series, mean_deviations, mid_ranks, standardised_sums
from engine.significance.reranking import BLOCK, moving

Floats = npt.NDArray[np.float64]


def rows_of(n: int, days: int, seed: int) -> Floats:
    """Rows of few kinds of values, so that many are equal, some missing."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-8, 9, (n, days)) / 4 * rng.choice([0.5, 1.0, 3.0], (n, 1))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


def of_scipy(rows: Floats) -> Floats:
    """An effect that is taken away in thirds parts equal values by their last bit: they are rounded first."""
    made = np.full(rows.shape, np.nan)
    for row, rank in zip(np.round(rows, 9), made, strict=True):
        rank[np.isfinite(row)] = stats.rankdata(row[np.isfinite(row)])
    return made


def test_mid_ranks_of_more_rows_than_a_block() -> None:
    rows = np.nan_to_num(rows_of(2 * BLOCK + 3, 17, 1))
    assert np.array_equal(mid_ranks(rows), stats.rankdata(rows, axis=1))


@pytest.mark.parametrize("columns", [slice(3, 4), slice(5, 9), slice(11, 12)])
def test_moved_values_are_ranked_as_anew(columns: slice) -> None:
    rows = rows_of(BLOCK + 9, 12, 2)
    slope = np.linspace(0.5, 2.0, len(rows))
    ranks = of_scipy(rows)
    now = rows[:, columns]
    pairs = moving(rows, ranks, columns, slope, now - 0.75, now + 1.5)
    for step in (-0.75, -0.3, 0.0, 0.5, 1.5):
        new = rows.copy()
        new[:, columns] += step
        anew, (lifted, own) = of_scipy(new), pairs.ranks(new[:, columns])
        here = np.isfinite(now)
        assert pairs.covers(new[:, columns])
        assert np.array_equal(own[here], anew[:, columns][here])
        others = np.delete(np.arange(rows.shape[1]), columns)
        moved = np.nansum(slope[:, None] * (anew - ranks), axis=0)
        assert lifted[others] == pytest.approx(moved[others], abs=1e-10)
    assert not pairs.covers(now + 2)
    assert not pairs.covers(now - 1)


@pytest.mark.parametrize("scoring", [mean_deviations, standardised_sums])
@pytest.mark.parametrize("start", [0.0, 0.4, 9.0])
def test_series_of_an_effect_near_and_far(scoring: Callable[..., Scores], start: float) -> None:
    rows, columns = rows_of(60, 15, 3), slice(10, 13)
    rows[:, columns] += start / 3

    def shifted(tau: float) -> Floats:
        return np.asarray(rows[:, columns] - tau / 3)

    def anew(tau: float) -> Floats:
        new = rows.copy()
        new[:, columns] = shifted(tau)
        return scores.daily(of_scipy(new))

    ranks, counts = _ranks(rows)
    scores = scoring(counts, np.isfinite(rows).sum(axis=0))
    series = _series(Ranked(rows, ranks, columns, scores, shifted), start, 0.5)
    for tau in (start, start + 0.25, start - 0.5, start + 2, start + 1.5, start - 40, start + 0.1, start - 22):
        assert series(tau) == pytest.approx(anew(tau), abs=1e-10)
