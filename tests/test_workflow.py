"""The workflow that users copy: valid YAML, and every command of it a target of the Makefile."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "docs" / "ci" / "workflow.yml").read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
COMMANDS = [line for step in STEPS if "run" in step for line in step["run"].splitlines()]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_it_runs_on_every_push_and_keeps_what_it_found() -> None:
    assert {"push", "pull_request"} <= set(WORKFLOW[True])  # YAML 1.1 reads the key `on` as true
    assert all(("run" in step) != ("uses" in step) for step in STEPS)
    (keeps,) = [step for step in STEPS if "upload-artifact" in step.get("uses", "")]
    assert keeps["if"] == "always()"
    written = [word for command in COMMANDS for word in re.findall(r"[\w-]+\.(?:html|json|xml)", command)]
    kept = keeps["with"]["path"].split()
    assert written
    assert all(any(Path(name).match(pattern) for pattern in kept) for name in written)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_target(command: str) -> None:
    make, *words = shlex.split(command)
    assert make == "make"
    targets = [word for word in words if "=" not in word]
    variables = [word.partition("=")[0] for word in words if "=" in word]
    assert targets
    assert all(re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE) for target in targets)
    assert all(f"$({name})" in MAKEFILE for name in variables)
    done = subprocess.run(
        ["make", "-n", *words, "VENV=/nonexistent"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_proves_what_the_project_proves() -> None:
    named = {word for command in COMMANDS for word in shlex.split(command)}
    assert {"lint", "types", "test", "validate"} <= named


def test_what_validate_is_asked_for_it_knows() -> None:
    (command,) = [c for c in COMMANDS if c.startswith("make validate")]
    options = set(re.findall(r"--\w+", command))
    source = (ROOT / "engine" / "cli" / "verbs.py").read_text(encoding="utf-8")
    body = source[source.index("def validate(") : source.index("def bless(")]
    assert options == {"--report", "--json", "--junit"}
    assert all(f"{option[2:]}: Annotated" in body for option in options)
