"""Tests of abnormal returns: `SIGNIFICANCE_TESTS` for groups, `EVENT_TESTS` for one event at a time.

To add one: a function with its citation in the file of its family, a line here, an oracle case and a README row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from engine.significance.bootstrap import block_bootstrap, wild_bootstrap
from engine.significance.parametric import (
    bmp,
    cross_sectional_t,
    crude_dependence_t,
    kolari_pynnonen,
    patell,
    skewness_adjusted_t,
)
from engine.significance.rank import corrado, corrado_zivney, grank_t
from engine.significance.resampling import event_permutation, permutation
from engine.significance.sample import (
    CarSample,
    EventSignificance,
    PseudoCars,
    Resampling,
    Significance,
    unavailable,
)
from engine.significance.sign import generalized_sign, sign
from engine.significance.single_event import forecast_error_t, sq
from engine.significance.stepdown import romano_wolf

SIGNIFICANCE_TESTS: dict[str, Callable[[CarSample], Significance]] = {
    "cross_sectional_t": cross_sectional_t,
    "crude_dependence_t": crude_dependence_t,
    "patell": patell,
    "bmp": bmp,
    "kolari_pynnonen": kolari_pynnonen,
    "skewness_adjusted_t": skewness_adjusted_t,
    "corrado": corrado,
    "corrado_zivney": corrado_zivney,
    "grank_t": grank_t,
    "sign": sign,
    "generalized_sign": generalized_sign,
    "permutation": permutation,
    "wild_bootstrap": wild_bootstrap,
    "block_bootstrap": block_bootstrap,
}

EVENT_TESTS: dict[str, Callable[[CarSample], EventSignificance]] = {
    "forecast_error_t": forecast_error_t,
    "sq": sq,
    "permutation": event_permutation,
}

PSEUDO_DATE_TESTS = frozenset({"permutation"})
RESAMPLING_TESTS = PSEUDO_DATE_TESTS | {"wild_bootstrap", "block_bootstrap"}  # that need the table [resampling]

__all__ = [
    "EVENT_TESTS",
    "PSEUDO_DATE_TESTS",
    "RESAMPLING_TESTS",
    "SIGNIFICANCE_TESTS",
    "CarSample",
    "EventSignificance",
    "PseudoCars",
    "Resampling",
    "Significance",
    "evaluate",
    "multiplicity",
    "romano_wolf",
]


def evaluate(name: str, sample: CarSample) -> Significance:
    """The answer of test ``name``; below two events the reason why there is none."""
    if sample.n < 2:
        return unavailable(sample, name, f"needs at least 2 events, has {sample.n}")
    return SIGNIFICANCE_TESTS[name](sample)


def multiplicity(p_values: Iterable[float]) -> tuple[list[float], list[float]]:
    """Holm and Benjamini-Hochberg adjusted p-values; NaN stays NaN and is not counted.

    Holm (1979) is written out because scipy has none and statsmodels collects garbage on each call, 30 ms for every
    event of a study; Benjamini & Hochberg (1995) is scipy's.
    """
    from scipy import stats

    p = np.asarray(list(p_values), dtype=np.float64)
    holm, bh = np.full(len(p), np.nan), np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    if len(known):
        order = known[np.argsort(p[known], kind="stable")]
        holm[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
        bh[known] = stats.false_discovery_control(p[known])
    return holm.tolist(), bh.tolist()
