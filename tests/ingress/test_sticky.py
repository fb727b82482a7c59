from __future__ import annotations

import asyncio
import re

from minipaas.ingress import Ingress
from minipaas.ingress.sticky import NAME, mark

from .peers import Server, Town, read_answer, small, status

COOKIE = re.compile(rf"{NAME}=([A-Za-z0-9_-]+); Path=/; HttpOnly; SameSite=Lax")


async def named(town: Town, count: int) -> list[Server]:
    return [
        await town.answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nSet-Cookie: own=1\r\n\r\n%d" % number,
            route=None,
            name=f"secret{number}",
        )
        for number in range(count)
    ]


async def ask(
    town: Town, cookies: str = "", connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
) -> tuple[str, str]:
    """Who answered, and the value of the cookie that was set."""
    reader, writer = connection or await town.connect()
    line = f"Cookie: {cookies}\r\n" if cookies else ""
    writer.write(f"GET / HTTP/1.1\r\nHost: shop.local\r\n{line}\r\n".encode())
    head, body = await read_answer(reader)
    assert status(head) == 200
    assert head.count(b"Set-Cookie: own=1") == 1, "the app's own stay"
    if connection is None:
        writer.close()
    found = COOKIE.search(head.decode())
    return body.decode(), found[1] if found else ""


async def test_a_client_comes_back_to_the_same_instance(town: Town) -> None:
    town.route("*", *await named(town, 3), sticky=True)
    who, value = await ask(town)
    assert value
    for _ in range(6):
        assert await ask(town, f"a=b; {NAME}={value}; c=d") == (who, ""), "what it has is not set again"


async def test_without_it_instances_take_turns_and_no_cookie_is_set(town: Town) -> None:
    town.route("*", *await named(town, 3))
    seen = {await ask(town) for _ in range(6)}
    assert seen == {("0", ""), ("1", ""), ("2", "")}


async def test_one_whose_instance_is_gone_gets_another_and_stays_there(town: Town) -> None:
    servers = await named(town, 3)
    town.route("*", *servers, sticky=True)
    who, value = await ask(town)
    town.route("*", *(server for server in servers if server is not servers[int(who)]), sticky=True)
    other, fresh = await ask(town, f"{NAME}={value}")
    assert other != who
    assert fresh not in ("", value)
    assert await ask(town, f"{NAME}={fresh}") == (other, "")


async def test_one_whose_instance_refuses_gets_the_cookie_of_who_answered() -> None:
    async with Town(Ingress(small())) as town:
        servers = await named(town, 2)
        town.route("*", *servers, sticky=True)
        who, value = await ask(town)
        await servers[int(who)].stop()
        other, fresh = await ask(town, f"{NAME}={value}")
        assert other != who
        assert fresh == mark(f"secret{other}").decode()


async def test_a_value_made_up_is_no_error(town: Town) -> None:
    town.route("*", *await named(town, 2), sticky=True)
    for value in ("", "x", "A" * 22, "../../etc", "A" * 3000):
        _, fresh = await ask(town, f"{NAME}={value}")
        assert fresh


async def test_the_value_tells_nothing_and_outlives_a_restart() -> None:
    assert mark("secret0") != mark("secret1")
    seen = set()
    for _ in range(2):
        async with Town(Ingress()) as town:
            town.route("*", *await named(town, 1), sticky=True)
            _, value = await ask(town)
            seen.add(value)
            assert "secret" not in value
            assert str(town.servers[0].port) not in value
    assert len(seen) == 1


async def test_no_cookie_goes_astray_on_a_connection(town: Town) -> None:
    """The next request on the same connection is for a route that sets none."""
    servers = await named(town, 2)
    town.route("*", *servers, sticky=True)
    connection = await town.connect()
    _, value = await ask(town, connection=connection)
    assert value
    town.route("*", *servers)
    assert (await ask(town, connection=connection))[1] == ""
    connection[1].close()


async def test_nested_routes_each_know_their_own(town: Town) -> None:
    """A browser sends the cookies of both paths."""
    town.route("*", *await named(town, 3), sticky=True)
    who, value = await ask(town)
    assert await ask(town, f"{NAME}={'B' * 22}; {NAME}={value}") == (who, "")
