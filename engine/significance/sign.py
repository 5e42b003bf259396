"""Sign tests: how many CARs are above zero, and how far up they rank."""

from __future__ import annotations

import numpy as np

from engine.significance.sample import CarSample, Significance, normal_p, unavailable


def sign(sample: CarSample) -> Significance:
    """z = (w - N/2) / sqrt(N/4), w the number of CARs above zero, no continuity correction; p exact binomial(N).

    Campbell, Lo & MacKinlay (1997), eq. 4.6.1; the p-value by the exact distribution of w.
    """
    from scipy import stats

    n = sample.n
    positive = int((sample.car > 0).sum())
    statistic = float((positive - n / 2) / np.sqrt(n / 4))
    p = float(stats.binomtest(positive, n, 0.5, alternative=sample.alternative).pvalue)
    return Significance(
        "sign", sample.group, sample.window, "a CAR is as often above zero as not", n, float(sample.car.mean()),
        statistic, f"binomial({n})", p, note=f"{positive} of {n} above zero",
    )  # fmt: skip


def generalized_sign(sample: CarSample) -> Significance:
    """z = (w - N p) / sqrt(N p (1 - p)), p the mean over events of the share of positive estimation residuals; N(0,1).

    Cowan (1992), eq. 1-2.
    """
    null = "a CAR is as often above zero as an estimation-window abnormal return"
    n = sample.n
    present = np.isfinite(sample.residuals)
    share = float(((sample.residuals > 0).sum(axis=1) / present.sum(axis=1)).mean())
    if not 0 < share < 1:
        return unavailable(sample, "generalized_sign", "the estimation residuals have one sign only", null)
    positive = int((sample.car > 0).sum())
    statistic = float((positive - n * share) / np.sqrt(n * share * (1 - share)))
    return Significance(
        "generalized_sign", sample.group, sample.window, null, n, float(sample.car.mean()), statistic, "normal",
        normal_p(statistic, sample.alternative), note=f"{positive} of {n} above zero, {share:.4f} expected",
    )  # fmt: skip


def wilcoxon(sample: CarSample) -> Significance:
    """Signed ranks: z = (W+ - n(n + 1)/4) / its sd, zeros dropped, ties corrected, no continuity correction.

    p exact up to 50 events, by the distribution of W+; normal above, and above 13 where CARs are zero or tied in size.
    Wilcoxon (1945), by scipy.
    """
    from scipy import stats

    null, car = "the CARs lie symmetrically about zero", sample.car
    if not car.any():
        return unavailable(sample, "wilcoxon", "all CARs are zero", null)
    z = stats.wilcoxon(car, alternative="greater", method="asymptotic")
    p = float(stats.wilcoxon(car, alternative=sample.alternative, method="auto").pvalue)
    n, sizes = int(np.count_nonzero(car)), len(np.unique(np.abs(car)))
    exact = sample.n <= (50 if n == sizes == sample.n else 13)
    return Significance(
        "wilcoxon", sample.group, sample.window, null, sample.n, float(car.mean()), float(z.zstatistic),
        f"wilcoxon({n})" if exact else "normal", p, note=f"W+ = {z.statistic:g} of {n * (n + 1) // 2}",
    )  # fmt: skip
