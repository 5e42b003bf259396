"""The command `eventstudy`: the only place that prints, exits, or reaches the network."""

from __future__ import annotations

from typing import NoReturn

from engine.cli.stopping import stoppable
from engine.cli.streams import standing_streams

__all__ = ["main"]


def main() -> NoReturn:
    """The entry point. Signals and streams are seen to before anything else is imported."""
    with standing_streams(), stoppable():
        from engine.cli import verbs

        verbs.main()
