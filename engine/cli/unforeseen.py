"""The last catch: an exception that nobody expected becomes a short message with an exit code of its own."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from engine.cli.console import say
from engine.errors import DataError, EngineError, UnforeseenError

DEBUG = ContextVar("DEBUG", default=False)  # whether the command was called with --debug
ROOT = Path(__file__).resolve().parents[2]  # of the places that are named
LONGEST = 300  # characters of the exception's own text


@contextmanager
def explained() -> Iterator[None]:
    """Turns every exception into an `EngineError`: that of a file into a `DataError`, any other into an `UnforeseenError`.

    An `EngineError`, a stop (Ctrl-C, an exit) and a closed pipe pass as they are.
    """
    try:
        yield
    except (EngineError, KeyboardInterrupt, SystemExit, GeneratorExit, BrokenPipeError):
        raise
    except OSError as error:
        raise DataError(unreadable(error)) from error
    except BaseException as error:  # also what is no Exception: a panic within polars
        raise unforeseen(error) from error


def unreadable(error: OSError) -> str:
    """What is said of a file that the system does not let the engine read or write."""
    return f"{error.filename or 'the output'} cannot be read or written ({error.strerror or error})."


def unforeseen(error: BaseException) -> UnforeseenError:
    """Any other exception, told: its type, the last line of the engine that it came through, and what to do."""
    frames = [(Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    own = [(path.relative_to(ROOT), line) for path, line in frames if path.is_relative_to(ROOT / "engine")]
    place = " in {}, line {}".format(*own[-1]) if own else ""
    text = " ".join(str(error).split())
    text = f": {text[:LONGEST]}{'...' * (len(text) > LONGEST)}" if text else ""
    told = UnforeseenError(
        f"unforeseen {type(error).__name__}{place}{text}. Please report it with this message to the maintainers of the "
        "engine; run again with --debug for the traceback."
    )
    told.__cause__ = error
    return told


def tell_error(error: EngineError, before: str = "error: ") -> None:
    """Say what is wrong; with --debug also the traceback of an exception that was not foreseen."""
    say(f"{before}{error}")
    tell_traceback(error)


def tell_traceback(error: EngineError) -> None:
    if DEBUG.get() and isinstance(error, UnforeseenError) and error.__cause__ is not None:
        traceback.print_exception(error.__cause__, file=sys.stderr)
