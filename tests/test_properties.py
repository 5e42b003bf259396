"""Properties that every event study has, whatever the numbers: METHODS' list of what catches the mistakes of this field."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import closes, make_study, returns, run, simulated, tables_of, texts, weekdays
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models import ITERATIVE, MODELS
from engine.results import StudyResult, read_result, to_csv, write_result
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS
from engine.study import load_study, run_study

SYMBOLS = [f"S{i}" for i in range(6)]
DATES = weekdays(170)
ALL_TESTS = sorted(set(SIGNIFICANCE_TESTS) | set(EVENT_TESTS))
RESAMPLING = {"seed": 3, "draws": 199}

OIL = {"OIL": simulated(99, ["OIL"], len(DATES))["OIL"]}

few = settings(max_examples=8, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)
effects = st.floats(0.001, 0.5).flatmap(lambda size: st.sampled_from([size, -size]))
PEERS = ["P0", "P1"]  # the control portfolio of the model "matched"
SEARCHED = ["egarch", "garch", "gjr"]  # 50 ms a fit, and only for returns whose variance moves: a test of their own
every_model = pytest.mark.parametrize("model", sorted(set(MODELS) - set(SEARCHED)))


def study(events: list[dict[str, Any]], series: dict[str, Any], model: str = "market", **overrides: Any) -> StudyResult:
    with tempfile.TemporaryDirectory() as folder:
        named = tables_of(model, ["OIL"], PEERS) | overrides
        return run(make_study(Path(folder) / "study", events, OIL | series, **named))


def world(seed: int) -> dict[str, Any]:
    return simulated(seed, [*SYMBOLS, *PEERS], len(DATES))


def events_at(places: list[int]) -> list[dict[str, Any]]:
    return [{"event_id": f"e{i}", "symbol": SYMBOLS[i], "announced_at": DATES[p]} for i, p in enumerate(places)]


PLACES = [100, 100, 112, 120, 133, 150]
EVENTS = events_at(PLACES)


def changed(series: dict[str, Any], symbol: str, change: Any) -> dict[str, Any]:
    """The series with one symbol's values passed through ``change(position, value)``."""
    columns = series[symbol]
    values = [change(i, v) for i, v in enumerate(columns["return"])]
    return series | {symbol: returns(columns["date"], values)}


def matrix(result: StudyResult, column: str = "ar") -> np.ndarray:
    table = result.tables["abnormal_returns"].sort("event_id", "relative_day")
    return table[column].to_numpy().reshape(len(EVENTS), -1)


@every_model
@few
@given(seed=seeds, tau=effects, event=st.integers(0, 5), day=st.integers(-5, 5))
def test_a_planted_effect_raises_its_own_abnormal_return_and_nothing_else(
    model: str, seed: int, tau: float, event: int, day: int
) -> None:
    series = world(seed)
    planted = changed(series, SYMBOLS[event], lambda i, r: r + tau if i == PLACES[event] + day else r)
    before, after = study(EVENTS, series, model), study(EVENTS, planted, model)
    difference = matrix(after) - matrix(before)
    wanted = np.zeros_like(difference)
    wanted[event, day + 5] = tau
    np.testing.assert_allclose(difference, wanted, rtol=0, atol=1e-14)
    assert (difference != 0).sum() == 1
    assert texts(after)["fits"] == texts(before)["fits"]


@every_model
@few
@given(seed=seeds, shock=effects)
def test_event_window_returns_change_no_fit(model: str, seed: int, shock: float) -> None:
    """Neither the listing's nor the market's: the windows of all events here begin after session 94."""
    together = events_at([100] * 6)
    series = world(seed)
    shocked = dict(series)
    for symbol in ("MKT", *SYMBOLS):
        shocked = changed(shocked, symbol, lambda i, r: r + shock * (i % 7) if i >= 90 else r)
    before, after = study(together, series, model), study(together, shocked, model)
    assert texts(after)["fits"] == texts(before)["fits"]
    assert texts(after)["cars"] != texts(before)["cars"]


