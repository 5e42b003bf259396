"""The calendar as signals: every fill and every cost by hand, by a second implementation, and without a look ahead."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import second_backtest
from conftest import cell, make_study, returns, rows_of, run, texts, weekdays
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import load_study
from engine.backtest import traded
from engine.backtest.measures import (
    Sharpe,
    best_of_trials,
    clustered_error,
    deflated,
    drawdowns,
    sharpe,
    variance_factor,
    wilson,
)
from engine.backtest.tape import Tape, believed
from engine.backtest.trading import Orders, trade
from engine.errors import SpecError
from engine.golden import golden_form
from engine.market.limits import locked_opens
from engine.plan import plan_study
from engine.report import memo_html, memo_markdown, render_chart
from engine.results import StudyResult, read_result, write_result
from engine.sessions import exchange_sessions
from engine.spec.design import Backtest, Leg

NYSE = exchange_sessions("XNYS", 2016)
YEAR = (NYSE.dates >= np.datetime64("2015-01-02")) & (NYSE.dates <= np.datetime64("2015-12-31"))
DAYS = [str(d) for d in NYSE.dates[YEAR]]
EXCHANGE = {"sessions": {"calendar": "exchange"}}
RULE = {"entry": "open", "hold": 2, "cost_bp": 10.0, "borrow_bp": 365.0}


def bars(
    close: list[Any], opens: list[Any], factor: float = 1.0, volume: Any = 1000, days: list[str] = DAYS
) -> dict[str, Any]:
    """The file of a listing with opens; adj_close is close times ``factor``."""
    n = len(close)
    both = [(o, c) for o, c in zip(opens, close, strict=True)]
    high = [None if c is None else max(c, o or c) + 0.5 for o, c in both]
    low = [None if c is None else min(c, o or c) - 0.5 for o, c in both]
    adjusted = [None if c is None else c * factor for c in close]
    return {
        "date": days[:n], "open": opens, "high": high, "low": low, "close": close, "adj_close": adjusted,
        "volume": [volume] * n if isinstance(volume, int) else volume,
    }  # fmt: skip


def flat(n: int, level: float, at: dict[int, float]) -> list[float]:
    """A series that alternates a little around its level, with the given values put in."""
    made = [level + 0.1 * (i % 2) for i in range(n)]
    for i, value in at.items():
        made[i] = value
    return made


def paper(folder: Path, event: dict[str, Any] | None = None, **options: Any) -> StudyResult:
    """News after the close of session 30. A: open 102 on session 31, close 110 on session 32, factor 0.5. MKT: 200 and 202."""
    stamp = {"event_id": "e", "symbol": "AAA", "announced_at": f"{DAYS[30]}T17:00:00-05:00", "expected_sign": "-"}
    series = {
        "AAA": bars(flat(40, 100, {32: 110.0}), flat(40, 101, {31: 102.0}), 0.5),
        "MKT": bars(flat(40, 200, {32: 202.0}), flat(40, 201, {31: 200.0})),
    }
    study: dict[str, Any] = EXCHANGE | {
        "model": {"name": "market_adjusted", "estimation_window": [-20, -6], "min_estimation_days": 10},
        "backtest": RULE,
    }
    return run(make_study(folder, [stamp | (event or {})], series, **(study | options)))


# --- on paper -------------------------------------------------------------------------------------------------------


def test_one_trade_on_paper(tmp_path: Path) -> None:
    """Sold at the open 102 x 0.5, left at the close 110 x 0.5 a session later: the listing makes 8/102, its index 2/200.

    The cost of 10 basis points falls on 1 + 1 at the entry and 110/102 + 202/200 at the exit; the loan lasts one day of 365.
    """
    result = paper(tmp_path)
    (row,) = result.tables["trades"].to_dicts()
    assert (row["side"], row["status"], row["entry_at"], row["waited"], row["sessions"]) == (
        "short",
        "closed",
        "open",
        0,
        2,
    )
    assert (str(row["entry_day"]), str(row["exit_day"])) == (DAYS[31], DAYS[32])
    assert (row["entry_price"], row["exit_price"], row["beta"], row["hedge"]) == (102.0, 110.0, 1.0, "MKT")
    assert row["listing_return"] == pytest.approx(8 / 102, rel=1e-12)
    assert row["hedge_return"] == pytest.approx(0.01, rel=1e-12)
    assert row["gross"] == pytest.approx(0.01 - 8 / 102, rel=1e-12)
    assert row["cost"] == pytest.approx(0.001 * (2 + 110 / 102 + 1.01), rel=1e-12)
    assert row["borrow"] == pytest.approx(0.0001, rel=1e-12)
    assert row["net"] == pytest.approx(row["gross"] - row["cost"] - row["borrow"], rel=1e-12)
    assert row["size"] == 0.1
    around = [100 + 0.1 * (i % 2) for i in range(11, 31)]
    assert row["capacity"] == pytest.approx(0.05 * 1000 * sum(around) / 20, rel=1e-12)


def test_the_capital_on_paper(tmp_path: Path) -> None:
    """Two sessions: the first marks at the closes 100.1 and 200.1, the second at 110 and 202."""
    result = paper(tmp_path)
    rows = result.tables["equity"].to_dicts()
    assert [str(r["date"]) for r in rows] == [DAYS[31], DAYS[32]]
    first = -((100.1 / 102 - 1) - (200.1 / 200 - 1))
    assert rows[0]["cost"] == pytest.approx(0.1 * 0.002, rel=1e-12)
    assert rows[0]["profit"] == pytest.approx(0.1 * (first - 0.002), rel=1e-12)
    assert rows[0]["positions"] == 1
    assert rows[0]["gross_exposure"] == pytest.approx(0.1 * (100.1 / 102 + 200.1 / 200), rel=1e-12)
    assert rows[0]["net_exposure"] == pytest.approx(-0.1 * (100.1 / 102 - 200.1 / 200), rel=1e-12)
    assert rows[1]["positions"] == rows[1]["gross_exposure"] == 0
    net = result.tables["trades"]["net"].item()
    assert rows[1]["equity"] == pytest.approx(1 + 0.1 * net, rel=1e-12)
    assert rows[0]["drawdown"] == 0
    assert rows[1]["drawdown"] == pytest.approx(rows[1]["equity"] / rows[0]["equity"] - 1, rel=1e-12)


def measure(result: StudyResult, name: str, column: str = "value", leg: str = "all") -> Any:
    return cell(result, "backtest", column, leg=leg, measure=name)


def test_the_summary_on_paper(tmp_path: Path) -> None:
    result = paper(tmp_path)
    (row,) = result.tables["trades"].to_dicts()
    assert measure(result, "trades") == 1
    assert measure(result, "hit_rate") == 0
    assert measure(result, "hit_rate", "high") == pytest.approx(3.841458820694124 / 4.841458820694124, rel=1e-12)
    assert measure(result, "mean_net") == row["net"]
    assert measure(result, "mean_net", "low") is None
    assert measure(result, "mean_cost") == pytest.approx(row["cost"] + row["borrow"], rel=1e-12)
    traded_value = 0.1 * (2 + 110 / 102 + 1.01)
    assert measure(result, "turnover_a_year") == pytest.approx(traded_value / (2 / 365.25), rel=1e-12)
    assert measure(result, "total_return") == pytest.approx(0.1 * row["net"], rel=1e-12)
    assert "needs [resampling]" in measure(result, "placebo_p", "unavailable")
    assert "does not vary over 3 sessions" in measure(result, "sharpe", "unavailable")


@pytest.mark.parametrize(
    ("at", "entry", "day", "kind"),
    [
        ("T17:00:00-05:00", "open", 31, "open"),
        ("T08:00:00-05:00", "open", 30, "open"),
        ("T09:30:00-05:00", "open", 30, "close"),  # the open itself is not after the stamp
        ("T12:00:00-05:00", "open", 30, "close"),
        ("T16:00:00-05:00", "open", 31, "open"),
        ("T08:00:00-05:00", "close", 30, "close"),
        ("T17:00:00-05:00", "close", 31, "close"),
    ],
)  # fmt: skip
def test_the_first_moment_after_the_stamp(tmp_path: Path, at: str, entry: str, day: int, kind: str) -> None:
    rule = RULE | {"entry": entry}
    result = paper(tmp_path, {"announced_at": f"{DAYS[30]}{at}"}, backtest=rule)
    (row,) = result.tables["trades"].to_dicts()
    assert (str(row["entry_day"]), row["entry_at"]) == (DAYS[day], kind)
    assert row["sessions"] == 2
    assert str(row["exit_day"]) == DAYS[day + 1 if kind == "open" else day + 2]


def test_a_date_without_a_zone_is_over_at_its_end(tmp_path: Path) -> None:
    result = paper(tmp_path, {"announced_at": DAYS[30]})
    assert str(result.tables["trades"]["entry_day"].item()) == DAYS[31]


def test_the_leak_is_the_stamp_where_the_study_says_so(tmp_path: Path) -> None:
    leak = {"first_public_at": f"{DAYS[27]}T17:00:00-05:00"}
    result = paper(tmp_path, leak, events={"stamp": "first_public_at"})
    assert str(result.tables["trades"]["entry_day"].item()) == DAYS[28]


def test_two_legs_follow_each_other(tmp_path: Path) -> None:
    legs = {"sell": {"hold": 2}, "dip": {"side": "opposite", "delay": 2, "hold": 3}}
    result = paper(tmp_path, backtest=RULE | {"hold": None, "legs": legs})
    sell, dip = (rows_of(result, "trades", leg=name).row(0, named=True) for name in ("sell", "dip"))
    assert (sell["side"], dip["side"]) == ("short", "long")
    assert [str(sell[c]) for c in ("entry_day", "exit_day")] == [DAYS[31], DAYS[32]]
    assert [str(dip[c]) for c in ("entry_day", "exit_day")] == [DAYS[33], DAYS[35]]
    assert dip["borrow"] == 0
    assert measure(result, "trades", leg="dip") == 1
    assert measure(result, "trades") == 2


def test_who_is_not_traded_and_why(tmp_path: Path) -> None:
    stamp = f"{DAYS[30]}T17:00:00-05:00"
    rows = [
        {"event_id": "a", "symbol": "AAA", "announced_at": stamp, "expected_sign": "+"},
        {"event_id": "b", "symbol": "AAA", "announced_at": stamp, "expected_sign": ""},
        {"event_id": "c", "symbol": "ZZZ", "announced_at": stamp, "expected_sign": "+"},
        {"event_id": "d", "symbol": "AAA", "announced_at": f"{DAYS[5]}T17:00:00-05:00", "expected_sign": "+"},
        {"event_id": "f", "symbol": "AAA", "announced_at": f"{DAYS[39]}T17:00:00-05:00", "expected_sign": "+"},
        {"event_id": "g", "symbol": "AAA", "announced_at": f"{DAYS[37]}T17:00:00-05:00", "expected_sign": "+"},
    ]  # fmt: skip
    series = {
        "AAA": bars(flat(40, 100, {}), flat(40, 101, {})),
        "MKT": bars(flat(40, 200, {}), flat(40, 201, {})),
    }
    study = EXCHANGE | {
        "model": {"name": "market_adjusted", "estimation_window": [-20, -6], "min_estimation_days": 10},
        "limits": {"max_excluded_share": 0.9, "allow_missing_symbols": True},
        "backtest": RULE | {"hold": 5},
    }
    result = run(make_study(tmp_path, rows, series, **study))
    found = {r["event_id"]: (r["status"], r["reason"]) for r in result.tables["trades"].to_dicts()}
    assert found["a"] == ("closed", None)
    assert found["b"] == ("not traded", "no expected sign")
    assert found["c"] == ("not traded", "no price file")
    assert found["d"] == ("not traded", "too few estimation days for a hedge")
    assert found["f"] == ("not traded", "no fill: no price, no trade or a price limit until max_wait")
    assert found["g"] == ("open", "the prices end before the exit")
    assert measure(result, "open") == 1
    last = result.tables["equity"].row(-1, named=True)
    assert (str(last["date"]), last["positions"]) == (DAYS[39], 1)


def test_a_hedge_that_is_estimated_after_the_entry_is_none(tmp_path: Path) -> None:
    """Estimated up to day 0 itself, whose close is after an entry at its open; a hedge of one for one needs no estimate."""
    rule = {"entry": "open", "hold": 3, "cost_bp": 5.0, "borrow_bp": 100.0}
    windows = {"windows": {"event": [1, 3], "car": [[1, 2]]}}
    late = {"name": "market", "estimation_window": [-50, 0]}
    found = run(random_study(tmp_path / "a", 3, rule, model=late, **windows)).tables["trades"]
    assert set(found["reason"].unique()) == {"the estimation window ends after the entry", "no expected sign"}
    early = late | {"estimation_window": [-50, -1]}
    windows = {"windows": {"event": [0, 2], "car": [[0, 2]]}}
    found = run(random_study(tmp_path / "b", 3, rule, model=early, **windows)).tables["trades"]
    assert "the estimation window ends after the entry" not in found["reason"].to_list()
    one = late | {"name": "market_adjusted"}
    windows = {"windows": {"event": [1, 3], "car": [[1, 2]]}}
    found = run(random_study(tmp_path / "c", 3, rule, model=one, **windows)).tables["trades"]
    assert "the estimation window ends after the entry" not in found["reason"].to_list()


def test_a_price_limit_a_halt_and_a_day_without_trade_are_waited_out(tmp_path: Path) -> None:
    """600000.SS is locked at its limit of 10 % on session 31, opens at it on 32, has no trade on 33 and no row on 34."""
    xshg = exchange_sessions("XSHG", 2016)
    days = [str(d) for d in xshg.dates[xshg.dates >= np.datetime64("2015-02-25")][:60]]
    close = flat(60, 100, {})
    opens = flat(60, 101, {})
    for i in range(31, 60):
        close[i], opens[i] = 110.0 + 0.1 * (i % 2), 110.5
    close[30], opens[31], close[31] = 100.0, 110.0, 110.0
    opens[32], close[32] = 121.0, 115.0
    made = bars(close, opens, days=days)
    made["high"][31] = made["low"][31] = 110.0
    made["volume"][33] = 0
    kept = [i for i in range(60) if i != 34]
    made = {name: [values[i] for i in kept] for name, values in made.items()}
    index = bars(flat(60, 3000, {}), flat(60, 3001, {}), days=days)
    stamp = f"{days[30]}T17:00:00+08:00"
    rows = [{"event_id": "e", "symbol": "600000.SS", "announced_at": stamp, "expected_sign": "+"}]
    study = EXCHANGE | {"model": {"name": "market_adjusted", "estimation_window": [-20, -6], "min_estimation_days": 10}}

    def entry(rule: dict[str, Any], folder: str) -> dict[str, Any]:
        result = run(make_study(tmp_path / folder, rows, {"600000.SS": made, "MKT": index}, backtest=rule, **study))
        return result.tables["trades"].row(0, named=True)

    found = entry(RULE, "open")
    assert (str(found["entry_day"]), found["entry_at"], found["waited"]) == (days[32], "close", 1)
    found = entry(RULE | {"entry": "close", "legs": {"x": {"delay": 2, "hold": 1}}, "hold": None}, "halt")
    assert (str(found["entry_day"]), found["waited"]) == (days[35], 2)
    assert entry(RULE | {"max_wait": 0}, "never")["status"] == "not traded"
    found = entry(RULE | {"entry": "close", "hold": 1}, "exit")
    assert (str(found["entry_day"]), str(found["exit_day"]), found["sessions"]) == (days[32], days[35], 3)


def test_opens_at_the_limit() -> None:
    days = np.array(["2015-03-02", "2015-03-03", "2015-03-04", "2015-03-05"], "datetime64[D]")
    columns = {"close": np.array([10.0, 11.0, 11.5, 11.0]), "open": np.array([10.0, 11.0, 9.91, 11.0])}
    locked = locked_opens("600000.SS", "XSHG", days, columns)
    assert locked.tolist() == [0, 0.1, -0.1, 0]
    assert locked_opens("0981.HK", "XHKG", days, columns).tolist() == [0, 0, 0, 0]


def test_opens_that_copy_the_close_are_none() -> None:
    closes = np.arange(1.0, 31.0)
    assert not believed(closes, closes).any()
    own = closes + 0.5
    assert believed(own, closes).tolist() == [False] * 5 + [True] * 25
    late = np.where(np.arange(30) < 15, closes, own)
    assert believed(late, closes).tolist() == [i >= 25 for i in range(30)]  # 10 of the 20 before row 25


def test_capacity_cuts_a_position(tmp_path: Path) -> None:
    result = paper(tmp_path, backtest=RULE | {"notional": 20_000.0})
    (row,) = result.tables["trades"].to_dicts()
    assert row["size"] == pytest.approx(0.1 * row["capacity"] / 20_000, rel=1e-12)
    assert 0.02 < row["size"] < 0.03
    assert result.tables["equity"]["equity"][-1] == pytest.approx(1 + row["size"] * row["net"], rel=1e-12)
    wide = paper(tmp_path / "wide", backtest=RULE | {"notional": 20_000.0, "participation": 1.0})
    assert wide.tables["trades"]["size"].item() == 0.1


def test_a_file_of_returns_is_traded_at_closes(tmp_path: Path) -> None:
    values = [0.01 * ((i * 7) % 5 - 2) for i in range(40)]
    market = [0.004 * ((i * 3) % 7 - 3) for i in range(40)]
    rows = [{"event_id": "e", "symbol": "AAA", "announced_at": f"{DAYS[30]}T17:00:00-05:00", "expected_sign": "+"}]
    series = {"AAA": returns(DAYS[:40], values), "MKT": returns(DAYS[:40], market)}
    study = EXCHANGE | {
        "model": {"name": "market_adjusted", "estimation_window": [-20, -6], "min_estimation_days": 10},
        "backtest": RULE,
    }
    (row,) = run(make_study(tmp_path / "a", rows, series, **study)).tables["trades"].to_dicts()
    assert (str(row["entry_day"]), row["entry_at"], str(row["exit_day"])) == (DAYS[31], "close", DAYS[33])
    assert row["entry_price"] is None
    assert row["listing_return"] == pytest.approx((1 + values[32]) * (1 + values[33]) - 1, rel=1e-12)
    assert row["hedge_return"] == pytest.approx((1 + market[32]) * (1 + market[33]) - 1, rel=1e-12)
    gap = {"AAA": returns(DAYS[:40], [*values[:33], None, *values[34:]]), "MKT": returns(DAYS[:40], market)}
    (row,) = run(make_study(tmp_path / "b", rows, gap, **study)).tables["trades"].to_dicts()
    assert row["reason"] == "a return between entry and exit is missing"


# --- a second implementation ----------------------------------------------------------------------------------------

SYMBOLS = ("AAA", "BBB", "CCC")


def random_bars(
    rng: np.random.Generator, start: float, spread: float, days: list[str], whole: bool = False
) -> dict[str, Any]:
    """Opens and closes that wander, dividends, and unless ``whole`` rows without a price, an open or a trade."""
    n = len(days)
    close = start * np.exp(np.cumsum(rng.normal(0, spread, n)))
    opens = np.append(start, close[:-1]) * np.exp(rng.normal(0, spread / 2, n))
    factor = np.where(np.arange(n) < n // 2, 0.97, 1.0)
    volume = rng.integers(500, 2000, n)
    high, low = np.maximum(close, opens) * 1.001, np.minimum(close, opens) * 0.999
    gone, closed, idle = (rng.random(n) < share for share in ((0, 0, 0) if whole else (0.05, 0.1, 0.05)))
    made: dict[str, Any] = {"date": days}
    for name, values in {"open": opens, "high": high, "low": low, "close": close, "adj_close": close * factor}.items():
        made[name] = [
            None if gone[i] or (name == "open" and closed[i]) else round(float(v), 4) for i, v in enumerate(values)
        ]
    made["volume"] = [0 if idle[i] else int(v) for i, v in enumerate(volume)]
    return made


def random_study(folder: Path, seed: int, rule: dict[str, Any], n: int = 24, **options: Any) -> Path:
    rng = np.random.default_rng(seed)
    series = {s: random_bars(rng, 50.0, 0.02, DAYS) for s in SYMBOLS} | {
        "MKT": random_bars(rng, 200.0, 0.01, DAYS, True)
    }
    rows = []
    for i in range(n):
        clock = f"{int(rng.integers(0, 24)):02d}:{int(rng.integers(0, 60)):02d}:00-05:00"
        day = DAYS[int(rng.integers(60, 240))]
        sign = ("+", "-", "")[int(rng.integers(0, 3)) if i % 8 == 0 else i % 2]
        rows.append(
            {"event_id": f"e{i:02d}", "symbol": SYMBOLS[i % 3], "announced_at": f"{day}T{clock}", "expected_sign": sign}
        )
    study: dict[str, Any] = EXCHANGE | {"limits": {"max_excluded_share": 0.9}, "backtest": rule}
    return make_study(folder, rows, series, **(study | {"model": {"estimation_window": [-50, -11]}} | options))


def rows_on(days: np.ndarray, file: dict[str, Any]) -> list[dict[str, Any] | None]:
    """The rows of a file on the sessions, None where there is none."""
    at = {d: {name: file[name][i] for name in file} for i, d in enumerate(file["date"])}
    return [at.get(str(d)) for d in days]


@pytest.mark.parametrize(
    "rule",
    [
        {"entry": "open", "hold": 1, "cost_bp": 7.0, "borrow_bp": 250.0},
        {"entry": "close", "hold": 6, "cost_bp": 3.0, "borrow_bp": 0.0, "max_wait": 1},
        {"entry": "open", "legs": {"late": {"side": "opposite", "delay": 3, "hold": 4}}, "cost_bp": 0.0, "borrow_bp": 99.0},
    ],
)  # fmt: skip
def test_every_trade_is_that_of_the_second_implementation(tmp_path: Path, rule: dict[str, Any]) -> None:
    folder = random_study(tmp_path, 11, rule)
    result = run(folder)
    study = load_study(folder, data_path=())
    sessions = exchange_sessions("XNYS", 2016)
    days = [date.fromisoformat(str(d)) for d in sessions.dates]
    files = {
        s: pl.read_csv(folder / "data" / f"{s}.csv", infer_schema_length=None).to_dict(as_series=False)
        for s in (*SYMBOLS, "MKT")
    }
    listed = {s: rows_on(sessions.dates, file) for s, file in files.items()}
    leg = rule.get("legs", {}).get("late", {"side": "expected", "delay": 0, "hold": rule.get("hold")})
    plain = {"max_wait": 5} | rule | leg
    stamps = dict(study.announcements.table.select("event_id", "announced_at").rows())
    signs = dict(study.announcements.attributes.select("event_id", "expected_sign").rows())
    betas = {r["event_id"]: r["beta_market"] for r in result.tables["fits"].to_dicts()}
    statuses = []
    for row in result.tables["trades"].to_dicts():
        sign = signs[row["event_id"]]
        if sign is None or row["event_id"] not in betas:
            assert row["status"] == "not traded"
            continue
        stamp = datetime.fromisoformat(stamps[row["event_id"]])
        stamp = np.datetime64((stamp - stamp.utcoffset()).replace(tzinfo=None), "s")  # type: ignore[operator]
        side = (1 if sign == "+" else -1) * (1 if leg["side"] == "expected" else -1)
        own = second_backtest.simulate(
            listed[row["symbol"]], listed["MKT"], days, list(sessions.opens), list(sessions.closes), stamp, side,
            betas[row["event_id"]], plain,
        )  # fmt: skip
        statuses.append(own["status"])
        assert row["status"] == own["status"]
        if own["status"] == "not traded":
            continue
        assert (row["entry_day"], row["entry_at"], row["waited"]) == (
            days[own["entry"]],
            own["entry_at"],
            own["waited"],
        )
        assert row["capacity"] == pytest.approx(None if own["traded"] is None else 0.05 * own["traded"], rel=1e-12)
        if own["status"] == "closed":
            assert row["exit_day"] == days[own["exit"]]
            for name in ("gross", "cost", "borrow", "net"):
                assert row[name] == pytest.approx(own[name], rel=1e-9, abs=1e-15)
    assert statuses.count("closed") > 15
    closed = rows_of(result, "trades", status="closed")
    if "open" not in statuses:
        total = float((closed["size"] * closed["net"]).sum())
        assert result.tables["equity"]["equity"][-1] - 1 == pytest.approx(total, rel=1e-9)
    profits = result.tables["equity"]["profit"].to_list()
    parts = second_backtest.sharpe_parts(profits)
    assert measure(result, "sharpe") == pytest.approx(parts["ratio"], rel=1e-9)
    for name, ours in (("skewness", "skewness"), ("kurtosis", "kurtosis"), ("se_iid", "sharpe_se_iid")):
        assert measure(result, ours) == pytest.approx(parts[name], rel=1e-9)
    assert measure(result, "sharpe", "se") == pytest.approx(parts["se"], rel=1e-9)


# --- no look-ahead --------------------------------------------------------------------------------------------------

KNOWN_BY_ENTRY = (
    "event_id",
    "symbol",
    "leg",
    "side",
    "entry_day",
    "entry_at",
    "waited",
    "size",
    "capacity",
    "beta",
    "hedge",
    "entry_price",
)
KNOWN_BY_EXIT = ("exit_day", "sessions", "exit_price", "gross", "cost", "borrow", "net")
LEGS = {"sell": {"hold": 2}, "dip": {"side": "opposite", "delay": 2, "hold": 5}}
TRADED = {"entry": "open", "legs": LEGS, "cost_bp": 5.0, "borrow_bp": 100.0, "notional": 3000.0}


def replaced(file: dict[str, Any], day: str, at_open: bool, rng: np.random.Generator) -> dict[str, Any]:
    """Every price after the open, or after the close, of a day replaced by noise; what is empty stays so."""
    made = {"date": file["date"]}
    for name in ("open", "high", "low", "close", "adj_close"):
        noise = np.round(rng.uniform(1, 500, len(file["date"])), 4).tolist()
        known = [d < day or (d == day and (not at_open or name == "open")) for d in file["date"]]
        made[name] = [v if k or v is None else x for v, k, x in zip(file[name], known, noise, strict=True)]
    return made | {"volume": file["volume"]}


def trades_known_by(result: StudyResult, day: str, at_open: bool) -> list[tuple[Any, ...]]:
    """What is known of every trade at the open or the close of a day: entries, and exits up to then."""
    found = []
    for row in result.tables["trades"].to_dicts():
        if row["entry_day"] is None:
            continue
        entered, left = str(row["entry_day"]), str(row["exit_day"] or "9999")
        if entered < day or (entered == day and (not at_open or row["entry_at"] == "open")):
            gone = left < day or (left == day and not at_open)
            found.append(tuple(row[c] for c in KNOWN_BY_ENTRY) + (tuple(row[c] for c in KNOWN_BY_EXIT) if gone else ()))
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2), place=st.integers(70, 245), at_open=st.booleans(), at_entry=st.booleans(),
    noise=st.integers(0, 10_000),
)  # fmt: skip
def test_prices_after_a_moment_change_nothing_up_to_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, place: int, at_open: bool, at_entry: bool, noise: int
) -> None:
    """The moment is any open or close, or that of an entry."""
    folder = tmp_path_factory.mktemp("ahead")
    rng = np.random.default_rng(noise)
    day = DAYS[place]
    random_study(folder / "a", seed, TRADED)
    before = run(folder / "a")
    if at_entry:
        entries = (
            before.tables["trades"].filter(pl.col("entry_day").is_not_null()).select("entry_day", "entry_at").rows()
        )
        entered, kind = entries[place % len(entries)]
        day, at_open = str(entered), kind == "open"
    for symbol in (*SYMBOLS, "MKT"):
        path = folder / "a" / "data" / f"{symbol}.csv"
        file = pl.read_csv(path, infer_schema_length=None).to_dict(as_series=False)
        pl.DataFrame(replaced(file, day, at_open, rng)).write_csv(path)
    after = run(folder / "a")
    known = trades_known_by(before, day, at_open)
    assert known == trades_known_by(after, day, at_open)
    if at_entry or place > 200:
        assert known


def test_noise_changes_what_comes_after(tmp_path: Path) -> None:
    """So that the property above cannot pass by chance: trades left after the moment do change."""
    folder = random_study(tmp_path, 1, TRADED)
    before = run(folder)
    for symbol in SYMBOLS:
        path = folder / "data" / f"{symbol}.csv"
        file = pl.read_csv(path, infer_schema_length=None).to_dict(as_series=False)
        pl.DataFrame(replaced(file, DAYS[120], False, np.random.default_rng(1))).write_csv(path)
    after = run(folder)
    later = pl.col("entry_day") > date.fromisoformat(DAYS[125])
    assert (
        before.tables["trades"].filter(later)["net"].to_list() != after.tables["trades"].filter(later)["net"].to_list()
    )


# --- measures -------------------------------------------------------------------------------------------------------


def test_deflated_sharpe_ratio_of_the_paper() -> None:
    """Bailey & Lopez de Prado (2014), a numerical example: an annual ratio of 2.5 over five years of 250 days, skewness -3,
    kurtosis 10, the best of 100 trials whose annual ratios have variance 1/2: SR0 is 0.1132 a day, the DSR 0.9004. After 46
    trials it would be 0.9505, and with normal returns 0.9505 only needs 88."""
    daily = 2.5 / np.sqrt(250)
    found = Sharpe(daily, 1250, -3.0, 10.0, np.nan, np.nan)
    variance = 0.5 / 250
    hurdle = best_of_trials(variance, 100)
    assert hurdle == pytest.approx(0.1132, abs=5e-5)
    assert deflated(found, hurdle) == pytest.approx(0.9004, abs=5e-5)
    assert deflated(found, best_of_trials(variance, 46)) == pytest.approx(0.9505, abs=5e-5)
    normal = Sharpe(daily, 1250, 0.0, 3.0, np.nan, np.nan)
    assert deflated(normal, best_of_trials(variance, 88)) == pytest.approx(0.9505, abs=5e-5)


def test_expected_best_of_trials_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(4)
    best = rng.normal(0, 0.3, (20_000, 50)).max(axis=1)
    assert best_of_trials(0.09, 50) == pytest.approx(best.mean(), rel=0.02)


def test_errors_of_the_sharpe_ratio() -> None:
    """With the moments of a normal both are Lo's; with a skewed sample the second is what a simulation shows."""
    assert variance_factor(0.4, 0.0, 3.0) == pytest.approx(1 + 0.4**2 / 2)
    rng = np.random.default_rng(3)
    draws = rng.exponential(1.0, (4000, 400)) - 0.6
    ratios = draws.mean(axis=1) / draws.std(axis=1, ddof=1)
    found = [sharpe(row) for row in draws[:200]]
    mean_se = np.mean([f.se for f in found if f is not None])
    mean_iid = np.mean([f.se_iid for f in found if f is not None])
    assert mean_se == pytest.approx(ratios.std(), rel=0.05)
    assert mean_iid > 1.1 * ratios.std()
    assert sharpe(np.ones(10)) is None
    assert sharpe(np.array([0.1, 0.2])) is None


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (3, 10), (10, 10), (54, 100), (7, 1000)])
def test_wilson_is_that_of_statsmodels(hits: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    assert wilson(hits, n, 0.05) == pytest.approx(proportion_confint(hits, n, 0.05, "wilson"), abs=1e-12)


def test_clustered_error_is_that_of_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(8)
    values, cluster = rng.normal(size=40), rng.integers(0, 9, 40)
    own = sm.OLS(values, np.ones(40)).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    assert clustered_error(values, cluster) == (pytest.approx(own.bse[0], rel=1e-12), len(set(cluster)) - 1)
    alone = clustered_error(values, np.arange(40))[0]
    assert alone == pytest.approx(values.std(ddof=1) / np.sqrt(40), rel=1e-12)
    assert np.isnan(clustered_error(values, np.zeros(40, np.int64))[0])


def test_drawdowns_on_paper() -> None:
    equity, below = drawdowns(np.array([-0.1, 0.3, -0.24, 0.04]))
    assert equity.tolist() == pytest.approx([0.9, 1.2, 0.96, 1.0])
    assert below.tolist() == pytest.approx([-0.1, 0.0, -0.2, -1 / 6])


def tape(n: int, seed: int = 2) -> Tape:
    rng = np.random.default_rng(seed)
    prices = [100 * np.exp(np.cumsum(rng.normal(0, 0.02, n))) for _ in range(4)]
    marks = np.ones(n, bool)
    return Tape(
        np.datetime64("2015-01-05") + np.arange(n), *prices, np.zeros(n, np.int64), marks, marks, prices[0], prices[1],
        np.full(n, 1e6),
    )  # fmt: skip


def test_orders_of_a_batch_are_those_of_each_alone() -> None:
    """An order's bytes do not depend on its company."""
    rng = np.random.default_rng(6)
    made, n = tape(60), 30
    orders = Orders(rng.integers(0, 60, n), rng.random(n) < 0.5, rng.choice([-1.0, 1.0], n), rng.normal(1, 0.3, n))
    rule, leg = Backtest(entry="open", hold=4, cost_bp=5.0, borrow_bp=50.0), Leg(hold=4, delay=1)
    together = trade(made, orders, rule, leg)
    for i in range(n):
        alone = trade(
            made, Orders(*(v[i : i + 1] for v in (orders.first, orders.at_open, orders.side, orders.beta))), rule, leg
        )
        for name in ("entry", "exit", "net", "cost", "borrow"):
            assert getattr(alone, name).tobytes() == getattr(together, name)[i : i + 1].tobytes()


# --- placebo, grid, report ------------------------------------------------------------------------------------------

DRAWN = {"resampling": {"seed": 5, "draws": 999}}


def test_a_pseudo_trade_is_the_trade_of_an_event_on_that_date(tmp_path: Path) -> None:
    """One event: its placebo means are the net returns of the same study with the event moved."""
    from engine.backtest.positions import tapes_of
    from engine.backtest.pseudo import pseudo_trades
    from engine.backtest.signals import book_of
    from engine.plan import real_days

    rule = {"entry": "open", "hold": 3, "cost_bp": 5.0, "borrow_bp": 100.0}
    rng = np.random.default_rng(3)
    series = {"AAA": random_bars(rng, 50.0, 0.02, DAYS, True), "MKT": random_bars(rng, 200.0, 0.01, DAYS, True)}

    def study_on(day: int, folder: str) -> Path:
        row = {"event_id": "e", "symbol": "AAA", "announced_at": f"{DAYS[day]}T12:00:00-05:00", "expected_sign": "-"}
        return make_study(
            tmp_path / folder, [row], series, backtest=rule, model={"estimation_window": [-50, -11]}, **EXCHANGE, **DRAWN
        )  # fmt: skip

    study = load_study(study_on(150, "real"), data_path=())
    plan = plan_study(study)
    assert study.spec.backtest is not None
    book = book_of(study, plan, opens=True)
    made = traded(study, plan, study.spec.backtest)
    trades = pseudo_trades(
        study, book, tapes_of(study, book), study.spec.backtest, made.positions, real_days(plan), 5000, np.random.default_rng(1)
    )  # fmt: skip
    drawn = trades.means["all"]
    assert made.positions[0].weight * drawn == pytest.approx(trades.profits[0])
    for day in (90, 128, 163, 200, 240):
        net = run(study_on(day, f"on{day}")).tables["trades"]["net"].item()
        assert np.isclose(np.unique(drawn), net, rtol=1e-9).sum() == 1
    touching = run(study_on(152, "near")).tables["trades"]["net"].item()
    assert not np.isclose(np.unique(drawn), touching, rtol=1e-9).any()


def test_the_placebo_band_books_each_profit_on_the_day_the_real_position_is_left() -> None:
    """Three positions, two left on one day; four draws, by hand."""
    from engine.backtest.pseudo import PseudoTrades

    days = np.array(["2021-03-01", "2021-03-02", "2021-03-03", "2021-03-04"], "datetime64[D]")
    profits = np.array([[0.01, 0.02, 0.03, 0.04], [0.1, 0.0, -0.1, 0.0], [0.0, 0.2, 0.0, -0.1]])
    band = PseudoTrades({}, days[[1, 3, 3]], profits).band(days, (0.0, 0.5, 1.0))
    low, middle, high = band.tolist()
    assert low == pytest.approx([1.0, 1.01, 1.01, 0.93])
    assert middle == pytest.approx([1.0, 1.025, 1.025, 1.025])
    assert high == pytest.approx([1.0, 1.04, 1.04, 1.22])
    assert np.isnan(PseudoTrades({}, days[:0], np.empty((0, 4))).band(days, (0.5,))).all()


def test_the_placebo_band_ends_at_the_profits_of_all_placebo_trades(tmp_path: Path) -> None:
    """On the last day the capital is 1 and the sum of the sizes times what each position earns at its pseudo-date."""
    result = run(
        random_study(tmp_path / "a", 4, {"entry": "close", "hold": 3, "cost_bp": 1.0, "borrow_bp": 0.0}, **DRAWN)
    )
    closed = result.tables["trades"].filter(pl.col("exit_day").is_not_null())
    equity = result.tables["equity"]
    before = equity.filter(pl.col("date") < closed["exit_day"].min())
    assert set(before["placebo_low"]) | set(before["placebo_high"]) == {1.0}
    assert (equity["placebo_low"] <= equity["placebo_high"]).all()
    (size,) = set(closed["size"])
    low, high = (measure(result, "placebo_mean_net", end) for end in ("low", "high"))
    assert equity["placebo_low"][-1] == pytest.approx(1 + size * len(closed) * low, rel=1e-9)
    assert equity["placebo_high"][-1] == pytest.approx(1 + size * len(closed) * high, rel=1e-9)


def test_placebo_and_bytes(tmp_path: Path) -> None:
    one = run(random_study(tmp_path / "a", 4, TRADED, **DRAWN))
    p, n = measure(one, "placebo_p"), 999
    assert 0 < p <= 1
    assert round(p * (n + 1)) == pytest.approx(p * (n + 1), abs=1e-9)
    again = run(tmp_path / "a")
    for name in ("trades", "equity", "backtest"):
        assert texts(one)[name] == texts(again)[name]
    rows = (tmp_path / "a" / "events.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "a" / "events.csv").write_text("\n".join([rows[0], *rows[:0:-1]]) + "\n", encoding="utf-8")
    turned = run(tmp_path / "a")
    for name in ("trades", "equity", "backtest"):
        assert texts(one)[name] == texts(turned)[name]


def test_an_effect_is_told_from_placebo_dates(tmp_path: Path) -> None:
    """A drift of 6 % over the sessions after the news of every event, in the direction of its sign."""
    folder = random_study(tmp_path, 9, {"entry": "close", "hold": 3, "cost_bp": 1.0, "borrow_bp": 0.0}, **DRAWN)
    before = measure(run(folder), "placebo_p")
    entries = [r for r in run(folder).tables["trades"].to_dicts() if r["entry_day"] is not None]
    for symbol in SYMBOLS:
        path = folder / "data" / f"{symbol}.csv"
        file = pl.read_csv(path, infer_schema_length=None).to_dict(as_series=False)
        push = np.zeros(len(file["date"]))
        for r in entries:
            at = file["date"].index(str(r["entry_day"])) if r["symbol"] == symbol else -1
            if at >= 0:
                push[at + 1 : at + 4] += 0.02 if r["side"] == "long" else -0.02
        growth = np.exp(np.cumsum(push))
        for name in ("open", "high", "low", "close", "adj_close"):
            file[name] = [None if v is None else v * g for v, g in zip(file[name], growth, strict=True)]
        pl.DataFrame(file).write_csv(path)
    after = measure(run(folder), "placebo_p")
    assert after < 0.01 < before


def test_trials_are_the_backtests_of_the_grids_designs(tmp_path: Path) -> None:
    grid = {"model": ["market_adjusted"], "estimation_window": [[-40, -6]], "hold": [1, 5]}
    rule = {"entry": "open", "hold": 3, "cost_bp": 5.0, "borrow_bp": 100.0}
    result = run(random_study(tmp_path / "all", 5, rule, grid=grid))
    trials = result.tables["trials"].to_dicts()
    assert len(trials) == 2 * 2 * 3
    assert [t["primary"] for t in trials] == [1] + [0] * 11
    assert trials[0]["sharpe"] == measure(result, "sharpe")
    for i in (1, 5, 10):
        t = trials[i]
        own = {"name": t["model"], "estimation_window": [t["estimation_start"], t["estimation_end"]]}
        alone = run(random_study(tmp_path / f"t{i}", 5, rule | {"hold": t["hold"]}, model=own))
        assert measure(alone, "sharpe") == t["sharpe"]
        assert measure(alone, "trades") == t["n"]
    ratios = np.unique([round(t["sharpe"], 12) for t in trials])
    assert len(ratios) < len(trials)  # the estimation window does not matter to market_adjusted
    assert measure(result, "trials") == len(ratios)
    assert measure(result, "trials_variance") == pytest.approx(ratios.var(ddof=1), rel=1e-9)
    found = sharpe(result.tables["equity"]["profit"].to_numpy())
    assert found is not None
    hurdle = best_of_trials(float(ratios.var(ddof=1)), len(ratios))
    assert measure(result, "deflated_sharpe") == pytest.approx(deflated(found, hurdle), rel=1e-9)
    without = run(random_study(tmp_path / "without", 5, rule))
    assert "without [grid]" in measure(without, "deflated_sharpe", "unavailable")
    assert "trials" not in without.tables


def test_the_report_shows_the_backtest(tmp_path: Path) -> None:
    charts = {"report": {"charts": ["equity_curve"]}}
    result = run(random_study(tmp_path, 5, TRADED, **charts, **DRAWN))
    for text in (memo_markdown(result), memo_html(result)):
        assert "The calendar as signals" in text
        assert "Deflated Sharpe ratio: without [grid]" in text or "without \\[grid" in text
    assert render_chart(result, "equity_curve", "png")[:4] == b"\x89PNG"
    write_result(result, tmp_path / "out")
    assert read_result(tmp_path / "out") == result
    kept = golden_form(result).tables["trades"].columns
    assert not {"entry_price", "exit_price", "listing_return", "hedge_return"} & set(kept)
    assert "net" in kept


def test_nothing_to_trade_is_said(tmp_path: Path) -> None:
    result = paper(tmp_path, {"announced_at": f"{DAYS[38]}T17:00:00-05:00"}, report={"charts": ["equity_curve"]})
    assert measure(result, "mean_net", "unavailable") == "no position was entered and left"
    assert render_chart(result, "equity_curve", "png")[:4] == b"\x89PNG"
    assert "The calendar as signals" in memo_markdown(result)


@pytest.mark.parametrize(
    ("rule", "options", "said"),
    [
        ({"hold": None}, {}, r"\[backtest\] needs exactly one of hold = 20"),
        ({"legs": {"x": {"hold": 1}}}, {}, r"\[backtest\] needs exactly one of hold = 20"),
        ({"entry": "noon"}, {}, r"\[backtest\] entry"),
        ({"cost_bp": None}, {}, r"\[backtest\] cost_bp: this key is required"),
        ({"costs": 3}, {}, r'\[backtest\] unknown key "costs". Did you mean "cost_bp"'),
        ({}, {"outcome": {"name": "log_volume"}}, r"\[backtest\] trades prices"),
        ({"hold": None, "legs": {"x": {"hold": 1}}}, {"grid": {"hold": [3]}}, r"\[grid\] hold changes the one hold"),
    ],
)  # fmt: skip
def test_what_a_backtest_may_not_say(tmp_path: Path, rule: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        paper(tmp_path, backtest=RULE | rule, **options)


def test_a_calendar_without_signs_cannot_be_traded(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"\[backtest\] trades the column expected_sign"):
        paper(tmp_path, {"expected_sign": ""})


def test_on_the_benchmarks_days_positions_are_entered_at_closes(tmp_path: Path) -> None:
    result = paper(tmp_path, {"announced_at": f"{DAYS[30]}T12:00:00-05:00"}, sessions={"calendar": "benchmark"})
    (row,) = result.tables["trades"].to_dicts()
    assert (str(row["entry_day"]), row["entry_at"]) == (DAYS[30], "close")


def test_weekends_count_for_the_loan(tmp_path: Path) -> None:
    friday = next(i for i in range(20, 30) if date.fromisoformat(DAYS[i]).weekday() == 4)
    result = paper(tmp_path, {"announced_at": f"{DAYS[friday]}T12:00:00-05:00"}, backtest=RULE | {"hold": 1})
    (row,) = result.tables["trades"].to_dicts()
    assert row["exit_day"] - row["entry_day"] == timedelta(days=3)
    assert row["borrow"] == pytest.approx(3e-4, rel=1e-12)
    assert weekdays(1)  # the tests' own calendar is not the exchange's
