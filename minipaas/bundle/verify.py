"""Whether a bundle may be installed on this box: the one gate, without I/O.

`verify` sees everything of a bundle but the layers, and checks in this order; the first rule that is broken names the
refusal (codes in `refusal.RULES`):

 1. Layout: oci-layout and index.json are in canonical form; the manifests that the index lists are there and parse.
 2. Digests: every blob has the size its descriptor says and hashes to its name.
 3. Trust root: the chain in the bundle is 1…N without a gap; from the root that this box trusts, each later one is
    signed by the thresholds of its predecessor and of itself; the epoch never goes down.
 4. Signatures: each belongs to this bundle manifest, all are over one payload, each by a known key verifies, no key
    signed twice, and enough distinct release keys of the newest root signed. Unknown keys count for nothing.
 5. Statement: a release statement about this bundle manifest, made for no newer root, of the root's epoch.
 6. App: app.toml is there, parses, and names the statement's app and version.
 7. Services: each service of app.toml is a subject, each subject is a service, and the index lists its image under its
    name; the bundle manifest's annotations name the same images, epoch and sequence, so that one digest is one release.
 8. Images: config and uncompressed layers agree (diffIDs), and are for this box's platform.
 9. Nothing else: every blob is reached from what is signed, the signatures or the root chain; the index tags the
    signed images as signed and says nothing more.
10. Order: (epoch, sequence) is greater than the app's floor, or this is the very release that was accepted last; the
    sequence is not below the highest minSequence seen.
11. Time: not expired, not issued in the future. Both block only when the clock is known to be right; else they warn.
    An expired trust root warns and never blocks.

The layers are checked while they are received, against the sizes and digests that rule 8 has bound to the signature.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct, field

from minipaas.bundle import dsse, layout, oci, root, statement
from minipaas.bundle.keys import PublicKey
from minipaas.bundle.layout import Metadata, Outline
from minipaas.bundle.limits import DEFAULT_LIMITS, Limits
from minipaas.bundle.refusal import refuse
from minipaas.bundle.root import TrustRoot
from minipaas.bundle.statement import Predicate, Statement
from minipaas.model.errors import Invalid, Refused
from minipaas.model.release import Floor, ImageRef, Release, TrustedTime
from minipaas.model.spec import AppSpec, parse_app_toml

FUTURE: Final = 24 * 3600
"""Seconds that an author's clock may be ahead of a box whose clock is right."""


class Trust(Struct, frozen=True, kw_only=True):
    """What this box believes and has seen."""

    root: bytes | None
    """The newest trusted root.json."""
    floors: dict[str, Floor] = field(default_factory=dict)
    """By app."""
    accepted: dict[str, str] = field(default_factory=dict)
    """App -> digest of its newest accepted release, which may be sent again."""
    time: TrustedTime
    platform: str
    """`linux/amd64`; empty: nobody is going to run it here, so any will do."""


class Verdict(Struct, frozen=True, kw_only=True):
    """A bundle that passed."""

    release: Release
    new_roots: tuple[tuple[int, bytes], ...]
    """(version, root.json) that the bundle brought and the trusted root leads to."""
    warnings: tuple[str, ...]
    descriptors: dict[str, int]
    """Digest -> bytes of every blob the release needs, in the order of the file."""


def verify(
    metadata: Metadata,
    trust: Trust,
    limits: Limits = DEFAULT_LIMITS,
    *,
    on_signed: Callable[[Predicate], None] | None = None,
) -> Verdict:
    """Check a bundle's metadata by the rules above. `on_signed` hears what trusted keys have signed as soon as that is
    sure (5), whatever else is wrong. Raises Refused with the code of the first broken rule."""
    what = metadata.name
    outline = check_contents(metadata, limits)  # 1, 2
    newest, new_roots = _check_root(metadata, outline, trust, what)  # 3
    payload, signers, warnings = _check_signatures(metadata, outline, newest, what)  # 4
    signed = check_statement(payload, outline, what)  # 5
    if on_signed is not None:
        on_signed(signed.predicate)
    _check_epoch(signed.predicate, newest, what)
    spec, images = check_release(metadata, outline, signed, trust.platform)  # 6 to 9
    _check_order(signed.predicate, outline.bundle.digest, trust, what)  # 10
    warnings += _check_time(signed.predicate, newest, trust.time, what)  # 11
    descriptors = {**outline.manifests, **outline.metadata, **outline.configs, **outline.layers}
    predicate = signed.predicate
    release = Release(
        digest=outline.bundle.digest,
        app=predicate.app,
        version=predicate.version,
        epoch=predicate.epoch,
        sequence=predicate.sequence,
        min_sequence=predicate.min_sequence,
        root_version=predicate.root_version,
        issued=predicate.issued_at,
        valid_until=predicate.expires_at,
        signers=signers,
        images=images,
        blobs=tuple(sorted(descriptors)),
        spec=spec,
    )
    return Verdict(release=release, new_roots=new_roots, warnings=warnings, descriptors=descriptors)


