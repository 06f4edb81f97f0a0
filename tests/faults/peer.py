"""
A client in a process of its own, to be killed, stopped and let go on.

``python -m tests.faults.peer PORT SENT`` connects, sends the bytes, says "sent",
and reads when it is told to on its standard input: "read" until the end of the
stream. Then it prints how many bytes it got and how the stream ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Peer", "peer"]

PATIENCE = 40.0


class Peer:
    """The process, seen from the test."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        assert b"sent\n" == process.stdout.readline()

    def kill(self) -> None:
        """Kill it as the system does when it is out of memory."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        """Stop it, and wait until it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def read(self) -> tuple[int, str]:
        """Let it go on and read: how many bytes came, and how the stream ended."""
        self.process.send_signal(signal.SIGCONT)
        out, _ = self.process.communicate(b"read\n", timeout=PATIENCE)
        count, end = out.decode().split()
        return int(count), end


@contextlib.contextmanager
def peer(port: int, sent: bytes = b"<here/>\0") -> Iterator[Peer]:
    """Run one, and end it, whatever happens."""
    with subprocess.Popen(
        [sys.executable, "-E", "-S", __file__, str(port), sent.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()


def main(port: int, sent: bytes) -> None:
    """Be the client."""
    with socket.socket() as sock:
        # Little is on its way when it stops reading.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        sock.sendall(sent)
        print("sent", flush=True)  # noqa: T201
        sys.stdin.readline()
        size, end = 0, "eof"
        try:
            while data := sock.recv(2**16):
                size += len(data)
        except ConnectionResetError:
            end = "reset"
        print(size, end)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), bytes.fromhex(sys.argv[2]))
