"""The examples of game servers and their clients run as they stand."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import pytest

from xmlsocket import Decoder, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PATIENCE = 20.0


@contextlib.contextmanager
def running(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run an example until the end of the block."""
    command = [sys.executable, "-u", "-X", "utf8", "-W", "error", str(EXAMPLES / name), *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output(process: subprocess.Popen[str]) -> IO[str]:
    """Return what the example prints."""
    assert process.stdout is not None
    return process.stdout


@contextlib.contextmanager
def serving(name: str) -> Iterator[tuple[int, IO[str]]]:
    """Run a server on a free port; what it prints comes after the line with the port."""
    with running(name, "0") as process:
        line = output(process).readline()
        assert line.startswith("listening on port ")
        yield int(line.split()[-1]), output(process)


class Peer:
    """A client that says what it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.decoder = Decoder()
        self.frames: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    def tell(self, *frames: str | bytes) -> None:
        self.socket.sendall(
            b"".join((f.encode() if isinstance(f, str) else f) + b"\0" for f in frames)
        )

    def hear(self) -> bytes:
        while not self.frames:
            data = self.socket.recv(65536)
            assert data, "stream ended"
            self.frames += self.decoder.feed(data)
        return self.frames.pop(0)

    def body(self) -> etree._Element:
        document = parse(self.hear())
        assert ("msg", "sys") == (document.tag, document.get("t"))
        (body,) = document
        return body

    def ask(self, *frames: str | bytes) -> etree._Element:
        self.tell(*frames)
        return self.body()

    def ends(self) -> bool:
        return not self.frames and not self.socket.recv(65536)


def system(action: str, content: str = "", room: int = 0) -> str:
    """Return a document as Flash clients of the time wrote it."""
    return f"<msg t='sys'><body action='{action}' r='{room}'>{content}</body></msg>"


def enter(peer: Peer, name: str, room: int = 1) -> etree._Element:
    """Log in and join a room of the server that is like SmartFox."""
    assert "apiOK" == peer.ask(system("verChk", "<ver v='158' />")).get("action")
    nick = f"<login z='z'><nick><![CDATA[{name}]]></nick><pword></pword></login>"
    assert "logOK" == peer.ask(system("login", nick)).get("action")
    return peer.ask(system("joinRoom", f"<room id='{room}' pwd='' />"))


NONSENSE: list[str | bytes] = [
    "<msg t='sys'><body",
    "<msg/>",
    system("dance"),
    "<!DOCTYPE msg><msg/>",
    b"<\xff/>",
    system("joinRoom", "<room id='x' />"),
    "%xt%",
    "%",
    "%xt%game%fly%1%3%4%",
    "%xt%game%move%1%3%",
    "%xt%game%move%1%3%4%5%",
    "%xt%game%move%2%3%4%",
    "%xt%game%move%1%x%4%",
    b"%xt%game%\xff%1%3%4%",
    '{"json": 1}',
    "",
]


def test_smartfox_server_and_two_clients_meet_in_a_room() -> None:
    """Each sees the other enter, speak, move and leave."""
    with serving("smartfox/server.py") as (port, _):
        with running("smartfox/client.py", str(port)) as kim:
            lines = output(kim)
            assert "room 1: 'Harbour', 0 in it\n" == lines.readline()
            assert "room 2: 'Table \"Ace & King\"', 0 in it\n" == lines.readline()
            assert "in room 1 with ['Kim']\n" == lines.readline()
            assert "'Kim' says 'Hello!'\n" == lines.readline()

            with running("smartfox/client.py", str(port), "Ben <%") as refused:
                assert 1 == refused.wait(PATIENCE)
                assert refused.stderr is not None
                assert "refused: 'logKO'\n" == refused.stderr.read()
            with running("smartfox/client.py", str(port), "Ben & <Bo>") as ben:
                assert "room 1: 'Harbour', 1 in it\n" == output(ben).readline()
                output(ben).readline()
                assert "in room 1 with ['Ben & <Bo>', 'Kim']\n" == output(ben).readline()
                assert "'Ben & <Bo>' says 'Hello!'\n" == output(ben).readline()

                assert "'Ben & <Bo>' enters\n" == lines.readline()
                assert "'Ben & <Bo>' says 'Hello!'\n" == lines.readline()
                assert "'Ben & <Bo>' goes to 3, 4\n" == lines.readline()
            assert "'Ben & <Bo>' leaves\n" == lines.readline()


def test_smartfox_client_ends_when_the_server_closes() -> None:
    """The client's loop ends in order, with status 0."""
    answers = [
        system("apiOK"),
        system("logOK", "<login id='1' mod='0' n='Kim'/>"),
        system("rmList", "<rmList/>"),
        system("joinOK", "<pid id='0'/><vars/><uLs r='1'/>", 1),
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        with running("smartfox/client.py", str(port)) as client:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE)
                for answer in answers:
                    assert peer.recv(65536).endswith(b"\0")
                    peer.sendall(answer.encode() + b"\0")
                seen = b""
                while seen.count(b"\0") < 2:
                    data = peer.recv(65536)
                    assert data
                    seen += data
            assert 0 == client.wait(PATIENCE)


def test_smartfox_server_rooms_are_apart() -> None:
    """What is said in one room is not heard in the other, nor are steps."""
    with serving("smartfox/server.py") as (port, _), Peer(port) as one, Peer(port) as two:
        assert "joinOK" == enter(one, "One", 1).get("action")
        assert "joinOK" == enter(two, "Two", 2).get("action")
        one.tell("%xt%game%move%1%5%6%")
        said = one.ask(system("pubMsg", "<txt><![CDATA[a < b & 100%]]></txt>", 1))
        assert "a < b & 100%" == said.findtext("txt")

        assert "rmList" == two.ask(system("getRmList")).get("action")
        assert "joinOK" == two.ask(system("joinRoom", "<room id='1' />")).get("action")
        assert "uER" == one.body().get("action")
        one.tell("%xt%game%move%1% 7%1_0%")
        assert b"%xt%move%1%1%7%10%" == two.hear()


def test_smartfox_server_full_or_unknown_room_is_refused() -> None:
    """A room takes as many as it says, and the one refused stays where it is."""
    with (
        serving("smartfox/server.py") as (port, _),
        Peer(port) as one,
        Peer(port) as two,
        Peer(port) as three,
    ):
        assert "joinOK" == enter(one, "One", 2).get("action")
        assert "joinOK" == enter(two, "Two", 2).get("action")
        assert "joinKO" == enter(three, "Three", 2).get("action")
        assert "joinKO" == three.ask(system("joinRoom", "<room id='9' />")).get("action")
        assert "joinKO" == three.ask(system("joinRoom")).get("action")
        assert "joinOK" == two.ask(system("joinRoom", "<room id='2' />")).get("action")


def test_smartfox_server_refuses_names_and_versions() -> None:
    """Names are unique and short, free again after their bearer, and come after the version."""
    long = "<login z='z'><nick>123456789012345678901</nick></login>"
    nick = "<login z='z'><nick> One </nick></login>"
    with serving("smartfox/server.py") as (port, _), Peer(port) as two:
        assert "logKO" == two.ask(system("login", nick)).get("action")
        assert "joinKO" == two.ask(system("joinRoom", "<room id='1' />")).get("action")
        with Peer(port) as one:
            assert "joinOK" == enter(one, "One").get("action")
            assert "logKO" == one.ask(system("login", nick)).get("action")

            assert "apiKO" == two.ask(system("verChk", "<ver v='1' />")).get("action")
            assert "apiOK" == two.ask(system("verChk", "<ver v='158' />")).get("action")
            for content in (nick, long, "<login z='z'><nick>%</nick></login>", ""):
                assert "logKO" == two.ask(system("login", content)).get("action")
            one.socket.shutdown(socket.SHUT_WR)
            assert one.ends()
        assert "logOK" == two.ask(system("login", nick)).get("action")


def test_smartfox_server_nonsense_is_passed_over() -> None:
    """What makes no sense gets no answer, reaches nobody, and leaves the connection usable."""
    with serving("smartfox/server.py") as (port, _), Peer(port) as one, Peer(port) as two:
        enter(one, "One")
        enter(two, "Two")
        assert "uER" == one.body().get("action")
        for number, nonsense in enumerate(NONSENSE):
            said = one.ask(nonsense, system("pubMsg", f"<txt>after {number}</txt>", 1))
            assert f"after {number}" == said.findtext("txt")
            assert f"after {number}" == two.body().findtext("txt")


def test_smartfox_server_tells_what_it_passed_over() -> None:
    """The line names the player and escapes what came from it; the lobby hears nobody."""
    with serving("smartfox/server.py") as (port, lines), Peer(port) as one:
        one.tell("%xt%game%move%\x1b[2J%3%4%", system("pubMsg", "<txt>alone</txt>"))

        assert "'\\x1b[2J'" in lines.readline()
        assert "player 1: passed over: nobody hears what is said in the lobby\n" == lines.readline()


def log_in(process: subprocess.Popen[str], password: str) -> tuple[int, str, str]:
    """Type the password; return status, output and errors."""
    out, err = process.communicate(f"{password}\n", timeout=PATIENCE)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("name", "password", "number"), [("Kim", "correct horse", 1), ("Ben", "100% zażółć", 2)]
)
def test_houdini_client_right_password_logs_in(name: str, password: str, number: int) -> None:
    """Client and server compute the same hash."""
    with (
        serving("houdini/server.py") as (port, _),
        running("houdini/client.py", str(port), name) as client,
    ):
        expected = (0, f"Password: logged in as player {number}\n", "")
        assert expected == log_in(client, password)


