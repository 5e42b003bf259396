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
    "firm_permutation": "listings like the others that day",
    "wild_bootstrap": "mean CAR is 0",
    "block_bootstrap": "mean CAR is 0",
    "forecast_error_t": "CAR of the event is 0",
    "sq": "AR like an estimation-window AR",
    "clustered_t_date": "mean CAR is 0",
    "clustered_t_firm": "mean CAR is 0",
    "clustered_t_both": "mean CAR is 0",
    "hac_t": "mean CAR is 0",
    "bhar_t": "mean BHAR is 0",
    "bhar_skewness_t": "mean BHAR is 0",
    "bhar_bootstrap": "mean BHAR is 0",
    "conformal": "window like any other days",
}

# Tests that take the events as independent: too sure of themselves where events share a date.
INDEPENDENT = frozenset(
    {
        "cross_sectional_t", "patell", "bmp", "skewness_adjusted_t", "sign", "generalized_sign", "wilcoxon", "jackknife",
        "grank_z", "variance_bmp", "clustered_t_firm", "bhar_t", "bhar_skewness_t", "bhar_bootstrap",
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
    if factors.get("set") == "local_us_fx":
        with_factors = f" (with {factors['us']} as of its last close and the rate of the currency, raw returns)"
    return MODEL_NAMES.get(name, f"model {name}") + with_factors


# What is measured where it is not the return: name, and what the numbers are that the memo prints as per cent.
OUTCOMES = {
    "absolute_return": (
        "absolute returns",
        "the abnormal size of the daily return, whatever its sign, in percentage points",
    ),
    "log_volume": ("log volume", "100 times abnormal ln(volume)"),
    "log_turnover": ("log turnover", "100 times abnormal ln(turnover)"),
    "range_volatility": (
        "range volatility",
        "the abnormal daily standard deviation by the day's range, in percentage points",
    ),
    "log_range_volatility": (
        "log range volatility",
        "100 times abnormal ln(daily standard deviation by the day's range)",
    ),
}


def outcome_of(settings: Mapping[str, Any]) -> str:
    """The outcome of a study that measures no return; "" for one that does."""
    name = str((settings.get("outcome") or {}).get("name", "return"))
    return "" if name == "return" else name


def measured_words(settings: Mapping[str, Any]) -> str:
    """``simple returns``, ``log volume``."""
    outcome = outcome_of(settings)
    return OUTCOMES[outcome][0] if outcome else f"{settings['prices']['returns']} returns"


def formula_of_model(model: str) -> str:
    """The formula and citation of a model, from its registry; its name where it is not known here."""
    from engine.models import MODELS

    return _docstring(MODELS.get(model), model)


def formula_of_test(test: str) -> str:
    """The formula and citation of a test, from its registry; its name where it is not known here."""
    from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS

    return _docstring(SIGNIFICANCE_TESTS.get(test) or EVENT_TESTS.get(test), test)


def formula_of_covariance(name: str) -> str:
    """The formula and citation of a covariance of the cross-section, from its registry."""
    from engine.crosssection import COVARIANCES

    return _docstring(COVARIANCES.get(name), name)


def formulas_in_calendar_time(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The formulas of ``[calendar_time]``, as the functions state them; none where the study has none."""
    from engine.calendar_time.least_squares import least_squares
    from engine.calendar_time.portfolio import abnormal_return, portfolio
    from engine.calendar_time.rats import rats
    from engine.calendar_time.standardised import standardised, standardised_mean

    rule = settings.get("calendar_time")
    if not rule:
        return []
    named = {"portfolio": portfolio, "alpha": abnormal_return, "Newey-West": least_squares}
    named |= {"standardised": standardised, "mean of the standardised": standardised_mean}
    named |= {"RATS": rats} if rule["rats"] else {}
    return [(name, _docstring(function, name)) for name, function in named.items()]


def _docstring(function: object, name: str) -> str:
    text = inspect.getdoc(function) if function is not None else None
    return " ".join(text.split()) if text else name
