"""Whole numbers put in order by counting, and rows of flags told apart as whole numbers: what the library does by comparing."""

from __future__ import annotations

import numpy as np
import pytest

from engine.scale.joined import _kinds
from engine.scale.order import in_order


@pytest.mark.parametrize("most", [1, 200, 1 << 16, (1 << 16) + 1, 1 << 40])
def test_the_order_is_that_of_a_stable_sort(most: int) -> None:
    keys = np.random.default_rng(most % 97).integers(0, most, 5_000)
    np.testing.assert_array_equal(in_order(keys), np.argsort(keys, kind="stable"))


def test_nothing_has_an_order() -> None:
    assert len(in_order(np.empty(0, np.int64))) == 0


@pytest.mark.parametrize("days", [1, 8, 21, 64, 65, 200])
def test_kinds_of_rows_are_those_of_whole_rows(days: int) -> None:
    """Also where a row takes several words, of which some rows share the first."""
    rng = np.random.default_rng(days)
    few = rng.random((7, days)) < 0.5
    few[1, : days // 2] = few[0, : days // 2]
    rows = few[rng.integers(0, 7, 400)]
    kinds, which = _kinds(rows)
    np.testing.assert_array_equal(kinds[which], rows)
    assert len(kinds) == len(np.unique(rows, axis=0))
