"""One study, validated: equal, moved, or why it could not be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from engine.errors import EngineError
from engine.golden import Comparison

SHOWN = 12  # changed inputs on the terminal; the report has all

Status = Literal["equal", "moved", "no golden", "left out", "failed"]


@dataclass(frozen=True)
class Check:
    """The validation of one study. message: why there is no comparison, "" where there is one. exit_code: its own.
    error: what kept it from being computed."""

    study: str
    status: Status
    message: str = ""
    comparison: Comparison | None = None
    exit_code: int = 0
    error: EngineError | None = None

    @classmethod
    def of(cls, study: str, comparison: Comparison) -> Check:
        """What a comparison comes to: exit code 1 if a number moved, whatever the inputs."""
        moved = bool(comparison.differences)
        return cls(study, "moved" if moved else "equal", comparison=comparison, exit_code=int(moved))

    def summary(self) -> str:
        """The study in one line."""
        return f"{self.study}: {self.comparison.summary() if self.comparison is not None else self.message}"


def without_golden(study: str) -> Check:
    """A study that was never blessed."""
    how = f'no golden result yet; make one with: eventstudy bless {study} --reason "..."'
    return Check(study, "no golden", how)


def left_out(study: str, why: str) -> Check:
    """A study whose prices are not on this machine."""
    return Check(study, "left out", f"left out, its prices are not here. {why}")


def failed(study: str, error: EngineError) -> Check:
    """A study that could not be computed."""
    return Check(study, "failed", str(error), exit_code=error.exit_code, error=error)


def lines(check: Check) -> Iterator[str]:
    """What the terminal says: one line, and under it what changed in the inputs, the first and the worst cell."""
    yield check.summary()
    found = check.comparison
    if found is None:
        return
    for version in found.versions:
        yield f"  version {version}"
    for change in found.changes[:SHOWN]:
        yield f"  input {change}"
    if len(found.changes) > SHOWN:
        yield f"  ... and {len(found.changes) - SHOWN} more changed inputs"
    if found.first is not None:
        yield f"  first: {found.first}"
    if found.worst is not None and found.worst != found.first:
        yield f"  worst: {found.worst}"
