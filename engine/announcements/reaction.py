"""Day 0: the first session of the listing's exchange that could react to the announcement.

The rule is DESIGN's: the first session whose close (or open) is after the stamp. Dates without a clock time stand for
fixed hours of their zone, and never appear as if a clock time were known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import polars as pl

from engine.errors import DataError, SpecError
from engine.sessions import DAY, FIRST_DAY, Sessions, first_after, first_on_or_after, positions_of

SUFFIXES = {".HK": "XHKG", ".SS": "XSHG", ".SZ": "XSHG", ".T": "XTKS"}
INDICES = {
    "^GSPC": "XNYS", "^DJI": "XNYS", "^NDX": "XNYS", "^IXIC": "XNYS", "^RUT": "XNYS", "^HSI": "XHKG", "^HSCE": "XHKG",
    "^N225": "XTKS", "^TOPX": "XTKS", "^SSEC": "XSHG", "^FTSE": "XLON", "^GDAXI": "XETR", "^FCHI": "XPAR", "^KS11": "XKRX",
    "^TWII": "XTAI", "^GSPTSE": "XTSE", "^AXJO": "XASX", "^STI": "XSES", "^STOXX50E": "XETR", "^SSMI": "XSWX",
}  # fmt: skip
HOURS = {"pre_open": time(7), "after_close": time(23, 59, 59)}  # of a date without a clock time
NOON = time(12)
LONG_GAP_HOURS = 72
DATE = re.compile(r"\d{4}-\d{2}-\d{2}$")
CLOCK = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")


@dataclass(frozen=True)
class Stamp:
    """When an announcement became public.

    day: the date as written. instant: UTC, None for a date without a zone. clock: whether a clock time was given.
    late: a date alone that stands for the day's end. text: the stamp as used, ISO 8601.
    """

    day: np.datetime64
    instant: np.datetime64 | None
    clock: bool
    late: bool
    text: str


@dataclass(frozen=True)
class Reaction:
    """Day 0 of one pair, or why there is none.

    event_day: None if there is none; ``reason`` then names the cause and ``lost`` is the short form for exclusions.
    venue_time: a clock time in the exchange's own time, ISO 8601 with offset; "" for a date alone or no exchange.
    """

    stamp: Stamp
    event_day: np.datetime64 | None
    hours_to_open: float | None
    reason: str
    flags: tuple[str, ...]
    lost: str = ""
    venue_time: str = ""


def exchange_of(symbol: str, stated: str, listings: Mapping[str, Mapping[str, str]]) -> str | None:
    """Exchange of a listing: as stated in the calendar, else the snapshot's, else by its Yahoo suffix, else None."""
    exchange = stated or listings.get(symbol, {}).get("exchange", "")
    if exchange:
        return "XSHG" if exchange == "XSHE" else exchange
    stem, dot, suffix = symbol.rpartition(".")
    if not dot or not stem:
        return "XNYS"
    return SUFFIXES.get(f".{suffix}")


def exchange_of_benchmark(symbol: str, listings: Mapping[str, Mapping[str, str]]) -> str:
    """Exchange of an index, fund or basket member: the snapshot's, else that of a known index or suffix; "" for none."""
    stated = listings.get(symbol, {}).get("exchange", "") or INDICES.get(symbol, "")
    known = stated or SUFFIXES.get(f".{symbol.rpartition('.')[2]}" if "." in symbol else "", "")
    return "XSHG" if known == "XSHE" else known


