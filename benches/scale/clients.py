"""
The clients of all nodes, in a process of its own.

``python -m benches.scale.clients`` reads a line of JSON: the `Plan` and the nodes' ports. It
connects everybody, prints ``ready``, waits for a line, sends for the time of the plan, waits until
every document has arrived at every member, and prints what it has counted as a line of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import selectors
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 20.0
"""Seconds without any document after which those that are missing count as lost."""

LATE = 0.05
"""Seconds after which a document that was due counts as late."""

JOINED = b"<joined/>\0"


@dataclasses.dataclass(slots=True)
class Room:
    """One room: its only sender, how many listen, and what was sent and has arrived."""

    sender: socket.socket
    listeners: int
    sent: int = 0
    delivered: int = 0

    @property
    def missing(self) -> int:
        """Deliveries that are on their way."""
        return self.sent * self.listeners - self.delivered


def document(number: int, size: int) -> bytes:
    """Return a document of so many bytes, its delimiter included."""
    start, end = f'<m id="{number}" t="', '"/>\0'
    return (start + "x" * (size - len(start) - len(end)) + end).encode()


def connect(port: int, name: str) -> socket.socket:
    """Return a client that asks to join."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(f'<join room="{name}"/>\0'.encode())
    return sock


def await_joined(sock: socket.socket) -> None:
    """Wait until the node says that the client has joined."""
    answer = b""
    while not answer.endswith(JOINED):
        piece = sock.recv(len(JOINED) - len(answer))
        if not piece:
            raise ConnectionError("a node closed a client that joined")
        answer += piece
    sock.setblocking(False)


class Clients:
    """
    All clients, in one thread.

    Args:
        plan: Fields of a `Plan`.
        ports: Of the nodes.

    """

    def __init__(self, plan: dict[str, Any], ports: Sequence[int]) -> None:
        self._rate: float | None = plan["rate"]
        self._window: int = plan["window"]
        self._seconds: float = plan["seconds"]
        self._late = 0
        self._selector = selectors.DefaultSelector()
        self._rooms: list[Room] = []
        for number, room in enumerate(plan["rooms"]):
            sender = connect(ports[room["sender"]], f"room{number}")
            members = [
                connect(port, f"room{number}")
                for port, count in zip(ports, room["listeners"], strict=True)
                for _ in range(count)
            ]
            self._rooms.append(Room(sender, len(members)))
            for sock in [sender, *members]:
                self._selector.register(sock, selectors.EVENT_READ, self._rooms[-1])
        for key in self._selector.get_map().values():
            await_joined(key.fileobj)  # type: ignore[arg-type] # all are sockets
        self._frames = [document(number, plan["size"]) for number in range(len(self._rooms))]

    def run(self) -> dict[str, float]:
        """Send, receive, and return what was counted."""
        used, began = time.process_time(), time.monotonic()
        if self._rate is None:
            self._fill(began + self._seconds)
        else:
            self._pace(began, self._rate)
        heard = time.monotonic()
        while any(room.missing for room in self._rooms) and time.monotonic() < heard + PATIENCE:
            if self._receive(0.1):
                heard = time.monotonic()
        return {
            "sent": sum(room.sent for room in self._rooms),
            "delivered": sum(room.delivered for room in self._rooms),
            "lost": sum(room.missing for room in self._rooms),
            "late": self._late / max(1, sum(room.sent for room in self._rooms)),
            "seconds": heard - began,
            "clients": time.process_time() - used,
        }

    def _pace(self, began: float, rate: float) -> None:
        """Send one document at a time, to each room in turn."""
        for number in range(int(rate * self._seconds)):
            due = began + number / rate
            while (left := due - time.monotonic()) > 0:
                self._receive(left)
            self._late += left < -LATE
            self._send(number % len(self._rooms))

    def _fill(self, end: float) -> None:
        """Keep so many documents of each room on their way."""
        while time.monotonic() < end:
            for number, room in enumerate(self._rooms):
                for _ in range(self._window - -(-room.missing // room.listeners)):
                    self._send(number)
            self._receive(0.1)

    def _send(self, number: int) -> None:
        room, frame = self._rooms[number], self._frames[number]
        if room.sender.send(frame) != len(frame):
            raise BlockingIOError("a node does not read")
        room.sent += 1

    def _receive(self, timeout: float) -> bool:
        ready = self._selector.select(timeout)
        for key, _ in ready:
            data = key.fileobj.recv(2**16)  # type: ignore[union-attr] # all are sockets
            if not data:
                raise ConnectionError("a node has closed a client")
            key.data.delivered += data.count(b"\0")
        return bool(ready)


def main() -> None:
    """Do what the line on standard input says."""
    order = json.loads(sys.stdin.readline())
    clients = Clients(order["plan"], order["ports"])
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(clients.run()), flush=True)
    sys.stdin.readline()  # connections stay until what they cost was read


if __name__ == "__main__":
    main()