@pytest.mark.parametrize(("name", "password"), [("Kim", "wrong horse"), ("Nobody", "x")])
def test_houdini_client_wrong_password_or_name_gets_error_101(name: str, password: str) -> None:
    """A stranger cannot tell by the answer which names exist."""
    with (
        serving("houdini/server.py") as (port, _),
        running("houdini/client.py", str(port), name) as client,
    ):
        assert (1, "Password: ", "refused: error 101\n") == log_in(client, password)


def handshake(peer: Peer) -> str:
    """Ask for the key."""
    assert "apiOK" == peer.ask(system("verChk", "<ver v='153' />")).get("action")
    key = peer.ask(system("rndK", room=-1)).findtext("k")
    assert key is not None
    return key


def credentials(key: str) -> str:
    """Return the right login of Kim, with the hash computed as RFC 2104 has it."""
    secret = hashlib.sha256(b"correct horse").digest()
    proof = hmac.new(secret, key.encode(), hashlib.sha256).hexdigest()
    return system("login", f"<login z='w1'><nick>Kim</nick><pword>{proof}</pword></login>")


def test_houdini_server_overheard_login_is_of_no_use() -> None:
    """Each connection has its own key."""
    with serving("houdini/server.py") as (port, _), Peer(port) as one, Peer(port) as two:
        login = credentials(handshake(one))
        one.tell(login)
        assert one.hear().startswith(b"%xt%l%-1%1%")

        handshake(two)
        two.tell(login)
        assert b"%xt%e%-1%101%" == two.hear()
        assert two.ends()


