"""What the fuzz breaks: one function a kind, which changes a good study and answers with the commands to give then.

Every choice comes from ``draw``, so a seed makes the same case again. The first sentence of a function stands in
docs/faults.md.
"""

from __future__ import annotations

import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import polars as pl
from conftest import OWN_MODEL, closes, make_study, simulated, weekdays
from loopback import chart

from engine.results import to_json
from engine.spec import StudySpec

SESSIONS = 50
SYMBOLS = ("A", "B")
DATES = weekdays(SESSIONS)
CELLS = [
    "", "0", "-1", "-0", "1e308", "-1e308", "1e-320", "nan", "NaN", "inf", "-inf", "x", "1,5", "1_000", '"', '""', "\\",
    "'", " ", "\t", "2015-02-30", "0001-01-01", "9999-12-31", "10000-01-01", "1970-01-01", "2015-02-25", "25.02.2015",
    "2015-02-25T09:30:00+08:00", "2015-02-25T09:30:00", "2015-02-25T25:00:00Z", "Asia/Hong_Kong", "Nowhere/At_All",
    "America/New_York", "../A", "A", "MKT", "=HYPERLINK(1)", "<script>", "99999999999999999999", "-5", "5", "high",
    "session", "é", "中", "\u202e", "\ufeff", "None", "null", "true", "a" * 3000, "1e15", "1e-12", "1e10", "-0.999999",
    "\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\x00", "\u2028", "A\u0301" * 50, 'deal "kind"', "9" * 5000, "a?", "x[1]",
]  # fmt: skip
TOKENS = [c.encode() for c in CELLS] + [
    b"\x00", b"\xff", b"\xfe\xff", b"\r", b"\r\n", b"\n", b",", b",,,,", b"[", b"]", b"[[", b"{", b"}", b"=", b"#",
    b'"""', b"\xc3", b"[model]\n", b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"[" * 3000, b"{" * 3000,
]  # fmt: skip
VALUES = [
    "0", "-1", "1", "3", "1e400", "1e-300", "nan", "inf", "-inf", "true", '""', '"x"', '"market"', '"garch"', '"log"',
    '"simple"', '"exchange"', "[]", "[[]]", "{}", "[0, 0]", "[[0, 0]]", "[-2, 2]", "[-1000000, 1000000]",
    "[[-1, 1], [-1, 1]]", "99999999999999999999", '["bmp"]', '["A"]', "1979-05-27", "[5, -5]", "2", "0.5",
    "{A = 0.5}", '"A"', '"MKT"', '"log_volume"', '"range_volatility"', '"USD"', '"trade_to_trade"', '"benchmark"',
    '"mean_adjusted"', '"raw"', '"rolling"', '"lad"', '"scholes_williams"', '"exclude"', '"trim_estimation"',
    '"greater"', "9" * 5000, f"0x{'f' * 5000}", "[" * 400 + "]" * 400, f"{{{'a.' * 400}b = 1}}", f'"{"a" * 5000}"',
    '"\\u0000"', '"\\u001b[31m"', '"\\u202e"', '"../../x"', '"/dev/null"', '["../../x"]', '"a?"', "07:32:00",
    "1979-05-27T07:32:00Z", "[nan, inf]", "[[1, 2], [3]]", "{a = {b = {c = 1}}}", '[true, "a", 1]', "-9223372036854775809",
]  # fmt: skip
LINES = [
    "[factors]\ncolumns = ['A']", "[calendar_time]\nfrequency = 'daily'\nhold = [1, 2]\nmin_firms = 1",
    "[deals]\ncurrency = 'USD'\nunit = 'one'", "[crosssection]\nformula = 'car ~ kind'",
    "[crosssection]\nformula = 'car ~ log(size) + sigma'", "[output]\nabnormal_returns = false",
    "[contamination]\npolicy = 'exclude'", "[contamination]\npolicy = 'trim_estimation'",
    "[outcome]\nname = 'log_volume'", "[x]", "= 1", "[limits]\nmax_excluded_share = 0.0",
    "[grid]", "[claims.C1]", "[backtest]", "[influence]", "[resampling]\nseed = 1\ndraws = 99",
    "[factors]\ncolumns = ['../../x']", "[a.b.c]", "[[events]]", "[report]\ntheme = '../theme.toml'",
]  # fmt: skip
THEME = '[fonts]\ntext = "DejaVu Serif"\n[colours]\nmain = "#0072B2"\ngroups = ["#D55E00"]\n[sizes]\nwidth = 6.5\npage = "a4"\n'
FACTORS = "Made up\n\n,Mkt-RF,SMB,HML,RF\n" + "".join(
    f"2015{m:02}{d:02},{d / 10},{-m / 10},-99.99,0.01\n" for m in (1, 2) for d in range(1, 29)
)
Draw = random.Random
Command = tuple[str, ...]


