"""The certificate of events in overlapping windows, against least squares with a dummy for each event, date by date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second_certificate as second
from conftest import make_study, rows_of, run, simulated, weekdays

from engine import load_study
from engine.certificate.parted import left_out_rows
from engine.placebo import pseudo_dates
from engine.plan import plan_study, real_days
from engine.pseudo_samples import Subject, pseudo_samples
from engine.results import StudyResult
from engine.samples import design_of

SESSIONS, DRAWS = 200, 150
DATES = weekdays(SESSIONS)
EVENTS = (("A", 92), ("A", 90), ("B", 92), ("C", 120), ("D", 150), ("E", 161))  # A: two sessions apart
TESTS = ["cross_sectional_t", "bmp", "patell", "sign"]
SHARED, SINGLE = (-1, 1), (0, 1)
DESIGN = second.Design((-60, -2), (-1, 1), 20)  # A's second estimation window reaches into its first event window
OTHERS = ["corrado", "permutation", "kolari_pynnonen", "portfolio_t"]


def series() -> dict[str, Any]:
    made = simulated(14, list("ABCDE"), SESSIONS)
    for symbol, day in (("A", 40), ("A", 141), ("C", 70), ("D", 71)):
        made[symbol]["return"][day] = None
    return made


def certified(folder: Path, *, events: Any = EVENTS, **more: Any) -> StudyResult:
    rows = [{"event_id": f"e{k}", "symbol": s, "announced_at": DATES[at]} for k, (s, at) in enumerate(events)]
    tables: dict[str, Any] = {
        "events": {"joint": True},
        "model": {"name": "market", "estimation_window": list(DESIGN.estimation), "min_estimation_days": 20},
        "windows": {"event": list(DESIGN.event), "car": [list(SHARED), list(SINGLE)]},
        "significance": {"tests": [*TESTS, *OTHERS, "forecast_error_t", "conformal"]},
        "certificate": {"seed": 4, "draws": DRAWS, "effects": [0.02, 0.05], "runup": [-20, -2]},
        "resampling": {"seed": 1, "draws": 99},
    }
    return run(make_study(folder, rows, series(), **(tables | more)))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return certified(tmp_path_factory.mktemp("joint") / "s")


@pytest.fixture(scope="module")
def samples() -> dict[str, Any]:
    """Every event fitted at every date of its cluster, and the draws."""
    prices = {s: series()[s]["return"] for s in "ABCDE"}
    market = series()["MKT"]["return"]

    def fitted(event: int, at: int) -> Any:
        symbol, own = EVENTS[event]
        y = list(prices[symbol])
        for other, real in EVENTS:
            if other == symbol and real != own:  # a neighbour's window is no estimation row
                for day in range(at + real - own - 1, at + real - own + 2):
                    if at + DESIGN.estimation[0] <= day <= at + DESIGN.estimation[1]:
                        y[day] = None
        return second.fitted(y, market, at, DESIGN)

    def free(event: int, at: int) -> bool:
        symbol = EVENTS[event][0]
        plain = second.fitted(prices[symbol], market, at, DESIGN) if 0 <= at < SESSIONS else None
        return plain is not None and all(abs(at - real) >= DESIGN.gap for other, real in EVENTS if other == symbol)

    together = [at for at in range(SESSIONS) if free(1, at) and free(0, at + 2) and free(2, at + 2)]
    # the calendar is shifted by days, so that a week-end between the two would part them
    together = [at for at in together if np.busday_count(DATES[90], DATES[92]) == 2 and _apart(at) == _apart(90)]
    every = [[fitted(e, at + EVENTS[e][1] - 90) for at in together] for e in (0, 1, 2)]
    alone = [[at for at in range(SESSIONS) if free(e, at)] for e in (3, 4, 5)]
    every += [[fitted(e, at) for at in places] for e, places in zip((3, 4, 5), alone, strict=True)]
    sizes = [len(together), *map(len, alone)]
    return {
        "together": together, "every": every, "own": [fitted(e, at) for e, (_, at) in enumerate(EVENTS)],
        "draws": second.draws(sizes, DRAWS, 4, "as_they_are all"), "y": prices["A"], "x": market,
    }  # fmt: skip


def _apart(at: int) -> int:
    """Calendar days between a session and the next but one."""
    return int((np.datetime64(DATES[at + 2]) - np.datetime64(DATES[at])).astype(int))


def p_values(samples: dict[str, Any], scale: float | None, effect: float) -> list[dict[str, float]]:
    """Of every draw: A's events by their joint regression on returns that are changed day by day, the others as ever."""
    y, x, together = samples["y"], samples["x"], samples["together"]
    days = [list(range(at - 1, at + 4)) for at in together]
    usual = [second.expected(y, x, at, DESIGN, own) for at, own in zip(together, days, strict=True)]
    beyond = [[y[t] - e[t] for t in own] for own, e in zip(days, usual, strict=True)]
    centre = np.mean(beyond, axis=0)
    joint = []
    for at, own, e, u in zip(together, days, usual, beyond, strict=True):
        instead = {}
        if scale is not None:
            instead = {t: e[t] + scale * (u[k] - centre[k]) + effect * (t in (at, at + 2)) for k, t in enumerate(own)}
        joint.append(second.joined(y, x, [at, at + 2], DESIGN, SHARED, instead))
    found = []
    for first, *rest in samples["draws"]:
        one = [joint[first][1], joint[first][0]]
        for e, place in zip((2, 3, 4, 5), (first, *rest), strict=True):
            fit, fits = samples["every"][e][place], samples["every"][e]
            if scale is not None:
                middle = {d: sum(f.ar[d] for f in fits) / len(fits) for d in range(-1, 2)}
                fit = second.moved(fit, middle, scale, SHARED, effect)
            one.append(fit)
        found.append(second.of_cars(one, SHARED))
    return found


