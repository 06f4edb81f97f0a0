// A WebSocket that comes back: documents in and out, and a state to show.

import { Decoder, encode } from "./frames.js";

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 10_000;

// Calls on.state("connecting" | "open" | "closed", milliseconds until the next attempt)
// and on.documents(array of text).
export class Link {
  #socket = null;
  #timer = 0;
  #failures = 0;

  constructor(path, on) {
    this.url = new URL(path, location.href.replace(/^http/, "ws"));
    this.on = on;
    addEventListener("online", () => this.#again());
    this.#open();
  }

  // Returns whether the document is on its way; what is not, is not kept.
  send(document) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(encode(document));
    return true;
  }

  #open() {
    const decoder = new Decoder();
    const socket = (this.#socket = new WebSocket(this.url));
    socket.binaryType = "arraybuffer";
    this.on.state("connecting", 0);
    socket.onopen = () => {
      this.#failures = 0;
      this.on.state("open", 0);
    };
    socket.onmessage = ({ data }) => this.on.documents(decoder.feed(data));
    socket.onclose = () => this.#wait();
  }

  #wait() {
    // Twice as long each time, and never the same for all who lost the same server.
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures++);
    const wait = longest * (0.5 + Math.random() / 2);
    this.on.state("closed", wait);
    this.#timer = setTimeout(() => this.#again(), wait);
  }

  #again() {
    if (this.#socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.#timer);
    this.#open();
  }
}
