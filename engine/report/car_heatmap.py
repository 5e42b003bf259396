"""Every event against every window: the CAR as a number on a colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from engine.report.chartwords import event_words, short_label, source, subtitle
from engine.report.findings import EventCar, Findings
from engine.report.formats import percent, typeset
from engine.report.style import Words, blank, compose, printable, tell, text_width
from engine.report.titles import heatmap_title
from engine.ties import ordered

MOST_ROWS = 60
LABEL = 6.5
HEAD, FOOT = 0.2, 0.24  # inches for the windows above, and not needed for ticks below
# Lighter than the text on it at both ends, so that the numbers are read in grey print too.
FALL, NONE, RISE = "#E08A4F", "#FFFFFF", "#6BAFD6"
Floats = npt.NDArray[np.float64]


def draw(found: Findings) -> Figure:
    """Events in the order of their primary CAR; of more than 60 the 30 lowest and highest."""
    events = ordered(found.measured, lambda e: -(e.car or 0.0), lambda e: (e.event_id, e.symbol))
    total = len(events)
    if total > MOST_ROWS:
        events = [*events[: MOST_ROWS // 2], *events[-MOST_ROWS // 2 :]]
    row = 0.19 if len(events) <= 30 else 0.145
    figure = blank(1.75 + row * max(len(events), 3))
    labels = [printable(short_label(e, found, 26)) for e in events]
    left = max((text_width(figure, text, LABEL) for text in labels), default=0.0) + 0.22
    axes = compose(figure, _words(found, total, len(events)), left=left, x_label=False)
    below = FOOT / figure.get_size_inches()[1]
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    box, above = axes.get_position(), HEAD / figure.get_size_inches()[1]
    axes.set_position((box.x0, box.y0 - below, box.width, box.height - above + below))
    axes.set_yticks(range(len(events)), labels, fontsize=LABEL)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(found.windows)), [typeset(str(w)) for w in found.windows])
    _cells(axes, found, events)
    return figure


def car_matrix(found: Findings, events: Sequence[EventCar]) -> Floats:
    """(events, windows) CARs, NaN where an event is not complete in a window."""
    rows = found.result.tables["cars"].select("event_id", "symbol", "window_start", "window_end", "car").rows()
    cars = {(e, s, a, b): car for e, s, a, b, car in rows}
    cells = [[cars.get((e.event_id, e.symbol, w.start, w.end)) for w in found.windows] for e in events]
    return np.array([[np.nan if c is None else c for c in line] for line in cells], dtype=float)


def _cells(axes: Axes, found: Findings, events: Sequence[EventCar]) -> None:
    axes.set_xlim(-0.5, len(found.windows) - 0.5)
    axes.set_ylim(max(len(events), 1) - 0.5, -0.5)
    if not events:
        return
    cars = car_matrix(found, events)
    # Colours end at the CAR that one in twenty exceeds, so that one large event does not make all others white.
    largest = float(np.nanquantile(np.abs(cars), 0.95)) or 1e-9
    colours = LinearSegmentedColormap.from_list("cars", [FALL, NONE, RISE])
    # Vector cells: a picture inside an SVG would be a PNG.
    edges = [np.arange(n + 1) - 0.5 for n in reversed(cars.shape)]
    axes.pcolormesh(*edges, np.clip(cars / largest, -1, 1), cmap=colours, vmin=-1, vmax=1, linewidth=0)
    for y, event in enumerate(events):
        for x, (window, car) in enumerate(zip(found.windows, cars[y], strict=True)):
            said = typeset(percent(car))
            axes.text(x, y, said, ha="center", va="center", fontsize=LABEL, color="#111111")
            words = event_words(event).partition("\nCAR")[0]
            tell(axes, x, y, f"{words}\n{typeset(f'CAR {window}')} {said} %")


def _words(found: Findings, total: int, shown: int) -> Words:
    notes = "Notes: CAR in %; blue above zero, orange below, full colour from the size that one in twenty exceeds"
    notes += "; sorted by the first window"
    if shown < total:
        notes += f"; the {shown // 2} highest and lowest of {total}"
    measure = typeset(subtitle(found, f"CAR of each event in {len(found.windows)} windows, N = {total}"))
    return Words(typeset(heatmap_title(found)), measure, f"{notes}.", source(found))
