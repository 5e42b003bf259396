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

from engine.abnormal import abnormal_returns, sums
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
class PseudoDates:
    """Where the N pairs of a panel may stand instead.

    cluster: (N,) cluster of each pair. places: for pair i the (C_i,) positions on its line of its cluster's pseudo-dates, in
    the order of time. cars: (C_i, W) CARs there. means: (E,) the mean abnormal return there of each relative day of the event
    window. design: how they were measured.
    """

    cluster: Ints
    places: tuple[Ints, ...]
    cars: tuple[Floats, ...]
    means: tuple[Floats, ...]
    design: Design

    def take(self, members: Ints) -> PseudoDates:
        """The dates of the chosen pairs, their clusters numbered again in order of first appearance."""
        _, first, label = np.unique(self.cluster[members], return_index=True, return_inverse=True)
        places, cars, means = (tuple(one[i] for i in members) for one in (self.places, self.cars, self.means))
        return PseudoDates(np.argsort(np.argsort(first))[label], places, cars, means, self.design)

    def sizes(self) -> Ints:
        """(K,) how many pseudo-dates each cluster has."""
        found = np.zeros(int(self.cluster.max()) + 1, np.int64)
        for c, places in zip(self.cluster, self.places, strict=True):
            found[c] = len(places)
        return found


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


def placebo_of(dates: PseudoDates, draws: int, rng: np.random.Generator) -> Placebo:
    """Draw joint pseudo-dates of the clusters, for `permutation`."""
    length = len(dates.design.event_window)
    return _drawn(dates.design.windows, dates.cars, dates.cluster, dates.places, length, draws, rng)


