"""What checks have at hand: connections to the server, questions, and how answers are told."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from typing import TYPE_CHECKING

from ...exceptions import safe_text
from .checks import Failed, Skipped
from .wire import Ended, Silent

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator, Sequence

    from .endpoint import Endpoint
    from .wire import WebSocketWire, Wire

__all__ = ["Options", "Session", "shown"]

_SHOWN = 60


def shown(data: bytes) -> str:
    """Return the beginning of what a server sent, fit to be printed."""
    return repr(safe_text(data[: 4 * _SHOWN].decode("utf-8", "backslashreplace"), _SHOWN))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    How a server is tried.

    Attributes:
        send: A document that the server answers; None for a server that sends
            every document back.
        expect: What its answer contains; needed with ``send``. What else the
            server sends is passed over.
        policy: Whether the port serves a policy file; None to find out.
        policy_only: Whether it serves nothing else.
        grants: Pairs of a domain and a port that the policy has to grant.
        oversize: Bytes of a document that is larger than the server allows.
        endless: Bytes that are sent of a document which never ends.
        timeout: Seconds that an answer may take.
        quiet: Seconds after which nothing more is taken to come.
        pace: Seconds between two segments, so that they arrive as two.

    Raises:
        ValueError: If ``send`` and ``expect`` are not given together, or a
            document holds a zero byte.

    """

    send: bytes | None = None
    expect: re.Pattern[bytes] | None = None
    policy: bool | None = None
    policy_only: bool = False
    grants: Sequence[tuple[str, int]] = ()
    oversize: int = 2**21
    endless: int = 2**23
    timeout: float = 5.0
    quiet: float = 0.5
    pace: float = 0.02

    def __post_init__(self) -> None:
        if (self.send is None) != (self.expect is None):
            raise ValueError("send and expect go together")
        if self.send is not None and b"\0" in self.send:
            raise ValueError("the document to send holds a zero byte")


class Session:
    """
    One run against one server.

    Args:
        endpoint: Where the server is.
        options: How it is tried.

    """

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self.endpoint = endpoint
        self.options = options

    # Connections

    @contextlib.contextmanager
    def open(self) -> Iterator[Wire]:
        """Open a connection and close it at the end."""
        with self.endpoint.dial(self.options.timeout) as wire:
            yield wire

    @contextlib.contextmanager
    def open_websocket(self) -> Iterator[WebSocketWire]:
        """The same where it is known to be a WebSocket."""
        with self.endpoint.dial(self.options.timeout) as wire:
            yield wire  # type: ignore[misc]

    @contextlib.contextmanager
    def open_below(self) -> Iterator[Wire]:
        """Open the TCP connection alone, without TLS and WebSocket."""
        with self.endpoint.dial_below(self.options.timeout) as wire:
            yield wire

    def send_pieces(self, wire: Wire, pieces: Iterable[bytes], pace: float | None = None) -> None:
        """Send each piece as a segment, with a pause between two."""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(self.options.pace if pace is None else pace)
            wire.send(piece)

    # Questions and answers

    def question(self, number: int, text: str = "") -> bytes:
        """Return a document that the server answers; it holds ``text`` if that is echoed."""
        if self.options.send is not None:
            return self.options.send
        return f'<conformance number="{number}">{text}</conformance>'.encode()

    def padded(self, size: int) -> bytes:
        """Return such a document of ``size`` bytes."""
        if self.options.send is not None:
            return self.options.send.ljust(size)  # XML allows white space at the end
        return self.question(0, "x" * (size - len(self.question(0))))

    def needs_echo(self) -> None:
        """Leave out a check that makes documents of its own."""
        if self.options.send is not None:
            raise Skipped("needs a server that sends documents back")

    def answer(self, wire: Wire, question: bytes) -> int:
        """
        Take the answer to ``question``.

        Returns:
            How many empty frames came before it.

        Raises:
            Failed: If none comes, or another one than that.

        """
        empty = 0
        while True:
            try:
                frame = wire.frame()
            except Silent:
                rest = f", only {shown(bytes(wire.buffer))} without one" if wire.buffer else ""
                text = f"no zero byte within {self.options.timeout:g} seconds{rest}"
                raise Failed(f"{text}, in answer to {shown(question)}") from None
            except Ended as exc:
                raise Failed(f"{exc} before the answer to {shown(question)}") from None
            if self._answers(frame, question):
                return empty
            if not frame:
                empty += 1

    def _answers(self, frame: bytes, question: bytes) -> bool:
        if self.options.expect is not None:
            if frame.startswith((b"\n", b"\r")):
                raise Failed(f"a frame begins with the end of a line: {shown(frame)}")
            return self.options.expect.search(frame) is not None
        if frame and frame != question:
            raise Failed(f"{shown(frame)} in answer to {shown(question)}")
        return frame == question

    def ask(self, wire: Wire, number: int = 1) -> float:
        """Send a document whole and take its answer; return the seconds that took."""
        question = self.question(number)
        started = time.perf_counter()
        wire.send(question + b"\0")
        self.answer(wire, question)
        return time.perf_counter() - started

    def others_served(self) -> str:
        """Return how quickly another connection is answered; raise `Failed` if it is not."""
        try:
            with self.open() as wire:
                return f"another connection answered in {1000 * self.ask(wire, 99):.1f} ms"
        except Failed as exc:
            raise Failed(f"another connection was not served: {exc}") from None
        except Ended as exc:
            raise Failed(f"another connection was {exc}") from None
        except OSError as exc:
            raise Failed(f"another connection could not be opened: {exc}") from None

    # Policies

    @functools.cached_property
    def policy_reply(self) -> bytes:
        """What the port says to a policy request in one segment; empty if nothing."""
        with self.open() as wire:
            with contextlib.suppress(Ended):
                wire.send(b"<policy-file-request/>\0")
            with contextlib.suppress(Silent, Ended):
                return wire.frame()
            return bytes(wire.buffer)

    def needs_policy(self) -> None:
        """Leave out a check of policies where none is served, unless one has to be."""
        options = self.options
        if options.policy or options.policy_only:
            return
        if options.policy is False or b"<cross-domain-policy" not in self.policy_reply:
            raise Skipped("no policy file is served here; --policy makes that a failure")
