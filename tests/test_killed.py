"""Whatever ends a program, the last complete state is there; two at once do not mix; what cannot be written is an error.

A kill is played inside this process at every single write: from the chosen one on nothing reaches the disk any more,
also not what clean-up would do. Real ones, at random moments, follow at the end.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import make_study, run, simulated, weekdays
from test_fetch import FIRST, NOW, Made, fetch, files, good  # noqa: F401

from engine import inplace
from engine.errors import DataError
from engine.golden import bless
from engine.market import open_snapshot
from engine.market.fetching import Manners, Wanted, fetch_snapshot
from engine.market.sources import SOURCES, Access, Source
from engine.results import StudyResult, read_result, replaced_folder, write_file, write_result

DATES = weekdays(160)
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree"}


class Killed(BaseException):
    """The end of the program."""


class Reaper:
    """Counts the writes of this process and ends it at one of them: every later write raises too."""

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(self.see)

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left is None or not (event in WRITES or (event == "open" and _writes(arguments))):
            return
        self.left -= 1
        if self.left < 0:
            raise Killed

    @contextmanager
    def at(self, write: int) -> Iterator[None]:
        self.left = write
        try:
            yield
        finally:
            self.left = None


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    by_mode = isinstance(mode, str) and bool(set("wax+") & set(mode))
    return by_mode or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


REAPER = Reaper()


@pytest.fixture(params=["in one step", "in two steps"])
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to put a folder in its place; the one step is a moment to be killed at, before it and after it."""
    exchanged = inplace._exchanged

    def seen(one: Path, other: Path) -> bool:
        if request.param == "in two steps":
            return False
        sys.audit("os.rename", str(one), str(other), -1, -1)
        done = exchanged(one, other)
        sys.audit("os.rename", str(one), str(other), -1, -1)
        return done

    monkeypatch.setattr(inplace, "_exchanged", seen)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def killed_everywhere(act: Callable[[], None], check: Callable[[], None]) -> int:
    """Do ``act`` again and again, killed at its first write, its second, ...; ``check`` after each; the count of kills."""
    write = 0
    while True:
        with REAPER.at(write):
            try:
                act()
            except Killed:
                pass
            else:
                return write
        check()
        write += 1
        assert write < 500


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyResult, StudyResult]:
    """Two results of one study that differ in every file."""
    folder = tmp_path_factory.mktemp("made")
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    made = run(make_study(folder / "made", events, simulated(3, ["A", "B"], 160)))
    texts = {n: next(c for c, kind in t.schema.items() if kind == pl.String) for n, t in made.tables.items()}
    marked = {n: t.with_columns(pl.lit(f"new {n}").alias(texts[n])) for n, t in made.tables.items()}
    return made, replace(made, tables=marked, manifest=made.manifest | {"seed": 2})


def test_a_run_that_is_killed_anywhere(results: Any, tmp_path: Path, steps: None) -> None:
    old, new = results
    out = tmp_path / "out"
    write_result(new, out)
    whole = [tree(out)]
    write_result(old, out)
    whole.append(tree(out))
    assert sum(whole[0][name] != whole[1][name] for name in whole[0]) > 8

    def check() -> None:
        inplace.tidy(out)  # what every next run does first
        assert tree(out) in whole
        assert [p.name for p in tmp_path.iterdir()] == ["out"]
        write_result(old, out)

    assert killed_everywhere(lambda: write_result(new, out), check) > 20
    assert tree(out) == whole[0]


def test_a_first_run_that_is_killed_leaves_nothing(results: Any, tmp_path: Path, steps: None) -> None:
    old, _ = results
    out = tmp_path / "out"

    def check() -> None:
        inplace.tidy(out)
        if out.exists():
            assert read_result(out) == old
            inplace.shutil.rmtree(out)
        assert list(tmp_path.iterdir()) == []

    killed_everywhere(lambda: write_result(old, out), check)


