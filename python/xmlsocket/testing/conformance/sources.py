"""Where the rules come from that checks try."""

from __future__ import annotations

from typing import Final

__all__ = [
    "DEVELOPERS_GUIDE",
    "DICTIONARY",
    "FLASH_8",
    "FLASH_8_CLOSE",
    "FRAMING",
    "GNASH",
    "LIMITS",
    "ONE_PORT",
    "RFC_1122",
    "RFC_6455",
    "RFC_8996",
    "RFC_9293_CLOSE",
    "RFC_9293_SEGMENTS",
    "RUFFLE",
    "RUFFLE_WEB",
    "UTF_8",
]

DICTIONARY: Final = (
    "Flash MX ActionScript dictionary, XMLSocket: each message is a document ended by a zero byte,"
    " any number of them on one connection"
)
UTF_8: Final = "Using Flash MX 2004, multilanguage text: Flash Player 6 and later send UTF-8"
RUFFLE: Final = (
    "traces of Flash Player among Ruffle's tests, avm1/xml_socket_segmented: messages do not depend"
    " on how the stream is cut, and each zero byte ends one, an empty one too"
)
RUFFLE_WEB: Final = (
    "Ruffle, web/src/navigator.rs: a socket of a movie is a WebSocket without subprotocol, of which"
    " binary messages count and those of text are dropped"
)
GNASH: Final = "Gnash, XMLSocketTest: documents of 15,000 characters pass"
FRAMING: Final = (
    "this project, docs/topics/framing.md: half a document must not pass for a whole one; Flash"
    " documents nothing, Ruffle and Netty drop it"
)
LIMITS: Final = (
    "this project, docs/topics/limits.md: what one peer may cost has a bound, and others are served"
    " whatever it does; Flash documents no size"
)
ONE_PORT: Final = "this project, docs/topics/one-port.md: text and binary messages are taken"
RFC_1122: Final = (
    "RFC 1122, 4.2.2.13: closing with input unread resets the connection; a reset may take from the"
    " client what it has not read"
)
RFC_6455: Final = "RFC 6455, The WebSocket Protocol"
RFC_8996: Final = "RFC 8996, Deprecating TLS 1.0 and TLS 1.1"
RFC_9293_CLOSE: Final = "RFC 9293, 3.6: who has sent FIN sends no more, and goes on receiving"
RFC_9293_SEGMENTS: Final = (
    "RFC 9293: TCP is a stream without boundaries; the request ends with its zero byte (Adobe,"
    " Setting up a socket policy file server)"
)
FLASH_8: Final = "Flash 8, Learning ActionScript 2.0, page 706, loadPolicyFile"
FLASH_8_CLOSE: Final = (
    "Flash 8, Learning ActionScript 2.0, page 706: the server may close; players do where it does"
    " not"
)
DEVELOPERS_GUIDE: Final = "ActionScript 3.0 Developer's Guide, Website controls (policy files)"
