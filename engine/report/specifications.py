"""The specification grid in words and as a table: how much of the answer hangs on the choices."""

from __future__ import annotations

from dataclasses import dataclass

from engine.report.document import Section, Table, paragraph, section
from engine.report.findings import Findings, Row, count
from engine.report.formats import fixed, level_text, one_line, p_equals, percent, shortened
from engine.sessions import Window
from engine.ties import at_least, ordered

# The choices of a specification: name, and the columns of ``grid`` that hold it.
CHOICES: dict[str, tuple[str, ...]] = {
    "Model": ("model",),
    "Estimation window": ("estimation_start", "estimation_end"),
    "Benchmark": ("benchmark",),
    "Returns": ("returns",),
    "Window": ("window_start", "window_end"),
    "Test": ("test",),
}


@dataclass(frozen=True)
class Curve:
    """The specifications that could be computed, from the lowest estimate to the highest. reasons: of the others, counted.

    chosen: what each row chose, as text, by the names of `CHOICES`. primary: the declared one, None where it could not be
    computed. rank, p_rank: its place by estimate and by p-value, from 1. significant: how many are. same_sign: how many have
    the sign of the primary one, of the first without it.
    """

    rows: tuple[Row, ...]
    chosen: tuple[dict[str, str], ...]
    reasons: dict[str, int]
    primary: Row | None
    rank: int
    p_rank: int
    significant: int
    same_sign: int

    @property
    def lost(self) -> int:
        return sum(self.reasons.values())


def read_curve(found: Findings) -> Curve | None:
    """The curve of a study, None where it has no grid."""
    table = found.result.tables.get("grid")
    if table is None:
        return None
    every = table.to_dicts()
    rows = ordered((r for r in every if not r["unavailable"]), lambda r: r["estimate"], lambda r: r["spec"])
    reasons: dict[str, int] = {}
    for row in every:
        if row["unavailable"]:
            reasons[row["unavailable"]] = reasons.get(row["unavailable"], 0) + 1
    primary = next((r for r in rows if r["primary"]), None)
    by_p = ordered(rows, lambda r: r["p_value"], lambda r: r["spec"])
    sign = at_least((primary or rows[0])["estimate"], 0.0) if rows else True
    return Curve(
        rows=tuple(rows),
        chosen=tuple({name: _choice(row, name) for name in CHOICES} for row in rows),
        reasons=reasons,
        primary=primary,
        rank=1 + rows.index(primary) if primary is not None else 0,
        p_rank=1 + by_p.index(primary) if primary is not None else 0,
        significant=sum(r["significant"] for r in rows),
        same_sign=sum(at_least(r["estimate"], 0.0) == sign for r in rows),
    )


def _choice(row: Row, choice: str) -> str:
    values = [row[c] for c in CHOICES[choice]]
    if len(values) > 1:
        return str(Window(*values))
    return one_line(values[0] or "none")


def varied(curve: Curve) -> dict[str, list[str]]:
    """The choices in which the specifications differ, each with its values in the order of the grid."""
    ordered = [
        chosen for _, chosen in sorted(zip(curve.rows, curve.chosen, strict=True), key=lambda pair: pair[0]["spec"])
    ]
    values = {name: list(dict.fromkeys(chosen[name] for chosen in ordered)) for name in CHOICES}
    return {name: found for name, found in values.items() if len(found) > 1}


def specifications_title(found: Findings) -> str:
    """How many specifications reject, and where the primary one stands."""
    curve = read_curve(found)
    if curve is None or not curve.rows:
        return "No specification could be computed"
    n = len(curve.rows)
    direction = "positive" if at_least((curve.primary or curve.rows[0])["estimate"], 0.0) else "negative"
    text = f"{curve.significant} of {n} specifications significant at {level_text(found.alpha)}, {curve.same_sign} {direction}"
    return f"{text}; the primary one is number {curve.rank} from the lowest" if curve.primary is not None else text


def specification_words(found: Findings) -> list[str]:
    """What was tried, and how to read it."""
    curve = read_curve(found)
    if curve is None:
        return []
    lists = "; ".join(
        f"{name.lower()} {', '.join(shortened(v, 40) for v in values)}" for name, values in varied(curve).items()
    )
    said = [
        f"{count(len(curve.rows), 'specification')}: {lists}."
        if lists
        else f"{count(len(curve.rows), 'specification')}."
    ]
    if curve.rows:
        share, same = curve.significant / len(curve.rows), curve.same_sign / len(curve.rows)
        said.append(
            f"{percent(share, 0)} % are significant at {level_text(found.alpha)} ({found.alternative}), {percent(same, 0)} % "
            f"have the sign of the {'primary' if curve.primary is not None else 'lowest'} one."
        )
    if curve.primary is not None:
        said.append(
            f"The primary one, fixed in study.toml, is number {curve.rank} of {len(curve.rows)} from the lowest estimate and "
            f"number {curve.p_rank} by p-value."
        )
    said.append(
        "The specifications share their events, so that they are not independent answers: the share is a description, not a test."
    )
    return said


def specification_table(found: Findings) -> Table | None:
    """For every value of every choice the range of the estimates and the share that rejects; None without a grid."""
    curve = read_curve(found)
    if curve is None or not curve.rows:
        return None
    rows = []
    for name, values in (varied(curve) | {"All": [""]}).items():
        for value in values:
            pairs = zip(curve.rows, curve.chosen, strict=True)
            those = [row for row, chosen in pairs if name == "All" or chosen[name] == value]
            estimates = sorted(r["estimate"] for r in those)
            hits = sum(r["significant"] for r in those)
            middle = (estimates[(len(estimates) - 1) // 2] + estimates[len(estimates) // 2]) / 2
            ends = [percent(v) for v in (estimates[0], middle, estimates[-1])]
            rows.append(
                (name, shortened(value, 40), str(len(those)), *ends, str(hits), fixed(100 * hits / len(those), 0))
            )
    notes = [f"Not computed, {n}: {one_line(reason)}" for reason, n in sorted(curve.reasons.items())]
    if curve.primary is not None:
        own = ", ".join(curve.chosen[curve.rank - 1].values())
        answer = f"{percent(curve.primary['estimate'])} %, {p_equals(curve.primary['p_value'])}"
        notes.insert(0, f"Primary: {own}: {answer}.")
    columns = ("Choice", "Value", "Specifications", "Lowest, %", "Median, %", "Highest, %", "Significant", "Share, %")
    return Table(columns, (False, False, *[True] * 6), tuple(rows), notes=tuple(notes))


def specifications_section(found: Findings) -> Section | None:
    """What was tried, and how far the answers part."""
    table = specification_table(found)
    return section(
        "Other specifications",
        paragraph(specification_words(found)),
        table.shown("specifications", "Estimates by choice", "dense") if table else None,
    )
