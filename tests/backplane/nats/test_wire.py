"""How rooms and documents look on NATS."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmlsocket.backplane.nats.wire import KEYS, MessageId, check_prefix, pack, token, unpack, weight

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
documents = st.lists(
    st.tuples(st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"") + b"\0"),
              st.none() | st.text(max_size=10)),
    min_size=1, max_size=5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lobby", "lobby"),
        ("Lobby_2-b", "Lobby_2-b"),
        ("a.b", "a=2Eb"),
        ("*", "=2A"),
        (">", "=3E"),
        ("a=2Eb", "a=3D2Eb"),
        (" \r\n\t", "=20=0D=0A=09"),
        ("é", "=C3=A9"),
    ],
)
def test_token_escapes_what_means_something_in_subjects(name: str, expected: str) -> None:
    """Names come from peers; subjects have a syntax."""
    assert expected == token(name)


@settings(deadline=None)
@given(names, names)
def test_token_is_safe_short_and_of_one_room_only(name: str, other: str) -> None:
    """No name makes a subject of two tokens, a wildcard, or the subject of another room."""
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token(name))
    assert len(token(name)) <= 3 * len(name.encode())
    assert (name == other) == (token(name) == token(other))


@settings(deadline=None)
@given(documents)
def test_unpack_gives_back_what_was_packed(sent: list[tuple[bytes, str | None]]) -> None:
    """Frames travel as they were encoded, and their keys beside them, whatever they hold."""
    payload, headers = pack(sent)

    assert sent == unpack(payload, headers)
    assert b"".join(frame for frame, _ in sent) == payload
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert len(payload) + sum(map(len, headers.values())) <= sum(weight(*one) for one in sent)


def test_pack_without_keys_needs_no_header() -> None:
    """Chat pays nothing for keys."""
    assert (b"1\0002\0", {}) == pack([(b"1\0", None), (b"2\0", None)])


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (b"", None),
        (b"<a/>", None),
        (b"<a/>\0<b/>", None),
        (b"<a/>\0", {KEYS: "=a,=b"}),
        (b"<a/>\0<b/>\0", {KEYS: "=a"}),
    ],
)
def test_unpack_of_what_no_backplane_made_is_an_error(
    payload: bytes, headers: dict[str, str] | None
) -> None:
    """Anyone may publish on a subject."""
    with pytest.raises(ValueError, match="the "):
        unpack(payload, headers)


def test_message_id_is_read_as_it_was_written() -> None:
    """The name of a message says who sent it, which one it is, and which one came before."""
    name = MessageId("a1b2", 7, 5)

    assert "a1b2.7.5" == str(name)
    assert name == MessageId.of({"Nats-Msg-Id": "a1b2.7.5"})
    for headers in (None, {}, {"Nats-Msg-Id": "a1b2.7"}, {"Nats-Msg-Id": "a.-1.5"}):
        with pytest.raises(ValueError, match="no message of a room"):
            MessageId.of(headers)


@pytest.mark.parametrize("prefix", ["", "a.", "a b", "a.*", ">", "é", "x" * 101, "a.b.c.d.e.f"])
def test_prefix_that_is_no_subject_is_refused(prefix: str) -> None:
    """A prefix with a wildcard would hear the rooms of others."""
    with pytest.raises(ValueError, match="prefix must be 1 to 5 tokens"):
        check_prefix(prefix)
