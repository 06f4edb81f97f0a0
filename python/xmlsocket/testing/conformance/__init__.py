"""
A conformance kit: tries a server, of any make, on the rules of the protocol.

It is run as ``python -m xmlsocket.testing.conformance HOST:PORT``, or from tests::

    from xmlsocket.testing.conformance import Endpoint, run

    report = run(Endpoint.parse("127.0.0.1:9339"))
    assert report.passed, report

The server has to answer documents: by sending each back, or as
``Options(send=…, expect=…)`` says. Each result tells what was tried, what was
seen, and where the rule comes from.
"""

from __future__ import annotations

from .checks import Check
from .endpoint import Endpoint
from .report import Outcome, Report, Result
from .run import checks, run
from .session import Options

__all__ = ["Check", "Endpoint", "Options", "Outcome", "Report", "Result", "checks", "run"]
