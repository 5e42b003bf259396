"""The table of delistings-2020-21 says what its golden result says."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

STUDY = Path(__file__).parents[1] / "studies" / "delistings-2020-21"


def rows() -> list[list[str]]:
    inside = (
        (STUDY / "README.md")
        .read_text(encoding="utf-8")
        .split("<!-- tests:start -->")[1]
        .split("<!-- tests:end -->")[0]
    )
    return [[c.strip(" `") for c in line.strip("|").split("|")] for line in inside.strip().splitlines()[2:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_p_values_of_the_table(row: list[str]) -> None:
    golden = pl.read_csv(STUDY / "golden" / "significance.csv")
    for group, printed in zip(("expected_sign=-", "expected_sign=+"), row[1:3], strict=True):
        found = golden.filter(
            pl.col("group") == group, pl.col("test") == row[0], pl.col("window_start") == 0, pl.col("window_end") == 0
        )
        p = found["p_value"].item()
        if printed == "no answer":
            assert p is None
            continue
        digits = len(printed.partition(".")[2]) if "e" not in printed else 0
        assert float(printed) == pytest.approx(p, abs=0.5 * 10.0**-digits if digits else 0.2 * p)


def test_the_events_of_the_text() -> None:
    """14 by `sq`, nine by permutation after Holm over the 20 pairs, none of them of B07, B09 or B12."""
    events = pl.read_csv(STUDY / "golden" / "event_significance.csv").filter(
        pl.col("window_start") == 0, pl.col("window_end") == 0
    )
    sq = events.filter(pl.col("test") == "sq")
    assert (len(sq), (sq["p_value"] < 0.05).sum()) == (20, 14)
    drawn = events.filter(pl.col("test") == "permutation").sort("p_value")
    left, kept = len(drawn), []
    for row in drawn.iter_rows(named=True):
        if row["p_value"] * left >= 0.05:
            break
        kept.append((row["event_id"], row["symbol"]))
        left -= 1
    assert sorted(kept) == [
        ("B05", "0728.HK"), ("B05", "0941.HK"), ("B06", "0883.HK"), ("B06", "CEO"), ("B10", "0762.HK"), ("B10", "0941.HK"),
        ("B11", "0728.HK"), ("B11", "0762.HK"), ("B11", "0941.HK"),
    ]  # fmt: skip
