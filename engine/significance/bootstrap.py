"""Bootstraps of the mean CAR by date cluster: events that share an event or a day are resampled together.

G clusters with n_g CARs that sum to S_g, N in all: mean = sum S_g / N, t = mean / se with the cluster-robust
se^2 = G/(G - 1) sum (S_g - n_g mean)^2 / N^2. Clusters are taken as independent of each other: windows of neighbouring
dates that overlap are not kept together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from engine.significance.parametric import ZERO_MEAN
from engine.significance.sample import CarSample, Significance, empirical_p, noise, unavailable

Floats = npt.NDArray[np.float64]
Resample = Callable[[Floats, Floats, int, np.random.Generator], Iterator[tuple[Floats, Floats]]]
FEWEST_CLUSTERS = 6
MOST_ENUMERATED = 12
CELLS = 1 << 20  # numbers drawn at once
TIE = 1e-9  # of a t statistic: what rounding may part is a tie, and a tie is as extreme


def wild_bootstrap(sample: CarSample) -> Significance:
    """t of the mean CAR among its values when whole date clusters change their sign at random, the null imposed.

    Draw: S*_g = v_g S_g, v_g = 1 or -1 with equal chance, and t* from S* as t from S. Up to 12 clusters all 2^G sign
    changes, the exact p; with more B draws. p = (1 + b)/(1 + B), b the draws at least as extreme; where all are
    taken, the one that changes nothing is the 1. Unavailable below 6 clusters. No interval: it would need the draws of every
    mean. Cameron, Gelbach & Miller (2008), wild cluster bootstrap-t with a constant as the only regressor.
    """
    return _bootstrap(sample, "wild_bootstrap", _change_signs)


def block_bootstrap(sample: CarSample) -> Significance:
    """t of the mean CAR among its values when whole date clusters are drawn with replacement; p = (1 + b)/(1 + B).

    Draw: G of the G clusters, from every CAR the sample's mean taken away so that the null holds, and t* from them as
    t. Two-sided by |t*|; the interval is mean -+ q se, q the |t*| that p = alpha needs. A block is a date cluster, not
    a stretch of days. Unavailable below 6 clusters. Cameron, Gelbach & Miller (2008), pairs cluster bootstrap-t.
    """
    return _bootstrap(sample, "block_bootstrap", _draw_clusters)


def _bootstrap(sample: CarSample, name: str, resample: Resample) -> Significance:
    """The answer from t and the draws of t*."""
    plan = sample.resampling
    if plan is None:
        return unavailable(sample, name, "no date clusters and no seed are known", ZERO_MEAN)
    _, first, inverse = np.unique(plan.cluster, return_index=True, return_inverse=True)
    code = np.argsort(np.argsort(first))[inverse]  # in order of appearance, whatever the labels
    sums = np.asarray(np.bincount(code, weights=sample.car), dtype=np.float64)
    sizes = np.bincount(code).astype(np.float64)
    count = len(sums)
    if count < FEWEST_CLUSTERS:
        reason = f"needs at least {FEWEST_CLUSTERS} date clusters, has {count}"
        return unavailable(sample, name, reason, ZERO_MEAN)
    floor = noise(sample.car)
    t, se = (float(values[0]) for values in _t_and_se(sums[None], sizes[None], floor))
    if not se > floor:
        return unavailable(sample, name, "the CARs do not vary across date clusters", ZERO_MEAN)
    chunks = resample(sums, sizes, plan.draws, plan.generator(name))
    drawn = np.concatenate([_t_and_se(*chunk, floor)[0] for chunk in chunks])
    tie = TIE * max(1.0, abs(t))
    below, above, beyond = drawn <= t + tie, drawn >= t - tie, np.abs(drawn) >= abs(t) - tie
    p = float(empirical_p(below.sum(), above.sum(), beyond.sum(), len(drawn), sample.alternative))
    mean, ci = float(sample.car.mean()), (float("nan"), float("nan"))
    if resample is _draw_clusters:
        ci = _interval(mean, se, drawn, sample.alpha)
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN, sample.n, mean, t, f"{name}({len(drawn)})", p, se=se, ci=ci,
        note=f"{count} date clusters",
    )  # fmt: skip


def _t_and_se(sums: Floats, sizes: Floats, floor: float) -> tuple[Floats, Floats]:
    """t and se (B,) of B samples of clusters (B, G); without spread t is infinite, or 0 where the mean is 0 too."""
    clusters, n = sums.shape[1], sizes.sum(axis=1)
    mean = sums.sum(axis=1) / n
    apart = sums - sizes * mean[:, None]
    se = np.sqrt(clusters / (clusters - 1) * (apart * apart).sum(axis=1)) / n
    flat = se <= floor
    without = np.where(np.abs(mean) > floor, np.copysign(np.inf, mean), 0.0)
    return np.where(flat, without, mean / np.where(flat, 1.0, se)), se


def _change_signs(sums: Floats, sizes: Floats, draws: int, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Clusters with the signs of their CARs changed: all other 2^G - 1 ways up to 12 clusters, else ``draws`` of them."""
    count = len(sums)
    if count <= MOST_ENUMERATED:
        up = np.arange(2**count - 1)[:, None] >> np.arange(count) & 1
        yield (2.0 * up - 1) * sums, sizes[None]
        return
    for rows in _portions(draws, count):
        yield (2.0 * rng.integers(0, 2, (rows, count)) - 1) * sums, sizes[None]


def _draw_clusters(
    sums: Floats, sizes: Floats, draws: int, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """As many clusters as there are, with replacement, their CARs less the mean CAR."""
    count = len(sums)
    centred = sums - sizes * (sums.sum() / sizes.sum())
    for rows in _portions(draws, count):
        chosen = rng.integers(0, count, (rows, count))
        yield centred[chosen], sizes[chosen]


def _portions(draws: int, clusters: int) -> Iterator[int]:
    """``draws`` in portions of at most `CELLS` numbers."""
    most = max(CELLS // clusters, 1)
    yield from (min(most, draws - begin) for begin in range(0, draws, most))


def _interval(mean: float, se: float, drawn: Floats, alpha: float) -> tuple[float, float]:
    """The means that a two-sided test at alpha does not reject; NaN where the draws are too few or have no such bound."""
    last = int(np.floor(alpha * (1 + len(drawn)) + TIE))
    quantile = np.sort(np.abs(drawn))[-last] if last >= 1 else np.inf
    if not np.isfinite(quantile):
        return float("nan"), float("nan")
    return float(mean - quantile * se), float(mean + quantile * se)
