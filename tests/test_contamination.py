"""What else happened to the firm: rows by hand, policies, price limits, suspensions, and how many events there really are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from conftest import cell, make_study, rows_of, run, simulated, texts, weekdays, write_rows

import engine.firm_events
from engine import load_study, run_study
from engine.announcements.contamination import (
    Listed,
    firm_clusters,
    firm_events,
    firms_of,
    near_events,
    overlapping,
    runs,
    same_day_rows,
)
from engine.errors import DataError, SpecError
from engine.market.limits import board_of, limit_of, locked_days
from engine.report import memo_html, memo_markdown
from engine.report.advice import advise
from engine.report.surroundings import Facts
from engine.results import read_result, write_result
from engine.schemas import KEYS
from engine.sessions import Window
from engine.significance.dependence import Related, mean_shared_correlation
from engine.significance.parametric import mean_residual_correlation
from engine.study import dry_run_result

DATES = weekdays(320)
POLICIES = ("flag", "exclude", "trim_estimation")


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


def firms_study(folder: Path, policy: str = "flag", /, events: Any = None, **changes: Any) -> Path:
    """Firm Alpha with the lines AAA and AAH, firm BBB; estimation [-60, -11], event window [-5, 5]."""
    rows = [
        {"event_id": "E1", "symbol": "AAA", "firm": "Alpha", "announced_at": DATES[150]},
        {"event_id": "E2", "symbol": "AAH", "firm": "Alpha", "announced_at": DATES[154]},
        {"event_id": "E3", "symbol": "AAA", "firm": "Alpha", "announced_at": DATES[190]},
        {"event_id": "E3", "symbol": "AAH", "firm": "Alpha", "announced_at": DATES[190]},
        {"event_id": "E4", "symbol": "BBB", "announced_at": DATES[190]},
        {"event_id": "E5", "symbol": "BBB", "announced_at": DATES[280]},
    ]
    changes = {"limits": {"max_excluded_share": 0.9}, "contamination": {"policy": policy}} | changes
    return make_study(
        folder, rows if events is None else events, simulated(3, ["AAA", "AAH", "BBB"], 320), **changes
    )  # fmt: skip


def listing(result: Any) -> list[tuple[str, ...]]:
    """Every row as positions in DATES."""
    at = {d: i for i, d in enumerate(DATES)}
    return [
        (r["event_id"], r["symbol"], r["kind"], r["other_event_id"] or "", at[str(r["first"])], at[str(r["last"])],
         r["consequence"]) for r in result.tables["contamination"].to_dicts()
    ]  # fmt: skip


def test_every_row_by_hand(tmp_path: Path) -> None:
    """E2 of the other line is 4 sessions after E1; E1's window [145, 155] and E2's [149, 159] are in E3's [130, 179]."""
    flagged, shared = "none: flagged", "none: flagged; day 0 shared with"
    assert listing(run(firms_study(tmp_path))) == [
        ("E1", "AAA", "event_window", "E2", 154, 154, f"{flagged}; its day 0 is relative day 4"),
        ("E2", "AAH", "event_window", "E1", 150, 150, f"{flagged}; its day 0 is relative day -4"),
        ("E3", "AAA", "estimation_window", "E1", 145, 155, flagged),
        ("E3", "AAA", "estimation_window", "E2", 149, 159, flagged),
        ("E3", "AAA", "same_day", "E4", 190, 190, f"{shared} 1 pair of other firms"),
        ("E3", "AAA", "same_firm", "", 190, 190, f"{flagged}; one cluster with AAH"),
        ("E3", "AAH", "estimation_window", "E1", 145, 155, flagged),
        ("E3", "AAH", "estimation_window", "E2", 149, 159, flagged),
        ("E3", "AAH", "same_day", "E4", 190, 190, f"{shared} 1 pair of other firms"),
        ("E3", "AAH", "same_firm", "", 190, 190, f"{flagged}; one cluster with AAA"),
        ("E4", "BBB", "same_day", "E3", 190, 190, f"{shared} 2 pairs of other firms"),
    ]


