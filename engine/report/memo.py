"""The memo: the same context poured into a Markdown and an HTML template, and the files of a report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import SpecError, hint
from engine.report import CHARTS, FORMATS
from engine.report.advice import Advice, advise
from engine.report.answers import answer, caveats
from engine.report.backtest import backtest_table, backtest_title, backtest_words, trades_table
from engine.report.certificate import (
    certificate_table,
    certificate_words,
    detectable_table,
    has_certificate,
    mark_note,
    verdict_words,
    verdicts_table,
)
from engine.report.deals import deal_tests_table, deal_words, deals_table, named_windows_table
from engine.report.drivers import differences_table, quantiles_table, regression_table
from engine.report.findings import Findings, count, read_findings, span_text
from engine.report.formats import FEWEST_FOR_STARS, level_text, markdown_text, one_line, shortened, typeset
from engine.report.influence import flagged_table, in_window_lines, influence_table
from engine.report.long_horizon import (
    calendar_time_table,
    calendar_time_words,
    long_window_words,
    long_windows_table,
    rats_table,
)
from engine.report.provenance import provenance_table, quality_lines, quality_table, settings_table
from engine.report.specifications import specification_table, specification_words, specifications_title
from engine.report.surroundings import facts, first_rows_table, kinds_table, surroundings_words
from engine.report.tables import (
    Table,
    all_tests_table,
    events_table,
    exclusions_table,
    flags_table,
    main_table,
    windows_table,
)
from engine.report.titles import (
    caar_title,
    calendar_time_title,
    forest_title,
    partial_title,
    placebo_title,
    power_title,
    size_title,
    timeline_title,
    venue_title,
)
from engine.report.wording import (
    OUTCOMES,
    formula_of_covariance,
    formula_of_model,
    formula_of_test,
    formulas_in_calendar_time,
    outcome_of,
)
from engine.results import StudyResult
from engine.spec.claims import CERTIFICATE_CHARTS

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure

TITLES = {
    "caar_path": caar_title,
    "car_forest": forest_title,
    "crosssection_partial": partial_title,
    "event_timeline": timeline_title,
    "venue_days": venue_title,
    "calendar_time": calendar_time_title,
    "specification_curve": specifications_title,
    "equity_curve": backtest_title,
    "size_plot": size_title,
    "power_curve": power_title,
    "placebo_caar": placebo_title,
}


def draw_chart(result: StudyResult, name: str) -> Figure:
    """Chart ``name`` of `CHARTS` as a figure. Raises SpecError for one that does not exist."""
    if name not in CHARTS:
        raise SpecError(f'"{name}" is not a chart. {hint(name, CHARTS)}')
    from engine.report.style import style

    module, function = CHARTS[name].split(":")
    with style():
        figure: Figure = getattr(import_module(module), function)(read_findings(result))
    return figure


def save_chart(figure: Figure, fmt: str) -> bytes:
    """A figure as bytes of ``fmt``. Raises SpecError for a format that does not exist."""
    if fmt not in FORMATS:
        raise SpecError(f'"{fmt}" is not a chart format. {hint(fmt, FORMATS)}')
    from engine.report.style import save

    return save(figure, fmt)


def charts_of(result: StudyResult) -> list[str]:
    """The charts that the study asks for, in its order, each once; with a certificate those of it too."""
    certified = CERTIFICATE_CHARTS if "certificate" in result.tables else ()
    return list(dict.fromkeys((*result.manifest["settings"]["report"]["charts"], *certified)))


def chart_svgs(result: StudyResult) -> dict[str, bytes]:
    """The study's charts as SVG."""
    return {name: save_chart(draw_chart(result, name), "svg") for name in charts_of(result)}


def write(result: StudyResult, folder: Path) -> None:
    """Write memo and charts; each chart is drawn once."""
    charts = folder / "charts"
    charts.mkdir(parents=True, exist_ok=True)
    svgs = {}
    for name in charts_of(result):
        figure = draw_chart(result, name)
        svgs[name] = save_chart(figure, "svg")
        (charts / f"{name}.svg").write_bytes(svgs[name])
        (charts / f"{name}.png").write_bytes(save_chart(figure, "png"))
    (folder / "memo.md").write_text(markdown(result), encoding="utf-8", newline="\n")
    (folder / "memo.html").write_text(html(result, svgs), encoding="utf-8", newline="\n")


def markdown(result: StudyResult) -> str:
    """The memo as Markdown."""
    environment = _environment(autoescape=False)
    text = environment.get_template("memo.md.j2").render(_context(result))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def html(result: StudyResult, svgs: Mapping[str, bytes]) -> str:
    """The memo as one HTML page with ``svgs`` inside it."""
    from markupsafe import Markup

    inline = {name: Markup(inline_svg(name, svg)) for name, svg in svgs.items()}
    return _environment(autoescape=True).get_template("memo.html.j2").render(_context(result), svgs=inline) + "\n"


