"""Where the pairs of a group stand in each draw: anywhere feasible, or only where the run-up before was like the real one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.lines import Line
from engine.panel import EventPanel
from engine.placebo import side_by_side
from engine.pseudo_samples import Subject
from engine.sessions import Window
from engine.ties import merged

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """D draws of N pairs. position: (D, N) on each pair's line. place: (D, N) which of the pair's pseudo-dates that is.
    allowed: for each pair its pseudo-dates that may be drawn. unmatched: clusters without a run-up of their own, which may
    stand anywhere."""

    position: Ints
    place: Ints
    allowed: tuple[Ints, ...]
    unmatched: int = 0

    def distinct(self) -> int:
        """The pseudo-dates of the cluster that has fewest."""
        return min(len(one) for one in self.allowed)

    def apart(self, length: int, subject: Subject) -> int:
        """How many of its pseudo-windows of some length fit side by side, for the pair that has fewest: draws beyond that
        number share days with others."""
        own = zip(subject.dates.places, self.allowed, strict=True)
        return min(side_by_side(places[allowed], length) for places, allowed in own)


def drawn(subject: Subject, draws: int, rng: np.random.Generator, matched: tuple[Ints, ...] | None = None) -> Drawn:
    """Joint draws of the clusters' pseudo-dates; of a single cluster its pseudo-dates themselves, evenly spaced if too many.

    matched: for each pair the pseudo-dates that may be drawn, all if None.
    """
    dates = subject.dates
    sizes = dates.sizes()
    lead = [int(np.flatnonzero(dates.cluster == c)[0]) for c in range(len(sizes))]
    every = [np.arange(size) for size in sizes]
    of_cluster = every if matched is None else [matched[i] for i in lead]
    if len(sizes) == 1:
        many = len(of_cluster[0])
        chosen = [of_cluster[0][np.arange(min(many, draws)) * many // min(many, draws)]]
    else:
        share = rng.random((draws, len(sizes)))
        chosen = [few[(share[:, c] * len(few)).astype(np.int64)] for c, few in enumerate(of_cluster)]
    place = np.stack([chosen[c] for c in dates.cluster], axis=1)
    position = np.stack([places[place[:, i]] for i, places in enumerate(dates.places)], axis=1)
    return Drawn(position, place, tuple(of_cluster[c] for c in dates.cluster))


def matched_by_runup(subject: Subject, runup: Window, share: float) -> tuple[tuple[Ints, ...], int]:
    """For each pair the pseudo-dates of its cluster whose run-up is nearest to that of the real event, a share of all.

    The run-up is the sum of the listing's returns less its benchmark's over the window; near is the Euclidean distance over the
    members of the cluster, each in units of its sd over the pseudo-dates. Also the number of clusters without one.
    """
    panel, dates = subject.panel, subject.dates
    found: list[Ints] = [np.empty(0, np.int64)] * subject.n
    unmatched = 0
    for c in range(len(dates.sizes())):
        members = np.flatnonzero(dates.cluster == c)
        distance = np.zeros(len(dates.places[members[0]]))
        for i in members:
            sums = runups(panel.lines[panel.line[i]], runup, dates.design.bridged)
            there, own = sums[dates.places[i]], float(sums[panel.position[i]])
            distance += (
                ((there - own) / max(float(np.nanstd(there)), 1e-12)) ** 2 if np.isfinite(there).any() else np.nan
            )
        known = np.flatnonzero(np.isfinite(distance))
        if not len(known):
            unmatched, nearest = unmatched + 1, np.arange(len(distance))
        else:
            few = max(int(np.ceil(share * len(distance))), 1)
            nearest = np.sort(known[np.argsort(merged(distance[known]), kind="stable")[:few]])
        for i in members:
            found[i] = nearest
    return tuple(found), unmatched


def runups(line: Line, window: Window, bridged: bool = False) -> Floats:
    """(S,) the returns of the line less those of its benchmark, added up over the window around each session; NaN where one is
    missing. bridged: a return covers the sessions before it without one, and the window must be covered, and nothing before."""
    benchmark = line.regressors[int(bridged) :][:1]
    daily = line.returns - (benchmark[0] + line.riskfree if len(benchmark) else 0.0)
    covered = np.where(np.isfinite(daily), line.regressors[0] if bridged else 1.0, 0.0)
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(daily))])
    reached = np.concatenate([[0.0], np.cumsum(covered)])
    first = np.arange(len(daily)) + window.start
    last = first + len(window)
    inside = (first >= 0) & (last <= len(daily))
    a, b = np.clip(first, 0, len(daily)), np.clip(last, 0, len(daily))
    ends = covered[np.clip(b - 1, 0, None)] > 0
    return np.where(inside & ends & (reached[b] - reached[a] == len(window)), total[b] - total[a], np.nan)


def panel_scale(panel: EventPanel) -> int:
    """The numbers that one draw takes: residuals and event rows of every pair."""
    return len(panel.pairs) * (len(panel.estimation_rows) + 4 * len(panel.event_window))