@every_model
@few
@given(seed=seeds, shock=effects)
def test_what_comes_after_the_event_window_changes_nothing(model: str, seed: int, shock: float) -> None:
    together = events_at([100] * 6)
    series = world(seed)
    later = dict(series)
    for symbol in ("MKT", *SYMBOLS):
        later = changed(later, symbol, lambda i, r: r + shock * (i % 7) if i > 105 else r)
    tests = {"significance": {"tests": sorted(set(ALL_TESTS) - {"permutation"})}, "resampling": RESAMPLING}
    assert texts(study(together, later, model, **tests)) == texts(study(together, series, model, **tests))


@few
@given(seed=seeds, c=st.floats(-3, 3))
def test_more_of_the_benchmark_leaves_market_model_abnormal_returns(seed: int, c: float) -> None:
    series = world(seed)
    market = series["MKT"]["return"]
    leaning = dict(series)
    for symbol in SYMBOLS:
        leaning = changed(leaning, symbol, lambda i, r: r + c * market[i])
    before, after = study(EVENTS, series), study(EVENTS, leaning)
    np.testing.assert_allclose(matrix(after), matrix(before), rtol=0, atol=1e-14)
    beta = "beta_market"
    np.testing.assert_allclose(after.tables["fits"][beta], before.tables["fits"][beta] + c, rtol=0, atol=1e-12)


@every_model
@few
@given(seed=seeds, c=st.floats(0.01, 20))
def test_scaling_all_returns_scales_cars_and_leaves_every_statistic(model: str, seed: int, c: float) -> None:
    series = world(seed)
    scaled = {s: returns(v["date"], [c * r for r in v["return"]]) for s, v in series.items()}
    of_cars = [t for t in ALL_TESTS if not t.startswith("bhar")]  # compounding is not linear in the returns
    options = {"significance": {"tests": of_cars}, "resampling": RESAMPLING}
    before, after = study(EVENTS, series, model, **options), study(EVENTS, scaled, model, **options)
    near = 1e-5 if model in ITERATIVE else 1e-8
    np.testing.assert_allclose(matrix(after), c * matrix(before), rtol=near, atol=1e-3 * near * c)
    np.testing.assert_allclose(matrix(after, "sar"), matrix(before, "sar"), rtol=near, atol=1e-3 * near)
    cars, scaled_cars = before.tables["cars"], after.tables["cars"]
    np.testing.assert_allclose(scaled_cars["car"], c * cars["car"], rtol=near, atol=1e-3 * near * c)
    np.testing.assert_allclose(scaled_cars["scar"], cars["scar"], rtol=near, atol=1e-3 * near)
    for name in ("significance", "event_significance"):
        old, new = before.tables[name], after.tables[name]
        assert new["unavailable"].equals(old["unavailable"])
        np.testing.assert_allclose(
            new["p_value"].fill_null(-1), old["p_value"].fill_null(-1), rtol=10 * near, atol=near
        )
        unit_free = ~pl.col("test").is_in(["permutation", "firm_permutation"])
        old, new = (t.filter(unit_free)["statistic"].fill_null(-99) for t in (old, new))
        np.testing.assert_allclose(new, old, rtol=near, atol=1e-3 * near)


