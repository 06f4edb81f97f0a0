"""The words for what the system reports."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from xmlsocket.cli.errors import reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 1)"),
            "connection refused",
        ),
        (
            OSError(errno.EADDRINUSE, "cannot listen on x: Address already in use"),
            "address already in use",
        ),
        (TimeoutError(errno.ETIMEDOUT, "x"), "connection timed out"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "unknown host"),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "temporary failure in name resolution",
        ),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] x"),
            os.strerror(111).lower(),
        ),
        (OSError("something of its own"), "something of its own"),
        (ConnectionResetError(), "connection ended during the handshake"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
            "TLS failed: [ssl: wrong version number] wrong version number",
        ),
    ],
)
def test_reason_is_a_few_words_without_number_or_address(error: OSError, words: str) -> None:
    """Each kind of error of opening a connection has words that can follow an address."""
    assert words == reason(error)


def test_reason_certificate_text_of_a_peer_is_escaped() -> None:
    """A certificate's names are the peer's, and the reason may quote them."""
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "Hostname mismatch, \x1b[31m."

    assert "certificate not accepted: Hostname mismatch, \\x1b[31m" == reason(error)