def calendar_study(folder: Path, ids: list[str], **changes: Any) -> Path:
    """A frozen calendar of four events of two firms; the study selects ``ids``. AAA.B is AAA's other line."""
    series = simulated(5, ["AAA", "AAA.B", "BBB"], 200)
    dates = series["MKT"]["date"]
    study = make_study(folder / "study", [], series, **changes, events={
        "file": None, "calendar": "../calendar", "select": {"ids": ids}, "reaction": "close", "stamp": "announced_at",
        "max_gap_days": 7,
    })  # fmt: skip
    when = {"E1": 150, "E2": 152, "E3": 120, "E4": 150}
    write_rows(folder / "calendar" / "events.csv", [
        {"event_id": e, "announced_at": dates[i], "source": "made up"} for e, i in when.items()
    ])  # fmt: skip
    write_rows(folder / "calendar" / "exposures.csv", [
        {"event_id": e, "symbol": s, "firm": f}
        for e, s, f in (("E1", "AAA", "Firm A"), ("E2", "AAA.B", "Firm A"), ("E3", "AAA", "Firm A"), ("E4", "BBB", "Firm B"))
    ])  # fmt: skip
    return study


def test_events_that_the_study_leaves_out_contaminate_too(tmp_path: Path) -> None:
    """E2 is on the firm's other line, E3 in the estimation window; E4 is another firm's."""
    result = run(calendar_study(tmp_path, ["E1"]))
    dates = simulated(5, [], 200)["MKT"]["date"]
    assert result.tables["contamination"].select("kind", "other_event_id", "first", "last").cast(pl.String).rows() == [
        ("estimation_window", "E3", dates[115], dates[125]),
        ("event_window", "E2", dates[152], dates[152]),
    ]
    trimmed = run(calendar_study(tmp_path / "trim", ["E1"], contamination={"policy": "trim_estimation"}))
    before, after = (r.tables["fits"]["n_obs"].item() for r in (result, trimmed))
    assert before - after == 11
    excluded = calendar_study(tmp_path / "out", ["E1"], contamination={"policy": "exclude"})
    with pytest.raises(DataError, match="holds E2 on relative day 2 of the same firm"):
        run(excluded)


def test_without_a_firm_column_the_symbol_is_the_firm(tmp_path: Path) -> None:
    events = [
        {"event_id": e, "symbol": s, "announced_at": DATES[d]} for e, s, d in (("E1", "AAA", 150), ("E2", "AAH", 154))
    ]
    assert listing(run(firms_study(tmp_path / "a", events=events))) == []
    assert firms_of(["A", "B", "A", "C"], [None, "X", "X", None]) == {"A": "firm X", "B": "firm X", "C": "symbol C"}


def test_an_event_of_another_line_stands_on_the_first_session_on_or_after_it() -> None:
    """A line that is closed on the other's day; its own row decides where there is one; outside the line there is none."""
    dates = np.array(["2020-09-30", "2020-10-09", "2020-10-12", "2020-10-13"], "datetime64[D]")
    rows = [
        Listed("H", "0981.HK", "f", day("2020-10-05"), True),
        Listed("both", "0981.HK", "f", day("2020-10-09"), True),
        Listed("both", "688981.SS", "f", day("2020-10-12"), True),
        Listed("old", "0981.HK", "f", day("2020-09-01"), True),
        Listed("late", "0981.HK", "f", day("2020-11-01"), True),
        Listed("own", "688981.SS", "f", day("2020-10-13"), True),
    ]
    ids, at = firm_events(rows, "688981.SS", dates)
    assert list(zip(ids, at.tolist(), strict=True)) == [("H", 1), ("both", 2), ("own", 3)]
    assert firm_events(rows, "0981.HK", dates)[1].tolist() == [1, 1, 3]


@pytest.mark.parametrize(
    ("other", "inside", "estimation"),
    [(-5, True, None), (-6, False, Window(-11, -11)), (5, True, None), (6, False, None), (-15, False, Window(-20, -11)),
     (-16, False, Window(-21, -11)), (-65, False, Window(-60, -60)), (-66, False, None), (-30, False, Window(-35, -25))],
)  # fmt: skip
def test_windows_are_closed_at_both_ends(other: int, inside: bool, estimation: Window | None) -> None:
    """Event window [-5, 5], estimation window [-60, -11]; -16 reaches [-21, -11], -15 reaches [-20, -10]."""
    found = near_events(["me", "x"], np.array([500, 500 + other]), "me", 500, Window(-60, -11), Window(-5, 5))
    if not inside and estimation is None:
        assert found == []
    else:
        assert [(n.event_id, n.day, n.in_event, n.estimation) for n in found] == [("x", other, inside, estimation)]