def good_study(folder: Path) -> Path:
    """Two events on prices, with attributes and groups; it runs in a tenth of a second."""
    made, series = simulated(3, list(SYMBOLS), SESSIONS), {}
    for symbol, columns in made.items():
        level, path = 100.0, []
        for change in columns["return"]:
            level *= 1 + change
            path.append(round(level, 4))
        series[symbol] = closes(columns["date"], path) | {"volume": [1000 + i for i in range(SESSIONS)]}
    events = [
        {"event_id": f"e{i}", "symbol": s, "announced_at": DATES[35 + 5 * i]}
        | dict.fromkeys(("zone", "precision", "first_public_at", "benchmark", "max_gap_days", "estimation_start"), "")
        | {"estimation_end": "", "kind": "ab"[i % 2], "size": str(1.5 + i)}
        for i, s in enumerate(SYMBOLS)
    ]
    made_at = make_study(
        folder, events, series, significance={"tests": ["cross_sectional_t", "sign"], "group_by": ["kind"]},
        model={"name": "market", "estimation_window": [-25, -4], "min_estimation_days": 10},
        windows={"event": [-2, 2], "car": [[0, 0], [-2, 2]]}, report={"charts": []}, limits={"max_excluded_share": 1.0},
    )  # fmt: skip
    (made_at / "data" / "manifest.json").write_text(
        to_json({"source": "made up", "redistributable": True, "files": {"A.csv": {"rows": SESSIONS}}}),
        encoding="utf-8",
    )
    (made_at / "data" / "symbols.csv").write_text(
        "symbol,name,exchange,currency\nA,Firm A,XNYS,USD\nB,Firm B,,\nMKT,Market,,USD\n", encoding="utf-8"
    )
    return made_at


@dataclass(frozen=True)
class Case:
    """What was done, the commands to give, and what a source of prices answers, where it is asked."""

    done: str
    commands: list[Command]
    answers: bytes = b""
    status: int = 200


# Bytes, cells and keys


def spoiled(data: bytes, draw: Draw) -> bytes:
    """Bytes with one change: a bit, a piece that is new, cut out, cut off or doubled."""
    changed, at = bytearray(data), draw.randrange(len(data) + 1)
    match draw.randrange(6):
        case 0 if changed:
            changed[at % len(data)] ^= 1 << draw.randrange(8)
        case 1:
            changed[at:at] = draw.choice(TOKENS)
        case 2:
            del changed[at : at + draw.choice([1, 2, 10, 100])]
        case 3:
            del changed[at:]
        case 4 if changed:
            changed[at % len(data)] = draw.randrange(256)
        case _:
            changed[at:at] = changed[draw.randrange(len(data) + 1) :][: draw.choice([1, 20, 200])]
    return bytes(changed)


def bytes_of(path: Path, draw: Draw) -> str:
    path.write_bytes(spoiled(path.read_bytes(), draw))
    return f"bytes of {path.name}"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")


