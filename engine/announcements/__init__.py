"""The event calendar: which listing, when announced, and the first session that could react."""

from engine.announcements.calendar import Announcements, read_announcements
from engine.announcements.milestones import STAMPS
from engine.announcements.reaction import (
    Reaction,
    Stamp,
    exchange_of,
    exchange_of_benchmark,
    parse_stamp,
    reaction_days,
    stamp_days,
)

__all__ = [
    "STAMPS",
    "Announcements",
    "Reaction",
    "Stamp",
    "exchange_of",
    "exchange_of_benchmark",
    "parse_stamp",
    "reaction_days",
    "read_announcements",
    "stamp_days",
]
