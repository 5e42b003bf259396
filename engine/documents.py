"""TOML and JSON files as checked values: each is read once, and what is wrong with it is said in the words of the file.

A document is refused that is no UTF-8 text, is nested deeper than `DEEPEST`, names a key twice, or holds a number that is not
finite or beyond 64 bits, a zero byte, or half of a surrogate pair: none of them can stand in a path, a table or a report.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import EngineError, hint
from engine.files import RECORD, SETTINGS, read_text

DEEPEST = 50  # tables and lists inside each other
WHOLE_NUMBERS = range(-(2**63), 2**63)
UNFIT = re.compile("[\0\ud800-\udfff]")
SHOWN = 120  # characters of a value that a message quotes

Schema = TypeVar("Schema", bound=BaseModel)
Failure = type[EngineError]


class Document(BaseModel):
    """The schema of a file that another version or another program may have written: further keys are left as they are."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class _Unfit(ValueError):
    """A document that its format allows and this module does not."""


def read_toml(path: Path, error: Failure, advice: str) -> dict[str, Any]:
    """A TOML file. Raises ``error`` for one that cannot be read; advice: what such a file is, said where there is none."""
    read: dict[str, Any] = _parsed(path, tomllib.loads, "TOML", error, advice)
    return read


def read_json(path: Path, error: Failure, advice: str = "") -> Any:
    """A JSON file; arguments and errors of `read_toml`."""
    return _parsed(path, _loads, "JSON", error, advice)


def _parsed(path: Path, parse: Callable[[str], Any], form: str, error: Failure, advice: str) -> Any:
    said = f" {advice}" if advice else ""
    try:
        value = parse(read_text(path, SETTINGS if form == "TOML" else RECORD))
        _check_values(value)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}).{said}") from None
    except UnicodeDecodeError:
        raise error(f"{path}: is not UTF-8 text. Save it as UTF-8.") from None
    except RecursionError:
        raise error(f"{path}: tables and lists stand inside each other more than {DEEPEST} deep.{said}") from None
    except _Unfit as problem:
        raise error(f"{path}: {problem}") from None
    except ValueError as problem:
        if "integer string conversion" in str(problem):  # Python's own limit on the digits of a whole number
            raise error(f"{path}: holds a whole number of thousands of digits. Correct it.") from None
        first = str(problem).splitlines()[0].rstrip(".")
        raise error(f"{path}: is not valid {form}: {shown_text(first)}.{said}") from None
    return value


