"""Why a bundle is refused: one code a rule, each with its meaning and what to do. `docs/bundle-format.md` prints this
table, and a test compares the two.
"""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.errors import Refused


class Rule(Struct, frozen=True):
    """What a code means, for the documentation, and the hint that goes with it."""

    meaning: str
    hint: str


_COPY = "copy or upload the file again; `minipaas bundle verify FILE` checks it from end to end"
_BUILD = "build it again with `minipaas bundle build`"
_SIGN = "sign it with a release key of the trust root: `minipaas bundle sign FILE --key KEY`"
_ROOT = "ask the author for the newest root.json and add it with `minipaas trust add root.json`"
_NEWER = "raise the sequence and build again; to go back, use `minipaas rollback APP`"

RULES: dict[str, Rule] = {
    "bundle.empty": Rule("the file has no bytes", _COPY),
    "bundle.not_a_bundle": Rule(
        "the file does not begin with a zstd frame", "give a file made by `minipaas bundle build`"
    ),
    "bundle.truncated": Rule("the file ends too early", _COPY),
    "bundle.frame": Rule("a zstd frame is damaged or not of the prescribed form", _COPY),
    "bundle.tar": Rule("a tar header or padding differs from the only form allowed", _BUILD),
    "bundle.member_type": Rule("a tar member is a link, a directory, a device or another special file", _BUILD),
    "bundle.member_name": Rule("a tar member is not oci-layout, index.json or blobs/sha256/<64 hex digits>", _BUILD),
    "bundle.duplicate": Rule("a tar member occurs twice", _BUILD),
    "bundle.order": Rule("the tar members are not in the prescribed order", _BUILD),
    "bundle.missing_blob": Rule("a blob that the release needs is neither in the file nor on this box", _COPY),
    "bundle.extra_blob": Rule("the file holds a blob that nothing signed reaches", _BUILD),
    "bundle.size": Rule("a blob's size differs from what its descriptor says", _COPY),
    "bundle.digest": Rule("a blob's content does not hash to its name", _COPY),
    "bundle.damaged": Rule("the checksum over the whole file does not match", _COPY),
    "bundle.seek_table": Rule("the seek table does not describe the frames before it", _COPY),
    "bundle.trailing": Rule("bytes follow the end of the bundle", _COPY),
    "bundle.too_large": Rule(
        "the file, a part of it or a count exceeds a limit", "make the images or the SBOM smaller, or split the app"
    ),
    "bundle.layout": Rule("oci-layout or index.json is malformed", _BUILD),
    "bundle.manifest": Rule("a manifest is malformed or of an unknown kind", _BUILD),
    "bundle.app_toml": Rule("app.toml is missing or does not parse", "mend app.toml and build again"),
    "bundle.app": Rule("app.toml names another app or version than the signed statement", _BUILD),
    "bundle.service": Rule("the services of app.toml and the signed images do not match", _BUILD),
    "bundle.image": Rule("an image's config and layers contradict each other", _BUILD),
    "bundle.platform": Rule(
        "an image is for another architecture than this box", "build the bundle for the platform of this box"
    ),
    "signature.none": Rule("the bundle carries no signature", _SIGN),
    "signature.format": Rule("a signature is not a Sigstore bundle v0.3 with a DSSE envelope", _SIGN),
    "signature.payload": Rule("two signatures are over different payloads", _SIGN),
    "signature.invalid": Rule("a signature by a known key does not verify", _COPY),
    "signature.repeated": Rule("one key signed twice", "sign once with each key"),
    "signature.unknown_key": Rule("no signature is by a key of the trust root", _SIGN),
    "signature.threshold": Rule("too few distinct keys of the trust root have signed", _SIGN),
    "signature.other_bundle": Rule("the signed statement is about another bundle", _BUILD),
    "signature.statement": Rule("the signed statement is malformed or of an unknown type", _BUILD),
    "root.none": Rule("this box trusts nobody yet", "give it the owner's root: `minipaas trust add root.json`"),
    "root.format": Rule("a trust root is malformed", _ROOT),
    "root.keys": Rule("a trust root repeats a key, has one of an unsupported kind, or too few", _ROOT),
    "root.chain": Rule("the versions of the trust root chain are not 1, 2, 3…", _ROOT),
    "root.signature": Rule("a trust root lacks the signatures of its predecessor's or its own root keys", _ROOT),
    "root.old": Rule("a newer trust root is trusted already", _ROOT),
    "root.fork": Rule("another trust root of the same version is already trusted", _ROOT),
    "root.version": Rule("the bundle was made for a newer trust root than this box has", _ROOT),
    "root.epoch": Rule("the epoch goes back, or is not the trust root's", _BUILD),
    "release.downgrade": Rule("the release is not newer than the newest that was accepted", _NEWER),
    "release.min_sequence": Rule("the release is below the lowest sequence that an accepted release allows", _NEWER),
    "release.expired": Rule("the release was valid only until a time that has passed", "ask the author for a new one"),
    "release.future": Rule(
        "the release was issued in the future of a clock that is right", "set the clock of the machine that builds"
    ),
}


def refuse(what: str, code: str, why: str) -> Refused:
    """The exception for one broken rule; `what` names the bundle, as a person knows it."""
    return Refused(f"cannot accept {what}: {why}", hint=RULES[code].hint, code=code)
