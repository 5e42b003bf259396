"""The last catch: an exception that nobody expected is a message and exit code 70, and ends the study that it is of alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import make_study, simulated, weekdays
from polars.exceptions import PanicException

import engine.study
from engine.cli import main
from engine.errors import MissingData, SpecError, UnforeseenError
from engine.golden import Comparison, Difference, bless
from engine.validation import Check, counted, exit_code, failed, left_out, unmet, without_golden

DATES = weekdays(160)


def deeper(n: int = 0) -> None:
    deeper(n + 1)


def raising(error: BaseException) -> Callable[[], None]:
    def raised() -> None:
        raise error

    return raised


FAULTS: dict[str, Callable[[], None]] = {
    "ValueError": raising(ValueError("no\nsuch thing")),
    "MemoryError": raising(MemoryError()),
    "RecursionError": deeper,
    "PanicException": raising(PanicException("within polars")),
    "LookupError": raising(LookupError("x" * 5_000)),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three blessed studies in a working folder, everything in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTSTUDY_PROCESSES", "1")
    monkeypatch.setenv("EVENTSTUDY_DATA", "")
    events = [{"event_id": f"e{i}", "symbol": s, "announced_at": DATES[90 + 9 * i]} for i, s in enumerate("AB")]
    for name in ("aaa", "broken", "zzz"):
        folder = make_study(tmp_path / "studies" / name, events, simulated(3, ["A", "B"], 160))
        bless(engine.study.run_study(engine.study.load_study(folder, data_path=())), folder / "golden", "first")
    return tmp_path


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Puts a fault into the engine: it comes where the study "broken" is read."""
    load = engine.study.load_study

    def planted(fault: Callable[[], None]) -> None:
        def faulty(folder: Path, *args: Any, **named: Any) -> Any:
            if folder.name == "broken":
                fault()
            return load(folder, *args, **named)

        monkeypatch.setattr(engine.study, "load_study", faulty)

    return planted


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: its exit code, stdout and stderr."""

    def called(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["eventstudy", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return called


Plant = Callable[[Callable[[], None]], None]
Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("verb", ["run", "events", "certify", "validate", "bless --reason x"])
def test_a_message_and_exit_code_70(name: str, verb: str, home: Path, plant: Plant, command: Command) -> None:
    plant(FAULTS[name])
    code, _, err = command(*verb.split(), "broken")
    assert code == 70
    assert f"error: unforeseen {name} in engine/" in err
    assert "report it" in err
    assert "--debug" in err
    assert "Traceback" not in err
    assert max(map(len, err.splitlines())) < 700


@pytest.mark.parametrize(
    "words",
    ["--debug run broken", "run --debug broken", "validate broken --debug", "validate --debug", "run --all --debug"],
)
def test_debug_shows_the_traceback_wherever_it_stands(words: str, home: Path, plant: Plant, command: Command) -> None:
    plant(FAULTS["ValueError"])
    code, _, err = command(*words.split())
    assert code == 70
    assert "Traceback (most recent call last)" in err
    assert "in raised" in err
    assert "ValueError: no\nsuch thing\n" in err


def test_debug_after_two_dashes_is_a_name(home: Path, command: Command) -> None:
    code, _, err = command("run", "--", "--debug")
    assert code == 2
    assert '"--debug" is no study' in err


def test_debug_changes_nothing_where_nothing_is_wrong(home: Path, command: Command) -> None:
    assert command("validate", "--debug", "aaa") == command("validate", "aaa")
    code, _, err = command("--debug", "run", "nothing")
    assert (code, "Traceback" in err) == (2, False)


def test_usage_stays_usage(home: Path, command: Command) -> None:
    for words in (("runn",), ("run", "--nothing"), ("validate", "--min-studies", "x"), ("bless",), ("--debug", "memo")):
        code, _, err = command(*words)
        assert code == 2, words
        assert "unforeseen" not in err


@pytest.mark.parametrize("name", FAULTS)
def test_one_study_that_breaks_does_not_end_the_others(name: str, home: Path, plant: Plant, command: Command) -> None:
    plant(FAULTS[name])
    code, out, err = command("validate", "--report", "v.html", "--json", "v.json", "--junit", "v.xml")
    assert code == 70
    assert out.splitlines() == [
        "aaa: inputs unchanged, numbers equal",
        "zzz: inputs unchanged, numbers equal",
        "validated 2, differing 0, no golden 0, left out 0",
    ]
    assert f"broken: unforeseen {name}" in err
    told = json.loads((home / "v.json").read_text(encoding="utf-8"))
    assert [s["status"] for s in told["studies"]] == ["equal", "broke", "equal"]
    assert (told["ok"], told["exit_code"]) == (False, 70)
    suites = {s.get("name"): s for s in xml.parse(home / "v.xml").getroot()}
    assert [suites[n].get("errors") for n in ("aaa", "broken", "zzz")] == ["0", "1", "0"]
    assert f"unforeseen {name}" in (home / "v.html").read_text(encoding="utf-8")


def test_run_all_goes_on(home: Path, plant: Plant, command: Command) -> None:
    plant(FAULTS["PanicException"])
    code, _, err = command("run", "--all")
    assert code == 70
    assert "broken: unforeseen PanicException" in err
    assert all(
        (home / "studies" / n / "out" / "memo.html").is_file() == (n != "broken") for n in ("aaa", "broken", "zzz")
    )


def undecodable(folder: Path) -> None:
    (folder / "study.toml").write_bytes(b'title = "\xff\xfe"')


def no_toml(folder: Path) -> None:
    (folder / "study.toml").write_text("[[[")


def a_folder(folder: Path) -> None:
    (folder / "study.toml").unlink()
    (folder / "study.toml").mkdir()


def events_gone(folder: Path) -> None:
    (folder / "events.csv").unlink()


def bytes_in_events(folder: Path) -> None:
    (folder / "events.csv").write_bytes(bytes(range(256)) * 40)


def a_damaged_golden(folder: Path) -> None:
    for path in (folder / "golden").iterdir():
        path.write_bytes(b"\x00\xff" * 50)


WRONG = (undecodable, no_toml, a_folder, events_gone, bytes_in_events, a_damaged_golden)


@pytest.mark.parametrize("spoil", WRONG, ids=lambda f: f.__name__)
def test_a_wrong_study_does_not_end_the_others(spoil: Callable[[Path], None], home: Path, command: Command) -> None:
    spoil(home / "studies" / "broken")
    code, out, err = command("validate", "--all", "--json", "v.json")
    assert code == (2 if spoil in (undecodable, no_toml, a_folder) else 3)
    assert "Traceback" not in err
    assert out.splitlines()[0] == "aaa: inputs unchanged, numbers equal"
    assert out.splitlines()[-2:] == [
        "zzz: inputs unchanged, numbers equal",
        "validated 2, differing 0, no golden 0, left out 0",
    ]
    assert len(json.loads((home / "v.json").read_text(encoding="utf-8"))["studies"]) == 3
    if spoil in (undecodable, events_gone):
        assert command("run", "--all")[0] == code
        assert all((home / "studies" / n / "out" / "memo.html").is_file() for n in ("aaa", "zzz"))


PLANTED = """
import os, signal
from pathlib import Path
import engine.study