def check_contents(metadata: Metadata, limits: Limits = DEFAULT_LIMITS) -> Outline:
    """Rules 1 and 2. Raises Refused."""
    what, blobs = metadata.name, metadata.blobs
    outline = layout.outline(layout.parse_index(metadata.layout, metadata.index, what), blobs, what)
    if len(outline.signatures) > limits.signatures or len(outline.root_manifest.layers) > limits.roots:
        raise refuse(what, "bundle.too_large", "it has too many signatures or trust roots")
    for digest, size in {**outline.manifests, **outline.metadata, **outline.configs}.items():
        data = blobs.get(digest)
        if data is None:
            raise refuse(what, "bundle.missing_blob", f"the blob {digest[7:19]} is missing")
        if len(data) != size:
            raise refuse(what, "bundle.size", f"the blob {digest[7:19]} has {len(data)} bytes, not {size}")
        if oci.digest_of(data) != digest:
            raise refuse(what, "bundle.digest", f"the blob {digest[7:19]} is damaged")
    return outline


def check_still_valid(release: Release, time: TrustedTime, what: str = "the bundle") -> None:
    """Rule 11 once more, for a bundle that waited after it was verified. Raises Refused(release.expired)."""
    if release.valid_until is not None and time.synced and time.now >= release.valid_until:
        raise refuse(what, "release.expired", f"it was valid until {statement.format_time(release.valid_until)}")


def signatures_of(metadata: Metadata, outline: Outline) -> tuple[dsse.Signed, ...]:
    """The signatures, taken apart; none is believed, but all are over one payload. Raises Refused."""
    what = metadata.name
    found: list[dsse.Signed] = []
    for manifest in outline.signatures:
        subject = manifest.subject
        if subject is None or subject.digest != outline.bundle.digest:
            raise refuse(what, "signature.other_bundle", "a signature is attached to another bundle manifest")
        if len(manifest.layers) != 1 or manifest.layers[0].media_type != oci.SIGSTORE:
            raise refuse(what, "signature.format", "a signature manifest does not hold one Sigstore bundle")
        found.append(dsse.parse(metadata.blobs[manifest.layers[0].digest], what))
    if not found:
        raise refuse(what, "signature.none", "it is not signed")
    if len({signed.payload for signed in found}) != 1:
        raise refuse(what, "signature.payload", "its signatures are over different payloads")
    return tuple(found)


def check_statement(payload: bytes, outline: Outline, what: str) -> Statement:
    """Rule 5, the part that needs no trust: the payload is about this bundle. Raises Refused."""
    signed = statement.parse(payload, what)
    if signed.subjects[statement.BUNDLE_SUBJECT] != outline.bundle.digest:
        raise refuse(what, "signature.other_bundle", "its signature belongs to another bundle")
    return signed


def claimed_app(metadata: Metadata) -> str:
    """The app that a bundle says it is of, by its statement, else by its app.toml; empty: it does not say. Nothing is
    verified: to be shown as such, never to be acted upon."""
    what = metadata.name
    try:
        outline = layout.outline(layout.parse_index(metadata.layout, metadata.index, what), metadata.blobs, what)
    except Refused:
        return ""
    with contextlib.suppress(Refused):
        return check_statement(signatures_of(metadata, outline)[0].payload, outline, what).predicate.app
    for layer in outline.bundle_manifest.layers:
        if layer.media_type == oci.APP_TOML:
            with contextlib.suppress(Invalid, RecursionError):
                return parse_app_toml(metadata.blobs[layer.digest]).app.name
    return ""


def check_release(
    metadata: Metadata, outline: Outline, signed: Statement, platform: str = ""
) -> tuple[AppSpec, dict[str, ImageRef]]:
    """Rules 6 to 9: the bundle holds what the statement says, and nothing else. Raises Refused."""
    spec = _check_app(metadata, outline, signed, metadata.name)
    _check_services(spec, outline, signed.services, metadata.name)
    _check_identity(outline, signed, metadata.name)
    images = _check_images(metadata, outline, signed, platform, metadata.name)
    _check_nothing_else(metadata, outline, images, metadata.name)
    return spec, images


