"""The command ``xmlsocket``, also ``python -m xmlsocket``."""

from __future__ import annotations

import io
import sys

_EXTRA = {"typer", "rich", "prompt_toolkit"}


def main() -> None:
    """
    Run the command line and exit with its status.

    Status 0 is success, 1 a failure told in one line, 2 a command line that
    makes no sense. A package that only the command line needs and that is not
    installed is such a failure too, and the line names the extra.
    """
    for stream in (sys.stdout, sys.stderr):
        # Documents may hold any character; an old code page is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):  # not None, not something of a debugger
            stream.reconfigure(errors="backslashreplace")
    try:
        # Imported here: the library is used without the extra, and this module
        # must be able to say so.
        from .cli.app import run  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.exit(
            f"xmlsocket: the command line needs {package}, which is not installed:"
            " pip install 'xmlsocket[cli]'"
        )
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
