// Puts the page together: room, charts, link to the server, and the movie.

import { Charts } from "/charts.js";
import { Link } from "/link.js";
import { showMovie } from "/movie.js";
import { Room, message } from "/room.js";

const find = (id) => document.getElementById(id);

const room = new Room(find("log"), find("latest"));
const charts = new Charts({
  connections: find("connections"),
  documents: find("documents"),
  bytes: find("bytes"),
});

function showState(state, wait) {
  find("status").dataset.state = state;
  find("status-text").textContent = {
    connecting: "connecting …",
    open: `connected to ${location.host}`,
    closed: `no connection, next attempt in ${Math.max(1, Math.round(wait / 1000))} s`,
  }[state];
  find("send").disabled = state !== "open";
  if (state === "open") room.begin();
}

function receive(documents) {
  let counted = false;
  for (const source of documents) {
    if (!source.startsWith("<stats ")) {
      room.add(source);
      continue;
    }
    charts.add(new DOMParser().parseFromString(source, "application/xml").documentElement);
    counted = true;
  }
  if (!counted) return;
  charts.show();
  room.settle(); // figures follow the past
}

const user = find("user");
user.value = localStorage.getItem("user") ?? `guest-${Math.floor(100 + Math.random() * 900)}`;
user.addEventListener("change", () => localStorage.setItem("user", user.value));
find("raw").addEventListener("change", ({ target }) => find("log").classList.toggle("raw", target.checked));

const link = new Link("/chat", { state: showState, documents: receive });

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const said = message(user.value, find("text").value);
  if (!link.send(said)) return; // the text stays where it is
  room.add(said, true);
  find("text").value = "";
});

showMovie(find("movie"), find("flash-note"));
