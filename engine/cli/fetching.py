"""What `fetch` does: the only place that reaches the network, and that asks what time it is."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.console import choice, progress, say, show_changes, write_data
from engine.cli.stopping import told_when_stopped
from engine.cli.studies import study_folder
from engine.errors import MissingData, SpecError
from engine.libraries import user_folder

if TYPE_CHECKING:
    from engine.market.fetching import Wanted

TEST_SERVER = "EVENTSTUDY_TEST_SERVER"  # http://127.0.0.1:<port> in place of every host, for tests


def fetch_prices(study: str, source: str, place: str | None, out: Path | None) -> None:
    """Fetch what ``study`` needs from ``source`` into a new snapshot at ``out``, or in the user's data folder."""
    from engine import report
    from engine.inputs import default_data_path
    from engine.market.fetching import Wanted, fetched_name
    from engine.market.snapshots import vintages
    from engine.market.sources import SOURCES
    from engine.needs import study_needs

    choice("--source", source, tuple(SOURCES))
    if SOURCES[source].needs_place and place is None:
        raise SpecError(f"--source {source} needs --from: a folder of files, or for french a file or a data set.")
    if place is not None and not SOURCES[source].needs_place:
        raise SpecError(f"--source {source} takes no --from.")
    folder = study_folder(study)
    needs = study_needs(folder, frozenset(report.CHARTS))
    if SOURCES[source].factors:
        name = fetched_name(
            Path(str(place)).name.partition(".")[0].removesuffix("_CSV")
        )  # a data set, or a file of one
        wanted = [Wanted(name, needed=True)]
    else:
        name = needs.snapshot
        wanted = [Wanted(s, needs.exchanges.get(s), True) for s in sorted(needs.benchmarks)]
        wanted += [Wanted(s, e) for s, e in sorted(needs.exchanges.items()) if s not in needs.benchmarks]
    own = user_folder("XDG_DATA_HOME", ".local", "share")
    if out is None and own is None:
        raise SpecError("this user has no home folder, so there is no data folder. Give --out DIR, or set HOME.")
    base = out.resolve() if out is not None else default_data_path(folder)[-1] / fetched_name(name)
    with told_when_stopped(partial(_so_far, base, frozenset(vintages(base)), len(wanted))):
        root = _fetched(folder, base, source, place, wanted, needs.first)
        write_data(f"{root}\n")
        if not SOURCES[source].factors:
            say_what_is_used(folder, needs.snapshot, root)


def _so_far(base: Path, before: frozenset[Path], wanted: int) -> str:
    """What is there of a fetch that is stopped, for the user."""
    from engine.market.fetching import kept
    from engine.market.snapshots import vintages

    if new := [str(path) for path in vintages(base) if path not in before]:
        return f"written before that: {new[0]}"
    return f"{kept(base)} of {wanted} symbols are kept, the same command goes on with the others"


def _fetched(folder: Path, base: Path, source: str, place: str | None, wanted: list[Wanted], first: date) -> Path:
    """Fetch, say what was found and what failed, and compare with the vintage before; returns the new snapshot."""
    import numpy as np

    from engine.market import open_snapshot
    from engine.market.fetching import Manners, fetch_snapshot
    from engine.market.quality import quality_report, summary_lines
    from engine.market.sources import Access
    from engine.market.sources.web import loopback_base
    from engine.market.vintages import compare_snapshots

    server = loopback_base(os.environ.get(TEST_SERVER))
    manners = Manners(time.sleep if server is None else lambda seconds: None, np.random.default_rng())
    with progress(f"{folder.name} from {source}") as on_progress:
        done = fetch_snapshot(
            base, source, wanted, first, datetime.now(UTC), Access(place, server), manners, on_progress
        )
    if done.resumed:
        say(f"went on with an interrupted fetch: {done.resumed} symbols were there already")
    for symbol, notes in done.notes.items():
        for note in notes:
            say(f"{symbol}: {note}")
    for failure in done.failures:
        say(f"failed: {failure}")
    new = open_snapshot(done.root.name, done.root)
    former = open_snapshot(done.former.name, done.former) if done.former is not None else None
    if new is not None and new.symbols():
        for line in summary_lines(quality_report(new, new.symbols())):
            say(line)
    if former is not None and new is not None and new.symbols():
        say(f"compared with {former.name}, which stays as it is:")
        show_changes(compare_snapshots(former, new), say)
    return done.root


def say_what_is_used(folder: Path, snapshot: str, root: Path) -> None:
    """A fetched snapshot that the study does not look at yet: how to see what it changes, and how to use it."""
    from engine.inputs import default_data_path
    from engine.market import find_snapshot

    try:
        used = str(find_snapshot(snapshot, folder, default_data_path(folder)).root)
    except MissingData:
        used = f'"{snapshot}", which is not here'
    if used != str(root):
        pin = root.name if root.name != snapshot and root.parent in default_data_path(folder) else root
        say(
            f"the study goes on with {used}. What the new prices change: eventstudy validate {folder} --against {root}. "
            f'To use them: --prices {root}, or snapshot = "{pin}" in study.toml.'
        )
