"""Tests of very many events whose residuals are never all in memory: block by block they leave sums, from which the tests answer.

A block is some events with all their days. What the sums of a test are depends on the group and window alone, a cell: the
blocks' sums are added in the order of the blocks, whoever made them. Every answer is that of the test's own function but
for an interval, which takes the residuals many times over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.significance.parametric import ZERO_MEAN, crude_of_average
from engine.significance.rank import (
    MOST_RANKED,
    NULL_RANK,
    SAME_SCARS,
    Scoring,
    mean_deviations,
    mid_ranks,
    of_daily,
    of_mean_rank,
    of_mean_ranks,
    standardised_sums,
)
from engine.significance.sample import CarSample, Significance, noise, unavailable
from engine.significance.sign import sign_of_share
from engine.significance.variance import NULL_VARIANCE_RANK
from engine.ties import above, at_most, below

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Sums = tuple[Floats, ...]
NO_INTERVAL = "no interval: too many ranks"


@dataclass(frozen=True)
class Block:
    """n events. residuals: (n, R); ar: (n, L) of the event window; sigma: (n,); NaN where missing. compiled: whether the sums of
    ranks are made by `fused_ranks`."""

    residuals: Floats
    ar: Floats
    sigma: Floats
    compiled: bool = False

    @cached_property
    def rows(self) -> Floats:
        return np.concatenate([self.residuals, self.ar], axis=1)

    @cached_property
    def present(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.rows)

    @cached_property
    def ranks(self) -> Floats:
        return _ranked(self.rows, self.present)

    @cached_property
    def residual_ranks(self) -> Floats:
        return _ranked(self.residuals, np.isfinite(self.residuals))

    @cached_property
    def sizes(self) -> Floats:
        return _ranked(np.abs(self.rows), self.present)

    @cached_property
    def standardised(self) -> Floats:
        return self.residuals / self.sigma[:, None]

    @cached_property
    def counts(self) -> Ints:
        """(n,) how many ranks an event has."""
        return np.asarray(self.present.sum(axis=1))

    @cached_property
    def shares(self) -> Floats:
        """(n,) each event's share of residuals above zero."""
        if self.compiled:
            from engine.significance.fused_ranks import above_shares

            shares = np.empty(len(self.residuals))
            above_shares(self.residuals, shares)
            return shares
        positive, there = above(self.residuals, 0.0).sum(axis=1), np.isfinite(self.residuals).sum(axis=1)
        return np.asarray(positive / np.maximum(there, 1))


@dataclass(frozen=True)
class Cell:
    """One group and window in a block.

    members: of the block. columns: of the window in ``ar``. scar: of the members. spread: the sd of all SCARs of the cell.
    """

    members: Ints
    columns: slice
    scar: Floats
    spread: float


