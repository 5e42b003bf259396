"""What else happened to the firms of a study, and what its policy does about it.

Turns the pairs of a panel into rows of ``contamination.csv``, leaves out estimation rows (``trim_estimation``, and the
windows of a joint cluster), and names the pairs that leave (``exclude``). The rules are `announcements.contamination`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.announcements import Reaction
from engine.announcements.contamination import (
    FLAGGED,
    MOST_NEAR,
    Contamination,
    Listed,
    Near,
    check_near,
    firm_events,
    firms_of,
    near_events,
    overlapping,
    reach_of,
    runs,
    same_day_rows,
)
from engine.inputs import Study
from engine.lines import Line
from engine.market.limits import locked_days
from engine.market.prices import PriceSeries
from engine.panel import EventPanel, Exclusion, Pair
from engine.sessions import Days, Window, positions_of

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FirmEvents:
    """What else happened, and the panel after it.

    panel: with estimation rows left out where the study asks for it. excluded: a row for each pair that leaves. joint: the
    cluster of every pair that shares days of its event window with another of its line, with ``joint = true``.
    left_out: by symbol, the days that estimation rows leave out under ``trim_estimation``. firms: by symbol.
    """

    panel: EventPanel | None
    rows: tuple[Contamination, ...]
    excluded: tuple[Exclusion, ...]
    joint: Mapping[tuple[str, str], int]
    left_out: Mapping[str, Days]
    firms: Mapping[str, str]


def firm_events_of(
    study: Study, reactions: Sequence[Reaction], others: Sequence[Reaction], panel: EventPanel | None
) -> FirmEvents:
    """Look for other events, shared days, locked, suspended and stale days around every pair, and apply the policy.

    reactions: of the study's rows; others: of the events that the calendar has for its firms and the study leaves out.
    """
    table, attributes = study.announcements.table, study.announcements.attributes
    symbols = table["symbol"].to_list()
    names = attributes["firm"].to_list() if "firm" in attributes.columns else [None] * len(symbols)
    firms = firms_of(symbols, names)
    listed = _listed(table, reactions, firms)
    elsewhere = _listed(study.announcements.elsewhere, others, firms)
    rows = same_day_rows(listed)
    if panel is None:
        return FirmEvents(None, tuple(rows), (), {}, {}, firms)
    by_firm: dict[str, list[Listed]] = {}
    for one in (*listed, *elsewhere):
        by_firm.setdefault(one.firm, []).append(one)
    around = [firm_events(by_firm[firms[line.symbol]], line.symbol, line.dates) for line in panel.lines]
    joint = _clusters(panel) if study.spec.events.joint else {}
    policy = study.spec.contamination.policy
    panel, found, excluded = _apply(panel, around, policy, joint)
    exchange = dict(zip(symbols, study.exchanges, strict=True))
    rows += found + _price_rows(panel, study.market.prices, exchange, study.spec.car_windows[0])
    gone = {(e.event_id, e.symbol) for e in excluded}
    kept = np.array([i for i, p in enumerate(panel.pairs) if (p.event_id, p.symbol) not in gone], np.int64)
    left_out = _left_out(panel, [positions for _, positions in around]) if policy == "trim_estimation" else {}
    return FirmEvents(panel.take(kept) if len(kept) else None, tuple(rows), tuple(excluded), joint, left_out, firms)


def _listed(table: pl.DataFrame, reactions: Sequence[Reaction], firms: Mapping[str, str]) -> list[Listed]:
    """The rows of a calendar with their firm and day 0."""
    rows = zip(table["event_id"], table["symbol"], reactions, strict=True)
    return [
        Listed(e, s, firms[s], r.stamp.day if r.event_day is None else r.event_day, r.event_day is not None)
        for e, s, r in rows
    ]


def _apply(
    panel: EventPanel, around: Sequence[tuple[list[str], npt.NDArray[np.int64]]], policy: str,
    joint: Mapping[tuple[str, str], int],
) -> tuple[EventPanel, list[Contamination], list[Exclusion]]:  # fmt: skip
    """The panel without the estimation rows that are left out, a row for each other event, and the pairs that leave."""
    _check_near(panel, around)
    returns, rows, excluded = panel.returns.copy(), [], []
    for i, pair in enumerate(panel.pairs):
        ids, positions = around[panel.line[i]]
        near = near_events(ids, positions, pair.event_id, int(panel.position[i]), pair.own, panel.event_window)
        cluster = joint.get((pair.event_id, pair.symbol))
        for other in near:
            together = cluster is not None and joint.get((other.event_id, pair.symbol)) == cluster
            n = None
            if other.estimation is not None and (together or policy == "trim_estimation"):
                part = returns[i, other.estimation.within(panel.estimation_rows)]
                n = int(np.isfinite(part).sum())
                part[:] = np.nan
            rows += _rows(panel, i, other, policy, together, n)
        inside = [other for other in near if other.in_event]
        if policy == "exclude" and inside:
            excluded.append(_exclusion(pair, inside, panel.event_window))
    return replace(panel, returns=returns), rows, excluded


def _check_near(panel: EventPanel, around: Sequence[tuple[list[str], npt.NDArray[np.int64]]]) -> None:
    """Raises DataError where the firms have more events near each other than can be told (`check_near`)."""
    reach = np.array([reach_of(pair.own, panel.event_window) for pair in panel.pairs], np.int64)
    near = 0
    for i, (_, positions) in enumerate(around):
        at = panel.line == i
        low, high = (panel.position[at, None] + reach[at] + [0, 1]).T
        near += int((np.searchsorted(positions, high) - np.searchsorted(positions, low) - 1).sum())
    check_near(len(panel.pairs), near, MOST_NEAR)


def _clusters(panel: EventPanel) -> dict[tuple[str, str], int]:
    """Pairs of one line whose event windows overlap, by event and symbol, numbered over the whole panel."""
    found: dict[tuple[str, str], int] = {}
    for i in range(len(panel.lines)):
        members = np.flatnonzero(panel.line == i)
        labels = overlapping(panel.position[members], panel.event_window)
        start = max(found.values(), default=-1) + 1
        for m, label in zip(members, labels, strict=True):
            if label >= 0:
                found[panel.pairs[m].event_id, panel.pairs[m].symbol] = start + int(label)
    return found


def _rows(
    panel: EventPanel, i: int, other: Near, policy: str, together: bool, left_out: int | None
) -> list[Contamination]:
    """The rows of one other event of the firm: in the event window, in the estimation window.

    left_out: estimation days that leave for it, those that left for an earlier event not counted again; None for none.
    """
    pair, found = panel.pairs[i], []
    dates = panel.lines[panel.line[i]].dates
    at = int(panel.position[i])
    if other.in_event:
        said = "excluded" if policy == "exclude" else FLAGGED
        said = "joint regression" if together else said
        day = dates[at + other.day]
        said += f"; its day 0 is relative day {other.day}"
        found.append(Contamination(pair.event_id, pair.symbol, "event_window", other.event_id, day, day, said))
    part = other.estimation
    if part is not None:
        said = FLAGGED
        if left_out is not None:
            said = f"{left_out} estimation {'day' if left_out == 1 else 'days'} left out"
            said += ": joint regression" if together else ""
        first, last = (dates[min(max(at + d, 0), len(dates) - 1)] for d in (part.start, part.end))
        found.append(Contamination(pair.event_id, pair.symbol, "estimation_window", other.event_id, first, last, said))
    return found


def _exclusion(pair: Pair, inside: Sequence[Near], window: Window) -> Exclusion:
    named = ", ".join(f"{o.event_id} on relative day {o.day}" for o in inside)
    detail = f"the event window {window} around {pair.event_day} holds {named} of the same firm"
    return Exclusion(pair.event_id, pair.symbol, "events", "contaminated", detail)


def _left_out(panel: EventPanel, positions: Sequence[npt.NDArray[np.int64]]) -> dict[str, Days]:
    """The days of all event windows of the firm on each symbol's lines."""
    days: dict[str, Days] = {}
    for line, at in zip(panel.lines, positions, strict=True):
        place = np.unique(at[:, None] + panel.event_window.days)
        own = line.dates[place[(place >= 0) & (place < len(line.dates))]]
        days[line.symbol] = np.union1d(days.get(line.symbol, own), own)
    return days


