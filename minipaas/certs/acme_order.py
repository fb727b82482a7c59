"""One certificate from an ACME server: account, order, proof by HTTP, signature (RFC 8555, http-01 of section 8.3).

Every method of an `Order` blocks, for a few requests of at most twice `limits.request` seconds each, and is for a
thread; who calls waits between them, and decides how long in all. The `acme` library is imported here alone, when it is
needed. What a server says in its errors is shown to people: it is cut, and without control characters.
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, cast

from minipaas.certs import files
from minipaas.certs.limits import ACME_LIMITS, AcmeLimits
from minipaas.model.config import AcmeConfig

if TYPE_CHECKING:
    from acme import client, messages
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from josepy.jwk import JWKEC

ACCOUNT = "account.pem"
_TELL = 300
"""Characters that are shown of what a server says."""


class NotSigned(Exception):
    """No certificate this time, and why: words for people, without a stop. `limited`: we have asked too often."""

    def __init__(self, why: str, *, limited: bool = False) -> None:
        super().__init__(why)
        self.limited = limited


class Order:
    """An order of a certificate for one host name. Made by `open`."""

    def __init__(
        self, client: client.ClientV2, order: messages.OrderResource, key: EllipticCurvePrivateKey, limits: AcmeLimits
    ) -> None:
        self._client = client
        self._order = order
        self._key = key
        self._pending = [(one, self._choose(one)) for one in order.authorizations if one.body.status.name == "pending"]
        self._tries = limits.looks
        """So often the server is still asked to look again."""
        account = client.net.key
        self.answers: dict[bytes, bytes] = {
            one.chall.path.encode(): one.chall.validation(account).encode() for _, one in self._pending
        }
        """What the server is going to ask for over plain HTTP: path, and content."""

    @classmethod
    def open(cls, host: str, directory: Path, config: AcmeConfig, limits: AcmeLimits = ACME_LIMITS) -> Order:
        """Order a certificate for `host`. The account's key is that in `directory`, made when there is none."""
        from acme import client, errors, messages
        from josepy.jwa import ES256

        from minipaas.certs.acme_http import Bounded, Network

        net = Network(
            _account_key(directory / ACCOUNT),
            alg=ES256,
            verify_ssl=cast(bool, config.ca or True),  # a file of roots will do too, for requests
            user_agent="minipaas",
            timeout=limits.request,
        )
        net.session.mount("https://", Bounded(limits))
        del net.session.adapters["http://"]  # neither by a redirect nor by an address that the server gives
        net.session.headers["Accept-Encoding"] = "identity"
        asked = client.ClientV2(client.ClientV2.get_directory(config.directory, net), net)
        new = messages.NewRegistration.from_data(email=config.contact or None, terms_of_service_agreed=True)
        try:
            asked.new_account(new)
        except errors.ConflictError as known:
            net.account = messages.RegistrationResource(uri=known.location, body=messages.Registration())
        key, csr = _request(host)
        return cls(asked, asked.new_order(csr), key, limits)

    def answer(self) -> None:
        """Let the server look at `answers`, which are there to be fetched now."""
        for _, challenge in self._pending:
            self._answer(challenge)

    def proven(self) -> bool:
        """Whether the server believes that the host is ours. Raises NotSigned when it does not."""
        waiting = []
        for one, challenge in self._pending:
            now, _ = self._client.poll(one)
            state = now.body.status.name
            said = "; ".join(told(tried.error) for tried in now.body.challenges if tried.error is not None)
            if state in ("pending", "processing"):
                waiting.append((one, challenge))
                if said:
                    # It has failed, and may look again when it is asked to (section 8.2).
                    if not self._tries:
                        raise NotSigned(said)
                    self._tries -= 1
                    self._answer(challenge)
            elif state != "valid":
                raise NotSigned(said or f"the proof is {state}")
        self._pending = waiting
        return not waiting

    def finish(self) -> None:
        """Have it signed."""
        from acme import messages

        try:
            self._order = self._client.begin_finalization(self._order)
        except messages.Error as error:
            if error.code != "orderNotReady":  # `signed` asks once more when it is
                raise

    def signed(self) -> bytes:
        """The certificate with its chain, then its key, as PEM; empty: not yet."""
        from acme import errors
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        try:
            done = self._client.poll_finalization(
                self._order, datetime.datetime.now() + datetime.timedelta(seconds=1.5)
            )
        except errors.TimeoutError:
            return b""
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return done.fullchain_pem.encode() + b"\n" + key

    def _answer(self, challenge: messages.ChallengeBody) -> None:
        self._client.answer_challenge(challenge, challenge.chall.response(self._client.net.key))

    def _choose(self, authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
        for one in authorization.body.challenges:
            if one.chall.typ == "http-01":
                return one
        raise NotSigned("the server does not offer a proof over HTTP (http-01)")


def refusal(error: Exception) -> NotSigned:
    """Why an order came to nothing, whatever a method above has raised."""
    from acme import errors, messages

    if isinstance(error, NotSigned):
        return error
    if isinstance(error, errors.IssuanceError):
        error = error.error
    if isinstance(error, messages.Error):
        return NotSigned(told(error), limited=error.code == "rateLimited")
    cause: BaseException = error
    while (before := cause.__cause__ or cause.__context__) is not None:
        cause = before  # requests wraps what happened several times
    if isinstance(cause, ssl.SSLCertVerificationError):
        return NotSigned(_plain(f"its own certificate is not believed: {cause.verify_message}"))
    if isinstance(error, TimeoutError):
        return NotSigned("it took too long")
    if isinstance(error, OSError) or isinstance(cause, OSError):
        return NotSigned(_plain(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__))
    return NotSigned(_plain(f"its answer is not understood: {type(error).__name__}: {error}"))


def told(error: messages.Error) -> str:
    """What a server says is wrong."""
    return _plain(": ".join(one for one in (error.code or error.typ, error.detail) if one))


def _plain(text: str) -> str:
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return words.rstrip(".") if len(words) <= _TELL else f"{words[:_TELL]}…"


def _account_key(path: Path) -> JWKEC:
    """The key that is in the file; made when there is no file. One that cannot be read is not made anew: with it go
    the rights that it has at the server. Raises OSError, NotSigned."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )
    from josepy.jwk import JWKEC
    from josepy.util import ComparableECKey

    try:
        key = load_pem_private_key(files.read(path, 64 * 1024), None)
    except FileNotFoundError:
        key = ec.generate_private_key(ec.SECP256R1())
        files.write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except (ValueError, TypeError):
        raise NotSigned(f"there is no key in {path}; delete it, and a new account is made") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise NotSigned(f"the key in {path} is not an ECDSA one on P-256; delete it, and a new account is made")
    return JWKEC(key=ComparableECKey(key))


def _request(host: str) -> tuple[EllipticCurvePrivateKey, bytes]:
    """A new key, and a request to sign it for `host` (PEM)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return key, request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
