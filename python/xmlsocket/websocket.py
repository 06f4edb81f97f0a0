"""
XML frames carried by WebSocket, without I/O: bytes in, payload and bytes to send out.

For browsers, which cannot open a TCP connection. Built on the protocol of the
``websockets`` package (extra ``websocket``). The messages carry the same stream
of frames as TCP does: text and binary are taken, binary is sent, and the
boundaries of messages mean nothing. A transport does four things:

1. hand what it reads to `WebSocket.receive_data`, and the payload that this
   returns to a `Decoder`;
2. write what `WebSocket.data_to_send` returns whenever the peer takes it;
3. write what `WebSocket.wrap` makes of the frames to send;
4. close when `WebSocket.finished`, for the reason in `WebSocket.error` if any.
"""

from __future__ import annotations

import abc
import codecs
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from .exceptions import CloseReason, InvalidState, WebSocketError, safe_text
from .proxies import TrustedProxies
from .upgrade import HEAD_MAX, Answer, Head, WebSocketOptions, path_of

try:
    from websockets.client import ClientProtocol
    from websockets.exceptions import InvalidURI, PayloadTooBig
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Request
    from websockets.protocol import CONNECTING, OPEN
    from websockets.server import ServerProtocol
    from websockets.typing import Origin
    from websockets.uri import parse_uri
except ModuleNotFoundError as _error:
    if _error.name != "websockets":
        raise
    raise ModuleNotFoundError(
        "WebSocket needs the extra 'websocket': pip install 'xmlsocket[websocket]'",
        name="websockets",
    ) from None

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.protocol import Protocol

__all__ = ["FRAGMENT_MIN", "ClientWebSocket", "ServerWebSocket", "WebSocket", "binary_message"]

FRAGMENT_MIN: Final = 2**16
"""Bytes of payload that may come in one fragment, however small ``max_size`` is.

Whoever sends puts together what is to be sent at once, so a message with many
small frames is legal where none of them is large. It takes the memory of a read.
"""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
_SWITCHING_PROTOCOLS = 101

# First byte of a pong: a final frame of opcode 10 (section 5.2).
_PONG = b"\x8a"

# RFC 6455, section 7.4.1. 1005 stands for a close frame without a code.
_ABNORMAL = 1006
_INVALID_DATA = 1007
_TOO_BIG = 1009
_INTERNAL_ERROR = 1011
_GOOD = frozenset({1000, 1001, 1005, *range(3000, 5000)})

_CODES: Final[dict[CloseReason, int]] = {
    CloseReason.LOCAL: 1000,
    CloseReason.SERVER_CLOSE: 1001,
    CloseReason.DOCUMENT_ERROR: _INVALID_DATA,
    CloseReason.MESSAGE_TIMEOUT: 1008,
    CloseReason.IDLE: 1008,
    CloseReason.SLOW_PEER: 1008,
    CloseReason.MEMORY: 1008,
    CloseReason.FRAME_TOO_BIG: _TOO_BIG,
    # "Try again later" and "bad gateway", from IANA's registry of close codes.
    CloseReason.TOO_MANY: 1013,
    CloseReason.TARGET_FAILED: 1014,
}

_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_new_utf8 = codecs.getincrementaldecoder("utf-8")


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """Logs for the ``websockets`` package: what it tells of every connection is for debugging."""

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)


_logger = _Quiet(logging.getLogger("xmlsocket.websocket"))


def _max_sizes(max_size: int | None) -> tuple[None, int | None]:
    """Return the limits for messages and for fragments: a frame and its delimiter fit in one."""
    return None, None if max_size is None else max(max_size + 1, FRAGMENT_MIN)


def binary_message(payload: bytes) -> bytes:
    """Return what `ServerWebSocket.wrap` does: the same for all clients, so broadcasts share it."""
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


