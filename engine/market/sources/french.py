"""Daily factors of Kenneth French's data library: a local ZIP or CSV file, or a data set by its name.

The values stay in percent a day, as published; -99.99 and -999 are missing. The lines above the header, later sections
and the copyright line are left out. An archive is read in memory: one file of it, to a limit, and no path of it is used.
"""

from __future__ import annotations

import io
import re
import zipfile
from datetime import date
from pathlib import Path

import polars as pl
from curl_cffi.requests import exceptions as web

from engine.errors import DataError, MissingData
from engine.files import read_bytes
from engine.market.sources.source import Access, Failure, Fetch, Fetched, Source
from engine.market.sources.web import BoundedSession, Trouble, trouble

LIBRARY = "https://mba.tuck.dartmouth.edu/pages/faculty/ken.french/ftp/{name}_CSV.zip"
DATA_SET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
MISSING = (-99.99, -999.0)
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the methods of the library; others unpack into far more
FACTORS = ("Mkt-RF", "SMB", "HML", "RMW", "CMA", "RF", "Mom", "WML")


def _start(access: Access) -> Fetch:
    path = Path(str(access.place))
    if not path.is_file() and not DATA_SET.fullmatch(str(access.place)):
        raise MissingData(f"{path}: is no file, and no name of a data set such as F-F_Research_Data_Factors_daily.")

    def fetch(symbol: str, first: date, last: date) -> Fetched | Failure:
        try:
            if path.is_file():
                data, where = read_bytes(path, access.max_bytes), str(path)
            else:
                where = LIBRARY.format(name=access.place)
                data = _download(where, access)
            return Fetched(symbol, read_french(data, where, access.max_bytes), notes=("percent a day",))
        except DataError as problem:
            return Failure(symbol, "unreadable", str(problem))
        except Trouble as problem:
            return problem.of(symbol)
        except web.RequestException as problem:
            return trouble(problem).of(symbol)
        except OSError as problem:
            return Failure(symbol, "unreadable", f"{path}: {problem.strerror}")

    return fetch


def _download(url: str, access: Access) -> bytes:
    with BoundedSession(access) as session:
        answer = session.get(url)
    if answer.status_code == 404:
        raise Trouble("not_found", f"{url} is not there")
    if answer.status_code != 200:
        raise Trouble("server_error", f"{url}: status {answer.status_code}", retryable=True)
    data: bytes = answer.content
    return data


def read_french(data: bytes, where: str, max_bytes: int) -> pl.DataFrame:
    """The first daily section of a file of the library: ``date`` and one column a factor, in percent, null where missing.

    data: a ZIP archive or the CSV itself. Raises DataError for an archive that is damaged, encrypted, too large or holds
    more than one file, and for a file without daily rows, with text for a number, or with days out of order.
    """
    lines = (_only_member(data, where, max_bytes) if data[:2] == b"PK" else data).decode("latin-1").splitlines()
    header, start = _header(lines, where)
    rows: list[tuple[date, list[float | None]]] = []
    for number, line in enumerate(lines[start:], start + 1):
        cells = [c.strip() for c in line.split(",")]
        if not re.fullmatch(r"\d{8}", cells[0]):
            break
        try:
            day = date.fromisoformat(f"{cells[0][:4]}-{cells[0][4:6]}-{cells[0][6:]}")
            values = [None if float(c) in MISSING else float(c) for c in cells[1:]]
        except ValueError:
            raise DataError(f'{where}: line {number}: "{line.strip()[:60]}" is no date with numbers.') from None
        if len(values) != len(header) or any(v is not None and not abs(v) < 1e6 for v in values):
            raise DataError(f"{where}: line {number}: should have {len(header)} numbers, for {', '.join(header)}.")
        if rows and day <= rows[-1][0]:
            raise DataError(f"{where}: line {number}: {day} does not follow {rows[-1][0]}.")
        rows.append((day, values))
    schema = {"date": pl.Date, **dict.fromkeys(header, pl.Float64)}
    return pl.DataFrame([(day, *values) for day, values in rows], schema, orient="row")


def _header(lines: list[str], where: str) -> tuple[list[str], int]:
    """The factor names of the first daily section, and the position of its first row."""
    for i, line in enumerate(lines[:-1]):
        first, *names = [c.strip() for c in line.split(",")]
        if first in ("", "Date", "date") and any(n in FACTORS for n in names):
            if not re.match(r"\s*\d{8}\s*,", lines[i + 1]):
                raise DataError(f"{where}: line {i + 2}: is no daily row (YYYYMMDD). Take a data set named ..._daily.")
            if len({"date", *names}) <= len(names) or "" in names:
                raise DataError(f"{where}: line {i + 1}: a factor has no name, or a name stands there twice.")
            return names, i + 1
    raise DataError(
        f"{where}: has no header with factors such as Mkt-RF, SMB, HML and RF. Is it a file of the library?"
    )


def _only_member(data: bytes, where: str, max_bytes: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [m for m in archive.infolist() if not m.is_dir()]
            if len(files) != 1:
                raise DataError(f"{where}: the archive holds {len(files)} files; one is expected.")
            if files[0].flag_bits & 1:
                raise DataError(f"{where}: the archive is encrypted. Unpack it and give the CSV file.")
            if files[0].compress_type not in PACKED:
                raise DataError(
                    f"{where}: the archive is packed in a way that the library does not use. Give the CSV file."
                )
            with archive.open(files[0]) as member:
                text = member.read(max_bytes + 1)
    except DataError:
        raise
    except Exception as error:  # a damaged header leads the reader of archives into errors of every kind
        raise DataError(f"{where}: the archive is damaged: {str(error)[:200] or type(error).__name__}") from None
    if len(text) > max_bytes:
        raise DataError(f"{where}: unpacks to more than {max_bytes} bytes.")
    return text


SOURCE = Source(
    start=_start,
    about={"source": "Kenneth R. French data library", "redistributable": False, "units": "percent"},
    factors=True,
    needs_place=True,
)
