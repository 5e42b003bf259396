"""Stand-ins: the event given to other listings on its own date, with the calendar's clustering kept.

The listings of one event day, exchange and benchmark are a cell. Each draw gives the cell's events to as many different
listings out of a pool: its own, and others of the study whose windows are complete and free of real events. Each cell draws
anew; all groups and windows share a draw. Listings of one firm on two exchanges are drawn on each for itself.
Fisher (1935), randomisation; Abadie, Diamond & Hainmueller (2010), section 2.4, placebos across units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.abnormal import Cars
from engine.lines import Line
from engine.panel import EventPanel
from engine.placebo import Design, line_cars
from engine.sessions import Days, Window
from engine.significance import PseudoFirms

NO_DAYS = np.empty(0, "datetime64[D]")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FirmPlacebo:
    """Who stands in for whom.

    pools: for each pair (P, W) CARs of the listings that its event can go to; empty where they are too few. seats: for each
    pair (P,) whose seat a pool's listing has, -1 for none. seat: (N,) the pair's own. drawn: (N, B) the place in the pool that
    stands in for the pair at each draw. windows: the W car windows.
    """

    windows: tuple[Window, ...]
    pools: tuple[Floats, ...]
    seats: tuple[Ints, ...]
    seat: Ints
    drawn: Ints

    def sample(self, members: Ints, window: Window) -> PseudoFirms:
        """What `firm_permutation` looks at for the pairs of a group that are complete in a window."""
        w, n, draws = self.windows.index(window), max(len(members), 1), self.drawn.shape[1]
        cars, shares, centre, share = np.zeros(draws), np.zeros(draws), 0.0, 0.0
        others = np.zeros(len(members), np.int64)
        for row, i in enumerate(members):
            if not len(self.pools[i]):
                continue
            real = np.isin(self.seats[i], self.seat[members])
            others[row] = (~real).sum()
            cars += np.take(self.pools[i][:, w], self.drawn[i])
            shares += np.take(real.astype(np.float64), self.drawn[i])
            centre, share = centre + float(self.pools[i][:, w].mean()), share + float(real.mean())
        return PseudoFirms((cars - centre) / n, (shares - share) / n, centre / n, share / n, others)


def firm_pseudo_events(
    panel: EventPanel,
    cars: Sequence[Cars],
    controls: Sequence[Line],
    real: Mapping[str, Days],
    design: Design,
    draws: int,
    rng: np.random.Generator,
) -> FirmPlacebo:
    """Fit the model to every line that may stand in, and draw who does.

    cars: of the real pairs, one for each window of ``design``. controls: further lines, of no event. real: the event days of
    each symbol, those of excluded pairs too.
    """
    lines = sorted([*controls, *panel.lines], key=lambda line: line.symbol)
    tables: dict[tuple[int, int, int], Floats] = {}
    own_cars = np.stack([c.car for c in cars], axis=1)
    pools: list[Floats] = [np.empty((0, len(cars)))] * len(panel.pairs)
    seats: list[Ints] = [np.empty(0, np.int64)] * len(panel.pairs)
    seat, drawn = np.zeros(len(panel.pairs), np.int64), np.zeros((len(panel.pairs), draws), np.int64)
    for members in _cells(panel):
        first, home = panel.pairs[members[0]], panel.lines[panel.line[members[0]]]
        _, holders, slots = np.unique(panel.line[members], return_index=True, return_inverse=True)
        seat[members] = members[holders][slots]
        pool = {int(i): own_cars[i] for i in members[holders] if np.isfinite(own_cars[i]).all()}
        for k, line in enumerate(lines):
            if (line.benchmark, line.exchange) != (home.benchmark, home.exchange):
                continue
            kind = (k, first.own.start, first.own.end)
            if kind not in tables:
                tables[kind] = line_cars(line, first.own, real.get(line.symbol, NO_DAYS), design)
            at = int(np.searchsorted(line.dates, first.event_day))
            if at < len(line.dates) and line.dates[at] == first.event_day and np.isfinite(tables[kind][at]).all():
                pool[-1 - k] = tables[kind][at]
        if len(pool) < len(holders):
            continue
        order = np.argsort(rng.random((draws, len(pool))), axis=1, kind="stable")
        for slot, i in zip(slots, members, strict=True):
            pools[i], seats[i], drawn[i] = np.array([*pool.values()]), np.array([*pool]), order[:, slot]
    return FirmPlacebo(tuple(design.windows), tuple(pools), tuple(seats), seat, drawn)


def _cells(panel: EventPanel) -> list[Ints]:
    """The pairs of each event day, benchmark, exchange and estimation window, in that order."""
    cells: dict[tuple[str, str, str, int, int], list[int]] = {}
    for i, pair in enumerate(panel.pairs):
        line = panel.lines[panel.line[i]]
        key = (str(pair.event_day), line.benchmark, line.exchange, pair.own.start, pair.own.end)
        cells.setdefault(key, []).append(i)
    return [np.array(cells[key]) for key in sorted(cells)]
