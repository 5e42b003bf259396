"""Numbers that others found: reactions on real Asian prices, and the reference table of the US acquirers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import cell, make_study, rows_of

from engine.results import StudyResult
from engine.study import load_study, run_study

ROOT = Path(__file__).parents[1]
ASIA = [
    {"event_id": "japan-deal", "symbol": "7203.T", "announced_at": "2025-07-23"},
    {"event_id": "japan-deal", "symbol": "7267.T", "announced_at": "2025-07-23"},
    {"event_id": "cnooc-list", "symbol": "0883.HK", "announced_at": "2020-11-30"},
    {"event_id": "chip-rule", "symbol": "688012.SS", "announced_at": "2022-10-10"},
]


@pytest.fixture
def asia(tmp_path: Path, shared_data: Path) -> StudyResult:
    folder = make_study(
        tmp_path,
        ASIA,
        {},
        prices={"snapshot": str(shared_data)},
        benchmark={"default": "^N225", "by_exchange": {"XHKG": "^HSI", "XSHG": "000300.SS"}},
        sessions={"calendar": "exchange"},
        model={"estimation_window": [-260, -11], "min_estimation_days": 120},
        windows={"event": [-10, 10], "car": [[0, 0], [-1, 5]]},
    )
    return run_study(load_study(folder, data_path=()))


def test_reactions_of_asian_listings(asia: StudyResult) -> None:
    """Within 0.2 percentage points of the known reactions."""
    known = {"7203.T": 0.107, "7267.T": 0.076, "0883.HK": -0.111, "688012.SS": -0.174}
    days = rows_of(asia, "abnormal_returns", relative_day=0)
    assert dict(zip(days["symbol"], days["ar"], strict=True)) == pytest.approx(known, abs=0.002)
    assert {r["symbol"]: str(r["date"]) for r in days.iter_rows(named=True)} == {
        e["symbol"]: e["announced_at"] for e in ASIA
    }
    week = cell(asia, "cars", "car", symbol="0883.HK", window_start=-1, window_end=5)
    assert week == pytest.approx(-0.258, abs=0.002)


# Raw returns and closing levels that the press reported: listing, its index, day, return, return of the index, its close.
PRESS = [
    ("0981.HK", "^HSI", "2020-12-18", -5.2, -0.67, 26_498.60),
    ("0981.HK", "^HSI", "2020-12-04", -5.41, None, None),
    ("0981.HK", "^HSI", "2022-10-10", -3.95, -2.95, 17_216.66),
    ("1347.HK", "^HSI", "2022-10-10", -9.40, -2.95, 17_216.66),
    ("9988.HK", "^HSI", "2025-04-07", -17.98, -13.22, 19_828.30),
    ("9984.T", "^N225", "2016-07-19", -10.32, 1.4, None),
    ("9984.T", "^N225", "2025-01-22", 10.6, 1.58, 39_646.25),
    ("0981.HK", "^HSI", "2025-09-01", 4.9, None, None),
]


def test_returns_and_closes_that_the_press_reported(tmp_path: Path, shared_data: Path) -> None:
    """Within 0.15 percentage points, closes of indices to their last printed digit; none across a suspension."""
    suspended = {"event_id": "resumes", "symbol": "688981.SS", "announced_at": "2025-09-09"}
    events = [{"event_id": str(i), "symbol": s, "announced_at": d} for i, (s, _, d, *_) in enumerate(PRESS)]
    folder = make_study(
        tmp_path,
        [*events, suspended],
        {},
        prices={"snapshot": str(shared_data)},
        benchmark={"default": "^HSI", "by_exchange": {"XTKS": "^N225", "XSHG": "000300.SS"}},
        sessions={"calendar": "exchange"},
        model={"name": "market_adjusted"},
        windows={"event": [-1, 1], "car": [[0, 0]]},
        limits={"max_excluded_share": 0.5},
    )
    study = load_study(folder, data_path=())
    result = run_study(study)
    for i, (_, index, day, own, market, level) in enumerate(PRESS):
        row = rows_of(result, "abnormal_returns", event_id=str(i), relative_day=0).row(0, named=True)
        assert str(row["date"]) == day
        assert 100 * row["actual"] == pytest.approx(own, abs=0.15)
        assert market is None or 100 * row["expected"] == pytest.approx(market, abs=0.15)
        series = study.series[index]
        found = series.values[series.dates == np.datetime64(day)].item()
        assert level is None or found == pytest.approx(level, abs=0.005)
    gone = rows_of(result, "abnormal_returns", event_id="resumes", relative_day=0).row(0, named=True)
    assert str(gone["date"]) == "2025-09-09"
    assert gone["actual"] is None


@cache
def acquirers(stamp: str) -> StudyResult:
    """The shipped study, its tests cut down to the one that the reference gives."""
    import tempfile

    study = ROOT / "studies" / "us-acquirers"
    with tempfile.TemporaryDirectory() as folder:
        events = pl.read_csv(study / "events.csv", infer_schema=False).rows(named=True)
        made = make_study(
            Path(folder),
            events,
            {},
            events={"stamp": stamp},
            prices={"snapshot": str(ROOT / "fixtures" / "prices" / "us-large-caps")},
            benchmark={"default": "^GSPC"},
            sessions={"calendar": "exchange"},
            model={"estimation_window": [-250, -11], "min_estimation_days": 120},
            windows={"event": [-10, 10], "car": [[-1, 1]]},
            significance={
                "tests": ["cross_sectional_t"],
                "group_by": ["consideration", "target_status", "confounded", "unconfounded_consideration"],
            },
        )
        return run_study(load_study(made, data_path=()))


@pytest.mark.parametrize(
    ("stamp", "group", "caar", "t", "n"),
    [
        ("announced_at", "all", -1.67, -2.62, 85),
        ("announced_at", "consideration=stock", -3.76, -3.24, 21),
        ("announced_at", "consideration=mixed", -3.31, -2.36, 18),
        ("announced_at", "consideration=cash", -0.07, None, 46),
        ("announced_at", "target_status=public", -2.21, None, None),
        ("announced_at", "target_status=private", 0.49, None, 9),
        ("announced_at", "confounded=no", -1.71, None, 70),
        ("announced_at", "unconfounded_consideration=stock", -4.30, None, None),
        ("announced_at", "unconfounded_consideration=mixed", -1.76, None, None),
        ("announced_at", "unconfounded_consideration=cash", -0.74, None, None),
        ("first_public_at", "all", -1.95, None, 85),
        ("first_public_at", "consideration=stock", -4.39, None, 21),
        ("first_public_at", "consideration=mixed", -3.57, None, 18),
        ("first_public_at", "consideration=cash", -0.21, None, 46),
    ],
)
def test_us_acquirers(stamp: str, group: str, caar: float, t: float | None, n: int | None) -> None:
    """Within 0.05 percentage points of the reference, its t within 0.01."""
    row = rows_of(acquirers(stamp), "significance", group=group).row(0, named=True)
    assert 100 * row["estimate"] == pytest.approx(caar, abs=0.05)
    assert t is None or row["statistic"] == pytest.approx(t, abs=0.01)
    assert n is None or row["n"] == n


def test_one_deal_moves_the_mean_of_the_cash_deals() -> None:
    row: dict[str, Any] = rows_of(acquirers("announced_at"), "cars", event_id="jpm-wamu").row(0, named=True)
    assert row["consideration"] == "cash"
    assert 100 * row["car"] == pytest.approx(14.7, abs=0.05)


def test_the_shipped_study_has_the_design_of_the_reference() -> None:
    spec = load_study(ROOT / "studies" / "us-acquirers", data_path=(ROOT / "fixtures" / "prices",)).spec
    assert str(spec.estimation_window) == "[-250, -11]"
    assert spec.events.stamp == "announced_at"
    assert (spec.model.name, spec.prices.returns) == ("market", "simple")
    assert spec.benchmark.default == "^GSPC"