@every_model
@few
@given(seed=seeds, cut=st.integers(-5, 4))
def test_cars_add_up_and_a_one_day_car_is_the_abnormal_return(model: str, seed: int, cut: int) -> None:
    windows = {"car": [[-5, 5], [-5, cut], [cut + 1, 5], *([[0, 0]] if cut not in (-1, 0) else [])]}
    if cut == -5:
        windows = {"car": [[-5, 5], [-5, -5], [-4, 5]]}
    result = study(EVENTS, world(seed), model, windows=windows)
    cars = result.tables["cars"].sort("event_id")

    def of(start: int, end: int, column: str = "car") -> np.ndarray:
        rows = cars.filter((pl.col("window_start") == start) & (pl.col("window_end") == end))
        return rows[column].to_numpy()

    np.testing.assert_allclose(of(-5, 5), of(-5, cut) + of(cut + 1, 5), rtol=0, atol=1e-14)
    one_day = {"car": [[d, d] for d in (-5, 0, 5)]}
    result = study(EVENTS, world(seed), model, windows=one_day)
    cars = result.tables["cars"].sort("event_id")
    for d in (-5, 0, 5):
        np.testing.assert_allclose(of(d, d), matrix(result)[:, d + 5], rtol=1e-14)
        np.testing.assert_allclose(of(d, d, "scar"), matrix(result, "sar")[:, d + 5], rtol=1e-12)
        np.testing.assert_allclose(of(d, d, "bhar"), matrix(result)[:, d + 5], rtol=0, atol=1e-15)


