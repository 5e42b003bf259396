"""A second process takes a part of the work: the same result byte by byte, the same errors, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import make_study, simulated, texts, weekdays

from engine import load_study, run_study
from engine.beside import Beside, a_thread, gathered, here
from engine.cli import second_process as module
from engine.cli.second_process import own_process, second_process
from engine.errors import SpecError
from engine.report import memo_files

ROOT = Path(__file__).parents[1]
EVENTS = [("A", 90), ("B", 92), ("C", 120), ("A", 150), ("D", 160), ("B", 190), ("C", 205), ("D", 222)]
DATES = weekdays(260)
HEAVY: dict[str, Any] = {
    "significance": {"tests": ["cross_sectional_t", "bmp", "corrado", "permutation", "sq"]},
    "resampling": {"seed": 7, "draws": 99},
    "certificate": {"seed": 4, "draws": 99, "effects": [0.02], "runup": [-20, -2]},
    "claims": {"C1": {"statement": "Up", "sign": "+", "windows": [[-1, 1]], "test": "bmp", "primary": True}},
    "grid": {"model": ["market_adjusted", "mean_adjusted"], "returns": ["log"], "hold": [3, 9]},
    "backtest": {"entry": "close", "hold": 5, "cost_bp": 10, "borrow_bp": 50},
    "report": {"charts": ["caar_path", "car_forest", "specification_curve", "equity_curve"]},
}


def study(folder: Path, **overrides: Any) -> Path:
    """Eight events with a grid, a rule that trades, a certificate, a claim and charts."""
    events = [
        {"event_id": f"e{k}", "symbol": s, "announced_at": DATES[at], "expected_sign": "+-"[k % 2]}
        for k, (s, at) in enumerate(EVENTS)
    ]
    return make_study(folder, events, simulated(11, list("ABCD"), len(DATES)), **(HEAVY | overrides))


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A second process, also on a machine with one core."""
    monkeypatch.setattr(module, "_cores", lambda: 2)
    with own_process(), second_process() as made:
        assert made is not None
        yield made


def child_of(beside: Any) -> int:
    """The second process, as it says itself."""
    (ask,) = beside(own_id, [None])
    return wait_for(beside, ask)


def wait_for(beside: Any, ask: Callable[[], Any]) -> Any:
    """What the second process answers: it must have begun before it is asked for."""
    beside.feeder.submit(int).result()  # all that was handed over before is done
    return ask()


def own_id(task: object) -> int:
    return os.getpid()


def doubled(number: int) -> int:
    return 2 * number


def wrong(task: str) -> None:
    raise SpecError(f"{task} is wrong in {os.getpid()}")


def loud(task: str) -> str:
    print(task)
    print(task, file=sys.stderr)
    os.write(1, task.encode())
    return task


def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def tidied(path: Path) -> None:
    path.write_text("begun", encoding="utf-8")
    try:
        time.sleep(30.0)
    finally:
        path.unlink()


def unsendable(task: int) -> Any:
    return threading.Lock()


# What is handed over


def test_tasks_are_done_there_in_their_order(beside: Any) -> None:
    waiting = beside(own_id, [None] * 5)
    beside.feeder.submit(int).result()
    assert set(gathered(waiting)) == {child_of(beside)}
    assert child_of(beside) != os.getpid()
    assert gathered(beside(doubled, range(20))) == [2 * i for i in range(20)]


def test_one_that_is_not_begun_is_done_here(beside: Any) -> None:
    seen: list[tuple[int, int]] = []
    waiting = beside(slow, [3.0]) + beside(own_id, [None] * 6)
    beside.feeder.submit(int)
    assert gathered(waiting[1:], lambda done, total: seen.append((done, total))) == [os.getpid()] * 6
    assert seen == [(i, 6) for i in range(1, 7)]


def test_an_error_there_is_met_here(beside: Any) -> None:
    (ask,) = beside(wrong, ["this"])
    with pytest.raises(SpecError, match=f"^this is wrong in {os.getpid()}$"):
        wait_for(beside, ask)
    assert gathered(beside(doubled, [4])) == [8]


def test_what_cannot_be_sent_is_done_here(beside: Any) -> None:
    lock = threading.Lock()
    assert gathered(beside(lambda task: (task, os.getpid()), [1])) == [(1, os.getpid())]
    assert gathered(beside(type, [lock])) == [type(lock)]
    (ask,) = beside(unsendable, [1])
    assert isinstance(wait_for(beside, ask), type(lock))
    assert child_of(beside) != os.getpid()


