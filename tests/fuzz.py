"""A good study with something broken in it, again and again: `python tests/fuzz.py [--count 10000] [--kind K --seed N]`.

Each case is made from a kind (`fuzz_kinds.KINDS`) and a number; then the command runs in this process. It must end in time
with an exit code of its own and a short message, raise nothing, warn of nothing, write only where it was told to, and leave
a whole result of finite numbers or none. What does not is printed once for each place with the smallest number that shows
it. ``--write`` puts the counts into docs/faults.md.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import math
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl
from fuzz_kinds import CASES, KINDS, ON_RESULTS, Case, good_study

from engine.cli import main
from engine.errors import EngineError
from engine.results import read_result

SECONDS = 20  # a command that computes longer hangs
WAITING = 10 * SECONDS  # or one that takes so long on a busy machine, whatever it waits for
LONGEST = 20_000  # characters of a message
CODES = (0, 1, 2, 3, 4)
FAULTS = ("traceback", "wrong code", "hang", "warning", "not finite", "files", "message")
PAGE = Path(__file__).parent.parent / "docs" / "faults.md"
HEADING = "# Broken inputs, and what the command says"
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
WRITES = {"run": "new", "memo": "out", "bless": "golden"}  # where a verb may write in the study's folder


class Hang(BaseException):
    """The time of a command is over."""


@dataclass(frozen=True)
class Answered:
    """How a command ended. code: None for a traceback or a hang. place: where it came from."""

    code: int | None
    out: str
    err: str
    warned: tuple[str, ...]
    fault: str = ""
    place: str = ""
    trace: str = ""


@dataclass
class Tally:
    """Counts of one kind."""

    cases: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Found:
    """What is wrong with a case. place: tells the cause apart from others."""

    fault: str
    place: str
    text: str


# A room in which commands run: the good study, a home and a working folder of their own, and no network.


@contextlib.contextmanager
def room(folder: Path) -> Iterator[Path]:
    """``folder`` as a place for cases, with the good study in ``good``; what is changed of this process is put back."""
    names = {
        "HOME": folder / "home", "XDG_CACHE_HOME": folder / "home" / "cache", "XDG_DATA_HOME": folder / "home" / "data",
        "EVENTSTUDY_DATA": folder / "home" / "data", "EVENTSTUDY_PROCESSES": 1,
        "EVENTSTUDY_TEST_SERVER": "http://127.0.0.1:9",
    }  # fmt: skip
    here, before, jinja = Path.cwd(), dict(os.environ), _faster()
    for name in ("home/data", "home/cache", "cwd"):
        (folder / name).mkdir(parents=True)
    os.environ |= {name: str(value) for name, value in names.items()}
    os.chdir(folder / "cwd")
    try:
        good = good_study(folder / "good")
        for words in (["run", str(good)], ["bless", str(good), "--reason", "first"]):
            first = called(*words)
            assert first.code == 0, first
        yield folder
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ |= before
        jinja()


def _faster() -> Callable[[], None]:
    """The command's parser and the templates are made once, not for every call; answers with what puts it back."""
    import typer.main

    from engine.report.writers import page

    kept = typer.main.get_command, page._environment
    typer.main.get_command = functools.cache(kept[0])
    page._environment = functools.cache(kept[1])

    def back() -> None:
        typer.main.get_command, page._environment = kept

    return back


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Raises Hang when the time of the block is over: `SECONDS` of this process's own, or `WAITING`."""

    def over(number: int, frame: Any) -> None:
        raise Hang

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, WAITING))
    before = [signal.signal(number, over) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


@contextlib.contextmanager
def answering(body: bytes, status: int) -> Iterator[None]:
    """Yahoo's client is given ``body`` for every question, and remembers nothing."""
    import yfinance.cache as remembered
    from curl_cffi.requests import Response, Session
    from yfinance.data import SingletonMeta

    def request(self: Any, method: Any, url: str, **options: Any) -> Response:
        answer = Response()
        answer.url, answer.status_code = url, status if "/chart/" in url else 200
        options["content_callback"](body if "/chart/" in url else b"crumb")
        return answer

    before = Session.request
    Session.request = request
    remembered._TzCacheManager._tz_cache = remembered._TzCacheDummy()
    remembered._CookieCacheManager._Cookie_cache = remembered._CookieCacheDummy()
    SingletonMeta._instances.clear()
    try:
        yield
    finally:
        Session.request = before
        remembered._TzCacheManager._tz_cache = remembered._CookieCacheManager._Cookie_cache = None
        SingletonMeta._instances.clear()


def called(*words: str) -> Answered:
    """The command in this process; Python's warnings are kept, not shown."""
    before, sys.argv = sys.argv, ["eventstudy", *words]
    out, err = io.StringIO(), io.StringIO()
    code, fault, place, trace, limit = None, "", "", "", sys.getrecursionlimit()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with alarm(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        except Hang as error:
            fault, place = "hang", _place(error.__traceback__)
        except BaseException as error:  # also of libraries in other languages, which panic
            fault, place, trace = "traceback", f"{type(error).__name__} {_place(error.__traceback__)}", _short(error)
        finally:
            sys.argv = before
            sys.setrecursionlimit(limit)
    seen = tuple(
        dict.fromkeys(f"{w.category.__name__} {_own(w.filename)}:{w.lineno}: {w.message}"[:300] for w in warned)
    )
    return Answered(code, out.getvalue(), err.getvalue(), seen, fault, place, trace)


def _own(path: str) -> str:
    return re.sub(r".*/(?=engine/|site-packages/|lib/python|study/own)", "", path)


def _place(trace: TracebackType | None) -> str:
    """The innermost line of the engine."""
    frames = [f for f in traceback.extract_tb(trace) if "/engine/" in f.filename and "site-packages" not in f.filename]
    return f"{_own(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"


def _short(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        return "".join(traceback.format_exception(error, limit=-8))[-3000:]
    return type(error).__name__


# What is asked of every command


def stamps(folder: Path) -> dict[str, tuple[int, int, bool]]:
    """Size, time and kind of every file below a folder."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            state = os.lstat(path)
            is_folder = os.path.isdir(path)
            found[os.path.relpath(path, folder)] = (
                (0, 0, True) if is_folder else (state.st_size, state.st_mtime_ns, False)
            )
    return found


def wrong(words: tuple[str, ...], answered: Answered, study: Path) -> Iterator[Found]:
    """What a command did that none may do, its files aside."""
    said = answered.out + answered.err
    if answered.fault:
        yield Found(answered.fault, answered.place, answered.trace)
        return
    if answered.code not in CODES:
        yield Found("wrong code", f"exit code {answered.code} of {words[0]} {said[:200]}", said[:2000])
    elif answered.code and not re.search(r"error: |Usage: |differs|failed: ", said):
        yield Found("message", f"no message with exit code {answered.code} of {words[0]}", said[:2000])
    if "Traceback (most recent" in said:
        yield Found("traceback", "in the text", said[:2000])
    for one in answered.warned:
        yield Found("warning", one, one)
    if len(answered.err) > LONGEST:
        yield Found("message", f"{words[0]} says too much", f"{len(answered.err)} characters: {answered.err[:300]}")
    raw = {c for c in said if (unicodedata.category(c) == "Cc" and c not in "\n\t") or c in BIDI}
    if raw:
        yield Found("message", f"control characters of {words[0]}", f"{sorted(raw)!r}: {said[:600]!r}")
    new = study / "new"
    if words[0] == "run" and "--dry-run" not in words and (answered.code in (0, 1)) is not new.is_dir():
        yield Found(
            "files", f"exit code {answered.code} and the result is {'there' if new.is_dir() else 'missing'}", said
        )
    elif words[0] == "run" and new.is_dir():
        yield from not_finite(new)
    elif words[0] == "bless" and answered.code == 0:
        yield from not_finite(study / "golden", whole=False)


def not_finite(folder: Path, whole: bool = True) -> Iterator[Found]:
    """Numbers of a result that are neither finite nor empty, in its tables and its manifest."""
    try:
        result = read_result(folder, whole)
    except EngineError as error:
        yield Found("files", f"a result that cannot be read: {str(error).replace(str(folder), '')}", str(error))
        return
    for name, table in result.tables.items():
        for column in table.select(pl.col(pl.Float64)).iter_columns():
            if not column.drop_nulls().is_finite().all():
                yield Found("not finite", f"{name}.{column.name}", str(column.drop_nulls().to_list()[:5]))
    for path in folder.glob("*.json"):
        odd: list[str] = []
        numbers = json.loads(path.read_text(encoding="utf-8"), parse_constant=odd.append, parse_float=float)
        if odd or any(not math.isfinite(v) for v in _floats(numbers)):
            yield Found("not finite", f"{path.name}", str(odd[:5]))


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _floats(one)


def misplaced(
    words: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any], study: str
) -> Iterator[Found]:
    """Files that a command wrote, changed or removed where it has no business, or left half-written."""
    may = f"{study}/{WRITES.get(words[0], '-')}"
    if words[0] == "fetch":
        may = str(Path(words[words.index("--out") + 1]).relative_to(Path(words[1]).parent))
    for path in sorted({p for p in {*before, *after} if before.get(p) != after.get(p)}):
        inside = path == may or path.startswith((f"{may}/", "home/", "study/.fetched.partial"))
        if not inside:
            yield Found("files", f"{words[0]} touches {path}", path)
        elif ".writing-" in path or path.endswith(".new"):
            yield Found("files", f"{words[0]} leaves {path.rpartition('.')[0]}", path)


# Cases


def made(kind: str, seed: int, folder: Path) -> Case:
    """The case of a kind and a number, in ``folder``/study."""
    study = folder / "study"
    shutil.rmtree(study, ignore_errors=True)
    unneeded = ("out", "golden") if kind not in ON_RESULTS else ()
    shutil.copytree(folder / "good", study, ignore=shutil.ignore_patterns(*unneeded))
    return KINDS[kind](study, random.Random(f"{kind} {seed}"))


def tried(kind: str, seed: int, folder: Path, tally: Tally | None = None) -> tuple[str, list[Found]]:
    """One case: what was done, and all that is wrong then."""
    tally = Tally() if tally is None else tally
    case = made(kind, seed, folder)
    found: list[Found] = []
    tally.cases += 1
    for words in case.commands:
        before = stamps(folder)
        with answering(case.answers, case.status) if case.answers else contextlib.nullcontext():
            answered = called(*words)
        if answered.code is not None:
            tally.codes[answered.code] += 1
        found += [*wrong(words, answered, folder / "study"), *misplaced(words, before, stamps(folder), "study")]
    tally.faults.update(f.fault for f in found)
    return case.done, found


def fuzzed(
    counts: Mapping[str, int], folder: Path, first: int = 0, tell: Callable[[str], None] = lambda line: None
) -> dict[str, Tally]:
    """``counts`` cases of each kind; what is wrong is told once for each place, with how to see it alone."""
    tallies = {kind: Tally() for kind in counts}
    places: Counter[tuple[str, str]] = Counter()
    with room(folder):
        for kind, seed in ((kind, first + i) for kind, count in counts.items() for i in range(count)):
            done, found = tried(kind, seed, folder, tallies[kind])
            for one in found:
                places[one.fault, one.place] += 1
                if places[one.fault, one.place] == 1:
                    tell(f"{one.fault}: {one.place}\n  --kind {kind} --seed {seed}: {done!r}\n  {one.text}")
    for (fault, place), times in places.most_common():
        tell(f"{times:6} {fault}: {place}")
    return tallies


def page_of(tallies: Mapping[str, Tally]) -> str:
    """The counts as a section of docs/faults.md."""
    total = sum((t.faults for t in tallies.values()), Counter[str]())
    cases = sum(t.cases for t in tallies.values())
    lines = [
        HEADING, "",
        f"{cases:,} broken inputs, made from the numbers 0 on by `python tests/fuzz.py --write`; each is made again by its kind",
        "and number (`--kind K --seed N`). Every command must end within 20 seconds with an exit code that the README names and",
        "a short message without control characters, warn of nothing, write nowhere but where it was told to, and leave a whole",
        "result of finite numbers or none. What was counted: "
        + ", ".join(f"{name} {total[name]}" for name in FAULTS) + ".", "",
        "| kind | what is broken, and what runs | inputs | exit 0 | 1 | 2 | 3 | 4 | wrong |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for kind, tally in tallies.items():
        what = " ".join(str(KINDS[kind].__doc__).split()).rstrip(".")
        codes = " | ".join(str(tally.codes[code]) for code in CODES)
        lines.append(f"| {kind} | {what} | {tally.cases:,} | {codes} | {tally.faults.total()} |")
    return "\n".join([*lines, ""])


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="how many of --kind, or of all kinds in their shares")
    parser.add_argument("--kind", choices=tuple(KINDS))
    parser.add_argument("--seed", type=int, default=None, help="that one case of --kind")
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    parser.add_argument("--write", action="store_true", help="put the counts into docs/faults.md")
    parser.add_argument("--keep", type=Path, help="a folder for the case of --seed")
    return parser.parse_args()


def fuzz() -> None:
    asked = arguments()
    kinds, whole = (asked.kind,) if asked.kind else tuple(KINDS), sum(CASES[k] for k in KINDS)
    counts = {kind: CASES[kind] for kind in kinds}
    if asked.count is not None:
        counts = {k: asked.count if asked.kind else -(-asked.count * CASES[k] // whole) for k in kinds}
    with tempfile.TemporaryDirectory() as temporary:
        folder, begun = Path(temporary) / "room", time.monotonic()
        if asked.seed is not None:
            with room(folder):
                for kind in kinds:
                    done, found = tried(kind, asked.seed, folder)
                    print(
                        f"{kind} {asked.seed}: {done!r}", *(f"{f.fault}: {f.place}\n{f.text}" for f in found), sep="\n"
                    )
                if asked.keep is not None:
                    shutil.copytree(folder / "study", asked.keep)
            sys.exit(bool(found))
        tallies = fuzzed(counts, folder, asked.first, lambda line: print(line, flush=True))
    section = page_of(tallies)
    print(f"{section}\n{time.monotonic() - begun:.0f} s")
    if asked.write:
        text = PAGE.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
        PAGE.write_text(f"{text}\n\n{section}", encoding="utf-8")
    sys.exit(any(t.faults for t in tallies.values()))


if __name__ == "__main__":
    fuzz()
