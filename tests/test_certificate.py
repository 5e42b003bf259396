"""The certificate: by hand, against a second implementation in plain loops, and the same whatever it is run with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import second_certificate as second
from conftest import cell, closes, make_study, rows_of, simulated, texts, weekdays

from engine import load_study, run_study
from engine.beside import here
from engine.certificate import asking
from engine.certificate.draws import drawn, matched_by_runup, runups
from engine.certificate.scale import spread_ratio
from engine.certificate.summary import calibrated_p, critical_p, detectable, ladder, power_of, size_of
from engine.errors import SpecError
from engine.results import StudyResult, read_result, write_result
from engine.sessions import Window

TESTS = ["cross_sectional_t", "bmp", "patell", "sign", "corrado_zivney"]
CAR = [[0, 0], [-1, 1]]
SESSIONS = 200
EVENTS = (("A", 90), ("B", 92), ("C", 92), ("D", 120), ("E", 150), ("A", 160))
DATES = weekdays(SESSIONS)
DRAWS = 150


def study(folder: Path, **overrides: Any) -> Path:
    """Six events on five dates, two on one date; a firm with two events; gaps."""
    series = simulated(11, list("ABCDE"), SESSIONS)
    for symbol, day in (("A", 30), ("C", 70), ("D", 71), ("E", 100)):
        series[symbol]["return"][day] = None
    events = [{"event_id": f"e{k}", "symbol": s, "announced_at": DATES[at]} for k, (s, at) in enumerate(EVENTS)]
    tables: dict[str, Any] = {
        "windows": {"event": [-5, 5], "car": CAR},
        "significance": {"tests": TESTS},
        "certificate": {"seed": 4, "draws": DRAWS, "effects": [0.02, 0.05], "runup": [-20, -2]},
    }
    return make_study(folder, events, series, **(tables | overrides))


def certified(folder: Path, **overrides: Any) -> StudyResult:
    return run_study(load_study(study(folder, **overrides), data_path=()))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return certified(tmp_path_factory.mktemp("certificate") / "s")


# The second implementation


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    series = simulated(11, list("ABCDE"), SESSIONS)
    for symbol, day in (("A", 30), ("C", 70), ("D", 71), ("E", 100)):
        series[symbol]["return"][day] = None
    clusters = {90: 0, 92: 1, 120: 2, 150: 3, 160: 4}
    events = [second.Event(symbol, at, clusters[at]) for symbol, at in EVENTS]
    prices = {s: series[s]["return"] for s in "ABCDE"}
    market = series["MKT"]["return"]
    design = second.Design((-60, -11), (-5, 5), 20)
    shifts = second.feasible(events, prices, market, design)
    every = [[second.fitted(prices[e.symbol], market, e.at + s, design) for s in shifts[e.cluster]] for e in events]
    own = [second.fitted(prices[e.symbol], market, e.at, design) for e in events]
    chosen = second.draws([len(shifts[c]) for c in range(5)], DRAWS, 4, "as_they_are all")
    samples = [[every[i][draw[e.cluster]] for i, e in enumerate(events)] for draw in chosen]
    centre = [{d: sum(f.ar[d] for f in fits) / len(fits) for d in range(-5, 6)} for fits in every]  # type: ignore[union-attr]
    return {"samples": samples, "own": own, "centre": centre, "shifts": shifts, "events": events}


def under_spread(plain: dict[str, Any], window: tuple[int, int], effect: float) -> list[dict[str, float]]:
    scale = second.spread_ratio(plain["own"], window)
    moved = [
        [second.moved(f, c, scale, window, effect) for f, c in zip(sample, plain["centre"], strict=True)]
        for sample in plain["samples"]
    ]
    return [second.p_values(fits, window) for fits in moved]


@pytest.mark.parametrize("window", [(0, 0), (-1, 1)])
def test_sizes_are_those_of_plain_loops(result: StudyResult, plain: dict[str, Any], window: tuple[int, int]) -> None:
    own = second.p_values(plain["own"], window)
    nulls = {
        "as_they_are": [second.p_values(fits, window) for fits in plain["samples"]],
        "scaled": under_spread(plain, window, 0.0),
    }
    for null, found in nulls.items():
        for test in TESTS:
            where = {
                "window_start": window[0], "window_end": window[1], "test": test, "null": null, "kind": "group",
            }  # fmt: skip
            (row,) = rows_of(result, "certificate", **where).to_dicts()
            p = [one[test] for one in found]
            rejected = sum(value <= 0.05 for value in p)
            assert row["draws"] == DRAWS
            assert row["size"] == pytest.approx(rejected / DRAWS, abs=1e-15), (null, test)
            assert (row["band_low"], row["band_high"]) == pytest.approx(second.wilson(rejected, DRAWS, row["apart"]))
            assert row["p_formula"] == pytest.approx(own[test], rel=1e-9)
            beyond = sum(value <= own[test] * (1 + 1e-9) for value in p)
            assert row["p_calibrated"] == pytest.approx((1 + beyond) / (1 + DRAWS)), (null, test)
    assert row["scale"] == pytest.approx(second.spread_ratio(plain["own"], window))


@pytest.mark.parametrize("window", [(0, 0), (-1, 1)])
def test_power_is_that_of_plain_loops(result: StudyResult, plain: dict[str, Any], window: tuple[int, int]) -> None:
    base = under_spread(plain, window, 0.0)
    for effect in (0.02, 0.05):
        moved = under_spread(plain, window, effect)
        for test in TESTS:
            ordered = sorted(one[test] for one in base)
            critical = ordered[int(0.05 * (1 + DRAWS)) - 1]
            power = sum(one[test] < critical * (1 - 1e-12) for one in moved) / DRAWS
            where = {"window_start": window[0], "window_end": window[1], "test": test, "effect": effect}
            assert cell(result, "power", "power", kind="group", **where) == pytest.approx(power, abs=1e-12), (
                test,
                effect,
            )


def test_pseudo_dates_are_those_of_plain_loops(result: StudyResult, plain: dict[str, Any]) -> None:
    fewest = min(len(s) for s in plain["shifts"].values())
    assert set(rows_of(result, "certificate", null="as_they_are")["pseudo_dates"]) == {fewest}
    for length, window in ((1, 0), (3, 1)):
        counts = []
        for shifts in plain["shifts"].values():
            taken, free = 0, -math.inf
            for shift in shifts:
                if shift >= free:
                    taken, free = taken + 1, shift + length
            counts.append(taken)
        where = {"window_end": window, "null": "as_they_are", "test": "bmp"}
        assert cell(result, "certificate", "apart", **where) == min(counts)


def test_the_placebo_holds_every_draw_and_the_real_mean(result: StudyResult, plain: dict[str, Any]) -> None:
    means = [sum(f.car((-1, 1)) for f in fits) / len(fits) for fits in plain["samples"]]
    own = sum(f.car((-1, 1)) for f in plain["own"]) / len(EVENTS)
    rows = rows_of(result, "placebo", window_end=1, null="as_they_are").sort("bin")
    assert rows["draws"].sum() == DRAWS
    assert rows["low"][0] == pytest.approx(min(means))
    assert rows["high"][-1] == pytest.approx(max(means))
    assert rows["caar"][0] == pytest.approx(own)
    assert rows["share_beyond"][0] == pytest.approx(sum(abs(m) >= abs(own) for m in means) / DRAWS)
    width = (max(means) - min(means)) / len(rows)
    counts = [0] * len(rows)
    for mean in means:
        counts[min(int((mean - min(means)) / width), len(rows) - 1)] += 1
    assert rows["draws"].to_list() == counts


# Returns from one trade to the next

THIN_CAR = [[-1, 1], [-3, 2]]
THIN_EVENTS = (("A", 90), ("B", 92), ("C", 92), ("D", 120), ("E", 150), ("A", 161))


def thin_prices() -> dict[str, list[float | None]]:
    """Prices of which one in five is missing, but for those that the real windows end on."""
    rng = np.random.default_rng(21)
    series = simulated(11, list("ABCDE"), SESSIONS)
    made: dict[str, list[float | None]] = {"MKT": np.exp(np.cumsum(series["MKT"]["return"])).tolist()}
    for symbol in "ABCDE":
        path = np.exp(np.cumsum(series[symbol]["return"])).tolist()
        ends = {at + day for s, at in THIN_EVENTS if s == symbol for day in (-4, -2, 1, 2)}
        made[symbol] = [p if day in ends or rng.random() > 0.2 else None for day, p in enumerate(path)]
    return made


def thin_result(folder: Path, **more: Any) -> StudyResult:
    prices = thin_prices()
    events = [{"event_id": f"e{k}", "symbol": s, "announced_at": DATES[at]} for k, (s, at) in enumerate(THIN_EVENTS)]
    tables: dict[str, Any] = {
        "prices": {"returns": "log", "missing": "trade_to_trade"},
        "windows": {"event": [-5, 5], "car": THIN_CAR},
        "significance": {"tests": TESTS},
        "certificate": {"seed": 4, "draws": DRAWS, "effects": [0.02, 0.05], "runup": [-20, -2]},
    }
    series = {s: closes(DATES, p) for s, p in prices.items()}
    return run_study(load_study(make_study(folder, events, series, **(tables | more)), data_path=()))


def test_returns_between_trades_are_certified_as_plain_loops_do(tmp_path: Path) -> None:
    """Sizes, calibrated p and power of a thin market: the pseudo-events have the gaps of their own dates."""
    result, prices = thin_result(tmp_path / "s"), thin_prices()
    clusters = {90: 0, 92: 1, 120: 2, 150: 3, 161: 4}
    events = [second.Event(symbol, at, clusters[at]) for symbol, at in THIN_EVENTS]
    design, windows = second.Design((-60, -11), (-5, 5), 20), [(a, b) for a, b in THIN_CAR]

    def fitted(event: second.Event, at: int) -> Any:
        return second.fitted_thin(prices[event.symbol], prices["MKT"], at, design, windows)

    places: dict[int, list[int]] = {}
    for cluster in range(5):
        members = [e for e in events if e.cluster == cluster]
        places[cluster] = [
            at for at in range(SESSIONS)
            if all(
                fitted(e, at) is not None
                and all(abs(at - o.at) >= design.gap for o in events if o.symbol == e.symbol)
                for e in members
            )
        ]  # fmt: skip
    every = [[fitted(e, at) for at in places[e.cluster]] for e in events]
    own = [fitted(e, e.at) for e in events]
    centre = []
    for fits in every:
        seen = {d: [f.whole[d] for f in fits if d in f.whole] for d in range(-5, 6)}
        centre.append({d: sum(values) / len(values) for d, values in seen.items() if values})
    chosen = second.draws([len(places[c]) for c in range(5)], DRAWS, 4, "as_they_are all")
    samples = [[every[i][draw[e.cluster]] for i, e in enumerate(events)] for draw in chosen]
    assert any(d not in f.whole for f in own for d in (-1, 0, 1))  # a real window with a gap
    for window in windows:
        scale = second.spread_ratio(own, window)

        def spread(effect: float, window: Any = window, scale: float = scale) -> list[dict[str, float]]:
            moved = [
                [second.moved_thin(f, c, scale, window, effect) for f, c in zip(sample, centre, strict=True)]
                for sample in samples
            ]
            return [second.p_values(fits, window) for fits in moved]

        base, mine = spread(0.0), second.p_values(own, window)
        nulls = {"as_they_are": [second.p_values(fits, window) for fits in samples], "scaled": base}
        for test in TESTS:
            for null, found in nulls.items():
                where = {"window_start": window[0], "test": test, "null": null, "kind": "group"}
                (row,) = rows_of(result, "certificate", **where).to_dicts()
                p = [one[test] for one in found]
                assert row["size"] == pytest.approx(sum(v <= 0.05 for v in p) / DRAWS, abs=1e-15), (test, null)
                assert row["p_formula"] == pytest.approx(mine[test], rel=1e-9)
                beyond = sum(v <= mine[test] * (1 + 1e-9) for v in p)
                assert row["p_calibrated"] == pytest.approx((1 + beyond) / (1 + DRAWS)), (test, null)
            critical = sorted(one[test] for one in base)[int(0.05 * (1 + DRAWS)) - 1]
            for effect in (0.02, 0.05):
                power = sum(one[test] < critical * (1 - 1e-12) for one in spread(effect)) / DRAWS
                where = {"window_start": window[0], "test": test, "effect": effect, "kind": "group"}
                assert cell(result, "power", "power", **where) == pytest.approx(power, abs=1e-12), (test, effect)


def test_run_ups_between_trades_are_covered_to_their_ends(tmp_path: Path) -> None:
    """Prices on four of five sessions: the return on the fourth covers two."""
    line = replace(
        subject(tmp_path, ["2015-08-10"], ["A"]).panel.lines[0],
        dates=np.array(DATES[:6], "datetime64[D]"),
        returns=np.array([np.nan, 0.1, np.nan, 0.3, 0.4, 0.5]),
        regressors=np.array([[np.nan, 1, np.nan, 2, 1, 1], [np.nan, 0.01, np.nan, 0.03, 0.04, 0.05]]),
        riskfree=np.zeros(6),
    )
    found = runups(line, Window(-2, -1), bridged=True)
    assert np.isnan(found[[0, 1, 2, 3, 5]]).all()  # two sessions of which the second is covered, or reaches before
    assert found[4] == pytest.approx(0.27)
    late = replace(line, returns=np.where(np.arange(6) == 4, np.nan, line.returns))
    assert np.isnan(runups(late, Window(-2, -1), bridged=True)[5])  # two sessions, but the second has none yet
    assert runups(line, Window(-3, -1), bridged=True)[[4, 5]].tolist() == pytest.approx([0.36, 0.63], nan_ok=True)


# By hand


def test_size_and_band_by_hand() -> None:
    """10 of 100: Wilson's 99 % interval, computed apart."""
    p = np.array([0.05] * 10 + [0.5] * 90 + [np.nan])
    found = size_of(p, 0.05, 1000)
    assert (found.size, found.answered, found.holds) == (0.10, 100, "yes")
    assert (found.low, found.high) == pytest.approx((0.04602, 0.20375), abs=2e-5)
    assert size_of(p, 0.04, 1000).size == 0
    assert size_of(np.array([0.01] * 20 + [0.5] * 80), 0.05, 1000).holds == "rejects too often"
    assert size_of(np.array([0.01] * 20 + [0.5] * 80), 0.05, 10).holds == "yes"  # ten independent draws show nothing
    assert size_of(np.array([0.5] * 1000), 0.05, 1000).holds == "rejects too seldom"
    assert size_of(np.array([np.nan]), 0.05, 9).answered == 0


