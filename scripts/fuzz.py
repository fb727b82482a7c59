"""Spoiled inputs, many, to what reads them from strangers. Each is made from a number, so that each can be had again.

ingress   heads of requests, heads of answers and chunked bodies to their parsers; whole conversations of two clients
          with two instances, cut into pieces at random, with connections that stall, break off and come late
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import traceback
from collections.abc import Callable

import psutil
from fuzzing import conversation, parsers


def _talk(seed: int) -> None:
    conversation.Conversation(seed).run()


INGRESS: dict[str, tuple[Callable[[int], None], int]] = {
    "heads of requests": (parsers.head, 4),
    "heads of answers": (parsers.answer, 2),
    "chunked bodies": (parsers.chunks, 2),
    "conversations": (_talk, 2),
}
"""Name -> what takes one input, and how many of ten inputs it gets."""
SHOWN = 5
"""So many findings of a kind are shown in full."""


def fuzz(count: int, first: int = 0, *, quiet: bool = False) -> int:
    """Run `count` inputs, numbered from `first`. Returns the number of findings."""
    findings = 0
    for name, (take, share) in INGRESS.items():
        number = count * share // 10
        began, before, most = time.monotonic(), _memory(), 0.0
        found = 0
        for seed in range(first, first + number):
            at = time.process_time()
            try:
                take(seed)
            except Exception:  # whatever it is, it is a finding
                found += 1
                if found <= SHOWN:
                    print(f"{name}, input {seed}:\n{traceback.format_exc(limit=-6)}", file=sys.stderr)
            most = max(most, time.process_time() - at)
            if seed - first == number // 10:
                before = _memory()
        took = time.monotonic() - began
        findings += found
        if not quiet:
            grown = (_memory() - before) / 1024
            rate = number / max(took, 1e-9)
            print(
                f"{name:<18} {number:>9,} inputs  {rate:>7,.0f}/s  slowest {most * 1000:>5,.0f} ms  "
                f"memory {grown:+,.0f} KiB  findings {found}",
                flush=True,
            )
    return findings


def _memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["ingress"])
    parser.add_argument("--count", type=int, default=100_000, help="inputs in all")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    asked = parser.parse_args()
    findings = fuzz(asked.count, asked.first)
    print(f"{findings} findings" if findings else "nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
