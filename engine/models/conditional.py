"""Market models whose variance follows its own past: GARCH, GJR and EGARCH of order one, by maximum likelihood.

R_t = a + b R_mt + e_t, e_t = s_t z_t, z_t normal; a and b are estimated with the variance equation (the library `arch`). sigma is
the unconditional standard deviation that the parameters imply, not one of the residuals; V is that of the market model, dof
its M - 2. Rows without a return are left out, the rows about them following each other. Returns are divided by their spread
about the least-squares line before the search, so that their scale does not change the answer.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.models.along import along
from engine.models.fits import PSEUDO_DATES, NormalFits
from engine.models.linear import market
from engine.models.moments import benchmark_of

Floats = npt.NDArray[np.float64]
FARTHEST = 100.0  # times the residuals' spread, or its part: an unconditional sigma beyond describes no returns
EXPLOSIVE = 1e-6  # of 1 - persistence: less has no unconditional variance
ROUGH, FINE = {"maxiter": 500, "ftol": 1e-6}, {"maxiter": 500, "ftol": 1e-10}
STEP, RISE = 1e-3, 1e-6  # of a parameter of standardised returns, and of the log-likelihood
WORSE = 1e-6  # of a log-likelihood, below that of a constant variance: no maximum of a model that holds it
SLOW = "the model is fitted by a search of its own at every date: too slow for thousands of pseudo-dates"


@dataclass(frozen=True)
class _Kind:
    """A variance equation. search: what `arch` calls it. names: its parameters in the order of arch's. spread: its unconditional
    standard deviation, NaN if it has none; scaled: the first parameter, omega, in units of return for a given scale."""

    search: dict[str, Any]
    names: tuple[str, ...]
    spread: Callable[[Floats], float]
    scaled: Callable[[Floats, float], float]


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
    with _one_core():
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


def _one_core() -> AbstractContextManager[object]:
    """Sums of the linear algebra in one order: a search goes elsewhere by the last bit, which the number of cores would move."""
    import scipy.linalg  # noqa: F401  its library must be there to be held
    from threadpoolctl import threadpool_limits

    held: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return held


def _searched(y: Floats, x: Floats, kind: _Kind) -> Floats | None:
    """Constant, slope and variance parameters of one standardised series, None where the search does not end well.

    A rough search, then a fine one from where it ended: a fine one alone runs off along flat ridges. What is less likely than
    the least-squares line with a constant variance, or than a small step along one of the parameters, is no maximum.
    """
    from arch import arch_model

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = arch_model(y, x=x, mean="LS", dist="normal", rescale=False, **kind.search)
        try:
            rough = model.fit(disp="off", show_warning=False, options=ROUGH)
            fine = model.fit(disp="off", show_warning=False, options=FINE, starting_values=rough.params)
        except (ValueError, FloatingPointError, np.linalg.LinAlgError):
            return None
    better = fine.convergence_flag == 0 and fine.loglikelihood >= rough.loglikelihood
    found = fine if better else rough
    parameters = np.asarray(found.params, dtype=np.float64)
    residuals = y - (x * y).sum() / (x * x).sum() * x
    constant = -len(y) / 2 * (math.log(2 * math.pi * (residuals**2).mean()) + 1)
    ended = found.convergence_flag == 0 and found.loglikelihood > constant - WORSE
    whole = ended and np.isfinite(parameters).all() and _on_top(model, parameters, found.loglikelihood)
    return parameters if whole else None


def _on_top(model: Any, parameters: Floats, height: float) -> bool:
    """Whether no step along one of the parameters leads higher; where the model does not allow one, none is taken."""
    lines, least = model.volatility.constraints()
    low, high = np.array(model.volatility.bounds(model.y)).T
    for step in (*np.diag(np.full(len(parameters), STEP)), *np.diag(np.full(len(parameters), -STEP))):
        there = parameters + step
        variance = there[-len(low) :]
        allowed = (lines @ variance >= least).all() and (low <= variance).all() and (variance <= high).all()
        if allowed and model.fix(there).loglikelihood > height + RISE:
            return False
    return True


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


KINDS = {
    "garch": _Kind(
        {"vol": "GARCH", "p": 1, "o": 0, "q": 1},
        ("omega", "arch", "garch"),
        lambda p: _root(p[0], p[1] + p[2]),
        lambda p, scale: p[0] * scale**2,
    ),
    "gjr": _Kind(
        {"vol": "GARCH", "p": 1, "o": 1, "q": 1},
        ("omega", "arch", "asymmetry", "garch"),
        lambda p: _root(p[0], p[1] + p[2] / 2 + p[3]),
        lambda p, scale: p[0] * scale**2,
    ),
    "egarch": _Kind(
        {"vol": "EGARCH", "p": 1, "o": 1, "q": 1},
        ("omega", "arch", "asymmetry", "garch"),
        _egarch_spread,
        lambda p, scale: p[0] + (1 - p[3]) * 2 * math.log(scale),
    ),
}
