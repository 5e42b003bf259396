"""docs/claims.md, its chart and the excerpt in the README, gathered from the verdicts in the studies' golden results.

`python tests/claims_page.py` writes them anew; tests/test_claims_page.py compares them.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.lines import Line2D

from engine.report import render_chart
from engine.report.claims import part_words
from engine.report.style import FAINT, GREY, GRID, Words, blank, compose, save, style
from engine.results import read_result
from engine.significance import multiplicity

ROOT = Path(__file__).parents[1]
STUDIES, README = ROOT / "studies", ROOT / "README.md"
PAGE, PICTURE = ROOT / "docs" / "claims.md", ROOT / "docs" / "claims.png"
# Pictures of the studies in the README; the last two are the most telling ones.
TELLING = {
    "us-acquirers-caar.png": ("us-acquirers", "caar_path"),
    "venue-days.png": ("crude-and-diamonds", "venue_days"),
    "delistings-size.png": ("delistings-2020-21", "size_plot"),
    "us-measures-equity.png": ("us-measures-chinese-tech", "equity_curve"),
}
START, END = "<!-- claims:start -->\n", "<!-- claims:end -->\n"
COLOURS = {"supported": "#009E73", "contradicted": "#D55E00", "not distinguishable from noise": "#595959"}
NOISE = "not distinguishable from noise"
SHORT = {"not distinguishable from noise": "not distinguishable"}
OF_SIZE = ("C5", "C9")  # measured is the size of the daily move, whatever its direction
REACH = {
    "C1": "SMIC's Shanghai line counts from B12 (March 2021) on: before, it had too few sessions.",
    "C2": "Hong Kong lines but SMIC and Tencent have no prices after 2025-10-30. The delay shares its day with the shortlist "
    "(A22) and with shelved US tech curbs (X03).",
    "C3": "9988.HK has no prices after 2025-10-30: BABA and 0700.HK. The shortlist (A22) has the session of the delay (A23).",
    "C4": "The index and a fund on it are one asset: two events, whatever n says.",
    "C5": "Shanghai lines only. A24 is read ten days after the news, with the oil news on Iran (X05) on the same day 0.",
    "C6": "Shanghai line only (0883.HK ends on 2025-10-30), three events of one firm; X05 as under C5, oil is a factor.",
    "C7": "Two neighbouring sessions of four firms of one trade.",
    "C8": "One firm. The day of the shortlist (A22) is the day after SoftBank's quarterly results (X02).",
    "C9": "Fifteen meetings; KWEB, MCHI and FXI hold much the same shares.",
    "C10": "Twenty measures; windows of 21 sessions overlap in the winter of 2020-21. The CHIPS Act (B14), the counter-case, is "
    "among them.",
    "C11": "Two events of one firm. On the placebo (A07) SMIC fell by more, and as little can be told from noise.",
}
UNTESTABLE = {
    "C12": "renewables gain: no firm, no day and no measure is named, and none of the calendar's events is about them.",
    "C13": "ports need review: an opinion on what should be done. Port operators have prices (0144.HK, 1199.HK, 600018.SS), but "
    "nothing was announced about them.",
    "C14": 'chip makers are hit "within quarters": no day to look at. Over two quarters (126 sessions) one firm with SMIC\'s '
    "residual standard deviation on A24 ({sigma} % a day) would have to move by {far} % before a two-sided 5 % test saw it in "
    "four cases of five.",
}
HEAD = (
    "| | claim | sign, window | verdict | estimate % | 95 % interval | p | calibrated p | Holm, study | Holm, all | MDE % | n "
    "| study |"
)


@dataclass(frozen=True)
class Part:
    """One part of a claim and what its study says of it. events: distinct ones among the n pairs. p_all: Holm over all."""

    claim: str
    number: int
    parts: int
    study: str
    row: dict[str, Any]
    events: int
    p_all: float
    verdict_all: str


def read_parts() -> list[Part]:
    """Every part of C1 to C11, in order."""
    found = []
    for file in sorted(STUDIES.glob("*/golden/verdicts.csv")):
        rows = pl.read_csv(file, infer_schema_length=None).filter(pl.col("claim").str.contains(r"^C\d+$")).to_dicts()
        found += [(int(r["claim"][1:]), r["part"], file.parents[1].name, r) for r in rows]
    found.sort(key=lambda f: f[:2])
    names = list(dict.fromkeys(f"C{number}" for number, *_ in found))
    p = {r["claim"]: r["p_claim"] for *_, r in found}
    opposite = {name: max(r["p_opposite"] for *_, r in found if r["claim"] == name) for name in names}
    alpha = 0.05
    holm = dict(zip(names, multiplicity([p[n] for n in names])[0], strict=True))
    other = dict(zip(names, multiplicity([opposite[n] for n in names])[0], strict=True))
    said = {
        n: "supported" if holm[n] < alpha else "contradicted" if other[n] < alpha else "not distinguishable from noise"
        for n in names
    }
    count = {n: sum(r["claim"] == n for *_, r in found) for n in names}
    return [
        Part(
            r["claim"],
            r["part"],
            count[r["claim"]],
            study,
            r,
            events_of(study, r["group"]),
            holm[r["claim"]],
            said[r["claim"]],
        )
        for _, _, study, r in found
    ]


def events_of(study: str, group: str) -> int:
    """Distinct events among the pairs of a group."""
    golden = STUDIES / study / "golden"
    cars = pl.read_csv(golden / "cars.csv", infer_schema=False)
    column, _, value = group.partition("=")
    if group == "all":
        wanted = {}
    elif column == "sample":
        wanted = json.loads((golden / "manifest.json").read_text())["settings"]["significance"]["samples"][value]
    else:
        wanted = {column: [value]}
    return cars.filter(pl.col("car").is_not_null(), *(pl.col(c).is_in(v) for c, v in wanted.items()))[
        "event_id"
    ].n_unique()


def percent(value: float | None, sign: bool = True) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:{'+' if sign else ''}.2f}"


def p_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def interval(row: dict[str, Any]) -> str:
    return "-" if row["ci_low"] is None else f"{percent(row['ci_low'])} to {percent(row['ci_high'])}"


def verdict_text(part: Part) -> str:
    """The verdict of the study, and where Holm over all claims says another thing, that too; of a contradiction the p-values of
    that direction."""
    own, every, row = part.row["verdict"], part.verdict_all, part.row
    other = ""
    if own == "contradicted":
        other = f", the other way p = {p_text(row['p_opposite'])}, calibrated {p_text(row['p_opposite_calibrated'])}"
    said = f"{SHORT.get(own, own)}{other}"
    return said if own == every else f"{said}; over all claims {SHORT.get(every, every)}"


def claim_text(part: Part) -> str:
    """Number, statement and sign, the part where there are several."""
    of = f" ({part.number} of {part.parts}: {part_words(part.row)})" if part.parts > 1 else ""
    return f"{part.row['statement']}{of}"


def detail_table(parts: Sequence[Part]) -> list[str]:
    lines = [
        HEAD,
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for part in parts:
        r = part.row
        after = " *" if r["changed"] else ""
        lines.append(
            f"| {part.claim}{after} | {claim_text(part)} | {r['sign']}, [{r['window_start']}, {r['window_end']}] "
            f"| {verdict_text(part)} | {percent(r['estimate'])} | {interval(r)} | {p_text(r['p_value'])} "
            f"| {p_text(r['p_calibrated'])} | {p_text(r['p_holm'])} | {p_text(part.p_all)} | {percent(r['mde'], sign=False)} "
            f"| {r['n']} ({part.events}) | [{part.study}](../studies/{part.study}/README.md) |"
        )
    return lines


def page(parts: Sequence[Part]) -> str:
    """The page in Markdown."""
    primary = [p for p in parts if p.number == 1]
    counted = {v: sum(p.verdict_all == v for p in primary) for v in COLOURS}
    told = {v: sum(p.row["verdict"] == v for p in primary) for v in COLOURS}
    lines = [
        "# What an article claimed, and what prices say",
        "",
        "A web article of February 2026 on Japan's investment deal with the United States asserts fourteen effects on Chinese,",
        "Japanese and US-listed shares, and gives no data. Each assertion is a claim `C1` to `C14` with its direction, listings",
        "and window, written into a study before its result but where a star says otherwise. A claim is *supported* if its",
        "one-sided p, corrected by Holm, is below 0.05, *contradicted* if that of the opposite direction is, else *not",
        "distinguishable from noise*; a claim of two parts needs both.",
        "",
        *fill(
            f"**Of {len(primary)} claims that can be tested, {counted['supported'] or 'none'} is supported and "
            f"{counted['contradicted'] or 'none'} contradicted once all {len(primary)} are corrected for; {counted[NOISE]} "
            f"cannot be told from noise.** In their own studies {told['supported']} "
            f"{'is' if told['supported'] == 1 else 'are'} supported and {told['contradicted']} contradicted"
            f"{doubted(primary)}."
        ),
        "",
        "![Estimate, interval and smallest detectable effect of every claim](claims.png)",
        "",
        *detail_table(parts),
        "",
        "\\* Written down when the result of the study was known. **p**: one-sided, in the claimed direction. **Calibrated p**:",
        "the share of pseudo-dates, spread as widely as the events themselves, on which the test has a p as small; where it is",
        "much larger than p, the formula takes the events for quieter than they are. **Holm, study** corrects over the primary",
        "claims of the study, **Holm, all** over all claims here. **MDE**: the smallest effect that the test finds in four",
        "samples of five. **n**: event-listing pairs, distinct events in parentheses.",
        f"{' and '.join(OF_SIZE)} measure the size of the daily move less what is usual.",
        "",
        "## What limits each answer",
        "",
        *(f"- **{claim}.** {text}" for claim, text in REACH.items()),
        "",
        "## What cannot be tested",
        "",
        *(f"- **{claim}**, {text.format(**far())}" for claim, text in UNTESTABLE.items()),
        "",
        "`eventstudy run STUDY` writes the memo of each study, with the prices on the data path; its tables are in",
        "studies/STUDY/golden. This page is made by `python tests/claims_page.py`.",
    ]
    return "\n".join(lines) + "\n"


def fill(text: str) -> list[str]:
    return textwrap.wrap(text, 120)


def doubted(parts: Sequence[Part]) -> str:
    """The verdicts of single studies that the calibrated p does not bear out."""
    found = []
    for part in parts:
        column = {"supported": "p_calibrated", "contradicted": "p_opposite_calibrated"}.get(part.row["verdict"])
        if column and part.row[column] >= 0.05:
            found.append(f"{part.claim} ({p_text(part.row[column])})")
    return f"; the calibrated p does not bear out {' and '.join(found)}" if found else ""


def far() -> dict[str, str]:
    """SMIC's residual standard deviation on A24, and what 126 sessions of it hide at 80 % power."""
    fits = pl.read_csv(STUDIES / "us-japan-550bn" / "golden" / "fits.csv")
    sigma = fits.filter(pl.col("event_id") == "A24", pl.col("symbol") == "0981.HK")["sigma"].item()
    return {"sigma": f"{100 * sigma:.1f}", "far": f"{100 * (1.959964 + 0.841621) * sigma * math.sqrt(126):.0f}"}


