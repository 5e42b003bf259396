"""Where prices come from. A new source is one file and one line in `SOURCES`."""

from engine.market.sources import folder, french, yahoo
from engine.market.sources.source import PRICE_COLUMNS, Access, Failure, Fetch, Fetched, Source

SOURCES = {
    "yahoo": yahoo.SOURCE,
    "french": french.SOURCE,
    "folder": folder.SOURCE,
}

__all__ = ["PRICE_COLUMNS", "SOURCES", "Access", "Failure", "Fetch", "Fetched", "Source"]
