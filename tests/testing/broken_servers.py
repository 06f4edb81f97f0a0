"""
Servers with the faults of others, a few lines each, for the conformance kit to find.

Each names the program that it imitates, and in `fails` and `warns` the checks that
have to end so on it, and no others. None knows anything of the package.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import re
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from tests.support.tls import contexts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["BROKEN", "Broken", "serving"]

PATIENCE: Final = 20.0
LIMIT: Final = 2**16
REQUEST: Final = b"<policy-file-request/>\0"
POLICY: Final = (
    b'<cross-domain-policy><allow-access-from domain="*" to-ports="*"/></cross-domain-policy>'
)
HTTP: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# What every server of documents is asked: all that is quick.
DOCUMENTS: Final = ("framing.*", "empty.*", "content.*", "end.*", "silence.later", "silence.others")

# And those who stay open, where every look for the end takes the whole patience.
OPEN: Final = [f"policy.{name}" for name in ("answer", "closed", "segments", "space")]


@dataclasses.dataclass(frozen=True)
class Broken:
    """
    A server with a fault.

    Attributes:
        handler: Serves one connection.
        only: The checks that are made.
        fails: Those that have to fail.
        warns: Those that have to warn.
        options: Of the kit.
        single: Whether it serves one connection after the other.
        scheme: ``tcp``, ``tls`` or ``ws``.

    """

    handler: Callable[[socket.socket], None]
    only: Iterable[str] = DOCUMENTS
    fails: Iterable[str] = ()
    warns: Iterable[str] = ()
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    single: bool = False
    scheme: str = "tcp"


BROKEN: dict[str, Broken] = {}

# What some remember from connection to connection, new for each run.
_memory: dict[str, bytearray] = {}


def documents(**about: Any) -> Callable[[Callable[[socket.socket], None]], Any]:
    """Enter a server of documents into the list."""

    def enter(handler: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
        BROKEN[handler.__name__] = Broken(handler, **about)
        return handler

    return enter


def policies(**about: Any) -> Callable[[Callable[[socket.socket], None]], Any]:
    """Enter a server of policies into the list."""
    return documents(**{"only": ["policy.*"], "options": {"policy_only": True}} | about)


class Over(Exception):
    """The server ends a connection."""


@contextlib.contextmanager
def serving(server: Broken) -> Iterator[int]:
    """Run a server on a free port of loopback."""
    threads: list[threading.Thread] = []
    connections: set[socket.socket] = set()
    stopped = threading.Event()

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, Over):
            sock.settimeout(PATIENCE)
            server.handler(sock)
        connections.discard(sock)

    def accept() -> None:
        while not stopped.is_set():
            sock, _ = listener.accept()
            connections.add(sock)
            if server.single:
                serve(sock)
            else:
                threads.append(threading.Thread(target=serve, args=[sock]))
                threads[-1].start()

    _memory[server.handler.__name__] = bytearray()
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        port = listener.getsockname()[1]
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield port
        finally:
            stopped.set()
            for sock in tuple(connections):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            socket.create_connection(("127.0.0.1", port)).close()
            for thread in (acceptor, *threads):
                thread.join()


def chunks(sock: socket.socket, size: int = 4096) -> Iterator[bytes]:
    """Yield what each read returns."""
    while data := sock.recv(size):
        yield data


def frames(sock: socket.socket, *, limit: int | None = LIMIT) -> Iterator[bytes]:
    """Yield frames as they should be."""
    rest = b""
    for data in chunks(sock, 2**16):
        *whole, rest = (rest + data).split(b"\0")
        if limit is not None and max(map(len, [*whole, rest])) > limit:
            raise Over
        yield from whole


# Servers of documents


@documents()
def sound(sock: socket.socket) -> None:
    """No fault: what is said about the others is not said about everyone."""
    for frame in frames(sock):
        sock.sendall(frame + b"\0")


@documents()
def qrone(sock: socket.socket) -> None:
    """Qrone-xmlsocket-nio drops empty frames, which is no fault of a server."""
    for frame in filter(None, frames(sock)):
        sock.sendall(frame + b"\0")


@documents(only=[*DOCUMENTS, "limits.*"], warns=["limits.endless"])
def netty(sock: socket.socket) -> None:
    """Netty's DelimiterBasedFrameDecoder drops what is too long, and goes on."""
    for frame in frames(sock, limit=None):
        if len(frame) <= LIMIT:
            sock.sendall(frame + b"\0")


