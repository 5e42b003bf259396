"""What takes long to make and never changes, kept in the user's cache folder: the sessions of an exchange, by library version.

It saves a run from importing the library of calendars and pandas with it, most of a second. What is kept is what would be
made again, so no result depends on it: a file that is absent, damaged or unwritable costs time, and nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.files import open_file
from engine.inplace import write_file
from engine.libraries import cache_folder

Arrays = Mapping[str, npt.NDArray[Any]]
MADE_BY = ("exchange-calendars", "pandas", "numpy")


def kept(name: str, make: Callable[[], Arrays], kinds: Mapping[str, str]) -> Arrays:
    """The arrays of ``make()``: from the cache folder where an earlier run of the same versions left them, else made and left
    there.

    kinds: the numpy kind of each array, with a 1 behind it for those of one dimension, all of one length: ``M1``, ``U0``.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    path = folder / f"{name}-{'-'.join(version(package) for package in MADE_BY)}.npz"
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as held:
            found = {key: held[key] for key in held.files}
        if {key: f"{one.dtype.kind}{one.ndim}" for key, one in found.items()} != kinds:
            raise ValueError(f"{path} holds other arrays")
        if len({len(one) for one in found.values() if one.ndim}) > 1:
            raise ValueError(f"{path} holds arrays of several lengths")
        return found
    except Exception:  # whatever a damaged archive makes a library say, it is made again
        made = make()
    _leave(path, made)
    return made


def _leave(path: Path, arrays: Arrays) -> None:
    """Write the file whole, or not at all."""
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **arrays)
    with suppress(EngineError):
        write_file(path, held.getvalue(), told=False)
