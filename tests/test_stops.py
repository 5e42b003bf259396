"""How a command ends when it is asked to, in every phase; two at once; standard streams that are closed; permissions.

A phase is made long by a library of the same name that is planted before the real one, or by a model of the study's own. It
leaves a mark when it is reached, then the signal is sent.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_study, run, simulated, weekdays
from loopback import Reply
from parted import make_parted
from test_fetch import environment, home, server  # noqa: F401

from engine import golden, inplace
from engine.cli.second_process import own_process, second_process
from engine.errors import DataError
from engine.results import read_result, write_file, write_result

ROOT = Path(__file__).parents[1]
DATES = weekdays(160)
HANG = 15.0  # seconds: an answer takes less than one, except on a machine that is very busy
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
BEGIN = "import os, pathlib, signal, threading, time\n"
MARK = "pathlib.Path(os.environ['MARK']).touch()\n"
WAYS = {
    "waits": "time.sleep(60)\n",
    "makes another error of it": (
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    raise ImportError('half imported') from None\n"
    ),
    "passes over it": (
        "while True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass\n"
    ),
    "raises it where nothing can be raised": (
        "class End:\n    def __del__(self):\n        time.sleep(3)\nEnd()\ntime.sleep(60)\n"
    ),
    "waits in a lock that no signal ends": (
        "signal.siginterrupt(signal.SIGINT, False)\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n"
    ),
    "hears nothing": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ntime.sleep(60)\n",
}  # fmt: skip


def default_signals() -> None:
    """Signals as a terminal's programs have them, also where this process ignores some."""
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def begun(folder: Path, *words: str, **more: Any) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder / "planted"), str(ROOT)]), "EVENTSTUDY_DATA": "",
        "MARK": str(folder / "mark"), "TMPDIR": str(folder),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "engine.cli", *words], cwd=folder, text=True, start_new_session=True,
        **({"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": default_signals} | more),
    )  # fmt: skip


