"""An ACME server of the tests' own (RFC 8555), over TLS: it checks every signature, fetches every proof, signs
every request that deserves it, and is as strange as a test asks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import ssl
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.certs.made import OtherCa, pem

ERROR = "urn:ietf:params:acme:error:"


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638."""
    needed = json.dumps({key: jwk[key] for key in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(needed.encode())
    return b64(digest.finalize())


class Problem(Exception):
    def __init__(self, kind: str, detail: str, status: int = 400) -> None:
        self.kind, self.detail, self.status = kind, detail, status


class AcmeServer:
    """`proof_port`: where hosts answer over plain HTTP, as port 80 does elsewhere. What it signs is good from `now`."""

    def __init__(self, tmp_path: Path, proof_port: int, now: float) -> None:
        self.ca = OtherCa("Signs anybody")
        self.proof_port, self.now, self.days = proof_port, now, 90
        self.accounts: dict[str, dict[str, Any]] = {}
        """By thumbprint: key and contact."""
        self.orders: list[dict[str, Any]] = []
        self.nonces: set[str] = set()
        self.bad_nonces = 0
        """So many requests are still to be told that their nonce is bad."""
        self.limited = False
        self.says = ""
        """Instead of a directory."""
        self.drips = False
        """The directory comes byte by byte, and has no end."""
        self.names: list[str] = []
        """What is signed instead of what was asked for."""
        self._proving: set[asyncio.Task[None]] = set()
        tls = OtherCa("Of the ACME server")
        self.root = tmp_path / "acme-root.pem"
        self.root.write_bytes(tls.pem)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(tls.file(tmp_path / "acme-tls.pem", "127.0.0.1", now=time.time() - 3600))
        app = web.Application(middlewares=[self._problems])
        app.router.add_get("/directory", self._directory)
        app.router.add_route("*", "/nonce", self._nonce)
        for path, handler in (
            ("/account", self._account),
            ("/order", self._new_order),
            ("/order/{number}", self._order),
            ("/order/{number}/proof", self._authorization),
            ("/order/{number}/challenge", self._challenge),
            ("/order/{number}/finalize", self._finalize),
            ("/order/{number}/certificate", self._certificate),
        ):
            app.router.add_post(path, handler)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.base = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await asyncio.gather(*self._proving)

    @property
    def directory(self) -> str:
        return f"{self.base}/directory"

    # -- what every request goes through

    @web.middleware
    async def _problems(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await handler(request)
        except Problem as problem:
            answer = web.json_response(
                {"type": ERROR + problem.kind, "detail": problem.detail},
                status=problem.status,
                content_type="application/problem+json",
            )
        nonce = secrets.token_urlsafe(12)
        self.nonces.add(nonce)
        answer.headers["Replay-Nonce"] = nonce
        return answer

    async def _signed(self, request: web.Request) -> tuple[dict[str, str], Any]:
        """The key that has signed, and what: section 6.2."""
        assert request.content_type == "application/jose+json"
        jws = await request.json()
        header = json.loads(unb64(jws["protected"]))
        if (
            header["alg"] != "ES256"
            or header["url"] != self.base + request.path
            or ("jwk" in header) == ("kid" in header)
        ):
            raise Problem("malformed", f"the header {header}")
        if header["nonce"] not in self.nonces or self.bad_nonces:
            self.bad_nonces -= 1
            raise Problem("badNonce", "not a nonce of ours")
        self.nonces.remove(header["nonce"])
        if ("jwk" in header) != (request.path == "/account"):
            raise Problem("malformed", "jwk is for new accounts, kid for the rest")
        jwk = header["jwk"] if "jwk" in header else self.accounts[header["kid"].rpartition("/")[2]]["jwk"]
        x, y = (int.from_bytes(unb64(jwk[one]), "big") for one in "xy")
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        raw = unb64(jws["signature"])
        signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        try:
            key.verify(signature, f"{jws['protected']}.{jws['payload']}".encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Problem("malformed", "the signature", 403) from None
        return jwk, json.loads(unb64(jws["payload"])) if jws["payload"] else None

    # -- what there is

    async def _directory(self, request: web.Request) -> web.Response:
        if self.drips:
            slow = web.StreamResponse()
            await slow.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await slow.write(b" ")
                    await asyncio.sleep(0.1)
            return slow
        if self.says:
            return web.Response(text=self.says)
        known = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order"}
        return web.json_response({name: f"{self.base}/{path}" for name, path in known.items()})

    async def _nonce(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.method == "HEAD" else 204)

    async def _account(self, request: web.Request) -> web.Response:
        jwk, asked = await self._signed(request)
        if asked.get("termsOfServiceAgreed") is not True:
            raise Problem("userActionRequired", "agree first", 403)
        name = thumbprint(jwk)
        known = name in self.accounts
        self.accounts.setdefault(name, {"jwk": jwk, "contact": asked.get("contact", [])})
        where = {"Location": f"{self.base}/account/{name}"}
        return web.json_response({"status": "valid"}, status=200 if known else 201, headers=where)

    async def _new_order(self, request: web.Request) -> web.Response:
        jwk, asked = await self._signed(request)
        if self.limited:
            raise Problem("rateLimited", "too many\x1b[31m certificates\nalready", 429)
        (identifier,) = asked["identifiers"]
        number = len(self.orders)
        order = {
            "status": "pending",
            "jwk": jwk,
            "host": identifier["value"],
            "token": b64(b"/../" + secrets.token_bytes(20)),
        }
        self.orders.append(order)
        where = {"Location": f"{self.base}/order/{number}"}
        return web.json_response(self._shown(number), status=201, headers=where)

    def _shown(self, number: int) -> dict[str, Any]:
        order, here = self.orders[number], f"{self.base}/order/{number}"
        shown = {
            "status": order["status"],
            "identifiers": [{"type": "dns", "value": order["host"]}],
            "authorizations": [f"{here}/proof"],
            "finalize": f"{here}/finalize",
        }
        return shown | ({"certificate": f"{here}/certificate"} if order["status"] == "valid" else {})

    async def _own(self, request: web.Request) -> tuple[int, dict[str, Any], Any]:
        jwk, asked = await self._signed(request)
        number = int(request.match_info["number"])
        if self.orders[number]["jwk"] != jwk:
            raise Problem("unauthorized", "somebody else's", 403)
        return number, self.orders[number], asked

    async def _order(self, request: web.Request) -> web.Response:
        number, order, _ = await self._own(request)
        shown = self._shown(number)
        if order["status"] == "processing":
            order["status"] = "valid"
        return web.json_response(shown)

    async def _authorization(self, request: web.Request) -> web.Response:
        number, order, _ = await self._own(request)
        return web.json_response(
            {
                "status": order.get("proof", "pending"),
                "identifier": {"type": "dns", "value": order["host"]},
                "challenges": [
                    {"type": "dns-01", "url": f"{self.base}/never", "status": "pending", "token": order["token"]},
                    {"type": "of-tomorrow-01", "url": f"{self.base}/never", "status": "pending"},
                    self._challenge_of(number),
                ],
            }
        )

    def _challenge_of(self, number: int) -> dict[str, Any]:
        order = self.orders[number]
        shown = {"type": "http-01", "url": f"{self.base}/order/{number}/challenge", "token": order["token"]}
        shown["status"] = order.get("proof", "pending")
        return shown | ({"error": order["error"]} if "error" in order else {})

    async def _challenge(self, request: web.Request) -> web.Response:
        number, order, asked = await self._own(request)
        assert asked == {}
        self._proving.add(asyncio.create_task(self._prove(order), name="proof"))
        up = {"Link": f'<{self.base}/order/{number}/proof>;rel="up"'}
        return web.json_response(self._challenge_of(number), headers=up)

    async def _prove(self, order: dict[str, Any]) -> None:
        """Section 8.3."""
        url = f"http://127.0.0.1:{self.proof_port}/.well-known/acme-challenge/{order['token']}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers={"Host": order["host"]}, allow_redirects=False) as answer,
        ):
            found = (answer.status, (await answer.text()).rstrip())
        if found == (200, f"{order['token']}.{thumbprint(order['jwk'])}"):
            order["proof"], order["status"] = "valid", "ready"
        else:
            order["proof"] = order["status"] = "invalid"
            order["error"] = {"type": f"{ERROR}unauthorized", "detail": f"{order['host']} answered {found[0]}"}

    async def _finalize(self, request: web.Request) -> web.Response:
        number, order, asked = await self._own(request)
        if order["status"] != "ready":
            raise Problem("orderNotReady", "it is not", 403)
        csr = x509.load_der_x509_csr(unb64(asked["csr"]))
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        public = csr.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        if (
            not csr.is_signature_valid
            or list(names) != [x509.DNSName(order["host"])]
            or b64(public.public_numbers().x.to_bytes(32, "big")) == order["jwk"]["x"]
        ):
            raise Problem("badCSR", "not for this order")
        certificate, _ = self.ca.issue(*(self.names or [order["host"]]), now=self.now, days=self.days, key=csr)  # type: ignore[arg-type]
        order["certificate"], order["status"] = certificate, "processing"
        return web.json_response(self._shown(number))

    async def _certificate(self, request: web.Request) -> web.Response:
        _, order, _ = await self._own(request)
        return web.Response(
            body=pem(order["certificate"]) + pem(self.ca.root), content_type="application/pem-certificate-chain"
        )