@documents(
    fails=[
        "empty.one",
        "empty.run",
        "end.half-close",
        "framing.apart",
        "framing.bytes",
        "framing.early",
        "framing.long",
        "framing.many",
        "framing.several",
        "framing.straddling",
        "framing.utf-8",
    ]
)
def lightspark(sock: socket.socket) -> None:
    """Lightspark takes each read for one message: the first C string in it, ended or not."""
    for data in chunks(sock, 1023):
        sock.sendall(data.partition(b"\0")[0] + b"\0")


@documents(fails=["end.unfinished", "framing.early"])
def openfl_js(sock: socket.socket) -> None:
    """OpenFL for JavaScript has no framing: what is available is a message."""
    for data in chunks(sock):
        sock.sendall(data)


@documents(fails=["framing.nothing-else"])
def openfl_native(sock: socket.socket) -> None:
    """OpenFL keeps the zero byte in the text, and adds one when it sends that on."""
    for frame in frames(sock):
        sock.sendall(frame + b"\0" + b"\0")


@documents(
    fails=["framing.bytes", "framing.straddling", "framing.zero-alone"],
    only=["framing.whole", "framing.bytes", "framing.zero-alone", "framing.straddling"],
)
def ruffle_2025(sock: socket.socket) -> None:
    """Ruffle before December 2025 lost what came without a zero byte."""
    for data in chunks(sock):
        for frame in data.split(b"\0")[:-1]:
            sock.sendall(frame + b"\0")


@documents(
    fails=["empty.one", "framing.several", "framing.straddling"],
    only=["framing.whole", "framing.bytes", "framing.several", "framing.straddling", "empty.one"],
)
def ruffle_one_a_read(sock: socket.socket) -> None:
    """Ruffle took one message from each read, and kept the others for the next."""
    rest = b""
    for data in chunks(sock):
        frame, end, rest = (rest + data).partition(b"\0")
        if end:
            sock.sendall(frame + b"\0")
        else:
            rest = frame


@documents(
    fails=[
        "end.unfinished",
        "framing.apart",
        "framing.bytes",
        "framing.early",
        "framing.long",
        "framing.many",
        "framing.straddling",
        "framing.utf-8",
    ]
)
def monachat(sock: socket.socket) -> None:
    """monachat/xmlsocket splits each read for itself: both halves of a message are messages."""
    for data in chunks(sock):
        for frame in filter(None, data.split(b"\0")):
            sock.sendall(frame + b"\0")


@documents(fails=["end.leftover", "end.reset", "framing.apart", "silence.others"])
def gnash(sock: socket.socket) -> None:
    """Gnash prepends what a connection left over to what the next one says."""
    remainder = _memory["gnash"]
    for data in chunks(sock):
        remainder.extend(data)
        *whole, rest = bytes(remainder).split(b"\0")
        remainder[:] = rest
        for frame in whole:
            sock.sendall(frame + b"\0")


@documents()
def swfdec(sock: socket.socket) -> None:
    """Swfdec drops messages that are no UTF-8, which costs nobody else anything: no fault."""
    for frame in frames(sock):
        with contextlib.suppress(UnicodeDecodeError):
            sock.sendall(frame.decode().encode() + b"\0")


@documents(fails=["framing.utf-8"])
def decodes_reads(sock: socket.socket) -> None:
    """A common loop decodes each read before it splits."""
    rest = ""
    for data in chunks(sock):
        *whole, rest = (rest + data.decode("utf-8", "replace")).split("\0")
        for frame in whole:
            sock.sendall(frame.encode() + b"\0")


@documents(fails=["framing.characters", "framing.utf-8"])
def code_page(sock: socket.socket) -> None:
    """A server of Flash 5 speaks the code page of its system."""
    for frame in frames(sock):
        sock.sendall(frame.decode("utf-8", "replace").encode("cp1252", "replace") + b"\0")


@documents(fails=["framing.newline"])
def strips(sock: socket.socket) -> None:
    """Servers that grew out of line protocols strip white space."""
    for frame in frames(sock):
        sock.sendall(frame.strip() + b"\0")


@documents(fails=["framing.whole"])
def vmix(sock: socket.socket) -> None:
    """The APIs of vMix and CasparCG end messages with the line, not with a zero byte."""
    for data in chunks(sock):
        sock.sendall(data.strip(b"\0\r\n") + b"\r\n")


