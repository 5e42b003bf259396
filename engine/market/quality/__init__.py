"""The quality report of a price snapshot: what stands in the files that a study should know of, a row a finding.

Nothing is mended here. The rules know no special case: each follows from the data, the exchange's calendar, the board's
price limits and what ``symbols.csv`` states. Thresholds are the named constants at the top of each file, with reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from engine.market.prices import PriceSeries, read_series
from engine.market.quality.adjustment import additive, ex_dates, missing_dividends
from engine.market.quality.days import closed_days, ends_early, gaps
from engine.market.quality.moves import jumps, market_moves, spikes
from engine.market.quality.subject import Finding, Subject, subject_of
from engine.market.quality.trading import idle, senseless
from engine.market.snapshots import Snapshot
from engine.sessions import Days, exchange_sessions, known_exchange

__all__ = ["KINDS", "quality_report", "report_on", "summary_lines"]

SCHEMA = {"symbol": pl.String, "kind": pl.String, "first": pl.Date, "last": pl.Date, "n": pl.Int64, "detail": pl.String}
# Every kind of finding in words; the faults first, then what is only good to know.
FAULTS = {
    "additive_adjustment": "prices that look adjusted by a sum instead of a ratio",
    "currency": "dividends in another currency than prices",
    "day_lost": "days that most files of an exchange lack",
    "double_dividend": "dividends that look counted twice",
    "duplicate": "bars that repeat the one before",
    "ex_date_mismatch": "ex-dates on which stated and implied dividend differ",
    "flat": "runs of identical closes with volume",
    "gap": "gaps of up to 5 sessions",
    "high_low": "stretches with bars that contradict themselves",
    "jump": "returns beyond the board's price limit",
    "missing_dividend": "dividends that another line of the firm has",
    "non_positive": "runs of prices of zero or below",
    "off_session": "runs of rows on days that are no session",
    "spike": "jumps that revert at once",
    "stale": "runs of stale prices",
    "suspension": "suspensions of more than 5 sessions",
    "zero_volume": "runs of prices that moved without volume",
}
NOTES = {
    "ends_early": "series that end before the others of their exchange",
    "ex_date": "ex-dates that adj_close implies",
    "exchange_closed": "sessions of a calendar on which an exchange was closed",
    "limit_locked": "runs of days locked at the price limit",
    "no_range": "series that begin with closes only",
    "stated": "remarks of the snapshot itself",
}
KINDS = FAULTS | NOTES


def quality_report(
    snapshot: Snapshot, symbols: Iterable[str], exchanges: Mapping[str, str | None] | None = None
) -> pl.DataFrame:
    """Everything the checks find in ``symbols`` of a snapshot: symbol, kind, first, last, n, detail, sorted.

    n: rows or sessions of the finding (calendar days for ``ends_early``). exchanges: by symbol; where it is silent,
    ``symbols.csv`` says. Raises DataError for files that cannot be read.
    """
    series, _ = read_series(snapshot, symbols)
    listings = snapshot.listings
    stated = {s: listings.get(s, {}).get("exchange") or None for s in series}
    return report_on(series, stated | dict(exchanges or {}), listings, currencies=_currencies(snapshot, series))


def report_on(
    series: Mapping[str, PriceSeries],
    exchanges: Mapping[str, str | None],
    listings: Mapping[str, Mapping[str, str]],
    sessions: Mapping[str, Days] | None = None,
    currencies: Mapping[str, tuple[str, str]] | None = None,
) -> pl.DataFrame:
    """The report on series in memory. sessions: by symbol, in place of its exchange's calendar.

    currencies: by symbol, of prices and of dividends.
    """
    ends = [int(str(s.dates[-1])[:4]) for s in series.values() if len(s.dates)]
    subjects = [
        _subject(s, exchanges.get(symbol), listings.get(symbol, {}), sessions or {}, max(ends, default=2000))
        for symbol, s in sorted(series.items())
        if len(s.dates)
    ]
    found = list(_findings(subjects, listings))
    for symbol, (price, dividend) in sorted((currencies or {}).items()):
        days = series[symbol].dates
        if price != dividend and len(days):
            found.append(
                Finding(symbol, "currency", days[0], days[-1], len(days), f"prices in {price}, dividends in {dividend}")
            )
    return _table(found)


def _findings(subjects: Sequence[Subject], listings: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    of_exchanges = closed_days(subjects)
    yield from of_exchanges
    indices = [s for s in subjects if s.kind == "index"]
    peers = market_moves(subjects)
    for s in subjects:
        yield from gaps(s, of_exchanges)
        yield from spikes(s, peers)
        for check in (idle, senseless, jumps, ex_dates):
            yield from check(s)
        yield from additive(s, indices)
        said = "; ".join(t for t in (listings.get(s.symbol, {}).get(c, "") for c in ("basis", "notes")) if len(t) > 1)
        if said:
            yield s.find("stated", 0, -1, len(s.dates), said)
    yield from ends_early(subjects)
    yield from missing_dividends(subjects, {s: about.get("name", "") for s, about in listings.items()})


def _subject(
    series: PriceSeries, exchange: str | None, about: Mapping[str, str], sessions: Mapping[str, Days], last_year: int
) -> Subject:
    code = known_exchange(exchange, series.symbol) if exchange else None
    days = sessions.get(series.symbol)
    if days is None and code is not None:
        days = exchange_sessions(code, last_year).dates
    return subject_of(series, about, code, days)


def _currencies(snapshot: Snapshot, symbols: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Currency of prices and of dividends, where the manifest states the latter for a file."""
    made = {}
    for symbol in symbols:
        about = snapshot.manifest.get("files", {}).get(snapshot.file_of(symbol).name, {})
        price = about.get("currency") or snapshot.listings.get(symbol, {}).get("currency", "")
        if about.get("dividend_currency") and price:
            made[symbol] = (str(price), str(about["dividend_currency"]))
    return made


def _table(found: Sequence[Finding]) -> pl.DataFrame:
    columns = dict(zip(SCHEMA, zip(*found, strict=True), strict=True)) if found else dict.fromkeys(SCHEMA, ())
    days = {c: np.array(columns[c], "datetime64[D]") for c in ("first", "last")}
    return pl.DataFrame({**columns, **days}, schema=SCHEMA).sort("symbol", "kind", "first", "last", "detail")


def summary_lines(report: pl.DataFrame) -> list[str]:
    """The report in a line a kind, faults first: how many, in how many series, and an example."""
    lines = []
    for kind, words in KINDS.items():
        rows = report.filter(pl.col("kind") == kind)
        if len(rows):
            one = rows.row(0, named=True)
            where = f"{one['symbol']} {one['first']}" + (f" to {one['last']}" if one["last"] != one["first"] else "")
            lines.append(
                f"{kind}: {len(rows)} {words} ({rows['symbol'].n_unique()} symbols); e.g. {where}: {one['detail']}"
            )
    return lines
