"use strict";
// Puts the parts together: first screen, table, pivot, address, keys.

const THEMES = ["automatic", "light", "dark"];

/** Add the button that changes between light and dark. */
function addTheme(place) {
  const apply = (theme) => {
    if (theme === "automatic") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    toggle.textContent = `Theme: ${theme}`;
  };
  const toggle = button(
    "",
    () => {
      const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
      kept.set("fcpivot-theme", next);
      apply(next);
    },
    { class: "quiet", id: "fc-theme" },
  );
  const theme = () => {
    const known = kept.get("fcpivot-theme");
    return THEMES.includes(known) ? known : "automatic";
  };
  apply(theme());
  place.append(toggle);
}

const WORDS = {
  cell: "cell",
  tool: "expected tool",
  called: "called",
  category: "category",
  schema: "schema",
  match: "matches",
  outcome: "outcome",
  graded: "graded",
  lost: "lost reward",
  cause: "cause",
  flip: "flips",
  flaky: "flaky",
  flag: "flag",
  depth: "depth",
  tools: "tools on offer",
  context: "context",
  type: "type",
};

class App {
  constructor(payload, index) {
    this.payload = payload;
    this.rows = new Rows(index);
    this.view = emptyView();
    this.shown = [];
    this.results = document.getElementById("results");
    this.first = document.getElementById("first-screen");
    this.section = document.getElementById("pivot");
    this.triage = new Triage(this.rows, () => this.showTriage());
    this.table = new Table(this.rows, {
      onOpen: (row) => this.change({ open: row }),
      onSort: (key) => this.change({ sort: key, desc: this.view.sort === key ? !this.view.desc : false }),
    });
    this.pivot = new PivotView(this.section, this.rows, payload, this.triage, {
      close: () => this.change({ open: null }),
      next: () => this.step(1),
      previous: () => this.step(-1),
      like: (signature) => this.change({ open: null, q: "", filters: { signature: String(signature) } }),
      open: (row) => this.change({ open: row }),
    });
    this.build();
    this.addFilters();
    document.addEventListener("keydown", (event) => this.key(event));
    const moved = () => this.apply(viewOf(address.read(), this.rows));
    addEventListener("popstate", moved);
    addEventListener("hashchange", moved);
    this.apply(viewOf(address.read(), this.rows));
  }

  // ---------------------------------------------------------------- the frame of the table

  build() {
    const { rows } = this;
    this.search = el("input", {
      type: "search",
      id: "fc-search",
      autocomplete: "off",
      spellcheck: "false",
      "aria-keyshortcuts": "/",
      on: { input: () => this.change({ q: this.search.value }, { replace: true }) },
    });
    const select = (name, label, values) => {
      if (values.length < 2) return null;
      const element = el(
        "select",
        { on: { change: () => this.filter(name, element.value === "" ? null : element.value) } },
        el("option", { value: "" }, "any"),
        values.slice(0, 300).map(([value, count, text]) => {
          const option = el("option", {}, `${short(text ?? value, 70)} (${NUMBERS.format(count)})`);
          option.value = value;
          return option;
        }),
      );
      this.selects.set(name, element);
      return el("label", { class: "field" }, label, element);
    };
    this.selects = new Map();
    const outcomes = OUTCOMES.map((outcome, code) => [
      outcome,
      rows.columns.outcome.reduce((sum, each) => sum + (each === code), 0),
    ]).filter(([, count]) => count > 0);
    const signatureCounts = new Map();
    for (const number of rows.columns.signature)
      if (number >= 0) signatureCounts.set(number, (signatureCounts.get(number) ?? 0) + 1);
    const signatures = [...signatureCounts]
      .sort((one, other) => one[0] - other[0])
      .map(([number, count]) => [String(number), count, rows.index.signatures[number].label]);
    this.flips = button("Flips only", () => this.filter("flip", this.view.filters.flip === undefined ? "any" : null), {
      "aria-pressed": "false",
      "aria-keyshortcuts": "f",
    });
    this.flips.hidden = !rows.hasBefore;
    this.flaky = button(
      "Flaky only",
      () => this.filter("flaky", this.view.filters.flaky === undefined ? "yes" : null),
      { "aria-pressed": "false" },
    );
    this.flaky.hidden = !rows.hasRepeats;
    this.chips = el("ul", { class: "chips", "aria-label": "Filters" });
    this.count = el("p", { class: "count", role: "status" });
    this.problem = el("p", { class: "problem", hidden: true });
    this.triagePlace = el("div");
    this.keys = el("input", {
      type: "checkbox",
      on: { change: () => kept.set("fcpivot-keys", this.keys.checked ? "on" : "off") },
    });
    this.keys.checked = kept.get("fcpivot-keys") !== "off";
    const help = [
      ["/", "search"],
      ["j, k", "next and previous row or pivot"],
      ["Enter", "open"],
      ["Escape", "close"],
      ["f", "flips only"],
    ];
    this.results.replaceChildren(
      el("h2", { id: "results-title" }, "Results"),
      this.problem,
      el(
        "div",
        { class: "toolbar" },
        el("label", { class: "field search" }, "Search", this.search),
        select("outcome", "Outcome", outcomes) ?? "",
        select("signature", "Signature", signatures) ?? "",
        select("tool", "Expected tool", rows.values("expected_tool")) ?? "",
        select("category", "Category", rows.values("category")) ?? "",
        this.flips,
        this.flaky,
      ),
      el("div", { class: "under" }, this.count, this.chips),
      this.table.element,
      this.triagePlace,
      el(
        "details",
        { class: "keys" },
        el("summary", {}, "Keys"),
        el(
          "dl",
          { class: "facts" },
          help.map(([keys, action]) => [
            el(
              "dt",
              {},
              keys.split(", ").flatMap((each, at) => [at > 0 ? ", " : null, el("kbd", {}, each)]),
            ),
            el("dd", {}, action),
          ]),
        ),
        el("label", {}, this.keys, " Use the keys of single letters"),
      ),
    );
    this.results.setAttribute("aria-labelledby", "results-title");
    this.section.setAttribute("aria-labelledby", "pivot-title");
    this.section.setAttribute("role", "main"); // the first screen, the page's usual main part, is hidden meanwhile
    this.showTriage();
  }

