"""Validation for people: one self-contained page, a line for each study and every changed cell of those that moved."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape

from engine.errors import visible
from engine.golden import Difference
from engine.validation.check import Check, counted

NUMBERS = ("golden", "now")
LISTED = 1_000  # cells of one study; JSON has all

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem;border-top:1px solid #ccc;padding-top:1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}
th,td{text-align:left;padding:.2rem .7rem .2rem 0;vertical-align:top;border-bottom:1px solid #e5e5e5}
.number{text-align:right;font-variant-numeric:tabular-nums}td:first-child{white-space:nowrap}
.moved,.failed,.broke{font-weight:700}
.moved::before,.failed::before,.broke::before{content:"\\2717  "}.equal::before{content:"\\2713  "}
@media print{body{margin:0;max-width:none}}
"""
POLICY = (  # one style, nothing else: no script runs and nothing is fetched, whatever a cell holds
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; base-uri 'none'; form-action 'none'\">"
)


def as_html(checks: Sequence[Check], lacking: Sequence[str] = ()) -> str:
    """The page of all checks. lacking: what is `unmet`."""
    bad = sum(c.exit_code != 0 for c in checks)
    title = f"Validation: {len(checks)} {'study' if len(checks) == 1 else 'studies'}, " + (
        f"{bad} not as blessed" if bad else "every number that could be computed is the golden one"
    )
    rows = [
        f'<tr><td class="{c.status.replace(" ", "-")}">{escape(c.status)}</td><td>{escape(c.study)}</td>'
        f"<td>{escape(c.summary().partition(': ')[2])}</td></tr>"
        for c in checks
    ]
    said = f"<p>{escape(counted(checks))}.</p>" + "".join(f'<p class="failed">{escape(line)}</p>' for line in lacking)
    parts = [said, _table(("status", "study", "found"), rows), *(part for c in checks for part in _study(c))]
    return visible(
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{POLICY}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n",
        keep="\n",
    )


def _study(check: Check) -> Iterable[str]:
    found = check.comparison
    if found is None or not (found.changes or found.differences or found.versions):
        return
    yield f"<h2>{escape(check.study)}</h2>"
    if found.changes or found.versions:
        changed = [(c.kind, c.name, c.what) for c in found.changes]
        shown = [("version", *v.split(" ", 1)) for v in found.versions]
        yield _table(("input", "of", "what"), map(_row, [*changed, *shown]))
    if not found.differences:
        return
    named = [d for d in (found.first, found.worst) if d is not None]
    yield "<p>First and worst cell:</p>" + _cells(list(dict.fromkeys(named)))
    if found.events:
        pairs = "1 pair" if len(found.events) == 1 else f"{len(found.events)} pairs"
        yield f"<p>{pairs} with a changed cell: {escape(', '.join(found.events))}.</p>"
    more = f", the first {LISTED} of {len(found.differences)}" if len(found.differences) > LISTED else ""
    yield f"<p>Changed cells{more}:</p>" + _cells(found.differences[:LISTED])


def _cells(differences: Sequence[Difference]) -> str:
    rows = (
        f"<tr><td>{escape(d.event or 'group')}</td><td>{escape(d.table)}</td><td>{escape(d.row)}</td>"
        f'<td>{escape(d.column)}</td><td class="number">{escape(d.old)}</td><td class="number">{escape(d.new)}</td></tr>'
        for d in differences
    )
    return _table(("event", "table", "row", "column", "golden", "now"), rows)


def _row(cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _table(head: Iterable[str], rows: Iterable[str]) -> str:
    names = "".join(f"<th{' class=number' * (name in NUMBERS)}>{name}</th>" for name in head)
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
