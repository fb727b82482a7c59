"""Who signed, what was signed, in which order, until when: what a box that trusts one author refuses."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from minipaas.bundle.keys import SigningKey
from minipaas.bundle.oci import Descriptor
from minipaas.bundle.receive import NullSink, receive
from minipaas.bundle.root import new_root, rotate_root, sign_root
from minipaas.bundle.verify import Trust
from minipaas.control.clock import clock_synced
from minipaas.model.errors import Refused
from minipaas.model.release import TrustedTime
from tests.badinput.conftest import trust
from tests.badinput.live import LiveBox, refused, told
from tests.badinput.shop import author, forge, fresh, stranger
from tests.boxes import toml
from tests.bundle.forge import Forge, pack, unpack

# -- signatures --------------------------------------------------------------------------------------------------------


def _same_key_under_two_names() -> Forge:
    bent = fresh(keys=author()[0][:1] * 2)
    names = iter(("", "another"))
    bent.sigstore = lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=next(names))
    return bent


def _known_name_strange_key() -> Forge:
    bent = fresh(keys=stranger()[0])
    names = iter(key.key_id for key in author()[0])
    bent.sigstore = lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=next(names))
    return bent


def _transplanted() -> Forge:
    """The signatures of a release that the box would take, around another app."""
    payloads: list[bytes] = []
    donor = fresh(version="3.1", sequence=310)
    donor.signed = lambda number, payload: payloads.append(payload) or payload  # type: ignore[func-returns-value]
    donor.build()
    thief = fresh()
    thief.signed = lambda number, payload: payloads[number]
    return thief


def _swapped_in_the_index() -> Forge:
    text = toml(routes='"shop.local"', version="3.0") + '\n[services.db]\nimage = "x"\n'
    bent = forge(services=("web", "db"), app_toml=text)

    def swap(entries: list[Descriptor]) -> list[Descriptor]:
        *rest, one, two = entries
        return [
            *rest,
            msgspec.structs.replace(one, annotations=two.annotations),
            msgspec.structs.replace(two, annotations=one.annotations),
        ]

    bent.index = swap
    return bent


def _manifest(annotation: str, value: str) -> Forge:
    bent = forge()
    bent.identity = {annotation: value}
    return bent


def _subject(name: str, digest: str) -> Forge:
    bent = fresh()
    bent.subjects = {name: digest}
    return bent


def _payloads() -> Forge:
    bent = fresh()
    bent.signed = lambda number, payload: payload + b" " * number
    return bent


SIGNED: dict[str, tuple[Callable[[], Forge], str, str]] = {
    "nobody": (lambda: fresh(keys=()), "signature.none", "it is not signed"),
    "other people": (lambda: fresh(keys=stranger()[0]), "signature.unknown_key", "by no key that this box trusts"),
    "one of two": (lambda: fresh(keys=author()[0][:1]), "signature.threshold", "1 of the 2 keys"),
    "one of two, and a stranger": (
        lambda: fresh(keys=(author()[0][0], stranger()[0][0])),
        "signature.threshold",
        "1 of the 2 keys",
    ),
    "the same key twice": (lambda: fresh(keys=author()[0][:1] * 2), "signature.repeated", "signed twice"),
    "the same key under two names": (_same_key_under_two_names, "signature.repeated", "signed twice"),
    "strangers under our names": (_known_name_strange_key, "signature.invalid", "does not verify"),
    "signatures of another bundle": (_transplanted, "signature.other_bundle", "belongs to another bundle"),
    "two different statements": (_payloads, "signature.payload", "different payloads"),
    "images swapped in the index": (_swapped_in_the_index, "bundle.service", "another image than the signature"),
    "an image that nobody signed": (lambda: _subject("service/web", ""), "bundle.service", "a signed image"),
    "a signed image that is not there": (
        lambda: _subject("service/web", "sha256:" + "7" * 64),
        "bundle.service",
        "the image of web is missing",
    ),
    "a bundle manifest of other images": (
        lambda: _manifest("dev.minipaas.image.web", "sha256:" + "7" * 64),
        "bundle.manifest",
        "names other images or another sequence",
    ),
    "a bundle manifest of another sequence": (
        lambda: _manifest("dev.minipaas.order", "1.7"),
        "bundle.manifest",
        "names other images or another sequence",
    ),
    "an image for another machine": (
        lambda: forge(platform="linux/s390x"),
        "bundle.platform",
        "image for another architecture: web is for linux/s390x, this box is linux/amd64",
    ),
}


@pytest.mark.parametrize("name", SIGNED)
def test_signatures(box: LiveBox, name: str) -> None:
    make, code, words = SIGNED[name]
    refused(box, make().build(), code, words)


# -- order -------------------------------------------------------------------------------------------------------------

ORDER: dict[str, tuple[Callable[[], Forge], str, str]] = {
    "older": (lambda: fresh(version="1.9", sequence=199), "release.downgrade", "sequence 199 of epoch 1"),
    "as old, and other": (lambda: fresh(version="2.0.1", sequence=200), "release.downgrade", "was accepted already"),
    "below minSequence": (lambda: fresh(version="1.5", sequence=149), "release.downgrade", "was accepted already"),
    "of another epoch": (lambda: _predicate(epoch=2), "root.epoch", "it is of epoch 2, the trust root is of 1"),
    "for a newer root": (lambda: _predicate(rootVersion=2), "root.version", "root version 2; this box has 1"),
    "minSequence above itself": (lambda: _predicate(minSequence=301), "signature.statement", ""),
    "of another app than it says": (lambda: _predicate(app="radio"), "bundle.app", "app.toml is shop 3.0"),
}


def _predicate(**fields: object) -> Forge:
    bent = fresh()
    bent.predicate |= fields
    return bent


@pytest.mark.parametrize("name", ORDER)
def test_order(box: LiveBox, name: str) -> None:
    make, code, words = ORDER[name]
    refused(box, make().build(), code, words)


BACK = {
    "below the lowest": ("shop", "1.0", 422, "release.below_floor", 3, "below the lowest that its author still allows"),
    "by default, too": ("shop", None, 422, "release.below_floor", 3, "below the lowest that its author still allows"),
    "to what serves": ("shop", "2.0", 422, "release.already_serving", 3, "it serves already"),
    "to what was never here": ("shop", "9.9", 404, "release.missing", 4, "9.9"),
    "from the first": ("radio", None, 404, "release.no_previous", 4, "no earlier release"),
    "of nothing": ("nothing", None, 404, "app.missing", 4, "nothing"),
}


@pytest.mark.parametrize("name", BACK)
def test_rollback(box: LiveBox, name: str) -> None:
    app, to, status, code, exit_code, words = BACK[name]
    with box.unchanged():
        body = msgspec.json.encode({"to": to} if to else {})
        answer = box.ask("POST", f"/api/v1/apps/{app}/rollback", body, {"Content-Type": "application/json"})
        assert (answer.status, answer.code) == (status, code), answer
        assert words in answer.message
        row = box.audit()[0]
        assert (row["action"], row["subject"]) == ("rollback", app)
        assert code in row["result"]
        said = box.cli("rollback", app, *(("--to", to) if to else ()))
        told(said, exit_code, words)


# -- time --------------------------------------------------------------------------------------------------------------

PAST, FUTURE = "2025-11-01T00:00:00Z", "2125-01-01T00:00:00Z"
TIMES = {
    "expired": ({"validUntil": PAST}, "release.expired", f"it was valid until {PAST}"),
    "from the future": ({"issued": FUTURE}, "release.future", f"it was issued in the future, at {FUTURE}"),
}


def _believes(synced: bool, floor: float = 0) -> Trust:
    time_now = TrustedTime(clock=time.time(), floor=floor, synced=synced)
    return Trust(root=author()[1], time=time_now, platform="linux/amd64")


@pytest.mark.parametrize("name", TIMES)
def test_a_clock_that_is_right_blocks_and_one_that_may_be_wrong_warns(name: str) -> None:
    fields, code, words = TIMES[name]
    data = _predicate(**fields).build()
    with pytest.raises(Refused, match=words) as caught:
        receive(io.BytesIO(data), NullSink(), _believes(synced=True))
    assert caught.value.code == code
    verdict = receive(io.BytesIO(data), NullSink(), _believes(synced=False))
    assert [warning.partition(";")[0] for warning in verdict.warnings] == [words]


@pytest.mark.parametrize("name", TIMES)
def test_an_author_asks_whether_a_bundle_is_still_good(box: LiveBox, tmp_path: Path, name: str) -> None:
    fields, _, words = TIMES[name]
    file, root = tmp_path / "shop.bundle", tmp_path / "root.json"
    file.write_bytes(_predicate(**fields).build())
    root.write_bytes(author()[1])
    told(box.cli("bundle", "verify", file, "--root", root), 3, f"cannot accept {file}: {words}")


def test_a_box_whose_clock_may_be_wrong_takes_an_expired_release_and_says_so(tmp_path: Path) -> None:
    """What this machine knows of its clock decides which half of the rule is seen on a whole box."""
    words = f"it was valid until {PAST}"
    data = _predicate(validUntil=PAST).build()
    with LiveBox(tmp_path) as mine:
        trust(mine)
        if clock_synced():
            refused(mine, data, "release.expired", words)
            return
        assert mine.deploy(data)["state"] == "done"
        assert mine.get()[0] == 200
        row = next(row for row in mine.audit() if row["result"].startswith("warned: "))
        assert row["subject"] == "shop 3.0"
        assert row["result"] == f"warned: {words}; the clock of this box is not known to be right, so this only warns"


def test_an_app_is_not_stopped_by_time(box: LiveBox) -> None:
    """Expiry is asked of what is sent, never of what runs."""
    with box.unchanged():
        refused(box, _predicate(validUntil="yesterday").build(), "signature.statement")


# -- roots -------------------------------------------------------------------------------------------------------------


class Roots(msgspec.Struct):
    """A chain of three, and others that do not belong to it."""

    key: SigningKey
    chain: list[bytes]
    fork: bytes
    foreign: bytes
    half: bytes


@pytest.fixture(scope="module")
def roots() -> Roots:
    keys, first = author()
    second = rotate_root(first, signers=keys[:1], threshold=1)
    third = rotate_root(second, signers=keys[:1])
    others, foreign = stranger()
    return Roots(
        key=keys[0],
        chain=[first, second, third],
        fork=new_root(release_keys=[key.public for key in others], root_signers=keys[:1]),
        foreign=rotate_root(foreign, signers=others[:1]),
        half=rotate_root(first, signers=keys[:1], root_keys=[key.public for key in (keys[0], others[0])],
                         root_threshold=2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def rooted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBox]:
    with LiveBox(tmp_path_factory.mktemp("rooted")) as one:
        trust(one)
        assert one.deploy(forge(version="1.0", sequence=100).build())["state"] == "done"
        yield one


ADDED: dict[str, tuple[Callable[[Roots], bytes], str, str, int, str]] = {
    "a gap": (lambda roots: roots.chain[2], "refused", "root.chain", 422, "root version 2 is missing"),
    "not signed by the trusted one": (lambda roots: roots.foreign, "refused", "root.signature", 422, "root version 2"),
    "not signed by enough of its own": (lambda roots: roots.half, "refused", "root.signature", 422, "root version 2"),
    "a fork": (lambda roots: roots.fork, "refused", "root.fork", 422, "is not the one that is trusted"),
    "the same with one more signature": (
        lambda roots: sign_root(roots.chain[0], stranger()[0][1]),
        "conflict",
        "root.fork",
        409,
        "",
    ),
    "no root": (lambda roots: b"{}", "refused", "root.format", 422, "not a TUF document"),
    "nothing": (lambda roots: b"", "refused", "root.format", 422, "not a TUF document"),
    "bytes": (lambda roots: b"\xff\x00", "refused", "root.format", 422, "not a TUF document"),
}


@pytest.mark.parametrize("name", ADDED)
def test_roots_that_do_not_follow(rooted: LiveBox, roots: Roots, name: str) -> None:
    make, kind, code, status, words = ADDED[name]
    data = make(roots)
    with rooted.unchanged():
        answer = rooted.ask("POST", "/api/v1/trust", data)
        assert (answer.status, answer.kind, answer.code) == (status, kind, code), answer
        assert answer.message.startswith("cannot "), answer
        assert words in answer.message
        row = rooted.audit()[0]
        assert (row["action"], row["result"]) == ("trust", f"refused: {code}: {answer.message}")
        file = rooted.directory / "other.json"
        file.write_bytes(data)
        told(rooted.cli("trust", "add", file), 3, words)


def test_a_root_that_is_too_large(rooted: LiveBox, tmp_path: Path) -> None:
    file = tmp_path / "root.json"
    file.write_bytes(b" " * 100_000)
    with rooted.unchanged():
        answer = rooted.ask("POST", "/api/v1/trust", file.read_bytes())
        assert (answer.status, answer.code) == (413, "api.too_large")
        told(rooted.cli("trust", "add", file), 2, "larger than 64 KiB", hint=False)


CHAINS = {
    "with a gap": (lambda roots: [roots.chain[0], roots.chain[2]], "root.chain"),
    "without its beginning": (lambda roots: roots.chain[1:], "root.chain"),
    "of strangers": (lambda roots: [stranger()[1]], "root.fork"),
    "that strangers go on with": (lambda roots: [roots.chain[0], roots.foreign], "root.signature"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_bundle_with_a_chain(rooted: LiveBox, roots: Roots, name: str) -> None:
    make, code = CHAINS[name]
    refused(rooted, fresh(roots=make(roots)).build(), code)


def test_an_older_root_does_not_come_back(roots: Roots, tmp_path: Path) -> None:
    with LiveBox(tmp_path) as mine:
        trust(mine)
        file = tmp_path / "2.json"
        file.write_bytes(roots.chain[1])
        assert mine.cli("trust", "add", file).code == 0
        with mine.unchanged():
            file.write_bytes(roots.chain[0])
            answer = mine.ask("POST", "/api/v1/trust", roots.chain[0])
            assert (answer.status, answer.code) == (422, "root.old")
            told(mine.cli("trust", "add", file), 3, "trusted already, which is newer")


def test_an_unbent_release_is_taken(tmp_path: Path) -> None:
    """Without it, all of the above could be refused for a reason that nobody has meant."""
    with LiveBox(tmp_path) as mine:
        trust(mine)
        assert mine.deploy(fresh().build())["state"] == "done"
        assert mine.deploy(pack(unpack(fresh(version="3.1", sequence=301).build())))["state"] == "done"
