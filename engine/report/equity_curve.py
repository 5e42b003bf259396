"""The capital of the backtest over time, its drawdown, and when positions were entered."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from engine.report.backtest import backtest_title, measures, rule_words
from engine.report.chartwords import percent_axis, source
from engine.report.findings import Findings, Row
from engine.report.formats import level_text, one_line, percent, typeset
from engine.report.style import GREY, GRID, GROUP_COLOURS, MAIN, Words, blank, compose, tell

BELOW, GAP, NARROW = 0.85, 0.10, 5.0  # inches: of the drawdown, above it, and the width of a narrow sheet
BAND, BANDED = ("placebo_low", "placebo_high"), "#DDE3EA"
BOUGHT, SOLD = GROUP_COLOURS[1], GROUP_COLOURS[0]


BAND_NOTE = "Band: the same rule at dates without a signal, each profit booked on the day the real position was left. "


def draw(found: Findings) -> Figure:
    """Profit in per cent of the first capital above, with a tick for each entry; the drawdown below."""
    figure = blank(4.9)
    width = float(figure.get_size_inches()[0])
    figure.set_size_inches(width, 4.9 if width >= NARROW else 5.9)  # narrow words take more lines
    upper = compose(figure, _words(found), left=0.7, right=0.2)
    table = found.result.tables.get("equity")
    if table is None or table.is_empty():
        upper.set_axis_off()
        return figure
    box = upper.get_position()
    height = box.height * float(figure.get_size_inches()[1])
    low = BELOW / height
    upper.set_position(
        (box.x0, box.y0 + box.height * (low + GAP / height), box.width, box.height * (1 - low - GAP / height))
    )
    lower = figure.add_axes((box.x0, box.y0, box.width, box.height * low), sharex=upper)
    days = table["date"].to_numpy()
    upper.axhline(0, color="#4D4D4D", linewidth=0.9, zorder=2)
    if _has_band(found):
        ends = [table[name].to_numpy() - 1 for name in BAND]
        upper.fill_between(days, ends[0], ends[1], color=BANDED, linewidth=0, step="post", zorder=1)
    upper.plot(days, table["equity"].to_numpy() - 1, color=MAIN, linewidth=1.6, zorder=4)
    lower.fill_between(days, table["drawdown"].to_numpy(), 0, color=GREY, alpha=0.35, linewidth=0, step="post")
    lower.set_ylim(min(1.08 * float(table["drawdown"].to_numpy().min()), -0.001), 0)
    _entries(upper, found)
    for axes in (upper, lower):
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        percent_axis(axes.yaxis)
    lower.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    upper.set_ylabel("Profit, %")
    lower.set_ylabel("Drawdown, %")
    lower.set_xlabel("Calendar time")
    upper.tick_params(axis="x", labelbottom=False, bottom=False)
    upper.spines["bottom"].set_visible(False)
    return figure


def _has_band(found: Findings) -> bool:
    """Whether the capital at pseudo-dates is known; results of an earlier version do not have it."""
    table = found.result.tables.get("equity")
    return table is not None and BAND[0] in table.columns and table[BAND[0]].null_count() < len(table)


def _entries(axes: Axes, found: Findings) -> None:
    """A tick for each entry at the lower edge: buys above sells."""
    rows: list[Row] = [r for r in found.result.tables["trades"].to_dicts() if r["entry_day"] is not None]
    for side, colour, bottom in (("short", SOLD, 0.0), ("long", BOUGHT, 0.035)):
        chosen = [r for r in rows if r["side"] == side]
        days = np.array([r["entry_day"] for r in chosen], "datetime64[D]")
        for day, r in zip(days.astype(np.float64), chosen, strict=True):
            net = f"net {percent(r['net'])} %" if r["net"] is not None else str(r["reason"])
            said = f"{r['event_id']} {r['symbol']}, {r['leg']}: {side} from {r['entry_day']} {r['entry_at']}, {net}"
            tell(axes, day, axes.get_ylim()[0], one_line(said))
        if len(days):
            axes.vlines(
                days, bottom, bottom + 0.03, color=colour, linewidth=0.9, transform=axes.get_xaxis_transform(), zorder=3
            )


def _words(found: Findings) -> Words:
    rule = found.settings.get("backtest")
    if not rule:
        return Words("No backtest", "The study has no table [backtest]", "", source(found))
    known = measures(found)
    legend: list[tuple[Any, str]] = [
        (Line2D([], [], color=MAIN, linewidth=1.6), "capital less its start, net of costs"),
        *(
            [(Patch(color=BANDED, linewidth=0), f"{level_text(1 - found.alpha)} of placebo calendars")]
            if _has_band(found)
            else []
        ),
        (Line2D([], [], color=BOUGHT, marker="|", markersize=7, linewidth=0), "listing bought"),
        (Line2D([], [], color=SOLD, marker="|", markersize=7, linewidth=0), "listing sold short"),
    ]
    cost = f"{rule['cost_bp']:g} bp each way for listing and hedge, {rule['borrow_bp']:g} bp a year for listings sold short"
    deepest = known.get("max_drawdown", {}).get("value")
    notes = (
        f"Notes: each position {percent(rule['size'], 0)} % of the first capital, not reinvested; {cost}. "
        + (f"Deepest drawdown {percent(deepest, 1)} %. " if deepest is not None else "")
        + (BAND_NOTE if _has_band(found) else "")
        + "The past of a rule that was written after it."
    )
    return Words(typeset(backtest_title(found)), typeset(rule_words(found)), typeset(notes), source(found), legend)
