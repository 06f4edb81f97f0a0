"""
An assembler for Flash movies of SWF 6 to 8, as far as tests of XMLSocket need one.

Nothing packaged makes such movies today, and a movie made at test time needs no
binary in the repository. Expressions and statements are functions that return
the bytes of their actions; what stands for a value may be such bytes, or text,
a number, a truth value or None.

Source: Adobe, SWF File Format Specification, version 19, chapters 2 (header and
tags) and 5 (actions).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["movie", "socket_movie"]

Code: TypeAlias = bytes
Value: TypeAlias = "bytes | str | int | bool | None"

_END, _SHOW_FRAME, _DO_ACTION, _FILE_ATTRIBUTES = 0, 1, 12, 69

POP: Final = b"\x17"
_GET_VARIABLE, _SET_VARIABLE, _DEFINE_LOCAL = b"\x1c", b"\x1d", b"\x3c"
_GET_MEMBER, _SET_MEMBER, _NEW_OBJECT, _CALL_METHOD = b"\x4e", b"\x4f", b"\x40", b"\x52"
_ADD, _EQUALS, _NOT, _TRACE = b"\x47", b"\x49", b"\x12", b"\x26"
_PUSH, _DEFINE_FUNCTION, _IF = 0x96, 0x9B, 0x9D


def _action(code: int, data: bytes) -> Code:
    return struct.pack("<BH", code, len(data)) + data


def _text(text: str) -> bytes:
    # From SWF 6 on text is UTF-8; before, it was in the author's code page.
    return text.encode() + b"\0"


def _value(value: Value) -> Code:
    """Return code that pushes ``value``; code itself does so already."""
    if isinstance(value, bytes):
        return value
    if value is None:
        return _action(_PUSH, b"\x02")
    if isinstance(value, bool):
        return _action(_PUSH, struct.pack("<B?", 5, value))
    if isinstance(value, int):
        return _action(_PUSH, struct.pack("<Bi", 7, value))
    return _action(_PUSH, b"\0" + _text(value))


def _arguments(values: Iterable[Value]) -> Code:
    values = [*values]
    return b"".join(map(_value, reversed(values))) + _value(len(values))


# Expressions leave one value on the stack.


def get(name: str) -> Code:
    """Read a variable."""
    return _value(name) + _GET_VARIABLE


def member(target: Value, name: str) -> Code:
    """Read a member of an object."""
    return _value(target) + _value(name) + _GET_MEMBER


def new(name: str, *arguments: Value) -> Code:
    """Make an object."""
    return _arguments(arguments) + _value(name) + _NEW_OBJECT


def call(target: Value, name: str, *arguments: Value) -> Code:
    """Call a method."""
    return _arguments(arguments) + _value(target) + _value(name) + _CALL_METHOD


def add(left: Value, *others: Value) -> Code:
    """Add numbers, or join texts."""
    return _value(left) + b"".join(_value(other) + _ADD for other in others)


def equals(left: Value, right: Value) -> Code:
    """Compare with ``==``."""
    return _value(left) + _value(right) + _EQUALS


def function(parameters: Iterable[str], *body: Code) -> Code:
    """Make a function without a name."""
    names = [*map(_text, parameters)]
    code = b"".join(body)
    head = _text("") + struct.pack("<H", len(names)) + b"".join(names)
    return _action(_DEFINE_FUNCTION, head + struct.pack("<H", len(code))) + code


# Statements leave nothing on the stack.


def assign(name: str, value: Value) -> Code:
    """Set a variable."""
    return _value(name) + _value(value) + _SET_VARIABLE


def local(name: str, value: Value) -> Code:
    """Declare a variable of the function."""
    return _value(name) + _value(value) + _DEFINE_LOCAL


def assign_member(target: Value, name: str, value: Value) -> Code:
    """Set a member of an object."""
    return _value(target) + _value(name) + _value(value) + _SET_MEMBER


def trace(value: Value) -> Code:
    """Write a line where the player's user reads such lines."""
    return _value(value) + _TRACE


def do(expression: Code) -> Code:
    """Evaluate an expression and forget its value."""
    return expression + POP


def when(condition: Code, *then: Code) -> Code:
    """Run statements if a condition holds."""
    code = b"".join(then)
    return condition + _NOT + _action(_IF, struct.pack("<h", len(code))) + code


# Movies


def _tag(code: int, data: bytes = b"") -> bytes:
    # The long form is legal at any length.
    return struct.pack("<HI", code << 6 | 0x3F, len(data)) + data


def movie(version: int, *script: Code) -> bytes:
    """
    Return a movie of one empty frame of 100 by 100 pixels that runs a script.

    Args:
        version: SWF version, from 6 on.
        script: Statements.

    """
    # RECT: 5 bits for the width of a field, then xmin, xmax, ymin, ymax in
    # twentieths of a pixel, most significant bits first.
    side, width = 100 * 20, 12
    bits = width << 4 * width | side << 2 * width | side
    padding = -(5 + 4 * width) % 8
    frame_size = (bits << padding).to_bytes((5 + 4 * width + padding) // 8, "big")
    tags = _tag(_DO_ACTION, b"".join(script) + b"\0") + _tag(_SHOW_FRAME) + _tag(_END)
    if version >= 8:
        tags = _tag(_FILE_ATTRIBUTES, b"\x01\0\0\0") + tags  # "use the network"
    body = frame_size + struct.pack("<HH", 12 << 8, 1) + tags
    return b"FWS" + struct.pack("<BI", version, 8 + len(body)) + body


def socket_movie(
    version: int, host: str, port: int, send: Iterable[Value] = (), setup: Code = b""
) -> bytes:
    """
    Return a movie that connects, sends, and tells in ``trace`` lines what happens to it.

    The lines are ``called BOOLEAN``, ``connect BOOLEAN``, ``data TEXT`` (its
    length instead, if it starts with ``<long``), ``xml NAME`` and ``close``. On ``<bye/>``
    the movie closes the connection and traces ``closed``; what it then still
    receives would be traced too.

    Args:
        version: SWF version, from 6 on.
        host: Where to connect.
        port: Where to connect.
        send: What to send when connected: texts, or expressions.
        setup: Statements to run first.

    """
    socket = get("socket")
    src = get("src")
    on_connect = function(
        ["success"],
        trace(add("connect ", get("success"))),
        *(do(call(socket, "send", value)) for value in send),
    )
    on_data = function(
        ["src"],
        when(equals(call(src, "indexOf", "<long"), 0), trace(add("data ", member(src, "length")))),
        when(equals(call(src, "indexOf", "<long"), -1), trace(add("data ", src))),
        when(equals(src, "<bye/>"), do(call(socket, "close")), trace("closed")),
        local("document", new("XML", src)),
        trace(add("xml ", member(member(get("document"), "firstChild"), "nodeName"))),
    )
    return movie(
        version,
        setup,
        assign("socket", new("XMLSocket")),
        assign_member(socket, "onConnect", on_connect),
        assign_member(socket, "onData", on_data),
        assign_member(socket, "onClose", function([], trace("close"))),
        trace(add("called ", call(socket, "connect", host, port))),
    )


def doubled(name: str, text: str, times: int) -> Code:
    """Set a variable to ``text`` doubled so many times: an action holds no more than 64 KiB."""
    return assign(name, text) + assign(name, add(get(name), get(name))) * times
