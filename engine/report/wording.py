"""What tests and flags mean, in few words, and the formulas as the registries state them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

# The null of a test in few words. A test that is not here is shown without.
NULLS: dict[str, str] = {
    "cross_sectional_t": "mean CAR is 0",
    "skewness_adjusted_t": "mean CAR is 0",
    "crude_dependence_t": "mean CAR is 0",
    "portfolio_t": "mean CAR is 0",
    "patell": "mean standardised CAR is 0",
    "adjusted_patell": "mean standardised CAR is 0",
    "bmp": "mean standardised CAR is 0",
    "kolari_pynnonen": "mean standardised CAR is 0",
    "kolari_pape_pynnonen": "mean standardised CAR is 0",
    "jackknife": "mean standardised CAR is 0",
    "corrado": "ranks as on other days",
    "corrado_zivney": "ranks as on other days",
    "corrado_zivney_adjusted": "ranks as on other days",
    "grank_t": "ranks as on other days",
    "grank_z": "ranks as on other days",
    "sign": "CAR > 0 in half of the events",
    "generalized_sign": "CAR > 0 as often as AR > 0 before",
    "wilcoxon": "CARs symmetric about 0",
    "sur_f": "all CARs are 0",
    "variance_rank": "|AR| ranks as on other days",
    "variance_bmp": "variance as before the event",
    "permutation": "dates like any other dates",
    "wild_bootstrap": "mean CAR is 0",
    "block_bootstrap": "mean CAR is 0",
    "forecast_error_t": "CAR of the event is 0",
    "sq": "AR like an estimation-window AR",
    "clustered_t_date": "mean CAR is 0",
    "clustered_t_firm": "mean CAR is 0",
    "clustered_t_both": "mean CAR is 0",
    "hac_t": "mean CAR is 0",
    "conformal": "window like any other days",
}

# Tests that take the events as independent: too sure of themselves where events share a date.
INDEPENDENT = frozenset(
    {
        "cross_sectional_t", "patell", "bmp", "skewness_adjusted_t", "sign", "generalized_sign", "wilcoxon", "jackknife",
        "grank_z", "variance_bmp", "clustered_t_firm",
    }
)  # fmt: skip

FLAGS: dict[str, str] = {
    "date_only": "the calendar has no clock time; day 0 may be a session off",
    "precision_without_zone": "after_close or pre_open without a zone says nothing: day 0 is on the date or the next session",
    "public_later": "the first public word is dated after the announcement",
    "leak_used": "day 0 follows an earlier leak, not the announcement",
    "in_session": "the news came while the exchange was open",
    "after_half_day": "the news came after the early close of a half day",
    "long_gap": "more than 72 hours from the news to the open of day 0",
}

MODEL_NAMES = {
    "market": "market model",
    "market_adjusted": "market-adjusted",
    "mean_adjusted": "mean-adjusted",
    "factor": "factor model",
    "raw": "raw returns",
    "matched": "control portfolio",
    "scholes_williams": "market model, beta of Scholes-Williams",
    "dimson": "market model, beta of Dimson",
    "rolling": "market model, rolling beta",
    "exponential": "market model, exponentially weighted",
    "garch": "market model with GARCH(1,1), unconditional sigma",
    "egarch": "market model with EGARCH(1,1), unconditional sigma",
    "gjr": "market model with GJR-GARCH(1,1), unconditional sigma",
    "lad": "market model, least absolute deviations",
    "huber": "market model, Huber",
    "theil_sen": "market model, Theil-Sen",
    "custom": "the study's own model",
}


def model_name(settings: Mapping[str, Any]) -> str:
    """``market model``, ``factor model (with BZ=F)``."""
    name = str(settings["model"]["name"])
    factors = settings.get("factors") or {}
    with_factors = f" (with {', '.join([*factors['columns']] or [factors['set']])})" if factors else ""
    return MODEL_NAMES.get(name, f"model {name}") + with_factors


def formula_of_model(model: str) -> str:
    """The formula and citation of a model, from its registry; its name where it is not known here."""
    from engine.models import MODELS

    return _docstring(MODELS.get(model), model)


def formula_of_test(test: str) -> str:
    """The formula and citation of a test, from its registry; its name where it is not known here."""
    from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS

    return _docstring(SIGNIFICANCE_TESTS.get(test) or EVENT_TESTS.get(test), test)


def _docstring(function: object, name: str) -> str:
    text = inspect.getdoc(function) if function is not None else None
    return " ".join(text.split()) if text else name
