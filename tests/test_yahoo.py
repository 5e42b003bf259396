"""The real yfinance client against a server on this machine: every way in which Yahoo answers, and fails to."""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from curl_cffi.requests import exceptions as web
from loopback import Loopback, Reply, chart, loopback

from engine.errors import SpecError
from engine.market.cleaning import clean
from engine.market.sources import SOURCES, Access, Failure, Fetched
from engine.market.sources.web import BoundedSession, loopback_base
from engine.sessions import exchange_sessions

pytestmark = pytest.mark.usefixtures("only_this_machine")

DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]
CLOSES = [100.0, 101.0, 99.0, 102.0, 103.0]
FIRST, LAST = date(2024, 3, 1), date(2024, 3, 31)
NIGHT = np.datetime64("2024-03-08T23:00:00")  # after the last close of DAYS


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


def ask(server: Loopback, symbol: str = "AAA", **limits: float) -> Fetched | Failure:
    access = replace(Access(base=server.base, seconds=2.0), **limits)
    return SOURCES["yahoo"].start(access)(symbol, FIRST, LAST)


def fetched(server: Loopback, symbol: str = "AAA") -> Fetched:
    answer = ask(server, symbol)
    assert isinstance(answer, Fetched), answer
    return answer


def failed(server: Loopback, symbol: str = "AAA", **limits: float) -> Failure:
    answer = ask(server, symbol, **limits)
    assert isinstance(answer, Failure), answer
    return answer


# What a good answer becomes


def test_prices_dividends_and_splits(server: Loopback) -> None:
    server.put(
        "AAA",
        chart(
            "AAA", DAYS, CLOSES, adjusted=[98.0, 99.0, 99.0, 102.0, 103.0], volume=[5, 6, 7, 8, 9],
            dividends={"2024-03-06": 2.0}, splits={"2024-03-08": (4, 1)},
        ),
    )  # fmt: skip
    got = fetched(server)
    assert got.table.to_dict(as_series=False) == {
        "date": [date.fromisoformat(d) for d in DAYS],
        "close": CLOSES,
        "adj_close": [98.0, 99.0, 99.0, 102.0, 103.0],
        "dividend": [0.0, 0.0, 2.0, 0.0, 0.0],
        "split": [0.0, 0.0, 0.0, 0.0, 4.0],
        "volume": [5.0, 6.0, 7.0, 8.0, 9.0],
    }
    assert (got.currency, got.exchange, got.name, got.notes) == ("USD", "XNYS", "AAA & Co, Ltd", ())
    assert "/v1/test/getcrumb" in server.everything


def test_an_empty_cell_stays_empty(server: Loopback) -> None:
    """An unknown volume is not the volume 0 of a day without trade."""
    server.put("AAA", chart("AAA", DAYS, [100.0, None, 99.0, 99.0, 99.0], volume=[5, None, 7, None, 0]))
    table = fetched(server).table
    assert table["close"].to_list() == [100.0, None, 99.0, 99.0, 99.0]
    assert table["volume"].to_list() == [5.0, None, 7.0, None, 0.0]


def test_days_before_the_first_are_left_out(server: Loopback) -> None:
    server.put("AAA", chart("AAA", ["2024-02-29", *DAYS], [90.0, *CLOSES]))
    assert fetched(server).table["close"].to_list() == CLOSES


def test_a_dividend_on_a_day_without_a_bar_keeps_its_day(server: Loopback) -> None:
    """yfinance itself puts it on the bar before, where it would be a return of the wrong day."""
    days, closes = [d for d in DAYS if d != "2024-03-06"], [100.0, 101.0, 102.0, 103.0]
    server.put("AAA", chart("AAA", days, closes, dividends={"2024-03-06": 2.0}))
    table = fetched(server).table
    assert table["date"].to_list() == [date.fromisoformat(d) for d in DAYS]
    assert table["dividend"].to_list() == [0.0, 0.0, 2.0, 0.0, 0.0]
    assert table["close"].to_list() == [100.0, 101.0, None, 102.0, 103.0]


