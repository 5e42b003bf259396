"""What takes long to make and never changes, kept in the user's cache folder: the sessions of an exchange, by library version.

It saves a run from importing the library of calendars and pandas with it, most of a second. What is kept is what would be
made again, so no result depends on it: a file that is absent, damaged or unwritable costs time, and nothing else.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.inplace import write_file

Arrays = Mapping[str, npt.NDArray[Any]]
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
MADE_BY = ("exchange-calendars", "pandas", "numpy")


def store_folder() -> Path | None:
    """``$XDG_CACHE_HOME/event-study-engine``, else that in ``~/.cache``; None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "event-study-engine"
    except RuntimeError:
        return None


def kept(name: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of ``make()``: from the cache folder where an earlier run of the same versions left them, else made and left
    there."""
    folder = store_folder()
    if folder is None:
        return make()
    path = folder / f"{name}-{'-'.join(version(package) for package in MADE_BY)}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}
    except UNREADABLE:
        made = make()
    _leave(path, made)
    return made


def _leave(path: Path, arrays: Arrays) -> None:
    """Write the file whole, or not at all."""
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **arrays)
    with suppress(EngineError):
        write_file(path, held.getvalue(), told=False)
