"""Pseudo-events: the study's own listings at other dates, the model re-estimated at each with the same gap and windows.

A pseudo-date is feasible if its event window has every return, touches no real event window of the listing, and its
estimation window is long enough. Pairs of one event, and pairs of one event day, form a cluster and move together: a
cluster's pseudo-date is one shift of the calendar, each pair reacting on its own first session on or after its share
of the shift. Gelbach, Helland & Klick (2013); Brown & Warner (1985) for the re-estimation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.abnormal import abnormal_returns, cumulate
from engine.lines import Line
from engine.models import Model
from engine.panel import EventPanel
from engine.sessions import Days, Window
from engine.significance import PseudoCars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CHUNK = 512  # pseudo-events fitted at once: the working set stays in the processor's cache


@dataclass(frozen=True)
class Placebo:
    """CARs at pseudo-dates for every pair and window.

    events: for pair i, (C_i, W) CARs at the C_i pseudo-dates of its cluster. cluster: (N,) cluster of each pair.
    draws: (K, D) for each cluster and draw the pseudo-date taken. non_overlapping: (N,) pseudo-windows that fit side by
    side. windows: the W car windows.
    """

    windows: tuple[Window, ...]
    events: tuple[Floats, ...]
    cluster: Ints
    draws: Ints
    non_overlapping: Ints

    def sample(self, members: Ints, window: Window, everyone: Ints) -> PseudoCars:
        """What `permutation` looks at for the pairs of a group that are complete in a window.

        everyone: the whole group, which decides for all its windows whether they share the dates of one cluster or the
        draws of several.
        """
        w = self.windows.index(window)
        own = tuple(np.ascontiguousarray(self.events[i][:, w]) for i in members)
        clusters = np.unique(self.cluster[members])
        if min((len(e) for e in own), default=0) == 0:
            group = joint = across = np.empty(0)
        elif len(clusters) == 1:
            group = joint = across = sum(own[1:], start=own[0].copy()) / len(own)
            if len(self.draws) > 1:
                across = np.take(group, self.draws[clusters[0]])
            if len(np.unique(self.cluster[everyone])) > 1:
                joint = across
        else:
            group = np.zeros(self.draws.shape[1])
            for i, cars in zip(members, own, strict=True):
                group += np.take(cars, self.draws[self.cluster[i]])
            group /= len(own)
            joint = across = group
        return PseudoCars(group, joint, across, own, self.non_overlapping[members])


@dataclass(frozen=True)
class Design:
    """How a pseudo-event is measured: as the real ones are.

    left_out: by symbol, the days that no estimation row may be (``trim_estimation``), as in the fits of the real events.
    bridged: returns run over the sessions without a price, which a window may then hold.
    """

    model: Model
    event_window: Window
    windows: tuple[Window, ...]
    min_days: int
    log_returns: bool
    left_out: Mapping[str, Days]
    bridged: bool = False


def pseudo_events(
    panel: EventPanel,
    real: Mapping[str, Days],
    design: Design,
    draws: int,
    rng: np.random.Generator,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Placebo:
    """Fit the model at every pseudo-date of the panel's lines, and draw joint pseudo-dates of its clusters.

    real: the event days of each symbol that pseudo-windows must not touch, those of excluded pairs too.
    """
    tables: dict[tuple[int, int, int], Floats] = {}
    kinds = sorted({kind_of(panel, i) for i in range(len(panel.pairs))})
    for done, kind in enumerate(kinds):
        line = panel.lines[kind[0]]
        tables[kind] = line_cars(line, Window(*kind[1:]), real[line.symbol], design)
        on_progress(done + 1, len(kinds))
    return joint_draws(panel, tables, design.windows, draws, rng)


def joint_draws(
    panel: EventPanel, tables: Mapping[tuple[int, int, int], Floats], windows: tuple[Window, ...], draws: int,
    rng: np.random.Generator,
) -> Placebo:  # fmt: skip
    """Draw joint pseudo-dates of the panel's clusters.

    tables: for each kind of pair (line, first and last estimation day) what is measured with day 0 at each session, (S, W),
    NaN where that session is not feasible.
    """
    cluster = clusters([p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs])
    width = next(iter(tables.values())).shape[1]
    events: list[Floats] = [np.empty((0, width))] * len(panel.pairs)
    non_overlapping = np.zeros(len(panel.pairs), np.int64)
    sizes = np.zeros(int(cluster.max()) + 1, np.int64)
    for c in range(len(sizes)):
        members = np.flatnonzero(cluster == c)
        places = _feasible(panel, members, tables)
        sizes[c] = places.shape[1]
        for i, place in zip(members, places, strict=True):
            events[i] = tables[kind_of(panel, int(i))][place]
            non_overlapping[i] = _side_by_side(place, len(panel.event_window))
    joint = np.ascontiguousarray((rng.random((draws, len(sizes))) * sizes).astype(np.int64).T)
    return Placebo(windows, tuple(events), cluster, joint, non_overlapping)


def clusters(event_ids: Sequence[str], event_days: Sequence[np.datetime64]) -> Ints:
    """Number the connected groups of pairs that share an event or an event day, in order of first appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, by_id = np.unique(np.asarray(event_ids), return_inverse=True)
    _, by_day = np.unique(np.asarray(event_days, dtype="datetime64[D]"), return_inverse=True)
    size = by_id.max() + 1
    links = coo_array((np.ones(len(by_id)), (by_id, size + by_day)), shape=(size + by_day.max() + 1,) * 2)
    labels = connected_components(links, directed=False)[1][by_id]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse])


