"""What CI does beside the tests: the settings of the processor, the Python versions that the lock serves, the counts of tests."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import processors
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOUND = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
INTEL = ["X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR"]
LEAST = {"NUMBA_CPU_NAME": "generic"}


@pytest.mark.parametrize(
    ("found", "machine", "kernels", "wanted"),
    [
        (INTEL, "x86_64", {"SkylakeX"}, [LEAST | {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": " ".join(INTEL)}]),
        (
            INTEL,
            "AMD64",
            {"Zen"},
            [
                LEAST | {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": " ".join(INTEL)},
                {"OPENBLAS_CORETYPE": "SkylakeX"},
            ],
        ),
        (["X86_V3"], "x86_64", {"Zen"}, [LEAST | {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V3"}]),
        ([], "x86_64", {"Nehalem"}, [LEAST]),
        (["ASIMDHP"], "aarch64", {"neoversen1"}, [LEAST | {"NPY_DISABLE_CPU_FEATURES": "ASIMDHP"}]),
    ],
)  # fmt: skip
def test_settings_of_a_machine(found: list[str], machine: str, kernels: set[str], wanted: list[dict[str, str]]) -> None:
    assert processors.settings(found, machine, kernels) == wanted


def test_a_setting_is_what_the_libraries_then_use(tmp_path: Path) -> None:
    """In the first setting numpy finds nothing beyond its least, and numba compiles for no processor in particular."""
    program = (
        "import numpy as np, numba; "
        "print(np.show_config(mode='dicts')['SIMD Extensions'].get('found', []), numba.config.CPU_NAME)"
    )
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "processors.py", sys.executable, "-c", program],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[1] == "[] generic"


def test_a_failure_in_any_setting_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "here", lambda: [{"CODE": "0"}, {"CODE": "5"}, {"CODE": "0"}])
    ends = [sys.executable, "-c", "import os, sys; sys.exit(int(os.environ['CODE']))"]
    assert processors.main(ends) == 5
    assert "CODE" not in os.environ


def test_each_setting_has_its_own_file_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "here", lambda: [{}, {}])
    write = "import pathlib, sys; pathlib.Path(sys.argv[1].partition('=')[2]).touch()"
    processors.main([sys.executable, "-c", write, f"--junitxml={tmp_path / 'models.xml'}"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models-1.xml", "models-2.xml"]


VERSION: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "version.py"))


def test_what_is_said_of_a_python_that_the_lock_does_not_serve() -> None:
    told = VERSION["told"]
    assert told((3, 10)) == (
        "Python 3.10 is too old: the lock serves 3.11, 3.12, 3.13. Name another one: make setup PYTHON=python3.12", True
    )  # fmt: skip
    assert told((2, 7))[1]
    assert told((3, 14)) == ("Python 3.14 was not tried: the tests were run with 3.11, 3.12, 3.13", False)
    assert [told(version) for version in VERSION["TRIED"]] == [("", False)] * 3


def test_the_versions_are_the_same_everywhere() -> None:
    names = [".".join(map(str, version)) for version in VERSION["TRIED"]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == f">={names[0]}"
    assert f"Python {names[0]}, {names[1]} or {names[2]}" in (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = (ROOT / "docs" / "ci" / "workflow.yml").read_text(encoding="utf-8")
    assert re.findall(r'"(3\.\d+)"', workflow) == names


SUITE = "<testsuites><testsuite>{}</testsuite></testsuites>"
PASSED, FAILED = "<testcase/>", "<testcase><failure/></testcase>"


@pytest.mark.parametrize(
    ("cases", "code", "said"),
    [
        (PASSED * 2, 0, "one: 2 passed, 0 failed, 0 skipped"),
        (PASSED + FAILED, 1, "one: 1 passed, 1 failed, 0 skipped"),
        ('<testcase><skipped message="known"/></testcase>', 0, "one: 0 passed, 0 failed, 1 skipped"),
        ('<testcase><skipped message="new"/></testcase>', 1, "not in tests/allowed_skips.txt: new"),
        ("", 1, "one: 0 passed, 0 failed, 0 skipped"),
    ],
)  # fmt: skip
def test_counts(cases: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "allowed.txt").write_text("known\n\n")
    (tmp_path / "one.xml").write_text(SUITE.format(cases))
    (tmp_path / "two.xml").write_text(SUITE.format(PASSED))
    words = [sys.executable, ROOT / ".ci" / "counts.py", *(tmp_path / n for n in ("allowed.txt", "one.xml", "two.xml"))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout) == (code, True)
    assert "two: 1 passed" in done.stdout


def test_slow_tests_are_left_out_of_make_test_and_run_by_ci() -> None:
    def command(*words: str) -> str:
        done = subprocess.run(
            ["make", "-n", *words, "VENV=/nonexistent"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert '-m "not slow"' in command("test")
    assert "pytest -n auto --dist worksteal -m slow" in command("slow")
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r'^step test PYTEST_ARGS="-m slow ', steps, flags=re.MULTILINE)
    assert re.search(r"^step test PYTEST_ARGS=\"-p ", steps, flags=re.MULTILINE)
