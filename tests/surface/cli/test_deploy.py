"""deploy: only what is lacking goes over, and the story is told to its end."""

from __future__ import annotations

import io
import json

import pytest

from minipaas.bundle import thin
from minipaas.bundle.receive import receive
from minipaas.model.change import ChangeKind, ChangeState
from minipaas.model.errors import Refused
from minipaas.surface import wire
from tests.bundle.builders import make_box, make_bundle


class Shelf:
    """The blobs that a box has."""

    def __init__(self, *digests: str) -> None:
        self._has = set(digests)

    def has(self, digest: str) -> bool:
        return digest in self._has

    def create(self, digest: str, size: int) -> Shelf:
        self._new = digest
        return self

    def write(self, data: bytes) -> None:
        pass

    def commit(self) -> None:
        self._has.add(self._new)

    def abort(self) -> None:
        pass


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path, app="shop", version="1.4.2")


def ready(box, views, missing=(), **change):
    """Answers for a deploy that the box takes."""
    box.answers["POST /api/v1/bundles/missing"] = (200, wire.MissingDigests(missing=tuple(missing)))
    box.answers["PUT /api/v1/bundles"] = (202, views.accepted())
    steps = [views.step(1, "pull the image of web"), views.step(2, "start web #1"), views.step(3, "switch to 1.4.2")]
    box.answers["GET /api/v1/changes/7/events"] = views.story(*steps, **change)


def uploaded(box) -> bytes:
    return next(seen.body for seen in box.seen if seen.method == "PUT")


def test_deploy_to_an_empty_box(box, views, minipaas, bundle):
    digests = thin.digests(bundle)
    ready(box, views, missing=digests)
    done = minipaas("deploy", str(bundle))
    assert (done.code, done.err) == (0, "")
    assert box.requests() == ["POST /api/v1/bundles/missing", "PUT /api/v1/bundles", "GET /api/v1/changes/7/events"]
    assert sorted(box.seen[0].json["digests"]) == sorted(digests)
    lines = done.out.splitlines()
    assert lines[0].startswith("✓ sent ")
    assert lines[1:] == [
        "✓ pull the image of web  1.5 s",
        "✓ start web #1  1.5 s",
        "✓ switch to 1.4.2  1.5 s",
        "shop 1.4.2 serves",
        "  http://shop.local",
    ]
    assert receive(io.BytesIO(uploaded(box)), Shelf(), make_box()).release.app == "shop"


def test_a_box_that_lacks_everything_gets_the_file_as_it_is(box, views, minipaas, bundle):
    ready(box, views, missing=thin.digests(bundle))
    damaged = bytearray(bundle.read_bytes())
    table = len(damaged) - int.from_bytes(damaged[-9:-5], "little") * 8 - 9 - 8
    damaged[table - 1] ^= 1  # the checksum over the whole file
    bundle.write_bytes(damaged)
    minipaas("deploy", str(bundle))
    assert uploaded(box) == bytes(damaged), "nothing is mended on the way"
    with pytest.raises(Refused) as caught:
        receive(io.BytesIO(uploaded(box)), Shelf(), make_box())
    assert caught.value.code == "bundle.damaged"


def test_only_what_the_box_lacks_is_sent(box, views, minipaas, bundle):
    first, *rest = thin.digests(bundle)
    ready(box, views, missing=rest)
    done = minipaas("deploy", str(bundle))
    assert done.code == 0
    assert "the box had the other" in done.out
    sent = uploaded(box)
    assert len(sent) < bundle.stat().st_size
    assert receive(io.BytesIO(sent), Shelf(first), make_box()).release.version == "1.4.2"


@pytest.mark.parametrize("status", [401, 403])
def test_a_box_that_does_not_tell_what_it_has_gets_the_whole_file(box, boxes, views, minipaas, bundle, status):
    ready(box, views)
    box.answers["POST /api/v1/bundles/missing"] = (status, boxes.error("forbidden", "cannot do that without a token"))
    assert minipaas("deploy", str(bundle)).code == 0
    assert uploaded(box) == bundle.read_bytes()


def test_what_the_box_collected_meanwhile_is_sent_after_all(box, boxes, views, minipaas, bundle):
    ready(box, views)
    gone = boxes.error("refused", "cannot accept: a blob is missing", code="bundle.missing_blob")
    box.answers["PUT /api/v1/bundles"] = [(422, gone), (202, views.accepted())]
    assert minipaas("deploy", str(bundle)).code == 0
    first, second = (seen.body for seen in box.seen if seen.method == "PUT")
    assert len(first) < len(second)
    assert second == bundle.read_bytes()


def test_json_is_one_line_a_box(box, views, minipaas, bundle):
    ready(box, views)
    done = minipaas("deploy", str(bundle), "--json")
    assert (done.code, done.err) == (0, "")
    (line,) = done.out.splitlines()
    assert json.loads(line) == {
        "box": box.url,
        "app": "shop",
        "version": "1.4.2",
        "change": 7,
        "warnings": [],
        "outcome": "done",
        "reason": "",
        "urls": ["http://shop.local"],
    }


def test_no_wait(box, views, minipaas, bundle):
    ready(box, views)
    done = minipaas("deploy", str(bundle), "--no-wait")
    assert done.code == 0
    assert "minipaas changes 7" in done.out
    assert "GET /api/v1/changes/7/events" not in box.requests()
    assert json.loads(minipaas("deploy", str(bundle), "--no-wait", "--json").out)["outcome"] is None


