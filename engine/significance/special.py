"""scipy's compiled special functions without the package around them, whose import takes longer than a small study's tests."""

from __future__ import annotations

import sys
from importlib import import_module
from os.path import join
from threading import Lock
from types import ModuleType

NAME = "scipy.special"
_ONE = Lock()


def functions() -> ModuleType:
    """``scipy.special`` where it is imported already, else its compiled functions alone: the same ones, under the same names.

    An import of the package itself afterwards is as ever: it finds its compiled part there. A scipy that is built otherwise is
    imported whole.
    """
    with _ONE:
        if NAME in sys.modules:
            return import_module(NAME)
        compiled = sys.modules.get(f"{NAME}._ufuncs")
        return compiled if compiled is not None else _compiled()


def _compiled() -> ModuleType:
    import scipy

    bare = ModuleType(NAME)
    bare.__path__ = [join(place, "special") for place in scipy.__path__]
    sys.modules[NAME] = bare
    try:
        return import_module(f"{NAME}._ufuncs")
    except ImportError:
        whole = None
    finally:
        sys.modules.pop(NAME, None)
    return whole or import_module(NAME)
