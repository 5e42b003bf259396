"""The specification curve: every estimate with its interval from the lowest to the highest, and the choices behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.report.chartwords import percent_axis, source
from engine.report.findings import Findings, count
from engine.report.formats import level_text, p_equals, percent, shortened, typeset
from engine.report.specifications import Curve, read_curve, specifications_title, varied
from engine.report.style import (
    FAINT,
    GREY,
    GRID,
    GROUP_COLOURS,
    MAIN,
    Words,
    blank,
    compose,
    printable,
    tell,
    text_width,
)

ROW, HEAD, CURVE = 0.155, 0.06, 2.3  # inches: of a choice, between two kinds of choice, of the curve
LONGEST, ON_A_PHONE, NARROW = 26, 16, 5.0  # characters of a choice, on a sheet below so many inches
PRIMARY = GROUP_COLOURS[0]


def draw(found: Findings) -> Figure:
    """The curve above, one row of marks for each value of each choice below; the primary specification in both."""
    curve = read_curve(found)
    if curve is None or not curve.rows:
        figure = blank()
        words = Words(
            specifications_title(found),
            "The study has no table [grid], or none of it could be computed",
            "",
            source(found),
        )
        compose(figure, words).set_axis_off()
        return figure
    differing = varied(curve)
    matrix = sum(HEAD + ROW * len(values) for values in differing.values())
    figure = blank(1.75 + CURVE + matrix)
    longest = LONGEST if figure.get_size_inches()[0] >= NARROW else ON_A_PHONE
    choices = {name: {v: printable(shortened(v, longest)) for v in values} for name, values in differing.items()}
    labels = [label for values in choices.values() for label in values.values()]
    left = 0.30 + max([text_width(figure, label, 7.5) for label in labels] + [0.5])
    upper = compose(figure, _words(found, curve), left=left, right=0.15, x_label=False)
    box = upper.get_position()
    height = box.height * figure.get_size_inches()[1]
    share = (height - matrix - 0.10) / height
    upper.set_position((box.x0, box.y0 + box.height * (1 - share), box.width, box.height * share))
    _curve(upper, curve)
    if choices:
        lower = figure.add_axes((box.x0, box.y0, box.width, box.height * matrix / height))
        _matrix(lower, curve, choices)
        lower.set_xlim(upper.get_xlim())
    return figure


def _curve(axes: Axes, curve: Curve) -> None:
    n = len(curve.rows)
    x = np.arange(1, n + 1)
    estimate, low, high = (np.array([_number(r[c]) for r in curve.rows]) for c in ("estimate", "ci_low", "ci_high"))
    hit = np.array([bool(r["significant"]) for r in curve.rows])
    size = float(np.clip(260 / n, 3, 22))
    for marks, colour, z in ((~hit, FAINT, 3), (hit, MAIN, 4)):
        axes.vlines(
            x[marks],
            low[marks],
            high[marks],
            color=colour,
            linewidth=float(np.clip(90 / n, 0.5, 1.6)),
            alpha=0.55,
            zorder=z,
        )
        axes.scatter(x[marks], estimate[marks], s=size, color=colour, linewidths=0, zorder=z + 1)
    axes.axhline(0, color="#4D4D4D", linewidth=0.9, zorder=2)
    if curve.primary is not None:
        at = curve.rank - 1
        axes.axvline(curve.rank, color=PRIMARY, linewidth=0.8, alpha=0.6, zorder=2)
        axes.vlines(curve.rank, low[at], high[at], color=PRIMARY, linewidth=1.8, zorder=6)
        axes.scatter(
            [curve.rank],
            estimate[at : at + 1],
            s=42,
            color=PRIMARY,
            marker="D",
            edgecolors="white",
            linewidths=0.7,
            zorder=7,
        )
    differing = varied(curve)
    for place, row, chosen in zip(x, curve.rows, curve.chosen, strict=True):
        own = ", ".join(chosen[name] for name in differing)
        tell(axes, place, row["estimate"], f"{own}: {percent(row['estimate'])} %, {p_equals(row['p_value'])}")
    axes.set_ylim(*_limits(estimate, low, high))
    axes.set_xlim(0, n + 1)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    percent_axis(axes.yaxis)
    axes.set_ylabel("Mean CAR, %")
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    axes.spines["bottom"].set_visible(False)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _limits(estimate: Any, low: Any, high: Any) -> tuple[float, float]:
    """Room for every estimate and zero, and for all but the widest intervals."""
    ends = np.concatenate([low, high])
    ends = ends[np.isfinite(ends)]
    inner = np.quantile(ends, [0.02, 0.98]) if len(ends) else np.zeros(2)
    bottom, top = min(estimate.min(), inner[0], 0.0), max(estimate.max(), inner[1], 0.0)
    pad = 0.04 * (top - bottom or 1.0)
    return bottom - pad, top + pad


def _matrix(axes: Axes, curve: Curve, choices: dict[str, dict[str, str]]) -> None:
    """A row of ticks for each value; the kinds of choice one below the other on alternating ground."""
    y, step, ticks = 0.0, HEAD / ROW, []
    n = len(curve.rows)
    for k, (name, values) in enumerate(choices.items()):
        top = y
        for value, label in values.items():
            here = [i + 1 for i, chosen in enumerate(curve.chosen) if chosen[name] == value]
            others = [i for i in here if curve.primary is None or i != curve.rank]
            axes.vlines(others, y + 0.18, y + 0.82, color=GREY, linewidth=float(np.clip(180 / n, 0.6, 2.4)))
            if curve.primary is not None and curve.rank in here:
                axes.vlines(curve.rank, y + 0.06, y + 0.94, color=PRIMARY, linewidth=float(np.clip(260 / n, 1.6, 3.2)))
            ticks.append((y + 0.5, label))
            y += 1
        if k % 2 == 0:
            axes.axhspan(top, y, color="#F4F4F4", linewidth=0, zorder=0)
        y += step
    axes.set_ylim(y - step, 0)
    axes.set_yticks([t for t, _ in ticks], [typeset(label) for _, label in ticks], fontsize=7.5)
    axes.tick_params(length=0, labelbottom=False)
    for side in axes.spines.values():
        side.set_visible(False)


def _words(found: Findings, curve: Curve) -> Words:
    n = len(curve.rows)
    legend: list[tuple[Any, str]] = [
        (
            Line2D([], [], color=MAIN, marker="o", markersize=4, linewidth=1.4),
            f"significant at {level_text(found.alpha)}",
        ),
        (Line2D([], [], color=FAINT, marker="o", markersize=4, linewidth=1.4), "not significant"),
    ]
    if curve.primary is not None:
        legend.append(
            (Line2D([], [], color=PRIMARY, marker="D", markersize=5, linewidth=1.8), "the declared primary one")
        )
    notes = (
        f"Notes: {level_text(1 - found.alpha)} intervals of each specification's own test; specifications share their events "
        "and are not independent. Below, the choices of each."
    )
    if curve.lost:
        notes += f" {count(curve.lost, 'specification')} could not be computed, with the reason in grid.csv."
    return Words(
        typeset(specifications_title(found)), typeset(f"Mean CAR of {count(n, 'specification')}, from the lowest to the highest"),
        typeset(notes), source(found), legend,
    )  # fmt: skip
