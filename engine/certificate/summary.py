"""What p-values under a null say of a test: size with its band, the calibrated p, the critical p, power, and the smallest effect
that is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.ties import SHARE, at_least, at_most, rejects

Floats = npt.NDArray[np.float64]
REJECTED = 1 + SHARE  # p-values are counts over counts: one that equals alpha rejects, whatever its last digit
BAND = 0.99  # of the band of a size: one test in a hundred that is right falls outside
POWER = 0.80  # of the minimum detectable effect
PARTS = 10  # of the draws, each left out in turn for the error of the effect


@dataclass(frozen=True)
class Size:
    """How often a test rejects under a null. answered: the draws with an answer. holds: "yes", "rejects too often" or "rejects
    too seldom" by the band around the share."""

    size: float
    low: float
    high: float
    holds: str
    answered: int


def size_of(p: Floats, alpha: float, apart: int) -> Size:
    """Size and Wilson's band for (B,) p-values, NaN without an answer; the band is that of ``apart`` draws where B are more.

    The level is inside the band if and only if the score test at `BAND` does not tell the share from it. Wilson (1927).
    """
    from scipy import special

    known = p[np.isfinite(p)]
    if not len(known):
        return Size(np.nan, np.nan, np.nan, "", 0)
    share = float((known <= alpha * REJECTED).mean())
    n, z = max(min(len(known), apart), 1), float(-special.ndtri((1 - BAND) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)))
    low, high = max(centre - half, 0.0), min(centre + half, 1.0)
    holds = "rejects too often" if low > alpha else "rejects too seldom" if high < alpha else "yes"
    return Size(share, low, high, holds, len(known))


def calibrated_p(p: Floats, own: float) -> float:
    """(1 + b)/(1 + B), b the p-values under the null that are not above the study's own. Davison & Hinkley (1997), eq. 4.11."""
    known = p[np.isfinite(p)]
    if not len(known) or not np.isfinite(own):
        return float("nan")
    return float((1 + at_most(known, own, SHARE * abs(own)).sum()) / (1 + len(known)))


def critical_p(p: Floats, alpha: float) -> float:
    """The p-value below which the calibrated p is at most alpha: the alpha (1 + B)-th smallest; NaN for too few."""
    known = np.sort(p[np.isfinite(p)])
    k = int(np.floor(alpha * (1 + len(known)) * REJECTED))
    return float(known[k - 1]) if k >= 1 else float("nan")


def power_of(p: Floats, critical: float) -> Floats:
    """(K,) the share of (K, B) p-values below the critical one, of those with an answer."""
    known = np.isfinite(p)
    found = np.count_nonzero(rejects(p, critical), axis=1)  # NaN is below nothing
    return np.asarray(found / np.maximum(np.count_nonzero(known, axis=1), 1))


def detectable(effects: Floats, p: Floats, alpha: float) -> tuple[float, float]:
    """The smallest effect that is found in `POWER` of the draws, and its Monte Carlo error; NaN where none of them is.

    effects: (K,) from none on, away from zero. p: (K, B), the first row without effect, which has the critical p. Between two
    effects the power is taken as linear on the normal scale. The error is that of the delete-a-group jackknife, over the
    critical p and the power alike. Quenouille (1956); Kott (2001).
    """
    found = _crossing(effects, p, alpha)
    draws = p.shape[1]
    parts = -(-np.arange(PARTS + 1) * draws // PARTS) if draws >= 20 * PARTS else np.empty(0, np.int64)
    without = np.array([_crossing(effects, np.delete(p, slice(*part), axis=1), alpha) for part in pairwise(parts)])
    if not len(without) or not np.isfinite([found, *without]).all():
        return found, float("nan")
    return found, float(np.sqrt((PARTS - 1) / PARTS * ((without - without.mean()) ** 2).sum()))


def _crossing(effects: Floats, p: Floats, alpha: float) -> float:
    from scipy import special

    critical = critical_p(p[0], alpha)
    if not np.isfinite(critical):
        return float("nan")
    power = power_of(p, critical)
    reached = np.flatnonzero(at_least(power, POWER))
    if not len(reached) or reached[0] == 0:
        return float("nan")
    k, draws = int(reached[0]), p.shape[1]
    least = 0.5 / draws
    low, high = special.ndtri(np.clip(power[[k - 1, k]], least, 1 - least))
    share = (float(special.ndtri(POWER)) - low) / (high - low)
    return float(effects[k - 1] + share * (effects[k] - effects[k - 1]))


def ladder(error: float, direction: int, effects: Sequence[float]) -> Floats:
    """The effects to try, from none on: those of the study, and steps of a quarter from 0.8 to 28 standard errors."""
    steps = [0.8 * 1.25**k * error for k in range(17)] if error > 0 else []
    return np.array(sorted({0.0, *steps, *effects})) * direction
