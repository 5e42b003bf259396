"""The memo in every format: the same sections and cells everywhere, text that stays text, equal bytes for equal results."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import docx
import numpy as np
import openpyxl
import polars as pl
import pypdfium2
import pytest
from conftest import make_study, run, simulated
from test_report import make, with_settings

from engine.crosssection import COVARIANCES
from engine.errors import SpecError
from engine.golden import golden_form
from engine.models import MODELS
from engine.report import MEMO_FORMATS, about_event, equations, memo_files, memo_html, read_theme, render_chart
from engine.report.car_forest import pooled_mean, weights
from engine.report.car_heatmap import car_matrix
from engine.report.document import Table
from engine.report.event_panel import index_of
from engine.report.findings import read_findings
from engine.report.listing_paths import listing_paths
from engine.report.mathematics import mathml, omml, plain_math, typst_math
from engine.report.memo import build, draw_chart
from engine.report.picker import picker
from engine.report.style import told
from engine.report.tables import verdicts_table
from engine.report.theme import HOUSE
from engine.report.wide import wide_table
from engine.report.writers.latex import latex_of, latex_table, latex_text
from engine.report.writers.sheets import csv_of, spreadsheet_text
from engine.results import StudyResult
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS

HOSTILE = [
    "<script>alert(1)</script>", '=HYPERLINK("http://x.example","y")', "\\input{/etc/passwd}", "#include(\"x\")", "#let x = 1",
    "$x$ _a_ *b*", "@SUM(1+1)", "+1+cmd", "-2+3", "50% & {more} ~^", "]]></w:t>", "`raw` \\\\ %comment", "{{ 7 * 7 }}",
]  # fmt: skip
CHARTS = ["caar_path", "car_forest"]
NO_TEX = "no LaTeX with booktabs on this machine"


def small(n: int = 12, **options: object) -> StudyResult:
    return with_settings(make(n, **options), "report", charts=CHARTS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hostile() -> StudyResult:
    return small(len(HOSTILE), ids=HOSTILE, names=("=1+1 <b>", "中芯国际"), group=["\\input{x}", "#x"] * 6 + ["=1"])


@pytest.fixture(scope="module")
def written(hostile: StudyResult) -> dict[str, bytes]:
    return memo_files(hostile, MEMO_FORMATS)


def shown(table: Table) -> list[list[str]]:
    """The cells of a table as text without what only typography adds."""
    return [[plain(c) for c in row] for row in (table.columns, *table.rows)]


def plain(text: str) -> str:
    return " ".join(text.replace("−", "-").replace("\u00a0", " ").split())


# The same everywhere


def test_every_section_and_caption_stands_in_every_format(written: dict[str, bytes], hostile: StudyResult):
    document = build(read_findings(hostile))
    titles = [s.title for s in document.sections if s.title]
    assert len(titles) >= 8
    word = [p.text for p in docx.Document(io.BytesIO(written["memo.docx"])).paragraphs]
    pdf = pypdfium2.PdfDocument(written["memo.pdf"])
    on_paper = plain(" ".join(page.get_textpage().get_text_range() for page in pdf))
    for title in titles:
        assert f"## {title}" in written["memo.md"].decode()
        assert f"<h2>{title}".replace("-1", "−1") in written["memo.html"].decode()
        assert plain(title) in [plain(p) for p in word]
        assert plain(title) in on_paper
        assert f"\\section*{{{latex_text(title.replace('-1', '−1'))}}}" in written["memo.tex"].decode()
    for table in document.tables:
        assert plain(f"Table {document.number(table)}") in on_paper
        assert f"tables/{table.name}.csv" in written
        assert f"tables/{table.name}.tex" in written
    names = [t.name for t in document.tables]
    assert "" not in names
    assert len(set(names)) == len(names)


def test_the_memo_keeps_its_order():
    titles = [s.title for s in build(read_findings(small())).sections]
    kept = [
        "",
        "Verdict",
        "",
        "Result by window and group",
        "Every event",
        "What else happened",
        "Exclusions",
        "Methods",
        "Provenance",
    ]
    assert [t for t in titles if t in kept] == kept


def test_word_has_the_tables_captions_pictures_and_formulas(written: dict[str, bytes], hostile: StudyResult):
    document, file = build(read_findings(hostile)), docx.Document(io.BytesIO(written["memo.docx"]))
    assert len(file.tables) == len(document.tables)
    for table, made in zip(document.tables, file.tables, strict=True):
        for i, (row, cells) in enumerate(zip(shown(table), made.rows, strict=True)):
            if i and table.kind(i - 1) == "head":
                assert plain(cells.cells[0].text) == f"by {row[0]}"
            else:
                assert [plain(c.text) for c in cells.cells] == row
        assert "w:tblHeader" in made.rows[0]._tr.xml
    captions = [p for p in file.paragraphs if p.style.name == "Caption"]
    assert len(captions) == len(document.tables) + len(document.charts)
    assert all(" SEQ " in p._p.xml for p in captions)
    assert len(file.inline_shapes) == len(CHARTS)
    assert file.element.xml.count("<m:oMath") >= len(read_findings(hostile).settings["significance"]["tests"])
    assert file.core_properties.created.year == 2000


def test_the_pages_of_the_pdf_are_not_blank(written: dict[str, bytes]):
    pages = list(pypdfium2.PdfDocument(written["memo.pdf"]))
    assert len(pages) >= 3
    for page in pages:
        grey = np.asarray(page.render(scale=0.5).to_pil().convert("L"))
        assert len(page.get_textpage().get_text_range()) > 50
        assert (grey < 128).mean() > 0.001 or page is pages[-1]  # which may hold a line alone
        assert (grey > 250).mean() > 0.5


def test_the_workbook_has_numbers_as_numbers(hostile: StudyResult, written: dict[str, bytes]):
    book = openpyxl.load_workbook(io.BytesIO(written["memo.xlsx"]))
    sheet = book["wide"]
    found, rows = read_findings(hostile), wide_table(read_findings(hostile)).rows
    assert [c.value for c in sheet[3]] == ["Group", "Line", "[-1, 1]", "[0, 0]"]
    cell = sheet.cell(4, 3)
    assert cell.value == pytest.approx(float(rows[0][2].rstrip("*")))
    assert rows[0][2].count("*") == cell.number_format.count("*") > 0
    cars = book["cars (full)"]
    assert cars.cell(2, 5).value == pytest.approx(found.result.tables["cars"]["car"][0], rel=1e-15)
    assert "actual" not in [c.value for c in book["abnormal_returns (full)"][1]]


# Text is text


def test_text_is_text_in_excel(written: dict[str, bytes]):
    book = openpyxl.load_workbook(io.BytesIO(written["memo.xlsx"]))
    cells = [c for sheet in book for row in sheet for c in row if isinstance(c.value, str)]
    assert not [c for c in cells if c.data_type == "f"]
    values = Counter(c.value for c in cells)
    assert all(values[text] >= 2 for text in HOSTILE)
    assert not [c for c in cells if c.hyperlink]


def test_text_is_text_in_csv(written: dict[str, bytes]):
    rows = list(csv.reader(io.StringIO(written["tables/events.csv"].decode())))
    assert sorted(r[0] for r in rows[1:]) == sorted(f"'{t}" if t[0] in "=+-@" else t for t in HOSTILE)
    assert [spreadsheet_text(t) for t in ("-1.67**", "=1", "+1+1", "-0.5", "a=1", "", "–", "-2+3")] == [
        "-1.67**", "'=1", "'+1+1", "-0.5", "a=1", "", "–", "'-2+3",
    ]  # fmt: skip


def test_text_is_text_in_word_and_pdf(written: dict[str, bytes]):
    cells = {
        c.text for t in docx.Document(io.BytesIO(written["memo.docx"])).tables for row in t.rows for c in row.cells
    }
    assert set(HOSTILE) <= cells
    pdf = " ".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(written["memo.pdf"]))
    squeezed = re.sub("[\\s\ufffe\u200b]", "", pdf)
    for text in HOSTILE:
        assert re.sub(r"\s", "", text) in squeezed, text


def test_text_is_text_in_latex(written: dict[str, bytes]):
    text = written["memo.tex"].decode()
    for name in HOSTILE:
        assert latex_text(name) in text
        assert back_from_latex(latex_text(name)) == name
    body = text[text.index("\\begin{document}") :]
    assert "\\input" not in body
    assert not re.search(r"(?<!\\)%(?!c)", body)


def back_from_latex(text: str) -> str:
    """What LaTeX prints for escaped text, by its own table: an independent reading of the escapes."""
    words = {
        "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<", "textgreater": ">", "textbar": "|",
        "textquotedbl": '"', "textasciigrave": "`", "textquotesingle": "'",
    }  # fmt: skip
    text = re.sub(r"\\(text[a-z]+)\{\}", lambda m: f"\0{words[m[1]]}\0" if words[m[1]] not in "\\{}" else "\1", text)
    text = re.sub(r"\{([\[\]])\}", r"\1", text.replace("-{}", "-"))
    return re.sub(r"\\([{}$&#%_])", r"\1", text).replace("\0", "").replace("\1", "\\")


def test_the_latex_compiles(hostile: StudyResult, tmp_path: Path):
    if shutil.which("pdflatex") is None:
        pytest.skip(NO_TEX)
    for path, data in memo_files(hostile, ["tex"]).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "memo.tex"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    if re.search(r"LaTeX Error: File .* not found", made.stdout):
        pytest.skip(NO_TEX)  # without its packages it is none
    assert made.returncode == 0, made.stdout[-2000:]
    pages = pypdfium2.PdfDocument((tmp_path / "memo.pdf").read_bytes())
    assert "HYPERLINK" in " ".join(p.get_textpage().get_text_range() for p in pages)


def test_a_foreign_script_is_put_aside_in_latex():
    assert latex_text("SMIC 中芯 国际 x") == "SMIC \\foreign{中芯 国际 }x"
    assert "\\foreign" not in latex_text("Société Générale")


# Equal bytes


def test_equal_results_give_equal_bytes(hostile: StudyResult, written: dict[str, bytes]):
    again = memo_files(hostile, MEMO_FORMATS)
    assert again.keys() == written.keys()
    assert [path for path in written if again[path] != written[path]] == []
    for name in ("memo.docx", "memo.xlsx"):
        dates = {i.date_time for i in zipfile.ZipFile(io.BytesIO(written[name])).infolist()}
        assert dates == {(1980, 1, 1, 0, 0, 0)}
    assert not re.search(rb"20\d\d\d\d\d\d", re.sub(rb"[0-9a-f]{32,}", b"", written["memo.pdf"][-4000:]))


def test_formats_that_do_not_exist_are_explained():
    with pytest.raises(SpecError, match=r'"pdff" is not a format of the memo\. Did you mean "pdf"'):
        memo_files(small(), ["pdff"])


# Formulas


def test_everything_in_the_registries_has_a_formula_that_every_format_can_write():
    for registry, formulas in ((MODELS, equations.MODELS), (COVARIANCES, equations.COVARIANCES)):
        assert set(registry) == set(formulas)
    assert set(SIGNIFICANCE_TESTS) | set(EVENT_TESTS) == set(equations.TESTS)
    for latex in (*equations.MODELS.values(), *equations.TESTS.values(), *equations.COVARIANCES.values()):
        assert len(re.findall("<mrow[ >]", mathml(latex))) == mathml(latex).count("</mrow>")
        assert all(typst_math(latex))
        assert all(line.startswith("<m:oMath>") for line in omml(latex))
        assert "\\" not in plain_math(latex)


def test_formulas_by_hand():
    assert plain_math(r"t = \frac{\sqrt{N} \bar{X}}{s_X}") == "t = (√NX̄)/(s_X)"
    assert plain_math(r"\CAR_i = \sum_{t \in W} A_{i,t}") == "CAR_i = ∑_(t ∈ W) A_(i,t)"
    assert (
        mathml(r"x_i^2")
        == '<math display="block"><mrow><msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup></mrow></math>'
    )
    assert mathml(r"\bar{\CAR}").count('<mrow class="bar">') == 1  # the page draws it, as wide as the word
    assert mathml("(a)").count('<mo stretchy="false">') == 2
    assert "𝐗" in mathml(r"\mathbf{X}")
    assert "<mi>&lt;" not in mathml("a < b")
    assert "&lt;" in mathml("a < b")
    assert typst_math(r"\frac{a}{b}, \quad \text{if } c") == ['frac(a, b) \\, quad "if " c']
    for wrong in (r"\frac{a}", r"\foo", "{a", "a}", "^2", r"\left( a"):
        with pytest.raises(ValueError, match=r"."):
            plain_math(wrong)


def test_formulas_are_those_of_the_variant_that_is_used():
    simple, log = ({"prices": {"returns": r}, "model": {"name": "market"}} for r in ("simple", "log"))
    assert "∏" in plain_math(equations.abnormal_formulas(simple)[-1][2])
    assert "exp" in plain_math(equations.abnormal_formulas(log)[-1][2])
    assert "|" in equations.formula_of("permutation", "two-sided")
    assert equations.formula_of("permutation", "less").endswith(r"\bar{\CAR}^* \le \bar{\CAR}")
    names = [n for n, _, _ in equations.abnormal_formulas({"prices": {"returns": "log"}, "model": {"name": "lad"}})]
    assert "standard error of a CAR" not in names


# Tables and the picker


def test_the_wide_form_is_what_the_tables_say():
    result = small(20)
    table = wide_table(read_findings(result))
    cars = result.tables["cars"].filter(pl.col("window_start") == -1, pl.col("pay") == "cash")["car"]
    rows = {(r[0], r[1]): r[2] for r in table.rows}
    assert rows["pay: cash", "mean CAR, %"].rstrip("*") == f"{100 * cars.mean():.2f}"
    assert rows["pay: cash", "N"] == "10"
    assert rows["pay: cash", "(cross_sectional_t)"] == "(-2.50)"
    assert rows["pay: cash", "CAR > 0, %"] == f"{100 * (cars > 0).mean():.1f}"


def test_verdicts_follow_the_primary_test_and_say_when_others_disagree():
    def verdict(result: StudyResult) -> str:
        return verdicts_table(read_findings(result)).rows[0][-1]

    assert verdict(make(12)) == "more than noise"
    assert verdict(make(12, p=0.4)) == "noise"
    assert verdict(make(5)) == "more than noise; few events, a description"
    one = (
        make(12)
        .tables["significance"]
        .with_columns(pl.when(pl.col("test") == "permutation").then(0.3).otherwise(pl.col("p_value")).alias("p_value"))
    )
    assert (
        verdict(replace(make(12), tables=make(12).tables | {"significance": one}))
        == "more than noise; the tests disagree"
    )
    single = with_settings(make(16, tests=("sq",)), "windows", car=[[0, 0], [-1, 1]])
    assert verdicts_table(read_findings(single)).rows[0][3:] == (
        "2 of 16",
        "0.8",
        "more events moved than by chance alone",
    )


def test_the_picker_tells_path_day_0_and_losses():
    result = make(4)
    exclusions = result.tables["exclusions"].with_columns(event_id=pl.lit("deal-001"), symbol=pl.lit("S1"))
    found = read_findings(replace(result, tables=result.tables | {"exclusions": exclusions}))
    made = picker(found)
    assert made is not None
    event = made.events[1]
    facts = dict(event.facts)
    assert facts["Excluded"] == "prices, no_file: <i>x</i>"
    assert facts["Day 0"] == "2020-03-22"
    car = result.tables["cars"].filter(pl.col("event_id") == "deal-001", pl.col("window_start") == -1)["car"][0]
    assert facts["CAR [−1, 1]"].startswith(f"{100 * car:.2f} %".replace("-", "−"))
    assert [d for d, _, _ in event.path] == [-1, 0, 1]
    assert event.path[-1][2] == pytest.approx(car)
    gap = result.tables["abnormal_returns"].with_columns(
        pl.when(pl.col("relative_day") == 0).then(None).otherwise(pl.col("ar")).alias("ar")
    )
    holed = picker(read_findings(replace(result, tables=result.tables | {"abnormal_returns": gap})))
    assert holed is not None
    assert [c for _, _, c in holed.events[0].path][1:] == [None, None]


# Charts


def test_the_pooled_mean_is_that_of_a_meta_analysis():
    from statsmodels.stats.meta_analysis import combine_effects

    events = [replace(e, se=0.01 * (i + 1)) for i, e in enumerate(read_findings(make(8)).measured)]
    with np.errstate(invalid="ignore"):  # its random-effects variance, not looked at, may be below zero
        theirs = combine_effects(np.array([e.car for e in events]), np.array([e.se**2 for e in events]), method_re="dl")
        low, high = theirs.conf_int(alpha=0.05)[0]
    assert pooled_mean(events, 0.05)[0] == pytest.approx(theirs.mean_effect_fe, rel=1e-12)
    assert pooled_mean(events, 0.05)[1:] == pytest.approx((low, high), rel=1e-12)
    assert weights(events) == pytest.approx(theirs.weights_fe / theirs.weights_fe.sum())
    assert pooled_mean(events[:1], 0.05) == (None, None, None)


def test_paths_and_heat_map_hold_the_numbers_of_the_tables():
    result = make(12, listings=3)
    found = read_findings(result)
    cars = result.tables["cars"].filter(pl.col("window_start") == -1)
    paths = listing_paths(found)
    assert {s: len(p) for s, p in paths.items()} == {"S0": 4, "S1": 4, "S2": 4}
    assert paths["S0"][0][1][-1] == pytest.approx(cars.filter(pl.col("symbol") == "S0")["car"][0])
    matrix = car_matrix(found, found.measured)
    assert matrix[:, 0] == pytest.approx(np.array([e.car for e in found.measured]))
    assert matrix.shape == (12, 2)
    words = [t.get_text() for t in draw_chart(result, "car_heatmap").axes[0].texts]
    assert f"{100 * found.measured[0].car:.2f}".replace("-", "−") in words


def test_an_index_compounds():
    assert index_of(np.array([0.1, -0.5]), log=False) == pytest.approx([100, 110, 55])
    assert index_of(np.log([1.1, 0.5]), log=True) == pytest.approx([100, 110, 55])


def test_closes_and_volumes_are_kept_for_the_panel_alone(tmp_path: Path):
    series = simulated(1, ["AAA"], 120)
    rng = np.random.default_rng(3)
    close = (100 * np.cumprod(1 + np.array(series["AAA"]["return"]))).tolist()
    volume = [float(v) for v in rng.integers(1_000, 9_000, 120)]
    series["AAA"] = {"date": series["AAA"]["date"], "close": close, "volume": volume}
    events = [{"event_id": "x", "symbol": "AAA", "announced_at": series["AAA"]["date"][90]}]
    plain_run = run(make_study(tmp_path / "a", events, series))
    assert "trading" not in plain_run.tables
    result = run(make_study(tmp_path / "b", events, series, report={"charts": ["event_panel"]}))
    table = result.tables["trading"]
    assert table["close"].to_list() == pytest.approx(close[85:96])
    assert table["volume"].to_list() == volume[85:96]
    kept = golden_form(result)
    assert kept.tables["trading"].columns == ["event_id", "symbol", "relative_day", "date"]
    bars = draw_chart(result, "event_panel").axes[1].patches
    assert [b.get_height() for b in bars] == volume[85:96]
    with pytest.raises(SpecError, match='"y" is no event of the study'):
        about_event(result, "y")


def test_a_page_tells_numbers_where_the_chart_has_them():
    result = small(12)
    figure = draw_chart(result, "caar_path")
    spoken = told(figure)
    averages = result.tables["averages"].filter(pl.col("group") == "all")
    assert [text.split("\n")[0] for _, _, text in spoken] == [
        f"day {d}: CAAR {100 * c:.2f}\u00a0%".replace("-", "−")
        for d, c in averages.select("relative_day", "caar").rows()
    ]
    width, height = 72 * figure.get_size_inches()
    assert all(0 < x < width and 0 < y < height for x, y, _ in spoken)
    assert memo_html(result).count('class="hit"') == 2 * (len(spoken) + len(told(draw_chart(result, "car_forest"))))


# Themes

THEME = """
[fonts]
charts = "DejaVu Serif"
[colours]
main = "#AA0000"
groups = ["#111111"]
[sizes]
width = 5
page = "us-letter"
"""


def test_a_theme_changes_colours_fonts_and_width(tmp_path: Path):
    path = tmp_path / "house.toml"
    path.write_text(THEME, encoding="utf-8")
    theme, result = read_theme(path), small(12)
    svg = render_chart(result, "caar_path", "svg", theme).decode()
    assert "#aa0000" in svg
    assert "#0072b2" not in svg
    assert "#111111" in svg
    assert "#d55e00" not in svg
    assert "#009e73" in svg  # the second group keeps the house's colour
    assert 'viewBox="0 0 360 ' in svg
    assert svg != render_chart(result, "caar_path", "svg", replace(theme, fonts=HOUSE.fonts)).decode()
    assert render_chart(result, "caar_path", "svg") == render_chart(result, "caar_path", "svg", HOUSE)
    page = pypdfium2.PdfDocument(memo_files(result, ["pdf"], theme)["memo.pdf"])[0]
    assert page.get_size() == pytest.approx((612, 792), abs=1)
    assert "letterpaper" in latex_of(build(read_findings(result)), theme)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[colors]\n", 'unknown table "colors". Did you mean "colours"'),
        ("[colours]\nmian = 1\n", r'\[colours\] unknown key "mian". Did you mean "main"'),
        ('[colours]\nmain = "red"\n', "should be a colour like"),
        ("[colours]\ngroups = []\n", "one to four colours"),
        ("[sizes]\nwidth = 99\n", "a number from 4 to 12"),
        ('[sizes]\npage = "a5"\n', "one of a4, us-letter"),
        ('[fonts]\ntext = "x\\";}"\n', "the name of a font family"),
        ("fonts = 1\n", r"\[fonts\] should be a table"),
        ("[", "is not valid TOML"),
        (f"x = {'[' * 5000}{']' * 5000}", "more than 50 deep"),
        (f"x = {'9' * 5000}", "a whole number of thousands of digits"),
        (f"[sizes]\nwidth = 0x{'f' * 5000}", "a whole number of thousands of digits"),
        (f"[fonts]\ntext{'.a' * 3000} = 1", "more than 50 deep"),
        (f"[fonts]\n{'a' * 9000} = 1", f'unknown key "{"a" * 120}"'),
    ],
)
def test_a_wrong_theme_is_explained(text: str, said: str, tmp_path: Path):
    path = tmp_path / "t.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=said):
        read_theme(path)


def test_tables_alone_have_notes_and_hold_their_label():
    table = wide_table(read_findings(small()))
    text = latex_table(table)
    assert text.startswith("\\begin{table}")
    assert "\\label{tab:wide}" in text
    assert "\\toprule" in text
    assert "\\textsuperscript{***}" in text or "\\textsuperscript{**}" in text
    assert csv_of(table).startswith("Group,Line,")


# From Python, and from the command line


def test_the_worked_example_runs(tmp_path: Path):
    root = Path(__file__).parents[1]
    command = [sys.executable, str(root / "docs" / "in_python.py"), str(tmp_path / "made")]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "had a mean CAR of -1.67 %" in made.stdout
    assert "-0.037" in made.stdout  # stock
    assert {p.name for p in (tmp_path / "made").iterdir()} == {
        "memo.html",
        "memo.xlsx",
        "car_heatmap.svg",
        "caar_path.png",
    }


def test_a_figure_shows_itself_in_a_notebook():
    figure = draw_chart(small(), "caar_path")
    assert figure._repr_png_() == render_chart(small(), "caar_path", "png")
