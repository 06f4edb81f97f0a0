"""
The codec: chooses once, at import, between the Rust extension and its pure twin.

Both have the same names, errors, offsets and counters. The environment variable
``XMLSOCKET_PURE`` decides: ``1`` takes the pure twin, ``0`` demands the
extension, and unset takes the extension where it is installed.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from .pure import DELIMITER

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Literal

__all__ = [
    "DELIMITER",
    "IMPLEMENTATION",
    "Decoder",
    "ReadBuffer",
    "check_document",
    "encode",
    "encode_many",
]


def _load() -> tuple[ModuleType, Literal["rust", "pure"]]:
    extension = f"{__package__}._rust"
    choice = os.environ.get("XMLSOCKET_PURE")
    if choice not in {None, "0", "1"}:
        raise ValueError(f"XMLSOCKET_PURE must be 0, 1 or unset, not {choice!r}")
    if choice != "1":
        try:
            return importlib.import_module(extension), "rust"
        except ModuleNotFoundError as error:
            # Only its absence: an extension that is there and broken must not
            # turn into a silent loss of speed.
            if choice == "0" or error.name != extension:
                raise
    return importlib.import_module(f"{__package__}.pure"), "pure"


_twin, IMPLEMENTATION = _load()
"""Which twin is in use."""

if TYPE_CHECKING:
    # One of the two has to stand for both: they have the same signatures.
    from .pure import Decoder, ReadBuffer, check_document, encode, encode_many
else:
    Decoder = _twin.Decoder
    ReadBuffer = _twin.ReadBuffer
    check_document = _twin.check_document
    encode = _twin.encode
    encode_many = _twin.encode_many
