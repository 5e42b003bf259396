"""Events in overlapping windows: one regression with a dummy for each, against statsmodels and by hand."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from conftest import cell, make_study, rows_of, run, simulated, texts
from scipy import stats

from engine import load_study
from engine.errors import SpecError
from engine.joint import JOINT_MODELS, joint_cars
from engine.plan import plan_study
from engine.sessions import Window
from engine.study import dry_run_result

WINDOWS = [[0, 0], [0, 1], [-1, 1], [-5, 5]]
TESTS = ["cross_sectional_t", "bmp", "patell", "grank_t", "forecast_error_t", "sq", "permutation"]


def ols(y: Any, regressors: Any, estimation: Any, days: Any) -> tuple[Any, Any, int]:
    """CARs, their standard errors and degrees of freedom by statsmodels; days: one list of positions an event."""
    everything = sorted({*estimation, *(d for own in days for d in own)})
    rows = [t for t in everything if np.isfinite(y[t]) and all(np.isfinite(x[t]) for x in regressors)]
    columns = [[x[t] for t in rows] for x in regressors] + [[float(t in own) for t in rows] for own in days]
    fitted = sm.OLS(np.array([y[t] for t in rows]), np.array(columns).T).fit()
    k, length = len(regressors), np.array([len(own) for own in days])
    return length * fitted.params[k:], length * fitted.bse[k:], int(fitted.df_resid)


def test_two_events_that_share_a_day_by_hand() -> None:
    """y = a + g1 D1 + g2 D2: a = 0.002, g1 = 0.02, g2 = 0.03, RSS = 1208e-6 on 4 degrees of freedom."""
    y = np.array([0.01, -0.01, 0.02, -0.02, 0.03, 0.044, 0.04])
    found = joint_cars(y, np.ones((1, 7)), np.arange(4), np.array([4, 5]), Window(0, 1))
    assert found.car == pytest.approx([0.04, 0.06], abs=1e-15)
    assert found.se == pytest.approx([2 * np.sqrt(302e-6 * 10 / 13)] * 2, rel=1e-12)
    assert (found.dof, found.collinear, found.shared.tolist()) == (4, False, [True, True])


@pytest.mark.parametrize("window", [(0, 0), (0, 1), (-1, 1), (-3, 4), (2, 6)], ids=str)
@pytest.mark.parametrize("gaps", [(1, 1), (1, 4), (3,), (), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_arrays_as_in_statsmodels(window: tuple[int, int], gaps: tuple[int, ...], k: int) -> None:
    rng = np.random.default_rng(k + 10 * len(gaps))
    regressors = np.concatenate([np.ones((1, 120)), rng.normal(0, [[0.01], [0.02], [0.005]], (3, 120))])[:k]
    y = rng.normal(0.001, 0.02, 120) + 0.7 * regressors.sum(axis=0)
    y[rng.choice(80, 6, replace=False)] = np.nan
    day_zero = 95 + np.cumsum([0, *gaps])
    estimation = np.flatnonzero(np.isfinite(y[:80]))
    found = joint_cars(y, regressors, estimation, day_zero, Window(*window))
    days = [list(range(d + window[0], d + window[1] + 1)) for d in day_zero]
    car, se, dof = ols(y, regressors, estimation, days)
    np.testing.assert_allclose(found.car, car, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.se, se, rtol=1e-10)
    assert found.dof == dof
    assert found.shared.tolist() == [any(set(a) & set(b) for b in days if b is not a) for a in days]


def test_a_missing_day_takes_out_its_event_alone() -> None:
    """Its dummy stays on the days it has, so that its neighbour is freed of them."""
    y = np.random.default_rng(3).normal(0, 0.02, 60)
    y[50] = np.nan
    found = joint_cars(y, np.ones((1, 60)), np.arange(40), np.array([50, 52]), Window(0, 2))
    car, se, dof = ols(y, np.ones((1, 60)), range(40), [[51, 52], [52, 53, 54]])
    assert np.isnan(found.car[0])
    assert np.isnan(found.se[0])
    assert (found.car[1], found.se[1], found.dof) == (pytest.approx(car[1]), pytest.approx(se[1]), dof)
    beyond = joint_cars(y, np.ones((1, 60)), np.arange(40), np.array([55, 59]), Window(0, 2))
    assert np.isfinite(beyond.car).tolist() == [True, False]


def test_the_same_days_cannot_be_told_apart() -> None:
    y = np.random.default_rng(3).normal(0, 0.02, 60)
    found = joint_cars(y, np.ones((1, 60)), np.arange(40), np.array([50, 50, 54]), Window(-1, 1))
    assert found.collinear
    assert np.isnan(found.car).all()


def overlapping_study(folder: Path, events: Any = None, /, **changes: Any) -> Path:
    """Three events of AAA within four sessions, one of it far away, one of BBB; holes in both series."""
    series = simulated(7, ["AAA", "BBB"], 320) | {"CCC": simulated(8, ["CCC"], 320)["CCC"]}
    for symbol, holes in (("AAA", (150, 172, 240, 241)), ("BBB", (160,)), ("MKT", (181,))):
        for hole in holes:
            series[symbol]["return"][hole] = None
    dates = series["MKT"]["date"]
    rows = [
        {"event_id": "E1", "symbol": "AAA", "announced_at": dates[200], "estimation_start": -70},
        {"event_id": "E2", "symbol": "AAA", "announced_at": dates[201]},
        {"event_id": "E3", "symbol": "AAA", "announced_at": dates[203], "estimation_end": -20},
        {"event_id": "E4", "symbol": "AAA", "announced_at": dates[290]},
        {"event_id": "E5", "symbol": "BBB", "announced_at": dates[201]},
    ]
    changes = {"windows": {"event": [-5, 5], "car": WINDOWS}, "significance": {"tests": TESTS}} | changes
    changes["events"] = {"joint": True} | changes.get("events", {})
    return make_study(
        folder, rows if events is None else events, series, resampling={"seed": 1, "draws": 99}, **changes
    )


def series_of(folder: Path, symbol: str) -> tuple[list[str], Any]:
    with (folder / "data" / f"{symbol}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [r["date"] for r in rows], np.array([float(r["return"]) if r["return"] else np.nan for r in rows])


@pytest.mark.parametrize("model", JOINT_MODELS)
def test_a_study_as_in_statsmodels(tmp_path: Path, model: str) -> None:
    """Clean rows of the earliest event: [-70, -11] of its own, without the days of the three event windows."""
    factors = {"columns": ["CCC"]} if model == "factor" else None
    benchmark = {"default": "MKT", "baskets": {"peers": ["AAA", "CCC"]}}
    chosen = {"name": model} | ({"peers": "peers"} if model == "matched" else {})
    folder = overlapping_study(tmp_path, model=chosen, factors=factors, benchmark=benchmark)
    result = run(folder)
    dates, market = series_of(folder, "MKT")
    _, own = series_of(folder, "AAA")
    _, other = series_of(folder, "CCC")
    grid = np.flatnonzero(np.isfinite(market))  # the sessions are the benchmark's days
    y, x, oil = own[grid], market[grid], other[grid]
    zero = [int(np.flatnonzero(np.array(dates)[grid] == dates[d])[0]) for d in (200, 201, 203)]
    windows = {d for z in zero for d in range(z - 5, z + 6)}
    estimation = [t for t in range(zero[0] - 70, zero[0] - 10) if t not in windows and np.isfinite(y[t])]
    assert 50 < len(estimation) < 60
    if model == "matched":  # the peers' returns as they come from their closes: `test_alignment.py`
        line = plan_study(load_study(folder, data_path=())).lines[0]
        x = line.regressors[0]
    explained = y - x if model in ("market_adjusted", "matched") else y
    one = np.ones(len(y))
    regressors = {"market": [one, x], "mean_adjusted": [one], "factor": [one, x, oil]}.get(model, [])
    for start, end in WINDOWS:
        days = [list(range(z + start, z + end + 1)) for z in zero]
        car, se, dof = ols(explained, regressors, estimation, days)
        for i, event in enumerate(("E1", "E2", "E3")):
            at = {"event_id": event, "window_start": start, "window_end": end}
            row = rows_of(result, "cars", **at).row(0, named=True)
            assert (row["car"], row["se"]) == (pytest.approx(car[i], rel=1e-10), pytest.approx(se[i], rel=1e-10))
            assert row["t"] == row["scar"] == pytest.approx(car[i] / se[i], rel=1e-9)
            p = 2 * stats.t.sf(abs(car[i] / se[i]), dof)
            assert row["p_value"] == pytest.approx(p, rel=1e-8)
            answer = rows_of(result, "event_significance", test="forecast_error_t", **at).row(0, named=True)
            assert answer["distribution"] == f"t({dof})"


def test_pairs_without_an_overlap_keep_their_bytes(tmp_path: Path) -> None:
    joint = texts(run(overlapping_study(tmp_path / "a")))
    apart = texts(run(overlapping_study(tmp_path / "b", events={"joint": False})))
    for table in ("cars", "fits", "abnormal_returns", "event_significance"):
        own = [[line for line in text[table].splitlines() if line.startswith(("E4", "E5"))] for text in (joint, apart)]
        assert own[0] == own[1]
        assert own[0]


def test_nothing_that_overlaps_is_byte_for_byte_the_ordinary_study(tmp_path: Path) -> None:
    rows = [
        {"event_id": f"E{i}", "symbol": s, "announced_at": simulated(7, [], 320)["MKT"]["date"][d]}
        for i, (s, d) in enumerate((("AAA", 150), ("AAA", 161), ("BBB", 150), ("BBB", 280)))
    ]
    joint = run(make_study(tmp_path / "a", rows, simulated(7, ["AAA", "BBB"], 320), events={"joint": True}))
    apart = run(make_study(tmp_path / "b", rows, simulated(7, ["AAA", "BBB"], 320)))
    assert texts(joint) == texts(apart)


def test_a_day_that_no_event_shares_has_the_ordinary_forecast_error(tmp_path: Path) -> None:
    """Dummies absorb their days, so that sigma and the forecast error are those of the clean estimation rows."""
    joint = run(overlapping_study(tmp_path / "a"))
    apart = run(overlapping_study(tmp_path / "b", events={"joint": False}))
    at = {"event_id": "E1", "window_start": 0, "window_end": 0}
    for column in ("car", "se", "p_value", "bhar"):
        assert cell(joint, "cars", column, **at) == pytest.approx(cell(apart, "cars", column, **at), rel=1e-10)
    whole = {"event_id": "E1", "window_start": -5, "window_end": 5}
    assert cell(joint, "cars", "bhar", **whole) == cell(apart, "cars", "bhar", **whole)
    assert abs(cell(joint, "cars", "car", **whole) - cell(apart, "cars", "car", **whole)) > 0.005


def test_estimation_rows_leave_out_the_cluster_and_say_so(tmp_path: Path) -> None:
    """E3's window [-60, -20] meets no other window; E2's [-60, -11] and E1's do not either at [-5, 5]: move the window."""
    far = {"windows": {"event": [-10, 10], "car": [[0, 0]]}}
    joint = run(overlapping_study(tmp_path / "a", **far))
    apart = run(overlapping_study(tmp_path / "b", events={"joint": False}, **far))
    rows = rows_of(joint, "contamination", event_id="E2", other_event_id="E1", kind="estimation_window")
    assert rows["consequence"].item() == "1 estimation day left out: joint regression"
    assert rows["first"].item() == rows["last"].item() == joint.tables["abnormal_returns"]["date"][0]
    n_obs = [cell(r, "fits", "n_obs", event_id="E2") for r in (joint, apart)]
    assert n_obs[0] == n_obs[1] - 1
    inside = rows_of(joint, "contamination", event_id="E2", kind="event_window")
    assert inside["consequence"].to_list() == [
        "joint regression; its day 0 is relative day -1",
        "joint regression; its day 0 is relative day 2",
    ]


