"""The tables and numbers in the READMEs of the studies are those of their golden results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from study_tables import RERUN, STUDIES, TABLES, at, golden, shown


@pytest.mark.parametrize("key", TABLES, ids="-".join)
def test_a_table_is_its_golden_result(key: tuple[str, str]) -> None:
    assert shown(*key) == TABLES[key](), "python tests/study_tables.py"


@pytest.mark.slow
@pytest.mark.parametrize("key", RERUN, ids="-".join)
def test_a_table_is_what_the_study_gives(key: tuple[str, str], shared_data: Path) -> None:
    assert shown(*key) == RERUN[key](), "python tests/study_tables.py"


# --- numbers in the text: study, words as they stand there, and what they say -----------------------------------------


def estimate(study: str, group: str, start: int, end: int, test: str) -> float:
    return 100 * at(golden(study), "significance", start, end, group=group, test=test)["estimate"].item()


def verdict(study: str, claim: str, column: str, part: int = 1) -> float:
    rows = golden(study).tables["verdicts"].filter(pl.col("claim") == claim, pl.col("part") == part)
    return float(rows[column].item())


def mean_without(event: str) -> float:
    """The mean CAR[0, 1] of the rows under C1 but those of one event."""
    cars = at(golden("us-measures-chinese-tech"), "cars", 0, 1, claim="C1")
    return 100 * cars.filter(pl.col("event_id") != event)["car"].mean()  # type: ignore[operator]


def car(study: str, event: str, symbol: str, start: int = 0, end: int = 0) -> float:
    return 100 * at(golden(study), "cars", start, end, event_id=event, symbol=symbol)["car"].item()


M, J, S, V, H = (
    "us-measures-chinese-tech",
    "us-japan-550bn",
    "softbank-deals",
    "crude-volatility",
    "high-level-meetings",
)
C, D = "crude-and-diamonds", "delistings-2020-21"


def size(test: str, null: str) -> float:
    """How often a test rejects on day 0 of the whole sample under a null, in percent."""
    rows = at(golden(D), "certificate", 0, 0, group="all", kind="group", test=test, null=null)
    return 100 * rows["size"].item()


PROSE = [
    (C, "by {:.1f} %\non average", lambda: 100 * verdict(C, "C7", "estimate")),
    (C, "one-sided p = {:.4f} in", lambda: verdict(C, "C7", "p_opposite")),
    (C, "{:.3f} after Holm over both", lambda: verdict(C, "C7", "p_holm_opposite")),
    (C, "but calibrated {:.3f}:", lambda: verdict(C, "C7", "p_opposite_calibrated")),
    (C, "come to {:+.1f} %", lambda: 100 * verdict(C, "C6", "estimate")),
    (D, "reject {:.1f} and 4.8 %", lambda: size("kolari_pape_pynnonen", "as_they_are")),
    (D, "and {:.1f} %\nof the time", lambda: size("clustered_t_date", "as_they_are")),
    (D, "`cross_sectional_t` {:.1f} %", lambda: size("cross_sectional_t", "as_they_are")),
    (D, "`patell` {:.1f} %;", lambda: size("patell", "as_they_are")),
    (D, "`patell` rejects {:.1f} %", lambda: size("patell", "scaled")),
    (D, "alone, {:.1f} %", lambda: size("permutation", "scaled")),
    (M, "SMIC fell by {:.1f} % in two sessions", lambda: -100 * verdict(M, "C1", "estimate")),
    (M, "one-sided p = {:.2f}; 6.2 %", lambda: verdict(M, "C1", "p_value")),
    (M, "{:.1f} % would have\nbeen found", lambda: 100 * verdict(M, "C1", "mde")),
    (M, "B03, {:.1f} %", lambda: car(M, "B03", "0981.HK", 0, 1)),
    (M, "the mean is {:.1f} %. Another", lambda: mean_without("B03")),
    (M, "without B17 the mean is {:.1f} %", lambda: mean_without("B17")),
    (M, "the indices dipped by {:.1f} %", lambda: -100 * verdict(M, "C10", "estimate")),
    (M, "(p = {:.3f}; 1.5 %", lambda: verdict(M, "C10", "p_value")),
    (M, "; {:.1f} %\nwould have been found)", lambda: 100 * verdict(M, "C10", "mde")),
    (M, "gained {:.1f} % over the next", lambda: 100 * verdict(M, "C10", "estimate", 2)),
    (M, "(p = {:.2f}; 3.6 %)", lambda: verdict(M, "C10", "p_value", 2)),
    (M, "; {:.1f} %). On the counter-case", lambda: 100 * verdict(M, "C10", "mde", 2)),
    (M, "{:+.1f} %, no dip", lambda: 100 * verdict(M, "counter_case", "estimate")),
    (M, "from {:.0f} % (AMEC on B16)", lambda: car(M, "B16", "688012.SS", 0, 1)),
    (M, "to {:+.0f} % (Hua Hong's A line on A10)", lambda: car(M, "A10", "688347.SS", 0, 1)),
    (J, "under C2 fell by {:.1f} %", lambda: -100 * verdict(J, "C2", "estimate")),
    (J, "they rose by {:.1f} %", lambda: 100 * verdict(J, "C2", "estimate", 2)),
    (J, "({:.1f} and 5.2 % would", lambda: 100 * verdict(J, "C2", "mde")),
    (J, "and {:.1f} % would have been found", lambda: 100 * verdict(J, "C2", "mde", 2)),
    (J, "C3: {:.1f} %", lambda: 100 * verdict(J, "C3", "estimate")),
    (J, "C3: -0.6 % ({:.1f} %)", lambda: 100 * verdict(J, "C3", "mde")),
    (J, "C4: -0.4 % ({:.1f} %)", lambda: 100 * verdict(J, "C4", "mde")),
    (J, "C11: +0.5 %\n({:.1f} %)", lambda: 100 * verdict(J, "C11", "mde")),
    (J, "by -0.4 % ({:.1f} %)", lambda: 100 * verdict(J, "chain_in_china", "mde")),
    (J, "C4: {:.1f} %", lambda: 100 * verdict(J, "C4", "estimate")),
    (J, "C11: {:+.1f} %", lambda: 100 * verdict(J, "C11", "estimate")),
    (J, "on the placebo {:.1f} %", lambda: 100 * verdict(J, "placebo", "estimate")),
    (J, "technology moved by {:.1f} %", lambda: 100 * verdict(J, "chain_in_china", "estimate")),
    (J, "by {:.1f} % on average", lambda: -100 * verdict(J, "C8", "estimate")),
    (J, "one-sided p = {:.3f} by date", lambda: verdict(J, "C8", "p_opposite")),
    (J, "{:.3f} after Holm", lambda: verdict(J, "C8", "p_holm_opposite")),
    (J, "Toyota {:+.1f} %", lambda: car(J, "A06", "7203.T")),
    (J, "Honda {:+.1f} %", lambda: car(J, "A06", "7267.T")),
    (J, "IHI by {:.1f} %", lambda: -car(J, "A06", "7013.T")),
    (J, "Mitsubishi Heavy by {:.1f} %", lambda: -car(J, "A06", "7011.T")),
    (S, "purchase of Arm ({:.1f} %)", lambda: car(S, "C07", "9984.T")),
    (S, "Stargate ({:+.1f} %)", lambda: car(S, "C10", "9984.T")),
    (S, "lifted Alibaba by {:.1f} %", lambda: car(S, "C08", "9988.HK")),
    (S, "{:.1f} % in New York", lambda: car(S, "C08", "BABA")),
    (S, "shareholder, by {:.1f} %", lambda: car(S, "C08", "9984.T")),
    (S, "by its p of {:.3f}", lambda: verdict(S, "purchases", "p_value")),
    (S, "calibrated p of {:.2f}", lambda: verdict(S, "purchases", "p_calibrated")),
    (V, "moved by {:.1f} percentage points more", lambda: 100 * verdict(V, "C5", "estimate")),
    (V, "permutation p = {:.4f};", lambda: verdict(V, "C5", "p_value")),
    (V, "calibrated {:.2f})", lambda: verdict(V, "C5", "p_calibrated")),
    (H, "moved by {:.2f} percentage points more", lambda: 100 * verdict(H, "C9", "estimate")),
    (H, "(one-sided p = {:.2f})", lambda: verdict(H, "C9", "p_value")),
    (H, "{:.1f} points would have been found", lambda: 100 * verdict(H, "C9", "mde")),
    (H, "({:+.2f} and", lambda: estimate(H, "level=leaders", 0, 1, "permutation")),
    (H, "and {:.2f} points)", lambda: estimate(H, "level=cabinet", 0, 1, "permutation")),
]


@pytest.mark.parametrize(("study", "words", "value"), PROSE, ids=[f"{s} {w}" for s, w, _ in PROSE])
def test_a_number_of_the_text(study: str, words: str, value: Callable[[], float]) -> None:
    text = (STUDIES / study / "README.md").read_text(encoding="utf-8")
    assert words.format(value()) in text


def test_four_pairs_of_softbank_are_left_after_holm() -> None:
    drawn = at(golden(S), "event_significance", 0, 0, test="permutation").sort("p_value")
    left = len(drawn)
    kept = []
    for row in drawn.iter_rows(named=True):
        if row["p_value"] * left >= 0.05:
            break
        kept.append((row["event_id"], row["symbol"]))
        left -= 1
    assert sorted(kept) == [("C07", "9984.T"), ("C08", "9988.HK"), ("C08", "BABA"), ("C10", "9984.T")]


def test_the_meetings_are_those_of_the_calendar() -> None:
    """Every line of a meeting says the same of it, with a source; the shared ones are as in the calendar; weekends are such."""
    rows = pl.read_csv(STUDIES / "high-level-meetings" / "events.csv", infer_schema=False)
    own = ("event_name", "announced_at", "zone", "level", "apart", "source")
    assert (
        rows.group_by("event_id").agg(pl.col(c).n_unique() for c in own).select(pl.max_horizontal(own).max()).item()
        == 1
    )
    assert rows["source"].null_count() == 0
    assert rows["event_id"].n_unique() == 17
    shared = pl.read_csv(STUDIES / "calendar" / "events.csv", infer_schema=False)
    both = rows.join(shared, on="event_id", suffix="_there").unique("event_id")
    assert sorted(both["event_id"]) == ["A04", "A14", "A15", "A16", "A23"]
    assert (both["announced_at"] == both["announced_at_there"]).all()
    assert both["zone"].eq_missing(both["zone_there"]).all()
    said = {"M04": "Saturday", "M08": "Saturday", "M02": "Saturday", "M05": "Saturday", "M12": "Sunday"}
    days = dict(rows.select("event_id", pl.col("announced_at").str.head(10).str.to_date().dt.strftime("%A")).rows())
    assert {event: days[event] for event in said} == said
    assert {day for event, day in days.items() if event not in said} & {"Saturday", "Sunday"} == set()
