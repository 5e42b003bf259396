"""What a study says of its claims: a sentence each, with estimate, p-values and what to hold against its test; and the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.report.certificate import AS_THEY_ARE, MARK, SCALED, certificate_of, marked, outside
from engine.report.document import Section, Table, section
from engine.report.findings import Findings, Row, count, span_text
from engine.report.formats import NOTHING, is_number, level_text, listed, one_line, p_equals, p_text, percent, shortened
from engine.report.tables import group_name
from engine.sessions import Window
from engine.ties import rejects

SUPPORTED, CONTRADICTED, NOISE = VERDICTS = ("supported", "contradicted", "not distinguishable from noise")


def verdict_rows(found: Findings) -> list[Row]:
    """The rows of the verdicts, claims in the order of the study; none without claims."""
    if "verdicts" not in found.result.tables:
        return []
    order = {name: i for i, name in enumerate(found.result.manifest.get("claims", []))}
    rows = found.result.tables["verdicts"].to_dicts()
    return sorted(rows, key=lambda r: (order.get(r["claim"], len(order)), r["claim"], r["part"]))


def by_claim(found: Findings) -> dict[str, list[Row]]:
    """The parts of every claim by its name, the primary claims first."""
    rows = sorted(verdict_rows(found), key=lambda r: r["primary"] != "yes")
    return {name: [r for r in rows if r["claim"] == name] for name in dict.fromkeys(r["claim"] for r in rows)}


def claims_answer(found: Findings) -> str:
    """The verdict of the primary claims in one sentence, with estimates and intervals; "" without claims.

    One claim alone is told with all that is known of it, several with the numbers that matter most.
    """
    claims = by_claim(found)
    primary = {name: rows for name, rows in claims.items() if rows[0]["primary"] == "yes"}
    if len(claims) == 1:
        return claim_words(found, next(iter(claims.values())))
    if not primary:
        return ""
    said, named = [], False
    order = sorted(primary.values(), key=lambda rows: VERDICTS.index(rows[0]["verdict"]))
    for verdict in dict.fromkeys(verdict_words(rows, found.alpha) for rows in order):
        own = [rows for rows in order if verdict_words(rows, found.alpha) == verdict]
        numbers = [_in_short(found, rows, first=not named and i == 0) for i, rows in enumerate(own)]
        said.append(f"{listed(numbers)} {'is' if len(own) == 1 else 'are'} {verdict}")
        named = True
    start = "The one primary claim" if len(primary) == 1 else f"Of {len(primary)} claims"
    return f"{start}{':' if len(primary) == 1 else ','} {'; '.join(said)}."


def verdict_words(rows: Sequence[Row], alpha: float) -> str:
    """The verdict on a claim, with what the calibrated p makes of it."""
    verdict = str(rows[0]["verdict"])
    column = "p_opposite_calibrated" if verdict == CONTRADICTED else "p_calibrated"
    known = [row[column] for row in rows if is_number(row[column])]
    if verdict == NOISE or not known or rejects(max(known), alpha):
        return verdict
    return f"{verdict} by its own p, not by the calibrated one ({p_text(max(known))})"


def claim_points(found: Findings) -> tuple[str, ...]:
    """A sentence for every claim, where there are several."""
    claims = by_claim(found)
    return tuple(claim_words(found, rows, alone=False) for rows in claims.values()) if len(claims) > 1 else ()


def _in_short(found: Findings, rows: Sequence[Row], first: bool) -> str:
    """``C7 (mean CAR 5.20 %, 95 % interval 2.03 to 8.36 %)``; the units are told once."""
    parts = []
    for i, row in enumerate(rows):
        told = first and i == 0
        unit, word = ("mean CAR ", f"{level_text(1 - found.alpha)} interval ") if told else ("", "")
        part = f"{part_words(row)}: " if len(rows) > 1 else ""
        span = f", {word}{percent(row['ci_low'])} to {percent(row['ci_high'])} %" if is_number(row["ci_low"]) else ""
        parts.append(f"{part}{unit}{percent(row['estimate'])} %{span}" if is_number(row["estimate"]) else "no answer")
    after = f"; {rows[0]['changed']}" if rows[0]["changed"] else ""
    return f"{rows[0]['claim']} ({'; '.join(parts)}{after})"


def part_words(row: Row) -> str:
    """What tells a part of a claim from the others: its sample, or its window."""
    name = str(row["group"]).removeprefix("sample=")
    return one_line(name) if name != row["group"] else f"[{row['window_start']}, {row['window_end']}]"


def claim_words(found: Findings, rows: Sequence[Row], alone: bool = True) -> str:
    """Statement, verdict, the numbers of each part, and what to hold against its test. alone: with all of the numbers, for the
    first sentence of a memo; else with those that no table beside it has to explain."""
    first = rows[0]
    secondary = "" if first["primary"] == "yes" else ", secondary"
    parts = len(rows) > 1
    tests = [(_evidence if alone else _briefly)(found, row, f"{part_words(row)}: " if parts else "") for row in rows]
    changed = f" ({first['changed']})" if first["changed"] else ""
    statement = one_line(first["statement"]).rstrip(".")
    said = (*tests, *_corrected(found, first), *_detectable(rows), *_reservations(found, rows))
    return f"{statement} ({first['claim']}{secondary}): {verdict_words(rows, found.alpha)}{changed}; {'; '.join(said)}."


def _evidence(found: Findings, row: Row, part: str) -> str:
    """The estimate of one part with its interval, and its p-values in the direction that the verdict is about."""
    if row["unavailable"] or not is_number(row["estimate"]):
        return _no_answer(row, part)
    who = "" if row["group"] in ("all", f"claim={row['claim']}") else f" ({shortened(group_name(row['group']), 40)})"
    interval = f"{level_text(1 - found.alpha)} interval {percent(row['ci_low'])} to {percent(row['ci_high'])} %; "
    when = span_text(Window(row["window_start"], row["window_end"]))
    mean = f"{when} the {count(int(row['n']), found.noun)}{who} had a mean CAR of {percent(row['estimate'])} %"
    return f"{part}{mean} ({interval if is_number(row['ci_low']) else ''}{_p_words(row)})"


def _briefly(found: Findings, row: Row, part: str) -> str:
    """Estimate, n and p-values of one part."""
    if row["unavailable"] or not is_number(row["estimate"]):
        return _no_answer(row, part)
    return f"{part}{percent(row['estimate'])} % (n {row['n']}, {_p_words(row)})"


def _no_answer(row: Row, part: str) -> str:
    return f"{part}no answer ({one_line(row['unavailable'] or 'not computed')})"


def _p_words(row: Row) -> str:
    """The p-values behind the verdict: in the claimed direction, or in the other where the claim is contradicted."""
    against = row["verdict"] == CONTRADICTED
    p, calibrated = (
        (row["p_opposite"], row["p_opposite_calibrated"]) if against else (row["p_value"], row["p_calibrated"])
    )
    kind = "equivalence" if is_number(row["margin"]) else "one-sided"
    told = f"{kind} {row['test']} {p_equals(p)}{' in the opposite direction' if against else ''}"
    return f"{told}, calibrated {p_equals(calibrated)}" if is_number(calibrated) else told


def _detectable(rows: Sequence[Row]) -> Iterator[str]:
    """The smallest effects that would have been found, for a verdict that is noise."""
    known = [f"{percent(row['mde'])} %" for row in rows if is_number(row["mde"])]
    if rows[0]["verdict"] == NOISE and known:
        yield f"{listed(known)} would have been found in four samples of five"


def _corrected(found: Findings, first: Row) -> Iterator[str]:
    """Holm over the primary claims, where there are several and one p alone would say another thing."""
    several = sum(rows[0]["primary"] == "yes" for rows in by_claim(found).values())
    p, opposite = first["p_holm"], first["p_holm_opposite"]
    if several > 1 and is_number(p) and rejects(min(first["p_claim"], first["p_opposite"]), found.alpha):
        yield f"after Holm over the {several} claims {p_equals(min(p, opposite))}"


def _reservations(found: Findings, rows: Sequence[Row]) -> Iterator[str]:
    """Tests of the claim that do not hold their size on its own sample."""
    sizes: dict[str, list[str]] = {}
    for row in rows:
        where = (str(row["test"]), Window(row["window_start"], row["window_end"]), str(row["group"]))
        if outside(found, *where[:2], group=where[2]):
            here = f"{part_words(row)}: " if len(rows) > 1 else ""
            sizes.setdefault(where[0], []).append(f"{here}{size_words(found, *where)}")
    for test, words in sizes.items():
        yield f"{test} does not hold its size there ({'; '.join(words)})"


def size_words(found: Findings, test: str, window: Window, group: str = "all", kind: str = "group") -> str:
    """How often a test rejects on pseudo-dates of the same listings, where it is meant to in alpha of the cases."""
    rows = certificate_of(found, window, kind, group)
    plain, spread = (rows[test, null]["size"] if (test, null) in rows else None for null in (AS_THEY_ARE, SCALED))
    said = f"it rejects {percent(plain, 1)} % of pseudo-samples at a nominal {level_text(found.alpha)}"
    return f"{said}, {percent(spread, 1)} % of those that spread as the events do" if is_number(spread) else said


def claims_table(found: Findings) -> Table | None:
    """Every claim with its verdict, estimate, p-values and power; None without claims."""
    rows = verdict_rows(found)
    if not rows:
        return None
    columns = (
        "Claim", "Verdict", "CAR %", "Interval %", "p", "p cal.", "Holm p", "MDE %", "Power %", "Sign", "Window", "Test",
    )  # fmt: skip
    numeric, claims = (False, False, *[True] * 7, False, False, False), by_claim(found)
    return Table(
        columns, numeric, tuple(_claim_row(found, r, claims[r["claim"]]) for r in rows), (), _claim_notes(found, rows)
    )


def _claim_row(found: Findings, r: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    first, against = r["part"] == 1, r["verdict"] == CONTRADICTED
    window = Window(r["window_start"], r["window_end"])
    interval = f"{percent(r['ci_low'])} to {percent(r['ci_high'])}" if is_number(r["ci_low"]) else NOTHING
    power = f"{percent(r['power'], 0)} at {percent(r['power_effect'], 1)}" if is_number(r["power"]) else NOTHING
    verdict = "; ".join(t for t in (verdict_words(rows, found.alpha), r["changed"]) if t)
    where = "" if r["group"] == "all" else f" {shortened(group_name(r['group']), 28)}"
    margin = f"0 within {percent(r['margin'])}" if is_number(r["margin"]) else r["sign"]
    opposite = tuple(f"{p_text(r[c])} opp." for c in ("p_opposite", "p_opposite_calibrated", "p_holm_opposite"))
    stated = tuple(p_text(r[c]) for c in ("p_value", "p_calibrated", "p_holm"))
    p, calibrated, holm = opposite if against else stated
    return (
        f"{r['claim']}{'' if r['primary'] == 'yes' else ' (secondary)'}" if first else "", verdict if first else "",
        percent(r["estimate"]), interval, p, calibrated, (holm if is_number(r["p_holm"]) else NOTHING) if first else "",
        percent(r["mde"]), power, margin, f"{window}{where}", f"{r['test']}{marked(found, r['test'], window, group=r['group'])}",
    )  # fmt: skip


def _claim_notes(found: Findings, rows: Sequence[Row]) -> tuple[str, ...]:
    statements = {r["claim"]: one_line(r["statement"]).rstrip(".") for r in rows}
    primary = sum(1 for r in rows if r["part"] == 1 and r["primary"] == "yes")
    against = any(r["verdict"] == CONTRADICTED for r in rows)
    windows = [(r["test"], Window(r["window_start"], r["window_end"]), r["group"]) for r in rows]
    reasons = [f"{r['claim']}: no answer ({one_line(r['unavailable'])})." for r in rows if r["unavailable"]]
    return (
        *[f"{name}: {statement}." for name, statement in statements.items()],
        "p: one-sided, in the claimed direction"
        + (" (opp.: in the opposite one)" if against else "")
        + ". p cal.: where it stands among those at pseudo-dates that spread as the events do. "
        + f"Holm: over {count(primary, 'primary claim')}; a claim of several parts has the largest p of its parts. Supported: "
        f"Holm p below {level_text(found.alpha)}; contradicted: the same in the opposite direction. MDE: the smallest effect in "
        "the claimed direction that is found in 80 % of the draws, and power, with the extra spread of the window.",
        *(
            [f"{MARK} does not hold its size at pseudo-dates of the claim's own sample: read p cal."]
            if any(outside(found, test, window, group=group) for test, window, group in windows)
            else []
        ),
        *reasons,
    )


def claims_section(found: Findings) -> Section | None:
    """Every claim with its verdict."""
    table = claims_table(found)
    if table is None:
        return None
    return section("Claims and verdicts", table.shown("claims", "Every claim and its verdict", "dense claims"))
