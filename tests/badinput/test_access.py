"""Requests over TCP from those who may not, and from pages of others: nothing is looked up, nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from minipaas.surface.access import Access
from minipaas.surface.rows.row import Row
from minipaas.surface.table import TABLE
from tests.badinput.conftest import trust
from tests.badinput.live import Answer, LiveBox, told
from tests.badinput.shop import author, forge, fresh

MUTATIONS = [row for row in TABLE if row.method not in ("GET", "HEAD") and row.form is None]
"""Of the API; forms of the page: tests/surface/test_sessions.py and test_page_actions.py."""
NAMES = {"app": "shop", "name": "ci", "held": "0" * 16, "lease": "0" * 12, "crash": "0" * 12}
IDS = [f"{row.method} {row.path}" for row in MUTATIONS]
BODIES = {
    "/api/v1/bundles": lambda: fresh().build(),
    "/api/v1/trust": lambda: author()[1],
    "/api/v1/bundles/missing": lambda: b'{"digests":[]}',
    "/api/v1/apps/{app}/rollback": lambda: b"{}",
    "/api/v1/tokens": lambda: b'{"name":"mine","role":"admin"}',
}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LiveBox]]:
    """A box with one app for each name: few of its refusals a minute get an audit row, so each test has its own."""
    with ExitStack() as stack:

        @cache
        def made(name: str) -> LiveBox:
            one = stack.enter_context(LiveBox(tmp_path_factory.mktemp("door")))
            trust(one)
            assert one.deploy(forge(version="1.0", sequence=100).build())["state"] == "done"
            one.until(lambda: len(one.fake.containers) == 1)
            return one

        yield made


@pytest.fixture
def door(doors: Callable[[str], LiveBox], request: pytest.FixtureRequest) -> LiveBox:
    """The box of this test, whatever its parameters."""
    return doors(request.node.originalname)


def secret(box: LiveBox, role: str) -> str:
    """A token of this role."""
    registry = box.inside.control.registry
    name = f"{role}-{len(box.do(registry.tokens()))}"
    return box.do(registry.add_token(name, role, 1.0, actor="test", origin="test"))


def knock(box: LiveBox, row: Row, headers: dict[str, str]) -> Answer:
    """This mutation over TCP."""
    path = row.path.format(**NAMES)
    body = BODIES.get(row.path, lambda: None)()
    typed = {"Content-Type": "application/json"} if body and body.startswith(b"{") and "trust" not in path else {}
    return box.ask(row.method, path, body, typed | headers, tcp=True)


def shut(box: LiveBox, row: Row, headers: dict[str, str], status: int, code: str) -> Answer:
    """The door stays shut: answer, audit, and nothing changed."""
    with box.unchanged():
        before = box.audit()[0]["id"]
        answer = knock(box, row, headers)
        assert (answer.status, answer.kind, answer.code) == (status, "forbidden", code), answer
        assert answer.message.startswith("cannot ")
        entry = box.audit()[0]
        assert (entry["id"] > before, entry["action"], entry["origin"]) == (True, "refused", "tcp 127.0.0.1")
        assert entry["subject"] == f"{row.method} {row.path.format(**NAMES)}"
        assert entry["result"] == answer.message
    return answer


@pytest.mark.parametrize("row", MUTATIONS, ids=IDS)
def test_without_a_token(door: LiveBox, row: Row) -> None:
    answer = shut(door, row, {}, 401, "api.credentials")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="minipaas"'
    assert "minipaas token new NAME --role" in answer.json["error"]["hint"]


@pytest.mark.parametrize("row", MUTATIONS, ids=IDS)
def test_with_a_token_of_somewhere_else(door: LiveBox, row: Row) -> None:
    shut(door, row, {"Authorization": "Bearer mp_of_somewhere_else"}, 401, "api.credentials")


@pytest.mark.parametrize("row", [row for row in MUTATIONS if row.access is not Access.READ], ids=lambda row: row.path)
def test_with_a_token_of_too_low_a_role(door: LiveBox, row: Row) -> None:
    held = "deploy" if row.access in (Access.ADMIN, Access.ENTER) else "read"
    bearer = {"Authorization": f"Bearer {secret(door, held)}"}
    answer = shut(door, row, bearer, 403, "api.role")
    assert f"may only {held}, this needs {'admin' if held == 'deploy' else 'deploy'}" in answer.message


UPLOAD = MUTATIONS[IDS.index("PUT /api/v1/bundles")]
PAGES: dict[str, tuple[dict[str, str], str]] = {
    "a name that was pointed here": ({"Host": "evil.example"}, "api.host"),
    "such a name and our port": ({"Host": "evil.example:7070"}, "api.host"),
    "a name that begins like ours": ({"Host": "localhost.evil.example"}, "api.host"),
    "no name": ({"Host": ""}, "api.host"),
    "another site": ({"Origin": "https://evil.example"}, "api.cross_site"),
    "an app of this box": ({"Origin": "http://127.0.0.1:8080"}, "api.cross_site"),
    "a page without origin": ({"Origin": "null"}, "api.cross_site"),
    "a browser says so": ({"Sec-Fetch-Site": "cross-site"}, "api.cross_site"),
    "a browser says: same site": ({"Sec-Fetch-Site": "same-site"}, "api.cross_site"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_somebody_else(door: LiveBox, name: str) -> None:
    """Even with a good token."""
    headers, code = PAGES[name]
    shut(door, UPLOAD, headers | {"Authorization": f"Bearer {secret(door, 'admin')}"}, 403, code)


def test_a_name_that_was_pointed_here_may_not_read_either(door: LiveBox) -> None:
    answer = door.ask("GET", "/api/v1/apps", None, {"Host": "evil.example"}, tcp=True)
    assert (answer.status, answer.code) == (403, "api.host")


def test_a_password_of_a_browser_only_reads(door: LiveBox) -> None:
    import base64

    word = base64.b64encode(f"me:{secret(door, 'admin')}".encode()).decode()
    shut(door, UPLOAD, {"Authorization": f"Basic {word}"}, 403, "api.basic")


@pytest.mark.parametrize("path", ["/api/v1/apps/shop/logs", "/api/v1/audit", "/api/v1/tokens"])
def test_what_only_some_may_read(door: LiveBox, path: str) -> None:
    answer = door.ask("GET", path, tcp=True)
    assert (answer.status, answer.code) == (401, "api.credentials")


COMMANDS = [
    ("deploy", "FILE"),
    ("rollback", "shop"),
    ("remove", "shop", "--yes"),
    ("trust", "add", "FILE"),
    ("token", "new", "mine", "--role", "admin"),
    ("token", "revoke", "ci"),
    ("audit",),
    ("logs", "shop"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command) for command in COMMANDS])
@pytest.mark.parametrize("token", ["", "mp_of_somewhere_else"], ids=["no token", "wrong token"])
def test_the_command_line_over_tcp(door: LiveBox, command: tuple[str, ...], token: str) -> None:
    file = door.directory / "it"
    file.write_bytes(author()[1] if command[0] == "trust" else fresh().build())
    arguments = [file if word == "FILE" else word for word in command]
    with door.unchanged():
        host, port = door.tcp
        said = door.cli(*arguments, to=f"http://{host}:{port}", token=token)
        told(said, 3, "the token: it is not one of this box" if token else "without a token for")
        assert "minipaas token new NAME --role" in said.hint


def test_a_token_is_not_sent_in_the_clear(door: LiveBox) -> None:
    said = door.cli("status", to="http://192.0.2.1:7070", token="mp_secret")
    told(said, 3, "cannot send the token")
    assert "mp_secret" not in said.err
