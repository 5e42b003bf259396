"""What a series of profits and a list of trades come to: hit rate, Sharpe ratios, drawdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.ties import above

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
EULER = 0.5772156649015329  # Euler-Mascheroni


def wilson(hits: int, n: int, alpha: float) -> tuple[float, float]:
    """The 1 - alpha score interval of a share. Wilson (1927); Brown, Cai & DasGupta (2001), section 3.1.1."""
    from scipy import special

    z = -float(special.ndtri(alpha / 2))
    share, wide = hits / n, z * z / n
    middle = (share + wide / 2) / (1 + wide)
    half = z / (1 + wide) * np.sqrt(share * (1 - share) / n + wide / (4 * n))
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


def clustered_error(values: Floats, cluster: Ints) -> tuple[float, int]:
    """The standard error of the mean of (N,) values in G clusters, and G - 1; NaN for one cluster.

    sqrt(G/(G-1) sum_g (sum_i (x_i - mean))^2) / N; Liang & Zeger (1986). With G = N it is sd/sqrt(N).
    """
    _, code = np.unique(cluster, return_inverse=True)
    sums = np.bincount(code, weights=values - values.mean())
    g = len(sums)
    return (float(np.sqrt(g / (g - 1) * (sums**2).sum()) / len(values)) if g > 1 else float("nan")), g - 1


@dataclass(frozen=True)
class Sharpe:
    """A Sharpe ratio a session over T sessions. skewness, kurtosis: of the profits (3 for a normal). se_iid, se: its standard
    error for independent normal profits, and with their skewness and kurtosis."""

    ratio: float
    sessions: int
    skewness: float
    kurtosis: float
    se_iid: float
    se: float


def sharpe(profits: Floats) -> Sharpe | None:
    """The Sharpe ratio of (T,) profits, mean over sd (ddof 1); None where they do not vary or are fewer than 3.

    se_iid = sqrt((1 + SR^2/2)/T), Lo (2002), eq. 9. se = sqrt((1 - g3 SR + (g4 - 1)/4 SR^2)/T), Mertens (2002), with g3, g4 the
    moments of the profits over their population sd.
    """
    t = len(profits)
    spread = profits.std(ddof=1) if t > 2 else 0.0
    if not above(spread, 0.0):
        return None
    deviation = (profits - profits.mean()) / profits.std()
    ratio, skew, tails = float(profits.mean() / spread), float((deviation**3).mean()), float((deviation**4).mean())
    wide = float(np.sqrt((1 + ratio**2 / 2) / t))
    return Sharpe(ratio, t, skew, tails, wide, float(np.sqrt(variance_factor(ratio, skew, tails) / t)))


def variance_factor(ratio: float, skewness: float, kurtosis: float) -> float:
    """1 - g3 SR + (g4 - 1)/4 SR^2: the variance of a Sharpe ratio times the number of sessions. Mertens (2002)."""
    return 1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2


def best_of_trials(variance: float, n: int) -> float:
    """The Sharpe ratio to expect of the best of n trials without skill whose ratios have this variance.

    sqrt(V) ((1 - g) Z(1 - 1/n) + g Z(1 - 1/(n e))), g = 0.5772, Z the normal quantile; Bailey & Lopez de Prado (2014), eq. 1.
    """
    from scipy import special

    quantiles = special.ndtri(1 - 1 / n), special.ndtri(1 - 1 / (n * np.e))
    return float(np.sqrt(variance) * ((1 - EULER) * quantiles[0] + EULER * quantiles[1]))


def deflated(found: Sharpe, hurdle: float) -> float:
    """The probability that the true Sharpe ratio is above the hurdle: Bailey & Lopez de Prado (2014), eq. 2.

    Phi((SR - SR0) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2)).
    """
    from scipy import special

    spread = np.sqrt(variance_factor(found.ratio, found.skewness, found.kurtosis))
    return float(special.ndtr((found.ratio - hurdle) * np.sqrt(found.sessions - 1) / spread))


def drawdowns(profits: Floats) -> tuple[Floats, Floats]:
    """(T,) the capital, 1 plus the profits so far, and how far it is below its highest so far, as a share of that."""
    equity = 1 + np.cumsum(profits)
    peak = np.maximum.accumulate(np.maximum(equity, 1.0))
    return equity, equity / peak - 1


def quantiles_of(draws: Floats, alpha: float) -> Sequence[float]:
    """The alpha/2 and 1 - alpha/2 quantiles of draws."""
    return [float(q) for q in np.quantile(draws, [alpha / 2, 1 - alpha / 2])]
