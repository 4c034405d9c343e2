"use strict";
// The report's script. Its files are put together in the order of their names. Every text of a run comes to the page
// as the content of a text node, and never as markup or as an address.

// Characters that nobody can see, or that change the order in which others are shown.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
const PLAIN = /^[\t\n\x20-\x7e]*$/;
const EMOJI_BEFORE = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]$/u;
const LETTER_BEFORE = /[\p{L}\p{M}]$/u;

/** Write an invisible character as JSON does, as in `\u202e`. */
function escaped(character) {
  let text = "";
  for (let at = 0; at < character.length; at += 1) {
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return text;
}

/** Escape what a reader cannot see; tabs, line ends, and the joiners inside emoji and words stay. */
function visible(text) {
  if (PLAIN.test(text)) return text;
  return text.replace(UNSEEN, (character, at) => {
    if (character === "\t" || character === "\n") return character;
    const before = text.slice(Math.max(0, at - 2), at);
    if (character === "\u200d" && (EMOJI_BEFORE.test(before) || LETTER_BEFORE.test(before))) return character;
    if (character === "\u200c" && LETTER_BEFORE.test(before)) return character;
    if (character === "\ufe0f" && before !== "") return character;
    return escaped(character);
  });
}

/** Shorten a text to `limit` characters; what is cut away is told by an ellipsis. */
function short(text, limit) {
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

const NUMBERS = new Intl.NumberFormat("en");

/** Write a number with its noun, in the plural unless it is one: `1 row`, `2,000 rows`. */
function counted(number, noun, nouns = `${noun}s`) {
  return `${NUMBERS.format(number)} ${number === 1 ? noun : nouns}`;
}

/** Add children to a parent: nodes as they are, other values as visible text, null and false not at all. */
function append(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(visible(String(child))));
  }
  return parent;
}

/**
 * Make an element. Attributes with the value true are written without a value, those that are null, undefined or false
 * are left out; `on` has the listeners by the names of their events.
 */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(key, visible(String(value)));
    }
  }
  return append(element, ...children);
}

/** Make a button that calls `action` when it is pressed. */
function button(label, action, attributes = {}) {
  return el("button", { type: "button", ...attributes, on: { click: action } }, label);
}

/** Make a `details` element whose content is made when it is first opened. */
function folded(summary, content, attributes = {}) {
  const details = el("details", attributes, el("summary", {}, summary));
  let made = false;
  const make = () => {
    if (made || !details.open) return;
    made = true;
    append(details, content());
  };
  details.addEventListener("toggle", make);
  // A toggle event comes later; what is open from the start is made at once.
  queueMicrotask(make);
  return details;
}

const LONGEST_TEXT = 6000;

/** Make a block of text; of a long one the beginning, with a button that shows the rest. */
function longText(text, name = "div", attributes = { class: "text" }) {
  if (text.length <= LONGEST_TEXT) return el(name, { ...attributes, dir: "auto" }, text);
  const block = el(name, { ...attributes, dir: "auto" }, text.slice(0, LONGEST_TEXT));
  const more = button(`Show all ${NUMBERS.format(text.length)} characters`, () => {
    block.textContent = visible(text);
    more.remove();
  }, { class: "quiet" });
  return [block, more];
}

/** Write a JSON value as text with indents. */
function pretty(value) {
  return JSON.stringify(value, null, 2) ?? String(value);
}

/** Say something to those who listen to the page, and in the line at its foot to those who look at it. */
function announce(sentence) {
  let line = document.getElementById("fc-said");
  if (line === null) {
    line = el("p", { id: "fc-said", role: "status" });
    document.body.append(line);
  }
  line.textContent = visible(sentence);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => { line.textContent = ""; }, 5000);
}
announce.timer = 0;

/** Copy a text to the clipboard; where the browser allows neither way, the text is selected in `field` or told. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure address, or inside another page's frame, only the old way may be allowed.
    const focused = document.activeElement;
    const area = el("textarea", { class: "off-screen", "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    document.body.append(area);
    area.select();
    let done = false;
    try {
      done = document.execCommand("copy");
    } catch {
      done = false;
    }
    area.remove();
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    return done;
  }
}

/** Make a button that copies what `text` returns, and says whether it could. */
function copyButton(label, text, attributes = {}) {
  return button(label, async () => {
    const done = await copyText(text());
    announce(done ? "Copied." : "The browser does not allow this page to copy. Select the text and copy it yourself.");
  }, attributes);
}

/** Keep small values between visits; where the browser refuses, they last as long as the page. */
const kept = {
  memory: new Map(),
  get(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return this.memory.get(key) ?? null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(key, value);
      return true;
    } catch {
      this.memory.set(key, value);
      return false;
    }
  },
};
