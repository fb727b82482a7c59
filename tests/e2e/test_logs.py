"""Logs on real Podman: lines are counted, not sampled, while `serve` is killed and started again; and what is left of
an instance that is gone."""

from __future__ import annotations

from kit import counting
from kit.box import Author, Box, wait_for

from tests.e2e.hello import HelloBundles

SERVICES, LINES, KILLS = 4, 20_000, 3


def test_every_line_is_kept_and_told_once(box: Box, author: Author, hello: HelloBundles) -> None:
    hello()  # prepares the example that the writers are made from
    assert counting.run(box, author, SERVICES, LINES, KILLS) == {}


def test_long_and_binary_lines_and_the_last_words_of_who_is_gone(box: Box, hello: HelloBundles) -> None:
    say = "head -c 20000 /dev/zero | tr '\\0' x; echo; printf 'caf\\303\\251 \\377\\n'; echo oops >&2; exec sleep 1000"
    helper = {"command": ["sh", "-c", say], "stop": "1s"}
    box.cli("deploy", hello(services={"helper": helper}))

    def lines(*more: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = box.cli("logs", "hello/helper", "--json", *more).json["lines"]
        return found

    told = wait_for("all three are there", lambda: len(lines()) == 3 and lines())
    assert sorted(line["text"] for line in told) == sorted(["x" * 20_000, "café \\xff", "oops"])
    assert [line["text"] for line in lines("--stream", "stderr")] == ["oops"]
    assert [line["text"] for line in lines("--grep", "CAF")] == ["café \\xff"]
    name = told[0]["instance"]

    box.cli("remove", "hello", "--yes", check=False)
    wait_for("it is gone", lambda: box.app("hello") is None)
    assert len(lines("--instance", name)) == 3
    assert box.cli("logs", "never-there", check=False).code == 4
