"""The mean CAR with standard errors that allow for clusters: the least-squares regression of the CARs on a constant.

Written out because statsmodels takes seconds to import; the tests hold every number against it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.significance.parametric import ZERO_MEAN
from engine.significance.sample import CarSample, Significance, interval, noise, t_p, unavailable

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def clustered_t_date(sample: CarSample) -> Significance:
    """mean CAR / se, se^2 = G/(G - 1) sum_g (sum_{i in g} e_i)^2 / N^2 over the G dates of day 0; t(G - 1).

    Liang & Zeger (1986), with the factor for few clusters of Cameron, Gelbach & Miller (2011). Events of one date
    may depend on each other in any way; windows that overlap on different dates may not (`hac_t`).
    """
    return _clustered(sample, "clustered_t_date", _variance(sample.car, sample.dates), {"dates": sample.dates})


def clustered_t_firm(sample: CarSample) -> Significance:
    """`clustered_t_date` with the firms as clusters; all listings of a firm are one. Liang & Zeger (1986)."""
    return _clustered(sample, "clustered_t_firm", _variance(sample.car, sample.firms), {"firms": sample.firms})


def clustered_t_both(sample: CarSample) -> Significance:
    """Two-way: se^2 = date + firm - (date and firm), each with its own factor; t(fewer of both clusters - 1).

    Cameron, Gelbach & Miller (2011); Thompson (2011).
    """
    both = np.unique(np.stack([sample.dates, sample.firms], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    variance = (
        _variance(sample.car, sample.dates) + _variance(sample.car, sample.firms) - _variance(sample.car, both)
    )  # fmt: skip
    return _clustered(sample, "clustered_t_both", variance, {"dates": sample.dates, "firms": sample.firms})


def hac_t(sample: CarSample) -> Significance:
    """mean CAR / se, se^2 = G/(G - 1) sum_ij w_ij e_i e_j / N^2, w_ij the share of days that two windows have in common.

    On one calendar w = 1 - lag/L, Bartlett's weights with a bandwidth of L - 1 sessions on the sums by date: Newey & West
    (1987), eq. 5, as in Driscoll & Kraay (1998); t(G - 1), G dates. For one day it is `clustered_t_date`. Daily
    abnormal returns that depend on each other over time need more.
    """
    error = sample.car - sample.car.mean()
    length = len(sample.window)
    days = np.unique(sample.event_days[:, sample.columns], return_inverse=True)[1].reshape(sample.n, length)
    by_day = np.bincount(days.ravel(), weights=np.repeat(error, length))
    variance = _factor(sample.dates) * float((by_day**2).sum()) / length / sample.n**2
    note = f"bandwidth {length - 1} sessions"
    return _clustered(sample, "hac_t", variance, {"dates": sample.dates}, note)


def _factor(clusters: Ints) -> float:
    groups = len(np.unique(clusters))
    return groups / max(groups - 1, 1)


def _variance(car: Floats, clusters: Ints) -> float:
    """The variance of the mean of the CARs with the errors of a cluster added up."""
    codes = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(codes, weights=car - car.mean())
    return _factor(clusters) * float((sums**2).sum()) / len(car) ** 2


def _clustered(
    sample: CarSample, name: str, variance: float, clusters: dict[str, Ints], note: str = ""
) -> Significance:
    counts = {what: len(np.unique(codes)) for what, codes in clusters.items()}
    what, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < 2:
        return unavailable(sample, name, f"needs at least 2 {what} for clusters, has {fewest}", ZERO_MEAN)
    se = float(np.sqrt(max(variance, 0.0)))
    if not se > noise(sample.car):
        return unavailable(sample, name, "the sums of the CARs' deviations by cluster leave no variance", ZERO_MEAN)
    mean = float(sample.car.mean())
    said = ", ".join(f"{count} {what}" for what, count in counts.items())
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN, sample.n, mean, mean / se, f"t({fewest - 1})",
        float(t_p(mean / se, fewest - 1, sample.alternative)), se=se,
        ci=interval(mean, se, sample.alpha, fewest - 1), note=f"{said}, {note}" if note else said,
    )  # fmt: skip
