"""What libraries read and keep: nothing beside a study, and in folders that no one else can write to.

matplotlib and numba read settings from the working folder, and numba and yfinance unpickle what they find in their caches:
whoever writes either runs code. Both functions are called before a library is imported.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

BESIDE = frozenset(
    {"matplotlibrc", ".numba_config.yaml"}
)  # what they look for in the working folder, by these very names
NAME = "event-study-engine"
STAND_IN = "EVENTSTUDY_NO_HOME"  # the folder that HOME is set to for a user who has none
ROOM = 64_000_000  # bytes that must be free where compiled code is kept


def ignore_working_folder() -> None:
    """From now on this program does not see the settings of `BESIDE`: numba looks for its own each time it compiles."""
    exists: Callable[..., bool] = os.path.exists
    if getattr(exists, "__wrapped__", None) is None:

        @functools.wraps(exists)
        def seen(path: object) -> bool:
            return not (isinstance(path, str) and path in BESIDE) and exists(path)

        os.path.exists = seen


def settle() -> None:
    """Give the libraries of this process, and of those it starts, a home and caches that are the user's alone.

    A user without a home, or whose cache folder cannot be used, has them in a temporary folder that goes with the process.
    Variables that the user has set for a library stay. A child never imports from the working folder.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    temporary = functools.cache(_temporary)
    try:
        if home() is None and os.environ.get("HOME") != os.environ.get(STAND_IN, ""):
            os.environ["HOME"] = os.environ[STAND_IN] = str(temporary())
        folder = cache_folder()
        caches = {"NUMBA_CACHE_DIR": "numba", "MPLCONFIGDIR": "matplotlib"}
        if not {*caches} <= os.environ.keys() and (folder is None or shutil.disk_usage(folder).free < ROOM):
            folder = temporary()
        for variable, name in caches.items():
            os.environ.setdefault(variable, str(folder / name) if folder is not None else "")
    except OSError:  # nowhere to write: who needs a cache says so
        return


def home() -> Path | None:
    """The user's home folder; None for one without: HOME is unset or no absolute path, and the system knows none."""
    named = os.path.expanduser("~")
    return Path(named) if os.path.isabs(named) and named != os.environ.get(STAND_IN) else None


def user_folder(variable: str, *below: str) -> Path | None:
    """The folder that ``variable`` names with an absolute path, else the one at ``below`` in the home; None without a home."""
    named = os.environ.get(variable, "")
    if os.path.isabs(named):
        return Path(named)
    own = home()
    return own.joinpath(*below) if own is not None else None


def cache_folder() -> Path | None:
    """``event-study-engine`` in ``$XDG_CACHE_HOME`` or ``~/.cache``, made with mode 0700.

    None where it cannot be made or written, belongs to another user, or can be written by others and not be closed to them.
    """
    base = user_folder("XDG_CACHE_HOME", ".cache")
    if base is None:
        return None
    folder = base / NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
        if hasattr(os, "geteuid") and about.st_uid != os.geteuid():
            return None
        if stat.S_IMODE(about.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _temporary() -> Path:
    """A folder of this user alone that goes with this process."""
    folder, process = Path(tempfile.mkdtemp(prefix=f"{NAME}-")), os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # not a copy of it
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
