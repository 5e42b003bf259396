"""Text that others wrote is shown and never obeyed: on a terminal, in every format of the memo, in pages, XML and JSON."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import json
import re
import unicodedata
import warnings
import xml.etree.ElementTree as xml
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from conftest import make_study, run, simulated
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_memo_formats import small
from test_report import with_settings

from engine.cli import console, main
from engine.errors import HIDDEN, GoldenMismatch, visible, visible_json
from engine.report import MEMO_FORMATS, memo_files
from engine.report.formats import one_line
from engine.report.writers.sheets import full_csv_of, spreadsheet_text
from engine.results import to_json
from engine.spec import StudySpec
from engine.validation import Check, as_html, as_json, as_junit

ENGINE = Path(__file__).parents[1] / "engine"
# Clears the screen, sets its title, writes the clipboard, turns text around, hides letters, is no character of XML.
EVIL = [
    "\x1b[2J\x1b[31mFAKE", "\x1b]0;pwned\x07", "\x1b]52;c;ZXZpbA==\x07", "\x9b31mred", "abc\u202egnp.exe", "a\u2066b\u2069",
    "pay\u200bpal", "x\u2028y\u2029z", "\x7f\x08\x08", "\ufffe\uffff", "\U000e0041tag", "\u3164", "[red]bold[/red]",
]  # fmt: skip
SEEN = [
    r"\x1b[2J\x1b[31mFAKE", r"\x1b]0;pwned\x07", r"\x1b]52;c;ZXZpbA==\x07", r"\x9b31mred", r"abc\u202egnp.exe",
    r"a\u2066b\u2069", r"pay\u200bpal", r"x\u2028y\u2029z", r"\x7f\x08\x08", r"\ufffe\uffff", r"\U000e0041tag", r"\u3164",
    "[red]bold[/red]",
]  # fmt: skip
any_text = st.text(st.characters())  # surrogates too


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["eventstudy", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def is_clean(text: str) -> bool:
    return not HIDDEN.search(text.replace("\n", ""))


def test_what_is_not_seen_is_an_escape() -> None:
    assert [visible(text) for text in EVIL] == SEEN
    assert visible("plain, 中芯国际 – é ½ \u00a0 \u3000 ש") == "plain, 中芯国际 – é ½ \u00a0 \u3000 ש"
    assert (visible("a\nb\tc\r"), visible("a\nb\tc\r", keep="\n")) == ("a\\x0ab\\x09c\\x0d", "a\nb\\x09c\\x0d")
    assert visible("\ud800\ue000") == "\\ud800\\ue000"
    assert one_line(" a\t\n b\u3000c\u2028d ") == "a b c\\u2028d"


def test_every_character_that_unicode_hides_is_hidden() -> None:
    """By the table of characters that Python brings along; newer ones are in the ranges of private and unassigned planes."""
    kinds = {c: unicodedata.category(c) for c in map(chr, range(0x110000))}
    assert not [
        hex(ord(c)) for c, kind in kinds.items() if kind in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and not HIDDEN.match(c)
    ]
    seen = {kinds[c] for c in kinds if HIDDEN.match(c)}
    assert seen <= {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Lo"}
    assert (
        sum(kinds[c] in ("Mn", "Lo") for c in kinds if HIDDEN.match(c)) == 267
    )  # selectors, fillers, the grapheme joiner


@given(any_text)
def test_visible_text_is_safe_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert is_clean(shown)
    assert "\n" not in shown
    assert visible(shown) == shown
    assert [c for c in text if not HIDDEN.match(c)] == [c for c in shown if c in text] or "\\" in shown
    shown.encode("utf-8")
    if not HIDDEN.search(text):
        assert shown == text


@given(any_text)
def test_escapes_name_the_characters(text: str) -> None:
    """Read back by Python's own rules, where the text holds no backslash of its own."""
    plain = text.replace("\\", "/")
    escape = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}")
    assert escape.sub(lambda m: ast.literal_eval(f"'{m[0]}'"), visible(plain)) == plain


@given(st.dictionaries(any_text, any_text))
def test_json_is_safe_and_exact(told: dict[str, str]) -> None:
    text = to_json(told)
    assert is_clean(text)
    assert json.loads(text) == told
    assert is_clean(visible_json(json.dumps(told, ensure_ascii=False)))