@dataclass(frozen=True)
class _Days:
    """What the price file says about each session of a line, (S,): the limit it was locked at (signed, 0 for none),
    whether high and low are there, a price; and by kind the runs of days to report, (K, 2) positions."""

    dates: Days
    lock: npt.NDArray[np.float64]
    ranged: Flags
    price: Flags
    runs: Mapping[str, npt.NDArray[np.int64]]


def _days(line: Line, series: PriceSeries, exchange: str) -> _Days:
    row = positions_of(line.dates, series.dates)
    known = row >= 0

    def on(values: npt.NDArray[Any], empty: float = np.nan) -> npt.NDArray[Any]:
        return np.where(known, values[row], empty) if len(values) else np.full(len(row), empty)

    nothing = np.full(len(series.dates), np.nan)
    price, stale = np.isfinite(on(series.values)), on(series.stale, False).astype(bool)
    high, low = (on(series.columns.get(name, nothing)) for name in ("high", "low"))
    traded = np.flatnonzero(price)
    halted = ~price & ~stale
    if len(traded):
        halted[: traded[0]] = halted[traded[-1] :] = False
    lock = on(locked_days(series.symbol, exchange, series.dates, series.columns), 0.0)
    kinds = {"limit_locked": runs(lock != 0), "suspended": runs(halted), "stale": runs(stale)}
    return _Days(line.dates, lock, np.isfinite(high + low), price, kinds)


