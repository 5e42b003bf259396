"""A study as the manifest of a result tells it: its settings, and the files that have the very hashes it names.

``study.toml`` is not asked: every setting stands in the manifest. Calendar, prices and code are looked for by hash, so
that another version of a file is never taken for the one that the result came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import DataError
from engine.files import is_plain
from engine.inputs import Study, gathered, read_calendar, sha256_of
from engine.market import Snapshot, open_snapshot
from engine.spec import Known, StudySpec, parse_spec

# What a rebuilt manifest may differ in and still be of the same result.
BESIDE_THE_POINT = frozenset({"first_fingerprints", "withheld"})


def load_from_manifest(
    manifest: Mapping[str, Any], folder: Path, data_path: Sequence[Path], known: Known, prices: Path | None = None,
    allow_code: bool = False,
) -> Study:  # fmt: skip
    """The study behind ``manifest``, with calendar and code from ``folder`` and prices from anywhere on the data path.

    prices: a folder or file to look in first. Raises SpecError for settings that this version does not know, DataError
    that names every file that is missing or another one.
    """
    spec = design_of(manifest, "manifest.json", known)
    wanted: Mapping[str, str] = manifest["snapshot"].get("sha256", {})
    own = {name: digest for name, digest in wanted.items() if "/" not in name}
    further = {name.rpartition("/")[2]: digest for name, digest in wanted.items() if "/" in name}
    places = [
        *([prices.resolve()] if prices is not None else []),
        folder / spec.prices.snapshot,
        *_snapshots(data_path),
    ]
    snapshot, lacking = _found(own, places)
    other, others_lacking = _found(further, places) if further else (snapshot, [])
    problems = [*_files(folder, spec, manifest), *lacking, *others_lacking]
    if problems or snapshot is None or other is None:
        raise DataError(
            f"the result of {manifest['study']} cannot be rebuilt from its manifest; missing:\n"
            + "\n".join(f"  {line}" for line in problems)
            + f"\nLooked for calendar and code in {folder}, for prices in {', '.join(map(str, data_path)) or 'no place'}. "
            "An older version of a file may stand in the history of the repository; prices can be given with --prices DIR."
        )
    snapshot = replace(snapshot, name=manifest["snapshot"]["name"])
    if further:
        other = replace(other, name=next(name.partition("/")[0] for name in wanted if "/" in name))
    study = gathered(
        folder, spec, read_calendar(folder, spec, "manifest.json"), snapshot, other if further else snapshot, allow_code
    )
    return replace(study, name=manifest["study"], sha256=study.sha256 | {"study": manifest["study_sha256"]})


def differing_keys(stated: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    """What a rebuilt manifest says otherwise, in a line for each key: versions that changed, above all."""
    for key in sorted({*stated, *made} - BESIDE_THE_POINT):
        was, now = stated.get(key), made.get(key)
        if key == "versions":
            was, now = was or {}, now or {}
            yield from (
                f"version {n} {was.get(n)} -> {now.get(n)}" for n in sorted({*was, *now}) if was.get(n) != now.get(n)
            )
        elif isinstance(was, dict) and isinstance(now, dict):
            names = ", ".join(n for n in sorted({*was, *now}) if was.get(n) != now.get(n))
            yield from [f"{key}: {names}"] if names else []
        elif was != now:
            yield key


def design_of(manifest: Mapping[str, Any], where: str, known: Known) -> StudySpec:
    """The settings of a result as a design. Formulas of a cross-section have the order that sorted settings lose.

    Raises SpecError for settings that this version does not know.
    """
    settings = _said(manifest["settings"])
    order = [one["name"] for one in manifest.get("specifications", [])]
    drivers = settings.get("crosssection")
    formulas = drivers.get("formula") if isinstance(drivers, dict) else None
    if isinstance(formulas, dict):
        settings["crosssection"]["formula"] = {name: formulas[name] for name in order if name in formulas} | formulas
    return parse_spec(settings, f"{where}: settings", known)


def _said(value: Any) -> Any:
    """Settings without those that are None, which no study.toml can write."""
    if isinstance(value, dict):
        return {k: _said(v) for k, v in value.items() if v is not None}
    return value


def _files(folder: Path, spec: StudySpec, manifest: Mapping[str, Any]) -> Iterator[str]:
    """The calendar and code files that are not there, or are other ones."""
    calendar = folder / spec.events.calendar if spec.events.calendar is not None else None
    named = {
        name: calendar / name if calendar is not None else folder / str(spec.events.file)
        for name in manifest["calendar_sha256"]
        if is_plain(name)
    }
    for name, digest in manifest["calendar_sha256"].items():
        if name not in named:
            yield f"calendar {name}, which is no name of a file"
            continue
        yield from _other("calendar", named[name], digest)
    for digest in manifest.get("code_sha256", {}).values():
        yield from _other("code", folder / str(spec.model.file), digest)


def _other(kind: str, path: Path, digest: str) -> Iterator[str]:
    found = sha256_of(path)
    if found != digest:
        yield f"{kind} {path} with sha256 {digest} ({f'the one here has {found}' if found else 'it is not there'})"


def _snapshots(data_path: Sequence[Path]) -> list[Path]:
    """Every folder and parquet file that may be a snapshot: the entries of the data path and what is in them."""
    found = []
    for entry in data_path:
        inside = sorted(entry.iterdir()) if entry.is_dir() else []
        found += [entry, *(p for p in inside if p.is_dir() or p.suffix == ".parquet")]
    return found


def _found(wanted: Mapping[str, str], places: Sequence[Path]) -> tuple[Snapshot | None, list[str]]:
    """The first snapshot that has every file with its hash; else the one that has most, and what it lacks."""
    hashed = cache(sha256_of)
    best: tuple[int, Snapshot | None, list[str]] = (
        -1,
        None,
        [f"prices {n} with sha256 {d}" for n, d in wanted.items()],
    )
    for place in places:
        snapshot = open_snapshot(place.name, place)
        if snapshot is None:
            continue
        have = {name: hashed(_file(snapshot, name)) for name in wanted}
        lacking = [
            f"prices {name} with sha256 {digest} ("
            + (f"the one in {place} has {have[name]}" if have[name] else f"not in {place}")
            + ")"
            for name, digest in wanted.items()
            if have[name] != digest
        ]
        agree = len(wanted) - len(lacking)
        if agree > best[0] and (agree or any(have.values()) or best[1] is None):
            best = (agree, snapshot, lacking)
        if not lacking:
            break
    return best[1], best[2]


def _file(snapshot: Snapshot, name: str) -> Path:
    """The file of a snapshot that a manifest calls ``name``; one that is not there for a name that is a path."""
    name = name if is_plain(name) else "#"  # the name of no file of a snapshot
    root = snapshot.root if snapshot.root.is_dir() else snapshot.root.parent
    places = (snapshot.prices if snapshot.prices.is_dir() else root, root, root / "factors")
    return next((p / name for p in places if (p / name).is_file()), root / name)
