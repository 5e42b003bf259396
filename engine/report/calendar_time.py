"""The cumulated abnormal return of the portfolio in real time, with its band: whether the alpha is one era's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from engine.report.chartwords import percent_axis, source
from engine.report.findings import Findings, count, student_quantiles
from engine.report.formats import level_text, typeset
from engine.report.long_horizon import NOUNS, alpha_rows
from engine.report.style import GRID, GROUP_COLOURS, GROUP_DASHES, MAIN, Words, blank, compose
from engine.report.titles import calendar_time_title
from engine.report.wording import model_name

Floats = npt.NDArray[np.float64]


def draw(found: Findings) -> Figure:
    """The running sum of the abnormal returns of group ``all``, one line for each weighting."""
    figure = blank()
    axes = compose(figure, _words(found), left=0.7, right=0.25)
    axes.axhline(0, color="#4D4D4D", linewidth=0.9, zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    percent_axis(axes.yaxis)
    axes.set_ylabel("Cumulated abnormal return, %")
    axes.set_xlabel("Calendar time")
    for i, weighting in enumerate(_weightings(found)):
        rows = found.result.tables["portfolios"].filter((pl.col("group") == "all") & (pl.col("weighting") == weighting))
        _line(axes, found, rows, i)
    return figure


def _weightings(found: Findings) -> list[str]:
    """Those with an alpha, in the order of the study."""
    rows = [r for r in alpha_rows(found) if r["group"] == "all" and r["regression"] == "ols"]
    return [r["weighting"] for r in rows if not r["unavailable"]]


def _line(axes: Axes, found: Findings, rows: pl.DataFrame, i: int) -> None:
    days, abnormal = rows["period"].to_numpy(), rows["abnormal"].to_numpy().astype(np.float64)
    path = np.cumsum(abnormal)
    if i == 0:
        half = band(abnormal, found.alpha, len(abnormal))
        axes.fill_between(days, -half, half, color=MAIN, alpha=0.18, linewidth=0, step="post", zorder=2.5)
        axes.plot(days, path, color=MAIN, linewidth=2.2, drawstyle="steps-post", zorder=4)
    else:
        axes.plot(
            days,
            path,
            color=GROUP_COLOURS[0],
            linestyle=GROUP_DASHES[0],
            linewidth=1.5,
            drawstyle="steps-post",
            zorder=3,
        )


def band(abnormal: Floats, alpha: float, rows: int) -> Floats:
    """(T,) half the 1 - alpha band around zero of a sum of t independent abnormal returns: q sd sqrt(t)."""
    quantile = student_quantiles([max(rows - 1, 1)], alpha)[0]
    return np.asarray(quantile * abnormal.std(ddof=1) * np.sqrt(np.arange(1, rows + 1)))


def _words(found: Findings) -> Words:
    rule = found.settings.get("calendar_time")
    if not rule:
        return Words(calendar_time_title(found), "The study has no table [calendar_time]", "", source(found))
    noun = NOUNS[rule["frequency"]]
    rows = {r["weighting"]: r for r in alpha_rows(found) if r["group"] == "all" and r["regression"] == "ols"}
    shown = _weightings(found)
    legend: list[tuple[Any, str]] = []
    for i, weighting in enumerate(shown):
        line = (
            Line2D([], [], color=MAIN, linewidth=2.2)
            if i == 0
            else Line2D([], [], color=GROUP_COLOURS[0], linestyle=GROUP_DASHES[0], linewidth=1.5)
        )
        legend.append((line, f"{weighting} weights, {count(rows[weighting]['n_periods'], noun)}"))
    if shown:
        legend.append(
            (
                Patch(color=MAIN, alpha=0.18, linewidth=0),
                f"{level_text(1 - found.alpha)} band of no abnormal return, {shown[0]} weights",
            )
        )
    held = f"sessions {rule['hold']}" if rule["hold"] is not None else f"{count(rule['months'], 'month')}"
    notes = (
        f"Notes: running sum of alpha + residual over the {noun}s with at least {count(rule['min_firms'], 'firm')}, the others "
        "left out; a firm is held once however many of its events overlap. The band is for one end chosen beforehand, with "
        "independent returns; the test of the alpha is in the table."
    )
    subtitle = (
        f"Portfolio of firms held for {held} after day 0, {rule['frequency']} returns against the regressors of the "
        f"{model_name(found.settings)}"
    )
    return Words(
        typeset(calendar_time_title(found)), typeset(subtitle), typeset(notes), source(found), legend
    )  # fmt: skip