def _loads(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Unfit(f"the key {shown(twice)} stands there more than once. Keep one.")
    return found


def _no_number(text: str) -> Any:
    raise _Unfit(f"{text} is no number. Write a finite number, or null where there is none.")


def _check_values(document: Any) -> None:
    """Raises `_Unfit` for a value that no file of ours may hold. A loop, since keys with dots nest deeper than calls may."""
    waiting: list[tuple[Any, int, str]] = [(document, 0, "")]
    while waiting:
        value, depth, place = waiting.pop()
        if depth > DEEPEST:
            raise RecursionError
        if isinstance(value, dict):
            for key, inside in value.items():
                _check_text(key, place or "a key")
                waiting.append((inside, depth + 1, f"{place}.{key}" if place else key))
        elif isinstance(value, list):
            waiting.extend((inside, depth + 1, place) for inside in value)
        elif isinstance(value, str):
            _check_text(value, place)
        elif isinstance(value, float) and not abs(value) < float("inf"):
            raise _Unfit(f"{shown_text(place)} = {value}: should be a finite number. Correct it.")
        elif isinstance(value, int) and value not in WHOLE_NUMBERS:
            raise _Unfit(f"{shown_text(place)} = {shown(value)}: is a whole number beyond 64 bits. Correct it.")


def _check_text(text: str, place: str) -> None:
    if not (found := UNFIT.search(text)):
        return
    if found[0] == "\0":
        raise _Unfit(f"{shown_text(place)}: {shown(text)} holds a zero byte, which no name or path has. Remove it.")
    raise _Unfit(f"{shown_text(place)}: {shown(text)} holds half of a surrogate pair, which is no text. Remove it.")


def checked(schema: type[Schema], value: Any, where: str, error: Failure, advice: str = "") -> Schema:
    """A document as its schema has it. Raises ``error`` that names every key that is not as it should be."""
    try:
        return schema.model_validate(value)
    except ValidationError as problem:
        said = [f"{where}: {line}" for line in problems(problem.errors())]
        raise error("\n".join([*said, *([advice] if advice else [])])) from None


# Words for what a value should have been, by pydantic's name of the error, and the kinds of a value that may be one of several:
# pydantic writes the kind it tried behind the key.
SHOULD_BE = {
    "string_type": "text in quotes", "int_type": "a whole number", "int_from_float": "a whole number",
    "int_parsing": "a whole number", "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false",
    "bool_parsing": "true or false", "list_type": "a list in brackets", "dict_type": "a table", "model_type": "a table",
}  # fmt: skip
KINDS = {"str", "int", "list[str]", "dict[str,str]"}


def dotted(path: Sequence[str]) -> str:
    """A key of a JSON file and what it stands in: ``files.A.csv.sha256``."""
    return ".".join(path) or "the file"


def problems(
    errors: Sequence[Any],
    place: Callable[[Sequence[str]], str] = dotted,
    known: Callable[[Sequence[str]], tuple[str, Mapping[str, Any]] | None] = lambda path: None,
) -> Iterator[str]:
    """pydantic's errors in the words of the file, one a key: of a value that may be of several kinds, the error of the kind
    it is, else all kinds that it may be.

    place: a key with what it stands in, as the file writes it. known: the table that an unknown key stands in, and the keys that
    it may have; None where nothing is said of them.
    """
    by_key: dict[tuple[str, ...], list[Any]] = {}
    for error in errors:
        path = [str(part) for part in error["loc"]]
        kind = next((i for i, part in enumerate(path) if i and part in KINDS), len(path))
        by_key.setdefault(tuple(path[:kind]), []).append(error)
    for key, tried in by_key.items():
        deepest = max(len(error["loc"]) for error in tried)
        chosen = [error for error in tried if len(error["loc"]) == deepest]
        path = [*key, *(str(part) for part in chosen[0]["loc"][len(key) :] if str(part) not in KINDS)]
        yield _problem(path, chosen, place, known(path))


def _problem(
    path: Sequence[str],
    errors: Sequence[Any],
    place: Callable[[Sequence[str]], str],
    known: tuple[str, Mapping[str, Any]] | None,
) -> str:
    """One problem of one key; several errors are the kinds that its value could have been."""
    first, context = errors[0], errors[0].get("ctx", {})
    if first["type"] == "extra_forbidden" and known is not None:
        return f'{known[0]} unknown key "{path[-1]}". {hint(path[-1], known[1])}'
    if first["type"] == "missing":
        kind = "key" if len(path) > 1 else "table or key"
        return f"{place(path)}: this {kind} is required and has no default. Write it."
    read = f"{place(path)} = {shown(first['input'])}"
    if first["type"] in ("too_short", "too_long"):
        bound = (
            f"at least {context['min_length']}" if first["type"] == "too_short" else f"at most {context['max_length']}"
        )
        return f"{read}: holds {context['actual_length']}, and should hold {bound}."
    words = [SHOULD_BE.get(error["type"], "") for error in errors]
    if all(words):
        return f"{read}: should be {' or '.join(dict.fromkeys(words))}."
    said = str(first["msg"]).replace("Input should be", "should be").removeprefix("Value error, ")
    return f"{read}: {said.rstrip('.')}."


def shown(value: Any) -> str:
    """A value as a message quotes it: dates as they are written, and long ones cut."""
    return shown_text(str(value) if isinstance(value, date | datetime | time) else repr(value))


def shown_text(text: str) -> str:
    """Text of a message, cut where it is long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
