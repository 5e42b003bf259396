"""From the text of ``study.toml`` to a design: what cannot be read or is not known is said in its own words."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from engine.errors import SpecError, hint
from engine.spec.claims import Claim, ClaimPart
from engine.spec.consistency import contradictions
from engine.spec.design import Known, StudySpec


def read_spec(path: Path, known: Known) -> StudySpec:
    """Read and check ``study.toml``. Raises SpecError that names the file, the key, what was read and what is allowed."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}). A study is a folder with a study.toml.") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: is not valid TOML: {error}. Text needs quotes, windows look like [-1, 1].") from None
    return parse_spec(raw, str(path), known)


def parse_spec(raw: Mapping[str, Any], where: str, known: Known) -> StudySpec:
    """Check an already parsed study. Raises SpecError; ``where`` names the source in messages."""
    problems = list(_unknown_keys(raw))
    if not problems:
        try:
            spec = StudySpec.model_validate(raw)
        except ValidationError as error:
            problems = [_plain(e) for e in error.errors()]
        else:
            problems = list(contradictions(spec, known))
    if problems:
        raise SpecError("\n".join(f"{where}: {p}" for p in problems))
    return spec


def _unknown_keys(raw: Mapping[str, Any]) -> Iterator[str]:
    tables = StudySpec.model_fields
    for name, value in raw.items():
        if name not in tables:
            yield f'unknown key "{name}". {hint(name, list(tables))}'
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


def _plain(error: Any) -> str:
    """One pydantic error in the words of the study file."""
    *tables, key = [str(part) for part in error["loc"]]
    if tables[:1] == ["claims"] and len(tables) > 1:
        tables = [f"claims.{tables[1]}", *tables[2:]]
    place = f"[{tables[0]}] {'.'.join([*tables[1:], key])}" if tables else key
    if error["type"] == "missing":
        kind = "key" if tables else "table or key"
        return f"{place}: this {kind} is required and has no default. Write it into the study."
    if error["type"] == "extra_forbidden" and place.startswith("[claims."):
        known = ClaimPart.model_fields if "parts" in tables else Claim.model_fields
        return f'{place.split("]")[0]}] unknown key "{key}". {hint(key, known)}'
    message = str(error["msg"]).replace("Input should be", "should be").replace("Field required", "is required")
    return f"{place} = {error['input']!r}: {message}."