def test_houdini_server_has_one_try_for_a_connection() -> None:
    """A right login that arrives together with a wrong one is not looked at."""
    wrong = system("login", "<login z='w1'><nick>Kim</nick><pword>é</pword></login>")
    with serving("houdini/server.py") as (port, _), Peer(port) as peer:
        key = handshake(peer)
        peer.tell(wrong, credentials(key))

        assert b"%xt%e%-1%101%" == peer.hear()
        assert peer.ends()


def test_houdini_server_wrong_version_is_sent_away() -> None:
    """An old client gets apiKO, and the end of the stream."""
    with serving("houdini/server.py") as (port, _), Peer(port) as peer:
        assert "apiKO" == peer.ask(system("verChk", "<ver v='1' />")).get("action")
        assert peer.ends()


def test_houdini_server_nonsense_is_passed_over() -> None:
    """Malformed documents, and right ones out of order, leave the connection usable."""
    with serving("houdini/server.py") as (port, lines), Peer(port) as peer:
        peer.tell("<msg", "%xt%l%-1%1%", b"\xff", "<msg/>", system("rndK"), credentials(""))
        key = handshake(peer)
        peer.tell(system("rndK"), "<msg></body>", credentials(key), credentials(key))
        assert peer.hear().startswith(b"%xt%l%-1%1%")

        for _ in range(9):
            assert ": passed over: " in lines.readline()
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.ends()


def test_every_game_is_run_by_a_test() -> None:
    """An example nobody runs stops working."""
    text = Path(__file__).read_text(encoding="utf-8")

    for path in {*EXAMPLES.glob("*/*.py")} - {*EXAMPLES.glob("adapters/*.py")}:  # by their own
        name = path.relative_to(EXAMPLES).as_posix()
        assert f'running("{name}"' in text or f'serving("{name}"' in text
