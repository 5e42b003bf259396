"""Size-adjusted power against the effect, for the tests that hold their size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from engine.report.certificate import SCALED, certificate_of, outside
from engine.report.chartwords import percent_axis, source
from engine.report.findings import Findings, Row, span_text
from engine.report.formats import is_number, level_text, percent, typeset
from engine.report.style import GRID, GROUP_COLOURS, GROUP_DASHES, MAIN, Words, blank, compose
from engine.report.titles import power_title
from engine.ties import ordered

Floats = npt.NDArray[np.float64]
SURE, LEAST = (
    0.995,
    0.0005,
)  # a power beyond which a curve has nothing to show; as near to 0 and 1 as the normal scale goes
MOST = 5  # lines that can be told apart
POWER = 0.8
COLOURS = (MAIN, *GROUP_COLOURS)
DASHES: tuple[Any, ...] = ("-", *GROUP_DASHES)


def draw(found: Findings) -> Figure:
    """A line a test from the level at no effect on; the smallest effect found in 80 % of the draws as a mark."""
    tests = shown_tests(found)
    figure = blank()
    axes = compose(figure, _words(found, tests), left=0.66, right=0.25)
    axes.grid(color=GRID, linewidth=0.7)
    axes.axhline(POWER, color="#4D4D4D", linewidth=0.9, zorder=2)
    rows = certificate_of(found, found.window)
    furthest = 0.0
    for i, test in enumerate(tests):
        points = [(0.0, found.alpha), *_points(found, test)]
        mde = rows[test, SCALED]["mde"]
        if is_number(mde):
            points = sorted([*points, (mde, POWER)])
            axes.plot([mde], [POWER], "o", color=COLOURS[i], markersize=4.5, zorder=5)
        certain = [effect for effect, power in points if power > SURE]
        furthest = max(furthest, min(certain, default=points[-1][0]))
        axes.plot(*_between(points), color=COLOURS[i], linestyle=DASHES[i], linewidth=1.8 if i == 0 else 1.4, zorder=4)
    axes.set_ylim(0, 1.03)
    axes.set_xlim(0, 1.02 * furthest or 0.01)
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)
    day = min(max(0, found.window.start), found.window.end)
    axes.set_xlabel(f"Effect on day {day}, %, {'downwards' if found.alternative == 'less' else 'upwards'}")
    axes.set_ylabel("Share of draws that reject, %")
    return figure


def _between(points: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    """A curve through the points, linear on the normal scale between them."""
    from scipy import special

    effects, power = np.array(points).T
    along = np.linspace(0, effects[-1], 400)
    scaled = special.ndtri(np.clip(power, LEAST, 1 - LEAST))
    return along, np.asarray(special.ndtr(np.interp(along, effects, scaled)))


def shown_tests(found: Findings) -> list[str]:
    """The primary test, then those that hold their size, all where none does, the most powerful first; at most `MOST`."""
    rows = certificate_of(found, found.window)
    known = [t for (t, null), r in rows.items() if null == SCALED and r["size"] is not None]
    holding = [t for t in known if not outside(found, t)]
    good = ordered(holding or known, lambda t: rows[t, SCALED]["mde"] or 9.9, lambda t: t)
    first = [found.test] if found.test in known else []
    return list(dict.fromkeys([*first, *good]))[:MOST]


def _points(found: Findings, test: str) -> list[tuple[float, float]]:
    window = found.window
    rows: list[Row] = found.result.tables["power"].to_dicts() if "power" in found.result.tables else []
    here = ("all", window.start, window.end, "group", test)
    return sorted(
        (abs(r["effect"]), r["power"])
        for r in rows
        if (r["group"], r["window_start"], r["window_end"], r["kind"], r["test"]) == here and is_number(r["power"])
    )


def _words(found: Findings, tests: list[str]) -> Words:
    rows = certificate_of(found, found.window)
    legend = [
        (
            Line2D([], [], color=COLOURS[i], linestyle=DASHES[i], linewidth=1.6),
            f"{t}, {percent(rows[t, SCALED]['mde'])} %",
        )
        for i, t in enumerate(tests)
    ]
    notes = (
        "Notes: effects put on pseudo-events with the study's own extra spread in the window; a test rejects where its p is "
        f"below that of {level_text(found.alpha)} of the draws without effect, so that tests of any size compare. Dots and the "
        "figures of the legend: the smallest effect found in 80 % of the draws. Shown: the primary test, and "
        + (
            "tests that hold their size."
            if any(not outside(found, t) for t in tests)
            else "others; none holds its size."
        )
    )
    subtitle = f"Size-adjusted power {span_text(found.window)}"
    return Words(typeset(power_title(found)), typeset(subtitle), typeset(notes), source(found), legend)
