"""Event studies that prove themselves: announcements in, abnormal returns and honest statistics out.

>>> from engine import load_study, run_study          # doctest: +SKIP
>>> result = run_study(load_study("studies/us-acquirers"))  # doctest: +SKIP
>>> result.tables["significance"]                      # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.libraries import ignore_working_folder

__version__ = "0.1.0"
__all__ = ["StudyResult", "load_study", "run_study"]

if TYPE_CHECKING:
    from engine.results import StudyResult
    from engine.study import load_study, run_study


ignore_working_folder()  # before any library is imported


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `eventstudy --help` stays quick."""
    if name == "StudyResult":
        from engine.results import StudyResult

        return StudyResult
    if name in ("load_study", "run_study"):
        from engine import study

        return getattr(study, name)
    raise AttributeError(name)
