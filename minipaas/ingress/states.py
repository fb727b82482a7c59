"""The states of a client's connection, and how long each may last without anything moving.

IDLE ─> HEAD ─> (HELD ─>) CONNECT ─> SEND ─> WAIT ─> ANSWER ─> IDLE, or NEXT when the next request is here already,
                                              │                or CLOSING / LINGER when the connection ends
                                              └─> TUNNEL ─> HALF ─> CLOSING
"""

from __future__ import annotations

from minipaas.ingress.limits import Limits

IDLE = 0
"""Between two requests."""
HEAD = 1
"""A part of a head is here."""
CONNECT = 2
"""Waits for a connection to an instance; what comes of the body is held."""
SEND = 3
"""The body goes to the instance as it comes."""
WAIT = 4
"""The request is sent, no head of an answer has come."""
ANSWER = 5
"""The answer goes to the client as it comes; of the body too, when the instance answered early."""
NEXT = 6
"""The answer is written; the next request, or room to answer it, is waited for before reading on."""
TUNNEL = 7
"""Bytes both ways, nobody reads them here."""
HALF = 8
"""A tunnel of which one side has said all."""
LINGER = 9
"""Refused and told so; input is dropped until the client has seen it."""
CLOSING = 10
"""What is written is still on its way."""
HELD = 11
"""Waits for an instance that is there and has room; what comes of the body is held."""
GONE = 12


def patience_of(limits: Limits) -> dict[int, float]:
    """Seconds by state."""
    return {
        IDLE: limits.keep_alive,
        HEAD: limits.head_time,
        CONNECT: (limits.connect + limits.tick) * limits.attempts,
        SEND: limits.body_gap,
        WAIT: limits.first_byte,
        ANSWER: limits.answer_gap,
        NEXT: limits.send_gap,
        TUNNEL: limits.tunnel_gap,
        HALF: limits.half_gap,
        LINGER: limits.linger,
        CLOSING: limits.send_gap,
        GONE: limits.linger,
        HELD: 0.0,  # until `since`, which lies ahead
    }