def test_calibrated_and_critical_p_agree() -> None:
    p = np.arange(1, 100) / 200  # 99 draws: 5 % are the 5 smallest of 100, the study's own among them
    assert calibrated_p(p, 0.02) == pytest.approx(0.05)
    assert critical_p(p, 0.05) == p[4]
    rejects = [calibrated_p(p, value) <= 0.05 for value in (p[3], p[4], 0.0)]
    assert rejects == [True, False, True] == [value < critical_p(p, 0.05) for value in (p[3], p[4], 0.0)]
    assert math.isnan(critical_p(p[:10], 0.05))
    assert math.isnan(calibrated_p(p, float("nan")))
    assert calibrated_p(np.array([-3.0, -2.0, -1.0]), -2.5) == 0.5  # what orders the draws may be negative


def test_the_smallest_effect_of_a_normal_test_is_that_of_theory() -> None:
    """One-sided z-test of unit variance: 1.645 + 0.842 = 2.487."""
    from scipy import special

    z = np.random.default_rng(8).normal(size=20_000)
    effects = ladder(1.0, 1, [0.1, 2.0])
    p = special.ndtr(-(z + effects[:, None]))
    found, error = detectable(effects, p, 0.05)
    assert abs(found - 2.4865) < 4 * error
    assert 0.01 < error < 0.04
    assert math.isnan(detectable(effects[:3], p[:3], 0.05)[0])


