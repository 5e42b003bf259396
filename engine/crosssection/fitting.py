"""Least squares of CARs on the columns of a design, by statsmodels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.crosssection.benchmark import PreEvent
from engine.crosssection.design import Design
from engine.orthonormal import back_substituted, orthonormal

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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

    sample: the n events used. fit: statsmodels' result, the columns scaled to length sqrt(n); scale: (k,) what each was
    divided by. estimate: (k,) the coefficients. slopes: (k, n) the weights of the CARs in each coefficient.
    """

    sample: CrossSample
    names: tuple[str, ...]
    fit: Any
    scale: Floats
    estimate: Floats
    slopes: Floats


def fit_cars(sample: CrossSample, design: Design, used: Ints) -> Fitted:
    """Least squares over the events ``used``, weighted where the sample says so."""
    from statsmodels.regression.linear_model import WLS

    weights = 1 / sample.car_se[used] ** 2 if sample.weighted else np.ones(len(used))
    rows = design.matrix[used]
    scale = np.sqrt(np.ascontiguousarray(rows.T**2 * weights).mean(axis=1))  # columns of any unit are of one size
    fit = WLS(sample.car[used], rows / scale, weights=weights).fit()
    slopes = _weights(np.ascontiguousarray((rows / scale).T * np.sqrt(weights))) * np.sqrt(weights) / scale[:, None]
    kept = CrossSample(
        sample.car[used], sample.car_se[used], sample.dates[used], sample.firms[used], sample.weighted, sample.alpha,
        sample.pre_event.take(used) if sample.pre_event is not None else None,
    )  # fmt: skip
    return Fitted(kept, design.names, fit, scale, np.asarray(fit.params) / scale, slopes)


def _weights(columns: Floats) -> Floats:
    """(k, n) R^-1 Q of X' = R'Q: what each event weighs in each coefficient. columns: (k, n), none a combination."""
    unit, upper, _ = orthonormal(columns[None], np.zeros((1, len(columns), 0)), 0.0)
    everywhere = np.broadcast_to(upper, (columns.shape[1], *upper.shape[1:]))
    return np.ascontiguousarray(back_substituted(everywhere, unit[0].T).T)