def test_events_on_one_day_leave_with_a_row(tmp_path: Path) -> None:
    dates = simulated(7, [], 320)["MKT"]["date"]
    rows = [
        {"event_id": e, "symbol": s, "announced_at": dates[200]}
        for e, s in (("E1", "AAA"), ("E2", "AAA"), ("E3", "BBB"))
    ]
    result = run(overlapping_study(tmp_path, rows))
    lost = rows_of(result, "exclusions", reason="joint_collinear")
    assert lost["event_id"].to_list() == ["E1"] * 4 + ["E2"] * 4
    assert lost["detail"][0] == "[-1, 1]: the days of E1, E2 cannot be told apart by dummies"
    assert set(result.tables["cars"]["event_id"]) == {"E3"}


def test_the_dry_run_foresees_events_on_one_day(tmp_path: Path) -> None:
    dates = simulated(7, [], 320)["MKT"]["date"]
    rows = [
        {"event_id": e, "symbol": "AAA", "announced_at": dates[i]} for e, i in (("E1", 200), ("E2", 200), ("E3", 290))
    ]
    table = dry_run_result(load_study(overlapping_study(tmp_path, rows), data_path=()))
    assert table["reason"].to_list() == ["joint_collinear", "joint_collinear", None]
    assert table["detail"][0] == f"[-5, 5]: day 0 {dates[200]} is that of E2 too"