def test_power_counts_only_answers() -> None:
    p = np.array([[0.01, 0.2, np.nan, 0.03], [np.nan] * 4])
    assert power_of(p, 0.03).tolist() == [1 / 3, 0.0]


def test_the_ladder_has_the_effects_of_the_study() -> None:
    assert set(ladder(0.01, -1, [0.005, 0.02]).tolist()) >= {-0.005, -0.02, 0.0}
    assert ladder(0.0, 1, [0.01]).tolist() == [0.0, 0.01]


def test_spread_ratio_by_hand() -> None:
    """Two events at 0 and 4 on one day: variance 8; on two estimation days variance 2 each; root of 4."""
    estimation = np.array([[0.0, 1.0, np.nan], [2.0, 3.0, 9.0]])
    assert spread_ratio(np.array([[0.0], [4.0]]), estimation) == pytest.approx(2.0)
    assert spread_ratio(np.array([[0.0], [0.1]]), estimation) == 1.0
    assert spread_ratio(np.array([[3.0]]), estimation[:1]) == 1.0
    three = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, np.nan]])  # variances 1 and 2, whose mean is 1.5
    assert spread_ratio(np.array([[0.0], [4.0], [8.0]]), three) == pytest.approx(math.sqrt(16 / 1.5))


# What is drawn


