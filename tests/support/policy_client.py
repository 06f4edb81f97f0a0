"""
A client that asks for socket policies as Flash Player does.

No player is left that can be run in a test (Ruffle never asks), so this plays
its part, written from the vendor's documentation and packet traces: a
connection of its own for each policy, port 843 first, then the locations given
to ``Security.loadPolicyFile``, then the port that the movie wants.
"""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING

from xmlsocket.exceptions import PolicyError
from xmlsocket.policy import MASTER_PORT, REQUEST, Policy, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Lookup", "fetch_policy", "look_up"]

_MAX_REPLY = 2**16


@dataclasses.dataclass(frozen=True)
class Lookup:
    """
    What Flash Player found out.

    Attributes:
        verdict: Whether the movie may connect, and why.
        asked: The ports that were asked for a policy, in order.

    """

    verdict: Verdict
    asked: list[int]


def fetch_policy(host: str, port: int, *, timeout: float) -> bytes | None:
    """
    Ask one port for its policy.

    Returns:
        The reply up to its zero byte, or all of it when the server closes
        without one, as some do; None when nobody answers in time.

    """
    reply = b""
    try:
        with socket.create_connection((host, port), timeout) as sock:
            sock.sendall(REQUEST)
            while b"\0" not in reply and len(reply) <= _MAX_REPLY:
                data = sock.recv(4096)
                if not data:
                    break
                reply += data
    except OSError:
        return None
    # The player closes at the zero byte and never reuses this connection.
    return reply.partition(b"\0")[0] or None


def look_up(
    host: str,
    port: int,
    *,
    domain: str,
    secure: bool = False,
    load: Iterable[int] = (),
    master_port: int = MASTER_PORT,
    timeout: float = 3.0,
) -> Lookup:
    """
    Decide whether a movie may open a socket.

    Args:
        host: Where the movie wants to connect.
        port: The port it wants.
        domain: Where the movie was loaded from.
        secure: Whether over HTTPS.
        load: Ports that the movie gave to ``Security.loadPolicyFile``.
        master_port: Where port 843 is to be found in this test.
        timeout: Seconds that a port may take; the player's 3 by default.

    """
    asked: list[int] = []
    verdict = Verdict(allowed=False, reason="no policy file was found")
    for place in (master_port, *load, port):
        asked.append(place)
        is_master = place == master_port
        document = fetch_policy(host, place, timeout=timeout)
        if document is None:
            continue
        try:
            policy = Policy.parse(document)
        except PolicyError as exc:  # the player ignores such a file
            verdict = Verdict(allowed=False, reason=str(exc))
            continue
        verdict = policy.allows(
            domain, port, secure=secure, serving_port=MASTER_PORT if is_master else place
        )
        if verdict:
            break
        # "Steps 2 and 3 happen only if there is no master or it permits them."
        if is_master and policy.site_control in {"none", "master-only"}:
            break
    return Lookup(verdict, asked)
