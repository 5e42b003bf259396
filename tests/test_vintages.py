"""Two snapshots of one vendor: what is harmless, what is another history, and what it does to a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import closes, make_study, run, simulated, write_columns

from engine.drift import MOVED, causes_by_day, causes_by_month, drifted
from engine.fingerprints import fingerprints
from engine.inputs import load_study
from engine.market import Snapshot, open_snapshot, read_series
from engine.market.vintages import DayChange, SymbolChange, compare_snapshots, day_changes
from engine.replication import compare_runs
from engine.results import StudyResult

DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]
OLD = {"date": DAYS, "close": [10.0, 11.0, 10.0, 12.0, 12.0], "dividend": [0.0, 0.0, 1.0, 0.0, 0.0], "split": [0.0] * 5}

UNADJUSTED = "that one of them does not adjust for"


def compared(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> SymbolChange:
    for name, columns in (("old", old), ("new", new)):
        write_columns(folder / name / "AAA.csv", columns)
    (change,) = compare_snapshots(snapshot(folder / "old"), snapshot(folder / "new"))
    return change


def snapshot(folder: Path) -> Snapshot:
    found = open_snapshot(folder.name, folder)
    assert found is not None
    return found


def changed(**columns: list[Any]) -> dict[str, Any]:
    return OLD | columns


def test_only_new_days(tmp_path: Path) -> None:
    longer = {
        "date": [*DAYS, "2024-03-11"], "close": [*OLD["close"], 13.0], "dividend": [*OLD["dividend"], 0.5],
        "split": [0.0] * 5 + [2.0],
    }  # fmt: skip
    change = compared(tmp_path, OLD, longer)
    assert change == SymbolChange("AAA", new_days=1)
    assert change.append_only
    assert str(change) == "AAA: append only, 1 new days"


def test_a_later_split_rescales_and_changes_nothing(tmp_path: Path) -> None:
    halved = changed(close=[c / 2 for c in OLD["close"]], dividend=[d / 2 for d in OLD["dividend"]])
    change = compared(tmp_path, OLD, halved)
    assert change == SymbolChange("AAA", scale=0.5)
    assert (
        str(change)
        == "AAA: append only, 0 new days, closes times 0.5 (a split or another adjustment, no return changed)"
    )


def test_single_precision_is_no_change(tmp_path: Path) -> None:
    noisy = changed(close=[float(np.float32(c * 1.01)) for c in OLD["close"]])
    change = compared(tmp_path, changed(close=[c * 1.01 for c in OLD["close"]]), noisy)
    assert change.append_only
    assert not change.rescaled


@pytest.mark.parametrize(
    ("new", "wanted"),
    [
        # (10 + 1) / 11 - 1 = 0 becomes (10 + 0) / 11 - 1
        (changed(dividend=[0.0] * 5), {"largest": 1 / 11, "worst": DAYS[2], "dividends": (DAYS[2],)}),
        # the return of the sixth becomes (11 + 1) / 11 - 1 = 1/11, that of the seventh 12 / 11 - 1, 1/5 - 1/11 = 6/55 less
        (changed(close=[10.0, 11.0, 11.0, 12.0, 12.0]), {"largest": 6 / 55, "worst": DAYS[3], "scale": float("nan")}),
        (changed(split=[0.0, 0.0, 0.0, 2.0, 0.0]), {"splits": (DAYS[3],)}),
        (changed(split=[1.0] * 5), {}),
        (changed(close=[10.0, 11.0, 10.0, None, 12.0]), {"lost": (DAYS[3],)}),
        (changed(close=[10.0, 11.0, None, 12.0, 12.0]), {"lost": (DAYS[2],)}),
    ],
)  # fmt: skip
def test_another_history(tmp_path: Path, new: dict[str, Any], wanted: dict[str, Any]) -> None:
    change = compared(tmp_path, OLD, new)
    assert change.append_only is (not wanted)
    wanted = wanted.copy()
    assert change.largest == pytest.approx(wanted.pop("largest", 0.0))
    np.testing.assert_equal(change.scale, wanted.pop("scale", 1.0))
    for name in ("worst", "dividends", "splits", "lost", "added"):
        assert getattr(change, name) == wanted.get(name, "" if name == "worst" else ()), name


def test_a_day_that_is_filled_later(tmp_path: Path) -> None:
    change = compared(tmp_path, changed(close=[10.0, None, 10.0, 12.0, 12.0]), OLD)
    assert (change.added, change.lost, change.worst) == ((DAYS[1],), (), "")
    assert str(change) == "AAA: history changed: day added: 2024-03-05"


def test_adjusted_closes_where_there_are_no_dividends(tmp_path: Path) -> None:
    """A later dividend lowers every earlier adj_close by one factor: no return changes."""
    old = {"date": DAYS, "close": [10.0, 11.0, 10.0, 12.0, 12.0], "adj_close": [9.0, 9.9, 9.0, 10.8, 10.8]}
    lower = old | {"adj_close": [a * 0.97 for a in old["adj_close"]]}
    assert compared(tmp_path, old, lower).append_only
    assert compared(tmp_path, old, old | {"adj_close": [9.0, 9.9, 9.0, 10.8, 11.0]}).worst == DAYS[4]


def test_symbols_of_one_snapshot_only(tmp_path: Path) -> None:
    write_columns(tmp_path / "old" / "AAA.csv", OLD)
    write_columns(tmp_path / "new" / "BBB.csv", OLD)
    changes = compare_snapshots(snapshot(tmp_path / "old"), snapshot(tmp_path / "new"), ["AAA", "BBB", "CCC"])
    assert list(map(str, changes)) == [
        "AAA: only in the old snapshot", "BBB: only in the new snapshot", "CCC: in neither snapshot",
    ]  # fmt: skip


def test_total_returns_from_closes_and_dividends(tmp_path: Path) -> None:
    """(P1 + D) / P0 - 1; a dividend on a day without a price counts at the next one; adj_close is not asked."""
    columns = {
        "date": DAYS, "close": [10.0, 11.0, None, 12.0, 12.0], "adj_close": [1.0] * 5,
        "dividend": [9.0, 1.0, 0.5, 0.25, None],
    }  # fmt: skip
    write_columns(tmp_path / "snap" / "AAA.csv", columns)
    values = read_series(snapshot(tmp_path / "snap"), ["AAA"])[0]["AAA"].values
    np.testing.assert_allclose(values, [10, 10 * 12 / 10, np.nan, 12 * 12.75 / 11, 12 * 12.75 / 11])


# A study on other prices


@pytest.fixture
def pinned(tmp_path: Path) -> tuple[Path, StudyResult]:
    series = simulated(7, ["A", "B"], 120)
    days = series["MKT"]["date"]
    made = {s: closes(days, (100 * np.cumprod(1 + np.array(c["return"]))).tolist()) for s, c in series.items()}
    events = [{"event_id": f"e{s}", "symbol": s, "announced_at": days[90]} for s in "AB"]
    folder = make_study(tmp_path, events, made)
    return folder, run(folder)


def move(folder: Path, symbol: str, factor: float) -> None:
    """Multiply the closes from day 0 on: the abnormal return of that day moves."""
    path = folder / "data" / f"{symbol}.csv"
    table = pl.read_csv(path)
    later = pl.int_range(pl.len()) >= 90
    table.with_columns(pl.when(later).then(pl.col("close") * factor).otherwise(pl.col("close"))).write_csv(path)


def test_a_study_that_holds(pinned: tuple[Path, StudyResult]) -> None:
    folder, before = pinned
    path = folder / "data" / "A.csv"
    pl.read_csv(path).with_columns(pl.col("close") * 2).write_csv(path)
    comparison = compare_runs(before, run(folder))
    assert (comparison.moved, comparison.turned, comparison.summary()) == (0, (), "all 6 CARs equal")


def test_a_study_that_turns(pinned: tuple[Path, StudyResult]) -> None:
    """The whole event-day return grows by the factor, and so does every CAR that holds the day."""
    folder, before = pinned
    car, day = (
        before.tables[t].filter(pl.col("symbol") == "A", *w)[c].item()
        for t, c, w in (
            ("cars", "car", [pl.col("window_start") == 0]),
            ("abnormal_returns", "actual", [pl.col("relative_day") == 0]),
        )
    )
    factor = 1 - np.sign(car) * 0.5
    move(folder, "A", factor)
    comparison = compare_runs(before, run(folder))
    assert (comparison.moved, comparison.total) == (3, 6)
    assert comparison.largest == pytest.approx((1 + day) * 0.5)
    sign, crossed, *group = comparison.turned
    new = car + (1 + day) * (factor - 1)
    assert sign == f"eA A [0, 0]: sign turned, {car:.4%} -> {new:.4%}"
    assert crossed.startswith("eA A [0, 0]: p crossed 0.05, 0.")
    assert [line.split(" ")[0] for line in group] == ["all"] * len(group)


def test_a_lost_event_is_a_difference(pinned: tuple[Path, StudyResult]) -> None:
    _, before = pinned
    fewer = StudyResult({n: t.filter(pl.col("symbol") == "A") if "symbol" in t.columns else t for n, t in before.tables.items()},
                        before.manifest)  # fmt: skip
    assert (compare_runs(before, fewer).moved, compare_runs(fewer, before).moved) == (3, 3)


def test_a_history_that_is_cut_off_is_lost(tmp_path: Path) -> None:
    """The first two and the last of the old days are gone: estimation windows need them."""
    cut = {name: values[2:-1] for name, values in OLD.items()}
    change = compared(tmp_path, OLD, cut)
    assert change.lost == (DAYS[0], DAYS[1], DAYS[-1])
    assert not change.append_only
    assert str(change) == f"AAA: history changed: day lost: {DAYS[0]}, {DAYS[1]}, {DAYS[-1]}"


# Day by day, and why a CAR moved


@pytest.mark.parametrize(
    ("new", "wanted"),
    [
        (changed(), []),
        (changed(close=[c / 2 for c in OLD["close"]], dividend=[d / 2 for d in OLD["dividend"]]), []),
        # 11 to 10 and a dividend of 1 is 0 %; without the dividend -1/11
        (
            changed(dividend=[0.0] * 5),
            [DayChange("AAA", DAYS[2], "dividend", f"{1 / 11:.4%} -> 0.0000% of the price before")],
        ),
        (
            changed(close=[10.0, 11.0, 11.0, 12.0, 12.0]),
            [
                DayChange("AAA", DAYS[2], "revised close", f"return 0.0000% -> {1 / 11:.4%}"),
                DayChange("AAA", DAYS[3], "revised close", f"return {1 / 5:.4%} -> {1 / 11:.4%}"),
            ],
        ),
        # the closes from the fourth day on are a third
        (
            changed(close=[10.0, 11.0, 10.0, 4.0, 4.0]),
            [DayChange("AAA", DAYS[3], "split", f"return 20.0000% -> -60.0000%, a split by 3 {UNADJUSTED}")],
        ),
        (changed(split=[0.0, 0.0, 0.0, 2.0, 0.0]), [DayChange("AAA", DAYS[3], "split", "1 -> 2")]),
        (changed(close=[10.0, 11.0, 10.0, None, 12.0]), [DayChange("AAA", DAYS[3], "missing day", "")]),
    ],
)  # fmt: skip
def test_every_day_that_differs_is_named_with_its_kind(tmp_path: Path, new: dict[str, Any], wanted: list[Any]) -> None:
    for name, columns in (("old", OLD), ("new", new)):
        write_columns(tmp_path / name / "AAA.csv", columns)
    old, now = (read_series(snapshot(tmp_path / name), ["AAA"])[0]["AAA"] for name in ("old", "new"))
    assert day_changes(old, now) == wanted
    mirrored = [(c.day, {"missing day": "added day"}.get(c.kind, c.kind)) for c in wanted]
    assert [(c.day, c.kind) for c in day_changes(now, old)] == mirrored


def test_an_event_that_drifts_says_how_and_why(pinned: tuple[Path, StudyResult]) -> None:
    """The close of day 0 alone is revised: day 0 and the day after of A, in every window, and nothing of B."""
    folder, before = pinned
    study = load_study(folder, data_path=())
    kept = fingerprints(study)
    path = folder / "data" / "A.csv"
    table = pl.read_csv(path)
    at = pl.int_range(pl.len())
    table = table.with_columns(pl.when(at == 90).then(pl.col("close") * 0.5).otherwise(pl.col("close")))
    days, old = table["date"].to_list(), study.series["A"].values
    table.with_columns(pl.when(at == 20).then(pl.col("close") * 2).otherwise(pl.col("close"))).write_csv(path)
    other = load_study(folder, data_path=())
    after = run(folder)
    why = causes_by_day(study, other)
    (drift,) = drifted(before, after, why, MOVED)
    assert (drift.event_id, drift.symbol) == ("eA", "A")
    assert [w.window for w in drift.windows] == [(0, 0), (-5, 5), (-1, 1)]
    was, now = (old[91] / old[90], old[91] / old[90] / 0.5)
    assert drift.causes == (
        f"A {days[90]} revised close (return {old[90] / old[89] - 1:.4%} -> {0.5 * old[90] / old[89] - 1:.4%})",
        f"A {days[91]} revised close (return {was - 1:.4%} -> {now - 1:.4%})",
    )  # and not session 20, before the estimation window
    assert why["eB", "B"] == []
    primary = drift.windows[0]
    assert primary.moved
    assert str(primary).startswith(f"CAR[0, 0] {primary.was:.4%} -> {primary.now:.4%} (moved, sign turned")
    assert primary.now - primary.was == pytest.approx(-0.5 * old[90] / old[89])
    by_month = causes_by_month(kept, other)
    assert by_month == {
        ("eA", "A"): [f"A: close changed in 2 months from {days[20][:7]} to {days[90][:7]}"],
        ("eB", "B"): [],
    }
    assert drifted(before, after, why, tolerance=1.0)[0].windows[0].turned  # however far it may move
    assert drifted(before, before, why, MOVED) == []


def test_an_event_that_is_lost_drifts(pinned: tuple[Path, StudyResult]) -> None:
    _, before = pinned
    fewer = StudyResult({n: t.filter(pl.col("symbol") == "A") if "symbol" in t.columns else t for n, t in before.tables.items()},
                        before.manifest)  # fmt: skip
    (drift,) = drifted(before, fewer, {}, MOVED)
    assert str(drift) == "eB B: CAR[0, 0] lost, and 2 more windows. Why: no day of its series differs"
    (drift,) = drifted(fewer, before, {}, MOVED)
    assert str(drift.windows[0]) == "CAR[0, 0] new"
