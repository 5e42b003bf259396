"""Returns from one trade to the next, against weighted least squares in statsmodels and plain loops over the prices."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from conftest import closes, make_study, rows_of, run, simulated, texts, weekdays
from scipy import stats
from test_second_implementation import SESSIONS, prices

from engine.abnormal import AbnormalReturns
from engine.errors import DataError, SpecError
from engine.models import BRIDGED
from engine.results import StudyResult
from engine.sessions import Window
from engine.study import dry_run_result, load_study

ESTIMATION, EVENT, WINDOWS = (-90, -11), (-5, 5), ((0, 0), (-1, 1), (-5, 5), (1, 4))
PAIRS = [(f"e{i}", f"S{i % 8:02d}", 210 + 11 * i) for i in range(16) if i % 8 not in (3, 7)]
TESTS = [
    "cross_sectional_t",
    "bmp",
    "patell",
    "corrado",
    "corrado_zivney",
    "grank_t",
    "sign",
    "permutation",
    "conformal",
]


def thin() -> dict[str, dict[str, float | None]]:
    """The prices of the irregular panel, every other listing traded on seven days out of ten."""
    rng = np.random.default_rng(8)
    made = {}
    for i, (symbol, path) in enumerate(prices().items()):
        rare = symbol.startswith("S") and i % 2 == 1
        made[symbol] = {d: None if rare and rng.random() < 0.3 else p for d, p in path.items()}
    return made


def study(folder: Path, named: str, **more: Any) -> Path:
    series = {s: closes(list(p), list(p.values())) for s, p in thin().items()}
    events = [{"event_id": e, "symbol": s, "announced_at": SESSIONS[at]} for e, s, at in PAIRS]
    options: dict[str, Any] = {
        "prices": {"returns": "log", "missing": "trade_to_trade"},
        "model": {"name": named, "estimation_window": list(ESTIMATION), "min_estimation_days": 30},
        "windows": {"event": list(EVENT), "car": [list(w) for w in WINDOWS]},
        "significance": {"tests": TESTS},
        "resampling": {"seed": 2, "draws": 199},
        "limits": {"max_excluded_share": 0.5},
    }
    if named == "factor":
        options["factors"] = {"columns": ["OIL"]}
    if named == "matched":
        options |= {"benchmark": {"default": "MKT", "baskets": {"peers": ["S01", "S04", "S10"]}}}
        options["model"]["peers"] = "peers"
    return make_study(folder, events, series, **(options | more))


Trade = tuple[int, float, list[float]]


def trades(symbol: str, names: list[str]) -> tuple[list[str], dict[int, Trade]]:
    """The market's days, and by day the sessions, the log return and the factors' from the price before; by plain loops."""
    table = thin()
    days = [d for d in SESSIONS if table["MKT"][d] is not None]
    held = {s: [table[s][d] for d in days] for s in (symbol, *names)}
    found: dict[int, Trade] = {}
    last = None
    for at in range(len(days)):
        now = held[symbol][at]
        if now is None:
            continue
        if last is not None:
            steps = [[(held[n][j - 1], held[n][j]) for j in range(last + 1, at + 1)] for n in names]
            if all(a is not None and b is not None for one in steps for a, b in one):
                before = held[symbol][last]
                found[at] = (
                    at - last,
                    math.log(now / before),
                    [math.fsum(math.log(b / a) for a, b in one) for one in steps],
                )
        last = at
    return days, found


def by_hand(symbol: str, place: int, model: str) -> dict[str, Any]:
    """One event: weighted least squares of the returns on their sessions and factors, weights one over the sessions."""
    names = {"mean_adjusted": [], "raw": [], "factor": ["MKT", "OIL"]}.get(model, ["MKT"])
    days, found = trades(symbol, names)
    zero = next(i for i, d in enumerate(days) if d >= SESSIONS[place])
    rows = [(t, *found[t]) for t in range(zero + ESTIMATION[0], zero + ESTIMATION[1] + 1) if t in found]
    n, r, f = (np.array([row[j] for row in rows], float) for j in (1, 2, 3))
    events = {d: found[zero + d] for d in range(EVENT[0], EVENT[1] + 1) if zero + d in found}
    if model in ("raw", "market_adjusted"):
        gap = (r - (f[:, 0] if model == "market_adjusted" else 0)) / np.sqrt(n)
        mean = (gap * np.sqrt(n)).sum() / n.sum()
        sigma = math.sqrt(((gap - mean * np.sqrt(n)) ** 2).sum() / (len(r) - 1))
        expected = {d: e[2][0] if model == "market_adjusted" else 0.0 for d, e in events.items()}
        design, ahead, params = None, None, []
    else:
        design = np.column_stack([n, f]) if f.size else n[:, None]
        fit = sm.WLS(r, design, weights=1 / n).fit()
        gap, sigma, params = (r - design @ fit.params) / np.sqrt(n), math.sqrt(fit.scale), fit.params.tolist()
        ahead = {d: np.array([e[0], *e[2]]) for d, e in events.items()}
        expected = {d: float(x @ fit.params) for d, x in ahead.items()}
    return {
        "n_obs": len(rows), "sigma": sigma, "params": params, "residuals": gap, "spans": {d: e[0] for d, e in events.items()},
        "ar": {d: e[1] - expected[d] for d, e in events.items()}, "ahead": ahead, "weights": 1 / n, "design": design,
        "rows": [row[0] - zero for row in rows],
    }  # fmt: skip


def car_and_se(one: dict[str, Any], window: tuple[int, int]) -> tuple[float, float] | None:
    """The sum of the returns that tile the window exactly, and its forecast error by matrices; None where they do not."""
    inside = [d for d in range(window[0], window[1] + 1) if d in one["ar"]]
    if sorted(day for d in inside for day in range(d - one["spans"][d] + 1, d + 1)) != list(
        range(window[0], window[1] + 1)
    ):
        return None
    variance = float(sum(one["spans"][d] for d in inside))
    if one["design"] is not None:
        ahead = np.array([one["ahead"][d] for d in inside])
        inverse = np.linalg.inv(one["design"].T @ (one["weights"][:, None] * one["design"]))
        variance += float((ahead @ inverse @ ahead.T).sum())
    return math.fsum(one["ar"][d] for d in inside), one["sigma"] * math.sqrt(variance)


def close(actual: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(wanted, float), rtol=1e-9, atol=1e-13)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], StudyResult]:
    made: dict[str, StudyResult] = {}

    def of(model: str) -> StudyResult:
        if model not in made:
            made[model] = run(study(tmp_path_factory.mktemp(model), model))
        return made[model]

    return of


MODELS = [m for m in BRIDGED if m != "matched"]


@pytest.mark.parametrize("model", MODELS)
def test_fits_and_abnormal_returns_are_those_of_weighted_least_squares(ours: Any, model: str) -> None:
    result = ours(model)
    wide = 0
    for row in result.tables["fits"].iter_rows(named=True):
        one = by_hand(row["symbol"], {e: at for e, _, at in PAIRS}[row["event_id"]], model)
        assert row["n_obs"] == one["n_obs"]
        close(row["sigma"], one["sigma"])
        names = [c for c in ("alpha", "beta_market", "beta_OIL") if c in row]
        close([row[c] for c in names], one["params"])
        days = rows_of(result, "abnormal_returns", event_id=row["event_id"]).filter(
            rows_of(result, "abnormal_returns", event_id=row["event_id"])["ar"].is_not_null()
        )
        assert days["relative_day"].to_list() == sorted(one["ar"])
        close(days["ar"], [one["ar"][d] for d in sorted(one["ar"])])
        close(days["sessions"], [one["spans"][d] for d in sorted(one["ar"])])
        wide += sum(n > 1 for n in one["spans"].values())
    assert wide > 10


@pytest.mark.parametrize("model", MODELS)
def test_a_car_is_there_where_the_returns_tile_its_window(ours: Any, model: str) -> None:
    result = ours(model)
    used, lost, bridged = 0, 0, 0
    for event_id, symbol, at in PAIRS:
        if not len(rows_of(result, "fits", event_id=event_id)):
            continue
        one = by_hand(symbol, at, model)
        for window in WINDOWS:
            wanted = car_and_se(one, window)
            row = rows_of(result, "cars", event_id=event_id, window_start=window[0], window_end=window[1])
            assert len(row) == (wanted is not None)
            if wanted is None:
                gone = rows_of(result, "exclusions", event_id=event_id, stage="window")["detail"].to_list()
                assert any(text.startswith(f"[{window[0]}, {window[1]}]: ") for text in gone)
                lost += 1
                continue
            close(row["car"], wanted[0])
            close(row["se"], wanted[1])
            used += 1
            bridged += len([d for d in range(window[0], window[1] + 1) if d in one["ar"]]) < window[1] - window[0] + 1
    assert used > 30
    assert lost > 5
    assert bridged > 5


def standard_ranks(ones: list[dict[str, Any]], window: tuple[int, int]) -> float:
    """Corrado and Zivney of residuals per square root of their sessions, each event ranked on its own days; loops."""
    scored: dict[int, list[float]] = {}
    for one in ones:
        values = dict(zip(one["rows"], one["residuals"].tolist(), strict=True))
        values |= {d: a / math.sqrt(one["spans"][d]) for d, a in one["ar"].items()}
        ordered = sorted(values.values())
        for day, value in values.items():
            rank = ordered.index(value) + 1 + (ordered.count(value) - 1) / 2
            scored.setdefault(day, []).append(rank / (len(values) + 1) - 0.5)
    z = {day: math.fsum(u) / math.sqrt(len(u)) for day, u in scored.items()}
    s = math.sqrt(math.fsum(v * v for v in z.values()) / len(z))
    length = window[1] - window[0] + 1
    return math.fsum(z.get(d, 0.0) for d in range(window[0], window[1] + 1)) / (math.sqrt(length) * s)


@pytest.mark.parametrize("window", WINDOWS)
def test_tests_on_cars_and_on_ranks(ours: Any, window: tuple[int, int]) -> None:
    result = ours("market")
    fitted = [by_hand(s, at, "market") for e, s, at in PAIRS if len(rows_of(result, "fits", event_id=e))]
    ones = [one for one in fitted if car_and_se(one, window) is not None]
    cars, ses = zip(*(car_and_se(one, window) or (0.0, 0.0) for one in ones), strict=True)
    scar = np.array(cars) / np.array(ses)
    rows = rows_of(result, "significance", window_start=window[0], window_end=window[1])
    found = {row["test"]: row for row in rows.iter_rows(named=True)}
    assert found["bmp"]["n"] == len(ones)
    close(found["bmp"]["statistic"], stats.ttest_1samp(scar, 0).statistic)
    close(found["cross_sectional_t"]["statistic"], stats.ttest_1samp(cars, 0).statistic)
    nu = np.array([one["n_obs"] - 2 for one in ones])
    close(found["patell"]["statistic"], scar.sum() / math.sqrt((nu / (nu - 2)).sum()))
    close(found["corrado_zivney"]["statistic"], standard_ranks(ones, window))
    assert found["permutation"]["p_value"] is not None


def test_pseudo_dates_hold_days_without_a_price(ours: Any) -> None:
    """A listing that trades on two days out of three has pseudo-dates all the same: as many as tile every window."""
    rows = rows_of(ours("market"), "event_significance", test="permutation", window_start=0, window_end=0, symbol="S00")
    draws = {int(text.split("(")[1][:-1]) for text in rows["distribution"]}
    days, found = trades("S00", ["MKT"])
    free = 0
    for at in range(len(days)):
        real = any(
            s == "S00" and abs(next(i for i, d in enumerate(days) if d >= SESSIONS[p]) - at) < 11 for _, s, p in PAIRS
        )
        history = sum(at + d in found for d in range(ESTIMATION[0], ESTIMATION[1] + 1)) >= 30
        free += history and not real and all(tiles(found, at, w) for w in WINDOWS)
    assert draws == {free}
    assert free > 20


def tiles(found: dict[int, Trade], at: int, window: tuple[int, int]) -> bool:
    """Whether the sessions of the returns on days of the window are the window's, each once."""
    days = range(at + window[0], at + window[1] + 1)
    return sorted(day for t in days if t in found for day in range(t - found[t][0] + 1, t + 1)) == list(days)


