"use strict";
// The table of results. Only the rows that can be seen are in the page, be there ten or a hundred thousand.

const COLUMNS = [
  { key: "id", label: "Pivot" },
  { key: "answer", label: "Expected → answer" },
  { key: "signature", label: "Signature" },
  { key: "reward", label: "Reward" },
  { key: "delta", label: "Change", title: "Change of the reward against the baseline" },
  { key: "steady", label: "Repeats", title: "How many of the pivot's repeats passed" },
  { key: "schema", label: "Schema", title: "Whether the arguments meet the JSON Schema of their tool" },
];
const SPARE_ROWS = 8;
const MOST_ROWS = 300; // in the page at once, also where a server forbids the style sheet
const MARKS = { passed: "✓", failed: "✗", error: "!", "not run": "–" };

/** Write a reward or a change of it with as many digits as it needs, at most three. */
function amount(number) {
  return String(Math.round(number * 1000) / 1000).replace("-", "−");
}

function change(number) {
  if (number === 0) return "0";
  return number > 0 ? `+${amount(number)}` : amount(number);
}

/** Return an answer from where it begins to differ, if it begins as the expected action does. */
function fromDifference(expected, actual) {
  let same = 0;
  while (same < actual.length && actual[same] === expected[same]) same += 1;
  if (same < 24 || same === actual.length) return actual;
  return `…${actual.slice(same - 12)}`;
}

class Table {
  /** `onOpen` is called with a row that is to be opened, `onSort` with the key of a column. */
  constructor(rows, { onOpen, onSort }) {
    this.rows = rows;
    this.onOpen = onOpen;
    this.shown = [];
    this.current = 0; // the place of the row that has, or would have, the focus
    this.elements = new Map();
    this.columns = COLUMNS.filter(
      ({ key }) => (key !== "delta" || rows.hasBefore) && (key !== "steady" || rows.hasRepeats),
    );
    this.heads = new Map();
    const head = el("div", { role: "row", class: "row head", "aria-rowindex": 1 });
    for (const { key, label, title } of this.columns) {
      const sorter = button(label, () => onSort(key), { title });
      const cell = el("div", { role: "columnheader", class: `cell ${key}` }, sorter);
      this.heads.set(key, cell);
      head.append(cell);
    }
    this.body = el("div", { role: "rowgroup", class: "body" });
    this.measure = el("div", { class: "measure", "aria-hidden": "true" });
    this.grid = el(
      "div",
      {
        role: "grid",
        class: "grid",
        "aria-label": "Results",
        "aria-colcount": this.columns.length,
        "data-columns": this.columns.map(({ key }) => key).join(" "),
        on: { keydown: (event) => this.key(event), scroll: () => this.render(), click: (event) => this.click(event) },
      },
      el("div", { role: "rowgroup", class: "heads" }, head),
      this.body,
    );
    this.empty = el(
      "p",
      { class: "empty", hidden: true },
      "No row of this report is like that. Remove a filter, or a word of the search.",
    );
    this.element = el("div", { class: "table" }, this.grid, this.empty, this.measure);
    new ResizeObserver(() => this.render()).observe(this.grid);
  }

