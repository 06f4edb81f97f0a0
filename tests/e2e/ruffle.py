"""The page that plays Flash movies in Ruffle, and the files that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xmlsocket.cli.demo.pages import RUFFLE, ruffle_files
from xmlsocket.upgrade import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HOST", "PORT", "ROOT", "find", "pages"]

ROOT = Path(__file__).parents[2]
"""Where ``make ruffle`` installs it."""

HOST, PORT = "game.test", 9339
"""Where the movies connect to, as far as they know: the page sends them elsewhere."""

# The canvas renderer starts 1.5 s quicker than the default one. Traces are lost
# unless the observer is set between load() and resume(), hence autoplay "off".
_PAGE = b"""<!doctype html>
<meta charset="utf-8">
<title>movie</title>
<script>
window.RufflePlayer = {config: {
  publicPath: "/ruffle/", polyfills: false, autoplay: "off", splashScreen: false,
  unmuteOverlay: "hidden", contextMenu: "off", warnOnUnsupportedContent: false,
  openUrlMode: "deny", upgradeToHttps: false, preferredRenderer: "canvas",
  allowScriptAccess: true,
}};
</script>
<script src="/ruffle/ruffle.js"></script>
<body>
<script>
window.traces = [];
async function play(url, host, port, proxyUrl, parameters) {
  document.querySelectorAll("ruffle-player").forEach(player => player.remove());
  const traces = window.traces = [];
  const player = window.RufflePlayer.newest().createPlayer();
  document.body.append(player);
  const movie = window.movie = player.ruffle(1);
  await movie.load({url, parameters, socketProxy: [{host, port, proxyUrl}]});
  movie.traceObserver = text => traces.push(...text.split("\\n"));
  movie.resume();
}
</script>
"""


def find() -> Path | None:
    """Return the folder of Ruffle's files, or None where it is not installed."""
    folder = ROOT / RUFFLE
    return folder if ruffle_files(folder) else None


def pages(folder: Path, movies: Mapping[str, bytes]) -> dict[str, Page]:
    """
    Return what a server has to serve: the page, Ruffle, and the movies.

    Args:
        folder: Ruffle's files.
        movies: Movies by the path they are to have.

    """
    flash = "application/x-shockwave-flash"
    return {
        "/": Page(_PAGE),
        **ruffle_files(folder),
        **{path: Page(data, flash) for path, data in movies.items()},
    }
