from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from minipaas.bundle import oci
from minipaas.bundle.oci import Descriptor
from minipaas.bundle.receive import NullSink, receive
from minipaas.bundle.root import new_root, rotate_root
from minipaas.bundle.verify import Trust, Verdict, plain_platform
from minipaas.model.errors import Refused
from minipaas.model.release import Floor
from tests.bundle.builders import ISSUED, default_trust, make_app_toml, make_box, make_image, make_trust, tar_layer
from tests.bundle.forge import Forge

DAY = 24 * 3600


def accept(forge: Forge, trust: Trust | None = None) -> Verdict:
    return receive(io.BytesIO(forge.build()), NullSink(), trust or make_box())


def refusal(forge: Forge, trust: Trust | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        accept(forge, trust)
    assert str(caught.value).startswith("cannot accept the bundle: ")
    assert caught.value.hint
    return caught.value


def test_an_unbent_forgery_is_accepted() -> None:
    verdict = accept(Forge(services=("web", "db"), sequence=7, min_sequence=3))
    release = verdict.release
    assert (release.app, release.version, release.order) == ("shop", "1.0.0", (1, 7))
    assert (release.min_sequence, release.root_version, release.issued) == (3, 1, ISSUED)
    assert release.signers == (default_trust()[0][0].key_id,)
    assert set(release.images) == set(release.spec.services) == {"web", "db"}
    assert set(release.blobs) == set(verdict.descriptors)
    assert release.images["web"].size == 2 * 10240
    assert verdict.warnings == () and verdict.new_roots == ()


# -- rule 1: layout ----------------------------------------------------------------------------------------------------


def _twice(entries: list[Descriptor]) -> list[Descriptor]:
    return [*entries, entries[0]]


def _wrong_kind(entries: list[Descriptor]) -> list[Descriptor]:
    return [msgspec.structs.replace(entries[0], artifact_type=oci.ROOT), *entries[1:]]


def _wrong_size(entries: list[Descriptor]) -> list[Descriptor]:
    return [*entries[:-1], msgspec.structs.replace(entries[-1], size=entries[-1].size + 1)]


def _two_sizes(entries: list[Descriptor]) -> list[Descriptor]:
    again = msgspec.structs.replace(entries[-1], size=entries[-1].size + 1, annotations={oci.REF_NAME: "other"})
    return [*entries, again]


def _same_tag(entries: list[Descriptor]) -> list[Descriptor]:
    return [msgspec.structs.replace(entry, annotations=entries[-1].annotations) for entry in entries]


def _nested_index(entries: list[Descriptor]) -> list[Descriptor]:
    return [*entries[:-1], msgspec.structs.replace(entries[-1], media_type=oci.IMAGE_INDEX)]


def _retagged(entries: list[Descriptor]) -> list[Descriptor]:
    return [*entries[:-1], msgspec.structs.replace(entries[-1], annotations={oci.REF_NAME: "wep"})]


def _untagged(entries: list[Descriptor]) -> list[Descriptor]:
    return [*entries[:-1], msgspec.structs.replace(entries[-1], annotations={})]


def _one_tag_more(entries: list[Descriptor]) -> list[Descriptor]:
    return [*entries, msgspec.structs.replace(entries[-1], annotations={oci.REF_NAME: "latest"})]


def _another_platform(entries: list[Descriptor]) -> list[Descriptor]:
    platform = oci.Platform(os="linux", architecture="arm64")
    return [*entries[:-1], msgspec.structs.replace(entries[-1], platform=platform)]


def _annotated(entries: list[Descriptor]) -> list[Descriptor]:
    return [msgspec.structs.replace(entries[0], annotations={"org.opencontainers.image.title": "x"}), *entries[1:]]


INDEXES: list[tuple[str, Callable[[list[Descriptor]], list[Descriptor]], str]] = [
    ("no bundle manifest", lambda entries: entries[1:], "bundle.layout"),
    ("two bundle manifests", _twice, "bundle.layout"),
    ("no root chain", lambda entries: [entries[0], *entries[2:]], "bundle.layout"),
    ("no images", lambda entries: entries[:3], "bundle.layout"),
    ("no signature", lambda entries: [*entries[:2], *entries[3:]], "signature.none"),
    ("a manifest of another kind than listed", _wrong_kind, "bundle.layout"),
    ("a manifest of another size than listed", _wrong_size, "bundle.size"),
    ("one manifest with two sizes", _two_sizes, "bundle.size"),
    ("one tag on two images", _same_tag, "bundle.layout"),
    ("an image under another name", _retagged, "bundle.service"),
    ("an image under no name", _untagged, "bundle.service"),
    ("an image under one name more", _one_tag_more, "bundle.layout"),
    ("an image with another platform", _another_platform, "bundle.layout"),
    ("an artifact with an annotation", _annotated, "bundle.layout"),
    ("an index in the index", _nested_index, "bundle.layout"),
]


@pytest.mark.parametrize(("bend", "code"), [case[1:] for case in INDEXES], ids=[case[0] for case in INDEXES])
def test_index_rules(bend: Callable[[list[Descriptor]], list[Descriptor]], code: str) -> None:
    forge = Forge(services=("web", "db"))
    forge.index = bend
    assert refusal(forge).code == code


@pytest.mark.parametrize(
    "bend",
    [
        lambda data: data + b" ",
        lambda data: data.replace(b'"schemaVersion":2', b'"schemaVersion":2,"schemaversion":2'),
        lambda data: data.replace(b'"schemaVersion":2', b'"schemaVersion":3'),
        lambda data: data.replace(b'"os"', b'"os.version":"x","os"') + b"\n",
        lambda data: b"[" * 100_000,
        lambda data: b"{}",
        lambda data: b"null",
    ],
)
def test_an_index_that_is_not_canonical_is_refused(bend: Callable[[bytes], bytes]) -> None:
    forge = Forge()
    forge.index_bytes = bend
    assert refusal(forge).code == "bundle.layout"


def test_an_entry_of_an_unknown_kind_means_nothing() -> None:
    forge = Forge()
    unknown = Descriptor(media_type="application/x", artifact_type="application/x", digest="sha256:" + 64 * "0", size=1)
    forge.index = lambda entries: [*entries, unknown]
    assert accept(forge).release.app == "shop"


# -- rule 3: trust root ------------------------------------------------------------------------------------------------


def test_a_box_that_trusts_nobody_accepts_nothing() -> None:
    box = msgspec.structs.replace(make_box(), root=None)
    assert refusal(Forge(), box).code == "root.none"


def test_the_bundle_brings_the_next_roots() -> None:
    old, first = make_trust()
    new, _ = make_trust()
    second = rotate_root(first, signers=old, release_keys=[new[0].public])
    third = rotate_root(second, signers=old)
    verdict = accept(Forge(new, roots=[first, second, third]), make_box(first))
    assert verdict.new_roots == ((2, second), (3, third))
    assert accept(Forge(new, roots=[first, second, third]), make_box(third)).new_roots == ()


def test_a_key_that_a_later_root_dropped_counts_no_more() -> None:
    old, first = make_trust()
    new, _ = make_trust()
    second = rotate_root(first, signers=old, release_keys=[new[0].public])
    assert accept(Forge(old, roots=[first]), make_box(first)).release.app == "shop"
    assert refusal(Forge(old, roots=[first]), make_box(second)).code == "signature.unknown_key"
    assert refusal(Forge(old, roots=[first, second]), make_box(first)).code == "signature.unknown_key"


def test_a_strangers_root_is_refused() -> None:
    keys, root = make_trust()
    forge = Forge(keys, roots=[root])
    assert refusal(forge, make_box()).code == "root.fork"
    stolen = rotate_root(root, signers=keys)
    _, first = make_trust()
    assert refusal(Forge(keys, roots=[first, stolen]), make_box(first)).code == "root.signature"


def test_the_chain_in_the_bundle_has_no_gap() -> None:
    keys, first = make_trust()
    second = rotate_root(first, signers=keys)
    third = rotate_root(second, signers=keys)
    for roots in ([second], [first, third], [second, first], [first, first]):
        forge = Forge(keys, roots=roots)
        forge.predicate["rootVersion"] = 1
        assert refusal(forge, make_box(first)).code == "root.chain", len(roots)


def test_a_bundle_for_a_newer_root_than_anyone_has() -> None:
    forge = Forge()
    forge.predicate["rootVersion"] = 2
    assert refusal(forge).code == "root.version"


def test_the_epoch_is_the_roots() -> None:
    keys, first = make_trust()
    second = rotate_root(first, signers=keys, new_epoch=True)
    assert refusal(Forge(keys, roots=[first, second]), make_box(first)).code == "root.epoch"
    forge = Forge(keys, roots=[first, second], sequence=1)
    forge.predicate["epoch"] = 2
    floors = {"shop": Floor(epoch=1, sequence=2**53 - 1, min_sequence=2**53 - 1)}
    assert accept(forge, make_box(first, floors=floors)).release.order == (2, 1)


def test_an_expired_root_only_warns() -> None:
    verdict = accept(Forge(), make_box(clock=ISSUED + 40 * 365 * DAY))
    assert any("trust root has expired" in warning for warning in verdict.warnings)


# -- rule 4: signatures ------------------------------------------------------------------------------------------------


def test_two_of_three_keys() -> None:
    keys, root = make_trust(keys=3, threshold=2)
    box = make_box(root)
    assert set(accept(Forge(keys[:2], roots=[root]), box).release.signers) == {key.key_id for key in keys[:2]}
    assert len(accept(Forge(keys, roots=[root]), box).release.signers) == 3
    assert refusal(Forge(keys[:1], roots=[root]), box).code == "signature.threshold"
    strangers, _ = make_trust()
    assert refusal(Forge([keys[0], strangers[0]], roots=[root]), box).code == "signature.threshold"
    assert refusal(Forge([keys[0], keys[0]], roots=[root]), box).code == "signature.repeated"


def test_one_key_is_one_key_whatever_name_a_signature_gives_it() -> None:
    keys, root = make_trust(keys=2, threshold=2)
    forge = Forge([keys[0], keys[0]], roots=[root])
    names = iter(("", "another"))
    forge.sigstore = lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=next(names))
    assert refusal(forge, make_box(root)).code == "signature.repeated"


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_both_kinds_of_keys(kind: Any) -> None:
    keys, root = make_trust(kind=kind)
    assert accept(Forge(keys, roots=[root]), make_box(root)).release.signers == (keys[0].key_id,)