def _check_app(metadata: Metadata, outline: Outline, signed: Statement, what: str) -> AppSpec:
    files = [layer for layer in outline.bundle_manifest.layers if layer.media_type == oci.APP_TOML]
    if len(files) != 1:
        raise refuse(what, "bundle.app_toml", "it holds no app.toml")
    try:
        spec = parse_app_toml(metadata.blobs[files[0].digest])
    except Invalid as error:
        why = f"{error.message}; {error.hint}" if error.hint else error.message
        raise refuse(what, "bundle.app_toml", why) from None
    except RecursionError:
        raise refuse(what, "bundle.app_toml", "its app.toml is nested too deeply") from None
    predicate = signed.predicate
    if (spec.app.name, spec.app.version) != (predicate.app, predicate.version):
        stated = f"{predicate.app} {predicate.version}"
        raise refuse(what, "bundle.app", f"app.toml is {spec.app.name} {spec.app.version}, the statement says {stated}")
    return spec


def _check_services(spec: AppSpec, outline: Outline, services: dict[str, str], what: str) -> None:
    for name in (*spec.services, *services):
        if name not in services or name not in spec.services:
            raise refuse(what, "bundle.service", f"{name!r} is not both a service of app.toml and a signed image")
        if services[name] not in outline.images:
            raise refuse(what, "bundle.service", f"the image of {name} is missing")
        entry = outline.entries.get(name)
        if entry is None or entry.digest != services[name]:
            raise refuse(what, "bundle.service", f"index.json gives {name} another image than the signature")


def _check_identity(outline: Outline, signed: Statement, what: str) -> None:
    predicate = signed.predicate
    identity = statement.identity(predicate.epoch, predicate.sequence, signed.services)
    if outline.bundle_manifest.annotations != identity:
        raise refuse(what, "bundle.manifest", "its bundle manifest names other images or another sequence")


def _check_images(
    metadata: Metadata, outline: Outline, signed: Statement, platform: str, what: str
) -> dict[str, ImageRef]:
    images: dict[str, ImageRef] = {}
    for service, digest in signed.services.items():
        manifest = outline.images[digest]
        wrong = [layer.media_type for layer in manifest.layers if layer.media_type != oci.LAYER]
        if wrong or manifest.config.media_type != oci.CONFIG or manifest.subject is not None:
            raise refuse(what, "bundle.image", f"the image of {service} is not an OCI image with uncompressed layers")
        try:
            config = oci.decode(metadata.blobs[manifest.config.digest], oci.ImageConfig)
        except msgspec.MsgspecError as error:
            raise refuse(what, "bundle.image", f"the image config of {service}: {error}") from None
        if config.rootfs.diff_ids != tuple(layer.digest for layer in manifest.layers):
            raise refuse(what, "bundle.image", f"the layers of {service} are not those of its image config")
        if platform and plain_platform(platform) != plain_platform(str(config.platform)):
            why = f"image for another architecture: {service} is for {config.platform}, this box is {platform}"
            raise refuse(what, "bundle.platform", why)
        images[service] = ImageRef(
            manifest=digest,
            config=manifest.config.digest,
            size=sum(layer.size for layer in manifest.layers),
            platform=str(config.platform),
        )
    return images


def plain_platform(text: str) -> tuple[str, str, str]:
    """(os, architecture, variant) without the variant that is the default, as containerd normalises platforms."""
    system, _, rest = text.partition("/")
    architecture, _, variant = rest.partition("/")
    if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    elif (architecture, variant) == ("arm", ""):
        variant = "v7"
    return system, architecture, variant


def _check_root(
    metadata: Metadata, outline: Outline, trust: Trust, what: str
) -> tuple[TrustRoot, tuple[tuple[int, bytes], ...]]:
    if trust.root is None:
        raise refuse(what, "root.none", "this box trusts nobody yet")
    chain = [metadata.blobs[layer.digest] for layer in outline.root_manifest.layers]
    root.check_versions(chain, what)
    newest, added = root.follow_chain(trust.root, chain, what)
    return newest, tuple((newest.version - len(added) + place, raw) for place, raw in enumerate(added, 1))


