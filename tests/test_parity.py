"""The two transports offer the same names with the same parameters; each exception has a reason."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket.asyncio
import xmlsocket.sync

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ASYNCIO_ONLY = MappingProxyType(
    {
        "Connect": "a synchronous connect() returns the open connection itself",
        "Serve": "a synchronous serve() returns the running server itself",
        "broadcast": "it never waits, which takes a loop that writes later",
        "connect_websocket": "the one port, and with it WebSocket, is the asyncio tree's",
        "PolicyServer": "one event loop answers all who ask; threads have no part in it",
    }
)
SYNC_ONLY = MappingProxyType(
    {"reconnect": "asyncio's connect() can be iterated, an open connection cannot"}
)

# asyncio's connections are protocols: what the transport calls on them is public.
CALLBACKS = frozenset(
    {
        "buffer_updated",
        "connection_lost",
        "connection_made",
        "eof_received",
        "get_buffer",
        "pause_writing",
        "resume_writing",
    }
)

# Members of classes; special methods by their name without a, which async for and async with call.
MEMBERS_ASYNCIO_ONLY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Connection": frozenset({"path"}),  # of a WebSocket's request
        "Server": frozenset(),
    }
)
MEMBERS_SYNC_ONLY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # asyncio: of the object that connect() returns.
        "Connection": frozenset({"__enter__", "__exit__"}),
        "Server": frozenset(),
    }
)

# The one port for Flash, browsers and TCP is the asyncio tree's.
PARAMETERS_ASYNCIO_ONLY: Mapping[str, frozenset[str]] = MappingProxyType(
    {"serve": frozenset({"policy", "websocket", "sniff_timeout", "trusted_proxies"})}
)
PARAMETERS_SYNC_ONLY: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"Connection.recv": {"timeout": "asyncio has asyncio.timeout()"}}
)


def members(cls: type) -> set[str]:
    """Return the public names of a class, and its special methods under their synchronous name."""
    names = set()
    for name in dir(cls):
        if name in {"__iter__", "__enter__", "__exit__", "__aiter__", "__aenter__", "__aexit__"}:
            names.add(name.replace("__a", "__"))
        elif not name.startswith("_"):
            names.add(name)
    return names - CALLBACKS


def parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return the kind and the default of each parameter."""
    return {
        name: (parameter.kind, parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }


def test_names_are_the_same_in_both_transports() -> None:
    """What one transport exports the other does, except for what is listed above."""
    asynchronous = set(xmlsocket.asyncio.__all__)
    synchronous = set(xmlsocket.sync.__all__)

    assert set(ASYNCIO_ONLY) == asynchronous - synchronous
    assert set(SYNC_ONLY) == synchronous - asynchronous


@pytest.mark.parametrize("name", sorted(set(xmlsocket.sync.__all__) - set(SYNC_ONLY)))
def test_parameters_are_the_same_in_both_transports(name: str) -> None:
    """Functions have the same parameters, of the same kinds, with the same defaults."""
    asynchronous = getattr(xmlsocket.asyncio, name)
    synchronous = getattr(xmlsocket.sync, name)
    if not inspect.isclass(synchronous):
        extra = PARAMETERS_ASYNCIO_ONLY.get(name, frozenset())
        expected = parameters(asynchronous)
        assert extra == expected.keys() - parameters(synchronous).keys()
        common = {key: value for key, value in expected.items() if key not in extra}
        assert common == parameters(synchronous)
        assert list(common) == list(parameters(synchronous))


@pytest.mark.parametrize("name", ["Connection", "Server"])
def test_members_are_the_same_in_both_transports(name: str) -> None:
    """Classes have the same public names, iteration and context management included."""
    asynchronous = members(getattr(xmlsocket.asyncio, name))
    synchronous = members(getattr(xmlsocket.sync, name))

    assert MEMBERS_ASYNCIO_ONLY[name] == asynchronous - synchronous
    assert MEMBERS_SYNC_ONLY[name] == synchronous - asynchronous


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (owner, name)
        for owner in ("Connection", "Server")
        for name in sorted(members(getattr(xmlsocket.sync, owner)))
        if not name.startswith("__")
    ],
)
def test_methods_have_the_same_parameters_in_both_transports(owner: str, name: str) -> None:
    """Methods have the same parameters; properties and attributes are so in both."""
    asynchronous = inspect.getattr_static(getattr(xmlsocket.asyncio, owner), name)
    synchronous = inspect.getattr_static(getattr(xmlsocket.sync, owner), name)
    extra = PARAMETERS_SYNC_ONLY.get(f"{owner}.{name}", {})

    assert callable(asynchronous) == callable(synchronous)
    if callable(synchronous):
        expected = parameters(asynchronous)
        actual = parameters(synchronous)
        assert set(extra) == actual.keys() - expected.keys()
        assert expected == {key: value for key, value in actual.items() if key not in extra}
