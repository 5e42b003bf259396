"""The benchmark is fair: its panel is what it says, its loops compute the engine's numbers, its tables are those measured."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

import baselines
import clock
import kernels
import page
import panel
import peers
import resampled
from resampled import brown_warner

from engine import load_study, run_study
from engine.models import fit
from engine.sessions import Window

ROOT = Path(__file__).parents[1]
ROWS, EVENTS, PART = 150_000, 3_000, 20_000


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel")
    panel.write_panel(folder / "panel.parquet", ROWS, row_group=PART)
    return folder


@pytest.fixture(scope="module")
def arrays(snapshot: Path) -> baselines.Arrays:
    events = panel.event_list(panel.lives(ROWS), EVENTS)
    return baselines.read_arrays(snapshot / "panel.parquet", panel.BENCHMARK, events)


def test_the_panel_is_sorted_and_cut_between_listings(snapshot: Path) -> None:
    file = pq.ParquetFile(snapshot / "panel.parquet")
    table = pl.read_parquet(snapshot / "panel.parquet").with_columns(pl.col("symbol").cast(pl.String))
    assert table.select("symbol", "date").equals(table.sort("symbol", "date").select("symbol", "date"))
    groups = [set(file.read_row_group(i, ["symbol"])["symbol"].to_pylist()) for i in range(file.num_row_groups)]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert len(groups) > 6
    assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) < PART + 6_500
    assert abs(len(table) / ROWS - 1) < 0.1
    assert {file.metadata.row_group(0).column(c).compression for c in range(3)} == {"LZ4"}


def test_listings_come_and_go_and_miss_days(snapshot: Path) -> None:
    alive = panel.lives(ROWS)
    table = pl.read_parquet(snapshot / "panel.parquet").with_columns(pl.col("symbol").cast(pl.String))
    own = table.filter(pl.col("symbol") != panel.BENCHMARK)
    counted = own.group_by("symbol").agg(pl.len(), pl.col("return").null_count().alias("empty"), pl.col("date").min())
    assert len(counted) == len(alive.first)
    sessions = alive.length.sum()
    assert (sessions - len(own)) / sessions == pytest.approx(panel.ABSENT, rel=0.3)
    assert own["return"].null_count() / sessions == pytest.approx(panel.EMPTY, rel=0.2)
    assert (alive.first > 0).any()
    assert (alive.after < len(alive.dates)).any()
    assert table.filter(pl.col("symbol") == panel.BENCHMARK)["return"].null_count() == 0


def test_the_same_arguments_give_the_same_bytes(snapshot: Path, tmp_path: Path) -> None:
    panel.write_panel(tmp_path / "again.parquet", ROWS, row_group=PART)
    panel.write_panel(tmp_path / "other.parquet", ROWS, seed=1, row_group=PART)
    made = (snapshot / "panel.parquet").read_bytes()
    assert (tmp_path / "again.parquet").read_bytes() == made
    assert (tmp_path / "other.parquet").read_bytes() != made
    alive = panel.lives(ROWS)
    assert panel.event_list(alive, 500).equals(panel.event_list(alive, 500))


def test_every_kind_of_bad_event_is_lost_where_it_should(snapshot: Path, tmp_path: Path) -> None:
    alive = panel.lives(ROWS)
    events = panel.event_list(alive, EVENTS)
    assert set(events["bad"]) == {"", *panel.BAD}
    study = panel.write_study(tmp_path, events, snapshot, ("cross_sectional_t",))
    lost = run_study(load_study(study, data_path=(), in_parts=False)).tables["exclusions"]
    why = events.join(lost.filter(pl.col("stage") != "window"), on="event_id", how="left")
    stages = {kind: set(why.filter(pl.col("bad") == kind)["stage"]) for kind in ("", *panel.BAD)}
    assert stages["unknown"] == stages["before"] == stages["after"] == {"prices"}
    assert stages["ancient"] == {"sessions"}
    assert stages["short"] == {"estimation"}
    assert stages["weekend"] == {None}
    assert None in stages[""]
    assert len(lost.filter(pl.col("stage") != "window")) / EVENTS < 0.05
    assert events.filter(pl.col("announced_at").dt.weekday() > 5)["bad"].unique().to_list() == ["weekend"]


@pytest.fixture(scope="module")
def engine(arrays: baselines.Arrays) -> baselines.Answers:
    parts = kernels.pieces(arrays)
    sweep = kernels.sweep(parts, kernels.calendar(arrays, arrays.market[None]), "numpy", 2)
    return kernels.answers(parts, sweep(), len(arrays.listing))


def first(found: baselines.Answers, n: int) -> baselines.Answers:
    return baselines.Answers(**{name: values[:n] for name, values in vars(found).items()})


@pytest.mark.parametrize("way", ["pandas", "statsmodels", "lstsq", "batched", "polars", "duckdb"])
def test_every_loop_computes_the_engines_numbers(way: str, arrays: baselines.Arrays, engine: baselines.Answers) -> None:
    few = arrays.head(150)
    if way == "pandas":
        found = baselines.pandas_statsmodels(few, baselines.pandas_frame(few))
    elif way in ("polars", "duckdb"):
        closed = baselines.polars_closed_form if way == "polars" else baselines.duckdb_closed_form
        found = baselines.answers_of(closed(*baselines.polars_frames(few)), 150)
    else:
        loops = {
            "statsmodels": peers.statsmodels_way, "lstsq": peers.lstsq_way, "batched": baselines.numpy_batched,
        }  # fmt: skip
        found = loops[way](few)
    apart = baselines.disagreement(found, first(engine, 150))
    assert max(apart.values()) < (1e-8 if way == "polars" else 1e-12), apart


def test_a_disagreement_is_seen(engine: baselines.Answers) -> None:
    wrong = replace(engine, alpha=engine.alpha + 1e-6 * np.abs(engine.alpha).max())
    assert baselines.disagreement(wrong, engine)["alpha"] == pytest.approx(1e-6)
    car = engine.car.copy()
    car[np.flatnonzero(np.isfinite(car))[0]] = np.nan
    assert baselines.disagreement(replace(engine, car=car), engine)["car"] == np.inf


def test_the_kernel_of_the_benchmark_is_the_model_of_the_studies(
    arrays: baselines.Arrays, engine: baselines.Answers
) -> None:
    """The windows that the benchmark cuts give what `engine.models` gives on the same returns."""
    few = arrays.head(50)
    strip, begin = baselines.strips(few)
    at, day = begin[:, None], few.day[:, None]
    returns, market = strip[at + baselines.BEFORE], few.market[day + baselines.BEFORE][:, None]
    rows = Window(*baselines.ESTIMATION)
    own = np.tile([rows.start, rows.end], (len(few.listing), 1))
    fits = fit("market", returns, market, few.market[day + baselines.AFTER][:, None], rows, own, ("market",))
    assert pytest.approx(np.stack([engine.alpha[:50], engine.beta[:50]]), rel=1e-12, abs=1e-16) == fits.coefficients.T
    assert fits.sigma**2 == pytest.approx(engine.s2[:50], rel=1e-12)


def test_brown_and_warners_samples_reject_as_often_as_they_should(arrays: baselines.Arrays) -> None:
    share = brown_warner(arrays, kernels.calendar(arrays, arrays.market[None]), samples=100, kernel="numpy")
    assert 0.01 < share < 0.12


def test_brown_and_warners_samples_are_answered_as_each_alone(arrays: baselines.Arrays) -> None:
    """Also those that lost events, which are asked with others of their size."""
    made = resampled.drawn(arrays, kernels.calendar(arrays, arrays.market[None]), 40, "numpy")
    made.ar[7, 3] = made.ar[60:63, 12] = np.nan
    found = {test: [] for test in resampled.TESTS}
    for batch in resampled.batches(made, 40):
        for test, p in found.items():
            p += resampled.BATCHED[test](batch).p("two-sided")[0].tolist()
    alone = {test: [] for test in resampled.TESTS}
    day, order = resampled.DAY, []
    for i in range(40):
        own = np.arange(i * resampled.SIZE, (i + 1) * resampled.SIZE)
        own = own[np.isfinite(made.ar[own]).all(axis=1)]
        order.append(len(own))
        one = resampled.sample(
            made.ar[own], slice(day, day + 1), made.sigma[own], made.se[own], made.dof[own], made.residuals[own], made.day[own]
        )  # fmt: skip
        for test, p in alone.items():
            p.append(resampled.evaluate(test, one).p_value)
    assert len(set(order)) > 2
    for test in resampled.TESTS:
        assert found[test] == pytest.approx(
            np.array(alone[test])[np.argsort(order, kind="stable")], rel=1e-9, abs=1e-15
        )


def test_a_process_is_measured_with_its_memory() -> None:
    held = bytearray(200_000_000)  # of this process, which is none of the command's
    spent = clock.process([sys.executable, "-c", "x = bytearray(b'1' * 40_000_000)"])
    assert len(held) > 0
    assert 38 < spent.peak < 150
    assert spent.cpu > 0
    assert spent.wall > 0


def test_the_tables_are_those_that_were_measured() -> None:
    report = json.loads((ROOT / page.FIGURES).read_text(encoding="utf-8"))
    for name, marker, table in page.places(report):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert page.between(text, marker, table) == text, f"{name} is not of {page.FIGURES}: make bench"
    assert {"machine", "versions", "date", "load", "command", "agreement"} <= set(report)
    assert max(report["agreement"].values()) < 1e-8