  showTriage() {
    const isOpen = this.triagePlace.firstElementChild?.open ?? false;
    this.triagePlace.replaceChildren();
    if (this.triage.entries.size === 0) return;
    const panel = this.triage.panel();
    panel.open = isOpen;
    this.triagePlace.append(panel);
  }

  /** Turn the figures of the first screen that stand for rows into buttons that filter. */
  addFilters() {
    for (const element of this.first.querySelectorAll("[data-filter]")) {
      const filters = Object.fromEntries(new URLSearchParams(element.dataset.filter));
      const { view } = viewOf(element.dataset.filter, this.rows);
      if (Object.keys(filters).some((name) => !(name in view.filters))) continue;
      const place = element.tagName === "TR" ? element.cells[0] : element;
      if (
        place.namespaceURI !== "http://www.w3.org/1999/xhtml" ||
        (place.tagName === "TD" && place.textContent.trim() === "0") ||
        place.querySelector("button, details") !== null
      )
        continue;
      const turned = button("", () => this.show(view.filters), { class: "filter", title: "Show these in the table" });
      turned.append(...place.childNodes);
      place.append(turned);
    }
    for (const details of this.first.querySelectorAll("details.signature[data-signature]")) {
      const number = details.dataset.signature;
      const { n } = this.rows.index.signatures[number] ?? {};
      if (!this.rows.columns.signature.includes(Number(number))) continue;
      const summary = details.querySelector("summary");
      const label = (summary.querySelector(".label") ?? summary).textContent.trim().replace(/\s+/g, " ");
      const turned = button(
        n === undefined ? "In the table" : `Show ${NUMBERS.format(n)}`,
        () => this.show({ signature: number }),
        { class: "filter signature-filter", "aria-label": `Show in the table: ${short(label, 200)}` },
      );
      details.after(turned);
    }
  }

  /** Show the rows of a figure of the first screen, and nothing else. */
  show(filters) {
    this.change({ q: "", filters: { ...filters } });
    this.results.scrollIntoView({ block: "start" });
    this.table.select(0);
  }

  // ---------------------------------------------------------------- the view

  filter(name, value) {
    const filters = { ...this.view.filters };
    delete filters[name];
    if (value !== null) filters[name] = value;
    this.change({ filters });
  }

  /** Change the view, and the address with it. */
  change(difference, { replace = false } = {}) {
    const view = { ...this.view, ...difference };
    address.write(hashOf(view, this.rows), { replace });
    this.apply({ view, problems: [] });
  }

  apply({ view, problems }) {
    const before = this.view;
    const wasOpen = before.open;
    this.view = view;
    const isSame =
      this.applied &&
      before.q === view.q &&
      before.sort === view.sort &&
      before.desc === view.desc &&
      JSON.stringify(before.filters) === JSON.stringify(view.filters);
    this.problem.hidden = problems.length === 0;
    this.problem.textContent =
      problems.length === 0 ? "" : visible(`This address names what the report does not have: ${problems.join(", ")}.`);
    const isOpen = view.open !== null;
    this.results.hidden = isOpen;
    this.first.hidden = isOpen;
    this.section.hidden = !isOpen;
    for (const frame of document.querySelectorAll("body > header, body > footer")) frame.hidden = isOpen;
    if (!isSame) this.refresh();
    if (isOpen) {
      if (view.open !== wasOpen || !isSame) {
        const place = this.table.place(view.open);
        void this.pivot.open(
          view.open,
          place,
          this.shown.length,
          view.filters.signature === String(this.rows.columns.signature[view.open]),
        );
      }
    } else if (wasOpen !== null && wasOpen !== undefined) {
      this.section.replaceChildren();
      this.table.render();
      const place = this.table.place(wasOpen);
      this.results.scrollIntoView({ block: "start" });
      this.table.select(Math.max(0, place));
    }
    this.applied = true;
  }

