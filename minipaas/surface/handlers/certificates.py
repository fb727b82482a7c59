"""Certificates: what TLS listeners show, and the root that clients have to trust."""

from __future__ import annotations

from aiohttp import web

from minipaas.certs.keeper import Keeper
from minipaas.model.certificate import Certificate
from minipaas.model.errors import Missing
from minipaas.model.route import Route
from minipaas.surface.call import Call
from minipaas.surface.wire_certificates import AuthorityView, Certificates, CertificateView

ROOT = "/ca.pem"
_TYPE = "application/x-x509-ca-cert"
"""What phones and browsers take as an offer to trust a CA; all of them read PEM under this type too."""


async def listing(call: Call) -> Certificates:
    """All certificates, with the routes that they are for."""
    control = call.control
    keeper = control.certificates
    tls = control.config.tls
    secure = control.ingress.secure
    return Certificates(
        enabled=bool(secure),
        https=tuple(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in secure),
        redirect=bool(secure) and (tls is None or tls.redirect),
        authority=_authority(keeper.authority.facts) if keeper is not None else None,
        certificates=_views(call, keeper) if keeper is not None else (),
        trouble=keeper.troubles() if keeper is not None else (),
    )


async def reload(call: Call) -> Certificates:
    """Look at the operator's files now."""
    await call.control.reload_certificates(actor=call.caller.actor, origin=call.caller.origin)
    return await listing(call)


async def root(call: Call) -> web.Response:
    """The root certificate of this box's CA."""
    keeper = call.control.certificates
    if keeper is None:
        raise Missing(
            "cannot give the CA of this box: it has none, because TLS is off",
            hint="turn TLS on: write [tls] into config.toml, and start minipaas again",
            code="certificate.off",
        )
    return web.Response(
        body=keeper.authority.pem,
        content_type=_TYPE,
        headers={"Content-Disposition": 'inline; filename="minipaas-ca.pem"', "Cache-Control": "no-cache"},
    )


def _authority(facts: Certificate) -> AuthorityView:
    return AuthorityView(
        subject=facts.subject,
        fingerprint=facts.fingerprint,
        not_before=facts.not_before,
        not_after=facts.not_after,
        path=ROOT,
    )


def _views(call: Call, keeper: Keeper) -> tuple[CertificateView, ...]:
    routes = _routes(call, keeper)
    api = keeper.of_listeners()
    return tuple(
        CertificateView(
            names=one.names,
            subject=one.subject,
            issuer=one.issuer,
            source=one.source,
            file=one.file,
            not_before=one.not_before,
            not_after=one.not_after,
            days_left=int((one.not_after - keeper.now) // 86400),
            serial=one.serial,
            fingerprint=one.fingerprint,
            routes=tuple(map(str, routes.get(one.fingerprint, ()))),
            api=one.fingerprint in api,
            trouble=keeper.trouble_of(one),
        )
        for one in keeper.certificates()
    )


def _routes(call: Call, keeper: Keeper) -> dict[str, list[Route]]:
    """Routes by the fingerprint of the certificate that answers for their host; `*` has no one certificate."""
    found: dict[str, list[Route]] = {}
    if call.control.ingress.secure:
        for entry in call.control.observed.routes:
            if entry.route.host != "*":
                found.setdefault(keeper.pair(entry.route.host).facts.fingerprint, []).append(entry.route)
    return found
