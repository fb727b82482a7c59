"""The client: early answers, streams that break, boxes that are not there."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from minipaas.model.errors import Forbidden, Invalid, MinipaasError, Missing, NoSpace, Refused, Unreachable
from minipaas.surface.client import Box, Limits
from minipaas.surface.connection import Address, default_data, service
from minipaas.surface.wire import Accepted
from minipaas.surface.wire_box import Healthz

MIB = 1024 * 1024
ACCEPTED = {"change": 7, "app": "shop", "version": "1", "events": "/api/v1/changes/7/events", "page": "/apps/shop"}
PATIENT = Limits(connect=30, answer=30, go_ahead=30, stall=30, verdict=30, silence=30, patience=30)


def at(fake, limits: Limits = PATIENT, token: str = "") -> Box:
    return Box(Address.parse(fake.url), token, limits)


def zeros(count: int, taken: list[int] | None = None) -> Iterator[bytes]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield bytes(MIB)


# -- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("unix:///run/x/minipaas.sock", "unix:///run/x/minipaas.sock"),
        ("http://edge1", "http://edge1:7070"),
        ("http://edge1:80/", "http://edge1:80"),
        ("https://10.0.0.7:443", "https://10.0.0.7:443"),
        ("http://[::1]:7071", "http://[::1]:7071"),
    ],
)
def test_addresses(text, shown):
    assert str(Address.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    ["", "edge1", "edge1:7070", "unix://relative", "unix:", "ftp://x", "http://", "http://x:99999", "http://x/api",
     "http://user:secret@x", "http://x?y", "http://[::1"],
)  # fmt: skip
def test_addresses_that_are_none(text):
    with pytest.raises(Invalid, match="as a box"):
        Address.parse(text)


@pytest.mark.parametrize("url", ["http://10.0.0.7:7070", "http://edge1"])
def test_a_token_never_travels_in_clear(url):
    with pytest.raises(Refused) as refused:
        Box(Address.parse(url), "secret")
    assert refused.value.code == "cli.token_in_clear"
    assert "ssh -L" in refused.value.hint


def test_the_token_is_sent_where_nobody_reads_along(boxes):
    for fake in (boxes.unix(), boxes.tcp()):
        fake.answers["GET /api/v1/healthz"] = (200, Healthz())
        at(fake, token="secret").get("/healthz", Healthz)
        assert fake.seen[0].headers["Authorization"] == "Bearer secret"


def test_the_default_data_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIPAAS_DATA", str(tmp_path))
    assert default_data() == tmp_path
    monkeypatch.delenv("MINIPAAS_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    expected = Path("/var/lib/minipaas") if os.geteuid() == 0 else tmp_path / "minipaas"
    assert default_data() == expected


def test_a_socket_path_longer_than_an_address_may_be(tmp_path, boxes):
    fake = boxes.unix()
    fake.answers["GET /api/v1/healthz"] = (200, Healthz())
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    Path(Address.parse(fake.url).host).rename(deep / "minipaas.sock")
    assert Box(Address("unix", str(deep / "minipaas.sock"))).get("/healthz", Healthz) == Healthz()


# -- boxes that are not there ---------------------------------------------------------------------------------------


def dead_socket(tmp_path: Path) -> str:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    return f"unix://{path}"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (lambda tmp: f"unix://{tmp}/none.sock", "box.no_socket"),
        (dead_socket, "box.refused"),
        (lambda tmp: "http://127.0.0.1:1", "box.refused"),
        (lambda tmp: "http://no-such-host.invalid", "box.name"),
        (lambda tmp: f"unix://{tmp}", "box.refused"),
    ],
)
def test_unreachable_says_why_and_what_to_type(tmp_path, url, code):
    with pytest.raises(Unreachable) as gone:
        Box(Address.parse(url(tmp_path)), "", PATIENT).get("/apps", dict)
    assert gone.value.code == code
    assert gone.value.message.startswith("cannot reach the box")
    assert gone.value.hint


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ((), ""),
        (("run/systemd/system",), "systemctl start minipaas"),
        (("run/systemd/system", "etc/init.d/minipaas"), "systemctl start minipaas"),
        (("etc/init.d/minipaas",), "/etc/init.d/minipaas start"),
    ],
)
def test_what_starts_the_box_is_what_install_has_made(tmp_path, monkeypatch, there, told):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    assert service("start", tmp_path) == told


def test_a_box_that_says_nothing(boxes):
    fake, let_go = boxes.unix(), threading.Event()
    fake.answers["GET /api/v1/apps"] = lambda handler: let_go.wait(20)
    with pytest.raises(Unreachable, match="no answer within"):
        at(fake, Limits(answer=0.2)).get("/apps", dict)
    let_go.set()


@pytest.mark.parametrize(
    "raw",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nConte"],
)
def test_what_answers_is_broken(boxes, raw):
    fake = boxes.unix()

    def say(handler):
        handler.wfile.write(raw)
        handler.close_connection = True

    fake.answers["GET /api/v1/apps"] = say
    with pytest.raises(MinipaasError, match="cannot "):
        at(fake).get("/apps", dict)


# -- uploads --------------------------------------------------------------------------------------------------------


def test_an_upload_arrives_whole_and_is_counted(boxes):
    fake, told = boxes.unix(), []
    fake.answers["PUT /api/v1/bundles"] = (202, ACCEPTED)
    box = at(fake)
    accepted = box.upload("/bundles", zeros(3), 3 * MIB, Accepted, media_type="a/b", progress=told.append)
    assert accepted.change == 7
    (seen,) = fake.seen
    assert len(seen.body) == 3 * MIB
    assert (seen.headers["Content-Type"], seen.headers["Expect"]) == ("a/b", "100-continue")
    assert told == sorted(told)
    assert told[-1] == 3 * MIB


def test_a_refusal_comes_before_the_first_byte(boxes):
    fake, taken = boxes.unix(), []
    fake.early = (403, boxes.error("forbidden", "cannot do that without a token"))
    with pytest.raises(Forbidden, match="without a token"):
        at(fake).upload("/bundles", zeros(100, taken), 100 * MIB, Accepted)
    assert taken == []


@pytest.mark.parametrize("closes", [True, False])
def test_a_refusal_in_the_middle_of_an_upload_is_heard(boxes, closes):
    fake, taken, let_go = boxes.unix(), [], threading.Event()

    def refuse(handler):
        handler.rfile.read(MIB)
        handler.answer(507, boxes.error("no_space", "cannot take the bundle: the disk is full"), close=True)
        handler.close_connection = True
        if not closes:
            let_go.wait(20)

    fake.answers["PUT /api/v1/bundles"] = refuse
    with pytest.raises(NoSpace, match="disk is full"):
        at(fake).upload("/bundles", zeros(200, taken), 200 * MIB, Accepted)
    let_go.set()
    assert len(taken) < 100


def test_a_box_that_does_not_know_expect_gets_the_body_all_the_same(boxes):
    fake = boxes.unix()

    class Deaf(fake._server.RequestHandlerClass):  # type: ignore[misc]
        def handle_expect_100(self) -> bool:
            return True

    fake._server.RequestHandlerClass = Deaf
    fake.answers["PUT /api/v1/bundles"] = (202, ACCEPTED)
    assert at(fake, Limits(go_ahead=0.1)).upload("/bundles", zeros(2), 2 * MIB, Accepted).app == "shop"


def test_a_box_that_dies_during_an_upload(boxes):
    fake = boxes.unix()

    def die(handler):
        handler.rfile.read(MIB)
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    fake.answers["PUT /api/v1/bundles"] = die
    with pytest.raises(Unreachable, match="closed the connection"):
        at(fake).upload("/bundles", zeros(200), 200 * MIB, Accepted)


@pytest.mark.parametrize("reads", [0, 2])
def test_a_box_that_falls_silent_during_an_upload(boxes, reads):
    fake, let_go = boxes.unix(), threading.Event()

    def fall_silent(handler):
        handler.rfile.read(reads * MIB)
        let_go.wait(20)

    fake.answers["PUT /api/v1/bundles"] = fall_silent
    with pytest.raises(Unreachable, match="no answer within"):
        at(fake, Limits(stall=0.3, verdict=0.3)).upload("/bundles", zeros(2), 2 * MIB, Accepted)
    let_go.set()


def test_a_file_that_cannot_be_read_is_not_the_box_s_fault(boxes):
    def broken() -> Iterator[bytes]:
        yield bytes(MIB)
        raise OSError(5, "Input/output error")

    with pytest.raises(MinipaasError, match="cannot read the bundle: Input/output error") as error:
        at(boxes.unix()).upload("/bundles", broken(), 2 * MIB, Accepted)
    assert not isinstance(error.value, Unreachable)


def test_a_file_that_became_shorter(boxes):
    with pytest.raises(MinipaasError, match="the file changed"):
        at(boxes.unix()).upload("/bundles", zeros(1), 2 * MIB, Accepted)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "box.pem"
    pkcs8 = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def tls_box(boxes, certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return boxes.tcp(context)


def test_uploads_and_early_refusals_over_tls(boxes, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fake = tls_box(boxes, certificate)
    fake.answers["PUT /api/v1/bundles"] = (202, ACCEPTED)
    assert at(fake, token="t").upload("/bundles", zeros(4), 4 * MIB, Accepted).change == 7
    assert len(fake.seen[0].body) == 4 * MIB

    taken: list[int] = []
    fake.early = (422, boxes.error("refused", "cannot accept: unsigned"))
    with pytest.raises(Refused, match="unsigned"):
        at(fake).upload("/bundles", zeros(9, taken), 9 * MIB, Accepted)
    assert taken == []


def test_a_certificate_that_nobody_vouches_for(boxes, certificate):
    with pytest.raises(Unreachable) as gone:
        at(tls_box(boxes, certificate)).get("/apps", dict)
    assert gone.value.code == "box.certificate"
    assert "--ca ca.pem" in gone.value.hint


def test_a_certificate_that_a_named_ca_vouches_for(boxes, certificate, monkeypatch):
    fake = tls_box(boxes, certificate)
    fake.answers["GET /api/v1/apps"] = (200, {"apps": []})
    monkeypatch.setenv("MINIPAAS_CA", str(certificate))
    assert at(fake).get("/apps", dict) == {"apps": []}


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), ("nonsense", "no PEM certificate"), ("", "no PEM")]
)
def test_a_ca_that_is_none(boxes, certificate, monkeypatch, tmp_path, content, why):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("MINIPAAS_CA", str(file))
    with pytest.raises(Invalid, match=why) as refused:
        at(tls_box(boxes, certificate)).get("/apps", dict)
    assert refused.value.code == "cli.ca"


def test_https_to_a_box_that_speaks_http(boxes):
    with pytest.raises(Unreachable) as gone:
        Box(Address.parse(boxes.tcp().url.replace("http:", "https:"))).get("/apps", dict)
    assert gone.value.code == "box.tls"


# -- event streams --------------------------------------------------------------------------------------------------


def stream(*parts: str):
    """Each request gets the next part of the story and a broken connection."""
    rest = list(parts)

    def tell(handler):
        handler.note_without_body()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        data = rest.pop(0).encode() if rest else b""
        if data:
            handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.close_connection = True

    return tell


def test_a_stream_that_breaks_goes_on_where_it_stopped(boxes):
    fake = boxes.unix()
    fake.answers["GET /api/v1/changes/7/events"] = stream(
        ": hello\n\nid: 1\nevent: step\ndata: a\n\nid: 2\nevent: step\ndata: b\ndata: c\n\nid: 3\nevent: st",
        "",
        "id:3\r\nevent:step\r\ndata:d\r\n\r\n",
        "event: end\ndata: over\n\n",
    )
    told = [(event.name, event.data, event.id) for event in at(fake).events("/changes/7/events")]
    assert told == [("step", "a", "1"), ("step", "b\nc", "2"), ("step", "d", "3"), ("end", "over", "")]
    assert [seen.headers.get("Last-Event-ID") for seen in fake.seen] == [None, "2", "2", "3"]


def test_a_stream_whose_box_restarts(boxes, tmp_path):
    path = tmp_path / "minipaas.sock"
    box = Box(Address("unix", str(path)), "", PATIENT)

    def come_back():
        fake = boxes.unix()
        fake.answers["GET /api/v1/changes/7/events"] = stream("event: end\ndata: over\n\n")
        Path(Address.parse(fake.url).host).rename(path)

    timer = threading.Timer(0.3, come_back)
    timer.start()
    assert [event.data for event in box.events("/changes/7/events")] == ["over"]
    timer.join()


def test_a_stream_that_never_comes_back(tmp_path):
    box = Box(Address("unix", str(tmp_path / "none.sock")), "", Limits(patience=0.3))
    with pytest.raises(Unreachable, match="there is no socket"):
        list(box.events("/changes/7/events"))


def test_a_stream_that_only_breaks_off(boxes):
    fake = boxes.unix()
    fake.answers["GET /api/v1/changes/7/events"] = stream()
    with pytest.raises(Unreachable, match="again and again"):
        list(at(fake, Limits(patience=0.3)).events("/changes/7/events"))


def test_a_change_that_is_not_there(boxes):
    with pytest.raises(Missing):
        list(at(boxes.unix()).events("/changes/7/events"))


def test_json_travels_both_ways(boxes):
    fake = boxes.unix()
    fake.answers["POST /api/v1/x y/ü"] = (200, {"status": "ok"})
    fake.answers["POST /api/v1/x%20y/%C3%BC"] = (200, {"status": "ok"})
    assert at(fake).call("POST", "/x y/ü", Healthz, {"a": 1}, {"q": "ä&b", "none": None}) == Healthz()
    assert json.loads(fake.seen[0].body) == {"a": 1}
    assert fake.seen[0].query == {"q": "ä&b"}
    assert fake.seen[0].headers["Content-Type"] == "application/json"
