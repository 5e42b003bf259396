"""`firm_permutation` at pseudo-dates: at each, other listings stand in for those that have the pseudo-event.

The pools are made as those of the real events (`engine.firm_placebo`): the listings of a cell, one day, exchange, benchmark and
estimation window, and others of the same exchange and benchmark whose firms have no event near, neither a real one nor one of
the pseudo-sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.firm_placebo import FirmPlacebo
from engine.pseudo_samples import Subject
from engine.significance.batch import Answers, Batch
from engine.significance.sample import empirical_p
from engine.ties import at_least, at_most

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """One cell of a pseudo-sample. members: its pairs, seat: (M,) the listing of each, numbered from 0. others: (P, W) the CARs
    of the listings that may stand in."""

    members: Ints
    seat: Ints
    others: Floats


@dataclass(frozen=True)
class StandIns:
    """Who may stand in for the pairs of a subject, and how often that is drawn for one pseudo-sample. seed: of the study."""

    subject: Subject
    placebo: FirmPlacebo
    draws: int
    seed: int

    @cached_property
    def places(self) -> list[dict[int, int]]:
        """For each line that may stand in, the position of each of its days."""
        return [{d: at for at, d in enumerate(line.dates.astype(np.int64).tolist())} for line in self.placebo.lines]

    def pools(self, position: Ints) -> list[Pool]:
        """The cells of the pseudo-sample with day 0 at (N,) positions, in the order of their first pair."""
        panel, firm = self.subject.panel, self.placebo.of_firm
        lines = [panel.lines[k] for k in panel.line]
        days = [int(line.dates[at].astype(np.int64)) for line, at in zip(lines, position, strict=True)]
        busy: dict[str, list[int]] = {}
        cells: dict[tuple[object, ...], list[int]] = {}
        for i, line in enumerate(lines):
            busy.setdefault(firm.get(line.symbol, line.symbol), []).append(days[i])
            cells.setdefault((days[i], line.exchange, line.benchmark, *panel.own[i].tolist()), []).append(i)
        found = []
        for (day, exchange, benchmark, first, last), members in cells.items():
            seat = np.unique(panel.line[members], return_inverse=True)[1]
            others = [
                self.placebo.tables[k, first, last][at]  # type: ignore[index]
                for k, line in enumerate(self.placebo.lines)
                if (line.exchange, line.benchmark) == (exchange, benchmark)
                and (at := self.places[k].get(day, -1)) >= 0  # type: ignore[call-overload]
                and not self._near(k, at, busy.get(firm.get(line.symbol, line.symbol), ()))
            ]
            pool = np.array([cars for cars in others if np.isfinite(cars).all()]).reshape(-1, len(self.placebo.windows))
            found.append(Pool(np.array(members), seat, pool))
        return found

    def _near(self, k: int, at: int, days: Sequence[int]) -> bool:
        """Whether the event window at a position of a line touches one around any of the days."""
        length, dates = len(self.subject.panel.event_window), self.placebo.lines[k].dates
        return any(abs(at - int(np.searchsorted(dates, np.datetime64(day, "D")))) < length for day in days)

    def lines(self) -> int:
        """How many of the pairs are further lines of a firm for the same news, which no draw keeps together."""
        firm = self.placebo.of_firm
        named = {
            (int(c), firm.get(p.symbol, p.symbol))
            for c, p in zip(self.subject.dates.cluster, self.subject.panel.pairs, strict=True)
        }
        return self.subject.n - len(named)


def firm_answers(batch: Batch, stand_ins: StandIns, pools: Sequence[Sequence[Pool]], numbers: Ints) -> Answers:
    """The p-values of `firm_permutation` for D pseudo-samples with K effects; NaN where nobody can stand in for some event.

    pools: of each sample; numbers: (D,) of each draw, whose stream is its own.
    """
    cars, w = batch.cars, stand_ins.placebo.windows.index(batch.window)
    shape = cars.shape[:2]
    counts = {side: np.full(shape, np.nan) for side in ("less", "greater", "two-sided")}
    value = np.full(shape, np.nan)
    for d, sample in enumerate(pools):
        if all(len(pool.others) for pool in sample):
            drawn = _drawn(cars[:, d], sample, w, stand_ins, int(numbers[d]), batch.taus)
            value[:, d], extreme = drawn
            for side, p in extreme.items():
                counts[side][:, d] = p
    return Answers(value, lambda alternative: counts[alternative])


def _drawn(
    cars: Floats, sample: Sequence[Pool], w: int, stand_ins: StandIns, number: int, taus: Floats
) -> tuple[Floats, Mapping[str, Floats]]:
    """(K,) the mean CAR less that of the pools, and its p-values, for (K, N) CARs: `engine.significance.firm_permutation`."""
    rng = np.random.default_rng(np.random.SeedSequence(stand_ins.seed, spawn_key=(*b"firm_permutation", number)))
    draws, n, zero = stand_ins.draws, cars.shape[1], int(np.argmin(np.abs(taus)))
    summed, shares, centre, share = np.zeros(draws), np.zeros(draws), 0.0, 0.0
    for pool in sample:
        own = np.zeros(int(pool.seat.max()) + 1)
        own[pool.seat] = cars[zero, pool.members]
        every = np.concatenate([own, pool.others[:, w]])
        if len(own) == 1:
            order = rng.integers(0, len(every), (draws, 1))
        else:
            order = np.argsort(rng.random((draws, len(every))), axis=1, kind="stable")
        chosen = order[:, pool.seat]
        summed += every[chosen].sum(axis=1)
        shares += (chosen < len(own)).sum(axis=1)
        centre += len(pool.members) * float(every.mean())
        share += len(pool.members) * len(own) / len(every)
    null = ((summed - centre) + taus[:, None] * (shares - share)) / n
    value = (cars[zero].sum() - centre) / n + taus * (1 - share / n)
    own = value[:, None]
    lower, upper = at_most(null, own).sum(axis=1), at_least(null, own).sum(axis=1)
    beyond = at_least(np.abs(null), np.abs(own)).sum(axis=1)
    return value, {side: empirical_p(lower, upper, beyond, draws, side) for side in ("less", "greater", "two-sided")}