def cell_of(path: Path, draw: Draw) -> str:
    """One cell, or the name of a column."""
    lines = _lines(path)
    row = draw.randrange(len(lines))
    cells = lines[row].split(",")
    column = draw.randrange(len(cells))
    cells[column] = draw.choice(CELLS)
    lines[row] = ",".join(cells)
    _write(path, lines)
    return f"{path.name} row {row} column {column} = {cells[column][:40]!r}"


def column_of(path: Path, draw: Draw) -> str:
    """One value in a whole column: constant, empty, enormous."""
    lines = _lines(path)
    column, value = draw.randrange(max(len(lines[0].split(",")), 1)), draw.choice(CELLS)
    changed = lines[:1]
    for line in lines[1:]:
        cells = line.split(",")
        if column < len(cells) and line:
            cells[column] = value
        changed.append(",".join(cells))
    _write(path, changed)
    return f"{path.name} column {column} = {value[:40]!r}"


def row_of(path: Path, draw: Draw) -> str:
    """Rows that go, come twice, or stand in another order."""
    lines = _lines(path)
    first = draw.randrange(len(lines))
    last = first + draw.choice([1, 1, 5, 100])
    match draw.randrange(3):
        case 0:
            del lines[first:last]
        case 1:
            lines[first:first] = lines[first:last]
        case _:
            draw.shuffle(lines)
    _write(path, lines)
    return f"{path.name} rows {first} to {last}"


def form_of(path: Path, draw: Draw) -> str:
    """Another delimiter, encoding, line end, header or compression."""
    text = path.read_text(encoding="utf-8", errors="replace")
    match way := draw.randrange(6):
        case 0:
            data = text.replace(",", draw.choice([";", "\t", "|", ", "])).encode()
        case 1:
            data = text.encode(draw.choice(["utf-16", "utf-8-sig", "cp037", "utf-32", "utf-7"]), errors="replace")
        case 2:
            data = text.replace("\n", draw.choice(["\r", "\r\n", "\n\n", "\x00", "\u2028"])).encode()
        case 3:
            data = text.partition("\n")[2].encode()
        case 4:
            header, _, rows = text.partition("\n")
            names = header.split(",")
            names[draw.randrange(len(names))] = draw.choice([*names, "return", "close", "symbol", "exchange", "#row"])
            data = f"{','.join(names)}\n{rows}".encode()
        case _:
            import gzip

            data = gzip.compress(text.encode(), mtime=0)
    path.write_bytes(data)
    return f"{path.name} in another form ({way})"


TABLE_WAYS: list[Callable[[Path, Draw], str]] = [bytes_of, cell_of, cell_of, column_of, row_of, form_of]


def table_of(path: Path, draw: Draw) -> str:
    """One to three changes of a table of text."""
    return "; ".join(draw.choice(TABLE_WAYS)(path, draw) for _ in range(draw.choice([1, 1, 1, 2, 3])))


def keys_of_studies() -> list[tuple[str, str]]:
    """Every table and key that a study.toml may have."""
    found = []
    for name, field in StudySpec.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        keys = next((k.model_fields for k in kinds if hasattr(k, "model_fields")), {})
        found += [(name, key) for key in keys] or [(name, "x")]
    return found


KEYS = keys_of_studies()


def key_of(path: Path, draw: Draw) -> str:
    """A key that is changed, missing or new, in a known or an unknown table."""
    lines = _lines(path)
    keyed = [i for i, line in enumerate(lines) if "=" in line] or [0]
    at = draw.choice(keyed)
    match draw.randrange(8):
        case 0:
            done = f"without {lines.pop(at)}"
        case 1:
            done = draw.choice(LINES)
            lines.append(done)
        case 2 | 3 | 4:
            table, key = draw.choice(KEYS)
            done = f"{key} = {draw.choice(VALUES)}"
            if f"[{table}]" in lines:
                lines.insert(lines.index(f"[{table}]") + 1, done)
            else:
                lines += [f"[{table}]", done]
            done = f"[{table}] {done}"
        case _:
            lines[at] = done = f"{lines[at].partition('=')[0]}= {draw.choice(VALUES)}"
    _write(path, lines)
    return done[:80]


