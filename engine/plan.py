"""From a study to its panel: day 0 of every pair, the lines, the windows, and who is lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from engine.announcements import Reaction, reaction_days
from engine.errors import DataError
from engine.firm_events import FirmEvents, firm_events_of
from engine.inputs import Study
from engine.models import WITHOUT_BENCHMARK
from engine.panel import EventPanel, Exclusion, Line, Pair, benchmark_days, build_line, build_panel, reaction_exclusion
from engine.sessions import FIRST_DAY, Days, Window, exchange_sessions
from engine.spec import StudySpec

LAST_YEAR = 2200  # a later date in a calendar is a slip of the pen, and becomes a row like any other without a session


@dataclass(frozen=True)
class Plan:
    """What a run looks at: the reaction of every pair, the panel of all pairs with a day 0 and a price file (None if
    there is none), the pairs lost before it, and what else happened to their firms."""

    reactions: tuple[Reaction, ...]
    lines: tuple[Line, ...]
    panel: EventPanel | None
    exclusions: tuple[Exclusion, ...]
    firms: FirmEvents
    pairs: tuple[Pair, ...]


def plan_study(study: Study) -> Plan:
    """Day 0 of every pair, the lines, the panel, and who is lost before it; nothing is estimated."""
    spec, table = study.spec, study.announcements.table
    needs_exchange = [e for e in study.exchanges if e is not None]
    last_year = _last_year(study)
    calendars = {e: exchange_sessions(e, last_year) for e in sorted(set(needs_exchange))}
    on_benchmark = spec.sessions.calendar == "benchmark"
    grids = {b: benchmark_days(study.series[b]) for b in set(study.benchmarks) if on_benchmark}
    reactions = reaction_days(
        table,
        [calendars[e] if e is not None else None for e in study.exchanges],
        [grids[b][1:] if on_benchmark else None for b in study.benchmarks],
        spec.events.reaction,
        spec.events.stamp,
        spec.events.max_gap_days,
    )
    lost: list[Exclusion] = []
    pairs: list[Pair] = []
    lines: dict[tuple[str, str, str], Line] = {}
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
            lines[key] = build_line(
                study.series[symbol],
                study.series[benchmark] if benchmark and spec.model.name not in WITHOUT_BENCHMARK else None,
                grids[benchmark] if on_benchmark else calendars[str(exchange)].dates,
                spec.prices.returns == "log",
                on_benchmark,
            )
        pairs.append(Pair(event_id, symbol, key, reaction.event_day, _own_window(row, spec)))
    panel = build_panel(pairs, lines, spec.event_window) if pairs else None
    firms = firm_events_of(study, reactions, panel)
    exclusions = (*lost, *firms.excluded)
    return Plan(
        tuple(reactions), tuple(lines[k] for k in sorted(lines)), firms.panel, exclusions, firms, tuple(pairs)
    )  # fmt: skip


def _last_year(study: Study) -> int:
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
