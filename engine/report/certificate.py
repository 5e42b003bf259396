"""What the certificate says, in tables and words, and the mark of tests that do not hold their size."""

from __future__ import annotations

from typing import Any

from engine.report.document import Section, Table, Text, section
from engine.report.findings import Findings, Row, count, span_text
from engine.report.formats import NOTHING, fixed, is_number, level_text, listed, one_line, p_text, percent
from engine.sessions import Window

MARK = "†"
AS_THEY_ARE, SCALED, RUNUP = "as_they_are", "scaled", "runup_matched"
JUDGED = (AS_THEY_ARE, SCALED)  # a test is good only if it holds its size under both
NULL_WORDS = {AS_THEY_ARE: "as they are", SCALED: "spread as in the window", RUNUP: "after a like run-up"}


def has_certificate(found: Findings) -> bool:
    """Whether the result has a certificate."""
    return "certificate" in found.result.tables


def certificate_of(
    found: Findings, window: Window, kind: str = "group", group: str = "all"
) -> dict[tuple[str, str], Row]:
    """The rows of one window by (test, null)."""
    if not has_certificate(found):
        return {}
    here = found.result.tables["certificate"].filter(
        group=group, window_start=window.start, window_end=window.end, kind=kind
    )
    return {(r["test"], r["null"]): r for r in here.to_dicts()}


def outside(
    found: Findings, test: str, window: Window | None = None, kind: str = "group", group: str = "all"
) -> bool:  # fmt: skip
    """Whether a test is certified for a group and does not hold its size in a window."""
    rows = certificate_of(found, found.window if window is None else window, kind, group)
    return any(rows.get((test, null), {}).get("holds") not in (None, "yes") for null in JUDGED)


def marked(found: Findings, test: str, window: Window | None = None, kind: str = "group", group: str = "all") -> str:
    """``" †"`` behind a test that is `outside`, else ""."""
    return f" {MARK}" if outside(found, test, window, kind, group) else ""


def mark_note(found: Findings) -> str:
    """What the mark says; "" without a certificate."""
    if not has_certificate(found):
        return ""
    return (
        f"{MARK} does not hold its size on this study's own data: judged are the whole sample and the groups of claims."
    )


def certificate_table(found: Findings) -> Table | None:
    """Size, calibrated p and smallest effect of every test at the primary window; None without a certificate."""
    rows: list[tuple[str, ...]] = []
    for kind in ("group", "event"):
        here = certificate_of(found, found.window, kind)
        tests = [t for t in found.settings["significance"]["tests"] if (t, AS_THEY_ARE) in here]
        rows += [_certificate_row(found, t, kind, {null: here[t, null] for null in NULL_WORDS}) for t in tests]
    if not rows:
        return None
    columns = (
        "Test",
        "p",
        "p cal.",
        "p cal., spread",
        "Size %",
        "Size %, spread",
        "Size %, run-up",
        "MDE %",
        "Power 1 %",
    )
    power = _power_effect(found)
    columns = (*columns[:-1], f"Power {percent(power, 1)} %" if power is not None else "Power")
    return Table(columns, (False, *[True] * 8), tuple(rows), (), _certificate_notes(found))


def _certificate_row(found: Findings, test: str, kind: str, rows: dict[str, Row]) -> tuple[str, ...]:
    plain, scaled, runup = rows[AS_THEY_ARE], rows[SCALED], rows[RUNUP]
    mde = percent(scaled["mde"]) + (f" ± {percent(scaled['mde_error'])}" if is_number(scaled["mde_error"]) else "")
    power = _power(found, test, kind, found.window)
    return (
        f"{test}{', one event' if kind == 'event' else ''}{marked(found, test, None, kind)}",
        p_text(plain["p_formula"]), p_text(plain["p_calibrated"]), p_text(scaled["p_calibrated"]), _size(plain),
        _size(scaled), _size(runup), mde, power,
    )  # fmt: skip


def _size(row: Row) -> str:
    """The size in percent, marked where the band leaves out the level."""
    return percent(row["size"], 1) + (f" {MARK}" if row["holds"] not in (None, "yes") else "")


def _power_effect(found: Findings) -> float | None:
    """The effect at which the table tells the power: 1 %, or the study's effect nearest to it."""
    effects = [abs(e) for e in found.result.tables["power"]["effect"].to_list()] if has_certificate(found) else []
    return min(effects, key=lambda e: (abs(e - 0.01), e), default=None)


def _power(found: Findings, test: str, kind: str, window: Window) -> str:
    effect = _power_effect(found)
    for row in found.result.tables["power"].to_dicts():
        place = (row["group"], row["window_start"], row["window_end"], row["kind"], row["test"])
        if place == ("all", window.start, window.end, kind, test) and abs(row["effect"]) == effect:
            return percent(row["power"], 0)
    return NOTHING


