"""The attacks, with what this package is to reach in each."""

from __future__ import annotations

from benches.suite.definitions import Mark

from . import crowds, floods, parsing
from .model import MIB, Attack, most

__all__ = ["ATTACKS", "attack"]

ALL = ("ours", "streams", "textbook", "twisted_lines", "websocket")
BOUNDED = ("ours", "streams", "twisted_lines", "websocket")
PARSERS = ("ours", "lxml")

# ruff: noqa: E501 - prose for the record, a paragraph each


def size(count: float) -> str:
    """Return a size in words."""
    if count >= 1e9:
        return f"{count / 1e9:.3g} GB"
    return f"{count / 1e6:.3g} MB"


ATTACKS = (
    Attack(
        name="endless",
        title=lambda scale: f"{size(scale.endless)} without a zero byte",
        about="One frame that does not end, and the server's default limit: 1 MiB here and in websockets, 64 KiB in asyncio, 16 KiB in Twisted, none in the textbook.",
        run=floods.endless,
        metrics=("closed", "memory", "cpu", "answer"),
        marks=(most("closed", 0.1), most("memory", 4 * MIB)),
        contenders=ALL,
    ),
    Attack(
        name="lifted",
        title=lambda scale: f"A frame of {size(scale.lifted)}, which the limit allows",
        about="A frame of half the size, then one of the size, each to a fresh server; the processor time and the memory are those of the latter. Twice as much may take twice the time, not four times; 2.5 leaves room for a machine that is busy, and for the pages that the system has to find.",
        run=floods.lifted,
        metrics=("cpu", "growth", "memory", "answer"),
        marks=(most("cpu", 1.5), most("growth", 2.5)),
        contenders=ALL,
        short="Three quarters of the time are the system's, for reading a gigabyte and giving out the memory for two: the frame in pieces, and then whole.",
    ),
    Attack(
        name="zeros",
        title=lambda scale: f"{size(scale.zeros)} of zero bytes",
        about="Nothing but ends of frames (for websockets as many bytes of empty frames). The server has to answer afterwards.",
        run=floods.zeros,
        metrics=("cpu", "stall", "memory", "answer", "quiet", "frame_ns"),
        marks=(most("cpu", 0.3), most("stall", 0.005), most("memory", MIB)),
        contenders=ALL,
    ),
    Attack(
        name="tiny",
        title=lambda scale: f"{size(scale.tiny)} of frames of one byte",
        about="`a` and a zero byte, over and over, to a handler that counts them; afterwards it has to know how many there were. Another client asks throughout, 5 ms after each answer; what it saw in the second before the attack is the machine's own noise. `Longest turn` is what a timer had to wait, in processor time of the server.",
        run=floods.tiny,
        metrics=("answer", "usual", "quiet", "stall", "cpu", "frame_ns", "memory"),
        marks=(most("answer", 0.01), most("stall", 0.01)),
        contenders=ALL,
        short="If the loop's longest turn is within the mark, the rest of the wait is the machine's: compare with 99 of 100 waits, and with the longest before the attack.",
    ),
    Attack(
        name="slow",
        title=lambda scale: f"{size(scale.slow)} to a slow handler",
        about="Frames of 1 KB, as fast as they go, to a handler that takes 10 ms for each. Who bounds what waits lets TCP stop the sender: `taken in` includes what the buffers of the system hold.",
        run=floods.slow,
        metrics=("memory", "sent", "cpu", "answer"),
        marks=(most("memory", 2 * MIB),),
        contenders=ALL,
    ),
    Attack(
        name="broadcast",
        title=lambda scale: (
            f"{size(scale.broadcast)} broadcast to each of {scale.readers}, one of whom has stopped"
        ),
        about="Frames of 65 KB go to all who joined; the sender is never more than 16 frames ahead of the slowest of the others, so that only the stopped one falls behind.",
        run=crowds.broadcast,
        metrics=("memory", "unserved", "cut", "cpu", "answer"),
        marks=(
            most("memory", 16 * MIB),
            most("unserved", 0),
            Mark(ours="ours", metrics=("cut",), compare="value", at_least=1),
        ),
        contenders=ALL,
    ),
    Attack(
        name="descriptors",
        title=lambda scale: f"500 connections and 64 descriptors for {scale.starve_seconds:g} s",
        about="The server may open 64 descriptors; 500 clients connect, stay, and leave. One was there before and is asked throughout; a new one comes when they have left.",
        run=crowds.starve,
        metrics=("log", "cpu", "answer", "quiet", "recovered", "turned_away"),
        marks=(
            most("log", 2048),
            most("cpu", 0.1),
            most("answer", 0.05),
            most("recovered", 1.1),
        ),
        contenders=ALL,
        short="If it is the wait alone, and the client saw the like before the attack, it is the machine's noise.",
    ),
    Attack(
        name="handshakes",
        title=lambda scale: f"{scale.stalls} TLS handshakes that stall",
        about="Clients connect and say nothing; after them comes one that is served, which is the wait. Who is not closed at the limit of 10 s (with --quick: 2 s, and then it is everyone's) counts as left: asyncio's own default is 60 s.",
        run=crowds.stalls,
        metrics=("left", "overtime", "memory", "answer", "cpu"),
        marks=(most("left", 0), most("overtime", 0.5)),
        contenders=("ours", "streams", "textbook", "twisted_lines", "websocket"),
        skip={"twisted_lines": "needs pyOpenSSL"},
    ),
    Attack(
        name="partials",
        title=lambda scale: f"{scale.partials} connections with 900 KB of a frame each",
        about="No frame ends. This package may hold 256 MiB for all connections together (`Limits.memory`); the mark is a fifth more. asyncio and Twisted are told to allow 1 MiB, as a frame of 900 KB is not to be refused.",
        run=crowds.partials,
        metrics=("memory", "turned_away", "sent", "answer", "recovered", "cpu"),
        marks=(most("memory", 1.2 * 256 * MIB),),
        contenders=ALL,
        short="The sum of what they hold passes the budget by a 32nd at most; the rest is what the allocator keeps of memory that was given back, and the interpreter.",
    ),
    Attack(
        name="idle",
        title=lambda scale: f"What a connection holds, over {scale.idle} connections",
        about="Resident memory per connection that has had one answer and fell silent, and what 60 KB of an unfinished frame add. For the kernel's share see the other benchmarks.",
        run=crowds.idle,
        metrics=("idle", "partial"),
        marks=(most("idle", 3 * 1024),),
        contenders=ALL,
        short="See `docs/topics/performance.md`, \"What a connection holds\": 1.7 KiB are a bare protocol's, the rest is the connection, its handler's task and coroutine.",
    ),
    Attack(
        name="refusal",
        title=lambda _: "What is no document",
        about="A DOCTYPE, and a frame of an extension that is no XML, parsed and caught. `Beyond the exception` is without raising and catching the same exception by hand. The lowest of many rounds. lxml alone accepts a DOCTYPE: its time is that of parsing it.",
        run=parsing.refusal,
        metrics=("check", "doctype", "other"),
        marks=(most("check", 0.5e-6),),
        contenders=PARSERS,
    ),
    Attack(
        name="names",
        title=lambda scale: f"{size(scale.names)} of distinct names",
        about="Documents whose one element has a new name of 40 KB; the growth of the process at its peak. A document is parsed afterwards.",
        run=parsing.names,
        metrics=("memory", "cpu"),
        marks=(most("memory", 24 * MIB),),
        contenders=PARSERS,
    ),
    Attack(
        name="document",
        title=lambda _: "A small document",
        about="All checks and lxml, in turn with `fromstring()` and a parser of the same settings; a median of ratios of neighbours.",
        run=parsing.document,
        metrics=("ratio", "document"),
        marks=(most("ratio", 1.1),),
        contenders=PARSERS,
    ),
)


def attack(name: str) -> Attack:
    """
    Return the attack of that name.

    Raises:
        ValueError: If there is none.

    """
    for found in ATTACKS:
        if found.name == name:
            return found
    raise ValueError(f"unknown attack {name!r}; there are {[item.name for item in ATTACKS]}")
