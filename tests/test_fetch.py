"""Fetching a snapshot: whole or not at all, resumable, never over an older one; and the study that runs on it offline."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import make_study, write_columns
from loopback import Loopback, Reply, chart, loopback

from engine.cli import main
from engine.errors import MissingData, SpecError, UpstreamError
from engine.market import find_snapshot, read_series
from engine.market.fetching import Manners, Outcome, Wanted, fetch_snapshot, fetched_name, kept
from engine.market.snapshots import vintages
from engine.market.sources import SOURCES, Access, Failure, Fetch, Fetched, Source
from engine.needs import study_needs
from engine.sessions import exchange_sessions

NOW = datetime(2024, 3, 9, 12, tzinfo=UTC)
FIRST = date(2024, 3, 4)
DAYS = [date(2024, 3, d) for d in (4, 5, 6, 7, 8)]


def table(closes: Sequence[float], days: Sequence[date] = DAYS) -> pl.DataFrame:
    return pl.DataFrame({"date": days, "close": closes, "dividend": [0.0] * len(closes)})


class Made:
    """A source from literals. answers: symbol -> what it gives in turn, the last for good. asked, slept: what was done."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {s: a if isinstance(a, list) else [a] for s, a in answers.items()}
        self.asked: list[str] = []
        self.slept: list[float] = []

    def start(self, access: Access) -> Fetch:
        def fetch(symbol: str, first: date, last: date) -> Fetched | Failure:
            self.asked.append(symbol)
            turn = self.answers[symbol]
            answer = turn.pop(0) if len(turn) > 1 else turn[0]
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return fetch


def good(symbol: str, *closes: float) -> Fetched:
    return Fetched(symbol, table(closes or (1.0, 2.0, 3.0, 4.0, 5.0)), "USD", "XNYS", f"{symbol}, Inc")


