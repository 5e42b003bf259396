"""The sections that every memo has: answer, verdicts, results, events, exclusions, methods, limits and provenance.

A section is a function of the findings that returns a `Section`, or None where the study has nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.report import equations
from engine.report.advice import Advice, advise
from engine.report.answers import answer, caveats, measured_note
from engine.report.certificate import has_certificate, mark_note
from engine.report.claims import claim_points, claims_answer
from engine.report.document import Chart, Heading, Section, Term, Terms, Text, paragraph, points, section
from engine.report.findings import Findings, count, span_text
from engine.report.formats import FEWEST_FOR_STARS, level_text, one_line, shortened
from engine.report.picker import picker
from engine.report.provenance import provenance_table, quality_lines, quality_table, settings_table
from engine.report.surroundings import facts
from engine.report.tables import (
    all_tests_table,
    events_table,
    exclusions_table,
    flags_table,
    main_table,
    verdicts_table,
    windows_table,
)
from engine.report.titles import TITLES
from engine.report.wording import (
    OUTCOMES,
    formula_of_covariance,
    formula_of_model,
    formula_of_test,
    formulas_in_calendar_time,
    outcome_of,
)
from engine.spec.claims import CERTIFICATE_CHARTS


def charts_of(found: Findings) -> list[str]:
    """The charts that the study asks for, in its order, each once, the first is the main one; and those of a certificate."""
    certified = CERTIFICATE_CHARTS if has_certificate(found) else ()
    return list(dict.fromkeys((*found.settings["report"]["charts"], *certified)))


def chart(found: Findings, name: str) -> Chart:
    """A chart with its finding."""
    return Chart(name, one_line(TITLES[name](found)))


def answer_section(found: Findings) -> Section | None:
    """The question, the answer in one sentence with its uncertainty, and what to hold against it.

    A study with claims answers its primary claims first, then each claim, then says what the whole sample did.
    """
    held, claims = caveats(found), claims_answer(found)
    question = one_line(found.settings["question"])
    return section(
        "",
        Text(question, "question") if question else None,
        Text("Answer", "label"),
        Text(" ".join(text for text in (claims or answer(found), measured_note(found)) if text), "answer"),
        points(claim_points(found)),
        Text("The whole sample", "label") if claims else None,
        Text(answer(found)) if claims else None,
        Text("What to hold against it", "label") if held else None,
        points(held),
    )


def verdict_section(found: Findings) -> Section | None:
    """What can be said of every group at the primary window."""
    return section(
        "Verdict", verdicts_table(found).shown("verdict", f"Verdict by group {span_text(found.window)}", "verdict")
    )


def main_chart_section(found: Findings) -> Section | None:
    """The first chart of the study."""
    return section("", *[chart(found, name) for name in charts_of(found)[:1]])


def results_section(found: Findings) -> Section | None:
    """The mean CAR of every group in every window."""
    return section(
        "Result by window and group",
        main_table(found).shown("windows-and-groups", "Mean CAR by window and group, %", "main"),
    )


def tests_section(found: Findings) -> Section | None:
    """Every test of the whole sample at the primary window."""
    table = all_tests_table(found)
    if not table.rows:
        return section("All tests", Text("The study asks for no test of the whole sample."))
    return section(
        f"All tests, window {found.window}",
        table.shown("tests", f"Every test of the mean CAR {span_text(found.window)}", "tests"),
        Text(note_on_tests(found), "note"),
    )


def events_section(found: Findings) -> Section | None:
    """Every event and listing, then the charts of single events."""
    windows = windows_table(found)
    return section(
        f"Every {found.noun}",
        picker(found),
        events_table(found).shown("events", f"Every {found.noun}, CAR {span_text(found.window)}", "dense events"),
        Heading("In every window") if windows else None,
        windows.shown("events-and-windows", f"CAR of every {found.noun} in every window, %", "dense")
        if windows
        else None,
    )


def advice_section(found: Findings) -> Section | None:
    """Which tests fit the shape of the study."""
    advice = study_advice(found)
    said = [f"This study: {advice.case} ({advice.shape}).", f"Read first: {', '.join(ran(found, advice.read))}."]
    if advice.careful:
        said.append(f"Not alone: {', '.join(ran(found, advice.careful))}.")
    return section("Which test when", paragraph(said), points(advice.remarks))


def exclusions_section(found: Findings) -> Section | None:
    """Every loss with its reason, and the flags of the calendar."""
    pairs, table, flags = found.result.manifest["pairs"], exclusions_table(found), flags_table(found)
    said = [f"{pairs['calendar']} (event, symbol) pairs in the calendar, {pairs['used']} used."]
    said += [] if table else ["Exclusions: none."]
    return section(
        "Exclusions",
        paragraph(said),
        table.shown("exclusions", "Exclusions and their reasons", "losses") if table else None,
        Heading("Flags of the calendar") if flags else None,
        flags.shown("flags", "Flags of the calendar") if flags else Text("No event carries a flag."),
    )


def methods_section(found: Findings) -> Section | None:
    """The formula and source of everything that the study really uses."""
    return section("Methods", Terms(methods(found)))


def limits_section(found: Findings) -> Section | None:
    """What the numbers cannot say."""
    return section("Limits", points(limits(found)))


def provenance_section(found: Findings) -> Section | None:
    """Hashes, versions, seed, every setting, and the prices used."""
    quality, lines = quality_table(found), quality_lines(found)
    return section(
        "Provenance",
        provenance_table(found).shown("provenance", "Inputs, versions and seed", "keys"),
        Heading("Settings"),
        settings_table(found).shown("settings", "Every setting with the value used", "keys"),
        Heading("Prices: what the quality report found") if lines else None,
        points(lines),
        Heading("Prices used") if quality else None,
        quality.shown("prices", "Prices used", "dense") if quality else None,
    )


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
    careful = f"; not alone: {', '.join(ran(found, advice.careful))}" if advice.careful else ""
    return f"{advice.case}: {advice.shape}. Read first: {', '.join(ran(found, advice.read))}{careful}."


def ran(found: Findings, tests: Iterable[str]) -> list[str]:
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


def methods(found: Findings) -> tuple[Term, ...]:
    """Name and formula with citation of the model, of every test, covariance and portfolio of the study."""
    settings = found.settings
    model, tests = str(settings["model"]["name"]), settings["significance"]["tests"]
    covariances = (settings.get("crosssection") or {"covariance": []})["covariance"]
    made = [Term(model, formula_of_model(model), equations.MODELS.get(model, ""))]
    made += [Term(*words) for words in equations.abnormal_formulas(settings)]
    made += [Term(t, formula_of_test(t), equations.formula_of(t, found.alternative)) for t in tests]
    made += [Term(c, formula_of_covariance(c), equations.COVARIANCES.get(c, "")) for c in covariances]
    made += [Term(name, text) for name, text in formulas_in_calendar_time(settings)]
    return tuple(Term(one_line(t.name), one_line(t.text), t.formula) for t in made)


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
