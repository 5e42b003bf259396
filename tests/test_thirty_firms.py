"""Every test of the registries against `second.py` on the 30 firms of the oracle `clustered-30`.

The oracle has one date; the same firms on ten dates, three on each, give the tests that need several dates something to
answer. The staggered panel with every irregularity is in test_second_implementation.py.
"""

from __future__ import annotations

import csv
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second
from conftest import closes, make_study, rows_of, run

from engine.results import StudyResult
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS

ORACLE = Path(__file__).parents[1] / "fixtures" / "oracles" / "clustered-30"
WINDOWS = ((0, 0), (-5, 5))
EVENT_WINDOW = (-5, 5)
SEED, DRAWS = 5, 1999
# Layout -> the row of day 0 of each firm, the estimation window, the fewest days in it.
LAYOUTS = {
    "one date": ([300] * 30, (-250, -11), 240),
    "ten dates": ([200 + 15 * (i % 10) for i in range(30)], (-130, -11), 120),
}
ONE_FITS_ALL = {**second.GROUP_TESTS, "portfolio_t": second.portfolio_t, "sur_f": second.sur_f}
GROUP_TESTS = (*ONE_FITS_ALL, "permutation", "firm_permutation", "wild_bootstrap", "block_bootstrap", "bhar_bootstrap")
SINGLE_TESTS = (*second.EVENT_TESTS, "permutation")
SEVERAL_DATES = {
    "clustered_t_date", "clustered_t_both", "hac_t", "wild_bootstrap", "block_bootstrap", "firm_permutation",
}  # fmt: skip

layouts = pytest.mark.parametrize("layout", LAYOUTS)
alternatives = pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])


