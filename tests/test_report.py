"""Charts and memo: what they say is what the tables say, and any text in a calendar stays text."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib import font_manager
from matplotlib.colors import to_hex
from matplotlib.text import Annotation

from engine.errors import SpecError
from engine.report import CHARTS, answer, headline_rows, memo_html, memo_markdown, render_chart, write_report
from engine.report.advice import advise
from engine.report.answers import caveats
from engine.report.chartwords import short_hash
from engine.report.findings import Findings, read_findings
from engine.report.formats import markdown_text, p_text, percent, shortened, stars, typeset
from engine.report.labels import overlap, place, spread
from engine.report.memo import NARROW, draw_chart
from engine.report.sections import overlapping_events
from engine.report.style import listing_name, printable, style
from engine.report.tables import MOST_EVENTS, all_tests_table, exclusions_table, group_label, main_table
from engine.report.theme import HOUSE
from engine.report.titles import venue_title
from engine.results import StudyResult
from engine.tables import table

HOSTILE = [
    "<script>alert(1)</script>", "a|b|c", "$x$ costs $5", "two\nlines", "`code` *bold* _it_", "_hidden", 'q"uo\'te, comma',
    "long-" * 60, "\U0001f680 rocket", "&lt;b&gt; & Co", "{{ 7 * 7 }}", "-- 100 % --", "$\\frac{$",
]  # fmt: skip
WINDOWS = ((-1, 1), (0, 0))


def make(
    n: int = 12,
    *,
    ids: list[str] | None = None,
    p: float = 0.01,
    tests: tuple[str, ...] = ("cross_sectional_t", "permutation", "forecast_error_t", "sq"),
    one_date: bool = False,
    names: tuple[str, str] = ("Acme", ""),
    group: list[str] | None = None,
    listings: int | None = None,
    **changes: Any,
) -> StudyResult:
    """A small made-up result with ``n`` events in the windows [-1, 1] and [0, 0]; every table obeys its schema."""
    rng = np.random.default_rng(5)
    ids = [f"deal-{i:03d}" for i in range(n)] if ids is None else ids
    symbols = [f"S{i % (listings or max(n, 1))}" for i in range(n)]
    days = [np.datetime64("2020-03-02") + (0 if one_date else 20 * i) for i in range(n)]
    cars = np.round(rng.normal(-0.02, 0.03, (2, n)), 6)
    kinds = (["cash", "stock"] * n)[:n] if group is None else group
    keys = {"event_id": ids, "symbol": symbols}
    long = {k: v * 2 for k, v in keys.items()} | {
        "window_start": [w[0] for w in WINDOWS for _ in range(n)], "window_end": [w[1] for w in WINDOWS for _ in range(n)],
    }  # fmt: skip
    t = cars.ravel() / 0.02
    return StudyResult(
        {
            "events": table("events", keys | {
                "exchange": ["XNYS"] * n, "announced_at": [str(d) for d in days], "stamp_used": [str(d) for d in days],
                "event_day": days, "hours_to_open": [1.5] * n, "reason": [""] * n, "flags": ["date_only"] * n,
                "venue_time": [""] * n,
            }),
            "fits": table("fits", keys | {
                "model": ["market"] * n, "n_obs": [240] * n, "dof": [238] * n, "sigma": [0.02] * n, "r2": [0.3] * n,
            }),
            "abnormal_returns": table("abnormal_returns", {
                "event_id": np.repeat(ids, 3).tolist(), "symbol": np.repeat(symbols, 3).tolist(),
                "relative_day": [-1, 0, 1] * n, "date": [d + k for d in days for k in (-1, 0, 1)],
                **dict.fromkeys(("actual", "expected", "ar", "sar"), np.repeat(cars[0] / 3, 3)),
            }),
            "cars": table("cars", long | {
                "car": cars.ravel(), "se": np.full(2 * n, 0.02), "t": t, "p_value": np.full(2 * n, 0.2), "scar": t, "bhar": t,
                **dict.fromkeys(("car_simple", "car_log", "car_compound"), np.full(2 * n, np.nan)),
                "pay": [k or "" for k in kinds] * 2,
            }, {"pay": pl.String}),
            "averages": averages(cars, kinds),
            "significance": significance(cars, kinds, p, [t for t in tests if t not in ("sq", "forecast_error_t")]),
            "event_significance": event_significance(long, cars, n, [t for t in tests if t != "cross_sectional_t"]),
            "contamination": table("contamination", {
                "event_id": ids[:1], "symbol": symbols[:1], "kind": ["event_window"] * len(ids[:1]),
                "other_event_id": ["other|<b>"] * len(ids[:1]), "first": days[:1], "last": days[:1],
                "consequence": ["none: flagged; its day 0 is relative day 1"] * len(ids[:1]),
            }),
            "exclusions": table("exclusions", {
                "event_id": ["lost|one"], "symbol": ["GONE"], "stage": ["prices"], "reason": ["no_file"], "detail": ["<i>x</i>"],
            }),
        },
        manifest(symbols, tests, names) | changes,
    )  # fmt: skip


def groups_of(kinds: list[str]) -> list[tuple[str, list[int]]]:
    return [("all", list(range(len(kinds))))] + [
        (f"pay={k}", [i for i, own in enumerate(kinds) if own == k]) for k in sorted({k for k in kinds if k})
    ]


def averages(cars: Any, kinds: list[str]) -> pl.DataFrame:
    rows: dict[str, list[Any]] = {
        c: [] for c in ("group", "relative_day", "n", "aar", "caar", "se_aar", "se_caar", "share_positive")
    }
    for name, members in groups_of(kinds):
        for k, day in enumerate((-1, 0, 1)):
            own = cars[0, members] * (k + 1) / 3
            n = len(members)
            se = own.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
            values = (name, day, n, own.mean() / (k + 1) if n else np.nan, own.mean() if n else np.nan, se, se, 0.5)
            for column, value in zip(rows, values, strict=True):
                rows[column].append(value)
    return table("averages", rows)


def significance(cars: Any, kinds: list[str], p: float, tests: list[str]) -> pl.DataFrame:
    rows = []
    for name, members in groups_of(kinds):
        for w, window in enumerate(WINDOWS):
            for test in tests:
                n = len(members)
                known = n > 1
                mean = cars[w, members].mean() if n else np.nan
                rows.append({
                    "group": name, "window_start": window[0], "window_end": window[1], "test": test, "n": n, "estimate": mean,
                    "statistic": -2.5 if known else np.nan, "distribution": "t(11)" if known else "",
                    "p_value": p if known else np.nan, "unavailable": "" if known else f"needs at least 2 events, has {n}",
                    "se": 0.01, "ci_low": mean - 0.02 if known else np.nan, "ci_high": mean + 0.02 if known else np.nan,
                    "p_holm": 2 * p if known else np.nan, "p_bh": p, "p_romano_wolf": np.nan, "note": "a|note",
                    **dict.fromkeys(("p_holm_groups", "p_bh_groups", "p_romano_wolf_groups"), np.nan),
                })  # fmt: skip
    return table("significance", {k: [r[k] for r in rows] for k in rows[0]} if rows else {})


def event_significance(long: dict[str, Any], cars: Any, n: int, tests: list[str]) -> pl.DataFrame:
    blank = dict.fromkeys(("se", "ci_low", "ci_high", "p_romano_wolf"), [np.nan] * 2 * n * len(tests))
    sq = [np.nan] * n + [0.01 if i < 2 else 0.6 for i in range(n)]
    p = [v for t in tests for v in (sq if t == "sq" else [0.03] * 2 * n)]
    why = [v for t in tests for v in (["tests one day only"] * n + [""] * n if t == "sq" else [""] * 2 * n)]
    return table("event_significance", {k: v * len(tests) for k, v in long.items()} | blank | {
        "test": [t for t in tests for _ in range(2 * n)], "n": [1] * 2 * n * len(tests),
        "estimate": cars.ravel().tolist() * len(tests), "statistic": p, "distribution": ["exact"] * 2 * n * len(tests),
        "p_value": p, "unavailable": why, "p_holm": p, "p_bh": p, "note": [""] * 2 * n * len(tests),
    })  # fmt: skip


def manifest(symbols: list[str], tests: tuple[str, ...], names: tuple[str, str]) -> dict[str, Any]:
    listing = {"name": names[0], "name_zh": names[1], "currency": "USD", "exchange": "XNYS", "benchmark": "^GSPC"}
    return {
        "study": "made-up",
        "settings": {
            "title": "A <b>title</b> | $5$",
            "question": "Does *it* move?",
            "events": {"file": "events.csv", "select": {}, "reaction": "close", "max_gap_days": 7},
            "prices": {"snapshot": "some|prices", "returns": "simple"},
            "model": {"name": "market", "estimation_window": [-250, -11], "min_estimation_days": 123},
            "windows": {"event": [-1, 1], "car": [[-1, 1], [0, 0]]},
            "significance": {"tests": list(tests), "group_by": ["pay"], "alternative": "two-sided", "alpha": 0.05},
            "resampling": {"seed": 424242, "draws": 777},
            "report": {"charts": list(CHARTS)},
        },
        "study_sha256": "a" * 64,
        "calendar_sha256": {"events.csv": "b" * 64},
        "snapshot": {"name": "some|prices", "redistributable": False, "sha256": {"p.csv": "c" * 64, "q.csv": "d" * 64},
                     "source": "a <source>", "licence": "MIT"},
        "kernel": "numpy",
        "coefficients": ["alpha", "beta_market"],
        "seed": 424242,
        "versions": {"event-study-engine": "0.1.0"},
        "pairs": {"calendar": len(symbols) + 1, "used": len(symbols)},
        "listings": {s: dict(listing) for s in symbols},
        "quality": [{"symbol": s, "prices": "2019 to 2021", "rows_off_session": 0, "stale_rows": 3}
                    for s in dict.fromkeys(symbols)],
    }  # fmt: skip


def with_table(result: StudyResult, name: str, frame: pl.DataFrame) -> StudyResult:
    return replace(result, tables=result.tables | {name: frame})


def set_p(result: StudyResult, test: str, p: float) -> StudyResult:
    changed = pl.when(pl.col("test") == test).then(p).otherwise(pl.col("p_value")).alias("p_value")
    return with_table(result, "significance", result.tables["significance"].with_columns(changed))


def with_settings(result: StudyResult, part: str, **values: Any) -> StudyResult:
    settings = result.manifest["settings"]
    changed = settings | {part: settings[part] | values}
    return replace(result, manifest=result.manifest | {"settings": changed})


# The answer


def test_answer_gives_the_numbers_of_the_table():
    result = make(12)
    row = (
        result.tables["significance"]
        .filter((pl.col("group") == "all") & (pl.col("window_start") == -1) & (pl.col("test") == "cross_sectional_t"))
        .to_dicts()[0]
    )
    said = answer(result)
    assert said.startswith(
        f"Over [-1, 1] the 12 events had a mean CAR of {100 * row['estimate']:.2f} % (95 % interval "
    )
    assert (
        f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f} %; cross_sectional_t p = 0.010; permutation p = 0.010)"
        in said
    )
    assert "by all 2 tests" in said
    assert said in memo_markdown(result).replace("\\", "")


def test_answer_says_when_the_tests_disagree():
    said = answer(set_p(make(12), "permutation", 0.3))
    assert "by 1 of the 2 tests; permutation disagrees" in said
    said = answer(set_p(make(12), "cross_sectional_t", 0.3))
    assert "not distinguishable from noise at the 5 % level by cross_sectional_t, but the tests disagree" in said


def test_answer_without_any_rejection_is_noise():
    assert "not distinguishable from noise at the 5 % level by any of the 2 tests" in answer(make(12, p=0.4))


def test_answer_does_not_hide_what_holm_takes_back():
    assert "not after Holm over the 2 windows (p = 0.060)" in answer(make(12, p=0.03))
    assert "Holm" not in answer(make(12, p=0.02))


def test_answer_of_one_date_and_of_few_events_is_reserved():
    assert "all share one event day, where cross_sectional_t is too sure of itself" in answer(make(12, one_date=True))
    assert "with 5 events this is no more than a description" in answer(make(5))
    assert "description" not in answer(make(12))


def test_answer_of_a_single_event_test_counts_events_chance_and_holm():
    result = with_settings(make(16, tests=("sq", "cross_sectional_t")), "windows", car=[[0, 0], [-1, 1]])
    said = answer(result)
    assert said.startswith(
        "Of 16 events, 2 moved on day 0 at the 5 % level by sq (0.8 would by chance); single CARs run from "
    )
    never = "Holm over the 16 leaves none by sq, whatever the prices did (none of its p can be below 0.0083)."
    assert said.endswith(never)  # 2/241 * 16 > 0.05
    assert "permutation" not in said
    five = with_settings(make(6, tests=("sq", "permutation")), "windows", car=[[0, 0], [-1, 1]])
    mean = five.tables["significance"].filter((pl.col("group") == "all") & (pl.col("window_start") == 0))["estimate"][0]
    assert "Holm over the 6 leaves none of 2 by sq; none of 6 by permutation." in answer(
        five
    )  # 0.01 * 6 > 0.05 > 2/241 * 6
    assert f"; mean CAR {100 * mean:.2f} % (permutation p = 0.010);" in answer(five)
    assert "Holm over the events cannot leave any" not in " ".join(caveats(read_findings(make(16))))
    assert any("cannot leave any" in line for line in caveats(read_findings(result)))  # 2/241 * 16 > 0.05
    four = with_settings(make(4, tests=("sq",)), "windows", car=[[0, 0], [-1, 1]])
    assert "Holm over the 4 leaves 2 of 2 by sq (deal-000 (S0 Acme) and deal-001 (S1 Acme))." in answer(four)


def test_answer_of_a_test_that_cannot_answer_gives_the_reason():
    assert "The primary test sq has no answer over [-1, 1] (tests one day only)" in answer(make(4, tests=("sq",)))


def test_answer_of_one_event_names_it_and_claims_no_more():
    said = answer(make(1))
    assert said.startswith("The one event, deal-000 (S0 Acme), had a CAR of ")
    assert "forecast_error_t p = 0.030" in said
    assert "which says nothing about others" in said


def test_answer_without_complete_events():
    result = make(3)
    said = answer(with_table(result, "cars", result.tables["cars"].head(0)))
    assert said == "There is no answer over [-1, 1]: none of 3 events is complete there; the exclusions say why."


def test_the_event_that_moves_the_mean_is_named():
    result = make(12)
    cars = result.tables["cars"].filter(pl.col("window_start") == -1)
    mean = cars["car"].mean()
    worst = cars.sort((pl.col("car") - mean).abs(), descending=True)
    text = " ".join(caveats(read_findings(result)))
    assert f"moves the mean most is {worst['event_id'][0]}" in text
    assert f"without it the mean CAR is {100 * worst['car'][1:].mean():.2f} %" in text


# Tables and numbers


def test_headline_rows_start_with_all_and_equal_the_table():
    rows = headline_rows(make(24))
    assert [r["group"] for r in rows] == ["all", "pay=cash", "pay=stock"]
    assert rows[0]["n"] == "24"
    assert rows[0]["cross_sectional_t"] == "-2.50"
    assert rows[0]["p"] == "0.010"
    assert rows[0]["mean CAR [-1, 1] %"].endswith("**")
    assert len({tuple(r) for r in rows}) == 1


def test_stars_are_absent_below_10_events():
    assert [stars(p, 10) for p in (0.009, 0.01, 0.049, 0.05, 0.099, 0.1)] == ["***", "**", "**", "*", "*", ""]
    assert stars(0.001, 9) == ""
    cells = " ".join(c for row in main_table(read_findings(make(18))).rows for c in row)
    assert cells.count("**") == 2  # all (18) in two windows; the two groups of 9 have none
    assert "*" not in " ".join(c for row in main_table(read_findings(make(9))).rows for c in row)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0104, "0.010"), (0.00999, "0.0100"), (0.04999, "0.04999"), (0.05, "0.050"), (0.00001, "<0.0001"), (1.0, "1.000"),
     (None, "–"), (float("nan"), "–")],
)  # fmt: skip
def test_p_values_never_round_over_a_level(p: float | None, text: str):
    assert p_text(p) == (text if p != 0.00999 else "0.00999")


def test_percent_has_no_negative_zero():
    assert [percent(v) for v in (-0.00001, 0.0, -0.01668, None)] == ["0.00", "0.00", "-1.67", "–"]


def test_unavailable_tests_show_their_reason():
    rows = all_tests_table(read_findings(make(1))).rows
    assert [r[-1].split("; ")[-1] for r in rows] == ["unavailable: needs at least 2 events, has 1"] * 2


def test_shortened_text_keeps_both_ends():
    assert shortened("abcdefghij", 7) == "abcd…ij"
    assert shortened("a\n b", 9) == "a b"


# The memo


def test_memo_holds_every_setting_exclusion_and_hash():
    result = make(12)
    memo, page = memo_markdown(result), memo_html(result)
    for text in ("424242", "777", "123", "[-250, -11]", "two-sided", "0.05", "max_gap_days", "a" * 64, "b" * 64, "c" * 64,
                 "d" * 64, "GONE", "no_file", "MIT", "numpy"):  # fmt: skip
        assert text in memo, text
        assert text in page, text

    def leaves(settings: dict[str, Any], above: str = "") -> list[str]:
        paths = ((f"{above}{k}", v) for k, v in settings.items())
        return [leaf for p, v in paths for leaf in (leaves(v, f"{p}.") if isinstance(v, dict) and v else [p])]

    for path in leaves(result.manifest["settings"]):
        assert f"| {path} |" in memo
        assert f"<td>{path}</td>" in page
    assert "| lost\\|one | GONE | prices | no_file | &lt;i>x&lt;/i> |" in memo
    assert "Primary window [-1, 1] (the first of the study), primary test cross_sectional_t" in memo


def test_memo_without_exclusions_and_flags_says_so():
    result = make(12)
    result = with_table(result, "exclusions", result.tables["exclusions"].head(0))
    result = with_table(result, "events", result.tables["events"].with_columns(flags=pl.lit(None, pl.String)))
    assert " Exclusions: none.\n\nNo event carries a flag.\n" in memo_markdown(result)
    assert "Exclusions: none." in memo_html(result)


def test_memo_refers_to_the_charts_that_are_written(tmp_path):
    result = make(12)
    write_report(result, tmp_path)
    memo = (tmp_path / "memo.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\((charts/[^)]*)\)", memo)
    assert sorted(named) == sorted(f"charts/{name}.png" for name in CHARTS)
    assert named[0] == f"charts/{next(iter(CHARTS))}.png"
    for name in CHARTS:
        assert (tmp_path / f"charts/{name}.png").read_bytes() == render_chart(result, name, "png")
        assert (tmp_path / f"charts/{name}.svg").read_bytes() == render_chart(result, name, "svg")
    assert (tmp_path / "memo.html").read_text(encoding="utf-8") == memo_html(result)
    assert memo == memo_markdown(result)


def test_methods_come_from_the_registries():
    memo = memo_markdown(make(12))
    assert "Brown & Warner (1980)" in memo
    assert "Gelbach, Helland & Klick (2013)" in memo
    assert "MacKinlay (1997), eq. 3" in memo


def test_events_of_one_listing_that_overlap_are_counted():
    assert overlapping_events(read_findings(make(6))) == 0
    assert overlapping_events(read_findings(make(6, one_date=True, listings=3))) == 6


class Page(HTMLParser):
    """Collects tags, attributes and text; knows whether every tag is closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(k, v or "") for k, v in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes nothing"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        else:
            self.text += data


