"""`[[logs.ship]]`: what is refused, and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.model.config import Config, parse_config
from minipaas.model.errors import Invalid

GOOD = 'name = "a"\nkind = "elasticsearch"\nurl = "https://x:9200"\n'


def parse(text: str) -> Config:
    return parse_config(Path("config.toml"), f"[[logs.ship]]\n{text}".encode())


def test_good() -> None:
    (one,) = parse(GOOD + 'index = "logs-{app}-{day}"\nlevel = "warn"\nrate = "64KiB"\ndelay = "5s"').logs.ship
    assert (one.rate, one.delay, one.where.port) == (65536, 5, 9200)


@pytest.mark.parametrize(
    ("url", "address"), [("tcp://h", ("h", 514)), ("tls://[::1]", ("::1", 6514)), ("tcp://h:7", ("h", 7))]
)
def test_ports_of_syslog(url: str, address: tuple[str, int]) -> None:
    (one,) = parse(f'name = "s"\nkind = "syslog"\nurl = "{url}"').logs.ship
    assert one.address == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nkind = "kafka"\nurl = "x"', "kafka"),
        ('name = "A b"\nkind = "otlp"\nurl = "http://x"', "'A b' is not a name"),
        ('name = "a"\nkind = "otlp"\nurl = "x:4318"', "url must be http://HOST:PORT or https://HOST:PORT"),
        ('name = "a"\nkind = "otlp"\nurl = "http://x:port"', "is not an address"),
        ('name = "a"\nkind = "otlp"\nurl = "http://"', "url must be"),
        ('name = "a"\nkind = "otlp"\nurl = "http://u:p@x"', "no user and password in url"),
        ('name = "a"\nkind = "otlp"\nurl = "http://x?token=1"', "more than an address"),
        ('name = "a"\nkind = "syslog"\nurl = "udp://x"', "url must be tcp://HOST:PORT or tls://HOST:PORT"),
        ('name = "a"\nkind = "syslog"\nurl = "tcp://x"\ncredentials = "/x"', "syslog knows no credentials"),
        ('name = "a"\nkind = "syslog"\nurl = "tcp://x"\nca = "/x"', "ca and cert are for https and tls"),
        (GOOD + 'key = "/x"', "key without cert"),
        (GOOD + 'index = "Big"', "not the name of an index"),
        (GOOD + 'index = "x-{month}"', "not the name of an index"),
        (GOOD + 'tenant = "x"', "tenant is for loki"),
        (GOOD + 'batch = "1KiB"', "batch must be from 128.0 KiB to 8.0 MiB"),
        (GOOD + 'delay = "0s"', "delay must be above 0"),
        (GOOD + 'level = "bad"', "bad"),
        (GOOD + "wrong = 1", "wrong"),
        (GOOD + f"[[logs.ship]]\n{GOOD}", "'a' is there twice"),
        (
            "".join(f"[[logs.ship]]\n{GOOD}".replace('"a"', f'"a{n}"') for n in range(9)).removeprefix(
                "[[logs.ship]]\n"
            ),
            "at most 8",
        ),
    ],
)
def test_bad(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert said in caught.value.message