class WebSocket(abc.ABC):
    """
    What `ServerWebSocket` and `ClientWebSocket` share.

    Nothing that a peer sends makes a method raise: what goes wrong is in `error`.

    Attributes:
        status: HTTP status of the answer to the opening request: 101 for a
            WebSocket; None until then.
        error: Why the WebSocket failed, once it has.
        finished: Whether nothing more will be received: write what
            `data_to_send` returns, then close the connection.
        path: Path of the request, without its query; empty until it is known.

    """

    _masks: bool

    def __init__(self, protocol: Protocol) -> None:
        self.status: int | None = None
        self.error: WebSocketError | None = None
        self.finished: bool = False
        self.path = ""
        self._protocol = protocol
        self._head = Head()
        self._out: list[bytes] = []
        self._text: codecs.IncrementalDecoder | None = None
        self._closing = False

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent."""
        return self.status == _SWITCHING_PROTOCOLS and self._protocol.state is OPEN

    @property
    def has_opened(self) -> bool:
        """Whether there is, or was, a WebSocket to carry frames."""
        return self.status == _SWITCHING_PROTOCOLS and self._protocol.state is not CONNECTING

    @property
    def buffered(self) -> int:
        """Bytes held of a WebSocket frame that is not complete, without its header."""
        # Of websockets, which does not say that it stays; a test looks whether it does.
        return len(self._protocol.reader.buffer)

    def receive_data(self, data: bytes) -> list[bytes]:
        """
        Take what was read.

        Args:
            data: Bytes just read, of any length including zero.

        Returns:
            Payload for the decoder, in order; the pieces have nothing to do
            with frames. Empty while the WebSocket opens and after it is closed.

        """
        if self.status is None and not self.finished:
            data = self._receive_head(data)
        if self.finished or not data:
            return []
        self._protocol.receive_data(data)
        payload = self._payload()
        self._collect()
        self._look()
        return payload

    def receive_eof(self) -> None:
        """Take the end of the stream, which a closing handshake ought to precede."""
        if self.finished:
            return
        if self.status is None:
            self._fail("stream ended before the WebSocket was open", _ABNORMAL)
        else:
            self._protocol.receive_eof()
            self._collect()
            self._look()

    def _receive_head(self, data: bytes) -> bytes:
        """Collect the HTTP message that opens the WebSocket; return what follows it."""
        parts = self._head.feed(data)
        if parts is not None:
            self._open(parts[0])
            return parts[1]
        if self._head.too_big:
            self._refuse(431, f"HTTP header exceeds {HEAD_MAX} bytes")
        return b""

    @abc.abstractmethod
    def _open(self, head: bytes) -> None:
        """Open the WebSocket with the peer's HTTP message, or finish."""

    @abc.abstractmethod
    def _refuse(self, status: int, why: str) -> None:
        """Finish instead of opening."""

    def _payload(self) -> list[bytes]:
        """Return the payload of the frames that have come, up to one that is no UTF-8."""
        payload: list[bytes] = []
        for event in self._protocol.events_received():
            if not isinstance(event, Frame) or event.opcode not in _DATA:
                continue
            if event.opcode is not Opcode.CONT:
                self._text = _new_utf8() if event.opcode is Opcode.TEXT else None
            if self._text is not None:
                try:
                    self._text.decode(event.data, event.fin)
                except UnicodeDecodeError:
                    self._protocol.fail(_INVALID_DATA, "text is not UTF-8")
                    self._fail("text message is not UTF-8", _INVALID_DATA)
                    break
            if event.data and not self._closing:
                payload.append(bytes(event.data))
        return payload

    def _collect(self) -> None:
        """Take over what the protocol wants to send."""
        for data in self._protocol.data_to_send():
            if data.startswith(_PONG):
                # Section 5.5.3: only the most recent ping needs an answer. A peer
                # that pings and does not read cannot make us hold more than one.
                self._out = [other for other in self._out if not other.startswith(_PONG)]
            if data:  # the empty one stands for the end of the stream
                self._out.append(data)

    def _look(self) -> None:
        """Note whether and why the protocol has come to its end."""
        closed, failure = self._protocol.close_rcvd, self._protocol.parser_exc
        sent = self._protocol.close_sent
        if isinstance(failure, EOFError):
            self._fail("stream ended without a closing handshake", _ABNORMAL)
        elif isinstance(failure, PayloadTooBig):
            self._fail(f"fragment of {failure.size} bytes exceeds {failure.max_size}", _TOO_BIG)
        elif failure is not None:
            self._fail(safe_text(str(failure)), _ABNORMAL if sent is None else sent.code)
        elif closed is not None:
            self.finished = True
            if closed.code not in _GOOD:
                self._fail(f"closed by the peer: {safe_text(closed.reason)}", closed.code)

    def _fail(self, reason: str, code: int) -> None:
        self.finished = True
        # After this side has closed, what the peer does wrong is of no interest.
        if not self._closing:
            self.error = self.error or WebSocketError(reason, code)

    def data_to_send(self) -> list[bytes]:
        """
        Return what the protocol has to say: the opening, pongs, the closing.

        What waits here is bounded, so a peer that takes nothing just now may
        wait: of its pings only the latest is answered.
        """
        out, self._out = self._out, []
        return out

    def wrap(self, payload: bytes) -> bytes:
        """
        Return ``payload`` as one binary message, to be written by the caller.

        Raises:
            InvalidState: If the WebSocket is not open, or not any more.

        """
        if not self.is_open:
            raise InvalidState("WebSocket is not open")
        return Frame(Opcode.BINARY, payload).serialize(mask=self._masks)

    def close(self, reason: CloseReason = CloseReason.LOCAL) -> None:
        """
        Start the closing handshake, if the WebSocket is open.

        The close code tells the peer ``reason``. What arrives from now on is
        dropped; `finished` becomes true when the peer has answered.
        """
        if self.is_open:
            self._closing = True
            self._protocol.send_close(_CODES.get(reason, _INTERNAL_ERROR))
            self._collect()


