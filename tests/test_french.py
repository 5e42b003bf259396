"""Files of Kenneth French's data library: what is read, what is left out, and archives that mean harm."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from loopback import Loopback, Reply, loopback

from engine.errors import DataError, MissingData
from engine.market.fetching import Manners, Wanted, fetch_snapshot
from engine.market.sources import SOURCES, Access, Failure
from engine.market.sources.french import read_french

NAME = "F-F_Research_Data_Factors_daily"
TEXT = """\
This file was created by CMPT_ME_BEME_RETS_DAILY using the 202412 CRSP database.
The Tbill return is the simple daily rate that, over the number of trading days, compounds to 1-month TBill rate.

,Mkt-RF,SMB,HML,RF
20240102,   -0.70,   -0.95,    0.85,    0.022
20240103,   -0.89,  -99.99,   -0.06,    0.022
20240104,   -0.42, -999,       0.05,    0.022

  Annual Factors: January-December
,Mkt-RF,SMB,HML,RF
  2023,   21.69,   -5.62,  -10.83,    4.95

Copyright 2024 Kenneth R. French
"""
ROWS = {
    "date": [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)],
    "Mkt-RF": [-0.70, -0.89, -0.42],
    "SMB": [-0.95, None, None],
    "HML": [0.85, -0.06, 0.05],
    "RF": [0.022, 0.022, 0.022],
}
LIMIT = 100_000


def packed(*members: tuple[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize(
    "data", [TEXT.encode(), packed(("a.CSV", TEXT)), packed(("../../a.CSV", TEXT)), TEXT.replace("\n", "\r\n").encode()]
)
def test_daily_rows_in_percent(data: bytes) -> None:
    assert read_french(data, "file", LIMIT).to_dict(as_series=False) == ROWS


def test_five_factors() -> None:
    text = ",Mkt-RF,SMB,HML,RMW,CMA,RF\n20240102,1,2,3,4,5,6\n"
    assert read_french(text.encode(), "file", LIMIT).columns == ["date", "Mkt-RF", "SMB", "HML", "RMW", "CMA", "RF"]


def encrypted() -> bytes:
    data = bytearray(packed(("a.CSV", TEXT)))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(mark) + place
        data[at : at + 2] = struct.pack("<H", 1)
    return bytes(data)


def damaged() -> bytes:
    data = bytearray(packed(("a.CSV", TEXT * 20), method=zipfile.ZIP_STORED))
    data[100] ^= 0xFF
    return bytes(data)


def renamed(name: bytes, flags: int = 0) -> bytes:
    """An archive whose one file has another name of one byte, or none, in both headers."""
    data = bytearray(packed(("a", TEXT)))
    for mark, flag, length, at in ((b"PK\x03\x04", 6, 26, 30), (b"PK\x01\x02", 8, 28, 46)):
        start = data.index(mark)
        data[start + flag : start + flag + 2] = struct.pack("<H", flags)
        data[start + length : start + length + 2] = struct.pack("<H", len(name))
        data[start + at : start + at + 1] = name
    end = data.index(b"PK\x05\x06")
    size = struct.unpack("<I", data[end + 12 : end + 16])[0] - 1 + len(name)
    begin = data.index(b"PK\x01\x02")
    data[end + 12 : end + 20] = struct.pack("<II", size, begin)
    return bytes(data)


def at_odds() -> bytes:
    """An archive whose list of files stands before its files."""
    data = bytearray(packed(("a.CSV", TEXT)))
    end = data.index(b"PK\x05\x06")
    data[end + 16 : end + 20] = struct.pack("<I", 2**32 - 1)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (renamed(b""), "is damaged"),
        (renamed(b"\xff", flags=0x800), "is damaged"),
        (at_odds(), "is damaged"),
        (packed(("a.CSV", TEXT), method=zipfile.ZIP_LZMA), "packed in a way that the library does not use"),
        (packed(("a.CSV", TEXT), method=zipfile.ZIP_BZIP2), "packed in a way that the library does not use"),
        (b",Mkt-RF,date\n20240102,1,2\n", "stands there twice"),
        (packed(("a.CSV", " " * (LIMIT + 1))), "unpacks to more than 100000 bytes"),
        (packed(("a.CSV", TEXT), ("b.CSV", TEXT)), "holds 2 files"),
        (packed(), "holds 0 files"),
        (encrypted(), "is encrypted"),
        (damaged(), "is damaged"),
        (packed(("a.CSV", TEXT))[:-40], "is damaged"),
        (b"<html>Sign in</html>", "no header with factors"),
        (b"", "no header with factors"),
        (b",Mkt-RF,SMB,HML,RF\n202401,1,2,3,4\n", "line 2: is no daily row"),
        (b",Mkt-RF,SMB\n20240102,1,x\n", "line 2"),
        (b",Mkt-RF,SMB\n20240102,1,inf\n", "line 2"),
        (b",Mkt-RF,SMB\n20240102,1\n", "should have 2 numbers"),
        (b",Mkt-RF,SMB\n20240230,1,2\n", "is no date with numbers"),
        (b",Mkt-RF,SMB\n20240103,1,2\n20240102,1,2\n", "2024-01-02 does not follow 2024-01-03"),
        (b",Mkt-RF,Mkt-RF\n20240102,1,2\n", "stands there twice"),
    ],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_french(data, "file", LIMIT)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        running.files[f"/pages/faculty/ken.french/ftp/{NAME}_CSV.zip"] = Reply(packed((f"{NAME}.CSV", TEXT)))
        yield running


def test_a_data_set_becomes_a_snapshot_of_factors(server: Loopback, tmp_path: Path) -> None:
    access = Access(place=NAME, base=server.base)
    now, manners = datetime(2024, 2, 1, tzinfo=UTC), Manners(lambda seconds: None, np.random.default_rng(1))
    wanted = [Wanted(NAME, needed=True)]
    done = fetch_snapshot(tmp_path / "french", "french", wanted, date(2024, 1, 3), now, access, manners)
    assert (done.root / "factors" / f"{NAME}.csv").read_text() == (
        "date,Mkt-RF,SMB,HML,RF\n2024-01-02,-0.7,-0.95,0.85,0.022\n2024-01-03,-0.89,,-0.06,0.022\n2024-01-04,-0.42,,0.05,0.022\n"
    )
    assert '"units": "percent"' in (done.root / "manifest.json").read_text()
    assert sorted(p.name for p in done.root.iterdir()) == ["factors", "manifest.json"]


def test_what_the_library_does_not_have(server: Loopback, tmp_path: Path) -> None:
    def reason(place: str, **limits: int) -> str:
        answer = SOURCES["french"].start(Access(place, server.base, **limits))("x", date.min, date.max)
        assert isinstance(answer, Failure)
        return answer.reason

    assert reason("Nothing_daily") == "not_found"
    assert reason(NAME, max_bytes=50) == "too_large"
    (tmp_path / "file.zip").write_bytes(b"PK, but no archive")
    assert reason(str(tmp_path / "file.zip")) == "unreadable"
    assert reason(str(tmp_path / "file.zip"), max_bytes=5) == "unreadable"
    with pytest.raises(MissingData, match="no name of a data set"):
        SOURCES["french"].start(Access("../secret", server.base))