def test_a_dividend_in_another_currency_is_flagged(server: Loopback) -> None:
    server.put("AAA", chart("AAA", DAYS, CLOSES, currency="HKD", dividends={"2024-03-06": (2.0, "CNY")}))
    assert fetched(server).notes == ("dividend of 2024-03-06 is 2 CNY, the price is in HKD: not converted",)


def test_hong_kong_codes_of_five_digits(server: Loopback) -> None:
    server.put("0981.HK", chart("0981.HK", DAYS, CLOSES, exchange="HKG", currency="HKD"))
    got = fetched(server, "00981.HK")
    assert (got.symbol, got.exchange, got.notes) == ("00981.HK", "XHKG", ("asked for as 0981.HK",))
    assert set(server.asked) == {"0981.HK"}
    assert failed(server, "80981.HK").reason == "not_found"  # a counter of its own


def test_symbols_are_quoted(server: Loopback) -> None:
    server.put("^GSPC", chart("^GSPC", DAYS, CLOSES, exchange="SNP"))
    assert fetched(server, "^GSPC").exchange == "XNYS"


def test_a_duplicate_last_bar_is_removed_and_said(server: Loopback) -> None:
    server.put("AAA", chart("AAA", [*DAYS, DAYS[-1]], [*CLOSES, 103.5]))
    got = fetched(server)
    assert got.table["close"].to_list() == [*CLOSES[:-1], 103.5]
    assert got.notes == ("duplicate bar of 2024-03-08 removed, the last kept",)


# How it fails: a reason for each, and whether asking again may help


@pytest.mark.parametrize(
    ("reply", "reason", "retryable", "stops"),
    [
        (Reply(b"oops", 500), "server_error", True, False),
        (Reply(b"<html>maintenance</html>"), "not_json", True, False),
        (Reply(b'{"chart": {"result": [{"meta": {"curren'), "not_json", True, False),
        (Reply(b'{"chart": {', cut=500), "truncated", True, False),
        (Reply(b"", stall=0.5), "timeout", True, False),
        (Reply(b"Too Many Requests", 429), "rate_limited", True, True),
        (Reply(b"no", 401), "refused", True, True),
        (Reply(b'{"chart": {"result": [{"meta": {"exchangeTimezoneName": "Mars/Base"}}]}}'), "unreadable", False, False),
        (Reply(b'{"chart": {"error": {"description": "No days"}}}', 400), "no_rows", False, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_every_failure_has_its_reason(
    server: Loopback, reply: Reply, reason: str, retryable: bool, stops: bool
) -> None:
    server.put("AAA", reply)
    failure = failed(server, seconds=0.25)
    assert (failure.symbol, failure.reason, failure.retryable, failure.stops) == ("AAA", reason, retryable, stops)


def put_in(path: str, value: Any) -> Reply:
    """The good answer with one node replaced."""
    answer = json.loads(json.dumps(chart("AAA", DAYS, CLOSES, dividends={"2024-03-06": 2.0})))
    *way, last = path.split(".")
    node: Any = answer["chart"]["result"][0]
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step] if step != "*" else next(iter(node.values()))
    node[int(last) if isinstance(node, list) else last] = value
    return Reply(json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b'{"chart":' * 50_000 + b"1" + b"}" * 50_000), "not_json"),
        (Reply(b'{"chart": "no"}'), "not_json"),
        (Reply(b'{"chart": {"error": "closed"}}'), "no_rows"),
        (Reply(b'{"chart": {"error": {"description": ["closed"]}}}'), "no_rows"),
        (put_in("meta.exchangeTimezoneName", "Etc"), "unreadable"),
        (put_in("meta.exchangeTimezoneName", "a" * 3000), "unreadable"),
        (put_in("meta.exchangeTimezoneName", ["Etc"]), "unreadable"),
        (put_in("timestamp.0", 10**30), "unreadable"),
        (put_in("timestamp.0", "2024-03-04"), "unreadable"),
        (put_in("indicators.quote.0.close.1", 1e308), "unreadable"),
        (put_in("indicators.quote.0.volume.1", 1e308), "unreadable"),
        (put_in("events.dividends.*.amount", float("nan")), "unreadable"),
        (put_in("events.dividends.*.amount", float("-inf")), "unreadable"),
    ],
)
def test_an_answer_that_means_harm_has_its_reason(server: Loopback, reply: Reply, reason: str) -> None:
    server.put("AAA", reply)
    failure = failed(server)
    assert failure.reason == reason
    assert len(failure.detail) < 300


