"""Tests of a group's variance: is the window more, or less, volatile than other days? The names are this engine's own."""

from __future__ import annotations

import numpy as np

from engine.significance.parametric import INFINITE_VARIANCE, SAME_WITHOUT_ONE, t_of_pseudo_values, variances_without
from engine.significance.rank import all_rows, rank_test, standardised_sums
from engine.significance.sample import CarSample, Significance, unavailable

NULL_VARIANCE_RANK = "the absolute abnormal returns in the window rank like those of any other days"


def variance_rank(sample: CarSample) -> Significance:
    """corrado_zivney on absolute values: sum z_t / (sqrt(L) S), z_t = sum_i U_it / sqrt(n_t), U the rank of |AR|; N(0,1).

    Corrado (1989) and Corrado & Zivney (1992), with |AR| in place of AR. Holds for events that share a date. A mean
    effect that is large beside sigma also makes |AR| large. The name is this engine's own.
    """
    rows = np.abs(all_rows(sample))
    return rank_test(sample, "variance_rank", rows, NULL_VARIANCE_RANK, standardised_sums, None)


def variance_bmp(sample: CarSample) -> Significance:
    """sqrt(N) mean(P) / sd(P), P_i = N q - (N - 1) q_(i) the pseudo-values of q = log var(SCAR_i sqrt((nu_i - 2)/nu_i)).

    The variance, across events and with ddof 1, is 1 if the estimation windows foretell it; q_(i) is q without event i;
    t(N - 1). Standardised CARs as in Boehmer, Musumeci & Poulsen (1991), tested by Miller (1968), the jackknife of a log
    variance: no chi-square, which needs normal returns. Independent events. The name is this engine's own.
    """
    name, n = "variance_bmp", sample.n
    null = "the standardised CARs vary across events as the estimation windows foretell"
    if n < 3:
        return unavailable(sample, name, f"needs at least 3 events to leave one out, has {n}", null)
    if (sample.dof <= 2).any():
        return unavailable(sample, name, INFINITE_VARIANCE, null)
    scaled = sample.scar * np.sqrt((sample.dof - 2) / sample.dof)
    without = variances_without(scaled)
    if without is None:
        return unavailable(sample, name, SAME_WITHOUT_ONE, null)
    ratio = float(scaled.var(ddof=1))
    pseudo = np.log(ratio) - (n - 1) * np.log(without)
    return t_of_pseudo_values(sample, name, null, pseudo, f"variance {ratio:.4f} times the expected")