# JSON

NODES: list[Any] = [
    None, True, 0, -1, 1.5, 1e308, 10**30, "", "x", "../../x", "\x1b[31m", "\u202e", "\x00", "a" * 3000, [], {}, [None],
    [[]], {"a": {}}, [1, "a", None], "2015-02-30", "9999-12-31", "America/New_York", "Etc", -(2**63) - 1, "NaN", "\ud800",
    float("nan"), float("inf"), 2**53, "market", "A", "e0", 10**400, {"date": "x", "amount": 1}, [0] * 50,
]  # fmt: skip


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(p for key, one in inner for p in _paths(one, (*at, key)))]


def changed_node(value: Any, draw: Draw) -> tuple[Any, str]:
    """JSON with one node replaced, removed, renamed, doubled or wrapped; and which."""
    paths = _paths(value)
    *way, last = draw.choice(paths[1:]) if len(paths) > 1 else (None,)
    if last is None:
        return draw.choice(NODES), "all of it"
    holder = value
    for step in way:
        holder = holder[step]
    match draw.randrange(7):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[draw.choice(["", "x", "\x1b[31m", "a" * 300, "../x", "withheld", "failures"])] = holder.pop(last)
        case 2 if isinstance(holder, list):
            holder.insert(last, holder[last])
        case 3:
            holder[last] = [holder[last]]
        case 4:
            holder[last] = {"x": holder[last]}
        case _:
            holder[last] = draw.choice(NODES)
    return value, ".".join(map(str, (*way, last)))[:80]


def deep(draw: Draw) -> str:
    """JSON that is nested deeper than a reader goes, or with a number longer than one is."""
    return draw.choice([
        "[" * 100_000, "[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000, "9" * 5000, f'{{"files": {"9" * 5000}}}',
        "NaN", '{"files": {"A.csv": NaN}}', "null", '""', "", "\x00", '{"chart":' * 3000 + "1" + "}" * 3000,
    ])  # fmt: skip