def in_readme(parts: Sequence[Part]) -> str:
    lines = [
        "| | claim | verdict | estimate % | 95 % interval | Holm p, all | n (events) |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for part in parts:
        r = part.row
        lines.append(
            f"| {part.claim} | {claim_text(part)} | {verdict_text(part)} | {percent(r['estimate'])} | {interval(r)} "
            f"| {p_text(part.p_all)} | {r['n']} ({part.events}) |"
        )
    return START + "\n".join(lines) + "\n" + END


def picture(parts: Sequence[Part]) -> bytes:
    """A row for each part: estimate and interval in the colour of the verdict, and the smallest detectable effect."""
    with style():
        figure = blank(1.9 + 0.34 * len(parts))
        verdicts = [v for v in COLOURS if any(p.row["verdict"] == v for p in parts)]
        legend: list[tuple[Any, str]] = [
            (Line2D([], [], color=COLOURS[v], marker="o", linewidth=1.6), v) for v in verdicts
        ]
        legend.append(
            (Line2D([], [], color=FAINT, marker="|", markersize=10, linewidth=0), "smallest effect that would be found")
        )
        total = len({p.claim for p in parts})
        own = [len({p.claim for p in parts if p.row["verdict"] == v}) for v in ("supported", "contradicted")]
        left = len({p.claim for p in parts if p.verdict_all in ("supported", "contradicted")})
        text = Words(
            f"Of {total} claims prices support {own[0]} and contradict {own[1]}; corrected for {total} {left or 'none'} is left",
            "Mean abnormal return in the window claimed, 95 % interval; arrow: direction claimed; verdict of its own study",
            f"{' and '.join(OF_SIZE)}: abnormal size of the daily move, up or down. Smallest effect: found in 80 % of "
            "samples of this study, on the claimed side. An interval that runs out of the picture is cut.",
            "Studies of the calendar; event-study-engine",
            legend,
        )
        axes = compose(figure, text, left=2.75)
        ends = [abs(p.row[c]) for p in parts for c in ("estimate", "mde") if p.row[c] is not None]
        reach = 100 * 1.12 * max(ends)
        axes.set(xlim=(-reach, reach), ylim=(len(parts) - 0.4, -0.6))
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        for y, part in enumerate(parts):
            r, colour = part.row, COLOURS[part.row["verdict"]]
            side = 1 if r["sign"] == "+" else -1
            if r["ci_low"] is not None:
                axes.plot([100 * r["ci_low"], 100 * r["ci_high"]], [y, y], color=colour, linewidth=1.6, clip_on=True)
            axes.plot(100 * r["estimate"], y, "o", color=colour, markersize=5)
            if r["mde"] is not None:
                axes.plot(side * 100 * r["mde"], y, "|", color=FAINT, markersize=11, markeredgewidth=1.6)
            axes.annotate(
                "", xy=(side * reach * 0.09, y - 0.30), xytext=(0, y - 0.30),
                arrowprops={"arrowstyle": "-|>", "color": FAINT, "lw": 0.9, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
        axes.set_yticks(range(len(parts)), [label(p) for p in parts], fontsize=7.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("%", fontsize=8.5)
        for name in ("left", "top", "right"):
            axes.spines[name].set_visible(False)
        return save(figure, "png")


def label(part: Part) -> str:
    """Claim and statement in two lines."""
    text = f"{part.claim} {part.row['statement']}"
    if part.parts > 1:
        text = (
            f"{part.claim} part {part.number}: {part_words(part.row)}"
            if part.number > 1
            else f"{text}: {part_words(part.row)}"
        )
    middle = len(text) // 2
    spaces = [m.start() for m in re.finditer(" ", text)]
    if len(text) <= 36 or not spaces:
        return text
    cut = min(spaces, key=lambda s: abs(s - middle))
    return f"{text[:cut]}\n{text[cut + 1 :]}"


def write() -> None:
    parts = read_parts()
    PAGE.write_text(page(parts), encoding="utf-8")
    PICTURE.write_bytes(picture(parts))
    for file, (study, chart) in TELLING.items():
        result = read_result(STUDIES / study / "golden", whole=False)
        (ROOT / "docs" / file).write_bytes(render_chart(result, chart, "png"))
    text = README.read_text(encoding="utf-8")
    if START in text:
        before, rest = text.split(START)
        README.write_text(before + in_readme(parts) + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    write()
