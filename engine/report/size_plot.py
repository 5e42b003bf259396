"""The size of every test on the study's own data, with its band, under the three nulls."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.report.certificate import NULL_WORDS, certificate_of
from engine.report.chartwords import percent_axis, source
from engine.report.findings import Findings, Row, span_text
from engine.report.formats import level_text, typeset
from engine.report.style import GREY, GRID, GROUP_COLOURS, GROUP_MARKERS, MAIN, Words, blank, compose, text_width
from engine.report.titles import size_title

COLOURS = (MAIN, GROUP_COLOURS[0], GREY)
MARKERS = ("D", *GROUP_MARKERS[:2])
ROW = 0.34  # inches a test


def draw(found: Findings) -> Figure:
    """A row a test, a marker a null; the level as a line."""
    rows = certificate_of(found, found.window)
    tests = [t for t in found.settings["significance"]["tests"] if any(_known(rows.get((t, n))) for n in NULL_WORDS)]
    figure = blank(2.1 + ROW * max(len(tests), 2))
    widest = max((text_width(figure, t, 8.5) for t in tests), default=0.5)
    axes = compose(figure, _words(found, bool(tests)), left=widest + 0.25, right=0.2)
    axes.axvline(found.alpha, color="#4D4D4D", linewidth=0.9, zorder=2)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    highest = found.alpha
    for i, test in enumerate(tests):
        for k, null in enumerate(NULL_WORDS):
            row = rows.get((test, null))
            if row is None or not _known(row):
                continue
            y = i + (k - 1) * 0.24
            axes.plot([row["band_low"], row["band_high"]], [y, y], color=COLOURS[k], linewidth=1.4, zorder=3)
            axes.plot([row["size"]], [y], MARKERS[k], color=COLOURS[k], markersize=4.2, zorder=4)
            highest = max(highest, row["band_high"])
    axes.set_yticks(range(len(tests)), tests)
    axes.set_ylim(max(len(tests), 1) - 0.5, -0.5)
    axes.set_xlim(0, highest * 1.04)
    axes.tick_params(axis="y", length=0)
    percent_axis(axes.xaxis)
    axes.set_xlabel("Share of draws that reject, %")
    return figure


def _known(row: Row | None) -> bool:
    return row is not None and row["size"] is not None


def _words(found: Findings, any_test: bool) -> Words:
    legend = [
        (Line2D([], [], color=COLOURS[k], marker=MARKERS[k], markersize=4.2, linewidth=1.4), words)
        for k, words in enumerate(NULL_WORDS.values())
    ]
    notes = (
        f"Notes: how often each test rejects at {level_text(found.alpha)}, {found.alternative}, where nothing happened: "
        "pseudo-events of the same listings, same-date events together, the model fitted again. With the spread of the window: "
        "abnormal returns of mean zero with the study's own extra spread. Lines: 99 % bands."
    )
    return Words(
        typeset(size_title(found)), typeset(f"Size {span_text(found.window)}"), typeset(notes), source(found),
        legend if any_test else (),
    )  # fmt: skip
