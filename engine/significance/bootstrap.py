"""Bootstraps of the mean CAR by date cluster: events that share an event or a day are resampled together.

G clusters with n_g CARs that sum to S_g, N in all: mean = sum S_g / N, t = mean / se with the cluster-robust
se^2 = G/(G - 1) sum (S_g - n_g mean)^2 / N^2. Clusters are taken as independent of each other: windows of neighbouring
dates that overlap are not kept together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.significance.inversion import NOWHERE, REJECTED, Ends, crossing, of_draws
from engine.significance.parametric import ZERO_MEAN
from engine.significance.sample import CarSample, Resampling, Significance, empirical_p, noise, unavailable
from engine.ties import at_least, at_most, tie_of

Floats = npt.NDArray[np.float64]
FEWEST_CLUSTERS = 6
MOST_ENUMERATED = 12
CELLS = 1 << 20  # numbers drawn at once


def wild_bootstrap(sample: CarSample) -> Significance:
    """t of the mean CAR among its values when whole date clusters change their sign at random, the null imposed.

    Draw: S*_g = v_g S_g, v_g = 1 or -1 with equal chance, and t* from S* as t from S. Up to 12 clusters all 2^G sign
    changes, the exact p; with more B draws. p = (1 + b)/(1 + B), b the draws at least as extreme; where all are
    taken, the one that changes nothing is the 1. Unavailable below 6 clusters. The interval imposes each effect on the same
    draws. Cameron, Gelbach & Miller (2008), wild cluster bootstrap-t with a constant as the only regressor.
    """
    return _bootstrap(sample, "wild_bootstrap", _wild)


def block_bootstrap(sample: CarSample) -> Significance:
    """t of the mean CAR among its values when whole date clusters are drawn with replacement; p = (1 + b)/(1 + B).

    Draw: G of the G clusters, from every CAR the sample's mean taken away so that the null holds, and t* from them as
    t. Two-sided by |t*|; the interval is mean -+ q se, q the |t*| that p = alpha needs. A block is a date cluster, not
    a stretch of days. Unavailable below 6 clusters. Cameron, Gelbach & Miller (2008), pairs cluster bootstrap-t.
    """
    return _bootstrap(sample, "block_bootstrap", _block)


@dataclass(frozen=True)
class _Clusters:
    """sums, sizes: (G,) sum and number of CARs of each date cluster; mean, t, se of all; floor: what rounding leaves."""

    sums: Floats
    sizes: Floats
    mean: float
    t: float
    se: float
    floor: float


def _bootstrap(
    sample: CarSample, name: str, draw: Callable[[_Clusters, Resampling, float], tuple[Floats, Ends]]
) -> Significance:
    """The answer from t, the draws of t* and the interval that go with them."""
    plan = sample.resampling
    if plan is None:
        return unavailable(sample, name, "no date clusters and no seed are known", ZERO_MEAN)
    _, first, inverse = np.unique(plan.cluster, return_index=True, return_inverse=True)
    code = np.argsort(np.argsort(first))[inverse]  # in order of appearance, whatever the labels
    sums = np.asarray(np.bincount(code, weights=sample.car), dtype=np.float64)
    sizes = np.bincount(code).astype(np.float64)
    if len(sums) < FEWEST_CLUSTERS:
        reason = f"needs at least {FEWEST_CLUSTERS} date clusters, has {len(sums)}"
        return unavailable(sample, name, reason, ZERO_MEAN)
    floor = noise(sample.car)
    t, se = (float(values[0]) for values in _t_and_se(sums[None], sizes[None], floor))
    if not se > floor:
        return unavailable(sample, name, "the CARs do not vary across date clusters", ZERO_MEAN)
    known = _Clusters(sums, sizes, float(sample.car.mean()), t, se, floor)
    drawn, ends = draw(known, plan, sample.alpha)
    tie = tie_of(t)
    lower, upper, beyond = at_most(drawn, t, tie), at_least(drawn, t, tie), at_least(np.abs(drawn), abs(t), tie)
    p = float(empirical_p(lower.sum(), upper.sum(), beyond.sum(), len(drawn), sample.alternative))
    return Significance(
        name, sample.group, sample.window, ZERO_MEAN, sample.n, known.mean, t, f"{name}({len(drawn)})", p, se=se, ci=ends,
        note=f"{len(sums)} date clusters",
    )  # fmt: skip


def _t_and_se(sums: Floats, sizes: Floats, floor: float) -> tuple[Floats, Floats]:
    """t and se (B,) of B samples of clusters (B, G); without spread t is infinite, or 0 where the mean is 0 too."""
    clusters, n = sums.shape[1], sizes.sum(axis=1)
    mean = sums.sum(axis=1) / n
    apart = sums - sizes * mean[:, None]
    return _over(mean, np.sqrt(clusters / (clusters - 1) * (apart * apart).sum(axis=1)) / n, floor)


def _over(mean: Floats, se: Floats, floor: float) -> tuple[Floats, Floats]:
    flat = se <= floor
    without = np.where(np.abs(mean) > floor, np.copysign(np.inf, mean), 0.0)
    return np.where(flat, without, mean / np.where(flat, 1.0, se)), se


def _wild(known: _Clusters, plan: Resampling, alpha: float) -> tuple[Floats, Ends]:
    """t* (B,) with the signs of whole clusters changed, and the effects whose p exceeds alpha on the same draws.

    Up to 12 clusters all 2^G - 1 ways that change one, else ``plan.draws`` of them.
    """
    sums, sizes = known.sums, known.sizes
    weights = np.stack([sums, sizes, sizes * sums, sizes**2])
    if few := len(sums) <= MOST_ENUMERATED:
        signs = 2.0 * (np.arange(2 ** len(sums) - 1)[:, None] >> np.arange(len(sums)) & 1) - 1
        of_sums, of_sizes, of_both, of_squares = ((signs * w).sum(axis=1) for w in weights)
    else:
        of_sums, of_both = _signed_sums(_drawn_signs(plan.seed, plan.draws, len(sums)), weights[::2])
        of_sizes, of_squares = _of_sizes(plan.seed, plan.draws, sizes.tobytes())
    n, factor = sizes.sum(), len(sums) / (len(sums) - 1)
    squares = (sums**2).sum(), (sizes * sums).sum(), (sizes**2).sum()

    def drawn(tau: float) -> Floats:
        """t* with the clusters' sums less tau times their sizes: from sums over clusters made once."""
        mean = (of_sums - tau * of_sizes) / n
        total = squares[0] - 2 * tau * squares[1] + tau**2 * squares[2]
        spread = total - 2 * mean * (of_both - tau * of_squares) + mean**2 * squares[2]
        return _over(mean, np.sqrt(factor * np.maximum(spread, 0.0)) / n, known.floor)[0]

    def kept(tau: float) -> float:
        """p less alpha."""
        own = abs(known.mean - tau) / known.se
        beyond = at_least(np.abs(drawn(tau)), own, tie_of(own))
        return float((1 + beyond.sum()) / (1 + len(beyond))) - REJECTED * alpha

    ends = -crossing(lambda tau: kept(-tau), -known.mean, known.se), crossing(kept, known.mean, known.se)
    return _t_and_se(signs * sums, sizes[None], known.floor)[0] if few else drawn(0.0), ends


