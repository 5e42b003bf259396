"""From a study to its panel: day 0 of every pair, the lines, the windows, and who is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from engine.announcements import Reaction, exchange_of, exchange_of_benchmark, reaction_days, stamp_days
from engine.announcements.reaction import unresolved_exchange
from engine.errors import DataError, SpecError
from engine.firm_events import FirmEvents, firm_events_of
from engine.inputs import Study
from engine.lines import Grid, Line, Market, benchmark_days, build_line
from engine.market.alignment import Clock, exchange_clock, is_closing_time, weekday_clock
from engine.market.quality import report_on
from engine.models import WITHOUT_BENCHMARK
from engine.panel import EventPanel, Exclusion, Pair, build_panel, reaction_exclusion
from engine.sessions import (
    FARTHEST,
    FIRST_DAY,
    LAST_YEAR,
    Days,
    Sessions,
    Window,
    closes_on,
    exchange_sessions,
    first_on_or_after,
    known_exchange,
)
from engine.spec import StudySpec
from engine.supply import controls_of


@dataclass(frozen=True)
class Plan:
    """What a run looks at: the reaction of every pair, the panel of all pairs with a day 0 and a price file (None if
    there is none), the names of its regressors, the pairs lost before it, what else happened to their firms, and the lines of
    listings without an event. stamped: the session of every row for each further stamp that a named window has as its end."""

    reactions: tuple[Reaction, ...]
    lines: tuple[Line, ...]
    panel: EventPanel | None
    regressors: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    firms: FirmEvents
    pairs: tuple[Pair, ...]
    controls: tuple[Line, ...]
    stamped: Mapping[str, Sequence[Reaction | None]]


def plan_study(study: Study) -> Plan:
    """Day 0 of every pair, the lines, the panel, and who is lost before it; nothing is estimated."""
    spec, table = study.spec, study.announcements.table
    needs_exchange = [e for e in study.exchanges if e is not None]
    last_year = last_year_of(study)
    calendars = {e: exchange_sessions(e, last_year) for e in sorted(set(needs_exchange))}
    on_benchmark = spec.sessions.calendar == "benchmark"
    grids = {b: benchmark_days(study.series[b]) for b in set(study.benchmarks) if on_benchmark}
    sessions = [calendars[e] if e is not None else None for e in study.exchanges]
    days = [grids[b][1:] if on_benchmark else None for b in study.benchmarks]
    rule = spec.events
    reactions = reaction_days(table, sessions, days, rule.reaction, rule.stamp, rule.max_gap_days)
    explains = spec.model.name not in WITHOUT_BENCHMARK and not (spec.factors is not None and spec.factors.has_market)
    clocks = clocks_of(study, calendars, last_year)
    venues = {s: v for s, v in study.market.venues.items() if not (on_benchmark and s in grids)}
    market = replace(study.market, venues=venues)
    lost: list[Exclusion] = []
    pairs: list[Pair] = []
    lines: dict[tuple[str, str, str], Line] = {}
    homes: dict[tuple[str, str], Grid] = {}
    for row, reaction, exchange, benchmark in zip(
        table.iter_rows(named=True), reactions, study.exchanges, study.benchmarks, strict=True
    ):
        event_id, symbol = row["event_id"], row["symbol"]
        if reaction.event_day is None:
            lost.append(reaction_exclusion(event_id, symbol, reaction))
            continue
        if symbol not in study.series:
            detail = f"no file for {symbol} in snapshot {study.snapshot.name}"
            lost.append(Exclusion(event_id, symbol, "prices", "no_price_file", detail))
            continue
        key = (symbol, benchmark, "" if on_benchmark else str(exchange))
        if key not in lines:
            dates = grids[benchmark] if on_benchmark else None
            known = calendars[exchange] if exchange is not None else None
            grid = grid_of(dates, known, clocks)
            control = spec.model.peers if on_benchmark and spec.model.peers is not None else benchmark
            against = control if explains else ""
            lines[key] = build_line(symbol, against, grid, market, first_is_base=on_benchmark)
            homes[against, grid.exchange] = grid
        if late := _weighed_late(lines[key], reaction.event_day, spec.event_window, market):
            lost.append(Exclusion(event_id, symbol, "prices", "market_value_too_late", late))
            continue
        pairs.append(Pair(event_id, symbol, key, reaction.event_day, _own_window(row, spec)))
    panel = build_panel(pairs, lines, spec.event_window) if pairs else None
    others = _elsewhere(study, dict(zip(table["symbol"], zip(sessions, days, strict=True), strict=True)))
    firms = firm_events_of(study, reactions, others, panel)
    return Plan(
        reactions=tuple(reactions),
        lines=tuple(lines[k] for k in sorted(lines)),
        panel=firms.panel,
        regressors=("market",) * (explains and any(study.benchmarks))
        + tuple(f.symbol for f in market.factors)
        + ("fx",) * bool(market.rates),
        exclusions=(*lost, *firms.excluded),
        firms=firms,
        pairs=tuple(pairs),
        controls=tuple(_control_lines(study, homes, market, on_benchmark)),
        stamped={
            column: stamp_days(table, column, sessions, days, rule.reaction, rule.max_gap_days)
            for column in sorted({end.column for ends in spec.named_windows.values() for end in ends} - {""})
        },
    )


def _weighed_late(line: Line, event_day: np.datetime64, window: Window, market: Market) -> str:
    """Which peers are weighted by a market value that is not from before the event window, in words; "" for none."""
    peers = [m for m in market.baskets.get(line.benchmark, ()) if m != line.symbol and m in market.weighed_on]
    if not peers:
        return ""
    first = line.dates[max(first_on_or_after(event_day, line.dates) + window.start, 0)]
    late = [f"{m} of {market.weighed_on[m]}" for m in sorted(peers) if market.weighed_on[m] >= first]
    return f"market_value of {', '.join(late)} is not from before the event window, {first} on" if late else ""


def _control_lines(
    study: Study, homes: Mapping[tuple[str, str], Grid], market: Market, on_benchmark: bool
) -> Iterator[Line]:
    """Every control, against each benchmark that listings of its exchange have, on the same sessions.

    Raises SpecError for a control whose exchange is not known or not one of the study's.
    """
    for symbol in sorted(controls_of(study.spec)):
        found = exchange_of(symbol, "", study.snapshot.listings)
        if found is None and not on_benchmark:
            raise unresolved_exchange(symbol, f"[resampling] controls: {symbol}")
        exchange = "" if on_benchmark else known_exchange(str(found), f"[resampling] controls: {symbol}")
        fitting = sorted(home for home in homes if home[1] == exchange)
        if not fitting and homes:
            raise SpecError(
                f"[resampling] controls: {symbol} trades on {exchange}, where no listing of the study has an event. Remove it."
            )
        for home in fitting:
            yield build_line(symbol, home[0], homes[home], market, first_is_base=on_benchmark)


def _elsewhere(study: Study, hours: Mapping[str, tuple[Sessions | None, Days | None]]) -> list[Reaction]:
    """Day 0 of the events that the calendar has for the study's firms and the study leaves out, however far away.

    hours: the sessions, or the benchmark's days, of each symbol.
    """
    other, rule = study.announcements.elsewhere, study.spec.events
    sessions, days = [hours[s][0] for s in other["symbol"]], [hours[s][1] for s in other["symbol"]]
    return reaction_days(other, sessions, days, rule.reaction, rule.stamp, FARTHEST)


def clocks_of(study: Study, calendars: Mapping[str, Sessions], last_year: int) -> dict[str, Clock]:
    """When each series of ``venues`` has its closes."""
    market = study.market
    auxiliary = [
        *market.factors,
        *market.rates.values(),
        *market.fx.values(),
        *([market.riskfree] if market.riskfree is not None else []),
    ]
    series = dict(market.series) | {one.symbol: one for one in auxiliary}
    made = {}
    for symbol, venue in market.venues.items():
        if is_closing_time(venue):
            made[symbol] = weekday_clock(series[symbol], venue, f"[sessions] closes: {symbol}")
        else:
            known = calendars.get(venue)
            made[symbol] = exchange_clock(known if known is not None else exchange_sessions(venue, last_year))
    return made


def grid_of(days: Days | None, sessions: Sessions | None, clocks: Mapping[str, Clock]) -> Grid:
    """The sessions of a line: the exchange's, or the given days with the exchange's hours."""
    if sessions is None:
        assert days is not None
        return Grid(days, None, "", clocks)
    if days is None:
        return Grid(sessions.dates, sessions.closes, sessions.exchange, clocks)
    return Grid(days, closes_on(days, sessions), "", clocks)


def last_year_of(study: Study) -> int:
    """The last year that calendars must cover: the prices', and room for the event window of the latest event."""
    column = study.announcements.table.select(pl.max_horizontal("announced_at", "first_public_at").str.slice(0, 4))
    years = [int(y) for y in column.to_series() if y.isdigit() and y >= str(FIRST_DAY)[:4]]
    ahead = 1 + max(study.spec.event_window.end, 0) // 240
    priced = [int(str(s.dates[-1])[:4]) for s in study.series.values() if len(s.dates)]
    return min(max([y + ahead for y in years] + priced, default=2000), LAST_YEAR)


