"""How to reach a box: its address, a connection, a look at what it sends, and why it could not be reached.

What always holds: nothing here waits longer than it is told, and `unreachable` ends in the next command to type.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from minipaas.model.errors import Invalid, MinipaasError, Unreachable

if TYPE_CHECKING:
    import ssl

SOCKET_NAME = "minipaas.sock"
DEFAULT_PORT = 7070
CA_VARIABLE = "MINIPAAS_CA"
"""A PEM file: https boxes are believed when this CA signed their certificate, and else not."""
_SOCKADDR_MAX = 100
"""A Unix socket path longer than this may not fit into sockaddr_un (108 bytes)."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SCRIPT = "etc/init.d/minipaas"
"""Of OpenRC and System V."""


def default_data() -> Path:
    """The data directory of this user's box: MINIPAAS_DATA, /var/lib/minipaas for root, else the XDG place."""
    if named := os.environ.get("MINIPAAS_DATA"):
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/minipaas")
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/share") / "minipaas"


class Address(msgspec.Struct, frozen=True):
    """Where a box is: `unix:///path/minipaas.sock`, `http://host[:port]` or `https://host[:port]`."""

    scheme: str
    host: str
    """The host, or the path of the socket."""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Take a URL; the port defaults to 7070. Raises Invalid."""

        def wrong(why: str) -> Invalid:
            return Invalid(
                f"cannot use {text!r} as a box: {why}",
                hint="write unix:///path/minipaas.sock, http://host:port or https://host:port",
                code="cli.address",
            )

        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise wrong(str(error)) from None
        if parts.scheme == "unix":
            if parts.netloc or not parts.path.startswith("/"):
                raise wrong("a socket needs an absolute path")
            return cls("unix", parts.path)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise wrong("not a URL of a box")
        if parts.username is not None:
            raise wrong("a token goes into MINIPAAS_TOKEN, not into the URL")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise wrong("only host and port, no path")
        return cls(parts.scheme, parts.hostname, DEFAULT_PORT if port is None else port)

    @property
    def private(self) -> bool:
        """Whether nobody on the way can read along."""
        return self.scheme != "http" or self.host in _LOOPBACK

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.host}"
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Reader(io.RawIOBase):
    """What the box sends, with a look ahead that does not wait. Stands in for the socket in HTTPResponse."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        self._ahead = bytearray()
        self._ended = False

    def makefile(self, mode: str) -> io.BufferedReader:
        """What HTTPResponse asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            del self._ahead[:count]
            return count
        return 0 if self._ended else self.sock.recv_into(buffer)

    def glance(self) -> None:
        """Take in what has arrived, without waiting. TLS records that carry nothing for us are swallowed here."""
        timeout = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            while data := self.sock.recv(65536):
                self._ahead += data
                if len(self._ahead) > 65536:
                    return
            self._ended = True
        except BlockingIOError:
            return
        except ConnectionResetError:
            self._ended = True
        except OSError as error:  # ssl.SSLWantReadError and its like, without importing ssl
            if type(error).__name__ not in ("SSLWantReadError", "SSLWantWriteError"):
                raise
        finally:
            self.sock.settimeout(timeout)

    def wait(self, timeout: float) -> bool:
        """Whether a first line, or the end, arrives within so many seconds."""
        until = time.monotonic() + timeout
        while not (self._ended or b"\n" in self._ahead):
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return False
            before = len(self._ahead)
            self.glance()
            if not self._ended and len(self._ahead) == before:
                time.sleep(0.01)  # readable, but nothing in it for us: do not spin
        return True

    def answered(self) -> bool:
        """Whether what has arrived is more than an interim answer (1xx), which is dropped."""
        while self._ahead.startswith(b"HTTP/1.1 1"):
            end = self._ahead.find(b"\r\n\r\n")
            if end < 0:
                return False
            del self._ahead[: end + 4]
        return bool(self._ahead) or self._ended


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, also one whose path is too long for sockaddr_un."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with reachable_path(self._path) as path:
            self.sock.connect(path)


@contextlib.contextmanager
def reachable_path(path: str) -> Iterator[str]:
    """A name of the Unix socket at `path` that is short enough for sockaddr_un, for as long as the block lasts."""
    if len(os.fsencode(path)) <= _SOCKADDR_MAX:
        yield path
        return
    directory, name = os.path.split(path)
    held = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{held}/{name}"
    finally:
        os.close(held)


def connection(address: Address, connect: float, timeout: float) -> http.client.HTTPConnection:
    """Not connected yet; the first wait is `connect` seconds, the later ones `timeout`."""
    made: http.client.HTTPConnection
    if address.scheme == "unix":
        made = _UnixConnection(address.host, connect)
    elif address.scheme == "https":
        made = http.client.HTTPSConnection(address.host, address.port, timeout=connect, context=tls_context())
    else:
        made = http.client.HTTPConnection(address.host, address.port, timeout=connect)
    plain = made.connect

    def connect_then_wait() -> None:
        plain()
        made.sock.settimeout(timeout)

    made.connect = connect_then_wait  # type: ignore[method-assign]
    return made


def tls_context() -> ssl.SSLContext:
    """Raises Invalid for a CA that cannot be read."""
    import ssl

    named = os.environ.get(CA_VARIABLE)
    try:
        return ssl.create_default_context(cafile=named or None)
    except (OSError, ssl.SSLError) as error:
        why = (
            error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "there is no PEM certificate"
        )
        raise Invalid(
            f"cannot use the CA in {named}: {why}",
            hint="name a PEM file with --ca or MINIPAAS_CA; a box gives its own with: minipaas certs ca",
            code="cli.ca",
        ) from None


def late(address: Address, seconds: float) -> Unreachable:
    look = _service_of(address, "status") or "minipaas doctor"
    return Unreachable(
        f"cannot reach {address}: no answer within {seconds:g} s",
        hint=f"look at the box: {look}{'; journalctl -u minipaas' if look.startswith('systemctl s') else ''}",
        code="box.silent",
    )


def service(verb: str, root: Path = Path("/")) -> str:
    """What starts the box of this machine, or tells how it is, as `minipaas install` would have it; empty where nothing
    starts services."""
    if (root / "run/systemd/system").is_dir():
        units = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "systemd/user")
        mine = os.geteuid() != 0 and (units / "minipaas.service").exists()
        return f"systemctl {'--user ' if mine else ''}{verb} minipaas"
    return f"/{_SCRIPT} {verb}" if (root / _SCRIPT).exists() else ""


def _service_of(address: Address, verb: str) -> str:
    """The same of any box; of those elsewhere is known only that most have systemd."""
    local = address.scheme == "unix" or address.host in _LOOPBACK
    return service(verb) if local else f"systemctl {verb} minipaas"


def unreachable(address: Address, error: Exception, timeout: float) -> MinipaasError:
    """Why a box does not answer, and the next command to type."""
    local = address.scheme == "unix"
    started = _service_of(address, "start")
    start = f"start it: {f'{started} (or: minipaas serve)' if started else 'minipaas serve'}; another box: --to URL"
    if isinstance(error, TimeoutError):
        return late(address, timeout)
    if isinstance(error, FileNotFoundError | NotADirectoryError) and local:
        return Unreachable(f"cannot reach the box: there is no socket {address.host}", hint=start, code="box.no_socket")
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"cannot reach the box: nobody listens at {address}", hint=start, code="box.refused")
    if isinstance(error, PermissionError) and local:
        return Unreachable(
            f"cannot reach the box: {address.host} is not open to you",
            hint="type it with sudo, or as the user that runs minipaas; or set MINIPAAS_TOKEN and use "
            f"--to http://127.0.0.1:{DEFAULT_PORT}",
            code="box.permission",
        )
    if isinstance(error, socket.gaierror):
        return Unreachable(
            f"cannot reach the box: the name {address.host!r} is not known here",
            hint="use an address instead of the name, or mend the name's lookup",
            code="box.name",
        )
    if type(error).__name__ == "SSLCertVerificationError":
        return _untrusted(address, error)
    if type(error).__name__ == "SSLError":
        return Unreachable(
            f"cannot reach {address}: it does not speak TLS as we do",
            hint=f"is it an http box? --to http://{address.host}:{address.port} works on its own machine",
            code="box.tls",
        )
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError | http.client.IncompleteRead):
        why = "it closed the connection without an answer"
    elif isinstance(error, http.client.HTTPException):
        why = "what answers there does not speak HTTP/1.1"
    else:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Unreachable(
        f"cannot reach {address}: {why}",
        hint="try again; if it stays so: journalctl -u minipaas on the box",
        code="box.broken",
    )


def _untrusted(address: Address, error: Exception) -> Unreachable:
    """A certificate that was not believed, by what is wrong with it (X509_V_ERR_…, openssl-verification-options(1))."""
    code = getattr(error, "verify_code", 0)
    if code in (9, 10):  # not yet valid, expired
        hint = "compare the clocks, here and on the box; there: minipaas certs"
    elif code in (62, 64):  # another host, another address
        hint = "use an address that it is for, or on the box write this one into [api] names or listen; minipaas certs"
    else:
        hint = (
            "give the CA of the box, fetched by a way that you trust: "
            f"ssh {address.host} minipaas certs ca > ca.pem, then add: --ca ca.pem"
        )
    why = getattr(error, "verify_message", "") or str(error)
    return Unreachable(f"cannot trust {address}: {why}", hint=hint, code="box.certificate")
