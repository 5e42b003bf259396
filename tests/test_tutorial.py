"""The tutorial does what it says: every command is run in its order, and prints what stands below it.

``python tests/test_tutorial.py`` writes what the commands print into docs/tutorial.md again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"```sh\n(?P<commands>.*?)```(?:\n```text\n(?P<printed>.*?)```)?", flags=re.DOTALL)


def place(folder: Path) -> dict[str, str]:
    """The project's prices in ``folder``, and an environment whose `eventstudy` and `python` are those under test."""
    shutil.copytree(ROOT / "fixtures" / "prices", folder / "fixtures" / "prices")
    commands = folder.parent / f"{folder.name}-bin"
    commands.mkdir()
    for name, words in (("eventstudy", "-m engine.cli "), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n', encoding="utf-8")
        (commands / name).chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if k not in ("EVENTSTUDY_DATA", "COLUMNS")}
    return kept | {"PATH": f"{commands}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LC_ALL": "C"}


def printed_by(commands: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    environment = place(folder)
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(blocks) > 8
    for block in blocks:
        printed = printed_by(block["commands"], folder, environment)
        assert printed == (block["printed"] or ""), block["commands"]
    memo = (folder / "studies" / "drug-makers" / "out" / "memo.html").read_text(encoding="utf-8")
    assert "Do drug makers fall when they announce a takeover?" in memo


def test_a_command_that_fails_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with pytest.raises(AssertionError, match="is no study"):
        printed_by("eventstudy run absent", folder, place(folder))


def write_again() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "project"
        environment = place(folder)

        def shown(block: re.Match[str]) -> str:
            printed = printed_by(block["commands"], folder, environment)
            return f"```sh\n{block['commands']}```" + (f"\n```text\n{printed}```" if printed else "")

        PAGE.write_text(BLOCK.sub(shown, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write_again()
