"""The seam: announcements and prices become arrays of returns in event time. Behind it there are no dates and no tables.

A return of session t exists only if the listing and its benchmark have a valid price on t and on the session before t
of the listing's calendar. Every pair that does not get through leaves a row with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from engine.announcements import Reaction
from engine.market import PriceSeries
from engine.sessions import Days, Window, first_on_or_after, positions_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Exclusion:
    """One lost pair, or one lost window of a pair (stage ``window``)."""

    event_id: str
    symbol: str
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Line:
    """One listing against one benchmark, on the sessions of its calendar.

    dates: (S,) sessions. returns, market: (S,) NaN where the rule gives no return (then in both).
    unused: rows of the price file on days that are no session, and stale rows, for the quality report.
    """

    symbol: str
    benchmark: str
    dates: Days
    returns: Floats
    market: Floats
    span: str
    off_session: int
    stale: int


@dataclass(frozen=True)
class Pair:
    """One (event, listing) pair that has a day 0: where it stands and its own estimation window."""

    event_id: str
    symbol: str
    line: tuple[str, str, str]
    event_day: np.datetime64
    own: Window


@dataclass(frozen=True)
class EventPanel:
    """N pairs in event time: R estimation rows, L event rows.

    estimation_rows: the relative days of the R columns (the union of the pairs' own windows); event_window: of the L.
    own: (N, 2) each pair's own estimation window. line, position: (N,) its line in ``lines`` and day 0 on it.
    returns, market: (N, R), NaN outside the pair's own window and where missing. estimation_days: (N, R) day numbers.
    event_returns, event_market: (N, L). event_dates: (N, L), NaT beyond the calendar.
    """

    pairs: tuple[Pair, ...]
    lines: tuple[Line, ...]
    estimation_rows: Window
    event_window: Window
    own: Ints
    line: Ints
    position: Ints
    returns: Floats
    market: Floats
    estimation_days: Ints
    event_returns: Floats
    event_market: Floats
    event_dates: Days

    def take(self, chosen: npt.NDArray[np.int64]) -> EventPanel:
        """The chosen pairs, in that order."""
        arrays = {
            f.name: getattr(self, f.name)[chosen] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        return replace(self, pairs=tuple(self.pairs[i] for i in chosen), **arrays)


def build_line(
    series: PriceSeries, benchmark: PriceSeries | None, sessions: Days, log_returns: bool, benchmark_grid: bool
) -> Line:
    """Put a listing and its benchmark (None: the model needs none) on the sessions of the listing's calendar.

    benchmark_grid: ``sessions`` are the benchmark's own days, whose first return needs the day before the first.
    """
    returns = _returns(series, sessions, log_returns)
    if benchmark is None:
        market = np.full(len(sessions), np.nan)
        known = np.isfinite(returns)
    else:
        market = _returns(benchmark, sessions, log_returns)
        known = np.isfinite(returns) & np.isfinite(market)
        market = np.where(known, market, np.nan)
    off_session = int((positions_of(series.dates, sessions) < 0).sum())
    dates = series.dates
    return Line(
        symbol=series.symbol,
        benchmark=benchmark.symbol if benchmark is not None else "",
        dates=sessions[1:] if benchmark_grid else sessions,
        returns=np.where(known, returns, np.nan)[1 if benchmark_grid else 0 :],
        market=market[1 if benchmark_grid else 0 :],
        span=f"{dates[0]} to {dates[-1]}" if len(dates) else "no rows",
        off_session=off_session,
        stale=int(series.stale.sum()),
    )


def benchmark_days(benchmark: PriceSeries) -> Days:
    """The days on which the benchmark has a value: the sessions of ``calendar = "benchmark"``.

    For prices the first of them only carries the first return; a return series gets one day put before it for that.
    """
    days = benchmark.dates[np.isfinite(benchmark.values)]
    if benchmark.is_return and len(days):
        return np.concatenate([[days[0] - 1], days])
    return days


def _returns(series: PriceSeries, sessions: Days, log_returns: bool) -> Floats:
    """Returns on the sessions: P1/P0 - 1 or its log between neighbouring sessions; cells of a return series as given."""
    place = positions_of(series.dates, sessions)
    values = np.full(len(sessions), np.nan)
    values[place[place >= 0]] = series.values[place >= 0]
    if series.is_return:
        return values
    returns = np.full(len(sessions), np.nan)
    ratio = values[1:] / values[:-1]
    returns[1:] = np.log(ratio) if log_returns else ratio - 1
    return returns


def build_panel(pairs: Sequence[Pair], lines: Mapping[tuple[str, str, str], Line], event_window: Window) -> EventPanel:
    """Cut the windows of every pair (at least one) out of its line."""
    rows = Window(min(p.own.start for p in pairs), max(p.own.end for p in pairs))
    keys = sorted({p.line for p in pairs})
    line_of = {key: i for i, key in enumerate(keys)}
    n = len(pairs)
    line = np.array([line_of[p.line] for p in pairs])
    own = np.array([[p.own.start, p.own.end] for p in pairs])
    position = np.array([first_on_or_after(p.event_day, lines[p.line].dates) for p in pairs])
    panel = EventPanel(
        pairs=tuple(pairs),
        lines=tuple(lines[k] for k in keys),
        estimation_rows=rows,
        event_window=event_window,
        own=own,
        line=line,
        position=position,
        returns=np.full((n, len(rows)), np.nan),
        market=np.full((n, len(rows)), np.nan),
        estimation_days=np.zeros((n, len(rows)), np.int64),
        event_returns=np.full((n, len(event_window)), np.nan),
        event_market=np.full((n, len(event_window)), np.nan),
        event_dates=np.full((n, len(event_window)), np.datetime64("NaT"), "datetime64[D]"),
    )
    for i, one in enumerate(panel.lines):
        of_line = np.flatnonzero(line == i)
        _cut(one, position[of_line], rows, of_line, panel.returns, panel.market, days=panel.estimation_days)
        _cut(
            one,
            position[of_line],
            event_window,
            of_line,
            panel.event_returns,
            panel.event_market,
            dates=panel.event_dates,
        )
    outside = (rows.days < own[:, :1]) | (rows.days > own[:, 1:])
    panel.returns[outside] = np.nan
    panel.market[outside] = np.nan
    return panel


def _cut(
    line: Line, at: Ints, window: Window, into: Ints, returns: Floats, market: Floats,
    days: Ints | None = None, dates: Days | None = None,
) -> None:  # fmt: skip
    """Copy the window around each position into the rows ``into``; what lies beyond the line stays missing."""
    place = at[:, None] + window.days
    inside = (place >= 0) & (place < len(line.dates))
    held = np.clip(place, 0, len(line.dates) - 1)
    returns[into] = np.where(inside, line.returns[held], np.nan)
    market[into] = np.where(inside, line.market[held], np.nan)
    if days is not None:
        days[into] = line.dates[held].astype(np.int64)
    if dates is not None:
        dates[into] = np.where(inside, line.dates[held], np.datetime64("NaT"))


def usable(panel: EventPanel, min_days: int) -> tuple[EventPanel | None, list[Exclusion]]:
    """Leave out pairs without any event-window return, and pairs with too few estimation rows.

    Returns the panel of the others, None if there are none, and a row for each pair lost.
    """
    lost = []
    no_return = np.asarray(~np.isfinite(panel.event_returns).any(axis=1))
    n_obs = np.isfinite(panel.returns).sum(axis=1)
    for i in np.flatnonzero(no_return | (n_obs < min_days)):
        pair, line = panel.pairs[i], panel.lines[panel.line[i]]
        if no_return[i]:
            against = f" or of benchmark {line.benchmark}" if line.benchmark else ""
            detail = f"no return in {panel.event_window} around {pair.event_day}: prices of {pair.symbol} ({line.span}){against}"
            lost.append(Exclusion(pair.event_id, pair.symbol, "prices", "no_event_returns", detail))
        else:
            detail = f"{n_obs[i]} returns in {pair.own} before {pair.event_day}, {min_days} needed; prices {line.span}"
            lost.append(Exclusion(pair.event_id, pair.symbol, "estimation", "too_few_estimation_days", detail))
    kept = np.flatnonzero(~no_return & (n_obs >= min_days))
    return (panel.take(kept) if len(kept) else None), lost


def reaction_exclusion(event_id: str, symbol: str, reaction: Reaction) -> Exclusion:
    """The row of a pair that has no day 0."""
    return Exclusion(event_id, symbol, "sessions", reaction.lost, reaction.reason)