def test_a_signature_by_an_unknown_key_counts_for_nothing() -> None:
    strangers, _ = make_trust()
    assert refusal(Forge(strangers)).code == "signature.unknown_key"
    verdict = accept(Forge([*default_trust()[0], *strangers]))
    assert len(verdict.release.signers) == 1
    assert any("unknown key" in warning for warning in verdict.warnings)


def test_the_hint_of_another_tool_does_not_matter() -> None:
    forge = Forge()
    forge.sigstore = lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint="whatever cosign writes")
    assert accept(forge).release.signers == (default_trust()[0][0].key_id,)


def test_a_strangers_signature_under_a_known_name() -> None:
    strangers, _ = make_trust()
    forge = Forge(strangers)
    known = default_trust()[0][0].key_id
    forge.sigstore = lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=known)
    assert refusal(forge).code == "signature.invalid"


def test_signatures_over_different_payloads() -> None:
    keys, root = make_trust(keys=2, threshold=1)
    forge = Forge(keys, roots=[root])
    forge.signed = lambda number, payload: payload if number == 0 else payload + b" "
    assert refusal(forge, make_box(root)).code == "signature.payload"


def test_a_valid_signature_of_another_bundle() -> None:
    stolen: list[bytes] = []
    donor = Forge(version="0.9.0")
    donor.signed = lambda number, payload: stolen.append(payload) or payload  # type: ignore[func-returns-value]
    donor.build()
    thief = Forge()
    thief.signed = lambda number, payload: stolen[0]
    assert refusal(thief).code == "signature.other_bundle"


