"""The TLS handshake and the certificate."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import safe_text
from ..reasons import reason
from .finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .case import Case

__all__ = ["look"]

_SOON: Final = 14  # days; certificates of 90 days are renewed 30 days before they end
_DAY: Final = 86400
_PLAYERS: Final = (
    "Flash's XMLSocket speaks no TLS, only SecureSocket does; Ruffle reaches this port as wss://"
    " alone"
)
_CHAIN: Final = (
    "the chain is not complete, or its authority not known here: serve the certificate together"
    " with those that lead to it (fullchain.pem), or name the authority with --tls-ca"
)
# By the codes of OpenSSL, X509_V_ERR_*.
_FIXES: Final = {
    9: "its time has not come: check the clocks of both machines",
    10: "it has expired: renew it, and have the server load the new one",
    18: "it is signed by itself: get one from an authority, or trust it with --tls-ca",
    19: "its authority is not known here: trust that with --tls-ca, and browsers will still refuse",
    20: _CHAIN,
    21: _CHAIN,
    62: "connect by a name that it has, or get one for this name",
    64: "connect by a name that it has, or get one for this address",
}
_NO_TLS: Final = (
    "wrong version number",
    "unexpected message",
    "packet length too long",
    "record layer failure",
    "unexpected eof",
    "during the handshake",
)


def look(case: Case) -> Iterator[Finding]:
    """
    Shake hands, verify the certificate, and look at it.

    Returns:
        Findings ``tls``, ``certificate`` and ``names``; none for plain TCP.

    """
    if case.context is None:
        return
    failure: ssl.SSLCertVerificationError | None = None
    try:
        version, certificate, _ = _shake(case, case.context)
    except ssl.SSLCertVerificationError as exc:
        failure = exc
        try:
            version, certificate = _unverified(case)
        except OSError as again:
            yield _broken(again)
            return
    except OSError as exc:
        yield _broken(exc)
        return
    yield Finding(Status.OK, "tls", f"{version}; {_PLAYERS}")
    if failure is None:
        yield _dates(certificate)
    else:
        fix = _FIXES.get(failure.verify_code, "have the server show a certificate that verifies")
        yield Finding(Status.FAILED, "certificate", reason(failure), fix)
    if certificate:
        yield _names(certificate)


def _shake(case: Case, context: ssl.SSLContext) -> tuple[str, dict[str, Any], bytes]:
    """Return the version, what the certificate says if it was verified, and the certificate."""
    with (
        socket.create_connection((case.host, case.port), case.timeout) as sock,
        context.wrap_socket(sock, server_hostname=case.host) as tls,
    ):
        certificate: dict[str, Any] = tls.getpeercert() or {}
        return tls.version() or "TLS", certificate, tls.getpeercert(binary_form=True) or b""


def _unverified(case: Case) -> tuple[str, dict[str, Any]]:
    """
    Look at a certificate that is not trusted.

    The library tells what one says only of those it verified; so it is told to
    trust this one alone. Of one that has expired nothing is told.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    version, _, binary = _shake(case, context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=binary)
    try:
        return version, _shake(case, context)[1]
    except OSError:
        return version, {}


def _broken(error: OSError) -> Finding:
    if isinstance(error, TimeoutError):
        why = "the handshake was not answered in time"
    else:
        why = reason(error)
    speaks_none = isinstance(error, TimeoutError) or any(text in why for text in _NO_TLS)
    fix = (
        "the port seems to speak no TLS: leave --tls out, or have the server or a proxy speak it"
        if speaks_none
        else "let the server speak TLS 1.2 or 1.3 with usual ciphers"
    )
    return Finding(Status.FAILED, "tls", why, fix)


def _dates(certificate: dict[str, Any]) -> Finding:
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / _DAY
    seen = f"verified, valid for {days:.0f} more days"
    if days < _SOON:
        return Finding(
            Status.WARNING, "certificate", seen, "renew it, and have the server load the new one"
        )
    return Finding(Status.OK, "certificate", seen)


def _names(certificate: dict[str, Any]) -> Finding:
    names = ", ".join(value for _, value in certificate.get("subjectAltName", ()))
    issuer = ", ".join(
        value
        for part in certificate.get("issuer", ())
        for key, value in part
        if key in {"organizationName", "commonName"}
    )
    return Finding(
        Status.OK, "names", safe_text(f"{names or 'none'}; issued by {issuer or 'nobody'}", 300)
    )
