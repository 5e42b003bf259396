"""Models of the expected return: `MODELS` maps a name to the function that fits a batch of events at once.

To add one: a function with its citation in a file of its family, a line here, an oracle case in `tests/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.models.fits import NormalFits, assemble
from engine.models.linear import factor, market, market_adjusted, mean_adjusted
from engine.sessions import Window

Floats = npt.NDArray[np.float64]
Model = Callable[[Floats, Floats, Floats], NormalFits]

MODELS: dict[str, Model] = {
    "market": market,
    "market_adjusted": market_adjusted,
    "mean_adjusted": mean_adjusted,
    "factor": factor,
}

# Models whose expected return does not look at a benchmark, and those that take the factors of [factors].
WITHOUT_BENCHMARK = frozenset({"mean_adjusted"})
WITH_FACTORS = frozenset({"factor"})

__all__ = ["MODELS", "WITHOUT_BENCHMARK", "WITH_FACTORS", "NormalFits", "fit"]


def fit(
    model: str,
    returns: Floats,
    regressors: Floats,
    event_regressors: Floats,
    rows: Window,
    own: npt.NDArray[np.int64],
    regressor_names: Sequence[str] = ("market",),
) -> NormalFits:
    """Fit ``model`` to N events.

    returns: (N, R) estimation rows, NaN where missing; ``rows`` names their relative days.
    regressors, event_regressors: (N, K, R) and (N, K, L) benchmark and factors; ``regressor_names`` names the K.
    own: (N, 2) first and last relative day of each event's own estimation window, inside ``rows``.

    Events are batched by their own window, so that an event's sums run over its own rows alone and its numbers do
    not depend on its company.
    """
    shapes = np.unique(own, axis=0)
    parts = []
    for start, end in shapes:
        chosen = np.flatnonzero((own[:, 0] == start) & (own[:, 1] == end))
        columns = Window(int(start), int(end)).within(rows)
        fitted = MODELS[model](
            np.ascontiguousarray(returns[chosen, columns]),
            np.ascontiguousarray(regressors[chosen, :, columns]),
            np.ascontiguousarray(event_regressors[chosen]),
        )
        parts.append((chosen, columns, fitted))
    joined = assemble(parts, len(returns), len(rows))
    names = ("alpha", *(f"beta_{name}" for name in regressor_names))
    return replace(joined, names=names[: len(joined.names)])
