"""Where the numbers come from: settings, hashes, versions and the prices used, as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.market.quality import FAULTS, NOTES
from engine.report.document import Table
from engine.report.findings import Findings
from engine.report.formats import NOTHING, one_line, shortened

FEW = 4  # symbols named in a line


def settings_table(found: Findings) -> Table:
    """Every setting with the value used, as it would stand in study.toml."""
    rows = [(path, _value(value)) for path, value in _flat(found.settings, "")]
    return Table(("Setting", "Value"), (False, False), tuple(rows))


def _flat(settings: Mapping[str, Any], above: str) -> list[tuple[str, Any]]:
    made: list[tuple[str, Any]] = []
    for key, value in settings.items():
        path = f"{above}.{key}" if above else str(key)
        made += _flat(value, path) if isinstance(value, Mapping) and value else [(path, value)]
    return made


def _value(value: Any) -> str:
    if value is None or value == {}:
        return "not set"
    return one_line(json.dumps(value, ensure_ascii=False)) if not isinstance(value, str) else one_line(value)


def provenance_table(found: Findings) -> Table:
    """Hashes, source, licence, versions, seed and kernel."""
    manifest = found.result.manifest
    snapshot = dict(manifest["snapshot"])
    rows = [("study", manifest["study"]), ("study.toml sha256", manifest["study_sha256"])]
    rows += [(f"calendar {name} sha256", digest) for name, digest in sorted(manifest["calendar_sha256"].items())]
    files = snapshot.pop("sha256", {})
    rows += [(f"snapshot {key}", _value(value)) for key, value in snapshot.items()]
    rows += [(f"snapshot {name} sha256", digest) for name, digest in sorted(files.items())]
    rows += [("seed", _value(manifest["seed"])), ("kernel", manifest["kernel"])]
    rows += [
        ("pairs in the calendar", str(manifest["pairs"]["calendar"])),
        ("pairs used", str(manifest["pairs"]["used"])),
    ]
    rows += [(f"version of {name}", number) for name, number in manifest["versions"].items()]
    return Table(("Item", "Value"), (False, False), tuple((one_line(a), one_line(b)) for a, b in rows))


def quality_lines(found: Findings) -> list[str]:
    """What the quality report found in the prices the study looked at: faults, then what is good to know."""
    table = found.result.tables.get("quality")
    if table is None:
        return []
    if table.is_empty():
        return ["Nothing in the span that the study looks at."]
    counted: dict[str, set[str]] = {}
    rows: dict[str, int] = {}
    for symbol, kind in table.select("symbol", "kind").rows():
        counted.setdefault(kind, set()).add(symbol)
        rows[kind] = rows.get(kind, 0) + 1
    lines = []
    for words, kinds in (("Suspicious", FAULTS), ("Good to know", NOTES)):
        parts = [f"{about}: {rows[k]} (in {_few(sorted(counted[k]))})" for k, about in kinds.items() if k in rows]
        lines.append(f"{words}: {'; '.join(parts) if parts else 'nothing'}.")
    return [*lines, "Nothing was mended; every finding with its dates stands in quality.csv."]


def _few(symbols: Sequence[str]) -> str:
    named = ", ".join(one_line(s) for s in symbols[:FEW])
    return named if len(symbols) <= FEW else f"{named} and {len(symbols) - FEW} more"


def quality_table(found: Findings) -> Table | None:
    """Prices used and what was found in them, a row a listing; None where nothing is stated."""
    listings = found.result.manifest.get("listings", {})
    rows = []
    for q in found.result.manifest.get("quality", []):
        known = listings.get(q["symbol"], {})
        name = one_line(f"{known.get('name') or ''} {known.get('name_zh') or ''}")
        facts = (known.get("exchange"), known.get("currency"), known.get("benchmark"), q["prices"])
        counts = (str(q["rows_off_session"]), str(q["stale_rows"]))
        rows.append(
            (shortened(q["symbol"], 24), shortened(name, 32), *[one_line(f or NOTHING) for f in facts], *counts)
        )
    columns = ("Symbol", "Name", "Exchange", "Currency", "Benchmark", "Prices", "Rows off session", "Stale rows")
    return Table(columns, (*[False] * 6, True, True), tuple(rows)) if rows else None
