"""Every event's CAR with its interval, sorted, and the mean as a diamond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.report.chartwords import (
    event_group,
    event_words,
    interval_note,
    percent_axis,
    short_label,
    shown_groups,
    source,
    subtitle,
)
from engine.report.findings import EventCar, Findings, Row, span_text
from engine.report.formats import is_number, level_text, percent, shortened, typeset
from engine.report.labels import spread
from engine.report.style import (
    GRID,
    GROUP_COLOURS,
    GROUP_MARKERS,
    MAIN,
    Words,
    blank,
    compose,
    listing_name,
    printable,
    tell,
    text_width,
)
from engine.report.tables import group_label
from engine.report.titles import forest_title

MOST_ROWS = 36
MOST_LINES = 400
END_LABELS = 8
LABEL = 7.0


def draw(found: Findings) -> Figure:
    """One row an event for up to 45 events; above that a sorted curve of thin lines with its ends named."""
    events = sorted(found.measured, key=lambda e: (e.car, e.event_id, e.symbol))
    mean = _mean_row(found)
    rows = len(events) <= MOST_ROWS
    figure = blank(_height(len(events)) if rows else 6.2)
    labels = _row_labels(found, events, figure) if rows else []
    left = max((text_width(figure, label, LABEL) for label in labels), default=0.0) + 0.22 if rows else 0.2
    axes = compose(figure, _words(found, events, mean), left=left)
    axes.axvline(0, color="#4D4D4D", linewidth=0.9, zorder=2)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.spines["left"].set_visible(False)
    percent_axis(axes.xaxis)
    axes.set_xlabel(typeset(f"CAR {span_text(found.window)}, %"))
    _intervals(axes, found, events, rows)
    place = -1.4 if rows else -1.5 - 0.02 * len(events)
    _diamond(axes, mean, place)
    axes.set_ylim(-0.9 if mean[0] is None else 1.6 * place, len(events) - (0.3 if rows else -0.6))
    axes.set_yticks([])
    if rows:
        ticks = [*range(len(events))] if mean[0] is None else [place, *range(len(events))]
        axes.set_yticks(ticks, labels if mean[0] is None else ["mean", *labels], fontsize=LABEL)
        axes.tick_params(axis="y", length=0)
    else:
        _name_ends(axes, figure, found, events)
    return figure


def _height(rows: int) -> float:
    """Inches for a chart with a row an event."""
    return 2.15 + (0.22 if rows <= 12 else 0.17) * (rows + 2)


def _mean_row(found: Findings) -> tuple[float | None, float | None, float | None]:
    """Mean CAR with the interval of the primary test, or of the first test that has one."""
    if len(found.measured) < 2:
        return None, None, None
    rows: list[Row] = [r for r in found.group_rows() if r["estimate"] is not None]
    known = [r for r in rows if is_number(r["ci_low"]) and is_number(r["ci_high"])]
    best = next((r for r in known if r["test"] == found.test), known[0] if known else None)
    if best is not None:
        return best["estimate"], best["ci_low"], best["ci_high"]
    cars = [e.car for e in found.measured if e.car is not None]
    return (sum(cars) / len(cars), None, None) if cars else (None, None, None)


def mean_interval_test(found: Findings) -> str:
    """The test that the interval of the mean comes from, "" for none."""
    known = [r["test"] for r in found.group_rows() if is_number(r["ci_low"]) and is_number(r["ci_high"])]
    return found.test if found.test in known else (known[0] if known else "")


def _row_labels(found: Findings, events: Sequence[EventCar], figure: Figure) -> list[str]:
    """Id, symbol and name, as much of them as leaves more than half of the width to the picture."""
    makers: list[Any] = [
        lambda e: f"{shortened(e.event_id, 24)} · {e.symbol} {listing_name(e.name, e.name_zh)}",
        lambda e: f"{shortened(e.event_id, 24)} · {e.symbol} {printable(e.name)}",
        lambda e: f"{shortened(e.event_id, 18)} · {e.symbol} {shortened(e.name, 14)}",
        lambda e: f"{shortened(e.event_id, 20)} · {shortened(e.symbol, 12)}",
    ]
    labels: list[str] = []
    for make in makers:
        labels = [printable(make(e)) for e in events]
        if max((text_width(figure, label, LABEL) for label in labels), default=0.0) < 2.6:
            break
    return labels


def _intervals(axes: Axes, found: Findings, events: Sequence[EventCar], rows: bool) -> None:
    groups = shown_groups(found)
    kinds = [event_group(e, groups, found.column) for e in events]
    colours = [_colour(k, bool(groups)) for k in kinds]
    lines = [
        (((e.low, y), (e.high, y)), colours[y])
        for y, e in enumerate(events)
        if is_number(e.low) and is_number(e.high) and len(events) <= MOST_LINES
    ]
    segments: Any = [line for line, _ in lines]
    axes.add_collection(
        LineCollection(
            segments, colors=[c for _, c in lines], linewidths=1.3 if rows else 0.8, alpha=1 if rows else 0.75
        )
    )
    size = 4.2 if rows else 2.6
    for kind in sorted({k if k is not None else -1 for k in kinds}):
        at = [
            (e.car, y)
            for y, (e, k) in enumerate(zip(events, kinds, strict=True))
            if (k if k is not None else -1) == kind
        ]
        marker = GROUP_MARKERS[kind] if kind >= 0 else "o"
        colour = _colour(kind if kind >= 0 else None, bool(groups))
        xs, ys = zip(*at, strict=True)
        axes.plot(xs, ys, marker=marker, color=colour, markersize=size, linestyle="none", markeredgewidth=0, zorder=3)
    for y, event in enumerate(events):
        tell(axes, event.car, y, event_words(event))
    axes.autoscale_view()
    axes.margins(x=0.04)


def _colour(kind: int | None, grouped: bool) -> str:
    if kind is not None:
        return GROUP_COLOURS[kind]
    return "#8A8A8A" if grouped else MAIN


def _diamond(axes: Axes, mean: tuple[float | None, float | None, float | None], y: float) -> None:
    centre, low, high = mean
    if centre is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color="black", linewidth=1.8, zorder=4, solid_capstyle="butt")
    axes.plot([centre], [y], marker="D", color="black", markersize=6, linestyle="none", zorder=5)
    axes.axvline(centre, color="black", linewidth=0.7, linestyle=(0, (1, 2)), zorder=1.5)


def _name_ends(axes: Axes, figure: Figure, found: Findings, events: Sequence[EventCar]) -> None:
    """Name the lowest and the highest events in the two corners that a sorted curve leaves empty."""
    left, right = axes.get_xlim()
    axes.set_xlim(left, right)
    bottom, top = axes.get_ylim()
    height = axes.get_position().height * figure.get_size_inches()[1]
    step = LABEL * 1.3 / 72 * (top - bottom) / height
    n = len(events)
    drawn = n <= MOST_LINES
    beside = int(END_LABELS * step) + 2  # rows that the labels of one end stand beside
    highs = [_ends(e, drawn)[1] for e in events[:beside]]
    lows = [_ends(e, drawn)[0] for e in events[-beside:]]
    pad = 0.03 * (right - left)
    sides = (
        (range(END_LABELS), "left", max(highs) + pad, 0.0, top),
        (range(n - END_LABELS, n), "right", min(lows) - pad, bottom, top - 0.5 * step),
    )
    for rows, align, x, lowest, highest in sides:
        for row, y in zip(rows, spread([float(r) for r in rows], step, lowest, highest), strict=True):
            name = printable(short_label(events[row], found, 26))
            axes.annotate(
                f"{name}  {typeset(percent(events[row].car, 1))}",
                xy=(_ends(events[row], drawn)[align == "left"], row), xytext=(x, y),
                ha=align, va="center", fontsize=LABEL, color="#333333", bbox={"facecolor": "white", "linewidth": 0, "pad": 0.6},
                arrowprops={"arrowstyle": "-", "color": "#B0B0B0", "linewidth": 0.5, "shrinkA": 2, "shrinkB": 2,
                            "relpos": (0.0 if align == "left" else 1.0, 0.5)},
            )  # fmt: skip
    widest = max(text_width(figure, printable(short_label(e, found, 26)), LABEL) for e in events) + 0.5
    room = widest / (axes.get_position().width * figure.get_size_inches()[0]) * (right - left)
    axes.set_xlim(min(left, min(lows) - pad - room), max(right, max(highs) + pad + room))


def _ends(event: EventCar, drawn: bool) -> tuple[float, float]:
    """The ends of the interval, or the CAR twice where none is drawn."""
    car = event.car or 0.0
    if not drawn:
        return car, car
    return event.low if event.low is not None else car, event.high if event.high is not None else car


def _words(found: Findings, events: Sequence[EventCar], mean: tuple[float | None, float | None, float | None]) -> Words:
    groups = shown_groups(found)
    kinds = [event_group(e, groups, found.column) for e in events]
    legend: list[tuple[Any, str]] = []
    for i, group in enumerate(groups):
        handle = _handle(GROUP_COLOURS[i], GROUP_MARKERS[i])
        legend.append((handle, f"{shortened(group_label(group), 26)}, N = {kinds.count(i)}"))
    if groups and None in kinds:
        legend.append((_handle(_colour(None, True), "o"), f"no {shortened(found.column, 20)}, N = {kinds.count(None)}"))
    tested = mean_interval_test(found)
    if mean[0] is not None:
        diamond = Line2D([], [], color="black", marker="D", markersize=5.5, linewidth=1.6 if tested else 0)
        legend.append((diamond, f"mean, N = {len(events)}"))
    notes = f"Notes: {interval_note(found)}, not adjusted for the number of events"
    if tested:
        notes += f"; mean with the {level_text(1 - found.alpha)} interval of {tested}"
    if len(events) > MOST_ROWS:
        notes += f"; sorted, the {END_LABELS} lowest and highest named with their CAR in %"
    if len(events) > MOST_LINES:
        notes += f"; intervals left out above {MOST_LINES} events"
    title = typeset(forest_title(found))
    words = typeset(subtitle(found, f"CAR of each event {span_text(found.window)}"))
    return Words(title, words, f"{notes}.", source(found), legend)


def _handle(colour: str, marker: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.2)