def test_only_the_console_prints() -> None:
    """So that nothing is printed past `visible`."""
    for path in (ENGINE / "cli").glob("*.py"):
        calls = {
            ast.unparse(n.func)
            for n in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(n, ast.Call)
        }
        spoken = calls & {"print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "click.echo"}
        assert not spoken or path.name == "console.py", path.name
        handed_on = re.search(r"(?<![\w.])print(?![\w(])", path.read_text(encoding="utf-8").replace('"print', ""))
        assert handed_on is None or path.name == "console.py", path.name


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A study whose event ids, attributes, title and group column hold escapes."""
    series = simulated(1, list("ABCD"), 150)
    dates = [str(d) for d in series["A"]["date"]]
    events = [
        {"event_id": EVIL[i], "symbol": s, "announced_at": dates[100 + 9 * i], "kind": EVIL[i % 2 + 3]}
        for i, s in enumerate("ABCD")
    ]
    return make_study(
        tmp_path / "evil", events, series, title="Title\x1b]0;pwned\x07 \u202e", report={"charts": ["car_forest"]},
        significance={"tests": ["cross_sectional_t"], "group_by": ["kind"]}, limits={"max_excluded_share": 1.0},
    )  # fmt: skip


def test_a_study_speaks_plainly(
    evil: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, "run", str(evil)) == 0
    out, err = capsys.readouterr()
    assert is_clean(out)
    assert is_clean(err)
    assert r"\x9b31mred" in out  # a group
    for path in (evil / "out").glob("memo.*"):
        assert is_clean(path.read_text(encoding="utf-8")), path.name
    assert EVIL[0] in (evil / "out" / "cars.csv").read_text(encoding="utf-8")  # data stay as they are
    study = evil / "study.toml"
    study.write_text(
        '"\\u001b[2J\\u001b]52;c;ZXZpbA==\\u0007x" = 1\n' + study.read_text(encoding="utf-8"), encoding="utf-8"
    )
    assert called(monkeypatch, "run", str(evil)) == 2
    out, err = capsys.readouterr()
    assert (out, is_clean(err)) == ("", True)
    assert r'unknown key "\x1b[2J\x1b]52;c;ZXZpbA==\x07x"' in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_data_are_exact_in_a_pipe_and_plain_on_a_terminal(
    evil: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("events",), ("run", "--dry-run")):
        assert called(monkeypatch, *words, str(evil)) == 0
        assert EVIL[0] in {row["event_id"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))}
        terminal = Terminal()
        with monkeypatch.context() as on:
            on.setattr("sys.stdout", terminal)
            assert called(on, *words, str(evil)) == 0
        capsys.readouterr()
        assert SEEN[0] in terminal.getvalue()
        assert is_clean(terminal.getvalue())


def test_usage_errors_and_bars_are_plain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run", "--\x1b[2J"], ["x\x1b]0;p\x07"], ["run", "a\u202e"], ["run", "\x1b[2J"]):
        assert called(monkeypatch, *words) == 2
        said = capsys.readouterr()
        assert (said.out, is_clean(said.err)) == ("", True)
        assert re.search(r"\\(x1b|u202e)", said.err)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with console.progress("[red]\x1b]0;p\x07study[/red]") as on_progress:
        on_progress("[bold]stage\u202e[/bold]", 1, 2)
    assert r"[red]\x1b]0;p\x07study[/red]" in terminal.getvalue()
    assert "\x1b]0" not in terminal.getvalue()


def texts_of(name: str, data: bytes) -> list[str]:
    """What a file of the memo says, as a reader of its format sees it."""
    if name.endswith((".docx", ".xlsx")):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            parts = [packed.read(part) for part in packed.namelist() if part.endswith((".xml", ".rels"))]
        return [text for part in parts for text in xml.fromstring(part).itertext()]
    if name.endswith(".svg"):
        return ["".join(xml.fromstring(data).itertext())]
    return [data.decode("utf-8")] if not name.endswith((".pdf", ".png")) else []


def test_no_format_holds_a_hidden_character() -> None:
    result = small(len(EVIL), ids=EVIL, names=(EVIL[0], EVIL[4]), group=(EVIL * 2)[: len(EVIL)])
    settings = result.manifest["settings"]
    for key in ("title", "question"):
        settings = settings | {key: f"A {key}: {EVIL[2]}"}
    result = with_settings(
        type(result)(result.tables, result.manifest | {"settings": settings, "study": EVIL[1]}), "report"
    )
    files = memo_files(result, MEMO_FORMATS, charts=("svg",))
    assert len(files) > 10
    for name, data in files.items():
        for text in texts_of(name, data):
            found = HIDDEN.search(re.sub("[\n\r\u200b]", "", text))  # where a line may break, a writer says itself
            assert found is None, (name, found)
    assert SEEN[0] in files["memo.html"].decode()
    assert SEEN[4] in openpyxl.load_workbook(io.BytesIO(files["memo.xlsx"]))["events (full)"]["A6"].value or SEEN[
        4
    ] in str([c.value for row in openpyxl.load_workbook(io.BytesIO(files["memo.xlsx"]))["events (full)"] for c in row])


def check_of_evil() -> Check:
    return Check(EVIL[0], "failed", "\n".join(EVIL), exit_code=1, error=GoldenMismatch(EVIL[1]))


def test_validation_in_every_form() -> None:
    checks = [check_of_evil()]
    page, junit, told = as_html(checks), as_junit(checks), as_json(checks)
    for text in (page, junit, told):
        assert is_clean(text)
    assert SEEN[0] in page
    suite = xml.fromstring(junit).find("testsuite")
    assert suite is not None
    assert suite.get("name") == SEEN[0]
    assert json.loads(told)["studies"][0]["study"] == EVIL[0]


def policy_of(page: str) -> dict[str, str]:
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert found is not None
    return dict(rule.strip().split(" ", 1) for rule in found[1].split(";"))  # type: ignore[misc]


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_pages_allow_their_own_script_and_style_alone() -> None:
    memo = memo_files(small(), ["html"])["memo.html"].decode()
    policy = policy_of(memo)
    scripts = re.findall(r"<script>(.*?)</script>", memo, re.DOTALL)
    assert policy["default-src"] == "'none'"
    assert [policy["script-src"]] == [sha256(text) for text in scripts]
    assert memo.index("Content-Security-Policy") < memo.index("<title>")
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", memo, flags=re.DOTALL))
    page = as_html([check_of_evil()])
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert (policy_of(page)["default-src"], [policy_of(page)["style-src"]]) == (
        "'none'",
        [sha256(text) for text in styles],
    )
    assert "style=" not in page
    assert "<script" not in page


def test_a_result_table_has_a_form_that_is_safe_in_a_spreadsheet() -> None:
    """out/*.csv holds the very text; tables/*-full.csv what no spreadsheet takes for a formula, with the same numbers."""
    starts = ["=1+1", "+cmd", "-2+3", "@SUM(1)", "\t=1", "\r=1", "＝1", "a=1", "-1.5", "+2"]
    frame = pl.DataFrame({"event_id": starts, "=x": [0.1 + 0.2] * len(starts), "actual": [1.0] * len(starts)})
    rows = list(csv.reader(io.StringIO(full_csv_of(frame))))
    assert rows[0] == ["event_id", "'=x"]  # prices stay away
    assert [row[0] for row in rows[1:]] == [
        "'=1+1", "'+cmd", "'-2+3", "'@SUM(1)", r"\x09=1", r"\x0d=1", "'＝1", "a=1", "-1.5", "+2",
    ]  # fmt: skip
    assert {row[1] for row in rows[1:]} == {"0.3"}
    assert spreadsheet_text("\t=1") == "'\t=1"
    files = memo_files(small(4, ids=["=A", "+B", "-C", "@D"]), ["csv"])
    assert {row["event_id"] for row in csv.DictReader(io.StringIO(files["tables/cars-full.csv"].decode()))} == {
        "'=A", "'+B", "'-C", "'@D",
    }  # fmt: skip


def test_warnings_of_libraries_are_a_line_without_a_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    console.plain_streams()
    place = "/opt/venv/lib/python3.11/site-packages/matplotlib/text.py"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        console.plain_streams()
        for category in (UserWarning, UserWarning, DeprecationWarning, RuntimeWarning):
            warnings.warn_explicit("Glyph 7 missing\x1b[2J\nfrom font", category, place, 12)
    assert capsys.readouterr().err.splitlines() == [
        r"warning: matplotlib: Glyph 7 missing\x1b[2J",
        r"warning: a number is too large or undefined (Glyph 7 missing\x1b[2J); where that is a result, it is left empty.",
    ]


def quoted(folder: Path, **tables: Any) -> Path:
    """A study with the attribute ``deal "kind"``."""
    series = simulated(2, list("ABCD"), 150)
    events = [
        {
            "event_id": f"e{i}",
            "symbol": s,
            "announced_at": str(series[s]["date"][100 + 9 * i]),
            'deal "kind"': 'a"b'[i % 2 :],
        }
        for i, s in enumerate("ABCD")
    ]
    return make_study(folder, events, series, limits={"max_excluded_share": 1.0}, **tables)


def test_a_header_with_quotes_is_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = {"tests": ["cross_sectional_t"], "group_by": ['deal "kind"']}
    folder = quoted(tmp_path / "quoted", significance=tests, report={"charts": []})
    assert 'deal ""kind""' in (folder / "events.csv").read_text(encoding="utf-8")
    assert called(monkeypatch, "bless", str(folder), "--reason", "first") == 0
    assert called(monkeypatch, "validate", str(folder)) == 0, capsys.readouterr()
    cars = run(folder).tables["cars"]
    assert 'deal "kind"' in cars.columns
    groups = set(run(folder).tables["significance"]["group"])
    assert groups == {"all", 'deal "kind"=a"b', 'deal "kind"="b'}


def test_a_name_that_only_looks_told_apart_is_a_name(tmp_path: Path) -> None:
    from engine.csvtext import read_text_table
    from engine.errors import DataError

    path = tmp_path / "a.csv"
    path.write_text('a_duplicated_b,"x ""y""",x_duplicated_0\n1,2,3\n', encoding="utf-8")
    assert read_text_table(path, "").columns[:3] == ["a_duplicated_b", 'x "y"', "x_duplicated_0"]
    path.write_text('"x ""y""","x ""y"""\n1,2\n', encoding="utf-8")
    with pytest.raises(DataError, match='the column "x "y"" stands there more than once'):
        read_text_table(path, "")


def test_what_is_no_finite_number_is_empty(tmp_path: Path) -> None:
    """Two listings that gain a million times their price every day of a named window: what they grow to is beyond every float."""
    series = simulated(3, list("ABCD"), 250)
    for symbol in "AB":
        series[symbol]["return"] = [1e6 if i > 130 else r for i, r in enumerate(series[symbol]["return"])]
    events = [
        {"event_id": f"e{i}", "symbol": s, "announced_at": str(series[s]["date"][100 + 9 * i])}
        for i, s in enumerate("ABCD")
    ]
    folder = make_study(
        tmp_path / "large", events, series, windows={"event": [-5, 5], "car": [[0, 3]], "named": {"late": [0, 90]}},
        significance={"tests": ["cross_sectional_t"], "group_by": []}, limits={"max_excluded_share": 1.0}, report={"charts": []},
    )  # fmt: skip
    tables = run(folder).tables
    assert len(tables["deal_windows"]) == 4
    assert tables["deal_windows"]["bhar"].null_count() == 2
    for name, table in tables.items():
        for column in table.iter_columns():
            assert column.dtype != pl.Float64 or not column.is_infinite().any(), (name, column.name)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("limits", "max_excluded_share"), ("significance", "alpha"), ("backtest", "notional"), ("backtest", "cost_bp"),
        ("certificate", "effects"), ("claims.C1", "margin"), ("claims.C1", "effect"), ("deals", "rates"),
        ("benchmark", "own_weight"), ("model", "half_life"),
    ],
)  # fmt: skip
def test_a_number_of_a_study_is_finite(table: str, key: str, value: str) -> None:
    wrapped = {"effects": [float(value)], "rates": {"EUR": float(value)}, "own_weight": {"A": float(value)}}
    where, _, name = table.partition(".")
    inside = {key: wrapped.get(key, float(value))}
    with pytest.raises(ValidationError) as refused:
        StudySpec.model_validate({where: {name: inside} if name else inside})
    said = [e["type"] for e in refused.value.errors() if e["loc"][0] == where and key in e["loc"]]
    assert said == ["finite_number"]
