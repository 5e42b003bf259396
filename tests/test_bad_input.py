"""Bad input: a message that says where, what was read and what is allowed; exit 2 or 3; nothing half-written."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import closes, make_study, simulated, weekdays

from engine.errors import SpecError
from engine.inputs import known_names
from engine.report import CHARTS
from engine.spec.reading import parse_spec

ROOT = Path(__file__).parents[1]
DATES = weekdays(160)


def study(folder: Path, **overrides: object) -> Path:
    events = [
        {"event_id": "one", "symbol": "AAA", "announced_at": DATES[100]},
        {"event_id": "two", "symbol": "BBB", "announced_at": DATES[120]},
    ]
    return make_study(folder, events, simulated(1, ["AAA", "BBB"], 160), **overrides)


def eventstudy(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text, f"{name} holds no {old!r}: the case would test nothing"
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def append(name: str, line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return change


def remove(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def without_table(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / TOML).read_text(encoding="utf-8")
        (folder / TOML).write_text(re.sub(rf"\[{name}\]\n(.+\n)*", "", text))

    return change


def first_line_of(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text((folder / name).read_text().splitlines()[0] + "\n")

    return change


def with_column(name: str, first: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        header, *rows = (folder / EVENTS).read_text().splitlines()
        lines = [f"{header},{name}", f"{rows[0]},{first}", *(f"{row}," for row in rows[1:])]
        (folder / EVENTS).write_text("\n".join(lines) + "\n")

    return change


def with_group_column(folder: Path) -> None:
    with_column("sector", "")(folder)
    rewrite(TOML, "tests =", 'group_by = ["sector"]\ntests =')(folder)


TOML, EVENTS, AAA = "study.toml", "events.csv", "data/AAA.csv"

# name: (what is done to a good study, exit code, words that the message must hold)
CASES: dict[str, tuple[Callable[[Path], None], int, list[str]]] = {
    "unknown table": (append(TOML, "[windos]"), 2, [TOML, '"windos"', 'Did you mean "windows"?']),
    "unknown key": (
        rewrite(TOML, "max_gap_days", "max_gap_day"),
        2,
        [TOML, "[events]", '"max_gap_day"', "max_gap_days"],
    ),
    "unknown model": (rewrite(TOML, '"market"', '"markte"'), 2, ["[model]", '"markte"', 'Did you mean "market"?']),
    "unknown test": (rewrite(TOML, '"cross_sectional_t"', '"patel"'), 2, ['"patel"', 'Did you mean "patell"?', "bmp"]),
    "no seed": (rewrite(TOML, '"cross_sectional_t"', '"permutation"'), 2, ["[resampling]", "permutation", "seed"]),
    "missing key": (rewrite(TOML, 'reaction = "close"\n', ""), 2, ["[events] reaction", "required"]),
    "missing table": (without_table("model"), 2, [TOML, "model", "required"]),
    "wrong type": (
        rewrite(TOML, "max_gap_days = 7", 'max_gap_days = "7"'),
        2,
        ["max_gap_days", "'7'", "a whole number"],
    ),
    "not toml": (append(TOML, "= ="), 2, [TOML, "not valid TOML"]),
    "reversed window": (rewrite(TOML, "[-60, -11]", "[-11, -60]"), 2, ["estimation_window", "[-11, -60]", "reversed"]),
    "overlap": (rewrite(TOML, "[-60, -11]", "[-60, -3]"), 2, ["[-60, -3]", "[-5, 5]", "before the event window"]),
    "car outside": (rewrite(TOML, "[-1, 1]", "[-1, 9]"), 2, ["[-1, 9]", "not inside", "[-5, 5]"]),
    "three days": (rewrite(TOML, "[-1, 1]", "[-1, 0, 1]"), 2, ["[-1, 0, 1]", "two days"]),
    "twice": (rewrite(TOML, "[-1, 1]", "[0, 0]"), 2, ["[0, 0]", "more than once"]),
    "group column": (rewrite(TOML, "tests =", 'group_by = ["secter"]\ntests ='), 2, ["group_by", '"secter"']),
    "no snapshot": (rewrite(TOML, '"data"', '"dat"'), 3, ['"dat"', "EVENTSTUDY_DATA", "--prices"]),
    "no calendar file": (remove(EVENTS), 3, [EVENTS, "is not there"]),
    "empty calendar": (first_line_of(EVENTS), 3, [EVENTS, "no rows"]),
    "empty file": (lambda f: (f / EVENTS).write_text("") and None, 3, [EVENTS, "empty"]),
    "missing column": (
        rewrite(EVENTS, "announced_at", "announced"),
        3,
        ['"announced_at"', 'Did you mean "announced"?'],
    ),
    "header twice": (
        rewrite(EVENTS, "event_id,symbol", "event_id,symbol,symbol"),
        3,
        [EVENTS, '"symbol"', "more than once"],
    ),
    "duplicate event": (append(EVENTS, f"one,AAA,{DATES[90]}"), 3, ["row 4", '"one"', '"AAA"', "more than once"]),
    "date that is none": (
        rewrite(EVENTS, DATES[100], "2015-02-30"),
        3,
        ["row 2", "2015-02-30", "does not exist|exists"],
    ),
    "no date at all": (rewrite(EVENTS, DATES[100], "soon"), 3, ["row 2", '"soon"', "2020-12-18"]),
    "naive time": (rewrite(EVENTS, DATES[100], DATES[100] + "T09:30:00"), 3, ["row 2", "no offset", "zone"]),
    "empty symbol": (rewrite(EVENTS, "one,AAA", "one,"), 3, ["row 2", "symbol", "empty"]),
    "path as symbol": (rewrite(EVENTS, "one,AAA", "one,../AAA"), 3, ["row 2", '"../AAA"', "part of a path"]),
    "ragged row": (append(EVENTS, "x,y,2015-06-01,z,w"), 3, [EVENTS, "CSV"]),
    "text in prices": (rewrite(AAA, DATES[50] + ",", DATES[50] + ",x"), 3, ["AAA.csv", "row 52", "not a number"]),
    "infinity": (append(AAA, "2030-01-02,inf"), 3, ["AAA.csv", '"inf"', "finite"]),
    "duplicate date": (append(AAA, f"{DATES[7]},0.01"), 3, ["AAA.csv", DATES[7], "more than once"]),
    "date in prices": (append(AAA, "2030-02-31,0.01"), 3, ["AAA.csv", "2030-02-31", "YYYY-MM-DD"]),
    "no value column": (rewrite(AAA, "date,return", "date,retrun"), 3, ["AAA.csv", "return", "retrun"]),
    "listing missing": (remove(AAA), 3, ["AAA", "allow_missing_symbols"]),
    "all missing named": (remove(AAA, "data/BBB.csv", "data/MKT.csv"), 3, ["AAA", "BBB", "MKT"]),
    "too many lost": (
        rewrite(EVENTS, DATES[100], DATES[3]),
        3,
        ["1 of 2", "max_excluded_share", "too_few_estimation_days"],
    ),
    "unknown zone": (
        lambda f: (f / EVENTS).write_text("event_id,symbol,announced_at,zone\na,AAA,2015-05-01,Mars/Base\n") and None,
        3,
        ["row 2", "Mars/Base", "America/New_York"],
    ),
    "farther than any series": (rewrite(TOML, "[-60, -11]", "[-1000000000, -11]"), 2, ["-1000000000", "20000"]),
    "huge override": (with_column("estimation_start", "-1000000000"), 3, ["row 2", "estimation_start", "-20000"]),
    "negative gap": (with_column("max_gap_days", "-1"), 3, ["row 2", "max_gap_days", '"-1"']),
    "long symbol": (rewrite(EVENTS, "one,AAA", "one," + "A" * 300), 3, ["row 2", "symbol", "300"]),
    "clock time without punctuation": (rewrite(EVENTS, DATES[100], DATES[100].replace("-", "")), 3, ["row 2", "22:30"]),
    "group column twice": (rewrite(TOML, "tests =", 'group_by = ["symbol", "symbol"]\ntests ='), 2, ["more than once"]),
    "empty group column": (with_group_column, 2, [TOML, "sector", "empty"]),
    "unknown exchange of a benchmark": (
        rewrite(TOML, 'default = "MKT"', 'default = "MKT"\nby_exchange = {XNYSE = "MKT"}'),
        2,
        ['"XNYSE"', 'Did you mean "XNYS"?'],
    ),
    "empty benchmark": (first_line_of("data/MKT.csv"), 3, ["MKT.csv", "no value"]),
    "UTF-16": (
        lambda f: (f / EVENTS).write_bytes((f / EVENTS).read_text().encode("utf-16")) and None,
        3,
        [EVENTS, "UTF-8"],
    ),
    "column without a name": (rewrite(EVENTS, "announced_at", "announced_at,"), 3, [EVENTS, "no name"]),
    "unknown exchange": (
        lambda f: (
            (f / EVENTS).write_text("event_id,symbol,announced_at,zone\na,AAA.XX,2015-05-01T09:00:00,Asia/Tokyo\n")
            and None
        ),
        2,
        ["AAA.XX", "exchange", "XNYS"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_explained(name: str, tmp_path: Path) -> None:
    change, code, words = CASES[name]
    folder = study(tmp_path / "made")
    change(folder)
    before = sorted(p.name for p in folder.iterdir())
    from engine import report
    from engine.errors import EngineError
    from engine.study import load_study, run_study

    with pytest.raises(EngineError) as caught:
        run_study(load_study(folder, data_path=(), charts=frozenset(report.CHARTS)))
    assert caught.value.exit_code == code
    message = str(caught.value)
    for word in words:
        assert any(part in message for part in word.split("|")), f"{word!r} is not in: {message}"
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.parametrize("name", ["unknown model", "duplicate date", "too many lost", "not toml"])
def test_the_command_prints_it_without_traceback(name: str, tmp_path: Path) -> None:
    change, code, words = CASES[name]
    folder = study(tmp_path / "made")
    change(folder)
    done = eventstudy("run", str(folder), cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert words[0] in done.stderr
    assert done.stdout == ""
    assert sorted(p.name for p in folder.iterdir()) == ["data", "events.csv", "study.toml"]


@pytest.mark.parametrize(
    ("table", "key", "value", "said"),
    [
        ("crosssection", "formula", 3, "formula = 3: should be text in quotes or a list in brackets or a table."),
        ("crosssection", "formula", ["car ~ 1", 3], "formula.1 = 3: should be text in quotes."),
        ("crosssection", "formula", {"a": 3}, "formula.a = 3: should be text in quotes."),
        ("crosssection", "formula", [], "formula is empty"),
        ("windows", "named", {"a": [0.5, 3]}, "named.a.0 = 0.5: should be a whole number or text in quotes."),
        ("windows", "named", 3, "named = 3: should be a table."),
        ("windows", "car", [], "car = []: holds 0, and should hold at least 1."),
        ("windows", "event", [1, 2, 3], "event = [1, 2, 3]: holds 3, and should hold at most 2."),
        ("windows", "car", [[0.5, 1]], "car.0.0 = 0.5: should be a whole number."),
        ("significance", "tests", "bmp", "tests = 'bmp': should be a list in brackets."),
        ("events", "joint", "yes", "joint = 'yes': should be true or false."),
        ("outcome", "name", "x", "is not an outcome."),
        ("model", "half_life", 1e6, "needs an estimation_window of 2,000,002 days or more"),
    ],
)
def test_a_value_of_the_wrong_kind_is_said_once(table: str, key: str, value: object, said: str) -> None:
    raw: dict[str, dict[str, object]] = tomllib.loads((ROOT / "studies/us-acquirers/study.toml").read_text("utf-8"))
    raw[table] = raw.get(table, {}) | {key: value} | ({"name": "exponential"} if key == "half_life" else {})
    with pytest.raises(SpecError) as error:
        parse_spec(raw, "study.toml", known_names(frozenset(CHARTS)))
    assert said in str(error.value)
    assert "pydantic" not in str(error.value)
    assert len([line for line in str(error.value).splitlines() if f"[{table}] {key}" in line]) == 1


def test_ids_with_commas_quotes_and_newlines_work(tmp_path: Path) -> None:
    odd = ['a, "b"', "c'|d", "e\nf", "=HYPERLINK(1)"]
    events = [{"event_id": e, "symbol": "AAA", "announced_at": DATES[80 + 12 * i]} for i, e in enumerate(odd)]
    folder = make_study(tmp_path / "odd", events, simulated(1, ["AAA"], 160))
    done = eventstudy("run", str(folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    from engine.results import read_result

    written = read_result(folder / "out").tables["cars"]["event_id"].unique().to_list()
    assert sorted(written) == sorted(odd)


def test_a_symbol_without_prices_is_a_row_when_allowed(tmp_path: Path) -> None:
    folder = study(tmp_path / "made", limits={"allow_missing_symbols": True, "max_excluded_share": 0.5})
    (folder / AAA).unlink()
    assert eventstudy("run", str(folder), cwd=tmp_path).returncode == 0
    text = (folder / "out" / "exclusions.csv").read_text()
    assert text.splitlines()[1].startswith("one,AAA,prices,no_price_file,")


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    folder = study(tmp_path / "made")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.docx").write_text("mine")
    done = eventstudy("run", str(folder), "--out", str(mine), cwd=tmp_path)
    assert done.returncode == 2
    assert "left alone" in done.stderr
    assert [p.name for p in mine.iterdir()] == ["thesis.docx"]


def test_prices_that_are_no_prices(tmp_path: Path) -> None:
    folder = study(tmp_path / "made")
    done = eventstudy("run", str(folder), "--prices", str(tmp_path / "nowhere"), cwd=tmp_path)
    assert done.returncode == 3
    assert "nowhere" in done.stderr


def test_negative_prices_are_no_prices(tmp_path: Path) -> None:
    from engine.market import find_snapshot, read_series

    made = closes(DATES[:4], [10.0, -37.63, 12.0, 0.0])
    folder = make_study(tmp_path, [{"event_id": "e", "symbol": "CL", "announced_at": DATES[2]}], {"CL": made})
    series, _ = read_series(find_snapshot("data", folder, ()), ["CL"])
    assert [v == v for v in series["CL"].values.tolist()] == [True, False, True, False]


@pytest.mark.parametrize(
    "held",
    [["manifest.json", "prices"], ["manifest.json", "CHANGELOG.md"], ["manifest.json"]],
    ids=["a price snapshot", "a golden result", "a manifest of something else"],
)
def test_only_a_result_is_replaced(held: list[str], tmp_path: Path) -> None:
    from engine.errors import EngineError
    from engine.results import replaced_folder

    folder = tmp_path / "kept"
    folder.mkdir()
    for name in held:
        (folder / name).write_text("{}")
    with pytest.raises(EngineError), replaced_folder(folder):
        pass
    assert sorted(p.name for p in folder.iterdir()) == sorted(held)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_linked_folder_is_filled_not_replaced(tmp_path: Path) -> None:
    folder = study(tmp_path / "made")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert eventstudy("run", str(folder), "--out", "link", cwd=tmp_path).returncode == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "cars.csv").is_file()


def test_the_calendar_is_never_overwritten(tmp_path: Path) -> None:
    folder = study(tmp_path / "made")
    before = (folder / EVENTS).read_text()
    done = eventstudy("events", str(folder), "--out", str(folder), cwd=tmp_path)
    assert done.returncode == 2
    assert (folder / EVENTS).read_text() == before


def test_blank_rows_are_passed_over_and_rows_keep_their_number(tmp_path: Path) -> None:
    from engine import load_study
    from engine.errors import DataError

    folder = study(tmp_path / "made")
    for name in (EVENTS, AAA):
        header, *rows = (folder / name).read_text().splitlines()
        blank = "," * header.count(",")
        (folder / name).write_text("\n".join([header, blank, *rows, blank, ""]) + "\n")
    assert len(load_study(folder, data_path=()).announcements.table) == 2
    append(AAA, "soon,0.01")(folder)
    with pytest.raises(DataError, match="row 165"):
        load_study(folder, data_path=())


def test_damaged_results_are_explained(tmp_path: Path) -> None:
    folder = study(tmp_path / "made")
    eventstudy("run", str(folder), cwd=tmp_path)
    for text in ("[]", "{}", "no json"):
        (folder / "out" / "manifest.json").write_text(text)
        done = eventstudy("memo", str(folder), cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
