"""The engine against `second.py`, an independent program, on a staggered panel with every irregularity at once."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import second
from conftest import closes, make_study, rows_of, run, sample_of, weekdays
from statsmodels.stats.multitest import multipletests

from engine.results import StudyResult
from engine.significance import evaluate, multiplicity

SESSIONS = weekdays(420)
WINDOWS = ((-5, 5), (-1, 1), (0, 0), (1, 4))
EVENT_WINDOW = (-5, 5)
ESTIMATION = (-90, -11)
MIN_DAYS = 40
MODELS = ("market", "market_adjusted", "mean_adjusted", "factor")
FACTORS = ("OIL", "FX")
CASES = (
    ("market", "simple", "two-sided"),
    ("market", "log", "greater"),
    ("market_adjusted", "log", "two-sided"),
    ("market_adjusted", "simple", "less"),
    ("mean_adjusted", "simple", "two-sided"),
    ("mean_adjusted", "log", "two-sided"),
    ("factor", "simple", "two-sided"),
    ("factor", "log", "less"),
)
# What this file covers, for the registry: group tests, event tests, models.
GROUP_TESTS = (
    *second.GROUP_TESTS, "permutation", "firm_permutation", "portfolio_t", "sur_f", "wild_bootstrap", "block_bootstrap",
    "bhar_bootstrap",
)  # fmt: skip
EVENT_TESTS = (*second.EVENT_TESTS, "permutation")

case = pytest.mark.parametrize("case", CASES, ids="-".join)


@cache
def prices() -> dict[str, dict[str, float | None]]:
    """Twelve listings and a market: gaps, late starts, early ends, and days on which the market itself has no price."""
    rng = np.random.default_rng(20260213)
    market = rng.normal(0.0003, 0.012, len(SESSIONS))
    common = rng.normal(0, 0.006, len(SESSIONS))
    made: dict[str, dict[str, float | None]] = {"MKT": _path(market, 1000.0)}
    for i in range(12):
        own = (0.5 + i / 12) * market + common + rng.standard_t(4, len(SESSIONS)) * 0.012
        path = _path(own, 20.0 + i)
        gaps = rng.choice(len(SESSIONS), 6, replace=False)
        made[f"S{i:02d}"] = {d: None if j in gaps else p for j, (d, p) in enumerate(path.items())}
    for symbol, first, last in (("S03", 140, 420), ("S07", 0, 300), ("S09", 170, 330)):
        made[symbol] = {d: p for j, (d, p) in enumerate(made[symbol].items()) if first <= j < last}
    for name in FACTORS:
        path = _path(0.4 * market + rng.normal(0, 0.02, len(SESSIONS)), 60.0)
        gaps = rng.choice(len(SESSIONS), 3, replace=False)
        made[name] = {d: None if j in gaps else p for j, (d, p) in enumerate(path.items())}
    for j in (33, 150, 151, 290):
        made["MKT"][SESSIONS[j]] = None
    return made


def _path(returns: np.ndarray, start: float) -> dict[str, float | None]:
    return dict(zip(SESSIONS, (start * np.cumprod(1 + returns)).round(6).tolist(), strict=True))


@cache
def events() -> tuple[second.Event, ...]:
    """33 events: repeated firms, several on one date, one event with two listings, own windows, some that get lost."""
    draw = random.Random(7)
    made = []
    days = [130, 131, 160, 200, 200, 200, 235, 260, 260, 290, 294, 318, 350, 390]
    for i in range(28):
        start, end = ESTIMATION if i % 4 else (-70, -16)
        event_id = "joint, deal" if i in (12, 13) else f'{draw.choice("zqa")}{i}"'
        day = SESSIONS[200] if i in (12, 13) else SESSIONS[days[i % len(days)]]
        made.append(second.Event(event_id, f"S{(5 * i) % 12:02d}", day, (start, end), draw.choice("ab")))
    made.append(second.Event("late start", "S09", SESSIONS[195], ESTIMATION, "a"))
    made.append(second.Event("after the end", "S07", SESSIONS[340], ESTIMATION, "b"))
    made.append(second.Event("before a gap", "S08", SESSIONS[294], ESTIMATION, "b"))
    made.append(second.Event("after a gap", "S08", SESSIONS[318], ESTIMATION, "b"))
    made.append(second.Event("a gap between", "S06", SESSIONS[131], ESTIMATION, "a"))
    draw.shuffle(made)
    return tuple(made)


def design(model: str, returns: str) -> second.Design:
    factors = FACTORS if model == "factor" else ()
    return second.Design("MKT", model, returns == "log", EVENT_WINDOW, MIN_DAYS, factors)


@cache
def theirs(model: str, returns: str) -> tuple[list[second.Fitted], dict[tuple[str, str], str]]:
    return second.fit_all(events(), prices(), design(model, returns))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def run_case(case: tuple[str, str, str]) -> StudyResult:
        folder = tmp_path_factory.mktemp("-".join(case))
        return run(write(folder, events(), case, [*second.GROUP_TESTS, *second.EVENT_TESTS], ["kind"]))

    return run_case


def write(
    folder: Path,
    chosen: tuple[second.Event, ...],
    case: tuple[str, str, str],
    tests: list[str],
    groups: list[str],
    **more: Any,
) -> Path:
    model, returns, alternative = case
    rows = [
        {
            "event_id": e.event_id, "symbol": e.symbol, "announced_at": e.day, "kind": e.kind,
            "estimation_start": e.estimation[0], "estimation_end": e.estimation[1],
        }
        for e in chosen
    ]  # fmt: skip
    return make_study(
        folder,
        rows,
        {s: closes(list(p), list(p.values())) for s, p in prices().items()},
        prices={"returns": returns},
        model={"name": model, "estimation_window": list(ESTIMATION), "min_estimation_days": MIN_DAYS},
        windows={"event": list(EVENT_WINDOW), "car": [list(w) for w in WINDOWS]},
        significance={"tests": tests, "group_by": groups, "alternative": alternative},
        limits={"max_excluded_share": 0.9},
        factors={"columns": list(FACTORS)} if model == "factor" else None,
        **more,
    )


def days_of(window: tuple[int, int]) -> list[int]:
    return list(range(window[0], window[1] + 1))


def close(actual: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(wanted, float), rtol=1e-9, atol=1e-14)


def key(fitted: second.Fitted) -> tuple[str, str]:
    return fitted.event.event_id, fitted.event.symbol


def by_pair(table: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["event_id"], r["symbol"]): r for r in table.iter_rows(named=True)}


def test_the_panel_has_what_it_should_test() -> None:
    fitted, lost = theirs("market", "simple")
    assert set(lost.values()) == {"prices", "estimation"}
    assert len({f.event.symbol for f in fitted}) < len(fitted)
    assert len({len(f.residuals) for f in fitted}) > 4
    assert len({f.event.day for f in fitted}) < len(fitted)
    assert 0 < sum(not f.complete(days_of(EVENT_WINDOW)) for f in fitted) < len(fitted) / 2
    ids = [e.event_id for e in events()]
    assert ids != sorted(ids)
    for end in (0, 1):  # a missing return at both ends of the estimation window and of the event window
        assert any(f.event.estimation[end] not in f.residuals for f in fitted)
        assert any(EVENT_WINDOW[end] not in f.actual for f in fitted)
    assert {case[2] for case in CASES} == {"two-sided", "greater", "less"}


@case
def test_losses(ours: Any, case: tuple[str, str, str]) -> None:
    fitted, lost = theirs(*case[:2])
    table = ours(case).tables["exclusions"]
    pairs = table.filter(pl.col("stage") != "window")
    assert {(r["event_id"], r["symbol"]): r["stage"] for r in pairs.iter_rows(named=True)} == lost
    windows = table.filter(pl.col("stage") == "window")
    missing = {
        (*key(f), f"[{w[0]}, {w[1]}]") for f in fitted for w in WINDOWS if not f.complete(days_of(w))
    }  # fmt: skip
    assert {(r["event_id"], r["symbol"], r["detail"].split(":")[0]) for r in windows.iter_rows(named=True)} == missing


@case
def test_fits(ours: Any, case: tuple[str, str, str]) -> None:
    rows = by_pair(ours(case).tables["fits"])
    fitted, _ = theirs(*case[:2])
    assert set(rows) == {key(f) for f in fitted}
    for f in fitted:
        row = rows[key(f)]
        assert (row["n_obs"], row["dof"]) == (len(f.residuals), f.dof)
        close(row["sigma"], f.sigma)
        close([row[c] for c in list(row)[7:]], f.params)
        close(np.nan if row["r2"] is None else row["r2"], f.r2)


@case
def test_abnormal_returns(ours: Any, case: tuple[str, str, str]) -> None:
    table = ours(case).tables["abnormal_returns"]
    fitted, _ = theirs(*case[:2])
    cells = {(r["event_id"], r["symbol"], r["relative_day"]): r for r in table.iter_rows(named=True)}
    assert len(cells) == len(fitted) * 11
    sessions = second.sessions_of(prices(), "MKT")
    for f in fitted:
        for d in days_of(EVENT_WINDOW):
            row = cells[*key(f), d]
            assert str(row["date"]) == sessions[f.position + d]
            if d not in f.actual:
                assert [row[c] for c in ("actual", "expected", "ar", "sar")] == [None] * 4
            else:
                close([row["actual"], row["expected"], row["ar"]], [f.actual[d], f.expected[d], f.ar(d)])
                close(row["sar"], f.sar(d))


@case
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_cars(ours: Any, case: tuple[str, str, str], window: tuple[int, int]) -> None:
    days, (fitted, _) = days_of(window), theirs(*case[:2])
    rows = by_pair(rows_of(ours(case), "cars", window_start=window[0], window_end=window[1]))
    complete = [f for f in fitted if f.complete(days)]
    assert set(rows) == {key(f) for f in complete}
    for f in complete:
        row = rows[key(f)]
        t, p = second.forecast_error_t(f, days, case[2])
        close([row["car"], row["se"], row["t"]], [f.car(days), f.variance(days) ** 0.5, t])
        close([row["scar"], row["p_value"], row["bhar"]], [t, p, f.bhar(days, case[1] == "log")])
        assert row["kind"] == f.event.kind


@case
@pytest.mark.parametrize("group", ["all", "kind=a", "kind=b"])
def test_averages(ours: Any, case: tuple[str, str, str], group: str) -> None:
    members = members_of(theirs(*case[:2])[0], group)
    rows = rows_of(ours(case), "averages", group=group).sort("relative_day").rows(named=True)
    caar = 0.0
    for i, (d, row) in enumerate(zip(days_of(EVENT_WINDOW), rows, strict=True)):
        present = [f.ar(d) for f in members if d in f.actual]
        so_far = days_of((EVENT_WINDOW[0], d))
        running = [f.car(so_far) for f in members if f.complete(so_far)]
        assert len(so_far) == i + 1
        mean, sd = second._mean_sd(present)
        caar += mean
        assert row["n"] == len(present)
        close([row["aar"], row["caar"], row["se_aar"]], [mean, caar, sd / len(present) ** 0.5])
        close(row["se_caar"], second._mean_sd(running)[1] / len(running) ** 0.5)
        close(row["share_positive"], sum(a > 0 for a in present) / len(present))


def members_of(fitted: list[second.Fitted], group: str) -> list[second.Fitted]:
    return [f for f in fitted if group in ("all", f"kind={f.event.kind}")]


@case
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("group", ["all", "kind=a"])
@pytest.mark.parametrize("test", second.GROUP_TESTS)
def test_group_statistic(ours: Any, case: tuple[str, str, str], window: tuple[int, int], group: str, test: str) -> None:
    days, everyone = days_of(window), theirs(*case[:2])[0]
    sample = [f for f in members_of(everyone, group) if f.complete(days)]
    row = rows_of(
        ours(case), "significance", group=group, test=test, window_start=window[0], window_end=window[1]
    ).row(0, named=True)  # fmt: skip
    statistic, distribution = second.GROUP_TESTS[test](sample, days, days_of(EVENT_WINDOW))
    if test in second.EXACT_P:
        p = second.EXACT_P[test](sample, days, case[2])
    else:
        p = second.p_value(statistic, distribution, case[2])
    close([row["statistic"], row["p_value"]], [statistic, p])
    close(row["estimate"], sum(f.car(days) for f in sample) / len(sample))
    assert (row["n"], row["unavailable"]) == (len(sample), None)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_tests_of_one_regression_say_why_they_do_not_answer(tmp_path: Path, alternative: str) -> None:
    """The rows differ, so there is no portfolio and no system; on equal rows: test_regression_tests.py."""
    tests = ["portfolio_t", "sur_f"]
    result = run(write(tmp_path, events(), ("market", "simple", alternative), tests, ["kind"]))
    reasons = result.tables["significance"].select("test", "p_value", "unavailable").rows()
    assert len(reasons) == 2 * 3 * len(WINDOWS)
    portfolio, system = "have other estimation rows than the first, by relative day", "needs one date, has"
    if alternative != "two-sided":
        system = f"has no direction, and alternative is {alternative}"
    wanted = {"portfolio_t": portfolio, "sur_f": system}
    assert all(p is None and wanted[test] in reason for test, p, reason in reasons)


@case
@pytest.mark.parametrize("test", second.EVENT_TESTS)
def test_event_statistic(ours: Any, case: tuple[str, str, str], test: str) -> None:
    for window in WINDOWS:
        days = days_of(window)
        rows = by_pair(
            rows_of(ours(case), "event_significance", test=test, window_start=window[0], window_end=window[1])
        )
        complete = [f for f in theirs(*case[:2])[0] if f.complete(days)]
        assert set(rows) == {key(f) for f in complete}
        for f in complete:
            row = rows[key(f)]
            if test == "sq" and len(days) > 1:
                assert row["unavailable"].startswith("tests one day only")
                assert row["p_value"] is None
            else:
                close([row["statistic"], row["p_value"]], second.EVENT_TESTS[test](f, days, case[2]))
                close(row["estimate"], f.car(days))


@pytest.mark.parametrize(
    ("table", "family"),
    [
        ("significance", {"group": "all", "test": "bmp"}),
        ("significance", {"group": "kind=a", "test": "sign"}),
        ("event_significance", {"event_id": "joint, deal", "symbol": "S00", "test": "forecast_error_t"}),
    ],
)
def test_corrections_for_many_windows(ours: Any, table: str, family: dict[str, str]) -> None:
    """Holm and Benjamini-Hochberg as statsmodels has them, over the windows of one test and group or event."""
    rows = rows_of(ours(CASES[0]), table, **family)
    assert len(rows) == len(WINDOWS)
    close(rows["p_holm"], multipletests(rows["p_value"].to_numpy(), method="holm")[1])
    close(rows["p_bh"], multipletests(rows["p_value"].to_numpy(), method="fdr_bh")[1])


def test_a_missing_p_value_is_not_counted_in_the_corrections(ours: Any) -> None:
    """`sq` answers for one day only: its one p-value is its own correction, the other windows have none."""
    rows = rows_of(ours(CASES[0]), "event_significance", test="sq")
    one_day = rows.filter(pl.col("window_start") == pl.col("window_end"))
    close(one_day["p_holm"], one_day["p_value"])
    close(one_day["p_bh"], one_day["p_value"])
    others = rows.filter(pl.col("window_start") != pl.col("window_end"))
    assert others["p_holm"].null_count() == others["p_bh"].null_count() == len(others) > 0


@pytest.mark.parametrize(
    "p", [[0.04, 0.01, 0.03], [0.01, 0.01, 0.5, 0.04], [0.6, 0.9], [0.03], [0.2, 0.011, 0.1, 0.02]]
)
def test_multiplicity_as_in_statsmodels(p: list[float]) -> None:
    holm, bh = multiplicity(p)
    close(holm, multipletests(p, method="holm")[1])
    close(bh, multipletests(p, method="fdr_bh")[1])


ONE_DATE = tuple(second.Event(f"e{i}", f"S{i:02d}", SESSIONS[300], ESTIMATION, "a") for i in (2, 4, 6))
RESAMPLING = {"resampling": {"seed": 5, "draws": 999}}


@pytest.fixture(scope="module")
def brute_force() -> Any:
    @cache
    def of(model: str, returns: str, window: tuple[int, int]) -> np.ndarray:
        cars = second.pseudo_cars(ONE_DATE, prices(), design(model, returns), days_of(window))
        return np.array(cars)

    return of


@pytest.mark.parametrize(
    "case",
    [("market", "simple", "two-sided"), ("market_adjusted", "log", "greater"), ("mean_adjusted", "simple", "less")],
    ids="-".join,
)
def test_permutation_on_one_date_enumerates_every_other_date(
    tmp_path: Path, brute_force: Any, case: tuple[str, str, str]
) -> None:
    """Every feasible date once, the model fitted anew at each; the listings of a date move together."""
    result = run(write(tmp_path, ONE_DATE, case, ["permutation"], [], **RESAMPLING))
    fitted, _ = second.fit_all(ONE_DATE, prices(), design(*case[:2]))
    for window in WINDOWS:
        draws = brute_force(*case[:2], window)
        real = [f.car(days_of(window)) for f in fitted]
        row = rows_of(result, "significance", window_start=window[0], window_end=window[1]).row(0, named=True)
        assert row["distribution"] == f"permutation({len(draws)})"
        close(row["statistic"], np.mean(real))
        assert row["p_value"] == pytest.approx(
            second.permutation_p(np.mean(real), draws.mean(axis=1).tolist(), case[2]), rel=1e-12
        )
        own = rows_of(result, "event_significance", window_start=window[0], window_end=window[1]).sort("event_id")
        wanted = [second.permutation_p(r, draws[:, i].tolist(), case[2]) for i, r in enumerate(real)]
        close(own["p_value"], wanted)
    families = {("significance", "group", "all"): lambda d: d.mean(axis=1)}
    families |= {("event_significance", "event_id", e.event_id): lambda d, i=i: d[:, i] for i, e in enumerate(ONE_DATE)}
    for (table, column, name), part in families.items():
        rows = rows_of(result, table, **{column: name})
        joint = np.stack([part(brute_force(*case[:2], w)) for w in rows.select("window_start", "window_end").rows()])
        close(rows["p_romano_wolf"], second.romano_wolf(rows["statistic"].to_list(), joint.T.tolist(), case[2]))
        assert (rows["p_romano_wolf"] >= rows["p_value"]).all()


def test_permutation_on_two_dates_draws_them_apart(tmp_path: Path, brute_force: Any) -> None:
    """With two dates the p-value is that of independent draws of both, within Monte Carlo error."""
    other = second.Event("f0", "S10", SESSIONS[180], ESTIMATION, "a")
    case, draws = ("market", "simple", "two-sided"), 9999
    both = (*ONE_DATE, other)
    result = run(write(tmp_path, both, case, ["permutation"], [], resampling={"seed": 5, "draws": draws}))
    fitted, _ = second.fit_all(both, prices(), design(*case[:2]))
    for window in ((-1, 1), (0, 0)):
        days = days_of(window)
        one = brute_force(*case[:2], window).sum(axis=1)
        two = np.array(second.pseudo_cars([other], prices(), design(*case[:2]), days))[:, 0]
        mean = sum(f.car(days) for f in fitted) / 4
        exact = (np.abs(one[:, None] + two[None, :]) / 4 >= abs(mean)).mean()
        row = rows_of(result, "significance", window_start=window[0], window_end=window[1]).row(0, named=True)
        assert row["distribution"] == f"permutation({draws})"
        assert 0.05 < exact < 0.95
        assert row["p_value"] == pytest.approx(exact, abs=4 * (exact * (1 - exact) / draws) ** 0.5 + 1e-4)


@pytest.mark.parametrize(("place", "alternative"), [(180, "two-sided"), (208, "greater")])
def test_romano_wolf_on_two_dates_draws_all_windows_at_once(
    tmp_path: Path, brute_force: Any, place: int, alternative: str
) -> None:
    """As over all pairs of dates, within Monte Carlo error; at 208 the widest window holds the events of one date only."""
    case, draws = ("market", "simple", alternative), 9999
    both = (*ONE_DATE, second.Event("f0", "S10", SESSIONS[place], ESTIMATION, "a"))
    result = run(write(tmp_path, both, case, ["permutation"], [], resampling={"seed": 5, "draws": draws}))
    fitted, _ = second.fit_all(both, prices(), design(*case[:2]))
    joint, values, n = [], [], []
    for window in sorted(WINDOWS):
        days = days_of(window)
        one = brute_force(*case[:2], window).sum(axis=1)[:, None]
        two = np.array(second.pseudo_cars(both[-1:], prices(), design(*case[:2]), days))[:, 0]
        complete = [f for f in fitted if f.complete(days)]
        n.append(len(complete))
        joint.append(((one + two * (len(complete) == 4)) / len(complete)).ravel())
        values.append(sum(f.car(days) for f in complete) / len(complete))
    rows = rows_of(result, "significance")
    assert rows["n"].to_list() == n
    assert set(n) == ({4} if place == 180 else {3, 4})
    exact = np.array(second.romano_wolf(values, np.stack(joint, axis=1).tolist(), case[2]))
    assert len(set(exact)) > 1
    assert (np.abs(rows["p_romano_wolf"] - exact) < 4 * (exact * (1 - exact) / draws) ** 0.5 + 0.005).all()


@pytest.mark.parametrize(
    ("other", "lost"),
    [(200, False), (48, True)],  # session 48 has too little history for a fit of its own
)
def test_permutation_avoids_every_real_event_of_a_listing(tmp_path: Path, other: int, lost: bool) -> None:
    """Another event of the same firm takes the sessions around it away, whether it could be used or not."""
    alone = (second.Event("e1", "S02", SESSIONS[300], ESTIMATION, "a"),)
    twice = (*alone, second.Event("e2", "S02", SESSIONS[other], ESTIMATION, "a"))
    case, days = ("market", "simple", "two-sided"), second.sessions_of(prices(), "MKT")
    counts = []
    for name, chosen in (("alone", alone), ("twice", twice)):
        result = run(write(tmp_path / name, chosen, case, ["permutation"], [], **RESAMPLING))
        assert ("e2" in result.tables["fits"]["event_id"]) == (name == "twice" and not lost)
        row = rows_of(result, "event_significance", event_id="e1", window_start=0).row(0, named=True)
        counts.append(int(row["distribution"].removeprefix("permutation(").removesuffix(")")))
    everywhere = second.pseudo_places(alone, prices(), design("market", "simple"))
    apart = [p for p in everywhere if abs(p - days.index(SESSIONS[other])) >= 11]
    assert counts == [len(everywhere), len(apart)]
    assert len(apart) < len(everywhere)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[7]], ids="-".join)
def test_bootstraps_by_date_cluster(tmp_path: Path, case: tuple[str, str, str]) -> None:
    """t and se to the last digit; the p of all sign changes, and of blocks within Monte Carlo error of other draws."""
    draws, own = 4999, 2000
    tests = ["wild_bootstrap", "block_bootstrap"]
    result = run(write(tmp_path, events(), case, tests, ["kind"], resampling={"seed": 5, "draws": draws}))
    counts = set()
    for group in ("all", "kind=a", "kind=b"):
        for window in WINDOWS:
            days = days_of(window)
            sample = [f for f in members_of(theirs(*case[:2])[0], group) if f.complete(days)]
            clusters = [[f.car(days) for f in c] for c in second.date_clusters(sample)]
            rows = rows_of(result, "significance", group=group, window_start=window[0], window_end=window[1])
            by_test = {r["test"]: r for r in rows.iter_rows(named=True)}
            counts.add(len(clusters))
            if len(clusters) < 6:
                assert set(rows["unavailable"]) == {f"needs at least 6 date clusters, has {len(clusters)}"}
                continue
            dice = random.Random(3)
            chosen = [[dice.randrange(len(clusters)) for _ in clusters] for _ in range(own)]
            wanted = {
                "wild_bootstrap": second.wild_p(clusters, case[2]),
                "block_bootstrap": second.block_p(clusters, chosen, case[2]),
            }
            for test, p in wanted.items():
                row = by_test[test]
                close([row["statistic"], row["se"]], second.cluster_t(clusters))
                assert row["note"] == f"{len(clusters)} date clusters"
                if test == "wild_bootstrap":
                    assert row["distribution"] == f"wild_bootstrap({2 ** len(clusters) - 1})"
                    close(row["p_value"], p)
                else:
                    assert row["distribution"] == f"block_bootstrap({draws})"
                    near = 4.5 * (p * (1 - p) * (1 / draws + 1 / own)) ** 0.5 + 1 / own
                    assert row["p_value"] == pytest.approx(p, abs=near)
    assert len(counts) > 2


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_block_bootstrap_among_all_ways_to_draw_six_clusters(alternative: str) -> None:
    """6^6 equally likely draws: the p-value and the bound of the interval, within Monte Carlo error."""
    car, cluster = [0.02, -0.01, 0.03, 0.05, -0.02, 0.01, 0.04, 0.015], [0, 0, 1, 2, 3, 4, 5, 5]
    sample = sample_of(car, np.zeros((8, 2)), alternative=alternative, cluster=cluster)
    sample = replace(sample, resampling=replace(sample.resampling, draws=40_000))
    answer = evaluate("block_bootstrap", sample)
    clusters = [[c for c, own in zip(car, cluster, strict=True) if own == g] for g in range(6)]
    everything = list(product(range(6), repeat=6))
    p = second.block_p(clusters, everything, alternative)
    assert 0.02 < p < 0.98
    assert answer.p_value == pytest.approx(p, abs=4.5 * (p * (1 - p) / 40_000) ** 0.5)
    reach = (answer.ci[1] - answer.estimate) / answer.se
    close(answer.estimate - answer.ci[0], answer.ci[1] - answer.estimate)
    beyond = np.mean(np.abs(second.block_ts(clusters, everything)) >= reach)
    assert beyond == pytest.approx(0.05, abs=4.5 * (0.05 * 0.95 / 40_000) ** 0.5)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_wild_bootstrap_of_more_than_twelve_clusters_draws_signs(alternative: str) -> None:
    """Fourteen clusters: within Monte Carlo error of all 2^14 sign changes."""
    car = np.random.default_rng(4).normal(0.004, 0.02, 17).tolist()
    cluster = [*range(14), 0, 0, 5]
    sample = sample_of(car, np.zeros((17, 2)), alternative=alternative, cluster=cluster)
    sample = replace(sample, resampling=replace(sample.resampling, draws=40_000))
    answer = evaluate("wild_bootstrap", sample)
    p = second.wild_p([[c for c, g in zip(car, cluster, strict=True) if g == one] for one in range(14)], alternative)
    assert answer.distribution == "wild_bootstrap(40000)"
    assert 0.02 < p < 0.98
    assert answer.p_value == pytest.approx(p, abs=4.5 * (p * (1 - p) / 40_000) ** 0.5)


def test_a_bootstrap_of_a_group_hears_of_no_other_group(tmp_path: Path) -> None:
    case, tests = CASES[0], ["block_bootstrap", "wild_bootstrap"]
    with_groups = run(write(tmp_path / "groups", events(), case, tests, ["kind"], **RESAMPLING))
    alone = run(write(tmp_path / "alone", events(), case, tests[::-1], [], **RESAMPLING))
    assert rows_of(with_groups, "significance", group="all").equals(alone.tables["significance"])
    other = run(write(tmp_path / "seed", events(), case, tests, [], resampling={"seed": 6, "draws": 999}))
    assert not other.tables["significance"].equals(alone.tables["significance"])


def test_the_second_implementation_is_independent() -> None:
    source = Path(second.__file__).read_text(encoding="utf-8")
    assert "engine" not in source
