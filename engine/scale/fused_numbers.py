"""`tables.canonical` for very many numbers, compiled: the same steps, so the same floats; imported late."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from engine.tables import POWERS, SMALLEST_EXACT, formatted

Floats = npt.NDArray[np.float64]
HALF = 134217729.0  # 2^27 + 1 parts a float into two halves


def canonical(values: Floats) -> Floats:
    """The floats that 15 significant digits name, of an array (N,)."""
    made, rare = np.empty(len(values)), np.empty(len(values), np.int64)
    few = rare[: _canonical(np.ascontiguousarray(values), POWERS, SMALLEST_EXACT, made, rare)]
    made[few] = formatted(values[few])
    return made


@numba.njit(nogil=True, cache=True, error_model="numpy")  # nothing reordered or contracted: the products are exact
def _canonical(values, powers, smallest, made, rare):
    """Into ``made``; where a number is too small or too large for that goes into ``rare``, and how many are is returned."""
    digits, few, bits = 15, 0, values.view(np.int64)
    for i in range(values.shape[0]):
        value = values[i] + 0.0
        v = abs(value)
        made[i] = value
        if not (smallest <= v < powers[digits - 1]):
            rare[few] = i
            few += np.isfinite(v) and v > 0
            continue
        two = ((bits[i] >> 52) & 0x7FF) - 1023
        k = digits - 1 - (two * 1233 >> 12)  # log10 2 is about 1233 / 4096: at most one too large
        if v * powers[min(k, 22)] < powers[digits - 1]:
            k += 1
        if v * powers[min(k, 22)] >= powers[digits]:
            k -= 1
        s = powers[min(k, 22)]
        product = v * s
        a, b = v * HALF, s * HALF
        v_high, s_high = a - (a - v), b - (b - s)
        v_low, s_low = v - v_high, s - s_high
        rest = ((v_high * s_high - product) + v_high * s_low + v_low * s_high) + v_low * s_low
        whole = np.rint(product)
        half = product - whole
        if half == 0.5 and rest > 0:
            whole += 1
        if half == -0.5 and rest < 0:
            whole -= 1
        made[i] = np.copysign(whole / s, value)
    return few
