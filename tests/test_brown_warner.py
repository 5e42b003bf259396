"""Brown and Warner's experiment: the committed table is that of the engine, and says what theory and the paper say."""

from __future__ import annotations

import math
from pathlib import Path

import brown_warner
from brown_warner import ALPHA, EFFECTS, MODELS, SAMPLES, SEED, TESTS, WINDOWS

ROWS = {brown_warner.place(r): r for r in brown_warner.read()}


def rate(model: str, test: str, effect: float = 0.0, start: int = 0) -> float:
    return float(ROWS[model, test, str(start), str(-start), f"{effect:g}"]["rejection_rate"])


def near(model: str, test: str, start: int = 0) -> bool:
    """Within 3.5 binomial standard errors of the level."""
    return abs(rate(model, test, 0.0, start) - ALPHA) <= 3.5 * math.sqrt(ALPHA * (1 - ALPHA) / SAMPLES)


def test_the_table_is_whole() -> None:
    windows = [(str(w.start), str(w.end)) for w in WINDOWS]
    assert set(ROWS) == {(m, t, *w, f"{e:g}") for m in MODELS for t in TESTS for w in windows for e in EFFECTS}
    assert {int(r["samples"]) for r in ROWS.values()} == {SAMPLES}


def test_the_engine_gives_the_first_samples_of_the_table(tmp_path: Path) -> None:
    assert brown_warner.outdated(brown_warner.simulate("market", tmp_path / "s", [0], SEED)) == []


def test_another_seed_has_other_samples(tmp_path: Path) -> None:
    assert brown_warner.outdated(brown_warner.simulate("market", tmp_path / "s", [0], SEED + 1)) != []


def test_the_page_is_that_of_the_table() -> None:
    assert brown_warner.PAGE.read_text(encoding="utf-8") == brown_warner.page(brown_warner.read())


def test_the_tests_hold_their_size_on_one_day() -> None:
    for model in ("mean_adjusted", "market"):
        for test in ("cross_sectional_t", "crude_dependence_t", "patell", "bmp", "jackknife", "corrado", "grank_t"):
            assert near(model, test), (model, test)


def test_known_failures_are_there() -> None:
    """Shares of firms that lived, with dividends, beat an index without: over eleven days market-adjusted tests reject too
    often. Means above a median of zero make `sign` reject too seldom."""
    for test in ("cross_sectional_t", "patell", "bmp"):
        assert rate("market_adjusted", test, 0.0, -5) > 0.08
        assert near("market", test, -5)
    assert rate("market", "sign") < 0.03


def test_power_grows_with_the_effect_and_with_the_model() -> None:
    for model in MODELS:
        for test in TESTS:
            powers = [rate(model, test, e) for e in EFFECTS]
            assert powers == sorted(powers)
            assert rate(model, test, 0.01, -5) < powers[2]
    for test in ("crude_dependence_t", "patell", "bmp"):
        assert rate("market", test, 0.005) > rate("mean_adjusted", test, 0.005) + 0.05