def test_a_signature_manifest_that_belongs_elsewhere() -> None:
    forge = Forge()
    forge.subject = Descriptor(media_type=oci.MANIFEST, digest="sha256:" + 64 * "a", size=5)
    assert refusal(forge).code == "signature.other_bundle"


def _no_signature(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["signatures"] = []


def _two_signatures(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["signatures"] *= 2


SIGSTORE: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("another media type", lambda b: b.update(mediaType="application/json"), "signature.format"),
    ("another payload type", lambda b: b["dsseEnvelope"].update(payloadType="text/plain"), "signature.format"),
    ("no signature", _no_signature, "signature.format"),
    ("two signatures", _two_signatures, "signature.format"),
    ("not base64", lambda b: b["dsseEnvelope"].update(payload="%%%"), "signature.format"),
    ("a certificate", lambda b: b.update(verificationMaterial={"certificate": {}}), "signature.format"),
    ("another signature", lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AAAA"), "signature.invalid"),
    ("an empty signature", lambda b: b["dsseEnvelope"]["signatures"][0].update(sig=""), "signature.invalid"),
    ("another payload", lambda b: b["dsseEnvelope"].update(payload="e30="), "signature.invalid"),
]


@pytest.mark.parametrize(("bend", "code"), [case[1:] for case in SIGSTORE], ids=[case[0] for case in SIGSTORE])
def test_sigstore_bundles(bend: Callable[[dict[str, Any]], object], code: str) -> None:
    forge = Forge()
    forge.sigstore = lambda bundle: bend(bundle) and None
    assert refusal(forge).code == code


# -- rule 5: statement -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "predicate"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, {}),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, {}),
        ({"subject": []}, {}),
        ({"more": 1}, {}),
        ({}, {"notBefore": "2030-01-01T00:00:00Z"}),
        ({}, {"sequence": 0}),
        ({}, {"sequence": 1.5}),
        ({}, {"sequence": 2**53}),
        ({}, {"epoch": 0}),
        ({}, {"minSequence": 2}),
        ({}, {"issued": "yesterday"}),
        ({}, {"issued": "2025-13-01T00:00:00Z"}),
        ({}, {"validUntil": "2025-01-01"}),
        ({}, {"app": None}),
    ],
)
def test_malformed_statements(statement: dict[str, Any], predicate: dict[str, Any]) -> None:
    forge = Forge()
    forge.statement = statement
    forge.predicate |= predicate
    assert refusal(forge).code == "signature.statement"


