"""Every file is checked once, by a schema: what is damaged is said with file and key, or made anew; never a traceback."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from conftest import make_study, run, simulated, weekdays

from engine import load_study
from engine.cli.running import memo_one
from engine.documents import Document, checked, read_json, read_toml
from engine.errors import DataError, EngineError, SpecError
from engine.fingerprints import fingerprints
from engine.golden import INPUTS, bless, compare, kept_inputs
from engine.inputs import first_fingerprints
from engine.market.fetching import STATE, kept
from engine.market.partitions import Rows, in_order, parted, read_part
from engine.market.prices import read_series
from engine.market.snapshots import Snapshot, open_snapshot
from engine.results import StudyResult, read_manifest, read_result, write_result

DATES = weekdays(160)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

# What no JSON or TOML file may be, and words of the message.
BYTES = {
    "deep lists": (b'{"a": ' + b"[" * 100_000, "deep"),
    "a bracket too many": (b'{"a": ' + b"[" * 51 + b"]" * 51 + b"}", "more than 50 deep"),
    "5,000 digits": (b'{"a": ' + b"9" * 5_000 + b"}", "thousands of digits"),
    "beyond 64 bits": (b'{"a": 9223372036854775808}', "beyond 64 bits"),
    "1e400": (b'{"a": 1e400}', "a = inf: should be a finite number"),
    "NaN": (b'{"a": NaN}', "NaN is no number"),
    "twice": (b'{"a": 1, "a": 2}', "more than once"),
    "surrogate": (b'{"a": "\\ud800"}', "half of a surrogate pair"),
    "zero byte": (b'{"a": "x\\u0000y"}', "zero byte"),
    "zero byte in a key": (b'{"x\\u0000y": 1}', "zero byte"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "Latin-1": (b'{"a": "\xe9"}', "not UTF-8"),
    "empty": (b"", "not valid JSON"),
    "half": (b'{"a": ', "not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", BYTES)
def test_a_json_file_that_none_of_ours_can_be(case: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(BYTES[case][0])
    with pytest.raises(DataError) as said:
        read_json(path, DataError)
    assert str(said.value).startswith(f"{path}: ")
    assert BYTES[case][1] in str(said.value)


def test_a_mark_of_byte_order_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path, DataError) == {"a": 1}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x = " + "[" * 3_000, "deep"),
        (".".join("x" * 1_000) + " = 1", "deep"),
        ("max_gap_days = " + "9" * 5_000, "thousands of digits"),
        ("max_gap_days = 99999999999999999999", "beyond 64 bits"),
        ("max_gap_days = inf", "finite number"),
        ("max_gap_days = 1e400", "finite number"),
        ("max_gap_days = true", "[events] max_gap_days = True: should be a whole number"),
        ("max_gap_days = 0000-01-01", "not valid TOML"),
        ("reaction = 1979-05-27", "[events] reaction = 1979-05-27: should be"),
        ("reaction = 07:32:00", "[events] reaction = 07:32:00: should be"),
        ('calendar = "a\\u0000b"', "zero byte"),
        ('"a\\u0000b" = 1', "zero byte"),
        ('file = ""', "[events] file = '': should name a file or folder"),
        (f'file = "{"a" * 300}"', "longer than a path may be"),
        (f'file = "{"a/" * 3_000}"', "has 6,000 characters, 4,000 are allowed"),
    ],
)
def test_a_study_that_none_can_be(line: str, said: str, tmp_path: Path) -> None:
    study = a_study(tmp_path)
    key = line.partition(" ")[0]
    text = (study / "study.toml").read_text(encoding="utf-8")
    others = [old for old in text.splitlines() if not old.startswith(f"{key} =")]
    others.insert(others.index("[events]") + 1, line)
    (study / "study.toml").write_text("\n".join(others), encoding="utf-8")
    with pytest.raises(SpecError) as error:
        load_study(study, data_path=())
    assert said in str(error.value)
    assert str(study / "study.toml") in str(error.value)
    assert len(str(error.value)) < 1_000


@pytest.mark.parametrize("symbol", ["a" * 300, "é" * 60, "a\0b", "../a", ""])
def test_a_benchmark_that_no_file_can_have(symbol: str, tmp_path: Path) -> None:
    study = a_study(tmp_path)
    text = (study / "study.toml").read_text(encoding="utf-8")
    (study / "study.toml").write_text(text.replace('"MKT"', json.dumps(symbol)), encoding="utf-8")
    with pytest.raises(SpecError):
        load_study(study, data_path=())


def test_a_problem_names_the_key_what_was_read_and_what_is_allowed() -> None:
    class Inner(Document):
        n: int

    class Outer(Document):
        inner: dict[str, Inner]

    with pytest.raises(DataError, match=r"m\.json: inner\.one\.n = '7': should be a whole number\."):
        checked(Outer, {"inner": {"one": {"n": "7"}}}, "m.json", DataError)
    with pytest.raises(DataError, match=r"inner\.one\.n: this key is required"):
        checked(Outer, {"inner": {"one": {}}}, "m.json", DataError)


# Manifests, golden results and their fingerprints: each place in turn holds what does not belong there.

WRONG: list[Any] = [None, True, -1, 1.5, "x", [], {}, [[]], {"a": 1}, "\0", "a" * 400]


@pytest.fixture(scope="module")
def blessed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult, dict[str, Any]]:
    study = a_study(tmp_path_factory.mktemp("blessed"))
    result = run(study)
    inputs = fingerprints(load_study(study, data_path=()))
    bless(result, study / "golden", "the first", inputs)
    return study, result, inputs


def said_of(call: Callable[[], Any]) -> str:
    """The message of the error that a call ends in, "" for none; what is no error of the engine goes on."""
    try:
        call()
    except EngineError as error:
        return str(error)
    return ""


def a_study(folder: Path) -> Path:
    events = [{"event_id": e, "symbol": e, "announced_at": DATES[100 + i]} for i, e in enumerate(("AAA", "BBB"))]
    return make_study(folder / "study", events, simulated(1, ["AAA", "BBB"], 160), report={"charts": []})


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    inside = value if isinstance(value, dict) else range(min(len(value), 1)) if isinstance(value, list) else ()
    for key in list(inside) if not above else list(inside)[:2]:
        yield from places(value[key], (*above, key))


def spoilt(value: Any) -> Iterator[tuple[str, Any]]:
    """The document with each of `WRONG` in each of its places, and without each of them."""
    for place in places(value):
        for new in WRONG:
            yield f"{place} = {new!r}", _with(value, place, new)
        if place:
            yield f"without {place}", _with(value, place, ...)


def _with(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    made = copy.deepcopy(value)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return made


def test_a_damaged_golden_manifest_is_said(blessed: tuple[Path, StudyResult, dict[str, Any]], tmp_path: Path) -> None:
    study, result, inputs = blessed
    golden = shutil.copytree(study / "golden", tmp_path / "golden")
    refused = 0
    for what, document in spoilt(json.loads((golden / "manifest.json").read_text())):
        (golden / "manifest.json").write_text(json.dumps(document))
        first_fingerprints(golden)
        said = said_of(lambda: compare(result, golden, inputs))
        assert not said or str(golden) in said, what
        refused += bool(said)
    assert refused > 100


def test_damaged_fingerprints_are_none(blessed: tuple[Path, StudyResult, dict[str, Any]], tmp_path: Path) -> None:
    """They only say what changed; a golden result is compared without them."""
    study, result, inputs = blessed
    golden = shutil.copytree(study / "golden", tmp_path / "golden")
    manifest = read_manifest(golden)
    assert kept_inputs(golden, manifest) == inputs
    others = copy.deepcopy(inputs)
    others["calendar"]["rows"][0][2] = "0" * len(others["calendar"]["rows"][0][2])
    refused = 0
    for _, document in spoilt(inputs):
        (golden / INPUTS).write_text(json.dumps(document))
        refused += kept_inputs(golden, manifest) == {}
        compare(result, golden, others)
    assert refused > 100
    for data, _ in BYTES.values():
        (golden / INPUTS).write_bytes(data)
        assert kept_inputs(golden, manifest) == {}


def test_a_changelog_that_is_no_text_is_not_thrown_away(
    blessed: tuple[Path, StudyResult, dict[str, Any]], tmp_path: Path
) -> None:
    study, result, inputs = blessed
    golden = shutil.copytree(study / "golden", tmp_path / "golden")
    (golden / "CHANGELOG.md").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8 text"):
        bless(result, golden, "another", inputs)
    assert (golden / "CHANGELOG.md").read_bytes() == b"\xff\xfe"


@pytest.mark.parametrize("key", ["pairs", "listings", "settings", "coefficients", "kernel", "contamination", "quality"])
@pytest.mark.parametrize("value", [None, True, 3, "x", [3], {"a": [1]}])
def test_a_damaged_manifest_of_a_result_is_said_by_the_memo(
    key: str, value: Any, blessed: tuple[Path, StudyResult, dict[str, Any]], tmp_path: Path
) -> None:
    study = shutil.copytree(blessed[0], tmp_path / "study")
    write_result(blessed[1], study / "out")
    path = study / "out" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DataError, match=key) as said:
        memo_one(study, None, "md", None)
    assert str(path) in str(said.value)
    assert "un the study again" in str(said.value)


def test_every_committed_golden_result_is_of_its_schema() -> None:
    folders = sorted(Path(__file__).parents[1].glob("studies/*/golden"))
    assert len(folders) >= 11
    for folder in folders:
        manifest = read_manifest(folder)
        assert read_result(folder, whole=False).tables
        assert set(kept_inputs(folder, manifest)) == {"calendar", "files", "prices"}


def a_table(result: Path, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    change(pl.read_csv(result / f"{name}.csv", infer_schema=False)).write_csv(result / f"{name}.csv")


TABLES: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "text": (lambda t: t.with_columns(car=pl.lit("x")), "column car: 'x' stands where a run writes a finite number"),
    "infinity": (lambda t: t.with_columns(car=pl.lit("inf")), "column car: 'inf' stands"),
    "not a number": (lambda t: t.with_columns(car=pl.lit("nan")), "column car: 'nan' stands"),
    "a fraction": (lambda t: t.with_columns(window_start=pl.lit("1.5")), "column window_start: '1.5'"),
    "digits": (lambda t: t.with_columns(window_start=pl.lit("9" * 30)), "column window_start"),
    "a column less": (lambda t: t.drop("se"), "lacks the column se"),
    "no column": (lambda t: t.select(pl.lit("x").alias("y")), "lacks the column event_id"),
    "a name twice": (lambda t: t.with_columns(pl.lit("1").alias(" se")), '"se" stands there more than once'),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_a_damaged_table_is_said(case: str, blessed: tuple[Path, StudyResult, dict[str, Any]], tmp_path: Path) -> None:
    write_result(blessed[1], tmp_path / "out")
    a_table(tmp_path / "out", "cars", TABLES[case][0])
    with pytest.raises(DataError) as said:
        read_result(tmp_path / "out")
    assert TABLES[case][1] in str(said.value)
    assert str(tmp_path / "out" / "cars.csv") in str(said.value)


@pytest.mark.parametrize("kind", [pl.Int32, pl.Float32, pl.Categorical, pl.List(pl.Float64), pl.Date, pl.Binary])
def test_a_parquet_table_is_of_its_schema(
    kind: Any, blessed: tuple[Path, StudyResult, dict[str, Any]], tmp_path: Path
) -> None:
    write_result(blessed[1], tmp_path / "out")
    (tmp_path / "out" / "cars.csv").unlink()
    held = blessed[1].tables["cars"]
    values = {pl.Int32: 1, pl.Float32: 1.0, pl.Categorical: "1", pl.Date: date(2020, 1, 1), pl.Binary: b"1"}.get(
        kind, [1.0]
    )
    held.with_columns(window_start=pl.Series([values] * len(held), dtype=kind)).write_parquet(
        tmp_path / "out" / "cars.parquet"
    )
    if kind in (pl.Int32, pl.Categorical):
        assert read_result(tmp_path / "out").tables["cars"]["window_start"].to_list() == [1] * len(held)
    else:
        with pytest.raises(DataError, match=r"cars\.parquet: row 2, column window_start"):
            read_result(tmp_path / "out")


# Snapshots and fetches.


def test_a_damaged_manifest_of_a_snapshot_is_said(tmp_path: Path) -> None:
    good = {
        "title": "t", "source": "s", "licence": "l", "version": "1", "redistributable": True, "limits": "none",
        "files": {"A.csv": {"sha256": "0"}}, "failures": {"Z": {"reason": "r", "detail": "d"}},
    }  # fmt: skip
    refused = 0
    for _, document in spoilt(good):
        (tmp_path / "manifest.json").write_text(json.dumps(document))
        said = said_of(lambda: open_snapshot("snap", tmp_path))
        assert not said or str(tmp_path / "manifest.json") in said
        refused += bool(said)
    assert refused > 60
    for data, said in BYTES.values():
        (tmp_path / "manifest.json").write_bytes(data)
        with pytest.raises(DataError, match=said.split()[0]):
            open_snapshot("snap", tmp_path)


def test_a_damaged_state_of_a_fetch_is_begun_anew(tmp_path: Path) -> None:
    partial = tmp_path / ".snap.partial"
    partial.mkdir()
    about = {
        "file": "A.csv", "sha256": "0", "rows": 1, "first": "2020-01-01", "last": "2020-01-01", "currency": None,
        "exchange": None, "name": None, "notes": [],
    }  # fmt: skip
    good = {"request": {"source": "yahoo"}, "started": NOW.isoformat(), "files": {"A": about}}
    (partial / STATE).write_text(json.dumps(good))
    assert kept(tmp_path / "snap") == 1
    for outside in ("../A.csv", "/etc/passwd", "B.csv", "factors/../A.csv"):
        (partial / STATE).write_text(json.dumps(good | {"files": {"A": about | {"file": outside}}}))
        assert kept(tmp_path / "snap") == 0
    for _, document in spoilt(good):
        (partial / STATE).write_text(json.dumps(document))
        kept(tmp_path / "snap")
    for data, _ in BYTES.values():
        (partial / STATE).write_bytes(data)
        assert kept(tmp_path / "snap") == 0


# Prices: every kind of column.

DAYS = [date(2020, 1, d) for d in range(1, 11)]
N = len(DAYS)
TIMES = [datetime.combine(d, time()) for d in DAYS]
READ: dict[str, tuple[str, Any]] = {
    "decimal": ("close", pa.array([Decimal("12.5")] * N)),
    "dictionary of numbers": ("close", pa.array([12.5] * N).dictionary_encode()),
    "dictionary of text": ("close", pa.array(["12.5"] * N).dictionary_encode()),
    "text view": ("close", pa.array(["12.5"] * N, pa.string_view())),
    "large text": ("close", pa.array(["12.5"] * N, pa.large_string())),
    "half floats": ("close", pa.array(np.full(N, 12.5, np.float16))),
    "floats": ("close", pa.array([12.5] * N, pa.float32())),
    "symbols of pandas": ("symbol", pa.array(["A"] * N).dictionary_encode()),
    "symbol view": ("symbol", pa.array(["A"] * N, pa.string_view())),
    "dates as text": ("date", pa.array([str(d) for d in DAYS])),
    "dates as categories": ("date", pa.array([str(d) for d in DAYS]).dictionary_encode()),
    "64-bit dates": ("date", pa.array(DAYS, pa.date64())),
    **{f"times in {u}": ("date", pa.array(TIMES, pa.timestamp(u))) for u in ("s", "ms", "us", "ns")},
    "times of a zone": ("date", pa.array(TIMES, pa.timestamp("us", "Europe/London"))),
    "an unread list": ("note", pa.array([[1]] * N)),
    "an unread time": ("note", pa.array([2**62] * N, pa.timestamp("ms"))),
}  # fmt: skip
REFUSED: dict[str, tuple[str, Any, str]] = {
    "list": ("close", pa.array([[1.0]] * N), "List(Float64)"),
    "struct": ("close", pa.array([{"a": 1}] * N), "Struct"),
    "array": ("close", pa.array([[1.0, 2.0]] * N, pa.list_(pa.float64(), 2)), "Array"),
    "binary": ("close", pa.array([b"\xff"] * N), "Binary"),
    "boolean": ("close", pa.array([True] * N), "Boolean"),
    "date": ("close", pa.array(DAYS), "Date"),
    "time": ("close", pa.array(TIMES), "Datetime"),
    "time of day": ("close", pa.array([time(1)] * N), "Time"),
    "duration": ("close", pa.array([timedelta(1)] * N), "Duration"),
    "uint64": ("close", pa.array([2**64 - 1] * N, pa.uint64()), "18446744073709551615"),
    "date as open": ("open", pa.array(DAYS), "Date"),
    "list as volume": ("volume", pa.array([[1]] * N), "List"),
    "list as symbol": ("symbol", pa.array([["A"]] * N), "List(String)"),
    "binary as symbol": ("symbol", pa.array([b"A"] * N), "Binary"),
    "date as symbol": ("symbol", pa.array(DAYS), "Date"),
    "list as date": ("date", pa.array([[1]] * N), "List"),
    "number as date": ("date", pa.array([20200101] * N), "Int64"),
    "truth as date": ("date", pa.array([True] * N), "Boolean"),
    "year 10000": ("date", pa.array(np.arange(N, dtype=np.int32) + 2_932_897).cast(pa.date32()), "9999-12-31"),
    "year 0": ("date", pa.array(np.arange(N, dtype=np.int32) - 719_529).cast(pa.date32()), "0001-01-01"),
    "last day": ("date", pa.array((np.arange(N) + 2**31 - N).astype(np.int32)).cast(pa.date32()), "9999-12-31"),
    "first day": ("date", pa.array((np.arange(N) - 2**31).astype(np.int32)).cast(pa.date32()), "0001-01-01"),
    "last time": ("date", pa.array(np.arange(N) * 86_400_000 + 2**62, pa.timestamp("ms")), "9999-12-31"),
    "no zone": ("note", pa.array(TIMES, pa.timestamp("us", "+05:30")), '"+05:30" is no time zone'),
    "30 February": ("date", pa.array(["2020-02-30"] * N), "2020-02-30"),
    "week": ("date", pa.array(["2020-W01-1"] * N), "2020-W01-1"),
}  # fmt: skip


def a_parquet(path: Path, column: str, values: Any) -> Path:
    plain = {"symbol": ["A"] * N, "date": DAYS, "close": [12.5] * N}
    table = pa.table(plain)
    place = table.schema.get_field_index(column)
    pq.write_table(table.append_column(column, values) if place < 0 else table.set_column(place, column, values), path)
    return path


def snapshot_of(path: Path) -> Snapshot:
    found = open_snapshot("p", path)
    assert found is not None
    return found


def read_in_parts(path: Path) -> Rows:
    file = parted(path)
    if file is None:
        raise DataError("not read in parts")
    ordered = in_order(file)
    return read_part(ordered, ordered.parts[0], ["A"])


@pytest.mark.parametrize("case", READ)
def test_a_kind_of_column_that_is_read(case: str, tmp_path: Path) -> None:
    path = a_parquet(tmp_path / "p.parquet", *READ[case])
    snapshot = snapshot_of(path)
    assert snapshot.holds_series()
    assert snapshot.symbols() == ["A"]
    found, missing = read_series(snapshot, ["A"])
    assert missing == []
    assert found["A"].values.tolist() == [12.5] * N
    assert found["A"].dates.tolist() == DAYS
    if parted(path) is not None:
        assert read_in_parts(path).values.tolist() == [12.5] * N


@pytest.mark.parametrize("case", REFUSED)
def test_a_kind_of_column_that_is_refused(case: str, tmp_path: Path) -> None:
    column, values, said = REFUSED[case]
    path = a_parquet(tmp_path / "p.parquet", column, values)
    message = said_of(lambda: read_series(snapshot_of(path), ["A"]))
    assert str(path) in message
    assert f"column {column}" in message
    assert said in message
    if column in ("symbol", "date", "close"):  # the parts refuse it, or leave it to the other reader
        assert said_of(lambda: read_in_parts(path))


@pytest.mark.parametrize("value", [float("inf"), 1e300, -1e16, 1e-13])
def test_a_number_that_no_price_can_be_is_refused_part_by_part(value: float, tmp_path: Path) -> None:
    file = parted(a_parquet(tmp_path / "p.parquet", "close", pa.array([12.5] * (N - 1) + [value])))
    assert file is not None
    with pytest.raises(DataError, match="symbol A: column close holds"):
        read_part(file, file.parts[0], ["A"])


def test_a_whole_float_is_the_symbol_that_it_counts(tmp_path: Path) -> None:
    snapshot = snapshot_of(a_parquet(tmp_path / "p.parquet", "symbol", pa.array([14593.0] * N)))
    assert snapshot.symbols() == ["14593"]
    assert list(read_series(snapshot, ["14593"])[0]) == ["14593"]


# Stamps and zones of the calendar.

STAMPS = [
    "10000-01-01", "9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59", "0000-01-01", "0001-01-01", "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+14:00", "-001-01-01", "1600-01-01", "2263-01-01T00:00:00Z", "2020-02-30", "2020-W01-1",
    "2020-06-30T23:59:60Z", "2015-05-08T24:00:00Z", "2015-05-08T10:00:00+25:00", "2015-05-08T10:00:00+23:59",
    "2015-05-08T10:00:00-23:59:59.999",
]  # fmt: skip
ZONES = ["../../etc/passwd", "/etc/passwd", "America", "a" * 5_000, "GMT+25", "zone.tab", "..", ".", "é"]


@pytest.mark.parametrize("calendar", ["benchmark", "exchange"])
@pytest.mark.parametrize("zone", ["", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("stamp", STAMPS)
def test_a_stamp_is_read_or_refused(stamp: str, zone: str, calendar: str, tmp_path: Path) -> None:
    made = simulated(1, ["AAA", "BBB"], 160)
    events = [
        {"event_id": "one", "symbol": "AAA", "announced_at": stamp, "zone": zone},
        {"event_id": "two", "symbol": "BBB", "announced_at": DATES[120], "zone": ""},
    ]
    study = make_study(tmp_path, events, made, sessions={"calendar": calendar}, limits={"max_excluded_share": 1.0})
    days: list[date | None] = []
    said = said_of(lambda: days.extend(run(study).tables["events"]["event_day"]))
    read = stamp.startswith("2015-05-08T10:00:00")  # offsets below a day are offsets, however odd
    assert "column announced_at" in said or (days[0] is not None) == (read and not said)


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_that_is_none_is_refused(zone: str, tmp_path: Path) -> None:
    events = [{"event_id": "one", "symbol": "AAA", "announced_at": "2015-05-08T10:00:00", "zone": zone}]
    with pytest.raises(DataError, match=r"is not known|has 5,000 characters"):
        run(make_study(tmp_path, events, simulated(1, ["AAA"], 160)))


def test_a_toml_file_that_is_not_there_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot be read \(No such file or directory\)\. A study is a folder"):
        read_toml(tmp_path / "study.toml", SpecError, "A study is a folder with a study.toml.")


@pytest.mark.parametrize("cell", ["1e400", "-1e308", "9" * 400])
def test_an_attribute_that_no_regression_can_square_is_refused(cell: str, tmp_path: Path) -> None:
    events = [
        {"event_id": s, "symbol": s, "announced_at": DATES[100], "size": cell if s == "A" else "1.5"} for s in "ABCD"
    ]
    study = make_study(tmp_path, events, simulated(1, list("ABCD"), 160), crosssection={"formula": "car ~ size"})
    with pytest.raises(DataError, match=r"row 2, column size: .* beyond what a regression can square"):
        run(study)
