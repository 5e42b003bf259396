"""Pseudo-dates: which pairs move together, how far apart they stay, and who has enough history."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from conftest import make_study, run, simulated, weekdays

from engine.placebo import _feasible, clusters, side_by_side

DATES = weekdays(160)


def days(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[D]")


def test_pairs_that_share_an_event_or_a_day_are_one_cluster() -> None:
    events = ["b", "b", "c", "a", "d"]
    found = clusters(events, days("2021-01-04", "2021-01-05", "2021-01-05", "2021-01-04", "2021-02-01"))
    assert found.tolist() == [0, 0, 0, 0, 1]


def test_pairs_of_one_event_keep_their_distance_in_days() -> None:
    """New York on Friday 8 January, Tokyo (shut on the Monday) on Tuesday 12: shifted to any date, four days apart."""
    new_york = np.arange("2021-01-04", "2021-03-01", dtype="datetime64[D]")
    new_york = new_york[np.is_busday(new_york)]
    tokyo = new_york[new_york != np.datetime64("2021-02-11")]
    pairs = [SimpleNamespace(event_day=np.datetime64(d)) for d in ("2021-01-08", "2021-01-12")]
    panel = SimpleNamespace(
        pairs=pairs,
        line=np.array([0, 1]),
        own=np.array([[-9, -5], [-9, -5]]),
        lines=[SimpleNamespace(dates=new_york), SimpleNamespace(dates=tokyo)],
    )
    tables = {(i, -9, -5): np.zeros((len(line.dates), 1)) for i, line in enumerate(panel.lines)}
    tables[0, -9, -5][2] = np.nan  # one day of New York is not feasible
    first, second = _feasible(panel, np.array([0, 1]), tables)
    for a, b in zip(new_york[first], tokyo[second], strict=True):
        assert b == tokyo[tokyo >= a + 4][0]
    assert np.datetime64("2021-01-06") not in new_york[first]
    assert len(first) == sum(d + 4 <= tokyo[-1] for d in new_york) - 1


def test_windows_side_by_side() -> None:
    assert side_by_side(np.array([0, 1, 2, 3, 4, 9, 10, 12]), 3) == 4  # 0, 3, 9, 12
    assert side_by_side(np.array([0, 1, 1, 2, 2, 5]), 1) == 4  # a place that two shifts lead to is one


def test_exactly_enough_estimation_days_are_enough(tmp_path: Path) -> None:
    """[-60, -11] has 50 days; with one return missing 49 are left."""
    series = simulated(1, ["AAA", "BBB"], 160)
    series["BBB"] = {"date": series["BBB"]["date"], "return": list(series["BBB"]["return"])}
    series["BBB"]["return"][70] = None
    events = [{"event_id": "e", "symbol": s, "announced_at": DATES[100]} for s in ("AAA", "BBB")]
    result = run(
        make_study(
            tmp_path / "s", events, series, model={"min_estimation_days": 50}, limits={"max_excluded_share": 0.5}
        )
    )
    assert result.tables["fits"].select("symbol", "n_obs").rows() == [("AAA", 50)]
    assert result.tables["exclusions"].select("symbol", "stage", "reason").rows() == [
        ("BBB", "estimation", "too_few_estimation_days")
    ]
