"""A good study with something broken in it, again and again: `python tests/fuzz.py --seconds 300 [--seed 1]`.

Study.toml, calendar and price files are changed byte by byte, cell by cell and key by key; then the command runs in this
process. It must end with exit code 0, 2 or 3 and a message, raise nothing, warn of nothing, and leave a whole result
or none. What does not is printed with its seed and kept in --keep.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import closes, make_study, simulated, weekdays

from engine.cli import main
from engine.results import read_result

DATES = weekdays(170)
TESTS = ["cross_sectional_t", "bmp", "corrado_zivney", "grank_t", "sign", "permutation", "forecast_error_t", "sq"]
CELLS = [
    "", "0", "-1", "-0", "1e308", "-1e308", "1e-320", "nan", "NaN", "inf", "-inf", "x", "1,5", "1_000", '"', '""', "\\",
    "'", " ", "\t", "2015-02-30", "0001-01-01", "9999-12-31", "1970-01-01", "2015-05-08", "2015-05-08T09:30:00+08:00",
    "2015-05-08T09:30:00", "2015-05-08T25:00:00Z", "Asia/Hong_Kong", "America/New_York", "Nowhere/At_All", "../A", "A",
    "MKT", "=HYPERLINK(1)", "<script>", "99999999999999999999", "-5", "5", "high", "session", "é", "中", "\u202e",
    "\ufeff", "None", "null", "true", "a" * 3000, "1e15", "1e-12", "1e10", "-0.999999",
]  # fmt: skip
TOKENS = [c.encode() for c in CELLS] + [
    b"\x00", b"\xff", b"\xfe\xff", b"\r", b"\r\n", b"\n", b",", b",,,,", b"[", b"]", b"[[", b"{", b"}", b"=", b"#",
    b'"""', b"\xc3", b"[model]\n",
]  # fmt: skip
VALUES = [
    "0", "-1", "1", "3", "1e400", "1e-300", "nan", "inf", "true", '""', '"x"', '"market"', '"garch"', '"log"',
    '"simple"', '"exchange"', "[]", "[[]]", "{}", "[0, 0]", "[[0, 0]]", "[-5, 5]", "[-1000000, 1000000]",
    "[[-1, 1], [-1, 1]]", "99999999999999999999", '["bmp"]', '["A"]', "1979-05-27", "[5, -5]", "2", "0.5",
    "{A = 0.5}", '"A"', '"MKT"', '"log_volume"', '"range_volatility"', '"USD"', '"trade_to_trade"', '"benchmark"',
    '"mean_adjusted"', '"raw"', '"rolling"', '"lad"', '"scholes_williams"', '"exclude"', '"trim_estimation"',
    '"greater"',
]  # fmt: skip
LINES = [
    "[factors]\ncolumns = ['A']", "[calendar_time]\nfrequency = 'daily'\nhold = [1, 20]\nmin_firms = 1",
    "[deals]\ncurrency = 'USD'\nunit = 'one'", "[crosssection]\nformula = 'car ~ kind'",
    "[crosssection]\nformula = 'car ~ log(size) + sigma'", "[output]\nabnormal_returns = false",
    "[contamination]\npolicy = 'exclude'", "[contamination]\npolicy = 'trim_estimation'",
    "[outcome]\nname = 'log_volume'", "[x]", "= 1", "[limits]\nmax_excluded_share = 0.0",
    "[grid]", "[claims.C1]", "[backtest]", "[influence]",
]  # fmt: skip


def good_study(folder: Path) -> Path:
    """Four events on prices, with attributes and groups; it runs in a fraction of a second."""
    made = simulated(3, list("ABCD"), 170)
    series = {}
    for symbol, columns in made.items():
        level, path = 100.0, []
        for change in columns["return"]:
            level *= 1 + change
            path.append(round(level, 4))
        series[symbol] = closes(columns["date"], path) | {"volume": [1000 + i for i in range(170)]}
    events = [
        {"event_id": f"e{i}", "symbol": s, "announced_at": DATES[100 + 9 * i]}
        | dict.fromkeys(("zone", "precision", "first_public_at", "benchmark", "max_gap_days", "estimation_start"), "")
        | {"estimation_end": "", "kind": "ab"[i % 2], "size": str(1.5 + i)}
        for i, s in enumerate("ABCD")
    ]
    return make_study(
        folder, events, series, significance={"tests": TESTS, "group_by": ["kind"]}, resampling={"seed": 1, "draws": 99},
        limits={"max_excluded_share": 1.0}, report={"charts": []},
    )  # fmt: skip


def spoil(folder: Path, draw: random.Random) -> str:
    """Break one to three things; returns what was done."""
    return "; ".join(draw.choice(WAYS)(folder, draw) for _ in range(draw.choice([1, 1, 1, 2, 3])))


def a_file(folder: Path, draw: random.Random) -> Path:
    names = ["study.toml", "events.csv", "events.csv", "data/A.csv", "data/B.csv", "data/MKT.csv"]
    return folder / draw.choice(names)


