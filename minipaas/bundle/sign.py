"""One more signature on a bundle that exists: the other blobs are copied as they are, frame by frame.

The payload is taken from the signatures that are there, byte by byte, after it was compared with the contents: who
signs puts their name to the app.toml and the images that are in this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from minipaas.bundle import dsse, layout, oci, tarball
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.layout import Metadata, Outline
from minipaas.bundle.member import Member, check_whole, copy, members, opened
from minipaas.bundle.pack import Packer
from minipaas.bundle.receive import read_metadata
from minipaas.bundle.root import check_first
from minipaas.bundle.verify import check_contents, check_release, check_statement, signatures_of
from minipaas.bundle.write import listing, signature_manifest
from minipaas.model.errors import Invalid


def sign_bundle(path: Path, out: BinaryIO, keys: Sequence[SigningKey]) -> int:
    """Write the bundle at `path` with a further signature by each of `keys` to `out`; returns its bytes.

    Raises Missing, Refused when the file is not whole or contradicts its statement, Invalid when a key has signed
    already or is no release key of the trust root that the bundle carries.
    """
    what = str(path)
    with opened(path) as file:
        metadata = read_metadata(file, name=what)
        outline = check_contents(metadata)
        payload = _payload(metadata, outline, keys)
        found, end = members(file, what)
        check_whole(file, found, end, what)
        blobs, index = _with_signatures(metadata, outline, payload, keys)
        order = layout.outline(layout.parse_index(metadata.layout, index, what), {**metadata.blobs, **blobs}, what)
        places = {member.name: member for member in found}
        packer = Packer(out)
        packer.copy(_frames(file, places[tarball.LAYOUT], what))
        packer.add(tarball.INDEX, index)
        for digest in (*order.manifests, *order.metadata, *order.configs, *order.layers):
            member = places.get(tarball.member_name(digest))
            if member is not None:
                packer.copy(_frames(file, member, what))
            elif digest in blobs:
                packer.add(tarball.member_name(digest), blobs[digest])
        return packer.finish()


def _payload(metadata: Metadata, outline: Outline, keys: Sequence[SigningKey]) -> bytes:
    what = metadata.name
    signatures = signatures_of(metadata, outline)
    payload = signatures[0].payload
    signed = check_statement(payload, outline, what)
    check_release(metadata, outline, signed)
    message = dsse.pae(payload)
    root = check_first(metadata.blobs[outline.root_manifest.layers[-1].digest], what)
    if not keys or len({key.public for key in keys}) != len(keys):
        raise Invalid(f"cannot sign {what}: give at least one key, and each once", code="author.keys")
    for key in keys:
        if any(key.public.verify(one.signature, message) for one in signatures):
            raise Invalid(f"cannot sign {what}: the key {key.key_id[:12]} has signed it already", code="author.keys")
        if key.public not in root.keys.values():
            raise Invalid(
                f"cannot sign {what}: the key {key.key_id[:12]} is no release key of root version {root.version}",
                hint="sign with a key that the trust root names, or rotate the root",
                code="author.keys",
            )
    return payload


def _with_signatures(
    metadata: Metadata, outline: Outline, payload: bytes, keys: Sequence[SigningKey]
) -> tuple[dict[str, bytes], bytes]:
    """The new blobs, and the index that lists them after the signatures that were there."""
    blobs: dict[str, bytes] = {}
    listed = list(layout.parse_index(metadata.layout, metadata.index, metadata.name).manifests)
    place = max(number for number, entry in enumerate(listed, 1) if entry.artifact_type == oci.SIGSTORE)
    for key in keys:
        signature = dsse.sign(payload, key)
        manifest = signature_manifest(outline.bundle, signature)
        blobs |= {oci.digest_of(signature): signature, oci.digest_of(manifest): manifest}
        listed.insert(place, listing(manifest, oci.SIGSTORE))
        place += 1
    return blobs, layout.build_index(listed)


def _frames(file: BinaryIO, member: Member, what: str) -> Iterator[tuple[int, int, Iterator[bytes]]]:
    offset = member.offset
    for compressed, content in member.frames:
        yield compressed, content, copy(file, offset, compressed, what)
        offset += compressed
