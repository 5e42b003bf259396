"""Files and folders that appear whole or not at all: whatever ends the program, and however many programs write at once.

A folder is written beside its place, as ``.<name>.writing-<random>``, and then takes its place in one step. Whoever writes
holds a lock that ends with the program, so that what a killed one left is told from what another is still writing; the
next writer removes it. Where the system has no such locks, nothing is removed.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import sys
import tempfile
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


@contextmanager
def whole_folder(folder: Path, check: Callable[[set[str]], None] = lambda held: None) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place when the block ends well, and vanishes otherwise.

    check: called with the names in the folder that would be replaced. Raises SpecError for a file in its place, DataError
    where nothing can be written; then the earlier folder stands as it was.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder}: is a file, not a folder. Give another folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tidy(folder)
        if folder.is_dir():
            check({p.name for p in folder.iterdir() if WRITING not in p.name})
        with _alone_in(folder.parent):
            fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}{WRITING}", dir=folder.parent))
            lock = _locked(fresh)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Give another folder with --out.") from None
    try:
        fresh.chmod(0o755)
        yield fresh
        _put(fresh, folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Nothing was changed.") from None
    finally:
        try:
            shutil.rmtree(fresh, ignore_errors=True)
        finally:
            if lock is not None:
                os.close(lock)


def write_file(path: Path, data: bytes) -> None:
    """Write one file whole: beside its place first, then renamed. Raises DataError where nothing can be written."""
    if path.is_dir():
        raise SpecError(f"{path}: is a folder, not a file. Give another name.")
    handle, beside = None, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path)
        with _alone_in(path.parent):
            handle, beside = tempfile.mkstemp(prefix=f".{path.name}{WRITING}", dir=path.parent)
            _lock(handle)
        with open(handle, "wb", closefd=False) as file:
            file.write(data)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}).") from None
    finally:
        if handle is not None and beside is not None:
            os.close(handle)
            with suppress(OSError):
                os.unlink(beside)


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


def tidy(path: Path) -> None:
    """Remove what killed programs left beside ``path``, and put back what one of them had set aside."""
    with suppress(OSError), _alone_in(path.parent):
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


def _put(fresh: Path, folder: Path) -> None:
    """``fresh`` in the place of ``folder``, in one step where the system has one; what was there is at ``fresh`` then."""
    with _alone_in(folder.parent):
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
        if handle is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
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
