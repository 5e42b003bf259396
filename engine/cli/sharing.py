"""Who computes the parts of a study: threads, processes of this machine, a cluster; and where parts that are done are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.console import say
from engine.cli.stopping import told_when_stopped
from engine.errors import DataError, SpecError

if TYPE_CHECKING:
    from engine.inputs import Study
    from engine.scale import Mapper


@dataclass(frozen=True)
class Sharing:
    """The options of `run`: how many processes or a scheduler's address, None for threads; a folder for parts, None for none."""

    workers: int | None = None
    scheduler: str | None = None
    work: Path | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise SpecError(
                "--workers starts processes here, --scheduler names a cluster that runs already: give one of them."
            )
        if self.workers is not None and self.workers < 1:
            raise SpecError(f"--workers {self.workers}: is no number of processes. Give 1 or more.")

    @property
    def asked(self) -> str:
        """The options that were given, as they were."""
        given = {"--workers": self.workers, "--scheduler": self.scheduler, "--work": self.work}
        return " ".join(f"{name} {value}" for name, value in given.items() if value is not None)


@contextmanager
def shared_out(study: Study, sharing: Sharing) -> Iterator[tuple[Study, Mapper]]:
    """The study as its workers can read it, and what maps its parts. Raises as `on_cluster` and `keeping`."""
    from engine.scale import in_threads

    if sharing.asked and study.parted is None:
        say(f"{study.name}: its prices are read at once, in one part, so {sharing.asked} changes nothing")
    if not sharing.asked or study.parted is None:
        yield study, in_threads
        return
    if sharing.scheduler is not None and study.parted.copied:
        raise DataError(
            f"{study.parted.origin}: is not sorted by symbol and date, and workers on other machines cannot read the copy that a "
            'run sorts for itself. Sort it once, with polars: read_parquet(...).sort("symbol", "date").write_parquet(...).'
        )
    study = replace(study, parted=replace(study.parted, path=study.parted.path.resolve()))
    with ExitStack() as stack:
        mapper: Mapper = in_threads
        if sharing.workers is not None or sharing.scheduler is not None:
            from engine.scale.cluster import on_cluster

            mapper = stack.enter_context(on_cluster(sharing.scheduler, sharing.workers or 0))
        if sharing.work is not None:
            from engine.scale.kept import keeping

            stack.enter_context(told_when_stopped(partial(_kept, sharing.work)))
            mapper = stack.enter_context(keeping(sharing.work, mapper))
        yield study, mapper


def _kept(work: Path) -> str:
    """What a run that is stopped leaves in its folder of parts, for the user."""
    return f"{len(list(work.glob('part-*.npz')))} parts are kept in {work}, the same command goes on with the others"
