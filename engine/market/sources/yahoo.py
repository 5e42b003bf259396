"""Yahoo through yfinance: one ticker at a time, raw closes with dividends and splits beside them.

Cookies, crumbs and their moving rules are yfinance's. Here is what it leaves open: which answer is final and which may
be asked for again, dividends that belong to a day without a row, and dividends in another currency than the price.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from curl_cffi.requests import Response
from curl_cffi.requests import exceptions as web

from engine.libraries import cache_folder
from engine.market.sources.source import PRICE_COLUMNS, Access, Failure, Fetch, Fetched, Source
from engine.market.sources.web import BoundedSession, Trouble, trouble

CHART = "/v8/finance/chart/"
LONGEST = 200  # characters of a text of Yahoo's that is kept or told
SHOWN = 5  # days that one note tells
LARGEST = 1e15  # of a price, dividend, split or volume, as a price file may hold
FIVE_DIGITS = re.compile(r"0(\d{4}\.HK)", re.IGNORECASE)
# Yahoo's exchange codes -> market identifier codes.
EXCHANGES = {
    "NYQ": "XNYS", "NMS": "XNAS", "NGM": "XNAS", "NCM": "XNAS", "ASE": "XNYS", "PCX": "XNYS", "BTS": "XNYS",
    "SNP": "XNYS", "DJI": "XNYS", "NIM": "XNYS", "WCB": "XNYS", "CXI": "XNYS", "HKG": "XHKG", "SHH": "XSHG",
    "SHZ": "XSHG", "JPX": "XTKS", "OSA": "XTKS", "FGI": "XLON", "LSE": "XLON", "GER": "XETR", "PAR": "XPAR",
    "TOR": "XTSE", "ASX": "XASX", "KSC": "XKRX", "KOE": "XKRX", "TAI": "XTAI", "SES": "XSES",
}  # fmt: skip


class YahooSession(BoundedSession):
    """Keeps the last chart answer, and ends at once where no other cookie would help. chart: its body."""

    chart: bytes = b""
    status: int = 0

    def request(self, method: Any, url: str, **options: Any) -> Response:  # type: ignore[override]
        answer = super().request(method, url, **options)
        if CHART in url:
            self.chart, self.status = answer.content, answer.status_code
            _check(answer)
        return answer


def _check(answer: Response) -> None:
    """Raises Trouble for a chart answer that is final. 401, 403 and 429 are left to yfinance, which changes cookies."""
    status = answer.status_code
    if status in (401, 403, 429):
        return
    if status >= 500:
        raise Trouble("server_error", f"status {status}", retryable=True)
    if status == 404:
        raise Trouble("not_found", "Yahoo does not know the symbol")
    try:
        error = json.loads(answer.content)["chart"].get("error")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Trouble("not_json", f"status {status}, begins {answer.content[:40]!r}", retryable=True) from None
    if error:
        said = error.get("description") if isinstance(error, dict) else None
        raise Trouble("no_rows", _text(said) or "Yahoo gives an error without a text")


def _start(access: Access) -> Fetch:
    import yfinance as yf  # type: ignore[import-untyped]  # 1 s
    from yfinance.data import YfData  # type: ignore[import-untyped]

    if (folder := cache_folder()) is not None:  # it unpickles what it kept
        yf.set_tz_cache_location(str(folder / "yfinance"))
    yf.config.debug.hide_exceptions = False
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # every failure becomes a Failure
    session = YahooSession(access)

    def fetch(symbol: str, first: date, last: date) -> Fetched | Failure:
        code = FIVE_DIGITS.fullmatch(symbol)
        asked = code.group(1) if code is not None else symbol
        YfData.cache_get.cache_clear()  # yfinance remembers failed answers for past days
        notes = (f"asked for as {asked}",) if asked != symbol else ()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of numbers that an answer should not hold
                frame = yf.Ticker(asked, session=session).history(
                    start=first.isoformat(), end=(last + timedelta(days=1)).isoformat(), auto_adjust=False, actions=True,
                    keepna=True, repair=False, timeout=access.seconds,
                )  # fmt: skip
                return _fetched(symbol, frame, json.loads(session.chart)["chart"]["result"][0], first, notes)
        except Trouble as problem:
            return problem.of(symbol)
        except yf.exceptions.YFRateLimitError:
            return Failure(symbol, "rate_limited", "Yahoo answers 429", retryable=True, stops=True)
        except yf.exceptions.YFPricesMissingError as problem:
            return Failure(symbol, "no_rows", str(problem))
        except web.RequestException as problem:
            return trouble(problem).of(symbol)
        except Exception as problem:  # a broken answer leads yfinance and pandas into errors of every kind
            if session.status in (401, 403):
                return Failure(symbol, "refused", f"status {session.status}", retryable=True, stops=True)
            return Failure(symbol, "unreadable", f"{type(problem).__name__}: {_text(str(problem))}")

    return fetch


def _fetched(
    symbol: str, frame: Any, answer: Mapping[str, Any], first: date, notes: tuple[str, ...]
) -> Fetched | Failure:
    """yfinance's frame as a table; dividends and splits on the dates that Yahoo's answer gives them, volumes as there:
    yfinance makes an unknown volume 0, which would read as a day without trade."""
    if not len(frame):
        return Failure(symbol, "no_rows", "Yahoo gives no day in this range")
    meta, events = answer["meta"], answer.get("events", {})
    zone = ZoneInfo(meta["exchangeTimezoneName"])
    dividends = [
        (_day(e["date"], zone), float(e["amount"]), _text(e.get("currency"))) for e in _values(events, "dividends")
    ]
    splits = [(_day(e["date"], zone), e["numerator"] / e["denominator"]) for e in _values(events, "splits")]
    volumes = {
        _day(t, zone): v for t, v in zip(answer["timestamp"], answer["indicators"]["quote"][0]["volume"], strict=True)
    }
    days = frame.index.tz_localize(None).to_numpy().astype("datetime64[D]")
    table = pl.DataFrame(
        {
            "date": days,
            "close": frame["Close"].to_numpy(np.float64),
            "adj_close": frame["Adj Close"].to_numpy(np.float64),
            "volume": [volumes.get(day) for day in days.tolist()],
        },
        schema_overrides={"volume": pl.Float64},
    ).with_columns(pl.when(pl.col(pl.Float64).is_finite()).then(pl.col(pl.Float64)))
    paid = pl.DataFrame([d[:2] for d in dividends], {"date": pl.Date, "dividend": pl.Float64}, orient="row")
    cut = pl.DataFrame(splits, {"date": pl.Date, "split": pl.Float64}, orient="row")
    # An ex-day without a row gets one without a price: yfinance would put it on the day before, where it is not earned.
    for actions in (
        paid.group_by("date").agg(pl.col("dividend").sum()),
        cut.group_by("date").agg(pl.col("split").product()),
    ):
        inside = actions.filter(pl.col("date").is_between(table["date"].min(), table["date"].max()))
        table = table.join(inside, on="date", how="full", coalesce=True, validate="m:1")
    table = (
        table.sort("date", maintain_order=True)
        .with_columns(pl.col("dividend", "split").fill_null(0.0))
        .filter(pl.col("date") >= first)
        .select("date", *PRICE_COLUMNS)
    )
    sizes = np.abs(table.select(PRICE_COLUMNS).fill_null(0.0).to_numpy())
    if not (sizes <= LARGEST).all():  # also a dividend that is NaN
        raise ValueError("a price, dividend, split or volume is beyond what it can be")
    currency = _text(meta.get("currency"))
    return Fetched(
        symbol=symbol,
        table=table,
        currency=currency,
        exchange=EXCHANGES.get(str(meta.get("exchangeName")), ""),
        name=_text(meta.get("longName")) or _text(meta.get("shortName")),
        notes=(*notes, *_remarks(answer, frame, dividends, currency, zone)),
    )


def _remarks(
    answer: Mapping[str, Any], frame: Any, dividends: list[tuple[date, float, str]], currency: str, zone: ZoneInfo
) -> list[str]:
    """What yfinance mends or passes through without a word."""
    notes = []
    bars = Counter(_day(t, zone) for t in answer["timestamp"])
    twice = [str(day) for day, count in bars.items() if count > 1]
    if twice:
        more = f", ... {twice[-1]}" if len(twice) > SHOWN else ""
        notes.append(f"duplicate bar of {', '.join(twice[:SHOWN])}{more} removed, the last kept")
    foreign = []
    for day, amount, money in dividends:
        if money and money != currency:
            foreign.append(f"dividend of {day} is {amount:g} {money}, the price is in {currency}: not converted")
    notes += foreign[:SHOWN] + [f"{len(foreign) - SHOWN} more dividends likewise"] * (len(foreign) > SHOWN)
    gains = frame["Capital Gains"].to_numpy() if "Capital Gains" in frame else np.zeros(0)
    if (gains != 0).any():
        notes.append(
            f"capital gains on {int((gains != 0).sum())} days left out: Yahoo's dividends may hold them already"
        )
    return notes


def _values(events: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return list(events.get(kind, {}).values())


def _text(value: Any) -> str:
    """A text of Yahoo's in one line, without control characters and not too long; "" for what is no text."""
    return "".join(c for c in value if c.isprintable())[:LONGEST] if isinstance(value, str) else ""


def _day(stamp: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(stamp, UTC).astimezone(zone).date()


SOURCE = Source(
    start=_start,
    about={
        "source": "Yahoo Finance",
        "redistributable": False,
        "close": "split-adjusted",
        "dividend": "a share, split-adjusted, on the ex-day; total return = (close + dividend) / close before - 1",
        "limits": "Yahoo keeps few delisted firms and rewrites history without notice; not to be passed on.",
    },
    packages=("yfinance", "curl-cffi"),
)