@lru_cache(maxsize=1)  # the same for every group and window with as many clusters
def _drawn_signs(seed: int, draws: int, count: int) -> npt.NDArray[np.uint8]:
    """(G/8, B) signs of ``count`` clusters in B draws, a bit each, eight in a byte: 1 for a sign that stays."""
    rng = Resampling(np.empty(0, np.int64), draws, seed).generator("wild_bootstrap")
    drawn = [rng.integers(0, 2, (rows, count)).astype(bool) for rows in _portions(draws, count)]
    return np.ascontiguousarray(np.concatenate([np.packbits(part, axis=1, bitorder="little") for part in drawn]).T)


@lru_cache(maxsize=1)  # the same for every window of a group
def _of_sizes(seed: int, draws: int, sizes: bytes) -> Floats:
    """(2, B) `_signed_sums` of the clusters' sizes and of their squares."""
    known = np.frombuffer(sizes)
    return _signed_sums(_drawn_signs(seed, draws, len(known)), np.stack([known, known**2]))


def _signed_sums(signs: npt.NDArray[np.uint8], weights: Floats) -> Floats:
    """(W, B) the sums of the weights (W, G) with the signs of each draw, eight clusters at a time by a table of 256."""
    wanted, count = weights.shape
    eights = np.zeros((len(signs), 8, wanted))
    eights.reshape(-1, wanted)[:count] = weights.T
    table = np.zeros((len(signs), 1, wanted))
    for one in np.split(eights, 8, axis=1):  # each has half of the signs for it, half against it
        table = np.concatenate([table - one, table + one], axis=1)
    found, looked_up = np.zeros((2, signs.shape[1], wanted))
    for sums, byte in zip(table, signs, strict=True):
        found += np.take(sums, byte, axis=0, out=looked_up, mode="clip")
    return found.T


def _block(known: _Clusters, plan: Resampling, alpha: float) -> tuple[Floats, Ends]:
    """t* (B,) of as many clusters as there are, drawn with replacement, their CARs less the mean; mean -+ |t*| se."""
    count, drawn, rng = len(known.sums), [], plan.generator("block_bootstrap")
    centred = known.sums - known.sizes * (known.sums.sum() / known.sizes.sum())
    for rows in _portions(plan.draws, count):
        chosen = rng.integers(0, count, (rows, count))
        drawn.append(_t_and_se(centred[chosen], known.sizes[chosen], known.floor)[0])
    joined = np.concatenate(drawn)
    low, high = of_draws(0.0, joined, alpha)
    bounded = np.isfinite(high)
    return joined, (known.mean + low * known.se, known.mean + high * known.se) if bounded else NOWHERE


def _portions(draws: int, clusters: int) -> Iterator[int]:
    """``draws`` in portions of at most `CELLS` numbers."""
    most = max(CELLS // clusters, 1)
    yield from (min(most, draws - begin) for begin in range(0, draws, most))
