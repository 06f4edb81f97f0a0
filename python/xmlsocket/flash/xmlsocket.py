"""The XMLSocket object of ActionScript: connect, send, close, and four handlers."""

# ruff: noqa: N802, N815 - names of the ActionScript dictionary

from __future__ import annotations

import asyncio
import logging
import operator
import threading
from typing import TYPE_CHECKING, Any, Final

from .. import codec
from ..documents import serialize
from ..exceptions import InvalidState
from ..limits import Limits
from .background import CLOSE_TIMEOUT, Background, post
from .link import Link
from .nodes import Node
from .xml import Document, parse
from .xml import serialize as serialize_flash

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from ..connection import Logger
    from .sandbox import Sandbox

__all__ = ["XMLSocket"]

_PORTS: Final = range(1, 65536)
_SHORTEST_TIMEOUT: Final = 250


class XMLSocket:
    """
    A connection to an XML server, with the methods and handlers of ActionScript.

    Made for carrying Flash programs over; new ones are better served by
    `xmlsocket.connect`. Handlers are assigned, or overridden in a subclass::

        def greet(success):
            if success:
                socket.send("<hello/>")

        with XMLSocket() as socket:
            socket.onConnect = greet
            socket.onXML = lambda doc: print(doc.nodes)
            if socket.connect("127.0.0.1", 9339):
                socket.wait()

    Events come in the order onConnect, then onData (which calls onXML) for each
    message, then onClose; one at a time, never while another handler of the
    object runs, and never from inside `connect`. After `close` or another
    `connect` nothing of the old connection is delivered any more.

    Where a loop of asyncio runs, `connect` uses it and handlers run in it. In a
    plain script they run in a background thread, one for all objects, in turn;
    there, assign them before `connect`. The object stays with its loop until it
    is closed, whoever calls it. ``connect``, ``send`` and ``close`` may be called
    from any thread and from handlers. An exception in a handler is logged, and
    the next event comes all the same; only ``KeyboardInterrupt`` and
    ``SystemExit`` leave a loop that is the program's own.

    A connected object is kept alive by its connection (in Flash it was closed
    when nothing referred to it). The end of the program, or of its loop, sends
    what has been sent and closes without ``onClose``.

    Args:
        ssl: TLS context, or ``True`` for one that verifies against the system's
            certificates; ``None`` for plain TCP, which is all that Flash had.
        max_size: Bytes of one message; a larger one ends the connection. Flash
            had no limit; ``None`` lifts it.
        limits: The other limits. ``write_cap`` bounds what waits for the server.
        sandbox: The security restrictions of a player; ``None`` for none.
        logger: Where to log; ``logging.getLogger("xmlsocket.flash")`` if ``None``.

    Raises:
        ValueError: If ``max_size`` is negative.

    Attributes:
        why: Why the last `connect` returned False or led to ``onConnect(False)``,
            in words; empty when it did not. Flash did not tell.

    Source: Flash MX ActionScript dictionary, XMLSocket (object); what it leaves
    open is said with each method.

    """

    def __init__(
        self,
        *,
        ssl: ssl_module.SSLContext | bool | None = None,
        max_size: int | None = 2**20,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        sandbox: Sandbox | None = None,
        logger: Logger | None = None,
    ) -> None:
        codec.Decoder(max_size=max_size)  # the decoder owns the rule for max_size
        self.why: str = ""
        self._ssl = ssl
        self._max_size = max_size
        self._limits = limits
        self._sandbox = sandbox
        self._logger = logging.getLogger("xmlsocket.flash") if logger is None else logger
        self._timeout = 20_000
        # Guards what follows, and all of a link that threads other than the
        # loop's touch. Never held while a handler runs. Re-entrant, because a
        # signal handler may call close() in the middle of it.
        self._state = threading.Condition(threading.RLock())
        # The connection that the program sees; None when it sees none.
        self._link: Link | None = None
        # The one whose handler is running, which may have been closed meanwhile.
        self._calling: Link | None = None
        # All that have not ended yet.
        self._links: set[Link] = set()

    # Handlers

    if TYPE_CHECKING:
        # To a type checker attributes, or assigning to them would be an error.
        onConnect: Callable[[bool], object]
        onData: Callable[[str], object]
        onXML: Callable[[Document], object]
        onClose: Callable[[], object]
    else:

        def onConnect(self, success: bool) -> None:
            """
            Learn how an attempt to connect ended; does nothing by default.

            Called once for each `connect` that returned true, unless `close` or
            another `connect` came before.

            Args:
                success: Whether the connection is open. Every failure looks
                    alike, as in Flash; ``why`` and the log tell them apart.

            Source: ActionScript dictionary, XMLSocket.onConnect.

            """

        def onData(self, src: str) -> None:
            """
            Receive the text of a message; by default parse it and call `onXML`.

            Overriding it suppresses all parsing. A program for which Flash's
            ``XML.prototype.ignoreWhite`` was set overrides it with
            ``self.onXML(flash.parse(src, ignore_white=True))``.

            Args:
                src: The message without its zero byte, an empty one included.
                    UTF-8, of which nothing is invalid: `decode_flash` says what
                    becomes of it. One leading byte order mark is dropped:
                    ActionScript 3 does so, for earlier versions it is not known.

            Source: ActionScript dictionary, XMLSocket.onData.

            """
            self.onXML(parse(src))

        def onXML(self, doc: Document) -> None:
            """
            Receive the parsed document of a message; does nothing by default.

            Called for every message: what is not XML, an empty message included,
            makes a document too, and an error in it is in its ``status``.

            Args:
                doc: What Flash makes of the message: ``doc.nodes`` holds elements
                    and texts, ``doc.root`` the first element for lxml.

            Source: ActionScript dictionary, XMLSocket.onXML and XML.status.

            """

        def onClose(self) -> None:
            """
            Learn that the connection was ended, not by `close`; does nothing by default.

            The server or the network ended it, or a limit did: a message over
            ``max_size``, a server that does not read. The object is unconnected
            by then and may connect again. An unterminated rest is not delivered.

            Source: ActionScript dictionary, XMLSocket.onClose.

            """

    # Methods

    @property
    def timeout(self) -> int:
        """
        Milliseconds that an attempt to connect may take, name and TLS included.

        20,000 by default; less than 250 becomes 250. Read by `connect`.

        Source: "Flash Player 10 socket connection", Adobe; the floor is that of
        ActionScript 3, for earlier versions it is not known.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, milliseconds: int) -> None:
        self._timeout = max(_SHORTEST_TIMEOUT, operator.index(milliseconds))

    def connect(self, host: str, port: int) -> bool:
        """
        Start to connect to a server; the outcome comes with `onConnect`.

        A connection that the object has already is closed without ``onClose``
        (as ActionScript 3 does; earlier versions say nothing).

        Args:
            host: Name or address of the server. Flash took null for the movie's
                own host; there is no such host here.
            port: Its port.

        Returns:
            Whether the attempt has started. False, with no event to follow and
            nothing changed but `why`, only if ``host`` is empty, ``port`` is not
            within 1 to 65535, or the sandbox forbids them at once. Everything
            that the network answers comes later.

        Raises:
            TypeError: If ``host`` is no text or ``port`` no integer.

        Source: ActionScript dictionary, XMLSocket.connect; ports above 65535 are
        refused at once as the player does.

        """
        if not isinstance(host, str):
            raise TypeError(f"host must be str, not {type(host).__name__}")
        port = operator.index(port)
        refusal = self._refusal(host, port)
        if refusal:
            self.why = refusal
            return False
        with self._state:
            self.why = ""
            loop, background, turn = self._place()
            link = Link(self, (host, port), loop, background, turn)
            old, self._link = self._link, link
            self._links.add(link)
        link.loop.call_soon_threadsafe(link.start)
        if old is not None:
            post(old.loop, old.wind_up)
        return True

    def _refusal(self, host: str, port: int) -> str:
        """Return why the arguments of connect are refused at once, or nothing."""
        if not host:
            return "host is empty"
        if port not in _PORTS:
            return f"port {port} is not within 1 to 65535"
        if self._sandbox is not None:
            verdict = self._sandbox.check(host, port)
            if not verdict:
                return verdict.reason
        return ""

    def _place(self) -> tuple[asyncio.AbstractEventLoop, Background | None, asyncio.Lock]:
        """Choose where handlers run: the loop, its thread if it is ours, whose turn it is."""
        link = self._calling or self._link
        if link is not None and not link.loop.is_closed():
            return link.loop, Background.of(link.loop), link.turn
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            background = Background.enter()
            return background.loop, background, asyncio.Lock()
        return loop, Background.of(loop), asyncio.Lock()

    def send(self, object: Any) -> None:  # noqa: A002 - the dictionary's name
        """
        Send a message and a zero byte, without waiting; when unconnected do nothing.

        What is sent between `connect` and ``onConnect(True)`` is kept and then
        delivered. When the server does not read and more than
        ``Limits.write_cap`` bytes (4 MiB) wait for it, the connection is cut.

        Args:
            object: A `flash.Document` or `flash.Node`, which goes as Flash
                writes it; an lxml element, which goes as its serialisation (one
                of a document's ``fragment`` needs `flash.serialize`, which
                undoes its escapes); text or bytes, which go as they are; or
                anything else, which goes as ``str(object)``, but ``True``,
                ``False`` and ``None`` as ActionScript writes them: ``true``,
                ``false``, ``null``.

        Raises:
            DelimiterInPayload: If the message holds a zero byte, where Flash
                would send two messages. Nothing is sent.
            UnicodeEncodeError: If the text holds a lone surrogate.
            ValueError: If a `flash.Node` has a name that no markup can hold.

        Source: ActionScript dictionary, XMLSocket.send and Boolean.toString.

        """
        link = self._link
        if link is None:
            return
        payload = _to_payload(object)
        codec.encode(payload)  # the encoder owns the rule for zero bytes
        with self._state:
            wake = link is self._link and link.put(payload)
        if wake:
            post(link.loop, link.drain)

    def close(self) -> None:
        """
        Close the connection, or give up connecting; when unconnected do nothing.

        No handler is called any more, not even for messages that have arrived
        with the one being handled. What has been sent is delivered.

        Source: ActionScript dictionary, XMLSocket.close.

        """
        with self._state:
            link, self._link = self._link, None
        if link is not None:
            post(link.loop, link.wind_up)

    # For plain scripts

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait until the connection has ended and its last handler has returned.

        If that handler connects again, the wait goes on.

        Args:
            timeout: Seconds to wait; ``None`` for as long as it takes. Not
                milliseconds: this method is not ActionScript's.

        Returns:
            False if ``timeout`` has passed before.

        Raises:
            InvalidState: If an event loop runs in this thread, as it does in
                handlers: it could not turn while this waits.

        """
        if _in_loop():
            raise InvalidState("wait() would block the event loop that runs in this thread")
        with self._state:
            return self._state.wait_for(self._has_ended, timeout)

    def _has_ended(self) -> bool:
        return all(link.loop.is_closed() for link in self._links)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, and where no event loop runs wait until what was sent is delivered."""
        self.close()
        if not _in_loop():
            self.wait(CLOSE_TIMEOUT)


def _in_loop() -> bool:
    """Tell whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _to_payload(value: Any) -> bytes:
    """Return what goes on the wire for a value, as ActionScript's String() would have it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if value is None or isinstance(value, bool):
        return b"null" if value is None else str(value).lower().encode()
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Document | Node):
        return serialize_flash(value)
    try:
        return serialize(value)
    except TypeError:  # no element
        return str(value).encode()