def json_text(text: str, draw: Draw) -> tuple[bytes, str]:
    """A JSON file that is broken as a text or as a tree; and how."""
    if draw.random() < 0.15:
        return deep(draw).encode(), "deep or long"
    if draw.random() < 0.2:
        return spoiled(text.encode(), draw), "bytes"
    value, done = json.loads(text), []
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        value, where = changed_node(value, draw)
        done.append(where)
    return json.dumps(value, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass"), ", ".join(done)


def json_of(path: Path, draw: Draw) -> str:
    data, done = json_text(path.read_text(encoding="utf-8"), draw)
    path.write_bytes(data)
    return f"{path.name}: {done}"


# The kinds. ``folder`` holds a copy of the good study, for those of `ON_RESULTS` with a result in out/ and in golden/.


def run_of(folder: Path, draw: Draw) -> list[Command]:
    """Two of three times without estimation, which is quicker."""
    dry = [("run", str(folder), "--dry-run"), ("events", str(folder))]
    return [draw.choice([("run", str(folder), "--out", str(folder / "new")), *dry])]


def studies(folder: Path, draw: Draw) -> Case:
    """Keys of study.toml changed, missing, unknown, nested, of other types and extreme; bytes."""
    path = folder / "study.toml"
    ways = [key_of, key_of, key_of, key_of, bytes_of]
    done = "; ".join(draw.choice(ways)(path, draw) for _ in range(draw.choice([1, 1, 2, 3])))
    return Case(done, run_of(folder, draw))


def calendars(folder: Path, draw: Draw) -> Case:
    """Cells, columns, rows, order, encoding, delimiter, header and bytes of events.csv."""
    return Case(table_of(folder / "events.csv", draw), run_of(folder, draw))


def csv_prices(folder: Path, draw: Draw) -> Case:
    """The same of price files and of symbols.csv; a listing on an exchange; returns in place of closes."""
    path = folder / "data" / draw.choice(["A.csv", "A.csv", "MKT.csv", "symbols.csv"])
    done = table_of(path, draw)
    return Case(done, run_of(folder, draw))


def _typed(n: int, draw: Draw) -> tuple[str, pl.Series]:
    """A column of a type that a price may come in, or never does."""
    numbers = [100.0 + i for i in range(n)]
    days = [date(2015, 1, 1) + timedelta(days=i) for i in range(n)]
    some: dict[str, Callable[[], pl.Series]] = {
        "list": lambda: pl.Series([[x] for x in numbers]),
        "array": lambda: pl.Series([[x, x] for x in numbers], dtype=pl.Array(pl.Float64, 2)),
        "struct": lambda: pl.Series([{"a": x} for x in numbers]),
        "categorical": lambda: pl.Series(list(map(str, numbers)), dtype=pl.Categorical),
        "enum": lambda: pl.Series(list(map(str, numbers)), dtype=pl.Enum(list(map(str, numbers)))),
        "decimal": lambda: pl.Series([Decimal(str(x)) for x in numbers]),
        "date": lambda: pl.Series(days),
        "datetime": lambda: pl.Series([datetime.combine(d, datetime.min.time()) for d in days]),
        "zoned": lambda: pl.Series([datetime.combine(d, datetime.min.time()) for d in days]).dt.replace_time_zone(
            "Asia/Tokyo"
        ),
        "nanoseconds": lambda: pl.Series([datetime.combine(d, datetime.min.time()) for d in days]).dt.cast_time_unit(
            "ns"
        ),
        "duration": lambda: pl.Series([timedelta(days=i) for i in range(n)]),
        "time": lambda: pl.Series([datetime.min.time()] * n),
        "binary": lambda: pl.Series([b"1"] * n),
        "boolean": lambda: pl.Series([True] * n),
        "null": lambda: pl.Series([None] * n, dtype=pl.Null),
        "text": lambda: pl.Series(list(map(str, numbers))),
        "words": lambda: pl.Series([draw.choice(CELLS) for _ in range(n)]),
        "int8": lambda: pl.Series([i % 100 for i in range(n)], dtype=pl.Int8),
        "uint64": lambda: pl.Series([2**64 - 1] * n, dtype=pl.UInt64),
        "int128": lambda: pl.Series([2**100] * n, dtype=pl.Int128),
        "float32": lambda: pl.Series(numbers, dtype=pl.Float32),
        "nan": lambda: pl.Series([float("nan")] * n),
        "infinite": lambda: pl.Series([float("inf")] * n),
        "huge": lambda: pl.Series([1e308] * n),
        "negative": lambda: pl.Series([-1.0] * n),
        "days": lambda: pl.Series(range(n), dtype=pl.Int32),
    }
    name = draw.choice(list(some))
    return name, some[name]()


def parquet_prices(folder: Path, draw: Draw) -> Case:
    """A parquet table of prices with columns of every type, missing, doubled or many; bytes changed, cut out, cut off."""
    data, dated = folder / "data", draw.random() < 0.5
    parts = [(s, pl.read_csv(data / f"{s}.csv", try_parse_dates=dated)) for s in (*SYMBOLS, "MKT")]
    table = pl.concat([one.with_columns(pl.lit(symbol).alias("symbol")) for symbol, one in parts])
    for path in data.glob("*.csv"):
        path.unlink()
    done = []
    for _ in range(draw.choice([0, 1, 1, 2])):
        column = draw.choice([*table.columns, "adj_close", "dividend", "return", "delisting_return"])
        match draw.randrange(5):
            case 0 if column in table.columns and len(table.columns) > 1:
                table = table.drop(column)
                done.append(f"without {column}")
            case 1:
                extra = [f"x{i}" for i in range(2100)]
                table = table.with_columns(pl.lit(1.0).alias(c) for c in extra[: draw.choice([1, 2100])])
                done.append("more columns")
            case 2:
                table = draw.choice(
                    [table.head(0), table.reverse(), pl.concat([table, table]), table.sample(len(table), seed=1)]
                )
                done.append("rows")
            case _:
                kind, values = _typed(max(len(table), 1), draw)
                table = table.with_columns(values.head(len(table)).alias(column))
                done.append(f"{column} as {kind}")
    path = data / draw.choice(["prices.parquet", "prices.parquet", "A.parquet"])
    if draw.random() < 0.3:
        (data / "symbols.csv").unlink(missing_ok=True)
    try:
        table.write_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):  # a type that no file can hold
        path.write_bytes(b"PAR1")
    if draw.random() < 0.3 or not done:
        done.append(bytes_of(path, draw))
    return Case("; ".join(done), run_of(folder, draw))


