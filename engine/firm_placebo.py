"""Stand-ins: the event given to other listings on its own date, with the calendar's clustering kept.

The listings of one event day, exchange and benchmark are a cell. Each draw gives the cell's events to as many different
listings out of a pool: its own, and others of the study whose windows are complete and free of real events of their firm.
Each cell draws anew from a stream of its own; all groups and windows share a draw. The lines of one firm would have to be
drawn together, which needs firms with the same lines: a group that holds several lines of a firm at once has no answer.
Fisher (1935), randomisation; Abadie, Diamond & Hainmueller (2010), section 2.4, placebos across units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.abnormal import Cars
from engine.lines import Line
from engine.panel import EventPanel
from engine.placebo import Design, clusters, line_cars
from engine.sessions import Days, Window
from engine.significance import PseudoFirms

NO_DAYS = np.empty(0, "datetime64[D]")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """Who stands in for whom on one event day.

    cars: (P, W) of the listings in the pool, the cell's own first, NaN where one of these is not complete in a window. order:
    (B, P) the pool in the order of each draw. own: how many are the cell's own.
    """

    cars: Floats
    order: Ints
    own: int

    def drawn(self, w: int, seats: Ints) -> Floats:
        """(B, len(seats)) CARs of the stand-ins for the seats, all of them complete in window w, at each draw."""
        known = np.isfinite(self.cars[:, w])
        order = self.order[known[self.order]].reshape(len(self.order), -1)
        rank = np.cumsum(known[: self.own]) - 1
        return np.asarray(order[:, rank[seats]])


@dataclass(frozen=True)
class FirmPlacebo:
    """The cells of a study.

    cell: (N,) of each pair, seat: (N,) its place in the cell's pool. firm: (N,) a code for the firm and date cluster of the
    pair. windows: the W car windows. lines: all that may stand in, of_firm: the firm of each symbol. tables: by line number and
    first and last estimation day, (S, W) CARs with day 0 at each session of the line, NaN where its firm has events of its own.
    """

    windows: tuple[Window, ...]
    cells: tuple[Cell, ...]
    cell: Ints
    seat: Ints
    firm: Ints
    lines: tuple[Line, ...] = ()
    of_firm: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[tuple[int, int, int], Floats] = field(default_factory=dict)

    def sample(self, members: Ints, window: Window) -> PseudoFirms:
        """What `firm_permutation` looks at for the pairs of a group that are complete in a window."""
        w, n, draws = self.windows.index(window), max(len(members), 1), len(self.cells[0].order)
        cars, shares, centre, share = np.zeros(draws), np.zeros(draws), 0.0, 0.0
        others = np.zeros(len(members), np.int64)
        for c in np.unique(self.cell[members]):
            here, cell = self.cell[members] == c, self.cells[c]
            seats = self.seat[members[here]]
            known = np.isfinite(cell.cars[:, w])
            real = np.isin(np.arange(len(known)), seats)
            others[here] = (known & ~real).sum()
            drawn = cell.drawn(w, seats)
            cars += cell.cars[drawn, w].sum(axis=1)
            shares += real[drawn].sum(axis=1)
            centre += len(seats) * float(cell.cars[known, w].mean())
            share += len(seats) * float(real[known].mean())
        lines = len(members) - len(np.unique(self.firm[members]))
        return PseudoFirms((cars - centre) / n, (shares - share) / n, centre / n, share / n, others, lines)


def firm_pseudo_events(
    panel: EventPanel,
    cars: Sequence[Cars],
    controls: Sequence[Line],
    real: Mapping[str, Days],
    firms: Mapping[str, str],
    design: Design,
    draws: int,
    stream: Callable[[str], np.random.Generator],
) -> FirmPlacebo:
    """Fit the model to every line that may stand in, and draw who does.

    cars: of the real pairs, one for each window of ``design``. controls: further lines, of no event. real: the event days of
    each symbol, those of excluded pairs too. firms: of each symbol. stream: a generator for the name of a cell.
    """
    lines = sorted([*controls, *panel.lines], key=lambda line: line.symbol)
    days: dict[str, list[Days]] = {}
    for symbol, found in real.items():
        days.setdefault(firms.get(symbol, symbol), []).append(found)
    tables: dict[tuple[int, int, int], Floats] = {}
    own_cars = np.stack([c.car for c in cars], axis=1)
    cell, seat = np.zeros(len(panel.pairs), np.int64), np.zeros(len(panel.pairs), np.int64)
    cells: list[Cell] = []
    for key, members in _cells(panel):
        first, home = panel.pairs[members[0]], panel.lines[panel.line[members[0]]]
        _, holders, slots = np.unique(panel.line[members], return_index=True, return_inverse=True)
        pool = [own_cars[i] for i in members[holders]]
        for k, line in enumerate(lines):
            if (line.benchmark, line.exchange) != (home.benchmark, home.exchange):
                continue
            kind = (k, first.own.start, first.own.end)
            if kind not in tables:
                taken = np.concatenate([NO_DAYS, *days.get(firms.get(line.symbol, line.symbol), [])])
                tables[kind] = line_cars(line, first.own, taken, design)
            at = int(np.searchsorted(line.dates, first.event_day))
            if at < len(line.dates) and line.dates[at] == first.event_day and np.isfinite(tables[kind][at]).all():
                pool.append(tables[kind][at])
        order = np.argsort(stream(key).random((draws, len(pool))), axis=1, kind="stable")
        cell[members], seat[members] = len(cells), slots
        cells.append(Cell(np.array(pool), order, len(holders)))
    cluster = clusters([p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs])
    named = [f"{c} {firms.get(p.symbol, p.symbol)}" for c, p in zip(cluster, panel.pairs, strict=True)]
    firm = np.unique(named, return_inverse=True)[1]
    return FirmPlacebo(tuple(design.windows), tuple(cells), cell, seat, firm, tuple(lines), firms, tables)


def _cells(panel: EventPanel) -> list[tuple[str, Ints]]:
    """The pairs of each event day, benchmark, exchange and estimation window, in that order, and a name without a date."""
    cells: dict[str, list[int]] = {}
    for i, pair in enumerate(panel.pairs):
        line = panel.lines[panel.line[i]]
        cells.setdefault(f"{pair.event_day} {line.exchange} {line.benchmark} {pair.own}", []).append(i)
    found = [np.array(cells[key]) for key in sorted(cells)]
    return [("; ".join(sorted(f"{panel.pairs[i].event_id} {panel.pairs[i].symbol}" for i in f)), f) for f in found]
