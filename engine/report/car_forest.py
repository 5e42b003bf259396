"""Every event's CAR with its interval, sorted, and the mean as a diamond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

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
from engine.report.formats import first_words, is_number, level_text, percent, shortened, typeset
from engine.report.labels import leader, spread
from engine.report.style import (
    GREY,
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
from engine.ties import ordered

MOST_ROWS = 36
MOST_LINES = 400
END_LABELS = 8
LABEL = 7.0


def draw(found: Findings) -> Figure:
    """One row an event for up to 45 events; above that a sorted curve of thin lines with its ends named."""
    events = ordered(found.measured, lambda e: e.car or 0.0, lambda e: (e.event_id, e.symbol))
    mean, pooled = _mean_row(found), pooled_mean(events, found.alpha)
    rows = len(events) <= MOST_ROWS
    figure = blank(_height(len(events)) if rows else 6.2)
    labels = _row_labels(found, events, figure) if rows else []
    left = max((text_width(figure, label, LABEL) for label in labels), default=0.0) + 0.22 if rows else 0.2
    right = 0.62 if rows and any(weights(events)) else 0.12
    axes = compose(figure, _words(found, events, mean, pooled), left=left, right=right)
    axes.axvline(0, color="#4D4D4D", linewidth=0.9, zorder=2)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.spines["left"].set_visible(False)
    percent_axis(axes.xaxis)
    axes.set_xlabel(typeset(f"CAR {span_text(found.window)}, %"))
    _intervals(axes, found, events, rows)
    step = 1.0 if rows else 1.0 + 0.035 * len(events)
    summaries = [(name, values) for name, values in (("mean", mean), ("pooled", pooled)) if values[0] is not None]
    places = [-1.4 - i * step if rows else -0.7 * step - i * step for i in range(len(summaries))]
    for place, (name, values) in zip(places, summaries, strict=True):
        _diamond(axes, values, place, 0.38 * step, filled=name == "mean")
    axes.set_ylim((min(places) - 0.7 * step) if places else -0.9, len(events) - (0.3 if rows else -0.6))
    axes.set_yticks([])
    if rows:
        ticks = [*places, *range(len(events))]
        axes.set_yticks(ticks, [*[name for name, _ in summaries], *labels], fontsize=LABEL)
        axes.tick_params(axis="y", length=0)
        _write_weights(axes, events)
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
        lambda e: f"{shortened(e.event_id, 18)} · {e.symbol} {first_words(e.name, 14)}",
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


def weights(events: Sequence[EventCar]) -> list[float]:
    """The share of each event in the precision-weighted mean: 1 / se^2 over the sum of all; 0 without a standard error."""
    precision = [1 / e.se**2 if e.se else 0.0 for e in events]
    total = sum(precision)
    return [p / total for p in precision] if total else precision


def pooled_mean(events: Sequence[EventCar], alpha: float) -> tuple[float | None, float | None, float | None]:
    """The precision-weighted mean CAR and its 1 - alpha interval: se^2 = 1 / sum(1 / se_i^2), normal; None where it has none.

    The common effect of independent events whose variance the estimation window foretells; Hedges & Olkin (1985), ch. 6.
    """
    known = [e for e in events if e.se and e.car is not None]
    if len(known) < 2:
        return None, None, None
    from scipy import special

    own = weights(known)
    centre = sum(w * (e.car or 0.0) for w, e in zip(own, known, strict=True))
    half = -float(special.ndtri(alpha / 2)) / sum(1 / (e.se or 1.0) ** 2 for e in known) ** 0.5
    return centre, centre - half, centre + half


def _write_weights(axes: Axes, events: Sequence[EventCar]) -> None:
    """The weight of each event in the pooled mean, beside its row."""
    own = weights(events)
    if not any(own):
        return
    side = axes.get_yaxis_transform()
    axes.text(1.015, len(events) - 0.35, "weight, %", transform=side, fontsize=LABEL, color=GREY, va="bottom")
    for row, weight in enumerate(own):
        axes.text(1.015, row, f"{100 * weight:.1f}", transform=side, fontsize=LABEL, color=GREY, va="center")


def _diamond(
    axes: Axes, mean: tuple[float | None, float | None, float | None], y: float, half: float, filled: bool
) -> None:
    """A diamond as wide as the interval, a mark where there is none; the pooled one is hollow."""
    centre, low, high = mean
    if centre is None:
        return
    face = "black" if filled else "white"
    if low is not None and high is not None:
        corners = [(low, y), (centre, y + half), (high, y), (centre, y - half)]
        axes.add_patch(Polygon(corners, closed=True, facecolor=face, edgecolor="black", linewidth=1.0, zorder=5))
    else:
        axes.plot(
            [centre], [y], marker="D", color=face, markeredgecolor="black", markersize=6, linestyle="none", zorder=5
        )
    name = "mean" if filled else "pooled"
    span = f" ({percent(low)} to {percent(high)})" if low is not None else ""
    tell(axes, centre, y, typeset(f"{name} {percent(centre)} %{span}"))
    if filled:
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
                            "connectionstyle": leader, "relpos": (0.0 if align == "left" else 1.0, 0.5)},
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


def _words(
    found: Findings, events: Sequence[EventCar], mean: tuple[float | None, float | None, float | None],
    pooled: tuple[float | None, float | None, float | None],
) -> Words:  # fmt: skip
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
        diamond = Line2D([], [], color="black", marker="D", markersize=5.5, linewidth=0)
        legend.append((diamond, f"mean, N = {len(events)}"))
    if pooled[0] is not None:
        hollow = Line2D([], [], color="white", markeredgecolor="black", marker="D", markersize=5.5, linewidth=0)
        legend.append((hollow, "pooled by precision"))
    notes = f"Notes: {interval_note(found)}, not adjusted for the number of events"
    if tested:
        notes += f"; mean with the {level_text(1 - found.alpha)} interval of {tested}"
    if pooled[0] is not None:
        notes += (
            "; pooled: weights 1 / s.e.², events taken as independent, each with the variance of its estimation window"
        )
    if len(events) > MOST_ROWS:
        notes += f"; sorted, the {END_LABELS} lowest and highest named with their CAR in %"
    if len(events) > MOST_LINES:
        notes += f"; intervals left out above {MOST_LINES} events"
    title = typeset(forest_title(found))
    words = typeset(subtitle(found, f"CAR of each event {span_text(found.window)}"))
    return Words(title, words, f"{notes}.", source(found), legend)


def _handle(colour: str, marker: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.2)
