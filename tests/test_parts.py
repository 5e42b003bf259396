"""A study in parts says what the same study in memory says: every table, every reason, for any cut, core count and kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq
import pytest

import engine.scale.samples as samples_room
from engine.errors import DataError, SpecError
from engine.inputs import Study
from engine.kernel import KERNELS, NUMBA
from engine.market import partitions
from engine.results import Streamed, StudyResult, read_result, to_csv, write_result
from engine.scale import in_threads
from engine.scale.fused_numbers import canonical as compiled_canonical
from engine.sessions import exchange_sessions
from engine.study import load_study, run_study
from engine.tables import canonical

LISTINGS, EVENTS = 60, 900
TESTS = (
    "cross_sectional_t", "crude_dependence_t", "patell", "bmp", "skewness_adjusted_t", "jackknife", "corrado", "corrado_zivney",
    "grank_t", "grank_z", "sign", "generalized_sign", "wilcoxon", "variance_rank", "variance_bmp", "clustered_t_date",
    "clustered_t_firm", "clustered_t_both", "hac_t", "bhar_t", "wild_bootstrap", "forecast_error_t",
)  # fmt: skip
STUDY = """\
title = "Events of a made-up market"
[events]
file = "events.csv"
reaction = "close"
stamp = "announced_at"
max_gap_days = 5
[prices]
snapshot = "data"
returns = "{returns}"
[benchmark]
default = "^MKT"
[sessions]
calendar = "{calendar}"
[model]
name = "{model}"
estimation_window = [-80, -11]
min_estimation_days = 40
[windows]
event = [-10, 14]
car = [[-10, 14], [-1, 1], [0, 0]]
[significance]
tests = [{tests}]
group_by = ["kind", "exchange"]
[contamination]
policy = "{policy}"
[resampling]
seed = 7
draws = 199
[limits]
max_excluded_share = 0.9
allow_missing_symbols = true
[output]
abnormal_returns = true
"""
BASE = {"returns": "simple", "calendar": "exchange", "model": "market", "policy": "flag"}


def prices(kind: str) -> pl.DataFrame:
    """Listings that come and go on New York's sessions, with empty cells, rows missing, and rows on days without a session."""
    rng = np.random.default_rng(11)
    days = exchange_sessions("XNYS", 2012).dates
    days = days[(days >= np.datetime64("2010-01-01")) & (days <= np.datetime64("2012-06-30"))]
    market = rng.normal(0.0003, 0.01, len(days))
    parts = []
    for i in range(LISTINGS):
        first, last = (0, len(days)) if i % 3 else sorted(rng.integers(0, len(days), 2))
        kept = np.arange(first, last)[rng.random(last - first) > 0.01]
        returns = 0.8 * market[kept] + rng.normal(0, 0.02, len(kept)) if i != 4 else np.zeros(len(kept))
        own = days[kept]
        if i == 7:
            own = own.copy()
            own[5] = own[5] + (6 - (own[5].astype(int) + 3) % 7)  # a Sunday
            own = np.sort(own)
        values = returns if kind == "return" else 20 * np.exp(np.cumsum(returns))
        cells = pl.Series(values).set(pl.Series(rng.random(len(own)) < 0.01), None)
        parts.append(pl.DataFrame({"symbol": [f"S{i:03d}"] * len(own), "date": own, kind: cells}))
    level = market if kind == "return" else 1000 * np.exp(np.cumsum(market))
    parts.append(pl.DataFrame({"symbol": ["^MKT"] * len(days), "date": days, kind: level}))
    return pl.concat(parts)


def events() -> pl.DataFrame:
    """Events with all that can be wrong with one, some of them with a clock time, a zone or windows of their own."""
    rng = np.random.default_rng(12)
    day = np.datetime64("2010-01-04") + rng.integers(0, 900, EVENTS)
    stamps = [str(d) for d in day]
    zones = ["" if i % 9 else "Asia/Shanghai" for i in range(EVENTS)]
    for i in range(0, EVENTS, 20):
        stamps[i], zones[i] = f"{stamps[i]}T{rng.integers(0, 24):02d}:30:00-05:00", ""
    stamps[3], stamps[5] = "1961-05-02", "2150-01-04"
    symbols = [f"S{i:03d}" for i in rng.integers(0, LISTINGS, EVENTS)]
    symbols[10] = symbols[11] = "NONE"
    return pl.DataFrame(
        {
            "event_id": [f"e{i // 2:04d}" if i % 50 < 2 else f"f{i:04d}" for i in range(EVENTS)],
            "symbol": symbols,
            "announced_at": stamps,
            "zone": zones,
            "kind": [("deal", "rating", None)[i % 3] for i in range(EVENTS)],
            "note": [f'n{i}, "said"' for i in range(EVENTS)],
            "estimation_start": [-60 if i % 13 == 0 else None for i in range(EVENTS)],
            "max_gap_days": [0 if i % 17 == 0 else None for i in range(EVENTS)],
        }
    ).unique(("event_id", "symbol"), keep="first", maintain_order=True)