@pytest.mark.parametrize(
    ("state", "hint"),
    [(ChangeState.FAILED, "1.4.1 still serves"), (ChangeState.ROLLED_BACK, "1.4.1 serves again")],
)
def test_a_release_that_fails_says_why_and_what_serves(box, views, minipaas, bundle, state, hint):
    reason = "web #1 exited with code 3\n  loading…\n  no such table: users"
    ready(box, views, state=state, reason=reason, fallback_version="1.4.1")
    done = minipaas("deploy", str(bundle))
    assert done.code == 1
    assert done.err.startswith(f"cannot deploy shop 1.4.2: {reason}\n→ {hint}")
    assert "minipaas logs shop" in done.err
    told = minipaas("deploy", str(bundle), "--json")
    assert (told.code, json.loads(told.out)["reason"]) == (1, reason)
    assert json.loads(told.err)["error"]["code"] == f"change.{state}"


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("refused", 422, 3), ("no_space", 507, 1), ("conflict", 409, 3), ("invalid", 422, 2)]
)
def test_a_refusal_before_the_upload(box, boxes, views, minipaas, bundle, kind, status, code):
    ready(box, views)
    box.early = (status, boxes.error(kind, "cannot accept shop 1.4.2: no", "do that"))
    done = minipaas("deploy", str(bundle))
    assert (done.code, done.out, done.err) == (code, "", "cannot accept shop 1.4.2: no\n→ do that\n")
    assert uploaded(box) == b""


def test_several_boxes_one_after_the_other(boxes, views, minipaas, bundle):
    fleet = [boxes.unix(f"{name}.sock") for name in "abc"]
    for one in fleet:
        ready(one, views)
    args = [part for one in fleet for part in ("--to", one.url)]
    done = minipaas("deploy", str(bundle), *args)
    assert done.code == 0
    assert [line for line in done.out.splitlines() if line.startswith("unix://")] == [one.url for one in fleet]
    assert len(minipaas("deploy", str(bundle), *args, "--json").out.splitlines()) == 3


@pytest.mark.parametrize("how", ["refuses", "fails", "is gone"])
def test_the_first_box_that_does_not_end_well_stops_the_rest(boxes, views, minipaas, bundle, how):
    first, second, third = fleet = [boxes.unix(f"{name}.sock") for name in "abc"]
    for one in fleet:
        ready(one, views)
    target = second.url
    if how == "refuses":
        second.early = (422, boxes.error("refused", "cannot accept: no"))
    elif how == "fails":
        ready(second, views, state=ChangeState.FAILED, reason="no")
    else:
        target += ".gone"
    done = minipaas("deploy", str(bundle), "--to", first.url, "--to", target, "--to", third.url)
    assert done.code == {"refuses": 3, "fails": 1, "is gone": 5}[how]
    assert first.seen
    assert third.seen == []
    assert target in done.err
    assert f"not touched: {third.url}" in done.err


def test_a_bad_target_is_found_before_anything_is_sent(boxes, views, minipaas, bundle):
    first = boxes.unix()
    ready(first, views)
    assert minipaas("deploy", str(bundle), "--to", first.url, "--to", "edge2").code == 2
    assert first.seen == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a bundle", b"\x28\xb5\x2f\xfd" + bytes(100)])
def test_what_is_no_bundle_is_not_sent(box, minipaas, tmp_path, content):
    file = tmp_path / "x.bundle"
    file.write_bytes(content)
    done = minipaas("deploy", str(file))
    assert done.code == 3
    assert "x.bundle" in done.err
    assert box.seen == []


def test_what_the_verifier_warns_of_is_told(box, views, minipaas, bundle):
    ready(box, views)
    box.answers["PUT /api/v1/bundles"] = (202, views.accepted(warnings=("the trust root has expired",)))
    done = minipaas("deploy", str(bundle))
    assert "! the trust root has expired" in done.out.splitlines()


@pytest.mark.parametrize("refused", ["", "cannot run shop 1.4.2: its route belongs to till"])
def test_a_dry_run_shows_everything_and_leaves_nothing(box, views, minipaas, bundle, refused):
    box.answers["POST /api/v1/bundles/missing"] = (200, wire.MissingDigests(missing=()))
    held = views.held(refused=refused, preview=None if refused else views.preview(ChangeKind.DEPLOY))
    box.answers["PUT /api/v1/bundles"] = (201, held)
    box.answers["DELETE /api/v1/held/0123456789abcdef"] = (204, b"")
    done = minipaas("deploy", str(bundle), "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert next(seen.query for seen in box.seen if seen.method == "PUT") == {"hold": "true"}
    assert box.requests()[-1] == "DELETE /api/v1/held/0123456789abcdef"
    for words in (
        "shop 1.4.2: signed by 1 of 2 release keys, 1 needed (root 3)",
        "issued 2 h ago; sequence 3 of epoch 1",
        "2.0 MiB, of which 1.0 MiB are new to the box",
        "! the trust root has expired",
        refused or "1. drain web",
    ):
        assert words in done.out, done.out
    assert json.loads(minipaas("deploy", str(bundle), "--dry-run", "--json").out)["id"] == held.id
