"""
The chaos proxy, between two plain sockets: every fault, alone, changed and composed.

Where a fault is that something takes time, a test asserts that it took no less:
a slow machine cannot fail it.
"""

from __future__ import annotations

import gc
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.scripted import silent_port
from xmlsocket.testing import ChaosProxy, Faults, relay

from .support import PATIENCE, read_all, read_exactly, tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = random.Random(5).randbytes(200_000)


def until(condition: Callable[[], object]) -> None:
    """Wait for the proxy's thread to make the condition hold; the test's timeout is the bound."""
    while not condition():
        time.sleep(0.001)


def silent(sock: socket.socket) -> bool:
    """Tell whether nothing comes for a moment."""
    return not select.select([sock], [], [], 0.1)[0]


def send_all(sock: socket.socket) -> None:
    """Send `DATA` and its end; for a thread of its own."""
    sock.sendall(DATA)
    sock.shutdown(socket.SHUT_WR)


def test_proxy_without_faults_carries_both_directions_and_their_ends() -> None:
    """Bytes and FIN go through as they came, each direction on its own."""
    with tunnel() as link:
        sender = threading.Thread(target=send_all, args=[link.client])
        sender.start()
        assert (DATA, False) == read_all(link.server)
        sender.join()
        # Half closed: the other direction still works.
        link.server.sendall(b"answer")
        link.server.close()
        assert (b"answer", False) == read_all(link.client)

        until(lambda: link.proxy.stats.open == 0)
        stats = link.proxy.stats
    assert (1, 0) == (stats.connections, stats.unreachable)
    assert [len(DATA)] * 2 == [stats.to_server.bytes_in, stats.to_server.bytes_out]
    assert [6, 6] == [stats.to_client.bytes_in, stats.to_client.bytes_out]


def test_proxy_reset_of_a_peer_goes_through_as_a_reset() -> None:
    """What the server breaks, the client sees broken, after what came before."""
    with tunnel() as link:
        link.server.sendall(b"last")
        assert b"last" == read_exactly(link.client, 4)
        link.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.server.close()
        assert (b"", True) == read_all(link.client)


def test_proxy_server_that_is_not_there_resets_the_client() -> None:
    """A connection that cannot be made ends like one that is refused, and is counted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with ChaosProxy(*address) as proxy, socket.create_connection(proxy.address) as client:
        client.settimeout(PATIENCE)
        assert (b"", True) == read_all(client)
        until(lambda: proxy.stats.open == 0)
        assert 1 == proxy.stats.unreachable


def test_proxy_end_while_it_connects_resets_the_client() -> None:
    """A server that does not answer holds nothing up."""
    with silent_port() as port, ChaosProxy("127.0.0.1", port) as proxy:
        client = socket.create_connection(proxy.address)
        until(lambda: proxy.stats.open == 1)
    with client:
        client.settimeout(PATIENCE)
        assert (b"", True) == read_all(client)
    assert (0, 0) == (proxy.stats.open, proxy.stats.unreachable)


def test_proxy_end_while_it_accepts_leaves_no_socket_open() -> None:
    """Whoever has just come is reset, whether or not anything was done for them yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(60):
            with ChaosProxy(*listener.getsockname()) as proxy:
                client = socket.create_connection(proxy.address)
            with client:
                client.settimeout(PATIENCE)
                assert (b"", True) == read_all(client)
        gc.collect()


def test_proxy_end_resets_what_is_open_and_stops_its_thread() -> None:
    """Nothing of it is left."""
    with tunnel() as link:
        client, server = link.client.dup(), link.server.dup()
        link.client.sendall(b"x")
        assert b"x" == read_exactly(link.server, 1)
    with client, server:
        for sock in (client, server):
            sock.settimeout(PATIENCE)
            assert (b"", True) == read_all(sock)
    assert "ChaosProxy" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(link.proxy.address)
    link.proxy.to_client = Faults(slice=1)  # without effect


