"""Events in overlapping windows at pseudo-dates: the joint regression again, a dummy for each event, at every date on which they
may stand as many sessions apart as in the study.

The regression is linear in the returns. So the returns are taken apart into what the clean estimation rows expect of the days of
the windows, what is beyond that, its mean over the pseudo-dates, and an effect of 1 on day 0 of every event; each part has its
CARs and its residuals, from which the CARs of any mixture and their standard errors follow. `engine.joint` for the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.abnormal import sums
from engine.joint import COLLINEAR, regression_of
from engine.orthonormal import back_substituted, orthonormal
from engine.panel import EventPanel
from engine.placebo import PseudoDates
from engine.pseudo_samples import Subject, cut, pseudo_samples
from engine.sessions import Window
from engine.significance.batch import Batch

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cluster:
    """Events of one line in one joint regression. offset: (E,) sessions of each after the earliest. members: those of a subject,
    which: (M,) their places among the E. own: the estimation window of the earliest, blank: its rows that are left out."""

    offset: Ints
    members: Ints
    which: Ints
    own: Window
    blank: Bools


@dataclass(frozen=True)
class Parted:
    """The joint regressions of a cluster in one window at C pseudo-dates.

    cars: (C, M, 3) the CARs of what is beyond expectation, of its mean over the dates, and of an effect of 1. spread: (C, M) of
    the standard errors over sigma. cross: (C, 4, 4) sums of products of the residuals: of the estimation rows, then of the three.
    dof: (C,).
    """

    cluster: Cluster
    cars: Floats
    spread: Floats
    cross: Floats
    dof: Ints

    def mixed(self, place: Ints, scale: float | None, taus: Floats) -> tuple[Floats, Floats, Floats]:
        """(D, M) CARs at some pseudo-dates, (D, M) what an effect of 1 adds, and (K, D, M) standard errors.

        scale: None for returns as they are; else of what is beyond expectation, less its mean.
        """
        parts = np.array([1.0, 0.0]) if scale is None else np.array([scale, -scale])
        cars, cross = self.cars[place], self.cross[place]
        weight = np.concatenate([np.ones((len(taus), 1)), np.tile(parts, (len(taus), 1)), taus[:, None]], axis=1)
        squares = (weight[:, None, :, None] * cross * weight[:, None, None, :]).sum(axis=(2, 3))
        sigma = np.sqrt(squares / self.dof[place])
        return (cars[:, :, :2] * parts).sum(axis=2), cars[:, :, 2], sigma[:, :, None] * self.spread[place]


def clusters_of(panel: EventPanel, joint: Mapping[tuple[str, str], int], inside: Ints) -> list[Cluster]:
    """The joint clusters that the chosen pairs are in, others of their events with them."""
    label = np.array([joint.get((p.event_id, p.symbol), -1) for p in panel.pairs])
    found = []
    for number in np.unique(label[inside][label[inside] >= 0]):
        every = np.flatnonzero(label == number)
        every = every[np.argsort(panel.position[every], kind="stable")]
        members = np.flatnonzero(label[inside] == number)
        which = np.array([int(np.flatnonzero(every == inside[m])[0]) for m in members])
        offset, first = panel.position[every] - panel.position[every[0]], every[0]
        own = Window(*panel.own[first].tolist())
        found.append(Cluster(offset, members, which, own, left_out_rows(panel, label)[first]))
    return found


def left_out_rows(panel: EventPanel, label: Ints) -> Bools:
    """(N, R) estimation rows on days of the event windows of others in the same joint cluster. label: (N,), -1 for none."""
    found = np.zeros((len(panel.pairs), len(panel.estimation_rows)), bool)
    for i in np.flatnonzero(label >= 0):
        for j in np.flatnonzero(label == label[i]):
            if j != i:
                apart = panel.estimation_rows.days + panel.position[i] - panel.position[j]
                found[i] |= (apart >= panel.event_window.start) & (apart <= panel.event_window.end)
    return found


def standing_apart(
    subject: Subject, everyone: EventPanel, joint: Mapping[tuple[str, str], int], inside: Ints
) -> tuple[Subject, list[Cluster]]:
    """The subject at those of its pseudo-dates at which events of a joint cluster are as many sessions apart as in the study.

    Pairs of a joint cluster move together, and so do those that share an event or a day with one of them.
    """
    label = np.array([joint.get((p.event_id, p.symbol), -1) for p in everyone.pairs])
    blank = left_out_rows(everyone, label)[inside]
    clusters = clusters_of(everyone, joint, inside)
    cluster, places = subject.dates.cluster.copy(), list(subject.dates.places)
    for one in clusters:
        cluster[np.isin(cluster, cluster[one.members])] = cluster[one.members].min()
    for label_ in np.unique(cluster):
        members = np.flatnonzero(cluster == label_)
        for i, place in zip(
            members, _together(subject, members, [c for c in clusters if c.members[0] in members]), strict=True
        ):
            places[i] = place
    fitted = replace(subject, blank=blank)
    cars, means = zip(*(_measured(fitted, i, places[i]) for i in range(subject.n)), strict=True)
    _, first, number = np.unique(cluster, return_index=True, return_inverse=True)
    dates = PseudoDates(np.argsort(np.argsort(first))[number], tuple(places), cars, means, subject.dates.design)
    return replace(fitted, dates=dates), clusters


def _together(subject: Subject, members: Ints, clusters: Sequence[Cluster]) -> list[Ints]:
    """The positions of some pairs at the shifts of the calendar that are feasible for each and keep joint events apart."""
    panel, strip = subject.panel, subject.strip
    lead = min(members, key=lambda i: panel.pairs[i].event_day)
    days = panel.lines[panel.line[lead]].dates - panel.pairs[lead].event_day
    good, places = np.ones(len(days), bool), {}
    for i in members:
        place = np.searchsorted(panel.lines[panel.line[i]].dates, panel.pairs[i].event_day + days)
        good &= np.isin(place, subject.dates.places[i])
        places[i] = place
    for one in clusters:
        start = places[one.members[0]] - one.offset[one.which[0]]
        for m, which in zip(one.members, one.which, strict=True):
            good &= places[m] == start + one.offset[which]
        window = Window(panel.event_window.start, panel.event_window.end + int(one.offset.max()))
        first = strip.start[panel.line[one.members[0]]] + np.where(good, start, 0)
        inside = first + window.end < len(strip.returns)
        there = cut(strip.returns, np.where(inside, first, first.min()), window)
        columns = np.unique(one.offset[:, None] + np.arange(len(panel.event_window)))
        good &= inside & np.isfinite(there[:, columns]).all(axis=1)
    return [places[i][good] for i in members]


def _measured(subject: Subject, i: int, places: Ints) -> tuple[Floats, Floats]:
    """(C, W) CARs of a pair's own fits at its places, and (E,) the mean abnormal return of each relative day."""
    design = subject.dates.design
    if not len(places):
        return np.empty((0, len(design.windows))), np.full(len(design.event_window), np.nan)
    abnormal = pseudo_samples(subject.take(np.array([i])), places[:, None]).abnormal
    cars = [sums(abnormal, abnormal.ar, window.within(design.event_window)) for window in design.windows]
    known = np.isfinite(abnormal.ar)
    means = np.where(known, abnormal.ar, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.stack(cars, axis=1), means


def joint_at_dates(subject: Subject, cluster: Cluster, model: str, window: Window, day: int) -> Parted:
    """The joint regressions of a cluster at its pseudo-dates. day: the relative day that an effect is put on."""
    strip, panel = subject.strip, subject.panel
    m = cluster.members[0]
    first = strip.start[panel.line[m]] + subject.dates.places[m] - cluster.offset[cluster.which[0]]
    span = Window(window.start, window.end + int(cluster.offset.max()))
    explained, regressors = regression_of(model, strip.returns, strip.regressors)
    clean = np.where(np.isfinite(strip.seen), explained, np.nan)
    y, x = cut(clean, first, cluster.own), cut(regressors, first, cluster.own)
    y_late, x_late = cut(explained, first, span), cut(regressors, first, span)
    dummies = np.stack([(span.days >= o + window.start) & (span.days <= o + window.end) for o in cluster.offset])
    days = dummies.any(axis=0)
    y_late, x_late, dummies, late = y_late[:, days], x_late[:, :, days], dummies[:, days], span.days[days]
    used = np.isfinite(y) & np.isfinite(x).all(axis=1) & ~cluster.blank[cluster.own.within(panel.estimation_rows)]
    used &= ~np.isin(cluster.own.days, late)
    y, x = np.where(used, y, 0.0), np.where(used[:, None], x, 0.0)
    unit, _, basis = orthonormal(x, x_late, COLLINEAR)
    share = (unit * y[:, None]).sum(axis=2)
    left = y - (share[:, :, None] * unit).sum(axis=1)
    beyond = y_late - (share[:, :, None] * basis).sum(axis=1)
    effect = (late[:, None] == cluster.offset + day).sum(axis=1).astype(np.float64)
    parts = np.stack([beyond, np.tile(beyond.mean(axis=0), (len(y), 1)), np.tile(effect, (len(y), 1))], axis=1)
    k, events, n = x.shape[1], len(dummies), len(y)
    design = np.zeros((n, k + events, y.shape[1] + len(late)))
    design[:, :k] = np.concatenate([x, x_late], axis=2)
    design[:, k:, y.shape[1] :] = dummies
    values = np.concatenate([np.zeros((n, 3, y.shape[1])), parts], axis=2)
    coefficients, errors, spread = _fitted(design, values)
    whole = np.concatenate([np.concatenate([left, np.zeros((n, len(late)))], axis=1)[:, None], errors], axis=1)
    return Parted(
        cluster=cluster,
        cars=len(window) * coefficients[:, k + cluster.which],
        spread=len(window) * spread[:, k + cluster.which],
        cross=(whole[:, :, None] * whole[:, None]).sum(axis=3),
        dof=used.sum(axis=1) + len(late) - k - events,
    )


def _fitted(design: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Of (C, V, T) values on (C, P, T) columns: coefficients (C, P, V), residuals (C, V, T), errors over sigma (C, P)."""
    unit, upper, _ = orthonormal(design, design[:, :, :0], COLLINEAR)
    shares = (unit[:, :, None] * values[:, None]).sum(axis=3)
    errors = values - (shares[..., None] * unit[:, :, None]).sum(axis=1)
    solved = np.stack([back_substituted(upper, shares[:, :, v]) for v in range(values.shape[1])], axis=2)
    one = np.eye(design.shape[1])
    inverse = [back_substituted(upper, np.tile(one[j], (len(design), 1))) for j in range(len(one))]
    return solved, errors, np.sqrt((np.stack(inverse, axis=2) ** 2).sum(axis=2))


def with_joint(batch: Batch, every: Sequence[Parted], place: Ints, scale: float | None) -> Batch:
    """The batch with the CARs of the joint regressions in the place of those of the events' own fits.

    place: (D, N) which of its pseudo-dates each event has. scale: as in `Parted.mixed`.
    """
    car, dof, errors = batch.car.copy(), batch.dof.copy(), np.tile(batch.car_se, (len(batch.taus), 1, 1))
    push = np.ones(car.shape)
    for one in every:
        members = one.cluster.members
        at = place[:, members[0]]
        car[:, members], push[:, members], errors[:, :, members] = one.mixed(at, scale, batch.taus)
        dof[:, members] = one.dof[at, None]
    zero = int(np.argmin(np.abs(batch.taus)))
    return replace(
        batch, car=car, car_se=errors[zero], scar=car / errors[zero], dof=dof, push=push, errors=errors, kept={}
    )
