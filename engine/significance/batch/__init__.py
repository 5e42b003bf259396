"""Tests for many samples at once: `BATCHED` holds those of `SIGNIFICANCE_TESTS` that have such a form.

Each gives for every sample what the test of the same name gives for it alone; it is how a certificate asks a test
thousands of times.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.significance.batch.one_event import conformal, forecast_error_t, own_permutation, sq
from engine.significance.batch.parametric import (
    adjusted_patell,
    bmp,
    clustered_t_both,
    clustered_t_date,
    clustered_t_firm,
    cross_sectional_t,
    crude_dependence_t,
    hac_t,
    jackknife,
    kolari_pape_pynnonen,
    kolari_pynnonen,
    patell,
    skewness_adjusted_t,
    variance_bmp,
)
from engine.significance.batch.rank import corrado, corrado_zivney, grank_t, grank_z, variance_rank
from engine.significance.batch.sample import Answers, Batch
from engine.significance.batch.sign import generalized_sign, permutation, sign, wilcoxon

BATCHED: dict[str, Callable[[Batch], Answers]] = {
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
    "grank_t": grank_t,
    "grank_z": grank_z,
    "sign": sign,
    "generalized_sign": generalized_sign,
    "wilcoxon": wilcoxon,
    "variance_rank": variance_rank,
    "variance_bmp": variance_bmp,
    "permutation": permutation,
    "clustered_t_date": clustered_t_date,
    "clustered_t_firm": clustered_t_firm,
    "clustered_t_both": clustered_t_both,
    "hac_t": hac_t,
}

# Tests of one event: statistic and p have a last axis of N events.
BATCHED_EVENTS: dict[str, Callable[[Batch], Answers]] = {
    "forecast_error_t": forecast_error_t,
    "sq": sq,
    "permutation": own_permutation,
    "conformal": conformal,
}

__all__ = ["BATCHED", "BATCHED_EVENTS", "Answers", "Batch"]
