"""Something broken in a good study, its prices, results, theme, model or download: a message and an exit code, never a
traceback, a warning, a hang, a number that is none, or half a result.

A short part of what `python tests/fuzz.py` goes on with, and of the 10,000 cases of the slow set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import fuzz
import polars as pl
import pytest
from fuzz_kinds import CASES, KINDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EACH = 20  # cases of a kind
SHORT = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with fuzz.room(tmp_path_factory.mktemp("fuzz") / "room") as folder:
        yield folder


def found_in(room: Path, kind: str, seeds: range) -> list[str]:
    said = []
    for seed in seeds:
        done, found = fuzz.tried(kind, seed, room)
        said += [f"--kind {kind} --seed {seed}: {done}: {one.fault}: {one.place}" for one in found]
    return said


def fresh(room: Path) -> Path:
    fuzz.made("theme", 0, room)
    return room / "study"


def wrong_with(room: Path) -> list[fuzz.Found]:
    """What is wrong with a run and a dry run of the study as it stands."""
    folder, found = room / "study", []
    for words in (("run", str(folder), "--out", str(folder / "new")), ("run", str(folder), "--dry-run")):
        before = fuzz.stamps(room)
        found += [
            *fuzz.wrong(words, fuzz.called(*words), folder),
            *fuzz.misplaced(words, before, fuzz.stamps(room), "study"),
        ]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_broken(room: Path, kind: str) -> None:
    assert found_in(room, kind, range(EACH)) == []


def chunks() -> list[tuple[str, range]]:
    """Every case of the slow set, in parts that the cores of a machine share."""
    return [(kind, range(first, first + 100)) for kind, count in CASES.items() for first in range(0, count, 100)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "seeds"), chunks(), ids=lambda value: value if isinstance(value, str) else value.start
)
def test_ten_thousand_broken(room: Path, kind: str, seeds: range) -> None:
    assert found_in(room, kind, seeds) == []


def test_the_page_counts_every_kind() -> None:
    """docs/faults.md tells of ten thousand cases and of each kind in the words of its generator, and that nothing was wrong."""
    section = fuzz.PAGE.read_text(encoding="utf-8").partition(fuzz.HEADING)[2]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == list(KINDS)
    assert [row[1] for row in rows] == [" ".join(str(make.__doc__).split()).rstrip(".") for make in KINDS.values()]
    assert {row[0]: int(row[2].replace(",", "")) for row in rows} == CASES
    assert sum(CASES.values()) == 10_000
    assert "10,000 broken inputs" in section
    assert {row[-1] for row in rows} == {"0"}


# The harness itself: what it is for is seen


def test_the_good_study_runs(room: Path) -> None:
    folder = fresh(room)
    assert fuzz.called("run", str(folder), "--out", str(folder / "new")).code == 0
    assert wrong_with(room) == []


def test_a_case_is_made_again_by_its_number(room: Path) -> None:
    for kind in KINDS:
        one = fuzz.made(kind, 7, room)
        held = {
            p: (room / "study" / p).read_bytes() for p in fuzz.stamps(room / "study") if (room / "study" / p).is_file()
        }
        assert fuzz.made(kind, 7, room) == one
        again = {
            p: (room / "study" / p).read_bytes() for p in fuzz.stamps(room / "study") if (room / "study" / p).is_file()
        }
        assert again == held


def test_what_is_wrong_is_counted(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback, an unknown exit code, a warning, a message that is long or raw, a file elsewhere, infinity."""
    import warnings

    from engine.results import StudyResult, read_result, write_result

    folder = fresh(room)

    def ended(main: object, words: tuple[str, ...] = ("events", str(folder))) -> set[str]:
        monkeypatch.setattr(fuzz, "main", main)
        before = fuzz.stamps(room)
        found = [
            *fuzz.wrong(words, fuzz.called(*words), folder),
            *fuzz.misplaced(words, before, fuzz.stamps(room), "study"),
        ]
        return {one.fault for one in found}

    def exits(code: int, text: str = "error: no.") -> None:
        print(text)
        raise SystemExit(code)

    def says(text: str) -> None:
        print(text, file=sys.stderr)
        raise SystemExit(2)

    def warns() -> None:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        exits(0)

    def infinite() -> None:
        result = read_result(room / "good" / "out")
        fits = result.tables["fits"].with_columns(pl.lit(float("inf")).alias("sigma"))
        write_result(StudyResult(result.tables | {"fits": fits}, result.manifest), folder / "new")
        exits(0)

    def computes() -> None:
        while True:
            pass

    assert ended(lambda: exits(2)) == set()
    assert ended(lambda: 1 / 0) == {"traceback"}
    assert ended(lambda: exits(70)) == {"wrong code"}
    assert ended(lambda: exits(3, "no")) == {"message"}
    assert ended(lambda: exits(0, "\x1b[31m")) == {"message"}
    assert ended(lambda: says("x" * 100_000)) == {"message"}
    assert ended(warns) == {"warning"}
    assert ended(lambda: ((folder / "x").touch(), exits(0))) == {"files"}
    assert ended(lambda: exits(0), ("run", str(folder))) == {"files"}
    assert ended(infinite, ("run", str(folder))) == {"files"}  # a result that holds infinity cannot be read
    monkeypatch.setattr(fuzz, "SECONDS", 0.1)
    assert ended(computes) == {"hang"}


# Any value of one cell and of one key


def test_a_price_that_no_price_can_be(room: Path) -> None:
    for cell in ("1e308", "1e-320", "-1e16"):
        folder = fresh(room)
        path = folder / "data" / "A.csv"
        lines = path.read_text().splitlines()
        lines[20] = f"{lines[20].split(',')[0]},{cell},1"
        path.write_text("\n".join(lines) + "\n")
        ended = fuzz.called("run", str(folder), "--out", str(folder / "new"))
        assert ended.code == 3
        assert f'A.csv: row 21, column close: "{cell}" is beyond what it can be. Allowed: up to 1e+15' in ended.err


moments = st.one_of(st.dates().map(str), st.datetimes().map(lambda d: d.isoformat()))
cell = st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(repr), moments)


@SHORT
@given(row=st.integers(1, 2), column=st.integers(0, 11), text=cell)
def test_any_cell_of_the_calendar(room: Path, row: int, column: int, text: str) -> None:
    folder = fresh(room)
    table = pl.read_csv(folder / "events.csv", infer_schema=False)
    name = table.columns[column % len(table.columns)]
    at = pl.int_range(pl.len()) == row - 1
    table.with_columns(pl.when(at).then(pl.lit(text)).otherwise(pl.col(name)).alias(name)).write_csv(
        folder / "events.csv"
    )
    assert wrong_with(room) == [], (row, name, text)


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
def test_any_key_of_the_study(room: Path, data: st.DataObject, text: str) -> None:
    folder = fresh(room)
    lines = (folder / "study.toml").read_text().split("\n")
    at = data.draw(st.sampled_from([i for i, line in enumerate(lines) if "=" in line]))
    lines[at] = f"{lines[at].partition('=')[0]}= {text}"
    (folder / "study.toml").write_text("\n".join(lines))
    assert wrong_with(room) == [], lines[at]


def test_the_process_is_as_before(tmp_path: Path) -> None:
    before, here = dict(os.environ), Path.cwd()
    with fuzz.room(tmp_path / "room") as folder:
        assert Path.cwd() == folder / "cwd"
    assert (dict(os.environ), Path.cwd()) == (before, here)
