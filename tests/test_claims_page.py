"""docs/claims.md and the README's excerpt are made from the golden results, and count every claim of the article."""

from __future__ import annotations

import json
import math
from pathlib import Path

import claims_page
import numpy as np
import polars as pl
import pytest
from claims_page import (
    END,
    PAGE,
    PICTURE,
    README,
    START,
    STUDIES,
    UNTESTABLE,
    events_of,
    in_readme,
    page,
    picture,
    read_parts,
)

PARTS = read_parts()


def test_the_page_is_what_the_studies_found() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(PARTS), "python tests/claims_page.py"


def test_the_excerpt_is_what_the_studies_found() -> None:
    shown = README.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    assert START + shown + END == in_readme(PARTS), "python tests/claims_page.py"


def test_the_chart_shows_every_part() -> None:
    assert PICTURE.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture(PARTS) == picture(PARTS)


def test_fourteen_claims_and_none_twice() -> None:
    tested = list(dict.fromkeys(p.claim for p in PARTS))
    assert tested == [f"C{k}" for k in range(1, 12)]
    assert set(UNTESTABLE) == {"C12", "C13", "C14"}
    assert {c: {p.study for p in PARTS if p.claim == c} for c in tested} == {
        c: {next(p.study for p in PARTS if p.claim == c)} for c in tested
    }
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"**C{k}" in text for k in range(1, 15))


def test_holm_over_all_claims_by_hand() -> None:
    """A claim's p is the largest of its parts'; the k-th smallest of m counts m - k + 1 times, none below one before."""
    p = {c: max(x.row["p_value"] for x in PARTS if x.claim == c) for c in {x.claim for x in PARTS}}
    last, adjusted = 0.0, {}
    for k, claim in enumerate(sorted(p, key=lambda c: p[c])):
        last = adjusted[claim] = max(last, min(1.0, (len(p) - k) * p[claim]))
    for part in PARTS:
        assert part.p_all == pytest.approx(adjusted[part.claim], rel=1e-12)
        assert (part.verdict_all == "supported") == (adjusted[part.claim] < 0.05)


def test_events_of_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = tmp_path / "made" / "golden"
    golden.mkdir(parents=True)
    rows = {
        "event_id": ["a", "a", "b", "c"],
        "symbol": list("XYXX"),
        "claim": ["C1", "C1", "C1", "C2"],
        "car": [0.1, 0.2, None, 0.3],
    }
    pl.DataFrame(rows).write_csv(golden / "cars.csv")
    samples = {"late": {"event_id": ["b", "c"], "symbol": ["X"]}}
    (golden / "manifest.json").write_text(
        json.dumps({"settings": {"significance": {"samples": samples}}}), encoding="utf-8"
    )
    monkeypatch.setattr(claims_page, "STUDIES", tmp_path)
    assert [events_of("made", g) for g in ("all", "claim=C1", "sample=late")] == [2, 1, 1]


def test_what_two_quarters_hide() -> None:
    """80 % power of a two-sided 5 % test at one effect: the normal quantiles, by simulation."""
    told = claims_page.far()
    fits = pl.read_csv(STUDIES / "us-japan-550bn" / "golden" / "fits.csv")
    sigma = fits.filter(pl.col("event_id") == "A24", pl.col("symbol") == "0981.HK")["sigma"].item()
    spread = sigma * math.sqrt(126)
    drawn = float(told["far"]) / 100 + spread * np.random.default_rng(1).standard_normal(200_000)
    assert (np.abs(drawn) > 1.959964 * spread).mean() == pytest.approx(0.80, abs=0.01)
    assert told["sigma"] == f"{100 * sigma:.1f}"


def test_few_tests_hold_and_two_cry_wolf() -> None:
    """What the README says beside the picture of delistings-2020-21."""
    rows = pl.read_csv(STUDIES / "delistings-2020-21" / "golden" / "certificate.csv").filter(
        pl.col("group") == "all", pl.col("kind") == "group", pl.col("window_start") == 0, pl.col("window_end") == 0
    )
    both = rows.filter(pl.col("null").is_in(["as_they_are", "scaled"]), pl.col("size").is_not_null())
    held = both.group_by("test").agg((pl.col("holds") == "yes").all())
    assert held["holds"].sum() < len(held) / 2
    wolf = both.filter(pl.col("size") > 0.4)
    assert sorted(wolf["test"]) == ["patell", "permutation"]
