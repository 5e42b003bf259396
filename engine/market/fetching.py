"""A new snapshot from a source: symbol after symbol, politely, resumable, and in place only when it is whole.

What came so far stays in ``.<name>.partial`` beside the target, with its hashes in ``fetch.json``; the same call goes on
from there within a day. A snapshot that is in place is never written to again: the next one is ``<name>@<date>``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine.documents import Document, checked, read_json
from engine.errors import DataError, SpecError, UpstreamError, visible_json
from engine.files import digest_of, is_plain
from engine.inplace import claimed
from engine.market.cleaning import clean
from engine.market.snapshots import vintages
from engine.market.sources import SOURCES, Access, Failure, Fetch, Fetched, Source
from engine.sessions import exchange_sessions

STATE = "fetch.json"
FRESH = timedelta(days=1)


@dataclass(frozen=True)
class Wanted:
    """A symbol to fetch. exchange: its market identifier code, None to believe the source. needed: nothing goes without."""

    symbol: str
    exchange: str | None = None
    needed: bool = False


@dataclass(frozen=True)
class Manners:
    """How a source is asked: a pause between symbols, and longer and longer ones, drawn at random, before another try."""

    sleep: Callable[[float], None]
    rng: np.random.Generator
    pause: float = 0.5
    tries: int = 4
    first_wait: float = 2.0


@dataclass(frozen=True)
class Outcome:
    """A new snapshot at ``root``. former: the vintage before it. resumed: symbols kept from an interrupted fetch.
    notes: what was found, by symbol. failures: the symbols that did not come."""

    root: Path
    former: Path | None
    resumed: int
    notes: dict[str, list[str]]
    failures: tuple[Failure, ...]


def fetch_snapshot(
    base: Path, source_name: str, wanted: Sequence[Wanted], first: date, now: datetime, access: Access, manners: Manners,
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Outcome:  # fmt: skip
    """Fetch ``wanted`` from ``first`` to the last closed session before ``now`` (UTC) into a new snapshot at ``base``.

    Symbols that are needed come first. A symbol that fails is left out with its reason. Raises UpstreamError, with what
    came kept for the next call, if a needed symbol fails, nothing comes, or the source itself refuses or cannot be
    reached; DataError where nothing can be written.
    """
    source = SOURCES[source_name]
    partial = base.parent / f".{base.name}.partial"
    request = {"source": source_name, "place": access.place, "first": first.isoformat()}
    request |= {"server": access.base} if access.base is not None else {}
    try:
        with claimed(partial):
            return _fetched(base, partial, request, source, wanted, first, now, access, manners, on_progress)
    except OSError as error:
        raise DataError(f"{base}: cannot be written ({error.strerror}). Give another folder with --out.") from None


def _fetched(
    base: Path, partial: Path, request: dict[str, Any], source: Source, wanted: Sequence[Wanted], first: date,
    now: datetime, access: Access, manners: Manners, on_progress: Callable[[str, int, int], None],
) -> Outcome:  # fmt: skip
    """`fetch_snapshot` with ``partial`` for itself."""
    failures: list[Failure] = []
    state = _resume(partial, request, now)
    resumed = len(state["files"])
    fetch = source.start(access)
    queue = sorted(wanted, key=lambda w: (not w.needed, w.symbol))
    for i, one in enumerate(queue):
        on_progress(one.symbol, i, len(queue))
        if one.symbol in state["files"]:
            continue
        answer = _one(fetch, one, source, first, now, manners)
        if isinstance(answer, Failure):
            failures.append(answer)
            if answer.stops or one.needed:
                raise UpstreamError(_given_up(request["source"], failures, state, queue, partial))
        else:
            state["files"][one.symbol] = _keep(answer, source, partial)
            _write(partial / STATE, _json(state))
        if i + 1 < len(queue):
            manners.sleep(manners.pause)
    if not state["files"]:
        raise UpstreamError(_given_up(request["source"], failures, state, queue, partial))
    former = vintages(base)
    root = _seal(partial, base, state, source, failures, queue, now)
    notes = {s: about["notes"] for s, about in sorted(state["files"].items()) if about["notes"]}
    return Outcome(root, former[-1] if former else None, resumed, notes, tuple(failures))


def fetched_name(snapshot: str) -> str:
    """The name that a study's snapshot is fetched under: without the date of a vintage. Raises SpecError for a path."""
    base = snapshot.partition("@")[0]
    if not base or base != Path(base).name or base.startswith("."):
        raise SpecError(
            f'"{snapshot}" is a path; fetch writes a snapshot with a plain name. Name it, or give --out DIR.'
        )
    return base


