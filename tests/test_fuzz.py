"""A good study with something broken in it: a message and an exit code, never a traceback, a warning or half a result.

A short, seeded part of what `python tests/fuzz.py --seconds 300` goes on with.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import fuzz
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHORT = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fuzz.good_study(tmp_path_factory.mktemp("fuzz") / "good")


def fresh(good: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(good, folder))


def test_the_good_study_runs(good: Path, tmp_path: Path) -> None:
    folder = fresh(good, tmp_path / "study")
    assert fuzz.called("run", str(folder), "--out", str(folder / "out"))[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_spoiled(good: Path, tmp_path: Path, seed: int) -> None:
    done, wrong = fuzz.fuzzed(seed, tmp_path / "study", good)
    assert wrong == "", done


def test_a_price_that_no_price_can_be(good: Path, tmp_path: Path) -> None:
    for cell in ("1e308", "1e-320", "-1e16"):
        folder = fresh(good, tmp_path / "study")
        path = folder / "data" / "A.csv"
        lines = path.read_text().splitlines()
        lines[50] = f"{lines[50].split(',')[0]},{cell},1"
        path.write_text("\n".join(lines) + "\n")
        code, said = fuzz.called("run", str(folder), "--out", str(folder / "out"))
        assert code == 3
        assert f'A.csv: row 51, column close: "{cell}" is beyond what it can be. Allowed: up to 1e+15' in said


moments = st.one_of(st.dates().map(str), st.datetimes().map(lambda d: d.isoformat()))
cell = st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(repr), moments)


@SHORT
@given(row=st.integers(1, 4), column=st.integers(0, 11), text=cell)
def test_any_cell_of_the_calendar(good: Path, tmp_path: Path, row: int, column: int, text: str) -> None:
    folder = fresh(good, tmp_path / "study")
    table = pl.read_csv(folder / "events.csv", infer_schema=False)
    name = table.columns[column % len(table.columns)]
    at = pl.int_range(pl.len()) == row - 1
    table.with_columns(pl.when(at).then(pl.lit(text)).otherwise(pl.col(name)).alias(name)).write_csv(
        folder / "events.csv"
    )
    assert fuzz.broken(folder) == "", (row, name, text)


value = st.recursive(
    st.one_of(
        st.booleans().map(lambda b: str(b).lower()),
        st.integers(-(2**40), 2**40).map(str),
        st.just('"x"'),
        st.just("nan"),
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=4,
)


@SHORT
@given(data=st.data(), text=value)
def test_any_key_of_the_study(good: Path, tmp_path: Path, data: st.DataObject, text: str) -> None:
    folder = fresh(good, tmp_path / "study")
    lines = (folder / "study.toml").read_text().split("\n")
    at = data.draw(st.sampled_from([i for i, line in enumerate(lines) if "=" in line]))
    lines[at] = f"{lines[at].partition('=')[0]}= {text}"
    (folder / "study.toml").write_text("\n".join(lines))
    assert fuzz.broken(folder) == "", lines[at]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_spoiled_parquet(good: Path, tmp_path: Path, seed: int) -> None:
    """A table of prices as one binary file, with bytes changed, cut out or cut off."""
    folder, draw = fresh(good, tmp_path / "study"), random.Random(seed)
    frames = [
        pl.read_csv(p).with_columns(pl.lit(p.stem).alias("symbol")) for p in sorted((folder / "data").glob("*.csv"))
    ]
    shutil.rmtree(folder / "data")
    (folder / "data").mkdir()
    path = folder / "data" / "prices.parquet"
    pl.concat(frames).write_parquet(path)
    data = bytearray(path.read_bytes())
    at = draw.choice([draw.randrange(len(data)), len(data) - draw.randrange(1, 600)])
    match seed % 3:
        case 0:
            data[at] ^= 1 << draw.randrange(8)
        case 1:
            del data[at : at + draw.randrange(1, 50)]
        case _:
            del data[at:]
    path.write_bytes(bytes(data))
    assert fuzz.broken(folder) == "", (seed, at)