def test_permutation_has_no_counterpart_for_shared_days_and_sq_ranks_the_own_fit(tmp_path: Path) -> None:
    result = run(overlapping_study(tmp_path))
    for table, who in (("event_significance", {"event_id": "E1"}), ("significance", {"group": "all"})):
        rows = rows_of(result, table, test="permutation", window_start=0, **who)
        reasons = dict(zip(rows["window_end"], rows["unavailable"], strict=True))
        assert reasons[0] is None
        assert "shares days with another event" in reasons[1]
    ar = cell(result, "abnormal_returns", "ar", event_id="E2", relative_day=0)
    at = {"event_id": "E2", "window_start": 0, "window_end": 0}
    assert cell(result, "cars", "car", **at) != ar  # the joint fit has the rows of E1
    note = cell(result, "event_significance", "note", test="sq", **at)
    assert note == f"rank among {cell(result, 'fits', 'n_obs', event_id='E2')} estimation days"


def test_the_order_of_rows_changes_no_byte(tmp_path: Path) -> None:
    first = overlapping_study(tmp_path / "a")
    second = overlapping_study(tmp_path / "b")
    head, *rest = (second / "events.csv").read_text(encoding="utf-8").splitlines()
    (second / "events.csv").write_text("\n".join([head, *reversed(rest)]) + "\n", encoding="utf-8")
    assert texts(run(first)) == texts(run(second))


