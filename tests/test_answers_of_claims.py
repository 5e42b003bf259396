"""What a memo says first of a study with claims, what it holds against their tests, and how its words and columns are set."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from test_report import make, with_settings

from engine.report import memo_markdown
from engine.report.claims import claim_points, claims_answer, verdict_words
from engine.report.document import Table
from engine.report.findings import read_findings
from engine.report.formats import first_words
from engine.report.memo import NARROW, draw_chart
from engine.report.picker import picker
from engine.report.power_curve import shown_tests
from engine.report.style import glued
from engine.report.tables import group_label, judge, main_table, moved
from engine.report.theme import HOUSE
from engine.report.titles import power_title
from engine.report.writers.latex import latex_text
from engine.report.writers.pdf import ROOM, _layout
from engine.results import StudyResult, read_result
from engine.sessions import Window

STUDIES = Path(__file__).parents[1] / "studies"


def golden(study: str) -> StudyResult:
    return read_result(STUDIES / study / "golden", whole=False)


def row(result: StudyResult, claim: str, part: int = 1) -> dict[str, float]:
    rows = result.tables["verdicts"].filter(pl.col("claim") == claim, pl.col("part") == part)
    return rows.to_dicts()[0]


@pytest.mark.parametrize("study", sorted(p.parents[1].name for p in STUDIES.glob("*/golden/verdicts.csv")))
def test_the_first_sentence_answers_the_primary_claims(study: str) -> None:
    """It names each primary claim, and has the estimate and interval of each part."""
    result = golden(study)
    said = claims_answer(read_findings(result))
    primary = result.tables["verdicts"].filter(pl.col("primary") == "yes").to_dicts()
    assert primary
    for one in primary:
        assert one["claim"] in said
        assert f"{100 * one['estimate']:.2f} %" in said
        assert f"{100 * one['ci_low']:.2f} to {100 * one['ci_high']:.2f} %" in said
    memo = memo_markdown(result).replace("\\", "")
    assert memo.split("**Answer.** ")[1].startswith(said)


def test_a_verdict_that_the_calibrated_p_does_not_bear_out_says_so_in_the_same_breath() -> None:
    result = golden("softbank-deals")
    known = row(result, "purchases")
    assert known["p_value"] < 0.05 < known["p_calibrated"]
    said = claims_answer(read_findings(result))
    doubt = f"supported by its own p, not by the calibrated one ({known['p_calibrated']:.3f})"
    assert said.startswith(f"SoftBank falls when it buys a firm (purchases): {doubt}; on day 0 ")
    assert "permutation does not hold its size there (it rejects " in said
    against = golden("crude-and-diamonds")
    known = row(against, "C7")
    assert known["p_opposite"] < 0.05 < known["p_opposite_calibrated"]
    assert (
        f"contradicted by its own p, not by the calibrated one ({known['p_opposite_calibrated']:.3f})"
        in claims_answer(read_findings(against))
    )
    assert verdict_words([known | {"p_opposite_calibrated": 0.049}], 0.05) == "contradicted"
    assert (
        verdict_words([known | {"verdict": "not distinguishable from noise"}], 0.05) == "not distinguishable from noise"
    )


def test_the_mark_is_that_of_the_claims_own_sample() -> None:
    """Of the same test on another sample of the study nothing follows."""
    found = read_findings(golden("crude-and-diamonds"))
    sizes = found.result.tables["certificate"].filter(
        pl.col("kind") == "group",
        pl.col("test") == "permutation",
        pl.col("window_start") == 0,
        pl.col("window_end") == 0,
    )
    holds = {
        group: (sizes.filter(pl.col("group") == group, pl.col("null") != "runup_matched")["holds"] == "yes").all()
        for group in ("all", "event_id=A17")
    }
    assert holds == {"all": False, "event_id=A17": True}
    suspended = next(line for line in claim_points(found) if "(mirror_suspended, secondary)" in line)
    assert "does not hold its size" not in suspended
    cells = memo_markdown(found.result).replace("\\", "")
    assert re.search(r"\| mirror_suspended .*\| permutation \|", cells)
    assert re.search(r"\| C7 .*\| permutation † \|", cells)


def test_noise_comes_with_what_would_have_been_found() -> None:
    result = golden("high-level-meetings")
    said = claims_answer(read_findings(result))
    assert f"; {100 * row(result, 'C9')['mde']:.2f} % would have been found in four samples of five." in said
    assert "Measured is absolute returns: " in memo_markdown(result).split("**Answer.** ")[1].split("\n")[0]


def test_a_named_sample_is_counted_like_any_group() -> None:
    result = with_settings(make(8, tests=("sq", "cross_sectional_t")), "windows", car=[[0, 0], [-1, 1]])
    wanted = {
        "early": {"event_id": ["deal-000", "deal-001"]},
        "first": {"event_id": ["deal-000", "deal-002"], "symbol": ["S0"]},
    }
    found = read_findings(with_settings(result, "significance", samples=wanted))
    p = {e.event_id: (e.tests or {})["sq"]["p_value"] for e in found.measured}
    hits = sum(p[e] is not None and p[e] < 0.05 for e in ("deal-000", "deal-001"))
    answered = sum(p[e] is not None for e in ("deal-000", "deal-001"))
    assert moved(found, "sample=early", Window(0, 0)) == (hits, answered)
    assert moved(found, "sample=first", Window(0, 0))[1] == (p["deal-000"] is not None)
    assert moved(found, "sample=nobody", Window(0, 0))[1] == moved(found, "all", Window(0, 0))[1]


def test_a_window_that_the_primary_test_cannot_judge_is_judged_by_the_next() -> None:
    result = with_settings(make(8, tests=("sq", "forecast_error_t")), "windows", car=[[0, 0], [-1, 1]])
    found = read_findings(result)
    assert [judge(found, w) for w in found.windows] == ["sq", "forecast_error_t"]
    assert ", in [-1, 1] by forecast_error_t" in main_table(found).notes[0]
    alone = read_findings(with_settings(make(8, tests=("sq",)), "windows", car=[[0, 0], [-1, 1]]))
    assert [judge(alone, w) for w in alone.windows] == ["sq", "sq"]


def test_where_no_test_holds_its_size_the_power_of_all_is_shown() -> None:
    found = read_findings(golden("nyse-telecoms"))
    tests = shown_tests(found)
    assert "permutation" in tests
    assert len(draw_chart(found.result, "power_curve").axes[0].lines) >= len(tests)
    assert power_title(found).startswith("No test holds its size; put right, ")
    assert shown_tests(read_findings(golden("us-acquirers")))[0] == "cross_sectional_t"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("CAR over [0, 1] (p = 0.568): noise", ["CAR", "over [0, 1]", "(p = 0.568):", "noise"]),
        ("15 % on day 0 of 7 tests, N = 8", ["15 %", "on", "day 0", "of", "7", "tests,", "N = 8"]),
        ("study x; event-study-engine 0.1.0.", ["study", "x;", "event-study-engine 0.1.0."]),
        ("p < 0.0001 over [-1, 1]", ["p < 0.0001", "over [-1, 1]"]),
    ],
)
def test_lines_end_where_nothing_is_torn(text: str, pieces: list[str]) -> None:
    assert [piece.replace("\u00a0", " ") for piece in glued(text).split(" ")] == pieces


def test_no_line_of_a_chart_ends_before_a_number() -> None:
    slim = replace(HOUSE, sizes=replace(HOUSE.sizes, width=NARROW))
    for theme in (HOUSE, slim):
        for n in (12, 40):
            lines = [t.get_text() for t in draw_chart(make(n, p=0.568), "caar_path", theme).texts]
            assert any("p\u00a0=\u00a00.568" in line for line in lines)
            assert not [line for line in lines if re.search(r"[=(]$|\bover$|\bday$", line)]


def test_first_words_keep_whole_words() -> None:
    assert first_words("Sifangda (diamond)", 14) == "Sifangda"
    assert first_words("North Industries Red Arrow", 18) == "North Industries"
    assert first_words("Donaudampfschifffahrt", 10) == "Donaud…hrt"


@pytest.mark.parametrize(
    ("group", "label"), [("apart=no", "apart no"), ("confounded=yes", "confounded yes"), ("year=2020", "year 2020")]
)
def test_a_value_that_says_nothing_alone_has_its_column(group: str, label: str) -> None:
    assert group_label(group) == label


def test_the_picker_tells_what_else_happened_in_words() -> None:
    result = make(3)
    beside = pl.DataFrame(
        {"event_id": ["deal-001"], "symbol": ["S1"], "kind": ["same_day"], "other_event_id": [None], "first": [None],
         "last": [None], "consequence": ["none: flagged; day 0 shared with 3 pairs of other firms"]}
    )  # fmt: skip
    made = picker(read_findings(replace(result, tables=result.tables | {"contamination": beside})))
    assert made is not None
    facts = dict(made.events[1].facts)
    assert facts["Also"] == "other firms with the same day 0: flagged; day 0 shared with 3 pairs of other firms"


def test_columns_of_the_pdf_have_room_for_their_words() -> None:
    """The longest text wraps first; numbers never; letters shrink where that is not enough."""
    wide = Table(("Test", "N", "Note"), (False, True, False), (("cross_sectional_t", "85", "word " * 60),))
    assert _layout(wide, ROOM) == ([0, 0, 70], 1.0)
    narrow = Table(("Test", "N"), (False, True), (("cross_sectional_t", "85"),))
    assert _layout(narrow, ROOM) == ([0, 0], 1.0)
    numbers = Table(tuple("abcdefghij"), (True,) * 10, (("1234567890",) * 10,))
    shares, scale = _layout(numbers, ROOM)
    assert shares == [0] * 10
    assert scale == pytest.approx(100 / 110)


def test_latex_prints_the_mark() -> None:
    assert latex_text("permutation †") == r"permutation \dag{}"
