"""Parts of a study, shared out: kept parts are taken again and no others, and what is asked wrongly is said."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parted import files_of, load_parted, make_parted
from typer.testing import CliRunner

from engine.cli.sharing import Sharing
from engine.cli.verbs import app
from engine.errors import SpecError
from engine.scale import in_threads
from engine.scale.cluster import on_cluster
from engine.scale.kept import fingerprint, keeping
from engine.scale.work import Done, Task, work
from engine.study import run_study


class Stopped(Exception):
    """What ends a run in its middle."""


class Counting:
    """A mapper in one thread that counts its tasks, and stops after some of them."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.done = 0
        self.stop_after = stop_after

    def __call__(self, function: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
        for task in tasks:
            if self.done == self.stop_after:
                raise Stopped
            self.done += 1
            yield function(task)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_parted(tmp_path_factory.mktemp("parted"))


@pytest.fixture(scope="module")
def whole(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return files_of(run_study(load_parted(study)), tmp_path_factory.mktemp("whole") / "out")


def tasks_of_a_run(study: Path) -> list[Task]:
    """The tasks that a run hands to its mapper."""
    seen: list[Task] = []

    def listening(function: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
        seen.extend(t for t in tasks if isinstance(t, Task))
        return in_threads(function, tasks)

    run_study(load_parted(study), mapper=listening)
    return seen


def test_a_stopped_run_goes_on_where_it_stopped(study: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    total = len(tasks_of_a_run(study))
    with pytest.raises(Stopped), keeping(tmp_path / "work", Counting(stop_after=5)) as mapper:
        run_study(load_parted(study), mapper=mapper)
    assert len(list((tmp_path / "work").iterdir())) == 5
    rest = Counting()
    with keeping(tmp_path / "work", rest) as mapper:
        result = run_study(load_parted(study), mapper=mapper)
    assert rest.done == total - 5
    assert files_of(result, tmp_path / "out") == whole
    assert not (tmp_path / "work").exists()


def test_a_damaged_part_is_made_again(study: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(Stopped), keeping(tmp_path / "work", Counting(stop_after=4)) as mapper:
        run_study(load_parted(study), mapper=mapper)
    first, second, third, _ = sorted((tmp_path / "work").iterdir())
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:-300])
    third.write_bytes(b"no archive")
    with keeping(tmp_path / "work", in_threads) as mapper:
        assert files_of(run_study(load_parted(study), mapper=mapper), tmp_path / "out") == whole


def test_parts_of_another_design_are_left_alone(study: Path, tmp_path: Path) -> None:
    """Another event, window, group, model or file is another part; the same is the same, whatever its memory."""
    task = tasks_of_a_run(study)[0]
    key = fingerprint(work, task)
    again = replace(task, own=task.own.copy(), symbols=(*task.symbols,))
    assert fingerprint(work, again) == key
    moved = task.position.copy()
    moved[-1] += 1
    steps = [
        replace(task, position=moved),
        replace(task, asked=replace(task.asked, min_days=101)),
        replace(task, asked=replace(task.asked, model="raw")),
        replace(task, groups=task.groups + 1),
        replace(task, kernel="numba"),
        replace(task, part=replace(task.part, group=task.part.group + 1)),
        replace(task, calendars=(replace(task.calendars[0], regressors=task.calendars[0].regressors * 2),)),
    ]
    assert len({key, *(fingerprint(work, other) for other in steps)}) == 1 + len(steps)
    assert fingerprint(in_threads, task) != key
    task.file.path.touch()
    assert fingerprint(work, task) != key


def test_a_kept_part_is_the_part(study: Path, tmp_path: Path) -> None:
    """To the last bit and in every field, also through the file."""
    task = tasks_of_a_run(study)[1]
    mapping = keeping(tmp_path, in_threads)
    (made,) = mapping.__enter__()(work, [task])  # and no end: the part is kept
    with keeping(tmp_path, Counting(stop_after=0)) as mapper:
        (found,) = mapper(work, [task])
    assert isinstance(found, Done)
    assert found.measured.names == made.measured.names
    for name, value in vars(made.measured).items():
        if name != "names":
            assert getattr(found.measured, name).tobytes() == value.tobytes()
            assert getattr(found.measured, name).dtype == value.dtype
    assert list(found.moments) == list(made.moments)
    assert all(np.array_equal(found.moments[g].mean, own.mean, equal_nan=True) for g, own in made.moments.items())
    assert found.gaps.tobytes() == made.gaps.tobytes()


def test_without_dask_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__
    monkeypatch.setattr(
        "engine.scale.cluster.import_module",
        lambda name: (_ for _ in ()).throw(ImportError(name)) if name == "distributed" else real(name),
    )
    with pytest.raises(SpecError, match=r"pip install 'event-study-engine\[scale\]'"), on_cluster(None, 2):
        pass


def test_options_that_do_not_go_together_are_named(study: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="give one of them"):
        Sharing(workers=2, scheduler="tcp://here:1")
    with pytest.raises(SpecError, match="--workers 0"):
        Sharing(workers=0)
    for arguments in (["run", "--workers", "2"], ["run", str(study), "--dry-run", "--work", str(tmp_path)]):
        with pytest.raises(SpecError, match="needs a STUDY that is run"):
            CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_an_address_that_is_none_is_a_wrong_call() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(SpecError, match="is no address"), on_cluster("nonsense://x:1"):
        pass
