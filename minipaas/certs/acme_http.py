"""HTTP to an ACME server, with an end: an answer is only so long, and takes only so long, however slowly it drips."""

from __future__ import annotations

import time
from typing import Any

from acme.client import ClientNetwork
from acme.messages import Error
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from minipaas.certs.limits import NONCES, AcmeLimits


class Network(ClientNetwork):
    """Tries again, more often than the library does, when a server does not know its own nonce (RFC 8555, section 6.5):
    some addresses stand for several servers."""

    def post(self, *args: Any, **more: Any) -> Response:
        """The answer to a signed request."""
        for _ in range(NONCES):
            try:
                return super().post(*args, **more)
            except Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **more)


class Bounded(HTTPAdapter):
    """For a session whose requests ask for no compression. Raises TimeoutError, and OSError for what is too long."""

    def __init__(self, limits: AcmeLimits) -> None:
        super().__init__()
        self._limits = limits

    def send(self, request: PreparedRequest, stream: bool = False, *args: Any, **more: Any) -> Response:
        """The whole answer, as `requests` wants it."""
        end = time.monotonic() + self._limits.request
        answer = super().send(request, True, *args, **more)
        read = bytearray()
        try:
            while piece := answer.raw.read1(64 * 1024, decode_content=False):
                read += piece
                if len(read) > self._limits.answer:
                    raise OSError("its answer is too long")
                if time.monotonic() > end:
                    raise TimeoutError
        finally:
            answer.close()
        answer._content, answer._content_consumed = bytes(read), True
        return answer
