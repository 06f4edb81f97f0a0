"""TLS contexts of a throw-away authority, for tests on loopback."""

from __future__ import annotations

import functools
import ssl
import threading

import trustme

_MAKING = threading.Lock()


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context and that of a client who trusts it, for 127.0.0.1 and localhost."""
    # Two threads that come at once would each get an authority that the other does not trust.
    with _MAKING:
        return _contexts()


@functools.cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client
