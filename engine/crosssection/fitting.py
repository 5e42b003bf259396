"""Least squares of CARs on the columns of a design, by orthonormal columns.

Written out because statsmodels takes a second to import; the tests hold every standard error against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.crosssection.benchmark import PreEvent
from engine.crosssection.design import Design
from engine.orthonormal import back_substituted, orthonormal

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CONSTANT_LEFT = 1e-18  # of a constant's squared length outside the terms: more is no constant


@dataclass(frozen=True)
class CrossSample:
    """N events that are complete in one window. car, car_se: (N,); dates: (N,) day number of day 0; firms: (N,) a code.

    weighted: whether events count by 1 / car_se^2. pre_event: for the benchmarked tests, None if none is asked for.
    """

    car: Floats
    car_se: Floats
    dates: Ints
    firms: Ints
    weighted: bool
    alpha: float
    pre_event: PreEvent | None = None


@dataclass(frozen=True)
class Fitted:
    """A least-squares fit of n events on k terms.

    sample: the n events used. estimate: (k,) the coefficients. slopes: (k, n) the weights of the CARs in each coefficient.
    error: (n,) CAR - x'b. root: (n,) the square root of each event's weight. unit: (k, n) and upper: (k, k) are the columns
    times ``root``, scaled to length sqrt(n), as R'Q.
    """

    sample: CrossSample
    names: tuple[str, ...]
    estimate: Floats
    slopes: Floats
    error: Floats
    root: Floats
    unit: Floats
    upper: Floats

    @property
    def dof(self) -> int:
        """n - k."""
        return len(self.error) - len(self.names)

    @property
    def r2(self) -> float:
        """1 - RSS / TSS of the weighted problem, TSS about the weighted mean where the terms hold a constant, else about 0."""
        left, seen, root = self.error * self.root, self.sample.car * self.root, self.root
        constant = (_beside(self.unit, root) ** 2).sum() < CONSTANT_LEFT * (root**2).sum()
        about = (root * seen).sum() / (root**2).sum() if constant else 0.0
        return float(1 - (left**2).sum() / ((seen - about * root) ** 2).sum())


def fit_cars(sample: CrossSample, design: Design, used: Ints) -> Fitted:
    """Least squares over the events ``used``, weighted where the sample says so; no term a combination of others."""
    weights = 1 / sample.car_se[used] ** 2 if sample.weighted else np.ones(len(used))
    rows, root = design.matrix[used], np.sqrt(weights)
    scale = np.sqrt(np.ascontiguousarray(rows.T**2 * weights).mean(axis=1))  # columns of any unit are of one size
    columns = np.ascontiguousarray((rows / scale).T * root)
    units, uppers, _ = orthonormal(columns[None], np.zeros((1, len(columns), 0)), 0.0)
    unit, upper = units[0], uppers[0]
    seen = sample.car[used] * root
    estimate = back_substituted(uppers, (unit * seen).sum(axis=1)[None])[0] / scale
    slopes = _weights(unit, upper) * root / scale[:, None]
    kept = CrossSample(
        sample.car[used], sample.car_se[used], sample.dates[used], sample.firms[used], sample.weighted, sample.alpha,
        sample.pre_event.take(used) if sample.pre_event is not None else None,
    )  # fmt: skip
    return Fitted(kept, design.names, estimate, slopes, _beside(unit, seen) / root, root, unit, upper)


def _weights(unit: Floats, upper: Floats) -> Floats:
    """(k, n) R^-1 Q': what each event weighs in each coefficient. unit: (k, n) the rows of Q'; upper: (k, k)."""
    everywhere = np.broadcast_to(upper, (unit.shape[1], *upper.shape))
    return np.ascontiguousarray(back_substituted(everywhere, unit.T).T)


def _beside(unit: Floats, values: Floats) -> Floats:
    """What the orthonormal rows leave of ``values``; twice, so that what is left stands upright on them."""
    left = values
    for _ in range(2):
        left = left - ((unit * left).sum(axis=1)[:, None] * unit).sum(axis=0)
    return left
