from __future__ import annotations

import json

import pytest

from minipaas.ingress import pages

from .peers import field, status


@pytest.mark.parametrize("fault", pages.FAULTS.values(), ids=list(pages.FAULTS))
@pytest.mark.parametrize("accept", ["text/html,*/*", "application/json", "*/*"])
def test_a_page_is_a_whole_answer_in_the_kind_that_was_asked_for(fault: pages.Fault, accept: str) -> None:
    answer = pages.render(fault, fields=f"Host: a\r\nAccept: {accept}\r\n".encode(), close=True)
    head, _, body = answer.partition(b"\r\n\r\n")
    head += b"\r\n\r\n"
    assert status(head) == fault.status
    assert field(head, "content-length") == str(len(body))
    assert field(head, "x-minipaas") == fault.code
    assert field(head, "connection") == "close"
    assert fault.words in body.decode()
    kind = field(head, "content-type") or ""
    match accept:
        case "application/json":
            assert json.loads(body)["error"]["code"] == fault.code and kind.startswith("application/json")
        case "*/*":
            assert body.decode().startswith(f"{fault.status} ") and kind.startswith("text/plain")
        case _:
            assert f"<h1>{fault.title}</h1>" in body.decode() and kind.startswith("text/html")


def test_no_kind_asked_for_gets_text_and_head_gets_no_body() -> None:
    answer = pages.render(pages.UNKNOWN_ROUTE, close=False, head_only=True)
    assert answer.endswith(b"\r\n\r\n") and field(answer, "connection") is None
    assert int(field(answer, "content-length") or 0) > 0
    assert (field(answer, "content-type") or "").startswith("text/plain")


def test_not_available_says_when_to_come_back() -> None:
    assert field(pages.render(pages.NO_BACKEND, close=False), "retry-after") == "2"