def bytes_of(folder: Path, draw: random.Random) -> str:
    path = a_file(folder, draw)
    data = bytearray(path.read_bytes())
    at = draw.randrange(len(data) + 1)
    match draw.randrange(5):
        case 0 if data:
            data[at % len(data)] = draw.randrange(256)
        case 1:
            data[at:at] = draw.choice(TOKENS)
        case 2:
            del data[at : at + draw.choice([1, 2, 10, 100])]
        case 3:
            del data[at:]
        case _:
            data[at:at] = data[draw.randrange(len(data) + 1) :][: draw.choice([1, 20, 200])]
    path.write_bytes(bytes(data))
    return f"bytes of {path.name} at {at}"


def cell_of(folder: Path, draw: random.Random) -> str:
    path = folder / draw.choice(["events.csv", "events.csv", "data/A.csv", "data/MKT.csv"])
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    row = draw.randrange(len(lines))
    cells = lines[row].split(",")
    column = draw.randrange(len(cells))
    cells[column] = draw.choice(CELLS)
    lines[row] = ",".join(cells)
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    return f"{path.name} row {row} column {column} = {cells[column][:40]!r}"


def column_of(folder: Path, draw: random.Random) -> str:
    """One value in a whole column: constant, empty, enormous."""
    path = folder / draw.choice(["events.csv", "data/A.csv", "data/MKT.csv"])
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    column, value = draw.randrange(max(len(lines[0].split(",")), 1)), draw.choice(CELLS)
    changed = lines[:1]
    for line in lines[1:]:
        cells = line.split(",")
        if column < len(cells) and line:
            cells[column] = value
        changed.append(",".join(cells))
    path.write_text("\n".join(changed), encoding="utf-8", errors="surrogateescape")
    return f"{path.name} column {column} = {value[:40]!r}"


def row_of(folder: Path, draw: random.Random) -> str:
    path = folder / draw.choice(["events.csv", "data/A.csv", "data/MKT.csv"])
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    first = draw.randrange(len(lines))
    last = first + draw.choice([1, 1, 5, 100])
    match draw.randrange(3):
        case 0:
            del lines[first:last]
        case 1:
            lines[first:first] = lines[first:last]
        case _:
            draw.shuffle(lines)
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    return f"{path.name} rows {first} to {last}"


def key_of(folder: Path, draw: random.Random) -> str:
    path = folder / "study.toml"
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    keyed = [i for i, line in enumerate(lines) if "=" in line] or [0]
    at = draw.choice(keyed)
    match draw.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.append(draw.choice(LINES))
        case _:
            lines[at] = f"{lines[at].partition('=')[0]}= {draw.choice(VALUES)}"
    done = lines[at] if at < len(lines) else lines[-1]
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    return f"study.toml {done!r} or {lines[-1]!r}"


WAYS: list[Callable[[Path, random.Random], str]] = [bytes_of, cell_of, column_of, row_of, key_of, key_of]


def called(*words: str) -> tuple[int, str]:
    """Exit code and stderr of the command, in this process; warnings are errors."""
    before, sys.argv = sys.argv, ["eventstudy", *words]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("error")
            main()
    except SystemExit as stop:
        return int(stop.code or 0), said.getvalue()
    finally:
        sys.argv = before


def broken(folder: Path) -> str:
    """What is wrong with how the command takes the study; "" if nothing is."""
    try:
        code, said = called("run", str(folder), "--out", str(folder / "out"))
        dry, _ = called("run", str(folder), "--dry-run")
    except Exception:
        return traceback.format_exc()
    if code not in (0, 2, 3) or dry not in (0, 2, 3):
        return f"exit code {code}, dry run {dry}: {said}"
    if code and "error: " not in said:
        return f"exit code {code} without a message: {said}"
    if (folder / "out").exists() is not (code == 0):
        return f"exit code {code}, and the result is {'there' if code else 'missing'}"
    if code == 0:
        read_result(folder / "out")
    left = [p.name for p in folder.iterdir() if p.name.startswith(".")]
    return f"left behind: {left}" if left else ""


def fuzzed(seed: int, folder: Path, good: Path) -> tuple[str, str]:
    """One spoiled copy: what was done, and what is wrong."""
    shutil.copytree(good, folder)
    done = spoil(folder, random.Random(seed))
    return done, broken(folder)


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="store_true", help="that one seed")
    parser.add_argument("--keep", type=Path, help="a folder for what breaks")
    return parser.parse_args()


def fuzz() -> None:
    asked = arguments()
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as temporary:
        good = good_study(Path(temporary) / "good")
        end, seed, count = time.monotonic() + asked.seconds, asked.seed, 0
        while time.monotonic() < end and not (asked.only and count):
            folder = Path(temporary) / "study"
            done, wrong = fuzzed(seed, folder, good)
            if wrong:
                last = wrong.strip().splitlines()[-1]
                found[last] = found.get(last, 0) + 1
                if found[last] == 1:
                    print(f"seed {seed}: {done}\n{wrong}", flush=True)
                    if asked.keep is not None:
                        shutil.copytree(folder, asked.keep / str(seed), dirs_exist_ok=True)
            shutil.rmtree(folder)
            seed, count = seed + 1, count + 1
    print(f"{count} studies from seed {asked.seed} on, {sum(found.values())} broken in {len(found)} ways")
    sys.exit(bool(found))


if __name__ == "__main__":
    fuzz()
