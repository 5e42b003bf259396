"""Named samples: the rows that have one of the values in every column named, a group like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import make_study, rows_of, run, simulated, weekdays

from engine.errors import SpecError
from engine.report import memo_markdown
from engine.results import StudyResult

DATES = weekdays(260)
EVENTS = [
    {"event_id": f"e{i}", "symbol": "ABCD"[i % 4], "announced_at": DATES[90 + 14 * i], "kind": kind, "sure": sure}
    for i, (kind, sure) in enumerate([("x", "yes"), ("x", "no"), ("y", "yes"), ("y", ""), ("z", "yes"), ("x", "yes")])
]


def study(folder: Path, samples: dict[str, dict[str, list[str]]], **more: Any) -> Path:
    tests = ["cross_sectional_t", "bmp", "forecast_error_t"]
    chosen = {"tests": tests, "samples": samples} | more
    return make_study(folder, EVENTS, simulated(5, list("ABCD"), 260), significance=chosen)


def members_mean(result: StudyResult, ids: set[str]) -> float:
    cars = rows_of(result, "cars", window_start=-1, window_end=1)
    inside = cars.filter(cars["event_id"].is_in(list(ids)))["car"]
    return float(inside.mean())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"kind": ["x"]}, {"e0", "e1", "e5"}),
        ({"kind": ["x", "y"], "sure": ["yes"]}, {"e0", "e2", "e5"}),
        ({"event_id": ["e4", "e3"]}, {"e3", "e4"}),
        ({"symbol": ["A"], "sure": ["yes"]}, {"e0", "e4"}),
    ],
)
def test_a_sample_holds_the_rows_that_have_all_that_is_asked(
    wanted: dict[str, list[str]], ids: set[str], tmp_path: Path
) -> None:
    result = run(study(tmp_path, {"own": wanted}))
    row = rows_of(result, "significance", group="sample=own", test="cross_sectional_t", window_start=-1).to_dicts()[0]
    assert row["n"] == len(ids)
    assert row["estimate"] == pytest.approx(members_mean(result, ids), rel=1e-12)


def test_a_sample_of_one_column_is_the_group_of_that_column(tmp_path: Path) -> None:
    result = run(study(tmp_path, {"own": {"kind": ["x"]}}, group_by=["kind"]))
    for table in ("significance", "averages", "quantiles"):
        own, group = (rows_of(result, table, group=g).drop("group") for g in ("sample=own", "kind=x"))
        shared = [c for c in own.columns if not c.endswith("_groups")]  # those are over all groups of a column
        assert own.select(shared).equals(group.select(shared))
        assert len(own)


def test_a_sample_changes_no_other_row(tmp_path: Path) -> None:
    without, with_sample = run(study(tmp_path / "a", {})), run(study(tmp_path / "b", {"own": {"kind": ["x"]}}))
    kept = with_sample.tables["significance"].filter(with_sample.tables["significance"]["group"] != "sample=own")
    assert kept.equals(without.tables["significance"])


def test_the_memo_shows_the_sample(tmp_path: Path) -> None:
    memo = memo_markdown(run(study(tmp_path, {"own": {"kind": ["x"], "sure": ["yes"]}})))
    assert "| *by sample* |" in memo
    assert "| own | 2 |" in memo


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({}, "samples.own names no column"),
        ({"sort": ["x"]}, 'samples.own: "sort" is no column of the calendar'),
        ({"kind": ["q"]}, 'samples.own: the column "kind" has no value "q"'),
        ({"kind": ["z"], "sure": ["no"]}, "samples.own: no row of the calendar has all of that"),
    ],
)
def test_a_sample_that_cannot_be(wanted: dict[str, list[str]], says: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        run(study(tmp_path, {"own": wanted}))
    assert says in str(error.value)


def test_a_sample_whose_events_are_all_lost_answers_with_a_reason(tmp_path: Path) -> None:
    folder = study(tmp_path, {"own": {"event_id": ["e0"]}})
    text = (
        (folder / "study.toml")
        .read_text(encoding="utf-8")
        .replace("min_estimation_days = 20", "min_estimation_days = 50")
    )
    gap = (folder / "data" / "A.csv").read_text(encoding="utf-8").splitlines()
    (folder / "data" / "A.csv").write_text("\n".join([gap[0], *gap[60:]]) + "\n", encoding="utf-8")  # e0 has no past
    (folder / "study.toml").write_text(text + "\n[limits]\nmax_excluded_share = 0.5\n", encoding="utf-8")
    result = run(folder)
    rows = rows_of(result, "significance", group="sample=own", window_start=0)
    assert set(rows["n"]) == {0}
    assert all(rows["unavailable"])
    assert "| own | 0 |" in memo_markdown(result)