def test_slice_writes_pieces_of_the_sizes_asked_for() -> None:
    """A stream of n bytes in pieces of at most k takes at least n/k writes, in order."""
    with tunnel(faults=Faults(slice=(1, 7))) as link:
        link.client.sendall(DATA[:2000])
        assert DATA[:2000] == read_exactly(link.server, 2000)
        until(lambda: link.proxy.stats.to_server.bytes_out == 2000)
        pieces = link.proxy.stats.to_server.pieces
    assert 2000 / 7 <= pieces <= 2000

    with tunnel(to_server=Faults(slice=1)) as link:
        link.client.sendall(b"abcdef")
        assert b"abcdef" == read_exactly(link.server, 6)
        link.server.sendall(b"abcdef")
        assert b"abcdef" == read_exactly(link.client, 6)
        until(lambda: link.proxy.stats.to_client.bytes_out == 6)
        stats = link.proxy.stats
    assert (6, 1) == (stats.to_server.pieces, stats.to_client.pieces)


def test_merge_holds_bytes_until_enough_are_there() -> None:
    """Single bytes go on together, as one write of the size asked for."""
    with tunnel(to_server=Faults(merge=10, merge_wait=PATIENCE)) as link:
        for byte in b"012345678":
            link.client.sendall(bytes([byte]))
        until(lambda: link.proxy.stats.to_server.bytes_in == 9)
        assert silent(link.server)
        link.client.sendall(b"9")
        assert b"0123456789" == read_exactly(link.server, 10)
        until(lambda: link.proxy.stats.to_server.pieces == 1)
        # The end of the stream lets go of what is held.
        link.client.sendall(b"tail")
        link.client.shutdown(socket.SHUT_WR)
        assert (b"tail", False) == read_all(link.server)


def test_merge_wait_lets_go_of_what_is_held() -> None:
    """A dialogue does not stop for want of bytes."""
    with tunnel(faults=Faults(merge=1000, merge_wait=0.01)) as link:
        for _ in range(3):
            link.client.sendall(b"question")
            assert b"question" == read_exactly(link.server, 8)
            link.server.sendall(b"answer")
            assert b"answer" == read_exactly(link.client, 6)


def test_slice_and_merge_of_one_seed_make_the_same_pieces() -> None:
    """What the receiver is written depends on the seed, when nothing hurries the merging."""

    def pieces(seed: int, read: int) -> int:
        faults = Faults(merge=(50, 300), slice=(1, 90), merge_wait=PATIENCE)
        with tunnel(seed=seed, to_server=faults) as link:
            for start in range(0, 20_000, read):
                link.client.sendall(DATA[start : min(20_000, start + read)])
            link.client.shutdown(socket.SHUT_WR)
            assert (DATA[:20_000], False) == read_all(link.server)
            until(lambda: link.proxy.stats.to_server.bytes_out == 20_000)
            return link.proxy.stats.to_server.pieces

    first = pieces(3, 20_000)

    assert first == pieces(3, 777)
    assert first != pieces(4, 777)


def test_delay_keeps_bytes_on_their_way_for_its_time() -> None:
    """Nothing arrives earlier, and the order is kept whatever the jitter."""
    with tunnel(to_server=Faults(delay=0.05, jitter=0.03, slice=3)) as link:
        start = time.monotonic()
        for number in range(20):
            link.client.sendall(b"%02d" % number)
        assert b"".join(b"%02d" % number for number in range(20)) == read_exactly(link.server, 40)
        assert time.monotonic() - start >= 0.05


def test_jitter_is_drawn_by_the_seed() -> None:
    """The first read of this seed takes more than nine tenths of the jitter."""
    with tunnel(seed=0, to_server=Faults(jitter=0.1)) as link:
        start = time.monotonic()
        link.client.sendall(b"x")
        assert b"x" == read_exactly(link.server, 1)
        assert time.monotonic() - start >= 0.09


def test_bandwidth_spreads_bytes_over_time() -> None:
    """A tenth of a second's worth takes no less, in pieces; lifting it lets the rest go at once."""
    with tunnel(to_server=Faults(bandwidth=10_000)) as link:
        start = time.monotonic()
        link.client.sendall(DATA[:1500])
        assert DATA[:1500] == read_exactly(link.server, 1500)
        assert time.monotonic() - start >= 0.1  # the first piece of 500 bytes goes at once
        until(lambda: link.proxy.stats.to_server.pieces == 3)

        link.proxy.to_server = Faults(bandwidth=1)
        link.client.sendall(DATA)
        link.proxy.to_server = Faults()
        assert DATA == read_exactly(link.server, len(DATA))