def test_days_that_no_return_covers_are_not_made_up_for_by_an_early_start() -> None:
    """Three sessions that end on the first day of the window, none on the next two, one on the last: four in all."""
    spans = np.array(
        [[3.0, np.nan, np.nan, 1.0], [1.0, np.nan, 2.0, 1.0], [2.0, 1.0, 1.0, 1.0], [1.0, np.nan, np.nan, 3.0]]
    )
    ar = np.where(np.isfinite(spans), 0.01, np.nan)
    abnormal = AbnormalReturns(Window(0, 3), ar, ar, ar, ar, spans)
    assert abnormal.complete(slice(0, 4)).tolist() == [False, True, False, True]
    assert abnormal.complete(slice(0, 3)).tolist() == [False, True, False, False]
    assert np.isnan(abnormal.by_day[0]).tolist() == [False, True, True, False]


def test_what_needs_returns_of_one_session_says_so(ours: Any) -> None:
    rows = rows_of(ours("market"), "event_significance", test="conformal")
    assert set(rows["unavailable"]) == {"fits again on returns of one session, and some of these run over several"}


def test_without_a_gap_it_is_the_ordinary_study(tmp_path: Path) -> None:
    """Every return covers one session: sqrt(1) = 1, and least squares with weights of one are least squares."""
    series = simulated(4, ["A", "B", "C"], 160)
    levels = {
        s: closes(weekdays(160), (50 * np.exp(np.cumsum(np.asarray(c["return"], float)))).tolist())
        for s, c in series.items()
    }
    events = [{"event_id": s, "symbol": s, "announced_at": weekdays(160)[100 + i]} for i, s in enumerate("ABC")]
    options = {"significance": {"tests": ["bmp", "corrado_zivney", "grank_t", "permutation", "firm_permutation", "sq"]}}
    options["resampling"] = {"seed": 1, "draws": 199}
    plain = run(make_study(tmp_path / "a", events, levels, prices={"returns": "log"}, **options))
    bridged = run(
        make_study(tmp_path / "b", events, levels, prices={"returns": "log", "missing": "trade_to_trade"}, **options)
    )
    for table in ("cars", "significance", "event_significance", "averages", "fits"):
        for column in plain.tables[table].columns:
            one, other = plain.tables[table][column], bridged.tables[table][column]
            if one.dtype.is_float():
                close(other.fill_null(0), one.fill_null(0))
            else:
                assert one.to_list() == other.to_list()


