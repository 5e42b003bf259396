"""Comparisons that rounding does not decide: hand cases, and the places that count and rank with them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backtest.results import Trades, Trials
from engine.significance.batch.compiled import find, place
from engine.significance.batch.sample import Compared
from engine.significance.rank import mid_ranks
from engine.ties import above, at_least, at_most, below, merged, ordered, rejects, turned

UP, DOWN = np.nextafter(0.02, 1), np.nextafter(0.02, 0)


def test_a_value_beside_its_bound_is_the_bound() -> None:
    values = np.array([0.01, DOWN, 0.02, UP, 0.03])
    assert at_least(values, 0.02).tolist() == [False, True, True, True, True]
    assert at_most(values, 0.02).tolist() == [True, True, True, True, False]
    assert above(values, 0.02).tolist() == [False, False, False, False, True]
    assert below(values, 0.02).tolist() == [True, False, False, False, False]


def test_a_p_value_that_is_the_level_does_not_reject() -> None:
    assert rejects(np.array([0.049, 0.05, np.nextafter(0.05, 0), 6 * 0.00833333333333333]), 0.05).tolist() == [
        True, False, False, False,
    ]  # fmt: skip
    assert not rejects(float("nan"), 0.05)


def test_signs_of_zeros_do_not_turn() -> None:
    assert turned(-0.01, 0.02)
    assert not turned(-1e-17, 0.02)
    assert not turned(0.01, 0.02)


def test_merged_values_are_the_smallest_of_each_run() -> None:
    values = np.array([[UP, 0.02, -0.5, DOWN], [1e-17, np.nan, -1e-18, 3.0]])
    made = merged(values)
    assert made[0].tolist() == [DOWN, DOWN, -0.5, DOWN]
    assert made[1, [0, 2, 3]].tolist() == [0.0, 0.0, 3.0]
    assert np.isnan(made[1, 1])


def test_items_of_equal_size_stand_by_name() -> None:
    items = [("b", UP), ("c", DOWN), ("a", 0.02), ("d", 0.01)]
    assert [name for name, _ in ordered(items, lambda i: i[1], lambda i: i[0])] == ["d", "a", "b", "c"]
    assert ordered([], lambda i: i[1], lambda i: i[0]) == []


@pytest.mark.parametrize("seed", range(3))
def test_ranks_do_not_tell_last_bits_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(0, 0.02, (40, 90)), 3)
    moved = values + rng.uniform(-1, 1, values.shape) * 4e-16
    assert np.array_equal(mid_ranks(moved), mid_ranks(values))


def test_places_among_sorted_values_take_near_ones_for_equal() -> None:
    values = np.array([-0.01, DOWN, UP, 0.03])
    assert (place(values, 4, 0.02, False), place(values, 4, 0.02, True)) == (1, 3)
    assert find(values, 4, 0.02, 0) == (1, 3)
    assert find(values, 4, 0.02, 4) == (1, 3)


def test_a_value_is_as_extreme_as_the_draw_that_it_is() -> None:
    draws = Compared.of(np.array([-0.03, 0.01, UP, 0.05]))
    for value in (DOWN, 0.02, UP):
        own = np.array([value])
        assert draws.p(own, "greater") == pytest.approx(3 / 5)
        assert draws.p(own, "less") == pytest.approx(4 / 5)
        assert draws.p(-own, "two-sided") == pytest.approx(4 / 5)


def trial(sharpe: float, beta: float, exit_day: str = "2020-03-06", weight: float = 0.05) -> dict[str, object]:
    what = (("E1", "AAA", "signal", 1.0, "^I", "2020-03-02", True, exit_day),)
    return {"sharpe": sharpe, "trades": Trades(what, np.array([beta]), np.array([weight]))}


def test_trials_are_told_apart_by_what_they_trade() -> None:
    """Not by their Sharpe ratios: the same trades may part in the last bit, and other trades may end at the same ratio."""
    first = trial(0.02, 1.1)
    assert Trials([first, trial(UP, np.nextafter(1.1, 2))]).ratios.tolist() == [0.02]
    assert len(Trials([first, trial(0.02, 1.1, "2020-03-09")]).ratios) == 2
    assert len(Trials([first, trial(0.02, 1.2)]).ratios) == 2
    assert len(Trials([first, trial(0.02, 1.1, weight=0.04)]).ratios) == 2
    assert len(Trials([first, {"sharpe": None}]).ratios) == 1