def test_sizes_and_power_are_those_of_regressions_one_by_one(result: StudyResult, samples: dict[str, Any]) -> None:
    scale = second.spread_ratio(samples["own"], SHARED)
    base = p_values(samples, scale, 0.0)
    nulls = {"as_they_are": p_values(samples, None, 0.0), "scaled": base}
    moved = {effect: p_values(samples, scale, effect) for effect in (0.02, 0.05)}
    own = rows_of(result, "significance", group="all", window_start=SHARED[0])
    for test in TESTS:
        mine = own.filter(own["test"] == test)["p_value"].item()
        for null, found in nulls.items():
            (row,) = rows_of(
                result, "certificate", window_start=SHARED[0], test=test, null=null, kind="group"
            ).to_dicts()
            p = [one[test] for one in found]
            assert (row["draws"], row["unavailable"]) == (DRAWS, None)
            assert row["pseudo_dates"] == min(len(samples["together"]), *map(len, samples["every"]))
            assert row["size"] == pytest.approx(sum(v <= 0.05 for v in p) / DRAWS, abs=1e-15), (test, null)
            beyond = sum(v <= mine * (1 + 1e-9) for v in p)
            assert row["p_calibrated"] == pytest.approx((1 + beyond) / (1 + DRAWS)), (test, null)
        assert row["scale"] == pytest.approx(scale)
        critical = sorted(one[test] for one in base)[int(0.05 * (1 + DRAWS)) - 1]
        if null == "scaled":
            assert row["critical_p"] == pytest.approx(critical, rel=1e-9)
        for effect, found in moved.items():
            power = sum(one[test] < critical * (1 - 1e-12) for one in found) / DRAWS
            rows = rows_of(result, "power", window_start=SHARED[0], test=test, effect=effect, kind="group")
            assert rows["power"].item() == pytest.approx(power, abs=1e-12), (test, effect)


def test_what_is_not_asked_of_joint_regressions_says_why(result: StudyResult) -> None:
    said = {
        test: set(rows_of(result, "certificate", window_start=SHARED[0], test=test, null="scaled")["unavailable"])
        for test in (*OTHERS, "conformal", "forecast_error_t")
    }
    assert said["kolari_pynnonen"] == said["forecast_error_t"] == {None}
    assert said["permutation"] == said["conformal"] == {"has no answer for the CAR of a joint regression"}
    assert all("effects of its neighbours" in s for s in said["corrado"])
    assert all("not the joint regression" in s for s in said["portfolio_t"])
    apart = rows_of(result, "certificate", window_start=SINGLE[0], null="scaled", test="corrado")
    assert set(apart["unavailable"]) == {None}


def test_at_the_real_dates_the_fits_are_the_studys_own(result: StudyResult, tmp_path: Path) -> None:
    """The days of a neighbour's window are no estimation rows at pseudo-dates, as they are none in the study."""
    certified(tmp_path / "s", certificate=None)
    study = load_study(tmp_path / "s", data_path=())
    plan = plan_study(study)
    panel = plan.panel
    assert panel is not None
    joint = plan.firms.joint
    label = np.array([joint.get((p.event_id, p.symbol), -1) for p in panel.pairs])
    blank = left_out_rows(panel, label)
    assert [[int(d) for d in panel.estimation_rows.days[row]] for row in blank if row.any()] == [[-3, -2]]
    dates = pseudo_dates(panel, real_days(plan), design_of(study, plan, {}))
    subject = Subject(panel, dates, ~np.isfinite(panel.event_returns), np.arange(len(panel.pairs)), blank)
    fits = pseudo_samples(subject, panel.position[None]).fits
    own = result.tables["fits"].sort("event_id", "symbol")
    order = np.argsort([p.event_id for p in panel.pairs])
    assert fits.n_obs[order].tolist() == own["n_obs"].to_list()
    assert fits.sigma[order].tolist() == pytest.approx(own["sigma"].to_list(), rel=1e-12)


def test_a_group_that_lacks_a_neighbour_has_the_same_regression(tmp_path: Path) -> None:
    """e0 alone of A's events is in the claim's group: its neighbour keeps its dummy."""
    claim = {
        "C1": {
            "statement": "up",
            "sign": "+",
            "windows": [list(SHARED)],
            "test": "bmp",
            "primary": True,
            "group": "side=x",
        }
    }
    rows = [
        {"event_id": f"e{k}", "symbol": s, "announced_at": DATES[at], "side": "y" if k == 1 else "x"}
        for k, (s, at) in enumerate(EVENTS)
    ]
    folder = make_study(
        tmp_path / "s", rows, series(), events={"joint": True},
        model={"name": "market", "estimation_window": list(DESIGN.estimation), "min_estimation_days": 20},
        windows={"event": list(DESIGN.event), "car": [list(SHARED)]},
        significance={"tests": ["bmp"], "group_by": ["side"]}, certificate={"seed": 4, "draws": DRAWS}, claims=claim,
    )  # fmt: skip
    (row,) = run(folder).tables["verdicts"].to_dicts()
    assert row["note"] is None
    assert 0 < row["p_calibrated"] <= 1
    assert row["mde"] > 0