def test_the_average_path_ends_at_the_mean_car(ours: Any) -> None:
    """A return over several sessions counts on each of them in equal parts."""
    result = ours("market_adjusted")
    per_day: dict[int, list[float]] = {}
    for event_id, symbol, at in PAIRS:
        if not len(rows_of(result, "fits", event_id=event_id)):
            continue
        one = by_hand(symbol, at, "market_adjusted")
        for day, ar in one["ar"].items():
            for back in range(one["spans"][day]):
                if day - back >= EVENT[0]:
                    per_day.setdefault(day - back, []).append(ar / one["spans"][day])
    rows = rows_of(result, "averages", group="all").sort("relative_day")
    assert rows["n"].to_list() == [len(per_day[d]) for d in range(EVENT[0], EVENT[1] + 1)]
    close(rows["aar"], [np.mean(per_day[d]) for d in range(EVENT[0], EVENT[1] + 1)])


def test_the_dry_run_sees_the_same_losses(tmp_path: Path, ours: Any) -> None:
    dry = dry_run_result(load_study(study(tmp_path, "market"), data_path=()))
    lost = set(rows_of(ours("market"), "exclusions", stage="window")["event_id"])
    assert set(dry.filter(dry["stage"] == "window")["event_id"]) == lost


def test_the_same_bytes_in_any_order(tmp_path: Path, ours: Any) -> None:
    folder = study(tmp_path, "matched")
    rows = (folder / "events.csv").read_text(encoding="utf-8").splitlines()
    (folder / "events.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n", encoding="utf-8")
    assert texts(run(folder)) == texts(ours("matched"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prices": {"returns": "simple", "missing": "trade_to_trade"}}, 'it needs returns = "log"'),
        (
            {"model": {"name": "dimson", "estimation_window": [-90, -11], "min_estimation_days": 30}},
            'has no \\[model\\] name = "dimson"',
        ),
        ({"events": {"joint": True}}, "does not go with \\[events\\] joint"),
        ({"outcome": {"name": "log_volume"}}, "does not go with \\[outcome\\]"),
    ],
)
def test_what_it_does_not_go_with(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_study(study(tmp_path, "market", **change), data_path=())


def test_a_return_series_has_no_price_to_bridge_with(tmp_path: Path) -> None:
    events = [{"event_id": "e", "symbol": "A", "announced_at": weekdays(160)[120]}]
    options = {"prices": {"returns": "log", "missing": "trade_to_trade"}}
    folder = make_study(tmp_path, events, simulated(4, ["A"], 160), **options)
    with pytest.raises(DataError, match="A holds returns, and a gap between prices"):
        run(folder)
