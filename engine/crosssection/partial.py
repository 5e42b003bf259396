"""What one term adds: CARs and the term, both freed of the other terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.crosssection.design import Design, dependent_columns
from engine.crosssection.fitting import CrossSample
from engine.orthonormal import orthonormal

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Partial:
    """One term. used: (n,) positions of the events; x, y: (n,) the term's and the CARs' residuals on the other terms.

    The line through the origin that fits y on x best has the term's coefficient as slope. In a weighted fit x and y are
    times the root of the weight, whose mean is 1.
    """

    name: str
    used: npt.NDArray[np.int64]
    x: Floats
    y: Floats


def partial(sample: CrossSample, design: Design) -> list[Partial]:
    """One for each term of a regression that can be done, else none. Frisch & Waugh (1933); Lovell (1963)."""
    used = np.flatnonzero(design.complete)
    if len(used) <= len(design.names) or dependent_columns(design):
        return []
    root = 1 / sample.car_se[used] if sample.weighted else np.ones(len(used))
    root = root / np.sqrt((root**2).mean())
    rows = np.ascontiguousarray(design.matrix[used].T) * root
    car = sample.car[used] * root
    made = []
    for j, name in enumerate(design.names):
        others = np.delete(rows, j, axis=0)
        both = np.stack([rows[j], car])
        q = orthonormal(others[None], np.zeros((1, len(others), 0)), 0.0)[0][0]
        for unit in q:
            both = both - (both * unit).sum(axis=1)[:, None] * unit
        made.append(Partial(name, used, both[0], both[1]))
    return made