def test_black_hole_lets_nothing_through_and_loses_nothing() -> None:
    """Neither bytes nor an end pass; the sender is stopped; when it is lifted all goes on."""
    with tunnel() as link:
        link.client.sendall(b"before")
        assert b"before" == read_exactly(link.server, 6)
        link.proxy.to_server = Faults(black_hole=True)
        link.client.settimeout(0.2)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += link.client.send(DATA)
        assert silent(link.server)
        assert link.proxy.stats.to_server.bytes_in < sent
        link.server.sendall(b"other direction")
        assert b"other direction" == read_exactly(link.client, 15)

        link.client.shutdown(socket.SHUT_WR)
        link.proxy.to_server = Faults()
        received, reset = read_all(link.server)
    assert (sent, False) == (len(received), reset)
    assert received.startswith(DATA)


@pytest.mark.parametrize("place", [0, 1, 4, 9, 10])
def test_reset_at_a_byte_delivers_what_came_before_and_resets_both_sides(place: int) -> None:
    """Exactly that many bytes come through, then both sides get a reset."""
    with tunnel(to_server=Faults(reset_at=place, slice=3)) as link:
        if place:
            link.client.sendall(DATA[:10])
        assert (DATA[:place], True) == read_all(link.server)
        assert (b"", True) == read_all(link.client)
        until(lambda: link.proxy.stats.open == 0)
        stats = link.proxy.stats
    assert (1, 0) == (stats.to_server.resets, stats.to_client.resets)
    assert place == stats.to_server.bytes_out


def test_reset_at_a_byte_that_has_passed_resets_at_once() -> None:
    """Set while a connection is idle, it needs no further byte."""
    with tunnel() as link:
        link.client.sendall(b"abc")
        assert b"abc" == read_exactly(link.server, 3)
        link.proxy.to_client = Faults(reset_at=0)
        assert (b"", True) == read_all(link.server)
        assert (b"", True) == read_all(link.client)


@pytest.mark.parametrize("place", [0, 5, 10])
def test_limit_closes_both_sides_in_order_after_that_many_bytes(place: int) -> None:
    """Exactly that many bytes come through, then both sides get FIN and no reset."""
    with tunnel(to_server=Faults(limit=place)) as link:
        link.client.sendall(DATA[:10])
        assert (DATA[:place], False) == read_all(link.server)
        assert (b"", False) == read_all(link.client)
        link.client.close()
        link.server.close()
        until(lambda: link.proxy.stats.open == 0)
        assert 1 == link.proxy.stats.to_server.closes


def test_limit_does_not_wait_for_peers_that_stay() -> None:
    """A peer that does not close in its turn is let go after a second."""
    with tunnel(to_server=Faults(limit=3)) as link:
        link.client.sendall(b"abc")
        assert (b"abc", False) == read_all(link.server)
        until(lambda: link.proxy.stats.open == 0)


