"""The release hook: bring what is in Redis to the schema that this release needs. Running it again changes nothing."""

from __future__ import annotations

import json
import os
import sys
import time

import redis

WAIT = 30


def connect() -> redis.Redis:
    """Redis may have been started a moment ago."""
    store = redis.Redis(host=os.environ.get("REDIS_HOST", "redis"), socket_timeout=5, decode_responses=True)
    deadline = time.monotonic() + WAIT
    while True:
        try:
            store.ping()
            return store
        except redis.RedisError as error:
            if time.monotonic() > deadline:
                sys.exit(f"cannot migrate: Redis does not answer within {WAIT} seconds: {error}")
            time.sleep(0.5)


def to_1(store: redis.Redis) -> None:
    """An empty book gets its first line."""
    if not store.exists("guestbook:entries"):
        first = {"name": "the release hook", "text": "This book is open.", "at": int(time.time())}
        store.lpush("guestbook:entries", json.dumps(first))


def to_2(store: redis.Redis) -> None:
    """Count what was ever written, because old lines are dropped."""
    store.setnx("guestbook:written", store.llen("guestbook:entries"))


MIGRATIONS = (to_1, to_2)


def main() -> None:
    store = connect()
    schema = int(store.get("guestbook:schema") or 0)
    if schema > len(MIGRATIONS):
        print(f"the data has schema {schema}, newer than this release's {len(MIGRATIONS)}: leaving it alone")
        return
    for number, migrate in enumerate(MIGRATIONS[schema:], start=schema + 1):
        print(f"migrating to schema {number}: {migrate.__doc__}")
        migrate(store)
        store.set("guestbook:schema", number)
    print(f"schema {len(MIGRATIONS)}: nothing left to do")


if __name__ == "__main__":
    main()
