"""The average path: CAAR of the whole sample with its band, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from engine.report.chartwords import percent_axis, short_label, shown_groups, source, subtitle
from engine.report.findings import EventCar, Findings, student_quantiles
from engine.report.formats import level_text, percent, shortened, typeset
from engine.report.labels import leader, spread
from engine.report.style import (
    FAINT,
    GREY,
    GRID,
    GROUP_COLOURS,
    GROUP_DASHES,
    MAIN,
    SHADE,
    Words,
    blank,
    compose,
    printable,
    tell,
    text_width,
)
from engine.report.tables import group_label
from engine.report.titles import caar_title
from engine.report.wording import OUTCOMES, outcome_of

MOST_SINGLE = 15
LABEL = 6.5
Floats = npt.NDArray[np.float64]


def draw(found: Findings) -> Figure:
    """The CAAR of group ``all`` over the event window."""
    figure = blank()
    singles = _single_paths(found)
    labels = [printable(short_label(e, found)) for e, _, _ in singles]
    right = max((text_width(figure, label, LABEL) for label in labels), default=0.0)
    average = _average(found, "all")
    alone = len(found.measured) == 1
    axes = compose(figure, _words(found, average, bool(singles) and not alone), right=right + 0.25 if labels else 0.15)
    _frame(axes, found)
    for _, days, path in singles:
        axes.plot(days, path, color=FAINT, linewidth=0.8, zorder=2.2, solid_capstyle="round")
    for i, group in enumerate(shown_groups(found)):
        rows = _average(found, group)
        axes.plot(
            rows["relative_day"], rows["caar"], color=GROUP_COLOURS[i], linestyle=GROUP_DASHES[i], linewidth=1.5, zorder=3
        )  # fmt: skip
    _main_line(axes, average, found.alpha)
    if not average.is_empty():
        days = average["relative_day"].to_list()
        axes.set_xlim(days[0] - 0.5, days[-1] + 0.5)
    _end_labels(axes, singles, labels)
    return figure


def _average(found: Findings, group: str) -> pl.DataFrame:
    table = found.result.tables["averages"]
    return table.filter((pl.col("group") == group) & pl.col("caar").is_not_null()).sort("relative_day")


def band(average: pl.DataFrame, alpha: float) -> tuple[Floats, Floats]:
    """Lower and upper end of the 1 - alpha band of the CAAR, Student t with n - 1; NaN where there is no se."""
    n = average["n"].to_numpy()
    se = average["se_caar"].to_numpy().astype(np.float64)
    caar = average["caar"].to_numpy()
    half = np.asarray(student_quantiles(np.maximum(n - 1, 1).tolist(), alpha)) * se
    return caar - half, caar + half


def _main_line(axes: Axes, average: pl.DataFrame, alpha: float) -> None:
    if average.is_empty():
        return
    days, caar = average["relative_day"].to_numpy(), average["caar"].to_numpy()
    if average["se_caar"].is_not_null().any():
        low, high = band(average, alpha)
        axes.fill_between(days, low, high, color=MAIN, alpha=0.18, linewidth=0, zorder=2.5)
    axes.plot(days, caar, color=MAIN, linewidth=2.6, zorder=4, solid_capstyle="round", solid_joinstyle="round")
    for row in average.to_dicts():
        error = f"\ns.e. {percent(row['se_caar'])} %" if row["se_caar"] is not None else ""
        said = f"day {row['relative_day']}: CAAR {percent(row['caar'])} %{error}\nAAR {percent(row['aar'])} %, N = {row['n']}"
        tell(axes, row["relative_day"], row["caar"], typeset(said))


def _frame(axes: Axes, found: Findings) -> None:
    """Window shade, zero, day 0, ticks and axis names."""
    axes.axvspan(found.window.start - 0.5, found.window.end + 0.5, color=SHADE, linewidth=0, zorder=0.5)
    axes.axhline(0, color="#4D4D4D", linewidth=0.9, zorder=2)
    axes.axvline(0, color="#4D4D4D", linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=11, integer=True, steps=[1, 2, 5, 10]))
    percent_axis(axes.yaxis)
    axes.set_xlabel("Trading days relative to day 0")
    outcome = outcome_of(found.settings)
    axes.set_ylabel(f"CAAR of {OUTCOMES[outcome][0]}, %" if outcome else "Cumulative abnormal return, %")


def _single_paths(found: Findings) -> list[tuple[EventCar, list[int], list[float]]]:
    """Cumulated abnormal returns of each event up to its first missing day, for at most 15 events."""
    table = found.result.tables.get("abnormal_returns")
    if table is None or not 1 < len(found.measured) <= MOST_SINGLE:
        return []
    made = []
    for event in found.measured:
        own = (pl.col("event_id") == event.event_id) & (pl.col("symbol") == event.symbol)
        days, path, total = [], [], 0.0
        for day, ar in table.filter(own).sort("relative_day").select("relative_day", "ar").rows():
            if ar is None:
                break
            total += ar
            days.append(day)
            path.append(total)
        if days:
            made.append((event, days, path))
    return made


def _end_labels(axes: Axes, singles: Sequence[tuple[EventCar, list[int], list[float]]], labels: Sequence[str]) -> None:
    """Name each grey line at its end, apart from each other, with a hair line back to it."""
    if not singles:
        return
    figure = axes.figure
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    height = axes.get_position().height * figure.get_size_inches()[1]  # type: ignore[union-attr]
    per_inch = (high - low) / height
    step = LABEL * 1.25 / 72 * per_inch
    ends = [path[-1] for _, _, path in singles]
    right = axes.get_xlim()[1]
    for (_, days, _), end, y, label in zip(singles, ends, spread(ends, step, low, high), labels, strict=True):
        axes.annotate(
            label, xy=(days[-1], end), xytext=(right + 0.012 * (right - axes.get_xlim()[0]), y), fontsize=LABEL, color=GREY,
            va="center", ha="left", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#C4C4C4", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 1,
                        "connectionstyle": leader, "relpos": (0.0, 0.5)},
        )  # fmt: skip


def _words(found: Findings, average: pl.DataFrame, singles: bool) -> Words:
    n = _n_text(average)
    banded = not average.is_empty() and average["se_caar"].is_not_null().any()
    name = "CAR of the event" if len(found.measured) == 1 else f"all, N = {n}"
    legend: list[tuple[Any, str]] = [(Line2D([], [], color=MAIN, linewidth=2.6), name)]
    if banded:
        legend.append((Patch(color=MAIN, alpha=0.18, linewidth=0), f"{level_text(1 - found.alpha)} band"))
    for i, group in enumerate(shown_groups(found)):
        line = Line2D([], [], color=GROUP_COLOURS[i], linestyle=GROUP_DASHES[i], linewidth=1.5)
        legend.append((line, f"{shortened(group_label(group), 26)}, N = {_n_text(_average(found, group))}"))
    if singles:
        legend.append((Line2D([], [], color=FAINT, linewidth=0.8), "single events"))
    legend.append((Patch(color=SHADE, linewidth=0), f"window {typeset(str(found.window))}"))
    first = "" if average.is_empty() else f" from day {average['relative_day'][0]}"
    notes = f"Notes: sums of the daily mean abnormal return{first}"
    if banded:
        notes += "; band: Student t on the spread of the single events' sums, so it takes the events as independent"
    if found.column and shown_groups(found):
        notes += f"; groups by {shortened(found.column, 30)}"
    title = caar_title(found)
    if "(p " in title or " p " in title:
        notes += f"; p of {found.test}"
    return Words(
        typeset(title),
        typeset(subtitle(found, "Average CAR (CAAR)")),
        typeset(f"{notes}."),
        source(found),
        legend,
    )


def _n_text(average: pl.DataFrame) -> str:
    if average.is_empty():
        return "0"
    n = average["n"].to_list()
    return str(n[0]) if min(n) == max(n) else f"{min(n)} to {max(n)}"