def bad(symbol: str, reason: str = "not_found", retryable: bool = False, stops: bool = False) -> Failure:
    return Failure(symbol, reason, "made up", retryable, stops)


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Fetch IDX (needed) and the other symbols of a made-up source into tmp_path/home/snap."""

    def call(made: Made, now: datetime = NOW) -> Outcome:
        # This line is all that a new source needs besides its own file.
        monkeypatch.setitem(SOURCES, "made", Source(made.start, {"source": "made up", "redistributable": False}))
        wanted = [Wanted(s, "XNYS", s == "IDX") for s in made.answers]
        manners = Manners(made.slept.append, np.random.default_rng(1))
        return fetch_snapshot(tmp_path / "home" / "snap", "made", wanted, FIRST, now, Access(), manners)

    return call


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_a_snapshot_says_what_it_is(fetch: Any, tmp_path: Path) -> None:
    done = fetch(Made(AAA=good("AAA"), IDX=good("IDX"), CCC=bad("CCC")))
    root = tmp_path / "home" / "snap"
    assert done == Outcome(root, None, 0, {}, (bad("CCC"),))
    assert [p.name for p in root.parent.iterdir()] == ["snap"]
    assert sorted(files(root)) == ["AAA.csv", "IDX.csv", "manifest.json", "symbols.csv"]
    assert files(root)["symbols.csv"].decode() == (
        'symbol,name,exchange,currency\nAAA,"AAA, Inc",XNYS,USD\nIDX,"IDX, Inc",XNYS,USD\n'
    )
    manifest = json.loads(files(root)["manifest.json"])
    assert (manifest["retrieved_on"], manifest["redistributable"]) == ("2024-03-09", False)
    assert manifest["failures"] == {"CCC": {"reason": "not_found", "detail": "made up"}}
    about = manifest["files"]["AAA.csv"]
    assert (about["rows"], about["first"], about["last"]) == (5, "2024-03-04", "2024-03-08")
    for name in ("AAA.csv", "IDX.csv", "symbols.csv"):
        assert manifest["files"][name]["sha256"] == hashlib.sha256(files(root)[name]).hexdigest()


def test_a_snapshot_of_a_test_server_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its numbers are not the source's, may not be passed on, and never mix with those of an interrupted fetch from there."""
    server, home = "http://127.0.0.1:8080", tmp_path / "home"
    made = Made(IDX=good("IDX"), AAA=bad("AAA", "unreachable", stops=True))
    about = {"source": "Made Up Prices", "redistributable": True, "licence": "free"}
    monkeypatch.setitem(SOURCES, "made", Source(made.start, about))
    manners = Manners(made.slept.append, np.random.default_rng(1))
    wanted = [Wanted("IDX", "XNYS", True), Wanted("AAA", "XNYS")]
    with pytest.raises(UpstreamError):
        fetch_snapshot(home / "snap", "made", wanted, FIRST, NOW, Access(base=server), manners)
    made.answers["AAA"] = [good("AAA")]
    done = fetch_snapshot(home / "snap", "made", wanted, FIRST, NOW, Access(), manners)
    assert done.resumed == 0
    manifest = json.loads((done.root / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["source"], manifest["redistributable"]) == ("Made Up Prices", True)
    root = fetch_snapshot(home / "loop", "made", wanted, FIRST, NOW, Access(base=server), manners).root
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["source"] == f"a test server at {server}, asked in place of Made Up Prices"
    assert manifest["redistributable"] is False
    assert "licence" not in manifest
    assert server in manifest["limits"]


def test_a_second_snapshot_stands_beside_the_first(fetch: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    fetch(Made(IDX=good("IDX")))
    first = files(home / "snap")
    later = fetch(Made(IDX=good("IDX", 1.0, 2.0, 3.0, 4.0, 6.0)))
    again = fetch(Made(IDX=good("IDX")))
    assert files(home / "snap") == first
    assert (later.root, later.former) == (home / "snap@2024-03-09", home / "snap")
    assert (again.root, again.former) == (home / "snap@2024-03-09.2", home / "snap@2024-03-09")
    assert vintages(home / "snap") == [home / "snap", home / "snap@2024-03-09", home / "snap@2024-03-09.2"]

    def last_close(name: str) -> float:
        return float(read_series(find_snapshot(name, tmp_path, (home,)), ["IDX"])[0]["IDX"].values[-1])

    assert (last_close("snap"), last_close("snap@2024-03-09"), last_close("snap@newest")) == (5.0, 6.0, 5.0)
    assert find_snapshot("snap@newest", tmp_path, (home,)).name == "snap@2024-03-09.2"
    with pytest.raises(MissingData, match=r"eventstudy fetch .* \(network\)"):
        find_snapshot("other@newest", tmp_path, (home,))


def test_an_interrupted_fetch_goes_on(fetch: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = Made(AAA=good("AAA"), BBB=KeyboardInterrupt(), IDX=good("IDX"))
    with pytest.raises(KeyboardInterrupt):
        fetch(made)
    assert [p.name for p in home.iterdir()] == [".snap.partial"]
    assert kept(home / "snap") == 2
    made = Made(AAA=good("AAA"), BBB=good("BBB"), IDX=good("IDX"))
    done = fetch(made, NOW + timedelta(hours=23))
    assert made.asked == ["BBB"]
    assert done.resumed == 2
    assert [p.name for p in home.iterdir()] == ["snap"]
    assert sorted(files(home / "snap")) == ["AAA.csv", "BBB.csv", "IDX.csv", "manifest.json", "symbols.csv"]


@pytest.mark.parametrize("harm", ["a day later", "a changed file", "a damaged state", "another start"])
def test_what_cannot_be_trusted_is_fetched_anew(fetch: Any, tmp_path: Path, harm: str) -> None:
    partial = tmp_path / "home" / ".snap.partial"
    with pytest.raises(KeyboardInterrupt):
        fetch(Made(AAA=good("AAA"), BBB=KeyboardInterrupt(), IDX=good("IDX")))
    now, asked = NOW, ["IDX", "AAA", "BBB"]
    if harm == "a day later":
        now += timedelta(days=1)
    elif harm == "a changed file":
        (partial / "AAA.csv").write_text("date,close\n2024-03-04,9.0\n")
        asked = ["AAA", "BBB"]
    elif harm == "a damaged state":
        (partial / "fetch.json").write_text("{")
    else:
        state = json.loads((partial / "fetch.json").read_text())
        state["request"]["first"] = "2023-01-01"
        (partial / "fetch.json").write_text(json.dumps(state))
    made = Made(AAA=good("AAA"), BBB=good("BBB"), IDX=good("IDX"))
    fetch(made, now)
    assert made.asked == asked
    assert read_series(find_snapshot("snap", tmp_path, (tmp_path / "home",)), ["AAA"])[0]["AAA"].values[0] == 1.0


def test_trouble_that_may_pass_is_waited_for(fetch: Any) -> None:
    """Longer and longer, never for ever; the pause between symbols comes on top."""
    made = Made(IDX=good("IDX"), AAA=[bad("AAA", "timeout", True), bad("AAA", "timeout", True), good("AAA")],
                BBB=bad("BBB", "server_error", True))  # fmt: skip
    done = fetch(made)
    assert made.asked == ["IDX", *["AAA"] * 3, *["BBB"] * 4]
    assert [f.symbol for f in done.failures] == ["BBB"]
    pause, first, second, between, *waits = made.slept
    assert (pause, between) == (0.5, 0.5)
    assert 1 <= first <= 3
    assert 2 <= second <= 6
    assert [lo <= w <= 3 * lo for lo, w in zip((1, 2, 4), waits, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        (Made(IDX=bad("IDX"), AAA=good("AAA")), ["IDX"]),
        (Made(IDX=good("IDX"), AAA=bad("AAA", "rate_limited", True, True), BBB=good("BBB")), ["IDX", *["AAA"] * 4]),
        (Made(AAA=bad("AAA"), BBB=bad("BBB")), ["AAA", "BBB"]),
    ],
    ids=["benchmark", "source", "everything"],
)
def test_when_nothing_is_written(fetch: Any, tmp_path: Path, made: Made, asked: list[str]) -> None:
    with pytest.raises(UpstreamError, match="no snapshot was written"):
        fetch(made)
    assert made.asked == asked
    came = {".snap.partial"} if "IDX" in made.answers and asked != ["IDX"] else set()
    assert {p.name for p in (tmp_path / "home").iterdir()} == came


def test_the_name_of_a_snapshot() -> None:
    assert fetched_name("hk") == "hk"
    assert fetched_name("hk@2024-03-09.2") == "hk"
    for path in ("../hk", "/data/hk", "", "@2024-03-09", ".hk"):
        with pytest.raises(SpecError, match="is a path"):
            fetched_name(path)


def test_a_local_folder_becomes_a_snapshot(tmp_path: Path) -> None:
    days = [str(d) for d in DAYS]
    write_columns(
        tmp_path / "mine" / "AAA.csv", {"Date": days, "Close": [1.0, None, 3.0, 4.0, 5.0], "Volume": [7, 8, 9, 10, 11]}
    )
    write_columns(tmp_path / "mine" / "OLD.csv", {"date": ["2001-01-02"], "close": [1.0]})
    write_columns(tmp_path / "mine" / "BAD.csv", {"date": days[:1], "close": ["x"]})
    write_columns(tmp_path / "mine" / "HASH.csv", {"date": days[:1], "close": [1.0]})
    (tmp_path / "mine" / "manifest.json").write_text('{"files": {"HASH.csv": {"sha256": "0"}}}')
    wanted = [Wanted(s, "XNYS", s == "AAA") for s in ("AAA", "OLD", "BAD", "NOT", "HASH")]
    manners = Manners(lambda seconds: None, np.random.default_rng(1))
    access = Access(place=str(tmp_path / "mine"))
    done = fetch_snapshot(tmp_path / "snap", "folder", wanted, FIRST, NOW, access, manners)
    assert (done.root / "AAA.csv").read_text() == (
        "date,close,volume\n2024-03-04,1.0,7\n2024-03-05,,8\n2024-03-06,3.0,9\n2024-03-07,4.0,10\n2024-03-08,5.0,11\n"
    )
    assert {f.symbol: f.reason for f in done.failures} == {
        "BAD": "unreadable", "HASH": "unreadable", "NOT": "not_found", "OLD": "no_rows",
    }  # fmt: skip


def test_what_a_study_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTUDY_DATA", "")
    events = [
        {"event_id": "a", "symbol": "AAA", "announced_at": "2024-03-07", "first_public_at": "2024-03-01"},
        {"event_id": "b", "symbol": "0981.HK", "announced_at": "2025-01-02", "estimation_start": -100},
        {"event_id": "c", "symbol": "BBB", "announced_at": "2025-01-02", "benchmark": "^NDX"},
    ]
    study = make_study(
        tmp_path / "s", events, {}, prices={"snapshot": "none"}, sessions={"calendar": "exchange"},
        benchmark={"default": "^GSPC", "by_exchange": {"XHKG": "^HSI"}},
    )  # fmt: skip
    needs = study_needs(study, frozenset({"caar_path", "car_forest"}))
    assert needs.exchanges == {"AAA": "XNYS", "0981.HK": "XHKG", "BBB": "XNYS"}
    assert needs.benchmarks == {"^GSPC", "^HSI", "^NDX"}
    assert needs.first == date(2024, 3, 1) - timedelta(days=160 + 30)


def test_a_study_needs_factors_baskets_and_currencies_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTUDY_DATA", "")
    study = make_study(
        tmp_path / "s", [{"event_id": "a", "symbol": "9984.T", "announced_at": "2024-03-07"}], {},
        prices={"snapshot": "none", "currency": "EUR"}, model={"name": "factor"}, factors={"columns": ["BZ=F", "^GSPC"]},
        sessions={"calendar": "exchange", "closes": {"BZ=F": "16:30 Europe/London"}}, resampling={"seed": 1, "draws": 99},
        benchmark={"default": "tokyo", "baskets": {"tokyo": ["7203.T", "6758.T"], "unused": ["A", "B"]}},
    )  # fmt: skip
    needs = study_needs(study, frozenset({"caar_path", "car_forest"}))
    assert needs.benchmarks == {"7203.T", "6758.T", "BZ=F", "^GSPC", "EUR=X", "JPY=X"}
    assert needs.first == date(1988, 1, 1)


def test_a_study_of_the_world_market_model_needs_the_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTUDY_DATA", "")
    events = [{"event_id": s, "symbol": s, "announced_at": "2024-03-07"} for s in ("9984.T", "0981.HK")]
    study = make_study(
        tmp_path / "s", events, {}, prices={"snapshot": "none"}, model={"name": "factor"}, factors={"set": "local_us_fx"},
        sessions={"calendar": "exchange"}, benchmark={"by_exchange": {"XHKG": "^HSI", "XTKS": "^N225"}},
    )  # fmt: skip
    needs = study_needs(study, frozenset({"caar_path", "car_forest"}))
    assert needs.benchmarks == {"^HSI", "^N225", "^GSPC", "HKD=X", "JPY=X"}


# Through the command line, with the real client and a server on this machine

SESSIONS = [str(d) for d in exchange_sessions("XNYS", 2024).dates if str(d).startswith("2024")][:100]
EVENT = 80


def prices(seed: int) -> list[float]:
    steps = np.random.default_rng(seed).normal(0.001, 0.02, len(SESSIONS))
    return [float(c) for c in np.round(100 * np.cumprod(1 + steps), 4)]


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        running.put("^IDX", chart("^IDX", SESSIONS, prices(1), exchange="SNP"))
        running.put(
            "AAA", chart("AAA", SESSIONS, prices(2), dividends={SESSIONS[EVENT]: 5.0, SESSIONS[EVENT - 30]: 0.5})
        )
        running.put("BBB", chart("BBB", SESSIONS, prices(3), splits={SESSIONS[40]: (2, 1)}))
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    events = [{"event_id": f"e-{s}", "symbol": s, "announced_at": SESSIONS[EVENT]} for s in ("AAA", "BBB")]
    make_study(
        tmp_path / "studies" / "made", events, {}, prices={"snapshot": "us"}, benchmark={"default": "^IDX"},
        sessions={"calendar": "exchange"}, windows={"event": [-2, 2], "car": [[0, 0], [-1, 1]]},
    )  # fmt: skip
    return tmp_path


def environment(home: Path, base: str) -> dict[str, str]:
    kept_names = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    return kept_names | {
        "EVENTSTUDY_TEST_SERVER": base, "EVENTSTUDY_DATA": "", "XDG_DATA_HOME": str(home / "share"),
        "XDG_CACHE_HOME": str(home / "cache"), "HOME": str(home), "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1,localhost",
    }  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def eventstudy(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], only_this_machine: None
) -> Callable[..., Done]:
    """The command line in this process: the base of the server ("" for none), then the words."""

    def call(base: str, *words: str) -> Done:
        for name, value in environment(home, base).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(home)
        monkeypatch.setattr(sys, "argv", ["eventstudy", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return Done(int(str(stop.value.code)), said.out, said.err)

    return call


def by_hand(closes: list[float], dividends: dict[int, float]) -> float:
    """CAR[0, 0] of the market model on [-60, -11], from closes and dividends, with numpy's least squares."""
    paid = np.array([dividends.get(i, 0.0) for i in range(len(closes))])
    share = (np.array(closes[1:]) + paid[1:]) / np.array(closes[:-1]) - 1  # the return of session i stands at i - 1
    market = np.array(prices(1)[1:]) / np.array(prices(1)[:-1]) - 1
    window = slice(EVENT - 60 - 1, EVENT - 11)
    design = np.column_stack([np.ones(50), market[window]])
    alpha, beta = np.linalg.lstsq(design, share[window], rcond=None)[0]
    return float(share[EVENT - 1] - alpha - beta * market[EVENT - 1])


def test_fetch_then_run_then_fetch_again_then_compare(eventstudy: Any, home: Path, server: Loopback) -> None:
    done = eventstudy(server.base, "run", "made")
    assert done.code == 3
    assert "or fetch it: eventstudy fetch studies/made (network)" in done.stderr
    assert server.everything == []

    done = eventstudy(server.base, "fetch", "made")
    assert done.code == 0, done.stderr
    root = home / "share" / "event-study-engine" / "snapshots" / "us"
    assert done.stdout == f"{root}\n"
    first = files(root)
    assert sorted(first) == ["AAA.csv", "BBB.csv", "^IDX.csv", "manifest.json", "symbols.csv"]
    assert list(json.loads(first["manifest.json"])["versions"]) == ["curl-cffi", "yfinance"]

    done = eventstudy("", "run", "made")
    assert done.code == 0, done.stderr
    cars = pl.read_csv(home / "studies" / "made" / "out" / "cars.csv").filter(pl.col("window_start") == 0)
    hand = [by_hand(prices(2), {EVENT: 5.0, EVENT - 30: 0.5}), by_hand(prices(3), {})]
    np.testing.assert_allclose(cars["car"].to_numpy(), hand, rtol=1e-10)
    assert abs(hand[0] - by_hand(prices(2), {EVENT - 30: 0.5})) > 0.03  # the dividend of the event day counts

    server.put("AAA", chart("AAA", SESSIONS, prices(2), dividends={SESSIONS[EVENT - 30]: 0.5}))
    server.put("BBB", chart("BBB", SESSIONS, [c / 2 for c in prices(3)]))
    done = eventstudy(server.base, "fetch", "made")
    assert done.code == 0, done.stderr
    assert files(root) == first
    (second,) = [p for p in root.parent.iterdir() if p.name.startswith("us@")]
    assert done.stdout == f"{second}\n"
    assert "compared with us, which stays as it is:\n3 series compared, 1 append only or equal\n" in done.stderr
    assert "  AAA: history changed: total return of " in done.stderr
    assert f"the study goes on with {root}. What the new prices change: " in done.stderr
    assert f"dividend changed on {SESSIONS[EVENT]}" in done.stderr
    assert f"BBB: history changed: split changed on {SESSIONS[40]}" in done.stderr

    done = eventstudy("", "validate", "made", "--against", second.name)
    assert done.code == 1
    assert f"made: 2 of 4 CARs differ, the farthest by {5 / prices(2)[EVENT - 1]:.4%} (e-AAA AAA " in done.stdout
    assert eventstudy("", "validate", "made", "--against", "us").code == 0
    assert eventstudy("", "validate", "made", "--against", str(second)).code == 1
    assert eventstudy("", "validate", "--against", "us").code == 2


def test_nobody_answers(eventstudy: Any, home: Path) -> None:
    with loopback() as gone:
        pass
    done = eventstudy(gone.base, "fetch", "made")
    assert done.code == 4
    assert "yahoo: 0 of 3 symbols came before it stopped, no snapshot was written. ^IDX: unreachable" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((home / "share" / "event-study-engine" / "snapshots").iterdir()) == []


def test_a_missing_listing_is_said_and_the_others_are_kept(eventstudy: Any, home: Path, server: Loopback) -> None:
    del server.charts["BBB"]
    done = eventstudy(server.base, "fetch", "made", "--out", "mine")
    assert done.code == 0
    assert "failed: BBB: not found (Yahoo does not know the symbol)" in done.stderr
    assert sorted(files(home / "mine")) == ["AAA.csv", "^IDX.csv", "manifest.json", "symbols.csv"]


def test_ctrl_c_then_the_same_command(eventstudy: Any, home: Path, server: Loopback) -> None:
    running: list[subprocess.Popen[str]] = []
    whole = server.charts["BBB"][0]
    server.charts["BBB"] = [Reply(whole.body, then=lambda: running[0].send_signal(signal.SIGINT), stall=0.2)]
    command = [sys.executable, "-m", "engine.cli", "fetch", "made"]
    running.append(
        subprocess.Popen(
            command, cwd=home, env=environment(home, server.base), stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    )  # fmt: skip
    said = running[0].communicate(timeout=60)[1]
    assert running[0].returncode == 130, said
    assert "stopped; 2 of 3 symbols are kept, the same command goes on with the others" in said
    server.charts["BBB"], server.asked[:] = [whole], []
    done = eventstudy(server.base, "fetch", "made")
    assert done.code == 0
    assert "went on with an interrupted fetch: 2 symbols were there already" in done.stderr
    assert set(server.asked) == {"BBB"}


@pytest.mark.parametrize(
    ("words", "base", "said"),
    [
        (("--source", "yaho"), "", "Did you mean"),
        (("--source", "folder"), "", "needs --from"),
        (("--from", "x"), "", "takes no --from"),
        ((), "http://example.com:80", "it is for tests only"),
    ],
)
def test_usage(eventstudy: Any, words: tuple[str, ...], base: str, said: str) -> None:
    done = eventstudy(base, "fetch", "made", *words)
    assert done.code == 2
    assert said in done.stderr