def test_it_prints_nothing(beside: Any, capfd: pytest.CaptureFixture[str]) -> None:
    (ask,) = beside(loud, ["heard"])
    assert wait_for(beside, ask) == "heard"
    assert capfd.readouterr() == ("", "")


def test_killed_in_the_midst_all_is_done_here(beside: Any) -> None:
    there = child_of(beside)
    waiting = beside(own_id, [None]) + beside(slow, [0.4]) + beside(own_id, [None] * 3)
    beside.feeder.submit(int)
    time.sleep(0.1)
    os.kill(there, signal.SIGKILL)
    assert gathered(waiting) == [there, 0.4, *[os.getpid()] * 3]
    assert gathered(beside(doubled, [1, 2])) == [2, 4]


def test_it_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 2)
    with own_process(), second_process() as made:
        there = child_of(made)
        made(slow, [15.0])  # type: ignore[misc]
        began = time.monotonic()
    assert time.monotonic() - began < 8
    with pytest.raises(ProcessLookupError):
        os.kill(there, 0)


def test_a_task_that_is_stopped_tidies_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 2)
    with own_process(), second_process() as made:
        made(tidied, [tmp_path / "half"])  # type: ignore[misc]
        while not (tmp_path / "half").exists():
            time.sleep(0.01)
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize("why", ["one core", "not worth it", "not its own", "the user", "no room"])
def test_where_there_is_none(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any, **named: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(module, "_cores", lambda: 1 if why == "one core" else 2)
    monkeypatch.setenv("EVENTSTUDY_PROCESSES", "1" if why == "the user" else "2")
    if why == "no room":
        monkeypatch.setattr(module.subprocess, "Popen", refused)
    if why == "not its own":
        with second_process() as made:
            assert made is None
        return
    with own_process(), second_process(why != "not worth it") as made:
        assert made is None


# A study


@pytest.mark.slow
def test_the_same_result_and_memo(beside: Beside, tmp_path: Path) -> None:
    """Who does what depends on the moment: all there, all here, by turns with a thread."""
    loaded = load_study(study(tmp_path), data_path=())
    alone, by_turns = run_study(loaded), run_study(loaded, beside=here)
    shared = run_study(loaded, beside=all_there(beside))
    assert {"grid", "trials", "certificate", "verdicts", "backtest"} <= set(alone.tables)
    assert shared.manifest == by_turns.manifest == alone.manifest
    assert texts(shared) == texts(by_turns) == texts(alone)
    with a_thread() as thread:
        assert texts(run_study(loaded, beside=thread)) == texts(alone)
    files = memo_files(alone, ["md", "html"], charts=["svg", "png"])
    assert files == memo_files(alone, ["md", "html"], charts=["svg", "png"], beside=all_there(beside))
    assert len(files) == 2 + 2 * 7  # the four charts and those of the certificate


def all_there(beside: Any) -> Beside:
    """Every task is done in the second process before its result is asked for, and none fails there."""

    def handed(function: Any, tasks: Any) -> Any:
        waiting = beside(function, tasks)
        for ask in waiting:
            future, *_ = ask.args
            assert future.exception() is None
        return waiting

    return handed


def test_a_model_of_the_study_s_own_is_run_here(beside: Beside, tmp_path: Path) -> None:
    model = {"name": "custom", "file": "own_model.py", "function": "half_the_benchmark"}
    folder = study(tmp_path, model=model, significance={"tests": ["cross_sectional_t"]}, claims=None)
    loaded = load_study(folder, data_path=(), allow_code=True)
    assert texts(run_study(loaded, beside=beside)) == texts(run_study(loaded))


# The command


def eventstudy(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *words], cwd=folder, text=True, capture_output=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "EVENTSTUDY_DATA": ""} | more, timeout=300,
    )  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "certify"])
def test_a_command_writes_the_same(verb: str, tmp_path: Path) -> None:
    study(tmp_path / "s")
    one = eventstudy(tmp_path, verb, "s", "--out", "one", EVENTSTUDY_PROCESSES="1")
    two = eventstudy(tmp_path, verb, "s", "--out", "two")
    assert (one.returncode, one.stderr) == (two.returncode, two.stderr) == (0, "")
    assert one.stdout.replace("one/", "two/") == two.stdout
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_an_error_is_told_once(tmp_path: Path) -> None:
    claims = {"C1": HEAVY["claims"]["C1"] | {"group": "nobody"}}
    study(tmp_path / "spec", claims=claims)
    done = eventstudy(tmp_path, "run", "spec")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('error: [claims.C1] group = "nobody" is no group of the study.')
    long = {"estimation_window": [-120, -71], "min_estimation_days": 50}
    study(tmp_path / "data", model=long, limits={"max_excluded_share": 0.1})
    done = eventstudy(tmp_path, "run", "data")
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert done.stderr.count("error: ") == 1
    assert not (tmp_path / "spec" / "out").exists()