load = engine.study.load_study

def faulty(folder, *args, **named):
    if os.getpid() != int(os.environ["FIRST"]):
        Path(os.environ["SEEN"]).write_text(folder.name)
        os.kill(os.getpid(), signal.SIGKILL)
    return load(folder, *args, **named)

engine.study.load_study = faulty
"""
FIRST = """
import os, sys
os.environ["FIRST"] = str(os.getpid())
sys.path.insert(0, os.getcwd())  # a relative entry is not handed on
from engine.cli import main, second_process
second_process._cores = lambda: 2
second_process.PROGRAM = second_process.PROGRAM.replace("serve({parent})", "import planted; serve({parent})")
sys.argv = ["eventstudy", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("words", [("validate",), ("run", "--all")])
def test_a_second_process_that_dies_ends_no_study(words: tuple[str, ...], home: Path) -> None:
    """It is killed while it reads the last study: that one is done by the first process."""
    (home / "planted.py").write_text(PLANTED)
    environment = os.environ | {"EVENTSTUDY_PROCESSES": "2", "SEEN": str(home / "seen")}
    done = subprocess.run(
        [sys.executable, "-c", FIRST, *words],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (home / "seen").read_text() == "zzz"
    told = [line[:4] for line in done.stdout.splitlines()]
    assert [word for word in told if word in ("aaa:", "brok", "zzz:")] == ["aaa:", "brok", "zzz:"]


# What all checks come to

EQUAL = Check.of("a", Comparison((), (), (), ()))
MOVED = Check.of("b", Comparison((), (), (Difference("b", "cars", "r", "car", "1", "2", "", 0.5),), ()))
BROKE = failed("c", UnforeseenError("unforeseen"))
WRONG_STUDY = failed("d", SpecError("wrong"))
AWAY, ASKED_AWAY = left_out("e", MissingData("no prices")), left_out("e", MissingData("no prices"), alone=True)
NEW = without_golden("f")


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([EQUAL], 0),
        ([EQUAL, NEW, AWAY], 0),
        ([EQUAL, MOVED, WRONG_STUDY, AWAY], 1),
        ([EQUAL, MOVED, BROKE], 70),
        ([BROKE], 70),
        ([], 1),
        ([NEW], 1),
        ([AWAY], 1),
        ([EQUAL, WRONG_STUDY], 2),
        ([EQUAL, ASKED_AWAY], 3),
    ],
)  # fmt: skip
def test_exit_codes_of_several(checks: list[Check], code: int) -> None:
    assert exit_code(checks, unmet(checks)) == code


