"""Parts that are done, kept in a folder: a run that was stopped goes on from there.

A part is known by everything that its result hangs on: the function, each value of the task, the price file (its path, size
and time of change) and the versions of what computes. Another event, window or file is another part.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from engine.errors import DataError
from engine.files import open_file
from engine.kernel.layout import Measured
from engine.results import write_file
from engine.scale.mapping import Mapper
from engine.scale.moments import Moments
from engine.scale.work import Done

T = TypeVar("T")
D = TypeVar("D")
COMPUTE = ("event-study-engine", "numpy", "numba", "pyarrow")
RESULTS = {kind.__name__: kind for kind in (Done, Measured, Moments)}  # what may stand in a file


@contextmanager
def keeping(folder: Path, mapper: Mapper) -> Iterator[Mapper]:
    """A mapper that leaves each result in ``folder`` and takes those that are there; they are removed when the run is whole.

    Raises DataError where nothing can be written.
    """
    used: set[Path] = set()

    def mapped(function: Callable[[T], D], tasks: Sequence[T]) -> Iterator[D]:
        paths = [folder / f"part-{fingerprint(function, task)}.npz" for task in tasks]
        used.update(paths)
        here = [path.is_file() for path in paths]
        made = iter(mapper(function, [task for task, there in zip(tasks, here, strict=True) if not there]))
        for path, task, there in zip(paths, tasks, here, strict=True):
            if not there:
                found = next(made)
                write_file(path, _written(found), told=False)
                yield found
            else:
                yield function(task) if (kept := _read(path)) is None else kept

    yield mapped
    try:
        for path in used:
            path.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise DataError(f"{folder}: the parts that are done cannot be removed ({error.strerror}). Remove it.") from None


def fingerprint(function: Callable[[Any], Any], task: Any) -> str:
    """The sha256 of all that the result of ``function(task)`` hangs on."""
    digest = hashlib.sha256(f"{function.__module__}.{function.__qualname__}".encode())
    digest.update(repr(versions()).encode())
    _digest(task, digest.update)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """What computes the numbers of a part, and its version; "" for what is not installed as a package."""
    found = {}
    for package in COMPUTE:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found


def _digest(value: Any, update: Callable[[bytes], None]) -> None:
    """Feed a value and what it is made of, each with its kind and size, so that no two values are one."""
    if isinstance(value, np.ndarray):
        update(f"array {value.dtype.str} {value.shape} ".encode())
        update(value.tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [f for f in fields(value) if f.compare]
        update(f"{type(value).__name__} {len(parts)} ".encode())
        for part in parts:
            update(part.name.encode())
            _digest(getattr(value, part.name), update)
    elif isinstance(value, Mapping):
        _digest(sorted(value.items(), key=lambda item: str(item[0])), update)
    elif isinstance(value, list | tuple):
        update(f"{len(value)} values ".encode())
        for one in value:
            _digest(one, update)
    elif isinstance(value, Path):
        about = value.stat()
        update(f"file {value.resolve()} {about.st_size} {about.st_mtime_ns} ".encode())
    else:
        update(f"{type(value).__name__} {value!r} ".encode())


def _written(value: Any) -> bytes:
    """A result as an archive of arrays, and in words how they belong together; nothing in it is ever executed."""
    arrays: dict[str, Any] = {}
    shape = _taken_apart(value, arrays)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, shape=np.array(json.dumps(shape)), **arrays)
    return out.getvalue()


def _taken_apart(value: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[f"a{len(arrays)}"] = value
        return {"array": f"a{len(arrays) - 1}"}
    if is_dataclass(value) and type(value).__name__ in RESULTS:
        own = {f.name: _taken_apart(getattr(value, f.name), arrays) for f in fields(value)}
        return {"kind": type(value).__name__, "fields": own}
    if isinstance(value, dict):
        return {"pairs": [[_taken_apart(k, arrays), _taken_apart(v, arrays)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_taken_apart(one, arrays) for one in value]}
    if value is None or isinstance(value, str | int | float):
        return {"value": value}
    raise TypeError(f"{type(value).__name__} is no result of a part")


def _read(path: Path) -> Any:
    """The result that a file holds, None for a damaged one."""
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as held:
            return _put_together(json.loads(str(held["shape"])), held)
    except Exception:  # whatever a damaged archive makes a library say, the part is made again
        return None


def _put_together(shape: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
    if "array" in shape:
        return arrays[shape["array"]]
    if "kind" in shape:
        return RESULTS[shape["kind"]](**{name: _put_together(own, arrays) for name, own in shape["fields"].items()})
    if "pairs" in shape:
        return {_put_together(k, arrays): _put_together(v, arrays) for k, v in shape["pairs"]}
    if "tuple" in shape:
        return tuple(_put_together(one, arrays) for one in shape["tuple"])
    return shape["value"]
