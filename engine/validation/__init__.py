"""What validation found, study by study, and the forms it is handed on in: a line, JSON, JUnit XML, a page."""

from engine.validation.check import Check, failed, left_out, lines, without_golden
from engine.validation.forms import as_json, as_junit
from engine.validation.page import as_html

__all__ = ["Check", "as_html", "as_json", "as_junit", "failed", "left_out", "lines", "without_golden"]
