"""How TLS is spoken here, for every listener: TLS 1.2 and 1.3, forward secrecy and AEAD only, HTTP/1.1.

What always holds: no compression, no renegotiation, no TLS below 1.2; private keys reach OpenSSL through memory, not
through a file that anybody could open.
"""

from __future__ import annotations

import os
import ssl

from minipaas.certs.pair import Pair

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of TLS 1.3 are all good (RFC 9325, section 4.2)."""
_PRIORITIZE_CHACHA = 1 << 21
"""SSL_OP_PRIORITIZE_CHACHA: for clients that put ChaCha20 first, because they have no AES in hardware."""


def server_context(pair: Pair, *, tickets: bool = True) -> ssl.SSLContext:
    """A context that speaks for this pair. `tickets`: sessions may be resumed, with keys that live as long as it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
        | ssl.OP_SINGLE_ECDH_USE
        | _PRIORITIZE_CHACHA
    )
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    install(context, pair)
    return context


def install(context: ssl.SSLContext, pair: Pair) -> None:
    """Have a context speak for this pair from the next connection on."""
    # OpenSSL takes names of files only; this file has no name, and is gone with its descriptor (memfd_create(2)).
    held = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(held), "wb") as out:
            out.write(pair.key + pair.chain)
        context.load_cert_chain(f"/proc/self/fd/{held}")
    finally:
        os.close(held)
