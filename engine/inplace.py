"""Files and folders that appear whole or not at all: whatever ends the program, and however many programs write at once.

A folder is written beside its place, as ``.<name>.writing-<random>``, and then takes its place in one step. Whoever writes
holds a lock that ends with the program, so that what a killed one left is told from what another is still writing; the
next writer removes it. Where the system has no such locks, nothing is removed. Files and folders have the permissions that
the user's umask gives.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.errors import DataError, SpecError

fcntl: Any = None
with suppress(ImportError):  # not on Windows
    fcntl = importlib.import_module("fcntl")

WRITING, ASIDE = ".writing-", ".before"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux
TEMPORARY = "eventstudy-sorted-"  # what the names of temporary folders begin with
PATIENCE = 30.0  # seconds that another program may take to begin, end or tidy up; it takes milliseconds

Version = tuple[int, int] | None
_putting = threading.Lock()  # held while something takes its place, and for good when the program is stopped
_unfinished: dict[Path, None] = {}
_before: dict[Path, Version] = {}


@contextmanager
def whole_folder(
    folder: Path, check: Callable[[set[str]], None] = lambda held: None, last: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place when the block ends well, and vanishes otherwise.

    check: called with the names in the folder that would be replaced. last: called just before that, while no other program
    can replace the folder. Raises SpecError for a file in its place, DataError where nothing can be written, and what the
    two raise; then the earlier folder stands as it was.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder}: is a file, not a folder. Give another folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        note(folder)
        tidy(folder)
        if folder.is_dir():
            check({p.name for p in folder.iterdir() if WRITING not in p.name})
        with _alone_in(folder.parent):
            fresh = _new_beside(folder)
            fresh.mkdir()
            lock = _locked(fresh)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Give another folder with --out.") from None
    try:
        yield fresh
        _put(fresh, folder, last)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Nothing was changed.") from None
    finally:
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            _unfinished.pop(fresh, None)
        finally:
            if lock is not None:
                os.close(lock)


def write_file(path: Path, data: bytes, told: bool = True) -> None:
    """Write one file whole: beside its place first, then renamed. Raises DataError where nothing can be written.

    told: whether `put_so_far` names it.
    """
    if path.is_dir():
        raise SpecError(f"{path}: is a folder, not a file. Give another name.")
    handle, beside = None, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if told:
            note(path)
        tidy(path)
        with _alone_in(path.parent):
            beside = _new_beside(path)
            handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            _lock(handle)
        with open(handle, "wb", closefd=False) as file:
            file.write(data)
        with _putting:
            os.replace(beside, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}).") from None
    finally:
        if handle is not None and beside is not None:
            os.close(handle)
            with suppress(OSError):
                os.unlink(beside)
            _unfinished.pop(beside, None)


def own_place(folder: Path, *names: str) -> Path:
    """The place of a file or folder within ``folder``. Raises SpecError where a link leads out of it on the way."""
    place = folder
    for name in names:
        place = place / name
        if place.is_symlink():
            raise SpecError(
                f"{place}: is a link to {os.readlink(place)}, and what belongs to {folder} is written in it alone. Remove the "
                "link, or write there with run --out."
            )
    return place


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """``folder`` (made if it is not there) for this program alone. Raises DataError while another has it."""
    handle = None
    try:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY) if fcntl is not None else None
            if handle is None:
                break
            if _lock(handle) is False:
                raise DataError(
                    f"{folder}: another program is writing there. Wait till it is done, or give another folder with --out."
                )
            if _is(handle, folder):  # not one that the other has just put in its place
                break
            os.close(handle)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def version(path: Path) -> Version:
    """What tells a file or folder from another one that takes its place later; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns


@contextmanager
def unchanged(path: Path, seen: Version) -> Iterator[None]:
    """While the block runs, no other program replaces the folder of ``path``. Raises DataError if ``path`` is another one than
    was ``seen`` (`version`)."""
    folder = path.parent.resolve()
    with _alone_in(folder.parent):
        if version(path) != seen:
            raise DataError(
                f"{path.parent}: another program has replaced it meanwhile. Nothing was changed; try again."
            )
        yield