def made(
    folder: Path, kind: str = "return", table: pl.DataFrame | None = None, row_group: int = 4_000,
    tests: tuple[str, ...] = TESTS, **settings: str,
) -> Path:  # fmt: skip
    (folder / "data").mkdir(parents=True)
    found = prices(kind) if table is None else table
    found.write_parquet(folder / "data" / "panel.parquet", row_group_size=row_group, statistics=True)
    events().write_csv(folder / "events.csv")
    text = STUDY.format(**(BASE | settings), tests=", ".join(f'"{t}"' for t in tests))
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder


def in_parts(folder: Path, kernel: str = NUMBA, workers: int = 2) -> StudyResult:
    study = load_study(folder, in_parts=True)
    assert study.parted is not None
    return run_study(study, kernel=kernel, mapper=partial(in_threads, workers=workers))


def alike(one: StudyResult, other: StudyResult, apart: frozenset[str] = frozenset({"quality", "influence"})) -> None:
    """The same tables but for those that a run in parts does not make, as its quality table says."""
    assert set(one.tables) - apart == set(other.tables) - apart
    for name in set(one.tables) - apart:
        a, b = one.tables[name], other.tables[name]
        assert a.schema == b.schema, name
        assert len(a) == len(b), name
        for column in a.columns:
            if a[column].dtype == pl.Float64:
                scale = float(a[column].abs().median() or 1.0)
                x, y = a[column].to_numpy(), b[column].to_numpy()
                np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12 * scale, err_msg=f"{name} {column}")
            else:
                assert a[column].to_list() == b[column].to_list(), (name, column)