def _certificate_notes(found: Findings) -> tuple[str, ...]:
    rows = certificate_of(found, found.window)
    judged = [r for (_, null), r in rows.items() if null == AS_THEY_ARE and r["size"] is not None]
    reasons = sorted({r["unavailable"] for (_, null), r in rows.items() if null == AS_THEY_ARE and r["unavailable"]})
    drawn: dict[str, Any] = found.result.manifest.get("pseudo_samples", {})
    said = [
        f"Notes: window {found.window}; sizes at {level_text(found.alpha)}. Cal.: where the study's p stands among those at "
        f"pseudo-dates. Spread: abnormal returns with mean zero and the extra spread of the window. MDE: the smallest effect, on "
        f"{_day_words(found.window)}, found in 80 % of the draws with the critical p of the spread null, ± its Monte Carlo error."
    ]
    if judged:
        apart = min(r["apart"] for r in judged)
        said.append(
            f"{MARK} the 99 % band of the size leaves out {level_text(found.alpha)}; the bands allow for {apart} pseudo-windows "
            f"side by side, whatever the number of draws."
        )
    if drawn:
        first, last = drawn["runup"]
        said.append(
            f"Run-up: pseudo-dates whose run-up over [{first}, {last}] is among the {level_text(drawn['runup_share'])} nearest "
            f"to the event's. Seed {drawn['seed']}."
        )
    return (*said, *[f"Not certified: {one_line(reason)}." for reason in reasons])


def _day_words(window: Window) -> str:
    day = min(max(0, window.start), window.end)
    return f"day {day}"


def detectable_table(found: Findings) -> Table | None:
    """The smallest effect and the size in every window, tests in rows; None for one window or without a certificate."""
    if not has_certificate(found) or len(found.windows) < 2:
        return None
    cells = {w: certificate_of(found, w) for w in found.windows}
    tests = [t for t in found.settings["significance"]["tests"] if (t, SCALED) in cells[found.window]]
    rows, kinds = [], []
    for test in tests:
        each = [cells[w].get((test, SCALED)) for w in found.windows]
        if all(r is None or r["size"] is None for r in each):
            continue
        rows.append((test, *[percent(r["mde"]) if r else NOTHING for r in each]))
        rows.append(("", *[f"({_size(r)})" if r else NOTHING for r in each]))
        kinds += ["", "sub"]
    scales = ", ".join(
        f"{fixed(next((r['scale'] for (_, null), r in cells[w].items() if null == SCALED and r['scale']), None))} in {w}"
        for w in found.windows
    )
    notes = (
        f"Notes: smallest effect in % that is found in 80 % of the draws, in parentheses the size in % with the extra spread. "
        f"Spread of the events in the window over that of estimation days, at least 1: {scales}.",
    )
    if not rows:
        return None
    columns = ("Test", *map(str, found.windows))
    return Table(columns, (False, *[True] * len(found.windows)), tuple(rows), tuple(kinds), notes)


def certificate_words(found: Findings) -> list[str]:
    """What the certificate is, and what it says, in sentences."""
    if not has_certificate(found):
        return []
    rows = certificate_of(found, found.window)
    tests = [t for t, null in rows if null == AS_THEY_ARE and rows[t, null]["size"] is not None]
    drawn = next((rows[t, AS_THEY_ARE] for t in tests), None)
    said = ["How the tests of this study behave on its own data, at dates on which nothing happened."]
    if drawn is not None:
        dates = count(drawn["pseudo_dates"], "pseudo-date")
        said.append(
            f"{drawn['draws']} draws of the same listings, same-date events together, the model fitted again at each "
            f"({dates} at the event that has fewest)."
        )
    good = [t for t in found.settings["significance"]["tests"] if t in tests and not outside(found, t)]
    if tests:
        number = f"{count(len(good), 'test')} of {len(tests)}" if good else f"none of {count(len(tests), 'test')}"
        verb = "hold their size" if len(good) > 1 else "holds its size"
        said.append(
            f"{span_text(found.window).capitalize()}, {number} {verb}" + (f": {listed(good)}." if good else ".")
        )
    return said


def certificate_section(found: Findings) -> Section | None:
    """How the tests behave on the study's own data."""
    table, windows = certificate_table(found), detectable_table(found)
    if table is None:
        return None
    return section(
        "Certificate: how the tests behave here",
        Text(" ".join(certificate_words(found))),
        table.shown("certificate", f"Size, calibrated p and power of every test {span_text(found.window)}", "dense"),
        windows.shown("detectable", "The smallest effect found in 80 % of the draws, by window, %", "dense")
        if windows
        else None,
    )