def _own_window(row: Mapping[str, Any], spec: StudySpec) -> Window:
    """The pair's estimation window: the study's, with the row's overrides."""
    start, end = row["estimation_start"], row["estimation_end"]
    start = spec.estimation_window.start if start is None else start
    end = spec.estimation_window.end if end is None else end
    if start > end or end >= spec.event_window.start:
        raise DataError(
            f"{row['where']}: estimation window [{start}, {end}] is reversed or does not end before the event window "
            f"{spec.event_window}. Correct estimation_start and estimation_end."
        )
    return Window(start, end)


def real_days(plan: Plan) -> dict[str, Days]:
    """The event days of every symbol, whether or not the pair can be used."""
    days: dict[str, list[np.datetime64]] = {}
    for pair in plan.pairs:
        days.setdefault(pair.symbol, []).append(pair.event_day)
    return {symbol: np.array(found) for symbol, found in days.items()}


def quality_seen(study: Study, panel: EventPanel) -> pl.DataFrame:
    """``quality.csv``: the quality report on what the study looks at.

    That is, for a listing, from its earliest estimation day to its latest event-window day; for a benchmark and an
    exchange, from the earliest to the latest of their listings'. A listing is judged on the sessions it is measured on.
    """
    listings, on_benchmark = study.snapshot.listings, study.spec.sessions.calendar == "benchmark"
    exchanges: dict[str, str | None] = {}
    sessions: dict[str, Days] = {}
    spans: dict[str, tuple[np.datetime64, np.datetime64]] = {}
    used = dict(sorted((int(i), pair.line) for i, pair in zip(panel.line, panel.pairs, strict=True)))
    of_exchange = {exchange: panel.lines[i].dates for i, (_, _, exchange) in used.items()}
    for i, (symbol, benchmark, exchange) in used.items():
        line = panel.lines[i]
        at = panel.position[panel.line == i]
        first = line.dates[max(int((at + panel.own[panel.line == i, 0]).min()), 0)]
        last = line.dates[min(int(at.max()) + panel.event_window.end, len(line.dates) - 1)]
        exchanges[symbol], sessions[symbol] = exchange or None, line.dates
        if benchmark and benchmark not in exchanges:
            home = None if on_benchmark else exchange_of_benchmark(benchmark, listings)
            exchanges[benchmark] = home if home in of_exchange else None
            sessions[benchmark] = of_exchange.get(str(home), line.dates)
        for name in (symbol, benchmark, known_exchange(exchange, symbol) if exchange else ""):
            before = spans.get(name, (first, last))
            spans[name] = (min(before[0], first), max(before[1], last))
    series = {s: study.market.prices[s] for s in exchanges if s in study.market.prices}
    report = report_on(series, exchanges, listings, sessions)
    looked = pl.DataFrame(
        {
            "symbol": list(spans),
            "from": [a.item() for a, _ in spans.values()],
            "to": [b.item() for _, b in spans.values()],
        }
    )
    seen = report.join(looked, on="symbol", how="inner", validate="m:1")
    return seen.filter(pl.col("last") >= pl.col("from"), pl.col("first") <= pl.col("to")).select(report.columns)
