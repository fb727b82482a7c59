"""Who the client is, and what the app is told of it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipaas.ingress.limits import Limits
from minipaas.ingress.origin import HOPS, NOBODY, Proxies
from minipaas.ingress.request import NOTHING, Request, parse

from .peers import field

PROXIES = Proxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
TOLD = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded")


def told(*lines: str, peer: str = "10.0.0.1", secure: bool = False, proxies: Proxies = PROXIES) -> dict[str, str]:
    """What the app sees of the five fields when `peer` sends these lines."""
    request = asked(*lines, peer=peer, secure=secure, proxies=proxies)
    found = {name: field(request.forward, name) for name in TOLD}
    assert all(found.values())
    return {name: value or "" for name, value in found.items()}


def asked(*lines: str, peer: str = "10.0.0.1", secure: bool = False, proxies: Proxies = PROXIES) -> Request:
    head = "\r\n".join(["GET / HTTP/1.1", "Host: shop.local", *lines, "", ""]).encode("latin-1")
    request = parse(head, NOTHING, proxies.origin(peer, secure), Limits())
    assert isinstance(request, Request), request
    return request


LIES = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 666",
    "Forwarded: for=6.6.6.6;proto=https;host=evil.example",
]


@pytest.mark.parametrize(
    ("peer", "proxies"),
    [("192.0.2.7", PROXIES), ("192.0.2.7", NOBODY), ("10.0.0.1", NOBODY), ("fe80::1%eth0", PROXIES)],
)
def test_who_is_no_proxy_of_ours_says_nothing_about_itself(peer: str, proxies: Proxies) -> None:
    assert told(*LIES, peer=peer, proxies=proxies) == told(peer=peer, proxies=proxies)
    assert not asked(*LIES, peer=peer, proxies=proxies).secure


def test_what_is_told_of_a_client() -> None:
    assert told(peer="192.0.2.7") == {
        "x-forwarded-for": "192.0.2.7",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.local",
        "x-forwarded-port": "80",
        "forwarded": "for=192.0.2.7;proto=http;host=shop.local",
    }
    assert told(peer="2001:db8::7", secure=True) == {
        "x-forwarded-for": "2001:db8::7",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "shop.local",
        "x-forwarded-port": "443",
        "forwarded": 'for="[2001:db8::7]";proto=https;host=shop.local',
    }


def test_the_port_is_the_one_that_the_client_asked_for() -> None:
    head = b"GET / HTTP/1.1\r\nHost: shop.local:8443\r\n\r\n"
    request = parse(head, NOTHING, NOBODY.origin("192.0.2.7", True), Limits())
    assert isinstance(request, Request)
    assert field(request.forward, "x-forwarded-port") == "8443"
    assert field(request.forward, "forwarded") == 'for=192.0.2.7;proto=https;host="shop.local:8443"'


@pytest.mark.parametrize(
    ("lines", "chain"),
    [
        (["X-Forwarded-For: 192.0.2.7"], "192.0.2.7, 10.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6, 192.0.2.7"], "192.0.2.7, 10.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.2,10.0.0.3"], "192.0.2.7, 10.0.0.2, 10.0.0.3, 10.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7"], "192.0.2.7, 10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 10.0.0.2"], "192.0.2.7, 10.0.0.2, 10.0.0.1"),
        (["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], "10.0.0.3, 10.0.0.2, 10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.7:5123"], "192.0.2.7, 10.0.0.1"),
        (["X-Forwarded-For: [2001:db8::7]:5123"], "2001:db8::7, 10.0.0.1"),
        (["X-Forwarded-For: ::ffff:192.0.2.7"], "192.0.2.7, 10.0.0.1"),
        (["X-Forwarded-For: 2001:DB8:0::7, fd00::1"], "2001:db8::7, fd00::1, 10.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6, unknown"], "10.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2, 10.0.0.1"),
        (["X-Forwarded-For:"], "10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.7,"], "10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.7 10.0.0.2"], "10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.007"], "10.0.0.1"),
        (["Forwarded: for=192.0.2.7"], "192.0.2.7, 10.0.0.1"),
        (["Forwarded: for=6.6.6.6, for=192.0.2.7;by=10.0.0.3, For=10.0.0.2"], "192.0.2.7, 10.0.0.2, 10.0.0.1"),
        (["Forwarded: for=6.6.6.6", 'Forwarded: for="[2001:db8::7]:5123"'], "2001:db8::7, 10.0.0.1"),
        (['Forwarded: for=6.6.6.6, for="_hidden"'], "10.0.0.1"),
        (['Forwarded: for="192.0.2.7'], "10.0.0.1"),
        (["Forwarded: for=192.0.2.7;for=6.6.6.6"], "10.0.0.1"),
        (["Forwarded: nonsense"], "10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.7", "Forwarded: for=192.0.2.7"], "192.0.2.7, 10.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6", "Forwarded: for=192.0.2.7"], "10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.7", "Forwarded: for=6.6.6.6"], "10.0.0.1"),
        (["X_Forwarded_For: 6.6.6.6"], "10.0.0.1"),
        (["X-Real-IP: 6.6.6.6"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy(lines: list[str], chain: str) -> None:
    found = told(*lines)
    assert found["x-forwarded-for"] == chain
    nodes = [part.split(";")[0] for part in found["forwarded"].split(", ")]
    assert nodes == [f'for="[{one}]"' if ":" in one else f"for={one}" for one in chain.split(", ")]


def test_what_a_proxy_says_of_scheme_host_and_port() -> None:
    assert told(
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: HTTPS",
        "X-Forwarded-Host: www.example.com:8443",
    ) == {
        "x-forwarded-for": "192.0.2.7, 10.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "www.example.com:8443",
        "x-forwarded-port": "8443",
        "forwarded": 'for=192.0.2.7;proto=https;host="www.example.com:8443", for=10.0.0.1;proto=http;host=shop.local',
    }
    assert told("Forwarded: for=192.0.2.7;proto=https;host=www.example.com")["x-forwarded-port"] == "443"
    assert told("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Port: 8443")["x-forwarded-port"] == "8443"
    assert told("X-Forwarded-Proto: wss")["x-forwarded-proto"] == "https"
    assert asked("X-Forwarded-Proto: https").secure
    assert not asked("X-Forwarded-Proto: http", secure=True).secure


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-Proto: gopher",
        "X-Forwarded-Proto: https, http",
        "X-Forwarded-Host: a b",
        "X-Forwarded-Host: a/b",
        'X-Forwarded-Host: "a"',
        "X-Forwarded-Host:",
        "X-Forwarded-Port: 0",
        "X-Forwarded-Port: 65536",
        "X-Forwarded-Port: 80a",
        "Forwarded: proto=https;host=a, for=unknown",
    ],
)
def test_nonsense_of_a_proxy_changes_nothing(line: str) -> None:
    assert told(line) == told()


def test_a_chain_is_not_followed_for_ever() -> None:
    chain = told("X-Forwarded-For: 192.0.2.7, " + ", ".join(["10.0.0.2"] * 500))["x-forwarded-for"].split(", ")
    assert chain == ["10.0.0.2"] * HOPS + ["10.0.0.1"]


def test_the_next_request_of_another_client_is_told_as_its_own() -> None:
    origin = PROXIES.origin("10.0.0.1", False)
    last = NOTHING
    for client in ("192.0.2.1", "192.0.2.2", "192.0.2.2"):
        head = f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
        request = parse(head, last, origin, Limits())
        assert isinstance(request, Request)
        assert field(request.forward, "x-forwarded-for") == f"{client}, 10.0.0.1"
        last = request


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"]
            ),
            st.one_of(
                st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")),
                st.lists(st.ip_addresses().map(str)).map(", ".join),
                st.lists(st.ip_addresses().map(lambda one: f'for="[{one}]";proto=https')).map(",".join),
            ),
        ),
        max_size=5,
    )
)
def test_whatever_a_proxy_says_the_app_reads_addresses(said: list[tuple[str, str]]) -> None:
    lines = [f"{name}: {value}" for name, value in said if not any(0x80 <= ord(one) < 0xA0 for one in value)]
    found = told(*lines)
    chain = found["x-forwarded-for"].split(", ")
    assert [str(ip_address(one)) for one in chain] == chain and chain[-1] == "10.0.0.1"
    assert all(PROXIES.trusts(one) for one in chain[1:])
    assert found["x-forwarded-proto"] in ("http", "https")
    assert 0 < int(found["x-forwarded-port"]) < 65536