def test_html_parses_and_needs_nothing_from_outside():
    page = Page(memo_html(make(12)))
    assert page.open == []
    assert page.tags["svg"] == 2 * len(CHARTS)  # for a column and for a phone
    assert page.tags["link"] == page.tags["img"] == 0
    assert page.tags["script"] == 2  # the page's own, and the data of the picker
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert value.startswith("#"), (name, value)
        if not name.startswith("xmlns"):
            assert "http" not in value, (name, value)
    text = memo_html(make(12))
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    ids = [v for k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    targets = {v[1:] for k, v in page.attributes if k == "xlink:href"} | set(re.findall(r"url\(#([^)]*)\)", text))
    assert targets <= set(ids)


def hostile() -> StudyResult:
    kinds = ["<b>|$y$\n", "_x"] * len(HOSTILE)
    return make(len(HOSTILE), ids=HOSTILE, group=kinds[: len(HOSTILE)], names=("<img src=x>|$n$", "中芯<国际>"))


def test_text_of_the_calendar_is_text_in_html():
    page = Page(memo_html(hostile()))
    assert page.tags["script"] == 2
    assert "alert(1)" not in page.scripts[0].replace("\\u003cscript\\u003ealert(1)", "")
    assert "alert" not in page.scripts[1]
    assert page.tags["img"] == 0
    assert page.tags["b"] == 0
    assert page.open == []
    assert "<script>alert(1)</script>" in page.text
    assert "a|b|c" in page.text
    assert "two lines" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "&lt;b&gt; & Co" in page.text


def test_text_of_the_calendar_is_text_in_markdown():
    memo = memo_markdown(hostile())
    assert "<script>" not in memo
    assert "<img" not in memo
    assert "<b>" not in memo
    assert "&lt;script>alert(1)&lt;/script>" in memo
    assert "a\\|b\\|c" in memo
    assert "\\$x\\$" in memo
    assert "two lines" in memo
    widths: list[int] = []
    for line in memo.split("\n"):
        cells = len(re.findall(r"(?<!\\)\|", line))
        if cells:
            widths.append(cells)
            assert (line[:2], line[-1], widths[-1]) == ("| ", "|", widths[0]), line
        else:
            widths = []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[-1, 1]", "[-1, 1]"), ("-1.67**", "-1.67**"), ("[a](b)", "[a\\](b)"), ("a_b _c_", "a_b \\_c\\_"), ("p < 0.1", "p < 0.1"),
     ("# head", "\\# head"), ("1. item", "1\\. item"), ("- x", "\\- x"), ("&amp; & x", "&amp;amp; & x"), ("a\\b", "a\\\\b")],
)  # fmt: skip
def test_markdown_escapes_only_what_could_start_something(text: str, expected: str):
    assert markdown_text(text) == expected