def test_a_statement_with_a_subject_of_an_unknown_kind() -> None:
    forge = Forge()
    forge.subjects = {"volume/data": "sha256:" + 64 * "1"}
    assert refusal(forge).code == "signature.statement"


# -- rules 6 and 7: app and services -----------------------------------------------------------------------------------


def test_app_toml() -> None:
    forge = Forge()
    forge.app_toml = None
    assert refusal(forge).code == "bundle.app_toml"
    error = refusal(Forge(app_toml=make_app_toml() + "\nreplica = 2\n"))
    assert error.code == "bundle.app_toml"
    assert "services.web.replica" in error.message and "replicas" in error.message
    assert refusal(Forge(app_toml=make_app_toml(version="2.0.0"))).code == "bundle.app"
    assert refusal(Forge(app_toml=make_app_toml(app="other"))).code == "bundle.app"


def test_services_and_subjects_match() -> None:
    without = Forge(services=("web", "db"))
    without.subjects = {"service/db": ""}
    assert refusal(without).code == "bundle.service"
    assert refusal(Forge(services=("web", "db"), app_toml=make_app_toml())).code == "bundle.service"
    absent = Forge()
    absent.subjects = {"service/web": "sha256:" + 64 * "2"}
    assert refusal(absent).code == "bundle.service"


def test_the_unsigned_index_cannot_swap_images() -> None:
    forge = Forge(services=("web", "db"))

    def swap(entries: list[Descriptor]) -> list[Descriptor]:
        *rest, one, two = entries
        return [
            *rest,
            msgspec.structs.replace(one, annotations=two.annotations),
            msgspec.structs.replace(two, annotations=one.annotations),
        ]

    forge.index = swap
    assert refusal(forge).code == "bundle.service"


@pytest.mark.parametrize(
    "identity", [{"dev.minipaas.order": "1.2"}, {"dev.minipaas.image.web": "sha256:" + 64 * "2"}, {"more": "words"}]
)
def test_the_bundle_manifest_is_that_of_one_release(identity: dict[str, str]) -> None:
    forge = Forge()
    forge.identity = identity
    assert refusal(forge).code == "bundle.manifest"


def test_services_may_share_an_image() -> None:
    image = make_image(tar_layer({"hello": b"hi"}))
    verdict = accept(Forge(services=("web", "worker"), images={"web": image, "worker": image}))
    assert verdict.release.images["web"] == verdict.release.images["worker"]


# -- rule 8: images ----------------------------------------------------------------------------------------------------


def test_an_image_for_another_architecture() -> None:
    error = refusal(Forge(platform="linux/arm64"))
    assert error.code == "bundle.platform"
    assert "image for another architecture: web is for linux/arm64, this box is linux/amd64" in error.message
    assert accept(Forge(platform="linux/arm64"), make_box(platform="")).release.images["web"].platform == "linux/arm64"
    assert accept(Forge(platform="linux/arm64/v8"), make_box(platform="linux/arm64"))
    assert accept(Forge(platform="linux/arm/v7"), make_box(platform="linux/arm"))


def test_platforms_compare_without_default_variants() -> None:
    same = [("linux/amd64", "linux/amd64/v1"), ("linux/arm64", "linux/arm64/v8"), ("linux/arm", "linux/arm/v7")]
    assert all(plain_platform(one) == plain_platform(two) for one, two in same)
    different = [("linux/amd64", "linux/arm64"), ("linux/arm/v6", "linux/arm/v7"), ("linux/amd64", "windows/amd64")]
    assert all(plain_platform(one) != plain_platform(two) for one, two in different)


def test_layers_that_the_config_does_not_name() -> None:
    one, two = tar_layer({"a": b"1"}), tar_layer({"b": b"2"})
    good, other = make_image(one), make_image(two)
    forge = Forge()
    forge.images = {"web": type(good)(good.config, other.layers)}
    assert refusal(forge).code == "bundle.image"


