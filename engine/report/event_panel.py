"""One event from near: the share against what the model expected of it, and the shares traded, day by day."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from engine.report.chartwords import source, subtitle
from engine.report.findings import EventCar, Findings
from engine.report.formats import percent, shortened, typeset
from engine.report.style import FAINT, GREY, GRID, MAIN, SHADE, Words, blank, compose, listing_name, tell
from engine.report.titles import chosen_event, panel_title

UNITS = ((1e9, "billion"), (1e6, "million"), (1e3, "thousand"))
VOLUME_SHARE = 0.3  # of the height
Floats = npt.NDArray[np.float64]


def draw(found: Findings) -> Figure:
    """The event of ``[report] event``, else the one with the largest CAR in absolute value."""
    event = chosen_event(found)
    rows = _rows(found, event)
    figure = blank(5.0)
    frame = compose(figure, _words(found, event, rows), left=0.75)
    if event is None or rows.is_empty():
        frame.set_axis_off()
        return figure
    box = frame.get_position()
    traded = rows["volume"].is_not_null().any()
    below = VOLUME_SHARE * box.height if traded else 0.0
    frame.set_position(
        (box.x0, box.y0 + below + (0.04 if traded else 0), box.width, box.height - below - (0.04 if traded else 0))
    )
    _prices(frame, found, rows)
    if traded:
        frame.tick_params(labelbottom=False)
        axes = figure.add_axes((box.x0, box.y0, box.width, below), sharex=frame)
        _volumes(axes, rows)
        axes.set_xlabel("Trading days relative to day 0")
    else:
        frame.set_xlabel("Trading days relative to day 0")
    return figure


def index_of(returns: Floats, log: bool) -> Floats:
    """100 before the first day, grown by each return (simple, or log); NaN from the first missing one on."""
    grown = np.exp(np.cumsum(returns)) if log else np.cumprod(1 + returns)
    return np.asarray(100 * np.concatenate([[1.0], grown]))


def _rows(found: Findings, event: EventCar | None) -> pl.DataFrame:
    """Days with actual and expected return and volume of an event; no rows where the result keeps no returns."""
    table = found.result.tables.get("abnormal_returns")
    nothing = pl.DataFrame(schema=dict.fromkeys(("relative_day", "actual", "expected", "volume"), pl.Float64))
    if table is None or event is None or not {"actual", "expected"} <= set(table.columns):
        return nothing
    own = (pl.col("event_id") == event.event_id) & (pl.col("symbol") == event.symbol)
    rows = table.filter(own).sort("relative_day")
    trading = found.result.tables.get("trading")
    if trading is None or "volume" not in trading.columns:
        return rows.with_columns(volume=pl.lit(None, pl.Float64))
    volumes = trading.filter(own).select("relative_day", "volume")
    return rows.join(volumes, on="relative_day", how="left", maintain_order="left", validate="1:1")


def _prices(axes: Axes, found: Findings, rows: pl.DataFrame) -> None:
    days = rows["relative_day"].to_numpy()
    log = found.settings["prices"]["returns"] == "log"
    lines = [index_of(rows[c].fill_null(float("nan")).to_numpy().astype(float), log) for c in ("actual", "expected")]
    at = np.concatenate([[days[0] - 1], days])
    axes.axvspan(found.window.start - 0.5, found.window.end + 0.5, color=SHADE, linewidth=0, zorder=0.5)
    axes.axvline(0, color="#4D4D4D", linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.plot(at, lines[1], color=GREY, linewidth=1.5, linestyle=(0, (5, 1.5)), zorder=3)
    axes.plot(at, lines[0], color=MAIN, linewidth=2.2, zorder=4)
    axes.fill_between(at, lines[0], lines[1], color=MAIN, alpha=0.12, linewidth=0, zorder=2.5)
    axes.set_ylabel("Index of total return")
    axes.set_xlim(at[0] - 0.5, at[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=11, integer=True, steps=[1, 2, 5, 10]))
    for row, level in zip(rows.to_dicts(), lines[0][1:], strict=True):
        if np.isfinite(level):
            day = f"day {row['relative_day']}, {row['date']}"
            both = f"return {percent(row['actual'])} %, expected {percent(row['expected'])} %"
            tell(axes, row["relative_day"], level, typeset(f"{day}\n{both}\nAR {percent(row['ar'])} %"))


def _volumes(axes: Axes, rows: pl.DataFrame) -> None:
    volume = rows["volume"].fill_null(float("nan")).to_numpy().astype(float)
    days = rows["relative_day"].to_numpy()
    axes.bar(days, volume, width=0.7, color=FAINT, linewidth=0, zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    size, unit = next(
        ((s, u) for s, u in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")) if np.nanmax(volume) >= s), (1, "")
    )
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:g}"))
    axes.set_ylabel(f"Shares, {unit}".rstrip(", "))
    for day, number in zip(days, volume, strict=True):
        if np.isfinite(number):
            tell(axes, day, number / 2, typeset(f"day {day}: {number:,.0f} shares"))


def _words(found: Findings, event: EventCar | None, rows: pl.DataFrame) -> Words:
    if event is None or rows.is_empty():
        return Words(typeset(panel_title(found)), "The result keeps no daily returns to show", "", source(found))
    legend: list[tuple[Any, str]] = [
        (Line2D([], [], color=MAIN, linewidth=2.2), "share"),
        (Line2D([], [], color=GREY, linewidth=1.5, linestyle=(0, (5, 1.5))), "expected by the model"),
        (Patch(color=SHADE, linewidth=0), f"window {typeset(str(found.window))}"),
    ]
    name = shortened(f"{event.symbol} {listing_name(event.name, event.name_zh)}".strip(), 40)
    notes = "Notes: returns compounded, 100 at the close before the first day; the gap is what is abnormal"
    if rows["volume"].is_not_null().any():
        notes += "; below, shares traded"
    measure = typeset(subtitle(found, f"{name}, day 0 {event.event_day}"))
    return Words(typeset(panel_title(found)), measure, f"{notes}.", source(found), legend)