def test_groups_of_overlapping_windows() -> None:
    """Windows of 11 days overlap up to 10 sessions apart, in chains; one alone is none."""
    assert overlapping(np.array([100, 300, 110, 121, 120, 311]), Window(-5, 5)).tolist() == [0, -1, 0, 0, 0, -1]
    assert runs(np.array([1, 1, 0, 1, 0, 1, 1], bool)).tolist() == [[0, 1], [3, 3], [5, 6]]


def test_many_on_one_day_are_one_row_each() -> None:
    rows = [Listed(f"E{i}", f"S{i}", f"S{i}", day("2020-03-16"), True) for i in range(30)]
    rows.append(Listed("gone", "S99", "S99", day("2020-03-16"), False))
    found = same_day_rows(rows)
    assert len(found) == 30
    assert {r.consequence for r in found} == {"none: flagged; day 0 shared with 29 pairs of other firms"}


def test_exclude_takes_out_both_with_a_row(tmp_path: Path) -> None:
    result = run(firms_study(tmp_path, "exclude"))
    lost = rows_of(result, "exclusions", stage="events", reason="contaminated")
    assert lost["event_id"].to_list() == ["E1", "E2"]
    assert lost["detail"][0] == (
        f"the event window [-5, 5] around {DATES[150]} holds E2 on relative day 4 of the same firm"
    )
    rows = rows_of(result, "contamination", kind="event_window")["consequence"].to_list()
    assert rows == ["excluded; its day 0 is relative day 4", "excluded; its day 0 is relative day -4"]
    assert set(result.tables["cars"]["event_id"]) == {"E3", "E4", "E5"}
    kept = run(firms_study(tmp_path / "flag"))
    cars = kept.tables["cars"].filter(~pl.col("event_id").is_in(["E1", "E2"]))
    assert result.tables["cars"].equals(cars)
    dry = dry_run_result(load_study(tmp_path, data_path=()))
    assert dry.filter(pl.col("reason") == "contaminated")["event_id"].to_list() == ["E1", "E2"]
    with pytest.raises(DataError, match="2 x events: contaminated"):
        run(firms_study(tmp_path / "few", "exclude", limits={"max_excluded_share": 0.3}))


def test_trim_leaves_out_the_days_and_counts_them(tmp_path: Path) -> None:
    """E3: [145, 155] and [149, 159] are 15 of its 50 estimation days; the fit is statsmodels' on the others."""
    folder = firms_study(tmp_path, "trim_estimation")
    result = run(folder)
    rows = rows_of(result, "contamination", event_id="E3", symbol="AAA", kind="estimation_window")
    assert rows["consequence"].to_list() == ["11 estimation days left out", "4 estimation days left out"]
    assert cell(result, "fits", "n_obs", event_id="E3", symbol="AAA") == 35
    assert cell(result, "fits", "n_obs", event_id="E4") == 50
    series = simulated(3, ["AAA", "AAH", "BBB"], 320)
    kept = [t for t in range(130, 180) if not 145 <= t <= 159]
    y, x = (np.array(series[s]["return"])[kept] for s in ("AAA", "MKT"))
    fitted = sm.OLS(y, sm.add_constant(x)).fit()
    fit = rows_of(result, "fits", event_id="E3", symbol="AAA").row(0, named=True)
    assert (fit["alpha"], fit["beta_market"]) == pytest.approx(tuple(fitted.params), rel=1e-9)
    assert fit["sigma"] == pytest.approx(np.sqrt(fitted.scale), rel=1e-10)
    short = {"model": {"name": "market", "estimation_window": [-60, -11], "min_estimation_days": 36}}
    lost = rows_of(run(firms_study(tmp_path / "b", "trim_estimation", **short)), "exclusions", event_id="E3")
    assert lost["reason"].to_list() == ["too_few_estimation_days"] * 2


