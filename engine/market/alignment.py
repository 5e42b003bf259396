"""Returns of one series between the closes of another exchange: aligned by the instant of the close, never by the date.

A value counts from its close on. The return of a session is the change from the last value known at the close before
to the last value known at this close: for a session in Hong Kong a US series moves by its last session that closed
before Hong Kong did. No close in between (a holiday there) is no change; a session without a value is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from engine.errors import SpecError
from engine.market.prices import PriceSeries
from engine.sessions import DAY, Days, Instants, Sessions, positions_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LONGEST_PAUSE = 3  # weekdays in a row without a quote that pass for a holiday of a market without a calendar
CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d) (\S+)")


@dataclass(frozen=True)
class Clock:
    """When a series has its closes. dates: (G,) days on which a value is due; closes: (G,) datetime64[s] in UTC;
    pauses: whether a short run of days without a quote is a holiday, not a gap."""

    dates: Days
    closes: Instants
    pauses: bool = False


def exchange_clock(sessions: Sessions) -> Clock:
    """A series of an exchange: a value is due at each of its closes."""
    return Clock(sessions.dates, sessions.closes)


def weekday_clock(series: PriceSeries, close: str, where: str) -> Clock:
    """A series of no exchange (a currency, a commodity): a value is due each weekday at ``close``, "14:30 Europe/London".

    The days run from the first to the last with a value. Raises SpecError for a close that is no time and zone.
    """
    read = CLOCK_TIME.fullmatch(close)
    try:
        zone = ZoneInfo(read[3]) if read else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = None
    if read is None or zone is None:
        raise SpecError(f'{where} = "{close}" is no closing time. Write hour and zone, such as "14:30 Europe/London".')
    known = series.dates[np.isfinite(series.values)]
    days = np.arange(known[0], known[-1] + DAY) if len(known) else np.empty(0, "datetime64[D]")
    days = days[np.is_busday(days)] if len(days) else days
    at = time(int(read[1]), int(read[2]))
    utc = [datetime.combine(d.item(), at, zone).astimezone(UTC).replace(tzinfo=None) for d in days]
    return Clock(days, np.array(utc, "datetime64[s]"), pauses=True)


def is_closing_time(venue: str) -> bool:
    """Whether a venue is a time of day, "14:30 Europe/London", and not the code of an exchange."""
    return ":" in venue


def returns_by_date(series: PriceSeries, days: Days, log_returns: bool) -> Floats:
    """(S,) returns of a series that keeps the days of the line: P1/P0 - 1 or its log between neighbours, NaN where
    either is missing; cells of a return series as given."""
    values = _on(series, days)
    if series.is_return:
        return values
    returns = np.full(len(days), np.nan)
    ratio = values[1:] / values[:-1]
    returns[1:] = np.log(ratio) if log_returns else ratio - 1
    return returns


def latest_by_close(series: PriceSeries, clock: Clock, closes: Instants) -> Floats:
    """(S,) the value of the last of the series' sessions that closed since the close before, NaN where none did.

    For a number a day that does not add up over days, such as a log volume; the first is missing.
    """
    latest = np.full(len(closes), np.nan)
    if not len(clock.dates) or not len(closes):
        return latest
    before, now, both = _sessions_between(clock, closes)
    latest[1:] = np.where(both & (now > before), _on(series, clock.dates)[now], np.nan)
    return latest


def returns_by_close(series: PriceSeries, clock: Clock, closes: Instants, log_returns: bool) -> Floats:
    """(S,) returns of a series between the instants ``closes``, by the rule of this module; the first is missing.

    The cells of a return series are in the study's kind of return and are compounded, or added if they are logs, over
    the sessions of its own that closed in between.
    """
    returns = np.full(len(closes), np.nan)
    if not len(clock.dates) or not len(closes):
        return returns
    values = _on(series, clock.dates)
    before, now, both = _sessions_between(clock, closes)
    if series.is_return:
        change = _compounded(values, before, now, log_returns)
    else:
        values = _carried(values) if clock.pauses else values
        ratio = values[now] / values[before]
        change = np.log(ratio) if log_returns else ratio - 1
    returns[1:] = np.where(both, change, np.nan)
    return returns


def _sessions_between(clock: Clock, closes: Instants) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """(S - 1,) the last session that closed by the close before and by this one, and whether both are known."""
    at = np.searchsorted(clock.closes, closes, side="right") - 1
    at = np.where((at == len(clock.dates) - 1) & (closes >= _next_close(clock)), -1, at)
    return at[:-1], at[1:], (at[:-1] >= 0) & (at[1:] >= 0)


def _on(series: PriceSeries, days: Days) -> Floats:
    """(S,) the series' value on each day, NaN where there is none."""
    values = np.full(len(days), np.nan)
    place = positions_of(series.dates, days)
    values[place[place >= 0]] = series.values[place >= 0]
    return values


def _next_close(clock: Clock) -> np.datetime64:
    """When the value after the last would be due; from then on the last is stale."""
    following = np.busday_offset(clock.dates[-1], 1, roll="backward")
    due: np.datetime64 = clock.closes[-1] + (following - clock.dates[-1]).astype("timedelta64[s]")
    return due


def _carried(values: Floats) -> Floats:
    """The last value over runs of at most LONGEST_PAUSE days without one; longer runs stay missing."""
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), 0))
    gap = np.diff(np.flatnonzero(np.concatenate([[True], known, [True]]))) - 1  # days missing after each known one
    length = np.repeat(gap, gap + 1)[1:] if len(gap) else gap
    return np.where(~known & (length[: len(values)] <= LONGEST_PAUSE), values[last], values)


def _compounded(values: Floats, before: Ints, now: Ints, log_returns: bool) -> Floats:
    """The returns over the positions (before, now] as one; a missing one makes it missing."""
    known = np.isfinite(values) if log_returns else values > -1
    missing = np.concatenate([[0], np.cumsum(~known)])
    logs = np.where(known, values, 0.0)
    logs = logs if log_returns else np.log1p(logs)
    grown = np.concatenate([[0.0], np.cumsum(logs)])
    total = grown[now + 1] - grown[before + 1]
    change = np.where(now - before == 1, values[now], total if log_returns else np.expm1(total))
    return np.where((missing[now + 1] > missing[before + 1]) & (now - before > 1), np.nan, change)
