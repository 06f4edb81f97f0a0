"""On what the figures were taken: machine, kernel, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from .definitions import ROOT

__all__ = ["describe"]

_TOOLS = {
    "rustc": ["rustc", "--version"],
    "Go": ["go", "version"],
    "Java": ["java", "--version"],
}

_PACKAGES = ("lxml", "uvloop", "twisted", "websockets", "matplotlib")


def describe() -> dict[str, str]:
    """Return the machine and the versions of everything that takes part, by name."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "C library": " ".join(platform.libc_ver()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "xmlsocket": _xmlsocket(),
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    for name, command in _TOOLS.items():
        found[name] = _first_line(command)
    found["Netty"] = _declared("benches/peers/netty/pom.xml", r"<netty\.version>(.*?)<")
    found["tokio-util"] = _declared(
        "benches/peers/tokio/Cargo.lock", r'name = "tokio-util"\nversion = "(.*?)"'
    )
    found["tokio"] = _declared(
        "benches/peers/tokio/Cargo.lock", r'name = "tokio"\nversion = "(.*?)"'
    )
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return match[1] if match else platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError):
        return "unknown"
    return f"{size / 2**30:.0f} GiB"


def _xmlsocket() -> str:
    from xmlsocket import codec  # noqa: PLC0415 - the figures of rivals can do without it

    version = importlib.metadata.version("xmlsocket")
    commit = _first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
    return f"{version} ({commit}), codec: {codec.IMPLEMENTATION}"


def _first_line(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return "not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _declared(path: str, pattern: str) -> str:
    match = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"))
    return match[1] if match else "unknown"