LIGHT: dict[str, Any] = {
    "certificate": None, "claims": None, "grid": None, "backtest": None, "report": {"charts": ["caar_path"]},
}  # fmt: skip


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Studies of which one has no prices, one is wrong and one has another golden result."""
    for name in ("a", "b", "c", "d", "e"):
        study(tmp_path / "studies" / name, **LIGHT)
    shutil.rmtree(tmp_path / "studies" / "b" / "data")
    toml = tmp_path / "studies" / "d" / "study.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("grid", "grd") + "[nothing]\n", encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_every_study_is_told_in_its_order(several: Path) -> None:
    one = eventstudy(several, "run", "--all", EVENTSTUDY_PROCESSES="1")
    before = files(several)
    for name in "ace":
        for path in (several / "studies" / name / "out").rglob("*.csv"):
            path.write_text("overwritten", encoding="utf-8")
    two = eventstudy(several, "run", "--all")
    assert files(several) == before
    assert (two.returncode, two.stdout, two.stderr) == (2, one.stdout, one.stderr)
    assert [line[:2] for line in two.stdout.splitlines() if line[1:2] == ":"] == ["a:", "b:", "c:", "e:"]
    assert "nothing" in two.stderr


@pytest.mark.slow
def test_every_study_is_validated_in_its_order(several: Path) -> None:
    for name in "ae":
        assert eventstudy(several, "bless", name, "--reason", "first").returncode == 0
    path = several / "studies" / "e" / "golden" / "cars.csv"
    header, first, *others = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *others, first.replace("0.0", "0.1")]) + "\n", encoding="utf-8")
    words = ("validate", "--json", "found.json")
    one = eventstudy(several, *words, EVENTSTUDY_PROCESSES="1")
    told = (several / "found.json").read_bytes()
    two = eventstudy(several, *words)
    assert (two.returncode, two.stdout, two.stderr) == (1, one.stdout, one.stderr)
    assert (several / "found.json").read_bytes() == told
    assert eventstudy(several, "validate", "a").stdout.splitlines()[0] == "a: inputs unchanged, numbers equal"


def children(of: int) -> list[int]:
    """The processes that a process has begun."""
    return [int(p) for task in Path(f"/proc/{of}/task").iterdir() for p in (task / "children").read_text().split()]


WAITS = """
import os, sys, time
from engine.cli import second_process as module
module._cores = lambda: 2
with module.own_process(), module.second_process() as beside:
    print("begun", flush=True)
    beside(time.sleep, [60.0])
    time.sleep(60.0)
"""


def gone(pid: int, within: float) -> bool:
    """Whether a process is there no more, after so many seconds at most."""
    end = time.monotonic() + within
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc here")
def test_it_does_not_go_on_without_the_first(tmp_path: Path) -> None:
    """Killed, the first process can tell nobody; the second one is in the midst of a task."""
    first = subprocess.Popen(
        [sys.executable, "-c", WAITS], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    first.stdout.readline()
    (there,) = children(first.pid)
    time.sleep(2.5)
    first.kill()
    first.communicate()
    assert gone(there, 5.0)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc here")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(ending: signal.Signals, tmp_path: Path) -> None:
    """However the command ends; a terminal sends its Ctrl-C to the whole group of processes."""
    study(tmp_path / "s", certificate={"seed": 4, "draws": 20_000, "effects": [0.02], "runup": [-20, -2]})
    going = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", "run", "s"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT), "EVENTSTUDY_DATA": ""}, start_new_session=True, text=True,
    )  # fmt: skip
    found: list[int] = []
    while going.poll() is None and not found:
        found = children(going.pid)
        time.sleep(0.01)
    (there,) = found
    time.sleep(2.5)
    assert going.poll() is None
    os.killpg(going.pid, ending)
    said = going.communicate(timeout=30)
    told = "" if ending == signal.SIGKILL else "stopped; nothing was written\n"
    assert said == ("", told)
    assert going.returncode == (-ending if ending == signal.SIGKILL else 128 + ending)
    assert gone(there, 10.0)
    assert not (tmp_path / "s" / "out").exists()
