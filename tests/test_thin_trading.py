"""docs/thin-trading.md is what its script writes, and says what the corrected betas buy and what they do not."""

from __future__ import annotations

from functools import cache

import arch  # noqa: F401  its linear algebra must be there to be told the number of cores
import numpy as np
import pytest
import scipy.linalg  # noqa: F401
from thin_trading import (
    ESTIMATORS,
    EVENT,
    PAGE,
    ROWS,
    SCENARIOS,
    SEED,
    TESTS,
    Count,
    between,
    counted,
    draw,
    read_counts,
    sizes,
    table_of,
)
from threadpoolctl import threadpool_limits

from engine.models import MODELS

ANY, MOVED = SCENARIOS
SEARCHED = [e for e in ESTIMATORS if sizes(e)[1] == 1]
CLOSED = [e for e in ESTIMATORS if e not in SEARCHED]
WITHOUT_COVARIANCE = ("lad", "huber", "theil_sen")


@cache
def counts() -> dict[tuple[str, str, str], Count]:
    return {(c.scenario, c.model, c.test): c for c in read_counts()}


def share(scenario: str, model: str, test: str) -> float:
    return counts()[scenario, model, test].share


def off(scenario: str, model: str, test: str) -> float:
    """How many standard errors of 5 % the share is from 5 %."""
    one = counts()[scenario, model, test]
    return (one.share - 0.05) / (0.05 * 0.95 / one.replications) ** 0.5


def test_every_model_has_its_lines() -> None:
    assert set(counts()) == {(s, e, t) for s in SCENARIOS for e in ESTIMATORS for t in TESTS}
    assert set(ESTIMATORS) == set(MODELS) - {"custom"} | {"trade_to_trade"}
    for one in counts().values():
        assert (one.replications, one.first) == sizes(one.model)


def test_the_page_is_written_from_the_counts() -> None:
    assert "\n".join(table_of(read_counts())) + "\n" == between(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("estimators", [CLOSED, SEARCHED], ids=["closed", "searched"])
def test_the_first_replications_are_those_of_the_counts(estimators: list[str]) -> None:
    """One by one, not about: a formula that moves a single p-value over 5 % is seen."""
    for fresh in counted(estimators, short=True):
        kept = counts()[fresh.scenario, fresh.model, fresh.test]
        assert (fresh.replications, fresh.rejected) == (kept.first, kept.rejected_first), fresh
        assert fresh.unavailable == kept.unavailable


def test_what_needs_a_covariance_is_unavailable_without_one() -> None:
    for (_, model, test), one in counts().items():
        assert bool(one.unavailable) == (model in WITHOUT_COVARIANCE and test == "bmp")


def test_on_any_day_least_squares_holds_its_size() -> None:
    for estimator in CLOSED:
        if estimator not in WITHOUT_COVARIANCE:
            assert abs(off(ANY, estimator, "bmp")) < 3.5, estimator


def test_where_the_market_moves_the_corrected_betas_bring_bmp_back() -> None:
    market, williams, dimson = (share(MOVED, e, "bmp") for e in ("market", "scholes_williams", "dimson"))
    assert market > 3 * 0.05
    assert market / 2 > williams > dimson
    assert dimson < 0.08


def test_without_the_market_its_move_is_taken_for_news() -> None:
    for estimator in ("raw", "mean_adjusted"):
        assert share(MOVED, estimator, "bmp") > 0.5


def test_a_second_factor_brings_half_of_it_back_and_peers_that_trade_as_thinly_all() -> None:
    market, factor = share(MOVED, "market", "bmp"), share(MOVED, "factor", "bmp")
    assert 0.07 < factor < 0.6 * market
    for estimator in ("matched", "market_adjusted"):
        assert abs(off(MOVED, estimator, "bmp")) < 3.5, estimator


def test_a_line_through_the_days_without_a_trade() -> None:
    """Known failures of the rank test: zeros draw LAD and Theil-Sen where the market moves; on any day they do not."""
    assert min(share(MOVED, e, "corrado_zivney") for e in ("lad", "theil_sen")) > 0.3
    assert max(abs(off(ANY, e, "corrado_zivney")) for e in ("lad", "huber", "theil_sen")) < 3.5


def test_the_rank_test_is_not_helped() -> None:
    """A day without a trade keeps its rank, whatever beta says of it: a known failure."""
    market, *corrected = (share(MOVED, e, "corrado_zivney") for e in ("market", "scholes_williams", "dimson"))
    assert min(corrected) > market


def test_trade_to_trade_returns_bring_both_tests_back() -> None:
    for test in TESTS:
        assert abs(off(MOVED, "trade_to_trade", test)) < 3.5


@pytest.mark.parametrize("estimator", SEARCHED)
def test_a_search_does_not_depend_on_the_number_of_cores(estimator: str) -> None:
    """The library's linear algebra sums in another order on two cores, and the search of an EGARCH ends elsewhere by it."""
    shares = draw(np.random.default_rng([SEED, 1]), None, 0.02)
    rows, ahead, few = slice(0, len(ROWS)), slice(EVENT.start - ROWS.start, None), slice(0, 3)
    regressors = shares.regressors(estimator)[few]
    found = []
    for cores in (1, 2):
        with threadpool_limits(cores, "blas"):
            found.append(
                ESTIMATORS[estimator](shares.returns[few, rows], regressors[:, :, rows], regressors[:, :, ahead])
            )
    np.testing.assert_array_equal(found[0].coefficients, found[1].coefficients)
