"""Slips that once passed in silence: each stays mended."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import make_study, run, simulated, weekdays
from test_cli import eventstudy

from engine.golden import bless, compare
from engine.report import headline_rows

DATES = weekdays(160)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    folder = make_study(tmp_path / "studies" / "made", events, simulated(3, ["A", "B"], 160))
    (folder / "data" / "symbols.csv").write_text("symbol,exchange\nA,XNYS\nB,XTKS\nMKT,XNYS\n")
    return folder


def test_symbols_csv_is_an_input_that_validate_names(made: Path, tmp_path: Path) -> None:
    bless(run(made), tmp_path / "golden", "first")
    (made / "data" / "symbols.csv").write_text("symbol,exchange\nA,XHKG\nB,XTKS\nMKT,XNYS\n")
    assert compare(run(made), tmp_path / "golden").inputs == ("prices symbols.csv",)


def test_the_exchange_of_a_listing_forms_groups(made: Path) -> None:
    toml = made / "study.toml"
    toml.write_text(toml.read_text().replace("tests =", 'group_by = ["exchange"]\ntests ='))
    groups = run(made).tables["averages"]["group"].unique().sort().to_list()
    assert groups == ["all", "exchange=XNYS", "exchange=XTKS"]


def test_a_byte_order_mark_in_the_study_is_passed_over(made: Path) -> None:
    toml = made / "study.toml"
    toml.write_bytes(b"\xef\xbb\xbf" + toml.read_bytes())
    assert len(run(made).tables["fits"]) == 2


def test_a_lost_price_file_is_an_error_not_a_study_left_out(made: Path, tmp_path: Path) -> None:
    (made / "data" / "B.csv").unlink()
    for words in (("run", "--all"), ("validate", "made"), ("run", "made")):
        if words == ("validate", "made"):
            (made / "golden").mkdir()
            (made / "golden" / "manifest.json").write_text("{}")
        done = eventstudy(*words, cwd=tmp_path)
        assert done.returncode == 3, words
        assert "listing B" in done.stderr


@pytest.mark.parametrize("words", [("--all", "--dry-run"), ("made", "--all"), ("--all", "--out", "x"), ("--dry-run",)])
def test_words_of_run_that_do_not_go_together(words: tuple[str, ...], made: Path, tmp_path: Path) -> None:
    assert eventstudy("run", *words, cwd=tmp_path).returncode == 2
    assert not (made / "out").exists()


def test_a_group_by_exchange_counts_its_events(tmp_path: Path) -> None:
    """The exchange is no column of cars.csv: the table of a study that answers event by event finds it in events.csv."""
    symbols = ["A", "B", "C", "D.T"]
    series = simulated(2, symbols, 160, "2015-01-05")
    days = weekdays(160, "2015-01-05")
    events = [{"event_id": s, "symbol": s, "announced_at": days[120 + i]} for i, s in enumerate(symbols)]
    tests = {"tests": ["forecast_error_t", "sq"], "group_by": ["exchange"]}
    model = {"name": "mean_adjusted", "min_estimation_days": 30}
    options = {"significance": tests, "model": model, "sessions": {"calendar": "exchange"}}
    found = headline_rows(run(make_study(tmp_path, events, series, **options)))
    assert [(row["group"], row["p < 5 % (forecast_error_t)"].split()[-1]) for row in found] == [
        ("all", "4"), ("exchange=XNYS", "3"), ("exchange=XTKS", "1"),
    ]  # fmt: skip