def kind_of(panel: EventPanel, i: int) -> tuple[int, int, int]:
    return int(panel.line[i]), int(panel.own[i, 0]), int(panel.own[i, 1])


def line_cars(line: Line, own: Window, real: Days, design: Design) -> Floats:
    """(S, W) CARs with day 0 at each session of a line; NaN where that session is not feasible.

    own: the estimation window. real: the days of real events, whose event windows a pseudo-window may not touch.
    """
    event_window = design.event_window
    estimable = line.returns
    if line.symbol in design.left_out:
        estimable = np.where(np.isin(line.dates, design.left_out[line.symbol]), np.nan, line.returns)
    cars = np.full((len(line.dates), len(design.windows)), np.nan)
    first = max(-event_window.start, 0)
    at = np.arange(first, len(line.dates) - max(event_window.end, 0))
    if not len(at):
        return cars
    complete = np.isfinite(line.returns[at[:, None] + event_window.days]).all(axis=1) | design.bridged
    apart = (np.abs(at[:, None] - np.searchsorted(line.dates, real)) >= len(event_window)).all(axis=1)
    counted = np.concatenate([[0], np.cumsum(np.isfinite(estimable))])
    upper = np.clip(at + own.end + 1, 0, len(line.dates))
    n_obs = counted[upper] - counted[np.clip(at + own.start, 0, len(line.dates))]
    at = at[complete & apart & (n_obs >= design.min_days)]
    events = windows_around(line.returns - line.riskfree, event_window), windows_around(line.regressors, event_window)
    estimation = windows_around(estimable - line.riskfree, own), windows_around(line.regressors, own)
    for begin in range(0, len(at), CHUNK):
        part = at[begin : begin + CHUNK]
        fits = design.model(*(np.ascontiguousarray(v[part]) for v in (*estimation, events[1])))
        good = np.flatnonzero(fits.degenerate == "")
        if len(good) < len(part):
            part, fits = part[good], fits.take(good)
        abnormal = abnormal_returns(events[0][part], fits, event_window)
        for w, window in enumerate(design.windows):
            cars[part, w] = cumulate(abnormal, fits, window, design.log_returns).car
    return cars


def windows_around(values: Floats, window: Window) -> Floats:
    """(S, ..., len(window)) view of the window around each session of values (..., S); NaN beyond the line."""
    before, after = max(-window.start, 0), max(window.end, 0)
    edges = [(0, 0)] * (values.ndim - 1) + [(before, after)]
    padded = np.pad(values, edges, constant_values=np.nan)
    view = np.lib.stride_tricks.sliding_window_view(padded, len(window), axis=-1)
    around = view[..., before + window.start :, :][..., : values.shape[-1], :]
    return np.moveaxis(around, -2, 0)


def _feasible(panel: EventPanel, members: Ints, tables: Mapping[tuple[int, int, int], Floats]) -> Ints:
    """(members, C) positions of each member at the C shifts of the calendar that are feasible for all of them."""
    base = min(panel.pairs[i].event_day for i in members)
    lines = [panel.lines[panel.line[i]] for i in members]
    starts = lines[int(np.argmin([panel.pairs[i].event_day for i in members]))].dates
    good = np.ones(len(starts), bool)
    places = np.empty((len(members), len(starts)), np.int64)
    for row, (i, line) in enumerate(zip(members, lines, strict=True)):
        day = starts + (panel.pairs[i].event_day - base)
        place = np.searchsorted(line.dates, day)
        held = np.minimum(place, len(line.dates) - 1)
        places[row] = held
        good &= (place < len(line.dates)) & np.isfinite(tables[kind_of(panel, i)][held]).all(axis=1)
    return places[:, good]


def _side_by_side(places: Ints, length: int) -> int:
    """How many windows of ``length`` sessions at the given increasing positions fit without overlap."""
    count, free = 0, -1
    for place in places.tolist():
        if place >= free:
            count, free = count + 1, place + length
    return count
