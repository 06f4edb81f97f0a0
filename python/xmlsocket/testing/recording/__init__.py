"""
Recordings of connections: made by a proxy, read, and sent again.

A recording is a file with one JSON object a line::

    from xmlsocket.testing.recording import read

    for record in read("session.jsonl"):
        if record.event == "frame":
            print(record.seconds, record.side, record.data)
"""

from __future__ import annotations

from .proxy import RecordingProxy
from .record import Event, Record, RecordingError, read
from .recorder import Recorder
from .replay import Outcome, replay

__all__ = [
    "Event",
    "Outcome",
    "Record",
    "Recorder",
    "RecordingError",
    "RecordingProxy",
    "read",
    "replay",
]