class ServerWebSocket(WebSocket):
    """
    The server's end of a WebSocket, or an HTTP request that does not become one.

    Args:
        options: Who may connect, where, and what else is served.
        max_size: Bytes of one frame, delimiter excluded. A fragment of a message
            may have one more, or `FRAGMENT_MIN`; messages may have any length,
            for their fragments are handed on as they come. None lifts the limit.
        peer: Address of the connection, after any PROXY header.
        trusted: Proxies whose ``X-Forwarded-For`` counts.

    Attributes:
        peer: Address of the client, as trusted proxies told it.

    """

    finished: bool
    status: int | None
    _protocol: ServerProtocol
    _masks = False

    def __init__(
        self,
        options: WebSocketOptions | None = None,
        *,
        max_size: int | None = 2**20,
        peer: Any = None,
        trusted: TrustedProxies | None = None,
    ) -> None:
        super().__init__(ServerProtocol(max_size=_max_sizes(max_size), logger=_logger))
        self.peer: Any = peer
        self._options = options or WebSocketOptions()
        self._trusted = trusted or TrustedProxies()

    def _open(self, head: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(head)
        request = next(iter(protocol.events_received()), None)
        if not isinstance(request, Request):
            self._refuse(400, "malformed HTTP request")
            return
        self.path: str = path_of(request)
        answer = self._options.answer(request)
        if answer is not None:
            self._answer(answer)
            return
        self.peer = self._trusted.client(self.peer, request.headers.get_all("X-Forwarded-For"))
        response = protocol.accept(request)
        if response.status_code != _SWITCHING_PROTOCOLS:
            # Section 4.4: tell a client of another version which one is spoken here.
            response.headers["Sec-WebSocket-Version"] = "13"
            self.finished = True
        self.status = response.status_code
        protocol.send_response(response)
        self._collect()

    def _refuse(self, status: int, why: str) -> None:
        self._answer(Answer.refusal(status, why))

    def _answer(self, answer: Answer) -> None:
        self.status = answer.status
        self.finished = True
        self._out = [answer.head, answer.body]


class ClientWebSocket(WebSocket):
    """
    The client's end of a WebSocket. `data_to_send` has the opening request from the start.

    Args:
        uri: ``ws://host[:port]/path`` or ``wss://…``.
        max_size: As for `ServerWebSocket`.
        origin: ``Origin`` to send, for servers that want one.
        headers: Further headers of the request.

    Raises:
        ValueError: If ``uri`` is none.

    Attributes:
        host, port, secure: Where to connect to, and whether with TLS.

    """

    status: int | None
    _protocol: ClientProtocol
    _masks = True

    def __init__(
        self,
        uri: str,
        *,
        max_size: int | None = 2**20,
        origin: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        try:
            parsed = parse_uri(uri)
        except InvalidURI as exc:
            raise ValueError(str(exc)) from None
        protocol = ClientProtocol(
            parsed,
            origin=None if origin is None else Origin(origin),
            max_size=_max_sizes(max_size),
            logger=_logger,
        )
        super().__init__(protocol)
        self.host: str = parsed.host
        self.port: int = parsed.port
        self.secure: bool = parsed.secure
        request = protocol.connect()
        request.headers.update(headers or {})
        self.path: str = path_of(request)
        protocol.send_request(request)
        self._collect()

    def _open(self, head: bytes) -> None:
        match = _STATUS_LINE.match(head)
        if match is None:
            self._fail("server's answer is not HTTP", _ABNORMAL)
            return
        self.status = int(match[1])
        if self.status != _SWITCHING_PROTOCOLS:
            # Its body, which may be long or never end, is of no interest.
            self._fail("server refused the WebSocket", self.status)
            return
        self._protocol.receive_data(head)
        self._protocol.events_received()
        if failure := self._protocol.handshake_exc:
            self._fail(f"server's answer is wrong: {safe_text(str(failure))}", self.status)

    def _refuse(self, status: int, why: str) -> None:
        del status  # a server answers with it
        self._fail(why, _ABNORMAL)
