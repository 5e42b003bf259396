"""The command `eventstudy`: the only place that prints, exits, or reaches the network."""

from engine.cli.verbs import app, main

__all__ = ["app", "main"]
