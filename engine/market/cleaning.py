"""What is checked on a fetched price table before it is kept: every finding is a line, nothing is filled in or moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from engine.market.sources.source import Failure, Fetched
from engine.sessions import DAY, NO_DAY, Days, Sessions

SETTLED = np.timedelta64(30, "m")  # quotes come up to 20 minutes late: a bar is final this long after the close
CONTRADICTS = 0.005  # of the price
SHOWN = 5


def last_closed(sessions: Sessions, now: np.datetime64) -> np.datetime64:
    """The last session that had closed `SETTLED` before ``now`` (UTC); NaT if there is none."""
    closed = np.searchsorted(sessions.closes, now - SETTLED, side="right")
    return sessions.dates[closed - 1] if closed else NO_DAY


def clean(fetched: Fetched, sessions: Sessions | None, now: np.datetime64) -> Fetched | Failure:
    """Take out what is not final: a second bar of the last day, and days after the last closed session of the exchange.

    sessions: None where the exchange is not known; then today (UTC) is left out. Empty cells, rows
    on days that are no session and sessions without a row stay as they are, each with a line in ``notes``. A table that
    is empty after that, or has a day twice, is a Failure.
    """
    table, notes = fetched.table.sort("date", maintain_order=True), list(fetched.notes)
    if len(table) > 1 and table["date"][-1] == table["date"][-2]:
        notes.append(f"duplicate bar of {table['date'][-1]} removed, the last kept")
        table = pl.concat([table[:-2], table[-1:]])
    if table["date"].is_duplicated().any():
        day = table.filter(pl.col("date").is_duplicated())["date"][0]
        return Failure(fetched.symbol, "unreadable", f"{day} stands there more than once")
    days = table["date"].to_numpy().astype("datetime64[D]")
    last = last_closed(sessions, now) if sessions is not None else now.astype("datetime64[D]") - DAY
    if (days > last).any():
        notes.append(f"unfinished session left out: {_days(days[days > last])}")
    table, days = table.filter(pl.Series(days <= last)), days[days <= last]
    prices = [c for c in ("return", "close", "adj_close") if c in table.columns]
    if not any(table[c].is_not_null().any() for c in prices):
        return Failure(fetched.symbol, "no_rows", "no day has a price")
    empty = days[table[prices[0]].is_null().to_numpy()]
    if len(empty):
        notes.append(f"{len(empty)} rows without a price kept as missing: {_days(empty)}")
    if sessions is None:
        notes.append("exchange not known: days not checked against a calendar")
    else:
        strange = np.setdiff1d(days, sessions.dates)
        due = sessions.dates[(sessions.dates >= days[0]) & (sessions.dates <= last)]
        absent = np.setdiff1d(due[due < days[-1]], days)
        if len(strange):
            notes.append(f"{len(strange)} rows on days that are no session of {sessions.exchange}: {_days(strange)}")
        if len(absent):
            notes.append(f"{len(absent)} sessions of {sessions.exchange} missing: {_days(absent)}")
        if due[-1:] > days[-1]:
            notes.append(f"ends on {days[-1]}, {(due > days[-1]).sum()} sessions before the last closed one")
    apart = _apart(table)
    if len(apart):
        notes.append(f"adj_close moves otherwise than close and dividend on {len(apart)} days: {_days(apart)}")
    return replace(fetched, table=table, notes=tuple(notes))


def _apart(table: pl.DataFrame) -> Days:
    """Days on which adj_close contradicts the dividends: it should move like P1 / (P0 - D) (the vendor's own rule)."""
    if not {"close", "adj_close", "dividend"} <= set(table.columns):
        return np.array([], "datetime64[D]")
    priced = table.with_columns(pl.col("dividend").cum_sum()).drop_nulls(("close", "adj_close"))
    before = pl.col("close").shift() - (pl.col("dividend") - pl.col("dividend").shift())
    ratio = (pl.col("adj_close") / pl.col("adj_close").shift()) / (pl.col("close") / before)
    return priced.filter((ratio - 1).abs() > CONTRADICTS)["date"].to_numpy().astype("datetime64[D]")


def _days(days: Days) -> str:
    more = f", ... {days[-1]}" if len(days) > SHOWN else ""
    return ", ".join(str(d) for d in days[:SHOWN]) + more
