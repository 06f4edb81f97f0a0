"""
A driver for headless Chromium over its devtools protocol.

The process outlives a test, for starting it takes longer than a test; the
connection to it belongs to the test's event loop. A page can be kept as well
(`Page.target`), which spares a Flash movie compiling its player anew.

Source: Chrome DevTools Protocol, domains Target, Page, Runtime and Emulation.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect as connect_websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from websockets.asyncio.client import ClientConnection

__all__ = ["Browser", "BrowserError", "Page", "connect", "find", "running"]

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, and load only pages of their own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # Nothing but what a test asks for goes to the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_START_TIMEOUT = 30.0

_KEYS: dict[str, dict[str, Any]] = {
    "Enter": {"text": "\r", "code": "Enter", "windowsVirtualKeyCode": 13},
    "Tab": {"code": "Tab", "windowsVirtualKeyCode": 9},
}


class BrowserError(Exception):
    """The browser refused a command, or a script in a page failed."""


def find() -> str | None:
    """Return the path of a browser that this machine has, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextlib.contextmanager
def running(program: str) -> Iterator[str]:
    """Run a browser with an empty profile; yields the address of its devtools."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        with subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield _address(process, Path(profile, "DevToolsActivePort"))
            finally:
                process.kill()


def _address(process: subprocess.Popen[bytes], file: Path) -> str:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BrowserError(f"the browser ended at once, with status {process.returncode}")
        with contextlib.suppress(FileNotFoundError):
            port, _, path = file.read_text().partition("\n")
            if path:
                return f"ws://127.0.0.1:{port}{path.strip()}"
        time.sleep(0.02)
    raise BrowserError(f"the browser did not start within {_START_TIMEOUT:.0f} s")


class Browser:
    """A connection to the devtools of a browser. Made by `connect`."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._pages: dict[str, Page] = {}

    async def send(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Send a command and return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._websocket.send(json.dumps(message))
        return await answer

    async def receive(self) -> None:
        """Hand answers and events to those who wait for them, as long as the browser lives."""
        try:
            async for data in self._websocket:
                message = json.loads(data)
                if "id" in message:
                    self._answer(message["id"], message.get("result"), message.get("error"))
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.on_event(message["method"], message["params"])
        finally:
            for number in [*self._answers]:
                self._answer(number, None, {"message": "the browser is gone"})

    def _answer(self, number: int, result: Any, error: dict[str, str] | None) -> None:
        answer = self._answers.pop(number)
        if answer.done():  # whoever asked was cancelled
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(BrowserError(error["message"]))

    async def open(self, url: str = "about:blank", *, target: str | None = None) -> Page:
        """Open a page, or take over the one of an earlier connection."""
        if target is None:
            target = (await self.send("Target.createTarget", url="about:blank"))["targetId"]
        session = await self.send("Target.attachToTarget", targetId=target, flatten=True)
        page = self._pages[session["sessionId"]] = Page(self, target, session["sessionId"])
        await page.send("Page.enable")
        await page.send("Runtime.enable")
        if url != "about:blank":
            await page.go(url)
        return page


class Page:
    """
    A page of a browser.

    Attributes:
        target: The page's name for later connections.
        console: What its scripts wrote to the console, and their uncaught errors.

    """

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self.target = target
        self.console: list[str] = []
        self._browser = browser
        self._session = session
        self._loaded = asyncio.Event()

    async def send(self, method: str, **params: Any) -> Any:
        """Send a command for this page and return its result."""
        return await self._browser.send(method, self._session, **params)

    def on_event(self, method: str, params: dict[str, Any]) -> None:
        """Note what happens in the page."""
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.consoleAPICalled":
            values = (str(arg.get("value", arg.get("description"))) for arg in params["args"])
            self.console.append(" ".join(values))
        elif method == "Runtime.exceptionThrown":
            self.console.append(_describe(params["exceptionDetails"]))

    async def go(self, url: str) -> None:
        """Load another document and wait until it is loaded."""
        self._loaded.clear()
        answer = await self.send("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        await self._loaded.wait()

    async def evaluate(self, script: str) -> Any:
        """Run an expression, wait for its promise if it is one, and return its value."""
        answer = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(_describe(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, condition: str, *, seconds: float = 20.0) -> Any:
        """Wait until an expression is true in the page, and return its value."""
        script = f"""new Promise((resolve, reject) => {{
            const end = Date.now() + {seconds * 1000};
            const look = () => {{
                const value = {condition};
                if (value) resolve(value);
                else if (Date.now() > end) reject(new Error("not true within {seconds} s"));
                else setTimeout(look, 10);
            }};
            look();
        }})"""
        return await self.evaluate(script)

    async def type(self, text: str) -> None:
        """Type into whatever has the focus, as a keyboard does."""
        for character in text:
            await self.press(character, character)

    async def press(self, key: str, text: str = "") -> None:
        """Press and release a key, such as ``"Enter"``."""
        event: dict[str, Any] = {"key": key, "text": text} | _KEYS.get(key, {})
        await self.send("Input.dispatchKeyEvent", type="keyDown", **event)
        event.pop("text")
        await self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    async def click(self, x: float, y: float) -> None:
        """Click somewhere in the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    async def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Set the size of the window and the colours that its user prefers."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self) -> bytes:
        """Return a picture of the window as PNG."""
        answer = await self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])

    async def close(self) -> None:
        """Close the page."""
        await self._browser.send("Target.closeTarget", targetId=self.target)


def _describe(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description", details["text"]))


@contextlib.asynccontextmanager
async def connect(address: str) -> AsyncIterator[Browser]:
    """Connect to the devtools of a running browser."""
    async with connect_websocket(address, max_size=None, proxy=None) as websocket:
        browser = Browser(websocket)
        receiving = asyncio.create_task(browser.receive())
        try:
            yield browser
        finally:
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await receiving
