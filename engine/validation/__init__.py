"""What validation found, study by study, and the forms it is handed on in: a line, JSON, JUnit XML, a page."""

from engine.validation.check import (
    Check,
    counted,
    exit_code,
    failed,
    left_out,
    lines,
    unmet,
    without_golden,
)  # fmt: skip
from engine.validation.forms import as_json, as_junit
from engine.validation.page import as_html

__all__ = [
    "Check", "as_html", "as_json", "as_junit", "counted", "exit_code", "failed", "left_out", "lines", "unmet", "without_golden",
]  # fmt: skip
