"""A small path a listing: the mean of its events in colour, the events in grey, all on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from engine.report.chartwords import percent_axis, source, subtitle
from engine.report.findings import Findings, count
from engine.report.formats import percent, shortened, typeset
from engine.report.panels import columns_for, panels
from engine.report.style import FAINT, GRID, MAIN, SHADE, Words, blank, compose, listing_name, printable, tell
from engine.report.titles import paths_title

MOST_LISTINGS = 24
ROW = 1.35
Floats = npt.NDArray[np.float64]


def draw(found: Findings) -> Figure:
    """The listings with most events first, at most 24."""
    paths = listing_paths(found)
    shown = sorted(paths, key=lambda s: (-len(paths[s]), s))[:MOST_LISTINGS]
    width = blank().get_size_inches()[0]
    rows = -(-len(shown) // columns_for(width, len(shown))) if shown else 1
    figure = blank(2.0 + ROW * rows)
    frame = compose(figure, _words(found, paths, len(shown)), left=0.68)
    if not shown:
        frame.set_axis_off()
        return figure
    for symbol, axes in zip(shown, panels(figure, frame, len(shown), above=0.24), strict=True):
        _panel(axes, found, symbol, paths[symbol])
    frame.set_xlabel("Trading days relative to day 0", labelpad=20)
    frame.set_ylabel("Cumulative abnormal return, %", labelpad=30)
    return figure


def listing_paths(found: Findings) -> dict[str, list[tuple[Floats, Floats]]]:
    """(days, cumulated abnormal returns) of each measured event by symbol, NaN from the first missing day on."""
    table = found.result.tables.get("abnormal_returns")
    if table is None:
        return {}
    measured = {(e.event_id, e.symbol) for e in found.measured}
    rows: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for event_id, symbol, day, ar in table.select("event_id", "symbol", "relative_day", "ar").rows():
        if (event_id, symbol) in measured:
            rows.setdefault((event_id, symbol), []).append((day, float("nan") if ar is None else ar))
    made: dict[str, list[tuple[Floats, Floats]]] = {}
    for (_, symbol), path in rows.items():
        days, returns = np.array(path, dtype=float).T
        made.setdefault(symbol, []).append((days, np.cumsum(returns)))
    return made


def _panel(axes: Axes, found: Findings, symbol: str, paths: Sequence[tuple[Floats, Floats]]) -> None:
    axes.axvspan(found.window.start - 0.5, found.window.end + 0.5, color=SHADE, linewidth=0, zorder=0.5)
    axes.axhline(0, color="#4D4D4D", linewidth=0.7, zorder=2)
    axes.axvline(0, color="#4D4D4D", linewidth=0.7, linestyle=(0, (4, 3)), zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    for days, path in paths if len(paths) > 1 else ():
        axes.plot(days, path, color=FAINT, linewidth=0.7, zorder=2.5)
    days, mean = paths[0][0], np.mean([path for _, path in paths], axis=0)
    axes.plot(days, mean, color=MAIN, linewidth=1.8, zorder=4)
    for day, value in zip(days, mean, strict=True):
        if np.isfinite(value):
            tell(axes, day, value, typeset(f"{symbol}, day {day:.0f}: {percent(value)} %"))
    percent_axis(axes.yaxis)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    known = found.result.manifest.get("listings", {}).get(symbol, {})
    name = listing_name(known.get("name") or "", known.get("name_zh") or "")
    room = axes.get_position().width * axes.figure.get_size_inches()[0]  # type: ignore[union-attr]
    title = f"{printable(shortened(f'{symbol} {name}'.strip(), int(room / 0.062) - 6))}, {len(paths)}"
    axes.set_title(title, fontsize=7, loc="left", y=1.0, pad=2.5, color="#222222")


def _words(found: Findings, paths: Mapping[str, Sequence[Any]], shown: int) -> Words:
    legend: list[tuple[Any, str]] = [
        (Line2D([], [], color=MAIN, linewidth=1.8), "mean of the listing's events"),
        (Line2D([], [], color=FAINT, linewidth=0.8), "single events"),
        (Patch(color=SHADE, linewidth=0), f"window {typeset(str(found.window))}"),
    ]
    notes = "Notes: sums of the daily abnormal returns, one scale for all; behind each name its number of events"
    if shown < len(paths):
        notes += f"; the {shown} listings with most events of {len(paths)}"
    measure = typeset(subtitle(found, f"CAR of {count(sum(map(len, paths.values())), found.noun)} by listing"))
    return Words(typeset(paths_title(found)), measure, f"{notes}.", source(found), legend if paths else ())