def test_typeset_changes_numbers_and_not_names():
    assert typeset("-1.67 over [-1, 1], us-1 2020-01-02") == "−1.67 over [−1, 1], us-1 2020-01-02"


# Charts


def texts_of(figure: Any) -> list[Any]:
    axes = figure.axes[0]
    ticks = [
        tick.label1
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    ]
    legends = [t for legend in figure.legends for t in legend.get_texts()]
    words = [*figure.texts, *axes.texts, axes.xaxis.label, axes.yaxis.label, *ticks, *legends]
    return [t for t in words if t.get_text() and t.get_visible()]


SLIM = replace(HOUSE, sizes=replace(HOUSE.sizes, width=NARROW))
CASES = {
    "one": lambda: make(1),
    "two": lambda: make(2),
    "twelve": lambda: make(12),
    "one date": lambda: make(6, one_date=True),
    "pairs": lambda: make(14, ids=[f"deal-{i // 2}" for i in range(14)], names=("SMIC", "中芯国际")),
    "many": lambda: make(85),
    "very many": lambda: make(450),
    "hostile": hostile,
    "no group": lambda: make(12, group=[""] * 12),
    "many groups": lambda: make(12, group=[f"g{i}" for i in range(12)]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_draws_every_case_with_all_text_inside(name: str, case: str):
    for theme in (HOUSE, SLIM):
        figure = draw_chart(CASES[case](), name, theme)
        with style(theme):
            figure.canvas.draw()
            low, high = figure.bbox.min, figure.bbox.max
            for text in texts_of(figure):
                box = text.get_window_extent()
                assert (box.min >= low - 1).all(), text.get_text()
                assert (box.max <= high + 1).all(), text.get_text()


@pytest.mark.parametrize("case", ["pairs", "many", "twelve", "one date"])
@pytest.mark.parametrize("name", CHARTS)
def test_labels_do_not_cover_each_other(name: str, case: str):
    figure = draw_chart(CASES[case](), name)
    figure.canvas.draw()
    labels = [t for t in figure.axes[0].texts if isinstance(t, Annotation)]
    rows = figure.axes[0].get_yticklabels() if name == "car_forest" else []
    boxes = [tuple(super(Annotation, t).get_window_extent().extents) if isinstance(t, Annotation)
             else tuple(t.get_window_extent().extents) for t in (*labels, *rows)]  # fmt: skip
    for a, b in combinations(boxes, 2):
        assert not overlap((a[0] + 1, a[1] + 1, a[2] - 1, a[3] - 1), b)


def test_charts_and_memo_survive_missing_numbers():
    result = make(12)
    nothing = result.tables["cars"].with_columns(
        pl.lit(None, pl.Float64).alias(c) for c in ("se", "t", "p_value", "scar")
    )
    without = replace(result, tables={k: v for k, v in result.tables.items() if k != "abnormal_returns"})
    empty = with_table(with_table(result, "cars", nothing.head(0)), "averages", result.tables["averages"].head(0))
    for changed in (with_table(result, "cars", nothing), without, empty):
        assert not re.search(r"\bnan\b", memo_markdown(changed), re.IGNORECASE)
        assert Page(memo_html(changed)).tags["svg"] == 2 * len(CHARTS)


@pytest.mark.parametrize("fmt", ["png", "svg", "pdf"])
@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_the_same_bytes_twice(name: str, fmt: str):
    result = make(12, names=("SMIC", "中芯国际"))
    first = render_chart(result, name, fmt)
    assert first == render_chart(result, name, fmt)
    assert {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF-"}[fmt] == first[: 4 if fmt == "png" else 5]
    assert b"Date" not in first
    assert b"Matplotlib v" not in first


def test_png_has_200_dpi_of_a_memo_column():
    png = render_chart(make(12), "caar_path", "png")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (1300, 900)


def test_unknown_charts_and_formats_are_explained():
    with pytest.raises(SpecError, match='Did you mean "caar_path"'):
        render_chart(make(2), "caar_pat", "png")
    with pytest.raises(SpecError, match="gif"):
        render_chart(make(2), "caar_path", "gif")


def test_without_a_chinese_font_the_latin_name_stands_alone(monkeypatch):
    latin = [f for f in font_manager.fontManager.ttflist if f.name.startswith("DejaVu")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", latin)
    assert listing_name("SMIC", "中芯国际") == "SMIC"
    assert printable("中 x") == "? x"
    figure = draw_chart(make(4, ids=["事件", "b", "c", "d"], names=("SMIC", "中芯国际")), "car_forest")
    figure.canvas.draw()  # a missing glyph would be a warning, and so an error
    words = " ".join(t.get_text() for t in texts_of(figure))
    assert "SMIC" in words
    assert not re.search(r"[一-鿿]", words)


def test_a_chinese_font_shows_both_names(monkeypatch):
    monkeypatch.setattr("engine.report.style.can_print", lambda text: True)
    monkeypatch.setattr("engine.report.style._has_glyph", lambda character: True)
    assert listing_name("SMIC", "中芯国际") == "SMIC 中芯国际"
    assert listing_name("SMIC", "") == "SMIC"


def test_the_caar_path_shows_the_averages():
    result = make(20)
    axes = draw_chart(result, "caar_path").axes[0]
    rows = result.tables["averages"].filter(pl.col("group") == "all")
    assert any(np.allclose(line.get_ydata(), rows["caar"]) for line in axes.lines if len(line.get_ydata()) == 3)
    legend = [t.get_text() for t in axes.figure.legends[0].get_texts()]
    assert legend[:4] == ["all, N = 20", "95 % band", "cash, N = 10", "stock, N = 10"]


def test_the_forest_is_sorted_and_shows_every_event():
    result = make(12)
    axes = draw_chart(result, "car_forest").axes[0]
    cars = result.tables["cars"].filter(pl.col("window_start") == -1).sort("car")
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == ["mean", "pooled", *[f"{e} · {s} Acme" for e, s in cars.select("event_id", "symbol").rows()]]


def test_the_source_line_names_the_data():
    words = " ".join(t.get_text() for t in draw_chart(make(12), "caar_path").texts).replace("\u00a0", " ")
    assert short_hash({"a": "c" * 64}) == "cccccccc"
    assert short_hash({"p.csv": "c" * 64, "q.csv": "d" * 64})[:8] in words
    assert "some|prices" in words
    assert "event-study-engine 0.1.0" in words


# Labels and advice


def test_spread_keeps_order_gap_and_bounds():
    placed = spread([0.0, 0.1, 0.2, 9.0, 9.9], 1.0, 0.0, 10.0)
    assert placed == sorted(placed)
    assert min(placed) >= 0
    assert max(placed) <= 10
    assert min(b - a for a, b in pairwise(placed)) >= 1 - 1e-12
    assert spread([3.0, 8.0], 1.0, 0.0, 10.0) == [3.0, 8.0]


def test_place_never_overlaps_and_gives_up_where_there_is_no_room():
    boxes = place([(1.0, 1.0)] * 6, [(0.5, 0.2)] * 6, (0.0, 0.0, 3.0, 2.0), [])
    kept = [b for b in boxes if b is not None]
    assert len(kept) >= 2
    assert not any(overlap(a, b) for a, b in combinations(kept, 2))
    assert place([(0.1, 0.1)], [(5.0, 5.0)], (0.0, 0.0, 1.0, 1.0), []) == [None]


@pytest.mark.parametrize(
    ("days", "symbols", "case", "first"),
    [
        ([1], ["A"], "one firm, one event", "sq"),
        ([1] * 30, [f"S{i}" for i in range(30)], "many firms, one date", "kolari_pynnonen"),
        ([1, 2, 3], ["A", "B", "C"], "few events on several dates", "sq"),
        (list(range(40)), [f"S{i}" for i in range(40)], "many firms, many dates", "kolari_pape_pynnonen"),
        ([i // 4 for i in range(40)], [f"S{i}" for i in range(40)], "many events in clusters of dates", "permutation"),
        ([i // 3 for i in range(15)], ["A", "B", "C"] * 5, "few firms, several dates", "permutation"),
    ],
)
def test_advice_follows_the_shape_of_the_study(days: list[int], symbols: list[str], case: str, first: str):
    advice = advise(days, symbols)
    assert (advice.case, advice.read[0]) == (case, first)
    assert "bmp" not in advice.read


def test_advice_remarks_on_few_events_long_windows_and_many_tests():
    said = " ".join(advise([1, 2], ["A", "B"], longest_window=252, windows=3, groups=2).remarks)
    assert "Fewer than 10 events" in said
    assert "calendar-time" in said
    assert "3 windows and 2 groups" in said
    assert advise([], []).shape.startswith("N = 0")


@pytest.mark.parametrize(
    ("days", "asked", "said"),
    [
        (list(range(40)), ["bmp"], ""),
        (list(range(40)), ["variance_bmp"], "read variance_rank and variance_bmp;"),
        (
            [i // 2 for i in range(40)],
            ["variance_rank"],
            "read variance_rank; variance_bmp takes events as independent",
        ),
        (list(range(8)), ["variance_rank"], "read variance_rank; variance_bmp rejects somewhat too often"),
    ],
)
def test_advice_on_volatility_where_a_study_asks_for_it(days: list[int], asked: list[str], said: str):
    remarks = " ".join(advise(days, [f"S{i}" for i in range(len(days))], tests_asked=asked).remarks)
    assert said in remarks if said else "Volatility" not in remarks


def test_names_cost_nothing_to_import():
    code = "import sys, engine.report; print({'matplotlib', 'jinja2', 'polars', 'numpy', 'scipy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_one_event_at_exchanges_that_react_weeks_apart() -> None:
    """Days far from the news and from every day 0 are left out; a day of which nothing is known is not called closed."""
    result = make(3, ids=["e"] * 3)
    exchanges = ["XNYS", "XHKG", "XTKS"]
    events = result.tables["events"].with_columns(exchange=pl.Series(exchanges))
    found = read_findings(with_table(result, "events", events))
    assert venue_title(found).replace("\u00a0", " ") == (
        "One piece of news, 3 different days 0: New York 2, Hong Kong 22 March 2020, Tokyo 11 April 2020"
    )
    axes = draw_chart(found.result, "venue_days").axes[0]
    colours = Counter(to_hex(patch.get_facecolor()) for patch in axes.patches)
    assert colours == {"#0072b2": 3, "#dce6ec": 6, "#ffffff": 18}
    dates = [tick.get_text().split("\n")[1] for tick in axes.get_xticklabels()]
    assert dates == ["1", "2", "3", "21", "22", "23", "10", "11", "12"]


def test_one_exchange_has_a_plain_title() -> None:
    assert venue_title(read_findings(make(1))).replace("\u00a0", " ") == "Day 0 in New York 2 March 2020"


@pytest.mark.parametrize(
    ("group", "label"),
    [
        ("all", "all"),
        ("kind=cash", "cash"),
        ("expected_sign=+", "expected_sign +"),
        ("expected_sign=-", "expected_sign -"),
    ],
)
def test_a_group_of_a_sign_has_its_column(group: str, label: str) -> None:
    assert group_label(group) == label


def test_a_pair_that_misses_a_window_is_among_those_used() -> None:
    stages = {
        "event_id": ["a", "b"], "symbol": ["A", "B"], "stage": ["window", "prices"], "reason": ["r", "r"],
        "detail": ["[-1, 1]: none", "no file"],
    }  # fmt: skip
    shown = exclusions_table(read_findings(with_table(make(12), "exclusions", table("exclusions", stages))))
    assert shown is not None
    assert shown.notes == (
        "Stage window: the pair is among those used, and left out of the window that its detail begins with alone.",
    )


def test_very_many_losses_are_named_in_their_file() -> None:
    """The memo shows as many losses as events, and says where the others are."""
    found: Findings = read_findings(make())
    lost = pl.DataFrame([(f"e{i}", "S", "panel", "prices", None) for i in range(MOST_EVENTS + 3)], orient="row")
    few, many = (
        exclusions_table(replace(found, result=replace(found.result, tables={"exclusions": rows})))
        for rows in (lost[:MOST_EVENTS], lost)
    )
    assert few is not None
    assert many is not None
    assert many.rows == few.rows
    assert len(many.rows) == MOST_EVENTS
    assert few.notes == ()
    assert many.notes == (f"The first {MOST_EVENTS} of {MOST_EVENTS + 3}; all are in exclusions.csv.",)
