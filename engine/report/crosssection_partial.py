"""What each term of the first regression adds: CARs and the term, both freed of the other terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from engine.crosssection import CONSTANT
from engine.report.chartwords import percent_axis, source, subtitle
from engine.report.drivers import coefficient, regression_window, specifications
from engine.report.findings import Findings, Row, span_text
from engine.report.formats import one_line, shortened, typeset
from engine.report.style import GRID, MAIN, Words, blank, compose, printable, wrap
from engine.report.titles import partial_title

COLUMNS, NARROW = 3, 5.0  # panels in a row, and inches of width below which there is one fewer
MOST_PANELS = 9
LABEL = 7.0


def draw(found: Findings) -> Figure:
    """A panel a term, all with one scale of CARs; the line has the term's coefficient as slope."""
    terms = partial_terms(found)[:MOST_PANELS]
    rows = -(-len(terms) // _columns(blank()))
    figure = blank(1.75 + 1.62 * max(rows, 1))
    frame = compose(figure, _words(found, len(terms)), left=0.78)
    for spine in frame.spines.values():
        spine.set_visible(False)
    frame.set_xticks([])
    frame.set_yticks([])
    if not terms:
        for i, line in enumerate(wrap(figure, printable(_why_nothing(found)), 9, 0.75 * figure.get_size_inches()[0])):
            frame.text(0.5, 0.6 - 0.11 * i, line, ha="center", va="center", transform=frame.transAxes, fontsize=9)
        return figure
    frame.set_xlabel("the term, what the other terms explain taken out", labelpad=19)
    frame.set_ylabel(typeset(f"CAR {span_text(regression_window(found))} in %, the same taken out"), labelpad=34)
    points = found.result.tables["partials"]
    highest = float(np.abs(points["y"].to_numpy()).max()) * 1.08
    for i, row in enumerate(terms):
        axes = _panel(figure, frame, i, rows, len(terms))
        own = points.filter(pl.col("position") == row["position"])
        _points(axes, own["x"].to_numpy(), own["y"].to_numpy(), row)
        axes.set_ylim(-highest, highest)
    return figure


def partial_terms(found: Findings) -> list[Row]:
    """The rows of the first specification with its first covariance that have points, without the constant."""
    points = found.result.tables.get("partials")
    if points is None or points.is_empty():
        return []
    window = regression_window(found)
    name, first = points["specification"][0], found.settings["crosssection"]["covariance"][0]
    chosen = found.result.tables["crosssection"].filter(
        (pl.col("specification") == name)
        & (pl.col("covariance") == first)
        & (pl.col("window_start") == window.start)
        & (pl.col("window_end") == window.end)
        & (pl.col("term") != CONSTANT)
    )
    return chosen.sort("position").to_dicts()


def _why_nothing(found: Findings) -> str:
    """Why there is no point to show."""
    table = found.result.tables.get("crosssection")
    if table is None or table.is_empty():
        return "the study has no [crosssection]"
    reasons = table["unavailable"].drop_nulls()
    return (
        f"no regression: {one_line(reasons[0])}" if len(reasons) else "the first formula has no term but the constant"
    )


def _columns(figure: Figure) -> int:
    return COLUMNS if figure.get_size_inches()[0] >= NARROW else COLUMNS - 1


def _panel(figure: Figure, frame: Axes, i: int, rows: int, count: int) -> Axes:
    """The axes of panel ``i`` inside the frame, in rows from the top."""
    box = frame.get_position()
    width, height = figure.get_size_inches()
    across, down = 0.16 / width, 0.56 / height
    columns = min(_columns(figure), count)
    w = (box.width - (columns - 1) * across) / columns
    h = (box.height - 0.30 / height - (rows - 1) * down) / rows
    left = box.x0 + (i % _columns(figure)) * (w + across)
    axes = figure.add_axes((left, box.y1 - 0.30 / height - (i // _columns(figure)) * (h + down) - h, w, h))
    axes.tick_params(labelsize=LABEL, length=2.5, pad=2)
    axes.grid(color=GRID, linewidth=0.6)
    percent_axis(axes.yaxis)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    if i % _columns(figure):
        axes.tick_params(labelleft=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value + 0.0:.4g}".replace("-", "−")))
    return axes


def _points(axes: Axes, x: Any, y: Any, row: Row) -> None:
    axes.axhline(0, color="#4D4D4D", linewidth=0.7, zorder=2)
    size = 3.0 if len(x) <= 200 else 1.6
    axes.plot(x, y, linestyle="none", marker="o", color=MAIN, markersize=size, alpha=0.65, markeredgewidth=0, zorder=3)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, ends * row["estimate"], color="black", linewidth=1.3, zorder=4)
    axes.margins(x=0.06)
    above = f"{printable(shortened(row['term'], 30))}\n{coefficient(row['estimate'])} ({coefficient(row['se'])})"
    axes.set_title(typeset(above), fontsize=LABEL, loc="left", y=1.0, pad=2.5, color="#222222", linespacing=1.15)


def _words(found: Findings, shown: int) -> Words:
    title = typeset(partial_title(found))
    terms = partial_terms(found)
    if not terms:
        return Words(title, "", "", source(found))
    chosen = found.settings["crosssection"]
    name, formula = next(iter(specifications(found).items()))
    notes = (
        f"Notes: {name}: {formula}. Above each panel the coefficient in percentage points and its standard error, "
        f"{chosen['covariance'][0]}; the slope of the line is the coefficient"
    )
    if chosen["weights"] == "forecast_variance":
        notes += "; both axes times the root of the weight, of mean 1"
    if len(terms) > shown:
        notes += f"; the first {shown} of {len(terms)} terms"
    words = typeset(subtitle(found, f"CARs {span_text(regression_window(found))} and each term, N = {terms[0]['n']}"))
    return Words(title, words, f"{printable(notes)}.", source(found))
