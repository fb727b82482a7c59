"""token and audit."""

from __future__ import annotations

import json
import time

from minipaas.surface import wire, wire_box, wire_tokens


def test_a_new_token_goes_bare_into_a_pipe(box, minipaas):
    made = wire_tokens.NewToken(name="ci", role=wire.Role.DEPLOY, secret="s3cret")
    box.answers["POST /api/v1/tokens"] = (201, made)
    done = minipaas("token", "new", "ci", "--role", "deploy")
    assert (done.code, done.out) == (0, "s3cret\n")
    assert box.seen[0].json == {"name": "ci", "role": "deploy"}
    assert json.loads(minipaas("token", "new", "ci", "--role", "deploy", "--json").out)["secret"] == "s3cret"


def test_tokens(box, minipaas):
    row = wire_tokens.TokenView(name="ci", role=wire.Role.ADMIN, created=0.0)
    box.answers["GET /api/v1/tokens"] = [(200, wire_tokens.Tokens(tokens=(row,))), (200, wire_tokens.Tokens(tokens=()))]
    assert minipaas("token", "list").out.splitlines()[1].split() == ["ci", "admin", "1970-01-01", "00:00:00"]
    assert "minipaas token new" in minipaas("token", "list").out


def test_revoke(box, boxes, minipaas):
    box.answers["DELETE /api/v1/tokens/ci"] = [
        (204, b""),
        (404, boxes.error("missing", "cannot revoke ci: no such token")),
    ]
    assert minipaas("token", "revoke", "ci").code == 0
    gone = minipaas("token", "revoke", "ci")
    assert (gone.code, gone.err) == (4, "cannot revoke ci: no such token\n")


def test_audit(box, minipaas):
    row = wire_box.AuditView(
        id=9, at=0.0, actor="root via socket", action="deploy", subject="shop", origin="socket", result="ok"
    )
    box.answers["GET /api/v1/audit"] = (200, wire_box.Audit(rows=(row,)))
    done = minipaas("audit", "-n", "1", "--before", "10")
    assert box.seen[0].query == {"limit": "1", "before": "10"}
    told = done.out.splitlines()[1]
    assert told == "9   1970-01-01 00:00:00  root via socket  deploy  shop     socket  ok"


def test_audit_asks_for_what_is_wanted(box, minipaas):
    box.answers["GET /api/v1/audit"] = (200, wire_box.Audit(rows=()))
    words = ("--actor", "ci", "--action", "token", "--app", "shop", "--result", "refused")
    assert minipaas("audit", *words, "--since", "2026-11-24T09:12+00:00", "--until", "2026-11-25").code == 0
    query = box.seen[0].query
    assert [query[name] for name in ("actor", "action", "app", "result", "since")] == [
        *("ci", "token", "shop", "refused", "1795511520")
    ]
    assert int(query["until"]) > int(query["since"])
    assert minipaas("audit", "--since", "2h").code == 0
    assert 7190 <= time.time() - int(box.seen[1].query["since"]) <= 7260


def test_audit_does_not_guess_at_times(box, minipaas):
    done = minipaas("audit", "--since", "yesterday")
    assert (done.code, box.seen) == (2, [])
    assert "cannot read --since 'yesterday'" in done.err
    assert "--since 2h" in done.err