def test_trim_counts_only_days_with_a_return(tmp_path: Path) -> None:
    folder = firms_study(tmp_path, "trim_estimation")
    path = folder / "data" / "AAA.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(f"{DATES[146]}," if x.startswith(DATES[146]) else x for x in lines), encoding="utf-8")
    rows = rows_of(run(folder), "contamination", event_id="E3", symbol="AAA", other_event_id="E1")
    assert rows["consequence"].item() == "10 estimation days left out"


def test_a_listing_that_loses_all_its_events_leaves_the_quality_report(tmp_path: Path) -> None:
    """BBB alone is left where E1 and E3 of AAA are excluded, and the report is of what is looked at."""
    result = run(
        calendar_study(tmp_path, ["E1", "E4"], contamination={"policy": "exclude"}, limits={"max_excluded_share": 0.9})
    )
    assert set(result.tables["fits"]["symbol"]) == {"BBB"}
    assert "AAA" not in set(result.tables["quality"]["symbol"])


def test_where_nothing_else_happened_no_policy_changes_a_byte(tmp_path: Path) -> None:
    events = [{"event_id": e, "symbol": s, "announced_at": DATES[d]} for e, s, d in (("1", "AAA", 90), ("2", "AAA", 170),
              ("3", "BBB", 180))]  # fmt: skip
    results = [texts(run(firms_study(tmp_path / p, p, events=events))) for p in POLICIES]
    assert results[0] == results[1] == results[2]


def test_pseudo_dates_leave_out_the_same_days(tmp_path: Path) -> None:
    """The same as one event in a calendar of its own, with the other event's window blank in the prices.

    The event is the last in the series, so that no pseudo-date has its own window among the estimation rows.
    """
    drawn = {"significance": {"tests": ["permutation"]}, "resampling": {"seed": 4, "draws": 99}}
    both = [{"event_id": e, "symbol": "AAA", "announced_at": DATES[d]} for e, d in (("E1", 255), ("E2", 310))]
    trimmed = run(firms_study(tmp_path / "a", "trim_estimation", events=both, **drawn))
    flagged = run(firms_study(tmp_path / "b", "flag", events=both, **drawn))
    folder = firms_study(tmp_path / "c", "flag", events=both[1:], **drawn)
    path = folder / "data" / "AAA.csv"
    blank = set(DATES[250:261])
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(f"{x[:10]}," if x[:10] in blank else x for x in lines), encoding="utf-8")
    alone = run(folder)
    columns = ("window_start", "window_end", "statistic", "distribution", "p_value", "note")
    found = [rows_of(r, "event_significance", event_id="E2").select(columns) for r in (trimmed, alone, flagged)]
    assert found[0].equals(found[1])
    assert not found[0].equals(found[2])


def test_the_table_has_one_row_a_key_and_reads_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    days = rng.choice(np.arange(100, 300), 40)
    events = [
        {"event_id": f"E{i}", "symbol": ("AAA", "AAH", "BBB")[i % 3], "firm": ("Alpha", "Alpha", "")[i % 3],
         "announced_at": DATES[d]} for i, d in enumerate(days)
    ]  # fmt: skip
    result = run(firms_study(tmp_path, events=events))
    table = result.tables["contamination"]
    assert len(table) > 200
    assert not table.select(KEYS["contamination"]).is_duplicated().any()
    write_result(result, tmp_path / "out")
    assert read_result(tmp_path / "out", whole=True) == result


@pytest.mark.parametrize(
    ("symbol", "on", "listed", "limit"),
    [
        ("600028.SS", "2020-02-03", "2001-08-08", 0.1),
        ("000519.SZ", "2020-02-03", None, 0.1),
        ("300179.SZ", "2020-08-21", "2011-02-15", 0.1),
        ("300179.SZ", "2020-08-24", "2011-02-15", 0.2),
        ("688981.SS", "2020-07-22", "2020-07-16", None),  # its fifth session
        ("688981.SS", "2020-07-23", "2020-07-16", 0.2),
        ("301071.SZ", "2021-09-24", "2021-09-24", None),
        ("301071.SZ", "2021-09-30", "2021-09-24", None),
        ("301071.SZ", "2021-10-08", "2021-09-24", 0.2),  # its sixth session, after the week of 1 October
        ("300001.SZ", "2020-08-21", "2020-08-20", 0.1),  # listed before the reform: bounded on its first day alone
        ("600938.SS", "2022-04-21", "2022-04-21", 0.44),
        ("600938.SS", "2022-04-22", "2022-04-21", 0.1),
        ("601000.SS", "2013-05-02", "2013-05-02", None),
        ("603000.SS", "2023-04-14", "2023-04-10", None),
        ("603000.SS", "2023-04-17", "2023-04-10", 0.1),
        ("600000.SS", "1996-12-13", None, None),
    ],
)  # fmt: skip
def test_price_limits_by_board_and_date(symbol: str, on: str, listed: str | None, limit: float | None) -> None:
    assert limit_of(symbol, "XSHG", day(on), None if listed is None else day(listed)) == limit