  refresh() {
    const { view, rows } = this;
    this.shown = rows.shown(view);
    if (this.search.value !== view.q) this.search.value = view.q;
    for (const [name, element] of this.selects) element.value = view.filters[name] ?? "";
    this.flips.setAttribute("aria-pressed", String(view.filters.flip !== undefined));
    this.flaky.setAttribute("aria-pressed", String(view.filters.flaky !== undefined));
    this.count.textContent =
      this.shown.length === rows.count
        ? counted(rows.count, "row")
        : `${NUMBERS.format(this.shown.length)} of ${counted(rows.count, "row")}`;
    const names = Object.keys(view.filters);
    this.chips.replaceChildren(...names.map((name) => this.chip(name, view.filters[name])));
    if (names.length > 1 || (names.length > 0 && view.q !== "")) {
      this.chips.append(
        el(
          "li",
          {},
          button(
            "Remove all",
            () => {
              this.change({ q: "", filters: {} });
              this.search.focus();
            },
            { class: "quiet" },
          ),
        ),
      );
    }
    this.chips.hidden = names.length === 0;
    this.table.show(this.shown, view);
  }

  chip(name, value) {
    const label =
      name === "signature"
        ? (this.rows.index.signatures[value]?.label ?? `signature ${value}`)
        : name === "flip"
          ? ({ lost: "flips: lost", won: "flips: won" }[value] ?? "flips")
          : name === "flaky"
            ? "flaky"
            : `${WORDS[name]}: ${this.rows.index.bins?.[name]?.find((bin) => bin.key === value)?.label ?? value}`;
    return el(
      "li",
      {},
      button(
        [short(label, 90), el("span", { "aria-hidden": "true" }, " ×")],
        () => {
          this.filter(name, null);
          (this.chips.querySelector("button") ?? this.search).focus();
        },
        { class: "chip", "aria-label": `Remove the filter ${label}` },
      ),
    );
  }

  /** Open the next or the previous pivot of the table's view. */
  step(by) {
    const place = this.table.place(this.view.open) + by;
    if (place < 0 || place >= this.shown.length || this.table.place(this.view.open) < 0) return;
    this.change({ open: this.shown[place] }, { replace: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    const isOpen = this.view.open !== null;
    const field = event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select") ?? null;
    if (event.key === "Escape") {
      if (field === this.search && this.search.value !== "") this.change({ q: "" }, { replace: true });
      else if (field !== null) field.blur();
      else if (isOpen) this.change({ open: null });
      else return;
      event.preventDefault();
      return;
    }
    if (field !== null) {
      if (field === this.search && (event.key === "Enter" || event.key === "ArrowDown") && this.shown.length > 0) {
        event.preventDefault();
        this.table.select(0);
      }
      return;
    }
    if (
      event.key === "Enter" &&
      !isOpen &&
      (event.target === document.body || event.target === document.documentElement) &&
      this.shown.length > 0
    ) {
      event.preventDefault();
      this.change({ open: this.shown[this.table.current] });
      return;
    }
    if (!this.keys.checked) return;
    const inTable = this.table.grid.contains(document.activeElement);
    const actions = {
      "/": () => {
        if (isOpen) this.change({ open: null });
        this.search.focus();
        this.search.select();
      },
      j: () => (isOpen ? this.step(1) : this.table.select(inTable ? this.table.current + 1 : this.table.current)),
      k: () => (isOpen ? this.step(-1) : this.table.select(inTable ? this.table.current - 1 : this.table.current)),
      f: () => {
        if (isOpen) return;
        if (this.rows.hasBefore) this.flips.click();
        else announce("There are no flips, since the report has no baseline to compare with.");
      },
    };
    if (Object.hasOwn(actions, event.key)) {
      event.preventDefault();
      actions[event.key]();
    }
  }
}

/** Start: the first screen works at once, the table when the index is read. */
async function main() {
  const first = document.getElementById("first-screen");
  addTheme(document.querySelector("body > header") ?? first);
  const results = document.getElementById("results");
  try {
    const payload = Payload.ofPage();
    if (payload === null) return;
    const index = await payload.index();
    for (const sentence of document.querySelectorAll(".needs-script")) sentence.hidden = true;
    results.hidden = false;
    globalThis.fcReport = new App(payload, index);
    performance.mark("fc-ready");
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    results.hidden = false;
    results.append(
      el(
        "p",
        { class: "problem", role: "alert" },
        error instanceof PayloadError ? error.message : `The table could not be shown: ${error.message}`,
      ),
    );
    document.documentElement.dataset.ready = "failed";
    if (!(error instanceof PayloadError)) throw error;
  }
}

void main();
