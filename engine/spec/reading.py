"""From the text of ``study.toml`` to a design: what cannot be read, is unknown or not there yet is said in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from engine.documents import problems as in_words
from engine.documents import read_toml
from engine.errors import SpecError, hint
from engine.files import wrong_text
from engine.spec.claims import Claim, ClaimPart
from engine.spec.consistency import contradictions
from engine.spec.design import Known, StudySpec


def read_spec(path: Path, known: Known) -> StudySpec:
    """Read and check ``study.toml``. Raises SpecError that names the file, the key, what was read and what is allowed."""
    raw = read_toml(
        path, SpecError, "A study is a folder with a study.toml. Text needs quotes, windows look like [-1, 1]."
    )
    return parse_spec(raw, str(path), known)


def parse_spec(raw: Mapping[str, Any], where: str, known: Known) -> StudySpec:
    """Check an already parsed study. Raises SpecError; ``where`` names the source in messages."""
    problems = [*_wrong_texts(raw)] or [*_unknown_keys(raw)]
    if not problems:
        try:
            spec = StudySpec.model_validate(raw)
        except ValidationError as error:
            problems = [*in_words(error.errors(), _place, _keys_of_claims)]
        else:
            problems = list(contradictions(spec, known))
    if problems:
        raise SpecError("\n".join(f"{where}: {p}" for p in problems))
    return spec


def _wrong_texts(raw: Mapping[str, Any]) -> Iterator[str]:
    """Keys and texts that are too long to be told, or pile up combining marks."""
    waiting: list[tuple[str, Any]] = [("", raw)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{place}.{str(key)[:80]}".lstrip("."), one) for key, one in value.items()]
            for key in value:
                if wrong := wrong_text(str(key)):
                    yield f"a key of {place or 'the study'} {wrong}."
        elif isinstance(value, list):
            waiting += [(place, one) for one in value]
        elif isinstance(value, str) and (wrong := wrong_text(value)):
            yield f"{place}: the text {wrong}."


def _unknown_keys(raw: Mapping[str, Any]) -> Iterator[str]:
    tables = StudySpec.model_fields
    for name, value in raw.items():
        if name not in tables:
            yield f'unknown key "{name}". {hint(name, tables)}'
            continue
        fields = getattr(_table_type(name), "model_fields", None)
        if fields is None or not isinstance(value, dict):
            continue
        for key in value:
            if key not in fields:
                yield f'[{name}] unknown key "{key}". {hint(key, fields)}'


def _table_type(name: str) -> Any:
    annotation: Any = StudySpec.model_fields[name].annotation
    return next((t for t in get_args(annotation) if t is not type(None)), annotation)


def _place(path: Sequence[str]) -> str:
    """A key as the study file writes it: ``[model] name``, ``[claims.C1] sign``."""
    if path[0] == "claims" and len(path) > 2:
        return f"[claims.{path[1]}] {'.'.join(path[2:])}"
    return f"[{path[0]}] {'.'.join(path[1:])}" if len(path) > 1 else path[0]


def _keys_of_claims(path: Sequence[str]) -> tuple[str, Mapping[str, Any]] | None:
    """The keys of a claim, or of a part of one; None for any other table, whose keys are checked before."""
    if path[0] != "claims" or len(path) < 3:
        return None
    return f"[claims.{path[1]}]", ClaimPart.model_fields if "parts" in path else Claim.model_fields