def _check_signatures(
    metadata: Metadata, outline: Outline, newest: TrustRoot, what: str
) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    """(payload, key ids that count, warnings)."""
    found = signatures_of(metadata, outline)
    message = dsse.pae(found[0].payload)
    signers: list[str] = []
    warnings: list[str] = []
    for one in found:
        key = _key_of(one, message, newest.keys)
        if key is None:
            warnings.append(f"a signature by the unknown key {one.hint[:12]!r} was not counted")
            continue
        if not key.verify(one.signature, message):
            raise refuse(what, "signature.invalid", f"the signature by the key {key.key_id[:12]} does not verify")
        if key.key_id in signers:
            raise refuse(what, "signature.repeated", f"the key {key.key_id[:12]} signed twice")
        signers.append(key.key_id)
    if not signers:
        raise refuse(what, "signature.unknown_key", "it is signed, but by no key that this box trusts")
    if len(signers) < newest.threshold:
        why = f"{len(signers)} of the {newest.threshold} keys that are needed have signed"
        raise refuse(what, "signature.threshold", why)
    return found[0].payload, tuple(signers), tuple(warnings)


def _key_of(one: dsse.Signed, message: bytes, keys: dict[str, PublicKey]) -> PublicKey | None:
    """The key that the hint names; else one that verifies: other tools write other hints."""
    named = keys.get(one.hint)
    if named is not None:
        return named
    return next((key for key in keys.values() if key.verify(one.signature, message)), None)


def _check_epoch(predicate: Predicate, newest: TrustRoot, what: str) -> None:
    if predicate.root_version > newest.version:
        why = f"it was made for root version {predicate.root_version}; this box has {newest.version}"
        raise refuse(what, "root.version", why)
    if predicate.epoch != newest.epoch:
        raise refuse(what, "root.epoch", f"it is of epoch {predicate.epoch}, the trust root is of {newest.epoch}")


def _check_nothing_else(metadata: Metadata, outline: Outline, images: dict[str, ImageRef], what: str) -> None:
    """No image that no service has, no blob that nothing points to, no word in the index that is not ours."""
    unsigned = set(outline.images) - {image.manifest for image in images.values()}
    known = {*outline.manifests, *outline.metadata, *outline.configs}
    extra = sorted(unsigned | (set(metadata.blobs) - known))
    if extra:
        raise refuse(what, "bundle.extra_blob", f"it holds extra blobs, like {extra[0][7:19]}")
    for tag, entry in outline.entries.items():
        if tag not in images or entry != oci.listed_image(entry.digest, entry.size, tag, images[tag].platform):
            raise refuse(what, "bundle.layout", f"index.json says of the image {tag!r:.80} what nobody signed")
    for entry in outline.artifacts:
        if entry != oci.listed_artifact(entry.digest, entry.size, entry.artifact_type):
            raise refuse(what, "bundle.layout", f"index.json says too much of {entry.digest[7:19]}")


def _check_order(predicate: Predicate, digest: str, trust: Trust, what: str) -> None:
    floor = trust.floors.get(predicate.app, Floor())
    mine, stored = (predicate.epoch, predicate.sequence), (floor.epoch, floor.sequence)
    if mine <= stored and trust.accepted.get(predicate.app) != digest:
        why = f"{predicate.app} {predicate.version} is {_place(mine)}, but {_place(stored)} was accepted already"
        raise refuse(what, "release.downgrade", why)
    if mine < (floor.epoch, floor.min_sequence):
        why = f"sequence {predicate.sequence} is below {floor.min_sequence}, the lowest that {predicate.app} may have"
        raise refuse(what, "release.min_sequence", why)


def _place(order: tuple[int, int]) -> str:
    return f"sequence {order[1]} of epoch {order[0]}"


def _check_time(predicate: Predicate, newest: TrustRoot, time: TrustedTime, what: str) -> tuple[str, ...]:
    warnings: list[str] = []
    unsure = "; the clock of this box is not known to be right, so this only warns"
    if predicate.expires_at is not None and time.now >= predicate.expires_at:
        why = f"it was valid until {predicate.valid_until}"
        if time.synced:
            raise refuse(what, "release.expired", why)
        warnings.append(why + unsure)
    if predicate.issued_at > time.clock + FUTURE:
        why = f"it was issued in the future, at {predicate.issued}"
        if time.synced:
            raise refuse(what, "release.future", why)
        warnings.append(why + unsure)
    if time.now >= newest.expires:
        warnings.append("the trust root has expired: ask its owner for a new one; releases are still accepted")
    return tuple(warnings)
