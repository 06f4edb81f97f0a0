"""
Socket policy files: built, parsed, checked and asked.

A Flash movie may open a socket only after the target, on port 843 or on the
port itself, has answered ``<policy-file-request/>`` with a policy file that
names the movie's domain and the port. What Flash Player would ignore or forbid
in one is refused here, because the player itself fails without a word.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import TYPE_CHECKING, Final

from .codec import encode
from .documents import parse_with_doctype
from .exceptions import DocumentError, PolicyError, safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lxml import etree

__all__ = ["MASTER_PORT", "REQUEST", "Grant", "Policy", "Verdict", "match_request"]

REQUEST: Final = b"<policy-file-request/>\0"
"""What Flash Player sends, on a connection of its own, to ask for the policy: 23 bytes."""

# Flash 8, Learning ActionScript 2.0, page 706, writes the request with a space.
_REQUESTS = (REQUEST, b"<policy-file-request />\0")

MASTER_PORT: Final = 843
"""Where Flash Player asks first, and the only place whose ``site-control`` counts."""

_PRIVILEGED: Final = 1024
_LAST_PORT: Final = 65535
_ALL_PORTS: Final = ((0, _LAST_PORT),)
_LONGEST_NAME: Final = 255

# What each value of site-control is for, where it is not for sockets.
_SITE_CONTROLS = dict.fromkeys(("all", "master-only", "none"))
_SITE_CONTROLS |= {"by-content-type": "HTTP", "by-ftp-filename": "FTP"}

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_PORT = re.compile(r"(0|[1-9][0-9]{0,4})(?:-(0|[1-9][0-9]{0,4}))?", re.ASCII)

_ANY = "*"
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
_PERMITTED = "permitted-cross-domain-policies"


def match_request(data: bytes) -> bool | None:
    """
    Tell whether a connection starts with a policy request.

    Args:
        data: The first bytes of the connection, however many have come.

    Returns:
        True when a whole request has come, its zero byte included; False when
        it cannot become one any more; None while that is open.

    Source: Flash 8, Learning ActionScript 2.0, page 706, and what players send:
    the form without a space. Both are matched to the byte; the request that the
    manual of Flash MX 2004 names, ``<cross-domain-request/>``, nobody is known to send.

    """
    if data.startswith(_REQUESTS):
        return True
    return None if any(request.startswith(data) for request in _REQUESTS) else False


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """
    Whether a policy lets a movie connect, and why. True or false as it is.

    Attributes:
        allowed: Whether Flash Player would open the connection.
        reason: The rule that decided, in words.

    """

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed

    def __str__(self) -> str:
        return f"{'allowed' if self.allowed else 'denied'}: {self.reason}"


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """
    One ``allow-access-from`` of a policy file.

    Attributes:
        domain: Where movies come from: ``*``, ``*.suffix`` (which takes in the
            bare suffix), a host name, or an IPv4 address. Lower case.
        ports: Ports granted, as pairs of first and last; None for ``*``.
        secure: Whether only movies loaded over HTTPS are meant.

    Raises:
        PolicyError: If ``domain`` is of no form that Flash knows.

    """

    domain: str
    ports: tuple[tuple[int, int], ...] | None
    secure: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", _checked_domain(self.domain))

    @property
    def to_ports(self) -> str:
        """The ports as the attribute ``to-ports`` writes them."""
        if self.ports is None:
            return _ANY
        return ",".join(
            str(first) if first == last else f"{first}-{last}" for first, last in self.ports
        )

    def __str__(self) -> str:
        secure = ' secure="true"' if self.secure else ""
        return f'<allow-access-from domain="{self.domain}" to-ports="{self.to_ports}"{secure}/>'

    def covers(self, domain: str) -> bool:
        """Tell whether ``domain``, in lower case, is meant."""
        if self.domain.startswith("*."):
            return domain == self.domain[2:] or domain.endswith(self.domain[1:])
        return self.domain in (_ANY, domain)


class Policy:
    """
    A socket policy file.

    Args:
        domains: Where movies may come from: ``"*"`` for anywhere, ``"*.suffix"``
            for a domain and all below it, a host name, or an IPv4 address
            (matched only against movies loaded by that address; nothing is
            looked up in DNS). Names in ASCII: ``xn--…`` for others.
        ports: Ports they may connect to: numbers, ranges such as ``"5000-5100"``,
            or ``"*"`` alone for whatever the serving port may grant.
        secure: Whether only movies loaded over HTTPS are meant. Unlike in the
            policy files of HTTPS servers the default of Flash is no.
        site_control: On port 843, which policies of this host count: ``"all"``
            (Flash's default), ``"master-only"`` or ``"none"``, not even this.

    Raises:
        PolicyError: If Flash would ignore or forbid part of it.

    Attributes:
        grants: One `Grant` a domain, in order.
        site_control: As above, or None.
        reply: The file and one zero byte, ready to be sent.

    Source: Adobe, Cross Domain Policy File Specification 2.0; ActionScript 3.0
    Developer's Guide, "Website controls (policy files)".

    """

    __slots__ = ("grants", "reply", "site_control")

    def __init__(
        self,
        domains: Iterable[str] = (),
        ports: Iterable[int | str] = (),
        *,
        secure: bool = False,
        site_control: str | None = None,
    ) -> None:
        for name, value in (("domains", domains), ("ports", ports)):
            if isinstance(value, str | bytes):
                raise TypeError(f"{name} must be a list, not {value!r}")
        domains, items = list(domains), [str(port) for port in ports]
        if domains and not items:
            raise PolicyError("domains without ports: a socket policy must name to-ports")
        if items and not domains:
            raise PolicyError("ports without domains: the policy would grant nothing")
        granted = _checked_ports(items) if items else None
        grants = tuple(Grant(domain, granted, secure) for domain in domains)
        lines = ['<?xml version="1.0"?>', "<cross-domain-policy>"]
        if site_control is not None:
            _checked_site_control(site_control)
            lines.append(f'<site-control {_PERMITTED}="{site_control}"/>')
        # Nothing to escape: domains and ports hold letters, digits and "-._*,".
        lines += map(str, grants)
        lines.append("</cross-domain-policy>")
        self.grants: tuple[Grant, ...] = grants
        self.site_control: str | None = site_control
        self.reply: bytes = encode("\n".join(lines))

    @classmethod
    def parse(cls, document: bytes) -> Policy:
        """
        Read and check a policy file.

        A DOCTYPE is skipped unread, and nothing is ever fetched. Grants by
        certificate (``allow-access-from-identity``) are passed over: they say
        nothing about a domain. `reply` is the file as it was given.

        Args:
            document: The file, with or without the zero byte of a reply.

        Raises:
            PolicyError: If it is malformed, or if Flash would ignore or forbid
                part of it; with the line.

        """
        document = document.removesuffix(b"\0")
        try:
            root = parse_with_doctype(document)
        except DocumentError as exc:
            raise PolicyError(exc.reason, exc.line) from exc
        grants, site_control = _read(root)
        policy = cls.__new__(cls)
        policy.grants, policy.site_control, policy.reply = grants, site_control, encode(document)
        return policy

    def __bytes__(self) -> bytes:
        return self.reply[:-1]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} grants={self.grants!r} site_control={self.site_control!r}>"

    def allows(
        self, domain: str, port: int, *, secure: bool = False, serving_port: int | None = None
    ) -> Verdict:
        """
        Tell whether a movie may connect, as Flash Player decides, and why.

        Args:
            domain: Host that the movie was loaded from, as its URL writes it.
            port: Port that the movie wants to connect to.
            secure: Whether the movie was loaded over HTTPS.
            serving_port: Port that this policy comes from, where it is known: a
                port from 1024 on cannot grant lower ones.

        Source: Flash 8, Learning ActionScript 2.0, page 703, for domains;
        ActionScript 3.0 Developer's Guide, "Website controls", for ports.

        """
        if self.site_control == "none":
            return Verdict(allowed=False, reason="site-control permits no policy file, nor this")
        domain = domain.lower()
        missed = f"no allow-access-from covers the domain {_shown(domain)}"
        for grant in self.grants:
            if not grant.covers(domain):
                continue
            if not any(first <= port <= last for first, last in grant.ports or _ALL_PORTS):
                missed = f"port {port} is not among the ports of {_brief(grant)}"
            elif grant.secure and not secure:
                missed = f"the movie was not loaded over HTTPS, which {_brief(grant)} demands"
            elif port < _PRIVILEGED <= (serving_port or 0):
                missed = (
                    f"port {port} is below {_PRIVILEGED} and the policy comes from "
                    f"port {serving_port}, which cannot grant it"
                )
            else:
                return Verdict(allowed=True, reason=_brief(grant))
        return Verdict(allowed=False, reason=missed)

    def check_port(self, serving_port: int) -> None:
        """
        Check that this policy may be served from a port.

        Args:
            serving_port: The port that players connect to, which a redirection
                may make another one than the server listens on.

        Raises:
            PolicyError: If the policy names ports below 1024 and the port is
                not below 1024 itself, or has a ``site-control`` and the port is
                not 843. ``to-ports="*"`` is right everywhere.

        Source: ActionScript 3.0 Developer's Guide, "Website controls"; Cross
        Domain Policy File Specification 2.0, site-control.

        """
        if self.site_control is not None and serving_port != MASTER_PORT:
            raise PolicyError(
                f"site-control counts only in the policy of port {MASTER_PORT}, "
                f"not of port {serving_port}"
            )
        for grant in self.grants if serving_port >= _PRIVILEGED else ():
            if any(first < _PRIVILEGED for first, _ in grant.ports or ()):
                raise PolicyError(
                    f"port {serving_port} cannot grant ports below {_PRIVILEGED}, "
                    f"as {_brief(grant)} tries; serve it from port {MASTER_PORT}"
                )


def _shown(text: object) -> str:
    return f"'{safe_text(str(text), 40)}'"


def _brief(grant: Grant) -> str:
    return safe_text(str(grant), 100)


def _checked_domain(domain: str) -> str:
    """Return ``domain`` in lower case, if it is of a form that Flash knows."""
    name = domain.removeprefix("*.")
    labels = name.split(".")
    known = len(domain) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels))
    if domain != _ANY and not known:
        raise PolicyError(
            f"domain {_shown(domain)} is neither '*', '*.suffix', a host name in ASCII "
            "without scheme, port and path, nor an IPv4 address"
        )
    if all(label.isdecimal() for label in labels):
        if name != domain:
            raise PolicyError(f"domain {_shown(domain)}: an IPv4 address takes no wildcard")
        try:
            ipaddress.IPv4Address(name)
        except ValueError:
            raise PolicyError(f"domain {_shown(domain)} is no IPv4 address") from None
    return domain.lower()


def _checked_ports(items: list[str]) -> tuple[tuple[int, int], ...] | None:
    """Return the ranges that ``items`` name, or None for the wildcard."""
    if items == [_ANY]:
        return None
    ranges = []
    for item in items:
        match = _PORT.fullmatch(item)
        if match is None:
            raise PolicyError(f"to-ports: {_shown(item)} is no port, no range, and not '*' alone")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 < first <= last <= _LAST_PORT:
            raise PolicyError(f"to-ports: {_shown(item)} does not rise within 1 to {_LAST_PORT}")
        ranges.append((first, last))
    return tuple(ranges)


def _checked_site_control(value: str) -> str:
    try:
        elsewhere = _SITE_CONTROLS[value]
    except KeyError:
        raise PolicyError(f"site-control {_shown(value)} is unknown") from None
    if elsewhere is not None:
        raise PolicyError(f"site-control '{value}' is for {elsewhere} only, not for sockets")
    return value


def _read(root: etree._Element) -> tuple[tuple[Grant, ...], str | None]:
    """Return what the elements of a policy file say."""
    _check_attributes(root, {_SCHEMA})
    if root.tag != "cross-domain-policy":
        raise PolicyError(
            f"root element is {_shown(root.tag)}, not 'cross-domain-policy' without a namespace",
            root.sourceline,
        )
    grants: list[Grant] = []
    site_controls: list[str] = []
    for element in root.iterchildren("*"):
        try:
            if element.tag == "allow-access-from":
                grants.append(_read_grant(element))
            elif element.tag == "site-control":
                _check_attributes(element, {_PERMITTED})
                site_controls.append(_checked_site_control(element.get(_PERMITTED, "")))
            elif element.tag == "allow-http-request-headers-from":
                raise PolicyError(f"{element.tag} is for HTTP only, not for sockets")  # noqa: TRY301
            elif element.tag != "allow-access-from-identity":
                raise PolicyError(f"element {_shown(element.tag)} is unknown")  # noqa: TRY301
        except PolicyError as exc:
            raise PolicyError(exc.reason, element.sourceline) from None
    if len(site_controls) > 1:
        raise PolicyError("more than one site-control", root.sourceline)
    return tuple(grants), next(iter(site_controls), None)


def _read_grant(element: etree._Element) -> Grant:
    _check_attributes(element, {"domain", "to-ports", "secure"})
    domain, to_ports = element.get("domain"), element.get("to-ports")
    if not domain:
        raise PolicyError("allow-access-from without domain")
    if not to_ports:
        raise PolicyError("allow-access-from without to-ports, which a socket policy must have")
    secure = element.get("secure", "false")
    if secure not in {"true", "false"}:
        raise PolicyError(f"secure={_shown(secure)} is neither 'true' nor 'false'")
    return Grant(domain, _checked_ports(to_ports.split(",")), secure == "true")


def _check_attributes(element: etree._Element, known: Iterable[str]) -> None:
    for name in element.attrib:
        if name not in known:
            raise PolicyError(
                f"attribute {_shown(name)} of {_shown(element.tag)} is unknown", element.sourceline
            )
