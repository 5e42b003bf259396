"""Files that a stranger may have written: what is read, what is refused, and how large it may be."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from engine import csvtext, files
from engine.announcements import contamination
from engine.errors import SpecError
from engine.files import FACTOR, Refused, check_file, open_file, read_bytes, read_text
from engine.market import partitions
from engine.scale import nearby


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read_bytes(path) == b"\xef\xbb\xbfone\r\ntwo"
    assert read_text(path) == "one\ntwo"
    assert check_file(path) == str(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        for path in (tmp_path, tmp_path / "fifo", tmp_path / "link", Path("/dev/zero"), tmp_path / "socket"):
            for read in (open_file, read_bytes, read_text, check_file):
                with pytest.raises(OSError, match=r"folder|device|No such device"):
                    read(path)


def test_a_path_that_is_no_name_is_an_error_of_the_system() -> None:
    with pytest.raises(Refused, match="no name of a file"):
        read_bytes(Path("a\0b"))


def test_a_sparse_giant_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "giant"
    with path.open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(Refused, match=f"10,000,000,000,000 bytes, 1,000,000,000 are allowed: set {FACTOR}=10000 in"):
        read_bytes(path)


def test_a_file_that_is_longer_than_it_says_is_refused() -> None:
    with pytest.raises(Refused, match="more than the 10 bytes"):
        read_bytes(Path("/proc/self/status"), 10)


def test_the_user_of_the_machine_raises_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 15)
    with pytest.raises(Refused):
        read_bytes(path, 10)
    monkeypatch.setenv(FACTOR, "1.5")
    assert len(read_bytes(path, 10)) == 15
    for wrong in ("no", "0.5", "nan", "inf", "-3"):
        monkeypatch.setenv(FACTOR, wrong)
        with pytest.raises(SpecError, match=FACTOR):
            read_bytes(path, 10)


def test_the_page_tells_the_limits() -> None:
    page = (Path(__file__).parents[1] / "docs" / "limits.md").read_text(encoding="utf-8")
    told = [
        int(line.split("|")[2].split()[0].replace(",", ""))
        for line in page.splitlines()
        if re.search(r"\| [\d,]+ ?[a-z]* \|$", line)
    ]
    assert told == [
        files.SETTINGS, files.RECORD, files.TABLE, csvtext.COLUMNS, csvtext.CELLS, partitions.MOST_ROWS, partitions.MOST_IN_GROUP,
        files.TEXT, contamination.MOST_NEAR, nearby.MOST_NEAR, nearby.MOST_STREAMED,
    ]  # fmt: skip
    assert f"More than {files.MARKS} combining marks" in page
    assert f"{FACTOR}=4" in page


def test_a_name_that_is_part_of_a_path_is_not_plain() -> None:
    assert all(map(files.is_plain, ("0981.HK", "^HSI", "a b", ".x", "BZ=F", "x[1]", "中国")))
    assert not any(map(files.is_plain, ("", ".", "..", "...", "a/b", "/a", "a\\b", "a\0")))
