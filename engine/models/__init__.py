"""Models of the expected return: `MODELS` maps a name to the function that fits a batch of events at once.

To add one: a function with its citation in a file of its family, a line here, an oracle case in `tests/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.models.conditional import egarch, garch, gjr
from engine.models.custom import custom
from engine.models.drifting import exponential, rolling
from engine.models.fits import COVARIANCE, PSEUDO_DATES, REFIT, NormalFits, assemble
from engine.models.linear import factor, market, market_adjusted, matched, mean_adjusted, raw
from engine.models.moments import DEGENERATE
from engine.models.robust import huber, lad, theil_sen
from engine.models.thin_trading import dimson, scholes_williams
from engine.models.trade_to_trade import BRIDGED
from engine.sessions import Window

Floats = npt.NDArray[np.float64]
Model = Callable[[Floats, Floats, Floats], NormalFits]

MODELS: dict[str, Callable[..., NormalFits]] = {
    "market": market,
    "market_adjusted": market_adjusted,
    "mean_adjusted": mean_adjusted,
    "factor": factor,
    "raw": raw,
    "matched": matched,
    "scholes_williams": scholes_williams,
    "dimson": dimson,
    "rolling": rolling,
    "exponential": exponential,
    "garch": garch,
    "egarch": egarch,
    "gjr": gjr,
    "lad": lad,
    "huber": huber,
    "theil_sen": theil_sen,
    "custom": custom,
}

# Models whose expected return does not look at a benchmark, and those that take the factors of [factors].
WITHOUT_BENCHMARK = frozenset({"mean_adjusted", "raw"})
WITH_FACTORS = frozenset({"factor", "custom"})
# Models that are fitted by a search: two machines agree to fewer digits.
ITERATIVE = frozenset({"garch", "egarch", "gjr", "lad", "huber"})

__all__ = [
    "BRIDGED",
    "COVARIANCE",
    "DEGENERATE",
    "ITERATIVE",
    "MODELS",
    "PSEUDO_DATES",
    "REFIT",
    "WITHOUT_BENCHMARK",
    "WITH_FACTORS",
    "Model",
    "NormalFits",
    "fit",
    "model_of",
]


def model_of(name: str, options: Mapping[str, Any], bridged: bool = False) -> Model:
    """The function of a model with its options set: the keys of ``[model]`` that it takes, as keywords.

    bridged: for trade-to-trade returns, whose first regressor is the sessions that each covers.
    """
    return BRIDGED[name] if bridged else partial(MODELS[name], **options)


def fit(
    model: str,
    returns: Floats,
    regressors: Floats,
    event_regressors: Floats,
    rows: Window,
    own: npt.NDArray[np.int64],
    regressor_names: Sequence[str] = ("market",),
    options: Mapping[str, Any] | None = None,
    bridged: bool = False,
    compiled: Model | None = None,
) -> NormalFits:
    """Fit ``model``, with the ``options`` that its function takes, to N events.

    returns: (N, R) estimation rows, NaN where missing; ``rows`` names their relative days.
    regressors, event_regressors: (N, K, R) and (N, K, L) benchmark and factors; ``regressor_names`` names the K.
    own: (N, 2) first and last relative day of each event's own estimation window, inside ``rows``.

    bridged: as in `model_of`. compiled: a function to use in place of the model's own, with the same numbers.

    Events are batched by their own window, so that an event's sums run over its own rows alone and its numbers do
    not depend on its company.
    """
    function, shapes = compiled or model_of(model, options or {}, bridged), _shapes(own)
    parts = []
    for start, end in shapes:
        columns = Window(start, end).within(rows)
        alike = len(shapes) == 1  # as most studies are: nothing is put together, nothing copied
        chosen = slice(None) if alike else np.flatnonzero((own[:, 0] == start) & (own[:, 1] == end))
        given = returns[chosen, columns], regressors[chosen, :, columns], event_regressors[chosen]
        fitted = function(*(np.ascontiguousarray(one) for one in given))
        parts.append((chosen, columns, fitted))
    whole = len(parts) == 1 and parts[0][1] == slice(0, len(rows))
    joined = parts[0][2] if whole else assemble(parts, len(returns), len(rows))
    named = {f"beta_{j}": f"beta_{name}" for j, name in enumerate(regressor_names)}
    names = tuple(named.get(name, name) for name in joined.names)
    return joined if names == joined.names else replace(joined, names=names)


def _shapes(own: npt.NDArray[np.int64]) -> list[list[int]]:
    """The different windows among (N, 2)."""
    shapes: list[list[int]] = (own[:1] if (own == own[:1]).all() else np.unique(own, axis=0)).tolist()
    return shapes