def wait_for(there: Callable[[], Any], going: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + 120
    while not there():
        assert going.poll() is None, going.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def ended(going: subprocess.Popen[str], number: int = signal.SIGINT, group: bool = True) -> tuple[int, str]:
    """Send the signal as a terminal does, to the whole group; the exit code, and what was said on stderr."""
    before = time.monotonic()
    (os.killpg if group else os.kill)(going.pid, number)
    try:
        _, said = going.communicate(timeout=HANG)
    finally:
        going.kill()
    print(f"answered after {time.monotonic() - before:.2f} s")
    return going.returncode, said


@pytest.fixture
def made(tmp_path: Path) -> Path:
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    make_study(tmp_path / "s", events, simulated(3, ["A", "B"], 160), report={"charts": ["caar_path"]})
    (tmp_path / "planted").mkdir()
    return tmp_path


def plant(folder: Path, library: str, way: str) -> None:
    (folder / "planted" / f"{library}.py").write_text(BEGIN + MARK + WAYS[way], encoding="utf-8")


@pytest.mark.parametrize(
    ("library", "way", "words"),
    [
        ("typer", "waits", "run s"),
        ("typer", "hears nothing", "--help"),
        *(("polars", way, "run s") for way in WAYS),
        ("polars", "hears nothing", "validate"),
        ("numba", "waits in a lock that no signal ends", "run s --kernel numba"),
        ("matplotlib", "passes over it", "run s"),
    ],
)
def test_ctrl_c_while_a_library_is_imported(made: Path, library: str, way: str, words: str) -> None:
    plant(made, library, way)
    going = begun(made, *words.split())
    wait_for((made / "mark").exists, going)
    assert ended(going) == (130, "stopped; nothing was written\n")
    assert sorted(p.name for p in (made / "s").iterdir()) == ["data", "events.csv", "study.toml"]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("way", ["waits", "hears nothing"])
def test_each_signal_has_its_code(made: Path, name: str, way: str) -> None:
    plant(made, "polars", way)
    going = begun(made, "run", "s")
    wait_for((made / "mark").exists, going)
    assert ended(going, getattr(signal, name)) == (SIGNALS[name], "stopped; nothing was written\n")


def test_a_signal_that_the_caller_ignores_stays_ignored(made: Path) -> None:
    (made / "planted" / "polars.py").write_text(BEGIN + MARK + "time.sleep(1.0)\nraise SystemExit(7)\n")
    going = begun(made, "run", "s", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    wait_for((made / "mark").exists, going)
    assert ended(going) == (7, "")


def never_ends(folder: Path, way: str) -> Path:
    """A study whose own model does not come back."""
    model = {"name": "custom", "file": "own_model.py", "function": "half_the_benchmark"}
    events = [
        {"event_id": "e", "symbol": "A", "announced_at": DATES[90]},
        {"event_id": "f", "symbol": "A", "announced_at": DATES[110]},
    ]
    significance = {"tests": ["cross_sectional_t"]}
    made = make_study(folder, events, simulated(3, ["A"], 160), model=model, significance=significance)
    body = "".join(f"    {line}\n" for line in (MARK + WAYS[way]).splitlines())
    (made / "own_model.py").write_text(f"{BEGIN}def half_the_benchmark(*_):\n{body}", encoding="utf-8")
    return made


@pytest.mark.parametrize("way", ["waits", "passes over it", "hears nothing"])
def test_ctrl_c_in_the_midst_of_an_estimation(made: Path, way: str) -> None:
    folder = never_ends(made / "own", way)
    going = begun(made, "run", "own", "--allow-code")
    wait_for((made / "mark").exists, going)
    assert ended(going) == (130, "stopped; nothing was written\n")
    assert not (folder / "out").exists()


def test_ctrl_c_while_a_memo_is_written(made: Path) -> None:
    """A result was written before; it stays, and nothing half-written is left beside it."""
    write_result(run(made / "s"), made / "s" / "out")
    before = {p: p.read_bytes() for p in (made / "s").rglob("*") if p.is_file()}
    plant(made, "typst", "hears nothing")
    going = begun(made, "memo", "s", "--format", "pdf")
    wait_for((made / "mark").exists, going)
    assert ended(going) == (130, "stopped; nothing was written\n")
    plant(made, "matplotlib", "hears nothing")
    (made / "mark").unlink()
    going = begun(made, "run", "s")
    wait_for((made / "mark").exists, going)
    assert list((made / "s").glob(".out.writing-*"))
    assert ended(going) == (130, "stopped; nothing was written\n")
    assert {p: p.read_bytes() for p in (made / "s").rglob("*") if p.is_file()} == before


def test_what_was_written_is_said(made: Path) -> None:
    """Of all studies the first is written, and the second waits for ever."""
    shutil.copytree(made / "s", made / "studies" / "a")
    never_ends(made / "studies" / "b", "waits")
    going = begun(made, "run", "--all", "--allow-code")
    wait_for((made / "mark").exists, going)
    assert ended(going) == (130, "stopped; written before that: studies/a/out\n")
    assert read_result(made / "studies" / "a" / "out").manifest["study"] == "a"


def test_ctrl_c_while_the_network_is_waited_for(home: Path, server: Any) -> None:  # noqa: F811
    """A server that does not answer: the client in C waits for it half a minute."""
    server.charts["BBB"] = [Reply(b"", then=(home / "mark").touch, stall=20.0)]
    going = begun(home, "fetch", "made", env=environment(home, server.base) | {"PYTHONPATH": str(ROOT)})
    wait_for((home / "mark").exists, going)
    code, said = ended(going)
    assert code == 130
    assert said == "stopped; 2 of 3 symbols are kept, the same command goes on with the others\n"


# The second process


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, int]]:
    """What hands work over to a second process, and the process."""
    monkeypatch.setattr("engine.cli.second_process._cores", lambda: 2)
    with own_process(), second_process() as beside:
        assert beside is not None
        assert beside(abs, [-1])[0]() == 1
        (pid,) = {
            int(p) for t in Path("/proc/self/task").iterdir() for p in (t / "children").read_text().split()
            if b"second_process" in Path(f"/proc/{p}/cmdline").read_bytes()
        }  # fmt: skip
        yield beside, pid


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_stopped_or_killed_child_is_not_waited_for(child: tuple[Any, int], number: int) -> None:
    beside, pid = child
    (ask,) = beside(time.sleep, [2.0])
    future = ask.args[0]
    end = time.monotonic() + HANG
    while not future.running() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.5)  # it has been sent
    os.kill(pid, number)
    assert future.exception(timeout=HANG) is not None  # else it would be waited for
    assert ask() is None  # done here
    assert [one() for one in beside(abs, [-2, -3])] == [2, 3]


