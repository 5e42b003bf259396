"""Time on a machine that others use too: the least of several rounds, taken in turn, and whole processes from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spent:
    """wall, cpu: seconds, the least of the rounds. peak: MiB of the largest process, 0 where it is not known."""

    wall: float
    cpu: float
    peak: float = 0.0

    def least(self, other: Spent) -> Spent:
        return Spent(min(self.wall, other.wall), min(self.cpu, other.cpu), max(self.peak, other.peak))


def once(task: Callable[[], Any]) -> Spent:
    """The time of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(tasks: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Spent]:
    """Every task once a round, so that a busy minute falls on all of them; the least of each. A first call is not counted where
    there are several rounds."""
    found: dict[str, Spent] = {}
    for turn in range(rounds + (rounds > 1)):
        for name, task in tasks.items():
            spent = once(task)
            if turn or rounds == 1:
                found[name] = spent.least(found[name]) if name in found else spent
    return found


# A small process that starts the command: the memory of a child counts from that of the process that starts it.
LAUNCH = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
said = child.stderr.read().decode()
_, status, usage = os.wait4(child.pid, 0)
code = os.waitstatus_to_exitcode(status)
spent = [time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]
print(json.dumps({"code": code, "said": said, "spent": spent}))
"""


def process(command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Spent:
    """A command from its start to its end, its children included. Raises CalledProcessError where it fails."""
    launched = [sys.executable, "-S", "-c", LAUNCH, *command]
    done = subprocess.run(
        launched, env=os.environ | dict(environment or {}), cwd=cwd, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    if found["code"]:
        raise subprocess.CalledProcessError(found["code"], command, stderr=found["said"])
    return Spent(*found["spent"])