def subject(tmp_path: Path, days: list[str], symbols: list[str]) -> Any:
    from test_batch import subject_of

    return subject_of(tmp_path / "s", days, symbols)


def test_one_cluster_has_every_pseudo_date_once(tmp_path: Path) -> None:
    one = subject(tmp_path, ["2015-08-10"] * 3, list("ABC"))
    there = len(one.dates.places[0])
    whole = drawn(one, 2000, np.random.default_rng(1))
    assert whole.place[:, 0].tolist() == list(range(there))
    few = drawn(one, 30, np.random.default_rng(1))
    assert len(np.unique(few.place[:, 0])) == 30
    assert (np.diff(few.place[:, 0]) <= there // 30 + 1).all()
    assert few.place[-1, 0] >= there - there // 30 - 2


def test_events_of_one_date_stay_together(tmp_path: Path) -> None:
    one = subject(tmp_path, ["2015-08-10", "2015-08-10", "2016-01-05"], list("ABC"))
    found = drawn(one, 500, np.random.default_rng(1))
    assert (found.position[:, 0] == found.position[:, 1]).all()
    assert (found.position[:, 0] != found.position[:, 2]).any()


def test_matched_dates_have_the_nearest_run_ups(tmp_path: Path) -> None:
    one = subject(tmp_path, ["2015-06-10", "2015-08-10", "2015-10-15", "2015-12-22"], list("ABCD"))
    window = Window(-20, -2)
    allowed, unmatched = matched_by_runup(one, window, 0.1)
    lines = [one.panel.lines[k] for k in one.panel.line]
    known = [bool(np.isfinite(runups(x, window)[at])) for x, at in zip(lines, one.panel.position, strict=True)]
    assert unmatched == known.count(False)
    assert any(known)
    for i in np.flatnonzero(known):
        line = one.panel.lines[one.panel.line[i]]
        daily = line.returns - line.regressors[0]

        def total(at: int, daily: Any = daily) -> float:
            return math.fsum(daily[at - 20 : at - 1]) if at >= 20 else math.nan

        own = total(int(one.panel.position[i]))
        away = np.array([abs(total(int(at)) - own) for at in one.dates.places[i]])
        nearest = np.argsort(np.where(np.isnan(away), np.inf, away), kind="stable")[: math.ceil(0.1 * len(away))]
        assert sorted(nearest.tolist()) == allowed[i].tolist()
    for i in np.flatnonzero(~np.array(known)):
        assert allowed[i].tolist() == list(range(len(one.dates.places[i])))
    draws = drawn(one, 400, np.random.default_rng(2), allowed)
    for i in range(4):
        assert set(draws.place[:, i].tolist()) <= set(allowed[i].tolist())


def test_a_run_up_with_a_missing_day_is_none(tmp_path: Path) -> None:
    line = subject(tmp_path, ["2015-08-10"], ["A"]).panel.lines[0]
    gap = int(np.flatnonzero(~np.isfinite(line.returns))[2])
    found = runups(line, Window(-3, -1))
    assert np.isnan(found[[gap + 1, gap + 2, gap + 3]]).all()
    assert np.isnan(found[:3]).all()


# The same whatever it is run with


def test_the_same_for_any_order_of_rows_unrelated_symbols_and_cores(
    result: StudyResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {name: text for name, text in texts(result).items() if name in ("certificate", "power", "placebo")}
    folder = study(tmp_path / "s")
    lines = (folder / "events.csv").read_text(encoding="utf-8").splitlines()
    (folder / "events.csv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n", encoding="utf-8")
    (folder / "data" / "Z.csv").write_text((folder / "data" / "A.csv").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(asking, "AT_ONCE", 20_000)
    again = texts(run_study(load_study(folder, data_path=()), beside=here))
    for name, text in wanted.items():
        assert again[name] == text


def test_a_group_is_drawn_alike_whatever_else_is_asked(result: StudyResult, tmp_path: Path) -> None:
    fewer = certified(tmp_path / "s", significance={"tests": ["bmp"]})
    for null in ("as_they_are", "scaled", "runup_matched"):
        where = {"test": "bmp", "null": null, "window_end": 1}
        for column in ("size", "p_calibrated", "mde"):
            assert cell(fewer, "certificate", column, **where) == cell(result, "certificate", column, **where)


def test_certify_writes_it_where_the_study_does_not_ask(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", certificate=None)
    loaded = load_study(folder, data_path=())
    assert "certificate" not in run_study(loaded).tables
    certified_ = run_study(loaded, certify=True)
    drawn_ = certified_.manifest["pseudo_samples"]
    assert (drawn_["seed"], drawn_["draws"], drawn_["runup"]) == (1, 2000, [-20, -2])
    assert {"certificate", "power", "placebo"} <= set(certified_.tables)
    write_result(certified_, tmp_path / "out")
    assert read_result(tmp_path / "out") == certified_


@pytest.mark.parametrize(
    ("model", "reason"),
    [("garch", "search"), ("lad", "")],
)
def test_a_model_without_pseudo_dates_says_so(tmp_path: Path, model: str, reason: str) -> None:
    found = certified(
        tmp_path / "s",
        model={"name": model, "estimation_window": [-60, -11], "min_estimation_days": 40},
        certificate={"draws": 99},
        limits={"max_excluded_share": 0.9},
    )
    said = set(rows_of(found, "certificate", test="cross_sectional_t")["unavailable"])
    assert all(s is not None and reason in s for s in said) if reason else said == {None}
    if model == "lad":
        needs = set(rows_of(found, "certificate", test="bmp")["unavailable"])
        assert len(needs) == 1
        assert needs != {None}


def test_tests_that_draw_or_fit_again_are_asked_at_fewer_dates(tmp_path: Path) -> None:
    found = certified(
        tmp_path / "s",
        significance={"tests": ["portfolio_t", "bhar_t", "firm_permutation", "variance_rank", "cross_sectional_t"]},
        resampling={"seed": 3, "draws": 99},
        certificate={"draws": 120, "resampled": 30, "effects": [0.5]},
        windows={"event": [-5, 5], "car": [[0, 0]]},
    )
    by = {(r["test"], r["null"]): r for r in rows_of(found, "certificate", kind="group").to_dicts()}
    assert by["bhar_t", "as_they_are"]["draws"] == 30
    assert by["cross_sectional_t", "as_they_are"]["draws"] == 120
    assert by["firm_permutation", "as_they_are"]["draws"] == 30
    assert by["firm_permutation", "as_they_are"]["unavailable"] is None
    assert "spread" in by["variance_rank", "scaled"]["unavailable"]
    assert by["variance_rank", "as_they_are"]["size"] is not None
    power = {r["test"]: r["power"] for r in rows_of(found, "power", kind="group").to_dicts()}
    assert power["bhar_t"] == 1.0
    assert "variance_rank" not in power


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"draws": 10}, "draws"),
        ({"effects": [0.01, -0.02]}, "not above 0"),
        ({"effects": [0.01, 0.01]}, "more than once"),
        ({"runup": [-2, 3]}, "before day 0"),
        ({"sede": 1}, "seed"),
    ],
)
def test_what_is_wrong_with_the_table(tmp_path: Path, table: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=r"\[certificate\]") as raised:
        load_study(study(tmp_path / "s", certificate=table), data_path=())
    assert said in str(raised.value)


def test_a_chart_of_the_certificate_needs_one(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", certificate=None, report={"charts": ["size_plot"]})
    with pytest.raises(SpecError, match=r"size_plot.*\[certificate\]"):
        load_study(folder, data_path=())


def test_every_row_says_whether_the_test_holds_or_why_not(result: StudyResult) -> None:
    rows = result.tables["certificate"]
    assert rows.filter(pl.col("holds").is_null() != pl.col("unavailable").is_not_null()).is_empty()
    assert set(rows["holds"].drop_nulls()) <= {"yes", "rejects too often", "rejects too seldom"}