def pseudo_dates(
    panel: EventPanel,
    real: Mapping[str, Days],
    design: Design,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> PseudoDates:
    """Fit the model at every session of the panel's lines, and find where the pairs of each cluster may stand together.

    real: the event days of each symbol that pseudo-windows must not touch, those of excluded pairs too.
    """
    tables: dict[tuple[int, int, int], LineTable] = {}
    kinds = sorted({kind_of(panel, i) for i in range(len(panel.pairs))})
    for done, kind in enumerate(kinds):
        line = panel.lines[kind[0]]
        tables[kind] = line_table(line, Window(*kind[1:]), real[line.symbol], design)
        on_progress(done + 1, len(kinds))
    cluster, places = _standing(panel, {kind: found.cars for kind, found in tables.items()})
    own = [tables[kind_of(panel, i)] for i in range(len(panel.pairs))]
    cars = tuple(found.cars[place] for found, place in zip(own, places, strict=True))
    means = tuple(found.mean_ar(place) for found, place in zip(own, places, strict=True))
    return PseudoDates(cluster, places, cars, means, design)


def joint_draws(
    panel: EventPanel, tables: Mapping[tuple[int, int, int], Floats], windows: tuple[Window, ...], draws: int,
    rng: np.random.Generator,
) -> Placebo:  # fmt: skip
    """Draw joint pseudo-dates of the panel's clusters.

    tables: for each kind of pair (line, first and last estimation day) what is measured with day 0 at each session, (S, W),
    NaN where that session is not feasible.
    """
    cluster, places = _standing(panel, tables)
    events = tuple(tables[kind_of(panel, i)][place] for i, place in enumerate(places))
    return _drawn(windows, events, cluster, places, len(panel.event_window), draws, rng)


def _standing(panel: EventPanel, tables: Mapping[tuple[int, int, int], Floats]) -> tuple[Ints, tuple[Ints, ...]]:
    """The cluster of every pair, and its positions at the pseudo-dates of its cluster."""
    cluster = clusters([p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs])
    places: list[Ints] = [np.empty(0, np.int64)] * len(panel.pairs)
    for c in range(int(cluster.max()) + 1):
        members = np.flatnonzero(cluster == c)
        for i, place in zip(members, _feasible(panel, members, tables), strict=True):
            places[i] = place
    return cluster, tuple(places)


def _drawn(
    windows: tuple[Window, ...], events: tuple[Floats, ...], cluster: Ints, places: Sequence[Ints], length: int, draws: int,
    rng: np.random.Generator,
) -> Placebo:  # fmt: skip
    sizes = np.zeros(int(cluster.max()) + 1, np.int64)
    for c, own in zip(cluster, places, strict=True):
        sizes[c] = len(own)
    joint = np.ascontiguousarray((rng.random((draws, len(sizes))) * sizes).astype(np.int64).T)
    return Placebo(windows, events, cluster, joint, np.array([side_by_side(own, length) for own in places]))


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


@dataclass(frozen=True)
class LineTable:
    """What happens with day 0 at each of the S sessions of a line; NaN where that session is not feasible.

    cars: (S, W). ars: (S, E) abnormal returns of the event window.
    """

    cars: Floats
    ars: Floats

    def mean_ar(self, places: Ints) -> Floats:
        """(E,) the mean abnormal return of each relative day over the sessions chosen; NaN where there are none."""
        if not len(places):
            return np.full(self.ars.shape[1], np.nan)
        seen = self.ars[places]
        return np.asarray(np.nan_to_num(seen).sum(axis=0) / np.maximum(np.isfinite(seen).sum(axis=0), 1))


def line_cars(line: Line, own: Window, real: Days, design: Design) -> Floats:
    """(S, W) CARs with day 0 at each session of a line; NaN where that session is not feasible."""
    return line_table(line, own, real, design).cars


def line_table(line: Line, own: Window, real: Days, design: Design) -> LineTable:
    """CARs and abnormal returns with day 0 at each session of a line.

    own: the estimation window. real: the days of real events, whose event windows a pseudo-window may not touch.
    """
    event_window = design.event_window
    cars = np.full((len(line.dates), len(design.windows)), np.nan)
    ars = np.full((len(line.dates), len(event_window)), np.nan)
    seen = estimable(line, design)
    first = max(-event_window.start, 0)
    at = np.arange(first, len(line.dates) - max(event_window.end, 0))
    if not len(at):
        return LineTable(cars, ars)
    complete = np.isfinite(line.returns[at[:, None] + event_window.days]).all(axis=1) | design.bridged
    apart = (np.abs(at[:, None] - np.searchsorted(line.dates, real)) >= len(event_window)).all(axis=1)
    counted = np.concatenate([[0], np.cumsum(np.isfinite(seen))])
    upper = np.clip(at + own.end + 1, 0, len(line.dates))
    n_obs = counted[upper] - counted[np.clip(at + own.start, 0, len(line.dates))]
    at = at[complete & apart & (n_obs >= design.min_days)]
    around = around_sessions(line, own, seen, design)
    for begin in range(0, len(at), CHUNK):
        part = at[begin : begin + CHUNK]
        fits = design.model(*(np.ascontiguousarray(v[part]) for v in around[:3]))
        good = np.flatnonzero(fits.degenerate == "")
        if len(good) < len(part):
            part, fits = part[good], fits.take(good)
        abnormal = abnormal_returns(around[3][part], fits, event_window)
        ars[part] = abnormal.ar
        for w, window in enumerate(design.windows):
            cars[part, w] = sums(abnormal, abnormal.ar, window.within(event_window))
    return LineTable(cars, ars)


def estimable(line: Line, design: Design) -> Floats:
    """(S,) the returns of a line that an estimation row may be."""
    if line.symbol not in design.left_out:
        return line.returns
    return np.where(np.isin(line.dates, design.left_out[line.symbol]), np.nan, line.returns)


def around_sessions(
    line: Line, own: Window, seen: Floats, design: Design
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Views of a line around each of its S sessions: what the model is fitted to, and the returns of the event window.

    Estimation returns (S, R) and regressors (S, K, R), regressors (S, K, E) and returns (S, E) of the event window, returns
    in excess of the risk-free rate where there is one; and that rate (S, E). seen: `estimable`.
    """
    return (
        windows_around(seen - line.riskfree, own),
        windows_around(line.regressors, own),
        windows_around(line.regressors, design.event_window),
        windows_around(line.returns - line.riskfree, design.event_window),
        windows_around(line.riskfree, design.event_window),
    )


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


def side_by_side(places: Ints, length: int) -> int:
    """How many windows of ``length`` sessions at the given increasing positions fit without overlap."""
    if length == 1:
        return len(np.unique(places))
    following, count, at, end = np.searchsorted(places, places + length).tolist(), 0, 0, len(places)
    while at < end:
        count, at = count + 1, following[at]
    return count