CASES: dict[str, Mapping[str, str]] = {
    "returns": {},
    "log prices, benchmark's days": {"kind": "adj_close", "returns": "log", "calendar": "benchmark"},
    "mean-adjusted closes": {"kind": "close", "model": "mean_adjusted"},
    "exclude": {"policy": "exclude"},
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_a_study_in_parts_is_the_study_in_memory(tmp_path: Path, case: str, kernel: str) -> None:
    folder = made(tmp_path / "study", **CASES[case])
    small = run_study(load_study(folder, in_parts=False), kernel="numpy")
    large = in_parts(folder, kernel).whole()
    alike(small, large)
    assert set(small.tables["exclusions"]["stage"]) >= {"sessions", "prices", "estimation", "window"}
    assert {"same_day", "event_window", "estimation_window", "suspended"} <= set(small.tables["contamination"]["kind"])
    assert large.manifest["kernel"] == kernel
    for key in ("pairs", "listings", "quality", "snapshot", "closes", "coefficients", "settings", "calendar_sha256"):
        assert large.manifest[key] == small.manifest[key], key
    before, after = small.manifest["contamination"], large.manifest["contamination"]
    for key in ("rows", "firms", "clusters"):
        assert after[key] == before[key], key
    for key in ("mean_correlation", "effective_events"):
        assert after[key] == pytest.approx(before[key], rel=1e-9)
    assert large.tables["quality"]["kind"].to_list() == ["no_influence", "not_checked"]


def test_every_other_event_of_a_listing_is_named(tmp_path: Path) -> None:
    """However many they are: a listing with hundreds of events, surroundings made by both kernels."""
    folder = made(tmp_path / "study", tests=("cross_sectional_t",))
    table = events().filter(pl.col("symbol") != "NONE").with_columns(pl.lit("S001").alias("symbol"))
    table.unique("event_id", keep="first", maintain_order=True).head(400).write_csv(folder / "events.csv")
    compiled, batched = in_parts(folder, NUMBA).whole(), in_parts(folder, "numpy").whole()
    found = compiled.tables["contamination"]
    assert max(found.group_by("event_id").len()["len"]) > 64
    assert found.equals(batched.tables["contamination"])


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_same_bytes_for_any_cores_and_any_cut(tmp_path: Path, kernel: str) -> None:
    """Row groups of other sizes, which cut through securities, change only sums over events in their last digits."""
    folder = made(tmp_path / "study")
    write_result(in_parts(folder, kernel, 1), tmp_path / "one")
    write_result(in_parts(folder, kernel, 2), tmp_path / "two")
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    other = made(tmp_path / "again" / "study", row_group=700)
    alike(in_parts(folder, kernel).whole(), in_parts(other, kernel).whole())
    assert len(load_study(other, in_parts=True).parted.parts) > 20  # type: ignore[union-attr]


@pytest.mark.parametrize("kernel", KERNELS)
def test_tests_by_sums_are_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    """With no residual kept the tests answer from sums of blocks, and say where they cannot."""
    folder = made(tmp_path / "study", tests=(*TESTS, "kolari_pynnonen", "corrado_zivney_adjusted"))
    kept = in_parts(folder, kernel).tables["significance"]
    monkeypatch.setattr(samples_room, "MOST_RANKED", 0)
    monkeypatch.setattr("engine.scale.sweep.RUN", 7)
    monkeypatch.setattr("engine.scale.sweep.BLOCK", 4)
    one, two = (in_parts(folder, kernel, workers=n).tables["significance"] for n in (1, 2))
    assert one.equals(two)
    not_swept = pl.col("test").is_in(["kolari_pynnonen", "corrado_zivney_adjusted"])
    assert one.filter(not_swept)["unavailable"].str.contains("residuals").all()
    a, b = kept.filter(~not_swept), one.filter(~not_swept)
    for column in ("test", "group", "n", "distribution", "unavailable"):
        assert a[column].to_list() == b[column].to_list()
    for column in ("estimate", "statistic", "p_value"):
        np.testing.assert_allclose(a[column].to_numpy(), b[column].to_numpy(), rtol=1e-10, err_msg=column)
    ranked = b.filter(pl.col("test").is_in(["corrado", "grank_t"]) & pl.col("unavailable").is_null())
    assert set(ranked["note"]) == {"no interval: too many ranks"}


def test_a_file_in_any_order_is_sorted_once(tmp_path: Path) -> None:
    table = prices("return")
    sound = in_parts(made(tmp_path / "sorted" / "study", table=table)).whole()
    mixed = table.sample(fraction=1.0, shuffle=True, seed=3)
    dates = table.sort("symbol", "date", descending=[False, True])
    for name, other in {"mixed": mixed, "backwards": dates}.items():
        found = in_parts(made(tmp_path / name / "study", table=other)).whole()
        alike(sound, found)
        assert found.tables["quality"]["kind"].to_list() == ["no_influence", "not_checked", "not_sorted"]


@pytest.mark.parametrize("kind", ["text", "labels", "numbers", "times", "prices"])
def test_rows_of_few_symbols_are_those_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whether all rows of a part are decoded or those of the symbols asked for alone: the same rows, for any cut and kind."""
    rng = np.random.default_rng(6)
    lengths = rng.integers(1, 40, 30)
    symbols = pl.Series(np.repeat(np.arange(1, 31) * 10, lengths))
    days = pl.Series(np.concatenate([np.arange(n) for n in lengths]), dtype=pl.Int32).cast(pl.Date)
    value = pl.Series(rng.normal(size=len(days))).set(pl.Series(rng.random(len(days)) < 0.1), None)
    frame = pl.DataFrame({"symbol": symbols, "date": days, "return": value})
    if kind != "numbers":
        frame = frame.with_columns(pl.format("S{}", pl.col("symbol").cast(pl.String).str.zfill(4)).alias("symbol"))
    if kind == "labels":
        frame = frame.with_columns(pl.col("symbol").cast(pl.Categorical))
    if kind == "times":
        frame = frame.with_columns(pl.col("date").cast(pl.Datetime("ms")))
    if kind == "prices":
        close = pl.col("return").exp().cast(pl.Float32).alias("close")
        volume = pl.when(pl.col("return") < 0).then(5).alias("volume")
        frame = frame.select(
            "symbol", "date", close, pl.lit(1, pl.Int8).alias("dividend"), volume, pl.lit(0).alias("other")
        )
    path = tmp_path / "prices.parquet"
    frame.write_parquet(path, row_group_size=100, statistics=True)
    file = partitions.parted(path)
    assert file is not None
    assert len(file.parts) > 3
    assert any(p.further for p in file.parts)
    assert sum(p.rows for p in file.parts) >= len(frame)
    every = [str(s) for s in frame["symbol"].unique(maintain_order=True)]
    for wanted in (every[::3], every[5:6], every, ["S9999", "7"]):
        found = []
        for sparse in (0, 10**9):
            monkeypatch.setattr(partitions, "SPARSE", sparse)
            found.append([partitions.read_part(file, part, wanted) for part in file.parts])
        for some, all_of_them in zip(*found, strict=True):
            assert some.symbols == all_of_them.symbols
            for name in ("start", "days", "values", "stale"):
                one, other = getattr(some, name), getattr(all_of_them, name)
                assert one.dtype == other.dtype
                assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        assert sorted(s for one in found[0] for s in one.symbols) == sorted(set(wanted) & set(every))
    frame.with_columns(symbol=pl.when(pl.int_range(pl.len()) == 150).then(None).otherwise("symbol")).write_parquet(path)
    for sparse in (0, 10**9):
        monkeypatch.setattr(partitions, "SPARSE", sparse)
        with pytest.raises(partitions.Unsorted):
            partitions.read_part(file, replace(file.parts[0], further=0, rows=len(frame)), every[:2])


def test_bad_rows_are_named(tmp_path: Path) -> None:
    table = prices("return")
    twice = pl.concat([table, table.filter(pl.col("symbol") == "S005").head(1)]).sort("symbol", "date")
    with pytest.raises(DataError, match=r"symbol S005: date \S+ stands there more than once"):
        in_parts(made(tmp_path / "twice" / "study", table=twice))
    endless = table.with_columns(
        pl.when(pl.col("symbol") == "S006").then(float("inf")).otherwise("return").alias("return")
    )
    with pytest.raises(DataError, match=r"symbol S006: column return holds inf, beyond what it can be"):
        in_parts(made(tmp_path / "inf" / "study", table=endless))
    folder = made(tmp_path / "unknown" / "study")
    text = (folder / "study.toml").read_text(encoding="utf-8").replace("allow_missing_symbols = true", "")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"has no prices for listing NONE\."):
        in_parts(folder)


def test_what_cannot_be_done_in_parts_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "study", tests=("permutation", "bmp"))
    assert load_study(folder, in_parts=True).parted is None  # few events: with everything in memory
    monkeypatch.setattr("engine.inputs.MANY_EVENTS", 500)
    with pytest.raises(SpecError, match=r"not available above 500 events for: the test permutation\."):
        load_study(folder)


def test_a_large_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "study")
    assert load_study(folder).parted is None
    monkeypatch.setattr("engine.inputs.MANY_ROWS", 1_000)
    study: Study = load_study(folder)
    assert study.parted is not None
    assert set(study.series) == {"^MKT"}


def test_a_large_result_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables above a million rows are parquet with the same columns; here above a thousand."""
    monkeypatch.setattr("engine.results.MANY_ROWS", 1_000)
    result = in_parts(made(tmp_path / "study"))
    write_result(result, tmp_path / "out")
    assert (tmp_path / "out" / "abnormal_returns.parquet").is_file()
    assert not (tmp_path / "out" / "abnormal_returns.csv").exists()
    kinds = pq.read_schema(tmp_path / "out" / "cars.parquet").types
    assert not any("dictionary" in str(kind) for kind in kinds)
    alike(result.whole(), read_result(tmp_path / "out"), apart=frozenset())


def test_long_text_is_the_same_text() -> None:
    rng = np.random.default_rng(1)
    n = 3_000
    words = ["a,b", 'q"u', "new\nline", None, "plain", "é", " sp", "'", "#x"]
    frame = pl.DataFrame(
        {
            "x": pl.Series(canonical(rng.normal(0, 0.02, n))),
            "y": pl.Series(canonical(10.0 ** rng.uniform(-30, 17, n) * rng.choice([-1, 1], n))),
            "z": pl.Series(
                canonical(np.where(rng.random(n) < 0.2, np.nan, rng.integers(-5, 5, n) * 1.0)), nan_to_null=True
            ),
            "t": [words[i % len(words)] for i in range(n)],
            "i": [i if i % 7 else None for i in range(n)],
        }
    )
    lines = [to_csv(frame[i : i + 100], header=not i) for i in range(0, n, 100)]
    assert to_csv(frame) == "".join(lines)
    returned = frame.with_columns(pl.lit("cr\rx").alias("t"))
    assert to_csv(returned) == "".join(to_csv(returned[i : i + 100], header=not i) for i in range(0, n, 100))


def test_canonical_floats_are_those_of_fifteen_digits() -> None:
    rng = np.random.default_rng(2)
    halves = rng.integers(10**14, 10**15, 2_000) + 0.5
    values: npt.NDArray[np.float64] = np.concatenate(
        [
            rng.normal(0, 0.02, 50_000), 10.0 ** rng.uniform(-12, 16, 20_000), rng.integers(0, 1000, 500) * 1.0,
            np.round(rng.random(20_000), 3), halves / 8, halves * 2.0**-40, [0.0, -0.0, np.nan, 1e-7, 1e14, 0.1 + 0.2],
        ]
    )  # fmt: skip
    values *= rng.choice([-1.0, 1.0], len(values))
    one_by_one: list[Any] = [float(f"{v:.15g}") + 0.0 for v in values.tolist()]
    assert canonical(values).tobytes() == np.array(one_by_one).tobytes()
    assert compiled_canonical(values).tobytes() == np.array(one_by_one).tobytes()


def test_a_streamed_table_without_rows_has_its_columns() -> None:
    empty = StudyResult(
        {}, {}, {"fits": Streamed(0, ("event_id", "symbol", "model", "sigma", "alpha"), lambda: iter(()))}
    )
    assert empty.whole().tables["fits"].columns == ["event_id", "symbol", "model", "sigma", "alpha"]
