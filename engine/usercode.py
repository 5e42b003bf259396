"""A model that a study brings along: one function in one Python file of the study's folder.

The file is read from that folder alone and runs only where the user allows it. What goes wrong in it becomes a message
with file and line.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import SpecError
from engine.files import SETTINGS, read_bytes

Floats = npt.NDArray[np.float64]
LARGEST = 1e15  # of a return; beyond it squares overflow
LONGEST = 300  # characters of an error's text that a message repeats


@dataclass(frozen=True)
class UserModel:
    """The user's function, called with arrays and checked. path: its file; name: of the function."""

    path: Path
    name: str
    function: Callable[..., Any]

    def __call__(self, returns: Floats, regressors: Floats, event_regressors: Floats) -> tuple[Floats, Floats]:
        """(expected, residuals) of one event; `engine.models.custom` for the shapes. Raises SpecError for what is wrong."""
        try:
            with _apart():
                answer = self.function(returns, regressors, event_regressors)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise _failed(self.path, f"{self.name} failed", error) from None
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise SpecError(
                f"{self.path}: {self.name} returned {type(answer).__name__}, and should return two arrays: expected, residuals."
            )
        days, rows = event_regressors.shape[1], len(returns)
        return self._array("expected", answer[0], days), self._array("residuals", answer[1], rows)

    def _array(self, what: str, value: Any, length: int) -> Floats:
        try:
            with _apart():
                array = _numbers(value)
        except Exception:  # of any kind: the value may be of a class of the user's own
            raise SpecError(f"{self.path}: {self.name} returned {what} that are no real numbers.") from None
        if array.shape != (length,):
            raise SpecError(
                f"{self.path}: {self.name} returned {what} of shape {array.shape}, and should return ({length},): one for each "
                f"{'event-window day' if what == 'expected' else 'estimation row'} it was given."
            )
        if not np.isfinite(array).all():
            raise SpecError(f"{self.path}: {self.name} returned {what} with a value that is missing or infinite.")
        if (np.abs(array) > LARGEST).any():
            raise SpecError(f"{self.path}: {self.name} returned {what} beyond what a return can be, {LARGEST:g}.")
        return array


def code_file(folder: Path, file: str, where: str) -> Path:
    """The file inside the study's folder, links followed. Raises SpecError if it is elsewhere or not there."""
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SpecError(f'{where}: [model] file = "{file}" is not in the study\'s folder. Copy it there.')
    if not path.is_file():
        raise SpecError(f'{where}: [model] file = "{file}" is not there. It holds the function of [model] function.')
    return path


def load_function(path: Path, name: str) -> UserModel:
    """Run the file and take the function ``name`` from it. Raises SpecError with file and line for what goes wrong."""
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        with _apart():
            exec(compile(read_bytes(path, SETTINGS), str(path), "exec"), namespace)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failed(path, "cannot be run", error) from None
    function = namespace.get(name)
    if not callable(function):
        raise SpecError(f'{path}: has no function "{name}". [model] function names one that the file defines.')
    return UserModel(path, name, function)


@contextmanager
def _apart() -> Iterator[None]:
    """The user's code runs within: its warnings are not shown, and what it sets of warnings and of numpy ends with it."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with redirect_stdout(sys.stderr):  # what the file prints is a message; data alone go to stdout
            yield


def _numbers(value: Any) -> Floats:
    """An array of floats, masked cells as missing. Raises any error for what holds no real numbers."""
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    array = np.asarray(value)
    if array.dtype.kind not in "iufO":
        raise TypeError(array.dtype)
    return np.asarray(array, dtype=np.float64)


def _failed(path: Path, what: str, error: BaseException) -> SpecError:
    """The error of user code with the last line of the user's own file that it passed."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines = [error.lineno]
    at = f"line {lines[-1]}: " if lines else ""
    try:
        text = str(error)
    except Exception:  # an error of a class of the user's own
        text = "without a text"
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return SpecError(f"{path}: {at}{what}: {type(error).__name__}: {text}. Mend the function, or use another model.")
