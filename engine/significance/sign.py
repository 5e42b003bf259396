"""Sign tests: how many CARs are above zero, and how far up they rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.inversion import REJECTED, inverted, of_counts
from engine.significance.sample import CarSample, Significance, normal_p, quantile_of, unavailable, with_interval
from engine.ties import SHARE, above, merged


def sign(sample: CarSample) -> Significance:
    """z = (w - N/2) / sqrt(N/4), w the number of CARs above zero, no continuity correction; p exact binomial(N).

    Campbell, Lo & MacKinlay (1997), eq. 4.6.1; the p-value by the exact distribution of w.
    """
    from scipy import special

    n = sample.n
    positive = int(above(sample.car, 0.0).sum())
    statistic = float((positive - n / 2) / np.sqrt(n / 4))
    lower, upper = float(special.bdtr(positive, n, 0.5)), float(special.bdtr(n - positive, n, 0.5))
    p = {"less": lower, "greater": upper, "two-sided": min(1.0, 2 * min(lower, upper))}[sample.alternative]
    q = quantile_of(sample.alpha)
    chances = special.bdtr(np.arange(n + 1), n, 0.5)
    few = int(
        np.searchsorted(chances, REJECTED * sample.alpha / 2, side="right")
    )  # the fewest above zero that are not rejected
    answer = Significance(
        "sign", sample.group, sample.window, "a CAR is as often above zero as not", n, float(sample.car.mean()),
        statistic, f"binomial({n})", p, note=f"{positive} of {n} above zero",
    )  # fmt: skip
    return with_interval(answer, of_counts(sample.car, few, n - few), q)


def generalized_sign(sample: CarSample) -> Significance:
    """z = (w - N p) / sqrt(N p (1 - p)), p the mean over events of the share of positive estimation residuals; N(0,1).

    Cowan (1992), eq. 1-2.
    """
    present = np.isfinite(sample.residuals)
    return sign_of_share(sample, float((above(sample.residuals, 0.0).sum(axis=1) / present.sum(axis=1)).mean()))


def sign_of_share(sample: CarSample, share: float) -> Significance:
    """`generalized_sign` from the mean share of positive estimation residuals."""
    null = "a CAR is as often above zero as an estimation-window abnormal return"
    n = sample.n
    if not 0 < share < 1:
        return unavailable(sample, "generalized_sign", "the estimation residuals have one sign only", null)
    positive = int(above(sample.car, 0.0).sum())
    statistic = float((positive - n * share) / np.sqrt(n * share * (1 - share)))
    q, sd = quantile_of(sample.alpha), np.sqrt(n * share * (1 - share))
    fewest, most = int(np.floor(n * share - q * sd + SHARE)) + 1, int(np.ceil(n * share + q * sd - SHARE)) - 1
    answer = Significance(
        "generalized_sign", sample.group, sample.window, null, n, float(sample.car.mean()), statistic, "normal",
        normal_p(statistic, sample.alternative), note=f"{positive} of {n} above zero, {share:.4f} expected",
    )  # fmt: skip
    return with_interval(answer, of_counts(sample.car, fewest, most), q)


def wilcoxon(sample: CarSample) -> Significance:
    """Signed ranks: z = (W+ - n(n + 1)/4) / its sd, zeros dropped, ties corrected, no continuity correction.

    p exact up to 50 events, by the distribution of W+; normal above, and above 13 where CARs are zero or tied in size.
    Wilcoxon (1945), by scipy.
    """
    from scipy import stats

    null, car = "the CARs lie symmetrically about zero", in_sizes(sample.car)
    if not car.any():
        return unavailable(sample, "wilcoxon", "all CARs are zero", null)
    z = stats.wilcoxon(car, alternative="greater", method="asymptotic")
    p = float(stats.wilcoxon(car, alternative=sample.alternative, method="auto").pvalue)
    n, sizes = int(np.count_nonzero(car)), len(np.unique(np.abs(car)))
    exact = sample.n <= (50 if n == sizes == sample.n else 13)
    answer = Significance(
        "wilcoxon", sample.group, sample.window, null, sample.n, float(sample.car.mean()), float(z.zstatistic),
        f"wilcoxon({n})" if exact else "normal", p, note=f"W+ = {z.statistic:g} of {n * (n + 1) // 2}",
    )  # fmt: skip
    return with_interval(answer, _walsh_interval(sample, exact), quantile_of(sample.alpha))


def _walsh_interval(sample: CarSample, exact: bool) -> tuple[float, float]:
    """The effects for which W+ of CAR - tau is not rejected: order statistics of the Walsh averages where it is exact.

    Hollander & Wolfe (1999), section 3.3; beyond the exact distribution by its normal approximation.
    """
    from scipy import stats

    n, car = sample.n, sample.car
    pairs = n * (n + 1) // 2
    if exact:
        walsh = (car[:, None] + car)[np.triu_indices(n)] / 2
        few = int(np.searchsorted(signed_rank_cdf(n), REJECTED * sample.alpha / 2, side="right"))
        return of_counts(walsh, few, pairs - few)
    sd = float(np.sqrt(pairs * (2 * n + 1) / 12))

    def statistic(tau: float) -> float:
        apart = in_sizes(car - tau)
        return (float(stats.rankdata(np.abs(apart))[apart > 0].sum()) - pairs / 2) / sd

    return inverted(statistic, quantile_of(sample.alpha), float(np.median(car)), sample.rough_error)


def in_sizes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values (..., N) whose sizes are the same where rounding alone parts them, and 0 where they are no more than it."""
    return np.asarray(np.copysign(merged(np.abs(values)), values))


def signed_rank_cdf(n: int) -> npt.NDArray[np.float64]:
    """P(W+ <= w) for w = 0 .. n(n + 1)/2: each rank is in the sum or not, with equal chance."""
    chances = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] = chances / 2
        longer[rank:] += chances / 2
        chances = longer
    return np.cumsum(chances)
