"""Romano-Wolf adjusted p-values: several windows of one group or event, judged by their joint draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.ties import SHARE, at_least

Floats = npt.NDArray[np.float64]


def romano_wolf(values: Floats, draws: Floats, alternative: str) -> Floats:
    """Step-down p-values (W,) of W statistics that were drawn together under the null.

    values: (W,). draws: (W, B), column b one joint draw of all W. Each row is divided by the sd (ddof 1) of its draws;
    from the most extreme statistic on, p_j = (1 + b)/(1 + B), b the draws whose largest among this and all less extreme
    statistics is at least its own, and never below the p before it. A statistic whose draws do not vary has no p (NaN)
    and no say in the others'. Two-sided by absolute value. Romano & Wolf (2005) for the
    step-down by joint draws, Romano & Wolf (2016) for its adjusted p-values.
    """
    p = np.full(len(values), np.nan)
    if draws.shape[1] < 2:
        return p
    spread = draws.std(axis=1, ddof=1)
    known = np.flatnonzero(spread > 16 * np.finfo(np.float64).eps * np.abs(draws).max(axis=1))
    order = known[np.argsort(-_extreme(values[known] / spread[known], alternative), kind="stable")]
    beyond = np.full(draws.shape[1], -np.inf)
    for j in order[::-1]:  # from the least extreme: the largest of the draws grows by one statistic at a time
        beyond = np.maximum(beyond, _extreme(draws[j] / spread[j], alternative))
        own = _extreme(values[j] / spread[j], alternative)
        p[j] = (1 + at_least(beyond, own, SHARE).sum()) / (1 + len(beyond))
    p[order] = np.maximum.accumulate(p[order])
    return p


def _extreme(t: Floats, alternative: str) -> Floats:
    """The statistic in the direction in which it is extreme."""
    return {"greater": t, "less": -t}[alternative] if alternative != "two-sided" else np.abs(t)