@pytest.mark.parametrize(
    ("symbol", "exchange"),
    [("0981.HK", "XHKG"), ("AAPL", "XNYS"), ("9984.T", "XTKS"), ("000300.SS", "XSHG"), ("399001.SZ", "XSHG"),
     ("510300.SS", "XSHG"), ("900901.SS", "XSHG"), ("000300", "XSHG"), ("600028.SS", "XNYS"), ("^HSI", "XSHG")],
)  # fmt: skip
def test_no_limit_outside_the_boards(symbol: str, exchange: str) -> None:
    assert limit_of(symbol, exchange, day("2024-01-05"), None) is None
    assert (board_of("000519", "XSHE"), board_of("300179", "XSHG")) == ("main", "chinext")


def test_locked_days_by_hand() -> None:
    """10.00, +10 % locked, +10 % with a range, -10 % without cells, +9.8 % rounded, +9.6 % and -11 % are no limit."""
    close = np.array([10, 11, 12.1, 10.89, np.nan, 11.957, 13.105, 11.66])
    high, low = close.copy(), close.copy()
    high[2], high[3], low[3] = 12.2, np.nan, np.nan
    dates = np.array(weekdays(8, "2019-03-04"), "datetime64[D]")
    columns = {"close": close, "high": high, "low": low}
    assert locked_days("600001.SS", "XSHG", dates, columns).tolist() == [0, 0.1, 0, -0.1, 0, 0.1, 0, 0]
    assert locked_days("600001.SS", "XSHG", dates, {"close": close}).tolist() == [0, 0.1, 0.1, -0.1, 0, 0.1, 0, 0]
    assert not locked_days("600001.HK", "XHKG", dates, columns).any()


def real_study(folder: Path, shared: Path, symbol: str, when: str, event: list[int], car: list[list[int]]) -> Any:
    return run(make_study(
        folder, [{"event_id": "E", "symbol": symbol, "announced_at": when}], {},
        prices={"snapshot": str(shared)}, benchmark={"default": "000300.SS"}, sessions={"calendar": "exchange"},
        model={"name": "market", "estimation_window": [-260, -21], "min_estimation_days": 60},
        windows={"event": event, "car": car},
    ))  # fmt: skip


def test_naura_was_suspended_and_then_locked(shared_data: Path, tmp_path: Path) -> None:
    """002371.SZ came back on 2016-01-11 with two days at +10 % without a trade off it; 2016-01-13 had a range."""
    rows = real_study(tmp_path, shared_data, "002371.SZ", "2016-01-11", [-1, 5], [[0, 1]]).tables["contamination"]
    locked = rows.filter(pl.col("kind") == "limit_locked").row(0, named=True)
    assert (str(locked["first"]), str(locked["last"])) == ("2016-01-11", "2016-01-12")
    assert locked["consequence"] == (
        "closed at the 10 % limit with high = low: reaction runs to the first unlocked close 2016-01-13: read CAR[0, 2]"
    )
    suspended = rows.filter(pl.col("kind") == "suspended").row(0, named=True)
    assert str(suspended["last"]) == "2016-01-08"
    closed = pl.read_csv(shared_data / "prices" / "002371.SZ.csv").filter(pl.col("date") < "2016-01-11")["date"].max()
    assert str(suspended["first"]) > str(closed)


def test_smic_was_suspended_on_day_0(shared_data: Path, tmp_path: Path) -> None:
    result = real_study(tmp_path, shared_data, "688981.SS", "2025-09-01", [-2, 10], [[8, 10]])
    row = rows_of(result, "contamination", kind="suspended").row(0, named=True)
    assert (str(row["first"]), str(row["last"])) == ("2025-09-01", "2025-09-08")
    assert row["consequence"] == "no price on 6 sessions: no CAR over them or the session after"