def _ranked(values: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    """Ranks in each row, 0 where missing."""
    return np.where(present, mid_ranks(np.where(present, values, np.inf)), 0.0)


@dataclass(frozen=True)
class ByRank:
    """Sums of the scores by day, before the days' own weights, and how many events a day has. sizes: of ranks of sizes."""

    scoring: Scoring
    sizes: bool = False

    def __call__(self, block: Block, cell: Cell) -> Sums:
        ranks, members = block.sizes if self.sizes else block.ranks, cell.members
        scores = self.scoring(block.counts[members], np.ones(1, np.int64))
        present = block.present[members]
        scored = np.where(present, ranks[members] * scores.slope[:, None] + scores.offset[:, None], 0.0)
        return scored.sum(axis=0), present.sum(axis=0).astype(np.float64)


def _generalised(block: Block, cell: Cell) -> Sums:
    """The sums of U by point, the SCAR the last, and how many events a point has."""
    own = cell.scar / cell.spread
    residuals, ranks = block.standardised[cell.members], block.residual_ranks[cell.members]
    present = np.isfinite(residuals)
    lower = below(residuals, own[:, None])
    equal = at_most(residuals, own[:, None]) & ~lower
    rank = 1 + lower.sum(axis=1) + 0.5 * equal.sum(axis=1)
    slope = 1 / (2 + present.sum(axis=1))
    lifted = ranks + np.where(present, (~lower) - 0.5 * equal, 0.0)
    u = np.where(present, lifted * slope[:, None] - 0.5, 0.0).sum(axis=0)
    return np.append(u, (rank * slope - 0.5).sum()), np.append(present.sum(axis=0), len(rank)).astype(np.float64)


def _compiled(names: Sequence[str], block: Block, cells: Sequence[Cell]) -> dict[str, list[Sums]]:
    """The sums of the rank tests among the names, by test and cell: all from one look at the events."""
    from engine.significance.fused_ranks import rank_sums

    member, own = np.zeros((len(cells), len(block.sigma)), bool), np.zeros((len(cells), len(block.sigma)))
    for c, cell in enumerate(cells):
        member[c, cell.members], own[c, cell.members] = True, cell.scar / cell.spread
    points = [name for name in names if SWEEPS[name].sums is _generalised]
    found: dict[str, list[Sums]] = {}
    for sizes in (False, True):
        scorings = {n: s.scoring for n in names if isinstance(s := SWEEPS[n].sums, ByRank) and s.sizes == sizes}
        alone = own if points and not sizes else own[:0]
        if scorings or len(alone):
            residuals, ar = (np.abs(block.residuals), np.abs(block.ar)) if sizes else (block.residuals, block.ar)
            total, many, u, of = rank_sums(residuals, ar, block.sigma, member, alone, list(scorings.values()))
            found |= {name: list(zip(one, many, strict=True)) for name, one in zip(scorings, total, strict=True)}
            found |= {name: list(zip(u, of, strict=True)) for name in points if not sizes}
    return found


def _averages(block: Block, cell: Cell) -> Sums:
    """The sums of residuals by day, how many there are, and the largest of them."""
    residuals = block.residuals[cell.members]
    present = np.isfinite(residuals)
    kept = np.where(present, residuals, 0.0)
    largest = np.abs(kept).max(initial=0.0)
    return kept.sum(axis=0), present.sum(axis=0).astype(np.float64), np.array([largest])


def _shares(block: Block, cell: Cell) -> Sums:
    """The sum over the events of their share of residuals above zero."""
    return (np.array([block.shares[cell.members].sum()]),)


def _of_ranks(name: str, scoring: Scoring, null: str) -> Callable[[CarSample, Sums], Significance]:
    def answer(sample: CarSample, sums: Sums) -> Significance:
        scored, counts = sums
        weight = scoring(np.ones(1, np.int64), counts.astype(np.int64)).weight
        before = len(scored) - len(sample.event_window)
        columns = slice(before + sample.columns.start, before + sample.columns.stop)
        found = of_daily(sample, name, scored * weight, counts > 0, columns, null)
        return found if found.unavailable or name == "variance_rank" else replace(found, note=NO_INTERVAL)

    return answer


def _of_points(finish: Callable[[CarSample, Floats, Ints], Significance]) -> Callable[[CarSample, Sums], Significance]:
    def answer(sample: CarSample, sums: Sums) -> Significance:
        u, counts = sums
        found = finish(sample, u / np.maximum(counts, 1), counts.astype(np.int64))
        return found if found.unavailable else replace(found, note=NO_INTERVAL)

    return answer


def _of_averages(sample: CarSample, sums: Sums) -> Significance:
    total, counts, largest = sums
    used = counts > 0
    return crude_of_average(sample, total[used] / counts[used], noise(largest))


@dataclass(frozen=True)
class Sweep:
    """A test by sums. sums: of a block's cell; added up block by block, but for those that ``largest`` names by position.

    answer: from the sums of all blocks.
    """

    sums: Callable[[Block, Cell], Sums]
    answer: Callable[[CarSample, Sums], Significance]
    largest: tuple[int, ...] = ()


SWEEPS: dict[str, Sweep] = {
    "corrado": Sweep(ByRank(mean_deviations), _of_ranks("corrado", mean_deviations, NULL_RANK)),
    "corrado_zivney": Sweep(ByRank(standardised_sums), _of_ranks("corrado_zivney", standardised_sums, NULL_RANK)),
    "variance_rank": Sweep(
        ByRank(standardised_sums, sizes=True), _of_ranks("variance_rank", standardised_sums, NULL_VARIANCE_RANK)
    ),
    "grank_t": Sweep(_generalised, _of_points(of_mean_ranks)),
    "grank_z": Sweep(_generalised, _of_points(of_mean_rank)),
    "crude_dependence_t": Sweep(_averages, _of_averages, largest=(2,)),
    "generalized_sign": Sweep(_shares, lambda sample, sums: sign_of_share(sample, float(sums[0][0]) / sample.n)),
}
# Tests that need every pair of events, or the days of all events again and again.
EVERY_PAIR = frozenset({"kolari_pynnonen", "adjusted_patell", "kolari_pape_pynnonen"})
NOT_SWEPT = {
    "corrado_zivney_adjusted": "restandardises the days of each window across all events, whose residuals are not all in memory",
    **dict.fromkeys(EVERY_PAIR, "needs the correlation of every pair of events, of which there are too many"),
}


def added(sweep: Sweep, one: Sums, other: Sums) -> Sums:
    """The sums of two blocks as those of one."""
    return tuple(
        np.maximum(a, b) if i in sweep.largest else a + b for i, (a, b) in enumerate(zip(one, other, strict=True))
    )


def answer_of(name: str, sample: CarSample, sums: Mapping[str, Sums]) -> Significance | None:
    """The answer of a test that was swept or cannot be; None for one that needs no residuals."""
    if name not in SWEEPS and name not in NOT_SWEPT:
        return None
    if sample.n < 2:
        return unavailable(sample, name, f"needs at least 2 events, has {sample.n}")
    if name in NOT_SWEPT:
        return unavailable(sample, name, f"{NOT_SWEPT[name]} (above {MOST_RANKED} residuals)", ZERO_MEAN)
    if name.startswith("grank") and not float(sample.scar.std(ddof=1)) > noise(sample.scar):
        return unavailable(sample, name, SAME_SCARS, NULL_RANK)
    return SWEEPS[name].answer(sample, sums[name])


def sums_of(
    names: Sequence[str], block: Block, cells: Mapping[tuple[int, int], Cell]
) -> dict[tuple[str, int, int], Sums]:
    """The sums of every test and cell of a block; `grank_t` and `grank_z` share theirs."""
    by_rank = _compiled(names, block, list(cells.values())) if block.compiled else {}
    made: dict[tuple[str, int, int], Sums] = {}
    for c, (at, cell) in enumerate(cells.items()):
        for name in names:
            same = next((n for n in names[: names.index(name)] if SWEEPS[n].sums is SWEEPS[name].sums), None)
            if name in by_rank:
                made[name, *at] = by_rank[name][c]
            else:
                made[name, *at] = made[same, *at] if same is not None else SWEEPS[name].sums(block, cell)
    return made
