"""A real cluster of processes: `make cluster`, a minute. The file's name keeps it out of `make test`."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import distributed
import pyarrow.parquet as pq
import pytest
from parted import files_of, load_parted, make_parted

from engine.errors import DataError, UpstreamError
from engine.scale import Mapper
from engine.scale.cluster import AHEAD, on_cluster
from engine.scale.kept import keeping
from engine.study import run_study

WORKERS = 2
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return make_parted(tmp_path)


@pytest.fixture
def whole(study: Path, tmp_path: Path) -> dict[str, bytes]:
    return files_of(run_study(load_parted(study)), tmp_path / "whole")


def noted(folder: Path, pause: float, function: Callable[[Any], Any], task: Any) -> Any:
    """Do a task slowly, and leave a note that it was begun, and by whom."""
    (folder / f"{task.part.group:04d} {os.getpid()} {uuid.uuid4().hex}").touch()
    time.sleep(pause)
    return function(task)


def noting(folder: Path, pause: float, mapper: Mapper, after: Callable[[int], None]) -> Mapper:
    """A mapper whose tasks leave notes in ``folder``; ``after`` is called with the number of results so far."""
    folder.mkdir()

    def mapped(function: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
        for done, result in enumerate(mapper(partial(noted, folder, pause, function), tasks)):
            after(done + 1)
            yield result

    return mapped


def kill_a_worker(folder: Path) -> None:
    """End the process that began the newest task, at once and without a word."""
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    os.kill(int(newest.name.split()[1]), signal.SIGKILL)


def test_processes_give_the_bytes_of_threads(study: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with on_cluster(None, WORKERS) as mapper:
        watched = noting(tmp_path / "notes", 0.0, mapper, lambda done: None)
        assert files_of(run_study(load_parted(study), mapper=watched), tmp_path / "out") == whole
    assert len({path.name.split()[1] for path in (tmp_path / "notes").iterdir()} - {str(os.getpid())}) == WORKERS


def test_a_cluster_that_is_there_gives_the_same(study: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None, worker_dashboard_address=None
        ) as cluster,
        on_cluster(cluster.scheduler_address) as mapper,
    ):
        assert files_of(run_study(load_parted(study), mapper=mapper), tmp_path / "out") == whole


def test_a_worker_that_is_killed_costs_its_tasks_only(
    study: Path, whole: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes"
    with on_cluster(None, WORKERS) as mapper:
        watched = noting(notes, 0.15, mapper, lambda done: kill_a_worker(notes) if done == 4 else None)
        assert files_of(run_study(load_parted(study), mapper=watched), tmp_path / "out") == whole
    begun = [path.name.split()[0] for path in notes.iterdir()]
    again = len(begun) - len(set(begun))
    assert 1 <= again <= AHEAD * WORKERS + 1  # what the lost one did, had ready or had not handed over
    assert capfd.readouterr().err == ""


def die(task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def test_a_task_that_no_worker_survives_is_named() -> None:
    with (
        on_cluster(None, WORKERS) as mapper,
        pytest.raises(UpstreamError, match=r"part 4 of 6 ended every worker that took it"),
    ):
        list(mapper(die, range(6)))


def test_a_damaged_file_is_a_clear_error(study: Path) -> None:
    loaded = load_parted(study)
    path = study.parent / "panel" / "panel.parquet"
    place = pq.ParquetFile(path).metadata.row_group(4).column(2).data_page_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 64)
    with on_cluster(None, WORKERS) as mapper, pytest.raises(DataError) as caught:
        run_study(loaded, mapper=mapper)
    assert str(path) in str(caught.value)
    assert "cannot be read as parquet" in str(caught.value)
    assert "So says the worker on" in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_stopped_run_on_a_cluster_goes_on(study: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    def stop(done: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with on_cluster(None, WORKERS) as mapper:
        with pytest.raises(KeyboardInterrupt), keeping(tmp_path / "work", noting(notes, 0.0, mapper, stop)) as kept:
            run_study(load_parted(study), mapper=kept)
        held = len(list((tmp_path / "work").iterdir()))
        assert held == 5
        with keeping(tmp_path / "work", mapper) as kept:
            assert files_of(run_study(load_parted(study), mapper=kept), tmp_path / "out") == whole


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.scale.cluster.PATIENCE", 1)
    with pytest.raises(UpstreamError, match=r"tcp://127\.0\.0\.1:9: does not answer"), on_cluster("tcp://127.0.0.1:9"):
        pass


def client_ports(cluster: Any) -> list[int]:
    """The ports of the web servers of the workers."""
    return [worker.services["dashboard"] for worker in cluster.scheduler.workers.values()]


def listening(cluster: Any) -> list[str]:
    """The addresses at which this process and its children listen, by the system's own table."""
    ours = {str(os.getpid()), *(str(w.pid) for w in cluster.workers.values() if hasattr(w, "pid") and w.pid)}
    sockets = set()
    for process in ours:
        for handle in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(handle))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in sockets:
                found.append("127.0.0.1" if cells[1].startswith("0100007F:") else cells[1])
    return found


def test_no_one_without_the_key_of_the_run_reaches_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of a machine reaches its loopback, and whoever is answered by a scheduler or a worker runs code."""
    seen = []
    made = distributed.LocalCluster

    def watched(**settings: Any) -> Any:
        seen.append(made(**settings))
        return seen[-1]

    monkeypatch.setattr(distributed, "LocalCluster", watched)
    with on_cluster(None, 1) as mapper:
        assert list(mapper(abs, [-1, -2])) == [1, 2]
        (cluster,) = seen
        addresses = [cluster.scheduler.address, *cluster.scheduler.workers]
        addresses += [worker.nanny for worker in cluster.scheduler.workers.values()]
        assert len(addresses) == 3
        for address in addresses:
            assert address.startswith("tls://127.0.0.1:")
            with pytest.raises((OSError, TimeoutError)):
                distributed.Client(address.replace("tls:", "tcp:"), timeout=2, set_as_default=False)
            stranger = distributed.security.Security.temporary()
            with pytest.raises((OSError, TimeoutError)):
                distributed.Client(address, timeout=2, set_as_default=False, security=stranger)
        pages = [cluster.scheduler.http_server.port, *client_ports(cluster)]
        assert len(pages) == 2
        for port in pages:
            for path in ("/health", "/info/main/workers.html", "/json/counts.json", "/metrics", "/"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
        assert set(listening(cluster)) == {"127.0.0.1"}
        (scratch,) = {worker.local_directory for worker in cluster.scheduler.workers.values()}
    assert not Path(scratch).exists()


def test_a_worker_imports_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("multiprocessing", "numpy", "distributed", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'a').write(__name__)\n")
    monkeypatch.chdir(tmp_path)
    with on_cluster(None, 1) as mapper:
        assert list(mapper(abs, [-1])) == [1]
    assert not (tmp_path / "ran").exists()