def inline_svg(name: str, svg: bytes) -> str:
    """An SVG for use inside HTML: no prolog, no comments, ids that are unique on the page, size left to the page."""
    text = svg.decode("utf-8")
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text).replace("url(#", f"url(#{name}-")
    size = re.search(r'<svg [^>]*?viewBox="([^"]*)"', text)
    box = size.group(1) if size else "0 0 468 324"
    start = (
        f'<svg viewBox="{box}" role="img" aria-labelledby="{name}-caption" stroke-linejoin="round" stroke-linecap="butt" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"[ \t]*\n\s*", "\n", start + text[text.index(">") + 1 :]).strip()


def _environment(autoescape: bool) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("engine.report"), autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["md"] = markdown_text
    environment.filters["minus"] = typeset
    environment.filters["table"] = table_markdown
    environment.filters["hang"] = _hanging
    return environment


def _hanging(cell: str) -> Markup:
    """A numeric cell whose stars or closing parenthesis hang beside the column, so that the digits stand in line."""
    from markupsafe import Markup

    marks = re.search(r"(\*+|\))$", cell)
    if marks is None:
        return Markup.escape(cell)
    return Markup('{}<span class="h">{}</span>').format(cell[: marks.start()], marks.group())


def _context(result: StudyResult) -> dict[str, Any]:
    """Everything the templates print: text, `Table` objects, and nothing to compute."""
    found = read_findings(result)
    settings = found.settings
    return {
        "title": one_line(settings["title"]),
        "question": one_line(settings["question"]),
        "answer": answer(found),
        "verdict_words": verdict_words(found),
        "verdicts": verdicts_table(found),
        "certificate_words": certificate_words(found),
        "certificate": certificate_table(found),
        "detectable": detectable_table(found),
        "caveats": caveats(found),
        "window": str(found.window),
        "noun": found.noun,
        "measure": f"Mean CAR {span_text(found.window)}",
        "main": main_table(found),
        "tests": all_tests_table(found),
        "note_on_tests": note_on_tests(found),
        "events": events_table(found),
        "windows": windows_table(found),
        "regression": regression_table(found),
        "differences": differences_table(found),
        "quantiles": quantiles_table(found),
        "charts": [(n, TITLES[n](found)) for n in charts_of(result) if n not in CERTIFICATE_CHARTS],
        "certificate_charts": [(n, TITLES[n](found)) for n in charts_of(result) if n in CERTIFICATE_CHARTS],
        "long_windows": long_windows_table(found),
        "long_words": long_window_words(found),
        "calendar_time": calendar_time_table(found),
        "calendar_words": calendar_time_words(found),
        "rats": rats_table(found),
        "deal_words": deal_words(found),
        "deals": deals_table(found),
        "named_windows": named_windows_table(found),
        "deal_tests": deal_tests_table(found),
        "in_window": in_window_lines(found),
        "influence": influence_table(found),
        "flagged": flagged_table(found),
        "specification_words": specification_words(found),
        "specifications": specification_table(found),
        "backtest_words": backtest_words(found),
        "backtest": backtest_table(found),
        "trades": trades_table(found),
        "advice": study_advice(found),
        "advice_read": _ran(found, study_advice(found).read),
        "advice_careful": _ran(found, study_advice(found).careful),
        "surroundings": surroundings_words(found),
        "kinds": kinds_table(found),
        "first_rows": first_rows_table(found),
        "exclusions": exclusions_table(found),
        "pairs": result.manifest["pairs"],
        "flags": flags_table(found),
        "settings": settings_table(found),
        "methods": methods(found),
        "limits": limits(found),
        "provenance": provenance_table(found),
        "quality": quality_table(found),
        "quality_lines": quality_lines(found),
    }


def study_advice(found: Findings) -> Advice:
    """`advise` for the measured events of the study."""
    events = found.measured
    longest = max(len(w) for w in found.windows)
    return advise(
        [e.event_day for e in events], [e.symbol for e in events], longest, len(found.windows), len(found.groups),
        facts(found), found.settings["significance"]["tests"],
    )  # fmt: skip


def which_tests(found: Findings) -> str:
    """The advice in two sentences: what the study is, and the tests that fit it."""
    if not found.measured:
        return ""
    advice = study_advice(found)
    careful = f"; not alone: {', '.join(_ran(found, advice.careful))}" if advice.careful else ""
    return f"{advice.case}: {advice.shape}. Read first: {', '.join(_ran(found, advice.read))}{careful}."


def _ran(found: Findings, tests: Iterable[str]) -> list[str]:
    """The tests that this version has, with a remark behind those that the study did not run."""
    from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS

    asked = set(found.settings["significance"]["tests"])
    known = asked | set(SIGNIFICANCE_TESTS) | set(EVENT_TESTS)
    return [t if t in asked else f"{t} (not run here)" for t in tests if t in known]


def note_on_tests(found: Findings) -> str:
    """What the table of tests shows and does not."""
    return (
        f"All {found.noun}s, window {found.window}, {found.alternative}, level {level_text(found.alpha)}. Holm p: over the "
        f"{count(len(found.windows), 'window')} of the study for that test, not over tests or groups. The primary test was "
        "fixed in study.toml by standing first; the others are for judging how much the answer hangs on it."
        + (f" {mark_note(found)}" if has_certificate(found) else "")
    )


def methods(found: Findings) -> list[tuple[str, str]]:
    """Name and formula with citation of the model, of every test, covariance and portfolio of the study."""
    model = str(found.settings["model"]["name"])
    crosssection = found.settings.get("crosssection") or {"covariance": []}
    return [
        (model, formula_of_model(model)),
        *[(t, formula_of_test(t)) for t in found.settings["significance"]["tests"]],
        *[(c, formula_of_covariance(c)) for c in crosssection["covariance"]],
        *formulas_in_calendar_time(found.settings),
    ]


def limits(found: Findings) -> list[str]:
    """What the numbers cannot say, for every study, and for this one."""
    snapshot = found.result.manifest["snapshot"]
    settings = found.settings
    said = [f"Data: {one_line(snapshot['limits'])}."] if snapshot.get("limits") else []
    outcome = outcome_of(settings)
    if outcome:
        name, unit = OUTCOMES[outcome]
        said.append(
            f"This study measures {name}: abnormal return, CAR and % stand for {unit}; there is no buy-and-hold return."
        )
    overlapping = overlapping_events(found)
    if overlapping and not settings["events"].get("joint"):
        said.append(
            f"{overlapping} {found.noun}s have an event window that overlaps with that of another event of the same "
            "listing; their abnormal returns are counted in both."
        )
    small = [g for g in found.groups if 0 < _size(found, g) < FEWEST_FOR_STARS]
    if small and len(found.groups) > 1:
        names = ", ".join(shortened(g, 40) for g in small)
        said.append(f"Groups with fewer than {FEWEST_FOR_STARS} events carry no stars and are descriptive: {names}.")
    if found.settings.get("crosssection"):
        said.append(
            "A regression describes how CARs and attributes go together; attributes are not assigned by chance."
        )
    said.append(
        f"Abnormal returns are relative to the {settings['model']['name']} model: what else moved the share in the window is in "
        "them, and events that the calendar does not name are not looked for."
    )
    if not outcome:
        said.append(
            "A mean CAR is a reaction of prices at the announcement, not the value of the deal or policy itself."
        )
    return said


def _size(found: Findings, group: str) -> int:
    rows = found.group_rows(group)
    return (
        int(rows[0]["n"]) if rows else sum(1 for e in found.measured if group in ("all", f"{found.column}={e.group}"))
    )


def overlapping_events(found: Findings) -> int:
    """How many events share a session of their event window with another event of the same listing."""
    table = found.result.tables.get("abnormal_returns")
    if table is None:
        return 0
    spans: dict[str, list[tuple[Any, Any, str]]] = {}
    bounds: dict[tuple[str, str], list[Any]] = {}
    for event_id, symbol, day in table.select("event_id", "symbol", "date").rows():
        if day is not None:
            bounds.setdefault((event_id, symbol), []).append(day)
    for (event_id, symbol), days in bounds.items():
        spans.setdefault(symbol, []).append((min(days), max(days), event_id))
    hit = set()
    for symbol, own in spans.items():
        own.sort()
        reach, holder = None, ""
        for first, last, event_id in own:
            if reach is not None and first <= reach:
                hit |= {(symbol, holder), (symbol, event_id)}
            if reach is None or last > reach:
                reach, holder = last, event_id
    return len(hit)


def table_markdown(table: Table) -> str:
    """A `Table` as a Markdown table; every cell is literal text."""
    rule = ["---:" if n else "---" for n in table.numeric]
    rows = [[markdown_text(c) for c in row] for row in table.rows]
    for i, row in enumerate(rows):
        if table.kind(i) == "head" and row[0]:
            row[0] = f"*by {row[0]}*"
    lines = [[markdown_text(c) for c in table.columns], rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
