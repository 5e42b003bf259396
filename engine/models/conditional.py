"""Market models whose variance follows its own past: GARCH, GJR and EGARCH of order one, by maximum likelihood.

R_t = a + b R_mt + e_t, e_t = s_t z_t, z_t normal; a and b are estimated with the variance equation (the library `arch`). sigma is
the unconditional standard deviation that the parameters imply, not one of the residuals; V is that of the market model, dof
its M - 2. Rows without a return are left out, the rows about them following each other. Returns are divided by their spread
about the least-squares line before the search, so that their scale does not change the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.models.along import along
from engine.models.fits import PSEUDO_DATES, NormalFits
from engine.models.linear import market
from engine.models.moments import benchmark_of
from engine.models.search import Hill, highest

Floats = npt.NDArray[np.float64]
FARTHEST = 100.0  # times the residuals' spread, or its part: an unconditional sigma beyond describes no returns
EXPLOSIVE = 1e-6  # of 1 - persistence: less has no unconditional variance
STEP = 3e-5  # half the width of a difference
KINK = 1e-3  # the same where |z| puts a kink into the likelihood at every residual of zero: wide enough to smooth it
FORGETS = 1e-3  # a day, in logs: less keeps what a variance was before for a thousand days
LEAST_OMEGA = 1e-8  # of the residuals' variance
WORSE = 1e-6  # of a log-likelihood, below that of a constant variance: no maximum of a model that holds it
SLOW = "the model is fitted by a search of its own at every date: too slow for thousands of pseudo-dates"


@dataclass(frozen=True)
class _Kind:
    """A variance equation. equation: how `arch` has it. names: its parameters in the order of arch's. spread: its unconditional
    standard deviation, NaN if it has none; scaled: the first parameter, omega, in units of return for a given scale.
    starts: of the search; lines, least: the bounds lines @ p >= least. width: half that of a difference in a and b; widths: in
    the variance's parameters. forgets: whether the variance of a day far back has no say in today's, given the parameters and the
    standardised residuals z.
    """

    equation: Callable[[], Any]
    names: tuple[str, ...]
    spread: Callable[[Floats], float]
    scaled: Callable[[Floats, float], float]
    starts: Sequence[Sequence[float]]
    lines: Sequence[Sequence[float]]
    least: Sequence[float]
    width: float
    widths: Callable[[Floats], Floats]
    forgets: Callable[[Floats, Floats], bool] = lambda p, z: True


def garch(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """R_t = a + b R_mt + e_t, s_t^2 = omega + arch e_(t-1)^2 + garch s_(t-1)^2 by maximum likelihood; sigma is the unconditional
    standard deviation, sqrt(omega / (1 - arch - garch)).

    Bollerslev (1986); in event studies: Corhay & Tourani Rad (1996). V of the market model, dof = M - 2.
    """
    return _conditional(returns, regressors, event_regressors, KINDS["garch"])


def gjr(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """R_t = a + b R_mt + e_t, s_t^2 = omega + (arch + asymmetry [e_(t-1) < 0]) e_(t-1)^2 + garch s_(t-1)^2 by maximum likelihood;
    sigma is the unconditional standard deviation, sqrt(omega / (1 - arch - asymmetry / 2 - garch)).

    Glosten, Jagannathan & Runkle (1993). V of the market model, dof = M - 2.
    """
    return _conditional(returns, regressors, event_regressors, KINDS["gjr"])


def egarch(returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """R_t = a + b R_mt + e_t, log s_t^2 = omega + arch (|z_(t-1)| - sqrt(2/pi)) + asymmetry z_(t-1) + garch log s_(t-1)^2 by
    maximum likelihood; sigma is the unconditional standard deviation that the parameters imply.

    0 <= garch < 1. Nelson (1991), theorem 2.1 for the unconditional variance. V of the market model, dof = M - 2.
    """
    return _conditional(returns, regressors, event_regressors, KINDS["egarch"])


def _conditional(returns: Floats, regressors: Floats, event_regressors: Floats, kind: _Kind) -> NormalFits:
    ols, benchmark = market(returns, regressors, event_regressors), benchmark_of(regressors)
    events, count = len(returns), len(kind.names)
    slope, above, sigma = np.full(events, np.nan), np.full(events, np.nan), np.full(events, np.nan)
    variance = np.full((events, count), np.nan)
    lost, few = np.zeros(events, bool), ols.n_obs < count + 3
    for i in np.flatnonzero((ols.degenerate == "") & ~few):
        kept = np.isfinite(returns[i]) & np.isfinite(benchmark[i])
        y, x = returns[i, kept], benchmark[i, kept]
        dy, dx, scale, unit = y - y.mean(), x - x.mean(), ols.sigma[i], x.std()
        found = _searched(dy / scale, dx / unit, kind)
        lost[i] = found is None
        if found is not None:
            above[i], slope[i] = found[0] * scale, found[1] * scale / unit
            variance[i] = [kind.scaled(found[2:], float(scale)), *found[3:]]
            spread = kind.spread(found[2:])
            sigma[i] = spread * scale if 1 / FARTHEST < spread < FARTHEST else np.nan
    refused = {"too_few_for_variance": few, "not_converged": lost, "no_unconditional_sigma": ~np.isfinite(sigma)}
    made = along(returns, regressors, event_regressors, ols, slope, above, refused)
    return replace(
        made,
        names=(*made.names, *kind.names),
        coefficients=np.concatenate([made.coefficients, variance], axis=1),
        sigma=sigma,
        lacks={**made.lacks, PSEUDO_DATES: SLOW},
    )


def _searched(y: Floats, x: Floats, kind: _Kind) -> Floats | None:
    """Constant, slope and variance parameters of one standardised series, None where the likelihood has no maximum of its own.

    What is less likely than the least-squares line with a constant variance is no maximum of a model that holds it.
    """
    volatility = kind.equation()
    slope = (x * y).sum() / (x * x).sum()
    residuals, room = y - slope * x, np.empty(len(y))
    before, limits = volatility.backcast(residuals), volatility.variance_bounds(residuals)

    def likelihood(p: Floats) -> Floats:
        errors = y - p[0] - p[1] * x
        variance = volatility.compute_variance(p[2:], errors, room, before, limits)
        if not kind.forgets(p[2:], errors / np.sqrt(variance)):
            return np.full(len(y), np.nan)
        return np.asarray(-(math.log(2 * math.pi) + np.log(variance) + errors * errors / variance) / 2)

    lines = np.pad(np.array(kind.lines), ((0, 0), (2, 0)))
    hill = Hill(
        likelihood, lambda p: np.concatenate([[kind.width] * 2, kind.widths(p[2:])]), lines, np.array(kind.least)
    )
    found = highest(hill, [np.array([0.0, slope, *start]) for start in kind.starts])
    constant = -len(y) / 2 * (math.log(2 * math.pi * (residuals**2).mean()) + 1)
    return found if found is not None and hill.value(found) > constant - WORSE else None


def _root(omega: float, persistence: float) -> float:
    return math.sqrt(omega / (1 - persistence)) if 1 - persistence > EXPLOSIVE and omega > 0 else math.nan


def _egarch_spread(p: Floats) -> float:
    """E s^2 = exp(omega / (1 - b)) prod_i E exp(b^i (a (|z| - sqrt(2/pi)) + g z)), each factor in closed form."""
    from scipy.special import log_ndtr

    omega, a, g, b = (float(v) for v in p)
    if not 1 - abs(b) > EXPLOSIVE:
        return math.nan
    terms = max(1, math.ceil(math.log(1e-16) / math.log(abs(b)))) if abs(b) > 1e-16 else 1
    power = b ** np.arange(terms)
    up, down = power * (a + g), power * (a - g)
    logs = np.logaddexp(up**2 / 2 + log_ndtr(up), down**2 / 2 + log_ndtr(down)) - power * a * math.sqrt(2 / math.pi)
    log_variance = omega / (1 - b) + float(logs.sum())
    return math.exp(log_variance / 2) if log_variance < 700 else math.nan


def _arch(name: str, asymmetry: int) -> Any:
    """A variance equation of order one of the library."""
    from arch.univariate import volatility

    return getattr(volatility, name)(p=1, o=asymmetry, q=1)


def _widths(p: Floats) -> Floats:
    """That of omega goes with its size, which may be small."""
    return np.array([1e-3 * max(p[0], 1e-5), *[STEP] * (len(p) - 1)])


def _egarch_forgets(p: Floats, z: Floats) -> bool:
    """Whether d log s_t^2 / d log s_(t-1)^2 = garch - (arch |z| + asymmetry z) / 2 shrinks on average, in logs.

    Where it grows a rounding error does too, and the likelihood is no function that could be maximised. Wintenberger (2013).
    """
    return float(np.log(np.maximum(np.abs(p[3] - (p[1] * np.abs(z) + p[2] * z) / 2), 1e-3)).mean()) < -FORGETS


KINDS = {
    "garch": _Kind(
        lambda: _arch("GARCH", 0),
        ("omega", "arch", "garch"),
        lambda p: _root(p[0], p[1] + p[2]),
        lambda p, scale: p[0] * scale**2,
        starts=((0.05, 0.05, 0.9), (0.3, 0.1, 0.6), (0.7, 0.2, 0.1)),
        lines=((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, -1, -1)),
        least=(LEAST_OMEGA, 0, 0, -1),
        width=STEP,
        widths=_widths,
    ),
    "gjr": _Kind(
        lambda: _arch("GARCH", 1),
        ("omega", "arch", "asymmetry", "garch"),
        lambda p: _root(p[0], p[1] + p[2] / 2 + p[3]),
        lambda p, scale: p[0] * scale**2,
        starts=((0.055, 0.05, 0.05, 0.87), (0.35, 0.1, 0.1, 0.5), (0.7, 0.15, 0.1, 0.1)),
        lines=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, -1, -0.5, -1)),
        least=(LEAST_OMEGA, 0, 0, 0, -1),
        width=STEP,
        widths=_widths,
    ),
    "egarch": _Kind(
        lambda: _arch("EGARCH", 1),
        ("omega", "arch", "asymmetry", "garch"),
        _egarch_spread,
        lambda p, scale: p[0] + (1 - p[3]) * 2 * math.log(scale),
        starts=((0, 0.1, 0, 0.95), (0, 0.2, 0, 0.6), (0, 0.3, 0, 0.1)),
        lines=((1, 0, 0, 0), (-1, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, -1)),
        least=(-2 * math.log(FARTHEST), -2 * math.log(FARTHEST), 0, -1),
        width=KINK,
        widths=lambda p: np.full(len(p), STEP),
        forgets=_egarch_forgets,
    ),
}