def test_a_suspension_right_before_day_0_is_seen_from_any_window(shared_data: Path, tmp_path: Path) -> None:
    result = real_study(tmp_path, shared_data, "688981.SS", "2025-09-09", [0, 3], [[1, 3]])
    assert rows_of(result, "contamination", kind="suspended")["first"].cast(pl.String).to_list() == ["2025-09-01"]


def test_stale_rows_are_named(tmp_path: Path) -> None:
    dates = weekdays(200)
    rng = np.random.default_rng(1)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (2, 200)), axis=1))
    price[0, 151:153] = price[0, 150]
    volume = [0 if i in (151, 152) else 1000 for i in range(200)]
    series = {
        "AAA": {"date": dates, "close": price[0].tolist(), "volume": volume},
        "MKT": {"date": dates, "close": price[1].tolist()},
    }
    result = run(make_study(tmp_path, [{"event_id": "E", "symbol": "AAA", "announced_at": dates[150]}], series))
    row = result.tables["contamination"].row(0, named=True)
    assert (row["kind"], str(row["first"]), str(row["last"])) == ("stale", dates[151], dates[152])
    assert row["consequence"].startswith("volume 0 and an unchanged close on 2 sessions")


def locked_study(folder: Path, ranged: bool, end: int) -> list[dict[str, Any]]:
    """A main-board share that is locked at +10 % on sessions 150 and 151 and has no row from ``end`` on."""
    dates = weekdays(200, "2018-01-01")
    rng = np.random.default_rng(1)
    own, market = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (2, 200)), axis=1))
    for i in (150, 151):
        own[i:] *= 1.1 * own[i - 1] / own[i]
    high, low = own * 1.01, own * 0.99
    high[150:152] = low[150:152] = own[150:152]
    share = {"date": dates, "close": own.tolist()} | ({"high": high.tolist(), "low": low.tolist()} if ranged else {})
    series = {"600001.SS": {k: v[:end] for k, v in share.items()}, "MKT": {"date": dates, "close": market.tolist()}}
    events = [{"event_id": "E", "symbol": "600001.SS", "announced_at": dates[150]}]
    result = run(make_study(folder, events, series, windows={"event": [-5, 5], "car": [[0, 0]]}))
    return result.tables["contamination"].to_dicts()


def test_a_locked_day_names_the_first_unlocked_close(tmp_path: Path) -> None:
    unlocked = weekdays(200, "2018-01-01")[152]
    for ranged, known in ((True, "with high = low"), (False, "(without high and low, by the close alone)")):
        (row,) = locked_study(tmp_path / str(ranged), ranged, 200)
        assert row["consequence"] == (
            f"closed at the 10 % limit {known}: reaction runs to the first unlocked close {unlocked}: read CAR[0, 2]"
        )
    (row,) = locked_study(tmp_path / "ended", True, 152)  # the end of the prices is no suspension
    assert row["kind"] == "limit_locked"
    assert row["consequence"] == "closed at the 10 % limit with high = low: no unlocked close in the prices"


def test_lines_of_a_firm_and_events_of_a_day_count_once() -> None:
    """A's two lines of E1, its E2 on the same day as the second of them, B alone: two clusters."""
    firms, ids = ["A", "A", "A", "B"], ["E1", "E1", "E2", "E1"]
    assert firm_clusters(firms, ids, [day(d) for d in ("2020-01-02", "2020-01-03", "2020-01-03", "2020-01-02")]) == 2
    assert firm_clusters(["A", "A"], ["E1", "E2"], [day("2020-01-02"), day("2020-01-03")]) == 2


def test_the_correlation_counts_shared_days_only() -> None:
    rng = np.random.default_rng(2)
    residuals = rng.normal(0, 1, (4, 80)) + rng.normal(0, 1, 80)
    residuals[1, 5:9] = np.nan
    days = np.tile(np.arange(80), (4, 1))
    one_date = np.tile(np.arange(100, 103), (4, 1))
    r = mean_residual_correlation(residuals, days)
    assert mean_shared_correlation(residuals, days, one_date) == pytest.approx(r, rel=1e-12)
    apart = one_date + np.array([0, 1, 10, 20])[:, None]
    known = np.isfinite(residuals[1])
    pair = np.corrcoef(residuals[0, known], residuals[1, known])[0, 1]
    assert mean_shared_correlation(residuals, days, apart) == pytest.approx(pair * (2 / 3) / 6, rel=1e-12)


