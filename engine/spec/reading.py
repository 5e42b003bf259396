"""From the text of ``study.toml`` to a design: what cannot be read, is unknown or not there yet is said in its own words."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from engine.errors import SpecError, hint
from engine.files import read_text, wrong_text
from engine.spec.claims import Claim, ClaimPart
from engine.spec.consistency import contradictions
from engine.spec.design import Known, StudySpec


def read_spec(path: Path, known: Known) -> StudySpec:
    """Read and check ``study.toml``. Raises SpecError that names the file, the key, what was read and what is allowed."""
    try:
        raw = tomllib.loads(read_text(path))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}). A study is a folder with a study.toml.") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: is not valid TOML: {error}. Text needs quotes, windows look like [-1, 1].") from None
    return parse_spec(raw, str(path), known)


def parse_spec(raw: Mapping[str, Any], where: str, known: Known) -> StudySpec:
    """Check an already parsed study. Raises SpecError; ``where`` names the source in messages."""
    problems = [*_wrong_texts(raw)] or [*_unknown_keys(raw)]
    if not problems:
        try:
            spec = StudySpec.model_validate(raw)
        except ValidationError as error:
            problems = _plain(error.errors())
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


# Words of the study file for what a value should have been, by pydantic's name of the error, and the kinds of a value that may be
# one of several: pydantic writes the kind it tried behind the key.
SHOULD_BE = {
    "string_type": "text in quotes", "int_type": "a whole number", "int_from_float": "a whole number",
    "int_parsing": "a whole number", "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false",
    "bool_parsing": "true or false", "list_type": "a list in brackets", "dict_type": "a table", "model_type": "a table",
}  # fmt: skip
KINDS = {"str", "int", "list[str]", "dict[str,str]"}


def _plain(errors: Sequence[Any]) -> list[str]:
    """pydantic's errors in the words of the study file, one a key: of a value that may be of several kinds, the error of the kind
    it is, else all kinds that it may be."""
    by_key: dict[tuple[str, ...], list[Any]] = {}
    for error in errors:
        path = [str(part) for part in error["loc"]]
        kind = next((i for i, part in enumerate(path) if i and part in KINDS), len(path))
        by_key.setdefault(tuple(path[:kind]), []).append(error)
    said = []
    for key, tried in by_key.items():
        deepest = max(len(error["loc"]) for error in tried)
        chosen = [error for error in tried if len(error["loc"]) == deepest]
        path = [*key, *(str(part) for part in chosen[0]["loc"][len(key) :] if str(part) not in KINDS)]
        said.append(_said(path, chosen))
    return said


def _said(path: Sequence[str], errors: Sequence[Any]) -> str:
    """One problem of one key; several errors are the kinds that its value could have been."""
    place = f"[{path[0]}] {'.'.join(path[1:])}" if len(path) > 1 else path[0]
    if path[0] == "claims" and len(path) > 2:
        place = f"[claims.{path[1]}] {'.'.join(path[2:])}"
    first, context = errors[0], errors[0].get("ctx", {})
    if first["type"] == "extra_forbidden" and path[0] == "claims" and len(path) > 2:
        known = ClaimPart.model_fields if "parts" in path else Claim.model_fields
        return f'[claims.{path[1]}] unknown key "{path[-1]}". {hint(path[-1], known)}'
    if first["type"] == "missing":
        kind = "key" if len(path) > 1 else "table or key"
        return f"{place}: this {kind} is required and has no default. Write it into the study."
    read = f"{place} = {first['input']!r}"
    if first["type"] in ("too_short", "too_long"):
        bound = (
            f"at least {context['min_length']}" if first["type"] == "too_short" else f"at most {context['max_length']}"
        )
        return f"{read}: holds {context['actual_length']}, and should hold {bound}."
    words = [SHOULD_BE.get(error["type"], "") for error in errors]
    if all(words):
        return f"{read}: should be {' or '.join(dict.fromkeys(words))}."
    return f"{read}: {str(first['msg']).replace('Input should be', 'should be')}."
