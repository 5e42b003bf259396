"""A study in parts: one large price file, read and measured part by part, its tables written as they are made.

>>> from engine import load_study, run_study                       # doctest: +SKIP
>>> result = run_study(load_study("studies/every-split"))          # doctest: +SKIP

What each event is, and every number of it, is that of a run with everything in memory; what the engine then joins is small:
some numbers an event. `work.work` is the unit that is mapped, `mapping.in_threads` maps it here.
"""

from engine.scale.mapping import Mapper, in_threads
from engine.scale.run import run_in_parts

__all__ = ["Mapper", "in_threads", "run_in_parts"]
