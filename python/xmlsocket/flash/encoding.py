"""The text of a frame, under the name that it has for Flash's XML: see `xmlsocket.encoding`."""

from __future__ import annotations

from ..encoding import decode, decode_flash

__all__ = ["decode", "decode_flash"]