def test_a_killed_run_in_two_steps_is_found_by_the_next_reader(results: Any, tmp_path: Path) -> None:
    old, _ = results
    out = tmp_path / "out"
    write_result(old, out)
    out.rename(tmp_path / ".out.writing-abcdefgh.before")
    assert read_result(out) == old


def test_bless_that_is_killed_anywhere(results: Any, tmp_path: Path, steps: None) -> None:
    old, new = results
    golden = tmp_path / "golden"
    inputs = {"files": {}, "calendar": {}, "prices": {}}

    def first() -> None:
        inplace.shutil.rmtree(golden, ignore_errors=True)
        bless(old, golden, "first", inputs)

    first()
    before = tree(golden)
    bless(new, golden, "second", inputs)
    after = tree(golden)
    first()

    def check() -> None:
        inplace.tidy(golden)
        assert tree(golden) in (before, after)
        first()

    assert killed_everywhere(lambda: bless(new, golden, "second", inputs), check) > 20
    assert tree(golden) == after


def test_a_fetch_that_is_killed_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older snapshot stays as it is; the new one is whole or not there; the next fetch ends with exactly its files."""
    base = tmp_path / "home" / "snap"

    def fetched() -> None:
        made = Made(IDX=good("IDX"), AAA=good("AAA"))
        monkeypatch.setitem(SOURCES, "made", Source(made.start, {"source": "made up", "redistributable": False}))
        wanted = [Wanted("IDX", "XNYS", True), Wanted("AAA", "XNYS")]
        fetch_snapshot(base, "made", wanted, FIRST, NOW, Access(), Manners(lambda s: None, np.random.default_rng(1)))

    fetched()
    first, later = files(base), base.parent / "snap@2024-03-09"

    def check() -> None:
        assert files(base) == first
        if not later.exists():
            if (base.parent / ".snap.partial").exists():
                (base.parent / ".snap.partial" / "GONE.csv").write_text("half")  # of a symbol not asked for any more
            fetched()
        assert files(later) == first
        inplace.shutil.rmtree(later)
        assert [p.name for p in base.parent.iterdir()] == ["snap"]

    assert killed_everywhere(fetched, check) > 8


def test_one_fetch_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "snap"
    made = Made(IDX=good("IDX"))
    monkeypatch.setitem(SOURCES, "made", Source(made.start, {"source": "made up"}))
    manners = Manners(lambda s: None, np.random.default_rng(1))
    with inplace.claimed(tmp_path / ".snap.partial"), pytest.raises(DataError, match="another program is writing"):
        fetch_snapshot(base, "made", [Wanted("IDX", "XNYS")], FIRST, NOW, Access(), manners)
    fetch_snapshot(base, "made", [Wanted("IDX", "XNYS")], FIRST, NOW, Access(), manners)
    snapshot = open_snapshot("snap", base)
    assert snapshot is not None
    assert snapshot.symbols() == ["IDX"]


def test_two_that_write_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    """A second writer tidies up while the first is in the middle: neither loses a file, the later one stays."""
    (tmp_path / ".out.writing-leftover").mkdir()
    (tmp_path / ".outer").mkdir()
    with replaced_folder(tmp_path / "out", frozenset({"manifest.json", "a"})) as first:
        (first / "a").write_text("first")
        with inplace.whole_folder(tmp_path / "out") as second:
            (second / "a").write_text("second")
            assert not (tmp_path / ".out.writing-leftover").exists()
            assert (first / "a").read_text() == "first"
        assert (tmp_path / "out" / "a").read_text() == "second"
    assert (tmp_path / "out" / "a").read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".outer", "out"]


def test_a_file_that_is_killed_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    write_file(path, b"old")

    def check() -> None:
        assert path.read_bytes() in (b"old", b"new")
        write_file(path, b"old")
        assert [p.name for p in tmp_path.iterdir()] == ["events.csv"]

    assert killed_everywhere(lambda: write_file(path, b"new"), check) > 3


def test_a_leftover_in_a_result_does_not_stop_the_next_run(results: Any, tmp_path: Path) -> None:
    old, new = results
    write_result(old, tmp_path / "out")
    (tmp_path / "out" / ".memo.md.writing-abcdefgh").write_text("half")
    write_result(new, tmp_path / "out")
    assert read_result(tmp_path / "out").manifest["seed"] == 2


# Nothing can be written


def test_a_full_disk_names_the_file_and_keeps_the_old_one(
    results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = results
    write_result(old, tmp_path / "out")
    before = tree(tmp_path / "out")

    def full(*arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataError, match=r"out: cannot be written \(No space left on device\). Nothing was changed"):
        write_result(new, tmp_path / "out")
    monkeypatch.setattr(inplace.os, "replace", full)
    with pytest.raises(DataError, match=r"x.csv: cannot be written \(No space left on device\)"):
        write_file(tmp_path / "x.csv", b"x")
    monkeypatch.undo()
    assert tree(tmp_path / "out") == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def eventstudy(*words: str, cwd: Path, before: Callable[[], None] | None = None, **more: Any) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *words], cwd=cwd, text=True, timeout=120, check=False, preexec_fn=before,
        stderr=subprocess.PIPE, **({"stdout": subprocess.PIPE} | more),
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    make_study(tmp_path / "studies" / "made", events, simulated(3, ["A", "B"], 160))
    return tmp_path


@pytest.mark.parametrize("most", [1_000, 60_000])
def test_no_room_for_a_run(home: Path, most: int) -> None:
    done = eventstudy("run", "made", cwd=home, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    assert done.returncode == 3, done.stderr
    assert "out: cannot be written (File too large). Nothing was changed." in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in (home / "studies" / "made").iterdir()) == ["data", "events.csv", "study.toml"]


def obey_permissions() -> None:
    """Root passes over the permissions of files until it gives that up (CAP_DAC_OVERRIDE off its bounding set)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@pytest.mark.parametrize("words", ["run made", "bless made --reason x", "events made --out studies/made"])
