"""Make fixtures/conformance anew: `python tests/conformance.py [FOLDER]`. Nothing here knows the package under test.

Panels come from fixed seeds; the numbers from second.py and second_models.py, statsmodels and scipy. Where a test draws at
random, the expected p-value is that of all draws written out, and settings.json gives the number of draws to allow for.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import second
import second_models
from scipy import integrate, optimize

PACK = Path(__file__).resolve().parent.parent / "fixtures" / "conformance"
DIGITS = 15
WINDOW, WINDOWS = (-5, 5), ((-1, 1), (0, 0), (-5, 5))
ESTIMATION, MIN_DAYS = (-60, -11), 20
LONG = (-400, -11)
PEERS = ("S1", "S3", "S4", "S6")
KEYS: dict[str, dict[str, Any]] = {
    "dimson": {"leads_lags": 2},
    "rolling": {"window": 15},
    "exponential": {"half_life": 8.0},
    "matched": {"peers": list(PEERS), "weights": "equal"},
    "custom": {"expected": "mean(R - benchmark / 2) + benchmark / 2"},
}
FEW_TESTS = (
    "cross_sectional_t",
    "crude_dependence_t",
    "bmp",
    "kolari_pynnonen",
    "corrado_zivney",
    "grank_t",
    "generalized_sign",
)
WITHOUT_V = ("lad", "huber", "theil_sen", "custom")  # no standard error of a CAR
NEEDS_V = ("bmp", "kolari_pynnonen", "grank_t")
CONDITIONAL = ("garch", "gjr", "egarch")
COEFFICIENTS = {"garch": ("omega", "arch", "garch"), "gjr": ("omega", "arch", "asymmetry", "garch")}
COEFFICIENTS["egarch"] = COEFFICIENTS["gjr"]
DRAWS = 9999
# Of New York, where a symbol without a suffix trades.
HOLIDAYS = (
    "2015-01-01", "2015-01-19", "2015-02-16", "2015-04-03", "2015-05-25", "2015-07-03", "2015-09-07", "2015-11-26",
    "2015-12-25", "2016-01-01", "2016-01-18", "2016-02-15", "2016-03-25", "2016-05-30", "2016-07-04", "2016-09-05",
)  # fmt: skip

Rows = list[dict[str, Any]]


# Panels


def weekdays(count: int) -> list[str]:
    """The sessions of New York from 2015 on."""
    days, day = [], date(2015, 1, 1)
    while len(days) < count:
        if day.weekday() < 5 and day.isoformat() not in HOLIDAYS:
            days.append(day.isoformat())
        day += timedelta(days=1)
    return days


def irregular() -> dict[str, dict[str, float | None]]:
    """Eight listings, a benchmark and oil: gaps, a late start, a day without the benchmark; S1, S3 and S5 are whole."""
    days, rng = weekdays(150), np.random.default_rng(8)
    market, common = rng.normal(0.0003, 0.012, 150), rng.normal(0, 0.005, 150)
    made = {"MKT": path(days, market, 1000.0), "OIL": path(days, 0.4 * market + rng.normal(0, 0.02, 150), 60.0)}
    for i in range(8):
        own = (0.5 + i / 8) * market + common + rng.standard_t(4, 150) * 0.012
        made[f"S{i}"] = path(days, own, 20.0 + i)
        if i not in (1, 3, 5):
            for j in 12 + rng.choice(60, 3, replace=False):
                made[f"S{i}"][days[j]] = None
    made["S2"][days[99]] = None  # in the event window of one event, outside its narrow windows
    made["S7"] |= dict.fromkeys(days[:95])
    made["MKT"][days[50]] = None
    return made


def volatile() -> dict[str, dict[str, float | None]]:
    """Two listings whose variance follows its own past, for the models that have an equation for it."""
    days, rng = weekdays(430), np.random.default_rng(5)
    market = rng.normal(0.0003, 0.012, 430)
    made = {"MKT": path(days, market, 1000.0)}
    for i in range(2):
        variance, shock, own = 4e-4, 0.0, []
        for m in market:
            variance = 3e-5 + (0.1 + 0.12 * (shock < 0)) * shock**2 + 0.75 * variance
            shock = math.sqrt(variance) * rng.standard_normal()
            own.append((0.7 + 0.6 * i) * m + shock)
        made[f"V{i}"] = path(days, np.array(own), 50.0)
    return made


def path(days: Sequence[str], changes: np.ndarray, start: float) -> dict[str, float | None]:
    return dict(zip(days, (start * np.cumprod(1 + changes)).round(6).tolist(), strict=True))


PANELS: dict[str, Callable[[], dict[str, dict[str, float | None]]]] = {"irregular": irregular, "volatile": volatile}


def staggered() -> list[second.Event]:
    """Nine events on six dates; five of them are of kind a."""
    days = weekdays(150)
    at = (80, 80, 95, 95, 108, 118, 118, 128, 138)
    firms = ("S0", "S1", "S2", "S3", "S4", "S5", "S0", "S6", "S7")
    return [
        second.Event(f"e{i}", s, days[d], ESTIMATION, "ab"[i % 2])
        for i, (d, s) in enumerate(zip(at, firms, strict=True))
    ]


def one_date() -> list[second.Event]:
    return [second.Event(f"d{s}", s, weekdays(150)[100], ESTIMATION, "a") for s in ("S1", "S3", "S5")]


# Tables


def days_of(window: tuple[int, int]) -> list[int]:
    return list(range(window[0], window[1] + 1))


def fits_rows(fitted: Sequence[second.Fitted], names: Sequence[str]) -> Rows:
    return [
        {
            "event_id": f.event.event_id,
            "symbol": f.event.symbol,
            "n_obs": len(f.residuals),
            "dof": f.dof,
            "sigma": f.sigma,
            "r2": f.r2,
        }
        | dict(zip(names, f.params, strict=False))
        for f in fitted
    ]


def daily_rows(fitted: Sequence[second.Fitted], model: str) -> Rows:
    return [
        {
            "event_id": f.event.event_id, "symbol": f.event.symbol, "relative_day": d, "ar": f.ar(d),
            "sar": f.sar(d) if model not in WITHOUT_V else None,
        }
        for f in fitted for d in days_of(WINDOW) if d in f.actual
    ]  # fmt: skip


def cars_rows(fitted: Sequence[second.Fitted], model: str, alternative: str) -> Rows:
    rows = []
    for f in fitted:
        for window in WINDOWS:
            days = days_of(window)
            if not f.complete(days):
                continue
            row = keyed(f, window) | {"car": f.car(days), "bhar": f.bhar(days, f.log)}
            if model not in WITHOUT_V:
                t, p = second.forecast_error_t(f, days, alternative)
                row |= {"se": f.variance(days) ** 0.5, "t": t, "p_value": p}
            rows.append(row)
    return rows


def keyed(f: second.Fitted, window: tuple[int, int]) -> dict[str, Any]:
    return {"event_id": f.event.event_id, "symbol": f.event.symbol, "window_start": window[0], "window_end": window[1]}


def group_row(
    group: str, window: tuple[int, int], test: str, sample: Sequence[second.Fitted], statistic: float, p: float
) -> dict[str, Any]:
    mean = math.fsum(f.car(days_of(window)) for f in sample) / len(sample)
    return {
        "group": group, "window_start": window[0], "window_end": window[1], "test": test, "n": len(sample), "estimate": mean,
        "statistic": statistic, "p_value": p,
    }  # fmt: skip


def tested(fitted: Sequence[second.Fitted], tests: Iterable[str], alternative: str) -> Rows:
    rows = []
    for group in ("all", "kind=a", "kind=b"):
        for window in WINDOWS:
            days = days_of(window)
            sample = [f for f in fitted if group in ("all", f"kind={f.event.kind}") and f.complete(days)]
            for test in tests if len(sample) > 3 else ():
                statistic, distribution = second.GROUP_TESTS[test](sample, days, days_of(WINDOW))
                if test in second.EXACT_P:
                    p = second.EXACT_P[test](sample, days, alternative)
                else:
                    p = second.p_value(statistic, distribution, alternative)
                if math.isfinite(statistic) and math.isfinite(p):
                    rows.append(group_row(group, window, test, sample, statistic, p))
    return rows


def single(fitted: Sequence[second.Fitted], alternative: str) -> Rows:
    rows = []
    for name, test in second.EVENT_TESTS.items():
        for f in fitted:
            for window in WINDOWS:
                if f.complete(days_of(window)) and (name != "sq" or window[0] == window[1]):
                    statistic, p = test(f, days_of(window), alternative)
                    rows.append(
                        keyed(f, window)
                        | {"test": name, "estimate": f.car(days_of(window)), "statistic": statistic, "p_value": p}
                    )
    return rows


# Cases


def case(
    folder: Path, panel: str, events: Sequence[second.Event], settings: dict[str, Any], tables: dict[str, Rows]
) -> None:
    """Settings, events and expected tables of one case."""
    folder.mkdir(parents=True, exist_ok=True)
    base = {
        "panel": panel, "benchmark": "MKT", "factors": [], "returns": "simple", "estimation_window": list(ESTIMATION),
        "min_estimation_days": MIN_DAYS, "event_window": list(WINDOW), "windows": [list(w) for w in WINDOWS],
        "group_by": ["kind"],
        "alternative": "two-sided", "draws": DRAWS, "controls": [], "monte_carlo": [], "tolerance": {"default": 1e-8},
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(base | settings, indent=1) + "\n", encoding="utf-8")
    rows = [{"event_id": e.event_id, "symbol": e.symbol, "announced_at": e.day, "kind": e.kind} for e in events]
    for name, made in {"events": rows, **tables}.items():
        write(folder / f"{name}.csv", made)


def write(path: Path, rows: Rows) -> None:
    columns = list(dict.fromkeys(k for row in rows for k in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([cell(row.get(c)) for c in columns] for row in rows)


def cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def of_second(folder: Path, model: str, returns: str, alternative: str) -> None:
    """The models of second.py with every test that needs no draws."""
    prices, factors = irregular(), ("OIL",) if model == "factor" else ()
    shape = second.Design("MKT", model, returns == "log", WINDOW, MIN_DAYS, factors)
    fitted, _ = second.fit_all(staggered(), prices, shape)
    names = {"mean_adjusted": ("alpha",), "market_adjusted": ()}.get(
        model, ("alpha", "beta_market", *(f"beta_{f}" for f in factors))
    )
    tables = {
        "fits": fits_rows(fitted, names), "abnormal_returns": daily_rows(fitted, model),
        "cars": cars_rows(fitted, model, alternative),
        "significance": tested(fitted, second.GROUP_TESTS, alternative), "event_significance": single(fitted, alternative),
    }  # fmt: skip
    settings = {
        "model": {"name": model}, "returns": returns, "alternative": alternative, "factors": list(factors),
        "tests": [*second.GROUP_TESTS, *second.EVENT_TESTS],
    }  # fmt: skip
    case(folder, "irregular", staggered(), settings, tables)


def of_second_models(folder: Path, model: str) -> None:
    """The models of second_models.py with a few tests."""
    prices = irregular()
    sessions = second.sessions_of(prices, "MKT")
    made = second_models.fit_all(
        model, KEYS.get(model, {}), staggered(), prices, "MKT", PEERS, WINDOW, MIN_DAYS, sessions
    )
    fitted = [f for f in made.values() if isinstance(f, second.Fitted)]
    for f in fitted:
        if model == "raw":
            f.expected = dict.fromkeys(f.expected, 0.0)
    lines = () if model in ("raw", "matched", "custom") else ("alpha", "beta_market")
    fits = fits_rows(fitted, lines)
    for row in fits if model in ("rolling", "exponential") else ():
        del row["n_obs"]  # the first returns have no forecast, and whether they count is a matter of words
    tests = [t for t in FEW_TESTS if not (model in WITHOUT_V and t in NEEDS_V)]
    tables = {
        "fits": fits, "abnormal_returns": daily_rows(fitted, model),
        "cars": cars_rows(fitted, model, "two-sided"), "significance": tested(fitted, tests, "two-sided"),
    }  # fmt: skip
    case(
        folder,
        "irregular",
        staggered(),
        {"model": {"name": model} | KEYS.get(model, {}), "tests": list(FEW_TESTS)},
        tables,
    )


def of_one_date(folder: Path) -> None:
    """Three listings on one date: tests of one regression, every other date, every other listing."""
    prices, events = irregular(), one_date()
    shape = second.Design("MKT", "market", False, WINDOW, MIN_DAYS)
    fitted, _ = second.fit_all(events, prices, shape)
    significance, alone = [], []
    controls = [f"S{i}" for i in (0, 2, 4, 6)]
    for window in WINDOWS:
        days, real = days_of(window), [f.car(days_of(window)) for f in fitted]
        for test in (second.portfolio_t, second.sur_f):
            statistic, law = test(fitted, days, days_of(WINDOW))
            p = float(law.sf(statistic)) if test is second.sur_f else second.p_value(statistic, law, "two-sided")
            significance.append(group_row("all", window, test.__name__, fitted, statistic, p))
        draws = second.pseudo_cars(events, prices, shape, days)
        p = second.permutation_p(float(np.mean(real)), [float(np.mean(d)) for d in draws], "two-sided")
        significance.append(group_row("all", window, "permutation", fitted, float(np.mean(real)), p))
        for i, f in enumerate(fitted):
            p = second.permutation_p(real[i], [d[i] for d in draws], "two-sided")
            alone.append(
                keyed(f, window) | {"test": "permutation", "estimate": real[i], "statistic": real[i], "p_value": p}
            )
        value, p = among_listings(fitted, controls, prices, shape, days)
        significance.append(group_row("all", window, "firm_permutation", fitted, value, p))
    tables = {
        "fits": fits_rows(fitted, ("alpha", "beta_market")), "cars": cars_rows(fitted, "market", "two-sided"),
        "significance": significance, "event_significance": alone,
    }  # fmt: skip
    settings = {
        "model": {"name": "market"}, "tests": ["portfolio_t", "sur_f", "permutation", "firm_permutation"], "group_by": [],
        "controls": controls, "monte_carlo": ["firm_permutation"],
    }  # fmt: skip
    case(folder, "irregular", events, settings, tables)


def among_listings(
    fitted: Sequence[second.Fitted], controls: Sequence[str], prices: Any, shape: second.Design, days: Sequence[int]
) -> tuple[float, float]:
    """The mean CAR less that of the pool, and the share of all ways to draw as many listings that are as extreme."""
    place = fitted[0].position
    others = [second.fit_event(second.Event("", s, "", ESTIMATION, ""), place, prices, shape) for s in controls]
    pool = [f.car(days) for f in fitted]
    pool += [f.car(days) for f in others if isinstance(f, second.Fitted) and f.complete(days_of(WINDOW))]
    centre, own = float(np.mean(pool)), float(np.mean([f.car(days) for f in fitted]))
    drawn = [abs(float(np.mean(c)) - centre) for c in combinations(pool, len(fitted))]
    return own - centre, sum(d >= abs(own - centre) - 1e-12 for d in drawn) / len(drawn)


def of_bootstraps(folder: Path) -> None:
    """Six date clusters, five events of a kind: every sign change, every draw of clusters, every resample."""
    shape = second.Design("MKT", "market", False, WINDOW, MIN_DAYS)
    fitted, _ = second.fit_all(staggered(), irregular(), shape)
    significance = []
    for window in WINDOWS[:2]:
        sample = [f for f in fitted if f.complete(days_of(window))]
        clusters = [[f.car(days_of(window)) for f in c] for c in second.date_clusters(sample)]
        assert len(clusters) == 6
        t, _ = second.cluster_t(clusters)
        p = {
            "wild_bootstrap": second.wild_p(clusters, "two-sided"),
            "block_bootstrap": second.block_p(clusters, list(product(range(6), repeat=6)), "two-sided"),
        }
        significance += [group_row("all", window, test, sample, t, value) for test, value in p.items()]
        five = [f for f in sample if f.event.kind == "a"]
        assert len(five) == 5
        values = [f.bhar(days_of(window), False) for f in five]
        p_bhar = second.resampled_p(values, list(product(range(5), repeat=5)), "two-sided")
        statistic = second.skewness_adjusted(values, 0.0)
        significance.append(group_row("kind=a", window, "bhar_bootstrap", five, statistic, p_bhar))
    settings = {
        "model": {"name": "market"}, "tests": ["wild_bootstrap", "block_bootstrap", "bhar_bootstrap"],
        "monte_carlo": ["block_bootstrap", "bhar_bootstrap"],
    }  # fmt: skip
    case(folder, "irregular", staggered(), settings, {"significance": significance})


def of_variance_equations(folder: Path, model: str) -> None:
    """Maximum likelihood by our own likelihood and a simplex from several starts."""
    prices = volatile()
    days, sessions = weekdays(430), second.sessions_of(prices, "MKT")
    events = [second.Event(f"v{i}", f"V{i}", days[415], LONG, "a") for i in range(2)]
    market = second.returns_on(prices["MKT"], sessions, False)
    fits, cars = [], []
    for event in events:
        own, at = second.returns_on(prices[event.symbol], sessions, False), 415
        rows = [i for i in range(at + LONG[0], at + LONG[1] + 1) if own[i] is not None]
        y, x = np.array([own[i] for i in rows], float), np.array([market[i] for i in rows], float)
        p = most_likely(model, y, x)
        fits.append({"event_id": event.event_id, "symbol": event.symbol, "n_obs": len(rows), "dof": len(rows) - 2} | p)
        for window in WINDOWS:
            expected = [p["alpha"] + p["beta_market"] * float(market[at + d] or 0.0) for d in days_of(window)]
            car = math.fsum(float(own[at + d] or 0.0) - e for d, e in zip(days_of(window), expected, strict=True))
            cars.append(
                {
                    "event_id": event.event_id,
                    "symbol": event.symbol,
                    "window_start": window[0],
                    "window_end": window[1],
                    "car": car,
                }
            )
    loose = dict.fromkeys(COEFFICIENTS[model], 2e-3) | {"alpha": 1e-3, "beta_market": 1e-4, "sigma": 1e-3, "car": 1e-3}
    settings = {
        "model": {"name": model}, "estimation_window": list(LONG), "tests": ["cross_sectional_t"],
        "tolerance": {"default": 1e-8} | loose,
    }  # fmt: skip
    case(folder, "volatile", events, settings, {"fits": fits, "cars": cars})


def most_likely(model: str, y: np.ndarray, x: np.ndarray) -> dict[str, float]:
    """Coefficients and unconditional sigma at the top of the likelihood, searched on standardised series."""
    dx, dy = x - x.mean(), y - y.mean()
    slope = (dx * dy).sum() / (dx * dx).sum()
    scale, unit = math.sqrt(((dy - slope * dx) ** 2).sum() / (len(y) - 2)), x.std()
    v, u = dy / scale, dx / unit

    def cost(p: np.ndarray) -> float:
        inside = (
            p[-1] >= 0
            and p[-1] < 1
            and (model == "egarch" or (p[2] > 0 and p[3] >= 0 and p[3] + (p[4] if model == "gjr" else 0) >= 0))
        )
        return -second_models.log_likelihood(model, p.tolist(), v, u) if inside else 1e10

    tails = {"garch": [(0.1, 0.1, 0.8), (0.3, 0.2, 0.5)], "gjr": [(0.1, 0.05, 0.1, 0.8), (0.2, 0.1, 0.2, 0.6)]}
    starts = tails.get(model, [(0.0, 0.2, -0.1, 0.9), (0.0, 0.3, -0.2, 0.7)])
    tight = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000}
    best = min(
        (
            optimize.minimize(
                cost, [0.0, slope * unit / scale, *s], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-5}
            )
            for s in starts
        ),
        key=lambda found: found.fun,
    )
    for _ in range(3):  # a simplex that has shrunk is begun anew where it ended
        best = optimize.minimize(cost, best.x, method="Nelder-Mead", options=tight)
    p = best.x.tolist()
    beta = p[1] * scale / unit
    alpha = y.mean() - beta * x.mean() + p[0] * scale
    omega = p[2] * scale**2 if model != "egarch" else p[2] + (1 - p[-1]) * 2 * math.log(scale)
    variance = dict(zip(COEFFICIENTS[model], [omega, *p[3:]], strict=True))
    return {"sigma": scale * unconditional(model, p[2:]), "alpha": alpha, "beta_market": beta} | variance


def unconditional(model: str, p: Sequence[float]) -> float:
    if model != "egarch":
        leverage = p[2] / 2 if model == "gjr" else 0.0
        return math.sqrt(p[0] / (1 - p[1] - leverage - p[-1]))
    omega, a, g, b = p
    logs, power = omega / (1 - b), 1.0
    while power > 1e-14:  # the expectation of each factor of the product, by quadrature
        mean, _ = integrate.quad(
            lambda z, k=power: math.exp(k * (a * (abs(z) - math.sqrt(2 / math.pi)) + g * z) - z * z / 2) / math.sqrt(2 * math.pi),
            -12, 12, points=[0.0],
        )  # fmt: skip
        logs, power = logs + math.log(mean), power * b
    return math.exp(logs / 2)


def build(pack: Path, searches: bool = True) -> None:
    """Every panel and case; searches: also those of variance equations, which take a minute."""
    for name, made in PANELS.items():
        prices = made()
        days = sorted({d for series in prices.values() for d in series})
        rows = [{"date": d} | {s: series.get(d) for s, series in prices.items()} for d in days]
        (pack / "panels").mkdir(parents=True, exist_ok=True)
        write(pack / "panels" / f"{name}.csv", rows)
    for model in ("market", "market_adjusted", "mean_adjusted", "factor"):
        of_second(pack / model, model, "simple", "two-sided")
    of_second(pack / "market-log-greater", "market", "log", "greater")
    of_second(pack / "factor-log-less", "factor", "log", "less")
    for model in second_models.FITS:
        of_second_models(pack / model, model)
    for model in CONDITIONAL if searches else ():
        of_variance_equations(pack / model, model)
    of_one_date(pack / "one-date")
    of_bootstraps(pack / "bootstraps")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else PACK)