@pytest.mark.parametrize("config", [b"", b"{}", b"[]", b'{"os":"linux","architecture":"amd64","rootfs":{}}'])
def test_a_config_that_is_none(config: bytes) -> None:
    forge = Forge()
    image = forge.images["web"]
    forge.images = {"web": type(image)(config or b"\0", image.layers)}
    assert refusal(forge).code in ("bundle.image", "bundle.manifest")


def test_compressed_layers_are_refused() -> None:
    forge = Forge()

    def gzip(manifest: oci.Manifest) -> oci.Manifest:
        layers = tuple(msgspec.structs.replace(x, media_type=oci.LAYER + "+gzip") for x in manifest.layers)
        return msgspec.structs.replace(manifest, layers=layers)

    forge.image_manifest = gzip
    assert refusal(forge).code == "bundle.image"


# -- rule 9: nothing else ----------------------------------------------------------------------------------------------


def test_an_image_that_no_service_has() -> None:
    forge = Forge(services=("web", "db"), app_toml=make_app_toml())
    forge.subjects = {"service/db": ""}
    forge.identity = {"dev.minipaas.image.db": ""}
    assert refusal(forge).code == "bundle.extra_blob"


def test_a_blob_that_nothing_reaches() -> None:
    forge = Forge()
    forge.extra = [b"stowaway"]
    assert refusal(forge).code == "bundle.extra_blob"


# -- rule 10: order ----------------------------------------------------------------------------------------------------

ORDERS = [
    ("new app", Floor(), 1, None),
    ("next", Floor(epoch=1, sequence=4), 5, None),
    ("again", Floor(epoch=1, sequence=5), 5, "release.downgrade"),
    ("older", Floor(epoch=1, sequence=6), 5, "release.downgrade"),
    ("older epoch", Floor(epoch=2, sequence=1), 5, "release.downgrade"),
    ("below the lowest", Floor(epoch=1, sequence=4, min_sequence=6), 5, "release.min_sequence"),
    ("at the lowest", Floor(epoch=1, sequence=4, min_sequence=5), 5, None),
]


@pytest.mark.parametrize(("floor", "sequence", "code"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
def test_releases_only_go_forward(floor: Floor, sequence: int, code: str | None) -> None:
    box = make_box(floors={"shop": floor, "other": Floor(epoch=9, sequence=9)})
    if code is None:
        assert accept(Forge(sequence=sequence), box).release.sequence == sequence
    else:
        assert refusal(Forge(sequence=sequence), box).code == code


def test_the_newest_accepted_release_may_come_again() -> None:
    forge = Forge(sequence=5)
    digest = accept(forge).release.digest
    floors = {"shop": Floor(epoch=1, sequence=5)}
    assert accept(forge, make_box(floors=floors, accepted={"shop": digest})).release.digest == digest
    assert refusal(Forge(sequence=5, sbom=b"{}", app_toml=make_app_toml() + "\n"), make_box(floors=floors)).code


# -- rule 11: time -----------------------------------------------------------------------------------------------------


def test_expiry_blocks_only_when_the_clock_is_right() -> None:
    forge = Forge()
    forge.predicate["validUntil"] = "2025-10-10T00:00:00Z"
    end = 1_760_054_400
    assert accept(forge, make_box(clock=end - 1)).warnings == ()
    assert refusal(forge, make_box(clock=end)).code == "release.expired"
    verdict = accept(forge, make_box(clock=end, synced=False))
    assert "valid until 2025-10-10" in verdict.warnings[0]
    assert verdict.release.valid_until == end


def test_the_floor_of_time_counts_when_the_clock_fell_back() -> None:
    forge = Forge()
    forge.predicate["validUntil"] = "2025-10-10T00:00:00Z"
    assert refusal(forge, make_box(clock=0, floor=1_760_054_400)).code == "release.expired"


def test_a_release_from_the_future() -> None:
    assert accept(Forge(), make_box(clock=ISSUED - DAY + 1)).warnings == ()
    assert refusal(Forge(), make_box(clock=ISSUED - DAY - 1)).code == "release.future"
    assert "future" in accept(Forge(), make_box(clock=0, synced=False)).warnings[0]


def test_a_threshold_of_a_root_is_met_by_distinct_keys_only() -> None:
    keys, _ = make_trust(keys=2)
    root = new_root(release_keys=[key.public for key in keys], threshold=2, root_signers=keys, root_threshold=2)
    assert accept(Forge(keys, roots=[root]), make_box(root)).release.signers == tuple(key.key_id for key in keys)
