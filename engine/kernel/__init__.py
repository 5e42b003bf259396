"""The kernel: from the raw rows of securities to the numbers of their events, one batch or one compiled pass.

Two implementations of the same sums give the same numbers to 1e-12: ``numpy`` for few events, ``numba`` for many. Which of
them runs is said by the number of events alone, or by the caller, so that a result names its kernel and can be made again.
"""

from __future__ import annotations

from engine.errors import SpecError, hint
from engine.kernel.batched import measure_batched
from engine.kernel.compiled import compiled_model, measure_compiled
from engine.kernel.layout import (
    IN_ORDER,
    INFINITE,
    OUT_OF_ORDER,
    REASONS,
    TWICE,
    Asked,
    Calendar,
    Measured,
    RawEvents,
    RawRows,
    RowReport,
    empty_measured,
)

NUMPY, NUMBA = "numpy", "numba"
KERNELS = (NUMPY, NUMBA)
MANY_EVENTS = 50_000  # from here on compiling, or loading what is compiled, pays
LINEAR = frozenset({"raw", "mean_adjusted", "market_adjusted", "market", "factor"})  # the models that both kernels have

__all__ = [
    "INFINITE",
    "IN_ORDER",
    "KERNELS",
    "LINEAR",
    "MANY_EVENTS",
    "NUMBA",
    "NUMPY",
    "OUT_OF_ORDER",
    "REASONS",
    "TWICE",
    "Asked",
    "Calendar",
    "Measured",
    "RawEvents",
    "RawRows",
    "RowReport",
    "compiled_model",
    "empty_measured",
    "kernel_for",
    "measure",
]  # fmt: skip


def kernel_for(events: int, model: str, bridged: bool = False, asked: str | None = None) -> str:
    """The kernel of a study: ``asked``, or by its number of events; a model that is not linear has one alone.

    Raises SpecError for a kernel that does not exist or has not the model.
    """
    if asked is not None and asked not in KERNELS:
        raise SpecError(f'--kernel "{asked}" is not known. {hint(asked, KERNELS)}')
    compiled = model in LINEAR and not bridged
    if asked == NUMBA and not compiled:
        what = "trade-to-trade returns" if bridged else f'the model "{model}"'
        raise SpecError(f"--kernel numba does not have {what}. Leave it out, or use --kernel numpy.")
    return asked or (NUMBA if compiled and events >= MANY_EVENTS else NUMPY)


def measure(
    kernel: str, raw: RawRows, calendar: Calendar, events: RawEvents, asked: Asked
) -> tuple[Measured, RowReport]:
    """The numbers of all events of the securities in ``raw``, and what was seen of their rows; the model is `LINEAR`."""
    return (measure_compiled if kernel == NUMBA else measure_batched)(raw, calendar, events, asked)
