"""What isn't HTTP, with real software: Mosquitto, PostgreSQL and dnsmasq behind ports of the box, and a new release of
all three while their clients go on."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit.box import EXAMPLES, Author, Box, fetch, free_port, wait_for
from kit.podman import PrivatePodman

from tests.e2e.test_examples import publish

WHOLE = "localhost/debian-streams:bookworm"
BASE = "localhost/streams:e2e"
SLIM = f"""FROM {WHOLE} AS whole
RUN rm -rf /var/lib/postgresql /usr/share/perl /usr/share/i18n /usr/lib/*/perl /usr/lib/*/libLLVM* /usr/lib/*/libz3*
FROM scratch
COPY --from=whole / /
"""
"""Without PostgreSQL's compiler and what only its packages' scripts need: half as large."""
PACKAGES = ("mosquitto", "mosquitto-clients", "postgresql", "dnsmasq-base")
CONTAINERFILES = {
    "broker": f"""FROM {BASE}
RUN printf 'listener 1883\\nallow_anonymous true\\n' > /etc/mosquitto/open.conf
USER mosquitto
CMD ["mosquitto", "-c", "/etc/mosquitto/open.conf"]
""",
    "db": f"""FROM {BASE}
COPY start /start
RUN install -d -o postgres -g postgres -m 0700 /data
ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin PGDATA=/data/pg
USER postgres
CMD ["sh", "-e", "/start"]
""",
    "dns": f"""FROM {BASE}
USER nobody
COPY start /start
CMD ["sh", "-e", "/start"]
""",
}
STARTS = {
    "broker": "",
    "db": """test -s $PGDATA/PG_VERSION || {
    initdb --no-locale -E UTF8 --auth=trust >/dev/null
    echo host all all all trust >> $PGDATA/pg_hba.conf
}
exec postgres -k /tmp -h 0.0.0.0
""",
    "dns": """exec dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --port=5353 --pid-file= \\
    --user= --address=/box.test/$ADDRESS
""",
}
APP = """
[app]
name = "mixed"
version = "{version}"
[rollout]
confirm = "500ms"
drain = "2s"
[services.broker]
build = "broker"
tcp = {{ listen = {mqtt}, port = 1883, local = true }}
env = {{ V = "{version}" }}
[services.db]
build = "db"
volumes = {{ pg = "/data" }}
tcp = {{ listen = {postgres}, port = 5432 }}
env = {{ V = "{version}" }}
[services.dns]
build = "dns"
udp = {{ listen = {dns}, port = 5353 }}
env = {{ ADDRESS = "{address}" }}
"""


class Clients:
    """Programs of these services, run on the host's network."""

    def __init__(self, podman: PrivatePodman) -> None:
        self.podman = podman
        podman.run("run", "-d", "--network=host", "--name=clients", "--user=nobody", BASE, "sleep", "infinity")

    def psql(self, port: int, query: str) -> str:
        words = ("psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-At", "-c", query)
        return self.podman.run("exec", "clients", *words, timeout=60).strip()

    def subscribe(self, port: int, topic: str) -> subprocess.Popen[str]:
        words = ("exec", "clients", "mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic)
        return subprocess.Popen([*self.podman.command, *words], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def clients(workshop: PrivatePodman) -> Iterator[Clients]:
    subprocess.run(
        [EXAMPLES / "base/make", "streams", *PACKAGES], env=workshop.env, check=True, timeout=600, capture_output=True
    )
    workshop.run("build", "--tag", BASE, "--file", "-", stdin=SLIM.encode())
    yield Clients(workshop)
    workshop.run("rm", "--force", "--time", "0", "clients")


class Again:
    """Does something over and over in a thread, and writes down what went wrong."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen: list[object] = []
        self.failures: list[str] = []

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.seen.append(self._what())
            except Exception as error:
                self.failures.append(repr(error))
            time.sleep(0.02)

    def __enter__(self) -> Again:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def ask_dns(sock: socket.socket, name: str = "box.test") -> str:
    """The address of a name (RFC 1035, 4.1), asked once."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    sock.send(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1")
    answer = sock.recv(512)
    assert answer[:2] == b"\0\7"
    assert answer[6:8] == b"\0\1", "one answer"
    return socket.inet_ntoa(answer[-4:])


def test_real_software_and_its_next_release(
    box: Box, author: Author, clients: Clients, workshop: PrivatePodman
) -> None:
    mqtt, postgres, dns = free_port(), free_port(), free_port()

    def bundle(version: str, address: str) -> Path:
        """The second has the images of the first, and other settings."""
        source = workshop.directory / f"mixed-{version}"
        text = APP.format(version=version, mqtt=mqtt, postgres=postgres, dns=dns, address=address)
        for name, words in CONTAINERFILES.items():
            (source / name).mkdir(parents=True)
            (source / name / "Containerfile").write_text(words)
            (source / name / "start").write_text(STARTS[name])
            if version != "1.0":
                text = text.replace(f'build = "{name}"', f'image = "localhost/mixed-{name}:1.0"')
        (source / "app.toml").write_text(text)
        return author.build(source, f"mixed-{version}")

    first, second = bundle("1.0", "10.9.8.1"), bundle("2.0", "10.9.8.2")
    box.cli("deploy", first)
    shown = box.cli("status", "mixed").out
    for line in (f"tcp {mqtt} ", f"tcp {postgres} ", f"udp {dns} "):
        assert line in shown

    clients.psql(postgres, "create table entry (n int); insert into entry values (1)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver, contextlib.ExitStack() as stack:
        resolver.connect(("127.0.0.1", dns))
        resolver.settimeout(5)
        assert ask_dns(resolver) == "10.9.8.1"
        subscriber = clients.subscribe(mqtt, "e2e/#")
        stack.callback(subscriber.wait)
        stack.callback(subscriber.kill)
        heard: list[str] = []
        listening = threading.Thread(target=lambda: heard.extend(iter(subscriber.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]
        listening.start()
        wait_for("a message comes through", lambda: publish(mqtt, "e2e/x", b"hello") or "hello\n" in heard)

        def query() -> str:
            return clients.psql(postgres, "select count(*) from entry")

        with (
            Again(lambda: publish(mqtt, "e2e/x", b"steady")) as publishing,
            Again(query) as querying,
            Again(lambda: ask_dns(resolver)) as resolving,
        ):
            box.cli("deploy", second)
        for one in (publishing, querying, resolving):
            assert one.failures == [], "clients that come while a release is replaced notice nothing"
            assert one.seen
        assert set(querying.seen) == {"1"}, "the volume went over"
        assert ask_dns(resolver) == "10.9.8.2", "the same client is answered by the new one"
        publish(mqtt, "e2e/x", b"anew")
        wait_for(
            "the subscriber is back, on the new broker", lambda: publish(mqtt, "e2e/x", b"anew") or "anew\n" in heard
        )

    metrics = fetch(box.page, "/metrics").text
    active = {
        line.split("port=")[1].split('"')[1]: line
        for line in metrics.splitlines()
        if "stream_connections_total{" in line
    }
    assert set(active) == {str(mqtt), str(postgres), str(dns)}
    assert "nobody answers" not in fetch(box.page, "/").text
    assert f"tcp {mqtt}" in fetch(box.page, "/apps/mixed").text
    box.cli("remove", "mixed", "--yes", "--volumes")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", mqtt), timeout=5)


def test_a_port_of_another_program(box: Box, author: Author, workshop: PrivatePodman, clients: Clients) -> None:
    """Refused before anything is pulled or started, with what to type."""
    source = workshop.directory / "taken"
    (source / "broker").mkdir(parents=True)
    (source / "broker/Containerfile").write_text(CONTAINERFILES["broker"])
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (source / "app.toml").write_text(
            f'[app]\nname = "taken"\nversion = "1"\n[services.broker]\nbuild = "broker"\n'
            f"tcp = {{ listen = {port}, port = 1883 }}\n"
        )
        refused = box.cli("deploy", author.build(source, "taken"), check=False)
    assert refused.code == 3
    assert f"cannot listen on tcp {port} of 127.0.0.1: another program has this port" in refused.err
    assert f"ss -ltnp 'sport = :{port}'" in refused.err
    assert box.app("taken") is None
