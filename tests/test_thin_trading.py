"""docs/thin-trading.md is what its script writes, and says what the corrected betas buy and what they do not."""

from __future__ import annotations

import re
from functools import cache

import pytest
import thin_trading
from thin_trading import ESTIMATORS, PAGE, REPLICATIONS, SCENARIOS, TESTS, WORDS, between, rejections

ANY, MOVED = SCENARIOS
ERROR = (0.05 * 0.95 / REPLICATIONS) ** 0.5
FEW = 120


@cache
def page() -> dict[tuple[str, str, str], float]:
    names = {WORDS.get(e, e): e for e in ESTIMATORS}
    found = {}
    for line in between(PAGE.read_text(encoding="utf-8")).splitlines()[2:]:
        scenario, model, *cells = (c.strip() for c in line.strip("|").split("|"))
        for test, cell in zip(TESTS, cells, strict=True):
            found[scenario, names[model], test] = float(cell.removesuffix(" %")) / 100
    return found


def test_the_page_has_every_cell() -> None:
    assert set(page()) == {(s, e, t) for s in SCENARIOS for e in ESTIMATORS for t in TESTS}


def test_on_any_day_every_model_holds_its_size() -> None:
    for estimator in ESTIMATORS:
        assert abs(page()[ANY, estimator, "bmp"] - 0.05) < 3.5 * ERROR


def test_where_the_market_moves_the_corrected_betas_bring_bmp_back() -> None:
    market, williams, dimson = (page()[MOVED, e, "bmp"] for e in ("market", "scholes_williams", "dimson"))
    assert market > 3 * 0.05
    assert market / 2 > williams > dimson
    assert dimson < 0.08


def test_the_rank_test_is_not_helped() -> None:
    """A day without a trade keeps its rank, whatever beta says of it: a known failure."""
    market, *corrected = (page()[MOVED, e, "corrado_zivney"] for e in ("market", "scholes_williams", "dimson"))
    assert min(corrected) > market


def test_trade_to_trade_returns_bring_both_tests_back() -> None:
    for test in TESTS:
        assert abs(page()[MOVED, "trade_to_trade", test] - 0.05) < 3.5 * ERROR


@pytest.mark.parametrize("numbers", ["the first replications"])
def test_the_script_makes_the_page(numbers: str) -> None:
    """A short run is within four binomial standard errors of every cell."""
    for key, share in rejections(FEW).items():
        wanted = page()[key]
        assert abs(share - wanted) < 4 * (max(wanted, 0.02) * (1 - wanted) / FEW) ** 0.5, key


def test_a_table_is_written_as_it_is_read() -> None:
    text = "\n".join(thin_trading.table_of(page())) + "\n"
    assert text == between(PAGE.read_text(encoding="utf-8"))
    assert len(re.findall(r"\d+\.\d %", text)) == len(page())
