"""A web session that cannot hang, overflow or be talked out of TLS; and the one way to point it at a loopback server."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi import CurlOpt
from curl_cffi.requests import Response, Session
from curl_cffi.requests import exceptions as web

from engine.errors import SpecError
from engine.market.sources.source import Access, Failure

LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost):\d{1,5}")
STOP_WRITING = 0xFFFFFFFF  # libcurl's CURL_WRITEFUNC_ERROR


def loopback_base(text: str | None) -> str | None:
    """The base address that tests put in place of every host. Raises SpecError for anything but this machine."""
    if not text:
        return None
    if not LOOPBACK.fullmatch(text):
        raise SpecError(
            f'the address of the test server, "{text}", is not http://127.0.0.1:<port> or http://localhost:<port>. '
            "Unset the variable; it is for tests only."
        )
    return text


class Trouble(Exception):
    """An answer that cannot be used; becomes the `Failure` of the symbol that was asked for."""

    def __init__(self, reason: str, detail: str, retryable: bool = False, stops: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.retryable, self.stops = reason, retryable, stops

    def of(self, symbol: str) -> Failure:
        return Failure(symbol, self.reason, str(self), self.retryable, self.stops)


class BoundedSession(Session[Response]):
    """A session whose every request verifies TLS, ends in time and stops at the size limit, whatever the caller asks.

    Raises Trouble for an answer that is too large, libcurl's own exceptions otherwise (see `trouble`).
    """

    def __init__(self, access: Access) -> None:
        stay = "http" if access.base else "https"
        super().__init__(
            impersonate="chrome", max_redirects=5, curl_options={CurlOpt.REDIR_PROTOCOLS_STR: stay.encode()}
        )
        self.access = access

    def request(self, method: Any, url: str, **options: Any) -> Response:  # type: ignore[override]
        parts: list[bytes] = []
        left = self.access.max_bytes

        def keep(chunk: bytes) -> int:
            nonlocal left
            left -= len(chunk)
            if left < 0:
                return STOP_WRITING
            parts.append(chunk)
            return len(chunk)

        options |= {"verify": True, "timeout": self.access.seconds, "stream": False, "content_callback": keep}
        try:
            answer = super().request(method, self._address(url), **options)
        except web.RequestException:
            if left < 0:
                raise Trouble("too_large", f"the answer has more than {self.access.max_bytes} bytes") from None
            raise
        answer.content = b"".join(parts)
        return answer

    def _address(self, url: str) -> str:
        if self.access.base is None:
            return url
        base = urlsplit(self.access.base)
        return urlunsplit(urlsplit(url)._replace(scheme=base.scheme, netloc=base.netloc))


def trouble(error: web.RequestException) -> Trouble:
    """A failed request in the words of a `Failure`."""
    text = str(error).partition(" See https")[0]
    if isinstance(error, web.Timeout):
        return Trouble("timeout", text, retryable=True)
    if isinstance(error, web.SSLError):
        return Trouble("tls", text, stops=True)
    if isinstance(error, web.IncompleteRead | web.ChunkedEncodingError | web.ContentDecodingError):
        return Trouble("truncated", text, retryable=True)
    if isinstance(error, web.ConnectionError | web.ProxyError):
        return Trouble("unreachable", text, retryable=True, stops=True)
    return Trouble("broken_answer", text, retryable=True)
