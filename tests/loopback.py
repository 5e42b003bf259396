"""A stand-in for Yahoo and for a file server on 127.0.0.1: what the real yfinance client asks, it answers from literals."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

ZONES = {
    "NYQ": "America/New_York", "SNP": "America/New_York", "HKG": "Asia/Hong_Kong", "JPX": "Asia/Tokyo",
    "???": "Europe/Vienna",
}  # fmt: skip
NOT_FOUND = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}


@dataclass(frozen=True)
class Reply:
    """One answer. stall: seconds before it. cut: bytes that the header promises and the body lacks, None for no promise.
    encoding: said of the body. then: called first."""

    body: bytes
    status: int = 200
    stall: float = 0.0
    cut: int | None = 0
    encoding: str = ""
    then: Callable[[], None] = lambda: None


def chart(
    symbol: str,
    days: Sequence[str],
    closes: Sequence[float | None],
    *,
    adjusted: Sequence[float | None] | None = None,
    volume: Sequence[int | None] | None = None,
    dividends: Mapping[str, Any] | None = None,
    splits: Mapping[str, tuple[float, float]] | None = None,
    exchange: str = "NYQ",
    currency: str = "USD",
) -> dict[str, Any]:
    """A chart answer with daily bars. dividends: ex-day -> amount or (amount, currency). splits: day -> (new, old)."""
    zone = ZoneInfo(ZONES[exchange])

    def stamp(day: str) -> int:
        return int(
            datetime.combine(date.fromisoformat(day), datetime.min.time().replace(hour=9, minute=30), zone).timestamp()
        )

    paid = {
        str(stamp(day)): {"date": stamp(day), "amount": amount[0], "currency": amount[1]}
        if isinstance(amount, tuple)
        else {"date": stamp(day), "amount": amount}
        for day, amount in (dividends or {}).items()
    }
    cut = {
        str(stamp(day)): {"date": stamp(day), "numerator": new, "denominator": old, "splitRatio": f"{new}:{old}"}
        for day, (new, old) in (splits or {}).items()
    }
    volumes = list(volume) if volume is not None else [None if c is None else 1000 + i for i, c in enumerate(closes)]
    meta = {
        "currency": currency, "symbol": symbol, "exchangeName": exchange, "fullExchangeName": exchange,
        "instrumentType": "EQUITY", "firstTradeDate": stamp(days[0]) if days else 0, "regularMarketTime": 0,
        "gmtoffset": 0, "timezone": "X", "exchangeTimezoneName": ZONES[exchange], "priceHint": 2,
        "dataGranularity": "1d", "range": "", "validRanges": ["1d", "5d", "1mo", "max"], "longName": f"{symbol} & Co, Ltd",
    }  # fmt: skip
    bars = {"open": closes, "high": closes, "low": closes, "close": closes, "volume": volumes}
    result = {
        "meta": meta,
        "timestamp": [stamp(d) for d in days],
        "indicators": {"quote": [bars], "adjclose": [{"adjclose": list(adjusted or closes)}]},
        "events": {k: v for k, v in (("dividends", paid), ("splits", cut)) if v},
    }
    return {"chart": {"result": [result], "error": None}}


@dataclass
class Loopback:
    """What the server answers and what it was asked. charts: symbol -> answers in turn, the last for good."""

    base: str = ""
    charts: dict[str, list[Reply]] = field(default_factory=dict)
    files: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    everything: list[str] = field(default_factory=list)

    def put(self, symbol: str, *answers: dict[str, Any] | Reply) -> None:
        self.charts[symbol] = [a if isinstance(a, Reply) else Reply(json.dumps(a).encode()) for a in answers]

    def reply(self, path: str) -> Reply:
        self.everything.append(path)
        if path == "/":
            return Reply(b"", 404)
        if path == "/v1/test/getcrumb":
            return Reply(b"crumb")
        if path in self.files:
            return self.files[path]
        if path.startswith("/v8/finance/chart/"):
            symbol = unquote(path.rpartition("/")[2])
            self.asked.append(symbol)
            answers = self.charts.get(symbol, [Reply(json.dumps(NOT_FOUND).encode(), 404)])
            return answers.pop(0) if len(answers) > 1 else answers[0]
        return Reply(b"<html>nothing here</html>", 404)


@contextmanager
def loopback() -> Iterator[Loopback]:
    """A running server; it ends with the block."""
    state = Loopback()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = state.reply(urlsplit(self.path).path)
            reply.then()
            time.sleep(reply.stall)
            self.send_response(reply.status)
            if reply.cut is not None:
                self.send_header("Content-Length", str(len(reply.body) + reply.cut))
            if reply.encoding:
                self.send_header("Content-Encoding", reply.encoding)
            if urlsplit(self.path).path == "/":
                self.send_header("Set-Cookie", "A3=made-up; Path=/; Max-Age=3600")
            self.end_headers()
            with suppress(OSError):  # the client has hung up
                self.wfile.write(reply.body)
            self.close_connection = True

        def log_message(self, *words: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # the client has hung up

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