def test_what_cannot_be_joined_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r'"exclude" leaves nothing to \[events\] joint'):
        run(overlapping_study(tmp_path / "a", contamination={"policy": "exclude"}))
    monkeypatch.setattr("engine.inputs.JOINT_MODELS", ("mean_adjusted",))
    with pytest.raises(SpecError, match=r"joint = true has no regression for \[model\] name"):
        run(overlapping_study(tmp_path / "b"))


def test_the_telecoms_of_january_2021_as_in_statsmodels(shared_data: Path, tmp_path: Path) -> None:
    """China Mobile at the three decisions of the New York exchange, from the price files, sessions by the index."""

    def closes_of(symbol: str) -> dict[str, float]:
        table = pl.read_csv(shared_data / "prices" / f"{symbol}.csv", infer_schema=False)
        price = table.select("date", pl.col("adj_close").cast(pl.Float64)).drop_nulls()
        return dict(price.rows())

    share, index = closes_of("0941.HK"), closes_of("^HSI")
    days = [d for d in sorted(index) if "2019-06-01" < d < "2021-03-01"]
    y, x = (np.array([np.nan, *(s[b] / s[a] - 1 for a, b in pairwise(days))]) for s in (share, index))
    zero = [days.index(d) for d in ("2021-01-04", "2021-01-05", "2021-01-06")]
    events = [
        {"event_id": f"B{i}", "symbol": "0941.HK", "announced_at": d}
        for i, d in zip((9, 10, 11), ("2021-01-04", "2021-01-05", "2021-01-06"), strict=True)
    ]
    folder = make_study(
        tmp_path, events, {},
        events={"joint": True}, prices={"snapshot": str(shared_data)}, benchmark={"default": "^HSI"},
        sessions={"calendar": "exchange"},
        model={"name": "market", "estimation_window": [-260, -11], "min_estimation_days": 120},
        windows={"event": [-10, 10], "car": [[-1, 1]]},
    )  # fmt: skip
    estimation = range(zero[0] - 260, zero[0] - 10)
    car, se, _ = ols(y, [np.ones(len(y)), x], estimation, [[z - 1, z, z + 1] for z in zero])
    found = run(folder).tables["cars"].sort(pl.col("event_id").str.slice(1).cast(pl.Int64))
    assert found["car"].to_list() == pytest.approx(car.tolist(), rel=1e-9)
    assert found["se"].to_list() == pytest.approx(se.tolist(), rel=1e-9)
    assert [round(100 * c, 2) for c in found["car"]] == [0.81, 7.43, -6.03]