def test_texts_of_an_answer_are_short_and_plain(server: Loopback) -> None:
    """What is no text is left out; control characters and what is too long are not kept."""
    answer = chart("AAA", DAYS, CLOSES)
    answer["chart"]["result"][0]["meta"] |= {"longName": "\x1b[31mA\u202eB" + "c" * 3000, "currency": {"date": "x"}}
    server.put("AAA", answer)
    got = fetched(server)
    assert (got.name, got.currency) == ("[31mAB" + "c" * 194, "")


def test_many_dividends_in_another_currency_are_told_in_a_few_lines(server: Loopback) -> None:
    days = [f"2024-03-{day:02}" for day in range(4, 29)]
    server.put("AAA", chart("AAA", days, [100.0] * len(days), dividends=dict.fromkeys(days, (1.0, "CNY"))))
    *first, last = fetched(server).notes
    assert (len(first), last) == (5, "20 more dividends likewise")


def test_an_unknown_symbol_is_asked_for_once(server: Loopback) -> None:
    failure = failed(server)
    assert (failure.reason, failure.retryable) == ("not_found", False)
    assert server.asked == ["AAA"]


def test_one_429_is_overcome_two_are_not(server: Loopback) -> None:
    busy, good = Reply(b"Too Many Requests", 429), chart("AAA", DAYS, CLOSES)
    server.put("AAA", busy, good)
    assert fetched(server).table["close"].to_list() == CLOSES
    server.put("BBB", busy, busy, chart("BBB", DAYS, CLOSES))
    assert failed(server, "BBB").reason == "rate_limited"
    assert fetched(server, "BBB").table["close"].to_list() == CLOSES


def test_a_failed_answer_is_not_remembered(server: Loopback) -> None:
    """yfinance keeps answers for past days, failed ones too; each call forgets them."""
    server.put("AAA", Reply(b"no", 401), Reply(b"no", 401), chart("AAA", DAYS, CLOSES))
    assert failed(server).reason == "refused"
    assert fetched(server).table["close"].to_list() == CLOSES


def test_nobody_at_home() -> None:
    with loopback() as gone:
        pass
    failure = failed(gone)
    assert (failure.reason, failure.retryable, failure.stops) == ("unreachable", True, True)


def test_no_days_in_the_range(server: Loopback) -> None:
    server.put("AAA", chart("AAA", [], []))
    assert failed(server).reason == "no_rows"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b" " * 300_000 + b"{}"),
        Reply(b" " * 300_000 + b"{}", cut=None),
        Reply(gzip.compress(b" " * 300_000 + b"{}"), encoding="gzip"),
    ],
    ids=["said", "not said", "packed"],
)
def test_an_answer_that_is_too_large(server: Loopback, reply: Reply) -> None:
    server.put("AAA", reply)
    failure = failed(server, max_bytes=200_000)
    assert (failure.reason, failure.retryable) == ("too_large", False)


# The session


