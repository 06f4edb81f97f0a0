// The conversation. What others say is only ever text here, never markup.

const KEPT = 300; // entries
const SHOWN = 60; // entries of one batch; more at once could not be read
const CUT = 300; // characters of a document that is no message

const readable = (text) => (text.length > CUT ? `${text.slice(0, CUT)} … (${text.length.toLocaleString("en")} characters)` : text);

// Returns {user, text} if the document is a chat message, else null.
function parse(source) {
  if (!source.startsWith("<MESSAGE ") || source.length > 16_384) return null;
  const root = new DOMParser().parseFromString(source, "application/xml").documentElement;
  if (root.nodeName !== "MESSAGE") return null;
  return { user: root.getAttribute("USER") ?? "?", text: root.getAttribute("TEXT") ?? "" };
}

// Returns the document that says `text`; escaped by the serializer, which knows how.
export function message(user, text) {
  const root = document.implementation.createDocument(null, "MESSAGE").documentElement;
  // XML has no place for these, however they are written.
  const clean = (value) => value.toWellFormed().replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "");
  root.setAttribute("USER", clean(user));
  root.setAttribute("TEXT", clean(text));
  return new XMLSerializer().serializeToString(root);
}

function element(name, className, text) {
  const result = document.createElement(name);
  result.className = className;
  result.textContent = text;
  return result;
}

export class Room {
  #waiting = [];
  #skipped = 0;
  #scheduled = false;

  constructor(log, latest) {
    this.log = log;
    this.latest = latest;
    log.addEventListener("scroll", () => (latest.hidden = this.#atEnd()));
    latest.addEventListener("click", () => this.#toEnd());
  }

  // The server is about to tell what was said before.
  begin() {
    this.#waiting = [];
    this.#skipped = 0;
    this.log.replaceChildren();
    this.log.ariaBusy = "true"; // the past need not be read aloud
  }

  // All of the past is there.
  settle() {
    this.log.ariaBusy = "false";
  }

  add(source, mine = false) {
    this.#waiting.push([source, mine]);
    if (this.#waiting.length > SHOWN) {
      this.#waiting.shift();
      this.#skipped++;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.#show());
  }

  #show() {
    this.#scheduled = false;
    const atEnd = this.#atEnd();
    const entries = this.#waiting.map(([source, mine]) => this.#entry(source, mine));
    if (this.#skipped) {
      const text = `… ${this.#skipped.toLocaleString("en")} more documents, too quick to show`;
      entries.unshift(element("li", "note", text));
    }
    this.#waiting = [];
    this.#skipped = 0;
    this.log.append(...entries);
    while (this.log.childElementCount > KEPT) this.log.firstElementChild.remove();
    if (atEnd) this.#toEnd();
    else this.latest.hidden = false;
  }

  #entry(source, mine) {
    const said = parse(source);
    const entry = element("li", said ? "message" : "other", "");
    if (mine) entry.classList.add("mine");
    if (said) {
      entry.append(element("b", "", said.user), element("span", "", said.text));
    }
    entry.append(element("code", "", readable(source) || "an empty document"));
    return entry;
  }

  #atEnd() {
    return this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 30;
  }

  #toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.latest.hidden = true;
  }
}