def manifests(folder: Path, draw: Draw) -> Case:
    """manifest.json of a result, as a text and as a tree; memo and the run from a manifest."""
    path = folder / "out" / "manifest.json"
    done = json_of(path, draw)
    memo = ("memo", str(folder), "--format", draw.choice(["md", "html", "csv", "tex"]))
    return Case(done, [draw.choice([memo, ("run", "--manifest", str(path), "--out", str(folder / "new"))])])


def results(folder: Path, draw: Draw) -> Case:
    """Tables of a result; memo."""
    path = draw.choice(sorted((folder / "out").glob("*.csv")))
    return Case(table_of(path, draw), [("memo", str(folder), "--format", draw.choice(["md", "html"]))])


def goldens(folder: Path, draw: Draw) -> Case:
    """Manifest, fingerprints, changelog and tables of a golden result; validate and bless."""
    golden = folder / "golden"
    path = draw.choice(sorted(golden.iterdir()) + [golden / "manifest.json", golden / "inputs.json"] * 8)
    done = json_of(path, draw) if path.suffix == ".json" else table_of(path, draw)
    validate = ("validate", str(folder))
    return Case(done, [draw.choice([validate, validate, ("bless", str(folder), "--reason", "the fuzz")])])


def snapshots(folder: Path, draw: Draw) -> Case:
    """manifest.json and symbols.csv of a snapshot; runs, and another snapshot to compare with."""
    data = folder / "data"
    path = data / draw.choice(["manifest.json", "manifest.json", "manifest.json", "symbols.csv"])
    done = json_of(path, draw) if path.suffix == ".json" else table_of(path, draw)
    against = ("validate", str(folder), "--against", str(data))
    return Case(done, [draw.choice([*run_of(folder, draw), *run_of(folder, draw), against])])


def themes(folder: Path, draw: Draw) -> Case:
    """Keys and bytes of a theme: colours, fonts and sizes of other types, nested, extreme; memo."""
    path, text = folder / "theme.toml", THEME
    path.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    if draw.random() < 0.25:
        done = bytes_of(path, draw)
    else:
        at = draw.randrange(len(lines))
        more = ['"red"', '"#fff"', '"#00FF00"', "4.0", "16", '["#D55E00", 1]', '["#D55E00"]', '"a; b"', '"</style>"']
        key = lines[at].partition("=")[0] if "=" in lines[at] else draw.choice(["text ", "x ", "fonts.text ", "a.b "])
        lines.insert(at + 1, done := f"{key}= {draw.choice(VALUES + more)}")
        if "=" in lines[at]:
            del lines[at]
        if draw.random() < 0.1:
            lines.append(
                done := draw.choice(["[x]", "sizes = 1", "[fonts]", "[[fonts]]", f"{'a.' * 800}b = 1", "[colours.x]"])
            )
        _write(path, lines)
    return Case(done[:80], [("memo", str(folder), "--format", "md", "--theme", str(path))])


