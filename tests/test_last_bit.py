"""The last bit decides nothing: every study again with all prices and returns moved by one unit in the last place.

Processors differ in the last bit of sums, logarithms and fits. Here every price and every return that is read moves up or down to
the next float, as a function of its value, so that equal ones stay equal; and every return that is computed from them moves by
one unit in the last place of a number near 1, which is the rounding of a ratio, each on its own. The answers must be those of
the prices as they are: the same events, exclusions, groups, counts, ranks and verdicts, the same words in the memo, and every
number within `FACTOR` times the tolerance of the golden results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from conftest import NO_SHARED_DATA

import engine.market.prices
import engine.plan
from engine import load_study, run_study
from engine.errors import MissingData
from engine.golden import ABSOLUTE, RELATIVE, SEARCHED
from engine.lines import Line
from engine.models import ITERATIVE
from engine.report import memo_markdown
from engine.results import StudyResult, read_manifest
from engine.schemas import KEYS

pytestmark = pytest.mark.slow

Floats = npt.NDArray[np.float64]
ROOT = Path(__file__).parent.parent
STUDIES = sorted(p.parent.name for p in (ROOT / "studies").glob("*/study.toml"))
SEEDS = (1,)
FACTOR = 10  # a golden number may differ by `golden.RELATIVE`; inputs that are off by a bit move it by no more than this times it
KERNELS = {"numpy": "numba", "numba": "numpy"}
CHEAP = ("crude-and-diamonds", "smic-cnooc-sinopec")  # studies that are also run under the other kernel
UNIT = 2.0**-52
NO_PRICE = frozenset({"volume", "shares", "split"})


def moved(values: Floats, seed: int) -> Floats:
    """Values a unit in the last place up or down, by a hash of their bits: equal ones stay equal, 0 and NaN as they are."""
    mixed = (values + 0.0).view(np.uint64) ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(factor)
    way = np.where(mixed >> np.uint64(63), np.inf, -np.inf)
    return np.where((values == 0) | ~np.isfinite(values), values, np.nextafter(values, way))


def off_by_a_bit(line: Line, rng: np.random.Generator, bridged: bool) -> Line:
    """A line whose returns have each their own rounding; with bridged gaps its first regressor counts sessions."""

    def each(values: Floats) -> Floats:
        return np.asarray(values + UNIT * rng.choice([-1.0, 1.0], values.shape))

    regressors = line.regressors.copy()
    regressors[int(bridged) :] = each(regressors[int(bridged) :])
    return replace(line, returns=each(line.returns), regressors=regressors)


@pytest.fixture
def last_bit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves all that is read and computed from now on."""

    def move(seed: int) -> None:
        numbers, lenient = engine.market.prices._numbers, engine.market.prices._lenient
        build, rng = engine.plan.build_line, np.random.default_rng(seed)

        def read(table: pl.DataFrame, name: str, where: str) -> Floats:
            values = numbers(table, name, where)
            return values if name in NO_PRICE else moved(values, seed)

        def built(symbol: str, benchmark: str, grid: Any, market: Any, first_is_base: bool = False) -> Line:
            return off_by_a_bit(build(symbol, benchmark, grid, market, first_is_base), rng, market.bridged)

        monkeypatch.setattr(engine.market.prices, "_numbers", read)
        monkeypatch.setattr(engine.market.prices, "_lenient", lambda column: moved(lenient(column), seed))
        monkeypatch.setattr(engine.plan, "build_line", built)

    return move


def answer(name: str, kernel: str) -> tuple[StudyResult, str]:
    """The result of a study and its memo, without the lines that name versions and settings of the machine."""
    folder = ROOT / "studies" / name
    try:
        study = load_study(folder, allow_code=True)
    except MissingData:
        pytest.skip(NO_SHARED_DATA)
    result = run_study(study, kernel=kernel).whole()
    return result, memo_markdown(result)


@lru_cache(maxsize=2)
def as_it_is(name: str, kernel: str) -> tuple[StudyResult, str]:
    return answer(name, kernel)


def kernel_of(name: str) -> str:
    return str(read_manifest(ROOT / "studies" / name / "golden")["kernel"])


def differences(one: StudyResult, other: StudyResult) -> Iterator[str]:
    """Every cell that is not the same: numbers by tolerance, all else exactly."""
    relative = SEARCHED if one.manifest["settings"]["model"]["name"] in ITERATIVE else RELATIVE
    assert list(one.tables) == list(other.tables)
    for name, table in one.tables.items():
        again = other.tables[name]
        assert (table.schema, table.height) == (again.schema, again.height), name
        for column, kind in table.schema.items():
            for place, (was, now) in enumerate(zip(table[column].to_list(), again[column].to_list(), strict=True)):
                if kind == pl.Float64 and was is not None and now is not None:
                    same = math.isclose(was, now, rel_tol=FACTOR * relative, abs_tol=FACTOR * ABSOLUTE)
                else:
                    same = was == now
                if not same:
                    key = {k: table[k][place] for k in KEYS[name]}
                    yield f"{name}.csv {key} {column}: {was} -> {now}"


def unlike(one: str, other: str) -> list[str]:
    """The lines of a memo that differ."""
    lines, again = one.splitlines(), other.splitlines()
    return [f"{a} -> {b}" for a, b in zip(lines, again, strict=True) if a != b]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", STUDIES)
def test_no_study_hangs_on_the_last_bit(name: str, seed: int, last_bit: Callable[[int], None]) -> None:
    result, memo = as_it_is(name, kernel_of(name))
    last_bit(seed)
    again, memo_again = answer(name, kernel_of(name))
    assert not list(differences(result, again))[:20]
    assert not unlike(memo, memo_again)


@pytest.mark.parametrize("name", CHEAP)
def test_nor_under_the_other_kernel(name: str, last_bit: Callable[[int], None]) -> None:
    other = KERNELS[kernel_of(name)]
    result, memo = answer(name, kernel_of(name))[0], answer(name, other)[1]
    last_bit(SEEDS[0])
    again, memo_again = answer(name, other)
    assert not list(differences(result, again))[:20]
    assert not unlike(memo, memo_again)


def test_prices_move_by_one_unit_and_equal_ones_alike() -> None:
    values = np.concatenate([[10.25, 0.0, 10.25, np.nan, -0.5], np.linspace(0.01, 90, 40)])
    again = moved(values, 1)
    assert again[0] == again[2]
    assert again[1] == 0
    assert np.isnan(again[3])
    told = np.isfinite(values) & (values != 0)
    assert np.array_equal(np.abs(again - values)[told] <= np.spacing(np.abs(values[told])), np.ones(told.sum(), bool))
    assert {-1.0, 1.0} == set(np.sign(again - values)[told])
    assert not np.array_equal(moved(values, 2)[told], again[told])
