"""Contamination: what else happened to the firm of an event, in its windows and on its day.

Dates and positions in, rows out; prices, policies and the panel are somebody else's. A firm is named by the calendar's
column ``firm``, else it is the symbol. Every relative day counts the sessions of the pair's own listing: an event of the
firm's other line stands on the first of these sessions on or after its day there.
McWilliams & Siegel (1997), step 4; Foster (1980) for the policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import DataError
from engine.files import raise_with, within
from engine.sessions import Days, Window

Ints = npt.NDArray[np.int64]
FLAGGED = "none: flagged"
MOST_NEAR = 2_000_000  # pairs of events of one firm near each other that are told one by one
MOST_KIN = 20  # other lines of a firm that are named in one row


@dataclass(frozen=True)
class Contamination:
    """One row of ``contamination.csv``: the days ``first`` to ``last`` of a pair, and what was done about them.

    other_event_id: "" where the row is not about one other event.
    """

    event_id: str
    symbol: str
    kind: str
    other_event_id: str
    first: np.datetime64
    last: np.datetime64
    consequence: str


@dataclass(frozen=True)
class Listed:
    """One row of the calendar: its firm and its day 0 on its own exchange (the news' date if it has none)."""

    event_id: str
    symbol: str
    firm: str
    day: np.datetime64
    has_day0: bool


@dataclass(frozen=True)
class Near:
    """Another event of the same firm in the windows of a pair.

    day: its day 0 as a relative day of the pair. in_event: whether that is in the event window. estimation: the part of
    the pair's estimation window that its event window covers, None for none.
    """

    event_id: str
    day: int
    in_event: bool
    estimation: Window | None


def firms_of(symbols: Sequence[str], names: Sequence[str | None]) -> dict[str, str]:
    """The firm of every symbol: the first name that stands in a row of it, else the symbol itself."""
    named: dict[str, str] = {}
    for symbol, name in zip(symbols, names, strict=True):
        if name:
            named.setdefault(symbol, f"firm {name}")
    return {symbol: named.get(symbol, f"symbol {symbol}") for symbol in symbols}


def firm_events(listed: Sequence[Listed], symbol: str, dates: Days) -> tuple[list[str], Ints]:
    """The events of one firm and their day 0 as positions in ``dates``, a listing's sessions, in order of position.

    listed: the rows of the firm. An event with a row of its own for ``symbol`` stands where that row says, another on
    the earliest of its rows; events outside ``dates`` are left out.
    """
    place: dict[str, tuple[bool, int]] = {}
    for row in listed:
        at = int(np.searchsorted(dates, row.day))
        if row.day >= dates[0] and at < len(dates):
            mine = (row.symbol != symbol, at)
            place[row.event_id] = min(place.get(row.event_id, mine), mine)
    ordered = sorted((at, event_id) for event_id, (_, at) in place.items())
    return [event_id for _, event_id in ordered], np.array([at for at, _ in ordered], np.int64)


def near_events(
    ids: Sequence[str], positions: Ints, event_id: str, position: int, own: Window, event_window: Window
) -> list[Near]:
    """The other events of the firm whose day 0 is in the event window, or whose event window meets the estimation window.

    ids, positions: of `firm_events`. position: day 0 of the pair; own: its estimation window.
    """
    start, end = event_window.start, event_window.end
    reach = reach_of(own, event_window)
    found = []
    for i in range(*np.searchsorted(positions, [position + reach[0], position + reach[1] + 1]).tolist()):
        if ids[i] == event_id:
            continue
        day = int(positions[i]) - position
        first, last = max(day + start, own.start), min(day + end, own.end)
        near = Near(ids[i], day, start <= day <= end, Window(first, last) if first <= last else None)
        if near.in_event or near.estimation is not None:
            found.append(near)
    return found


def check_near(events: int, near: int, allowed: int) -> None:
    """Raises DataError where ``near`` pairs of events of one firm, about two rows each, are more than ``allowed``."""
    if near > within(allowed):
        raise DataError(
            f"[events]: of {events:,} events, {near:,} pairs of one firm each lie in each other's windows, and "
            f"contamination.csv has a row or two for each; {within(allowed):,} are allowed. Select fewer events, give the "
            f"firms' own names in the column symbol or firm, shorten [model] estimation_window, or {raise_with(near, allowed)}."
        )


def reach_of(own: Window, event_window: Window) -> tuple[int, int]:
    """How far from day 0, in sessions, another event may lie and still meet a window of the pair."""
    start, end = event_window.start, event_window.end
    return min(own.start - end, start), max(own.end - start, end)


def overlapping(positions: Ints, event_window: Window) -> Ints:
    """Number the groups of events on one line whose event windows overlap, in order of position; -1 for one alone.

    positions: (N,) day 0 of each event; windows overlap if their days 0 are fewer than len(event_window) apart.
    """
    order = np.argsort(positions, kind="stable")
    apart = np.diff(positions[order]) >= len(event_window)
    label = np.empty(len(positions), np.int64)
    label[order] = np.concatenate([[0], np.cumsum(apart)])
    members = np.bincount(label)
    return np.where(members[label] > 1, label, -1)


def same_day_rows(listed: Sequence[Listed]) -> list[Contamination]:
    """``same_day`` for every row that shares its day 0 with other firms, ``same_firm`` for every event with several lines
    of one firm."""
    by_day: dict[np.datetime64, list[Listed]] = {}
    lines: dict[tuple[str, str], set[str]] = {}
    for row in listed:
        if row.has_day0:
            by_day.setdefault(row.day, []).append(row)
            lines.setdefault((row.event_id, row.firm), set()).add(row.symbol)
    found = []
    for rows in by_day.values():
        own_rows: dict[str, int] = {}
        for row in rows:
            own_rows[row.firm] = own_rows.get(row.firm, 0) + 1
        ids = sorted({row.event_id for row in rows})
        for row in rows:
            others = len(rows) - own_rows[row.firm]
            other = [i for i in ids if i != row.event_id] if len(ids) <= 2 else []
            if others:
                said = f"{FLAGGED}; day 0 shared with {others} {'pair' if others == 1 else 'pairs'} of other firms"
                found.append(_row(row, "same_day", other[0] if other else "", said))
            kin = sorted(lines[row.event_id, row.firm] - {row.symbol})
            if kin:
                more = f" and {len(kin) - MOST_KIN} more" if len(kin) > MOST_KIN else ""
                found.append(
                    _row(row, "same_firm", "", f"{FLAGGED}; one cluster with {', '.join(kin[:MOST_KIN])}{more}")
                )
    return found


def _row(row: Listed, kind: str, other: str, consequence: str) -> Contamination:
    return Contamination(row.event_id, row.symbol, kind, other, row.day, row.day, consequence)


def runs(flags: npt.NDArray[np.bool_]) -> Ints:
    """The runs of true flags: (K, 2) positions of the first and the last of each."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return np.asarray(edges.reshape(-1, 2) - np.array([0, 1]))


def firm_clusters(firms: Sequence[str], event_ids: Sequence[str], days: Sequence[np.datetime64]) -> int:
    """How many independent events there are at most: pairs of one firm that share the event or the day 0 count once."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys: dict[tuple[str, str], int] = {}
    nodes = [
        [keys.setdefault((firm, what), len(keys)) for what in (f"event {event_id}", f"day {day}")]
        for firm, event_id, day in zip(firms, event_ids, days, strict=True)
    ]
    links = np.array(nodes).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(keys),) * 2)
    return int(connected_components(graph, directed=False, return_labels=False)) if len(keys) else 0
