// The framing of XMLSocket for browsers: documents, each ended by one zero byte,
// in binary messages whose boundaries mean nothing.

export const encode = (document) => new TextEncoder().encode(`${document}\0`);

export class Decoder {
  #pieces = []; // of the frame that is still arriving

  // Returns the documents that `data`, an ArrayBuffer, completes, as text.
  feed(data) {
    const bytes = new Uint8Array(data);
    const documents = [];
    let start = 0;
    for (let end; (end = bytes.indexOf(0, start)) >= 0; start = end + 1) {
      documents.push(this.#text(bytes.subarray(start, end)));
    }
    if (start < bytes.length) this.#pieces.push(bytes.subarray(start));
    return documents;
  }

  #text(last) {
    const decoder = new TextDecoder();
    const head = this.#pieces.map((piece) => decoder.decode(piece, { stream: true }));
    this.#pieces = [];
    return head.join("") + decoder.decode(last);
  }
}
