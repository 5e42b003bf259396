"""Outcomes other than the return: each equals a study whose price files hold the transform by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_study, rows_of, run, texts, weekdays
from polars.testing import assert_frame_equal

from engine.errors import DataError, SpecError
from engine.market.outcomes import log_range_volatility, log_turnover, log_volume, range_volatility
from engine.report import memo_markdown
from engine.sessions import exchange_sessions

SYMBOLS = ("A", "B", "C", "D")
DAYS = 160
EVENTS = [{"event_id": s, "symbol": s, "announced_at": weekdays(DAYS)[120 + i]} for i, s in enumerate(SYMBOLS[:3])]
HAND = {
    "log_volume": lambda row: math.log(row["volume"]) if row["volume"] > 0 else None,
    "log_turnover": lambda row: math.log(100 * row["volume"] / row["shares"] + 0.000255),
    "range_volatility": lambda row: math.sqrt(math.log(row["high"] / row["low"]) ** 2 / (4 * math.log(2))),
    "log_range_volatility": lambda row: math.log(
        math.sqrt(math.log(row["high"] / row["low"]) ** 2 / (4 * math.log(2)))
    ),
}
STUDY: dict[str, Any] = {
    "model": {"name": "market", "min_estimation_days": 60, "estimation_window": [-100, -11]},
    "benchmark": {"default": "all", "baskets": {"all": list(SYMBOLS)}},
    "sessions": {"calendar": "exchange"},
    "windows": {"event": [-5, 5], "car": [[0, 0], [-1, 1]]},
    "significance": {"tests": ["sq", "bmp", "corrado_zivney", "permutation", "firm_permutation", "variance_rank"]},
    "resampling": {"seed": 1, "draws": 199},
}


def rows(symbol: str) -> list[dict[str, Any]]:
    """Prices that move, ranges and volumes that double on the event day, one day without a trade, one without a volume."""
    rng = np.random.default_rng(SYMBOLS.index(symbol))
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, DAYS)))
    width, volume = np.exp(np.abs(rng.normal(0, 0.02, DAYS)) + 0.001), np.round(np.exp(rng.normal(12, 0.5, DAYS)))
    event = 120 + SYMBOLS.index(symbol)
    volume[event], width[event] = volume[event] * 4, width[event] ** 3
    made = [
        {"date": d, "close": c, "high": c * w, "low": c / w, "volume": v, "shares": 1e7 * (1 + SYMBOLS.index(symbol))}
        for d, c, w, v in zip(weekdays(DAYS), close.tolist(), width.tolist(), volume.tolist(), strict=True)
    ]
    made[50]["volume"] = 0.0  # the close moved: no stale price, and no logarithm of the volume
    return made


def files(columns: tuple[str, ...]) -> dict[str, dict[str, list[Any]]]:
    return {s: {c: [row[c] for row in rows(s)] for c in columns} for s in SYMBOLS}


@pytest.mark.parametrize("name", sorted(HAND))
def test_an_outcome_is_its_transform_in_the_place_of_the_return(tmp_path: Path, name: str) -> None:
    whole = files(("date", "close", "high", "low", "volume", "shares"))
    by_hand = {s: {"date": [r["date"] for r in rows(s)], "return": [HAND[name](r) for r in rows(s)]} for s in SYMBOLS}
    ours = run(make_study(tmp_path / "a", EVENTS, whole, outcome={"name": name}, **STUDY))
    theirs = run(make_study(tmp_path / "b", EVENTS, by_hand, **STUDY))
    for table in ("fits", "abnormal_returns", "averages", "significance", "event_significance"):
        assert_frame_equal(ours.tables[table], theirs.tables[table], rel_tol=1e-9, abs_tol=1e-13)
    cars = ours.tables["cars"]
    assert_frame_equal(cars.drop("bhar"), theirs.tables["cars"].drop("bhar"), rel_tol=1e-9, abs_tol=1e-13)
    assert cars["bhar"].null_count() == len(cars) > 0
    day = rows_of(ours, "cars", window_start=0)["car"]
    assert day.min() > 0  # what was planted: four times the volume, three times the range


@pytest.mark.parametrize("returns", ["simple", "log"])
def test_absolute_returns_are_the_size_of_returns(tmp_path: Path, returns: str) -> None:
    """By hand from the closes; the basket's is the size of its own return, not the mean size of its members'."""
    days = exchange_sessions("XNYS", 2019).dates
    dates = [str(d) for d in days[days >= np.datetime64("2015-01-01")][:DAYS]]  # of weekdays, some would be none
    whole = {s: {"date": dates, "close": [row["close"] for row in rows(s)]} for s in SYMBOLS}
    events = [{"event_id": s, "symbol": s, "announced_at": dates[120 + i]} for i, s in enumerate(SYMBOLS[:3])]

    def by_hand(closes: list[float]) -> list[float | None]:
        moves = [b / a - 1 for a, b in pairwise(closes)]
        return [None, *(math.log1p(m) if returns == "log" else m for m in moves)]

    own = {s: by_hand(whole[s]["close"]) for s in SYMBOLS}
    hand: dict[str, Any] = {}
    for s in SYMBOLS:
        others = [own[o] for o in SYMBOLS if o != s]
        mean = [None if r[0] is None else abs(sum(r) / len(r)) for r in zip(*others, strict=True)]
        hand[s] = {"date": whole[s]["date"], "return": [None if r is None else abs(r) for r in own[s]]}
        hand[f"but {s}"] = {"date": whole[s]["date"], "return": mean}
    tests = {"tests": ["sq", "bmp", "corrado_zivney", "permutation"]}
    options = STUDY | {"prices": {"returns": returns}, "significance": tests}
    ours = run(make_study(tmp_path / "a", events, whole, outcome={"name": "absolute_return"}, **options))
    events = [e | {"benchmark": f"but {e['symbol']}"} for e in events]
    theirs = run(make_study(tmp_path / "b", events, hand, **(options | {"benchmark": {"default": "A", "baskets": {}}})))
    for table in ("fits", "abnormal_returns", "averages", "significance", "event_significance"):
        assert_frame_equal(ours.tables[table], theirs.tables[table], rel_tol=1e-9, abs_tol=1e-13)
    assert ours.tables["abnormal_returns"]["actual"].min() >= 0  # type: ignore[operator]
    assert ours.tables["cars"]["bhar"].null_count() == len(ours.tables["cars"]) > 0
    assert "This study measures absolute returns" in memo_markdown(ours)


def test_a_benchmark_elsewhere_has_the_outcome_of_its_last_session_since(tmp_path: Path) -> None:
    """Tokyo against New York: the session that closed in the night before, none where New York had a holiday."""
    tokyo, new_york = (exchange_sessions(e, 2019).dates for e in ("XTKS", "XNYS"))
    tokyo, new_york = (
        d[(d >= np.datetime64("2018-06-01")) & (d <= np.datetime64("2019-08-01"))] for d in (tokyo, new_york)
    )
    rng = np.random.default_rng(1)
    held = {str(d): math.exp(v) for d, v in zip(new_york, rng.normal(9, 1, len(new_york)), strict=True)}
    series = {
        "A.T": {"date": [str(d) for d in tokyo], "close": np.linspace(9, 11, len(tokyo)).tolist(),
                "volume": np.exp(rng.normal(9, 1, len(tokyo))).tolist()},
        "SPY": {"date": list(held), "close": np.linspace(9, 11, len(held)).tolist(), "volume": list(held.values())},
    }  # fmt: skip
    events = [{"event_id": "e", "symbol": "A.T", "announced_at": "2019-07-05"}]
    options = STUDY | {"model": STUDY["model"] | {"name": "market_adjusted"}, "benchmark": {"default": "SPY"}}
    options |= {"significance": {"tests": ["forecast_error_t"]}, "outcome": {"name": "log_volume"}}
    folder = make_study(tmp_path, events, series, **options)
    (folder / "data" / "symbols.csv").write_text("symbol,exchange\nA.T,XTKS\nSPY,XNYS\n", encoding="utf-8")
    rows = run(folder).tables["abnormal_returns"]
    found = dict(zip(rows["date"].cast(str).to_list(), rows["expected"].to_list(), strict=True))
    for day, before in (("2019-07-03", "2019-07-02"), ("2019-07-04", "2019-07-03"), ("2019-07-08", "2019-07-05")):
        assert found[day] == pytest.approx(math.log(held[before]), rel=1e-12)
    assert found["2019-07-05"] is None


def test_the_transforms_by_hand() -> None:
    two = np.array([100.0, 0.0])
    np.testing.assert_array_equal(log_volume(two), [math.log(100), math.nan])
    np.testing.assert_allclose(
        log_turnover(two, np.array([1e4, 1e4])), [math.log(1.000255), math.log(0.000255)], rtol=1e-14
    )
    np.testing.assert_array_equal(log_turnover(two, np.zeros(2)), [math.nan, math.nan])
    high, low = np.array([math.e, 2.0, 1.0, 1.0]), np.array([1.0, 2.0, 2.0, 0.0])
    np.testing.assert_allclose(range_volatility(high, low), [0.600561, 0, math.nan, math.nan], atol=1e-6)
    np.testing.assert_allclose(log_range_volatility(high, low)[:1], [math.log(0.600561)], atol=1e-6)
    assert np.isnan(log_range_volatility(high, low)[1:]).all()


def test_shares_may_stand_in_symbols_csv(tmp_path: Path) -> None:
    plain = files(("date", "close", "volume", "shares"))
    with_table = files(("date", "close", "volume"))
    ours = make_study(tmp_path / "a", EVENTS, with_table, outcome={"name": "log_turnover"}, **STUDY)
    lines = ["symbol,exchange,shares", *(f"{s},XNYS,{1e7 * (1 + i)}" for i, s in enumerate(SYMBOLS))]
    (ours / "data" / "symbols.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    theirs = run(make_study(tmp_path / "b", EVENTS, plain, outcome={"name": "log_turnover"}, **STUDY))
    assert texts(run(ours))["abnormal_returns"] == texts(theirs)["abnormal_returns"]


@pytest.mark.parametrize(("name", "lost"), [("log_turnover", 0), ("range_volatility", 1)])
def test_a_stale_day_has_no_outcome_but_a_turnover(tmp_path: Path, name: str, lost: int) -> None:
    series = files(("date", "close", "high", "low", "volume", "shares"))
    series["A"]["volume"][100], series["A"]["close"][100] = 0.0, series["A"]["close"][99]
    result = run(make_study(tmp_path, EVENTS, series, outcome={"name": name}, **STUDY))
    n_obs = dict(result.tables["fits"].select("symbol", "n_obs").rows())
    assert n_obs["A"] == n_obs["B"] - lost


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"outcome": {"name": "log_volumes"}}, SpecError, 'Did you mean "log_volume"'),
        ({"outcome": {"name": "range_volatility"}}, DataError, "high and low, which hold nothing for A, B, C, D"),
        ({"outcome": {"name": "log_volume"}, "prices": {"currency": "USD"}}, SpecError, "converts returns"),
        ({"outcome": {"name": "log_volume"}, "significance": {"tests": ["bhar_t"]}}, SpecError, "buy-and-hold returns"),
        (
            {"outcome": {"name": "log_volume"}, "calendar_time": {"frequency": "daily", "hold": [1, 5]}},
            SpecError,
            "portfolios of returns",
        ),
        ({"outcome": {"name": "log_volume"}, "benchmark": {"own_weight": {"A": 0.1}}}, SpecError, "Use a basket"),
    ],
)
def test_what_an_outcome_cannot_do(tmp_path: Path, change: dict[str, Any], error: Any, said: str) -> None:
    folder = make_study(tmp_path, EVENTS, files(("date", "close", "volume")), **(STUDY | change))
    with pytest.raises(error, match=said):
        run(folder)


def test_the_memo_says_what_was_measured(tmp_path: Path) -> None:
    series = files(("date", "close", "volume"))
    text = memo_markdown(run(make_study(tmp_path, EVENTS, series, outcome={"name": "log_volume"}, **STUDY)))
    assert "This study measures log volume" in text
    assert "Measured is log volume: % stands for 100 times abnormal ln(volume)." in text
    assert "100 times abnormal ln(volume)" in text
    assert "reaction of prices" not in text
