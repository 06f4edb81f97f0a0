"""``python -m xmlsocket.testing.conformance``: try a server and print a report."""

from __future__ import annotations

import argparse
import json
import re
import ssl
import sys
from typing import TYPE_CHECKING

from .endpoint import Endpoint
from .run import checks, run
from .session import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .report import Result

__all__ = ["main"]

_EXAMPLES = """\
examples:
  python -m xmlsocket.testing.conformance 127.0.0.1:9339              an echo server
  python -m xmlsocket.testing.conformance game.example.com:9339 \\
      --send '<msg t="sys"><body action="verChk" r="0"><ver v="154"/></body></msg>' --expect apiOK
  python -m xmlsocket.testing.conformance 127.0.0.1:843 --policy-only --grants play.example.com:9339
  python -m xmlsocket.testing.conformance wss://play.example.com/game --origin https://play.example.com
  python -m xmlsocket.testing.conformance unix:/run/game.sock --only 'framing.*'

It sends documents that are no XML, too large ones, resets and floods: do not try
a server that others depend on. Exit status: 0 all checks passed or were left out,
1 a check failed, 2 there was nothing to try.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m xmlsocket.testing.conformance",
        description="Try a server on the rules of XMLSocket: framing, policy files, limits, ends.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("target", nargs="?", metavar="TARGET", help="HOST:PORT, unix:PATH, ws://… or wss://…")
    add("--send", metavar="DOC", help="a document that it answers; default: it sends each back")
    add("--expect", metavar="REGEX", help="what the answer to --send contains")
    add("--policy", action="store_true", default=None, help="it has to serve a policy file")
    add("--no-policy", dest="policy", action="store_false", help="leave policy files out")
    add("--policy-only", action="store_true", help="it serves a policy file and nothing else")
    add(
        "--grants",
        action="append",
        default=[],
        metavar="DOMAIN:PORT",
        help="what the policy has to grant; may be given several times",
    )
    add("--tls", action="store_true", help="use TLS, verified with the system's certificates")
    add("--tls-ca", metavar="FILE", help="use TLS, verified with this PEM file instead")
    add("--insecure", action="store_true", help="do not verify the certificate")
    add("--origin", metavar="ORIGIN", help="origin to name to a WebSocket server that wants one")
    for name, metavar, text in (
        ("oversize", "BYTES", "size of a document that is too large"),
        ("endless", "BYTES", "how much to send of a document that does not end"),
        ("timeout", "SECONDS", "how long an answer may take"),
        ("quiet", "SECONDS", "silence after which nothing more is taken to come"),
        ("pace", "SECONDS", "pause between two segments"),
    ):
        default = Options.__dataclass_fields__[name].default
        shown = f"{text} [default: %(default)s]"
        add(f"--{name}", type=type(default), default=default, metavar=metavar, help=shown)
    add(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="make the checks whose names match, such as 'policy.*'; may be given several times",
    )
    add("--list", action="store_true", help="list the checks with their sources, and try nothing")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


def _context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if not (arguments.tls or arguments.tls_ca or arguments.insecure):
        return None
    context = ssl.create_default_context(cafile=arguments.tls_ca)
    if arguments.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _grants(given: Sequence[str]) -> list[tuple[str, int]]:
    pairs = []
    for text in given:
        domain, _, port = text.rpartition(":")
        if not domain or not port.isdecimal():
            raise ValueError(f"--grants: {text!r} is not of the form DOMAIN:PORT")
        pairs.append((domain, int(port)))
    return pairs


def _options(arguments: argparse.Namespace) -> Options:
    expect = arguments.expect
    return Options(
        send=None if arguments.send is None else arguments.send.encode(),
        expect=None if expect is None else re.compile(expect.encode(), re.DOTALL),
        policy=arguments.policy,
        policy_only=arguments.policy_only,
        grants=_grants(arguments.grants),
        oversize=arguments.oversize,
        endless=arguments.endless,
        timeout=arguments.timeout,
        quiet=arguments.quiet,
        pace=arguments.pace,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Try a server.

    Args:
        arguments: The command line; that of the process if None.

    Returns:
        The exit status: 0 if no check failed, 1 if one did, 2 if there was
        nothing to try, told in one line on standard error.

    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        for check in checks(given.only):
            sys.stdout.write(f"{check.name}: {check.rule}\n      rule: {check.source}\n")
        return 0
    if given.target is None:
        parser.error("TARGET is missing")
    try:
        if not checks(given.only):
            raise ValueError(f"no check matches {' '.join(given.only)}")  # noqa: TRY301
        options = _options(given)
        endpoint = Endpoint.parse(given.target, context=_context(given), origin=given.origin)
        report = run(endpoint, options, only=given.only, tell=None if given.json else _tell)
    except (ValueError, re.error) as exc:
        sys.stderr.write(f"conformance: {exc}\n")
        return 2
    except OSError as exc:
        sys.stderr.write(f"conformance: cannot try {given.target}: {exc}\n")
        return 2
    if given.json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        sys.stdout.write(f"\n{report.summary()}\n")
    return 0 if report.passed else 1


def _tell(result: Result) -> None:
    sys.stdout.write(f"{result}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