@cache
def prices() -> dict[str, dict[str, float | None]]:
    with (ORACLE / "returns.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    dates = columns.pop("date")
    grown = {s: 50 * np.cumprod(1 + np.array(values, float)) for s, values in columns.items()}
    return {s: dict(zip(dates, values.tolist(), strict=True)) for s, values in grown.items()}


def events(layout: str) -> list[second.Event]:
    places, estimation, _ = LAYOUTS[layout]
    days = list(prices()["MKT"])
    return [second.Event(f"e{i}", f"F{i:02d}", days[p], estimation, "") for i, p in enumerate(places)]


def design(layout: str) -> second.Design:
    return second.Design("MKT", "market", False, EVENT_WINDOW, LAYOUTS[layout][2])


@cache
def fitted(layout: str) -> list[second.Fitted]:
    found, lost = second.fit_all(events(layout), prices(), design(layout))
    assert not lost
    return found


@cache
def pseudo(layout: str) -> dict[int, list[second.Fitted]]:
    return second.pseudo_events(events(layout), prices(), design(layout))


@cache
def on_every_date(layout: str) -> dict[int, list[second.Fitted]]:
    """All 30 firms fitted on each event day, with an event there or not."""
    symbols, estimation = [s for s in prices() if s != "MKT"], LAYOUTS[layout][1]
    return {
        place: [
            second.fit_event(second.Event("", s, "", estimation, ""), place, prices(), design(layout)) for s in symbols
        ]
        for place in sorted({f.position for f in fitted(layout)})
    }


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def run_layout(layout: str, alternative: str) -> StudyResult:
        _, estimation, min_days = LAYOUTS[layout]
        folder = make_study(
            tmp_path_factory.mktemp("thirty"),
            [{"event_id": e.event_id, "symbol": e.symbol, "announced_at": e.day} for e in events(layout)],
            {s: closes(list(p), list(p.values())) for s, p in prices().items()},
            model={"estimation_window": list(estimation), "min_estimation_days": min_days},
            windows={"event": list(EVENT_WINDOW), "car": [list(w) for w in WINDOWS]},
            significance={"tests": sorted({*SIGNIFICANCE_TESTS, *EVENT_TESTS}), "alternative": alternative},
            resampling={"seed": SEED, "draws": DRAWS},
        )
        return run(folder)

    return run_layout


def days_of(window: tuple[int, int]) -> list[int]:
    return list(range(window[0], window[1] + 1))


def close(actual: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(wanted, float), rtol=1e-9, atol=1e-14)


@cache
def statistic_of(name: str, layout: str, window: tuple[int, int]) -> tuple[float, Any]:
    return ONE_FITS_ALL[name](fitted(layout), days_of(window), days_of(EVENT_WINDOW))


def wanted(name: str, layout: str, window: tuple[int, int], alternative: str) -> tuple[float, float, float]:
    """Statistic, p-value and how far the p-value may be off: 0 but for random draws."""
    sample, days = fitted(layout), days_of(window)
    if name == "permutation":
        mean = float(np.mean([f.car(days) for f in sample]))
        draws = [float(np.mean([f.car(days) for f in fits])) for fits in pseudo(layout).values()]
        return mean, second.permutation_p(mean, draws, alternative), 0
    if name == "firm_permutation":
        return stand_ins(layout, days, alternative)
    if name == "bhar_bootstrap":
        return resampled_bhars([f.bhar(days, False) for f in sample], alternative)
    clusters = [[f.car(days) for f in c] for c in second.date_clusters(sample)]
    if name == "wild_bootstrap":
        return second.cluster_t(clusters)[0], second.wild_p(clusters, alternative), 0
    if name == "block_bootstrap":
        dice, own = random.Random(3), 1000
        p = second.block_p(clusters, [[dice.randrange(10) for _ in range(10)] for _ in range(own)], alternative)
        return second.cluster_t(clusters)[0], p, 4.5 * (p * (1 - p) * (1 / DRAWS + 1 / own)) ** 0.5 + 1 / own
    statistic, distribution = statistic_of(name, layout, window)
    if name == "sur_f":
        return statistic, float(distribution.sf(statistic)), 0
    if name in second.EXACT_P:
        return statistic, second.EXACT_P[name](sample, days, alternative), 0
    return statistic, second.p_value(statistic, distribution, alternative), 0


def stand_ins(layout: str, days: list[int], alternative: str) -> tuple[float, float, float]:
    """The three events of each date go to any three of the 30 firms."""
    pools = [np.array([f.car(days) for f in fits]) for fits in on_every_date(layout).values()]
    centre = float(np.mean([pool.mean() for pool in pools]))
    value = float(np.mean([f.car(days) for f in fitted(layout)])) - centre
    dice, own = np.random.default_rng(3), 5000
    orders = [np.argsort(dice.random((own, 30)), axis=1)[:, :3] for _ in pools]
    draws = sum(pool[order].sum(axis=1) for pool, order in zip(pools, orders, strict=True)) / 30 - centre
    p = second.permutation_p(value, draws.tolist(), alternative)
    return value, p, 4.5 * (p * (1 - p) * (1 / DRAWS + 1 / own)) ** 0.5 + 1 / DRAWS


def resampled_bhars(values: list[float], alternative: str) -> tuple[float, float, float]:
    """Ten of the 30 BHARs at a time."""
    dice, own = random.Random(3), 4000
    p = second.resampled_p(values, [[dice.randrange(30) for _ in range(10)] for _ in range(own)], alternative)
    off = 9 * (max(p * (1 - p), 1e-3) * (1 / DRAWS + 1 / own)) ** 0.5
    return second.skewness_adjusted(values, 0.0), p, off


def answered(name: str, layout: str, alternative: str) -> bool:
    """Whether a test applies."""
    if name in SEVERAL_DATES:
        return layout == "ten dates"
    return name != "sur_f" or (layout == "one date" and alternative == "two-sided")


@alternatives
@layouts
@pytest.mark.parametrize("name", GROUP_TESTS)
def test_group(ours: Any, name: str, layout: str, alternative: str) -> None:
    for window in WINDOWS:
        row = rows_of(ours(layout, alternative), "significance", test=name, window_start=window[0]).row(0, named=True)
        assert row["n"] == 30
        close(row["estimate"], np.mean([f.car(days_of(window)) for f in fitted(layout)]))
        if name == "permutation" and layout == "ten dates":  # random draws: test_second_implementation.py
            close(row["statistic"], row["estimate"])
        elif not answered(name, layout, alternative):
            assert row["unavailable"]
            assert row["p_value"] is None
        else:
            statistic, p, off = wanted(name, layout, window, alternative)
            close(row["statistic"], statistic)
            np.testing.assert_allclose(row["p_value"], p, rtol=1e-9, atol=off + 1e-14)


@alternatives
@layouts
@pytest.mark.parametrize("name", SINGLE_TESTS)
def test_single_event(ours: Any, name: str, layout: str, alternative: str) -> None:
    for window in WINDOWS:
        days = days_of(window)
        rows = rows_of(ours(layout, alternative), "event_significance", test=name, window_start=window[0])
        by_event = {r["event_id"]: r for r in rows.iter_rows(named=True)}
        assert len(by_event) == 30
        for i, f in enumerate(fitted(layout)):
            row = by_event[f.event.event_id]
            close(row["estimate"], f.car(days))
            if name == "sq" and len(days) > 1:
                assert row["unavailable"]
            elif name != "permutation":
                close([row["statistic"], row["p_value"]], second.EVENT_TESTS[name](f, days, alternative))
            elif layout == "one date":
                draws = [fits[i].car(days) for fits in pseudo(layout).values()]
                close(row["p_value"], second.permutation_p(f.car(days), draws, alternative))


def test_every_registered_test_is_here_and_answers() -> None:
    assert set(GROUP_TESTS) == set(SIGNIFICANCE_TESTS)
    assert set(SINGLE_TESTS) == set(EVENT_TESTS)
    assert all(any(answered(name, layout, "two-sided") for layout in LAYOUTS) for name in GROUP_TESTS)
