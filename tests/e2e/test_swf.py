"""The movies that the assembler makes, taken apart again by the letter of the specification."""

from __future__ import annotations

import struct
from typing import TypeAlias

import pytest

from .swf import (
    add,
    assign,
    assign_member,
    call,
    do,
    doubled,
    equals,
    function,
    get,
    local,
    member,
    movie,
    new,
    socket_movie,
    trace,
    when,
)

Action: TypeAlias = "tuple[object, ...]"

PLAIN = {
    0x00: "end",
    0x12: "not",
    0x17: "pop",
    0x1C: "get-variable",
    0x1D: "set-variable",
    0x26: "trace",
    0x3C: "define-local",
    0x40: "new-object",
    0x47: "add",
    0x49: "equals",
    0x4E: "get-member",
    0x4F: "set-member",
    0x52: "call-method",
}


def text(data: bytes, at: int) -> tuple[str, int]:
    """Read a text that ends with a zero byte; return it and where it ends."""
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def pushed(data: bytes) -> list[object]:
    """Read the values of a push action."""
    values: list[object] = []
    at = 0
    while at < len(data):
        kind, at = data[at], at + 1
        if kind == 0:
            value, at = text(data, at)
            values.append(value)
        elif kind == 2:
            values.append(None)
        elif kind == 5:
            values.append(bool(data[at]))
            at += 1
        else:
            assert kind == 7
            values.append(struct.unpack_from("<i", data, at)[0])
            at += 4
    return values


def actions(code: bytes) -> list[Action]:
    """Take code apart; every length in it has to add up, and every jump to land on an action."""
    result: list[Action] = []
    starts = set()
    targets = set()
    at = 0
    while at < len(code):
        starts.add(at)
        opcode, at = code[at], at + 1
        if opcode < 0x80:
            result.append((PLAIN[opcode],))
            continue
        (length,) = struct.unpack_from("<H", code, at)
        data = code[at + 2 : at + 2 + length]
        assert len(data) == length
        at += 2 + length
        if opcode == 0x96:
            result.append(("push", *pushed(data)))
        elif opcode == 0x9D:
            (distance,) = struct.unpack("<h", data)
            targets.add(at + distance)
            result.append(("if", distance))
        else:
            assert opcode == 0x9B
            name, where = text(data, 0)
            (count,) = struct.unpack_from("<H", data, where)
            where += 2
            parameters = []
            for _ in range(count):
                parameter, where = text(data, where)
                parameters.append(parameter)
            (size,) = struct.unpack_from("<H", data, where)
            assert where + 2 == length
            assert at + size <= len(code)
            result.append(("function", name, parameters, actions(code[at : at + size])))
            at += size
    assert at == len(code)
    assert targets <= starts | {at}
    return result


def tags(swf: bytes) -> list[tuple[int, bytes]]:
    """Check the header and take the movie apart into its tags."""
    assert swf[:3] == b"FWS"
    assert struct.unpack_from("<I", swf, 4) == (len(swf),)
    bits = "".join(f"{byte:08b}" for byte in swf[8:30])
    width = int(bits[:5], 2)
    fields = [int(bits[5 + width * n : 5 + width * (n + 1)], 2) for n in range(4)]
    assert fields == [0, 2000, 0, 2000]
    at = 8 + (5 + 4 * width + 7) // 8
    assert struct.unpack_from("<HH", swf, at) == (12 << 8, 1)
    at += 4
    result = []
    while at < len(swf):
        (head,) = struct.unpack_from("<H", swf, at)
        assert head & 0x3F == 0x3F
        (length,) = struct.unpack_from("<I", swf, at + 2)
        at += 6
        result.append((head >> 6, swf[at : at + length]))
        at += length
    assert at == len(swf)
    return result


@pytest.mark.parametrize("version", [6, 7, 8])
def test_movie_of_any_version_is_well_formed(version: int) -> None:
    """Header, lengths and tags add up; from version 8 on the first tag has the attributes."""
    swf = movie(version, trace("hé"))

    assert version == swf[3]
    attributes = [(69, b"\1\0\0\0")] if version == 8 else []
    *head, (kind, code), show, end = tags(swf)
    assert attributes == head
    assert ([(1, b""), (0, b"")], 12) == ([show, end], kind)
    assert [("push", "hé"), ("trace",), ("end",)] == actions(code)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (get("a"), [("push", "a"), ("get-variable",)]),
        (member("a", "b"), [("push", "a"), ("push", "b"), ("get-member",)]),
        (assign("a", None), [("push", "a"), ("push", None), ("set-variable",)]),
        (local("a", -1), [("push", "a"), ("push", -1), ("define-local",)]),
        (
            assign_member("a", "b", True),
            [("push", "a"), ("push", "b"), ("push", True), ("set-member",)],
        ),
        (do(new("X")), [("push", 0), ("push", "X"), ("new-object",), ("pop",)]),
        (
            call("o", "m", 1, "two"),
            [
                ("push", "two"),
                ("push", 1),
                ("push", 2),
                ("push", "o"),
                ("push", "m"),
                ("call-method",),
            ],
        ),
        (add("a", 1, 2), [("push", "a"), ("push", 1), ("add",), ("push", 2), ("add",)]),
        (equals(1, 2), [("push", 1), ("push", 2), ("equals",)]),
        (
            when(get("a"), trace("b")),
            [*actions(get("a")), ("not",), ("if", 7), *actions(trace("b"))],
        ),
        (function(["x", "y"], trace("z")), [("function", "", ["x", "y"], actions(trace("z")))]),
        (
            doubled("a", "b", 2),
            actions(assign("a", "b") + assign("a", add(get("a"), get("a"))) * 2),
        ),
    ],
)
def test_code_is_what_the_specification_says(code: bytes, expected: list[Action]) -> None:
    """Operands are pushed in the order in which the player takes them, arguments last first."""
    assert expected == actions(code)


def test_socket_movie_defines_its_handlers() -> None:
    """The movie of the tests sets three handlers, connects, and is small."""
    swf = socket_movie(8, "127.0.0.1", 9339, ["<a/>"])

    (code,) = [data for kind, data in tags(swf) if kind == 12]
    functions = [action for action in actions(code) if action[0] == "function"]
    assert [["success"], ["src"], []] == [function[2] for function in functions]
    assert ("push", 9339) in actions(code)
    assert len(swf) < 1000