def kept(base: Path) -> int:
    """How many symbols an interrupted fetch left beside ``base``."""
    state = _state(base.parent / f".{base.name}.partial")
    return len(state["files"]) if state is not None else 0


class KeptFile(Document):
    file: str
    sha256: str
    rows: int
    first: str
    last: str
    currency: str | None
    exchange: str | None
    name: str | None
    notes: list[str]


class FetchState(Document):
    request: dict[str, Any]
    started: str
    files: dict[str, KeptFile]


def _state(partial: Path) -> dict[str, Any] | None:
    """What an interrupted fetch wrote of itself; None where it wrote nothing, or that is damaged or names foreign files."""
    path = partial / STATE
    try:
        state: dict[str, Any] = read_json(path, DataError)
        read = checked(FetchState, state, str(path), DataError)
    except DataError:
        return None
    own = all("/" not in s and one.file in (f"{s}.csv", f"factors/{s}.csv") for s, one in read.files.items())
    return state if own else None


def _one(
    fetch: Fetch, wanted: Wanted, source: Source, first: date, now: datetime, manners: Manners
) -> Fetched | Failure:
    """One symbol, asked for again while that may help, and cleaned."""
    answer = fetch(wanted.symbol, first, now.date())
    for attempt in range(manners.tries - 1):
        if not (isinstance(answer, Failure) and answer.retryable):
            break
        wait = manners.first_wait * 2**attempt * (5 if answer.reason == "rate_limited" else 1)
        manners.sleep(wait * manners.rng.uniform(0.5, 1.5))
        answer = fetch(wanted.symbol, first, now.date())
    if isinstance(answer, Failure) or source.factors:
        return answer
    exchange = wanted.exchange or answer.exchange
    sessions = exchange_sessions(exchange, now.year) if exchange else None
    named = Fetched(answer.symbol, answer.table, answer.currency, exchange, answer.name, answer.notes)
    return clean(named, sessions, np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s"))


def _resume(partial: Path, request: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The state of an interrupted fetch with the same request, less than a day old, whose files are unharmed; else none."""
    state = _state(partial)
    if state is not None and _young(state["started"], now) and state["request"] == request:
        files = {
            symbol: about
            for symbol, about in state["files"].items()
            if (path := partial / about["file"]).is_file() and digest_of(path) == about["sha256"]
        }
        return {**state, "files": files}
    _keep_only(partial, set())
    return {"request": request, "started": now.isoformat(), "files": {}}


def _young(started: str, now: datetime) -> bool:
    """Whether a fetch began within the last day."""
    try:
        return timedelta() <= now - datetime.fromisoformat(started) < FRESH
    except (ValueError, TypeError, OverflowError):  # no time, or one without a zone
        return False


def _keep(answer: Fetched, source: Source, partial: Path) -> dict[str, Any]:
    """Write one table into the partial snapshot; returns what the manifest says of it."""
    if not is_plain(answer.symbol):
        raise SpecError(
            f'the symbol "{answer.symbol}" is a path, and names no file of a snapshot. Give it a plain name.'
        )
    name = f"factors/{answer.symbol}.csv" if source.factors else f"{answer.symbol}.csv"
    (partial / name).parent.mkdir(exist_ok=True)
    whole = [c for c in answer.table.columns if c == "volume" and (answer.table[c].drop_nulls() % 1 == 0).all()]
    data = answer.table.with_columns(pl.col(whole).cast(pl.Int64)).write_csv().encode()
    (partial / name).write_bytes(data)
    dates = answer.table["date"]
    return {
        "file": name, "sha256": hashlib.sha256(data).hexdigest(), "rows": len(dates), "first": str(dates[0]),
        "last": str(dates[-1]), "currency": answer.currency, "exchange": answer.exchange, "name": answer.name,
        "notes": list(answer.notes),
    }  # fmt: skip


def _seal(
    partial: Path, base: Path, state: dict[str, Any], source: Source, failures: Sequence[Failure],
    queue: Sequence[Wanted], now: datetime,
) -> Path:  # fmt: skip
    """Symbols, manifest and the final name; from here on nothing is written there."""
    asked = {w.symbol for w in queue}
    files = {symbol: about for symbol, about in sorted(state["files"].items()) if symbol in asked}
    state["files"] = files
    _keep_only(partial, {about["file"] for about in files.values()} | {STATE})
    listed = {c: [about[c] for about in files.values()] for c in ("name", "exchange", "currency")}
    symbols = b"" if source.factors else pl.DataFrame({"symbol": list(files), **listed}).write_csv().encode()
    hashes = {
        Path(about["file"]).name: {k: about[k] for k in ("sha256", "rows", "first", "last", "notes")}
        for about in files.values()
    }
    if symbols:
        (partial / "symbols.csv").write_bytes(symbols)
        hashes["symbols.csv"] = {"sha256": hashlib.sha256(symbols).hexdigest(), "rows": len(files)}
    server = state["request"].get("server")
    manifest = {
        **(source.about if server is None else _from_test_server(server, source)),
        "versions": {p: version(p) for p in source.packages},
        "retrieved_on": now.astimezone(UTC).date().isoformat(),
        "asked": state["request"],
        "files": hashes,
        "failures": {f.symbol: {"reason": f.reason, "detail": f.detail} for f in failures},
    }
    _write(partial / "manifest.json", _json(manifest))
    (partial / STATE).unlink()
    dated = f"{base.name}@{manifest['retrieved_on']}"
    names = (base.name, dated, *(f"{dated}.{i}" for i in range(2, 1000)))
    root = next(base.parent / name for name in names if not (base.parent / name).exists())
    os.rename(partial, root)
    return root


def _from_test_server(server: str, source: Source) -> dict[str, Any]:
    """What the manifest says of numbers that a server on this machine gave in the place of the source."""
    return {key: value for key, value in source.about.items() if key != "licence"} | {
        "source": f"a test server at {server}, asked in place of {source.about['source']}",
        "redistributable": False,
        "limits": f"Made up or copied by whoever runs the server at {server}; not prices of {source.about['source']}.",
    }


def _given_up(
    source: str, failures: Sequence[Failure], state: dict[str, Any], queue: Sequence[Wanted], partial: Path
) -> str:
    came = f"{len(state['files'])} of {len(queue)} symbols came before it stopped"
    what = "; ".join(map(str, failures))
    if not state["files"]:
        shutil.rmtree(partial, ignore_errors=True)
        return (
            f"{source}: {came}, no snapshot was written. {what}. Check the symbols and the network, then fetch again."
        )
    return (
        f"{source}: {came}, no snapshot was written. {what}. They are kept; the same command goes on with the others."
    )


def _keep_only(partial: Path, files: set[str]) -> None:
    """Remove everything else, also what a killed fetch left half-written."""
    for path in sorted(partial.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(partial).as_posix() not in files:
            path.unlink()


def _json(value: dict[str, Any]) -> bytes:
    return (visible_json(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    os.replace(beside, path)