def test_the_last_line_counts() -> None:
    assert counted([]) == "validated 0, differing 0, no golden 0, left out 0"
    assert (
        counted([EQUAL, MOVED, BROKE, WRONG_STUDY, AWAY, NEW, NEW])
        == "validated 2, differing 1, no golden 2, left out 1"
    )


def test_what_is_required() -> None:
    checks = [EQUAL, MOVED, AWAY, NEW]
    assert unmet(checks, ["a", "b"]) == []
    assert unmet(checks, ["e", "a", "f"]) == [
        'required study "e" was not validated: left out',
        'required study "f" was not validated: no golden',
    ]
    assert unmet(checks, ["all"]) == unmet(checks, ["e", "f"])
    assert unmet([EQUAL], ["aa"]) == [
        'required study "aa" was not validated: it is not among those that were asked for. Did you mean "a"? Known: a.'
    ]
    assert unmet(checks, (), 2) == []
    assert unmet(checks, (), 3) == ["2 studies were validated; at least 3 must be"]
    assert unmet([AWAY]) == ["no study was validated"]


def test_required_studies_and_the_least_number_on_the_command_line(home: Path, command: Command) -> None:
    assert command("validate", "--require", "all", "--min-studies", "3")[0] == 0
    assert command("validate", "--require", "aaa,zzz", "--require", "broken")[0] == 0
    code, out, err = command(
        "validate", "--min-studies", "4", "--json", "v.json", "--junit", "v.xml", "--report", "v.html"
    )
    assert code == 1
    assert out.splitlines()[-1] == "validated 3, differing 0, no golden 0, left out 0"
    assert "error: 3 studies were validated; at least 4 must be." in err
    assert json.loads((home / "v.json").read_text())["unmet"] == ["3 studies were validated; at least 4 must be"]
    assert [f.get("message") for f in xml.parse(home / "v.xml").getroot().iter("failure")] == [
        "3 studies were validated; at least 4 must be"
    ]
    assert "at least 4 must be" in (home / "v.html").read_text()
    (home / "studies" / "aaa" / "data" / "A.csv").rename(home / "A.csv")
    assert command("validate", "--require", "aaa")[0] == 1
    assert command("validate", "aaa")[0] == 3
    assert command("validate", "aaa", "--require", "aaa")[0] == 1
    assert command("validate", "--all", "aaa")[0] == 2
    assert command("validate", "aaa", "--against", "data", "--min-studies", "1")[0] == 2


def test_a_study_without_prices_is_exit_3_by_name_and_left_out_among_others(home: Path, command: Command) -> None:
    toml = home / "studies" / "zzz" / "study.toml"
    toml.write_text(toml.read_text().replace('snapshot = "data"', 'snapshot = "elsewhere"'))
    code, out, err = command("validate", "zzz")
    assert (code, out) == (3, "validated 0, differing 0, no golden 0, left out 1\n")
    assert "elsewhere" in err
    code, out, _ = command("validate")
    assert (code, out.splitlines()[-1]) == (0, "validated 2, differing 0, no golden 0, left out 1")


def test_nothing_validated_is_no_success(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "empty").mkdir()
    monkeypatch.chdir(home / "empty")
    code, out, err = command("validate")
    assert (code, out) == (1, "validated 0, differing 0, no golden 0, left out 0\n")
    assert "no study was validated" in err


def test_a_form_that_cannot_be_written_keeps_no_other(home: Path, command: Command) -> None:
    code, _, _ = command("validate", "--report", "studies", "--json", "v.json", "--junit", "deep/v.xml")
    assert code in (2, 3)
    assert json.loads((home / "v.json").read_text())["ok"] is True
    assert (home / "deep" / "v.xml").is_file()