def temporary_folder() -> Path:
    """A new folder for temporary files, for this user alone. It goes with the program, or with the next one if that is killed."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
        handle = os.open(folder, os.O_RDONLY) if fcntl is not None else None
        if handle is None or (_lock(handle) is not False and _is(handle, folder)):
            break  # the handle stays open: it is the lock
        os.close(handle)  # another program has just taken it for a leftover
    _unfinished[folder] = None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_temporary() -> None:
    """Remove the temporary folders that killed programs of this user left."""
    for left in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            about = left.lstat()
            lock = _locked(left) if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() else None
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)


def note(path: Path) -> None:
    """Keep in mind what is at ``path`` now, so that `put_so_far` can tell whether something has taken its place."""
    _before.setdefault(path, version(path))


def put_so_far() -> list[Path]:
    """What this program and its children have put in place. From now on nothing takes its place any more: the program ends."""
    if not _putting.acquire(timeout=0.1):
        _unfinished.clear()  # one of them is about to take its place
    here = Path.cwd()
    changed = [path for path, before in _before.items() if version(path) != before]
    return [path.relative_to(here) if path.is_relative_to(here) else path for path in changed]


def remove_unfinished() -> None:
    """Remove what this program and its children have begun to write; after `put_so_far`."""
    for left in [*_unfinished]:
        shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):
            left.unlink()
    for path in _before:
        tidy(path)


def tidy(path: Path) -> None:
    """Remove what killed programs left beside ``path``, and put back what one of them had set aside."""
    with suppress(OSError, DataError), _alone_in(path.parent):
        for left in sorted(path.parent.glob(f".{_literal(path.name)}{WRITING}*")):
            if left.name.endswith(ASIDE):
                if path.exists():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    os.rename(left, path)
                continue
            lock = _locked(left)
            if lock is None:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()
            os.close(lock)


def _new_beside(path: Path) -> Path:
    """The name that something is written under before it takes its place."""
    name = path.with_name(f".{path.name}{WRITING}{secrets.token_hex(8)}")
    _unfinished[name] = None
    return name


def _put(fresh: Path, folder: Path, last: Callable[[], None]) -> None:
    """``fresh`` in the place of ``folder``, in one step where the system has one; what was there is at ``fresh`` then."""
    with _alone_in(folder.parent):
        last()
        with _putting:
            _replace(fresh, folder)


def _replace(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(fresh, folder)
    elif not _exchanged(fresh, folder):
        aside = fresh.with_name(fresh.name + ASIDE)
        os.rename(folder, aside)
        try:
            os.rename(fresh, folder)
        except OSError:
            os.rename(aside, folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders have changed names in one step: renameat2 of Linux, not on every file system."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    names = (os.fsencode(one), os.fsencode(other))
    return rename is not None and rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0


@contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    """One at a time among the programs that begin, end or tidy up in ``parent``; none of it takes long."""
    handle = os.open(parent, os.O_RDONLY) if fcntl is not None else None
    try:
        end = time.monotonic() + PATIENCE
        while handle is not None and _lock(handle) is False:
            if time.monotonic() > end:
                raise DataError(
                    f"{parent}: another program has been about to write there for {PATIENCE:.0f} seconds. Was it paused? End "
                    "it, or give another folder."
                )
            time.sleep(0.005)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(path: Path) -> int | None:
    """An open and locked handle of a file or folder; None while another program has it, or where there are no locks."""
    if fcntl is None:
        return None
    handle = os.open(path, os.O_RDONLY)
    if _lock(handle):
        return handle
    os.close(handle)
    return None


def _lock(handle: int) -> bool | None:
    """Whether the lock is ours, False while another program has it; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(handle: int, path: Path) -> bool:
    """Whether the path still leads to what the handle was opened on."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False


def _literal(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "[*?" else c for c in name)
