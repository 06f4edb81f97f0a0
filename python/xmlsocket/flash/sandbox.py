"""
Where Flash let a movie connect: the security restrictions of the XMLSocket object.

The player enforced them on itself; a server has no part in it but to serve policy
files. They are for programs that stand in for a player: tests of a policy server,
and Flash programs whose users relied on the refusals.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
from typing import Final

from ..asyncio import connect
from ..exceptions import ConnectionClosed, IncompleteFrame, PolicyError, safe_text
from ..policy import MASTER_PORT, REQUEST, Policy, Verdict

__all__ = ["Sandbox"]

MASTER_TIMEOUT: Final = 3.0
"""Seconds that the master policy may take before the player goes on without it."""

MAX_POLICY: Final = 2**16
"""Bytes of a policy file. Flash's limit is not known; this is ours."""

_PRIVILEGED: Final = 1024
_REDUCIBLE: Final = 3
_DICTIONARY: Final = (5, 6)
_POLICIES: Final = 9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """
    What a player asks before it lets a movie connect.

    Players 5 and 6, the dictionary's rules: ports from 1024 on, and hosts of the
    same subdomain. What they forbid, `XMLSocket.connect` answers with False.

    Players from 9 on (9.0.124): a socket policy must grant domain and port, also
    on the movie's own host. Port 843 is asked first and given 3 seconds; unless
    it grants, or forbids to look further, the port itself is asked. Ports below
    1024 can only be granted from one below 1024. What is forbidden ends as
    ``onConnect(False)``, and `XMLSocket.timeout` bounds it all.

    Players 7 and 8 also asked web servers for their policy files, which this
    class does not do.

    Attributes:
        domain: Host that the movie was loaded from, as its URL writes it; None
            for one from a local disk, which the dictionary's rule for hosts
            exempts. What policies mean to such a movie is not known: here only
            those count that grant every domain.
        player: Major version of the player.
        secure: Whether the movie was loaded over HTTPS.

    Raises:
        ValueError: If ``player`` is none of the above, or ``domain`` is empty.

    Source: Flash MX ActionScript dictionary, XMLSocket.connect; Using Flash MX,
    "About security protection", for subdomains; "Setting up a socket policy file
    server", Adobe, for the order in which ports are asked; ActionScript 3.0
    Developer's Guide, "Website controls".

    """

    domain: str | None
    player: int
    secure: bool = False

    def __post_init__(self) -> None:
        if self.domain == "":
            raise ValueError("domain must be a host or None, not empty")
        if self.player not in _DICTIONARY and self.player < _POLICIES:
            raise ValueError(f"player must be 5, 6, or 9 and later, not {self.player!r}")

    def check(self, host: str, port: int) -> Verdict:
        """
        Tell what the player decides at once, without asking anybody.

        Args:
            host: Host to connect to, as the movie writes it.
            port: Its port.

        """
        if self.player >= _POLICIES:
            return Verdict(allowed=True, reason="a policy file decides")
        if port < _PRIVILEGED:
            return Verdict(allowed=False, reason=f"port {port} is below {_PRIVILEGED}")
        if self.domain is None:
            return Verdict(allowed=True, reason="the movie is on a local disk")
        if _reductions(self.domain) & _reductions(host):
            return Verdict(allowed=True, reason="the host is in the movie's subdomain")
        host, domain = safe_text(host, 40), safe_text(self.domain, 40)
        reason = f"host '{host}' is not in the subdomain of the movie's domain '{domain}'"
        return Verdict(allowed=False, reason=reason)

    async def ask(
        self,
        host: str,
        port: int,
        *,
        timeout: float,  # noqa: ASYNC109
        master_port: int | None = None,
    ) -> Verdict:
        """
        Ask the host for its policy files as far as the player must, and decide.

        Args:
            host: Host to connect to.
            port: Its port.
            timeout: Seconds for all of it.
            master_port: Where the policy of port 843 is to be had, if it is not
                redirected yet; None: there.

        Returns:
            The verdict, true if the movie may connect, and its reason in words.

        """
        if self.player < _POLICIES:
            return self.check(host, port)
        deadline = asyncio.get_running_loop().time() + timeout
        refusals = []
        try:
            master = await _fetch(host, master_port or MASTER_PORT, min(MASTER_TIMEOUT, timeout))
        except PolicyError as exc:
            refusals.append(exc.reason)
        else:
            verdict = self._decide(master, port, MASTER_PORT)
            if verdict or master.site_control in {"master-only", "none"}:
                return verdict
            refusals.append(f"policy of port {MASTER_PORT}: {verdict.reason}")
        try:
            own = await _fetch(host, port, deadline - asyncio.get_running_loop().time())
        except PolicyError as exc:
            refusals.append(exc.reason)
        else:
            own.site_control = None  # counts in the master policy only
            verdict = self._decide(own, port, port)
            if verdict:
                return verdict
            refusals.append(f"policy of port {port}: {verdict.reason}")
        return Verdict(allowed=False, reason="; ".join(refusals))

    def _decide(self, policy: Policy, port: int, serving_port: int) -> Verdict:
        # No grant but "*" covers the empty domain.
        domain = self.domain or ""
        return policy.allows(domain, port, secure=self.secure, serving_port=serving_port)


async def _fetch(host: str, port: int, timeout: float) -> Policy:  # noqa: ASYNC109
    """Ask one port for its policy file, or raise `PolicyError` saying why there is none."""
    try:
        # The connection is for the policy alone: the player never reuses it.
        async with (
            asyncio.timeout(timeout),
            connect(host, port, parse=bytes, max_size=MAX_POLICY, open_timeout=None) as connection,
        ):
            await connection.send(REQUEST.removesuffix(b"\0"))
            try:
                document = await connection.recv()
            except ConnectionClosed as exc:
                # Servers that end the file by closing were common: npm's
                # "policyfile", which socket.io used, sends no zero byte.
                if not isinstance(exc.__cause__, IncompleteFrame):
                    raise
                document = exc.__cause__.partial
        return Policy.parse(document)
    except PolicyError as exc:
        raise PolicyError(f"policy of port {port}: {exc.reason}", exc.line) from exc
    except TimeoutError:
        raise PolicyError(f"port {port} served no policy in time") from None
    except (OSError, ValueError, ConnectionClosed) as exc:
        raise PolicyError(f"port {port} served no policy: {safe_text(str(exc))}") from exc


def _reductions(domain: str) -> set[str]:
    """Return a domain and, if it is a name of three labels or more, what follows the first."""
    domain = domain.lower()
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        labels = domain.split(".")
        if len(labels) >= _REDUCIBLE:
            return {domain, ".".join(labels[1:])}
    return {domain}
