"""One piece of news, one lane an exchange: which days it was open, when it heard, and its day 0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from engine.report.chartwords import source
from engine.report.findings import Findings
from engine.report.formats import percent, shortened, typeset
from engine.report.lanes import Lane, widest
from engine.report.style import MAIN, Words, blank, compose, printable
from engine.report.titles import venue_title

OPEN, NEWS, CLOSED = "#DCE6EC", "#D55E00", "#F6F6F6"
MOST_LISTINGS, MOST_DAYS = 4, 16
SMALL = 7.2


def draw(found: Findings) -> Figure:
    """The event whose day 0 differs most between exchanges."""
    event_id, lanes = widest(found)
    figure = blank(max(2.3, 1.75 + 0.62 * len(lanes)))
    axes = compose(figure, _words(found, event_id, lanes), left=0.95, right=1.75)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    if not lanes:
        axes.set_xticks([])
        axes.set_yticks([])
        return figure
    days = _days(lanes)
    for row, lane in enumerate(lanes):
        for column, day in enumerate(days):
            colour = MAIN if day == lane.day0 else OPEN if day in lane.sessions else CLOSED
            edge = "none" if day == lane.day0 or day in lane.sessions else "#E2E2E2"
            axes.add_patch(
                Rectangle((column + 0.04, row - 0.3), 0.92, 0.6, facecolor=colour, edgecolor=edge, linewidth=0.6)
            )
            if day == lane.day0:
                axes.text(
                    column + 0.5,
                    row,
                    "day 0",
                    color="white",
                    fontsize=SMALL,
                    fontweight="bold",
                    ha="center",
                    va="center",
                )
        for heard in sorted(set(lane.heard)):
            if heard.date() in days:
                x = days.index(heard.date()) + (heard.hour + heard.minute / 60) / 24
                axes.plot(x, row - 0.4, marker="v", markersize=7, color=NEWS, markeredgewidth=0, zorder=4)
                axes.plot([x, x], [row - 0.4, row - 0.18], color=NEWS, linewidth=1.6, zorder=4)
        for line, text in enumerate(moves := _move_texts(lane)):
            y = row + (line - (len(moves) - 1) / 2) * 0.24
            axes.text(len(days) + 0.15, y, printable(text), fontsize=SMALL, color="#333333", va="center", clip_on=False)
    axes.set_xlim(0, len(days))
    axes.set_ylim(len(lanes) - 0.45, -0.55)
    axes.set_yticks(range(len(lanes)), [lane.city for lane in lanes])
    axes.set_xticks([x + 0.5 for x in range(len(days))], [_tick(days, x) for x in range(len(days))])
    return figure


def _days(lanes: Sequence[Lane]) -> list[date]:
    """From the day before the news, or the first day 0, to two days after the last day 0."""
    first = min([lane.day0 for lane in lanes] + [h.date() for lane in lanes for h in lane.heard]) - timedelta(days=1)
    last = max(lane.day0 for lane in lanes) + timedelta(days=2)
    return [first + timedelta(days=k) for k in range(min((last - first).days + 1, MOST_DAYS))]


def _move_texts(lane: Lane) -> list[str]:
    shown = [f"{shortened(s, 18)}  {percent(ar)} %" for s, ar in lane.moves if ar is not None]
    without = sum(1 for _, ar in lane.moves if ar is None)
    if len(shown) > MOST_LISTINGS:
        shown = [*shown[: MOST_LISTINGS - 1], f"and {len(shown) - MOST_LISTINGS + 1} more"]
    return [typeset(t) for t in (shown or [f"{without} without prices"])]


def _tick(days: Sequence[date], x: int) -> str:
    day = days[x]
    month = f"\n{day:%b %Y}" if x == 0 or day.day == 1 else ""
    return f"{day:%a}\n{day.day}{month}" if len(days) <= 12 else f"{day.day}{month}"


def _words(found: Findings, event_id: str, lanes: Sequence[Lane]) -> Words:
    if not lanes:
        return Words(venue_title(found), "", "", source(found))
    stamps = sorted(
        {str(r["stamp_used"]) for r in found.result.tables["events"].to_dicts() if r["event_id"] == event_id}
    )
    rule = found.settings["events"]["reaction"]
    subtitle = f"{shortened(event_id, 30)}, {stamps[0]}; abnormal returns of day 0 to the right"
    notes = (
        f"Notes: day 0 is the first session of the listing's exchange whose {rule} is after the news. Each lane runs in the "
        "exchange's own time; the mark is the news."
    )
    legend: list[tuple[Any, str]] = [
        (Patch(facecolor=OPEN), "session"),
        (Patch(facecolor=CLOSED, edgecolor="#E2E2E2"), "closed"),
        (Patch(facecolor=MAIN), "day 0"),
        (Line2D([], [], color=NEWS, marker="v", markersize=6, linestyle="none"), "news"),
    ]
    return Words(typeset(venue_title(found)), typeset(subtitle), notes, source(found), legend)
