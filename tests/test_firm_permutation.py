"""Stand-ins for the listings with the event: every way to draw them written out, on two dates of the irregular panel."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second
from conftest import make_study, returns, rows_of, run, sample_of, simulated, weekdays
from test_intervals import sample_over
from test_second_implementation import ESTIMATION, EVENT_WINDOW, SESSIONS, WINDOWS, days_of, design, prices, write

from engine.errors import DataError, SpecError
from engine.firm_placebo import Cell, FirmPlacebo
from engine.results import StudyResult
from engine.sessions import Window
from engine.significance import evaluate, romano_wolf

DRAWS = 9999
DATES = {260: ("S00", "S02", "S05"), 318: ("S04", "S06")}
EVENTS = tuple(
    second.Event(f"e{place}-{symbol}", symbol, SESSIONS[place], ESTIMATION, "b" if symbol in ("S00", "S04") else "a")
    for place, symbols in DATES.items()
    for symbol in symbols
)
CONTROLS = ("S01", "S08", "S10", "S03")
ON_BOTH = ("market", "simple", "two-sided"), ("market_adjusted", "log", "greater"), ("mean_adjusted", "simple", "less")


def pools(case: tuple[str, str, str], window: tuple[int, int]) -> tuple[dict[str, float], list[dict[str, float]]]:
    """CARs of the events, and on each date those of all listings that may stand in, fitted one by one."""
    shape = design(*case[:2])
    sessions = second.sessions_of(prices(), shape.benchmark)
    fitted, lost = second.fit_all(EVENTS, prices(), shape)
    assert not lost
    real = {f.event.event_id: f.car(days_of(window)) for f in fitted if f.complete(days_of(window))}
    found = []
    for place, symbols in DATES.items():
        at = next(i for i, d in enumerate(sessions) if d >= SESSIONS[place])
        near = {s for f in fitted for s in [f.event.symbol] if abs(f.position - at) < len(days_of(EVENT_WINDOW))}
        pool = {f.event.symbol: f for f in fitted if f.position == at and f.complete(days_of(window))}
        for symbol in sorted({*CONTROLS, *(s for group in DATES.values() for s in group)} - near):
            other = second.fit_event(second.Event("", symbol, "", ESTIMATION, ""), at, prices(), shape)
            if isinstance(other, second.Fitted) and other.complete(days_of(EVENT_WINDOW)):
                pool[symbol] = other
        assert set(symbols) <= near
        found.append({s: f.car(days_of(window)) for s, f in pool.items()})
    return real, found


def exact(own: list[float], sizes: list[int], cars: list[dict[str, float]], alternative: str) -> tuple[float, float]:
    """The statistic, and the share of all ways to draw as many listings from each pool that are as extreme."""
    centre = sum(k * np.mean(list(pool.values())) for k, pool in zip(sizes, cars, strict=True)) / len(own)
    ways = [combinations(pool.values(), k) for k, pool in zip(sizes, cars, strict=True)]
    sums = np.array([sum(map(sum, chosen)) for chosen in product(*ways)]) / len(own) - centre
    value = sum(own) / len(own) - centre
    extreme = {
        "two-sided": abs(sums) >= abs(value) - 1e-12,
        "greater": sums >= value - 1e-12,
        "less": sums <= value + 1e-12,
    }
    return value, float(extreme[alternative].mean())


@pytest.mark.parametrize("case", ON_BOTH, ids="-".join)
def test_it_draws_among_all_ways_to_place_the_events(tmp_path: Path, case: tuple[str, str, str]) -> None:
    options = {"resampling": {"seed": 5, "draws": DRAWS, "controls": list(CONTROLS)}}
    result = run(write(tmp_path, EVENTS, case, ["firm_permutation"], ["kind"], **options))
    for window in WINDOWS:
        real, cars = pools(case, window)
        for group, kinds in (("all", "ab"), ("kind=a", "a")):
            members = [e for e in EVENTS if e.kind in kinds and e.event_id in real]
            sizes = [sum(e.day == SESSIONS[place] for e in members) for place in DATES]
            row = rows_of(result, "significance", group=group, window_start=window[0], window_end=window[1]).row(
                0, named=True
            )
            assert row["n"] == len(members)
            if len(members) < 2:
                assert row["unavailable"] == "needs at least 2 events, has 1"
                continue
            value, p = exact([real[e.event_id] for e in members], sizes, cars, case[2])
            assert row["statistic"] == pytest.approx(value, rel=1e-9)
            assert row["distribution"] == f"permutation({DRAWS})"
            assert row["p_value"] == pytest.approx(p, abs=4 * (p * (1 - p) / DRAWS) ** 0.5 + 2e-4)


def one_day(folder: Path, tests: dict[str, Any], resampling: dict[str, Any], shock: float = 0.0) -> StudyResult:
    """Two of six listings have the event; on that day every listing moves by ``shock``, and the two by 8 % more."""
    series = simulated(3, [f"S{i}" for i in range(6)], 120)
    dates = weekdays(120)
    for i in range(6):
        cells = list(series[f"S{i}"]["return"])
        cells[90] += shock + (0.08 if i < 2 else 0.0)
        series[f"S{i}"] = returns(dates, cells)
    events = [{"event_id": f"e{i}", "symbol": f"S{i}", "announced_at": dates[90]} for i in range(2)]
    windows = {"event": [-1, 1], "car": [[0, 0], [-1, 1]]}
    return run(make_study(folder, events, series, windows=windows, significance=tests, resampling=resampling))


ONE_TEST = {"tests": ["firm_permutation"]}
DRAWN = {"seed": 1, "draws": 999}


def test_two_of_six_are_drawn_in_fifteen_ways(tmp_path: Path) -> None:
    """The two that moved are one of 15 pairs, the most extreme: p is about 1/15. A shock to all listings changes nothing."""
    controls = {**DRAWN, "controls": ["S2", "S3", "S4", "S5"]}
    result = one_day(tmp_path / "a", ONE_TEST, controls)
    row = rows_of(result, "significance", window_start=0).row(0, named=True)
    assert row["p_value"] == pytest.approx(1 / 15, abs=0.025)
    assert "4 to 4 other listings" in row["note"]
    shaken = rows_of(one_day(tmp_path / "b", ONE_TEST, controls, 0.05), "significance", window_start=0).row(
        0, named=True
    )
    assert shaken["estimate"] == pytest.approx(row["estimate"] + 0.05)
    assert shaken["statistic"] == pytest.approx(row["statistic"])
    assert shaken["p_value"] == row["p_value"]


@pytest.mark.parametrize("name", ["permutation", "firm_permutation"])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_draws_that_are_the_sample_but_for_rounding_are_as_extreme(name: str, alternative: str) -> None:
    """The mean of 0.1 and 0.5 is 0.3; 0.1 + 0.2 is one step above it, and 0.3 - 2^-54 one below."""
    draws = [0.1 + 0.2, np.nextafter(0.3, 0), 0.3, -0.1]
    answer = evaluate(name, sample_of([0.1, 0.5], np.ones((2, 4)), pseudo=draws, alternative=alternative))
    assert answer.p_value == {"two-sided": 4 / 5, "greater": 4 / 5, "less": 1.0}[alternative]


def test_draws_of_all_windows_that_are_the_sample_but_for_rounding_are_as_extreme() -> None:
    draws = np.array([[0.1 + 0.2, np.nextafter(0.3, 0), -0.1, 0.1]])
    assert romano_wolf(np.array([0.3]), draws, "two-sided").tolist() == [3 / 5]


def test_without_other_listings_it_says_so(tmp_path: Path) -> None:
    row = rows_of(one_day(tmp_path, ONE_TEST, DRAWN), "significance").row(0, named=True)
    assert row["p_value"] is None
    assert row["unavailable"] == "for 2 of 2 events no other listing can stand in: name some in [resampling] controls"


def test_stand_ins_are_of_the_same_exchange(tmp_path: Path) -> None:
    """A control on another exchange is refused; a listing of the study there, without an event that day, does not stand in."""
    series = simulated(3, ["A0", "A1", "A2", "B0.T", "B1.T"], 160, "2015-01-05")
    dates = weekdays(160, "2015-01-05")
    events = [
        {"event_id": s, "symbol": s, "announced_at": dates[d]} for s, d in (("A0", 120), ("A1", 120), ("B0.T", 140))
    ]
    options = {
        "windows": {"event": [-1, 1], "car": [[0, 0]]},
        "significance": ONE_TEST,
        "sessions": {"calendar": "exchange"},
    }
    options |= {"limits": {"max_excluded_share": 0.5}, "model": {"min_estimation_days": 40}}
    controls = {**DRAWN, "controls": ["A2", "B1.T"]}
    result = run(make_study(tmp_path, events, series, resampling=controls, **options))
    note = rows_of(result, "significance").row(0, named=True)
    assert note["note"] == "1 to 1 other listings can stand in for an event", note
    elsewhere = {**DRAWN, "controls": ["0005.HK"]}
    folder = make_study(tmp_path / "hk", events, series | {"0005.HK": series["A2"]}, resampling=elsewhere, **options)
    with pytest.raises(SpecError, match=r"0005\.HK trades on XHKG"):
        run(folder)


@pytest.mark.parametrize(
    ("tests", "resampling", "error", "said"),
    [
        (ONE_TEST, {**DRAWN, "controls": ["S9"]}, DataError, "has no prices for control S9"),
        (ONE_TEST, {**DRAWN, "controls": ["S2", "S2"]}, SpecError, '"S2" stands there more than once'),
        ({"tests": ["permutation"]}, {**DRAWN, "controls": ["S2"]}, SpecError, '"firm_permutation", which'),
        (ONE_TEST, {**DRAWN, "controls": ["../S2"]}, SpecError, r"\[resampling\] controls: .* a part of a path"),
        (ONE_TEST, {**DRAWN, "controls": ["MKT"]}, SpecError, "is a benchmark"),
    ],
)
def test_controls_that_cannot_be_used(tmp_path: Path, tests: Any, resampling: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        one_day(tmp_path, tests, resampling)


def test_an_event_that_misses_a_day_elsewhere_is_still_one_of_those_drawn(tmp_path: Path) -> None:
    """Two of six, one without a return on day 1: over day 0 both are in, and the p-value is that of 15 pairs, not of none."""
    series = simulated(3, [f"S{i}" for i in range(6)], 120)
    dates = weekdays(120)
    for i in range(2):
        cells = list(series[f"S{i}"]["return"])
        cells[90] += 0.08
        cells[91] = None if i == 0 else cells[91]
        series[f"S{i}"] = returns(dates, cells)
    events = [{"event_id": f"e{i}", "symbol": f"S{i}", "announced_at": dates[90]} for i in range(2)]
    windows = {"event": [-1, 1], "car": [[0, 0], [-1, 1]]}
    controls = {**DRAWN, "draws": 4999, "controls": ["S2", "S3", "S4", "S5"]}
    result = run(make_study(tmp_path, events, series, windows=windows, significance=ONE_TEST, resampling=controls))
    row = rows_of(result, "significance", window_start=0).row(0, named=True)
    assert row["n"] == 2
    assert row["p_value"] == pytest.approx(1 / 15, abs=0.015)


def test_two_lines_of_a_firm_on_one_day_have_no_answer(tmp_path: Path) -> None:
    series = simulated(3, [f"S{i}" for i in range(6)], 120)
    dates = weekdays(120)
    events = [
        {"event_id": "e", "symbol": f"S{i}", "firm": firm, "announced_at": dates[90], "line": f"l{i}"}
        for i, firm in enumerate(["one", "one", "two"])
    ]
    controls = {**DRAWN, "controls": ["S3", "S4", "S5"]}
    tests = ONE_TEST | {"group_by": ["firm"]}
    windows = {"event": [-1, 1], "car": [[0, 0]]}
    result = run(make_study(tmp_path, events, series, windows=windows, significance=tests, resampling=controls))
    said = dict(result.tables["significance"].select("group", "unavailable").rows())
    reason = "1 of {} are further lines of a firm for the same news, which no draw keeps together"
    assert said == {"all": reason.format(3), "firm=one": reason.format(2), "firm=two": "needs at least 2 events, has 1"}


def test_the_interval_holds_the_effects_that_are_not_rejected() -> None:
    """An effect is taken from the listings with the event wherever they are, also in the pools that stand-ins come from."""
    rng = np.random.default_rng(4)
    n, others, draws = 6, 5, 1999
    real = rng.normal(0.01, 0.02, n)
    rest = rng.normal(0, 0.02, (2, others))
    cells = np.array([0, 0, 0, 1, 1, 1])
    orders = [np.argsort(rng.random((draws, 3 + others)), axis=1) for _ in range(2)]
    seat = np.array([0, 1, 2, 0, 1, 2])

    def answer(tau: float, members: np.ndarray) -> Any:
        left = np.where(np.isin(np.arange(n), members), real - tau, real)
        made = [Cell(np.concatenate([left[cells == c], rest[c]])[:, None], orders[c], 3) for c in range(2)]
        placebo = FirmPlacebo((Window(0, 0),), tuple(made), cells, seat, np.arange(n))
        sample = replace(sample_over(Window(0, 0), 1, n=len(members)), car=left[members])
        return evaluate("firm_permutation", replace(sample, pseudo_firms=placebo.sample(members, Window(0, 0))))

    for members in (np.arange(n), np.array([0, 1, 4])):
        low, high = answer(0.0, members).ci
        near = 1e-4 * (high - low)
        assert min(answer(t, members).p_value for t in (low + near, (low + high) / 2, high - near)) > 0.05
        assert max(answer(t, members).p_value for t in (low - near, high + near)) <= 0.05


def test_romano_wolf_and_holm_over_groups_take_every_group_of_a_column(tmp_path: Path) -> None:
    """The families of p_*_groups are the windows and the groups of one column; the whole sample is a family of its own."""
    from statsmodels.stats.multitest import multipletests

    options = {"resampling": {"seed": 5, "draws": 999}}
    tests = ["permutation", "sign"]
    result = run(write(tmp_path, EVENTS, ("market", "simple", "two-sided"), tests, ["kind", "symbol"], **options))
    rows = result.tables["significance"]
    for column in ("all", "kind", "symbol"):
        family = rows.filter(rows["group"].str.split("=").list.first() == column)
        for test in tests:
            one = family.filter(family["test"] == test, family["p_value"].is_not_null())
            if not len(one):
                assert column == "symbol"
                continue
            for method, name in (("holm", "p_holm_groups"), ("fdr_bh", "p_bh_groups")):
                wanted = multipletests(one["p_value"].to_numpy(), method=method)[1]
                np.testing.assert_allclose(one[name].to_numpy(), wanted, rtol=1e-9)
            if test == "permutation":
                assert (one["p_romano_wolf_groups"] >= one["p_value"] - 0.01).all()
                assert one["p_romano_wolf_groups"].null_count() == 0
            else:
                assert one["p_romano_wolf_groups"].null_count() == len(one)
    whole = rows.filter(rows["group"] == "all", rows["test"] == "permutation")
    assert whole["p_romano_wolf_groups"].to_list() == whole["p_romano_wolf"].to_list()


def test_romano_wolf_over_groups_is_that_of_their_joint_dates(tmp_path: Path) -> None:
    """Two groups that are two dates: over all pairs of pseudo-dates, within Monte Carlo error."""
    window, draws = (-1, 1), 9999
    places = {"S00": 270, "S02": 270, "S04": 330, "S06": 330}
    named = tuple(second.Event(s, s, SESSIONS[at], ESTIMATION, "ab"[at > 300]) for s, at in places.items())
    case = ("market", "simple", "two-sided")
    result = run(write(tmp_path, named, case, ["permutation"], ["kind"], resampling={"seed": 5, "draws": draws}))
    shape, values, dates = design(*case[:2]), [], []
    for kind in "ab":
        part = [e for e in named if e.kind == kind]
        fitted, _ = second.fit_all(part, prices(), shape)
        for w in sorted(WINDOWS):
            complete = [f for f in fitted if f.complete(days_of(w))]
            assert len(complete) == len(part)
            values.append(sum(f.car(days_of(w)) for f in complete) / len(complete))
            dates.append(np.array(second.pseudo_cars(part, prices(), shape, days_of(w))).mean(axis=1))
    w = len(WINDOWS)
    rng = np.random.default_rng(0)
    chosen = [rng.integers(0, len(dates[0]), 4000), rng.integers(0, len(dates[w]), 4000)]
    joint = np.stack([d[chosen[k // w]] for k, d in enumerate(dates)], axis=1)
    wanted = np.array(second.romano_wolf(values, joint.tolist(), "two-sided"))
    rows = rows_of(result, "significance").filter(result.tables["significance"]["group"] != "all")
    got = rows.sort("group", "window_start", "window_end")["p_romano_wolf_groups"].to_numpy()
    assert len(set(wanted.round(3))) > 1
    np.testing.assert_allclose(got, wanted, atol=0.035)
    assert window in WINDOWS


def test_the_sample_of_the_hand_cases_has_stand_ins() -> None:
    answer = evaluate("firm_permutation", sample_of([0.1, 0.3], np.zeros((2, 5)), pseudo=[-0.2, 0.0, 0.1, 0.4]))
    assert answer.p_value == pytest.approx((1 + 2) / 5)


# --- at pseudo-dates ------------------------------------------------------------------------------------------------


def standing_in(tmp_path: Path, draws: int, of_d: str = "MKT") -> tuple[Any, Any]:
    """Two events on one date, one on another near it and one, of D, far from both; what may stand in. of_d: its benchmark."""
    from engine import load_study
    from engine.certificate.standing_in import StandIns
    from engine.measured import measure, model_options
    from engine.placebo import pseudo_dates
    from engine.plan import plan_study, real_days
    from engine.pseudo_samples import Subject
    from engine.samples import design_of, draws_of

    days = weekdays(260)
    events = [("A", 150), ("B", 150), ("C", 153), ("D", 210)]
    rows = [
        {"event_id": f"e{k}", "symbol": s, "announced_at": days[at], "benchmark": of_d if s == "D" else "MKT"}
        for k, (s, at) in enumerate(events)
    ]
    series = simulated(12, list("ABCDEF"), 260)
    folder = make_study(
        tmp_path / "s", rows, series | {"ALT": series["F"]}, windows={"event": [-2, 2], "car": [[0, 0], [-1, 1]]},
        significance={"tests": ["firm_permutation", "cross_sectional_t"]},
        resampling={"seed": 3, "draws": draws, "controls": ["E", "F"]},
    )  # fmt: skip
    study = load_study(folder, data_path=())
    plan, options = plan_study(study), model_options(study)
    used = measure(study, plan, "numpy")
    panel = used.panel
    drawn = draws_of(study, plan, panel, used.fits, used.cars, options, lambda done, total: None)
    dates = pseudo_dates(panel, real_days(plan), design_of(study, plan, options))
    subject = Subject(panel, dates, ~np.isfinite(panel.event_returns), np.arange(4))
    return StandIns(subject, drawn.firms, draws, 7), used.cars


def test_at_the_real_dates_the_pools_are_those_of_the_events(tmp_path: Path) -> None:
    stand_ins, _ = standing_in(tmp_path, 99)
    firms, panel = stand_ins.placebo, stand_ins.subject.panel
    pools = stand_ins.pools(panel.position)
    assert [p.members.tolist() for p in pools] == [[0, 1], [2], [3]]
    for pool in pools:
        cell = firms.cells[firms.cell[pool.members[0]]]
        assert pool.others.tolist() == cell.cars[cell.own :].tolist()
    assert [len(p.others) for p in pools] == [
        3,
        3,
        5,
    ]  # of A and B neither C, three sessions on, nor the other way round


def test_a_listing_with_a_pseudo_event_near_stands_in_for_nobody(tmp_path: Path) -> None:
    stand_ins, _ = standing_in(tmp_path, 99)
    apart = stand_ins.pools(np.array([100, 100, 120, 220]))
    near = stand_ins.pools(np.array([100, 100, 104, 220]))
    assert [len(p.others) for p in apart] == [4, 5, 5]
    assert [len(p.others) for p in near] == [3, 3, 5]


def test_its_p_is_that_of_the_test_with_every_effect(tmp_path: Path) -> None:
    """Against `firm_permutation` itself at the real dates, and all ways to draw written out: within the error of the draws."""
    from types import SimpleNamespace

    from engine.certificate.standing_in import firm_answers

    draws = 40_000
    stand_ins, real = standing_in(tmp_path, draws)
    window, taus = Window(-1, 1), np.array([0.0, 0.03, -0.05])
    (cars,) = [c.car for c in real if c.window == window]
    w = stand_ins.placebo.windows.index(window)
    batch = SimpleNamespace(window=window, taus=taus, cars=cars + taus[:, None, None])
    pools = stand_ins.pools(stand_ins.subject.panel.position)
    answers = firm_answers(batch, stand_ins, [pools], np.array([5]))  # type: ignore[arg-type]
    for k, tau in enumerate(taus):
        every = [[*(cars[p.members] + tau), *p.others[:, w]] for p in pools]
        centre = sum(len(p.members) * np.mean(pool) for p, pool in zip(pools, every, strict=True)) / 4
        ways = [combinations(pool, len(p.members)) for p, pool in zip(pools, every, strict=True)]
        null = np.array([sum(map(sum, chosen)) for chosen in product(*ways)]) / 4 - centre
        value = float(cars.mean() + tau - centre)
        assert answers.statistic[k, 0] == pytest.approx(value)
        for side, extreme in (
            ("greater", null >= value - 1e-12), ("less", null <= value + 1e-12), ("two-sided", np.abs(null) >= abs(value) - 1e-12)
        ):  # fmt: skip
            share = float(extreme.mean())
            error = 4 * np.sqrt(share * (1 - share) / draws) + 2 / draws
            assert abs(answers.p(side)[k, 0] - share) < error, (tau, side)


def test_stand_ins_have_the_benchmark_of_those_they_stand_in_for(tmp_path: Path) -> None:
    """For D, against a benchmark of its own, E against that one; F is that benchmark."""
    stand_ins, _ = standing_in(tmp_path, 99, "ALT")
    pools = stand_ins.pools(stand_ins.subject.panel.position)
    assert [len(p.others) for p in pools] == [2, 2, 1]


def test_where_nobody_stands_in_there_is_no_answer(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from engine.certificate.standing_in import Pool, firm_answers

    stand_ins, _ = standing_in(tmp_path, 99)
    pools = [
        [*stand_ins.pools(stand_ins.subject.panel.position)[:2], Pool(np.array([3]), np.array([0]), np.empty((0, 2)))]
    ]
    batch = SimpleNamespace(window=Window(0, 0), taus=np.zeros(1), cars=np.zeros((1, 1, 4)))
    answers = firm_answers(batch, stand_ins, pools, np.array([0]))  # type: ignore[arg-type]
    assert np.isnan(answers.statistic).all()
    assert np.isnan(answers.p("less")).all()
