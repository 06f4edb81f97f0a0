// The Flash movie, played by Ruffle where the server has Ruffle's files.

const HOST = "demo"; // where the movie connects to; the page sends it to this server
const PORT = 9339;

// Not import(): Ruffle's file is no module.
function run(url) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${url} did not load`));
    document.head.append(script);
  });
}

export async function showMovie(place, note) {
  if (document.documentElement.dataset.ruffle !== "installed") return;
  note.textContent = "Ruffle is loading …";
  window.RufflePlayer = {
    config: { publicPath: "/ruffle/", polyfills: false, contextMenu: "off" },
  };
  try {
    await run("/ruffle/ruffle.js");
    const player = window.RufflePlayer.newest().createPlayer();
    place.append(player);
    await player.ruffle(1).load({
      url: "/chat.swf",
      parameters: { host: HOST, port: PORT, user: "Flash", hello: "A Flash movie has joined." },
      socketProxy: [{ host: HOST, port: PORT, proxyUrl: new URL("/flash", location.href.replace(/^http/, "ws")).href }],
      autoplay: "on",
      unmuteOverlay: "hidden",
      splashScreen: false,
      letterbox: "off",
      openUrlMode: "deny",
      allowScriptAccess: false,
      warnOnUnsupportedContent: false,
      // The movie is text on a few rectangles, in the reader's fonts: no reason to
      // start a GPU.
      preferredRenderer: "canvas",
      deviceFontRenderer: "canvas",
    });
    note.textContent = "ActionScript 3, written in Haxe, talking through flash.net.XMLSocket.";
  } catch (error) {
    note.textContent = `Ruffle could not play the movie: ${error}`;
  }
}