  /** Show these rows, and mark the column by which they are sorted. */
  show(shown, { sort, desc }) {
    this.shown = shown;
    this.current = 0;
    for (const [key, cell] of this.heads) {
      if (key === sort) cell.setAttribute("aria-sort", desc ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    this.grid.setAttribute("aria-rowcount", shown.length + 1);
    this.empty.hidden = shown.length > 0;
    this.clear();
    this.grid.scrollTop = 0;
    this.render();
  }

  clear() {
    this.elements.clear();
    this.body.replaceChildren();
  }

  /** Return the height of a row in CSS pixels, as the style sheet says. */
  height() {
    return this.measure.getBoundingClientRect().height || 32;
  }

  /** Bring the page's rows in line with what can be seen. */
  render() {
    if (this.grid.clientHeight === 0) return;
    const height = this.height();
    if (height !== this.lastHeight) this.clear();
    this.lastHeight = height;
    this.body.style.setProperty("height", `${height * this.shown.length}px`);
    const first = Math.max(0, Math.floor(this.grid.scrollTop / height) - SPARE_ROWS);
    const last = Math.min(
      this.shown.length,
      first + MOST_ROWS,
      Math.ceil((this.grid.scrollTop + this.grid.clientHeight) / height) + SPARE_ROWS,
    );
    // The row with the focus stays in the page, wherever it is.
    const wanted = (place) => (place >= first && place < last) || place === this.current;
    for (const [place, element] of this.elements) {
      if (!wanted(place)) {
        element.remove();
        this.elements.delete(place);
      }
    }
    for (let place = first; place < last; place += 1) this.ensure(place, height);
    if (this.shown.length > 0) this.ensure(this.current, height);
  }

  ensure(place, height) {
    if (this.elements.has(place)) return;
    const element = this.row(place);
    element.style.setProperty("transform", `translateY(${place * height}px)`);
    this.elements.set(place, element);
    // The order in the page is the order that is read aloud.
    let after = null;
    for (const [other, sibling] of this.elements) {
      if (other > place && (after === null || other < after[0])) after = [other, sibling];
    }
    this.body.insertBefore(element, after?.[1] ?? null);
  }

  row(place) {
    const row = this.shown[place];
    const { rows } = this;
    const { columns } = rows;
    const outcome = rows.outcome(row);
    const signature = rows.signature(row);
    const repeat = columns.repeat[row];
    const reward = columns.reward[row];
    const delta = rows.delta(row);
    const steady = columns.steady?.[row] ?? null;
    const expected = rows.text("expected", row) ?? "";
    const actual = rows.text("actual", row);
    const cause = rows.text("cause", row);
    const schema = rows.text("schema", row);
    const flip = rows.flip(row);
    const instead = { error: `error: ${cause ?? "no answer"}`, "not run": "not run" }[outcome] ?? "nothing";
    const turned =
      flip === 0
        ? null
        : el("span", { class: "flip" }, flip < 0 ? " ↓" : " ↑", el("span", { class: "off-screen" }, " flipped"));
    const label = signature === null ? null : short(signature.label, 300);
    const titles = { answer: `${expected} → ${actual ?? instead}`, signature: label };
    const contents = {
      id: [
        el("span", { class: `mark ${outcome.replace(" ", "-")}` }, MARKS[outcome]),
        el("span", { class: "off-screen" }, `${outcome} `),
        el("span", { class: "name", title: short(rows.ids[row], 500) }, short(rows.ids[row], 200)),
        repeat > 1 || rows.hasRepeats ? el("span", { class: "repeat" }, ` r${repeat}`) : null,
      ],
      answer:
        outcome === "passed" && expected === actual
          ? el("span", { class: "same" }, expected)
          : [
              el("span", { class: "expected" }, expected),
              el("span", { class: "arrow" }, " → "),
              el("span", { class: "actual" }, actual === null ? instead : fromDifference(expected, actual)),
            ],
      signature: label ?? (outcome === "error" ? cause : null),
      reward: reward === null ? null : amount(reward),
      delta: delta === null ? null : [change(delta), turned],
      steady:
        steady === null
          ? null
          : [`${steady[0]}/${steady[1]}`, rows.isFlaky(row) ? el("span", { class: "flaky" }, " flaky") : null],
      schema: schema === "no-call" ? null : schema,
    };
    const element = el("div", {
      role: "row",
      class: `row ${outcome.replace(" ", "-")}`,
      "aria-rowindex": place + 2,
      tabindex: place === this.current ? 0 : -1,
      "data-place": place,
    });
    for (const { key } of this.columns) {
      const content = contents[key];
      const isEmpty = content === null || content === undefined;
      const cell = { role: "gridcell", class: `cell ${key}${isEmpty ? " none" : ""}`, title: titles[key] };
      element.append(el("div", cell, isEmpty ? "–" : content));
    }
    return element;
  }

  click(event) {
    const element = event.target.closest("[data-place]");
    if (element === null || String(getSelection()) !== "") return;
    this.current = Number(element.getAttribute("data-place"));
    this.onOpen(this.shown[this.current]);
  }

  /** Make the row at a place the current one, and bring it into view. */
  select(place, { focus = true } = {}) {
    if (this.shown.length === 0) return;
    const before = this.elements.get(this.current);
    before?.setAttribute("tabindex", "-1");
    this.current = Math.max(0, Math.min(this.shown.length - 1, place));
    const height = this.height();
    const top = this.current * height;
    const heads =
      getComputedStyle(this.grid.firstElementChild).position === "sticky"
        ? this.grid.firstElementChild.offsetHeight
        : 0;
    const room = this.grid.clientHeight - heads;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + height > this.grid.scrollTop + room) this.grid.scrollTop = top + height - room;
    this.render();
    const element = this.elements.get(this.current);
    element?.setAttribute("tabindex", "0");
    if (focus) element?.focus({ preventScroll: true });
    if (focus && this.grid.getBoundingClientRect().bottom > innerHeight) this.grid.scrollIntoView({ block: "nearest" });
  }

  /** Return the place of a row among those that are shown, or -1. */
  place(row) {
    return this.shown.indexOf(row);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("[data-place]") === null) return;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / this.height()) - 2);
    const places = {
      ArrowDown: this.current + 1,
      ArrowUp: this.current - 1,
      PageDown: this.current + page,
      PageUp: this.current - page,
      Home: 0,
      End: this.shown.length - 1,
    };
    if (event.key in places) {
      event.preventDefault();
      this.select(places[event.key]);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.onOpen(this.shown[this.current]);
    }
  }
}
