"""Tests of abnormal returns: `SIGNIFICANCE_TESTS` for groups, `EVENT_TESTS` for one event at a time.

To add one: a function with its citation in the file of its family, a line here, an oracle case and a README row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from engine.significance.bootstrap import block_bootstrap, wild_bootstrap
from engine.significance.buy_and_hold import bhar_bootstrap, bhar_skewness_t, bhar_t
from engine.significance.clustered import clustered_t_both, clustered_t_date, clustered_t_firm, hac_t
from engine.significance.dependence import adjusted_patell, kolari_pape_pynnonen
from engine.significance.parametric import (
    bmp,
    cross_sectional_t,
    crude_dependence_t,
    jackknife,
    kolari_pynnonen,
    patell,
    skewness_adjusted_t,
)
from engine.significance.rank import corrado, corrado_zivney, corrado_zivney_adjusted, grank_t, grank_z
from engine.significance.regression import conformal, portfolio_t, sur_f
from engine.significance.resampling import event_permutation, firm_permutation, permutation
from engine.significance.sample import (
    CarSample,
    EventSignificance,
    PseudoCars,
    PseudoFirms,
    Regressions,
    Resampling,
    Significance,
    no_answers,
    t_p,
    unavailable,
)
from engine.significance.sign import generalized_sign, sign, wilcoxon
from engine.significance.single_event import forecast_error_t, sq
from engine.significance.stepdown import romano_wolf
from engine.significance.variance import variance_bmp, variance_rank

SIGNIFICANCE_TESTS: dict[str, Callable[[CarSample], Significance]] = {
    "cross_sectional_t": cross_sectional_t,
    "crude_dependence_t": crude_dependence_t,
    "patell": patell,
    "adjusted_patell": adjusted_patell,
    "bmp": bmp,
    "kolari_pynnonen": kolari_pynnonen,
    "kolari_pape_pynnonen": kolari_pape_pynnonen,
    "skewness_adjusted_t": skewness_adjusted_t,
    "jackknife": jackknife,
    "corrado": corrado,
    "corrado_zivney": corrado_zivney,
    "corrado_zivney_adjusted": corrado_zivney_adjusted,
    "grank_t": grank_t,
    "grank_z": grank_z,
    "sign": sign,
    "generalized_sign": generalized_sign,
    "wilcoxon": wilcoxon,
    "variance_rank": variance_rank,
    "variance_bmp": variance_bmp,
    "permutation": permutation,
    "firm_permutation": firm_permutation,
    "portfolio_t": portfolio_t,
    "sur_f": sur_f,
    "clustered_t_date": clustered_t_date,
    "clustered_t_firm": clustered_t_firm,
    "clustered_t_both": clustered_t_both,
    "hac_t": hac_t,
    "wild_bootstrap": wild_bootstrap,
    "block_bootstrap": block_bootstrap,
    "bhar_t": bhar_t,
    "bhar_skewness_t": bhar_skewness_t,
    "bhar_bootstrap": bhar_bootstrap,
}

EVENT_TESTS: dict[str, Callable[[CarSample], EventSignificance]] = {
    "forecast_error_t": forecast_error_t,
    "sq": sq,
    "permutation": event_permutation,
    "conformal": conformal,
}

PSEUDO_DATE_TESTS = frozenset({"permutation"})
FIRM_TESTS = frozenset({"firm_permutation"})
# Those that need the table [resampling].
RESAMPLING_TESTS = PSEUDO_DATE_TESTS | FIRM_TESTS | {"wild_bootstrap", "block_bootstrap", "bhar_bootstrap"}
VARIANCE_TESTS = frozenset({"variance_rank", "variance_bmp"})  # of volatility: no effect, no interval of the mean CAR
REGRESSION_TESTS = frozenset({"conformal", "portfolio_t", "sur_f"})  # those that fit again
# What a test needs of the model beside abnormal returns and their spread; a model that lacks it says why (`CarSample.lacks`).
NEEDS: dict[str, str] = {
    "forecast_error_t": "covariance",
    "patell": "covariance",
    "adjusted_patell": "covariance",
    "bmp": "covariance",
    "kolari_pynnonen": "covariance",
    "kolari_pape_pynnonen": "covariance",
    "jackknife": "covariance",
    "grank_t": "covariance",
    "grank_z": "covariance",
    "variance_bmp": "covariance",
    "conformal": "refit",
    "portfolio_t": "refit",
    "sur_f": "refit",
    "permutation": "pseudo_dates",
    "firm_permutation": "pseudo_dates",
}

__all__ = [
    "EVENT_TESTS",
    "FIRM_TESTS",
    "NEEDS",
    "PSEUDO_DATE_TESTS",
    "REGRESSION_TESTS",
    "RESAMPLING_TESTS",
    "SIGNIFICANCE_TESTS",
    "VARIANCE_TESTS",
    "CarSample",
    "EventSignificance",
    "PseudoCars",
    "PseudoFirms",
    "Regressions",
    "Resampling",
    "Significance",
    "evaluate",
    "evaluate_events",
    "multiplicity",
    "romano_wolf",
    "t_p",
]


def evaluate(name: str, sample: CarSample) -> Significance:
    """The answer of test ``name``; below two events, or where the model lacks what it needs, the reason why there is none."""
    if sample.n < 2:
        return unavailable(sample, name, f"needs at least 2 events, has {sample.n}")
    if reason := sample.lacks.get(NEEDS.get(name, "")):
        return unavailable(sample, name, reason)
    return SIGNIFICANCE_TESTS[name](sample)


def evaluate_events(name: str, sample: CarSample) -> EventSignificance:
    """The answers of single-event test ``name``; where the model lacks what it needs, the reason why there are none."""
    if reason := sample.lacks.get(NEEDS.get(name, "")):
        return no_answers(sample, name, reason)
    return EVENT_TESTS[name](sample)


def multiplicity(p_values: Iterable[float]) -> tuple[list[float], list[float]]:
    """Holm and Benjamini-Hochberg adjusted p-values; NaN stays NaN and is not counted.

    Holm (1979): the largest of p_(j) (m - j + 1) up to each; Benjamini & Hochberg (1995): the smallest of p_(j) m / j from
    each on. Written out because statsmodels collects garbage on each call, 30 ms for every event of a study.
    """
    p = np.asarray(list(p_values), dtype=np.float64)
    holm, bh = np.full(len(p), np.nan), np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    if len(known):
        order = known[np.argsort(p[known], kind="stable")]
        m = len(order)
        holm[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(m, 0, -1)), 1.0)
        bh[order] = np.minimum(np.minimum.accumulate((p[order] * m / np.arange(1, m + 1))[::-1])[::-1], 1.0)
    return holm.tolist(), bh.tolist()
