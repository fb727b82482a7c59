"""page."""

from __future__ import annotations

import json

from minipaas.surface import wire_tokens

LINK = wire_tokens.PageLink(path="/sign-in?code=abc", pages=("http://127.0.0.1:7070",), seconds=120)


def test_the_link_goes_bare_into_a_pipe(box, minipaas):
    box.answers["POST /api/v1/page-links"] = (201, LINK)
    done = minipaas("page")
    assert (done.code, done.out, done.err) == (0, "http://127.0.0.1:7070/sign-in?code=abc\n", "")
    assert json.loads(minipaas("page", "--json").out)["seconds"] == 120


def test_a_box_without_a_page_says_so(box, boxes, minipaas):
    box.answers["POST /api/v1/page-links"] = (409, boxes.error("conflict", "cannot make a link", "set [api] listen"))
    done = minipaas("page")
    assert (done.code, done.out) == (3, "")
    assert "set [api] listen" in done.err
