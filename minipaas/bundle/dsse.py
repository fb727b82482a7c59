"""Signatures: a DSSE envelope in a Sigstore bundle v0.3, one signer each.

The bytes that are signed are DSSE's pre-authentication encoding (PAE) of the statement. The Sigstore bundle names the
public key by a hint, our key id; it has no transparency log entries, because a box may never be online.
"""

from __future__ import annotations

import base64
import binascii

import msgspec
from msgspec import Struct, field

from minipaas.bundle import oci
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.refusal import refuse
from minipaas.model.typed import to_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class EnvelopeSignature(Struct, frozen=True):
    sig: str
    keyid: str = ""


class Envelope(Struct, frozen=True, rename="camel"):
    """DSSE v1."""

    payload: str
    payload_type: str
    signatures: tuple[EnvelopeSignature, ...]


class KeyHint(Struct, frozen=True):
    hint: str = ""


class Material(Struct, frozen=True, rename="camel"):
    """How the signer is named; certificates are not supported."""

    public_key: KeyHint


class SigstoreBundle(Struct, frozen=True, rename="camel"):
    """sigstore.bundle.v0.3, as far as we use it."""

    media_type: str
    verification_material: Material = field(name="verificationMaterial")
    dsse_envelope: Envelope = field(name="dsseEnvelope")


class Signed(Struct, frozen=True):
    """One signature, taken apart."""

    payload: bytes
    signature: bytes
    hint: str


def pae(payload: bytes) -> bytes:
    """What is signed: `DSSEv1 28 application/vnd.in-toto+json <length> <payload>`."""
    from minipaas.bundle.foreign import Envelope as Dsse

    return Dsse(payload, PAYLOAD_TYPE, {}).pae()


def sign(payload: bytes, key: SigningKey) -> bytes:
    """The Sigstore bundle, as JSON, of one signer over the payload."""
    envelope = Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=PAYLOAD_TYPE,
        signatures=(EnvelopeSignature(sig=base64.b64encode(key.sign(pae(payload))).decode(), keyid=key.key_id),),
    )
    material = Material(public_key=KeyHint(hint=key.key_id))
    return to_json(SigstoreBundle(media_type=oci.SIGSTORE, verification_material=material, dsse_envelope=envelope))


def parse(data: bytes, what: str) -> Signed:
    """Take a Sigstore bundle apart, without believing it. Raises Refused."""
    try:
        bundle = oci.decode(data, SigstoreBundle)
        envelope = bundle.dsse_envelope
        if bundle.media_type != oci.SIGSTORE or envelope.payload_type != PAYLOAD_TYPE or len(envelope.signatures) != 1:
            raise refuse(what, "signature.format", "a signature is not a Sigstore bundle v0.3 with one DSSE signature")
        return Signed(
            payload=base64.b64decode(envelope.payload, validate=True),
            signature=base64.b64decode(envelope.signatures[0].sig, validate=True),
            hint=bundle.verification_material.public_key.hint,
        )
    except (msgspec.MsgspecError, binascii.Error) as error:
        raise refuse(what, "signature.format", f"a signature can't be read: {error}") from None