def test_certificates_are_verified_whatever_is_asked(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a handshake that the client refused

    server = Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        with BoundedSession(Access(seconds=5)) as session:
            session.verify = False
            with pytest.raises(web.CertificateVerifyError):
                session.get(f"https://localhost:{server.server_port}/", verify=False)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("text", ["http://example.com:80", "https://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1:80/x",
                                  "http://127.0.0.1:80@example.com", "http://localhost.example.com:80"])  # fmt: skip
def test_only_this_machine_stands_in_for_yahoo(text: str) -> None:
    with pytest.raises(SpecError, match="is not http://127"):
        loopback_base(text)


def test_the_stand_in() -> None:
    assert loopback_base("http://127.0.0.1:8080") == "http://127.0.0.1:8080"
    assert loopback_base("http://localhost:1") == "http://localhost:1"
    assert loopback_base(None) is None
    assert loopback_base("") is None


# What is taken out and what is said


def cleaned(days: list[str], closes: list[float | None], now: np.datetime64 = NIGHT, **more: list[float]) -> Fetched:
    table = pl.DataFrame({"date": [date.fromisoformat(d) for d in days], "close": closes, **more})
    answer = clean(Fetched("AAA", table), exchange_sessions("XNYS", 2024), now)
    assert isinstance(answer, Fetched), answer
    return answer


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2024-03-08T20:59:00", "2024-03-07"),  # New York closes at 21:00 UTC
        ("2024-03-08T21:29:00", "2024-03-07"),
        ("2024-03-08T21:30:00", "2024-03-08"),
    ],
)
def test_an_unfinished_session_is_left_out(now: str, last: str) -> None:
    got = cleaned(DAYS, list(CLOSES), np.datetime64(now))
    assert str(got.table["date"][-1]) == last
    assert got.notes == (("unfinished session left out: 2024-03-08",) if last == "2024-03-07" else ())


def test_what_is_strange_is_kept_and_said() -> None:
    days = ["2024-03-01", "2024-03-02", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]
    got = cleaned(days, [1.0, 1.0, 1.0, None, 1.0, 1.0])
    assert got.table["date"].cast(str).to_list() == days
    assert cleaned(days[:-2], [1.0] * 4).notes[-1] == "ends on 2024-03-06, 2 sessions before the last closed one"
    assert got.notes == (
        "1 rows without a price kept as missing: 2024-03-06",
        "1 rows on days that are no session of XNYS: 2024-03-02",
        "1 sessions of XNYS missing: 2024-03-04",
    )


def test_a_second_bar_of_the_last_day() -> None:
    got = cleaned([*DAYS, DAYS[-1]], [*CLOSES, 103.5])
    assert got.table["close"].to_list() == [*CLOSES[:-1], 103.5]
    assert got.notes == ("duplicate bar of 2024-03-08 removed, the last kept",)
    table = pl.DataFrame({"date": [date(2024, 3, 4)] * 2 + [date(2024, 3, 5)], "close": [1.0, 2.0, 3.0]})
    answer = clean(Fetched("AAA", table), exchange_sessions("XNYS", 2024), NIGHT)
    assert isinstance(answer, Failure)
    assert answer.detail == "2024-03-04 stands there more than once"


def test_adjusted_closes_that_contradict_the_dividends() -> None:
    """P1 / (P0 - D) = 99 / 99 = 1 on the ex-day; an adj_close that falls there knows no dividend."""
    dividend = [0.0, 0.0, 2.0, 0.0, 0.0]
    right, wrong = [99 / 101 * 100, 99.0, 99.0, 102.0, 103.0], list(CLOSES)
    assert cleaned(DAYS, list(CLOSES), adj_close=right, dividend=dividend).notes == ()
    assert cleaned(DAYS, list(CLOSES), adj_close=wrong, dividend=dividend).notes == (
        "adj_close moves otherwise than close and dividend on 1 days: 2024-03-06",
    )


def test_an_unknown_exchange_leaves_today_out() -> None:
    table = pl.DataFrame({"date": [date.fromisoformat(d) for d in DAYS], "close": CLOSES})
    answer = clean(Fetched("AAA", table), None, NIGHT)
    assert isinstance(answer, Fetched)
    assert str(answer.table["date"][-1]) == "2024-03-07"
    assert answer.notes[-1] == "exchange not known: days not checked against a calendar"
