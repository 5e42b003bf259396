"""The compiled ranks and sums of very many events: those of the arrays, to the last bit where they are ranks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import rankdata

from engine.significance.sweeps import Block, Cell, added, sums_of
from engine.ties import merged

Floats = npt.NDArray[np.float64]
EVENTS, DAYS, WINDOW = 60, 90, 7


def plain(rng: np.random.Generator) -> Floats:
    return rng.normal(0, 0.02, (EVENTS, DAYS + WINDOW))


def tied(rng: np.random.Generator) -> Floats:
    """Many days with the same value, some of them with 0 and -0."""
    values = np.round(plain(rng), 2)
    values[values == 0] = np.where(rng.random((values == 0).sum()) < 0.5, 0.0, -0.0)
    return values


def missing(rng: np.random.Generator) -> Floats:
    values = plain(rng)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[3] = np.nan
    values[4, 1:] = np.nan
    return values


def last_bits(rng: np.random.Generator) -> Floats:
    """Values that differ in their last bits alone, below zero and above: they are equal."""
    steps = rng.integers(0, 60, (EVENTS, DAYS + WINDOW))
    values = 0.02 * (1 + steps * np.finfo(np.float64).eps)
    return np.asarray(np.where(np.arange(EVENTS)[:, None] % 2 == 0, values, -values))


def wild(rng: np.random.Generator) -> Floats:
    values = plain(rng)
    values[:, 11] = 1e8 * values[:, 11]
    values[5] *= 1e-300  # all equal
    values[6] *= 1e300  # more than 32 bits hold
    return values


@pytest.mark.parametrize("make", [plain, tied, missing, last_bits, wild])
def test_compiled_ranks_and_sums_are_those_of_arrays(make: object) -> None:
    rng = np.random.default_rng(17)
    values = make(rng)  # type: ignore[operator]
    sigma, scar = 0.01 + rng.random(EVENTS), rng.normal(0, 1, EVENTS)
    arrays, compiled = (
        Block(values[:, :DAYS], values[:, DAYS:], sigma, compiled=compiled) for compiled in (False, True)
    )
    expected = rankdata(merged(np.where(np.isnan(values), np.inf, values)), axis=1) * ~np.isnan(values)
    np.testing.assert_array_equal(arrays.ranks, expected)
    scar[:5] = values[:5, :5].diagonal() / sigma[:5] / 1.3  # a SCAR that is one of the residuals
    cells = {
        (0, 0): Cell(np.arange(EVENTS), slice(0, WINDOW), scar, 1 / 1.3),
        (1, 0): Cell(np.arange(0, EVENTS, 3), slice(2, 4), scar[::3], 1 / 1.3),
    }
    tests = ("corrado", "corrado_zivney", "variance_rank", "grank_t", "crude_dependence_t", "generalized_sign")
    found = [sums_of(tests, block, cells) for block in (arrays, compiled)]
    assert found[0].keys() == found[1].keys()
    for key, sums in found[0].items():
        for one, other in zip(sums, found[1][key], strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12, err_msg=str(key))


def test_blocks_add_up_to_one() -> None:
    """The sums of two halves are those of the whole."""
    from engine.significance.sweeps import SWEEPS

    rng = np.random.default_rng(18)
    values, sigma, scar = missing(rng), 0.01 + rng.random(EVENTS), rng.normal(0, 1, EVENTS)

    def sums(rows: slice) -> dict[tuple[str, int, int], tuple[Floats, ...]]:
        block = Block(values[rows, :DAYS], values[rows, DAYS:], sigma[rows], compiled=True)
        own = scar[rows]
        return sums_of(tuple(SWEEPS), block, {(0, 0): Cell(np.arange(len(own)), slice(1, 5), own, 0.9)})

    whole, first, second = sums(slice(0, EVENTS)), sums(slice(0, 25)), sums(slice(25, EVENTS))
    for key, expected in whole.items():
        for one, other in zip(added(SWEEPS[key[0]], first[key], second[key]), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