def test_pairs_found_once_serve_every_part_of_the_events() -> None:
    """Against the same function on the part alone, whose pairs meet in another order; events outside are looked at by nobody."""
    rng = np.random.default_rng(3)
    residuals = rng.normal(0, 1, (9, 60)) + rng.normal(0, 1, 60)
    residuals[rng.random((9, 60)) < 0.1] = np.nan
    start = rng.integers(0, 6, 9)
    days, windows = start[:, None] + np.arange(60), start[:, None] + 70 + np.arange(4)
    related = Related(residuals, days, windows, np.delete(np.arange(9), 4))
    for members in ([0, 1, 2, 3, 5, 6, 7, 8], [2, 3, 7], [8, 6], [5]):
        part = np.array(members)
        alone = mean_shared_correlation(residuals[part], days[part], windows[part])
        assert related.mean(part) == pytest.approx(alone, rel=1e-12)


def test_the_manifest_counts_independent_events(tmp_path: Path) -> None:
    summary = run(firms_study(tmp_path)).manifest["contamination"]
    assert summary["rows"] == {"estimation_window": 4, "event_window": 2, "same_day": 3, "same_firm": 2}
    assert (summary["firms"], summary["clusters"]) == (2, 5)
    r = summary["mean_correlation"]
    assert summary["effective_events"] == pytest.approx(6 / (1 + 5 * r))


def test_the_memo_says_what_else_happened(tmp_path: Path) -> None:
    result = run(firms_study(tmp_path, "trim_estimation"))
    memo = memo_markdown(result)
    said = memo[memo.index("## What else happened") : memo.index("## Exclusions")]
    assert "6 pairs of 2 firms come to 5 clusters" in said
    assert "30 estimation days left out (4 rows)" in said
    assert "| E1 | AAA | event\\_window | E2 |" in said or "| E1 | AAA | event_window | E2 |" in said
    assert "What else happened" in memo_html(result)


def test_advice_follows_from_what_else_happened() -> None:
    known = Facts(firms=["A"] * 3, overlapping=2, trimmable=1, locked=1)
    advice = advise([1, 1, 1], ["A.HK", "A.SS", "A"], known=known)
    assert (advice.case, advice.read[0]) == ("one firm, several lines", "sq")
    said = " ".join(advice.remarks)
    assert "joint = true" in said
    assert "trim_estimation" in said
    assert "first unlocked close" in said
    assert "joint = true" not in " ".join(advise([1, 1], ["A", "B"], known=Facts(["A", "B"], 2, joint=True)).remarks)
    assert advise([1, 1, 1], ["A", "B", "C"], known=Facts(["A", "B", "C"])).read[:2] == ("kolari_pynnonen", "grank_t")


def test_an_unknown_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"\[contamination\] policy = 'drop'.*'flag', 'exclude' or 'trim_estimation'"):
        run(firms_study(tmp_path, "drop"))


def test_events_of_one_firm_that_would_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of rows is known before one is made: it grows with the square of the events of a firm."""
    days = enumerate(weekdays(140)[80:120])
    events = [{"event_id": f"e{i}", "symbol": "AAA", "announced_at": day} for i, day in days]
    study = make_study(tmp_path, events, simulated(1, ["AAA"], 260))
    rows = run_study(load_study(study)).tables["contamination"]
    near = len(rows.select("event_id", "other_event_id").unique())
    assert near == sum(i + min(39 - i, 5) for i in range(40))  # all that came before, and five sessions after day 0
    monkeypatch.setattr(engine.firm_events, "MOST_NEAR", near - 1)
    with pytest.raises(DataError, match=r"of 40 events, 965 pairs .*; 964 are allowed\..*EVENTSTUDY_LIMITS=2 "):
        run_study(load_study(study))
    monkeypatch.setenv("EVENTSTUDY_LIMITS", "2")
    assert run_study(load_study(study)).tables["contamination"].equals(rows)
