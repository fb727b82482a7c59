"""Whom a destination's certificate is judged by, what is shown there, and in plain words why a connection failed."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from pathlib import Path

from minipaas.model.shipping import ShipConfig
from minipaas.telemetry import limits
from minipaas.telemetry.shipping.answer import NotSent, told

_PUBLIC = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
"""Where distributions keep the public roots, when OpenSSL as it was built looks elsewhere."""
_UNKNOWN = {18, 19, 20, 21}
"""X509_V_ERR_*: self-signed, or signed by somebody whom nobody here knows (verify(1))."""
_EXPIRED, _NOT_YET = 10, 9
_OTHER_NAME = {62, 64}
_PLAIN = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.ECONNRESET: "it broke the connection off",
    errno.EPIPE: "it broke the connection off",
    errno.ENETUNREACH: "there is no way to that network",
    errno.EHOSTUNREACH: "there is no way to that host",
    errno.ETIMEDOUT: "it does not answer",
}


def context_of(config: ShipConfig) -> ssl.SSLContext:
    """TLS 1.2 or newer, the name checked. Reads files. Raises NotSent for those that cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_flags |= ssl.VERIFY_X509_TRUSTED_FIRST
    file = config.ca
    try:
        if config.ca:
            made.load_verify_locations(config.ca)
        else:
            made.load_default_certs()
            file = next((one for one in _PUBLIC if Path(one).exists()), "")
            if file and not Path(ssl.get_default_verify_paths().openssl_cafile).exists():
                made.load_verify_locations(file)
        if config.cert:
            file = config.cert
            made.load_cert_chain(config.cert, config.key or None)
    except (OSError, ssl.SSLError) as error:
        reason = (
            error.strerror if not isinstance(error, ssl.SSLError) else "it is no PEM file of the kind that is wanted"
        )
        raise NotSent(f"cannot use {file}: {reason}") from None
    return made


def authorization_of(path: str) -> str:
    """The value of the header. Raises NotSent; nothing of the file's content is told."""
    import base64

    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(limits.SHIP_SECRET + 1)
    except OSError as error:
        raise NotSent(f"cannot use {path}: {error.strerror}") from None
    if stat.S_IMODE(status.st_mode) & 0o007:
        raise NotSent(f"cannot use {path}: everybody on this host may read it; chmod 600 {path}")
    text = content.decode(errors="replace").strip()
    if not text or len(content) > limits.SHIP_SECRET or not text.isascii() or not text.isprintable():
        raise NotSent(f"cannot use {path}: it holds no credentials; write USER:PASSWORD or Bearer TOKEN, in one line")
    if " " not in text and ":" in text:
        return "Basic " + base64.b64encode(text.encode()).decode()
    return text if " " in text else f"Bearer {text}"


def words_of(error: BaseException) -> str:
    """Why a connection could not be made, or broke."""
    found = getattr(error, "certificate_error", error)  # aiohttp's own is of that class too, and says less
    if isinstance(found, ssl.SSLCertVerificationError):
        return _certificate(found)
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    inner = getattr(error, "os_error", None) or error
    if isinstance(inner, ssl.SSLError):
        if inner.reason == "WRONG_VERSION_NUMBER":
            return "it does not speak TLS at that port"
        return f"TLS fails: {(inner.reason or 'no reason given').replace('_', ' ').lower()}"
    if isinstance(inner, socket.gaierror):
        return "its name is not known; is there a DNS server?"
    if isinstance(inner, OSError) and inner.errno in _PLAIN:
        return _PLAIN[inner.errno]
    return told(str(error)) or "it broke the connection off"


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _UNKNOWN:
        return "its certificate is of a CA that is not known here; name the CA's PEM file: ca"
    if error.verify_code in (_EXPIRED, _NOT_YET):
        word = "has ended" if error.verify_code == _EXPIRED else "is not valid yet"
        return f"its certificate {word}; or the clock of this box is wrong"
    if error.verify_code in _OTHER_NAME:
        return "its certificate is for another name than the one in url"
    return f"its certificate is not good: {error.verify_message}"
