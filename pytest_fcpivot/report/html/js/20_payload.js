"use strict";
// Reads the compressed texts of the page: the index at once, a part when a pivot of it is opened.

/** A sentence for the reader about a payload that cannot be read. */
class PayloadError extends Error {}

/** Decode base64 into bytes. */
function bytesOf(base64) {
  if (Uint8Array.fromBase64 !== undefined) return Uint8Array.fromBase64(base64);
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Return the JSON value that an element of the page holds, compressed. Throws PayloadError if it cannot be read. */
async function unpacked(id) {
  const element = document.getElementById(id);
  if (element === null)
    throw new PayloadError(`The page is not whole: it has no element ${id}. Make the report again.`);
  if (typeof DecompressionStream === "undefined") {
    throw new PayloadError(
      "This browser cannot decompress the results. Open the report with Chrome or Edge 103, Firefox 113, Safari 16.4, or later.",
    );
  }
  try {
    const bytes = bytesOf(element.textContent.trim());
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  } catch (error) {
    throw new PayloadError(`The page is damaged: ${id} cannot be read (${error.message}). Make the report again.`);
  }
}

const FORMAT = 1;
const PARTS_KEPT = 24;

/** The results that the page holds. */
class Payload {
  constructor(meta) {
    this.meta = meta;
    this.parts = new Map(); // promises of parts, the one that was used last at the end
  }

  /** Return the payload of this page, or null if it has none. */
  static ofPage() {
    const element = document.getElementById("fc-meta");
    if (element === null) return null;
    const meta = JSON.parse(element.textContent);
    if (meta.format !== FORMAT) {
      throw new PayloadError(
        `The page is of format ${meta.format}, and its script reads format ${FORMAT}. Make the report again.`,
      );
    }
    return new Payload(meta);
  }

  index() {
    return unpacked(this.meta.index);
  }

  part(number) {
    const known = this.parts.get(number);
    const part = known ?? unpacked(`fc-part-${number}`);
    this.parts.delete(number);
    this.parts.set(number, part);
    if (this.parts.size > PARTS_KEPT) this.parts.delete(this.parts.keys().next().value);
    return part;
  }

  /** Return a text or another JSON value that several pivots share, by its part and its place there. */
  async block([part, at]) {
    const { blocks } = await this.part(part);
    if (blocks === undefined || at >= blocks.length) {
      throw new PayloadError(`The page is damaged: part ${part} has no block ${at}. Make the report again.`);
    }
    return blocks[at];
  }

  /** Return a pivot with its conversation, system text and tools in place. */
  async pivot(part, at) {
    const { pivots } = await this.part(part);
    const found = pivots?.[at];
    if (found === undefined)
      throw new PayloadError(`The page is damaged: part ${part} has no pivot ${at}. Make the report again.`);
    let { conversation } = found;
    if (conversation !== null && !Array.isArray(conversation) && conversation !== undefined) {
      conversation = pivots[conversation.of].conversation.slice(0, conversation.upto);
    }
    const system = Array.isArray(found.system) ? await this.block(found.system) : null;
    let tools = null;
    if (Array.isArray(found.tools)) tools = await Promise.all(found.tools.map((place) => this.block(place)));
    else if (found.tools?.list !== undefined) tools = await this.block(found.tools.list);
    return { ...found, conversation: conversation ?? null, system, tools };
  }
}
