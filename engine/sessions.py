"""Trading sessions: relative-day windows, and the sessions of an exchange with their opens and closes."""

from __future__ import annotations

import tomllib
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from engine.errors import DataError, SpecError, hint
from engine.session_store import kept

FIRST_DAY = np.datetime64("1988-01-01")
DAY = np.timedelta64(1, "D")
NO_DAY = np.datetime64("NaT", "D")
LAST_YEAR = 2200  # a later date in a calendar is a slip of the pen, and becomes a row like any other without a session
FARTHEST = 20_000  # sessions or days from day 0: 80 years
Days = npt.NDArray[np.datetime64]
Instants = npt.NDArray[np.datetime64]


@dataclass(frozen=True, order=True)
class Window:
    """A closed interval of relative trading days; both ends belong to it.

    Day 0 is the event day, -1 the session before it.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise SpecError(f"window [{self.start}, {self.end}] is reversed: the start must not be after the end")

    def __len__(self) -> int:
        return self.end - self.start + 1

    def __str__(self) -> str:
        return f"[{self.start}, {self.end}]"

    def __contains__(self, other: Window) -> bool:
        return self.start <= other.start and other.end <= self.end

    @property
    def days(self) -> npt.NDArray[np.int64]:
        """The relative days, shape (len(self),)."""
        return np.arange(self.start, self.end + 1)

    def within(self, outer: Window) -> slice:
        """The columns of this window in an array whose columns are the days of ``outer``."""
        return slice(self.start - outer.start, self.end - outer.start + 1)


@dataclass(frozen=True)
class Sessions:
    """The sessions of one exchange, in order.

    dates: (S,) datetime64[D], the exchange's own dates.
    opens, closes: (S,) datetime64[s], instants in UTC.
    early: (S,) bool, sessions that close before the usual close.
    zone: the exchange's time zone name.
    """

    exchange: str
    zone: str
    dates: Days
    opens: Instants
    closes: Instants
    early: npt.NDArray[np.bool_]


KINDS = {"zone": "U0", "dates": "M1", "opens": "M1", "closes": "M1", "early": "b1"}  # of the arrays that are kept
PATCHES = Path(__file__).with_name("session_patches.toml")
# Shanghai's sessions serve Shenzhen too: the two exchanges keep the same days and hours.
SAME_SESSIONS = {"XSHE": "XSHG"}
COMMON = ("XNYS", "XNAS", "XHKG", "XSHG", "XTKS", "XLON", "XETR", "XPAR", "XTSE", "XASX", "XKRX", "XTAI", "XSES")


def known_exchange(exchange: str, where: str) -> str:
    """The code of the calendar that ``exchange`` keeps: NYSE is XNYS, XSHE is XSHG. Raises SpecError for an unknown one."""
    code, known = SAME_SESSIONS.get(exchange, exchange), _calendar_codes()
    if code not in known:
        raise SpecError(
            f'{where}: exchange "{exchange}" has no trading calendar. Give a market identifier code such as XNYS, XHKG, '
            f"XSHG or XTKS. {hint(exchange, COMMON)}"
        )
    return known[code]


@lru_cache(maxsize=1)
def _calendar_codes() -> dict[str, str]:
    """Every code that the library knows, and the calendar behind it."""
    held = kept("calendar-codes", _library_codes, {"code": "U1", "calendar": "U1"})
    return dict(zip(held["code"].tolist(), held["calendar"].tolist(), strict=True))


def _library_codes() -> dict[str, npt.NDArray[Any]]:
    import exchange_calendars as xc  # 0.7 s: only where nothing is kept

    codes = sorted(xc.get_calendar_names(include_aliases=True))
    return {"code": np.array(codes), "calendar": np.array([xc.resolve_alias(code) for code in codes])}


@lru_cache(maxsize=64)
def exchange_sessions(exchange: str, last_year: int) -> Sessions:
    """All sessions of ``exchange`` (a MIC) from 1988, or the calendar's first day, to the end of ``last_year``.

    The range is explicit: the library's defaults move with today's date. A calendar that ends earlier ends there.
    Days on which the library is wrong are put right from ``session_patches.toml``. Raises SpecError for an exchange that
    has no calendar.
    """
    mic = known_exchange(exchange, "sessions")
    name = f"sessions-{mic}-{FIRST_DAY}-{last_year}"
    held = kept(name, lambda: _as_arrays(library_sessions(mic, last_year)), KINDS)
    zone = str(held["zone"])
    plain = Sessions(mic, zone, held["dates"], held["opens"], held["closes"], held["early"])
    return patched(plain, session_patches())


def _as_arrays(sessions: Sessions) -> dict[str, npt.NDArray[Any]]:
    return {"zone": np.array(sessions.zone)} | {
        name: getattr(sessions, name) for name in ("dates", "opens", "closes", "early")
    }


def _calendar(mic: str, first: Any, last: Any) -> Any:
    """The calendar of the library, which adds bare integers to dates: numpy from 2.5 on warns of that."""
    import exchange_calendars as xc  # 0.7 s: only where nothing is kept

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The 'generic' unit", DeprecationWarning)
        return xc.get_calendar(mic, start=first, end=last)


def library_sessions(exchange: str, last_year: int) -> Sessions:
    """The sessions as exchange_calendars has them, without patches; arguments and errors of `exchange_sessions`."""
    import pandas as pd

    mic = known_exchange(exchange, "sessions")
    first, last = pd.Timestamp(FIRST_DAY), pd.Timestamp(year=last_year, month=12, day=31)
    try:
        calendar = _calendar(mic, first, last)
    except ValueError:  # outside what the calendar knows: cut the range to it
        known = _calendar(mic, pd.Timestamp("2015-01-05"), pd.Timestamp("2015-12-01"))
        first, last = max(first, known.bound_min() or first), min(last, known.bound_max() or last)
        if last <= first:
            raise DataError(
                f"the calendar of {exchange} has no sessions from {first.date()} to {last.date()}"
            ) from None
        calendar = _calendar(mic, first, last)
    return Sessions(
        exchange=mic,
        zone=str(calendar.tz),
        dates=calendar.sessions.to_numpy().astype("datetime64[D]"),
        opens=calendar.opens.dt.tz_convert(None).to_numpy().astype("datetime64[s]"),
        closes=calendar.closes.dt.tz_convert(None).to_numpy().astype("datetime64[s]"),
        early=np.asarray(calendar.sessions.isin(calendar.early_closes)),
    )


def session_patches() -> list[dict[str, Any]]:
    """The entries of ``session_patches.toml``: exchange, date, kind, opens (of a late open), reason, reference."""
    entries: list[dict[str, Any]] = tomllib.loads(PATCHES.read_text(encoding="utf-8"))["patch"]
    return entries


def patched(sessions: Sessions, patches: list[dict[str, Any]]) -> Sessions:
    """``sessions`` with the patches of its exchange: days without trading taken out, late opens set.

    The arrays are put right, not the library's class: a class registered in its place would change the calendar of
    everyone else in the process. A patch of a day that is no session changes nothing.
    """
    opens, kept = sessions.opens.copy(), np.ones(len(sessions.dates), dtype=bool)
    for patch in patches:
        if patch["exchange"] == sessions.exchange:
            here = sessions.dates == np.datetime64(patch["date"])
            if patch["kind"] == "closed":
                kept &= ~here
            else:
                late = datetime.combine(patch["date"], patch["opens"], ZoneInfo(sessions.zone)).astimezone(UTC)
                opens[here] = np.datetime64(late.replace(tzinfo=None), "s")
    return replace(
        sessions,
        dates=sessions.dates[kept],
        opens=opens[kept],
        closes=sessions.closes[kept],
        early=sessions.early[kept],
    )


def first_after(instant: np.datetime64, instants: Instants) -> int:
    """Position of the first of ``instants`` (increasing) strictly after ``instant``; len(instants) if none."""
    return int(np.searchsorted(instants, instant, side="right"))


def first_on_or_after(day: np.datetime64, dates: Days) -> int:
    """Position of the first of ``dates`` (increasing) on or after ``day``; len(dates) if none."""
    return int(np.searchsorted(dates, day, side="left"))


def closes_on(days: Days, sessions: Sessions) -> Instants:
    """(D,) closing instants of any days: those of the exchange; a day that is no session of it has the hours of the
    session before, one before the first session those of the first."""
    at = np.maximum(np.searchsorted(sessions.dates, days, side="right") - 1, 0)
    return np.asarray(sessions.closes[at] + (days - sessions.dates[at]))


def positions_of(days: Days, dates: Days) -> npt.NDArray[np.int64]:
    """Position of each of ``days`` in ``dates`` (increasing), -1 where it is not there; shape of ``days``."""
    place = np.searchsorted(dates, days)
    inside = np.minimum(place, max(len(dates) - 1, 0))
    if not len(dates):
        return np.full(days.shape, -1)
    return np.where(dates[inside] == days, inside, -1)
