"""Day 0: the first session of the listing's exchange whose close is after the announcement."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import cell, make_study, rows_of, run, simulated, weekdays

from engine.announcements import Reaction, exchange_of, reaction_days
from engine.errors import DataError, SpecError
from engine.sessions import exchange_sessions
from engine.study import events_result, load_study

NEW_YORK = "America/New_York"
GRID = np.array(["2021-03-05", "2021-03-08", "2021-03-09", "2021-03-11"], "datetime64[D]")


def react(
    announced_at: str,
    exchange: str | None = "XNYS",
    zone: str = "",
    precision: str = "",
    leak: str = "",
    reaction: str = "close",
    stamp: str = "first_public_at",
    gap: int = 30,
    own_gap: int | None = None,
    grid: np.ndarray | None = None,
) -> Reaction:
    row = {
        "announced_at": announced_at, "zone": zone, "precision": precision, "first_public_at": leak,
        "max_gap_days": own_gap, "where": "events.csv: row 2",
    }  # fmt: skip
    table = pl.DataFrame([row], schema_overrides={"max_gap_days": pl.Int64})
    sessions = exchange_sessions(exchange, 2026) if exchange else None
    return reaction_days(table, [sessions], [grid], reaction, stamp, gap)[0]


def day(reaction: Reaction) -> str | None:
    return None if reaction.event_day is None else str(reaction.event_day)


@pytest.mark.parametrize(
    ("stamp", "exchange", "expected"),
    [
        ("2021-03-10T15:59:59-05:00", "XNYS", "2021-03-10"),
        ("2021-03-10T16:00:00-05:00", "XNYS", "2021-03-11"),
        ("2020-11-27T12:59:59-05:00", "XNYS", "2020-11-27"),  # half day, closes at 13:00
        ("2020-11-27T13:00:00-05:00", "XNYS", "2020-11-30"),
        ("2021-03-10T15:59:59+08:00", "XHKG", "2021-03-10"),
        ("2021-03-10T16:00:00+08:00", "XHKG", "2021-03-11"),
        ("2021-03-10T14:59:59+08:00", "XSHG", "2021-03-10"),
        ("2021-03-10T15:00:00+08:00", "XSHG", "2021-03-11"),
        ("2021-03-10T15:00:00+09:00", "XTKS", "2021-03-11"),
        ("2025-03-10T15:00:00+09:00", "XTKS", "2025-03-10"),  # Tokyo closes at 15:30 since November 2024
        ("2021-03-12T17:00:00-05:00", "XNYS", "2021-03-15"),  # Friday evening
        ("2021-03-14T12:00:00Z", "XNYS", "2021-03-15"),  # Sunday
        ("2021-03-10T01:00:00-05:00", "XNYS", "2021-03-10"),  # before the open
        ("2021-07-09T15:59:59-04:00", "XNYS", "2021-07-09"),  # summer time
        ("2025-12-24T11:59:59+08:00", "XHKG", "2025-12-24"),  # half day, closes at 12:00
        ("2025-12-24T12:00:00+08:00", "XHKG", "2025-12-29"),  # over Christmas and a weekend
        ("2021-03-10T12:30:00+08:00", "XHKG", "2021-03-10"),  # lunch breaks
        ("2021-03-10T11:45:00+08:00", "XSHG", "2021-03-10"),
        ("2021-03-10T12:00:00+09:00", "XTKS", "2021-03-10"),
        ("2025-09-30T15:00:00+08:00", "XSHG", "2025-10-09"),  # Golden Week
        ("2025-09-30T15:00:00+08:00", "XHKG", "2025-09-30"),  # the same minute, an hour before Hong Kong's close
        ("2023-08-31T16:00:00+08:00", "XHKG", "2023-09-04"),  # typhoon Saola shut the exchange on 1 September
        ("2023-09-08T10:00:00+08:00", "XHKG", "2023-09-11"),  # as did the black rainstorm of 8 September
    ],
)
def test_first_close_strictly_after_the_stamp(stamp: str, exchange: str, expected: str) -> None:
    assert day(react(stamp, exchange)) == expected


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2021-03-10T09:29:59-05:00", "2021-03-10"),
        ("2021-03-10T09:30:00-05:00", "2021-03-11"),
        ("2021-03-10T12:00:00-05:00", "2021-03-11"),
        ("2021-03-10T17:00:00-05:00", "2021-03-11"),
    ],
)
def test_reaction_open_is_the_first_open_strictly_after_the_stamp(stamp: str, expected: str) -> None:
    assert day(react(stamp, reaction="open")) == expected


@pytest.mark.parametrize(
    ("precision", "exchange", "zone", "reaction", "expected"),
    [
        ("", "XNYS", NEW_YORK, "close", "2021-03-10"),  # 12:00
        ("date", "XNYS", NEW_YORK, "open", "2021-03-11"),
        ("pre_open", "XNYS", NEW_YORK, "open", "2021-03-10"),  # 07:00
        ("after_close", "XNYS", NEW_YORK, "close", "2021-03-11"),  # the day's end
        ("", "XHKG", "Europe/London", "close", "2021-03-11"),  # 12:00 in London is 20:00 in Hong Kong
        ("pre_open", "XHKG", "Europe/London", "close", "2021-03-10"),  # 07:00 in London is 15:00 in Hong Kong
        ("", "XTKS", NEW_YORK, "close", "2021-03-11"),
        ("after_close", "XSHG", "Asia/Shanghai", "close", "2021-03-11"),
    ],
)
def test_a_date_with_a_zone_stands_for_a_fixed_hour(
    precision: str, exchange: str, zone: str, reaction: str, expected: str
) -> None:
    found = react("2021-03-10", exchange, zone, precision, reaction=reaction)
    assert day(found) == expected
    assert "date_only" in found.flags
    assert found.hours_to_open is None


@pytest.mark.parametrize(
    ("written", "exchange", "expected"),
    [
        ("2021-03-10", "XNYS", "2021-03-10"),
        ("2021-03-13", "XNYS", "2021-03-15"),  # Saturday
        ("2026-02-16", "XSHG", "2026-02-24"),  # Lunar New Year
        ("2026-02-16", "XTKS", "2026-02-16"),
    ],
)
@pytest.mark.parametrize("precision", ["", "after_close"])
def test_a_date_without_a_zone_is_the_listings_own(written: str, exchange: str, expected: str, precision: str) -> None:
    found = react(written, exchange, precision=precision)
    assert day(found) == expected
    assert found.flags == (("date_only", "precision_without_zone") if precision else ("date_only",))
    assert found.hours_to_open is None
    assert found.stamp.text == written


def test_a_bare_leak_date_stands_for_noon_whatever_the_precision_of_the_announcement() -> None:
    found = react("2021-03-12", zone=NEW_YORK, precision="after_close", leak="2021-03-10")
    assert day(found) == "2021-03-10"
    assert found.stamp.text == "2021-03-10T12:00:00-05:00"
    assert found.flags == ("date_only", "leak_used")


def test_which_stamp_is_used() -> None:
    announced, leak = "2021-03-12T10:00:00-05:00", "2021-03-10T10:00:00-05:00"
    assert day(react(announced, leak=leak)) == "2021-03-10"
    assert day(react(announced, leak=leak, stamp="announced_at")) == "2021-03-12"
    assert day(react(announced, leak="")) == "2021-03-12"
    assert react(announced, leak=leak).flags == ("leak_used", "in_session")
    assert react(announced, leak=announced).flags == ("in_session",)


def test_a_first_public_word_after_the_date_of_the_announcement_is_flagged() -> None:
    """A letter of Friday that became public on Saturday."""
    found = react("2020-09-25", zone=NEW_YORK, leak="2020-09-26")
    assert day(found) == "2020-09-28"
    assert found.flags == ("date_only", "leak_used", "public_later")


@pytest.mark.parametrize(
    ("stamp", "hours", "flags"),
    [
        ("2021-03-09T17:00:00-05:00", 16.5, ()),
        ("2021-03-10T09:00:00-05:00", 0.5, ()),
        ("2021-03-10T09:30:00-05:00", 0.0, ("in_session",)),
        ("2021-03-10T11:00:00-05:00", -1.5, ("in_session",)),
        ("2020-12-31T17:00:00-05:00", 88.5, ("long_gap",)),  # over New Year and a weekend, to Monday 4 January
    ],
)
def test_hours_to_open(stamp: str, hours: float, flags: tuple[str, ...]) -> None:
    found = react(stamp)
    assert found.hours_to_open == hours
    assert found.flags == flags


@pytest.mark.parametrize(
    ("stamp", "exchange", "flags"),
    [
        ("2020-11-27T12:59:59-05:00", "XNYS", ("in_session",)),  # half day, closes at 13:00
        ("2020-11-27T13:00:00-05:00", "XNYS", ("after_half_day",)),
        ("2020-11-27T23:00:00-05:00", "XNYS", ("after_half_day",)),
        ("2020-11-28T00:00:00-05:00", "XNYS", ()),
        ("2020-11-27T13:00:00-05:00", "XHKG", ()),  # no half day in Hong Kong, and 28 November there
        ("2025-12-24T13:30:00+08:00", "XHKG", ("after_half_day", "long_gap")),
        ("2025-12-24T23:30:00-05:00", "XHKG", ("long_gap",)),  # Christmas Day there
        ("2025-12-24T13:30:00+08:00", "XSHG", ("in_session",)),
        ("2021-03-10T16:30:00-05:00", "XNYS", ()),  # after the close of a full day
        ("2020-11-27", "XNYS", ("date_only",)),
    ],
)
def test_news_after_a_half_day(stamp: str, exchange: str, flags: tuple[str, ...]) -> None:
    assert react(stamp, exchange).flags == flags


@pytest.mark.parametrize(
    ("stamp", "exchange", "expected"),
    [
        ("2025-07-22T19:12:00-04:00", "XTKS", "2025-07-23T08:12:00+09:00"),
        ("2025-07-22T19:12:00", "XHKG", "2025-07-23T07:12:00+08:00"),  # New York time by the column zone
        ("2025-01-22T00:00:00Z", "XNYS", "2025-01-21T19:00:00-05:00"),
        ("1987-10-19T10:00:00Z", "XHKG", "1987-10-19T18:00:00+08:00"),  # outside the calendar, still a time
        ("2025-07-22", "XTKS", ""),
        ("9999-12-31T23:59:00Z", "XHKG", "9999-12-31T23:59:00+00:00"),  # what no local time can hold
    ],
)
def test_the_stamp_in_the_time_of_the_venue(stamp: str, exchange: str, expected: str) -> None:
    assert react(stamp, exchange, zone=NEW_YORK).venue_time == expected


def test_the_stamp_on_the_days_of_a_benchmark_has_the_time_of_the_exchange() -> None:
    assert react("2021-03-08T15:00:00-05:00", "XNYS", grid=GRID).venue_time == "2021-03-08T15:00:00-05:00"
    assert react("2021-03-08", None, grid=GRID).venue_time == ""


def test_a_late_open_moves_the_open_alone() -> None:
    """Typhoon Higos: Hong Kong opened at 13:30 on 2020-08-19."""
    found = react("2020-08-19T10:00:00+08:00", "XHKG")
    assert (day(found), found.hours_to_open, found.flags) == ("2020-08-19", 3.5, ())
    assert day(react("2020-08-19T10:00:00+08:00", "XHKG", reaction="open")) == "2020-08-19"
    assert day(react("2020-08-18T10:00:00+08:00", "XHKG", reaction="open")) == "2020-08-19"


@pytest.mark.parametrize(
    ("text", "zone", "says"),
    [
        ("2021-03-10T16:30:00", "", "no offset, and the column zone is empty"),
        ("2021-03-14T02:30:00", NEW_YORK, "does not exist in America/New_York"),
        ("2021-11-07T01:30:00", NEW_YORK, "happens twice in America/New_York"),
        ("2021-02-30", "", "is not a date that exists"),
        ("2021-02-30T10:00:00", NEW_YORK, "neither a date nor a time"),
        ("10 March 2021", "", "neither a date nor a time"),
        ("2021-03-10", "New York", 'zone "New York" is not known'),
    ],
)
def test_times_that_cannot_be_read(text: str, zone: str, says: str) -> None:
    with pytest.raises(DataError) as error:
        react(text, zone=zone)
    assert says in str(error.value)
    assert "events.csv: row 2, column announced_at" in str(error.value)


def test_an_offset_settles_a_repeated_hour() -> None:
    assert react("2021-11-07T01:30:00-04:00", zone=NEW_YORK).hours_to_open == 33.0
    assert react("2021-11-07T01:30:00-05:00", zone=NEW_YORK).hours_to_open == 32.0


def test_gap_counts_from_the_date_of_the_news_at_the_exchange() -> None:
    evening = "2021-03-10T20:00:00-05:00"  # already 11 March in Tokyo
    assert day(react(evening, "XTKS", gap=0)) == "2021-03-11"
    assert day(react(evening, "XNYS", gap=1)) == "2021-03-11"
    assert react(evening, "XNYS", gap=0).lost == "gap_too_long"


@pytest.mark.parametrize(
    ("gap", "own", "expected"), [(7, None, None), (8, None, "2026-02-24"), (7, 8, "2026-02-24"), (9, 7, None)]
)
def test_gap_of_the_study_and_of_the_row(gap: int, own: int | None, expected: str | None) -> None:
    """16 to 24 February are 8 days."""
    assert day(react("2026-02-16", "XSHG", gap=gap, own_gap=own)) == expected


@pytest.mark.parametrize(
    ("stamp", "exchange"),
    [
        ("1987-10-19", "XNYS"),
        ("1987-10-19T10:00:00-04:00", "XNYS"),
        ("1990-06-01", "XSHG"),  # the exchange opened in December 1990
        ("2026-12-31T20:00:00-05:00", "XNYS"),  # the sessions asked for end with 2026
        ("2027-01-04", "XNYS"),
    ],
)
def test_outside_the_calendar(stamp: str, exchange: str) -> None:
    found = react(stamp, exchange)
    assert found.event_day is None
    assert found.lost == "outside_calendar"
    assert "outside the sessions known" in found.reason


def test_beyond_the_last_day_of_a_calendar_that_ends_early(tmp_path: Path) -> None:
    """Shanghai's sessions are known to the end of 2026 only, Hong Kong's farther."""
    series = simulated(1, ["S0.SS", "S0.HK"], 200, first="2026-03-02")
    stamps = ["2026-12-30T10:00:00+08:00", "2026-12-31T15:00:00+08:00", "2027-02-01T10:00:00+08:00"]
    events = [
        {"event_id": stamp[:10], "symbol": symbol, "announced_at": stamp}
        for stamp in stamps
        for symbol in ("S0.SS", "S0.HK")
    ]
    folder = make_study(tmp_path, events, series, sessions={"calendar": "exchange"})
    table = events_result(load_study(folder, data_path=()))
    days = {(e, x): str(d) for e, x, d in table.select("event_id", "exchange", "event_day").rows()}
    assert days == {
        ("2026-12-30", "XSHG"): "2026-12-30", ("2026-12-31", "XSHG"): "None", ("2027-02-01", "XSHG"): "None",
        ("2026-12-30", "XHKG"): "2026-12-30", ("2026-12-31", "XHKG"): "2027-01-04", ("2027-02-01", "XHKG"): "2027-02-01",
    }  # fmt: skip
    (reason,) = table.filter(pl.col("exchange") == "XSHG", pl.col("event_id") == "2027-02-01")["reason"]
    assert "outside the sessions known (1990-12-03 to 2026-12-31)" in reason


def test_the_first_day_of_the_calendars_is_in() -> None:
    assert day(react("1988-01-04T10:00:00-05:00")) == "1988-01-04"


@pytest.mark.parametrize(
    ("stamp", "exchange", "expected"),
    [
        ("2021-03-06", None, "2021-03-08"),  # a bare date needs no exchange
        ("2021-03-10", None, "2021-03-11"),  # the benchmark has no 10 March
        ("2021-03-08T15:59:59-05:00", "XNYS", "2021-03-08"),
        ("2021-03-08T16:00:00-05:00", "XNYS", "2021-03-09"),
        ("2021-03-09T16:00:00-05:00", "XNYS", "2021-03-11"),
        ("2021-03-12", None, None),
        ("2021-03-04", None, None),
    ],
)
def test_on_the_days_of_the_benchmark(stamp: str, exchange: str | None, expected: str | None) -> None:
    assert day(react(stamp, exchange, grid=GRID)) == expected


@pytest.mark.parametrize(
    ("symbol", "stated", "listings", "expected"),
    [
        ("0981.HK", "", {}, "XHKG"),
        ("600028.SS", "", {}, "XSHG"),
        ("300179.SZ", "", {}, "XSHG"),
        ("7203.T", "", {}, "XTKS"),
        ("AAPL", "", {}, "XNYS"),
        ("^HSI", "", {}, "XNYS"),
        ("SAP.DE", "", {}, None),
        ("SAP.DE", "XETR", {}, "XETR"),
        ("300179.SZ", "XSHE", {}, "XSHG"),
        ("SAP.DE", "", {"SAP.DE": {"exchange": "XETR"}}, "XETR"),
        ("0981.HK", "XNYS", {"0981.HK": {"exchange": "XLON"}}, "XNYS"),
        ("X", "", {"X": {"exchange": "XSHE"}}, "XSHG"),
    ],
)
def test_exchange_of_a_listing(symbol: str, stated: str, listings: Any, expected: str | None) -> None:
    assert exchange_of(symbol, stated, listings) == expected


def test_shenzhen_keeps_the_sessions_of_shanghai() -> None:
    assert np.array_equal(exchange_sessions("XSHE", 2024).closes, exchange_sessions("XSHG", 2024).closes)


def test_an_unknown_exchange_is_named() -> None:
    with pytest.raises(SpecError, match='exchange "XXXX" has no trading calendar'):
        exchange_sessions("XXXX", 2024)


def study_of(folder: Path, stamps: dict[str, str], **overrides: Any) -> Any:
    series = simulated(1, ["S0"], 200, first="2020-06-01")
    events = [{"event_id": k, "symbol": "S0", "announced_at": v} for k, v in stamps.items()]
    loose = {"limits": {"max_excluded_share": 0.9}, "sessions": {"calendar": "exchange"}}
    return run(make_study(folder, events, series, **(loose | overrides)))


def test_what_has_no_day_0_is_a_row(tmp_path: Path) -> None:
    stamps = {"good": "2021-01-04", "early": "1987-10-19", "slow": "2020-12-24T14:00:00-05:00"}
    result = study_of(tmp_path, stamps, events={"max_gap_days": 3})
    lost = result.tables["exclusions"]
    assert lost.select("event_id", "stage", "reason").rows() == [
        ("early", "sessions", "outside_calendar"),
        ("slow", "sessions", "gap_too_long"),
    ]
    assert "2020-12-28 is 4 days after the news of 2020-12-24, more than max_gap_days = 3" in lost["detail"][1]
    assert cell(result, "events", "event_day", event_id="good") == date(2021, 1, 4)
    assert cell(result, "events", "event_day", event_id="slow") is None
    assert result.tables["cars"]["event_id"].unique().to_list() == ["good"]


def test_the_days_of_the_benchmark_are_the_sessions(tmp_path: Path) -> None:
    """25 December is a day of the benchmark's file, though New York is closed."""
    assert "2020-12-25" in weekdays(200, "2020-06-01")
    stamps = {"christmas": "2020-12-25", "eve": "2020-12-24T14:00:00-05:00"}
    result = study_of(tmp_path, stamps, sessions={"calendar": "benchmark"})
    events = result.tables["events"]
    assert dict(zip(events["event_id"], events["event_day"], strict=True)) == {
        "christmas": date(2020, 12, 25),
        "eve": date(2020, 12, 25),  # New York closes at 13:00 on the 24th; the benchmark's next day is the 25th
    }
    assert len(rows_of(result, "cars", event_id="christmas")) == 3


def test_the_columns_of_events_csv(tmp_path: Path) -> None:
    row = study_of(tmp_path, {"e": "2021-01-04T10:00:00-05:00"}).tables["events"].row(0, named=True)
    assert (row["symbol"], row["exchange"], row["announced_at"]) == ("S0", "XNYS", "2021-01-04T10:00:00-05:00")
    assert (row["stamp_used"], row["hours_to_open"], row["flags"]) == ("2021-01-04T10:00:00-05:00", -0.5, "in_session")
    assert row["event_day"] == date(2021, 1, 4)
    assert row["reason"].startswith("2021-01-04 10:00 America/New_York: first session of XNYS whose close is after it")
    late = study_of(tmp_path / "london", {"e": "2021-01-04T15:00:00Z"}).tables["events"].row(0, named=True)
    assert (late["stamp_used"], late["venue_time"]) == ("2021-01-04T15:00:00+00:00", "2021-01-04T10:00:00-05:00")
