"""
A debugger for one run of a PHP script: listens for Xdebug, and asks it what you type.

DBGp has this framing with a twist: a packet of the engine is two frames, the length of a
document and the document; a command to it is one. Run ``python dbgp.py [port [encoding]]``
with the encoding of your scripts, which are in UTF-8 by default, and a script with

    php -d xdebug.mode=debug -d xdebug.start_with_request=yes script.php

Then type commands of the protocol, such as step_into, stack_get, context_get, eval 6 * 7,
breakpoint_set -t line -n 12, run, stop. There is no timeout: a script may run for hours.

Source: https://xdebug.org/docs/dbgp
"""

from __future__ import annotations

import base64
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING

from xmlsocket import Decoder, XMLSocketError, encode, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

NAMESPACES = {"": "urn:debugger_protocol_v1", "xdebug": "https://xdebug.org/dbgp/xdebug"}
RESPONSE = "{urn:debugger_protocol_v1}response"


class ProtocolError(ValueError):
    """The engine does not keep the rules of DBGp."""


class Engine:
    """The debugger engine in PHP, at the other end of a connection."""

    def __init__(self, peer: socket.socket, encoding: str) -> None:
        self.peer = peer
        self.encoding = encoding
        self.decoder = Decoder(max_size=2**24)
        self.frames: deque[bytes] = deque()
        self.transaction = 0

    def frame(self) -> bytes:
        """Wait for a frame; EOFError is the end of the stream between two."""
        while not self.frames:
            if self.decoder.error is not None:
                raise self.decoder.error
            if not (data := self.peer.recv(2**16)):
                self.decoder.feed_eof()  # raises IncompleteFrame inside of one
                raise EOFError("the engine has closed the connection")
            self.frames.extend(self.decoder.feed(data))
        return self.frames.popleft()

    def packet(self) -> etree._Element:
        """Wait for a length and a document of that length."""
        length, document = self.frame(), self.frame()
        if length != b"%d" % len(document):
            raise ProtocolError(f"a document of {len(document)} bytes after length {length[:20]!r}")
        # Xdebug declares ISO-8859-1 and writes names as they stand in the script, in
        # whatever encoding that is: the declaration must not be believed, and is not.
        return parse(document, encoding=self.encoding)

    def ask(self, command: str) -> etree._Element:
        """Send a command and wait for its response; what else the engine tells is passed over."""
        self.transaction += 1
        name, _, arguments = command.partition(" ")
        if name == "eval":
            arguments = "-- " + base64.b64encode(arguments.encode(self.encoding)).decode()
        line = f"{name} -i {self.transaction} {arguments}".rstrip()
        self.peer.sendall(encode(line.encode(self.encoding)))
        while (packet := self.packet()).tag != RESPONSE:
            pass
        if (answered := packet.get("transaction_id")) != str(self.transaction):
            raise ProtocolError(f"a response to command {answered}, not {self.transaction}")
        return packet

    def value(self, node: etree._Element) -> str:
        """Return what a variable holds, in one line that is safe to print."""
        text = node.text or ""
        if node.get("encoding") == "base64":
            text = base64.b64decode(text).decode(self.encoding, "replace")
        return f"{node.get('type')} {text!r}"

    def lines(self, response: etree._Element) -> Iterator[str]:
        """Tell what is in a response."""
        for error in response.iterfind("error", NAMESPACES):
            yield f"error {error.get('code')}: {error.findtext('message', '', NAMESPACES)!r}"
        for call in response.iterfind("stack", NAMESPACES):
            where = f"{call.get('filename')}:{call.get('lineno')}"
            yield f"#{call.get('level')} {call.get('where')!r} at {where!r}"
        for variable in response.iterfind(".//property", NAMESPACES):
            yield f"{variable.get('fullname', 'result')!r}: {self.value(variable)}"
        if (status := response.get("status")) is not None:
            place = response.find("xdebug:message", NAMESPACES)
            where = "" if place is None else f"{place.get('filename')}:{place.get('lineno')}"
            yield f"{status} {where!r}" if where else status


def main(port: int, encoding: str) -> None:
    """Wait for a script and debug it until it ends, or the input does."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"listening on port {listener.getsockname()[1]}")
        peer, _ = listener.accept()
    with peer:
        engine = Engine(peer, encoding)
        init = engine.packet()
        print(f"{init.get('language')} runs {init.get('fileuri')!r}")
        for command in filter(None, map(str.strip, sys.stdin)):
            response = engine.ask(command)
            print(*([*engine.lines(response)] or ["ok"]), sep="\n")
            if response.get("status") in {"stopping", "stopped"}:
                break  # Xdebug answers nothing more, and waits for the end of the connection


arguments = dict(enumerate(sys.argv))
try:
    main(int(arguments.get(1, "9003")), arguments.get(2, "utf-8"))
except (EOFError, OSError, ValueError, XMLSocketError) as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
