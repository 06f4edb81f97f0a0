"""The C library does what the vectors say, and its header is the one of its source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import vectors
from tests.support.codecs import pieces

from .tools import CAPI, PATIENCE, ROOT, VALGRIND, Library, need, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HARNESS = ROOT / "tests" / "vendor" / "harness.c"
HEADER = CAPI / "include" / "xmlsocket.h"

STATUS = {"FrameTooBig": -1, "IncompleteFrame": -2}
NO_LIMIT = 2**64 - 1

FUNCTION = re.compile(r"pub (?:unsafe )?extern \"C\" fn (\w+)\((.*?)\)(?: -> (.*?))? \{", re.DOTALL)
PROTOTYPE = re.compile(r"^(?!typedef)(\w[\w *]*?)(xs_\w+)\((.*?)\);$", re.DOTALL | re.MULTILINE)

# Types of Rust as C writes them.
TYPES = {
    "Status": "enum xs_status",
    "u64": "uint64_t",
    "u32": "uint32_t",
    "usize": "size_t",
    "": "void",
    "*mut Decoder": "struct xs_decoder *",
    "*mut StreamError": "struct xs_error *",
    "*mut Stats": "struct xs_stats *",
    "*mut DocumentError": "struct xs_document_error *",
    "*const u8": "const uint8_t *",
    "*mut u8": "uint8_t *",
    "*mut usize": "size_t *",
    "*mut *const u8": "const uint8_t **",
}


def declared(source: str) -> dict[str, list[str]]:
    """Return the functions of the Rust source as C declares them, with what they return."""
    found = {}
    for name, parameters, returned in FUNCTION.findall(source):
        typed = []
        for parameter in re.findall(r"(\w+): ([^,]+)", parameters):
            kind = TYPES[parameter[1].strip()]
            typed.append(f"{kind}{'' if kind.endswith('*') else ' '}{parameter[0]}")
        found[name] = [TYPES[returned].strip(), *(typed or ["void"])]
    return found


def prototypes(header: str) -> dict[str, list[str]]:
    """Return the functions of the header with what they return."""
    found = {}
    for returned, name, parameters in PROTOTYPE.findall(header):
        found[name] = [returned.strip(), *(" ".join(p.split()) for p in parameters.split(","))]
    return found


def source() -> str:
    """Return the source of the library."""
    need()
    return "".join(path.read_text("utf-8") for path in sorted((CAPI / "src").glob("*.rs")))


def test_header_functions_are_those_of_the_source() -> None:
    """No function is missing, superfluous, or declared with other types or names."""
    expected = declared(source())

    assert expected == prototypes(HEADER.read_text("utf-8"))
    assert len(expected) > 10


def test_header_statuses_are_those_of_the_source() -> None:
    """Each status has the number that the library returns."""
    in_source = re.findall(r"^    Xs(\w+) = (-?\d+),", source(), re.MULTILINE)
    expected = {"XS" + re.sub(r"([A-Z])", r"_\1", name).upper(): n for name, n in in_source}

    assert expected == dict(
        re.findall(r"^    (XS_\w+) = (-?\d+),", HEADER.read_text("utf-8"), re.MULTILINE)
    )
    assert {STATUS["FrameTooBig"], STATUS["IncompleteFrame"]} == {
        int(expected["XS_FRAME_TOO_BIG"]),
        int(expected["XS_INCOMPLETE_FRAME"]),
    }


def test_header_structures_are_those_of_the_source() -> None:
    """Each structure that callers see has the same fields in the same order."""
    names = {"StreamError": "xs_error", "Stats": "xs_stats", "DocumentError": "xs_document_error"}
    declarations = {
        "Status": "enum xs_status {}",
        "u64": "uint64_t {}",
        "usize": "size_t {}",
        "[c_char; 128]": "char {}[128]",
        "*const c_char": "const char *{}",
    }
    expected = {}
    for name, body in re.findall(
        r"#\[repr\(C\)\]\npub struct (\w+) \{(.*?)\n\}", source(), re.DOTALL
    ):
        fields = re.findall(r"^    pub (\w+): (.*),$", body, re.MULTILINE)
        expected[names[name]] = [declarations[kind].format(field) for field, kind in fields]
    found = re.findall(r"typedef struct (\w+) \{(.*?)\n\}", HEADER.read_text("utf-8"), re.DOTALL)

    assert expected == {
        name: re.findall(r"^    (\w.*);$", body, re.MULTILINE) for name, body in found
    }
    assert 3 == len(expected)


def test_header_constants_are_those_of_the_source() -> None:
    """Each constant has the same value."""
    values = {"u64::MAX": "UINT64_MAX", "1 << 20": "(1 << 20)"}
    in_source = re.findall(r"^pub const (XS_\w+): \w+ = (.*);$", source(), re.MULTILINE)
    expected = {name: values.get(value, value) for name, value in in_source}

    assert expected == dict(
        re.findall(r"^#define (XS_\w+) (.*)$", HEADER.read_text("utf-8"), re.MULTILINE)
    )
    assert 5 == len(expected)


def word(data: bytes) -> str:
    """Return bytes as the harness reads and writes them."""
    return f"x{data.hex()}"


def asked(vector: vectors.DecodeVector, cuts: Iterable[int]) -> str:
    """Return the line that asks for a stream to be decoded."""
    options = vector.options
    limit = NO_LIMIT if options["max_size"] is None else options["max_size"]
    flags = (options["oversize"] == "skip") + 2 * options["skip_empty"]
    return f"decode {limit} {flags} {' '.join(map(word, pieces(vector.stream, cuts)))}"


def answer(vector: vectors.DecodeVector) -> str:
    """Return what comes of it."""
    status, offset, limit, partial, message = 0, 0, 0, b"", ""
    match vector.error:
        case ("FrameTooBig", int(offset), int(limit)):
            status = STATUS["FrameTooBig"]
            message = f"frame starting at stream offset {offset} exceeds max_size={limit} bytes"
        case ("IncompleteFrame", int(offset), bytes(partial)):
            status = STATUS["IncompleteFrame"]
            message = f"stream ended inside the frame starting at stream offset {offset}"
    held = partial[: vector.buffered]
    assert len(held) == vector.buffered
    return (
        "".join(f" frame={word(frame)}" for frame in vector.frames)
        + f" held={word(held)} partial={word(partial)}"
        + f" status={status} offset={offset} limit={limit}"
        + f" bytes_in={vector.bytes_in} frames_in={len(vector.frames)}"
        + f" payload_in={sum(map(len, vector.frames))}"
        + f" empty_skipped={vector.empty_skipped} oversize_skipped={vector.oversize_skipped}"
        + f" message={message}"
    )


def encoded(vector: vectors.EncodeVector) -> str:
    """Return what comes of payloads."""
    if vector.fault is not None:
        return f" item={vector.fault[1]} index={vector.fault[0]}"
    assert vector.encoded is not None
    return f" encoded={word(vector.encoded)}"


def checked(vector: vectors.DocumentVector) -> str:
    """Return what is said of a document."""
    if vector.fault is None:
        return " accepted"
    reason, line, column = vector.fault
    # Of all bytes before the line only line feeds are counted.
    before = sum(len(one) + 1 for one in vector.frame.split(b"\n")[: line - 1])
    return f" status=-4 offset={before + column - 1} line={line} column={column} reason={reason}"


def conversation() -> tuple[list[str], list[str]]:
    """Return what the harness is told, all vectors and misuse, and what it has to say."""
    lines, answers = ["misuse"], [" refused"]
    for stream in vectors.read("decode.txt", vectors.DecodeVector):
        length = len(stream.stream)
        for cuts in [[], *([place] for place in range(length + 1)), range(1, length)]:
            lines.append(asked(stream, cuts))
            answers.append(answer(stream))
    for payloads in vectors.read("encode.txt", vectors.EncodeVector):
        lines.append(" ".join(["encode", *map(word, payloads.payloads)]))
        answers.append(encoded(payloads))
    for document in vectors.read("check_document.txt", vectors.DocumentVector):
        lines.append(f"check {word(document.frame)}")
        answers.append(checked(document))
    return lines, answers


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
class TestLibrary:
    """What takes a compiler."""

    @pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
    def test_vectors_give_what_they_say_and_touch_no_foreign_memory(
        self, library: Library, static: bool
    ) -> None:
        """Every vector and every misuse under valgrind: no leak, no byte read too far."""
        lines, answers = conversation()
        harness = library.compile(HARNESS, f"harness-{static}", static=static)
        said = run(*VALGRIND, harness, input="\n".join(lines) + "\n").splitlines()

        for line, expected, found in zip(lines, answers, said, strict=True):
            assert expected == found, line

    def test_vectors_pass_the_sanitizers(self, library: Library) -> None:
        """The same with the caller under AddressSanitizer and UBSan."""
        lines, answers = conversation()
        options = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        harness = library.compile(HARNESS, "harness-sanitized", *options)

        assert answers == run(harness, input="\n".join(lines) + "\n").splitlines()

    def test_shared_library_exports_the_header_and_nothing_else(self, library: Library) -> None:
        """No symbol of Rust gets in the way of another library's, and none is missing."""
        shared = library.prefix / "lib" / "libxmlsocket.so"
        exported = {
            line.split()[-1] for line in run("nm", "-D", "--defined-only", shared).splitlines()
        }

        assert set(prototypes(HEADER.read_text("utf-8"))) == exported

    def test_shared_library_is_named_after_its_abi(self, library: Library) -> None:
        """Programs ask for the library of the ABI with which they were built."""
        (version,) = re.findall(
            r"^#define XS_ABI_VERSION (\d+)$", HEADER.read_text("utf-8"), re.MULTILINE
        )
        shared = library.prefix / "lib" / "libxmlsocket.so"

        assert f"soname: [libxmlsocket.so.{version}]" in run("readelf", "-d", shared)
        assert (library.prefix / "lib" / f"libxmlsocket.so.{version}").is_file()

    def test_cpp_example_decodes_what_it_encodes(self, library: Library, tmp_path: Path) -> None:
        """Lines become documents and lines again; what is wrong is told, with its place."""
        frames = library.compile(CAPI / "examples" / "frames.cpp", "frames")
        stream = run(*VALGRIND, frames, "-e", input="<a/>\n<b>é</b>\n")

        assert "<a/>\0<b>é</b>\0" == stream
        assert "<a/>\n<b>é</b>\n" == run(*VALGRIND, frames, input=stream)
        for options, given, message in (
            ([], "<a/>\0<b", "offset 5: stream ended inside the frame starting at stream offset 5"),
            (["-e"], "%xt%", "offset 0: no XML document"),
            (["-e"], "<a>\0</a>", "offset 3: payload contains a zero byte at index 3"),
            ([], "x" * (2**20 + 1), "offset 0: frame starting at stream offset 0 exceeds"),
        ):
            assert run(frames, *options, input=given, status=1).startswith(message)
