"""What a command loads: help answers without a library of numbers, and a run loads only what its study asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_study, simulated
from parted import make_parted
from scipy import stats

import engine.session_store
from engine.libraries import cache_folder
from engine.session_store import kept
from engine.sessions import COMMON, exchange_sessions, known_exchange, library_sessions
from engine.significance import multiplicity
from engine.significance.parametric import skewness
from engine.significance.rank import _ranks
from engine.significance.sample import quantiles_of

ROOT = Path(__file__).parents[1]
DAYS, X = {"days": "M1"}, {"x": "i0"}  # what is kept in these tests
LIBRARIES = (
    "numpy", "polars", "pandas", "scipy", "scipy.stats", "exchange_calendars", "matplotlib", "jinja2", "statsmodels", "arch",
    "numba", "yfinance", "distributed",
)  # fmt: skip
PROGRAM = """
import json, sys
from engine.cli.verbs import main
sys.argv = ["eventstudy", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "EVENTSTUDY_DATA": ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("fetch", "--help")])
def test_help_loads_no_library_of_numbers(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert loaded(tmp_path, *arguments) & set(LIBRARIES) == set()


def test_a_run_loads_what_its_study_asks_for(tmp_path: Path) -> None:
    """The second run of a plain study on exchange sessions: no calendar library, no pandas, no scipy.stats, no charts."""
    study = make_study(
        tmp_path / "study",
        [{"event_id": f"e{i}", "symbol": "AAA", "announced_at": f"2015-0{i}-18"} for i in range(5, 9)],
        simulated(1, ["AAA"], 260),
        sessions={"calendar": "exchange"},
        significance={
            "tests": [
                "cross_sectional_t", "patell", "bmp", "kolari_pynnonen", "skewness_adjusted_t", "sign", "generalized_sign",
                "forecast_error_t", "sq", "grank_z",
            ]
        },
        limits={"max_excluded_share": 0.5},
        report={"charts": []},
    )  # fmt: skip
    assert {"exchange_calendars", "pandas"} <= loaded(tmp_path, "run", str(study))  # nothing is kept yet
    found = loaded(tmp_path, "run", str(study))
    heavy = {"exchange_calendars", "pandas", "scipy.stats", "statsmodels", "matplotlib", "arch", "numba", "distributed"}
    assert found & heavy == set()
    assert {"numpy", "polars", "engine.study"} <= found


def test_kept_sessions_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exchange_sessions.cache_clear()
    first = exchange_sessions("XLON", 2020)
    exchange_sessions.cache_clear()
    assert len(list((tmp_path / "event-study-engine").glob("sessions-XLON-1988-01-01-2020-*.npz"))) == 1
    monkeypatch.setattr("engine.sessions.library_sessions", lambda *_: pytest.fail("made again"))
    again, library = exchange_sessions("XLON", 2020), library_sessions("XLON", 2020)
    exchange_sessions.cache_clear()
    assert (again.exchange, again.zone) == (library.exchange, library.zone) == ("XLON", "Europe/London")
    for name in ("dates", "opens", "closes", "early"):
        assert np.array_equal(getattr(again, name), getattr(library, name))
        assert getattr(again, name).dtype == getattr(library, name).dtype
        assert np.array_equal(getattr(first, name), getattr(again, name))


def test_kept_codes_are_those_of_the_library() -> None:
    import exchange_calendars as xc

    assert {code: known_exchange(code, "here") for code in COMMON} == {code: xc.resolve_alias(code) for code in COMMON}
    assert known_exchange("NYSE", "here") == "XNYS"


@pytest.mark.parametrize("damage", [b"", b"not an archive", None])
def test_a_damaged_file_is_made_again(damage: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = {"days": np.arange("2020-01-01", "2021-01-01", dtype="datetime64[D]")}
    kept("thing", lambda: made, DAYS)
    (path,) = (tmp_path / "event-study-engine").iterdir()
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    assert np.array_equal(kept("thing", lambda: made, DAYS)["days"], made["days"])
    found = kept("thing", lambda: pytest.fail("not mended"), DAYS)
    assert np.array_equal(found["days"], made["days"])


def test_another_version_keeps_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept("thing", lambda: {"x": np.array(1)}, X)
    monkeypatch.setattr(engine.session_store, "version", lambda package: "99")
    assert kept("thing", lambda: {"x": np.array(2)}, X)["x"] == 2


def test_nowhere_to_keep_costs_time_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert kept("thing", lambda: {"x": np.array(1)}, X)["x"] == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_folder() is None
    assert kept("thing", lambda: {"x": np.array(2)}, X)["x"] == 2


def test_what_is_written_out_is_what_scipy_has() -> None:
    """Ranks, adjusted p-values, skewness and quantiles are written out to spare the import of scipy.stats."""
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9, (40, 25)).astype(float)
    values[rng.random(values.shape) < 0.2] = np.nan
    ranks, present = _ranks(values)
    assert np.array_equal(present, np.isfinite(values).sum(axis=1))
    for row, rank in zip(values, ranks, strict=True):
        known = np.isfinite(row)
        assert np.array_equal(rank[known], stats.rankdata(row[known]))
        assert np.isnan(rank[~known]).all()
    p = np.append(rng.random(30) ** 3, [0.5, 0.5, 0.01, 0.01])
    assert multiplicity(p)[1] == pytest.approx(stats.false_discovery_control(p), rel=1e-14)
    assert skewness(values[0][np.isfinite(values[0])]) == pytest.approx(
        stats.skew(values[0][np.isfinite(values[0])], bias=False), rel=1e-12
    )
    dof = np.arange(1, 400)
    assert quantiles_of(0.05, dof) == pytest.approx(stats.t.isf(0.025, dof), rel=1e-14)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_the_sign_test_is_the_exact_binomial(alternative: str) -> None:
    from conftest import sample_of

    from engine.significance.sign import sign

    for n in (2, 3, 9, 10, 41):
        for positive in range(n + 1):
            car = [0.01 * (i + 1) if i < positive else -0.01 * (i + 1) for i in range(n)]
            answer = sign(sample_of(car, np.zeros((n, 5)), alternative=alternative))
            exact = stats.binomtest(positive, n, 0.5, alternative=alternative).pvalue
            assert answer.p_value == pytest.approx(exact, rel=1e-12)


IN_PARTS = """
import json, sys
from engine import load_study, run_study
run_study(load_study(sys.argv[1], data_path=(), in_parts=True))
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def test_a_run_in_parts_loads_no_pandas(tmp_path: Path) -> None:
    """pyarrow imports pandas for the simplest of its conversions; the parts are read by their buffers."""
    study = make_parted(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EVENTSTUDY_DATA": ""}
    for _ in range(2):  # the first may have to make the sessions
        done = subprocess.run(
            [sys.executable, "-c", IN_PARTS, str(study)], env=environment, capture_output=True, text=True, check=True
        )
    found = set(json.loads(done.stderr.splitlines()[-1]))
    assert found & {"pandas", "exchange_calendars", "numba", "distributed", "matplotlib"} == set()
    assert {"pyarrow", "polars"} <= found


def test_a_column_is_read_by_its_buffers() -> None:
    import pyarrow as pa

    from engine.market.partitions import _plain

    cells = [1.5, None, -2.0, float("nan"), None, 7.25, 0.0, 3.0, None, 11.0]
    for column in (
        pa.array(cells),
        pa.array(cells).slice(1, 8),
        pa.chunked_array([cells[:3], [], cells[3:]]),
        pa.array(cells)[:0],
    ):
        wanted = np.array([np.nan if v is None else v for v in column.to_pylist()], np.float64)
        assert np.array_equal(_plain(column, np.float64), wanted, equal_nan=True)
    assert _plain(pa.array([1, 2, None], pa.int16()), np.float64).tolist()[:2] == [1.0, 2.0]
    assert _plain(pa.array([5, 6], pa.int32()).slice(1), np.int32).tolist() == [6]
