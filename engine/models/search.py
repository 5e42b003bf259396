"""The maximum of a likelihood of a few parameters under linear bounds, found to the same digits on every machine.

A search that starts, turns or stops by the last digits of a sum ends elsewhere on another processor. Here each of a few fixed
starts climbs by the outer product of the scores, then by Newton's method, to a root of central differences, which the last
digit moves by far less than any tolerance; a parameter that ends at a bound stays on it exactly. Berndt, Hall, Hall & Hausman
(1974) for the climb; Nocedal & Wright (2006), sections 3.4, 8.1 and 16.5 for curvature, differences and bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
STEPS, CLIMBS = 60, 25  # most steps, and those of them by the scores alone
HALVINGS, ROUGH, TIRED = (
    15,
    3,
    40,
)  # of a step: the most, as many as ask for the curvature, and the most of a whole climb
FAR, NEAR, END = 0.2, 1e-4, 1e-7  # the longest step, one from which bounds are let go, and one that ends the search
GAIN = 1e-3  # of the likelihood, expected of a step: with more of it the curvature itself is not asked for at first
FLAT = 0.1  # curvature along a direction, a standard error of three units: less leaves its parameters undetermined
ON = 1e-6  # distance from a bound, and slope that leads away from one: less is on it, and is no reason to leave it
SAME = 3e-2  # distance of parameters: nearer maxima are one
RISE, FALL = 1e-6, 1e-3  # of the likelihood: what is a step upward, and what is lost for less slope at most
DROP = 0.9  # share of the slope that such a step may leave


@dataclass(frozen=True)
class Hill:
    """A log-likelihood of P parameters to be maximised where lines @ p >= least.

    height: (n,) the part of each observation at p, not finite where there is none. widths: (P,) half those of the central
    differences at p. lines: (C, P), least: (C,).
    """

    height: Callable[[Floats], Floats]
    widths: Callable[[Floats], Floats]
    lines: Floats
    least: Floats

    def value(self, p: Floats) -> float:
        """The log-likelihood, -inf where there is none."""
        found = float(self.height(p).sum())
        return found if np.isfinite(found) else -np.inf

    def scores(self, p: Floats) -> Floats:
        """(P, n) central differences of each observation."""
        widths = self.widths(p)
        return np.array([self.height(p + one) - self.height(p - one) for one in np.diag(widths)]) / (
            2 * widths[:, None]
        )

    def slopes(self, p: Floats) -> Floats:
        """(P,) central differences."""
        return np.asarray(self.scores(p).sum(axis=1))

    def curvature(self, p: Floats) -> Floats:
        """(P, P) central differences of `slopes`, downward positive."""
        widths = self.widths(p)
        ways, found = np.diag(widths), np.empty((len(p), len(p)))
        for i, one in enumerate(ways):
            for j, other in enumerate(ways[: i + 1]):
                alike = self.value(p + one + other) + self.value(p - one - other)
                apart = self.value(p + one - other) + self.value(p - one + other) if j < i else 2 * self.value(p)
                found[i, j] = found[j, i] = (apart - alike) / (4 * widths[i] * widths[j])
        return found

    def room(self, p: Floats) -> Floats:
        """(C,) how far p is inside each bound."""
        return np.asarray(self.lines @ p - self.least)


@dataclass(frozen=True)
class _Way:
    """Where to go from a point. step: (P,). axes: (P, F) of the curvature along the bounds held; bends: (F,) how strongly the
    likelihood bends down along each. slope: what is left of it, twice the gain that the curvature promises."""

    step: Floats
    axes: Floats
    bends: Floats
    slope: float

    @classmethod
    def of(cls, held: Floats, slopes: Floats, curvature: Floats) -> _Way:
        """Newton's step along the bounds held (H, P), turned uphill where the likelihood does not bend down."""
        free = np.eye(len(slopes))
        if len(held):
            _, sizes, rows = np.linalg.svd(held)
            free = rows[int((sizes > 1e-9).sum()) :].T
        bends, turned = np.linalg.eigh(free.T @ curvature @ free)
        axes = free @ turned
        along = axes.T @ slopes
        share = along / np.maximum(np.abs(bends), FLAT)
        return cls(axes @ share, axes, bends, float((along * share).sum()))

    def left(self, slopes: Floats) -> float:
        """What is left of other slopes by the same measure."""
        along = self.axes.T @ slopes
        return float((along * along / np.maximum(np.abs(self.bends), FLAT)).sum())