BODIES = [
    "return 1 / 0", "raise ValueError('x' * 100000)", "raise ValueError('\\x1b[31m\\u202e')", "raise SystemExit(70)",
    "raise GeneratorExit", "raise Unsayable", "raise BaseException('no Exception')", "raise RecursionError", "return f(*a)",
    "return None", "return ()", "return a", "return e, r", "return e[0] * np.nan, r", "return e[0] * 1e308, r * 1e308",
    "return e[0] * 1j, r", "return np.ma.masked_all(len(e[0])), r", "return list(map(str, e[0])), list(map(str, r))",
    "return [[1], [1, 2]], r", "return e, r[None]", "return e[0].astype(object), r.astype('f4')", "return Bad(), Bad()",
    "return (x for x in e[0]), r", "print('so far'); return e[0], r", "sys.stdout.write('x' * 1000); return e[0], r",
    "r[:] = np.nan; e[:] = np.inf; return e[0], r", "warnings.warn('old'); return e[0], r", "np.log(-r); return e[0], r",
    "return e[0], np.log(r - 1)", "return e[0] * 10**400, r", "return [10**400] * len(e[0]), r",
    "return np.datetime64('NaT'), r", "return pl.Series(e[0]), pl.Series(r)", "return e[0], r * 0", "return e[0], r * 1e-320",
    "warnings.simplefilter('error'); np.log(-r); return e[0], r", "return e[0].tolist(), tuple(r.tolist())",
    "return e[0] > 0, r > 0",
    "np.seterr(all='raise'); return e[0], r", "raise UnicodeDecodeError('utf-8', b'x', 0, 1, 'y')",
    "raise ExceptionGroup('g', [ValueError(1)])", "return set(e[0]), r", "return e[0].view('i8'), r", "raise f",
]  # fmt: skip
HEADS = [
    "", "print('read')", "raise ValueError('read')", "import nowhere", "1 / 0", "x = '\\d'", "x = 1 is 1",
    "raise SystemExit('x')",
    "raise GeneratorExit", "(" * 300, "def f(:", "\x00", "\ud800", "# coding: nowhere", "f = 1", "x = " + "(" * 90 + ")" * 90,
    "x = " + "-" * 50_000 + "1", "x = " + "9" * 5000, "import warnings; warnings.warn('old')", "\t x = 1\n  y = 2",
    "__name__ = 1",
    "import sys; print('x', file=sys.__stderr__)", "raise BaseException",
]  # fmt: skip
MODEL = """import sys, warnings
import numpy as np
import polars as pl


class Unsayable(Exception):
    def __str__(self):
        raise ValueError("no text")


class Bad:
    def __array__(self, *words, **more):
        raise KeyError("bad")


{head}


def f(*a):
    r, m, e = a
    {body}
"""


def models(folder: Path, draw: Draw) -> Case:
    """A model of the user's own that raises, exits, prints, warns, answers with other shapes, types and NaN, or is no Python."""
    text = MODEL.format(head=draw.choice(HEADS) if draw.random() < 0.35 else "", body=draw.choice(BODIES))
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.15:
        data = spoiled(OWN_MODEL.replace("half_the_benchmark", "f").encode(), draw)
    (folder / "own.py").write_bytes(data)
    path = folder / "study.toml"
    path.write_text(path.read_text().replace('"market"', '"custom"\nfile = "own.py"\nfunction = "f"'))
    allowed = ["--allow-code"] if draw.random() < 0.97 else []
    return Case(text[160:].strip()[-120:], [("run", str(folder), "--out", str(folder / "new"), *allowed)])


NAMES = [
    "F.CSV",
    "a.txt",
    "../../a.csv",
    "/etc/x",
    "",
    "a/",
    "\x00",
    "é.csv",
    "a" * 60_000,
    "a\\b.csv",
    "C:a",
    "\u202e.csv",
]