def test_a_stopped_child_ends_with_a_killed_parent(tmp_path: Path) -> None:
    from test_second_process import WAITS, children, gone

    first = subprocess.Popen(
        [sys.executable, "-c", WAITS.replace("[60.0]", "[0.0, 60.0]")], env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdout is not None
    first.stdout.readline()
    (there,) = children(first.pid)
    wait_for(lambda: "numpy" in Path(f"/proc/{there}/maps").read_text(), first)  # it serves
    os.kill(there, signal.SIGSTOP)
    first.kill()
    first.communicate()
    assert gone(there, HANG)


# Standard streams

VERBS = {
    "--help": 0, "run --help": 0, "run": 0, "run s": 0, "run s --dry-run": 0, "events s": 0, "validate s": 0,
    "bless s --reason x": 0, "memo s --only caar_path": 0, "new fresh": 0, "run nosuch": 2, "nothing": 2,
}  # fmt: skip
CLOSED = {"stdin": (0,), "stdout": (1,), "stderr": (2,), "both": (1, 2), "all": (0, 1, 2)}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a result and a golden one."""
    folder = tmp_path_factory.mktemp("ready")
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    study = make_study(folder / "s", events, simulated(3, ["A", "B"], 160), report={"charts": ["caar_path"]})
    result = run(study)
    write_result(result, study / "out")
    golden.bless(result, study / "golden", "first")
    return folder


def closing(descriptors: tuple[int, ...]) -> Callable[[], None]:
    def before() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return before


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("words", ["--help", "run s", "events s", "run nosuch"])
def test_closed_streams(ready: Path, words: str, closed: str) -> None:
    """The code is that of the command; what is left open has no traceback and no other's data."""
    going = begun(ready, *words.split(), preexec_fn=closing(CLOSED[closed]))
    out, said = going.communicate(timeout=120)
    assert going.returncode == VERBS[words], said
    assert "Traceback" not in out + said
    assert "Exception ignored" not in said
    assert (said != "") == (words == "run nosuch" and "stderr" in open_of(closed))
    assert (out != "") == (words != "run nosuch" and "stdout" in open_of(closed))


def open_of(closed: str) -> set[str]:
    return {name for name, number in (("stdout", 1), ("stderr", 2)) if number not in CLOSED[closed]}


@pytest.mark.parametrize("words", VERBS)
def test_a_reader_that_is_gone_changes_no_code(ready: Path, tmp_path: Path, words: str) -> None:
    """As `| head -0`: the work is done, and the code is that of the command."""
    shutil.copytree(ready / "s", tmp_path / "s")
    read, write = os.pipe()
    os.close(read)
    going = begun(tmp_path, *words.split(), stdout=write)
    os.close(write)
    _, said = going.communicate(timeout=120)
    assert going.returncode == VERBS[words], said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "Broken pipe" not in said
    assert ("\n- x" in (tmp_path / "s" / "golden" / "CHANGELOG.md").read_text()) == words.startswith("bless")


@pytest.mark.parametrize("words", ["--help", "run s --dry-run", "events s", "run s"])
def test_a_full_device_behind_stdout(ready: Path, words: str) -> None:
    with Path("/dev/full").open("w") as full:
        going = begun(ready, *words.split(), stdout=full)
        _, said = going.communicate(timeout=120)
    assert going.returncode == 3, said
    assert said.endswith("error: the output cannot be read or written (No space left on device).\n")


def test_a_full_device_behind_stderr(ready: Path) -> None:
    """What cannot be told changes nothing."""
    with Path("/dev/full").open("w") as full:
        going = begun(ready, "run", "s", "--dry-run", stderr=full)
        out, _ = going.communicate(timeout=120)
    assert going.returncode == 0
    assert out.startswith("event_id,symbol,event_day")


# Permissions


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_the_umask_is_kept(ready: Path, tmp_path: Path, mask: int) -> None:
    """Files are 0666 and folders 0777 without what the mask takes away; so a group can share a folder."""
    shutil.copytree(ready / "s", tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / "out")
    for words in ("run s", "bless s --reason x", "memo s --format md", "new fresh", "events s --out days"):
        going = begun(tmp_path, *words.split(), preexec_fn=lambda: os.umask(mask) and None)
        assert going.communicate(timeout=120) is not None
        assert going.returncode == 0
    made = [
        p
        for place in ("s/out", "s/golden", "studies/fresh", "days")
        for p in (tmp_path / place, *(tmp_path / place).rglob("*"))
    ]
    assert len(made) > 40
    assert {(p.is_dir(), p.stat().st_mode & 0o777) for p in made} == {(True, 0o777 & ~mask), (False, 0o666 & ~mask)}


# Two at once


def test_two_that_bless_at_once_keep_both_reasons(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one blesses while the first has read the log and has not put its own in place."""
    result, folder = read_result(ready / "s" / "out"), tmp_path / "golden"
    golden.bless(result, folder, "the first of all")
    write, others = golden.write_tables, ["one between", "another between"]

    def slow(*given: Any) -> None:
        write(*given)
        if others:
            golden.bless(result, folder, others.pop(0))

    monkeypatch.setattr(golden, "write_tables", slow)
    golden.bless(result, folder, "the slow one")
    log = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    reasons = [line[2:] for line in log.splitlines() if line.startswith("- ")]
    assert reasons[0] == "the slow one"
    assert sorted(reasons[1:]) == ["another between", "one between", "the first of all"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["golden"]


def test_commands_that_bless_at_once(ready: Path, tmp_path: Path) -> None:
    shutil.copytree(ready / "s", tmp_path / "s")
    going = [begun(tmp_path, "bless", "s", "--reason", f"reason {i}") for i in range(3)]
    said = [one.communicate(timeout=240)[1] for one in going]
    assert [one.returncode for one in going] == [0, 0, 0], said
    log = (tmp_path / "s" / "golden" / "CHANGELOG.md").read_text(encoding="utf-8")
    reasons = [line for line in log.splitlines() if line.startswith("- ")]
    assert sorted(reasons[:3]) == [f"- reason {i}" for i in range(3)]
    assert reasons[3:] == ["- first"]


def test_a_result_that_is_replaced_while_it_is_read_is_read_again(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every table and the manifest are of one run, and a memo of the earlier one is not put beside the later one."""
    from engine import results

    old = read_result(ready / "s" / "out")
    new = results.StudyResult({n: t.clear() for n, t in old.tables.items()}, old.manifest | {"seed": 2})
    out, read, left = tmp_path / "out", results._read_table, [new]
    write_result(old, out)

    def slow(*given: Any) -> Any:
        table = read(*given)
        if left:
            write_result(left.pop(), out)
        return table

    monkeypatch.setattr(results, "_read_table", slow)
    assert read_result(out) == new
    seen = inplace.version(out / "manifest.json")
    write_result(old, out)
    with (
        pytest.raises(DataError, match="another program has replaced it"),
        inplace.unchanged(out / "manifest.json", seen),
    ):
        pytest.fail("it is another one")


def test_a_paused_program_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that was paused while it had the folder's lock: an error says so."""
    monkeypatch.setattr(inplace, "PATIENCE", 0.2)
    with (
        inplace._alone_in(tmp_path),
        pytest.raises(DataError, match=r"about to write there for 0 seconds. Was it paused"),
    ):
        write_file(tmp_path / "x", b"x")
    write_file(tmp_path / "x", b"x")


# Temporary files

SORTS = """
import os, sys, time
from engine.inplace import temporary_folder
folder = temporary_folder()
(folder / "sorted.parquet").write_bytes(b"x" * 1000)
print(folder, flush=True)
sys.stdin.read()
"""


def test_a_sorted_copy_of_a_killed_run_is_removed_by_the_next(ready: Path, tmp_path: Path) -> None:
    """Whatever the next run is of; one that still runs keeps its own, and what is not ours is left alone."""
    shutil.copytree(ready / "s", tmp_path / "s")
    (tmp_path / "eventstudy-sorted").mkdir()
    (tmp_path / "eventstudy-sorted-link").symlink_to(tmp_path / "s")
    settings = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    ours = [
        subprocess.Popen([sys.executable, "-c", SORTS], env=settings, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]  # fmt: skip
    killed, running = (Path(one.stdout.readline().strip()) for one in ours if one.stdout is not None)
    assert killed.parent == tmp_path
    assert killed.stat().st_mode & 0o777 == 0o700
    ours[0].kill()
    ours[0].communicate()
    assert killed.exists()
    assert begun(tmp_path, "events", "s").communicate(timeout=120)[1] == ""
    assert not killed.exists()
    assert (running / "sorted.parquet").stat().st_size == 1000
    ours[1].communicate("")
    assert not running.exists()
    assert (tmp_path / "eventstudy-sorted-link" / "study.toml").exists()
    assert (tmp_path / "eventstudy-sorted").exists()


def test_sessions_that_a_killed_run_was_keeping_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from engine.session_store import kept

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept("thing", lambda: {"x": np.array([1])}, {"x": "i1"})
    (path,) = (tmp_path / "event-study-engine").iterdir()
    (path.parent / f".{path.name}.writing-0011223344556677").write_bytes(b"half")
    path.unlink()
    kept("thing", lambda: {"x": np.array([1])}, {"x": "i1"})
    assert [p.name for p in path.parent.iterdir()] == [path.name]


IN_PARTS = """
import sys
from engine.cli.stopping import stoppable
with stoppable():
    from engine import load_study, run_study
    run_study(load_study(sys.argv[1], data_path=(), in_parts=True))
"""


def test_the_copy_that_a_study_in_parts_sorts_is_gone_after_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real sorted copy of a study in parts, of a run that is stopped and of one that is killed."""
    import polars as pl

    study = make_parted(tmp_path)
    panel = tmp_path / "panel" / "panel.parquet"
    pl.read_parquet(panel).sample(fraction=1.0, shuffle=True, seed=1).write_parquet(panel, row_group_size=10_000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def copies() -> list[Path]:
        return list(tmp_path.glob("eventstudy-sorted-*"))

    for number in (signal.SIGINT, signal.SIGKILL):
        going = subprocess.Popen(
            [sys.executable, "-c", IN_PARTS, str(study)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=default_signals,
        )
        wait_for(copies, going)
        code, said = ended(going, number)
        assert (code, said) == ((130, "stopped; nothing was written\n") if number == signal.SIGINT else (-9, ""))
        assert bool(copies()) == (number == signal.SIGKILL)
    inplace.remove_temporary()
    assert copies() == []


# Workers of a cluster

WORKERS = """
import sys, time
from engine.cli.stopping import stoppable
if __name__ == "__main__":
    with stoppable():
        from engine.scale.cluster import on_cluster
        with on_cluster(None, 2) as mapper:
            print("begun", flush=True)
            list(mapper(time.sleep, [60.0] * 4))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_command(tmp_path: Path, number: signal.Signals) -> None:
    """However the command ends, its worker processes do too, and say nothing."""
    from test_second_process import children, gone

    (tmp_path / "own.py").write_text(WORKERS, encoding="utf-8")
    going = subprocess.Popen(
        [sys.executable, "own.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=default_signals,
    )  # fmt: skip
    assert going.stdout is not None
    going.stdout.readline()
    workers = children(going.pid)
    assert len(workers) >= 2
    code, said = ended(going, number, group=number == signal.SIGINT)
    if number != signal.SIGKILL:
        assert (code, said) == (128 + number, "stopped; nothing was written\n")
    assert all(gone(one, HANG) for one in workers)
