"""How much more the events of a group differ from each other on the days of a window than on estimation days."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def spread_ratio(sar: Floats, estimation: Floats) -> float:
    """The cross-sectional sd of standardised abnormal returns on the days of a window over that on estimation days, at least 1.

    sar: (N, L) of the window, estimation: (N, R) residuals over sigma; NaN where missing. Each sd is the root of the mean over
    days of the variance across events, ddof 1, on days with two events or more. 1 for fewer than two events.
    """
    one, other = _spread(sar), _spread(estimation)
    return max(one / other, 1.0) if other > 0 and np.isfinite(one) else 1.0


def _spread(values: Floats) -> float:
    present = np.isfinite(values)
    n = present.sum(axis=0)
    mean = np.where(present, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = (np.where(present, values - mean, 0.0) ** 2).sum(axis=0)
    used = n > 1
    return float(np.sqrt((squares[used] / (n[used] - 1)).mean())) if used.any() else float("nan")
