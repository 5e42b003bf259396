"""Run a command once in each other setting of the processor: `python tests/processors.py COMMAND...`; without one, list them.

A library of numbers chooses its code by the processor, and the last bit of a result may hang on the choice. The settings stand
for other machines: without what numpy, OpenBLAS and numba find here beyond the least, and with the kernels for AVX-512 where
this processor has it and OpenBLAS took others.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Collection, Sequence

HASWELL, SKYLAKE = "Haswell", "SkylakeX"  # kernels of OpenBLAS for AVX2 and for AVX-512
X86 = ("x86_64", "AMD64")


def settings(found: Sequence[str], machine: str, kernels: Collection[str]) -> list[dict[str, str]]:
    """The environment variables of each setting. found: the features of the processor beyond the least that numpy lists as
    found; kernels: those that OpenBLAS has chosen here."""
    least = {"NUMBA_CPU_NAME": "generic"}
    if found:
        least["NPY_DISABLE_CPU_FEATURES"] = " ".join(found)
    if machine not in X86:
        return [least]
    wide = any(name.startswith(("X86_V4", "AVX512")) for name in found)
    has_avx2 = wide or any(name in ("X86_V3", "AVX2") for name in found)
    made = [least | ({"OPENBLAS_CORETYPE": HASWELL} if has_avx2 else {})]
    return [*made, {"OPENBLAS_CORETYPE": SKYLAKE}] if wide and SKYLAKE not in kernels else made


def here() -> list[dict[str, str]]:
    """The settings for this machine."""
    import numpy as np
    import scipy.linalg  # noqa: F401  # loads its own OpenBLAS
    from threadpoolctl import threadpool_info

    known = np.show_config(mode="dicts")
    assert known is not None
    kernels = {one["architecture"] for one in threadpool_info() if one["internal_api"] == "openblas"}
    return settings(known["SIMD Extensions"].get("found", []), platform.machine(), kernels)


def main(command: list[str]) -> int:
    """Each setting is printed before its run. The exit code is the first that is not 0. A file of `--junitxml` is one a run."""
    worst = 0
    for place, setting in enumerate(here(), 1):
        print("processor setting:", *(f'{name}="{value}"' for name, value in setting.items()), flush=True)
        words = [w.replace(".xml", f"-{place}.xml") if w.startswith("--junitxml=") else w for w in command]
        if words:
            code = subprocess.run(words, env=os.environ | setting, check=False).returncode
            worst = worst or code
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
