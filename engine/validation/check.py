"""One study, validated: equal, moved, or why it could not be told; and what all of them come to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import EngineError, UnforeseenError, hint
from engine.golden import Comparison

SHOWN = 12  # changed inputs on the terminal; the report has all

ALL = "all"  # as a required study: each of them

Status = Literal["equal", "moved", "no golden", "left out", "failed", "broke"]


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


def left_out(study: str, error: EngineError, alone: bool = False) -> Check:
    """A study whose prices are not on this machine; alone: it was asked for by name, and this is an error."""
    if alone:
        return Check(study, "left out", str(error), exit_code=error.exit_code, error=error)
    return Check(study, "left out", f"left out, its prices are not here. {error}")


def failed(study: str, error: EngineError) -> Check:
    """A study that could not be computed: it is wrong, or the engine broke on it."""
    status: Status = "broke" if isinstance(error, UnforeseenError) else "failed"
    return Check(study, status, str(error), exit_code=error.exit_code, error=error)


def counted(checks: Sequence[Check]) -> str:
    """The last line: how many studies were compared with their golden results, how many of them differ, and why others were
    not; what could not be computed is none of these."""
    of = {status: sum(c.status == status for c in checks) for status in ("moved", "no golden", "left out")}
    validated = sum(c.comparison is not None for c in checks)
    return f"validated {validated}, differing {of['moved']}, no golden {of['no golden']}, left out {of['left out']}"


def unmet(checks: Sequence[Check], required: Collection[str] = (), least: int = 1) -> list[str]:
    """What was asked for and not done: each required study that was not compared, and too few that were.

    required: names of studies, or `ALL`. least: how many must be compared.
    """
    by_name = {c.study: c for c in checks}
    validated = [c.study for c in checks if c.comparison is not None]
    wanted = dict.fromkeys([*(by_name if ALL in required else ()), *(name for name in required if name != ALL)])
    found = [
        f'required study "{name}" was not validated: '
        + (
            by_name[name].status
            if name in by_name
            else f"it is not among those that were asked for. {hint(name, by_name)}"
        )
        for name in wanted
        if name not in validated
    ]
    if len(validated) < least:
        least_words = f"; at least {least} must be" if least > 1 else ""
        found.append(
            f"{len(validated) or 'no'} {'study was' if len(validated) < 2 else 'studies were'} validated{least_words}"
        )
    return found


def exit_code(checks: Sequence[Check], lacking: Sequence[str] = ()) -> int:
    """What all checks come to: 70 if the engine broke on a study, else 1 if a number moved or something is `unmet`, else the
    worst code of a study that could not be computed."""
    codes = [c.exit_code for c in checks]
    if UnforeseenError.exit_code in codes:
        return UnforeseenError.exit_code
    return 1 if lacking or 1 in codes else max(codes, default=0)


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