def test_a_folder_that_may_not_be_written(home: Path, words: str) -> None:
    folder = home / "studies" / "made"
    (folder / "events.csv").rename(folder / "mine.csv")
    toml = folder / "study.toml"
    toml.write_text(toml.read_text().replace('"events.csv"', '"mine.csv"'))
    folder.chmod(0o555)
    done = eventstudy(*words.split(), cwd=home, before=obey_permissions)
    folder.chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert "cannot be written (Permission denied)" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["data", "mine.csv", "study.toml"]


def test_a_full_device_behind_stdout(home: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = eventstudy("events", "made", cwd=home, stdout=full)
    assert done.returncode == 3
    assert done.stderr == "error: the output cannot be read or written (No space left on device).\n"


# Real kills


@pytest.mark.slow
@pytest.mark.parametrize("words", [["run", "made"], ["bless", "made", "--reason", "again"]])
def test_killed_at_a_random_moment(home: Path, words: list[str]) -> None:
    """Killed as soon as its temporary folder shows and a little later; then the same command ends well."""
    folder = home / "studies" / "made"
    target = folder / ("out" if words[0] == "run" else "golden")
    assert eventstudy(*words, cwd=home).returncode == 0
    before = tree(target)
    for wait in (0.0, 0.05):
        going = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", *words], cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while going.poll() is None and not list(folder.glob(".*.writing-*")):
            time.sleep(0.002)
        time.sleep(wait)
        going.send_signal(signal.SIGKILL)
        going.wait()
        assert {n: b for n, b in tree(target).items() if n != "CHANGELOG.md"} == {
            n: b for n, b in before.items() if n != "CHANGELOG.md"
        }
    assert eventstudy(*words, cwd=home).returncode == 0
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
