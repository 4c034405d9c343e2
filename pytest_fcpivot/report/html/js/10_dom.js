"use strict";
// The report's script. Its files are put together in the order of their names. Every text of a run comes to the page
// as the content of a text node, and never as markup or as an address.

// What nobody can see, or what changes how the text around it is shown: the same characters as in core/unseen.py.
const UNSEEN = new RegExp(
  [
    "(?<=\u{1f3f4})(?:",
    ["gbeng", "gbsct", "gbwls"]
      .map(
        (region) =>
          [...region].map((letter) => String.fromCodePoint(0xe0000 + letter.charCodeAt(0))).join("") + "\u{e007f}",
      )
      .join("|"),
    ")|[",
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164",
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}",
    "\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff",
    "\u{13430}-\u{1343f}\u{1fffe}\u{1ffff}",
    "]",
  ].join(""),
  "gu",
);
const PLAIN = /^[\t\n\x20-\x7e]*$/;
const JOINING = new RegExp(
  [
    "^[\u0620-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17d3\u1807\u180a\u1820-\u18aa\u1b00-\u1bff",
    "\ua800-\ua82f\ua840-\ua8ff\ua980-\ua9df\uaa00-\uaa7f\uabc0-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc",
    "\u{10a00}-\u{10a5f}\u{10ac0}-\u{10aff}\u{11000}-\u{11dff}\u{1e900}-\u{1e95f}]",
  ].join(""),
  "u",
);
const MONGOLIAN = /^[\u1820-\u18aa]/u;
const IDEOGRAPH = /^[\u3400-\u9fff\uf900-\ufaff\u{20000}-\u{323af}]/u;
const EMOJI = /^[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\u{1f000}-\u{1faff}\ufe0f]/u;
const KEYCAP = "\u20e3";

/** Write an invisible character as JSON does, as in `\u202e`. */
function escaped(character) {
  let text = "";
  for (let at = 0; at < character.length; at += 1) {
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return text;
}

/** Return whether an invisible character serves its purpose between these neighbours. */
function isNeeded(character, before, after) {
  if (before === "") return false;
  if (character === "\u200d" || character === "\u200c") {
    return (character === "\u200d" && EMOJI.test(before) && EMOJI.test(after)) || JOINING.test(before);
  }
  if (character === "\ufe0e" || character === "\ufe0f") {
    return after === KEYCAP ? /^[0-9#*]/.test(before) : EMOJI.test(before) && before !== "\ufe0f";
  }
  if (/^[\u{e0100}-\u{e01ef}\ufe00-\ufe02]/u.test(character)) return IDEOGRAPH.test(before);
  if (/^[\u180b-\u180f]/.test(character)) return MONGOLIAN.test(before);
  return false;
}

/** Escape what a reader cannot see; tabs, line ends, and what a script or an emoji needs stay. */
function visible(text) {
  if (PLAIN.test(text)) return text;
  return text.replace(UNSEEN, (found, at) => {
    if ([...found].length > 1) return found; // the tags of a flag
    const start = text.slice(Math.max(0, at - 2), at);
    const before = [...start].at(-1) ?? "";
    const next = text.codePointAt(at + found.length);
    return isNeeded(found, before, next === undefined ? "" : String.fromCodePoint(next)) ? found : escaped(found);
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

/** Make a block of text; of one that is longer than `most`, the beginning, with a button that shows the rest. */
function longText(text, name = "div", attributes = { class: "text" }, most = LONGEST_TEXT) {
  if (text.length <= most) return el(name, { ...attributes, dir: "auto" }, text);
  const block = el(name, { ...attributes, dir: "auto" }, text.slice(0, most));
  const more = button(
    `Show all ${NUMBERS.format(text.length)} characters`,
    () => {
      block.textContent = visible(text);
      more.remove();
    },
    { class: "quiet" },
  );
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
  announce.timer = setTimeout(() => {
    line.textContent = "";
  }, 5000);
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
  return button(
    label,
    async () => {
      const done = await copyText(text());
      announce(
        done ? "Copied." : "The browser does not allow this page to copy. Select the text and copy it yourself.",
      );
    },
    attributes,
  );
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