def parse_stamp(text: str, zone: str, precision: str, where: str) -> Stamp:
    """Read a date or a clock time. Raises DataError for one that is ambiguous, does not exist, or has no zone."""
    if DATE.match(text):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise DataError(f'{where}: "{text}" is not a date that exists. Write YYYY-MM-DD.') from None
        if not zone:
            return Stamp(np.datetime64(day, "D"), None, False, False, text)
        local = datetime.combine(day, HOURS.get(precision, NOON), _zone(zone, where))
        return Stamp(np.datetime64(day, "D"), _utc(local), False, precision == "after_close", local.isoformat())
    try:
        moment = datetime.fromisoformat(text) if CLOCK.match(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise DataError(
            f'{where}: "{text}" is neither a date nor a time. Write 2020-12-18, 2020-12-18T22:30:00+08:00, '
            "or 2020-12-18T22:30:00 with a zone in the column zone."
        )
    if moment.tzinfo is None:
        if not zone:
            raise DataError(
                f'{where}: "{text}" has a clock time but no offset, and the column zone is empty. '
                "Add an offset such as -05:00, or a zone such as America/New_York."
            )
        moment = _localised(moment, zone, where)
    return Stamp(np.datetime64(moment.date(), "D"), _utc(moment), True, False, moment.isoformat())


def reaction_days(
    table: pl.DataFrame,
    sessions: Sequence[Sessions | None],
    grids: Sequence[np.ndarray | None],
    reaction: str,
    stamp_rule: str,
    default_gap: int,
) -> list[Reaction]:
    """Day 0 of every row of an announcements table.

    sessions: the exchange sessions of each row; None where ``calendar = "benchmark"`` and a bare date need none.
    grids: with ``calendar = "benchmark"`` the benchmark's days of each row, on which day 0 must fall, else None.
    reaction: "close" or "open".
    """
    found = []
    for row, exchange, grid in zip(table.iter_rows(named=True), sessions, grids, strict=True):
        leak = row["first_public_at"] if stamp_rule == "first_public_at" else ""
        column = "first_public_at" if leak else "announced_at"
        stamp = parse_stamp(
            leak or row["announced_at"],
            row["zone"],
            "" if leak else row["precision"],
            f"{row['where']}, column {column}",
        )
        gap = default_gap if row["max_gap_days"] is None else row["max_gap_days"]
        found.append(
            replace(
                _reaction(stamp, exchange, grid, reaction, gap, _stamp_flags(row, stamp, leak)),
                venue_time=_venue(stamp, exchange),
            )
        )
    return found


def stamp_days(
    table: pl.DataFrame,
    column: str,
    sessions: Sequence[Sessions | None],
    grids: Sequence[np.ndarray | None],
    reaction: str,
    default_gap: int,
) -> list[Reaction | None]:
    """The session of another stamp of each row, by the rule of `reaction_days`; None where the cell is empty."""
    found: list[Reaction | None] = []
    for row, exchange, grid in zip(table.iter_rows(named=True), sessions, grids, strict=True):
        if not row[column]:
            found.append(None)
            continue
        precision = row["precision"] if column == "announced_at" else ""
        stamp = parse_stamp(row[column], row["zone"], precision, f"{row['where']}, column {column}")
        gap = default_gap if row["max_gap_days"] is None else row["max_gap_days"]
        found.append(_reaction(stamp, exchange, grid, reaction, gap, []))
    return found


def _stamp_flags(row: Mapping[str, Any], stamp: Stamp, leak: str) -> list[str]:
    """What is to say of a stamp, whatever the exchange."""
    used = bool(leak) and leak != row["announced_at"]
    flags = ["date_only"] if not stamp.clock else []
    flags += ["precision_without_zone"] if stamp.instant is None and not leak and row["precision"] in HOURS else []
    flags += ["leak_used"] if used else []
    if used:
        announced = parse_stamp(
            row["announced_at"], row["zone"], row["precision"], f"{row['where']}, column announced_at"
        )
        flags += ["public_later"] if stamp.day > announced.day else []
    return flags


def _reaction(
    stamp: Stamp, exchange: Sessions | None, grid: np.ndarray | None, reaction: str, gap: int, said: list[str]
) -> Reaction:
    """said: the flags of the stamp itself."""
    flags = [*said]
    flags += ["after_half_day"] if _after_half_day(stamp, exchange) else []
    news_day = stamp.day
    if stamp.instant is not None and exchange is not None:
        news_day = _local_day(stamp.instant, exchange.zone)
    day, why = _first_day(stamp, exchange, reaction, on_grid=grid is not None)
    dates = grid if grid is not None else exchange.dates if exchange is not None else np.empty(0, "datetime64[D]")
    place = first_on_or_after(day, dates) if day is not None else len(dates)
    if day is None or place >= len(dates) or news_day < max(FIRST_DAY, dates[0]):
        span = f"{dates[0]} to {dates[-1]}" if len(dates) else "no day at all"
        return Reaction(
            stamp, None, None, f"{why}; outside the sessions known ({span})", tuple(flags), "outside_calendar"
        )
    event_day = dates[place]
    days = int((event_day - news_day).astype(int))
    hours = _hours_to_open(stamp, exchange, event_day)
    if hours is not None:
        flags += ["in_session"] if hours <= 0 else []
        flags += ["long_gap"] if hours > LONG_GAP_HOURS else []
    if days > gap:
        reason = f"{why}; {event_day} is {days} days after the news of {news_day}, more than max_gap_days = {gap}"
        return Reaction(stamp, None, None, reason, tuple(flags), "gap_too_long")
    return Reaction(stamp, event_day, hours, f"{why}: {event_day}", tuple(flags))


def _first_day(
    stamp: Stamp, exchange: Sessions | None, reaction: str, on_grid: bool
) -> tuple[np.datetime64 | None, str]:
    """The first day that could hold the reaction, None beyond the exchange's calendar, and the rule in words.

    on_grid: day 0 is looked for among the benchmark's days, which need not be the exchange's; a day that is none of the
    exchange's has the hours of the session before it.
    """
    if stamp.instant is None or exchange is None:
        later = stamp.late and stamp.instant is not None
        when = "after" if later else "on or after"
        return stamp.day + DAY * int(later), f"{stamp.text} is the listing's own date: first session {when} it"
    edges = exchange.closes if reaction == "close" else exchange.opens
    local = _local(stamp.instant, exchange.zone)
    why = f"{local:%Y-%m-%d %H:%M} {exchange.zone}: first session of {exchange.exchange} whose {reaction} is after it"
    today = np.datetime64(local.date(), "D")
    if on_grid:
        at = int(np.searchsorted(exchange.dates, today, side="right")) - 1
        if at < 0 or today > exchange.dates[-1]:
            return None, why
        edge = edges[at] + (today - exchange.dates[at])
        return today + DAY * int(edge <= stamp.instant), why.replace("session", "benchmark day", 1)
    at = first_after(stamp.instant, edges)
    outside = today < exchange.dates[0] or at >= len(exchange.dates)
    return (None if outside else exchange.dates[at]), why


def _venue(stamp: Stamp, exchange: Sessions | None) -> str:
    if not stamp.clock or stamp.instant is None or exchange is None:
        return ""
    return _local(stamp.instant, exchange.zone).isoformat()


def _after_half_day(stamp: Stamp, exchange: Sessions | None) -> bool:
    """Whether a clock time falls, by the exchange's date, on a session that closed early, at or after its close."""
    if not stamp.clock or stamp.instant is None or exchange is None:
        return False
    at = int(positions_of(np.array([_local_day(stamp.instant, exchange.zone)]), exchange.dates)[0])
    return at >= 0 and bool(exchange.early[at] and exchange.closes[at] <= stamp.instant)


def _hours_to_open(stamp: Stamp, exchange: Sessions | None, event_day: np.datetime64) -> float | None:
    """Hours from a clock time to the open of the event day; None without clock time or session."""
    if exchange is None:
        return None
    at = first_on_or_after(event_day, exchange.dates)
    if not stamp.clock or stamp.instant is None or at >= len(exchange.dates) or exchange.dates[at] != event_day:
        return None
    return float((exchange.opens[at] - stamp.instant).astype(int)) / 3600


def _zone(name: str, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(
            f'{where}: zone "{name}" is not known. Write one such as America/New_York or Asia/Shanghai.'
        ) from None


def _localised(naive: datetime, zone: str, where: str) -> datetime:
    """A wall-clock time in its zone; one that daylight saving skips or repeats is an error."""
    first = naive.replace(tzinfo=_zone(zone, where), fold=0)
    try:
        again = first.astimezone(UTC).astimezone(first.tzinfo).replace(tzinfo=None)
    except OverflowError:  # the first or last day that a datetime can hold
        raise DataError(
            f'{where}: "{naive.isoformat()}" in {zone} is outside the years 1 to 9999. Correct it.'
        ) from None
    if again != naive:
        raise DataError(
            f'{where}: "{naive.isoformat()}" does not exist in {zone}: the clocks went forward. Correct it.'
        )
    if first.utcoffset() != first.replace(fold=1).utcoffset():
        raise DataError(f'{where}: "{naive.isoformat()}" happens twice in {zone}: add the offset, such as -04:00.')
    return first


def _utc(moment: datetime) -> np.datetime64:
    try:
        return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s")
    except OverflowError:  # the first or last day that a datetime can hold
        return np.datetime64(moment.replace(tzinfo=None), "s")


def _local(instant: np.datetime64, zone: str) -> datetime:
    moment: datetime = instant.astype("datetime64[s]").item()
    try:
        return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    except OverflowError:  # the first or last day that a datetime can hold
        return moment.replace(tzinfo=UTC)


def _local_day(instant: np.datetime64, zone: str) -> np.datetime64:
    return np.datetime64(_local(instant, zone).date(), "D")


def unresolved_exchange(symbol: str, where: str) -> SpecError:
    """The error for a listing whose exchange cannot be told."""
    return SpecError(
        f'{where}: the exchange of "{symbol}" is not known. Give it in the column exchange (a code such as XNYS), or in '
        f"symbols.csv of the snapshot. Suffixes known: {', '.join(SUFFIXES)}; no suffix is XNYS."
    )
