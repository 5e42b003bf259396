"""One piece of news, one lane an exchange: which days it was open, when it heard, and its day 0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from engine.report.chartwords import source
from engine.report.findings import Findings
from engine.report.formats import first_words, percent, shortened, typeset
from engine.report.lanes import Lane, widest
from engine.report.style import MAIN, Words, blank, compose, printable
from engine.report.titles import venue_title

OPEN, NEWS, CLOSED, HATCH = "#DCE6EC", "#D55E00", "#F6F6F6", "#CFCFCF"
MOST_LISTINGS, FEW_DAYS, MOST_DAYS, LABEL = 4, 11, 20, 22
SMALL = 7.2
NARROW = 5.0  # inches of width below which words are fewer and shorter


def draw(found: Findings) -> Figure:
    """The event whose day 0 differs most between exchanges."""
    event_id, lanes = widest(found)
    figure = blank(max(2.3, 1.75 + 0.62 * len(lanes)))
    slim = figure.get_size_inches()[0] < NARROW
    axes = compose(figure, _words(found, event_id, lanes), left=0.75 if slim else 0.95, right=1.4 if slim else 1.75)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    if not lanes:
        axes.set_xticks([])
        axes.set_yticks([])
        return figure
    days = _days(lanes)
    for row, lane in enumerate(lanes):
        _draw_lane(axes, row, lane, days, slim)
    axes.set_xlim(0, len(days))
    axes.set_ylim(len(lanes) - 0.45, -0.55)
    axes.set_yticks(range(len(lanes)), [lane.city for lane in lanes])
    axes.set_xticks([x + 0.5 for x in range(len(days))], [_tick(days, x, slim) for x in range(len(days))])
    return figure


def _draw_lane(axes: Axes, row: int, lane: Lane, days: Sequence[date], slim: bool) -> None:
    """The days of one exchange as cells, the news above them, the moves to the right."""
    known = (min(lane.sessions), max(lane.sessions)) if lane.sessions else (lane.day0, lane.day0)
    for column, day in enumerate(days):
        inside = known[0] <= day <= known[1]
        colour = MAIN if day == lane.day0 else OPEN if day in lane.sessions else CLOSED if inside else "white"
        edge = HATCH if colour == CLOSED else "none"
        axes.add_patch(
            Rectangle(
                (column + 0.04, row - 0.3),
                0.92,
                0.6,
                facecolor=colour,
                edgecolor=edge,
                linewidth=0.6,
                hatch="////" if colour == CLOSED else None,
            )
        )
        if day == lane.day0:
            said = "day 0" if len(days) <= FEW_DAYS and not slim else "0"
            axes.text(
                column + 0.5,
                row + 0.08,
                said,
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
    moves = _move_texts(lane, 12 if slim else LABEL, 2 if slim else MOST_LISTINGS)
    for line, text in enumerate(moves):
        y = row + (line - (len(moves) - 1) / 2) * 0.24
        axes.text(len(days) + 0.15, y, printable(text), fontsize=SMALL, color="#333333", va="center", clip_on=False)


def _days(lanes: Sequence[Lane]) -> list[date]:
    """From the day before the news, or the first day 0, to two days after the last day 0; of a long span, only the days
    beside the news and the days 0."""
    marks = {lane.day0 for lane in lanes} | {h.date() for lane in lanes for h in lane.heard}
    first, last = min(marks) - timedelta(days=1), max(lane.day0 for lane in lanes) + timedelta(days=2)
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    if len(days) <= MOST_DAYS:
        return days
    return [d for d in days if any(abs((d - m).days) <= 1 for m in marks)][:MOST_DAYS]


def _move_texts(lane: Lane, length: int, most: int) -> list[str]:
    shown = [f"{first_words(s, length)}  {percent(ar)} %" for s, ar in lane.moves if ar is not None]
    without = sum(1 for _, ar in lane.moves if ar is None)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"and {len(shown) - most + 1} more"]
    return [typeset(t) for t in (shown or [f"{without} without prices"])]


def _tick(days: Sequence[date], x: int, slim: bool) -> str:
    """The weekday and date of a column; the month where it changes or days are left out before it."""
    day = days[x]
    follows = x > 0 and (day - days[x - 1]).days == 1
    month = "" if follows and day.day != 1 else f"\n{day:%b %Y}" if x == 0 or len(days) <= FEW_DAYS else f"\n{day:%b}"
    return f"{day:%a}\n{day.day}{month}" if len(days) <= FEW_DAYS and not slim else f"{day.day}{month}"


def _words(found: Findings, event_id: str, lanes: Sequence[Lane]) -> Words:
    if not lanes:
        return Words(venue_title(found), "", "", source(found))
    stamps = sorted(
        {str(r["stamp_used"]) for r in found.result.tables["events"].to_dicts() if r["event_id"] == event_id}
    )
    rule = found.settings["events"]["reaction"]
    when = stamps[0] if len(stamps) == 1 else f"{len(stamps)} stamps"
    subtitle = f"{shortened(event_id, 30)}, {when}; abnormal returns of day 0 to the right"
    marked = any(lane.heard for lane in lanes)
    apart = [a for a, b in pairwise(_days(lanes)) if (b - a).days > 1]
    notes = (
        f"Notes: day 0 is the first session of the listing's exchange whose {rule} is after the news. Each lane runs in the "
        "exchange's own time"
        + ("; the mark is the news" if marked else "; the news has a date but no hour")
        + (f"; days are left out after {apart[0]}." if apart else ".")
    )
    legend: list[tuple[Any, str]] = [
        (Patch(facecolor=OPEN), "session"),
        (Patch(facecolor=CLOSED, edgecolor=HATCH, hatch="////"), "closed"),
        (Patch(facecolor=MAIN), "day 0"),
    ]
    if marked:
        legend.append((Line2D([], [], color=NEWS, marker="v", markersize=6, linestyle="none"), "news"))
    return Words(typeset(venue_title(found)), typeset(subtitle), notes, source(found), legend)
