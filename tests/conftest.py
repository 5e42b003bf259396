"""Builders that the tests share: a study folder with its prices, written from literals."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import load_study, run_study
from engine.results import StudyResult, to_csv
from engine.sessions import Window
from engine.significance import CarSample, PseudoCars, PseudoFirms, Regressions, Resampling

NO_SHARED_DATA = "the shared market data are not on the data path (EVENTSTUDY_DATA)"

DEFAULTS: dict[str, Any] = {
    "title": "A made-up study",
    "events": {"file": "events.csv", "reaction": "close", "stamp": "announced_at", "max_gap_days": 7},
    "prices": {"snapshot": "data", "returns": "simple"},
    "benchmark": {"default": "MKT"},
    "sessions": {"calendar": "benchmark"},
    "model": {"name": "market", "estimation_window": [-60, -11], "min_estimation_days": 20},
    "windows": {"event": [-5, 5], "car": [[0, 0], [-1, 1], [-5, 5]]},
    "significance": {"tests": ["cross_sectional_t", "forecast_error_t"]},
}


@pytest.fixture
def shared_data() -> Path:
    """The shared snapshot ``market-data``, found along EVENTSTUDY_DATA."""
    for entry in os.environ.get("EVENTSTUDY_DATA", "").split(os.pathsep):
        for path in (Path(entry), Path(entry) / "market-data"):
            if entry.strip() and path.name == "market-data" and path.is_dir():
                return path
    pytest.skip(NO_SHARED_DATA)


@pytest.fixture
def only_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Yahoo's client as on its first day, and a proxy that fails at once for whatever is not on this machine."""
    import yfinance as yf  # 1 s: only where it is asked
    from yfinance.cache import _CookieCacheManager, _TzCacheManager
    from yfinance.data import SingletonMeta

    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yf.set_tz_cache_location(str(tmp_path / "yfinance"))
    _TzCacheManager._tz_cache = None
    _CookieCacheManager._Cookie_cache = None
    SingletonMeta._instances.clear()


def make_study(
    folder: Path,
    events: Sequence[Mapping[str, Any]],
    series: Mapping[str, Mapping[str, Sequence[Any]]],
    /,
    **overrides: Any,
) -> Path:
    """Write ``study.toml``, ``events.csv`` and the snapshot ``data/`` into ``folder``; returns the folder.

    events: one mapping a row. series: symbol -> columns of its file (`closes`, `returns`); None is an empty cell.
    overrides: a table of study.toml with the keys to change (``model={"name": "mean_adjusted"}``); a key or a table
    that is None is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = {k: dict(v) if isinstance(v, dict) else v for k, v in DEFAULTS.items()}
    for name, value in overrides.items():
        spec[name] = spec.get(name, {}) | value if isinstance(value, dict) else value
    (folder / "study.toml").write_text(to_toml(spec), encoding="utf-8")
    write_rows(folder / "events.csv", events)
    for symbol, columns in series.items():
        write_columns(folder / "data" / f"{symbol}.csv", columns)
    if spec["model"]["name"] == "custom" and "file" in spec["model"]:
        (folder / spec["model"]["file"]).write_text(OWN_MODEL, encoding="utf-8")
    return folder


def to_toml(spec: Mapping[str, Any]) -> str:
    """TOML of plain keys and tables, or tables of tables; what is None is left out."""
    lines = [f"{k} = {_toml(v)}" for k, v in spec.items() if v is not None and not isinstance(v, Mapping)]
    for name, table in spec.items():
        if isinstance(table, Mapping) and not (table and all(isinstance(v, Mapping) for v in table.values())):
            lines += ["", f"[{name}]", *(f"{k} = {_toml(v)}" for k, v in table.items() if v is not None)]
        elif isinstance(table, Mapping):
            for key, one in table.items():
                lines += ["", f"[{name}.{key}]", *(f"{k} = {_toml(v)}" for k, v in one.items() if v is not None)]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A CSV file of rows; columns in order of first appearance."""
    columns = list(dict.fromkeys(k for row in rows for k in row))
    write_columns(path, {c: [row.get(c) for row in rows] for c in columns})


