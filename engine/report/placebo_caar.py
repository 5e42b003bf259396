"""The mean CARs at pseudo-dates, and where the real one stands among them."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from engine.report.chartwords import percent_axis, source
from engine.report.findings import Findings, Row, span_text
from engine.report.formats import percent, typeset
from engine.report.style import GRID, GROUP_COLOURS, MAIN, Words, blank, compose
from engine.report.titles import placebo_title

SHOWN = {"as_they_are": "as they are", "scaled": "with the extra spread of the window"}


def draw(found: Findings) -> Figure:
    """Two histograms of the draws, filled and in outline, with the real mean CAR as a line."""
    rows = placebo_rows(found)
    figure = blank()
    axes = compose(figure, _words(found, rows), left=0.66, right=0.25)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    for null in SHOWN if rows else ():
        bins = [r for r in rows if r["null"] == null]
        total, width = sum(r["draws"] for r in bins), bins[0]["high"] - bins[0]["low"] or 1.0
        heights = [r["draws"] / total / width / 100 for r in bins]
        edges = [*(r["low"] for r in bins), bins[-1]["high"]]
        if null == "as_they_are":
            axes.stairs(heights, edges, fill=True, color=MAIN, alpha=0.35, zorder=3)
        else:
            axes.stairs(heights, edges, color=GROUP_COLOURS[0], linewidth=1.4, zorder=4)
    if rows:
        axes.axvline(rows[0]["caar"], color="#111111", linewidth=1.8, zorder=5)
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.set_xlabel("Mean CAR, %")
    axes.set_ylabel("Draws per percentage point, %")
    return figure


def placebo_rows(found: Findings) -> list[Row]:
    """The bins of the whole sample at the primary window, in their order."""
    if "placebo" not in found.result.tables:
        return []
    here = ("all", found.window.start, found.window.end)
    rows = found.result.tables["placebo"].to_dicts()
    return [r for r in rows if (r["group"], r["window_start"], r["window_end"]) == here]


def _words(found: Findings, rows: list[Row]) -> Words:
    legend = [
        (Patch(color=MAIN, alpha=0.35, linewidth=0), f"pseudo-events {SHOWN['as_they_are']}"),
        (Line2D([], [], color=GROUP_COLOURS[0], linewidth=1.4), SHOWN["scaled"]),
    ]
    if rows:
        legend.append(
            (Line2D([], [], color="#111111", linewidth=1.8), typeset(f"this study, {percent(rows[0]['caar'])} %"))
        )
    draws = sum(r["draws"] for r in rows if r["null"] == "as_they_are")
    notes = (
        f"Notes: {draws} draws of the same listings at other dates, same-date events together, the model fitted again at each; "
        "event windows of real events are kept out. The outline has the same draws with mean zero and the study's own extra "
        "spread of the events on the days of the window."
    )
    subtitle = f"Mean CAR {span_text(found.window)} at pseudo-dates"
    return Words(
        typeset(placebo_title(found)), typeset(subtitle), typeset(notes), source(found), legend if rows else ()
    )  # fmt: skip
