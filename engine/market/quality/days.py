"""Days: sessions without a price, rows that are no session, exchanges that were closed, series that end early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engine.market.quality.subject import PEERS, TRADED, Finding, Flags, Subject, runs
from engine.sessions import positions_of

SUSPENSION = (
    5  # sessions: a longer gap is called a suspension (in Hong Kong and China trading halts of weeks are common)
)
WEEKDAYS = 5  # without an exchange, shorter runs of missing weekdays are holidays nobody has a calendar for
ENDS_EARLY = 30  # calendar days
BRIDGE = 20  # rows: off-session rows closer than a month are reported together


def closed_days(subjects: Sequence[Subject]) -> list[Finding]:
    """Sessions of an exchange on which more than half of its listings (of at least `PEERS`) have no price.

    If none of the exchange's indices has a price either, it was closed (``exchange_closed``); else the vendor lost the
    day (``day_lost``).
    """
    found = []
    for exchange in sorted({s.exchange for s in subjects if s.exchange is not None}):
        listed = [s for s in subjects if s.exchange == exchange and s.kind in TRADED]
        if len(listed) < PEERS:
            continue
        covered, of = np.unique(np.concatenate([s.sessions for s in listed]), return_counts=True)
        lacking, n = np.unique(np.concatenate([s.sessions[_missing(s)] for s in listed]), return_counts=True)
        of = of[np.searchsorted(covered, lacking)]
        most = (of >= PEERS) & (2 * n > of)
        indices = [s for s in subjects if s.exchange == exchange and s.kind == "index"]
        for day, missing, all_ in zip(lacking[most], n[most], of[most], strict=True):
            trading = [s.symbol for s in indices if np.isfinite(s.price[s.dates == day]).any()]
            detail = f"{missing} of {all_} listings have no price on this session of the calendar"
            kind, more = ("day_lost", f", but {trading[0]} has") if trading else ("exchange_closed", "")
            found.append(Finding(exchange, kind, day, day, 1, detail + more))
    return found


def gaps(subject: Subject, of_exchanges: Sequence[Finding]) -> Iterator[Finding]:
    """Sessions inside the series' span without a price (``gap``, from 6 on ``suspension``), and rows on no session.

    of_exchanges: `closed_days`; those are not said again for each listing, nor closed ones for an index.
    """
    whole = [f for f in of_exchanges if f.symbol == subject.exchange]
    said = [f.first for f in whole if f.kind == "exchange_closed" or subject.kind in TRADED]
    elsewhere = np.array(said, "datetime64[D]")
    missing = _missing(subject) & (positions_of(subject.sessions, elsewhere) < 0)
    for first, last in runs(missing):
        n = last - first + 1
        if subject.exchange is None and n < WEEKDAYS:
            continue
        what = f"{'session' if subject.exchange else 'weekday'}{'s' * (n > 1)} without a price"
        kind = "suspension" if n > SUSPENSION and subject.exchange else "gap"
        yield Finding(subject.symbol, kind, subject.sessions[first], subject.sessions[last], n, f"{n} {what}")
    off = ~_on_session(subject)
    name = f"session of {subject.exchange}" if subject.exchange else "weekday"
    for first, last in runs(off, BRIDGE):
        n = int(off[first : last + 1].sum())
        yield subject.find("off_session", first, last, n, f"the row's day is no {name}: it is not used")


def ends_early(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Series that end more than `ENDS_EARLY` calendar days before the day up to which half of their exchange's series go.

    Half, not the latest: one index that is kept up to date would put every other series into the report.
    """
    for exchange in sorted({s.exchange for s in subjects if s.exchange is not None}):
        own = [s for s in subjects if s.exchange == exchange]
        usual = sorted(s.dates[-1] for s in own)[len(own) // 2]
        for s in own:
            behind = int((usual - s.dates[-1]).astype(int))
            if behind > ENDS_EARLY:
                detail = f"the last row is {behind} days before {usual}, up to which half of {exchange} goes"
                yield s.find("ends_early", -1, -1, behind, detail)


def _missing(subject: Subject) -> Flags:
    return positions_of(subject.sessions, subject.dates[np.isfinite(subject.price)]) < 0


def _on_session(subject: Subject) -> Flags:
    """Rows on a session; a calendar that starts later than the series says nothing about the rows before it."""
    on = positions_of(subject.dates, subject.sessions) >= 0
    return on | (subject.dates < subject.sessions[0]) if len(subject.sessions) else np.ones(len(on), bool)
