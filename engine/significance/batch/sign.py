"""`engine.significance.sign` and `permutation` for many samples at once."""

from __future__ import annotations

import numpy as np

from engine.significance.batch.sample import Answers, Batch, Floats, by_size, of_normal, of_tails, once
from engine.significance.sign import in_sizes, signed_rank_cdf
from engine.ties import above

MOST_EXACT = 50  # events up to which `wilcoxon` is exact


def sign(batch: Batch) -> Answers:
    from scipy import special

    n = batch.n
    positive = _positive(batch)
    at_least = np.where(positive > 0, special.bdtrc(np.maximum(positive - 1, 0), n, 0.5), 1.0)
    return of_tails((positive - n / 2) / np.sqrt(n / 4), special.bdtr(positive, n, 0.5), at_least)


def generalized_sign(batch: Batch) -> Answers:
    n = batch.n
    share = once(batch.common, "share above zero", lambda: _share_above_zero(batch))
    positive = _positive(batch)
    return of_normal((positive - n * share) / np.sqrt(n * share * (1 - share)))


def _positive(batch: Batch) -> Floats:
    """(K, D) how many CARs are above zero."""
    return batch.once("positive", lambda: above(batch.cars, 0.0).sum(axis=2))


def _share_above_zero(batch: Batch) -> Floats:
    share = (above(batch.residuals, 0.0).sum(axis=2) / np.maximum(batch.known, 1)).mean(axis=1)
    return np.where((share > 0) & (share < 1), share, np.nan)


def wilcoxon(batch: Batch) -> Answers:
    from scipy import special, stats

    cars, n = in_sizes(batch.cars), batch.n
    size = np.abs(cars)
    ranks = stats.rankdata(size, axis=2)
    total = np.where(cars > 0, ranks, 0.0).sum(axis=2)
    z = (total - n * (n + 1) / 4) / np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    if n > MOST_EXACT:
        lower, upper = special.ndtr(z), special.ndtr(-z)
    else:
        chances, held = signed_rank_cdf(n), np.rint(total).astype(np.int64)
        lower, upper = chances[held], np.where(held > 0, 1 - chances[np.maximum(held - 1, 0)], 1.0)
    ordered = np.sort(size, axis=2)
    for k, d in zip(*np.nonzero((ordered[..., 0] == 0) | (np.diff(ordered, axis=2) == 0).any(axis=2)), strict=True):
        one = cars[k, d]  # zeros and ties: few, and scipy's
        if not one.any():
            z[k, d] = lower[k, d] = upper[k, d] = np.nan
            continue
        z[k, d] = stats.wilcoxon(one, alternative="greater", method="asymptotic").zstatistic
        lower[k, d] = stats.wilcoxon(one, alternative="less").pvalue
        upper[k, d] = stats.wilcoxon(one, alternative="greater").pvalue
    return of_tails(z, lower, upper)


def permutation(batch: Batch) -> Answers:
    """The mean CARs among the reference, as `engine.significance.resampling.permutation` among the pseudo-dates."""
    means = batch.means
    return Answers(means, lambda alternative: batch.reference.p(means, alternative), by_size(means))
