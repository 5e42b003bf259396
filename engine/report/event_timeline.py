"""The events in time: a stem a event at its day 0, as high as its CAR."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import matplotlib.dates
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.report.chartwords import event_group, event_words, percent_axis, short_label, shown_groups, source, subtitle
from engine.report.findings import EventCar, Findings, span_text
from engine.report.formats import shortened, typeset
from engine.report.labels import Box, leader, place
from engine.report.style import (
    GRID,
    GROUP_COLOURS,
    GROUP_MARKERS,
    MAIN,
    Words,
    blank,
    compose,
    printable,
    tell,
    text_width,
)
from engine.report.tables import group_label
from engine.report.titles import timeline_title
from engine.ties import ordered

mdates: Any = matplotlib.dates  # untyped upstream
FEW = 16
OUTLIERS = 10
LABEL = 6.8
NEGATIVE = "#D55E00"
DATE, LONG_DATE = 0.55, 0.85  # inches of a date below the axis, without and with its year
PAD = 0.08  # of the span, on either side


def draw(found: Findings) -> Figure:
    """Stems of the CARs at the primary window; all labels for few events, the largest for many."""
    events = [e for e in found.measured if e.event_day is not None]
    named = ordered(events, lambda e: -abs(e.car or 0.0), lambda e: (e.event_id, e.symbol))[
        : FEW if len(events) <= FEW else OUTLIERS
    ]
    figure = blank()
    axes = compose(figure, _words(found, events, len(named)), right=0.35)
    axes.axhline(0, color="#4D4D4D", linewidth=0.9, zorder=2)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    percent_axis(axes.yaxis)
    axes.set_ylabel(typeset(f"CAR {span_text(found.window)}, %"))
    axes.set_xlabel("Event day (day 0)")
    if not events:
        axes.set_xticks([])
        return figure
    _stems(axes, found, events)
    _limits(axes, events)
    for event in events:
        tell(axes, _number(event), event.car, event_words(event))
    _label(axes, found, events, named)
    return figure


def _looks(found: Findings, event: EventCar) -> tuple[str, str]:
    """Colour and marker: by group, else by sign."""
    groups = shown_groups(found)
    if not groups:
        return (MAIN, "o") if (event.car or 0) >= 0 else (NEGATIVE, "s")
    kind = event_group(event, groups, found.column)
    return (GROUP_COLOURS[kind], GROUP_MARKERS[kind]) if kind is not None else ("#8A8A8A", "D")


def _stems(axes: Axes, found: Findings, events: Sequence[EventCar]) -> None:
    looks = [_looks(found, e) for e in events]
    lines: Any = [[(_number(e), 0.0), (_number(e), e.car or 0.0)] for e in events]
    axes.add_collection(LineCollection(lines, colors=[c for c, _ in looks], linewidths=1.0, alpha=0.8, zorder=2.5))
    size = 4.6 if len(events) <= 200 else 2.2
    for look in dict.fromkeys(looks):
        at = [(_number(e), e.car) for e, own in zip(events, looks, strict=True) if own == look]
        xs, ys = zip(*at, strict=True)
        axes.plot(xs, ys, linestyle="none", marker=look[1], color=look[0], markersize=size, markeredgewidth=0, zorder=3)


def _number(event: EventCar) -> float:
    return float(mdates.date2num(event.event_day))


def _limits(axes: Axes, events: Sequence[EventCar]) -> None:
    """Room for labels above and below, and dates that say no more than they must."""
    days = [e.event_day for e in events if e.event_day is not None]
    span = (max(days) - min(days)).days
    one_year = len({d.year for d in days}) == 1
    places = int(axes.get_position().width * axes.figure.get_size_inches()[0] / (DATE if one_year else LONG_DATE))  # type: ignore[union-attr]
    pad = timedelta(days=max(2, round(PAD * span)))
    first, last = min(days) - pad, max(days) + pad
    axes.set_xlim(_at(first), _at(last))
    cars = [e.car or 0.0 for e in events]
    low, high = min(0.0, *cars), max(0.0, *cars)
    room = 0.16 * max(high - low, 1e-4)
    axes.set_ylim(low - room, high + room)
    if span > 400:
        axes.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=3, maxticks=min(8, places + 1)))
        axes.xaxis.set_major_formatter(mdates.DateFormatter("%Y" if span > 5 * 366 else "%Y-%m"))
    else:
        axes.set_xticks([_at(d) for d in _apart(days, (last - first).days, places)])
        axes.xaxis.set_major_formatter(lambda x, _: _tick(mdates.num2date(x), short=one_year))
        axes.set_xlabel(f"Event day (day 0){f', {min(days).year}' if one_year else ''}")


def _apart(days: Sequence[date], span: int, room: int) -> list[date]:
    """Event days from the first on, so far apart that ``room`` of them have their place on the axis."""
    chosen: list[date] = []
    for day in sorted(set(days)):
        if not chosen or (day - chosen[-1]).days * room >= span:
            chosen.append(day)
    return chosen


def _tick(day: date, short: bool) -> str:
    return f"{day.day} {day:%b}{'' if short else f' {day.year}'}"


def _at(day: date) -> float:
    return float(mdates.date2num(day))


def _label(axes: Axes, found: Findings, events: Sequence[EventCar], named: Sequence[EventCar]) -> None:
    """Put the labels where nothing is yet, in inches; leave out those that have no free place."""
    figure = axes.figure
    size = figure.get_size_inches()  # type: ignore[union-attr]
    place_in = axes.get_position()
    width, height = place_in.width * size[0], place_in.height * size[1]
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    zero = -y0 / (y1 - y0) * height

    def inches(event: EventCar) -> tuple[float, float]:
        return (_number(event) - x0) / (x1 - x0) * width, (event.car or 0.0) / (y1 - y0) * height

    taken: list[Box] = [(0.0, -0.015, width, 0.015)]
    for event in events:
        x, y = inches(event)
        taken += [(x - 0.04, y - 0.04, x + 0.04, y + 0.04), (x - 0.012, min(0, y), x + 0.012, max(0, y))]
    texts = [printable(short_label(e, found)) for e in named]
    sizes = [(text_width(figure, t, LABEL) + 0.03, LABEL * 1.15 / 72) for t in texts]  # type: ignore[arg-type]
    boxes = place([inches(e) for e in named], sizes, (0.0, -zero, width, height - zero), taken)
    for event, text, box in zip(named, texts, boxes, strict=True):
        if box is None:
            continue
        middle, level = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        side = 0.0 if level > (event.car or 0.0) / (y1 - y0) * height else 1.0
        axes.annotate(
            text, xy=(_number(event), event.car or 0.0),
            xytext=(x0 + middle / width * (x1 - x0), level / height * (y1 - y0)), ha="center", va="center", fontsize=LABEL,
            color="#333333",
            arrowprops={"arrowstyle": "-", "color": "#B0B0B0", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2,
                        "connectionstyle": leader, "relpos": (0.5, side)},
        )  # fmt: skip


def _words(found: Findings, events: Sequence[EventCar], named: int) -> Words:
    groups = shown_groups(found)
    looks: dict[tuple[str, str], int] = {}
    for event in events:
        look = _looks(found, event)
        looks[look] = looks.get(look, 0) + 1
    names = {(GROUP_COLOURS[i], GROUP_MARKERS[i]): shortened(group_label(g), 26) for i, g in enumerate(groups)}
    names |= {(MAIN, "o"): "CAR at or above zero", (NEGATIVE, "s"): "CAR below zero"} if not groups else {}
    legend: list[tuple[Any, str]] = [
        (Line2D([], [], color=c, marker=m, markersize=4.6, linewidth=1.0), f"{name}, N = {looks[c, m]}")
        for (c, m), name in names.items()
        if (c, m) in looks
    ]
    others = looks.get(("#8A8A8A", "D"))
    if groups and others:
        handle = Line2D([], [], color="#8A8A8A", marker="D", markersize=4.6, linewidth=1.0)
        legend.append((handle, f"no {shortened(found.column, 20)}, N = {others}"))
    which = "events" if named == len(events) else f"the {named} largest CARs in absolute value"
    notes = f"Notes: one stem an event at its day 0; {which} named where there is room."
    measure = f"CAR of each event {span_text(found.window)}"
    title = typeset(timeline_title(found))
    return Words(title, typeset(subtitle(found, measure)), notes, source(found), legend)
