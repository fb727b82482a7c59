"""What curl makes of it: the corners of HTTP, with a client that everybody has."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .peers import PATIENCE, Town, body_of, field, fields

ANSWERS = {
    "/": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/none": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    "/same": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n',
    "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b"3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n",
    "/hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/until-close": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "/old": b"HTTP/1.0 200 OK\r\n\r\nhello",
}


class Curl:
    """curl against a town whose instance gives the answers above; a body is sent back."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.heads: list[bytes] = []
        self.go_on = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            path = head.split(b" ", 2)[1].decode()
            if path == "/events":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
                await self.go_on.wait()
                writer.write(b"data: 2\n\n")
                return
            if field(head, "expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await body_of(reader, head)
            answer = ANSWERS.get(path, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            if head.startswith(b"HEAD"):
                answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            writer.write(answer)
            if path in ("/until-close", "/old"):
                return

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--noproxy", "", "--max-time", str(PATIENCE), *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str, code: int = 0) -> str:
        """What it prints."""
        process = await self.start(*arguments)
        said, error = await process.communicate()
        assert process.returncode == code, error.decode()
        return said.decode()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.town.port}{path}"


@pytest.fixture
async def curl(town: Town) -> Curl:
    made = Curl(town)
    await town.serve(made.handle)
    return made


@pytest.mark.parametrize("path", ["/", "/chunks", "/hints", "/until-close", "/old"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
async def test_a_body_however_it_ends(curl: Curl, path: str, version: str) -> None:
    assert await curl(version, curl.url(path)) == "hello"
    assert curl.heads[0].startswith(f"GET {path} HTTP/1.1\r\n".encode())


async def test_hints_come_before_the_answer(curl: Curl) -> None:
    told = await curl("-i", curl.url("/hints"))
    assert told.startswith("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_trailers_reach_who_can_read_them(curl: Curl) -> None:
    told = await curl("-i", "-H", "TE: trailers", curl.url("/chunks"))
    assert "\r\nTrailer: X-Sum\r\n" in told and "X-Sum: 1" in told
    assert field(curl.heads[0], "te") == "trailers"
    assert "x-sum" not in (await curl("-i", "--http1.0", curl.url("/chunks"))).lower()


async def test_answers_without_a_body_leave_the_connection_in_use(curl: Curl) -> None:
    urls = [curl.url(path) for path in ("/none", "/same", "/", "/chunks", "/none")]
    told = await curl("-w", "\n%{http_code} %{num_connects} %{size_download}\n", *urls)
    lines = [line for line in told.splitlines() if line.count(" ") == 2]
    assert lines == ["204 1 0", "304 0 0", "200 0 5", "200 0 5", "204 0 0"]


@pytest.mark.parametrize("path", ["/", "/chunks", "/none"])
async def test_heads_alone(curl: Curl, path: str) -> None:
    told = await curl("-I", curl.url(path), curl.url(path), "-w", "%{num_connects}|")
    assert told.count("HTTP/1.1 20") == 2 and "hello" not in told
    assert [told.split("|")[number][-1] for number in (0, 1)] == ["1", "0"]
    if path == "/":
        assert told.count("Content-Length: 5") == 2


@pytest.mark.parametrize("how", [[], ["-H", "Transfer-Encoding: chunked"]])
async def test_an_upload_that_waits_to_be_asked_for(curl: Curl, tmp_path: Path, how: list[str]) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(range(65, 91)) * 100_000)
    # It would wait for longer than it may take as a whole.
    wait = ["-H", "Expect: 100-continue", "--expect100-timeout", str(2 * PATIENCE)]
    told = await curl(*how, *wait, "--data-binary", f"@{body}", curl.url("/up"))
    assert told == body.read_text()
    assert field(curl.heads[0], "expect") == "100-continue"


async def test_events_arrive_one_by_one(curl: Curl) -> None:
    process = await curl.start("-N", curl.url("/events"))
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await process.stdout.readuntil(b"\n\n") == b"data: 1\n\n"
        curl.go_on.set()
        assert await process.stdout.read() == b"data: 2\n\n"
        assert await process.wait() == 0


async def test_as_if_it_were_a_forward_proxy(curl: Curl) -> None:
    proxy = f"http://127.0.0.1:{curl.town.port}"
    assert await curl("-x", proxy, "http://shop.local/") == "hello"
    assert curl.heads[0].startswith(b"GET / HTTP/1.1\r\nHost: shop.local\r\n")
    assert "proxy-connection" not in fields(curl.heads[0])
    assert await curl("-x", proxy, "-p", "-w", "%{http_connect}", "http://shop.local/", code=56) == "405"
    assert len(curl.heads) == 1


async def test_an_offer_of_http_2_is_passed_over(curl: Curl) -> None:
    assert await curl("--http2", curl.url("/"), "-w", " %{http_version}") == "hello 1.1"
    assert {"upgrade", "http2-settings", "connection"}.isdisjoint(fields(curl.heads[0]))