def test_limit_reads_what_still_comes_so_that_nobody_is_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bytes that were on their way are thrown away, and the end stays one in order."""
    monkeypatch.setattr(relay, "_LINGER_TIME", PATIENCE)
    with tunnel(to_server=Faults(limit=3)) as link:
        link.client.sendall(b"abc")
        assert (b"abc", False) == read_all(link.server)
        for sock in (link.client, link.server):
            sock.sendall(b"too late")
            sock.shutdown(socket.SHUT_WR)
        assert (b"", False) == read_all(link.client)
        until(lambda: link.proxy.stats.open == 0)
        assert 3 == link.proxy.stats.to_server.bytes_out


def test_half_close_ends_one_direction_and_leaves_the_other() -> None:
    """The receiver gets FIN at that byte, the rest is thrown away, answers still come."""
    with tunnel(to_server=Faults(half_close_at=6)) as link:
        link.client.sendall(DATA[:10])
        assert (DATA[:6], False) == read_all(link.server)
        link.client.sendall(DATA)
        link.server.sendall(b"answer")
        assert b"answer" == read_exactly(link.client, 6)
        link.client.shutdown(socket.SHUT_WR)
        link.server.close()
        assert (b"", False) == read_all(link.client)
        until(lambda: link.proxy.stats.open == 0)
        stats = link.proxy.stats
    assert (1, 6) == (stats.to_server.half_closes, stats.to_server.bytes_out)


def test_slow_close_holds_back_the_end_of_the_stream_only() -> None:
    """Bytes come at once, their end later; lifting it ends the wait."""
    with tunnel(to_server=Faults(slow_close=PATIENCE), to_client=Faults(slow_close=0.05)) as link:
        link.client.sendall(b"all")
        link.client.shutdown(socket.SHUT_WR)
        assert b"all" == read_exactly(link.server, 3)
        assert silent(link.server)
        link.proxy.to_server = Faults()
        assert (b"", False) == read_all(link.server)
        start = time.monotonic()
        link.server.close()
        assert (b"", False) == read_all(link.client)
        assert time.monotonic() - start >= 0.04


def test_corrupt_of_one_seed_changes_the_same_bytes() -> None:
    """The same bytes arrive for the same seed however they were sent, others for another."""

    def received(seed: int, read: int) -> bytes:
        with tunnel(seed=seed, to_server=Faults(corrupt=0.01)) as link:
            for start in range(0, 5000, read):
                link.client.sendall(bytes(min(read, 5000 - start)))
            link.client.shutdown(socket.SHUT_WR)
            data, _ = read_all(link.server)
            assert 5000 - data.count(0) == link.proxy.stats.to_server.corrupted
            return data

    first = received(1, 5000)

    assert 0 < 5000 - first.count(0) < 150
    assert first == received(1, 501)
    assert first != received(2, 5000)


def test_connections_of_one_proxy_have_faults_of_their_own() -> None:
    """The second connection is not corrupted like the first, nor is the other direction."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        ChaosProxy(*listener.getsockname(), faults=Faults(corrupt=0.1)) as proxy,
    ):
        seen = []
        for _ in range(2):
            with socket.create_connection(proxy.address) as client, listener.accept()[0] as server:
                for sender, receiver in ((client, server), (server, client)):
                    sender.sendall(bytes(200))
                    seen.append(read_exactly(receiver, 200))
        assert 4 == len(set(seen))
        assert 2 == proxy.stats.connections


def test_setting_faults_leaves_those_of_the_other_direction() -> None:
    """Each direction has its own, and tells which are in force."""
    with tunnel(faults=Faults(slice=3), to_client=Faults(slice=4)) as link:
        assert (3, 4) == (link.proxy.to_server.slice, link.proxy.to_client.slice)
        link.proxy.to_server = Faults(slice=5)
        assert (5, 4) == (link.proxy.to_server.slice, link.proxy.to_client.slice)


def test_faults_compose_without_losing_a_byte() -> None:
    """Merged, sliced, delayed and slowed down, the stream is still the same."""
    faults = Faults(
        merge=(1, 900), slice=(1, 300), delay=0.002, jitter=0.003, bandwidth=4_000_000,
        slow_close=0.01,
    )  # fmt: skip
    with tunnel(seed=9, faults=faults) as link:
        sender = threading.Thread(target=send_all, args=[link.client])
        sender.start()
        assert (DATA, False) == read_all(link.server)
        sender.join()


async def test_proxy_works_in_an_async_with_statement() -> None:
    """Starting and stopping it does not hold up the loop."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with ChaosProxy(*listener.getsockname()) as proxy:
            with socket.create_connection(proxy.address) as client, listener.accept()[0] as server:
                client.sendall(b"x")
                assert b"x" == read_exactly(server, 1)


def test_import_needs_no_pytest() -> None:
    """The tools can be used where pytest is not installed."""
    code = (
        "import sys; sys.modules['pytest'] = sys.modules['_pytest'] = None;"
        "import xmlsocket.testing; print(xmlsocket.testing.ChaosProxy.__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "ChaosProxy\n" == result.stdout