@dataclass(frozen=True)
class _End:
    """Where a climb ends. at: (P,) with the likelihood ``height``. top: whether that is a maximum, and not a flat one."""

    at: Floats
    height: float
    top: bool


def highest(hill: Hill, starts: Sequence[Floats]) -> Floats | None:
    """The parameters of the highest maximum that a start leads to; None where there is none, where another is as high, or where a
    climb without an end came higher."""
    with np.errstate(all="ignore"):
        ends: list[_End] = []
        for start in starts:
            ends.append(_climbed(hill, start, [end for end in ends if end.top]))
    tops = [end for end in ends if end.top]
    if not tops:
        return None
    height = max(end.height for end in tops)
    best = next(end for end in tops if end.height > height - RISE)
    rival = any(end.height > height - RISE and np.abs(end.at - best.at).max() > SAME for end in tops)
    return None if rival or any(end.height > height + FALL for end in ends) else best.at


def _climbed(hill: Hill, p: Floats, known: Sequence[_End]) -> _End:
    """Where the climb from p ends: one of the ``known`` maxima, or another end."""
    held, height, curved, halvings = np.zeros(len(hill.least), bool), hill.value(p), False, 0
    for step in range(STEPS):
        scores = hill.scores(p)
        slopes = scores.sum(axis=1)
        if not np.isfinite(scores).all():
            break
        way = _Way.of(hill.lines[held], slopes, scores @ scores.T)
        curved |= step >= CLIMBS
        if curved or way.slope < 2 * GAIN:
            near = next((end for end in known if np.abs(end.at - p).max() < SAME), None)
            if near is not None:
                return near
            curvature = hill.curvature(p)
            if not np.isfinite(curvature).all():
                break
            way = _Way.of(hill.lines[held], slopes, curvature)
            away = _leads_away(hill.lines, held, slopes) if np.abs(way.step).max() < NEAR else None
            if away is not None:
                held[away] = False
                way = _Way.of(hill.lines[held], slopes, curvature)
            if np.abs(way.step).max() < END:
                return _End(p + way.step, height, bool((way.bends > FLAT).all()))
        length, met = _reach(hill, p, way.step, held)
        halved = _halved(hill, p, way, length, height)
        halvings += halved
        if halved == HALVINGS or halvings > TIRED:
            break
        curved |= halved >= ROUGH
        taken = length * 0.5**halved
        p = p + taken * way.step
        if met is not None and not halved:
            held[met] = True
            p = p - np.linalg.pinv(hill.lines[held]) @ hill.room(p)[held]
        height = hill.value(p)
    return _End(p, height, top=False)


def _leads_away(lines: Floats, held: Bools, slopes: Floats) -> int | None:
    """The bound held from which the likelihood rises most steeply inward, None where it rises from none."""
    if not held.any():
        return None
    inward = np.linalg.pinv(lines[held].T) @ slopes
    return int(np.flatnonzero(held)[inward.argmax()]) if inward.max() > ON else None


def _reach(hill: Hill, p: Floats, step: Floats, held: Bools) -> tuple[float, int | None]:
    """How much of the step is taken at most, and the bound that it meets there."""
    room, move = np.maximum(hill.room(p), 0.0), hill.lines @ step
    length, met = min(1.0, FAR / float(np.abs(step).max())), None
    for i in np.flatnonzero(~held & (move < 0)).tolist():
        if room[i] + move[i] * length <= ON:
            length, met = min(length, room[i] / -move[i]), i
    return length, met


def _halved(hill: Hill, p: Floats, way: _Way, length: float, height: float) -> int:
    """How often the step is halved until it leads up or, near the maximum, leaves less slope; `HALVINGS` where it never does."""
    for halved in range(HALVINGS):
        there = p + length * 0.5**halved * way.step
        reached = hill.value(there)
        if length == 0.0 or reached >= height + RISE:
            return halved
        if reached > height - FALL and way.left(hill.slopes(there)) < DROP * way.slope:
            return halved
    return HALVINGS
