"""The pairs of a calendar as arrays: day 0 of every row, the line it stands on, and the sessions that lines share.

The same rules as in `engine.plan`, looked up once for every distinct case; nothing here goes through the rows one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.announcements import Reaction
from engine.announcements.cases import codes_of, distinct, first_places, reaction_cases
from engine.errors import DataError
from engine.inputs import Study
from engine.kernel import Calendar
from engine.lines import Grid, against_words, benchmark_days, measured_against
from engine.models import WITHOUT_BENCHMARK
from engine.plan import clocks_of, grid_of
from engine.sessions import FIRST_DAY, LAST_YEAR, NO_DAY, Days, Window, exchange_sessions

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SharedLine:
    """The sessions that many listings are measured on, and what against.

    dates: (S,) as of `lines.Line`; calendar: the same for the kernel. against: benchmark and factors in words.
    """

    benchmark: str
    exchange: str
    dates: Days
    calendar: Calendar
    against: str


@dataclass(frozen=True)
class Pairs:
    """The N rows of a calendar, in its order.

    reactions: of the distinct cases; case: (N,) which one a row has. event_day: (N,) NaT without day 0. listing: (N,) into
    ``symbols``. shared: (N,) into ``lines``. position: (N,) day 0 as a session of it, -1 without. own: (N, 2) estimation
    window.
    """

    reactions: tuple[Reaction, ...]
    case: Small
    event_day: Days
    symbols: list[str]
    listing: Small
    lines: tuple[SharedLine, ...]
    shared: Small
    position: Small
    own: Small

    @property
    def sessions(self) -> Ints:
        """(N,) the first of the ``lines`` with the same sessions as the row's own."""
        same = [
            next(j for j, two in enumerate(self.lines) if np.array_equal(one.dates, two.dates)) for one in self.lines
        ]
        return np.array(same, np.int64)[self.shared]

    @property
    def has_day0(self) -> npt.NDArray[np.bool_]:
        return self.position >= 0


def pairs_of(study: Study) -> Pairs:
    """Day 0 of every pair, and its line. Raises DataError for estimation windows that are not before the event window."""
    spec, table = study.spec, study.announcements.table
    listed = table.select("symbol").with_columns(
        pl.Series("exchange", study.exchanges, pl.String), pl.Series("benchmark", study.benchmarks, pl.String)
    )
    last_year = _last_year(study)
    calendars = {e: exchange_sessions(e, last_year) for e in sorted({e for e in study.exchanges if e is not None})}
    on_benchmark = spec.sessions.calendar == "benchmark"
    known = {b: benchmark_days(study.series[b]) for b in set(study.benchmarks) if on_benchmark}
    venues = {s: v for s, v in study.market.venues.items() if not (on_benchmark and s in known)}
    sessions = [calendars[e] if e is not None else None for e in study.exchanges]
    days = [known[b][1:] for b in study.benchmarks] if on_benchmark else [None] * len(table)
    rule = spec.events
    cases = reaction_cases(table, study.exchanges, sessions, days, rule.reaction, rule.stamp, rule.max_gap_days)
    homes = listed.select("benchmark", "exchange" if not on_benchmark else pl.lit("").alias("exchange"))
    shared, home_rows = distinct(homes)
    explains = spec.model.name not in WITHOUT_BENCHMARK and not (spec.factors is not None and spec.factors.has_market)
    clocks = clocks_of(study, calendars, last_year)
    lines: list[SharedLine] = []
    for benchmark, exchange in homes[home_rows].rows():
        home = calendars.get(study.exchanges[int(home_rows[len(lines)])] or "")
        grid = grid_of(known.get(benchmark), home, clocks)
        lines.append(_line(study, grid, benchmark, benchmark if explains else "", exchange, venues, int(on_benchmark)))
    of_case = np.array([NO_DAY if r.event_day is None else r.event_day for r in cases.reactions], "datetime64[D]")
    event_day = of_case[cases.case]
    first, listing = first_places(codes_of(table["symbol"]))
    return Pairs(
        reactions=cases.reactions,
        case=cases.case.astype(np.int32),
        event_day=event_day,
        symbols=table["symbol"][first].to_list(),
        listing=listing.astype(np.int32),
        lines=tuple(lines),
        shared=shared.astype(np.int32),
        position=_positions(event_day, shared, lines),
        own=_own_windows(study),
    )


def _line(
    study: Study, grid: Grid, benchmark: str, against: str, exchange: str, venues: Mapping[str, str], skip: int
) -> SharedLine:
    market = replace(study.market, venues=venues)
    nothing = np.full(len(grid.dates), np.nan)
    regressors, riskfree = measured_against("", against, nothing, grid, market)
    around = np.isfinite(riskfree) & np.isfinite(regressors).all(axis=0)
    days = grid.dates.astype("datetime64[D]").astype(np.int64).astype(np.int32)
    calendar = Calendar(
        days,
        np.ascontiguousarray(np.where(around, regressors, np.nan)[:, skip:]),
        np.ascontiguousarray(np.where(around, riskfree, np.nan)[skip:]),
        skip,
    )
    return SharedLine(benchmark, exchange, grid.dates[skip:], calendar, against_words("", against, market))


def _positions(event_day: Days, shared: Ints, lines: Sequence[SharedLine]) -> Small:
    """Day 0 of each row as a session of its line, -1 where it has none."""
    position = np.full(len(event_day), -1, np.int32)
    for i, line in enumerate(lines):
        rows = np.flatnonzero((shared == i) & ~np.isnat(event_day))
        position[rows] = np.searchsorted(line.dates, event_day[rows])
    return position


def _own_windows(study: Study) -> Small:
    """(N, 2) the study's estimation window, with the rows' overrides."""
    spec, table = study.spec, study.announcements.table
    ends = (("estimation_start", spec.estimation_window.start), ("estimation_end", spec.estimation_window.end))
    own = np.stack([table[name].fill_null(value).to_numpy() for name, value in ends], axis=1)
    wrong = np.flatnonzero((own[:, 0] > own[:, 1]) | (own[:, 1] >= spec.event_window.start))
    if len(wrong):
        start, end = own[wrong[0]].tolist()
        raise DataError(
            f"{table['where'][int(wrong[0])]}: estimation window [{start}, {end}] is reversed or does not end before the event "
            f"window {spec.event_window}. Correct estimation_start and estimation_end."
        )
    return own.astype(np.int32)


def _last_year(study: Study) -> int:
    """As in `engine.plan`: the last year that calendars must cover."""
    assert study.parted is not None
    stamps = study.announcements.table.select("announced_at", "first_public_at")
    years = [
        int(y)
        for column in stamps.iter_columns()
        for y in column.str.slice(0, 4).unique()
        if y.isdigit() and y >= str(FIRST_DAY)[:4]
    ]
    ahead = 1 + max(study.spec.event_window.end, 0) // 240
    priced = [int(str(s.dates[-1])[:4]) for s in study.series.values() if len(s.dates)]
    if study.parted.last_day is not None:
        priced.append(int(str(study.parted.last_day)[:4]))
    return min(max([y + ahead for y in years] + priced, default=2000), LAST_YEAR)


def rows_window(own: Small) -> Window:
    """The union of the estimation windows."""
    return Window(int(own[:, 0].min()), int(own[:, 1].max()))