@documents(
    fails=[
        "empty.one",
        "empty.run",
        "end.half-close",
        "framing.many",
        "framing.nothing-else",
        "framing.several",
        "framing.straddling",
    ]
)
def adds_newline(sock: socket.socket) -> None:
    """Servers that are read with telnet end the line behind the zero byte."""
    for frame in frames(sock):
        sock.sendall(frame + b"\0\r\n")


@documents(fails=["framing.whole"])
def haxe_remoting(sock: socket.socket) -> None:
    """haxe.remoting.SocketProtocol puts two characters of length before each message."""
    for frame in frames(sock):
        size = len(frame) + 3
        sock.sendall(bytes([size // 64 % 64 + 48, size % 64 + 48]) + frame + b"\0")


@documents(fails=["framing.long"])
def media_server(sock: socket.socket) -> None:
    """Flash Media Server closes after 4096 characters that it could not take for a message."""
    for frame in frames(sock, limit=4096):
        sock.sendall(frame + b"\0")


@documents(fails=["end.unfinished"])
def go_scanner(sock: socket.socket) -> None:
    """Go's Scanner and tokio's AnyDelimiterCodec deliver the unfinished tail at the end."""
    rest = b""
    for data in chunks(sock):
        *whole, rest = (rest + data).split(b"\0")
        for frame in whole:
            sock.sendall(frame + b"\0")
    if rest:
        sock.sendall(rest + b"\0")


@documents(fails=["empty.one", "empty.run"])
def houdini_empty(sock: socket.socket) -> None:
    """Houdini looks at the first character of a frame, without looking whether it has one."""
    for frame in frames(sock):
        if not frame:
            raise Over  # its IndexError, without the handler around it
        sock.sendall(frame + b"\0")


@documents(fails=["end.half-close", "end.unfinished"], only=["framing.whole", "end.*"])
def half_open(sock: socket.socket) -> None:
    """Node without allowHalfOpen ends the connection at FIN: answers not written yet are lost."""
    for frame in frames(sock):
        time.sleep(0.005)
        if gone(sock):
            raise Over
        sock.sendall(frame + b"\0")


def gone(sock: socket.socket) -> bool:
    """Tell whether FIN has come and all before it was read."""
    sock.setblocking(False)
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(PATIENCE)


@documents(
    fails=["framing.apart", "silence.others", "silence.unread"],
    only=["framing.whole", "framing.apart", "silence.others", "silence.unread"],
    single=True,
)
def one_at_a_time(sock: socket.socket) -> None:
    """A loop of accept, read and answer serves one client."""
    sound(sock)


@documents(warns=["limits.endless"], only=["framing.whole", "limits.*"])
def vector(sock: socket.socket) -> None:
    """Vector's CharacterDelimitedDecoder looks at the limit when the zero byte has come."""
    netty(sock)


@documents(fails=["limits.endless", "limits.oversize"], only=["framing.whole", "limits.*"])
def palabre(sock: socket.socket) -> None:
    """Palabre, stomp.py and many loops have no limit."""
    for frame in frames(sock, limit=None):
        sock.sendall(frame + b"\0")


@documents(fails=["content.strange"], only=["framing.whole", "content.*"])
def dies_of_bytes(sock: socket.socket) -> None:
    """A server without a handler around it ends with the first bytes that are no UTF-8."""
    for frame in frames(sock):
        try:
            if _memory["dies_of_bytes"]:
                raise Over
            frame.decode()
        except UnicodeDecodeError:
            _memory["dies_of_bytes"] += b"dead"
            raise Over from None
        sock.sendall(frame + b"\0")


@documents(fails=["end.leave"], only=["framing.whole", "end.leave"])
def leaks(sock: socket.socket) -> None:
    """A table of players that forgets to remove those who left is full some day."""
    _memory["leaks"] += b"1"
    if len(_memory["leaks"]) <= 5:
        sound(sock)


@documents(fails=["silence.later"], only=["framing.whole", "silence.*"])
def impatient(sock: socket.socket) -> None:
    """A timeout for the first document that suits scripts, not people."""
    sock.settimeout(0.05)
    sound(sock)


# Servers of policies


@policies()
def sound_policy(sock: socket.socket) -> None:
    """No fault."""
    asked = b""
    for data in chunks(sock):
        asked += data
        if asked in {REQUEST, REQUEST.replace(b"/", b" /")}:
            sock.sendall(POLICY + b"\0")
            return


@policies(fails=["policy.order", "policy.zero-byte"])
def policyfile(sock: socket.socket) -> None:
    """Npm's policyfile answers who connects, closes, and sends no zero byte."""
    sock.sendall(POLICY)
    time.sleep(0.05)  # Node closes later, when the request has come and nobody reads it


@policies(fails=["policy.segments", "policy.zero-byte"], warns=["policy.space"])
def policyfile_inline(sock: socket.socket) -> None:
    """On the port of an HTTP server it wants the whole request in the first read."""
    if sock.recv(4096) == REQUEST:
        sock.sendall(POLICY)


@policies(fails=["policy.segments"], warns=["policy.closed", "policy.space"], only=OPEN)
def monachat_policy(sock: socket.socket) -> None:
    """monachat/xmlsocket compares each read, and stays open."""
    for data in chunks(sock):
        if data == REQUEST:
            sock.sendall(POLICY + b"\0")


@policies(fails=["policy.answer", "policy.segments"], only=["policy.answer", "policy.segments"])
def python_gist(sock: socket.socket) -> None:
    """A much copied gist strips the request, which keeps the zero byte, and never finds it."""
    if sock.recv(1024).strip() == b"<policy-file-request/>":
        sock.sendall(POLICY)


@policies(fails=["policy.order"], warns=["policy.space"])
def tornadio(sock: socket.socket) -> None:
    """Tornadio reads 22 bytes, and leaves the zero byte unread."""
    asked = b""
    while len(asked) < 22 and (data := sock.recv(22 - len(asked))):
        asked += data
    if asked == REQUEST[:22]:
        sock.sendall(POLICY + b"\0")


@policies(warns=["policy.closed", "policy.space"], only=OPEN)
def vfpolicyd(sock: socket.socket) -> None:
    """Vfpolicyd closes when something more comes, or five seconds later."""
    sound_policy_open(sock)
    sock.settimeout(5)
    sock.recv(1)


def sound_policy_open(sock: socket.socket) -> None:
    """Answer once, and do not close."""
    asked = b""
    while not asked.endswith(b"\0"):
        data = sock.recv(1)
        if not data:
            raise Over
        asked += data
    if asked == REQUEST:
        sock.sendall(POLICY + b"\0")


@policies(fails=["policy.segments", "policy.zero-byte"], warns=["policy.space"])
def nginx_general_protocol(sock: socket.socket) -> None:
    """nginx_general_protocol ends the file with the line."""
    if sock.recv(4096) == REQUEST:
        sock.sendall(POLICY + b"\r\n")


@policies(fails=["policy.answer"], warns=["policy.space"], only=["policy.answer", "policy.space"])
def java_utf(sock: socket.socket) -> None:
    """Java's writeUTF puts two bytes of length first."""
    if sock.recv(4096):
        sock.sendall(struct.pack("!H", len(POLICY)) + POLICY + b"\0")


@policies(fails=["policy.zero-byte"], warns=["policy.space"])
def trailing_newline(sock: socket.socket) -> None:
    """A file read from disk with its last line end, behind the zero byte."""
    sound_policy_open(sock)
    sock.sendall(b"\n")


@policies(fails=["policy.place"])
def low_ports(sock: socket.socket) -> None:
    """A high port that grants a low one, and has a site-control: both count on 843 only."""
    serve_policy(sock, POLICY.replace(b'"*"/', b'"80,443"/'))


@policies(fails=["policy.answer", "policy.grants", "policy.place"])
def http_policy(sock: socket.socket) -> None:
    """A crossdomain.xml of a web server has no to-ports."""
    serve_policy(sock, POLICY.replace(b' to-ports="*"', b""))


def serve_policy(sock: socket.socket, policy: bytes) -> None:
    """Answer the request as it should be."""
    asked = b""
    while not asked.endswith(b"\0"):
        data = sock.recv(4096)
        if not data:
            raise Over
        asked += data
    sock.sendall(policy + b"\0")


@policies(fails=["policy.others"], single=True)
def one_policy_at_a_time(sock: socket.socket) -> None:
    """A loop of accept, read and answer waits for who says nothing."""
    sound_policy(sock)


@policies(fails=["policy.half-close"], only=["policy.answer", "policy.half-close"])
def half_open_policy(sock: socket.socket) -> None:
    """Node without allowHalfOpen, as above."""
    asked = sock.recv(4096)
    time.sleep(0.03)
    if asked == REQUEST and not gone(sock):
        sock.sendall(POLICY + b"\0")


@policies(
    fails=["policy.unasked"],
    only=["policy.answer", "policy.unasked"],
    options={"policy": True},
)
def greets(sock: socket.socket) -> None:
    """A port for documents greets everyone with the policy, which only policy ports may."""
    sock.sendall(POLICY + b"\0")
    sound(sock)


# Servers with TLS and of WebSockets


@documents(scheme="tls", single=True, fails=["tls.silent"], only=["framing.whole", "tls.*"])
def handshake_in_the_loop(sock: socket.socket) -> None:
    """Accepting with the handshake in one, as ssl.SSLSocket.accept() does, waits for each."""
    server, _ = contexts()
    tls = server.wrap_socket(sock, server_side=True)
    thread = threading.Thread(target=_ignore, args=[sound, tls])
    thread.start()
    _threads.append(thread)


@documents(scheme="tls", fails=["tls.plain"], only=["framing.whole", "tls.plain"])
def dies_of_plain(sock: socket.socket) -> None:
    """A loop of accepting and handshakes ends with the first handshake that fails."""
    server, _ = contexts()
    if _memory["dies_of_plain"]:
        raise Over
    try:
        tls = server.wrap_socket(sock, server_side=True)
    except ssl.SSLError:
        _memory["dies_of_plain"] += b"dead"
        raise
    with tls:
        sound(tls)


def _accept(sock: socket.socket, more: bytes = b"") -> None:
    """Open a WebSocket for whoever asks."""
    head = b""
    while b"\r\n\r\n" not in head:
        byte = sock.recv(1)
        if not byte:
            raise Over
        head += byte
    (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)", head)
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    sock.sendall(HTTP + more + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


def _messages(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield the first byte and the payload of what comes, as scripts from gists parse it."""
    stream = sock.makefile("rb")
    with stream:
        while head := stream.read(2):
            size = head[1] & 127
            if size == 126:
                (size,) = struct.unpack("!H", stream.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", stream.read(8))
            key = stream.read(4) if head[1] & 128 else bytes(4)
            yield head[0], bytes(b ^ key[i % 4] for i, b in enumerate(stream.read(size)))


def _message(payload: bytes, first: int = 0x82) -> bytes:
    size = len(payload)
    return bytes([first, size] if size < 126 else [first, 126, size >> 8, size & 255]) + payload


@documents(
    scheme="ws",
    only=["framing.whole", "framing.zero-alone", "websocket.*"],
    fails=["websocket.binary", "websocket.fragments", "websocket.ping", "websocket.unmasked"],
    warns=["websocket.close"],
)
def gist_websocket(sock: socket.socket) -> None:
    """What a page needs and no more: text, no fragments, no pings, no close, no masks checked."""
    _accept(sock)
    rest = b""
    for first, payload in _messages(sock):
        if first in {0x81, 0x82}:
            *whole, rest = (rest + payload).split(b"\0")
            for frame in whole:
                sock.sendall(_message(frame + b"\0", 0x81))
        elif first == 0x88:
            raise Over


@documents(
    scheme="ws",
    only=["framing.whole", "framing.zero-alone", "framing.several", "websocket.opening"],
    fails=["framing.several", "websocket.opening"],
)
def message_is_document(sock: socket.socket) -> None:
    """A server that takes each message for one document, and always names a subprotocol."""
    _accept(sock, b"Sec-WebSocket-Protocol: binary\r\n")
    for _, payload in _messages(sock):
        sock.sendall(_message(payload.partition(b"\0")[0] + b"\0"))


@documents(scheme="ws", only=["framing.whole", "websocket.text"], warns=["websocket.text"])
def binary_only(sock: socket.socket) -> None:
    """A tunnel for Ruffle, which sends no text, passes binary messages only."""
    _accept(sock)
    for first, payload in _messages(sock):
        if first == 0x82:
            sock.sendall(_message(payload))


_threads: list[threading.Thread] = []


def _ignore(handler: Callable[[socket.socket], None], sock: socket.socket) -> None:
    with sock, contextlib.suppress(OSError, Over):
        handler(sock)