def irregular(seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Prices with gaps and a late start, repeated firms, own estimation windows, groups."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0, 0.01, len(DATES))
    series = {"MKT": closes(DATES, (100 * np.cumprod(1 + market)).tolist())}
    for i, symbol in enumerate(SYMBOLS):
        path = (50 * np.cumprod(1 + market + rng.normal(0, 0.02, len(DATES)))).tolist()
        for gap in rng.choice(len(DATES), 4, replace=False):
            path[gap] = None
        series[symbol] = closes(DATES[30 * (i == 2) :], path[30 * (i == 2) :])
    events = []
    for i, place in enumerate([100, 100, 110, 110, 125, 125, 140, 160]):
        own = [None, -40, -55][i % 3]
        events.append(
            {"event_id": f"e{i}", "symbol": SYMBOLS[(i * 5) % 6], "announced_at": DATES[place], "kind": "xy"[i % 2],
             "estimation_start": own, "estimation_end": None if own is None else -12}
        )  # fmt: skip
    return events, series


OPTIONS: dict[str, Any] = {
    "significance": {"tests": ALL_TESTS, "group_by": ["kind"]},
    "resampling": RESAMPLING,
    "limits": {"max_excluded_share": 0.5},
}


@pytest.mark.parametrize("model", SEARCHED)
def test_models_of_a_moving_variance_look_at_no_event_window_and_take_a_planted_effect(
    tmp_path: Path, model: str
) -> None:
    """Returns whose variance follows its own past, for 300 days before the events."""
    rng, days = np.random.default_rng(5), weekdays(400)
    market, noise, variance = rng.normal(0, 0.01, 400), np.zeros((3, 400)), np.full(3, 4e-4)
    for t in range(400):
        noise[:, t] = np.sqrt(variance) * rng.standard_normal(3)
        variance = 2e-5 + 0.15 * noise[:, t] ** 2 + 0.8 * variance
    series = {"MKT": returns(days, market.tolist())}
    series |= {f"S{i}": returns(days, (market + noise[i]).tolist()) for i in range(3)}
    events = [{"event_id": f"e{i}", "symbol": f"S{i}", "announced_at": days[370]} for i in range(3)]
    planted = changed(series, "S1", lambda i, r: r + 0.05 if i == 371 else r)
    options = {
        "model": {"name": model, "estimation_window": [-300, -11], "min_estimation_days": 200},
        "limits": {"max_excluded_share": 0.9},
    }
    before, after = (run(make_study(tmp_path / k, events, s, **options)) for k, s in (("a", series), ("b", planted)))
    assert texts(after)["fits"] == texts(before)["fits"]
    old, new = (r.tables["abnormal_returns"] for r in (before, after))
    difference = (new["ar"] - old["ar"]).to_numpy()
    wanted = np.where((old["event_id"] == "e1").to_numpy() & (old["relative_day"] == 1).to_numpy(), 0.05, 0.0)
    np.testing.assert_allclose(difference, wanted, rtol=0, atol=1e-14)
    assert wanted.sum() == pytest.approx(0.05)


@few
@given(seed=seeds, order=st.randoms(use_true_random=False))
def test_row_order_and_unrelated_symbols_change_no_byte(seed: int, order: random.Random) -> None:
    events, series = irregular(seed)
    shuffled: dict[str, Any] = {"UNRELATED": series["S0"], "AAA": closes(["2015-01-01"], [1.0])}
    for symbol, columns in series.items():
        rows = list(zip(*columns.values(), strict=True))
        order.shuffle(rows)
        shuffled[symbol] = dict(zip(columns, zip(*rows, strict=True), strict=True))
    mixed = list(events)
    order.shuffle(mixed)
    assert texts(study(mixed, shuffled, **OPTIONS)) == texts(study(events, series, **OPTIONS))


@few
@given(seed=seeds, weeks=st.integers(-200, 200).filter(bool))
def test_a_shift_by_weeks_changes_only_dates(seed: int, weeks: int) -> None:
    def moved(day: str) -> str:
        return (date.fromisoformat(day) + timedelta(weeks=weeks)).isoformat()

    events, series = irregular(seed)
    later_events = [e | {"announced_at": moved(e["announced_at"])} for e in events]
    later = {s: c | {"date": [moved(d) for d in c["date"]]} for s, c in series.items()}
    before, after = study(events, series, **OPTIONS), study(later_events, later, **OPTIONS)
    for name in ("fits", "cars", "averages", "significance", "event_significance"):
        assert to_csv(after.tables[name]) == to_csv(before.tables[name])
    same = before.tables["abnormal_returns"].with_columns(pl.col("date") + pl.duration(weeks=weeks))
    assert to_csv(after.tables["abnormal_returns"]) == to_csv(same)


@few
@given(seed=seeds, chosen=st.integers(0, 7), model=st.sampled_from(sorted(set(MODELS) - set(SEARCHED))))
def test_an_event_alone_and_in_a_batch_has_the_same_bytes(seed: int, chosen: int, model: str) -> None:
    """Events of other histories and estimation windows of other lengths are in the batch."""
    events, series = irregular(seed)
    loose = {"limits": {"max_excluded_share": 0.9}}
    alone, batch = study([events[chosen]], series, model, **loose), study(events, series, model, **loose)
    for name in ("fits", "abnormal_returns", "cars"):
        of_event = batch.tables[name].filter(pl.col("event_id") == f"e{chosen}")
        assert to_csv(alone.tables[name]) == to_csv(of_event)
        assert len(of_event)


@few
@given(seed=seeds)
def test_what_is_written_is_what_is_read(seed: int) -> None:
    events, series = irregular(seed)
    events[0] |= {"event_id": 'a "quoted", id', "kind": ""}
    events[1] |= {"event_id": "中芯国际\nsecond line", "kind": "None"}
    result = study(events, series, **OPTIONS)
    with tempfile.TemporaryDirectory() as folder:
        write_result(result, Path(folder) / "out")
        back = read_result(Path(folder) / "out")
    assert back.manifest == result.manifest
    for name, frame in result.tables.items():
        assert back.tables[name].equals(frame), name
    assert back == result


# A market whose every session has its own return, so that an off-by-one cannot pass.


@pytest.mark.parametrize("event_place", [100, 133])
def test_every_day_is_the_day_it_says(event_place: int) -> None:
    """Listing r_t = 0.001 + 3e-6 t, market r_t = 1e-6 t, t the session's number."""
    t = np.arange(len(DATES))
    series = {
        "MKT": returns(DATES, (1e-6 * t).tolist()),
        "S0": returns(DATES, (0.001 + 3e-6 * t).tolist()),
    }
    days = event_place + np.arange(-5, 6)
    events = [{"event_id": "e0", "symbol": "S0", "announced_at": DATES[event_place]}]
    adjusted = study(events, series, "market_adjusted").tables["abnormal_returns"]
    np.testing.assert_allclose(adjusted["actual"], 0.001 + 3e-6 * days, rtol=1e-12)
    np.testing.assert_allclose(adjusted["expected"], 1e-6 * days, rtol=1e-12)
    mean = study(events, series, "mean_adjusted")
    middle = event_place - (60 + 11) / 2
    fit = mean.tables["fits"].row(0, named=True)
    assert fit["alpha"] == pytest.approx(0.001 + 3e-6 * middle, rel=1e-12)
    assert fit["n_obs"] == 50
    assert fit["sigma"] == pytest.approx(3e-6 * np.std(np.arange(50), ddof=1), rel=1e-9)
    assert mean.tables["abnormal_returns"]["date"].cast(str).to_list() == DATES[event_place - 5 : event_place + 6]


def test_every_day_is_the_day_it_says_with_prices_on_exchange_sessions(tmp_path: Path) -> None:
    """New York in 2019: 4 July and the weekend are no sessions; 2019-07-05 14:00 is before that day's close."""
    from engine.sessions import exchange_sessions

    dates = [str(d) for d in exchange_sessions("XNYS", 2019).dates if str(d) >= "2019-01-02"]
    t = np.arange(len(dates))
    series = {
        "MKT": closes(dates, (100 * np.cumprod(1 + 1e-6 * t)).tolist()),
        "ABC": closes(dates, (100 * np.cumprod(1.001 + 3e-6 * t)).tolist()),
    }
    events = [{"event_id": "e0", "symbol": "ABC", "announced_at": "2019-07-05T14:00:00-04:00"}]
    folder = make_study(
        tmp_path, events, series, model={"name": "market_adjusted"}, sessions={"calendar": "exchange"}
    )  # fmt: skip
    rows = run(folder).tables["abnormal_returns"]
    place = dates.index("2019-07-05")
    assert dates[place - 1] == "2019-07-03"
    assert rows["date"].cast(str).to_list() == dates[place - 5 : place + 6]
    days = place + np.arange(-5, 6)
    np.testing.assert_allclose(rows["ar"], 0.001 + 2e-6 * days, rtol=1e-9)


RUN = "import sys; from engine import load_study, run_study; from engine.results import write_result; "
RUN += "from pathlib import Path; write_result(run_study(load_study(sys.argv[1], data_path=())), Path(sys.argv[2]))"


def test_one_core_and_two_cores_give_equal_bytes(tmp_path: Path) -> None:
    events, series = irregular(11)
    folder = make_study(tmp_path / "study", events, series, **OPTIONS)
    shutil.rmtree(folder / "data")
    frames = [pl.DataFrame(c).with_columns(pl.lit(s).alias("symbol")) for s, c in series.items()]
    (folder / "data").mkdir()
    pl.concat(frames).sample(fraction=1, shuffle=True, seed=1).write_parquet(folder / "data" / "all.parquet")
    outputs = []
    for cores in ("1", "2"):
        threads = dict.fromkeys(
            ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), cores
        )
        pinned = ["taskset", "-c", "0"] if cores == "1" and shutil.which("taskset") else []
        out = tmp_path / f"out{cores}"
        command = [*pinned, sys.executable, "-c", RUN, str(folder), str(out)]
        subprocess.run(command, check=True, env=os.environ | threads, timeout=60)
        outputs.append({p.name: p.read_bytes() for p in out.iterdir()})
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 14
    assert "influence.csv" in outputs[0]


def test_a_seed_gives_the_same_draws_and_another_seed_others(tmp_path: Path) -> None:
    events, series = irregular(4)
    folder = make_study(tmp_path, events, series, **OPTIONS)
    loaded = load_study(folder, data_path=())
    first, again = texts(run_study(loaded)), texts(run_study(loaded))
    other = texts(study(events, series, **(OPTIONS | {"resampling": RESAMPLING | {"seed": 4}})))
    assert first == again
    assert first["significance"] != other["significance"]
    assert {n: t for n, t in first.items() if n != "significance"} == {
        n: t for n, t in other.items() if n != "significance"
    }
