"""Several processes on one port, kept alive by a supervisor. POSIX systems only."""

from __future__ import annotations

from .serving import serve_workers
from .sockets import adopt, from_systemd, notify_systemd
from .supervisor import WorkerFailed

__all__ = ["WorkerFailed", "adopt", "from_systemd", "notify_systemd", "serve_workers"]