def _price_rows(
    panel: EventPanel, series: Mapping[str, PriceSeries], exchange: Mapping[str, str | None], first_car: Window
) -> list[Contamination]:
    """``limit_locked`` days of the first CAR window and day 0, ``suspended`` and ``stale`` ones of the event window.

    The sessions right before day 0 count as suspended too, whatever the event window.
    """
    start, end, found = panel.event_window.start, panel.event_window.end, []
    looked_for = {
        "limit_locked": (min(first_car.start, 0), max(first_car.end, 0)),
        "suspended": (min(start, -1), max(end, -1)),
        "stale": (start, end),
    }
    for i, line in enumerate(panel.lines):
        days = _days(line, series[line.symbol], exchange[line.symbol] or "")
        for kind, (first, last) in looked_for.items():
            known = days.runs[kind]
            for m in np.flatnonzero(panel.line == i) if len(known) else ():
                pair, at = panel.pairs[m], int(panel.position[m])
                for a, b in known[(known[:, 0] <= at + last) & (known[:, 1] >= at + first)].tolist():
                    said = _locked_words(days, at, a, b) if kind == "limit_locked" else halted_words(kind, b - a + 1)
                    ends = days.dates[a], days.dates[b]
                    found.append(Contamination(pair.event_id, pair.symbol, kind, "", *ends, said))
    return found


def halted_words(kind: str, n: int) -> str:
    sessions = f"{n} {'session' if n == 1 else 'sessions'}"
    if kind == "suspended":
        return f"no price on {sessions}: no CAR over them or the session after"
    return f"volume 0 and an unchanged close on {sessions}: no price, no CAR over them or the session after"


def _locked_words(days: _Days, at: int, first: int, last: int) -> str:
    """What a locked run means for reading: the first unlocked close, and the window that reaches it."""
    known = "with high = low" if days.ranged[first : last + 1].all() else "(without high and low, by the close alone)"
    limit = f"closed at the {100 * abs(days.lock[first]):.0f} % limit {known}"
    unlocked = last + 1 + np.flatnonzero(days.price[last + 1 :] & (days.lock[last + 1 :] == 0))
    if not len(unlocked):
        return f"{limit}: no unlocked close in the prices"
    read = Window(min(first - at, 0), int(unlocked[0]) - at)
    return f"{limit}: reaction runs to the first unlocked close {days.dates[unlocked[0]]}: read CAR{read}"
