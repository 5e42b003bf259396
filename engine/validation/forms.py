"""Validation for machines: JSON with every changed cell, and JUnit XML as CI systems read it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from typing import Any

from engine.errors import visible, visible_json
from engine.golden import Difference
from engine.schemas import SCHEMAS
from engine.validation.check import Check, counted, exit_code, lines

LISTED = 50  # changed cells of one table in a JUnit failure; JSON has all


def as_json(checks: Sequence[Check], lacking: Sequence[str] = ()) -> str:
    """All checks: ``studies`` with status, changed inputs, changed cells, the first and the worst of them, and versions.

    lacking: what is `unmet`.
    """
    moved, code = sum(c.status == "moved" for c in checks), exit_code(checks, lacking)
    told = {"studies": [_study(c) for c in checks], "moved": moved, "ok": code == 0}
    told |= {"summary": counted(checks), "unmet": list(lacking), "exit_code": code}
    return visible_json(json.dumps(told, indent=2, ensure_ascii=False)) + "\n"


def _study(check: Check) -> dict[str, Any]:
    found = check.comparison
    told: dict[str, Any] = {"study": check.study, "status": check.status, "summary": check.summary()}
    if found is None:
        return told
    return told | {
        "inputs": list(found.inputs),
        "changes": [{"kind": c.kind, "name": c.name, "what": c.what} for c in found.changes],
        "versions": list(found.versions),
        "events": list(found.events),
        "first": _cell(found.first),
        "worst": _cell(found.worst),
        "differences": [_cell(d) for d in found.differences],
    }


def _cell(difference: Difference | None) -> dict[str, str] | None:
    names = ("table", "row", "column", "old", "new", "event")
    return {name: getattr(difference, name) for name in names} if difference is not None else None


def as_junit(checks: Sequence[Check], lacking: Sequence[str] = ()) -> str:
    """JUnit XML: a suite for each study, in it a case for the inputs (never a failure) and for each table.

    A study without prices or golden result is skipped, one that cannot be computed is an error. What is `unmet` is a failure
    in a suite of its own.
    """
    root = xml.Element("testsuites", name="eventstudy validate")
    for check in checks:
        suite = xml.SubElement(root, "testsuite", name=_text(check.study))
        _cases(suite, check)
    for message in lacking[:1]:
        suite = xml.SubElement(root, "testsuite", name="eventstudy validate")
        case = xml.SubElement(suite, "testcase", classname="validate", name="required studies")
        xml.SubElement(case, "failure", type="unmet", message=_text(message)).text = _text("\n".join(lacking))
    for suite in root:
        counts = {"tests": len(suite)}
        counts |= {f"{kind}s": len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error")}
        counts["skipped"] = len(suite.findall("testcase/skipped"))
        for name, count in counts.items():
            suite.set(name, str(count))
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


def _cases(suite: xml.Element, check: Check) -> None:
    def case(name: str) -> xml.Element:
        return xml.SubElement(suite, "testcase", classname=f"validate.{_text(check.study)}", name=name)

    if check.comparison is None:
        kind = "error" if check.exit_code else "skipped"
        xml.SubElement(case("golden result"), kind, message=_text(check.message))
        return
    said = "\n".join(map(str, (*check.comparison.changes, *check.comparison.versions)))
    xml.SubElement(case("inputs"), "system-out").text = _text(said or "inputs unchanged")
    by_table: dict[str, list[Difference]] = {}
    for difference in check.comparison.differences:
        by_table.setdefault(difference.table, []).append(difference)
    for table in SCHEMAS:
        one = case(table)
        if moved := by_table.get(table):
            failure = xml.SubElement(
                one, "failure", type="moved", message=_text(f"{len(moved)} cells, first {moved[0]}")
            )
            more = [f"... and {len(moved) - LISTED} more cells"] if len(moved) > LISTED else []
            failure.text = _text("\n".join([*map(str, moved[:LISTED]), *more, "", *lines(check)]))


def _text(text: str) -> str:
    """Text as XML may hold it, with nothing in it that a reader does not see."""
    return visible(text, keep="\n")