def write_columns(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """A CSV file of columns; floats with all their digits, None as an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(map(_cell, values) for values in columns.values()), strict=True))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def weekdays(n: int, first: str = "2015-01-01") -> list[str]:
    """The n days from ``first`` on that are Monday to Friday."""
    days, day = [], date.fromisoformat(first)
    while len(days) < n:
        if day.weekday() < 5:
            days.append(day.isoformat())
        day += timedelta(days=1)
    return days


def closes(dates: Sequence[str], values: Sequence[float | None]) -> dict[str, Sequence[Any]]:
    """The file of a price series."""
    return {"date": dates, "close": values}


def returns(dates: Sequence[str], values: Sequence[float | None]) -> dict[str, Sequence[Any]]:
    """The file of a return series."""
    return {"date": dates, "return": values}


def simulated(seed: int, symbols: Sequence[str], sessions: int, first: str = "2015-01-01") -> dict[str, Any]:
    """Return series of a market ``MKT`` and of ``symbols`` with betas between 0.5 and 1.5 on it."""
    rng = np.random.default_rng(seed)
    dates = weekdays(sessions, first)
    market = rng.normal(0.0003, 0.01, sessions)
    made = {"MKT": returns(dates, market.tolist())}
    for symbol in symbols:
        own = 0.0002 + rng.uniform(0.5, 1.5) * market + rng.normal(0, 0.02, sessions)
        made[symbol] = returns(dates, own.tolist())
    return made


def run(folder: Path) -> StudyResult:
    """Load and run a study folder, looking for prices nowhere else; its own model, if it has one, may run."""
    return run_study(load_study(folder, data_path=(), allow_code=True))


# The keys of [model] that a model needs in the short windows of the tests.
MODEL_KEYS: dict[str, dict[str, Any]] = {
    "dimson": {"leads_lags": 2},
    "rolling": {"window": 15},
    "exponential": {"half_life": 8.0},
    "matched": {"peers": "peers", "weights": "equal"},
    "custom": {"file": "own_model.py", "function": "half_the_benchmark"},
}
OWN_MODEL = """
import numpy as np


def half_the_benchmark(returns, regressors, event_regressors):
    level = (returns - regressors[0] / 2).mean()
    return level + event_regressors[0] / 2, returns - level - regressors[0] / 2
"""


def tables_of(model: str, factors: Sequence[str], peers: Sequence[str]) -> dict[str, Any]:
    """The tables of study.toml that choose a model, for `make_study`."""
    return {
        "model": {"name": model} | MODEL_KEYS.get(model, {}),
        "factors": {"columns": list(factors)} if model == "factor" else None,
        "benchmark": {"default": "MKT", "baskets": {"peers": list(peers)}},
    }


def texts(result: StudyResult) -> dict[str, str]:
    """Every table of a result as the CSV text that is written."""
    return {name: to_csv(frame) for name, frame in result.tables.items()}


def rows_of(result: StudyResult, table: str, **where: Any) -> pl.DataFrame:
    """The rows of a result table whose columns have the given values."""
    return result.tables[table].filter(*(pl.col(k) == v for k, v in where.items()))


def cell(result: StudyResult, table: str, column: str, **where: Any) -> Any:
    """One cell of a result table."""
    return rows_of(result, table, **where)[column].item()


def sample_of(
    car: list[float],
    residuals: Any,
    dof: int = 40,
    pseudo: Any = (),
    alternative: str = "two-sided",
    cluster: Any = None,
) -> CarSample:
    """A sample for the tests themselves: one-day CARs with se 1 in an event window of three days.

    residuals: (N, R), of a constant. pseudo: the CARs of pseudo-dates, the same for the group and for each event. One
    date, every event another firm. cluster: the date cluster of each event; without, each is one of its own.
    """
    n, values, drawn = len(car), np.array(car, dtype=float), np.array(pseudo, dtype=float)
    residuals = np.asarray(residuals, dtype=float)
    return CarSample(
        group="all",
        window=Window(0, 0),
        event_window=Window(-1, 1),
        car=values,
        car_se=np.ones(n),
        scar=values,
        bhar=values,
        sigma=np.ones(n),
        dof=np.full(n, dof),
        ar=np.stack([np.zeros(n), values, np.zeros(n)], axis=1),
        residuals=residuals,
        residual_days=np.tile(np.arange(residuals.shape[1]), (n, 1)),
        event_days=np.tile(np.arange(3) + 100, (n, 1)),
        dates=np.full(n, 101),
        firms=np.arange(n),
        alternative=alternative,
        alpha=0.05,
        pseudo=PseudoCars(drawn, drawn, drawn, (drawn,) * n, np.full(n, len(drawn))),
        pseudo_firms=PseudoFirms(drawn, np.zeros(len(drawn)), 0.0, 0.0, np.full(n, len(drawn))) if len(drawn) else None,
        regressions=Regressions(np.ones((n, 1, residuals.shape[1])), np.ones((n, 1, 3)), np.zeros((n, 1))),
        resampling=Resampling(np.arange(n) if cluster is None else np.array(cluster), 999, 1),
    )