def packed(draw: Draw) -> bytes:
    """A ZIP archive of one file of factors, or of another number of files, nested, of any method, with any name."""
    out, text = io.BytesIO(), FACTORS.encode()
    if draw.random() < 0.3:
        text = draw.choice(
            [spoiled(text, draw), b"", text.replace(b"SMB", draw.choice(TOKENS)), text.replace(b",0.01", b"")]
        )
    if draw.random() < 0.1:
        text = packed(draw)
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", draw.choice(methods)) as archive:
        warnings.simplefilter("ignore")  # a name that stands there twice
        for i in range(draw.choice([1] * 12 + [0, 2, 50])):
            name = "F.CSV" if draw.random() < 0.7 else draw.choice(NAMES)
            archive.writestr(zipfile.ZipInfo(f"{name}{i or ''}", (2015, 1, 1, 0, 0, 0)), text)
            archive.infolist()[-1].compress_type = archive.compression
    return out.getvalue()


def archives(folder: Path, draw: Draw) -> Case:
    """ZIP archives and text of daily factors: bits, pieces, header fields, flags, methods, names, nesting; fetch."""
    data = bytearray(packed(draw) if draw.random() < 0.85 else FACTORS.encode())
    done = []
    for _ in range(draw.choice([0, 1, 1, 2, 4])):
        marks = [m for m in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06") if m in data]
        if marks and draw.random() < 0.5:  # a field of two or four bytes of one of the headers
            at = data.index(draw.choice(marks)) + 2 * draw.randrange(2, 22)
            width, form = draw.choice([(2, "<H"), (4, "<I")])
            value = draw.choice([0, 1, 8, 9, 12, 14, 93, 99, 2048, 65535, draw.randrange(65536)])
            if at + width <= len(data):
                data[at : at + width] = struct.pack(form, value)
            done.append(f"header at {at} = {value}")
        else:
            data = bytearray(spoiled(bytes(data), draw))
            done.append("bytes")
    path = folder / draw.choice(["F_CSV.zip", "F.csv"])
    path.write_bytes(bytes(data))
    words = ("fetch", str(folder), "--source", "french", "--from", str(path), "--out", str(folder / "factors"))
    return Case("; ".join(done), [words])


def answers(folder: Path, draw: Draw) -> Case:
    """Answers of Yahoo: types, missing and extreme nodes, nesting, states of a fetch that was stopped; fetch."""
    days, values = DATES[:12], [100.0 + i for i in range(12)]
    text = json.dumps(
        chart("A", days, values, dividends={days[3]: (1.0, "USD")}, splits={days[5]: (2, 1)}), ensure_ascii=True
    )
    data, done = json_text(text, draw)
    if draw.random() < 0.1:
        data = json.dumps({"chart": {"result": draw.choice(NODES), "error": draw.choice(NODES)}}).encode()
    if draw.random() < 0.15:
        stopped = folder / ".fetched.partial"
        stopped.mkdir()
        state = {
            "request": {"source": "yahoo", "place": None, "first": days[0]}, "started": "2030-01-01T00:00:00+00:00",
            "files": {"A": {"file": "A.csv", "sha256": "0", "notes": [], "currency": "", "exchange": "", "name": ""}},
        }  # fmt: skip
        (stopped / "fetch.json").write_bytes(json_text(json.dumps(state), draw)[0])
        done += ", fetch.json"
    status = draw.choice([200] * 20 + [400, 404, 429, 401, 500, 302])
    words = ("fetch", str(folder), "--source", "yahoo", "--out", str(folder / "fetched"))
    return Case(done, [words], data, status)


KINDS: dict[str, Callable[[Path, Draw], Case]] = {
    "study": studies, "calendar": calendars, "csv": csv_prices, "parquet": parquet_prices, "manifest": manifests,
    "result": results, "golden": goldens, "snapshot": snapshots, "theme": themes, "model": models, "archive": archives,
    "answer": answers,
}  # fmt: skip
# How many cases of each kind the slow set has: fewer of those that compute longer.
CASES = {
    "study": 1300, "calendar": 1200, "csv": 700, "parquet": 700, "manifest": 1000, "result": 800, "golden": 400,
    "snapshot": 800, "theme": 800, "model": 700, "archive": 1000, "answer": 600,
}  # fmt: skip
ON_RESULTS = ("manifest", "result", "golden", "theme")  # the kinds that need a result in out/ and golden/
